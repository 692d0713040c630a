"""Coherence, and the weights that come from A alone."""

from math import inf, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.prox import soft


@checks.door
def coherence(W: Tensor, A: Tensor) -> float:
    """max over i ≠ j of |w_iᵀa_j|, once every w_iᵀa_i is scaled to 1. W, A : (m, n)."""
    gram = _scaled(W, A).T @ A
    return float((gram - torch.diag(gram.diag())).abs().max())


@checks.door
def rms_coherence(W: Tensor, A: Tensor) -> float:
    """Root mean square over i ≠ j of w_iᵀa_j, once every w_iᵀa_i is scaled to 1."""
    gram = _scaled(W, A).T @ A
    n = len(gram)
    return float(((gram - torch.diag(gram.diag())).square().sum() / (n * (n - 1))).sqrt())


@checks.door
def welch_bound(m: int, n: int) -> float:
    """√((n − m)/(m(n − 1))): no m × n matrix with unit columns, n > m, has a smaller coherence."""
    checks.whole("m", m, 1)
    checks.whole("n", n, max(m, 2))
    return sqrt((n - m) / (m * (n - 1)))


def _scaled(W: Tensor, A: Tensor) -> Tensor:
    """W with every w_iᵀa_i = 1."""
    checks.finite("W", W)
    checks.finite("A", A, ("m", "n"))
    checks.like("W", W, "A", A)
    diagonal = (W * A).sum(0)
    if bool((diagonal.abs() < 1e-12).any()):
        raise ValueError("a column has w_iᵀa_i = 0; it cannot be scaled to 1")
    return W / diagonal


@checks.door
def analytic_weights(A: Tensor) -> Tensor:
    """The W (m, n) that minimises ‖WᵀA‖_F with every w_iᵀa_i = 1; A (m, n) of full row rank.

    The problem falls apart into columns, each a quadratic with one linear constraint, so there is
    a closed form: w_i = M⁻¹a_i/(a_iᵀM⁻¹a_i) with M = A Aᵀ, where M⁻¹A = (A⁺)ᵀ. Computed in float64
    from A's singular values; the rank counts those above ``rank_tolerance``, of the dtype of A.
    """
    checks.finite("A", A, ("m", "n"))
    a, tol = A.double(), rank_tolerance(A)
    U, s, Vh = torch.linalg.svd(a, full_matrices=False)
    rank = int((s > tol * s[0]).sum())
    if rank < len(a):
        given = f"shape {tuple(A.shape)} and rank {rank} at the tolerance {tol:.1e}·‖A‖₂"
        raise ValueError(f"A has {given}; its rows must be independent")
    return _scaled(U / s @ Vh, a).to(A)


@checks.door
def rank_tolerance(A: Tensor) -> float:
    """The share of ‖A‖₂ up to which a singular value counts as 0: max(m, n)·eps, at least 1e-7.

    eps is that of the dtype of A: what was rounded to float32 is not better known in float64.
    """
    checks.finite("A", A, ("m", "n"))
    return max(max(A.shape) * torch.finfo(A.dtype).eps, 1e-7)


class Certificate(NamedTuple):
    """μ̃(A) lies in [lower, upper]; W (m, n) has w_iᵀa_i = 1 and coherence ``upper``."""

    lower: float
    upper: float
    W: Tensor


@checks.door
def generalised_coherence(A: Tensor, gap: float = 1e-2, limit: int = 20_000) -> Certificate:
    """μ̃(A) = min over W with w_iᵀa_i = 1 of max over i ≠ j |w_iᵀa_j|, to a relative gap.

    Column i is a linear programme; its dual is basis pursuit, 1/μ̃_i = min ‖u‖₁ over A_{−i}u = a_i.
    All columns at once by ADMM on min ‖U_off‖₁ over A U = 0, diag U = −1. Every iterate certifies:
    Z in the null space of A, scaled, is feasible for the dual and bounds μ̃ from below; the
    multiplier lies in the range of Aᵀ, is AᵀW up to scale, and bounds it from above.

    A : (m, n) with m < n; float64 for gaps below 1e-4.
    """
    checks.finite("A", A)
    if A.ndim != 2 or A.shape[0] >= A.shape[1]:
        raise ValueError(f"A has shape {tuple(A.shape)}; it must be (m, n) with m < n")
    n, pinv = A.shape[1], torch.linalg.pinv(A)
    to_null = torch.eye(n, dtype=A.dtype, device=A.device) - pinv @ A
    off = 1 - torch.eye(n, dtype=A.dtype, device=A.device)
    Z, dual, lower, upper = -to_null / to_null.diag(), torch.zeros_like(to_null), 0.0, inf
    tau = float((Z * off).abs().sum(0).mean()) / n  # threshold of the size of an average entry
    best = dual
    for k in range(1, limit + 1):
        U = soft(Z - dual, tau) * off - torch.diag(torch.ones(n, dtype=A.dtype, device=A.device))
        relaxed = 1.6 * U - 0.6 * Z
        Z = to_null @ (relaxed + dual)
        dual = dual + relaxed - Z
        if k % 25:
            continue
        lower = max(lower, float((Z.diag().abs() / (Z * off).abs().sum(0)).max()))
        certified = float(((dual * off).abs().amax(0) / dual.diag().abs()).max())
        if certified < upper:
            upper, best = certified, dual
        if upper - lower <= gap * upper:
            return Certificate(lower, upper, _scaled(pinv.T @ best, A))
    raise RuntimeError(
        f"μ̃ is in [{lower:.5f}, {upper:.5f}] after {limit} steps; gap {gap:g} was asked for"
    )


@checks.door
def lp_weights(A: Tensor) -> Tensor:
    """The W of ``generalised_coherence`` to a gap of 1 %, computed in float64, in A's dtype."""
    return generalised_coherence(A.double()).W.to(A)


@checks.door
def column_coherence(A: Tensor, column: int) -> float:
    """μ̃ of one column by its linear programme (HiGHS): min t with |A_{−i}ᵀw| ≤ t, wᵀa_i = 1."""
    checks.finite("A", A, ("m", "n"))
    checks.whole("column", column)
    if column >= A.shape[1]:
        raise ValueError(f"column is {column}; A has columns 0 to {A.shape[1] - 1}")
    from scipy.optimize import linprog

    a = A.detach().double().cpu().numpy()
    m, n = a.shape
    rest = np.delete(a, column, axis=1).T
    ones = np.ones((n - 1, 1))
    cost = np.r_[np.zeros(m), 1.0]
    inequality = np.block([[rest, -ones], [-rest, -ones]])
    equality = np.r_[a[:, column], 0.0][None]
    done = linprog(
        cost,
        A_ub=inequality,
        b_ub=np.zeros(2 * n - 2),
        A_eq=equality,
        b_eq=[1.0],
        bounds=[(None, None)] * m + [(0, None)],
        method="highs",
    )
    if not done.success:
        raise RuntimeError(f"the linear programme of column {column} failed: {done.message}")
    return float(done.fun)


@checks.door
def spectral_radius(W: Tensor, A: Tensor) -> float:
    """The largest |eigenvalue| of I − WᵀA: above 1 the iteration without a threshold diverges."""
    checks.finite("W", W)
    checks.finite("A", A, ("m", "n"))
    checks.like("W", W, "A", A)
    eye = torch.eye(A.shape[1], dtype=A.dtype, device=A.device)
    return float(torch.linalg.eigvals(eye - W.T @ A).abs().max())
