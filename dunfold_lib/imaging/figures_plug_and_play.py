"""Figures of the plug-and-play chapter as functions of a few numbers, and their sliders."""

from functools import cache

import torch
from torch import Tensor

from dunfold_lib import records
from dunfold_lib.explore import Explorer, Slider
from dunfold_lib.imaging import theory
from dunfold_lib.imaging.denoising_runs import blurred, denoiser, small_camera
from dunfold_lib.imaging.plug_and_play import pnp_ista
from dunfold_lib.metrics import psnr
from dunfold_lib.show import Curves, Frames, array, line

STRENGTHS = (1, 3, 8)  # σ·255 told to the denoiser
STEPS = (1, 4, 10, 20)
EIGENVALUES = (-1.1, -1.0, -0.9, -0.5, 0.0, 0.5, 0.9, 0.96, 1.0, 1.04, 1.1, 1.3)
SPECTRAL_STEPS = 40


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
    names = [*plugs()]
    return Explorer(
        deblurring,
        {
            "plug": Slider("denoiser", names, 0),
            "strength": Slider("σ · 255", STRENGTHS, 1, "{:d}"),
            "k": Slider("iterations k", STEPS, 2, "{:d}"),
        },
        "Which denoiser gains from more iterations, and which σ is too much for it?",
    )


def spectral_explorer() -> Explorer:
    """A slider over ``spectral``."""
    return Explorer(
        spectral,
        {"value": Slider("eigenvalue in null(Φ)", EIGENVALUES, 7, "{:g}")},
        "Move the eigenvalue across 1, then across −1. What happens exactly at ±1?",
    )
