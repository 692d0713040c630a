"""What the chapters prove, as functions that a figure and a test can call."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, inf, log, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor
from dunfold_lib.prox import soft


@checks.door
def ista_bound(L: float, distance: float, k: int) -> float:
    """F(xᵏ) − F* ≤ L‖x⁰ − x̂‖²/(2k), for k ≥ 1 (Beck & Teboulle 2009, theorem 3.1)."""
    for name, value in (("L", L), ("distance", distance)):
        checks.number(name, value, 0)
    checks.whole("k", k, 1)
    return L * distance**2 / (2 * k)


@checks.door
def ista_bound_lasso(L: float, distance: float, k: int) -> float:
    """F(xᵏ) − F* ≤ L‖x⁰ − x̂‖²/(4k), k ≥ 1, where f is quadratic; some lasso attains it."""
    return ista_bound(L, distance, k) / 2


@checks.door
def ista_bound_longer(t: float, L: float, distance: float, first: float, k: int) -> float:
    """F(xᵏ) − F* ≤ (‖x⁰ − x̂‖²/(2t) + (tL − 1)₊/(2 − tL) · first)/k for a step 0 < t < 2/L, k ≥ 1.

    first : F(x⁰) − F*.
    """
    for name, value in (("L", L), ("distance", distance), ("first", first)):
        checks.number(name, value, 0)
    checks.whole("k", k, 1)
    checks.number("t", t, 0, open_low=True)
    if not t * L < 2:
        raise ValueError(f"t L is {t * L:g}; it must be below 2")
    return (distance**2 / (2 * t) + max(t * L - 1, 0) / (2 - t * L) * first) / k


@checks.door
def fista_bound(L: float, distance: float, k: int) -> float:
    """F(xᵏ) − F* ≤ 2L‖x⁰ − x̂‖²/(k + 1)², for k ≥ 1 (Beck & Teboulle 2009, theorem 4.4)."""
    for name, value in (("L", L), ("distance", distance)):
        checks.number(name, value, 0)
    checks.whole("k", k, 1)
    return 2 * L * distance**2 / (k + 1) ** 2


@checks.door
def identification(xs: Sequence[Tensor]) -> int:
    """The first k from which the signs of one signal's iterates (1, n) no longer change."""
    for x in xs:
        checks.finite("xs", x)
        checks.like("one of xs", x, "the first", xs[0])
    last = xs[-1].sign()
    changed = [k for k, x in enumerate(xs) if not bool((x.sign() == last).all())]
    return changed[-1] + 1 if changed else 0


@checks.door
def local_rate(A: Tensor, support: AnyTensor, L: float) -> float:
    """1 − σ_min(A_S)²/L: the factor by which ISTA shrinks ‖xᵏ − x̂‖ once the signs are right.

    A : (m, n).  support : (n,) bool, the non-zeros of x̂.
    """
    checks.finite("A", A)
    checks.number("L", L, 0, open_low=True)
    if tuple(support.shape) != tuple(A.shape[1:]) or support.dtype != torch.bool:
        given = f"{tuple(support.shape)} of {support.dtype}"
        raise ValueError(f"support has shape {given}; it must be one bool for each column of A")
    if not bool(support.any()):
        return 0.0
    columns = A[:, support]
    if columns.shape[1] > columns.shape[0]:
        return 1.0  # A_S has a null space
    return 1 - float(torch.linalg.svdvals(columns)[-1]) ** 2 / L


@checks.door
def bias_direction(A: Tensor, x_star: Tensor) -> Tensor:
    """d (n,) with x̂(λ) = x* − λ d for every small λ > 0, where b = A x* without noise.

    d = (A_SᵀA_S)⁻¹ sign(x*_S) on the support S of x*, zero elsewhere. Holds while λ|d_i| < |x*_i|
    on S, provided ``sharpness(A, x_star) < 1`` (Fuchs 2004).
    """
    checks.finite("A", A)
    checks.shaped("A", A, ("m", "n"))
    checks.finite("x_star", x_star)
    checks.shaped("x_star", x_star, A.shape[1:])
    on = x_star != 0
    d = torch.zeros_like(x_star)
    d[on] = torch.linalg.solve(A[:, on].T @ A[:, on], x_star[on].sign())
    return d


@checks.door
def sharpness(A: Tensor, x_star: Tensor) -> float:
    """max over j outside the support of |a_jᵀA d|; below 1, small λ recovers the signs of x*."""
    if not bool((x_star == 0).any()):
        raise ValueError("x_star has no zero; there is no entry outside its support")
    correlation = A.T @ (A @ bias_direction(A, x_star))
    return float(correlation[x_star == 0].abs().max())


# Coherence and the weights that come from A alone


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
    checks.finite("A", A)
    checks.shaped("A", A, ("m", "n"))
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
    checks.finite("A", A)
    checks.shaped("A", A, ("m", "n"))
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
    checks.finite("A", A)
    checks.shaped("A", A, ("m", "n"))
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
    checks.finite("A", A)
    checks.shaped("A", A, ("m", "n"))
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
    checks.finite("A", A)
    checks.shaped("A", A, ("m", "n"))
    checks.like("W", W, "A", A)
    eye = torch.eye(A.shape[1], dtype=A.dtype, device=A.device)
    return float(torch.linalg.eigvals(eye - W.T @ A).abs().max())


