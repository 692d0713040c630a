"""How the chapter trains: its recipe, its networks by it, and what they learn from."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from dunfold_lib import checks, fetch, records
from dunfold_lib.imaging import data, masks, model, self_supervised
from dunfold_lib.imaging.denoisers import BoundedDenoiser, Denoiser, LearnedProx
from dunfold_lib.imaging.equilibrium import Equilibrium, Tied, square_loss
from dunfold_lib.imaging.fast import plus_loss
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, start_quietly, symmetric_loss
from dunfold_lib.operators import Blockwise, Fourier, Linear, Sensing
from dunfold_lib.training import ALONE, Context, Loss, Recipe, Sample, begin, fit

Network = ISTANet | ISTANetPlus
STRIDE = 20  # between training patches, in pixels: 11,114 of them from T91, 88,912 with symmetries
PATCH, MOST_NOISE = 40, 50 / 255  # of the denoiser's training
FLOOR = 5 / 255  # its loss weighs an error by 1/(σ² + FLOOR²)


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """How to train one network; its size is part of the recipe.

    data      : images to train on, "wheels" (inside scikit-image) or "T91" (data folder); for MRI
                "head", the volume inside nilearn, or "head+wheels", it and photographs.
    phases, channels : the network's K and its number of features.
    steps, batch, lr, end, clip : as in ``training.Recipe``; a batch counts blocks, or MR slices.
    symmetry  : weight of the symmetry loss.
    quiet     : begin at the linear start (``model.start_quietly``) and not at the paper's weights.
    begin     : or with the weights of another run of this room, ``NAME/RUN``, which may be of
                another ratio: what images have in common is the same.
    precision, compile, cuda_graph : as in ``training.Recipe``, for a GPU.
    """

    data: str = "wheels"
    phases: int = 5
    channels: int = 16
    steps: int = 2500
    batch: int = 16
    lr: float = 2e-3
    symmetry: float = 0.01
    quiet: bool = True
    begin: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("symmetry", self.symmetry, 0)


@fetch.cached(lambda name: [data.data_folder("T91")] if name == "T91" else [])
def training_set(name: str) -> Tensor:
    """Blocks 33×33 of the training images, (patches, 1, 33, 33) in [0, 1]."""
    return data.patches([*data.training_images(name).values()], stride=STRIDE)


@fetch.cached(lambda name: [_covariance_file(name)])
def patch_covariance(name: str) -> Tensor:
    """The covariance of the training blocks: the recorded one, else computed from the images.

    Recorded are its different numbers, in ``results/imaging/covariance-<name>.safetensors``; so a
    network trained on images that a reader does not have still finds its linear start.
    """
    recorded = _recorded(_covariance_file(name))
    return data.covariance(training_set(name)) if recorded is None else recorded


def _covariance_file(name: str) -> Path:
    return records.results_root() / "imaging" / f"covariance-{name}.safetensors"


def _recorded(path: Path) -> Tensor | None:
    """The covariance in a file of ``record_covariance``, or None where there is none."""
    if not path.exists():
        return None
    numbers, _ = records.tensors_of(path, path.read_bytes())
    return data.unpacked(numbers["numbers"].double())


def record_covariance(name: str, C: Tensor | None = None) -> Path:
    """Write the file that ``patch_covariance`` reads; by the name "measured-<ratio>" and with C,
    as ``measured_covariance`` computes it, the one that that reads."""
    path = _covariance_file(name)
    numbers = data.packed(data.covariance(training_set(name)) if C is None else C)
    records.write_bytes(path, records.tensor_bytes({"numbers": numbers.float()}, {}))
    return path


def build(kind: type[Network], ratio: int, recipe: Training, seed: int = 0) -> Network:
    """A network for block sensing at a CS ratio in per cent; seed: of its fresh filters."""
    Phi = data.sensing_matrix(ratio)
    Q = data.linear_start(Phi, patch_covariance(recipe.data))
    net = kind(Sensing(Phi), recipe.phases, recipe.channels, Q, seed)
    if recipe.quiet:
        start_quietly(net)
    return net


def build_mri(kind: type[Network], ratio: int, recipe: Training, seed: int = 0) -> Network:
    """A network for MR slices 256×256, from a radial mask that measures ``ratio`` per cent."""
    net = kind(Fourier(data.radial_mask(ratio)), recipe.phases, recipe.channels, seed=seed)
    if recipe.quiet:
        start_quietly(net)
    return net


def build_constrained(kind: type[Network], ratio: int, recipe: Training, seed: int = 0) -> Network:
    """The same network with steps in (0, 2) and thresholds above zero, as theory has them."""
    net = build(kind, ratio, recipe, seed)
    parametrize.register_parametrization(net, "rho", model.Within(0.0, 2.0))
    parametrize.register_parametrization(net, "theta", model.Within(0.0))
    return net


def sampler(recipe: Training) -> Callable[[int, torch.Generator], Tensor]:
    """Draws truths: (batch, generator) -> blocks or slices, each in one of 8 symmetries."""
    if recipe.data == "head":
        return _drawing(data.head_slices("train"))
    if recipe.data == "head+wheels":
        return _drawing(data.slices_and_photographs())
    return _drawing(training_set(recipe.data))


def _drawing(images: Tensor) -> Callable[[int, torch.Generator], Tensor]:
    """Draws some of these images, each in one of 8 symmetries."""

    def draw(batch: int, g: torch.Generator) -> Tensor:
        return turned(images[torch.randint(len(images), (batch,), generator=g)], g)

    return draw


def turned(images: Tensor, g: torch.Generator) -> Tensor:
    """Images (count, 1, h, w), each in one of the 8 symmetries of the square."""
    turns = torch.randint(8, (len(images),), generator=g).tolist()
    return torch.stack([data.turned(x, k) for x, k in zip(images, turns, strict=True)])


def measured(A: Linear, recipe: Training) -> Sample:
    """Draws pairs (b, truth) by a recipe, on the CPU, wherever the network is."""
    draw, A = sampler(recipe), deepcopy(A).cpu()

    def sample(batch: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        truth = draw(batch, g)
        return A(truth), truth

    return sample


def train(net: Network, recipe: Training, context: Context = ALONE) -> list[float]:
    """Train a network by a recipe; the loss of every step."""
    sample = measured(net.A, recipe)
    if recipe.begin:
        begin(net, f"imaging/{recipe.begin}", context)
    fused = isinstance(net, ISTANetPlus) and context.device == "cpu" and not recipe.compile
    loss = partial(plus_loss if fused else symmetric_loss, weight=recipe.symmetry)
    return fit(net, sample, loss, recipe, context)


@dataclass(frozen=True, kw_only=True)
class Blind(Training):
    """How to train ISTA-Net+ with or without truths; a batch counts crops of four blocks.

    loss  : "supervised"; "consistency", "equivariant", or "sure", which is equivariance with SURE
            in the place of consistency. The last three see measurements alone.
    start : x⁰ = Q b with Q from the covariance of "truths" or from that of "measurements", or Aᵀb,
            the "transpose".
    noise : its deviation in b.  weight : of the equivariance term.
    missing : share of a block's pixels that a fixed mask hides; 0: Phi of the CS ratio instead.
    """

    phases: int = 3
    channels: int = 8
    steps: int = 600
    batch: int = 4
    lr: float = 5e-3
    symmetry: float = 0.0
    loss: str = "supervised"
    start: str = "transpose"
    noise: float = 0.0
    weight: float = 1.0
    missing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("loss", self.loss, ("supervised", "consistency", "equivariant", "sure"))
        checks.one_of("start", self.start, ("truths", "measurements", "transpose"))
        checks.number("noise", self.noise, 0, open_low=self.loss == "sure")
        checks.number("weight", self.weight, 0)
        checks.number("missing", self.missing, 0, 1)
        if self.missing and self.start != "transpose":
            raise ValueError(f"start is {self.start!r}; it must be 'transpose' with a mask")


@fetch.cached(lambda ratio: [_covariance_file(f"measured-{ratio}")])
def measured_covariance(ratio: int) -> Tensor:
    """The covariance of the wheel's training blocks as their measurements at a CS ratio tell it.

    The recorded one, else computed: each block is turned at random and measured once.
    """
    recorded = _recorded(_covariance_file(f"measured-{ratio}"))
    if recorded is not None:
        return recorded
    blocks = turned(training_set("wheels"), torch.Generator().manual_seed(0))
    Phi = data.sensing_matrix(ratio).double()
    b = blocks.flatten(1).double() @ Phi.T
    return self_supervised.stationary_covariance(Phi, b.T @ b / len(b))


def build_blind(ratio: int, recipe: Blind, seed: int = 0) -> ISTANetPlus:
    """An ISTA-Net+ that begins where the recipe says."""
    Phi, Q = data.sensing_matrix(ratio), None
    if recipe.missing:
        Phi = masks.mask_matrix(masks.kept_pixels(recipe.missing))
    if recipe.start != "transpose":
        known = recipe.start == "measurements"
        C = measured_covariance(ratio) if known else patch_covariance(recipe.data)
        Q = data.linear_start(Phi, C)
    net = ISTANetPlus(Sensing(Phi), recipe.phases, recipe.channels, Q, seed)
    if recipe.quiet:
        start_quietly(net)
    return net


def crops(recipe: Blind) -> Callable[[int, torch.Generator], Tensor]:
    """Draws crops of four blocks, (batch, 1, 66, 66), each in one of 8 symmetries."""
    images = [*data.training_images(recipe.data).values()]
    return _drawing(data.patches(images, 2 * data.SIDE, data.SIDE))


def train_blind(net: ISTANetPlus, recipe: Blind, context: Context = ALONE) -> list[float]:
    """Train by the recipe's loss; only "supervised" is ever given a truth."""
    draw, A = crops(recipe), deepcopy(net.A).cpu()
    assert isinstance(A, Sensing)
    whole = Blockwise(A, (2 * data.SIDE, 2 * data.SIDE))

    def sample(batch: int, g: torch.Generator) -> tuple[self_supervised.Drawn, Tensor]:
        truth = draw(batch, g)
        b = whole(truth)
        b = b + recipe.noise * torch.randn(b.shape, generator=g)
        place = torch.randint(data.SIDE + 1, (batch, 4, 2), generator=g)
        turn = torch.randint(8, (batch, 4, 1), generator=g)
        probe = torch.randint(2, b.shape, generator=g).to(b) * 2 - 1
        fresh = torch.randn(b.shape, generator=g)
        drawn = self_supervised.Drawn(b, torch.cat([place, turn], 2), probe, fresh)
        return drawn, truth if recipe.loss == "supervised" else torch.zeros(len(b))

    return fit(net, sample, blind_loss(recipe), recipe, context)


