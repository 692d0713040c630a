"""Solutions of the exercises in alista.md, which shows them; alista_cases.py checks them."""

from math import sqrt

import torch
from torch import Tensor

from dunfold_lib.sparse import HyperLISTA, theory


def best_step(mu: float, s: int) -> float:
    """The step g ≥ 0 that minimises (2 mu s - mu) g + |1 - g|."""
    return 1.0 if 2 * mu * s - mu < 1 else 0.0


def leverage_objective(A: Tensor) -> float:
    """The QP's smallest objective ‖WᵀA‖_F², as a sum of inverse leverage scores."""
    scores = (A * torch.linalg.solve(A @ A.T, A)).sum(0)
    return float((1 / scores).sum())


def bound_after(mu: float, s: int, steps: list[float]) -> float:
    """E^K/B of the proof's recursion, for any steps, inside the theorem's range or not."""
    return theory.error_bounds(mu, s, steps, 1.0, len(steps))[-1]


def rms_from_objective(objective: float, n: int) -> float:
    """The off-diagonal root mean square of WᵀA, given ‖WᵀA‖_F² and a diagonal of ones."""
    return sqrt((objective - n) / (n * (n - 1)))


def scales(net: HyperLISTA, b: Tensor, t: float) -> float:
    """The largest difference between the output for t·b and t times that for b, over t."""
    return float((net(t * b) - t * net(b)).detach().abs().max()) / t


def designed(A: Tensor, rounds: int) -> Tensor:
    """A (m, n) of less coherence: the Gram matrix cut at Welch's bound, and back to rank m."""
    m, n = A.shape
    welch = sqrt((n - m) / (m * (n - 1)))
    for _ in range(rounds):
        gram = (A.T @ A).clamp(-welch, welch).fill_diagonal_(1.0)
        values, axes = torch.linalg.eigh(gram)
        A = values[-m:].clamp_min(0).sqrt()[:, None] * axes[:, -m:].T
        A = A / A.norm(dim=0)
    return A
