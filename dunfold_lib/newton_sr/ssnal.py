"""The lasso and the group lasso: semi-smooth Newton on the dual, and what it is up against.

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

Beside it: ISTA, FISTA, ADMM, coordinate descent, and Newton's method on the primal lasso, which the
forward–backward envelope (Patrinos & Bemporad 2013) makes safe.
"""

from collections.abc import Callable, Iterator
from math import inf, log2
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.newton_sr.jacobians import L1, Penalty
from dunfold_lib.solvers import conjugate_gradients, momentum

GROWTH, MOST_SIGMA = 3.0, 1e8  # σ grows by this factor after every outer step, up to this value
ARMIJO, SHRINK, TRIALS = 1e-4, 0.5, 40  # slope asked for, factor of the step, and how often
ETA, TAU = 0.01, 1.0  # ‖V d + ∇Ψ‖ ≤ min(ETA, ‖∇Ψ‖^(1 + TAU)), and ETA·‖∇Ψ‖
EPS = 1e-3  # ε = EPS min(1, ‖∇φ‖) of Newton's method on the envelope
LEAST = 1e-14  # no residual below this multiple of 1 + ‖b‖ is asked for


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


class Solution(NamedTuple):
    """What SSNAL found, and what it did: one entry an outer step."""

    x: Tensor  # (n,)
    xi: Tensor  # (m,)
    kkt: list[float]  # after each outer step
    residuals: list[list[float]]  # ‖∇Ψ‖ /(1 + ‖b‖) at ξ⁰, ξ¹, … of an outer step
    newton: list[int]  # Newton steps
    cg: list[int]  # conjugate-gradient steps: each is a product with A_S and one with A_Sᵀ
    psi: list[int]  # evaluations of Ψ and ∇Ψ, Armijo's trials included: each is a pair with A too


@checks.door
def ssnal(
    problem: Lasso,
    tol: float = 1e-12,
    sigma: float = 100.0,
    outer: int = 50,
    newton: int = 30,
    inner: float = 0.01,
    growth: float = GROWTH,
) -> Solution:
    """The minimiser, by semi-smooth Newton inside an augmented Lagrangian of the dual.

    tol : stops where ``Lasso.kkt`` is below it, also that of the problem over ‖A‖₂ (next to it, a
    power of two), which is what is solved.  sigma : σ of the first outer step, in units of 1/‖A‖₂².
    outer, newton : most outer steps, most Newton steps in each.  inner : an outer step ends where
    ‖∇Ψ‖/(1 + ‖b‖) is below ``inner`` times the last KKT; 1e-12 solves it to rounding.  growth : σ's
    factor after an outer step, up to MOST_SIGMA; where KKT rose because rounding in σAᵀξ hides the
    inner minimum, σ falls. Computed in float64, answered in the dtype of A.
    RuntimeError where ``outer`` steps do not reach ``tol``, with the least KKT that was attained;
    rounding lets it fall to some eps·‖A‖₂², no further.
    """
    dtype, asked = problem.A.dtype, _double(_checked(problem))
    for name, value in (("tol", tol), ("sigma", sigma), ("inner", inner)):
        checks.number(name, value, 0, open_low=True)
    checks.number("growth", growth, 1)
    checks.whole("outer", outer, 1)
    checks.whole("newton", newton, 1)
    unit = 2.0 ** round(log2(_largest(asked.A)) / 2)  # ‖A‖₂ to a factor of √2: exact to divide by
    problem = asked._replace(A=asked.A / unit, b=asked.b / unit, lam=asked.lam / unit**2)
    A, b, lam, p = problem
    x, xi, kkt = b.new_zeros(A.shape[1]), -b, [inf]
    sigma, most = sigma / _largest(A), MOST_SIGMA
    made = Solution(x, xi, [], [], [], [], [])
    for _ in range(outer):
        enough = max(inner * min(kkt[-1], 1.0), LEAST)
        xi, residuals, cg, psi = _inner(problem, x, xi, sigma, newton, enough)
        x = p.prox(x - sigma * (A.T @ xi), sigma * lam)
        kkt.append(problem.kkt(x))
        made.kkt.append(kkt[-1] if unit == 1 else asked.kkt(x))
        made.residuals.append(residuals)
        made.newton.append(len(residuals) - 1)
        made.cg.append(cg)
        made.psi.append(psi)
        if max(made.kkt[-1], kkt[-1]) <= tol:
            return made._replace(x=x.to(dtype), xi=(unit * xi).to(dtype))
        if residuals[-1] > enough and kkt[-1] > min(kkt[:-1]):
            most = sigma / GROWTH**2  # rounding in σAᵀξ is in the way
        sigma = min(growth * sigma, most)
    least = min(map(max, made.kkt, kkt[1:]))
    raise RuntimeError(f"KKT is {least:.1e} at best in {outer} steps; {tol:.1e} was asked for")


def _inner(
    problem: Lasso, x: Tensor, xi: Tensor, sigma: float, newton: int, inner: float
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
    for _ in range(newton + 1):
        size = float(gradient.norm())
        residuals.append(size / scale)
        if residuals[-1] <= inner or len(residuals) > newton:
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
    xi, new, trials = _descended(psi, xi, d, value, slope)
    return xi, new or psi(xi), bool(trials)


def _descended(
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


@checks.door
def ista(problem: Lasso) -> Iterator[Tensor]:
    """x¹, x², … of x ← P(x − Aᵀ(A x − b)/L): one product with A and one with Aᵀ a step."""
    A, b, lam, p = _checked(problem)
    L = _largest(A)
    x = b.new_zeros(A.shape[1])
    while True:
        x = p.prox(x - A.T @ (A @ x - b) / L, lam / L)
        yield x


@checks.door
def fista(problem: Lasso) -> Iterator[Tensor]:
    """x¹, x², … of ISTA from an extrapolated point (Beck & Teboulle 2009)."""
    A, b, lam, p = _checked(problem)
    L = _largest(A)
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
    A, b, lam, p = _checked(problem)
    rho = _largest(A) / 100 if rho is None else rho
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
    A, b, lam, p = _checked(problem)
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
    A, b, lam, p = _checked(problem)
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
    dtype, problem = problem.A.dtype, _double(_checked(problem))
    A, b, lam, p = problem
    checks.number("share", share, 0, 1, open_low=True)
    if share == 1:
        raise ValueError("share is 1; it must be below: there the envelope's gradient degenerates")
    checks.number("tol", tol, 0, open_low=True)
    checks.whole("steps", steps, 1)
    t = share / _largest(A)
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
    x, new, trials = _descended(lambda x: envelope(problem, x, t), x, d, here.value, slope)
    return x, new or here, trials or TRIALS


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


def _checked(problem: Lasso) -> Lasso:
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


def _double(problem: Lasso) -> Lasso:
    return problem._replace(A=problem.A.double(), b=problem.b.double())


def _largest(A: Tensor) -> float:
    """‖A‖₂², above 0 and finite."""
    L = float(torch.linalg.matrix_norm(A, 2)) ** 2
    if not 0 < L < inf:
        raise ValueError(f"A has ‖A‖₂² = {L:g}; the step 1/‖A‖₂² needs more than 0, and finite")
    return L
