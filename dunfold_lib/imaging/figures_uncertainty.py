"""What the chapter on uncertainty draws: the law of coverage, calibration curves, Langevin."""

from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.special import betainc
from torch import Tensor

from dunfold_lib import conformal, experiment, fetch, records, tables
from dunfold_lib.datasets import bell
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.imaging import data, evaluation, langevin, uncertainty
from dunfold_lib.imaging.fast import reconstruct
from dunfold_lib.imaging.uncertainty import ALPHA, BARS, FLOOR, LEVELS, NAMES
from dunfold_lib.operators import Blur
from dunfold_lib.show import Curves, Frames, array, line
from dunfold_lib.tables import Table

ALPHAS, SIZES, TRIALS = (0.05, 0.1, 0.2, 0.3), (4, 9, 20, 40, 100, 400, 1600), 400
TITLES = {"constant": "one width", "ensemble": "three members", "dropout": "dropout"}
SIDE, SIGMA, NOISE = 6, 0.1, 0.25  # of the Gaussian toy
PICTURE = {"sigma": 5 / 255, "noise": 5 / 255, "step": 6e-5}  # of the walk on a photograph


@cache
def calibrations(alpha: float, n: int) -> tuple[Any, Any]:
    """(coverage, half-width) of ``TRIALS`` calibrations on n errors |ξ|, ξ standard normal.

    The coverage of a half-width r is known here: erf(r/√2).
    """
    g = torch.Generator().manual_seed(n)
    errors = torch.randn(TRIALS, n, generator=g, dtype=torch.float64).abs()
    r = torch.tensor([conformal.radius(row, alpha) for row in errors], dtype=torch.float64)
    return array((r / 2**0.5).erf()), array(r)


def law(alpha: float = ALPHA, n: int = 20) -> Curves:
    """The coverage that a calibration happens to have: measured, and the Beta law."""
    found, r = calibrations(alpha, n)
    k, c = conformal.rank(n, alpha), np.linspace(0.4, 1, 121)
    exact = betainc(k, n + 1 - k, c) if k <= n else (c >= 1).astype(float)
    shares = (np.arange(TRIALS) + 1) / TRIALS
    low, high = np.quantile(found, [0.05, 0.95])
    wide = f"mean width {2 * r.mean():.2f}" if k <= n else "no finite interval"
    return Curves(
        lines=(
            line([1 - alpha] * 2, [0, 1], "1 − α", 5, "dashed"),
            line(np.clip(np.sort(found), 0.4, 1), shares, f"{TRIALS} calibrations", 0),
            line(c, exact, "the law", 1, "dashed"),
        ),
        xlabel="coverage of one calibration",
        ylabel="share of calibrations below",
        xlim=(0.4, 1.005),
        ylim=(0, 1.01),
        alt="Distribution of the coverage over calibrations, and the Beta law that it follows",
        note=(
            f"rank {k} of {n}; mean coverage {found.mean():.3f}, 5 to 95 %: {low:.2f} to "
            f"{high:.2f}; {wide}"
        ),
    )


def coverage_explorer() -> Explorer:
    """Sliders over ``law``, with a guess."""
    few, many = calibrations(ALPHA, 20), calibrations(ALPHA, 1600)
    answer = (
        f"The mean is {few[0].mean():.3f} with 20 and {many[0].mean():.3f} with 1600: never below "
        f"0.9. But with 20 one calibration in ten covers less than {np.quantile(few[0], 0.1):.2f}, "
        f"and the width is {few[1].mean() / many[1].mean():.2f} times as large."
    )
    choices = ("it is below 90 %", "it is 90 % or a little more", "it cannot be said")
    asked = (
        "You ask for 90 % and calibrate on 20 errors only. What is the coverage of the next error, "
        "on average over all calibrations that you might have had?"
    )
    return Explorer(
        law,
        {
            "alpha": Slider("α", ALPHAS, 1, "{:g}"),
            "n": Slider("calibration errors n", SIZES, 2, "{:g}"),
        },
        "How the coverage of a split conformal interval varies with the calibration data.",
        guess=Guess(asked, choices, choices[1], answer),
    )


