"""Guided super-resolution: a semi-smooth Newton method unrolled, and two networks beside it.

    minimise over U:   ½‖D U − Z‖² + (α/2)‖H U − Y‖² + β φ(U) + γ ψ(U | Y)

symbol     code        shape                       meaning
U          State.U     (batch, C, rH, rW)          the image asked for, in [0, 1]: depth or C bands
z          Pair.Z      (batch, C, H, W)            measured low-resolution image, in [0, 1]
Y          Pair.Y      (batch, Cy, rH, rW)         guide, in [0, 1]
L1, L2     State.L1    like U                      multipliers of the two splittings
D          A           like U to like z            ``Downsample``, ‖D‖₂ = 1; D U is near r z
H, α       H, alpha    (Cy, C), number             learned spectral response and its weight
T1, T2     T1, T2      K × (c, C, 3, 3)            learned filters of φ and of ψ
g          State.g     (batch, c, rH, rW)          what T2 U should be, made from the guide
θ1, θ2     theta1      (c, 1, 1), like g           thresholds softplus(t1), softplus(τ + t2)
τ          State.tau   like g                      what the guide adds to θ2
s1, s2, ε  s1, s2, eps (K,)                        exp of learned numbers; η = eta, the step
E          E1, E2, E3  convolutions 3×3            the guide's encoder: (Y, U⁰ − mean U⁰) -> (g, τ)
f, c       f, c        whole                       its channels; number of filters
F, V       Problem     like U                      of ``algorithm.Problem``, for these priors
d          direction   like U                      what a stage moves along

A stage:   d = direction(U);  U ← U + η d;  Lᵢ ← sᵢ Tᵢᵀ clip(Tᵢ(U + Lᵢ/sᵢ) − gᵢ, θᵢ)

                       direction                                                learned (3 stages)
NewtonSR               conjugate gradients on V d = −F, a few steps                         3,772
LearnedInverseSR       N(F) − F: a small network in the place of V⁻¹                        5,980
FirstOrderSR           −F                                                                   3,769

Zhang et al. 2025 (SNUM-Net) for the model. Their released code never forms V: a U-Net that sees F
and a recurrent unit make the step, and the maps D, Dᵀ, H, Hᵀ are convolutions of their own;
``LearnedInverseSR`` is a small network of that kind. Here D is fixed and Dᵀ its exact transpose,
the guide is encoded once, so ψ(· | Y) stays one convex function, and F is the same in all three.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.newton_sr.algorithm import Problem
from dunfold_lib.newton_sr.downsampling import Downsample, Pair, mix, up
from dunfold_lib.newton_sr.jacobians import Curvature, Shrink, majorised
from dunfold_lib.solvers import conjugate_gradients
from dunfold_lib.unroll import Unrolled

LOG_S, LOG_EPS, FREE_THETA = -1.0, -3.0, -4.0  # first values: s = e⁻¹, ε = e⁻³, θ = softplus(−4)
FILTER = 1.5  # first norm of a filter, times √c
HEAD = 0.01  # deviation of the first weights of a last layer: the encoder's, the inverse's
PATCH = 40  # side of the images that the operator of a fresh network is made for


class State(NamedTuple):
    """What a stage hands to the next; g and τ stay what the start made them."""

    U: Tensor
    L1: Tensor
    L2: Tensor
    g: Tensor
    tau: Tensor


class Filters(NamedTuple):
    """T: 3×3 convolution with w (c, C, 3, 3), zeros around, and its transpose."""

    w: Tensor

    def __call__(self, x: Tensor) -> Tensor:  # (batch, C, h, w) -> (batch, c, h, w)
        return functional.conv2d(x, self.w, padding=1)

    def T(self, r: Tensor) -> Tensor:  # the flipped filters: conv_transpose2d, but much faster
        return functional.conv2d(r, self.w.flip(2, 3).transpose(0, 1), padding=1)


class Response(NamedTuple):
    """H: a matrix (Cy, C) on the bands of every pixel, and its transpose."""

    H: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return mix(self.H, x)

    def T(self, r: Tensor) -> Tensor:
        return mix(self.H.T, r)


class Stages(Unrolled):
    """The skeleton of the three networks: everything but the direction.

    ratio : r.  K : stages.  c, f : filters of each prior, channels of the encoder.  channels,
    guides : C and Cy.  alpha : first weight of the spectral term; 0 leaves it out, with H.
    seed : of the fresh filters.
    """

    def __init__(
        self,
        ratio: int = 4,
        K: int = 3,
        c: int = 8,
        f: int = 12,
        channels: int = 1,
        guides: int = 1,
        alpha: float = 0.0,
        seed: int = 0,
    ):
        super().__init__()
        for name, count in (("K", K), ("c", c), ("f", f), ("guides", guides)):
            checks.whole(name, count, 1)
        checks.number("alpha", alpha, 0)
        checks.whole("ratio", ratio, 2)
        self.A = Downsample((-(-PATCH // ratio) * ratio,) * 2, ratio, channels)
        self.K, self.ratio, self.channels, self.guides = K, ratio, channels, guides
        g = torch.Generator().manual_seed(seed)
        self.E1 = _conv(channels + guides, f, g)
        self.E2 = _conv(f, f, g)
        self.E3 = _conv(f, 2 * c, g, HEAD)
        self.T1 = nn.ParameterList(_zero_mean(c, channels, g) for _ in range(K))
        self.T2 = nn.ParameterList(_zero_mean(c, channels, g) for _ in range(K))
        self.t1 = nn.Parameter(torch.full((K, c, 1, 1), FREE_THETA))
        self.t2 = nn.Parameter(torch.full((K, c, 1, 1), FREE_THETA))
        self.log_s1 = nn.Parameter(torch.full((K,), LOG_S))
        self.log_s2 = nn.Parameter(torch.full((K,), LOG_S))
        self.eta = nn.Parameter(torch.ones(K))
        if alpha:
            self.H = nn.Parameter(torch.full((guides, channels), 1 / channels))
            self.free_alpha = nn.Parameter(torch.tensor(alpha + math.log(-math.expm1(-alpha))))

    def start(self, b: Pair) -> State:
        """U⁰ = up(z), L = 0, and what the guide says."""
        _measured(self, b)
        U = up(b.Z, self.ratio)
        seen = torch.cat([b.Y, U - U.mean((2, 3), keepdim=True)], 1)
        made = self.E3(self.E2(self.E1(seen).relu()).relu())
        g, tau = made.chunk(2, 1)
        return State(U, torch.zeros_like(U), torch.zeros_like(U), g, tau)

    def problem(self, k: int, x: State, b: Pair) -> Problem:
        """The inner problem of stage k: its F, V and multipliers."""
        _measured(self, b)
        checks.shaped("U", x.U, (len(b.Z), *b.Z.shape[1:2], *b.Y.shape[2:]))
        checks.like("L1", x.L1, "U", x.U)
        checks.like("L2", x.L2, "U", x.U)
        checks.like("tau", x.tau, "g", x.g)
        checks.shaped("g", x.g, (len(x.U), self.t2.shape[1], *x.U.shape[2:]))
        zero = x.U.new_zeros(())
        phi = Shrink(Filters(self.T1[k]), functional.softplus(self.t1[k]), zero)
        psi = Shrink(Filters(self.T2[k]), functional.softplus(x.tau + self.t2[k]), x.g)
        s, D = (self.log_s1[k].exp(), self.log_s2[k].exp()), self.A.at(x.U)
        inner = Problem(D, self.ratio * b.Z, (phi, psi), s, (x.L1, x.L2))
        if "H" not in self._parameters:
            return inner
        alpha = functional.softplus(self.free_alpha)
        return inner._replace(H=Response(self.H), Y=b.Y, alpha=alpha)

    def direction(self, k: int, problem: Problem, U: Tensor) -> Tensor:
        """d of stage k: what the three networks differ in."""
        raise NotImplementedError

    def layer(self, k: int, x: State, b: Pair) -> State:
        problem = self.problem(k, x, b)
        U = x.U + self.eta[k] * self.direction(k, problem, x.U)
        return State(U, *problem.multipliers(U), x.g, x.tau)

    def readout(self, x: State) -> Tensor:
        return x.U


class NewtonSR(Stages):
    """A stage solves V d = −F by ``cg`` steps of conjugate gradients.

    cg : may be raised after training.  curvature : ``jacobians.majorised``, which has curvature
    where the clip saturates and passes gradients to the thresholds, or ``jacobians.clarke``.
    The other arguments are those of ``Stages``.
    """

    def __init__(
        self,
        ratio: int = 4,
        K: int = 3,
        c: int = 8,
        f: int = 12,
        channels: int = 1,
        guides: int = 1,
        alpha: float = 0.0,
        seed: int = 0,
        cg: int = 4,
        curvature: Curvature = majorised,
    ):
        super().__init__(ratio, K, c, f, channels, guides, alpha, seed)
        checks.whole("cg", cg, 1)
        self.cg, self.curvature = cg, curvature
        self.log_eps = nn.Parameter(torch.full((K,), LOG_EPS))

    def direction(self, k: int, problem: Problem, U: Tensor) -> Tensor:
        V = problem.V(U, self.log_eps[k].exp(), self.curvature)
        return conjugate_gradients(V, -problem.F(U), self.cg)


class LearnedInverseSR(Stages):
    """A stage moves along N(F) − F, N two hidden layers of ``width`` channels, near 0 at first."""

    def __init__(
        self,
        ratio: int = 4,
        K: int = 3,
        c: int = 8,
        f: int = 12,
        channels: int = 1,
        guides: int = 1,
        alpha: float = 0.0,
        seed: int = 0,
        width: int = 8,
    ):
        super().__init__(ratio, K, c, f, channels, guides, alpha, seed)
        checks.whole("width", width, 1)
        g = torch.Generator().manual_seed(seed + 1)
        self.N1 = nn.ModuleList(_conv(channels, width, g) for _ in range(K))
        self.N2 = nn.ModuleList(_conv(width, width, g) for _ in range(K))
        self.N3 = nn.ModuleList(_conv(width, channels, g, HEAD) for _ in range(K))

    def direction(self, k: int, problem: Problem, U: Tensor) -> Tensor:
        F = problem.F(U)
        return self.N3[k](self.N2[k](self.N1[k](F).relu()).relu()) - F


class FirstOrderSR(Stages):
    """A stage moves along −F: the gradient step, for comparison."""

    def direction(self, k: int, problem: Problem, U: Tensor) -> Tensor:
        return -problem.F(U)


class PlainSR(nn.Module):
    """No algorithm: up(z) plus three convolutions of Y and up(z), less their means, for comparison.

    ratio : r.  f : channels of the two hidden layers; 20 has 4,181 parameters.  channels, guides :
    C and Cy.  seed : of the fresh weights.
    """

    @checks.door
    def __init__(
        self, ratio: int = 4, f: int = 20, channels: int = 1, guides: int = 1, seed: int = 0
    ):
        super().__init__()
        checks.whole("ratio", ratio, 2)
        checks.whole("f", f, 1)
        g = torch.Generator().manual_seed(seed)
        self.ratio, self.channels, self.guides = ratio, channels, guides
        self.C1 = _conv(channels + guides, f, g)
        self.C2 = _conv(f, f, g)
        self.C3 = _conv(f, channels, g, HEAD)

    @checks.door
    def forward(self, b: Pair) -> Tensor:
        _measured(self, b)
        U = up(b.Z, self.ratio)
        centred = lambda x: x - x.mean((2, 3), keepdim=True)
        seen = torch.cat([centred(b.Y), centred(U)], 1)
        return U + self.C3(self.C2(self.C1(seen).relu()).relu())


@checks.door
def charbonnier(
    net: Stages | PlainSR, b: Pair, truth: Tensor, residual: float = 0.0, fourier: float = 0.0
) -> Tensor:
    """Mean √((U − U*)² + 10⁻⁶), and two terms of the paper's loss where their weights are not 0.

    residual : weight of the mean over stages of mean|F(U)|, for networks with an F.  fourier : of
    the mean distance of the two spectra (orthonormal Fourier transform).
    """
    if residual and isinstance(net, Stages):
        U, rest = _with_residual(net, b)
    else:
        U, rest = net(b), truth.new_zeros(())
    checks.like("truth", truth, "the estimate", U)
    loss = ((U - truth).square() + 1e-6).sqrt().mean() + residual * rest
    if fourier:
        loss = loss + fourier * torch.fft.rfft2(U - truth, norm="ortho").abs().mean()
    return loss


def _with_residual(net: Stages, b: Pair) -> tuple[Tensor, Tensor]:
    """(U after the last stage, mean over stages of mean|F(U)| before each)."""
    x, rest = net.start(b), b.Z.new_zeros(())
    for k in range(net.K):
        rest = rest + net.problem(k, x, b).F(x.U).abs().mean() / net.K
        x = net.layer(k, x, b)
    return x.U, rest


class Step(NamedTuple):
    """What one stage did, one value per row: does d solve the Newton system?"""

    F: Tensor  # ‖F(U)‖ before the step
    relative: Tensor  # ‖V d + F‖/‖F‖, V with the Clarke or majorised curvature asked for


@checks.door
@torch.no_grad()
def steps(net: Stages, b: Pair, curvature: Curvature = majorised) -> list[Step]:
    """The Newton system's residual in every stage; without ε where a network has none."""
    x, seen = net.start(b), []
    size = lambda t: t.flatten(1).norm(dim=1)
    for k in range(net.K):
        problem = net.problem(k, x, b)
        F, d = problem.F(x.U), net.direction(k, problem, x.U)
        eps = net.log_eps[k].exp() if isinstance(net, NewtonSR) else 0.0
        seen.append(Step(size(F), size(problem.V(x.U, eps, curvature)(d) + F) / size(F)))
        x = net.layer(k, x, b)
    return seen


