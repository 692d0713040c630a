"""Denoising a cube by sweeps of STAR whose numbers and dictionaries are learned.

    minimise over G, A, m, B, S with AᵀA = I (``algorithm.Star``):
      ½‖Y − G×₃A − S‖² + μ‖S‖₁ + λ Σᵢ (½‖Rᵢ G − mᵢ − Bᵢ×D‖² + γ₁‖Bᵢ‖₁ + γ₂‖Bᵢ‖_*)

symbol     code          shape               meaning
Y          Noisy.Y       (N, B, H, W)        noisy cube over σ: every number below is in units of σ
A          Noisy.A       (N, B, r)           basis of the spectra; columns beyond the estimated rank
                                             are zero, and so are their images
G, S       State.G, .S   (N, r, H, W), as Y  eigen-images; sparse noise
X, m       X, m          (N, r, p², n)       patches of G without their means m (N, r, 1, n)
B, L       State.B, .L   like X              codes, and their copy of low rank
U          State.U       like X              P/β: multiplier of L = B over its penalty
C, D, W    C, D, W       3 matrices each     dictionaries: analysis, synthesis, output; p = r = 9
ν          -             λ + β               curvature of the step in B
w          w             numbers             β/ν, in (0, 1)
θ, τ       theta, tau    numbers             thresholds λγ₁/ν of the codes, λγ₂/β of singular values
α          alpha         number              patches' share in G: λC₀/(1 + λC₀), C₀ = (p/stride)²
c          count         (1, 1, H, W)        how often a pixel is in a patch, over C₀
μ          mu            number              threshold of S

A layer is a sweep:
    S = soft(Y − G×₃A, μ)                                                            STARNetS alone
    B = soft(B + (1 − w) C(X − D(B)) + w (L + U − B), θ)                             ShrinkNet
    L = SVT(B − U, τ);   U = U + L − B                                               SvtNet, Linear
    G = ((1 − α)(Y − S)×₃Aᵀ + α Rᵀ(W(B) + m)/C₀) / (1 − α + α c);   A = Procrustes   LargNet

             blocks                learned, K = 6                        numbers a layer
SMDSNet      B, G in the last      729 + 6·729 = 5,103; 735 with one θ   θ, one an atom or a layer
STARNet      B, L, G, A            752; 5,120 with θ an atom             θ, α, w, τ
STARNetS     S, B, L, G, A         758                                   θ, α, w, τ, μ
STARNetPaper B, L, G, A            18,954; K = 9: 27,702                 λ, γ₁, γ₂, β, each an atom

With orthonormal C = D = W, as in a fresh network (the DCT over pixels, the identity over
eigen-images), a layer *is* a sweep of ``algorithm.Star`` (``as_sweeps``). Xiong et al. 2022, Liu et
al. 2026. The public snapshot of STAR-Net's code runs the B-step alone: its SVT and its updates of
G and A are not executed, and γ₂ and β keep their first values. Here the equations are what is
computed; every block can be switched off.
"""

from math import inf
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.hyperspectral.algorithm import Star, low_rank, moved
from dunfold_lib.hyperspectral.lowrank import expand, project
from dunfold_lib.hyperspectral.measurement import Noisy as Noisy
from dunfold_lib.hyperspectral.measurement import is_noisy
from dunfold_lib.hyperspectral.measurement import measured as measured
from dunfold_lib.hyperspectral.patches import Patches, analysis, dct, mean, synthesis
from dunfold_lib.prox import soft
from dunfold_lib.unroll import Unrolled

THETA, MU, W_FIRST = 1.0, 2.5, 0.2  # first thresholds in units of σ; first w
BLEND, LAST = 0.05, 0.98  # first α, and that of the last layer


class State(NamedTuple):
    """What a layer hands to the next."""

    G: Tensor
    A: Tensor
    S: Tensor
    B: Tensor
    L: Tensor
    U: Tensor


