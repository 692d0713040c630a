"""ISTA-Net and ISTA-Net+: ISTA whose wavelet basis becomes a small learned network.

    minimise over x:   ½‖A x − b‖² + λ‖F(x)‖₁

symbol     code           shape                      meaning
A          A              (1, h, w) -> codomain      Sensing on blocks 33×33, or Fourier on images
b          b              (batch, *A.codomain)       measurement
x, x⁰      x              (batch, 1, h, w)           image in [0, 1]; x⁰ = Q b, or Aᵀb without Q
Q          Q              (h·w, m)                   linear start, least squares on training patches
r          Phase.r        (batch, 1, h, w)           after the gradient step
u          Phase.u        like r, or channels        what is transformed: r, or D(r) in ISTA-Net+
z          Phase.z        (batch, channels, h, w)    features F(u), before the threshold
ρᵏ, θᵏ     rho, theta     (K,)                       step and threshold, any real numbers
F          C1, C2         K × (out, in, 3, 3)        transform: C2 · ReLU · C1
F̃          C3, C4         K × (out, in, 3, 3)        its learned left inverse: C4 · ReLU · C3
D, G       D, G           K × (out, in, 3, 3)        into and out of the residual domain (ISTA-Net+)
K, k       K, k           whole                      number of phases, index of one

                r = x − ρ Aᵀ(A x − b), then                                       numbers a phase
wavelet ISTA    W soft(Wᵀ r, ρλ)              W orthonormal, fixed                              0
ISTA-Net        F̃(soft(F(r), θ))              convolutions 1→c→c, c→c→1                    19,010
ISTA-Net+       r + G(F̃(soft(F(D(r)), θ)))    convolutions 1→c, c→c→c, c→c→c, c→1          37,442

Zhang & Ghanem 2018; counts for c = 32 channels. Convolutions are 3×3 without bias, padded by zeros
at the block's edge, and run channels-last, which a CPU does faster.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor
from dunfold_lib.imaging.baselines import Phase
from dunfold_lib.operators import Linear, is_linear
from dunfold_lib.operators import fits as rows_fit
from dunfold_lib.prox import soft
from dunfold_lib.unroll import Unrolled

RHO, THETA = 0.5, 0.01  # the paper's first step and threshold


def conv(x: Tensor, w: Tensor) -> Tensor:
    """3×3 convolution, zeros around: (batch, in, h, w) -> (batch, out, h, w)."""
    checks.shaped("x", x, ("batch", w.shape[1], "h", "w"))
    return functional.conv2d(x, w, padding=1)


def channels_last(r: Tensor) -> Tensor:
    """One-channel images laid out so that what is computed from them is channels-last."""
    return r.reshape(len(r), *r.shape[2:], 1).permute(0, 3, 1, 2)


class Phases(Unrolled):
    """The skeleton of both networks: operator, linear start, steps and thresholds, F and F̃."""

    A: Linear
    Q: Tensor | None
    rho: nn.Parameter
    theta: nn.Parameter
    C1: nn.ParameterList
    C2: nn.ParameterList
    C3: nn.ParameterList
    C4: nn.ParameterList

    def __init__(self, A: Linear, K: int, channels: int, Q: AnyTensor | None):
        super().__init__()
        is_linear("A", A)
        if len(A.domain) != 3 or A.domain[0] != 1:
            raise ValueError(f"A takes {A.domain}; a network needs an operator on images (1, h, w)")
        checks.whole("K", K, 1)
        checks.whole("channels", channels, 2)
        if Q is not None:
            checks.finite("Q", Q)
            wanted = (A.domain[1] * A.domain[2], *A.codomain)
            if tuple(Q.shape) != wanted:
                raise ValueError(f"Q has shape {tuple(Q.shape)}; it must be {wanted}, (h·w, m)")
            Q = Q.detach().to(precision(A), copy=True)
        self.A, self.K = A, K
        self.register_buffer("Q", Q, persistent=False)
        self.rho = nn.Parameter(torch.full((K,), RHO, dtype=precision(A)))
        self.theta = nn.Parameter(torch.full((K,), THETA, dtype=precision(A)))

    def start(self, b: Tensor) -> Tensor:
        return linear_estimate(self.A, self.Q, b)

    def transform(self, k: int, u: Tensor) -> Tensor:
        """F, of phase k."""
        return conv(conv(u, self.C1[k]).relu_(), self.C2[k])

    def inverse(self, k: int, z: Tensor) -> Tensor:
        """F̃, of phase k."""
        return conv(conv(z, self.C3[k]).relu_(), self.C4[k])

    def phase(self, k: int, x: Tensor, b: Tensor) -> Phase:
        """Everything that phase k makes of xᵏ."""
        raise NotImplementedError

    def layer(self, k: int, x: Tensor, b: Tensor) -> Tensor:
        return self.phase(k, x, b).x


class ISTANet(Phases):
    """Wavelet ISTA with a learned transform and a learned inverse (Zhang & Ghanem 2018).

    A : operator on images (1, h, w).  Q : linear start (h·w, m), or None for x⁰ = Aᵀb.
    seed : of the fresh filters.
    """

    def __init__(
        self, A: Linear, K: int = 9, channels: int = 32, Q: AnyTensor | None = None, seed: int = 0
    ):
        super().__init__(A, K, channels, Q)
        g = torch.Generator().manual_seed(seed)
        self.C1 = filters(A, K, channels, 1, g)
        self.C2 = filters(A, K, channels, channels, g)
        self.C3 = filters(A, K, channels, channels, g)
        self.C4 = filters(A, K, 1, channels, g)

    def phase(self, k: int, x: Tensor, b: Tensor) -> Phase:
        """Everything that phase k makes of xᵏ."""
        rows_fit(self.A, b, x)
        r = x - self.rho[k] * self.A.T(self.A(x) - b)
        u = channels_last(r)
        z = self.transform(k, u)
        return Phase(r, u, z, self.inverse(k, soft(z, self.theta[k])))


class ISTANetPlus(Phases):
    """ISTA-Net that learns what is missing from r, in a residual domain (Zhang & Ghanem 2018).

    A, Q, seed : as in ISTA-Net. F and F̃, here C2·ReLU·C1 and C4·ReLU·C3, are the paper's H and H̃.
    """

    def __init__(
        self, A: Linear, K: int = 9, channels: int = 32, Q: AnyTensor | None = None, seed: int = 0
    ):
        super().__init__(A, K, channels, Q)
        g = torch.Generator().manual_seed(seed)
        self.D = filters(A, K, channels, 1, g)
        self.C1 = filters(A, K, channels, channels, g)
        self.C2 = filters(A, K, channels, channels, g)
        self.C3 = filters(A, K, channels, channels, g)
        self.C4 = filters(A, K, channels, channels, g)
        self.G = filters(A, K, 1, channels, g)

    def phase(self, k: int, x: Tensor, b: Tensor) -> Phase:
        """Everything that phase k makes of xᵏ."""
        rows_fit(self.A, b, x)
        r = x - self.rho[k] * self.A.T(self.A(x) - b)
        u = conv(channels_last(r), self.D[k])
        z = self.transform(k, u)
        return Phase(r, u, z, r + conv(self.inverse(k, soft(z, self.theta[k])), self.G[k]))


@checks.door
def symmetric_loss(
    net: ISTANet | ISTANetPlus, b: Tensor, truth: Tensor, weight: float = 0.01
) -> Tensor:
    """Mean (xᴷ − x*)² + weight · Σₖ mean (F̃(F(u)) − u)²: the paper's training loss.

    The second term asks F̃ to undo F where no threshold comes between.
    """
    fits(net, b, truth)
    x, asymmetry = net.start(b), truth.new_zeros(())
    for k in range(net.K):
        _, u, z, x = net.phase(k, x, b)
        if weight:
            asymmetry = asymmetry + (net.inverse(k, z) - u).square().mean()
    return (x - truth).square().mean() + weight * asymmetry


@checks.door
def fits(net: ISTANet | ISTANetPlus, b: Tensor, truth: Tensor) -> None:
    """Refuse a truth that is not one image for each measurement."""
    checks.rows("b", b, net.A.codomain)
    checks.real("truth", truth)
    wanted = (len(b), *net.A.domain)
    if tuple(truth.shape) != wanted:
        raise ValueError(f"truth has shape {tuple(truth.shape)}; it must be {wanted}")


@checks.door
def phases(net: ISTANet | ISTANetPlus, b: Tensor) -> list[Phase]:
    """What every phase does to one measurement: r, u, features z and estimate, for the eye."""
    x, seen = net.start(b), []
    for k in range(net.K):
        seen.append(net.phase(k, x, b))
        x = seen[-1].x
    return seen


@checks.door
@torch.no_grad()
def start_quietly(net: ISTANet | ISTANetPlus) -> None:
    """Change a fresh network so that untrained it gives its linear start: x⁰ = x¹ = … = xᴷ.

    With Q in the place of Aᵀ, A Q b = b, so no gradient step moves x⁰. ISTA-Net+: G = 0. ISTA-Net:
    two filters of C1 are ±δ, so that ReLU(v) − ReLU(−v) = v passes F and, likewise, F̃; the other
    features are not listened to yet, and θ = 0. Training starts there, at a useful image.
    """
    net.rho.fill_(1.0)
    if isinstance(net, ISTANetPlus):
        for G in net.G:
            G.zero_()
        return
    net.theta.zero_()
    for C1, C2, C3, C4 in zip(net.C1, net.C2, net.C3, net.C4, strict=True):
        delta = torch.zeros_like(C1[0, 0])
        delta[1, 1] = 1
        C1[0, 0], C1[1, 0] = delta, -delta
        C2[0] = 0  # the first feature is the image itself
        C2[0, 0], C2[0, 1] = delta, -delta
        C3[:2] = 0
        C3[0, 0], C3[1, 0] = delta, -delta
        C4.zero_()
        C4[0, 0], C4[0, 1] = delta, -delta


@checks.door
def linear_estimate(A: Linear, Q: Tensor | None, b: Tensor) -> Tensor:
    """x⁰ = Q b as images, or Aᵀb where there is no Q."""
    checks.rows("b", b, A.codomain)
    if b.dtype != precision(A):
        raise TypeError(f"b has dtype {b.dtype}; the network's operator has {precision(A)}")
    if Q is None:
        return A.T(b)
    with torch.autocast(b.device.type, enabled=False):  # x⁰ in full precision
        return (b @ Q.T).unflatten(1, A.domain)


def precision(A: Linear) -> torch.dtype:
    """The dtype of an operator's fixed numbers, which its networks and measurements share."""
    return next(A.buffers()).dtype


