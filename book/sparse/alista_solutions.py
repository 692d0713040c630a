"""Solutions of the exercises in alista.md; tests/test_solutions.py checks them."""

import torch
from torch import Tensor


def best_step(mu: float, s: int) -> float:
    """The step that minimises (2 mu s - mu) g + |1 - g|: 1 if the slope before it is negative."""
    return 1.0 if 2 * mu * s - mu < 1 else 0.0


def leverage_objective(A: Tensor) -> float:
    """The QP's smallest objective ‖WᵀA‖_F², as a sum of inverse leverage scores."""
    scores = (A * torch.linalg.solve(A @ A.T, A)).sum(0)
    return float((1 / scores).sum())
