"""How the chapter trains and measures: the protocol of its tables, shared by every experiment."""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from dunfold_lib import checks, fetch, metrics, records
from dunfold_lib.imaging import data
from dunfold_lib.imaging.fast import on_image, plus_loss, reconstruct
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, start_quietly, symmetric_loss
from dunfold_lib.operators import Blockwise, Fourier, Sensing
from dunfold_lib.training import ALONE, Context, Recipe, fit

Network = ISTANet | ISTANetPlus
STRIDE = 20  # between training patches, in pixels: 11,114 of them from T91, 88,912 with symmetries


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """How to train one network; its size is part of the recipe.

    data      : images to train on, "wheels" (inside scikit-image) or "T91" (data folder); for MRI
                "head", the volume inside nilearn.
    phases, channels : the network's K and its number of features.
    steps, batch, lr, end, clip : as in ``training.Recipe``; a batch counts blocks, or MR slices.
    symmetry  : weight of the symmetry loss.
    quiet     : begin at the linear start (``model.start_quietly``) and not at the paper's weights.
    precision, compile : as in ``training.Recipe``, for a GPU.
    """

    data: str = "wheels"
    phases: int = 5
    channels: int = 16
    steps: int = 2500
    batch: int = 16
    lr: float = 2e-3
    symmetry: float = 0.01
    quiet: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("symmetry", self.symmetry, 0)


@fetch.cached(lambda name: [data.data_folder("T91")] if name == "T91" else [])
def training_patches(name: str) -> Tensor:
    """Blocks 33×33 of the training images, (patches, 1, 33, 33) in [0, 1]."""
    return data.patches([*data.training_images(name).values()], stride=STRIDE)


@fetch.cached(lambda name: [_covariance_file(name)])
def patch_covariance(name: str) -> Tensor:
    """The covariance of the training blocks: the recorded one, else computed from the images.

    Recorded are its different numbers, in ``results/imaging/covariance-<name>.safetensors``; so a
    network trained on images that a reader does not have still finds its linear start.
    """
    path = _covariance_file(name)
    if path.exists():
        numbers, _ = records.tensors_of(path, path.read_bytes())
        return data.unpacked(numbers["numbers"].double())
    return data.covariance(training_patches(name))


def _covariance_file(name: str) -> Path:
    return records.results_root() / "imaging" / f"covariance-{name}.safetensors"


def record_covariance(name: str) -> Path:
    """Write the file that ``patch_covariance`` reads."""
    path = _covariance_file(name)
    numbers = data.packed(data.covariance(training_patches(name)))
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


class Within(nn.Module):
    """Keeps a learned number in (low, high) by a sigmoid, or above low by softplus."""

    def __init__(self, low: float, high: float | None = None):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, free: Tensor) -> Tensor:
        if self.high is None:
            return self.low + functional.softplus(free)
        return self.low + (self.high - self.low) * free.sigmoid()

    def right_inverse(self, value: Tensor) -> Tensor:
        """The free number behind a value."""
        if self.high is None:
            return (value - self.low).clamp(min=1e-6).expm1().log()
        return ((value - self.low) / (self.high - self.low)).logit()


def build_constrained(kind: type[Network], ratio: int, recipe: Training, seed: int = 0) -> Network:
    """The same network with steps in (0, 2) and thresholds above zero, as theory has them."""
    net = build(kind, ratio, recipe, seed)
    parametrize.register_parametrization(net, "rho", Within(0.0, 2.0))
    parametrize.register_parametrization(net, "theta", Within(0.0))
    return net


def sampler(recipe: Training) -> Callable[[int, torch.Generator], Tensor]:
    """Draws truths: (batch, generator) -> blocks or slices, each in one of 8 symmetries."""
    head = recipe.data == "head"
    images = data.head_slices("train") if head else training_patches(recipe.data)

    def draw(batch: int, g: torch.Generator) -> Tensor:
        truth = images[torch.randint(len(images), (batch,), generator=g)]
        turn = torch.randint(8, (batch,), generator=g)
        return torch.stack([data.turned(x, int(k)) for x, k in zip(truth, turn, strict=True)])

    return draw