@checks.door
def certified_sparsity(mu: float) -> int:
    """The largest s with s < (1 + 1/μ)/2, the sparsity for which the theorems promise recovery."""
    checks.number("mu", mu, 0, open_low=True)
    return ceil((1 + 1 / mu) / 2) - 1


@checks.door
def largest_step(mu: float, s: int) -> float:
    """γ_max = 2/(2μs − μ + 1): ALISTA's theorem holds below it (Liu et al. 2019, theorem 1)."""
    checks.number("mu", mu, 0)
    checks.whole("s", s, 1)
    return 2 / (2 * mu * s - mu + 1)


@checks.door
def contraction(mu: float, s: int, gamma: float) -> float:
    """(2μs − μ)γ + |1 − γ|, the factor a layer of ALISTA gains; exp(−c) of the theorem."""
    checks.number("mu", mu, 0)
    checks.whole("s", s, 1)
    checks.number("gamma", gamma, 0)
    return (2 * mu * s - mu) * gamma + abs(1 - gamma)


@checks.door
def error_bounds(
    mu: float,
    s: int,
    gamma: float | Sequence[float],
    largest: float,
    K: int,
    noise: float = 0.0,
) -> list[float]:
    """E⁰, …, Eᴷ with ‖xᵏ − x*‖₁ ≤ Eᵏ for |x*_i| ≤ largest, ‖x*‖₀ ≤ s, thresholds γᵏ(μEᵏ + noise).

    E⁰ = s · largest, Eᵏ⁺¹ = contraction(γᵏ) · Eᵏ + 2sγᵏ · noise, ``noise`` a bound of ‖Wᵀε‖_∞: for
    γ = 1 Chen et al. 2018, theorem 2; without noise Liu et al. 2019, theorem 1.

    gamma : one step for all layers, or K of them.
    """
    _certain(mu, s, largest, noise)
    checks.whole("K", K)
    steps = [float(g) for g in gamma] if isinstance(gamma, Sequence) else [gamma] * K
    if len(steps) != K:
        raise ValueError(f"gamma has {len(steps)} numbers; there are {K} layers")
    E = [s * largest]
    for step in steps:
        E.append(contraction(mu, s, step) * E[-1] + 2 * s * step * noise)
    return E


def _certain(mu: float, s: int, largest: float, noise: float) -> None:
    """Look at what the theorems' error bounds share."""
    for name, value in (("mu", mu), ("largest", largest), ("noise", noise)):
        checks.number(name, value, 0)
    checks.whole("s", s, 1)


@checks.door
def exponents(E: Sequence[float]) -> list[float]:
    """c⁰, c¹, … with Eᵏ = E⁰ exp(−c⁰ − … − cᵏ⁻¹), every Eᵏ above 0."""
    for bound in E:
        checks.number("one of E", bound, 0, open_low=True)
    return [-log(after / before) for before, after in pairwise(E)]


@checks.door
def selected_bounds(
    mu: float,
    s: int,
    largest: float,
    smallest: float,
    trusted: Sequence[int],
    noise: float = 0.0,
) -> list[float]:
    """E⁰, …, Eᴷ as ``error_bounds`` with γ = 1, for layers that trust ``trusted[k]`` entries.

    Every non-zero of x* is larger than ``smallest``. Once that is at least 2θᵏ = 2(μEᵏ + noise),
    q = min(trusted[k], s) entries of the support are not shrunk, and Eᵏ⁺¹ = (2μs − μ − qμ)Eᵏ +
    (2s − q) noise. After Chen et al. 2018, theorem 3.
    """
    _certain(mu, s, largest, noise)
    checks.number("smallest", smallest, 0)
    for count in trusted:
        checks.whole("one of trusted", count)
    E = [s * largest]
    for count in trusted:
        q = min(count, s) if smallest >= 2 * (mu * E[-1] + noise) else 0
        E.append((2 * mu * s - mu - q * mu) * E[-1] + (2 * s - q) * noise)
    return E


@checks.door
def smallest_gain(W: Tensor, A: Tensor, gamma: float) -> float:
    """σ̄: the smallest singular value of I − γ W_SᵀA_S over all supports S of two columns."""
    checks.finite("W", W)
    checks.finite("A", A)
    checks.shaped("A", A, ("m", "n"))
    checks.like("W", W, "A", A)
    checks.number("gamma", gamma, 0)
    if A.shape[1] < 2:
        raise ValueError(f"A has shape {tuple(A.shape)}; it must have two columns")
    G = -gamma * (W.T @ A)
    G += torch.eye(len(G), dtype=G.dtype, device=G.device)
    d, square = G.diag(), G.square()
    total = d.square()[:, None] + d.square() + square + square.T  # ‖·‖_F² of every 2 × 2 block
    product = (d[:, None] * d - G * G.T).square()  # its squared determinant
    least = (total - (total.square() - 4 * product).clamp(min=0).sqrt()) / 2
    least.fill_diagonal_(inf)
    return sqrt(max(float(least.min()), 0.0))


@checks.door
def steepest(gain: float) -> float:
    """c̄ = log(2/σ̄) of the chapter's lower bound: ‖xᵏ − x*‖ falls no faster than exp(−c̄k)."""
    checks.number("gain", gain, 0, open_low=True)
    return log(2 / gain)
