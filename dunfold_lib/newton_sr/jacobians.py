"""Proximal maps, their generalised Jacobians, and how fast an iteration converges.

symbol     code        shape          meaning
P          prox        like v         proximal map of t·p; single-valued and non-expansive
J          jacobian    like v         an element of Clarke's Jacobian of P at v, as p ↦ J p
T, T*      T           Transform      linear map of a prior; T* is its transpose ``T.T``
θ, g       theta, g    like T v       threshold and centre, numbers or tensors that broadcast
h          envelope    (batch,)       Σ huber(T v − g): a convex function with a Lipschitz gradient
v − P(v)   residual    like v         T* clip(T v − g, θ) = ∇h(v)
M          clarke, majorised  like T v   I − J is T* M T

Every J is symmetric with 0 ≤ J ≤ I, so conjugate gradients apply to sI − sJ and sums of it. Where
T T* = I the map P is the prox of θ‖T · − g‖₁; for any T with ‖T‖ ≤ 1 it is still the prox of some
convex function (Moreau 1965: a non-expansive gradient of a convex function).
Clarke 1983; Qi & Sun 1993; Li, Sun & Toh 2018 for the Jacobians of the ℓ1 norm.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.prox import soft

Curvature = Callable[[Tensor, Tensor], Tensor]  # (a, θ) -> M


class Transform(Protocol):
    """A linear map with its transpose: an ``operators.Linear``, or a network's convolution."""

    def __call__(self, x: Tensor, /) -> Tensor: ...
    def T(self, r: Tensor, /) -> Tensor: ...


class Penalty(Protocol):
    """A norm p with the proximal map of t·p, and an element of that map's Clarke Jacobian."""

    def value(self, x: Tensor) -> Tensor: ...
    def prox(self, v: Tensor, t: float) -> Tensor: ...
    def active(self, v: Tensor, t: float) -> Tensor: ...  # mask: J is 0 outside it
    def jacobian(self, v: Tensor, t: float) -> Callable[[Tensor], Tensor]: ...


