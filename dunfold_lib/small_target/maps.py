"""What a network's learned maps make of their images: which are dead, how steep they are."""

from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.small_target import data, theory
from dunfold_lib.small_target.data import Frames
from dunfold_lib.small_target.model import LRPCANet, Network
from dunfold_lib.solvers import jacobian_norm

MARGIN = 30  # pixels: further from the border, zeros around an image do not reach
FLAT = 1e-6  # deviation of a dead map's output: at most
FAINT = 1e-4  # and of its input's


class Activity(NamedTuple):
    """How much a learned map makes of what it is given: deviations over an image's pixels."""

    given: float
    made: float

    @property
    def dead(self) -> bool:
        """Whether what it makes is constant, or 10,000 times flatter than what it was given."""
        return self.made < max(FLAT, FAINT * self.given)


@torch.no_grad()
def activity(net: Network, frames: Frames) -> dict[str, Activity]:
    """``Activity`` of FB1, FT1, …: the largest over the frames, 30 pixels from the border.

    Nearer to the border the zeros around an image make even a constant map vary; in images below 91
    pixels the margin is a third of the side.
    """
    side = min(frames.image.shape[2:])
    rim = min(MARGIN, (side - 1) // 3)
    inside = lambda x: x[..., rim : x.shape[-2] - rim, rim : x.shape[-1] - rim].flatten(1)
    spread = lambda x: float(inside(x.double()).std(1, correction=0).max())
    found: dict[str, Activity] = {}

    def note(name: str, _: Any, given: Any, made: Tensor) -> None:
        found[name] = Activity(spread(given[0]), spread(made))

    learning = net.training
    with ExitStack() as after:
        after.callback(net.train, learning)
        for name, F in net.maps():
            after.enter_context(F.register_forward_hook(partial(note, name)))
        net.eval()(data.images(frames).to(net.eps))
    return found


@checks.door
def dead_maps(net: Network, frames: Frames) -> list[str]:
    """The names, FT1, FN2, …, of the learned maps that ignore their image: ``Activity.dead``.

    A dead map is a constant: its stage then does without it, and most often nothing wakes it, for
    where every ReLU of a layer is 0 no gradient passes.
    """
    return [name for name, a in activity(net, frames).items() if a.dead]


def stage_inputs(net: Network, b: Tensor) -> list[dict[str, Tensor]]:
    """What F_T and F_N of every stage see of images b (batch, 1, h, w)."""
    seen: list[dict[str, Tensor]] = [{} for _ in range(net.K)]

    def note(name: str, k: int, _: Any, given: Any) -> None:
        seen[k][name] = given[0].detach()

    with torch.no_grad(), ExitStack() as after:
        for name in ("FT", "FN"):
            for k, F in enumerate(getattr(net, name, ())):
                after.enter_context(F.register_forward_pre_hook(partial(note, name, k)))
        net(b)
    return seen


def lipschitz(net: Network, b: Tensor, steps: int = 30) -> dict[str, list[float]]:
    """‖J‖ of F_T and F_N at what each stage sees, the largest quotient of pairs, and step · ‖J‖.

    b : (batch, 1, h, w), at least two images: pairs are neighbours in the batch.
    """
    checks.finite("b", b)
    if len(b) < 2:
        raise ValueError(f"b has {len(b)} image; pairs need two at least")
    made: dict[str, list[float]] = {}
    steps_of = {"FT": net.eps} | ({"FN": net.sigma} if isinstance(net, LRPCANet) else {})
    with torch.no_grad():
        for k, seen in enumerate(stage_inputs(net, b)):
            for name, v in seen.items():
                F = getattr(net, name)[k]
                size = jacobian_norm(F, v[:1], steps, torch.Generator().manual_seed(0))
                gap = float(theory.pairwise(F, v[:-1], v[1:]).max())
                step = float(steps_of[name][k].abs())
                rows = {"jacobian": size, "pairs": gap, "step_jacobian": step * size}
                for key, value in rows.items():
                    made.setdefault(f"{key}_{name}", []).append(round(value, 4))
    return made
