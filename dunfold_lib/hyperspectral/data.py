"""Cubes: Indian Pines and its parts, cubes made up, and noise of every kind.

A cube is (1, B, H, W) with values in [0, 1], its largest value 1. Noise levels are in units of
1/255 of that. Folders of cubes that a reader brings are read by ``readers``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import checks, fetch
from dunfold_lib.datasets import cells

LABELS = "Indian_pines_gt.npy"
TRAIN_COLUMNS = 80  # columns 0–79 are trained on
TEST_ROWS = (16, 112)  # of the columns after those; the rows around are for validation


class Repair(NamedTuple):
    """A file of whole numbers (H, W, B) whose bytes 13 have all become bytes 10, and its repair.

    values   : the file's, 768 higher where ``raised``.
    doubtful : upper byte 10: right, or 768 = 256·(13 − 10) too low; the bands decide, not the file.
    raised   : of those, what was found too low.
    lower    : lower byte 10: right, or 3 too low. Nothing can tell; it stays as it is.
    """

    values: np.ndarray
    doubtful: np.ndarray
    raised: np.ndarray
    lower: np.ndarray


@checks.door
def repaired(stored: np.ndarray) -> Repair:
    """What a file of 16-bit numbers (H, W, B) held before it was treated as text.

    A carriage return (byte 13) became a line feed (10), so 3328…3583 read 768 lower: ``too_low``
    finds them. A file that has a byte 13, upper or lower, is not damaged in this way: nothing in it
    is doubtful, and it stays as it is.
    """
    if stored.ndim != 3 or 0 in stored.shape or stored.dtype.kind not in "ui":
        given = f"{stored.dtype} {stored.shape}"
        raise ValueError(f"stored is {given}; it must be whole numbers (height, width, bands)")
    upper, lower = np.divmod(stored.astype(np.int64), 256)
    damaged = not ((upper == 13) | (lower == 13)).any()
    doubtful, low = (upper == 10) & damaged, (lower == 10) & damaged
    raised = too_low(stored, doubtful)
    values = np.where(raised, stored + 768, stored).astype(stored.dtype)
    return Repair(values, doubtful, raised, low)


@checks.door
def too_low(stored: np.ndarray, doubtful: np.ndarray, r: int = 4, rounds: int = 8) -> np.ndarray:
    """Which of the doubtful values v of (H, W, B) are nearer to v + 768 than to v, by the others.

    The doubtful ones are taken for missing, and filled in from a subspace of ``r`` spectra,
    ``rounds`` times.
    """
    if not doubtful.any():
        return np.zeros_like(doubtful)
    filled = _filled(stored, doubtful, min(r, stored.shape[2]), rounds)
    return doubtful & (np.abs(stored + 768.0 - filled) < np.abs(stored - filled))


def _filled(stored: np.ndarray, missing: np.ndarray, r: int, rounds: int) -> np.ndarray:
    """A cube (H, W, B) whose missing entries are those of a subspace of r spectra."""
    x = stored.reshape(-1, stored.shape[2]).astype(np.float64)
    gap = missing.reshape(x.shape)
    known = (~gap).sum(0)
    x[gap] = np.broadcast_to(x.sum(0, where=~gap) / np.maximum(known, 1), x.shape)[gap]
    for _ in range(rounds):
        A = np.linalg.eigh(x.T @ x)[1][:, -r:]
        x[gap] = (x @ A @ A.T)[gap]
    return x.reshape(stored.shape)


def indian_pines(as_is: bool = False) -> Tensor:
    """Indian Pines (AVIRIS; Baumgardner et al. 2015), (1, 200, 145, 145), over its largest value.

    Inside tensorly's wheel (extra ``book``), or in ``hsi`` of the data folder; ``repaired``, which
    leaves a sound file alone, or as it is in the file.
    """
    path = fetch.indian_pines()
    return _pines(path, path.stat().st_mtime_ns, as_is).clone()


@lru_cache(maxsize=4)
def _pines(path: Path, changed: int, as_is: bool) -> Tensor:
    """``indian_pines`` of a file that was last changed then."""
    held = fetch.array(path)
    whole = held.ndim == 3 and held.dtype.kind in "ui" and 0 not in held.shape
    return scaled(repaired(held).values if whole and not as_is else held, str(path))


def _labels() -> Path:
    beside = fetch.indian_pines().with_name(LABELS)
    inside = f"datasets/data/{LABELS}"
    return beside if beside.is_file() else fetch.in_package("tensorly", inside, LABELS, "data")


@fetch.cached(lambda: [_labels()])
def labels() -> Tensor:
    """The ground truth of Indian Pines, (145, 145): 16 classes from 1; 0 where none is known."""
    path = _labels()
    held = fetch.array(path)
    if held.ndim != 2 or not np.issubdtype(held.dtype, np.integer) or held.min() < 0:
        raise ValueError(f"{path} holds {held.dtype} {held.shape}; it must hold whole numbers ≥ 0")
    return torch.from_numpy(held.astype(np.int64))


@checks.door
def scaled(a: np.ndarray, name: str) -> Tensor:
    """An array (H, W, B) over its largest value, as a cube (1, B, H, W)."""
    if a.ndim != 3 or 0 in a.shape:
        raise ValueError(f"{name} has shape {a.shape}; it must be (height, width, bands)")
    if a.dtype.kind not in "uif":
        raise TypeError(f"{name} has dtype {a.dtype}; it must be whole or floating-point numbers")
    if not np.isfinite(a).all() or a.max() <= 0:
        raise ValueError(f"{name} holds NaN, infinity or nothing above 0; it cannot be scaled")
    planes = np.moveaxis(a / a.max(), 2, 0)
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))[None]


def part(name: str, as_is: bool = False) -> Tensor:
    """A part of Indian Pines, repaired or as it is, that shares no pixel with the others.

    "train": columns 0–79 (145 × 80); "test": rows 16–111 of columns 81–144 (96 × 64);
    "validation": what is above and below that, one set under the other (16 + 33 = 49 × 64).
    """
    cube, (top, end) = indian_pines(as_is), TEST_ROWS
    right = cube[..., TRAIN_COLUMNS + 1 :]
    cut = {
        "train": cube[..., :TRAIN_COLUMNS],
        "test": right[:, :, top:end],
        "validation": torch.cat([right[:, :, :top], right[:, :, end:]], 2),
    }
    checks.one_of("part", name, cut)
    return cut[name].contiguous()


@checks.door
def synthetic(
    g: torch.Generator, size: tuple[int, int] = (48, 48), bands: int = 60, materials: int = 5
) -> Tensor:
    """A made-up cube (1, bands, *size) of rank ``materials``: smooth spectra, mixed in polygons.

    A spectrum is a sum of three Gaussian bumps over a constant. Every cell around a random site has
    one mixture of the materials, which varies a little inside it, smoothly.
    """
    checks.size("size", size)
    checks.whole("bands", bands, 1)
    checks.whole("materials", materials, 1)
    rand = lambda *shape: torch.rand(*shape, generator=g)
    at = torch.linspace(0, 1, bands)
    centre, width = rand(materials, 3, 1), 0.05 + 0.2 * rand(materials, 3, 1)
    bumps = rand(materials, 3, 1) * (-((at - centre) ** 2) / width**2).exp()
    spectra = 0.1 + bumps.sum(1)  # (materials, bands)
    y, x = torch.meshgrid(*(torch.linspace(0, 1, n) for n in size), indexing="ij")
    sites = rand(4 * materials, 2)
    cell = cells(y, x, sites)
    share = rand(4 * materials, materials).pow(4)[cell]  # one material leads in most cells
    down, across = (4 * rand(materials) for _ in range(2))
    waves = (y[..., None] * down + x[..., None] * across + 6 * rand(materials)).sin()
    share = share * (1 + 0.2 * waves)
    cube = torch.einsum("hwm,mb->bhw", share / share.sum(-1, keepdim=True), spectra)[None]
    return cube / cube.max()


@checks.door
@dataclass(frozen=True)
class Noise:
    """How a cube is spoilt; everything but the first two is sparse.

    sigma    : deviation of white Gaussian noise, of 255.
    varying  : each band's deviation is drawn anew, uniformly below ``sigma``.
    impulse  : share of all entries that become 0 or 1, half each.
    stripes  : share of the columns of a spoilt band to which a constant from ±[0.1, 0.3] is added.
    dead     : share of the columns of a spoilt band that become 0.
    bands    : share of the bands that have stripes or dead columns.
    """

    sigma: float = 0.0
    varying: bool = False
    impulse: float = 0.0
    stripes: float = 0.0
    dead: float = 0.0
    bands: float = 0.3

    def __post_init__(self) -> None:
        checks.number("sigma", self.sigma, 0)
        if not isinstance(self.varying, bool):
            raise TypeError(f"varying is {checks.brief(self.varying)}; it must be True or False")
        for field in fields(self)[2:]:
            checks.number(field.name, getattr(self, field.name), 0, 1)

    @checks.door
    def __call__(self, truth: Tensor, g: torch.Generator) -> Tensor:
        """A noisy copy of cubes (N, B, H, W), not clipped; drawn on the CPU."""
        checks.finite("truth", truth)
        checks.shaped("truth", truth, ("batch", "B", "H", "W"))
        N, B, H, W = truth.shape
        rand = lambda *shape: torch.rand(*shape, generator=g, dtype=truth.dtype)
        deviation = self.sigma / 255 * (rand(N, B, 1, 1) if self.varying else 1)
        Y = truth + deviation * torch.randn(truth.shape, generator=g, dtype=truth.dtype)
        if self.stripes:
            here = self._columns(rand, (N, B, 1, W), self.stripes)
            sign = torch.where(rand(N, B, 1, W) < 0.5, -1.0, 1.0)
            Y = Y + here * sign * (0.1 + 0.2 * rand(N, B, 1, W))
        if self.dead:
            Y = Y.masked_fill(self._columns(rand, (N, B, 1, W), self.dead), 0.0)
        if self.impulse:
            drawn = rand(N, B, H, W)
            Y = Y.masked_fill(drawn < self.impulse / 2, 0.0)
            Y = Y.masked_fill(drawn > 1 - self.impulse / 2, 1.0)
        return Y

    def _columns(self, rand: Callable[..., Tensor], shape: tuple[int, ...], share: float) -> Tensor:
        """Which columns of which bands are spoilt, (N, B, 1, W)."""
        return (rand(*shape) < share) & (rand(shape[0], shape[1], 1, 1) < self.bands)


NOISES: Mapping[str, Noise] = {
    "bands": Noise(50, varying=True),
    "impulse": Noise(10, impulse=0.05),
    "stripes": Noise(10, stripes=0.2),
    "dead": Noise(10, dead=0.1),
    "mixed": Noise(10, impulse=0.02, stripes=0.1, dead=0.05),
}
