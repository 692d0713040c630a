"""What the chapter proves about ISTA and FISTA, as functions that a figure and a test can call."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dunfold_lib import checks


def ista_bound(L: float, distance: float, k: int) -> float:
    """F(xᵏ) − F* ≤ L‖x⁰ − x̂‖²/(2k), for k ≥ 1 (Beck & Teboulle 2009, theorem 3.1)."""
    checks.whole("k", k, 1)
    return L * distance**2 / (2 * k)


def fista_bound(L: float, distance: float, k: int) -> float:
    """F(xᵏ) − F* ≤ 2L‖x⁰ − x̂‖²/(k + 1)², for k ≥ 1 (Beck & Teboulle 2009, theorem 4.4)."""
    checks.whole("k", k, 1)
    return 2 * L * distance**2 / (k + 1) ** 2


def identification(xs: Sequence[Tensor]) -> int:
    """The first k from which the signs of one signal's iterates (1, n) no longer change."""
    last = xs[-1].sign()
    changed = [k for k, x in enumerate(xs) if not bool((x.sign() == last).all())]
    return changed[-1] + 1 if changed else 0


def local_rate(A: Tensor, support: Tensor, L: float) -> float:
    """1 − σ_min(A_S)²/L: the factor by which ISTA shrinks ‖xᵏ − x̂‖ once the signs are right.

    A : (m, n).  support : (n,) bool, the non-zeros of x̂.
    """
    if not bool(support.any()):
        return 0.0
    columns = A[:, support]
    if columns.shape[1] > columns.shape[0]:
        return 1.0  # A_S has a null space
    return 1 - float(torch.linalg.svdvals(columns)[-1]) ** 2 / L


def bias_direction(A: Tensor, x_star: Tensor) -> Tensor:
    """d (n,) with x̂(λ) = x* − λ d for every small λ > 0, where b = A x* without noise.

    d = (A_SᵀA_S)⁻¹ sign(x*_S) on the support S of x*, zero elsewhere. Holds while λ|d_i| < |x*_i|
    on S, provided ``sharpness(A, x_star) < 1`` (Fuchs 2004).
    """
    on = x_star != 0
    d = torch.zeros_like(x_star)
    d[on] = torch.linalg.solve(A[:, on].T @ A[:, on], x_star[on].sign())
    return d


def sharpness(A: Tensor, x_star: Tensor) -> float:
    """max over j outside the support of |a_jᵀA d|; below 1, small λ recovers the signs of x*."""
    correlation = A.T @ (A @ bias_direction(A, x_star))
    return float(correlation[x_star == 0].abs().max())