class Numbers(NamedTuple):
    """One layer's numbers; None leaves a block out."""

    theta: Tensor
    alpha: Tensor | None = None
    w: Tensor | None = None
    tau: Tensor | None = None
    mu: Tensor | None = None


class Sweeps(Unrolled):
    """The skeleton of the four networks: everything but a layer's numbers.

    K : layers.  side, r : of the patches; eigen-images.  stride : of the patches; may be changed
    after training.  procrustes : in how many of the last layers A is updated.  mixed : the first D3
    is the DCT, as in the papers.  Attributes: through, whether gradients pass the updates of A;
    window, of the medians that the first A is estimated from (0 for none).
    """

    through = False
    window = 0

    def __init__(
        self, K: int, side: int, r: int, stride: int, procrustes: int = 0, mixed: bool = False
    ):
        super().__init__()
        for name, value in (("K", K), ("side", side), ("r", r)):
            checks.whole(name, value, 1)
        checks.whole("procrustes", procrustes)
        if procrustes > K:
            raise ValueError(f"procrustes is {procrustes}; the network has {K} layers")
        Patches(side, stride)
        self.K, self.side, self.r, self.stride = K, side, r, stride
        self.procrustes, self.mixed = procrustes, mixed
        D3 = dct(r) if mixed else torch.eye(r)
        matrices = lambda: nn.ParameterList([dct(side), dct(side), D3.clone()])
        self.C, self.D, self.W = matrices(), matrices(), matrices()

    @property
    def R(self) -> Patches:
        """The patch operator."""
        return Patches(self.side, self.stride)

    def numbers(self, k: int) -> Numbers:
        """What layer k computes with."""
        raise NotImplementedError

    def start(self, b: Noisy) -> State:
        """G⁰ = Y ×₃ Aᵀ and zeros."""
        is_noisy(b, self.r)
        G = project(b.Y, b.A)
        B = torch.zeros_like(self.R(G))
        return State(G, b.A, torch.zeros_like(b.Y), B, B, B)

    def layer(self, k: int, x: State, b: Noisy) -> State:
        self._fits(x, b)
        n = self.numbers(k)
        S = x.S if n.mu is None else soft(b.Y - expand(x.G, x.A), n.mu)
        X = self.R(x.G)
        m = mean(X)
        step = analysis(X - m - synthesis(x.B, *self.D), *self.C)
        F = x.B + (step if n.w is None else (1 - n.w) * step + n.w * (x.L + x.U - x.B))
        B, L, U = soft(F, n.theta), x.L, x.U
        if n.tau is not None:
            L = low_rank(B - U, n.tau)
            U = U + L - B
        G, A = x.G, x.A
        if n.alpha is not None:
            G = self.blend(project(b.Y - S, A), synthesis(B, *self.W) + m, n.alpha)
        if k >= self.K - self.procrustes:
            A = moved(b.Y - S, G if self.through else G.detach(), A)
        return State(G, A, S, B, L, U)

    def _fits(self, x: State, b: Noisy) -> None:
        """Refuse a state that is not of this measurement."""
        is_noisy(b, self.r)
        checks.like("the state's A", x.A, "A", b.A)
        checks.like("S", x.S, "Y", b.Y)
        checks.shaped("G", x.G, (len(b.Y), self.r, *b.Y.shape[2:]))
        n = self.R.number((b.Y.shape[2], b.Y.shape[3]))
        for name, held in (("B", x.B), ("L", x.L), ("U", x.U)):
            checks.shaped(name, held, (len(b.Y), self.r, self.side**2, n))

    def blend(self, YA: Tensor, patches: Tensor, alpha: Tensor) -> Tensor:
        """G: the noisy eigen-images and what the patches say, as the share α has it."""
        checks.shaped("YA", YA, (len(patches), patches.shape[1], "H", "W"))
        size, C0 = (YA.shape[2], YA.shape[3]), self.R.nominal
        added, count = self.R.T(patches, size) / C0, self.R.count(size, YA) / C0
        return ((1 - alpha) * YA + alpha * added) / (1 - alpha + alpha * count)

    def readout(self, x: State) -> Tensor:
        return expand(x.G, x.A)


