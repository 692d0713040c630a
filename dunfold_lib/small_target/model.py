"""Infrared small targets by robust PCA unrolled: RPCANet, L-RPCANet, and narrower forms of our own.

    robust PCA     minimise  ‖B‖_* + λ‖T‖₁                subject to  D = B + T
    L-RPCANet      minimise  R(B) + λ S(T) + μ G(N)        subject to  D = B + T + N

symbol  code            shape            meaning
D       b, State.D      (batch, 1, h, w) the image in [0, 1]; later what a stage made of it
B       State.B         like D           background
T       State.T         like D           targets; after the last stage a *logit*: target where T > 0
N       State.N         like D           noise
v       v               like D           what a learned map sees
F_B …   FB, FT, FN, FD  like D to D      learned maps in the place of the four proximal steps
ε, σ    eps, sigma      (K,)             learned steps of T and N, first 0.01
K       K               whole            stages; no two share weights
c, β    c, b            whole            channels: of the widest features, and of the bottleneck
d       d               whole            channels of F_D; c in the paper
n       n_noise         whole            bottleneck layers of F_N after its first
p, y    p, truth        like D           sigmoid(T) and the mask

A stage, in the order B, T, N, D (Gauss-Seidel), from D⁰ = image, T⁰ = N⁰ = 0:

    B = v + F_B(v),     v = D − T − N
    T = v − ε F_T(v),   v = T + D − B − N
    N = v − σ F_N(v),   v = N + D − B − T
    D = F_D(B + T + N)

The step for T linearises S around T and lands at γT + (1 − γ)(D − B − N) − ε∇S. The paper takes
γ = ½, drops the ½ and takes ∇S at the new point; that is a choice which the learned map absorbs,
not a derivation. N is treated alike.

            maps                                                        parameters a stage
RPCANet     c channels throughout, no N, no squeeze-and-excitation      113,316
LRPCANet    bottlenecks of β channels, squeeze-and-excitation           35,986
TwoTerm     L-RPCANet without N, our control                            33,422

Wu et al. 2024 (RPCANet), Liu, Han, Xiu et al. 2025 (L-RPCANet). What the paper does not tell: the
released code gives every stage N = 0 (``carry_noise=False``), where the equations carry it; the
released weights for NUDT-SIRST have β = 16, those for IRSTD-1k β = 16 and n = 3, and only those for
SIRST-Aug are the network of 0.216 M parameters.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.small_target.layers import Excite, Learned, layers, neck
from dunfold_lib.unroll import Unrolled

STEP = 0.01  # first ε and σ
# what an awake map first makes of a constant image, times that: B = v/2, small steps of T and N,
# and D = B + T + N
MAPS = ("FB", "FT", "FN", "FD")
GAIN = {"FB": -0.5, "FT": 1.0, "FN": 1.0, "FD": 1.0}
RECONSTRUCTION = 0.1  # weight of the mean square of D^K − D in the loss


class State(NamedTuple):
    """What a stage hands to the next."""

    D: Tensor
    B: Tensor
    T: Tensor
    N: Tensor


class Stages(Unrolled):
    """The skeleton of the networks: start, readout, and what they refuse."""

    FB: nn.ModuleList
    FT: nn.ModuleList
    FD: nn.ModuleList
    eps: nn.Parameter

    def start(self, b: Tensor) -> State:
        """D⁰ = B⁰ = image, T⁰ = N⁰ = 0."""
        checks.real("b", b)
        if b.ndim != 4 or b.shape[1] != 1 or 0 in b.shape:
            raise ValueError(f"b has shape {tuple(b.shape)}; it must be (batch, 1, height, width)")
        if b.dtype != self.eps.dtype:
            raise TypeError(f"b has dtype {b.dtype}; the network's weights are {self.eps.dtype}")
        return State(b, b, torch.zeros_like(b), torch.zeros_like(b))

    def layer(self, k: int, x: State, b: Tensor) -> State:
        checks.like("D", x.D, "b", b)
        B, T, N = self.parts(k, x)
        return State(self.FD[k](B + T + N), B, T, N)

    def maps(self) -> Iterator[tuple[str, Learned]]:
        """Their names, FB1, …, and the learned maps, stage by stage."""
        for k in range(self.K):
            for name in MAPS:
                if hasattr(self, name):
                    yield f"{name}{k + 1}", getattr(self, name)[k]

    def parts(self, k: int, x: State) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, N) of stage k: what the networks differ in."""
        raise NotImplementedError

    def background(self, k: int, x: State, N: Tensor | float = 0.0) -> Tensor:
        """The B of stage k, for a noise N."""
        _alike(x)
        checks.broadcasts("N", N, x.D.shape)
        v = x.D - x.T - N
        return v + self.FB[k](v)

    def targets(self, k: int, x: State, B: Tensor, N: Tensor | float = 0.0) -> Tensor:
        """The T of stage k, for a background and a noise."""
        _alike(x)
        checks.like("B", B, "D", x.D)
        checks.broadcasts("N", N, x.D.shape)
        v = x.T + x.D - B - N
        return v - self.eps[k] * self.FT[k](v)

    def readout(self, x: State) -> Tensor:
        """T, a logit: sigmoid(T) is the share of target in a pixel, T > 0 the prediction."""
        return x.T


