"""What the chapters prove, as functions that a figure and a test can call."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, inf, log, sqrt

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor
from dunfold_lib.sparse.coherence import analytic_weights as analytic_weights
from dunfold_lib.sparse.coherence import coherence as coherence
from dunfold_lib.sparse.coherence import column_coherence as column_coherence
from dunfold_lib.sparse.coherence import generalised_coherence as generalised_coherence
from dunfold_lib.sparse.coherence import rms_coherence as rms_coherence
from dunfold_lib.sparse.coherence import spectral_radius as spectral_radius
from dunfold_lib.sparse.coherence import welch_bound as welch_bound


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
    checks.finite("A", A, ("m", "n"))
    checks.finite("x_star", x_star, A.shape[1:])
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
    mu: float, s: int, gamma: float | Sequence[float], largest: float, K: int, noise: float = 0.0
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
    mu: float, s: int, largest: float, smallest: float, trusted: Sequence[int], noise: float = 0.0
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
    checks.finite("A", A, ("m", "n"))
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