def _free(value: float, K: int, atoms: tuple[int, ...] = ()) -> nn.Parameter:
    """K numbers (or K per atom) whose softplus is ``value``."""
    return nn.Parameter(torch.full((K, *atoms), value).expm1().log())


def _atoms(thresholds: str, r: int, side: int) -> tuple[int, ...]:
    if thresholds not in ("layer", "atom"):
        raise ValueError(f"thresholds is {thresholds!r}; it must be 'layer' or 'atom'")
    return (r, side**2, 1) if thresholds == "atom" else ()


class SMDSNet(Sweeps):
    """Sparse codes alone: G is made once, in the last layer, as the patches' average.

    thresholds : one an "atom" and layer, the paper's layout, or one a "layer".
    """

    def __init__(
        self,
        K: int = 6,
        thresholds: str = "atom",
        mixed: bool = False,
        side: int = 9,
        r: int = 9,
        stride: int = 1,
    ):
        super().__init__(K, side, r, stride, 0, mixed)
        self.free_theta = _free(THETA, K, _atoms(thresholds, r, side))

    def numbers(self, k: int) -> Numbers:
        theta = functional.softplus(self.free_theta[k])
        return Numbers(theta, alpha=torch.ones_like(theta.mean()) if k == self.K - 1 else None)


class STARNet(Sweeps):
    """STAR's sweeps with learned numbers.

    thresholds : θ, one a "layer" or one an "atom" and layer.  blend : whether G is updated in every
    layer, and not in the last alone.  low_rank : whether there are L and U; the last layer's, which
    nobody would read, are left out.  The others are those of ``Sweeps``.
    """

    def __init__(
        self,
        K: int = 6,
        thresholds: str = "layer",
        blend: bool = True,
        low_rank: bool = True,
        procrustes: int = 1,
        mixed: bool = False,
        side: int = 9,
        r: int = 9,
        stride: int = 1,
    ):
        super().__init__(K, side, r, stride, procrustes, mixed)
        self.free_theta = _free(THETA, K, _atoms(thresholds, r, side))
        first = torch.tensor([BLEND] * (K - 1) + [LAST])
        self.free_alpha = nn.Parameter(first.logit() if blend else first[-1:].logit())
        if low_rank:
            self.free_w = nn.Parameter(torch.full((K,), W_FIRST).logit())
            self.free_tau = _free(THETA, K - 1)

    def numbers(self, k: int) -> Numbers:
        theta, last = functional.softplus(self.free_theta[k]), k == self.K - 1
        blended = last or len(self.free_alpha) == self.K
        alpha = self.free_alpha[-1 if last else k].sigmoid() if blended else None
        if "free_w" not in self._parameters:
            return Numbers(theta, alpha)
        tau = None if last else functional.softplus(self.free_tau[k])
        return Numbers(theta, alpha, self.free_w[k].sigmoid(), tau)


class STARNetS(Sweeps):
    """STAR-S's sweeps: ``STARNet``'s, and S takes what is sparse; A is updated in every layer.

    Its first A is that of medians, which impulses and stripes do not turn.
    """

    window = 5

    def __init__(
        self,
        K: int = 6,
        thresholds: str = "layer",
        blend: bool = True,
        low_rank: bool = True,
        procrustes: int | None = None,
        mixed: bool = False,
        side: int = 9,
        r: int = 9,
        stride: int = 1,
    ):
        layers = K if procrustes is None else procrustes
        super().__init__(K, side, r, stride, layers, mixed)
        inner = STARNet(K, thresholds, blend, low_rank, 0, mixed, side, r, stride)
        for name, p in inner.named_parameters(recurse=False):
            self.register_parameter(name, p)
        self.free_mu = _free(MU, K)

    def numbers(self, k: int) -> Numbers:
        rest = STARNet.numbers(self, k)  # type: ignore[arg-type]
        return rest._replace(mu=functional.softplus(self.free_mu[k]))


