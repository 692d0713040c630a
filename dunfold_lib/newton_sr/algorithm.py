"""The multi-modal model, its Newton system, and the algorithm that the networks unroll.

    minimise over U:   ½‖D U − Z‖² + (α/2)‖H U − Y‖² + β φ(U) + γ ψ(U | Y)

symbol     code       shape                  meaning
U          U          (batch, C, rH, rW)     the image asked for
Z          Z          (batch, C, H, W)       what D measures: r times the low-resolution image
Y          Y          (batch, Cy, rH, rW)    guide
D, H       D, H       Transform              degradation; spectral response, or None for α = 0
φ, ψ       priors     two Shrink             ℓ1 priors θ‖T U − g‖₁: ψ's θ and g come from the guide
L1, L2     L          like U, two            multipliers of A = U and B = U
s1, s2     s          numbers, two           penalties, 0.1 to 1; a large s, a nearly singular V
vᵢ         v          like U                 U + Lᵢ/sᵢ
F, V       F, V       like U                 ∇Φ, and an element of its generalised Jacobian + εI
ε          eps        number                 keeps V positive definite where all else vanishes
d          d          like U                 Newton direction, V d = −F

    Φ(U) = ½‖D U − Z‖² + (α/2)‖H U − Y‖² + s1 h1(v1) + s2 h2(v2)          convex, C¹˒¹
    F(U) = Dᵀ(D U − Z) + αHᵀ(H U − Y) + s1(v1 − P1(v1)) + s2(v2 − P2(v2))
    V    = DᵀD + αHᵀH + s1(I − J1) + s2(I − J2) + εI
    Lᵢ  ← sᵢ(vᵢ − Pᵢ(vᵢ))

With Pᵢ the prox of a threshold θᵢ, the prior's weight is sᵢθᵢ. Zhang et al. 2025 for the model;
Zhao, Sun & Toh 2010 for the algorithm, which they apply to a dual: there V ≥ I. Here V is only
positive semidefinite, hence ε and small s.
"""

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.newton_sr.jacobians import Curvature, Shrink, Transform, clarke
from dunfold_lib.solvers import conjugate_gradients, momentum

NEWTON, CG = 30, 500  # most steps in an outer one
ARMIJO, HALVINGS = 1e-4, 30
ETA, TAU = 0.1, 1.0  # ‖V d + F‖ ≤ min(ETA, ‖F‖^(1 + TAU))
TAU1, TAU2 = 0.1, 0.1  # ε = TAU1 min(TAU2, ‖F‖)