def _alike(x: State) -> None:
    """Refuse a state whose images differ in shape."""
    for name, held in zip(x._fields, x, strict=True):
        checks.like(name, held, "D", x.D)


class RPCANet(Stages):
    """Robust PCA with learned maps of c channels (Wu et al. 2024); 679,896 parameters.

    No noise term: N stays 0.  K : stages.  c : channels.  seed : of the fresh weights.
    awake : as in ``LRPCANet``.
    """

    def __init__(self, K: int = 6, c: int = 32, seed: int = 0, awake: bool = True):
        super().__init__()
        checks.whole("K", K, 1)
        checks.whole("c", c, 1)
        self.K = K
        g = torch.Generator().manual_seed(seed)
        maps = lambda count, norm: [
            Learned(layers(3, c, count, norm, g), c, False, g) for _ in range(K)
        ]
        self.FB, self.FT, self.FD = map(
            nn.ModuleList, (maps(3, True), maps(6, False), maps(3, True))
        )
        self.eps = nn.Parameter(torch.full((K,), STEP))
        _wake(self, awake)

    def parts(self, k: int, x: State) -> tuple[Tensor, Tensor, Tensor]:
        B = self.background(k, x)
        return B, self.targets(k, x, B), x.N


class Light(Stages):
    """What the networks with light maps share: B, T and D, and which maps are excited."""

    LETTERS = "BTND"

    def _light(self, K: int, c: int, b: int, se: str, d: int, seed: int) -> torch.Generator:
        """Make the maps B, T and D; the generator, for what comes after."""
        for name, count in (("K", K), ("c", c), ("b", b)):
            checks.whole(name, count, 1)
        checks.whole("d", d, 0)
        known = self.LETTERS
        if not isinstance(se, str) or set(se) - set(known) or len(set(se)) < len(se):
            raise ValueError(f"se is {se!r}; it must hold some of the letters {known}, each once")
        d = d or c
        self.K = K
        g = torch.Generator().manual_seed(seed)
        self.FB = nn.ModuleList(neck(1, (b, c), 3, True, "B" in se, g) for _ in range(K))
        self.FT = nn.ModuleList(neck(1, (b, c), 6, False, "T" in se, g) for _ in range(K))
        maps = (Learned(layers(3, d, 3, True, g), d, "D" in se, g) for _ in range(K))
        self.FD = nn.ModuleList(maps)
        self.eps = nn.Parameter(torch.full((K,), STEP))
        return g