@dataclass(frozen=True)
class L1:
    """p(x) = ‖x‖₁. Its prox is piecewise affine: Newton's method ends after finitely many steps."""

    @checks.door
    def value(self, x: Tensor) -> Tensor:
        return x.abs().sum(-1)

    @checks.door
    def prox(self, v: Tensor, t: float) -> Tensor:
        return soft(v, t)

    @checks.door
    def active(self, v: Tensor, t: float) -> Tensor:
        """|v| > t."""
        return v.abs() > t

    @checks.door
    def jacobian(self, v: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """J = diag(1{|v| > t})."""
        M = self.active(v, t).to(v)
        return lambda p: M * p


@checks.door
@dataclass(frozen=True)
class Groups:
    """p(x) = Σ ‖x_G‖₂ over consecutive groups of ``size`` entries; its prox is curved."""

    size: int

    def __post_init__(self) -> None:
        checks.whole("size", self.size, 1)

    def _split(self, x: Tensor) -> Tensor:
        if x.shape[-1] % self.size:
            raise ValueError(f"x has {x.shape[-1]} entries; groups of {self.size} must divide them")
        return x.unflatten(-1, (-1, self.size))

    @checks.door
    def value(self, x: Tensor) -> Tensor:
        return self._split(x).norm(dim=-1).sum(-1)

    @checks.door
    def prox(self, v: Tensor, t: float) -> Tensor:
        """(1 − t/‖v_G‖)₊ v_G."""
        split = self._split(v)
        size = split.norm(dim=-1, keepdim=True)
        return ((size - t).relu() / size.where(size > 0, 1) * split).flatten(-2)

    @checks.door
    def active(self, v: Tensor, t: float) -> Tensor:
        """The entries of groups with ‖v_G‖ > t."""
        split = self._split(v)
        return (split.norm(dim=-1, keepdim=True) > t).expand_as(split).flatten(-2)

    @checks.door
    def jacobian(self, v: Tensor, t: float) -> Callable[[Tensor], Tensor]:
        """J = (1 − t/‖v‖)I + (t/‖v‖) v vᵀ/‖v‖² on groups with ‖v‖ > t, else 0."""
        split = self._split(v)
        size = split.norm(dim=-1, keepdim=True)
        unit = split / size.where(size > 0, 1)
        ratio = t / size.where(size > 0, 1)

        def apply(p: Tensor) -> Tensor:
            q = self._split(p)
            along = (unit * q).sum(-1, keepdim=True) * unit
            return torch.where(size > t, (1 - ratio) * q + ratio * along, 0).flatten(-2)

        return apply


@checks.door
def clip(a: Tensor, theta: Tensor) -> Tensor:
    """a − soft(a, θ): the entries of a, brought into [−θ, θ]; θ ≥ 0."""
    checks.broadcasts("theta", theta, a.shape)
    return torch.clamp(a, -theta, theta)


@checks.door
def clarke(a: Tensor, theta: Tensor) -> Tensor:
    """1{|a| < θ}: the derivative of ``clip``, an element of its Clarke Jacobian; NaN of NaN."""
    checks.broadcasts("theta", theta, a.shape)
    return (a.abs() < theta).to(a).where(a == a, a)


@checks.door
def majorised(a: Tensor, theta: Tensor) -> Tensor:
    """min(1, θ/|a|), at least ``clarke``: the curvature of the parabola that touches huber at a
    and lies above it everywhere (half-quadratic; Geman & Reynolds 1992).
    """
    checks.broadcasts("theta", theta, a.shape)
    return theta / torch.maximum(a.abs(), theta.clamp(min=torch.finfo(a.dtype).tiny))


class Shrink(NamedTuple):
    """P(v) = v − T*clip(T v − g, θ), the proximal map of a prior that T and g describe."""

    T: Transform
    theta: Tensor  # broadcasts to T v, not negative
    g: Tensor  # broadcasts to T v

    @checks.door
    def residual(self, v: Tensor) -> Tensor:
        """v − P(v) = ∇h(v)."""
        return self.T.T(clip(self.T(v) - self.g, self.theta))

    @checks.door
    def prox(self, v: Tensor) -> Tensor:
        """P(v)."""
        return v - self.residual(v)

    @checks.door
    def envelope(self, v: Tensor) -> Tensor:
        """h(v), one value per row: a²/2 where |a| ≤ θ and θ|a| − θ²/2 beyond, a = T v − g."""
        a = self.T(v) - self.g
        inside = clip(a, self.theta)
        return (inside * (a - inside / 2)).flatten(1).sum(1)

    @checks.door
    def penalty(self, x: Tensor) -> Tensor:
        """Σ θ|T x − g|, one value per row: the prior itself where T T* = I."""
        return (self.theta * (self.T(x) - self.g).abs()).flatten(1).sum(1)

    @checks.door
    def curvature(self, v: Tensor, M: Curvature) -> Callable[[Tensor], Tensor]:
        """p ↦ (I − J)p = T*(M · T p) with M = ``clarke`` or ``majorised`` at v."""
        weight = M(self.T(v) - self.g, self.theta)
        return lambda p: self.T.T(weight * self.T(p))


@checks.door
def directional(F: Callable[[Tensor], Tensor], U: Tensor, p: Tensor) -> Tensor:
    """F′(U; p) by forward differentiation: what V p must equal where F is differentiable."""
    with warnings.catch_warnings():  # torch scripts its own formulas the first time
        warnings.filterwarnings("ignore", ".*torch.jit.script.*")
        return torch.func.jvp(F, (U,), (p,))[1]


@checks.door
def dense(V: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """The matrix (n, n) of a map of one row's shape, for small n: column j is V(eⱼ)."""
    checks.finite("like", like)
    n = like[0].numel()
    eye = torch.eye(n, dtype=like.dtype, device=like.device)
    return torch.stack([V(e.reshape(1, *like.shape[1:])).flatten() for e in eye], 1)


@checks.door
def orders(residuals: Sequence[float], floor: float = 1e-12) -> list[float]:
    """log(eₖ₊₁/eₖ)/log(eₖ/eₖ₋₁) of every falling triple whose residuals are above ``floor``.

    1 is linear convergence, 2 quadratic. Below the floor rounding, not the method, decides.
    """
    checks.number("floor", floor, 0)
    for residual in residuals:
        checks.number("one of residuals", residual, 0)
    triples = zip(residuals, residuals[1:], residuals[2:], strict=False)
    return [log(c / b) / log(b / a) for a, b, c in triples if a > b > c > floor]


@checks.door
def filter_norm(w: Tensor, grid: int = 64) -> Tensor:
    """‖T‖₂ of the convolution with filters w (out, in, 3, 3) on an infinite image.

    The largest singular value of the transfer matrix over a ``grid`` of frequencies. Zeros around
    a finite image make the norm smaller, not larger.
    """
    spectrum = torch.fft.fft2(w, s=(grid, grid)).permute(2, 3, 0, 1)
    return torch.linalg.matrix_norm(spectrum, 2).amax()
