"""What the laboratory draws of a cube: its colours, bands and spectra, before and after."""

from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dunfold_lib import records, show, tables
from dunfold_lib.hyperspectral import data, evaluation, lowrank, scores
from dunfold_lib.hyperspectral.algorithm import Star, star, star_s
from dunfold_lib.hyperspectral.baselines import lrtdtv, pca, subspace_denoiser
from dunfold_lib.hyperspectral.experiments import EXPERIMENTS, METHODS
from dunfold_lib.hyperspectral.fast import denoise
from dunfold_lib.hyperspectral.model import Numbers, Sweeps, measured
from dunfold_lib.show import Curves, Frames, Html, line

NOISES = {
    "white": data.Noise(),
    "another level a band": data.NOISES["bands"],
    "white and impulses": data.NOISES["impulse"],
    "white and stripes": data.NOISES["stripes"],
    "white and dead columns": data.NOISES["dead"],
    "white and all three": data.NOISES["mixed"],
}
COLOURS = {  # red, green and blue as shares of the way from the first band to the last
    "AVIRIS, true colour": (0.14, 0.09, 0.04),
    "AVIRIS, infrared": (0.25, 0.135, 0.085),
    "spread over the bands": (5 / 6, 1 / 2, 1 / 6),
}
SPREAD = COLOURS["spread over the bands"]
SPARSE = ("impulse", "stripes", "dead", "mixed")  # kinds of noise
FORMS = {"psnr": "{:.2f}", "ergas": "{:.2f}", "ssim": "{:.3f}", "sam": "{:.4f}"}
FORMS |= {"accuracy": "{:.3f}", "kappa": "{:.3f}"}
WORDS = {"psnr blind": "psnr, σ estimated", "psnr fixed": "psnr, A as estimated"}
Shares = tuple[float, float, float]
Image = NDArray[np.float64]


def methods(few: bool) -> dict[str, evaluation.Method]:
    """What learns nothing, (Y, σ) -> estimate; few: LRTDTV of two steps."""
    return {
        "STAR": star,
        "STAR-S": star_s,
        "PCA": pca,
        "subspace, TV": subspace_denoiser,
        "subspace, NLM": METHODS["subspace-nlm"],
        "LRTDTV": partial(lrtdtv, steps=2) if few else lrtdtv,
    }


