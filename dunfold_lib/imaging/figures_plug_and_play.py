"""Figures and tables of the plug-and-play chapter, those with sliders first."""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from dunfold_lib import records, tables
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.imaging import theory
from dunfold_lib.imaging.data import blurred, small_camera
from dunfold_lib.imaging.evaluation import LONG_SEEN, denoiser
from dunfold_lib.imaging.experiments import EXPERIMENTS, NAMES
from dunfold_lib.imaging.plug_and_play import pnp_ista
from dunfold_lib.imaging.scores import first as first
from dunfold_lib.metrics import psnr
from dunfold_lib.show import Curves, Frames, array, each_line, line
from dunfold_lib.tables import Table

STRENGTHS = (1, 3, 8)  # σ·255 told to the denoiser
STEPS = (1, 4, 10, 20)
EIGENVALUES = (-1.1, -1.0, -0.9, -0.5, 0.0, 0.5, 0.9, 0.96, 1.0, 1.04, 1.1, 1.3)
SPECTRAL_STEPS = 40
LONG = {
    "deblur-long-cnn": "learned denoiser",
    "deblur-long-relaxed": "… relaxed by ½",
    "deblur-long-admm": "… in PnP-ADMM",
    "deblur-long-tv": "TV",
    "deblur-long-prox": "learned prox",
}  # the recorded iterations that go on, by experiment
SENSED = (
    *("tv-25", "tv-10", "d-amp-25", "d-amp-10"),
    *("pnp-hqs-tv-25", "pnp-admm-tv-25", "pnp-hqs-cnn-25", "pnp-admm-cnn-25"),
)


def plugs() -> dict[str, str]:
    """Denoisers by the name that the figure shows; the learned one where its run is recorded."""
    known = {"TV": "tv", "NLM": "nlm", "wavelet": "wavelet"}
    return known | ({"learned": "cnn"} if records.recorded("imaging/denoiser") else {})


@cache
def _blurred() -> tuple[Tensor, Tensor, Tensor]:
    """Truth, measurement, and PnP-ISTA's images: (denoisers, strengths, steps, h, w)."""
    truth = small_camera()
    A, b = blurred(truth, torch.Generator().manual_seed(0))
    rows = []
    for name in plugs().values():
        D = denoiser(name)
        runs = [pnp_ista(A, b, D, s / 255, max(STEPS), start=b) for s in STRENGTHS]
        rows.append(torch.stack([torch.cat([xs[k] for k in STEPS])[:, 0] for xs in runs]))
    return truth, b, torch.stack(rows)


def deblurring(plug: str = "TV", strength: int = 3, k: int = 10) -> Frames:
    """A blurred photograph and what k steps of PnP-ISTA make of it.

    plug : one of ``plugs()``.  strength : one of ``STRENGTHS``, σ·255.  k : one of ``STEPS``.
    """
    truth, b, images = _blurred()
    i = [*plugs()].index(plug)
    x = images[i, STRENGTHS.index(strength), STEPS.index(k)]
    score = psnr(x.clamp(0, 1), truth[0, 0])
    return Frames(
        images=tuple(array(t).squeeze() for t in (truth, b, x)),
        captions=(
            "truth",
            f"blurred, {psnr(b.clamp(0, 1), truth):.1f} dB",
            f"estimate, {score:.1f} dB",
        ),
        alt="Photograph of a man behind a camera on a tripod",
        note=f"{plug}, σ = {strength}/255, k = {k}: PSNR {score:.2f} dB",
        zoom=2,
    )


def spectral(value: float = 1.04) -> Curves:
    """Error of x ← D(x − ρΦᵀ(Φx − b)) against k; one eigenvalue of D, in Φ's null space, moves.

    Dashed: |value|ᵏ. b = 0, so the error is ‖xᵏ‖, and x⁰ has length one.
    """
    D, Phi = theory.spectral_example(value)
    g = torch.Generator().manual_seed(1)
    start = torch.randn(1, len(D), generator=g, dtype=D.dtype)
    start = start / start.norm()
    xs = theory.linear_iterates(D, Phi, start[:, : len(Phi)] * 0, 1.0, SPECTRAL_STEPS, start)
    radius = theory.spectral_radius(D, Phi, 1.0)
    k = range(SPECTRAL_STEPS + 1)
    word = "diverges" if radius > 1 + 1e-9 else "converges" if radius < 1 - 1e-9 else "stays"
    return Curves(
        lines=(
            line(k, [1.0] * len(k), "", 5, "dashed"),
            line(k, [radius**i for i in k], "radiusᵏ", 1, "dashed"),
            line(k, [float(x.norm()) for x in xs], "error ‖xᵏ − x*‖", 0),
        ),
        xlabel="k",
        ylabel="error",
        xlim=(0, SPECTRAL_STEPS),
        ylim=(1e-4, 1e5),
        logy=True,
        fixed=1,
        alt="Error against k on a logarithmic axis with the spectral radius to the power k",
        note=f"eigenvalue {value:g}: spectral radius {radius:.2f}, the iteration {word}",
    )


