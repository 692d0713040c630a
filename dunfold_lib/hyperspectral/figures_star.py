"""Figures of the chapter on STAR as functions of a few numbers, and their sliders."""

from functools import cache
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import fetch
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.hyperspectral import data, evaluation, scores
from dunfold_lib.hyperspectral.algorithm import Star, star
from dunfold_lib.hyperspectral.lowrank import basis, expand, project, subspace, svt
from dunfold_lib.hyperspectral.patches import Patches, analysis, dct, mean, synthesis
from dunfold_lib.prox import soft
from dunfold_lib.show import Curves, Frames, array, line

CORNER, SIDE = (24, 8), 48  # of the crop, within the test part
BANDS = (0, 10, 25, 45, 60, 90, 130, 170)
PIXEL = (14, 30)  # within the crop, whose spectrum is drawn
EVERY, SMALL = 8, 40  # bands and pixels of the small cube that STAR and STAR-S run on

WEIGHTS = (0.0, 0.3, 0.9, 3.0)  # γ₁
SWEEPS = (0, 1, 2, 4, 6)
WHITE = "white, σ = 30"
NOISES = {  # what the reader sees, and the noise
    WHITE: data.Noise(30),
    "white + impulses": data.NOISES["impulse"],
    "white + stripes": data.NOISES["stripes"],
}
MU, WINDOW = 1.5, 5  # of STAR-S
DRAWN = 5  # band of the small cube that is shown

THRESHOLDS = tuple(0.5 * i for i in range(25))  # τ in units of σ
PATCHES = ("flat", "middling", "rich")
PATCH_SIGMA, EIGEN_IMAGES, PATCH_SIDE = 30.0, 9, 9


def crop() -> Tensor:
    """48 × 48 pixels of the test part, all bands."""
    top, left = CORNER
    return data.part("test")[..., top : top + SIDE, left : left + SIDE].contiguous()


class Seen(NamedTuple):
    """The crop, with noise, and denoised."""

    truth: Tensor
    noisy: Tensor
    made: Tensor


@cache
def denoised(level: float) -> Seen:
    """The crop with white noise of σ = level/255 and what STAR makes of it."""
    truth = crop()
    Y = evaluation.noised(truth, data.Noise(level), 0)
    return Seen(truth, Y, star(Y, level / 255))


def viewer(band: int = 45, level: float = 50.0) -> tuple[Frames, Curves]:
    """One band of the crop and one pixel's spectrum: truth, noisy, denoised."""
    seen = denoised(level)
    planes = [t[0, band] for t in seen]
    low, high = (float(v) for v in planes[0].aminmax())
    score = [scores.psnr(t, seen.truth) for t in seen[1:]]
    names = ("noisy", "STAR", "truth")
    spectra = (seen.noisy, seen.made, seen.truth)
    ends = (-0.6, 1.2)
    drawn = [
        line(range(t.shape[1]), t[0, :, *PIXEL], name, c)
        for t, name, c in zip(spectra, names, (5, 0, 1), strict=True)
    ]
    return (
        Frames(
            images=tuple(((array(p) - low) / (high - low)).clip(0, 1) for p in planes),
            captions=("truth", "noisy", "STAR"),
            alt=f"Band {band} of a crop of Indian Pines",
            zoom=3,
        ),
        Curves(
            lines=(*drawn, line((band, band), ends, "shown", 3, "dashed")),
            xlabel="band",
            ylabel="value, peak of the cube 1",
            alt="Spectrum of one pixel: noisy, denoised and true, with the shown band marked",
            xlim=(0, 200),
            ylim=ends,
            size=(4.6, 3.2),
            note=f"band {band}, σ = {level:g}: whole crop {score[0]:.1f} → {score[1]:.1f} dB",
        ),
    )


class Progress(NamedTuple):
    """PSNR in dB and the shown band after every number of sweeps."""

    psnr: list[float]
    bands: list[Tensor]


def small_cube() -> Tensor:
    """Every eighth band of a part of the crop."""
    return crop()[:, ::EVERY, :SMALL, :SMALL].contiguous()


@fetch.cached(fetch.nowhere)
def small_noisy(noise: str) -> Tensor:
    return evaluation.noised(small_cube(), NOISES[noise], 0)


