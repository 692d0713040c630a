"""How the chapter trains: its recipe, its networks by it, and what they learn from."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks, fetch
from dunfold_lib.datasets import crop
from dunfold_lib.hyperspectral import data, readers
from dunfold_lib.hyperspectral.lowrank import basis, project
from dunfold_lib.hyperspectral.model import (
    Noisy,
    SMDSNet,
    STARNet,
    STARNetPaper,
    STARNetS,
    Sweeps,
    decibels,
    squared,
)
from dunfold_lib.training import ALONE, Context, Loss, Recipe, fit

LOSSES: dict[str, Loss] = {"decibels": decibels, "squared": squared}
MOST = (0.08, 0.25, 0.12)  # largest shares of impulses, stripes and dead columns in training
REPAIRED, AS_IS = "indian-pines-repaired", "indian-pines"
WHEEL = (REPAIRED, AS_IS, "synthetic")
FOLDERS = ("icvl", "cave", "wdc", "paviau")  # below hsi/ of the data folder


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


def training_set(name: str) -> tuple[Tensor, ...]:
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
    cubes, made = training_set(recipe.data), []
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
        cut = torch.cat([crop(d.pair, recipe.patch, g) for d in chosen])
        Y, truth = cut.chunk(2, 1)
        return Noisy(Y.contiguous(), torch.cat([d.A for d in chosen])), truth.contiguous()

    moving = net.procrustes if recipe.whole else 0
    with set_to(net, stride=recipe.stride, procrustes=moving):
        return fit(net, sample, LOSSES[recipe.loss], recipe, context)


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