def _conv(into: int, out: int, g: torch.Generator, scale: float | None = None) -> nn.Conv2d:
    """A fresh 3×3 convolution: He-normal weights, or N(0, scale²); no bias at first."""
    made = nn.Conv2d(into, out, 3, padding=1)
    with torch.no_grad():
        made.weight.normal_(generator=g)
        made.weight.mul_((2 / (9 * into)) ** 0.5 if scale is None else scale)
    made.bias = nn.Parameter(torch.zeros(out))
    return made


def _zero_mean(c: int, channels: int, g: torch.Generator) -> Tensor:
    """Filters (c, C, 3, 3) without mean, of norm FILTER/√c each."""
    w = torch.randn(c, channels, 3, 3, generator=g)
    w = w - w.mean((2, 3), keepdim=True)
    return FILTER / c**0.5 * w / w.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)


def _measured(net: Stages | PlainSR, b: Pair) -> None:
    """Refuse what is no measurement of this network: shape and dtype only."""
    if not isinstance(b, Pair):
        raise TypeError(f"b is a {type(b).__name__}; it must be a newton_sr.Pair(Z, Y)")
    checks.shaped("Z", b.Z, ("batch", net.channels, "H", "W"))
    checks.rows("Y", b.Y, (net.guides, *(net.ratio * n for n in b.Z.shape[2:])))
    if len(b.Y) != len(b.Z) or b.Y.dtype != b.Z.dtype:
        other = f"{len(b.Y)} rows of {b.Y.dtype}"
        raise ValueError(f"Y has {other}; Z has {len(b.Z)} rows of {b.Z.dtype}")