@cache
def progress(gamma1: float, noise: str, sparse: bool) -> Progress:
    """STAR, or STAR-S where ``sparse``, on the small cube, sweep by sweep."""
    truth, sigma = small_cube(), NOISES[noise].sigma / 255
    Y = small_noisy(noise) / sigma
    model = Star(gamma1=gamma1, mu=MU if sparse else inf)
    x = model.start(Y, basis(Y, EIGEN_IMAGES, WINDOW if sparse else 0))
    made = Progress([], [])
    for k in range(SWEEPS[-1] + 1):
        if k:
            *_, (_, x) = model.sweep(Y, x)
        estimate = sigma * expand(x.G, x.A)
        made.psnr.append(scores.psnr(estimate, truth))
        made.bands.append(estimate[0, DRAWN])
    return made


def sweeping(K: int = 2, gamma1: float = 0.9, noise: str = WHITE) -> tuple[Frames, Curves]:
    """STAR and STAR-S after K sweeps: one band, and the PSNR of all sweeps."""
    plain, sparse = (progress(gamma1, noise, s) for s in (False, True))
    low, high = (float(v) for v in torch.aminmax(small_cube()[0, DRAWN]))
    shown = (small_noisy(noise)[0, DRAWN], plain.bands[K], sparse.bands[K])
    steps = range(len(plain.psnr))
    told = f"STAR {plain.psnr[K]:.1f} dB, STAR-S {sparse.psnr[K]:.1f} dB"
    return (
        Frames(
            images=tuple(((array(b) - low) / (high - low)).clip(0, 1) for b in shown),
            captions=("noisy", "STAR", "STAR-S"),
            alt="One band of a small cube of 25 bands",
            zoom=3,
        ),
        Curves(
            lines=(
                line(steps, plain.psnr, "STAR", 0, "path"),
                line(steps, sparse.psnr, "STAR-S", 1, "path"),
                line((K, K), (plain.psnr[K], sparse.psnr[K]), "K", 3, "dots"),
            ),
            xlabel="sweeps",
            ylabel="PSNR in dB",
            alt="PSNR of STAR and STAR-S against the number of sweeps",
            xlim=(-0.2, SWEEPS[-1] + 0.2),
            ylim=(20.0, 40.0),
            size=(4.6, 3.2),
            note=f"{noise}, γ₁ = {gamma1:g}, K = {K}: {told}",
        ),
    )


class Pair(NamedTuple):
    """A patch's mode-3 unfolding (r, p²) without its means, in units of σ."""

    clean: Tensor
    noisy: Tensor