def blind_loss(recipe: Blind) -> Loss:
    plain = {"supervised": self_supervised.supervised, "consistency": self_supervised.alone}
    if recipe.loss in plain:
        return plain[recipe.loss]
    stein = recipe.loss == "sure"
    return partial(
        self_supervised.equivariant, weight=recipe.weight, sigma=recipe.noise, stein=stein
    )


@dataclass(frozen=True, kw_only=True)
class Deep(Training):
    """How to train one layer of a learned prox, at its fixed point or ``phases`` times.

    gamma : of the equilibrium.  side : of its filters, in pixels.
    """

    phases: int = 5
    channels: int = 16
    steps: int = 400
    lr: float = 1e-2
    symmetry: float = 0.0
    side: int = 5
    gamma: float = 0.95


def build_deep(kind: type[Equilibrium] | type[Tied], recipe: Deep, seed: int = 0) -> Any:
    """One layer for block sensing at 25 %, from Q b with the room's Q."""
    Phi = data.sensing_matrix(25)
    Q, c, s = data.linear_start(Phi, patch_covariance(recipe.data)), recipe.channels, recipe.side
    if kind is Tied:
        return Tied(Sensing(Phi), recipe.phases, c, s, Q, seed)
    return Equilibrium(Sensing(Phi), c, s, Q, seed, recipe.gamma)


