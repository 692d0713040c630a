"""The lasso and the group lasso by semi-smooth Newton on the dual.

    minimise over x:   ½‖A x − b‖² + λ p(x),   p = ‖·‖₁ or Σ‖x_G‖₂

symbol   code      shape      meaning
A        A         (m, n)     matrix, a tensor
b        b         (m,)       measurement: one signal, not a batch
x        x         (n,)       code
ξ        xi        (m,)       dual variable; A x − b at the solution
σ        sigma     number     penalty of the augmented Lagrangian of the dual
v        v         (n,)       x − σAᵀξ; the next x is P(v), the prox of σλp
J        J         n to n     element of P's Clarke Jacobian at v
S        S         (n,)       mask outside which J is 0: the support of P(v)
L        L         number     ‖A‖₂²

dual            min ½‖ξ‖² + ⟨b, ξ⟩ over λp's dual ball containing −Aᵀξ
inner problem   Ψ(ξ) = ½‖ξ‖² + ⟨b, ξ⟩ + ‖P(x − σAᵀξ)‖²/(2σ)         convex and C¹
its gradient    ∇Ψ(ξ) = ξ + b − A P(x − σAᵀξ)
Newton          (I + σ A J Aᵀ) d = −∇Ψ(ξ), then Armijo on Ψ
outer           x ← P(x − σAᵀξ)

I + σAJAᵀ has no eigenvalue below 1, and J vanishes off the support S, so that AJAᵀ needs only the
columns of A in S: that is why the dual is where to apply Newton. Li, Sun & Toh 2018 (SSNAL); Zhao,
Sun & Toh 2010 (Newton–CG augmented Lagrangian).

Beside it: ``lasso`` has ISTA, FISTA, ADMM and coordinate descent, ``envelope`` Newton's method on
the primal lasso, which the forward–backward envelope (Patrinos & Bemporad 2013) makes safe.
"""

from collections.abc import Callable
from math import inf, log2
from typing import Any, NamedTuple

from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.newton_sr.lasso import Lasso, checked, doubled, largest
from dunfold_lib.solvers import conjugate_gradients

GROWTH, MOST_SIGMA = 3.0, 1e8  # σ grows by this factor after every outer step, up to this value
ARMIJO, SHRINK, TRIALS = 1e-4, 0.5, 40  # slope asked for, factor of the step, and how often
NEWTON = 30  # most Newton steps in an outer one
ETA, TAU = 0.01, 1.0  # ‖V d + ∇Ψ‖ ≤ min(ETA, ‖∇Ψ‖^(1 + TAU)), and ETA·‖∇Ψ‖
LEAST = 1e-14  # no residual below this multiple of 1 + ‖b‖ is asked for


class Solution(NamedTuple):
    """What SSNAL found, and what it did: one entry an outer step."""

    x: Tensor  # (n,)
    xi: Tensor  # (m,)
    kkt: list[float]  # after each outer step
    residuals: list[list[float]]  # ‖∇Ψ‖ /(1 + ‖b‖) at ξ⁰, ξ¹, … of an outer step
    newton: list[int]  # Newton steps
    cg: list[int]  # conjugate-gradient steps: each is a product with A_S and one with A_Sᵀ
    psi: list[int]  # evaluations of Ψ and ∇Ψ, Armijo's trials included: each is a pair with A too

    def noted(self, kkt: float, residuals: list[float], cg: int, psi: int) -> None:
        """Add an outer step."""
        self.kkt.append(kkt)
        self.residuals.append(residuals)
        self.newton.append(len(residuals) - 1)
        self.cg.append(cg)
        self.psi.append(psi)


