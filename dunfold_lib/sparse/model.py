"""The lasso and the algorithms that minimise it; the chapter's networks start from these lines.

    minimise over x:   F(x) = ½‖A x − b‖² + λ‖x‖₁ = f(x) + λ‖x‖₁

symbol    code      shape             meaning
A         A         m × n             linear map (``operators.Linear``): dictionary, mask ∘ wavelets
b         b         (batch, m)        measurements, b = A x* + ε
x, x*     x         (batch, n)        code; x* the truth
λ         lam       number            weight of the ℓ1 norm, or a tensor that broadcasts to x
L         L         number            ‖A‖₂², Lipschitz constant of ∇f; the step is 1/L
K, k      K, k      whole             number of steps, index of a step
βᵏ        betas     K numbers         momentum: step k starts from xᵏ + βᵏ(xᵏ − xᵏ⁻¹)

One signal per row; m and n stand for any shape (``A.codomain``, ``A.domain``).

ISTA      x ← soft(x − Aᵀ(A x − b)/L, λ/L)             Daubechies, Defrise, De Mol 2004
FISTA     the same step, from the extrapolated point     Beck & Teboulle 2009
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.operators import Linear, is_linear, norm
from dunfold_lib.prox import soft


def objective(A: Linear, b: Tensor, lam: Tensor | float, x: Tensor) -> Tensor:
    """F(x), one value per row: (batch,)."""
    fit = 0.5 * (A(x) - b).square().flatten(1).sum(1)
    return fit + (lam * x.abs()).flatten(1).sum(1)


def ista_step(A: Linear, b: Tensor, lam: Tensor | float, L: float, x: Tensor) -> Tensor:
    """One gradient step on f, one shrinkage."""
    return soft(x - A.T(A(x) - b) / L, lam / L)


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
    x, L = _begin(A, b, lam, K, L, start)
    xs = [x]
    for _ in range(K):
        xs.append(ista_step(A, b, lam, L, xs[-1]))
    return xs


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
    x, L = _begin(A, b, lam, len(betas), L, start)
    xs = [x, x]  # x⁻¹ = x⁰
    for beta in betas:
        xs.append(ista_step(A, b, lam, L, xs[-1] + beta * (xs[-1] - xs[-2])))
    return xs[1:]


def nesterov(K: int) -> list[float]:
    """β⁰, …, βᴷ⁻¹: β⁰ = 0, βᵏ⁺¹ = (tᵏ − 1)/tᵏ⁺¹ with t⁰ = 1, tᵏ⁺¹ = (1 + √(1 + 4 tᵏ²))/2."""
    checks.whole("K", K)
    t = [1.0]
    for _ in range(K):
        t.append((1 + sqrt(1 + 4 * t[-1] ** 2)) / 2)
    betas = [(now - 1) / then for now, then in pairwise(t)]
    return [0.0, *betas[: K - 1]] if K else []


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


def duality_gap(A: Linear, b: Tensor, lam: Tensor | float, x: Tensor) -> Tensor:
    """F(x) − D(ν), one value per row: (batch,). It bounds F(x) − min F from above; λ > 0.

    The dual is D(ν) = ½‖b‖² − ½‖b − ν‖² over ‖Aᵀν‖_∞ ≤ λ; ν = s r scales the residual r = b − A x
    into that set, s = 1/max(1, ‖Aᵀr‖_∞/λ). Written so that nothing of the size of ‖b‖² cancels.
    """
    smallest = float(lam.min()) if isinstance(lam, Tensor) else lam
    if not smallest > 0:
        raise ValueError(f"lam is {smallest:g}; it must be positive for a duality gap")
    r = b - A(x)
    Atr = A.T(r)
    s = 1 / (Atr.abs() / lam).flatten(1).amax(1).clamp(min=1)
    l1, inner = (lam * x.abs()).flatten(1).sum(1), (x * Atr).flatten(1).sum(1)
    return 0.5 * (1 - s).square() * r.square().flatten(1).sum(1) + l1 - s * inner


class Solution(NamedTuple):
    x: Tensor  # (batch, n)
    gap: Tensor  # (batch,) duality gap at x
    iterations: int


def lasso(
    A: Linear,
    b: Tensor,
    lam: Tensor | float,
    gap: float = 1e-10,
    start: Tensor | None = None,
    limit: int = 100_000,
) -> Solution:
    """The minimiser, to a duality gap of at most ``gap`` · ½‖b‖² in every row.

    FISTA that drops its momentum, row by row, whenever it points uphill (O'Donoghue & Candès 2015);
    the gap is looked at every 10 steps. float64 reaches 1e-14, float32 about 1e-5. RuntimeError if
    ``limit`` steps do not get there.
    """
    checks.number("gap", gap, 0, open_low=True)
    checks.whole("limit", limit)
    x, L = _begin(A, b, lam, limit, None, start)
    goal = gap * 0.5 * b.square().flatten(1).sum(1)
    column = (-1, *[1] * len(A.domain))
    t, y = x.new_ones(len(x)), x
    for k in range(limit + 1):
        if k % 10 == 0 or k == limit:
            now = duality_gap(A, b, lam, x)
            if bool((now <= goal).all()):
                return Solution(x, now, k)
        new = ista_step(A, b, lam, L, y)
        uphill = ((y - new) * (new - x)).flatten(1).sum(1) > 0
        t = torch.where(uphill, 1.0, t)
        t_next = (1 + (1 + 4 * t.square()).sqrt()) / 2
        y = new + ((t - 1) / t_next).reshape(column) * (new - x)
        x, t = new, t_next
    worst = float((now / (0.5 * b.square().flatten(1).sum(1))).max())
    raise RuntimeError(f"gap is {worst:.1e} of ½‖b‖² after {limit} steps; {gap:.1e} was asked for")


def lam_max(A: Linear, b: Tensor) -> Tensor:
    """‖Aᵀb‖_∞, one value per row: from this λ on, x = 0 is the minimiser."""
    checks.finite("b", b)
    return A.T(b).abs().flatten(1).amax(1)


def path(
    A: Linear, b: Tensor, lams: Sequence[float], gap: float = 1e-10, *, warm: bool = True
) -> list[Solution]:
    """The minimiser for each λ, in the order given; ``warm`` starts each from the one before."""
    solutions: list[Solution] = []
    for lam in lams:
        start = solutions[-1].x if warm and solutions else None
        solutions.append(lasso(A, b, lam, gap, start))
    return solutions


def _begin(
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
        shape = (len(b), *A.domain)
        if lam.ndim > len(shape) or any(
            p not in (1, q) for p, q in zip(lam.shape[::-1], shape[::-1], strict=False)
        ):
            raise ValueError(f"lam has shape {tuple(lam.shape)}; it must broadcast to {shape}")
    else:
        checks.number("lam", lam, 0)
    if L is None:
        L = norm(A) ** 2
    checks.number("L", L, 0, open_low=True)
    if start is None:
        return b.new_zeros(len(b), *A.domain), L
    checks.finite("start", start)
    checks.rows("start", start, A.domain)
    if len(start) != len(b) or start.dtype != b.dtype:
        given = f"{len(start)} rows of {start.dtype}"
        raise ValueError(f"start has {given}; b has {len(b)} rows of {b.dtype}")
    return start, L
