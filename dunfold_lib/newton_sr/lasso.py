"""A lasso with ‖·‖₁ or the group norm, and the first-order methods that Newton's is compared with.

The symbols: ``ssnal``.
"""

from collections.abc import Iterator
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.newton_sr.jacobians import L1, Penalty
from dunfold_lib.solvers import momentum


class Lasso(NamedTuple):
    """One problem: A (m, n), b (m,), λ > 0 and the norm p."""

    A: Tensor
    b: Tensor
    lam: float
    p: Penalty = L1()

    @checks.door
    def objective(self, x: Tensor) -> Tensor:
        """½‖A x − b‖² + λ p(x)."""
        checks.shaped("x", x, self.A.shape[1:])
        checks.shaped("b", self.b, self.A.shape[:1])
        return 0.5 * (self.A @ x - self.b).square().sum() + self.lam * self.p.value(x)

    @checks.door
    def kkt(self, x: Tensor) -> float:
        """‖x − P(x − Aᵀ(A x − b))‖ / (1 + ‖x‖ + ‖A x − b‖), P the prox of λp: 0 at a solution."""
        checks.shaped("x", x, self.A.shape[1:])
        checks.shaped("b", self.b, self.A.shape[:1])
        r = self.A @ x - self.b
        gap = x - self.p.prox(x - self.A.T @ r, self.lam)
        return float(gap.norm() / (1 + x.norm() + r.norm()))


@checks.door
def ista(problem: Lasso) -> Iterator[Tensor]:
    """x¹, x², … of x ← P(x − Aᵀ(A x − b)/L): one product with A and one with Aᵀ a step."""
    A, b, lam, p = checked(problem)
    L = largest(A)
    x = b.new_zeros(A.shape[1])
    while True:
        x = p.prox(x - A.T @ (A @ x - b) / L, lam / L)
        yield x


@checks.door
def fista(problem: Lasso) -> Iterator[Tensor]:
    """x¹, x², … of ISTA from an extrapolated point (Beck & Teboulle 2009)."""
    A, b, lam, p = checked(problem)
    L = largest(A)
    x = y = b.new_zeros(A.shape[1])
    for beta in momentum():
        before, x = x, p.prox(y - A.T @ (A @ y - b) / L, lam / L)
        y = x + beta * (x - before)
        yield x


@checks.door
def admm(problem: Lasso, rho: float | None = None) -> Iterator[Tensor]:
    """z¹, z², … of the splitting x = z; (AᵀA + ρI)⁻¹ by one factorisation of AAᵀ + ρI.

    rho : by default ‖A‖₂²/100.
    """
    A, b, lam, p = checked(problem)
    rho = largest(A) / 100 if rho is None else rho
    checks.number("rho", rho, 0, open_low=True)
    eye = torch.eye(len(b), dtype=b.dtype, device=b.device)
    factor = torch.linalg.cholesky(A @ A.T + rho * eye)
    z = u = b.new_zeros(A.shape[1])
    Atb = A.T @ b
    while True:
        q = Atb + rho * (z - u)
        x = (q - A.T @ torch.cholesky_solve((A @ q)[:, None], factor)[:, 0]) / rho
        z = p.prox(x + u, lam / rho)
        u = u + x - z
        yield z


@checks.door
def coordinate_descent(problem: Lasso) -> Iterator[Tensor]:
    """x¹, x², … after sweeps over the coordinates, each entry minimised exactly in its turn.

    A sweep costs about as much as a product with A and one with Aᵀ; its loop is Python's, so count
    sweeps, not seconds.  For p = ``L1()`` alone (Friedman, Hastie & Tibshirani 2010).
    """
    A, b, lam, p = checked(problem)
    if not isinstance(p, L1):
        raise ValueError(f"p is {p}; coordinate descent is for L1()")
    columns, size = A.T.contiguous(), A.square().sum(0)
    x, r = b.new_zeros(A.shape[1]), b.clone()  # r = b − A x
    while True:
        for j, a in enumerate(columns):
            if size[j] > 0:
                new = p.prox(x[j] + a @ r / size[j], float(lam / size[j]))
                r += (x[j] - new) * a
                x[j] = new
        yield x.clone()


@checks.door
def history(problem: Lasso, iterates: Iterator[Tensor], K: int, tol: float = 0.0) -> list[float]:
    """``Lasso.kkt`` of the first K iterates, or of those until it is at most ``tol``."""
    checks.whole("K", K)
    kkt: list[float] = []
    for _, x in zip(range(K), iterates, strict=False):
        kkt.append(problem.kkt(x))
        if kkt[-1] <= tol:
            break
    return kkt


def checked(problem: Lasso) -> Lasso:
    A, b, lam, _ = problem
    checks.finite("A", A)
    checks.finite("b", b)
    if A.ndim != 2 or tuple(b.shape) != (len(A),):
        given = f"{tuple(A.shape)} and {tuple(b.shape)}"
        raise ValueError(f"A and b have shapes {given}; they must be (m, n) and (m,)")
    if A.dtype != b.dtype:
        raise TypeError(f"b has dtype {b.dtype}; A has {A.dtype}")
    checks.number("lam", lam, 0, open_low=True)
    return problem


def doubled(problem: Lasso) -> Lasso:
    return problem._replace(A=problem.A.double(), b=problem.b.double())


def largest(A: Tensor) -> float:
    """‖A‖₂², above 0 and finite."""
    L = float(torch.linalg.matrix_norm(A, 2)) ** 2
    if not 0 < L < inf:
        raise ValueError(f"A has ‖A‖₂² = {L:g}; the step 1/‖A‖₂² needs more than 0, and finite")
    return L