def middle(cube: Tensor, side: int) -> Tensor:
    """The middle of a cube, at most ``side`` a side."""
    top, left = (max(0, (n - side) // 2) for n in cube.shape[2:])
    return cube[..., top : top + side, left : left + side].contiguous()


def denoised(method: Any, Y: Tensor, sigma: float | None = None) -> Tensor:
    """Y without its noise, by a network or a method; σ is estimated where None."""
    sigma = float(lowrank.noise_level(Y)) if sigma is None else sigma
    return denoise(method, Y, sigma) if isinstance(method, Sweeps) else method(Y, sigma)


# Pictures


def false_colour(X: Tensor, like: Tensor, shares: Shares, mark: Any = None) -> Image:
    """Three bands of X (1, B, H, W), stretched as those of ``like``; a pixel may be marked."""
    bands = [round(share * (X.shape[1] - 1)) for share in shares]
    picture = np.stack([band_of(X, like, b) for b in bands], 2)
    if mark:
        picture[mark] = 1, 0, 0
    return picture


def band_of(X: Tensor, like: Tensor, b: int) -> Image:
    """One band of X, stretched as that of ``like``."""
    low, high = (float(like[0, b].quantile(q)) for q in (0.01, 0.99))
    return show.array(((X[0, b] - low) / max(high - low, 1e-6)).clamp(0, 1))


def spectra(pixels: Mapping[str, Tensor], band: int, title: str) -> Curves:
    """Spectra of one pixel, and where the shown band is."""
    styles = {"noisy": (5, "dots"), "as it is": (5, "dots"), "truth": (2, "dashed")}
    low, high = (float(v) for v in torch.stack([*pixels.values()]).aminmax())
    lines = [line(range(len(v)), v, n, *styles.get(n, (1, "solid"))) for n, v in pixels.items()]
    lines.append(line((band, band), (low, high), "shown", 3, "dashed"))
    return Curves(tuple(lines), "band", "value", title, title, ylim=(low, high))


def _db(estimate: Tensor, truth: Tensor) -> str:
    return f"{scores.psnr(estimate, truth):.2f} dB"


def look(
    cubes: Mapping[str, Tensor], shares: Shares, band: int, at: tuple[int, int]
) -> tuple[Any, ...]:
    """Truth, noisy and denoised cube in colours and one band, the error, and a spectrum."""
    truth, Y, X = cubes.values()
    shown = ("truth", f"noisy: {_db(Y, truth)}", f"{[*cubes][-1]}: {_db(X, truth)}")
    colour = [false_colour(t, truth, shares, at if t is truth else None) for t in (truth, Y, X)]
    low, high = truth[0, band].aminmax()
    error = show.array(4 * (X - truth)[0, band].abs() / (high - low).clamp(min=1e-6)).clip(0, 1)
    names = (*(f"band {band}: {n}" for n in ("truth", "noisy", "denoised")), "4 |error|")
    pictures = (*(band_of(t, truth, band) for t in (truth, Y, X)), error)
    order = {"noisy": Y, "denoised": X, "truth": truth}
    return (
        Frames(tuple(colour), shown, "cube", zoom=3),
        Frames(pictures, names, "cube", zoom=3),
        spectra({n: t[0, :, at[0], at[1]] for n, t in order.items()}, band, f"Pixel {at}"),
    )


# Networks layer by layer


def scaled(net: Sweeps, theta: float, tau: float, mu: float) -> Sweeps:
    """The same weights with other thresholds; patches on every second pixel."""
    made, numbers = copy(net), net.numbers

    def of_layer(k: int) -> Numbers:
        n = numbers(k)
        by = {"theta": theta, "tau": tau, "mu": mu}
        found = {
            name: times * v for name, times in by.items() if (v := getattr(n, name)) is not None
        }
        return n._replace(**found)

    made.numbers, made.stride = of_layer, 2  # type: ignore[method-assign]
    return made


@torch.no_grad()
def walk(net: Sweeps, Y: Tensor, sigma: float) -> tuple[list[Tensor], list[Tensor]]:
    """Cubes after 0, …, K layers, and for k = 1, …, K those of k − 1 layers and then the last."""
    b, unit = measured(Y, sigma, net.r, net.window)
    states = [*net.states(b)]
    ends = [net.layer(net.K - 1, x, b) for x in states[:-2]] + [states[-1]]
    return [unit * net.readout(x) for x in states], [unit * net.readout(x) for x in ends]


def layers(
    walked: tuple[list[Tensor], list[Tensor]], k: int, Y: Tensor, truth: Tensor, alt: str
) -> tuple[Any, ...]:
    """PSNR after each layer, and what k layers make of a cube."""
    after, last_next = ([scores.psnr(t, truth) for t in cubes] for cubes in walked)
    K, X = len(last_next), walked[1][k - 1]
    lines = (
        line(range(K + 1), after, "as it stands", 5, "path"),
        line(range(1, K + 1), last_next, "k − 1 layers and the last", 0, "path"),
        line([k], [last_next[k - 1]], "shown", 3, "dots"),
    )
    error = show.array(20 * (X - truth)[0].abs().mean(0))
    pictures = false_colour(Y, truth, SPREAD), false_colour(X, truth, SPREAD), error
    captions = f"noisy: {_db(Y, truth)}", f"{k} layers: {_db(X, truth)}", "20 |error|, mean"
    curves = Curves(lines, "layer k", "PSNR, dB", "PSNR after each layer", alt)
    return Frames(pictures, captions, alt, zoom=3), curves


# The algorithm without learning


@torch.no_grad()
def swept(
    algorithm: Star, Y: Tensor, sigma: float, sweeps: int
) -> tuple[list[Tensor], list[float]]:
    """(cubes, objectives) after 0, …, sweeps sweeps."""
    Y = Y / sigma
    x = algorithm.start(Y, lowrank.basis(Y, 9))
    states = [x]
    for _ in range(sweeps):
        *_, (_, x) = algorithm.sweep(Y, x)
        states.append(x)
    values = [float(algorithm.objective(Y, x)) for x in states]
    return [sigma * lowrank.expand(x.G, x.A) for x in states], values


def sweeps(
    found: tuple[list[Tensor], list[float]], Y: Tensor, truth: Tensor, alt: str
) -> tuple[Any, ...]:
    """The cube after the last sweep; PSNR and objective after each."""
    cubes, values = found
    psnrs = [scores.psnr(X, truth) for X in cubes]
    pictures = tuple(false_colour(t, truth, SPREAD) for t in (truth, Y, cubes[-1]))
    captions = "truth", "noisy", f"{len(cubes) - 1} sweeps: {psnrs[-1]:.2f} dB"
    at = range(len(psnrs))
    return (
        Frames(pictures, captions, alt, zoom=3),
        Curves((line(at, psnrs, "", 0, "path"),), "sweep", "PSNR, dB", alt, "PSNR"),
        Curves((line(at, values, "", 1, "path"),), "sweep", "objective", alt, "Objective"),
    )


# Sparse noise


@torch.no_grad()
def split(net: Any, Y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """(estimate, S) of a STARNetS."""
    b, unit = measured(Y, sigma, net.r, net.window)
    *_, x = net.states(b)
    return unit * net.readout(x), unit * x.S


def sparse_parts(
    found: Mapping[str, Tensor], S: Tensor, truth: Tensor, band: int, alt: str
) -> tuple[Any, ...]:
    """One band of truth, noisy cube and estimates, what S took, and the error of every band."""
    low, high = truth[0, band].aminmax()
    taken = show.array((0.5 + S[0, band] / (high - low).clamp(min=1e-6)).clamp(0, 1))
    rmse = [(t - truth)[0].square().mean((1, 2)).sqrt() for t in found.values()]
    lines = tuple(
        line(range(len(v)), v, n, c) for n, v, c in zip(found, rmse, (5, 1, 2, 0), strict=True)
    )
    told = (f"{n}: {_db(t, truth)}" for n, t in found.items())
    captions = ("truth", *told, "what S took (grey: 0)")
    pictures = (*(band_of(t, truth, band) for t in (truth, *found.values())), taken)
    title = "Error of every band"
    return (
        Frames(pictures, captions, f"band {band} of {alt}", zoom=3),
        Curves(lines, "band", "RMSE", title, title, logy=True),
    )


# A reader's cube


@torch.no_grad()
def blind(method: Any, Y: Tensor, each: bool, stride: int) -> tuple[Tensor, Tensor]:
    """(estimate, the noise's deviation in every band), σ estimated: one, or one a band."""
    levels = lowrank.band_noise(Y)
    unit = levels.clamp(min=0.1 * levels.median())[..., None, None] if each else torch.ones(())
    if isinstance(method, Sweeps):
        method = copy(method)
        method.stride = stride
    sigma = 1.0 if each else float(lowrank.noise_level(Y))
    return unit * denoised(method, Y / unit, sigma), levels


def own(
    Y: Tensor,
    found: tuple[Tensor, Tensor],
    shares: Shares,
    band: int,
    at: tuple[int, int],
    names: Sequence[str],
) -> tuple[Any, ...]:
    """A cube whose truth nobody knows: as it is, denoised, and what was removed.

    names : of the cube and of the method.
    """
    (X, levels), (name, method) = found, names
    removed = (Y - X)[0, band]
    spread = removed.abs().quantile(0.99).clamp(min=1e-9)
    grey = show.array((0.5 + 0.5 * removed / spread).clamp(0, 1))
    colours = false_colour(Y, Y, shares, at), false_colour(X, Y, shares)
    pictures = (*colours, band_of(Y, Y, band), band_of(X, Y, band), grey)
    both = f"band {band}, as it is", f"band {band}, denoised"
    captions = ("as it is", method, *both, f"removed, ± {255 * spread:.2f}/255")
    noise = line(range(levels.shape[1]), 255 * levels[0])
    pixel = {n: t[0, :, at[0], at[1]] for n, t in (("as it is", Y), ("denoised", X))}
    rank = int(lowrank.rank(Y, lowrank.noise_level(Y)))
    size = f"{name}: {Y.shape[2]} × {Y.shape[3]}, {Y.shape[1]} bands"
    return (
        Frames(pictures, captions, name, zoom=max(1, 200 // max(Y.shape[2:]))),
        Curves((noise,), "band", "σ of 255", "Estimated noise", "Estimated noise"),
        spectra(pixel, band, f"Pixel {at}"),
        f"{size}; σ = {255 * float(levels.median()):.2f} of 255; "
        f"{rank} directions hold more than white noise of that σ",
    )


# Tables


def recorded_score(name: str, score: str) -> str:
    """Mean ± half the spread over seeds of the largest recorded recipe, or a dash."""
    form = FORMS[score.partition("_")[0]]
    for recipe in reversed([*EXPERIMENTS[name].recipes, ""]):
        if found := records.values(f"hyperspectral/{name}", score, recipe):
            return tables.summary(found, form)
    return tables.NONE


def report(name: str, title: str, scores: Mapping[str, Any]) -> tuple[Any, ...]:
    """PSNR layer by layer; recorded | yours, one column a level or kind of noise."""
    curves = {n.rpartition("_")[2]: v for n, v in scores.items() if n.startswith("layers")}
    sparse = any(kind in n.split("_") for n in scores for kind in SPARSE)
    columns = [*SPARSE] if sparse else [str(level) for level in evaluation.LEVELS]
    rows: dict[str, dict[str, str]] = {}
    for score, value in scores.items():
        parts = score.split("_")
        if parts[0] not in FORMS or score.startswith("ergas_mse") or not isinstance(value, float):
            continue
        column = next(p for p in parts if p in columns)
        key = " ".join(p for p in parts if p != column)
        yours = FORMS[parts[0]].format(value)
        row = rows.setdefault(key, dict.fromkeys(columns, "–"))
        row[column] = f"{recorded_score(name, score)} | {yours}"
    head = ["recorded | yours", *(c if sparse else f"σ = {c}" for c in columns)]
    body = [[WORDS.get(key, key), *row.values()] for key, row in rows.items()]
    said: Html = show.table(head, body, f"{title}; recorded under hyperspectral/{name}")
    lines = tuple(
        line(range(len(v)), v, f"σ = {n}", i, "path") for i, (n, v) in enumerate(curves.items())
    )
    about = "PSNR after each layer", "On the test part of Indian Pines"
    return (Curves(lines, "layer", "PSNR, dB", *about), said) if lines else (said,)