def train(net: Network, recipe: Training, context: Context = ALONE) -> list[float]:
    """Train a network by a recipe; the loss of every step."""
    draw = sampler(recipe)

    def sample(batch: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        truth = draw(batch, g)
        return A(truth), truth

    A = deepcopy(net.A).cpu()  # batches are drawn on the CPU, wherever the network is
    fused = isinstance(net, ISTANetPlus) and context.device == "cpu" and not recipe.compile
    loss = partial(plus_loss if fused else symmetric_loss, weight=recipe.symmetry)
    return fit(net, sample, loss, recipe, context)


def score(estimate: Tensor, truth: Tensor) -> tuple[float, float]:
    """(PSNR in dB, SSIM) of one image (1, 1, height, width): clipped to [0, 1], not rounded."""
    checks.finite("estimate", estimate)
    shown = estimate.clamp(0, 1)
    return metrics.psnr(shown, truth), metrics.ssim(shown[0, 0], truth[0, 0])


SCORED = "PSNR in dB and SSIM of each image, clipped to [0, 1], not rounded; mean over images"


def scores(
    run: Callable[[Tensor], Tensor], images: Mapping[str, Tensor], ending: str = ""
) -> dict[str, Any]:
    """Means over images of the per-image scores, and the PSNR of each.

    An image of a reader's folder that has no score is left out and named in ``notes``; ``protocol``
    says what was measured.
    """
    brought = images if isinstance(images, fetch.Brought) else None

    def one(item: tuple[str, Tensor]) -> tuple[float, float]:
        try:
            return score(run(item[1]), item[1])
        except ValueError as error:
            raise ValueError(f"image {item[0]}: {error}") from None

    named = {name: (name, image) for name, image in images.items()}
    pairs, notes = fetch.tried(named, one, brought is not None)
    mean = lambda i: sum(p[i] for p in pairs.values()) / len(pairs)
    each = {name: round(p[0], 4) for name, p in pairs.items()}
    made = {f"psnr{ending}": mean(0), f"ssim{ending}": mean(1), f"psnr_each{ending}": each}
    if brought is None:
        return made
    return made | {"protocol": f"{brought.said}; {SCORED}", "notes": notes}


def block_tests(folder: Path | None = None) -> dict[str, dict[str, Tensor]]:
    """Where a compressive-sensing method is measured, by the ending of its scores' names.

    A reader's own folder; or the wheel's test photographs and, where the data folder has it, Set11.
    """
    if folder is not None:
        return {"": data.read_folder(folder)}
    set11 = data.data_folder("Set11")
    found = {"": dict(data.read_folder(set11))} if set11 else {}
    return found | {"_wheels": data.wheel_images("test")}


def mri_tests(folder: Path | None = None) -> dict[str, dict[str, Tensor]]:
    """Where an MR network is measured: a reader's folder; or the head's slices and Brain50."""
    if folder is not None:
        return {"": data.read_folder(folder)}
    brain = data.data_folder("Brain50")
    found = {"": dict(data.read_folder(brain))} if brain else {}
    slices = data.head_slices("test")
    return found | {"_head": {str(i): s[None] for i, s in enumerate(slices)}}


@torch.no_grad()
def measure(
    sets: Callable[[Path | None], dict[str, dict[str, Tensor]]],
    net: Network,
    seed: int,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Scores of a network, of the start it improves on, its steps and thresholds, and its time."""
    net.cpu().eval()
    made: dict[str, Any] = {}
    for ending, images in sets(folder).items():
        made |= scores(partial(reconstruct, net), images, ending)
        made |= scores(partial(started, net), images, f"_start{ending}")
    made = {k: v for k, v in made.items() if not k.startswith("psnr_each_start")}
    made |= {"rho": net.rho.tolist(), "theta": net.theta.tolist()}
    return made | {"image_seconds": image_seconds(net)}


def started(net: Network, image: Tensor) -> Tensor:
    """The image that the first phase begins from."""
    whole = on_image(net.A, image)
    b = whole(image)
    if isinstance(whole, Blockwise):
        return whole.join(net.start(b.flatten(0, 1)))
    return net.start(b)


def image_seconds(net: Network, turns: int = 5) -> dict[str, float]:
    """Seconds for one image of 256×256, the fastest of some turns, by device."""
    image, found = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(0)), {}
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        there, x = net.to(device), image.to(device)
        spent = []
        for _ in range(turns + 1):  # the first one warms up
            begun = time.perf_counter()
            reconstruct(there, x).cpu()
            spent.append(time.perf_counter() - begun)
        found[device] = round(min(spent[1:]), 4)
    net.cpu()
    return found