def deblurring_explorer() -> Explorer:
    """Sliders over ``deblurring``."""
    return Explorer(
        deblurring,
        {
            "plug": Slider("denoiser", [*plugs()], 0),
            "strength": Slider("σ · 255", STRENGTHS, 1, "{:d}"),
            "k": Slider("iterations k", STEPS, 2, "{:d}"),
        },
        "Which denoiser gains from more iterations, and which σ is too much for it?",
        guess=_too_strong(),
    )


def _too_strong() -> Guess:
    """What the largest σ does to total variation and to the learned denoiser."""
    last, (low, high) = STEPS[-1], (STRENGTHS[0], STRENGTHS[-1])
    said = lambda plug, s: deblurring(plug, s, last).captions[2].removeprefix("estimate, ")
    gains = lambda plug: float(said(plug, high)[:-3]) > float(said(plug, low)[:-3])
    names = {"TV": "total variation", "learned": "the learned denoiser"}
    better = [names[plug] for plug in names if gains(plug)]
    return Guess(
        f"{last} iterations. Raise σ from {low} to {high}, so that each denoiser removes more in "
        "each step. Whose picture gets better?",
        (*names.values(), "both", "neither"),
        {0: "neither", 2: "both"}.get(len(better), *better[:1]),
        "; ".join(f"{names[p]}: {said(p, low)}, then {said(p, high)}" for p in names)
        + ". Eyes hardly tell; one photograph and one draw of the noise rank nothing.",
    )


def spectral_explorer() -> Explorer:
    """A slider over ``spectral``."""
    return Explorer(
        spectral,
        {"value": Slider("eigenvalue in null(Φ)", EIGENVALUES, 7, "{:g}")},
        "Move the eigenvalue across 1, then across −1. What happens exactly at ±1?",
        guess=Guess(
            "At the eigenvalue −1 the denoiser moves no two points apart. What will it do?",
            ("converge", "swing for ever", "diverge"),
            "swing for ever",
            "It swings: what moves no two points apart need not bring them together. Set the "
            "eigenvalue to −1 and look at the moves.",
        ),
    )


# --- tables and curves of what is recorded, and of what the page computes ---


def _ours(name: str, score: str = "psnr") -> str:
    return tables.summary(records.values(f"imaging/{name}", score))


def denoisers() -> Table:
    """The recorded PSNR of five denoisers at two noise levels, on Set11 and on two photographs."""
    head = ["PSNR, dB", "Set11, σ = 15", "σ = 25", "camera, coffee, σ = 15", "σ = 25"]
    names = ("denoise-wavelet", "denoise-tv", "denoise-nlm", "denoiser", "denoiser-prox")
    title = lambda n: EXPERIMENTS[n].title.removeprefix("denoising, ")
    scores = [f"psnr_{s}{e}" for e in ("", "_wheels") for s in (15, 25)]
    rows = [[title(n), *(_ours(n, s) for s in scores)] for n in names]
    return head, rows, EXPERIMENTS["denoiser"].protocol


def deblurred() -> Table:
    """The recorded scores of two algorithms with two denoisers on the blurred photograph."""
    scores = ("psnr_input", "psnr", "ssim")
    rows = [
        [m.upper(), NAMES[d], *(_ours(f"deblur-{m}-{d}", s) for s in scores)]
        for m in ("ista", "hqs")
        for d in ("tv", "cnn")
    ]
    head = ["PnP-", "denoiser", "blurred, dB", "PSNR, dB", "SSIM"]
    return head, rows, EXPERIMENTS["deblur-hqs-cnn"].protocol


def moves(found: Mapping[str, Sequence[float]]) -> Curves:
    """Sizes of the steps of an iteration against k, a line for each denoiser by its name."""
    return Curves(
        lines=each_line({NAMES[n]: m for n, m in found.items()}),
        xlabel="k",
        ylabel="‖xᵏ − xᵏ⁻¹‖",
        logy=True,
        size=(5.2, 3.2),
        alt="Size of the step against k on a logarithmic axis: it falls for both denoisers",
    )