@fetch.cached(fetch.nowhere)
def patch(kind: str) -> Pair:
    """The patch of the test part with the least, the middle or the most energy."""
    X = data.part("test")
    sigma = PATCH_SIGMA / 255
    Y = evaluation.noised(X, data.Noise(PATCH_SIGMA), 0)
    A, R = subspace(Y / sigma, EIGEN_IMAGES), Patches(PATCH_SIDE, PATCH_SIDE)
    clean, noisy = (c - mean(c) for c in (R(project(t / sigma, A)) for t in (X, Y)))
    order = clean.square().sum((0, 1, 2)).argsort()
    at = {"flat": 0, "middling": len(order) // 2, "rich": -1}[kind]
    return Pair(clean[0, :, :, order[at]], noisy[0, :, :, order[at]])


def softened(X: Tensor, tau: float) -> Tensor:
    """Soft thresholding of a patch (r, p²) in the cosines of its pixels."""
    D, eye = dct(PATCH_SIDE, X.dtype), torch.eye(len(X), dtype=X.dtype)
    codes = analysis(X[None, :, :, None], D, D, eye)
    return synthesis(soft(codes, tau), D, D, eye)[0, :, :, 0]


@cache
def errors(kind: str) -> dict[str, list[float]]:
    """Mean squared error of both shrinkages for every τ, in units of σ²."""
    clean, noisy = patch(kind)
    error = lambda X: float((X - clean).square().mean())
    return {
        "SVT": [error(svt(noisy, t)) for t in THRESHOLDS],
        "soft": [error(softened(noisy, t)) for t in THRESHOLDS],
    }


def shrinking(tau: float = 6.0, kind: str = "middling") -> tuple[Curves, Curves]:
    """Singular values of one patch before and after SVT, and the errors of two shrinkages."""
    clean, noisy = patch(kind)
    values = lambda X: torch.linalg.svdvals(X.double())
    order = range(1, len(clean) + 1)
    after, found = values(svt(noisy, tau)), errors(kind)
    at = THRESHOLDS.index(tau)
    score = ", ".join(f"{name} {e[at]:.2f}" for name, e in found.items())
    return (
        Curves(
            lines=(
                line(order, values(clean), "clean", 1, "path"),
                line(order, values(noisy), "noisy", 5, "path"),
                line(order, after, "noisy after SVT", 0, "path"),
            ),
            xlabel="number",
            ylabel="singular value, in σ",
            alt="Singular values of one patch, clean, noisy and after thresholding",
            xlim=(0.8, 9.2),
            ylim=(-1.0, 52.0),
            size=(4.0, 3.2),
            note=f"{kind} patch, τ = {tau:g} σ: rank {int((after > 1e-6).sum())}; error {score} σ²",
        ),
        Curves(
            lines=(
                line(THRESHOLDS, found["SVT"], "SVT", 0),
                line(THRESHOLDS, found["soft"], "soft", 2),
                line((tau, tau), (found["SVT"][at], found["soft"][at]), "τ", 3, "dots"),
            ),
            xlabel="threshold τ, in σ",
            ylabel="mean squared error, in σ²",
            alt="Error of singular value and of soft thresholding against the threshold",
            xlim=(0.0, 12.2),
            ylim=(0.0, 2.2),
            size=(4.0, 3.2),
        ),
    )


def viewer_explorer() -> Explorer:
    """Sliders over ``viewer``."""
    return Explorer(
        viewer,
        {
            "band": Slider("band", BANDS, 3, "{:d}"),
            "level": Slider("noise σ, of 255", tuple(map(float, evaluation.LEVELS)), 2, "{:g}"),
        },
        "At σ = 70, look for field borders in the noisy band. Which band is the hardest?",
        guess=_seven_times(),
    )


def _seven_times() -> Guess:
    """What the denoised crop loses when the noise grows from σ = 10 to σ = 70."""
    weak, strong = (scores.psnr(denoised(level).made, crop()) for level in (10.0, 70.0))
    return Guess(
        "From σ = 10 to σ = 70 the noise grows seven times: the noisy crop loses 17 dB. How much "
        "does the denoised one lose?",
        ("as much", "about half as much", "more"),
        "about half as much",
        f"From {weak:.1f} dB to {strong:.1f} dB. Two hundred bands look at the same field: the "
        "more noise, the more of the estimate comes from what they share. Move σ and see.",
    )


def sweeping_explorer() -> Explorer:
    """Sliders over ``sweeping``."""
    return Explorer(
        sweeping,
        {
            "K": Slider("sweeps K", SWEEPS, 2, "{:d}"),
            "gamma1": Slider("γ₁, in σ", WEIGHTS, 2, "{:g}"),
            "noise": Slider("noise", tuple(NOISES), 0),
        },
        "With white noise, where is the best K? Then add impulses, and compare the two methods.",
        guess=_impulses(),
    )


def _impulses() -> Guess:
    """What S is worth on the small cube, with impulses, after the last sweep."""
    plain, ours = (progress(0.9, "white + impulses", sparse).psnr[-1] for sparse in (False, True))
    choices = {0.5: "hardly anything", 2.0: "about 2 dB", 5.0: "about 5 dB"}
    nearest = min(choices, key=lambda v: abs(v - (ours - plain)))
    return Guess(
        "White noise and impulses, six sweeps, γ₁ = 0.9. STAR-S has the block S for what is large "
        "and rare. What is it worth?",
        tuple(choices.values()),
        choices[nearest],
        f"STAR ends at {plain:.1f} dB, STAR-S at {ours:.1f}. With white noise alone the two curves "
        "lie on each other. Choose the noise and see.",
    )


def shrinking_explorer() -> Explorer:
    """Sliders over ``shrinking``."""
    return Explorer(
        shrinking,
        {
            "tau": Slider("threshold τ, in σ", THRESHOLDS, 12, "{:g}"),
            "kind": Slider("patch", PATCHES, 1),
        },
        "Find the best τ of each rule, for each patch. Which rule reaches the smaller error?",
        guess=_best_thresholds(),
    )


def _best_thresholds() -> Guess:
    """Where each rule of ``shrinking`` is best on the middling patch."""
    found = errors("middling")
    best = {rule: THRESHOLDS[e.index(min(e))] for rule, e in found.items()}
    choices = {1.0: "at about the same", 2.5: "at twice that", 6.0: "at five times that or more"}
    ratio = best["SVT"] / best["soft"]
    return Guess(
        f"On the middling patch soft thresholding is best at τ = {best['soft']:g}, in units of the "
        "noise. Where is SVT best?",
        tuple(choices.values()),
        choices[min(choices, key=lambda v: abs(v - ratio))],
        f"At τ = {best['SVT']:g}. A code has the noise of one entry; a singular value gathers that "
        "of a whole patch.",
    )
