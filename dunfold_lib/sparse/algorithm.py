"""The lasso's algorithms: ISTA, and ISTA with momentum."""

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.operators import Linear, fits, is_linear, norm
from dunfold_lib.prox import soft
from dunfold_lib.solvers import momentum, starting_point


@checks.door
def objective(A: Linear, b: Tensor, lam: Tensor | float, x: Tensor) -> Tensor:
    """F(x), one value per row: (batch,)."""
    fits(A, b, x)
    checks.broadcasts("lam", lam, x.shape)
    fit = 0.5 * (A(x) - b).square().flatten(1).sum(1)
    return fit + (lam * x.abs()).flatten(1).sum(1)


@checks.door
def ista_step(A: Linear, b: Tensor, lam: Tensor | float, L: float, x: Tensor) -> Tensor:
    """One gradient step on f, one shrinkage."""
    fits(A, b, x)
    checks.broadcasts("lam", lam, x.shape)
    checks.number("L", L, 0, open_low=True)
    return soft(x - A.T(A(x) - b) / L, lam / L)


@checks.door
def ista(
    A: Linear,
    b: Tensor,
    lam: Tensor | float,
    K: int,
    L: float | None = None,
    start: Tensor | None = None,
) -> list[Tensor]:
    """[x⁰, …, xᴷ] of iterative soft thresholding (Daubechies et al. 2004).

    L : defaults to ‖A‖₂², with which F never rises; 1/L is the step, and a step of 2/‖A‖₂² or more
    loses that guarantee.  start : x⁰, zero by default.
    """
    x, L = begin(A, b, lam, K, L, start)
    step, xs = checks.inside(ista_step), [x]
    for _ in range(K):
        xs.append(step(A, b, lam, L, xs[-1]))
    _bounded(xs[-1], L)
    return xs


@checks.door
def extrapolated(
    A: Linear,
    b: Tensor,
    lam: Tensor | float,
    betas: Sequence[float],
    L: float | None = None,
    start: Tensor | None = None,
) -> list[Tensor]:
    """[x⁰, …, xᴷ] of ISTA with momentum: step k starts from xᵏ + βᵏ(xᵏ − xᵏ⁻¹); K = len(betas)."""
    for beta in betas:
        checks.number("beta", beta, 0, 1)
    x, L = begin(A, b, lam, len(betas), L, start)
    step, xs = checks.inside(ista_step), [x, x]  # x⁻¹ = x⁰
    for beta in betas:
        xs.append(step(A, b, lam, L, xs[-1] + beta * (xs[-1] - xs[-2])))
    _bounded(xs[-1], L)
    return xs[1:]


def _bounded(x: Tensor, L: float) -> None:
    """Refuse an L whose steps 1/L have left the numbers."""
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"L is {L:g}; with steps 1/L the iterates overflow: it is below ‖A‖₂²/2")


@checks.door
def nesterov(K: int) -> list[float]:
    """β⁰, …, βᴷ⁻¹: β⁰ = 0, βᵏ⁺¹ = (tᵏ − 1)/tᵏ⁺¹ with t⁰ = 1, tᵏ⁺¹ = (1 + √(1 + 4 tᵏ²))/2."""
    checks.whole("K", K)
    return [0.0, *islice(momentum(), K - 1)] if K else []


@checks.door
def fista(
    A: Linear,
    b: Tensor,
    lam: Tensor | float,
    K: int,
    L: float | None = None,
    start: Tensor | None = None,
) -> list[Tensor]:
    """[x⁰, …, xᴷ] of FISTA (Beck & Teboulle 2009, with constant step size). F may rise."""
    return extrapolated(A, b, lam, nesterov(K), L, start)


def begin(
    A: Linear, b: Tensor, lam: Tensor | float, K: int, L: float | None, start: Tensor | None
) -> tuple[Tensor, float]:
    """x⁰ and L, after every argument that the solvers share has been looked at."""
    is_linear("A", A)
    checks.finite("b", b)
    checks.rows("b", b, A.codomain)
    checks.whole("K", K)
    if isinstance(lam, Tensor):
        checks.finite("lam", lam)
        checks.number("the smallest lam", float(lam.min()), 0)
        checks.broadcasts("lam", lam, (len(b), *A.domain))
    else:
        checks.number("lam", lam, 0)
    L = norm(A) ** 2 if L is None else L
    checks.number("L", L, 0, open_low=True)
    return starting_point(A, b, start), L
