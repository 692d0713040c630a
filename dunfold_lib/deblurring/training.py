"""How the room trains: its recipe, its networks by it."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.deblurring import data
from dunfold_lib.deblurring.model import PrimalDualNet
from dunfold_lib.training import ALONE, Context, Recipe, fit


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """How to train one network; its size is part of the recipe.

    layers, pairs, width : K, learned pairs of filters and features of the residual a layer.
    data : images to train on: "wheels" (inside scikit-image).
    """

    data: str = "wheels"
    layers: int = 6
    pairs: int = 0
    width: int = 0
    steps: int = 400
    batch: int = 4
    lr: float = 5e-3
    average: float = 0.98

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("data", self.data, ["wheels"])
        checks.whole("layers", self.layers, 1)
        checks.whole("pairs", self.pairs)
        checks.whole("width", self.width)


def build(recipe: Training, seed: int = 0) -> PrimalDualNet:
    """The untrained network of a recipe; seed: of its fresh filters."""
    return PrimalDualNet(recipe.layers, recipe.pairs, recipe.width, seed)


def loss(net: Any, b: Tensor, truth: Tensor) -> Tensor:
    """Minus the PSNR of the last layer in dB, mean over the crops: each counts alike."""
    return 10 * (net(b) - truth).square().mean((1, 2, 3)).clamp_min(1e-8).log10().mean()


def train(net: PrimalDualNet, recipe: Training, context: Context = ALONE) -> list[float]:
    """Train a network by a recipe; the loss of every step."""
    return fit(net, data.draw, loss, recipe, context)