def train_deep(net: Any, recipe: Deep, context: Context = ALONE) -> list[float]:
    """Train one layer, at its fixed point or unrolled, on blocks of the training images."""
    return fit(net, measured(net.A, recipe), square_loss, recipe, context)


def noisy_patches(batch: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Training pairs of the denoiser (``noisy``), σ uniform up to MOST_NOISE."""
    return noisy(PATCH, lambda u: MOST_NOISE * u, batch, g)


def noisy(
    side: int, level: Callable[[Tensor], Tensor], batch: int, g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Patches and their noisy twins (v, truth); v's second channel is σ = level(u), u uniform."""
    cut = _cut(side)
    x = cut[torch.randint(len(cut), (batch,), generator=g)]
    x = data.turned(x, int(torch.randint(8, (1,), generator=g)))
    sigma = level(torch.rand(batch, 1, 1, 1, generator=g))
    v = x + sigma * torch.randn(x.shape, generator=g)
    return torch.cat([v, sigma.expand_as(v)], 1), x


@cache
def _cut(side: int) -> Tensor:
    return data.patches([*data.training_images("wheels").values()], side, 20)


def denoising_loss(net: Any, v: Tensor, truth: Tensor) -> Tensor:
    """Mean of (D(v, σ) − x*)²/(σ² + FLOOR²): every noise level counts."""
    sigma = v[:, 1:, :1, :1]
    return ((net(v[:, :1], sigma) - truth).square() / (sigma.square() + FLOOR**2)).mean()


def train_denoiser(
    net: Denoiser | BoundedDenoiser | LearnedProx, recipe: Recipe, context: Context = ALONE
) -> list[float]:
    """Train a learned denoiser on the wheel's images; the loss of every step."""
    return fit(net, noisy_patches, denoising_loss, recipe, context)
