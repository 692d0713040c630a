"""Solutions of the exercises in lista_cp.md, which shows them; lista_cp_cases.py checks them."""

from collections.abc import Sequence
from math import ceil, log

from torch import Tensor

from dunfold_lib.prox import soft
from dunfold_lib.sparse import theory


def layers_needed(mu: float, s: int, largest: float, target: float) -> int:
    """The smallest K for which the theorem promises at most this error, without noise."""
    factor = theory.contraction(mu, s, 1.0)
    if factor >= 1:
        raise ValueError(f"s is {s}; the theorem holds up to {theory.certified_sparsity(mu)}")
    return max(0, ceil(log(target / (s * largest)) / log(factor)))


def factor(mu: float, s: int, delta: float) -> tuple[float, float]:
    """Of a diagonal 1 + delta with the other entries at most mu, and of a step 1 + delta."""
    return 2 * mu * s - mu + abs(delta), theory.contraction(mu, s, 1 + delta)


def layerwise_bounds(
    mus: Sequence[float], s: int, largest: float, noises: Sequence[float]
) -> list[float]:
    """E⁰, …, Eᴷ of a coupled network whose layer k has coherence mus[k] and noise noises[k]."""
    E = [s * largest]
    for mu, noise in zip(mus, noises, strict=True):
        E.append((2 * mu * s - mu) * E[-1] + 2 * s * noise)
    return E


def safe_from(mu: float, s: int, largest: float, smallest: float) -> int:
    """The first layer from which every non-zero above ``smallest`` is trusted, without noise."""
    start = 2 * mu * s * largest
    return max(0, ceil(log(smallest / start) / log(2 * mu * s - mu)))


def spent_after(mu: float, s: int, largest: float, noise: float, share: float = 0.01) -> int:
    """The first layer at which the bound is at most 1 + ``share`` times its floor."""
    f = 2 * mu * s - mu
    floor = 2 * s * noise / (1 - f)
    if s * largest <= (1 + share) * floor:
        return 0
    return ceil(log(share * floor / (s * largest - floor)) / log(f))


def keeps(A: Tensor, W: Tensor, x: Tensor, q: float, K: int) -> bool:
    """Whether θᵏ = μE⁰qᵏ brings the ℓ₁ error of every row of x below E⁰qᵏ in each of K layers."""
    mu, E = theory.coherence(W, A), float(x.abs().sum(1).max())
    y, b = 0 * x, x @ A.T
    for _ in range(K):
        y = soft(y - (y @ A.T - b) @ W, mu * E)
        E *= q
        if float((y - x).abs().sum(1).max()) > E * (1 + 1e-9):
            return False
    return True