class STARNetPaper(Sweeps):
    """The layout that the paper counts: λ, γ₁, γ₂, β of every atom and layer, and a first θ.

    Codes use them atom by atom; G and the singular values, which have no atoms, use means. λ and β
    are multiplied by C₀. γ₂ of the last layer is kept for the count and not used.
    """

    def __init__(
        self,
        K: int = 9,
        procrustes: int = 1,
        mixed: bool = False,
        side: int = 9,
        r: int = 9,
        stride: int = 1,
    ):
        super().__init__(K, side, r, stride, procrustes, mixed)
        atoms = _atoms("atom", r, side)
        lam = torch.tensor([BLEND] * (K - 1) + [LAST]).reshape(K, 1, 1, 1).expand(K, *atoms)
        lam = lam / (1 - lam)
        self.free_theta = _free(THETA, 1, atoms)
        self.free_lam = nn.Parameter(lam.expm1().log())
        self.free_beta = nn.Parameter((lam * W_FIRST / (1 - W_FIRST)).expm1().log())
        self.free_gamma1 = _free(THETA / (1 - W_FIRST), K, atoms)
        self.free_gamma2 = _free(THETA * W_FIRST / (1 - W_FIRST), K, atoms)

    def start(self, b: Noisy) -> State:
        """B⁰ = L⁰ = the codes of the noisy patches, by the first threshold."""
        x = super().start(b)
        X = self.R(x.G)
        B = soft(analysis(X - mean(X), *self.C), functional.softplus(self.free_theta[0]))
        return x._replace(B=B, L=B)

    def numbers(self, k: int) -> Numbers:
        free = (self.free_lam, self.free_gamma1, self.free_gamma2, self.free_beta)
        lam, gamma1, gamma2, beta = (functional.softplus(p[k]) for p in free)
        share = lam.mean() / (1 + lam.mean())
        tau = None if k == self.K - 1 else (lam * gamma2 / beta).mean()
        w = beta / (lam + beta)
        return Numbers((1 - w) * gamma1, share, w, tau)


@checks.door
@torch.no_grad()
def as_sweeps(net: Sweeps) -> list[Star]:
    """The sweeps of ``algorithm.Star`` that a fresh network's layers are: one θ a layer, α < 1."""
    made = []
    for k in range(net.K):
        n = net.numbers(k)
        if n.alpha is None or n.theta.ndim or float(n.alpha) == 1:
            raise ValueError("the network has no sweep: it needs one θ a layer and a share α < 1")
        theta, alpha, w = (float(v.double()) if v is not None else 0.0 for v in n[:3])
        tau = 0.0 if n.tau is None else float(n.tau)
        lam = alpha / (1 - alpha) / net.R.nominal
        beta = lam * w / (1 - w)
        gammas, mu = (theta / (1 - w), tau * beta / lam), inf if n.mu is None else float(n.mu)
        moving = k >= net.K - net.procrustes
        made.append(Star(lam, *gammas, beta, mu, net.side, net.stride, moving, net.mixed))
    return made


@checks.door
def squared(net: nn.Module, b: Noisy, truth: Tensor) -> Tensor:
    """Mean squared error in units of σ² (the paper's loss over the number of entries)."""
    estimate = net(b)
    checks.like("truth", truth, "the estimate", estimate)
    return (estimate - truth).square().mean()


@checks.door
def decibels(net: nn.Module, b: Noisy, truth: Tensor) -> Tensor:
    """Mean over the rows of 10 log₁₀(MSE/σ²): every noise level counts the same."""
    estimate = net(b)
    checks.like("truth", truth, "the estimate", estimate)
    return 10 * (estimate - truth).square().flatten(1).mean(1).log10().mean()
