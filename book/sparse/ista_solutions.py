"""Solutions of the exercises in ista.md, which shows them; ista_cases.py checks them."""

import numpy as np
import torch
from torch import Tensor

from dunfold_lib.operators import Linear, Matrix, norm
from dunfold_lib.prox import soft


def largest_stable_step(beta: float) -> float:
    """The largest stable t·mu, found by bisection on the spectral radius of the recursion."""

    def radius(t: float) -> float:
        a = 1 - t
        return float(np.abs(np.roots([1, -a * (1 + beta), a * beta])).max())

    low, high = 1.0, 2.5
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if radius(middle) < 1 else (low, middle)
    return low


def momentum(a: float, K: int) -> list[float]:
    """β⁰, …, βᴷ⁻¹ for tᵏ = (k + a)/a, a ≥ 2; every tᵏ(tᵏ − 1) ≤ (tᵏ⁻¹)²."""
    t = [(k + a) / a for k in range(K)]
    return [0.0] + [(t[k - 1] - 1) / t[k] for k in range(1, K)]


def way(betas: list[float]) -> float:
    """w_K, how far K steps carry an entry that the matrix does not see, in units of λ/L."""
    covered, step = 0.0, 0.0
    for beta in betas:
        step = beta * step + 1
        covered += step
    return covered


def elastic_net(A: Linear, b: Tensor, lam: float, mu: float, K: int) -> Tensor:
    """x^K of ISTA on the lasso plus (mu/2) |x|^2."""
    L = norm(A) ** 2
    x = b.new_zeros(len(b), *A.domain)
    for _ in range(K):
        x = soft(x - A.T(A(x) - b) / L, lam / L) / (1 + mu / L)
    return x


def refit(A: Matrix, b: Tensor, x: Tensor) -> Tensor:
    """Least squares on the non-zeros of each row of x."""
    out = torch.zeros_like(x)
    for row in range(len(x)):
        on = x[row] != 0
        out[row, on] = torch.linalg.lstsq(A.A[:, on], b[row][:, None]).solution[:, 0]
    return out


def restarted(A: Linear, b: Tensor, lam: float, K: int) -> list[Tensor]:
    """[x⁰, …, xᴷ] of FISTA that forgets its momentum, row by row, where it points uphill."""
    L, t = norm(A) ** 2, b.new_ones(len(b), 1)
    x = y = b.new_zeros(len(b), *A.domain)
    xs = [x]
    for _ in range(K):
        new = soft(y - A.T(A(y) - b) / L, lam / L)
        uphill = ((y - new) * (new - x)).sum(1, keepdim=True) > 0
        t = torch.where(uphill, 1.0, t)
        after = (1 + (1 + 4 * t * t).sqrt()) / 2
        x, y, t = new, new + (t - 1) / after * (new - x), after
        xs.append(x)
    return xs