def _long(score: str, ylabel: str, logy: bool) -> Curves:
    style = lambda label: "dashed" if "ADMM" in label else "solid"
    lines = [
        line(LONG_SEEN, first(name, score), label, i, style(label))
        for i, (name, label) in enumerate(LONG.items())
        if first(name, score)
    ]
    alt = f"{ylabel} against k, to 1,500 steps, for five plug-and-play iterations"
    return Curves(tuple(lines), "k", ylabel, logx=True, logy=logy, size=(4.6, 3.4), alt=alt)


def long() -> tuple[Curves, Curves]:
    """The recorded deblurrings that go on: PSNR against k, and size of the step against k."""
    return _long("psnr_seen", "PSNR, dB", False), _long("moves", "‖xᵏ − xᵏ⁻¹‖", True)


def long_ends() -> Table:
    """Where the recorded deblurrings that go on arrive: PSNR at three k, last move, radius."""
    form = {"last": "{:.0e}", "radius": "{:.3f}"}
    head = ["PnP-ISTA, or ADMM", "PSNR at 60", "at 1,000", "at 1,500", "last move", "radius at x⁶⁰"]
    rows = []
    for name, label in LONG.items():
        found = {s: first(name, s) for s in ("psnr_60", "psnr_1000", "psnr")}
        found["last"] = (first(name, "moves") or [None])[-1]
        found["radius"] = first(name, "radius")
        said = (form.get(s, "{:.2f}").format(v) if v is not None else "–" for s, v in found.items())
        rows.append([label, *said])
    return head, rows, EXPERIMENTS["deblur-long-cnn"].protocol


def two_peaks(v: Tensor, mean: Tensor, slope: Tensor) -> Curves:
    """A posterior mean and its slope against v, with v itself dashed."""
    return Curves(
        lines=(
            line(v, mean, "E[x | v]", 0),
            line(v, v, "v", 5, "dashed"),
            line(v, slope, "its slope", 1),
        ),
        xlabel="v",
        ylabel="",
        size=(5.2, 3.2),
        alt="The posterior mean of a two-peaked prior jumps from one peak to the other; its slope "
        "is four between them",
    )


def sensed() -> Table:
    """Methods without training on measurements: the papers' PSNR, ours, SSIM, two photographs."""
    head = ["", "paper, Set11", "ours, Set11", "SSIM", "camera, coffee"]
    rows = []
    for name in SENSED:
        scores = (_ours(name, s) for s in ("psnr", "ssim", "psnr_wheels"))
        rows.append([EXPERIMENTS[name].title, tables.paper(EXPERIMENTS[name], "psnr"), *scores])
    return head, rows, "PSNR in dB. " + EXPERIMENTS["tv-25"].protocol


def exploded(error: float | str) -> int | None:
    """The step at which D-AMP said that z exploded, or None where it gave an error's size."""
    return int(error.split("step ")[1].split(";")[0]) if isinstance(error, str) else None


def amp(errors: Mapping[tuple[bool, str], Sequence[float | str]]) -> Table:
    """D-AMP's errors by kind of rows (orthonormal or not) and by way of sensing."""
    told = lambda e: f"{e:.3f}" if exploded(e) is None else f"explodes, step {exploded(e)}"
    columns = [c for o, c in errors if o]
    rows = [
        [kind, *("; ".join(map(told, errors[o, c])) for c in columns)]
        for o, kind in ((True, "orthonormal"), (False, "Gaussian entries"))
    ]
    caption = (
        "Root mean square error of D-AMP with TV, undamped. 16 blocks: 132×132 pixels; 4 blocks "
        "and one matrix: 66×66; one matrix: two draws"
    )
    return ["rows of Φ", *columns], rows, caption


def quotes() -> dict[str, str]:
    """The recorded numbers that the chapter's sentences quote, by name."""
    count = lambda name, score: str(len(records.values(f"imaging/{name}", score)))
    return {
        "denoiser_seeds": count("denoiser", "psnr_15_wheels"),
        "prox_end": f"{first('deblur-long-prox', 'psnr'):.1f}",
        "cnn_best": f"{max(first('deblur-long-cnn', 'psnr_seen')):.1f}",
        "tv_25": _ours("tv-25"),
        "tv_10": _ours("tv-10"),
        "pnp_25": _ours("pnp-admm-cnn-25"),
        "pnp_seeds": count("pnp-admm-cnn-25", "psnr"),
    }
