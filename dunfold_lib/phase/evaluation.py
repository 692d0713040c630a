"""How the room measures: success over oversampling on fresh signals and matrices."""

from typing import Any

import torch
from torch import Tensor

from dunfold_lib.phase import data
from dunfold_lib.phase.algorithm import HEAVY, Constants, State, flow, settled, spectral, step
from dunfold_lib.phase.data import Seen
from dunfold_lib.phase.model import FlowNet

K = 20  # layers of the networks, and steps of the flows that they are compared with
MORE = 180  # steps after those, to see where each would end
DELTAS = (1.0, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 6.0)  # m/n
TRIALS = {1: 64, 2: 48}  # signals of a test set at each m/n, by width
CHUNK = 16  # of them at a time: what the cache holds
SUCCESS = 1e-2  # the largest relative error, up to a phase


def test_signals(delta: float, width: int, seed: int) -> list[tuple[Seen, Tensor]]:
    """The test set of a run at one m/n, in chunks; nothing else draws from its seed."""
    g = torch.Generator().manual_seed(2**31 + 1000 * seed + round(100 * delta))
    m = round(delta * data.N)
    return [data.draw(CHUNK, m, g, width) for _ in range(TRIALS[width] // CHUNK)]


@torch.no_grad()
def measure(
    net: FlowNet | None, seed: int = 0, width: int = 1, constants: Constants | None = None
) -> dict[str, Any]:
    """Scores of a network, or where there is none of a flow with constants, HEAVY by default.

    success : share of the test set at each m/n of DELTAS with an error up to SUCCESS, after K steps
    or layers; solved : after MORE steps besides (``settled``), a network's by its own flow.
    delta_50, delta_95 : the m/n from which half, and 95 %, succeed (``reached``); so *_solved.
    """
    constants = constants or HEAVY[width]
    found: dict[str, list[float]] = {"success": [], "solved": [], "error": []}
    for delta in DELTAS:
        errors = [
            torch.stack(_errors(net, width, constants, *chunk))
            for chunk in test_signals(delta, width, seed)
        ]
        first, last = torch.cat(errors, 1)
        found["success"].append(float((first <= SUCCESS).double().mean()))
        found["solved"].append(float((last <= SUCCESS).double().mean()))
        found["error"].append(float(first.median()))
    made: dict[str, Any] = dict(found)
    for share, name in ((0.5, "50"), (0.95, "95")):
        made[f"delta_{name}"] = reached(found["success"], share)
        made[f"delta_{name}_solved"] = reached(found["solved"], share)
    if net is not None:
        made |= {name: getattr(net, name).tolist() for name in ("t", "eta", "beta")}
    return made


def _errors(
    net: FlowNet | None, width: int, constants: Constants, b: Seen, truth: Tensor
) -> tuple[Tensor, Tensor]:
    """Relative errors after K steps or layers, and after MORE steps, or once all succeed."""
    x0 = spectral(b)
    x = net.cpu().eval()(b) if net is not None else flow(b, K, *constants, start=x0)[-1]
    first = data.relative_error(x, truth, width)
    s = State(x, x)
    for k in range(MORE):
        if k % K == 0 and bool((data.relative_error(s.x, truth, width) <= SUCCESS).all()):
            break
        s = step(b, s, *settled(constants))
    return first, data.relative_error(s.x, truth, width)


def reached(shares: list[float], wanted: float) -> float:
    """The m/n from which on all shares are at least ``wanted``, linear between DELTAS; or NaN."""
    low = [i for i, share in enumerate(shares) if share < wanted]
    last = low[-1] if low else -1
    if last + 1 == len(shares):
        return float("nan")
    if last < 0:
        return DELTAS[0]
    a, b = shares[last], shares[last + 1]
    return DELTAS[last] + (wanted - a) / (b - a) * (DELTAS[last + 1] - DELTAS[last])


# The flows' constants are chosen here, as well as one can for K steps
GRID = [
    Constants(rate * (1 + eta), eta, beta)
    for eta in (1.0, 2.0, 3.0)
    for rate in (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
    for beta in (0.0, 0.5, 0.6, 0.7)
]
HARD = {1: (1.75, 2.25), 2: (3.25, 3.75)}  # m/n of the validation draws, by width
VALIDATION = 32  # signals at each


@torch.no_grad()
def tune(width: int) -> dict[str, Constants]:
    """The best of GRID for K steps, without momentum ("reweighted") and with it ("heavy").

    Best: the most successes on VALIDATION signals at each of HARD; of equals the least mean
    logarithm of the error.
    """
    g = torch.Generator().manual_seed(2**30)
    drawn = [data.draw(VALIDATION, round(delta * data.N), g, width) for delta in HARD[width]]
    seen = [(b, truth, spectral(b)) for b, truth in drawn]

    def score(c: Constants) -> tuple[float, float]:
        ends = [(flow(b, K, *c, start=x)[-1], truth) for b, truth, x in seen]
        errors = torch.cat([data.relative_error(x, truth, width) for x, truth in ends])
        errors = errors.nan_to_num(1e3, 1e3)
        return float((errors <= SUCCESS).sum()), -float(errors.log10().mean())

    still, moving = ([c for c in GRID if bool(c.beta) == heavy] for heavy in (False, True))
    return {"reweighted": max(still, key=score), "heavy": max(moving, key=score)}