def filters(A: Linear, K: int, out: int, into: int, g: torch.Generator) -> nn.ParameterList:
    """K fresh filters (out, into, 3, 3), Xavier-normal as in the authors' code, channels-last."""
    fresh = (nn.init.xavier_normal_(torch.empty(out, into, 3, 3), generator=g) for _ in range(K))
    last = torch.channels_last
    return nn.ParameterList(w.to(precision(A), memory_format=last) for w in fresh)


class Within(nn.Module):
    """Keeps a learned number in (low, high) by a sigmoid, or above low by softplus."""

    def __init__(self, low: float, high: float | None = None):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, free: Tensor) -> Tensor:
        if self.high is None:
            return self.low + functional.softplus(free)
        return self.low + (self.high - self.low) * free.sigmoid()

    def right_inverse(self, value: Tensor) -> Tensor:
        """The free number behind a value."""
        if self.high is None:
            return (value - self.low).clamp(min=1e-6).expm1().log()
        return ((value - self.low) / (self.high - self.low)).logit()


def names(net: ISTANet | ISTANetPlus) -> Sequence[str]:
    """The filters of a network, in the order in which a phase applies them."""
    plus = isinstance(net, ISTANetPlus)
    return ("D", "C1", "C2", "C3", "C4", "G") if plus else ("C1", "C2", "C3", "C4")
