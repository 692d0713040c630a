"""Solutions of the chapter on semi-smooth Newton; tests/test_newton_page.py checks them."""

from collections.abc import Callable

import torch
from torch import Tensor

from dunfold_lib.newton_sr.lasso import Lasso
from dunfold_lib.newton_sr.ssnal import ssnal


def from_the_kink(V: float) -> tuple[float, float]:
    """(ξ¹, F(ξ²)) of a step from ξ = −1 with the slope V, then one with that of the piece."""
    first = -1 - 2 / V  # F(−1) = 2
    F = 3 * first + 5  # the piece of ξ < −1, of slope 3
    second = first - F / 3
    return first, 3 * second + 5


def bent(x: float) -> tuple[float, float]:
    """(F(x), F′(x)): slope 1 up to |x| = 1, slope ¼ beyond."""
    inside = abs(x) <= 1
    sign = 1 if x > 0 else -1
    return (x, 1.0) if inside else (sign * (0.75 + abs(x) / 4), 0.25)


def newton_on_a_line(
    F: Callable[[float], tuple[float, float]],
    Phi: Callable[[float], float] | None,
    x: float,
    K: int,
) -> list[float]:
    """[x⁰, …, xᴷ] of Newton's method; with Φ, F = Φ′, by Armijo's rule."""
    xs = [x]
    for _ in range(K):
        value, slope = F(x)
        d, t = -value / slope, 1.0
        while Phi and Phi(x + t * d) > Phi(x) + 1e-4 * t * value * d:
            t /= 2
        x = x + t * d
        xs.append(x)
    return xs


def by_support(problem: Lasso, sigma: float, S: Tensor, F: Tensor) -> Tensor:
    """d with (I + σ A_S A_Sᵀ) d = −F, by one system with |S| unknowns."""
    A_S = problem.A[:, S]  # (m, |S|)
    small = torch.eye(A_S.shape[1]).to(F) / sigma + A_S.T @ A_S
    return A_S @ torch.linalg.solve(small, A_S.T @ F) - F


def ball_jacobian(v: Tensor, radius: float) -> Tensor:
    """A Clarke Jacobian (n, n) of the projection of v onto the ball of this radius."""
    eye, size = torch.eye(len(v)).to(v), v.norm()
    if size <= radius:
        return eye
    unit = v / size
    return radius / size * (eye - torch.outer(unit, unit))


def slack(
    F: Callable[[Tensor], Tensor], V: Callable[[Tensor], Tensor], x: Tensor, eta: float, K: int
) -> list[float]:
    """‖F‖ along K steps whose systems V d = −F are left with a residual of η‖F‖."""
    sizes = [float(F(x).norm())]
    for _ in range(K):
        x = x - (1 - eta) * torch.linalg.solve(V(x), F(x))  # V d + F = ηF
        sizes.append(float(F(x).norm()))
    return sizes


def envelope_on_a_line(x: float, t: float, b: float = 2.0, lam: float = 1.0) -> tuple[float, float]:
    """(φ_t(x), φ_t′(x)) of ½(x − b)² + λ|x|."""
    g = x - b
    v = x - t * g
    z = max(abs(v) - t * lam, 0.0) * (1 if v > 0 else -1)
    F = x - z
    return 0.5 * g * g - g * F + F * F / (2 * t) + lam * abs(z), (1 - t) * F / t


def spent(problem: Lasso, sigma: float, growth: float, tol: float) -> tuple[int, int]:
    """(outer steps, Newton steps) of SSNAL to a KKT residual, from σ, which grows by a factor."""
    found = ssnal(problem, tol, sigma, 500, growth=growth)
    return len(found.kkt), sum(found.newton)
