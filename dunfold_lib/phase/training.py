"""How the room trains: its recipe, its networks by it, and a loss that a long flow allows."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.phase import data
from dunfold_lib.phase.algorithm import HEAVY, State
from dunfold_lib.phase.data import Seen
from dunfold_lib.phase.model import FlowNet
from dunfold_lib.training import ALONE, Context, Recipe, fit

STRETCH = 5  # layers that a gradient passes through
SMALL = 1e-4  # squared error below which the loss cares no more: that of a success, 1 %


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """How to train one network.

    layers : K.  width : 1 real, 2 complex signals.  n : numbers of a signal.
    least, most : m/n of a step's draws lies between them, uniformly.
    """

    layers: int = 20
    width: int = 1
    n: int = data.N
    least: float = 1.25
    most: float = 3.0
    steps: int = 200
    batch: int = 16
    lr: float = 0.02
    average: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole("layers", self.layers, 1)
        checks.one_of("width", self.width, data.WIDTHS)
        checks.whole("n", self.n, 1)
        checks.number("least", self.least, 0, open_low=True)
        checks.number("most", self.most, self.least)


def build(recipe: Training, seed: int = 0) -> FlowNet:
    """The untrained network of a recipe; nothing in it is random."""
    return FlowNet(recipe.layers, *HEAVY[recipe.width])


def sample(recipe: Training, batch: int, g: torch.Generator) -> tuple[Seen, Tensor]:
    """A step's signals, each with a matrix of its own, all with one m."""
    delta = recipe.least + (recipe.most - recipe.least) * float(torch.rand(1, generator=g))
    m = max(round(delta * recipe.n), 1)
    return data.draw(batch, m, g, recipe.width, recipe.n)


def loss(width: int, net: Any, b: Seen, truth: Tensor) -> Tensor:
    """Mean log₁₀(‖x − x*‖²/‖x*‖² + SMALL) after every STRETCH layers, up to a phase.

    No gradient passes from one stretch into the one before: through twenty layers of a problem
    that is not convex it would grow without bound.
    """
    s, terms = net.start(b), []
    for k in range(net.K):
        s = net.layer(k, s, b)
        if (k + 1) % STRETCH == 0 or k + 1 == net.K:
            error = data.relative_error(s.x, truth, width).square()
            terms.append((error + SMALL).log10().mean())
            s = State(s.x.detach(), s.before.detach())
    return torch.stack(terms).mean()


def train(net: FlowNet, recipe: Training, context: Context = ALONE) -> list[float]:
    """Train a network by a recipe; the loss of every step."""
    return fit(net, partial(sample, recipe), partial(loss, recipe.width), recipe, context)