def each(score: str) -> list[Any]:
    """A score of every recorded ensemble."""
    return records.values("imaging/ensemble-25", score)


def uncalibrated(name: str) -> list[float]:
    """Coverage at 90 % of ±1.64 deviations, of each recorded ensemble."""
    return [row[LEVELS.index(0.9)] for row in each(f"curve_{name}_uncalibrated")]


def intervals() -> Table:
    """Coverage, width, and coverage where the members disagree most, by kind of interval."""
    per = lambda v: tables.summary([100 * x for x in v], "{:.1f}")
    rows = []
    for name in NAMES:
        apart = [c for row in each(f"photographs_{name}") for c in row]
        low, high = 100 * min(apart), 100 * max(apart)
        scores = [per(each(f"{key}_{name}")) for key in ("coverage", "hard", "width")]
        split = f"{100 * np.mean(apart):.1f} ({low:.0f} to {high:.0f})"
        rows.append([f"{TITLES[name]}, conformal", *scores, split])
    for name in NAMES[1:]:
        none = [tables.NONE] * 3
        rows.append([f"{TITLES[name]}, ± 1.64 deviations", per(uncalibrated(name)), *none])
    head = ["interval", "coverage, %", "where members disagree, %", "width, % of white"]
    return [*head, "split by photograph, %"], rows, "Three ensembles, 20 splits each; level 90 %"


def bars() -> Table:
    """Each bar, stated before the runs, and what was measured."""
    rows = []
    for name, (low, high) in BARS.items():
        found = tables.mean(each(name))
        said = "met" if low <= found <= high else "missed"
        title = TITLES[name.removeprefix("coverage_")]
        rows.append([title, f"{100 * low:.0f} to {100 * high:.0f}", f"{100 * found:.1f}", said])
    head = ["coverage, %", "bar", "measured", ""]
    return head, rows, "Means over three ensembles, 20 splits each"


def quotes() -> dict[str, str]:
    """What the page's sentences say of the records."""
    per = lambda name, score: f"{100 * tables.mean(each(f'{score}_{name}')):.1f}"
    made = {f"{n}_{score}": per(n, score) for score in ("hard", "width") for n in NAMES}
    made |= {f"{n}_raw": f"{100 * tables.mean(uncalibrated(n)):.0f}" for n in NAMES[1:]}
    return made | {"psnr": f"{tables.mean(each('psnr')):.1f}"}


def calibration() -> Curves:
    """Measured against nominal coverage, with and without calibration, mean over the records."""
    mean = lambda key: np.mean(each(key), 0)
    lines = [line([0.5, 0.95], [0.5, 0.95], "as it should be", 5, "dashed")]
    lines += [
        line(LEVELS, mean(f"curve_{name}"), f"{TITLES[name]}, conformal", i, "path")
        for i, name in enumerate(NAMES)
    ]
    lines += [
        line(LEVELS, mean(f"curve_{name}_uncalibrated"), f"{TITLES[name]}, as Gaussian", i + 3)
        for i, name in enumerate(NAMES[1:])
    ]
    return Curves(
        lines=tuple(lines),
        xlabel="nominal coverage",
        ylabel="measured coverage",
        ylim=(0, 1),
        alt="Conformal intervals lie on the diagonal; spreads taken as Gaussian lie far below it",
    )


@torch.no_grad()
def picture(seed: int = 0) -> Frames:
    """A piece of the camera photograph: estimate, interval, and the pixels outside of it."""
    net = experiment.load("imaging/ensemble-25", "cpu", seed)
    x, which = uncertainty.crops()
    keep = which != data.HELD_OUT.index("camera")
    seen = uncertainty.estimated(net, x[keep], draws=2)
    r = conformal.radius_of_images(uncertainty.scores(seen, "ensemble"), ALPHA)
    truth = data.wheel_images("test")["camera"][..., 66:198, 165:297]
    made = torch.stack([reconstruct(m, truth) for m in net.nets])
    half = r * (made.std(0) + FLOOR)
    out = ((truth - made.mean(0)).abs() > half).float()
    shown = {
        "truth": truth,
        "estimate": made.mean(0),
        "half-width × 5": 5 * half,
        f"outside: {100 * float(out.mean()):.0f} %": out,
    }
    frame = lambda v: array(v[0, 0].clamp(0, 1))
    alt = "Truth, estimate, width of the interval (wide at edges) and the pixels outside of it"
    return Frames(tuple(map(frame, shown.values())), tuple(shown), alt, zoom=2)