class Problem(NamedTuple):
    """The inner problem min Φ of the augmented Lagrangian, for fixed multipliers."""

    D: Transform
    Z: Tensor
    priors: tuple[Shrink, Shrink]
    s: tuple[Tensor | float, Tensor | float]
    L: tuple[Tensor, Tensor]
    H: Transform | None = None
    Y: Tensor | None = None
    alpha: Tensor | float = 0.0

    @checks.door
    def data(self, U: Tensor) -> Tensor:
        """½‖D U − Z‖² + (α/2)‖H U − Y‖², one value per row."""
        DU = self.D(U)
        checks.like("Z", self.Z, "D U", DU)
        fit = 0.5 * (DU - self.Z).square().flatten(1).sum(1)
        if self.H is None or self.Y is None:
            return fit
        return fit + 0.5 * self.alpha * (self.H(U) - self.Y).square().flatten(1).sum(1)

    def _parts(self, U: Tensor) -> list[tuple[Tensor | float, Tensor, Shrink]]:
        """(sᵢ, vᵢ = U + Lᵢ/sᵢ, prior i) of both priors, after a look at U."""
        checks.like("U", U, "L1", self.L[0])
        checks.like("U", U, "L2", self.L[1])
        both = zip(self.s, self.L, self.priors, strict=True)
        return [(s, U + L / s, prior) for s, L, prior in both]

    @checks.door
    def objective(self, U: Tensor) -> Tensor:
        """The model itself, one value per row: data + Σ sᵢ θᵢ‖Tᵢ U − gᵢ‖₁."""
        penalties = (s * prior.penalty(U) for s, _, prior in self._parts(U))
        return self.data(U) + sum(penalties)

    @checks.door
    def Phi(self, U: Tensor) -> Tensor:
        """Φ(U), one value per row: the data terms and two Moreau envelopes."""
        envelopes = (s * prior.envelope(v) for s, v, prior in self._parts(U))
        return self.data(U) + sum(envelopes)

    @checks.door
    def gradient(self, U: Tensor) -> Tensor:
        """Dᵀ(D U − Z) + αHᵀ(H U − Y)."""
        DU = self.D(U)
        checks.like("Z", self.Z, "D U", DU)
        slope = self.D.T(DU - self.Z)
        if self.H is None or self.Y is None:
            return slope
        return slope + self.alpha * self.H.T(self.H(U) - self.Y)

    @checks.door
    def multipliers(self, U: Tensor) -> tuple[Tensor, Tensor]:
        """sᵢ(vᵢ − Pᵢ(vᵢ)): the two new multipliers, and two of F's terms."""
        one, two = (s * prior.residual(v) for s, v, prior in self._parts(U))
        return one, two

    @checks.door
    def F(self, U: Tensor) -> Tensor:
        """∇Φ(U)."""
        one, two = self.multipliers(U)
        return self.gradient(U) + one + two

    @checks.door
    def V(self, U: Tensor, eps: Tensor | float, M: Curvature) -> Callable[[Tensor], Tensor]:
        """p ↦ V p at U, with M = ``clarke`` (Newton) or ``majorised``."""
        curved = [(s, prior.curvature(v, M)) for s, v, prior in self._parts(U)]

        def apply(p: Tensor) -> Tensor:
            q = self.D.T(self.D(p)) + eps * p
            if self.H is not None:
                q = q + self.alpha * self.H.T(self.H(p))
            for s, curve in curved:
                q = q + s * curve(p)
            return q

        return apply

    @checks.door
    def kkt(self, U: Tensor) -> float:
        """max(‖∇data + L1 + L2‖, ‖U − Pᵢ(U + Lᵢ/sᵢ)‖)/(1 + ‖U‖): 0 at the model's solution."""
        stationary = self.gradient(U) + self.L[0] + self.L[1]
        split = [U - prior.prox(v) for _, v, prior in self._parts(U)]
        return float(max(r.norm() for r in (stationary, *split)) / (1 + U.norm()))


class Solution(NamedTuple):
    """What the augmented Lagrangian found, and what it did: one entry an outer step."""

    U: Tensor
    L: tuple[Tensor, Tensor]
    kkt: list[float]
    residuals: list[list[float]]  # ‖F‖ at U⁰, U¹, … of the inner problem
    phi: list[list[float]]  # Φ at the same points: never rises
    cg: list[int]  # products with V


@checks.door
def augmented_lagrangian(
    problem: Problem, start: Tensor, tol: float = 1e-6, outer: int = 500, inner: float = 0.1
) -> Solution:
    """The model's minimiser, by Newton–CG inside an augmented Lagrangian (Zhao, Sun & Toh 2010).

    problem : its multipliers are the first ones.  start : U⁰ (batch, C, rH, rW); the images of a
    batch are solved as one problem.  tol : of ``Problem.kkt``.  outer : most outer steps,
    each of at most ``NEWTON`` Newton steps, which ends where ‖F‖ is below ``inner`` times the last
    KKT.
    RuntimeError where ``outer`` steps do not reach ``tol``.
    """
    checks.finite("start", start)
    for name, number in (("tol", tol), ("inner", inner)):
        checks.number(name, number, 0, open_low=True)
    checks.whole("outer", outer, 1)
    made = Solution(start, problem.L, [], [], [], [])
    U = start
    for _ in range(outer):
        enough = inner * (made.kkt[-1] if made.kkt else 1.0)
        U, residuals, phi, products = minimise(problem, U, enough, NEWTON, CG)
        problem = problem._replace(L=problem.multipliers(U))
        made.kkt.append(problem.kkt(U))
        made.residuals.append(residuals)
        made.phi.append(phi)
        made.cg.append(products)
        if made.kkt[-1] <= tol:
            return made._replace(U=U, L=problem.L)
    raise RuntimeError(f"KKT is {made.kkt[-1]:.1e} after {outer} steps; {tol:.1e} was asked for")


