"""Amplitude flow as a network: three numbers a layer.

symbol       code             shape   at the start
tᵏ           t                (K,)    the algorithm's step, as a multiple of 1/L
ηᵏ           eta              (K,)    its reweighting; |ηᵏ| is used
βᵏ           beta             (K,)    its momentum

The rest as in ``algorithm``. Nothing that is learned knows n, m or A: one network takes them all.
"""

import torch
from torch import Tensor, nn

from dunfold_lib import checks
from dunfold_lib.phase.algorithm import HEAVY, State, largest, spectral
from dunfold_lib.phase.data import Seen, adjoint, forward
from dunfold_lib.unroll import Unrolled


class FlowNet(Unrolled):
    """K steps of ``algorithm.step``, each with its own t, η and β; untrained it is ``flow``.

    Real and complex signals of any length, any number of amplitudes.
    """

    def __init__(
        self,
        K: int = 20,
        t: float = HEAVY[1].t,
        eta: float = HEAVY[1].eta,
        beta: float = HEAVY[1].beta,
    ):
        super().__init__()
        checks.whole("K", K, 1)
        checks.number("t", t, 0, open_low=True)
        checks.number("eta", eta, 0)
        checks.number("beta", beta, 0, 1)
        self.K = K
        self.t = nn.Parameter(torch.full((K,), t))
        self.eta = nn.Parameter(torch.full((K,), eta))
        self.beta = nn.Parameter(torch.full((K,), beta))

    def start(self, b: Seen) -> State:
        x = spectral(b)
        return State(x, x)

    def layer(self, k: int, x: State, b: Seen) -> State:
        z = forward(b.A, x.x)
        size = z.norm(dim=2).clamp_min(1e-12)
        w = size / (size + self.eta[k].abs() * b.y)
        pull = (w * (1 - b.y / size))[..., None] * z
        down = adjoint(b.A, pull) / (b.y.shape[1] * largest(b))
        return State(x.x - self.t[k] * down + self.beta[k] * (x.x - x.before), x.x)

    def readout(self, x: State) -> Tensor:
        return x.x