@cache
def toy() -> dict[str, Any]:
    """A Gaussian image 6×6 behind a blur: operator, data, prior, and the posterior's numbers."""
    kernel = bell(1, 0.8, torch.float64)
    A = Blur((kernel / kernel.sum())[:, None] * (kernel / kernel.sum()), (SIDE, SIDE))
    down, across = torch.fft.fftfreq(SIDE), torch.fft.rfftfreq(SIDE)
    prior = langevin.Wiener(1 / (0.05 + (4 * down[:, None].hypot(across).double()).square()))
    g = torch.Generator().manual_seed(0)
    noise = lambda: torch.randn(1, 1, SIDE, SIDE, generator=g, dtype=torch.float64)
    x = torch.fft.irfft2(torch.fft.rfft2(noise()) * prior.power.sqrt(), s=(SIDE, SIDE))
    b = A(x) + NOISE * noise()
    return {
        "score": langevin.posterior_score(A, b, prior, SIGMA, NOISE),
        "h": prior.precision(A, SIGMA, NOISE),
        "mean": prior.mean(A, b, SIGMA, NOISE),
    }


def walked(eta: float, chains: int = 600, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(mean, variance) of each pixel over independent walks of the toy, run until they forget."""
    t, g = toy(), torch.Generator().manual_seed(seed)
    K = int(4 / (eta * float(t["h"].min()))) + 10
    x = torch.zeros(chains, 1, SIDE, SIDE, dtype=torch.float64)
    for step in langevin.walk(t["score"], x, eta, K, g):
        x = step
    return x.mean(0), x.var(0)


def step_bias() -> Curves:
    """The variance that walks end with against their step, its law, and the posterior's."""
    h, etas = toy()["h"], np.array([0.01, 0.02, 0.04, 0.06, 0.08, 0.1])
    exact = langevin.pixel_variance(1 / h, SIDE)
    grid = np.linspace(0.005, 0.11, 40)
    curve = [langevin.pixel_variance(langevin.stationary(h, float(e)), SIDE) for e in grid]
    found = [float(walked(float(e))[1].mean()) for e in etas]
    return Curves(
        lines=(
            line(grid, [exact] * len(grid), "posterior", 5, "dashed"),
            line(grid, curve, "law of the walk", 1),
            line(etas, found, "600 walks", 0, "dots"),
        ),
        xlabel="step η",
        ylabel="variance of a pixel",
        alt="The variance of the walk grows with the step, as its law says",
    )


@fetch.cached(fetch.nowhere)
def sampled() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(truth, b, mean, variance) of a walk with the room's learned denoiser, camera 48×48."""
    x = data.small_camera()[..., 8:56, 40:88]
    kernel = bell(4, 1.2, x.dtype)
    A = Blur((kernel / kernel.sum())[:, None] * (kernel / kernel.sum()), (48, 48))
    g = torch.Generator().manual_seed(0)
    b = A(x) + PICTURE["noise"] * torch.randn(x.shape, generator=g)
    D, sigma, noise = evaluation.denoiser("cnn"), PICTURE["sigma"], PICTURE["noise"]
    score = langevin.posterior_score(A, b, D, sigma, noise)
    mean, variance = langevin.moments(langevin.walk(score, b, PICTURE["step"], 600, g), 200)
    return x, b, mean, variance


def posterior_picture() -> Frames:
    """Truth, data, mean of the samples, their deviation, and the error of the mean."""
    x, b, mean, variance = sampled()
    shown = {
        "truth": x,
        "seen": b,
        "mean of samples": mean,
        "deviation × 10": 10 * variance.sqrt(),
        "|error| × 5": 5 * (x - mean).abs(),
    }
    frame = lambda v: array(v[0, 0].clamp(0, 1))
    alt = "Truth, blurred data, posterior mean, pixelwise deviation and error, camera 48×48"
    return Frames(tuple(map(frame, shown.values())), tuple(shown), alt, zoom=3)