class LRPCANet(Light):
    """Robust PCA of three terms with light learned maps (Liu, Han, Xiu et al. 2025).

    K : stages, of 35,986 parameters each.  c, b : widest and bottleneck channels.  n_noise : layers
    of F_N.  se : which of the maps B, T, N, D have squeeze-and-excitation.  carry_noise : a stage
    starts from the N before it, as the equations say; if not from 0, as the released code does.
    d : channels of F_D, c where 0; ``d=8`` is a narrower form of our own, 9,226 a stage.
    seed : of the fresh weights.  awake : their channels in pairs (``Learned.awake``), ours; if not
    Xavier's, as the paper has it, and then a third of the fresh maps F_T and F_N are constant.
    """

    def __init__(
        self,
        K: int = 6,
        c: int = 32,
        b: int = 4,
        n_noise: int = 6,
        se: str = "BTND",
        carry_noise: bool = True,
        d: int = 0,
        seed: int = 0,
        awake: bool = True,
    ):
        super().__init__()
        g = self._light(K, c, b, se, d, seed)
        checks.whole("n_noise", n_noise, 0)
        self.FN = nn.ModuleList(neck(3, (b, c), n_noise, False, "N" in se, g) for _ in range(K))
        self.sigma = nn.Parameter(torch.full((K,), STEP))
        self.n_noise, self.carry_noise = n_noise, carry_noise
        _wake(self, awake)

    def parts(self, k: int, x: State) -> tuple[Tensor, Tensor, Tensor]:
        N = x.N if self.carry_noise else torch.zeros_like(x.N)
        B = self.background(k, x, N)
        T = self.targets(k, x, B, N)
        v = N + x.D - B - T
        return B, T, v - self.sigma[k] * self.FN[k](v)


class TwoTerm(Light):
    """L-RPCANet without its noise term: what SENRM adds is what this control lacks.

    Arguments as for ``LRPCANet``; 33,422 parameters a stage.
    """

    LETTERS = "BTD"

    def __init__(
        self,
        K: int = 6,
        c: int = 32,
        b: int = 4,
        se: str = "BTD",
        d: int = 0,
        seed: int = 0,
        awake: bool = True,
    ):
        super().__init__()
        self._light(K, c, b, se, d, seed)
        _wake(self, awake)

    def parts(self, k: int, x: State) -> tuple[Tensor, Tensor, Tensor]:
        B = self.background(k, x)
        return B, self.targets(k, x, B), x.N


Network = RPCANet | LRPCANet | TwoTerm


def _wake(net: Stages, awake: bool) -> None:
    """Every map of a network ``Learned.awake``, where asked for."""
    checks.one_of("awake", awake, (True, False))
    for name, F in net.maps() if awake else ():
        F.awake(GAIN[name[:2]])


@checks.door
def soft_iou(T: Tensor, truth: Tensor, pooled: bool = False) -> Tensor:
    """1 − mean over images of (Σ p y + 1)/(Σ p + Σ y − Σ p y + 1), p = sigmoid(T).

    T, truth : (batch, 1, h, w).  pooled : one fraction of the sums over the whole batch, which an
    image without target leaves alone and a small target does not outweigh.
    """
    checks.like("truth", truth, "T", T)
    checks.within("truth", truth, 0, 1)
    p = T.sigmoid()
    rows = (lambda t: t.sum()) if pooled else (lambda t: t.flatten(1).sum(1))
    both = rows(p * truth)
    return 1 - ((both + 1) / (rows(p) + rows(truth) - both + 1)).mean()


@checks.door
def total_loss(
    net: Network,
    b: Tensor,
    truth: Tensor,
    reconstruction: float = RECONSTRUCTION,
    pooled: bool = False,
    bce: float = 0.0,
) -> Tensor:
    """soft-IoU of T^K plus ``reconstruction`` times the mean of (D^K − D)²; the paper's loss.

    bce : weight of the binary cross entropy of T^K, ours: it has a gradient where soft-IoU has
    none, on the plateau at the start of training.
    """
    checks.like("truth", truth, "b", b)
    *_, x = net.states(b)
    loss = soft_iou(x.T, truth, pooled) + reconstruction * (x.D - b).square().mean()
    if bce:
        loss = loss + bce * functional.binary_cross_entropy_with_logits(x.T, truth)
    return loss


@checks.door
def macs(net: Network, side: int = 256) -> int:
    """Multiplications of all convolutions on one image of side × side."""
    skip: set[Any] = {m for e in net.modules() if isinstance(e, Excite) for m in e.modules()}
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m not in skip]
    return side * side * sum(m.weight.numel() for m in convs)
