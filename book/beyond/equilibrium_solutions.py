"""Solutions of the exercises in equilibrium.md; tests/test_equilibrium_page.py checks them."""

from collections.abc import Callable
from math import ceil, exp, log

import torch
from torch import Tensor


def steps_enough(gamma: float, first: float, epsilon: float) -> int:
    """The least k with γᵏ/(1 − γ)·‖x¹ − x⁰‖ ≤ ε."""
    return max(0, ceil(log(epsilon * (1 - gamma) / first) / log(gamma)))


def adjoint_state(f: Callable[[Tensor], Tensor], x: Tensor, g: Tensor) -> Tensor:
    """v with (I − Jᵀ) v = g, J the Jacobian of f at x, by a direct solve."""
    J = torch.autograd.functional.jacobian(f, x).reshape(x.numel(), x.numel())
    eye = torch.eye(len(J), dtype=J.dtype)
    return torch.linalg.solve(eye - J.T, g.flatten()).reshape(g.shape)


def free_agreement(J: Tensor, g: Tensor) -> float:
    """⟨(I − Jᵀ)⁻¹ g, g⟩: above zero where ‖J‖₂ < 1."""
    return float(torch.linalg.solve(torch.eye(len(J)).to(J) - J.T, g) @ g)


def creeping(K: int) -> list[float]:
    """Certificates |x|/2 of x ← 1 + (x − 1)/2 from 2: each below the last one, none below ½."""
    x, sizes = 2.0, []
    for _ in range(K):
        x = 1 + (x - 1) / 2
        sizes.append(x / 2)
    return sizes


def weight_enough(epsilon: float, factor: float) -> float:
    """The weight w with (1 + ε)/(1 + w) equal to a factor."""
    return (1 + epsilon) / factor - 1


def rate(f: Callable[[Tensor], Tensor], x: Tensor, d: Tensor, times: int) -> float:
    """The spectral radius of f's Jacobian at x, by the power method from a direction d."""
    grown = []
    for _ in range(times):
        d = torch.autograd.functional.jvp(f, x, d / d.norm())[1]
        grown.append(float(d.norm().log()))
    half = grown[times // 2 :]
    return exp(sum(half) / len(half))
