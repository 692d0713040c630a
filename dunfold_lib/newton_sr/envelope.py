"""Newton's method on the primal lasso, by the forward–backward envelope.

Patrinos & Bemporad 2013. The problem and its symbols: ``lasso``, ``ssnal``.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.newton_sr.lasso import Lasso, checked, doubled, largest
from dunfold_lib.newton_sr.ssnal import TRIALS, descended

EPS = 1e-3  # ε = EPS min(1, ‖∇φ‖) of Newton's method on the envelope


class Envelope(NamedTuple):
    """The forward–backward envelope of a lasso at x, for a step t."""

    value: Tensor  # φ(x) = ½‖A x − b‖² − ⟨g, F⟩ + ‖F‖²/(2t) + λ p(x − F)
    F: Tensor  # x − P(x − t g), P the prox of tλp, g = Aᵀ(A x − b): 0 at a solution
    gradient: Tensor  # ∇φ = (I − tAᵀA)F/t


@checks.door
def envelope(problem: Lasso, x: Tensor, t: float) -> Envelope:
    """φ, F and ∇φ at x.

    For 0 < t < 1/‖A‖₂² the minimisers of φ and of the lasso are the same, and F = 0 exactly where
    ∇φ = 0 (Patrinos & Bemporad 2013). At t = 1/‖A‖₂² the matrix I − tAᵀA is singular.
    """
    A, b, lam, p = checked(problem)
    checks.number("t", t, 0, open_low=True)
    checks.finite("x", x)
    if tuple(x.shape) != (A.shape[1],):
        raise ValueError(f"x has shape {tuple(x.shape)}; it must be ({A.shape[1]},)")
    r = A @ x - b
    g = A.T @ r
    z = p.prox(x - t * g, t * lam)
    F = x - z
    value = 0.5 * r.square().sum() - g @ F + F.square().sum() / (2 * t) + lam * p.value(z)
    return Envelope(value, F, F / t - A.T @ (A @ F))


class Primal(NamedTuple):
    """What Newton's method on the envelope found, and what it did."""

    x: Tensor  # (n,)
    residuals: list[float]  # ‖F‖ at x⁰, x¹, …
    values: list[float]  # φ at the same points: never rises
    trials: int  # of Armijo's rule, in all


@checks.door
def envelope_newton(
    problem: Lasso, share: float = 0.95, tol: float = 1e-15, steps: int = 300
) -> Primal:
    """Regularised semi-smooth Newton with Armijo's rule on the forward–backward envelope, from 0.

    share : t·‖A‖₂², below 1.  tol : of ‖F‖.  steps : most Newton steps.  V = (Q − QJQ)/t + εI with
    Q = I − tAᵀA is a dense (n, n) matrix: for small n. Computed in float64, answered in the dtype
    of A.  RuntimeError where ``tol`` is not reached.
    """
    dtype, problem = problem.A.dtype, doubled(checked(problem))
    A, b, lam, p = problem
    checks.number("share", share, 0, 1, open_low=True)
    if share == 1:
        raise ValueError("share is 1; it must be below: there the envelope's gradient degenerates")
    checks.number("tol", tol, 0, open_low=True)
    checks.whole("steps", steps, 1)
    t = share / largest(A)
    x, eye = b.new_zeros(A.shape[1]), torch.eye(A.shape[1], dtype=b.dtype, device=b.device)
    Q = eye - t * A.T @ A
    here, made = envelope(problem, x, t), Primal(x, [], [], 0)
    for _ in range(steps + 1):
        made.residuals.append(float(here.F.norm()))
        made.values.append(float(here.value))
        if made.residuals[-1] <= tol:
            return made._replace(x=x.to(dtype))
        if len(made.residuals) > steps:
            break
        J = p.jacobian(x - t * (A.T @ (A @ x - b)), t * lam)
        eps = EPS * min(1.0, float(here.gradient.norm()))
        V = (Q - torch.stack([J(row) for row in Q]) @ Q) / t + eps * eye
        d = -torch.linalg.solve(V, here.gradient)
        x, here, trials = _backtracked(problem, x, d, t, here)
        made = made._replace(trials=made.trials + trials)
    raise RuntimeError(f"‖F‖ is {made.residuals[-1]:.1e} after {steps} steps; {tol:.1e} was asked")


def _backtracked(
    problem: Lasso, x: Tensor, d: Tensor, t: float, here: Envelope
) -> tuple[Tensor, Envelope, int]:
    """(x, envelope, trials) at the first of 1, ½, ¼, … steps that Armijo's rule accepts."""
    slope = here.gradient @ d
    lost = bool(-slope <= 1e-13 * (1 + here.value.abs()))  # rounding hides the fall
    if lost:
        return x + d, envelope(problem, x + d, t), 1
    x, new, trials = descended(lambda x: envelope(problem, x, t), x, d, here.value, slope)
    return x, new or here, trials or TRIALS
