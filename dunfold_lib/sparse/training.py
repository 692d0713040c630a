"""How the chapter trains: its three kinds of recipe, and by each of them."""

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dunfold_lib import checks
from dunfold_lib.checkpoints import Checkpoint, Parts
from dunfold_lib.engine import Average
from dunfold_lib.processes import processes, total
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.model import HyperLISTA
from dunfold_lib.training import ALONE, Context, Recipe, Sample, fit, grow, signals_wait

# HyperLISTA's search begins at these numbers, and with one of them half as large again
SIMPLEX = np.array([0.01, 0.001, 0.02]) * (1 + 0.5 * np.eye(4, 3, -1))


@dataclass(frozen=True)
class Growth:
    """Stage by stage (``training.grow``) on the batch's NMSE in dB, then all layers together.

    stage_steps : steps for each of the K stages.  finish_steps, finish_lr : of the last stage.
    """

    stage_steps: int = 100
    finish_steps: int = 400
    batch: int = 64
    lr: float = 1e-3
    finish_lr: float = 3e-4
    clip: float = 1.0

    def __post_init__(self) -> None:
        checks.whole("stage_steps", self.stage_steps, 0)
        checks.whole("finish_steps", self.finish_steps, 0)
        checks.number("finish_lr", self.finish_lr, 0, open_low=True)
        self.stage()

    def stage(self) -> Recipe:
        """The recipe of each stage."""
        steps, batch, lr, clip = self.stage_steps, self.batch, self.lr, self.clip
        return Recipe(steps=steps, batch=batch, lr=lr, end=0.05, clip=clip)

    def finish(self) -> Recipe:
        """The recipe of the last stage, all layers together."""
        return replace(self.stage(), steps=self.finish_steps, lr=self.finish_lr, end=0.0)


@dataclass(frozen=True, kw_only=True)
class EndToEnd(Recipe):
    """All layers at once from the start, on the mean square error, or on NMSE in dB if ``log``."""

    log: bool = False


@dataclass(frozen=True)
class Search:
    """Nelder–Mead on a network's few numbers, no gradients; NMSE in dB on fresh training signals.

    evaluations : forward passes.  signals : in the training set; a few dense ones decide the
    score, and a small set has none of them.
    """

    evaluations: int = 60
    signals: int = 1500


def batch_db(depth: int, net: Any, b: Tensor, truth: Tensor) -> Tensor:
    """NMSE of a batch in dB, a ratio of sums, after ``depth`` layers: a recipe's loss."""
    *_, state = net.states(b, depth)
    error = total((net.readout(state) - truth).square().sum())
    return 10 * (error / total(truth.square().sum())).log10()


def mean_square(net: nn.Module, b: Tensor, truth: Tensor) -> Tensor:
    """Mean of (x − x*)² over entries."""
    return (net(b) - truth).square().mean()


def train(
    problem: SparseProblem, net: Any, recipe: Growth | EndToEnd | Search, context: Context = ALONE
) -> list[float]:
    """Train a network by a recipe of any of the three kinds; the loss of every step."""
    A = problem.operator()
    sample = lambda batch, g: problem.sample(A, batch, g)
    if isinstance(recipe, Search):
        return search(net, sample, recipe, context)
    if isinstance(recipe, EndToEnd):
        loss = partial(batch_db, net.K) if recipe.log else mean_square
        return fit(net, sample, loss, recipe, context)
    at = lambda depth: partial(batch_db, depth)
    stage, finish = recipe.stage(), recipe.finish()
    return grow(net, sample, at, stage, finish, replace(context, origin=context.of(recipe)))


def steps(recipe: Growth | EndToEnd | Search, K: int) -> int:
    """How many losses a recipe gives."""
    if isinstance(recipe, Search):
        return recipe.evaluations
    if isinstance(recipe, EndToEnd):
        return recipe.steps
    return K * recipe.stage_steps + recipe.finish_steps


@torch.no_grad()
def search(
    net: HyperLISTA, sample: Sample, recipe: Search, context: Context = ALONE
) -> list[float]:
    """Tune ``net.c`` in place by Nelder–Mead from a start on the scale of the problem.

    A run that goes on takes the losses that it knows from its checkpoint.
    """
    from scipy.optimize import minimize

    checks.whole("signals", recipe.signals, 1)
    checks.whole("evaluations", recipe.evaluations, 4)
    g = torch.Generator().manual_seed(context.seed)
    adam = torch.optim.Adam(net.cpu().parameters())  # has no state: nothing follows a gradient
    parts = Parts(net, adam, g, Average(net, 0))
    run = Checkpoint(context.folder, context.of(recipe), parts, processes())
    known = run.resume()
    b, truth = sample(recipe.signals, g.manual_seed(context.seed))
    losses: list[float] = []

    def loss(c: Any) -> float:
        again = len(losses) < len(known)
        net.c.copy_(torch.as_tensor(c))
        value = known[len(losses)] if again else float(batch_db(net.K, net, b, truth))
        losses.append(value if math.isfinite(value) else 100.0)
        if not again:
            run.after(losses, finished=False, stopped=bool(came) or bool(context.watch))
            if context.watch:
                context.watch(len(losses) - 1, losses[-1])
        if came:
            raise StopIteration
        return losses[-1]

    options = {"maxfev": recipe.evaluations, "initial_simplex": SIMPLEX}
    with signals_wait() as came, suppress(StopIteration):
        best = minimize(loss, SIMPLEX[0], method="Nelder-Mead", options=options)
    net.c.copy_(torch.as_tensor(best.x))
    if len(losses) > len(known):
        run.after(losses, finished=True, stopped=False)
    return losses[: recipe.evaluations]