@checks.door
def ssnal(
    problem: Lasso,
    tol: float = 1e-12,
    sigma: float = 100.0,
    outer: int = 50,
    inner: float = 0.01,
    growth: float = GROWTH,
) -> Solution:
    """The minimiser, by semi-smooth Newton inside an augmented Lagrangian of the dual.

    tol : stops where ``Lasso.kkt`` is below it, also that of the problem over ‖A‖₂ (next to it, a
    power of two), which is what is solved.  sigma : σ of the first outer step, in units of 1/‖A‖₂².
    outer : most outer steps, each of at most ``NEWTON`` Newton steps, which end where
    ‖∇Ψ‖/(1 + ‖b‖) is below ``inner`` times the last KKT; 1e-12 solves it to rounding.  growth : σ's
    factor after an outer step, up to MOST_SIGMA; where KKT rose because rounding in σAᵀξ hides the
    inner minimum, σ falls. Computed in float64, answered in the dtype of A.
    RuntimeError where ``outer`` steps do not reach ``tol``, with the least KKT attained; rounding
    lets it fall to some eps·‖A‖₂², no further.
    """
    _allowed(outer, growth, tol=tol, sigma=sigma, inner=inner)
    dtype, asked = problem.A.dtype, doubled(checked(problem))
    unit = 2.0 ** round(log2(largest(asked.A)) / 2)  # ‖A‖₂ to a factor of √2: exact to divide by
    problem = asked._replace(A=asked.A / unit, b=asked.b / unit, lam=asked.lam / unit**2)
    A, b, lam, p = problem
    x, xi, kkt = b.new_zeros(A.shape[1]), -b, [inf]
    sigma, most = sigma / largest(A), MOST_SIGMA
    made = Solution(x, xi, [], [], [], [], [])
    for _ in range(outer):
        enough = max(inner * min(kkt[-1], 1.0), LEAST)
        xi, residuals, cg, psi = _inner(problem, x, xi, sigma, enough)
        x = p.prox(x - sigma * (A.T @ xi), sigma * lam)
        kkt.append(problem.kkt(x))
        made.noted(kkt[-1] if unit == 1 else asked.kkt(x), residuals, cg, psi)
        if max(made.kkt[-1], kkt[-1]) <= tol:
            return made._replace(x=x.to(dtype), xi=(unit * xi).to(dtype))
        if residuals[-1] > enough and kkt[-1] > min(kkt[:-1]):
            most = sigma / GROWTH**2  # rounding in σAᵀξ is in the way
        sigma = min(growth * sigma, most)
    least = min(map(max, made.kkt, kkt[1:]))
    raise RuntimeError(f"KKT is {least:.1e} at best in {outer} steps; {tol:.1e} was asked for")


def _allowed(outer: int, growth: float, **positive: float) -> None:
    """Refuse what ``ssnal`` cannot run with."""
    for name, value in positive.items():
        checks.number(name, value, 0, open_low=True)
    checks.number("growth", growth, 1)
    checks.whole("outer", outer, 1)


def _inner(
    problem: Lasso, x: Tensor, xi: Tensor, sigma: float, inner: float
) -> tuple[Tensor, list[float], int, int]:
    """(ξ, residuals, CG steps, evaluations of Ψ): semi-smooth Newton on Ψ."""
    A, b, lam, p = problem
    scale, total, residuals = float(1 + b.norm()), 0, list[float]()

    @counted
    def psi(xi: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ψ, ∇Ψ and v at ξ."""
        v = x - sigma * (A.T @ xi)
        shrunk = p.prox(v, sigma * lam)
        value = 0.5 * xi.square().sum() + b @ xi + shrunk.square().sum() / (2 * sigma)
        return value, xi + b - A @ shrunk, v

    value, gradient, v = psi(xi)
    for _ in range(NEWTON + 1):
        size = float(gradient.norm())
        residuals.append(size / scale)
        if residuals[-1] <= inner or len(residuals) > NEWTON:
            break
        S = p.active(v, sigma * lam)  # J is 0 outside S, so only these columns of A are needed
        A_S, J = A[:, S], p.jacobian(v[S], sigma * lam)
        V = counted(lambda d, A=A_S, J=J: d + sigma * (A @ J(A.T @ d[0]))[None])  # type: ignore[misc]
        wanted = max(min(ETA / size, size**TAU, ETA), LEAST)
        d = conjugate_gradients(V, -gradient[None], 10 * len(b), wanted)[0]
        total += V.calls
        xi, (value, gradient, v), moved = _armijo(psi, xi, d, value, gradient)
        if not moved:  # Ψ no longer changes in its last digit
            break
    return xi, residuals, total, psi.calls


def _armijo(
    psi: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]],
    xi: Tensor,
    d: Tensor,
    value: Tensor,
    gradient: Tensor,
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], bool]:
    """The first of 1, ½, ¼, … steps along d on which Ψ falls by enough, or the gradient does."""
    slope, size = gradient @ d, gradient.norm()
    if -slope <= 1e-13 * (1 + value.abs()):  # rounding hides a fall of Ψ; the gradient tells
        new = psi(xi + d)
        halved = bool(new[1].norm() <= 0.5 * size)
        return (xi + d, new, True) if halved else (xi, psi(xi), False)
    xi, new, trials = descended(psi, xi, d, value, slope)
    return xi, new or psi(xi), bool(trials)


def descended(
    f: Callable[[Tensor], Any], x: Tensor, d: Tensor, value: Tensor, slope: Tensor
) -> tuple[Tensor, Any, int]:
    """(x + t d, f there, trials) for the first t of 1, ½, ¼, … at which f's first part falls by
    Armijo's rule; (x, None, 0) for none."""
    for trial in range(TRIALS):
        t = SHRINK**trial
        new = f(x + t * d)
        if bool(new[0] <= value + ARMIJO * t * slope):
            return x + t * d, new, trial + 1
    return x, None, 0


class Counted:
    """A function that counts its calls."""

    def __init__(self, f: Callable[[Tensor], Any]):
        self.f, self.calls = f, 0

    def __call__(self, x: Tensor) -> Any:
        self.calls += 1
        return self.f(x)


def counted(f: Callable[[Tensor], Any]) -> Counted:
    """f, with the number of its calls in ``.calls``."""
    return Counted(f)
