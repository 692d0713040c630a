"""Figures and tables of the chapter on learning without ground truth."""

from functools import cache

import torch
from torch import Tensor

from dunfold_lib import experiment, tables
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.imaging import self_supervised
from dunfold_lib.imaging.data import small_camera
from dunfold_lib.imaging.experiments import BLIND, BLIND_BAR, EXPERIMENTS
from dunfold_lib.imaging.fast import reconstruct
from dunfold_lib.imaging.scores import HEAD, SAID, gap, row, values, verdict
from dunfold_lib.metrics import psnr
from dunfold_lib.prox import soft
from dunfold_lib.show import Curves, Frames, array, line
from dunfold_lib.tables import Table

SIDE = 6  # of the explorer's blocks
MEASURED = (3, 4, 5, 6, 9, 12)  # numbers that are measured of a block's 36
COUNTS = range(1, 9)


@cache
def _ranks(m: int) -> list[int]:
    """Directions seen by one random matrix with 1 to 8 symmetries."""
    g = torch.Generator().manual_seed(m)
    A = torch.randn(m, SIDE**2, generator=g, dtype=torch.float64)
    return [self_supervised.seen(A, count) for count in COUNTS]


def directions(m: int = 9, count: int = 1) -> Curves:
    """Directions of a 6×6 block that m measurements see, against the number of symmetries."""
    ranks = _ranks(m)
    n, rank = SIDE**2, ranks[count - 1]
    rest = "all are seen" if rank == n else f"{n - rank} are never seen"
    return Curves(
        lines=(
            line([1, 8], [n, n], "pixels", 5, "dashed"),
            line([*COUNTS], [min(m * c, n) for c in COUNTS], "m · |G|, at most n", 1, "dashed"),
            line([*COUNTS], ranks, "directions seen", 0, "path"),
            line([count], [rank], "", 2, "dots"),
        ),
        xlabel="symmetries |G|",
        ylabel="directions",
        xlim=(0.5, 8.5),
        ylim=(0, 40),
        fixed=1,
        alt="Rank of the stacked matrices against the number of symmetries, with its upper bound",
        note=f"m = {m}, |G| = {count}: {rank} of {n} directions, {rest}",
    )


def directions_explorer() -> Explorer:
    """Sliders over ``directions``."""
    return Explorer(
        directions,
        {
            "m": Slider("measured numbers m", MEASURED, 4, "{:d}"),
            "count": Slider("symmetries |G|", [*COUNTS], 0, "{:d}"),
        },
        "Blocks of 6×6 pixels. For which m do all eight symmetries not suffice?",
        guess=Guess(
            "Five numbers of 36 are measured, and a block may be turned and mirrored in 8 ways: "
            "5 · 8 = 40 rows. Are all 36 directions seen?",
            ("all 36", "fewer"),
            "fewer",
            f"{_ranks(5)[-1]} are. A block that all 8 symmetries leave as it is looks the same to "
            "all of them, and such blocks have 6 directions: five numbers are too few. Set m to 5 "
            "and |G| to 8.",
        ),
    )


def clean() -> Table:
    """Recorded scores without noise, by loss and by start."""
    rows = [row(f"{said}, from Aᵀb", name) for name, said in SAID.items()]
    longer = [n for n in SAID if values(n, recipe="long")]
    rows += [row(f"{SAID[n]}, from Aᵀb, four times as long", n, "long") for n in longer]
    for n in ("equivariant", "supervised"):
        rows.append(row(f"{SAID[n]}, from Q b", f"{n}-q"))
    caption = (
        "PSNR in dB, mean ± half the spread over three seeds. Misfit: ‖A x − b‖²/‖b‖². Unseen "
        "error: mean square error in null(A) per pixel, camera and coffee. "
    )
    return HEAD, rows, caption + EXPERIMENTS["blind-equivariant"].protocol


def noisy() -> Table:
    """Recorded scores with noise in b: consistency, SURE, supervised."""
    said = {
        "equivariant-noisy": "consistency + equivariance",
        "sure-noisy": "SURE + equivariance",
        "supervised-noisy": "supervised",
    }
    score = lambda n, s: tables.summary(values(n, s))
    rows = [
        [title, score(n, "psnr_start_wheels"), score(n, "psnr_wheels"), score(n, "psnr")]
        for n, title in said.items()
    ]
    head = ["learned by", "start Q b", "camera, coffee", "Set11"]
    return head, rows, "PSNR in dB. " + EXPERIMENTS["blind-sure-noisy"].protocol


def pictures() -> Frames:
    """A photograph that three networks recovered, seed 0, from Aᵀb."""
    truth = small_camera()
    net = lambda name: experiment.load(f"imaging/blind-{name}", "cpu", 0)
    made = {said: reconstruct(net(name), truth).clamp(0, 1) for name, said in SAID.items()}
    shown = {"truth": truth} | {f"{n}, {psnr(x, truth):.1f} dB": x for n, x in made.items()}
    return Frames(
        images=tuple(array(x[0, 0]) for x in shown.values()),
        captions=tuple(shown),
        alt="A photograph, and what three networks make of a quarter of its numbers: noise by "
        "consistency alone, a blurred photograph with equivariance, a clearer one with truths",
        zoom=2,
    )


def sure_curves(truth: Tensor, sigma: float, draws: int, generator: torch.Generator) -> Curves:
    """Mean SURE and mean true error of soft thresholds against the threshold, with one draw."""
    at = [0.1 * i for i in range(26)]
    v = truth + sigma * torch.randn(draws, len(truth), generator=generator, dtype=truth.dtype)
    guess = [self_supervised.soft_sure(v, sigma * t, sigma) for t in at]
    true = [(soft(v, sigma * t) - truth).square().mean(1) for t in at]
    mean = lambda rows: [float(r.mean()) for r in rows]
    return Curves(
        lines=(
            line(at, mean(true), "true error, mean", 0),
            line(at, mean(guess), "SURE, mean", 1, "dashed"),
            line(at, [float(r[0]) for r in guess], "SURE, one draw", 2, "dots"),
        ),
        xlabel="threshold / σ",
        ylabel="error per entry",
        alt="Error of a soft threshold against the threshold: SURE's mean lies on the true error, "
        "one draw of it lies near",
    )


def quotes() -> dict[str, str]:
    """The recorded numbers that the chapter's sentences quote, by name."""
    mean = lambda name, score="psnr_wheels": tables.average(values(name, score))
    return {
        "blind_gap": f"{gap():.1f}",
        "blind_gap_q": f"{gap('{}-q'):.1f}",
        "blind_verdict": verdict(gap(), BLIND_BAR),
        "blind_verdict_q": verdict(gap("{}-q"), BLIND_BAR),
        "blind_alone": mean("consistency"),
        "blind_equivariant": mean("equivariant"),
        "blind_supervised": mean("supervised"),
        "blind_start_measured": mean("equivariant-q", "psnr_start_wheels"),
        "blind_start_truths": mean("supervised-q", "psnr_start_wheels"),
        "blind_steps": str(BLIND["supervised"].steps),
        "blind_noisy": mean("equivariant-noisy"),
        "blind_sure": mean("sure-noisy"),
        "blind_noisy_supervised": mean("supervised-noisy"),
    }
