"""How the chapter measures: the protocol of its tables, shared by every experiment."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dunfold_lib.metrics import nmse_db, nmse_db_median
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.model import LISTA

TEST_SEED = 2**31  # test signals come from this seed plus the run's; training and tuning never do
TEST_SIZE = 1000
SHIFTS: dict[str, dict[str, Any]] = {  # a network meets signals it was not trained for
    "p 0.15": {"p": 0.15},
    "p 0.2": {"p": 0.2},
    "amplitude 0.1": {"amplitude": 0.1},
    "amplitude 10": {"amplitude": 10.0},
    "SNR 40 dB": {"snr_db": 40.0},
    "SNR 20 dB": {"snr_db": 20.0},
}


def test_signals(problem: SparseProblem, seed: int) -> tuple[Tensor, Tensor]:
    """The test set of a run."""
    g = torch.Generator().manual_seed(TEST_SEED + seed)
    return problem.sample(problem.operator(), TEST_SIZE, g)


def measure_method(
    solver: Callable[..., list[Tensor]],
    lam: float,
    K: int,
    problem: SparseProblem,
    net: None,
    seed: int,
) -> dict[str, Any]:
    """Scores of K steps of a classical solver."""
    A = problem.operator()
    return _scores(lambda b: solver(A, b, lam, K), problem, seed)


@torch.no_grad()
def measure(problem: SparseProblem, net: Any, seed: int) -> dict[str, Any]:
    """Scores of a network, its thresholds and steps, and a LISTA's distance from coupling."""
    net.cpu().eval()
    scores = _scores(net.iterates, problem, seed)
    for name in ("theta", "gamma", "c"):
        if hasattr(net, name):
            scores[name] = getattr(net, name).tolist()
    if isinstance(net, LISTA):
        eye = torch.eye(net.A.A.shape[1])
        coupling = [W2 - eye + W1 @ net.A.A for W1, W2 in zip(net.W1, net.W2, strict=True)]
        scores["coupling"] = [float(torch.linalg.matrix_norm(M, 2)) for M in coupling]
    return scores


def _scores(
    run: Callable[[Tensor], list[Tensor]], problem: SparseProblem, seed: int
) -> dict[str, Any]:
    b, truth = test_signals(problem, seed)
    xs = run(b)
    scores: dict[str, Any] = {
        "nmse_db": nmse_db(xs[-1], truth),
        "nmse_db_median": nmse_db_median(xs[-1], truth),
        "nmse_db_per_layer": [nmse_db(x, truth) for x in xs],
    }
    if problem.snr_db == math.inf and not problem.condition and problem.m == 250:
        scores["shift"] = {}
        for name, change in SHIFTS.items():
            b, truth = test_signals(replace(problem, **change), seed)
            scores["shift"][name] = nmse_db(run(b)[-1], truth)
    return scores
