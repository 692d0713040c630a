"""How the chapter trains and measures: the protocol of its tables, shared by every experiment."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks, fetch, metrics
from dunfold_lib.hyperspectral import data, readers
from dunfold_lib.hyperspectral.classify import classify
from dunfold_lib.hyperspectral.fast import denoise
from dunfold_lib.hyperspectral.lowrank import basis, project
from dunfold_lib.hyperspectral.model import (
    Noisy,
    SMDSNet,
    STARNet,
    STARNetPaper,
    STARNetS,
    Sweeps,
    decibels,
    measured,
    squared,
)
from dunfold_lib.training import ALONE, Context, Loss, Recipe, fit

LEVELS = (10, 30, 50, 70)  # σ of 255
TEST_SEED = 2**31  # noise of the tests comes from this seed plus the run's
SPARSE_SIGMA = 10  # of the white noise below stripes, dead columns and impulses
SHARE = 0.1  # of the labelled pixels a classifier is trained on
LOSSES: dict[str, Loss] = {"decibels": decibels, "squared": squared}
MOST = (0.08, 0.25, 0.12)  # largest shares of impulses, stripes and dead columns in training
REPAIRED, AS_IS = "indian-pines-repaired", "indian-pines"
WHEEL = (REPAIRED, AS_IS, "synthetic")
FOLDERS = ("icvl", "cave", "wdc", "paviau")  # below hsi/ of the data folder

Method = Callable[[Tensor, float], Tensor]  # (Y, σ) -> estimate


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """How to train one network; its size is part of the recipe.

    data       : columns 0–79 of Indian Pines, "indian-pines-repaired" (``data.repaired``) or, as
                 the damaged file is, "indian-pines"; "synthetic"; or a folder of cubes below hsi/
                 of the data folder: "icvl", "cave", "wdc", "paviau".
    layers     : the network's K.
    thresholds : θ one a "layer" or one an "atom" (not of the paper's layout, which has atoms).
    low, high  : the noise's σ lies between them, of 255; its logarithm is uniform.
    sparse     : impulses, stripes and dead columns are added, each up to a share of ``MOST``.
    whole      : whether the loss sees all bands and A moves in training, or, sooner, the r
                 coordinates of a subspace that stays.
    loss       : "decibels" or "squared".
    draws      : noisy copies of the cubes that crops are cut from.
    patch, stride : side of a crop; stride of the patches in training (tests take 1).
    steps, batch, lr, end, clip, precision, compile : as in ``training.Recipe``; float32 alone.
    """

    data: str = REPAIRED
    layers: int = 6
    thresholds: str = "layer"
    low: float = 5.0
    high: float = 80.0
    sparse: bool = False
    whole: bool = False
    loss: str = "decibels"
    draws: int = 32
    patch: int = 32
    stride: int = 3
    steps: int = 1600
    batch: int = 4
    lr: float = 1e-2
    end: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("data", self.data, (*WHEEL, *FOLDERS))
        checks.one_of("loss", self.loss, tuple(LOSSES))
        checks.one_of("thresholds", self.thresholds, ("layer", "atom"))
        checks.one_of("precision", self.precision, ("no",))
        checks.number("low", self.low, 0, open_low=True)
        checks.number("high", self.high, self.low)
        checks.whole("draws", self.draws, 1)
        for name in ("patch", "layers", "stride"):
            checks.whole(name, getattr(self, name), 1)


def build(kind: type[Sweeps], recipe: Training, **switches: Any) -> Sweeps:
    """A fresh network; its switches are arguments of its class."""
    if kind not in (SMDSNet, STARNet, STARNetS, STARNetPaper):
        raise TypeError(f"kind is {checks.brief(kind)}; it must be a network of this room")
    if kind is not STARNetPaper:
        switches["thresholds"] = recipe.thresholds
    return kind(recipe.layers, **switches)


def training_cubes(name: str) -> tuple[Tensor, ...]:
    """The clean cubes to train on, (1, B, H, W) each."""
    checks.one_of("data", name, (*WHEEL, *FOLDERS))
    if name in (REPAIRED, AS_IS):
        return (data.part("train", name == AS_IS),)
    if name == "synthetic":
        g = torch.Generator().manual_seed(0)
        return tuple(data.synthetic(g) for _ in range(8))
    return tuple(readers.read_folder(fetch.required(f"hsi/{name}")).values())


def drawn_noise(recipe: Training, g: torch.Generator) -> data.Noise:
    """White noise of a random level, and sparse noise of random shares where the recipe has it."""
    uniform = lambda low, high: low + (high - low) * float(torch.rand((), generator=g))
    sigma = math.exp(uniform(math.log(recipe.low), math.log(recipe.high)))
    if not recipe.sparse:
        return data.Noise(sigma)
    kind = int(torch.randint(4, (1,), generator=g))  # one of three kinds, or all of them
    share = lambda i, most: uniform(0, most) if kind in (i, 3) else 0.0
    impulse, stripes, dead = (share(i, most) for i, most in enumerate(MOST))
    return data.Noise(sigma, False, impulse, stripes, dead)


class Draw(NamedTuple):
    """A noisy copy of a cube over its noise level, and what should come out."""

    pair: Tensor  # (1, 2c, H, W): Y and the truth, one after the other
    A: Tensor  # (1, c, r)


def draws(recipe: Training, r: int, window: int, g: torch.Generator) -> list[Draw]:
    """The noisy copies that crops are cut from; bases are those of the whole noisy cubes."""
    cubes, made = training_cubes(recipe.data), []
    for i in range(recipe.draws):
        truth = cubes[i % len(cubes)]
        noise = drawn_noise(recipe, g)
        level = noise.sigma / 255
        Y, X = noise(truth, g) / level, truth / level
        A = basis(Y, r, window)
        if not recipe.whole:
            Y, X, A = project(Y, A), project(X, A), torch.diag_embed(A.any(1).to(A))
        made.append(Draw(torch.cat([Y, X], 1), A))
    return made


def train(net: Sweeps, recipe: Training, context: Context = ALONE) -> list[float]:
    """Train a network by a recipe; the loss of every step."""
    bank = draws(recipe, net.r, net.window, torch.Generator().manual_seed(context.seed))

    def sample(batch: int, g: torch.Generator) -> tuple[Noisy, Tensor]:
        chosen = [bank[int(i)] for i in torch.randint(len(bank), (batch,), generator=g)]
        cut = torch.cat([data.crop(d.pair, recipe.patch, g) for d in chosen])
        Y, truth = cut.chunk(2, 1)
        return Noisy(Y.contiguous(), torch.cat([d.A for d in chosen])), truth.contiguous()

    moving = net.procrustes if recipe.whole else 0
    with set_to(net, stride=recipe.stride, procrustes=moving):
        loss = LOSSES[recipe.loss]
        return fit(net, sample, loss, recipe, context)


@contextmanager
def set_to(net: Sweeps, **values: int) -> Iterator[None]:
    """The network with other attributes, for a while."""
    before = {name: getattr(net, name) for name in values}
    try:
        for name, value in values.items():
            setattr(net, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(net, name, value)


def psnr(estimate: Tensor, truth: Tensor) -> float:
    """Mean over bands of 10 log₁₀(1/MSE) of each, in dB, for cubes (1, B, H, W); not clipped."""
    _cubes(estimate, truth)
    mse = (estimate - truth).double().square().mean((2, 3)).clamp(min=1e-30)
    return float((-10 * mse.log10()).mean())


def ssim(estimate: Tensor, truth: Tensor) -> float:
    """Mean over bands of SSIM in a Gaussian window 11×11 of σ = 1.5, peak 1 (Wang et al. 2004)."""
    from skimage.metrics import structural_similarity

    _cubes(estimate, truth)
    if min(truth.shape[2:]) < 11:
        raise ValueError(f"truth is {tuple(truth.shape[2:])}; both sides must be at least 11")
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    a, b = (t[0].double().cpu().numpy() for t in (truth, estimate))
    return float(structural_similarity(a, b, data_range=1.0, channel_axis=0, **window))


def _cubes(estimate: Tensor, truth: Tensor) -> None:
    checks.finite("estimate", estimate)
    checks.finite("truth", truth)
    if estimate.shape != truth.shape or truth.ndim != 4 or len(truth) != 1:
        given = f"{tuple(estimate.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"estimate and truth have shapes {given}; both must be (1, B, H, W)")


def scores(estimate: Tensor, truth: Tensor, ending: str) -> dict[str, Any]:
    """PSNR in dB, SSIM, SAM in radians, ERGAS (Wald's) and ERGAS of MSE/μ on the scale of 255."""
    found = {"psnr": psnr(estimate, truth), "ssim": ssim(estimate, truth)}
    found |= {"sam": metrics.sam(estimate, truth), "ergas": metrics.ergas(estimate, truth)}
    found["ergas_mse_over_mean"] = metrics.ergas_mse_over_mean(255 * estimate, 255 * truth)
    return {f"{name}_{ending}": value for name, value in found.items()}


def scenes(folder: Path | None = None) -> dict[str, Tensor]:
    """Where a method is measured, by the ending of its scores' names.

    A reader's cubes; or Indian Pines' test part, repaired and (``_as_is``) as the file is, and,
    where the data folder has them, other scenes.
    """
    if folder is not None:
        found = readers.read_folder(folder)
        return fetch.Brought({f"_{name}": cube for name, cube in found.items()}, found.said)
    extra = {f"_{name}": cube for name, cube in readers.extra_scenes().items()}
    return {"": data.part("test"), "_as_is": data.part("test", True), **extra}


SCORED = "PSNR in dB and SSIM as means over bands, SAM in radians, ERGAS (Wald); not clipped"


def noised(cube: Tensor, noise: data.Noise, seed: int) -> Tensor:
    """The test's noise: from the generator of the seed."""
    return noise(cube, torch.Generator().manual_seed(TEST_SEED + seed))


def white(run: Method, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """Scores of a method at every level of white noise, σ known."""
    kinds = {str(level): (data.Noise(level), level) for level in LEVELS}
    return _noised_scores(run, kinds, seed, folder)


def sparse(run: Method, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """Scores of a method for every kind of sparse noise, over white noise of known σ = 10."""
    names = ("impulse", "stripes", "dead", "mixed")
    kinds = {name: (data.NOISES[name], SPARSE_SIGMA) for name in names}
    return _noised_scores(run, kinds, seed, folder)


def _noised_scores(
    run: Method, kinds: Mapping[str, tuple[data.Noise, float]], seed: int, folder: Path | None
) -> dict[str, Any]:
    """Scores by kind of noise and scene; a reader's cube that has none is named and left out."""
    found = scenes(folder)

    def score(item: tuple[str, Tensor]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, (noise, level) in kinds.items():
            Y = noised(item[1], noise, seed)
            made |= scores(run(Y, level / 255), item[1], f"{name}{item[0]}")
        return made

    named = {k.removeprefix("_"): (k, v) for k, v in found.items()}
    each, notes = fetch.tried(named, score, folder is not None)
    made = {key: value for part in each.values() for key, value in part.items()}
    if not isinstance(found, fetch.Brought):
        return made
    noises = f"noise {', '.join(kinds)} of 255" if "10" in kinds else f"noise: {', '.join(kinds)}"
    said = f"{found.said}; {noises}, σ of the white part known; {SCORED}"
    return made | {"protocol": said, "notes": notes}


def classes(run: Method, seed: int) -> dict[str, Any]:
    """Accuracy and κ of a classifier on Indian Pines from column 81, denoised at every level."""
    cut = (..., slice(data.TRAIN_COLUMNS + 1, None))
    cube, truth = data.indian_pines()[cut], data.labels()[cut]
    made: dict[str, Any] = {}
    for level in LEVELS:
        estimate = run(noised(cube, data.Noise(level), seed), level / 255)
        found = classify(estimate, truth, SHARE, torch.Generator().manual_seed(seed))
        made |= {f"accuracy_{level}": found.accuracy, f"kappa_{level}": found.kappa}
    return made


@torch.no_grad()
def measure(net: Sweeps, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """Scores of a network at stride 1 for white noise: σ known, and blind; and layer by layer.

    ``fixed`` are those with A as it was estimated, for a network that updates it.
    """
    net.cpu().eval()
    net.stride = 1
    made = white(lambda Y, sigma: denoise(net, Y, sigma), seed, folder)
    if folder is not None:
        return made
    test = data.part("test")
    for level in LEVELS:
        Y = noised(test, data.Noise(level), seed)
        made[f"psnr_blind_{level}"] = psnr(denoise(net, Y), test)
        b, sigma = measured(Y, level / 255, net.r, net.window)
        made[f"layers_{level}"] = [round(psnr(sigma * x, test), 4) for x in net.iterates(b)]
        if net.procrustes:
            with set_to(net, procrustes=0):
                made[f"psnr_fixed_{level}"] = psnr(denoise(net, Y, level / 255), test)
    return made | classes(lambda Y, sigma: denoise(net, Y, sigma), seed)


@torch.no_grad()
def measure_sparse(net: Sweeps, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """Scores of a network at stride 1 for sparse noise, σ of the white part known."""
    net.cpu().eval()
    net.stride = 1
    return sparse(lambda Y, sigma: denoise(net, Y, sigma), seed, folder)


def noisy(Y: Tensor, sigma: float) -> Tensor:
    """No method: the noisy cube."""
    return Y


@torch.no_grad()
def measure_method(run: Method, net: None, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """Scores of a method that learns nothing, for white noise."""
    made = white(run, seed, folder)
    return made if folder else made | classes(run, seed)


@torch.no_grad()
def measure_method_sparse(
    run: Method, net: None, seed: int, folder: Path | None = None
) -> dict[str, Any]:
    """Scores of a method that learns nothing, for sparse noise."""
    return sparse(run, seed, folder)


@torch.no_grad()
def validation(run: Method, kinds: tuple[data.Noise, ...], seed: int = 0) -> list[float]:
    """PSNR on the validation part of Indian Pines: what settings are chosen by."""
    cube = data.part("validation")
    return [psnr(run(noised(cube, n, seed), n.sigma / 255), cube) for n in kinds]
