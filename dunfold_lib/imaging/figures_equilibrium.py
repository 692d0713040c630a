"""Figures and tables of the chapter on infinite depth and guarantees."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import experiment, records, tables
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.imaging.beyond import DEEP_SEEN
from dunfold_lib.imaging.data import small_camera
from dunfold_lib.imaging.evaluation import LONG_SEEN
from dunfold_lib.imaging.experiments import BOUNDED, EXPERIMENTS
from dunfold_lib.metrics import psnr
from dunfold_lib.operators import Blockwise
from dunfold_lib.show import Curves, Frames, array, each_line, line
from dunfold_lib.tables import Table

KINDS = {"equilibrium": "trained at its fixed point", "tied": "trained five times"}
TRAINED = 5  # applications of the unrolled one
LONG = {
    "deblur-long-cnn": "learned denoiser, unbounded",
    "deblur-long-prox": "learned prox",
    "deblur-bounded-whole": "D − I bounded by 0.9",
    "deblur-bounded-half": "… by 0.45",
    "deblur-bounded-proven": "… by 0.225, data term strongly convex",
}


def values(name: str, score: str = "psnr") -> list[Any]:
    """A score of the recorded runs of ``imaging/<name>``."""
    return records.values(f"imaging/{name}", score)


@cache
@torch.no_grad()
def _applied(kind: str) -> list[Tensor]:
    """The photograph after ``DEEP_SEEN`` applications of a recorded layer."""
    net = experiment.load(f"imaging/{kind}", "cpu", 0)
    whole = Blockwise(net.A, (128, 128))
    b = whole(small_camera()).flatten(0, 1)
    x, made = net.start(b), []
    for k in range(max(DEEP_SEEN) + 1):
        if k in DEEP_SEEN:
            made.append(whole.join(x))
        x = net.step(x, b)
    return made


def applied(k: int = TRAINED) -> tuple[Frames, Curves]:
    """The photograph after k applications of two layers, and their PSNR against k."""
    truth, i = small_camera(), DEEP_SEEN.index(k)
    pairs = {said: _applied(kind) for kind, said in KINDS.items()}
    db = {said: [psnr(x.clamp(0, 1), truth) for x in xs] for said, xs in pairs.items()}
    shown = tuple(array(xs[i][0, 0].clamp(0, 1)) for xs in pairs.values())
    said = tuple(f"{n}: {v[i]:.2f} dB" for n, v in db.items())
    frames = Frames(shown, said, "A photograph after k applications of two layers", zoom=2)
    places = range(len(DEEP_SEEN))
    curves = Curves(
        lines=(
            *(line(places, v, n, j, "path") for j, (n, v) in enumerate(db.items())),
            line([i, i], [v[i] for v in db.values()], "", 3, "dots"),
        ),
        xlabel=f"applications: {', '.join(map(str, DEEP_SEEN))}",
        ylabel="PSNR, dB",
        xlim=(-0.5, len(DEEP_SEEN) - 0.5),
        ylim=(24, 29),
        fixed=2,
        alt="PSNR against the number of applications for two layers",
        note=f"{k} applications: " + ", ".join(said),
    )
    return frames, curves


def applied_explorer() -> Explorer:
    """A slider over ``applied``."""
    return Explorer(
        applied,
        {"k": Slider("applications", DEEP_SEEN, DEEP_SEEN.index(TRAINED), "{:d}")},
        "A quarter of the numbers, one learned layer, applied k times.",
        guess=Guess(
            "One of the two layers was trained to be good after five applications. What does the "
            "other one gain after the fifth, which was trained at its fixed point?",
            ("less than 0.1 dB", "more than 0.3 dB", "it loses"),
            "more than 0.3 dB",
            "It gains more than 0.3 dB, and then stands still: its fixed point was trained, and no "
            "step on the way to it. Move the slider from 5 to 200.",
        ),
    )


def iterations() -> Curves:
    """Recorded PSNR against the number of applications: each seed of both layers."""
    lines = []
    for j, (kind, said) in enumerate(KINDS.items()):
        for i, seen in enumerate(values(kind, "psnr_seen")):
            lines.append(line(DEEP_SEEN[1:], seen[1:], said if i == 0 else "", j))
    return Curves(
        lines=tuple(lines),
        xlabel="applications of the layer",
        ylabel="PSNR, dB",
        logx=True,
        alt="PSNR against the number of applications, three seeds of two layers: the one trained "
        "at its fixed point rises and stays, the other one rises less",
    )


def deep() -> Table:
    """Recorded scores of the two layers."""
    rows = []
    for kind, said in KINDS.items():
        seen = values(kind, "psnr_seen")
        best = [max(s) for s in seen]
        at = lambda k, seen=seen: [s[DEEP_SEEN.index(k)] for s in seen]
        cells = (values(kind, "psnr_start"), at(5), best, at(200))
        rows.append([f"one layer, {said}", *(tables.summary(c) for c in cells)])
    head = ["", "start Q b", "after 5", "at its best k", "after 200"]
    return head, rows, "PSNR in dB. " + EXPERIMENTS["equilibrium"].protocol


def memory(found: Mapping[str, Sequence[float]], depths: Sequence[int]) -> Curves:
    """Kilobytes kept for the backward pass against the depth."""
    return Curves(
        lines=each_line(found, depths, "path"),
        xlabel="layers, or steps to the fixed point",
        ylabel="kept, kB",
        logx=True,
        logy=True,
        alt="What autograd keeps grows with the depth of unrolled layers and is constant "
        "for the implicit gradient",
    )


def certificates(found: Mapping[str, Sequence[float]]) -> Curves:
    """Certificates against k, a line for each way to step."""
    cut = lambda v: [min(max(s, 1e-12), 1e6) for s in v]
    return Curves(
        lines=each_line({n: cut(v) for n, v in found.items()}),
        xlabel="k",
        ylabel="certificate ‖x − T x‖",
        logy=True,
        alt="Certificates against k on a logarithmic axis: bad steps alone grow, safeguarded ones "
        "fall as the classical ones do",
    )


def bounded() -> Table:
    """The recorded deblurrings that go on: what is promised, what was measured."""
    rows = []
    for name, said in LONG.items():
        first = (values(name, score)[:1] for score in ("factor", "constant", "radius"))
        bounds = [tables.average(v) if v else tables.NONE for v in first]
        moves = values(name, "moves")
        last = f"{max(m[-1] for m in moves):.0e}" if moves else tables.NONE
        rows.append([said, *bounds, last, tables.summary(values(name))])
    head = ["denoiser", "promised factor", "measured D − I", "radius", "last move", "PSNR, dB"]
    return head, rows, f"After {max(LONG_SEEN)} steps. " + EXPERIMENTS["deblur-long-cnn"].protocol


def quotes() -> dict[str, str]:
    """The recorded numbers that the chapter's sentences quote, by name."""
    at = lambda kind, k: tables.mean([s[DEEP_SEEN.index(k)] for s in values(kind, "psnr_seen")])
    return {
        "deep_five": f"{at('equilibrium', 5):.2f}",
        "deep_end": f"{at('equilibrium', 200):.2f}",
        "deep_tied_five": f"{at('tied', 5):.2f}",
        "deep_tied_end": f"{at('tied', 200):.2f}",
        "deep_tied_best": f"{tables.mean([max(s) for s in values('tied', 'psnr_seen')]):.2f}",
        "bounded_whole": tables.average(values("deblur-bounded-whole")),
        "bounded_half": tables.average(values("deblur-bounded-half")),
        "bounded_proven": tables.average(values("deblur-bounded-proven")),
        "bounded_factor": f"{values('deblur-bounded-whole', 'factor')[0]:.2f}",
        "bounded_proven_factor": f"{values('deblur-bounded-proven', 'factor')[0]:.2f}",
        "bounded_weight": f"{BOUNDED['proven'][1]:g}",
    }
