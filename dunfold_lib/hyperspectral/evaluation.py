"""How the chapter measures: its test sets, and the scores of networks and of methods on them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import fetch
from dunfold_lib.hyperspectral import data, readers
from dunfold_lib.hyperspectral.classify import classify
from dunfold_lib.hyperspectral.fast import denoise
from dunfold_lib.hyperspectral.model import Sweeps, measured
from dunfold_lib.hyperspectral.scores import psnr, scores
from dunfold_lib.hyperspectral.training import set_to

LEVELS = (10, 30, 50, 70)  # σ of 255
TEST_SEED = 2**31  # noise of the tests comes from this seed plus the run's
SPARSE_SIGMA = 10  # of the white noise below stripes, dead columns and impulses
SHARE = 0.1  # of the labelled pixels a classifier is trained on
Method = Callable[[Tensor, float], Tensor]  # (Y, σ) -> estimate


def measured_on(folder: Path | None = None) -> dict[str, Tensor]:
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
    found = measured_on(folder)

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
def validation(run: Method, kinds: tuple[data.Noise, ...]) -> list[float]:
    """PSNR on the validation part of Indian Pines: what settings are chosen by."""
    cube = data.part("validation")
    return [psnr(run(noised(cube, n, 0), n.sigma / 255), cube) for n in kinds]
