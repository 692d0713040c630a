"""The primal-dual method as a network: first its steps, then its filters, then a small prox.

symbol     code     shape                 learned               at the start
τᵏ, σᵏ     tau, sigma   (K,)              as factors of TAU, σ  1: the algorithm's
λᵏ         lam      (K, M)                as factors of LAM     1 for the differences, 0 for others
Dᵏ         D[k]     (2M, 1, s, s)         the pairs from the 2nd on, and the differences themselves
Rᵏ         R[k], W[k]   3×3               R(v) = W ∗ relu(R ∗ v), added to the data prox; W = 0

x, x̄, p, A, b : as in ``algorithm``. Learned are factors, because λ is a thousandth and τ is tens:
Adam moves every number by the same amount a step.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.deblurring.algorithm import (
    BOUND,
    LAM,
    TAU,
    State,
    analyse,
    ball,
    begin,
    data_prox,
    differences,
    synthesise,
)
from dunfold_lib.deblurring.data import gaussian
from dunfold_lib.operators import Blur
from dunfold_lib.unroll import Unrolled

FILTER = 5  # side of a learned filter, in pixels


class PrimalDualNet(Unrolled):
    """K steps of ``algorithm.step`` with constants of their own; untrained it is the algorithm.

    kernel : of the blur; by default ``data.gaussian``. Images may be of any size that holds it.
    pairs  : of learned filters a layer beside the differences; 0: the differences, and fixed.
    width  : features of the learned residual after the data prox; 0: none.
    seed   : of the fresh filters, which are not listened to before training.
    """

    kernel: Tensor
    fixed: Tensor

    def __init__(
        self,
        K: int = 6,
        pairs: int = 0,
        width: int = 0,
        seed: int = 0,
        kernel: Tensor | None = None,
        lam: float = LAM,
        tau: float = TAU,
    ):
        super().__init__()
        checks.whole("K", K, 1)
        checks.whole("pairs", pairs)
        checks.whole("width", width)
        checks.number("lam", lam, 0, open_low=True)
        checks.number("tau", tau, 0, open_low=True)
        kernel = gaussian() if kernel is None else kernel
        checks.finite("kernel", kernel)
        self.K, self.scale = K, (lam, tau, 1 / (BOUND * tau))
        self.register_buffer("kernel", kernel.detach().clone(), persistent=False)
        self.register_buffer("fixed", differences(kernel.dtype), persistent=False)
        g, like = torch.Generator().manual_seed(seed), kernel.dtype
        factors = torch.zeros(K, 1 + pairs, dtype=like)
        factors[:, 0] = 1
        self.lam = nn.Parameter(factors)
        self.tau = nn.Parameter(torch.ones(K, dtype=like))
        self.sigma = nn.Parameter(torch.ones(K, dtype=like))
        self.D = nn.ParameterList(fresh(pairs, g, like) for _ in range(K) if pairs)
        draw = lambda *shape: nn.init.xavier_normal_(torch.empty(shape), generator=g).to(like)
        self.R = nn.ParameterList(draw(width, 1, 3, 3) for _ in range(K) if width)
        self.W = nn.ParameterList(torch.zeros(1, width, 3, 3, dtype=like) for _ in self.R)

    def filters(self, k: int) -> Tensor:
        """Dᵏ."""
        return self.D[k] if self.D else self.fixed

    def residual(self, k: int, v: Tensor) -> Tensor:
        """Rᵏ(v); zero without features."""
        checks.shaped("v", v, ("batch", 1, "h", "w"))
        if not self.R:
            return torch.zeros_like(v)
        around = lambda x: functional.pad(x, (1, 1, 1, 1), "circular")
        features = functional.conv2d(around(v), self.R[k]).relu()
        return functional.conv2d(around(features), self.W[k])

    def start(self, b: Tensor) -> State:
        checks.shaped("b", b, ("batch", 1, "h", "w"))
        return begin(self.filters(0), b)

    def layer(self, k: int, x: State, b: Tensor) -> State:
        A, D = Blur(self.kernel, (b.shape[2], b.shape[3])), self.filters(k)
        lam, tau, sigma = (
            c * f[k] for c, f in zip(self.scale, (self.lam, self.tau, self.sigma), strict=True)
        )
        p = ball(x.p + sigma * analyse(D, x.ahead), lam)
        v = data_prox(A, b, x.x - tau * synthesise(D, p), tau)
        v = v + self.residual(k, v)
        return State(v, 2 * v - x.x, p)

    def readout(self, x: State) -> Tensor:
        return x.x


def fresh(pairs: int, g: torch.Generator, dtype: torch.dtype) -> Tensor:
    """The differences, and so many pairs of random filters of mean 0 and of the same norm."""
    reach = FILTER // 2 - 1
    kept = functional.pad(differences(dtype), (reach,) * 4)
    drawn = torch.randn(2 * pairs, 1, FILTER, FILTER, generator=g).to(dtype)
    drawn = drawn - drawn.mean((2, 3), keepdim=True)
    return torch.cat([kept, drawn * (2**0.5 / drawn.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1))])