@checks.door
def minimise(
    problem: Problem, U: Tensor, enough: float, newton: int, cg: int, M: Curvature = clarke
) -> tuple[Tensor, list[float], list[float], int]:
    """(U, ‖F‖ at each iterate, Φ at each, products with V): Newton–CG with Armijo on Φ.

    The linear system is solved to ‖V d + F‖ ≤ min(ETA, ‖F‖^(1 + TAU)) with ε = TAU1 min(TAU2, ‖F‖):
    locally quadratic where V stays nonsingular.
    """
    residuals, phi, products = list[float](), list[float](), 0
    for _ in range(newton + 1):
        F = problem.F(U)
        size = float(F.norm())
        residuals.append(size)
        phi.append(float(problem.Phi(U).sum()))
        if size <= enough or len(residuals) > newton:
            break
        d, made = newton_direction(problem, U, F, cg, M)
        products += made
        t = armijo(problem, U, d, phi[-1], float((F * d).sum()))
        if t == 0:  # Φ no longer changes in its last digit
            break
        U = U + t * d
    return U, residuals, phi, products


@checks.door
def newton_direction(
    problem: Problem, U: Tensor, F: Tensor, cg: int, M: Curvature = clarke
) -> tuple[Tensor, int]:
    """(d, products with V): V d = −F to the inexactness rule, by at most ``cg`` steps."""
    _sound(problem, U)
    checks.finite("F", F)
    checks.like("F", F, "U", U)
    size = float(F.norm())
    V, calls = problem.V(U, TAU1 * min(TAU2, size), M), [0]

    def counted(p: Tensor) -> Tensor:
        calls[0] += 1
        return V(p)

    tol = max(min(ETA / size, size**TAU, ETA), torch.finfo(U.dtype).eps)
    return conjugate_gradients(counted, -F, cg, tol), calls[0]


@checks.door
def armijo(problem: Problem, U: Tensor, d: Tensor, phi: float, slope: float) -> float:
    """The first of 1, ½, ¼, … with Φ(U + t d) ≤ Φ(U) + ARMIJO · t⟨F, d⟩, or 0 where there is none.

    Where the fall that is asked for drowns in Φ's rounding, t = 1 if ‖F‖ halves.
    """
    _sound(problem, U)
    checks.finite("d", d)
    checks.like("d", d, "U", U)
    for name, value in (("phi", phi), ("slope", slope)):
        checks.number(name, value)
    if -slope <= 1e-13 * (1 + abs(phi)):
        halves = problem.F(U + d).norm() <= 0.5 * problem.F(U).norm()
        return 1.0 if bool(halves) else 0.0
    for k in range(HALVINGS):
        t = 0.5**k
        if float(problem.Phi(U + t * d).sum()) <= phi + ARMIJO * t * slope:
            return t
    return 0.0


def _sound(problem: Problem, U: Tensor) -> None:
    """Refuse an iterate that is not finite or not of this problem."""
    checks.finite("U", U)
    checks.finite("Z", problem.Z)
    for name, L in zip(("L1", "L2"), problem.L, strict=True):
        checks.like("U", U, name, L)
    codomain = getattr(problem.D, "codomain", problem.Z.shape[1:])
    checks.shaped("Z", problem.Z, (len(U), *codomain))


@checks.door
def accelerated(problem: Problem, start: Tensor, K: int, step: float) -> list[Tensor]:
    """[U⁰, …, Uᴷ] of Nesterov's gradient method on the inner problem Φ: a product with D and one
    with Dᵀ a step, as in one step of conjugate gradients.

    step : at most 1/(‖D‖² + α‖H‖² + s1‖T1‖² + s2‖T2‖²).
    """
    checks.finite("start", start)
    checks.whole("K", K)
    checks.number("step", step, 0, open_low=True)
    Us, y = [start], start
    for beta in islice(momentum(), K):
        Us.append(y - step * problem.F(y))
        y = Us[-1] + beta * (Us[-1] - Us[-2])
    return Us
