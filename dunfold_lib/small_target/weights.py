"""Weights that are set by hand: a dark start, and a network that is its algorithm."""

import torch
from torch import Tensor, nn

from dunfold_lib import checks
from dunfold_lib.small_target.layers import Excite, Learned
from dunfold_lib.small_target.model import LRPCANet, Network


@checks.door
@torch.no_grad()
def start_dark(net: Network, logit: float) -> None:
    """Lower the first T^K by about ``logit``: through the last bias of the last F_B.

    With sigmoid(T) = ½ everywhere soft-IoU has almost no gradient; few pixels are targets, so a
    start that says so spares the plateau.
    """
    checks.number("logit", logit, 0)
    last = net.FB[net.K - 1]
    assert isinstance(last, Learned)
    _bias(last.last).add_(logit)


@checks.door
@torch.no_grad()
def imitate(net: Network, smooth: float, threshold: float, keep: float) -> None:
    """Set all weights by hand, so that a stage from T = N = 0 is ``algorithm.sweep``.

    F_B moves a pixel by the share ``smooth`` to the mean of its 3×3 neighbourhood, F_T clips to
    ±threshold, so that v − F_T(v) is the soft threshold, F_N takes the share 1 − keep, and F_D is
    the identity. Batch norms must be in ``eval`` mode. Needs two channels at least.
    """
    for name, value in (("smooth", smooth), ("threshold", threshold), ("keep", keep)):
        checks.number(name, value)
    box = torch.full((3, 3), 1 / 9, dtype=torch.float64)
    box[1, 1] -= 1
    delta = torch.zeros(3, 3, dtype=torch.float64)
    delta[1, 1] = 1
    for name, first, filter_, offset in (
        ("FB", (0.0, 0.0), smooth * box, 0.0),
        ("FT", (threshold, -threshold), delta, -threshold),
        ("FN", (0.0, 0.0), (1 - keep) * delta, 0.0),
        ("FD", (0.0, 0.0), delta, 0.0),
    ):
        for F in getattr(net, name, ()):
            _by_hand(F, first, filter_, offset, clip=name == "FT")
    net.eps.fill_(1.0)
    if isinstance(net, LRPCANet):
        net.sigma.fill_(1.0)


def _bias(m: nn.Conv2d) -> Tensor:
    """Its bias: all of these convolutions have one."""
    assert m.bias is not None
    return m.bias


def _by_hand(
    F: Learned, first: tuple[float, float], filter_: Tensor, offset: float, clip: bool
) -> None:
    """v → filter * (a(v) − b(v)) + offset, where a = relu(v + first₀) and b = relu(±v + first₁).

    Two channels carry a and b, both at least 0, unchanged through every layer.
    """
    for module in F.body:
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.bias.zero_()
            module.weight.fill_((1 + module.eps) ** 0.5)
    convs = [m for m in F.body if isinstance(m, nn.Conv2d)]
    if min(m.out_channels for m in convs) < 2:
        raise ValueError("the network has one channel; a and b need two")
    for i, m in enumerate(convs):
        m.weight.zero_()
        _bias(m).zero_()
        middle = m.kernel_size[0] // 2
        for channel in (0, 1):
            m.weight[channel, channel if i else 0, middle, middle] = 1
    convs[0].weight[1] *= 1 if clip else -1
    _bias(convs[0])[:2] = convs[0].weight.new_tensor(first)
    share = 1.0
    if isinstance(F.excite, Excite):
        for p in F.excite.parameters():
            p.zero_()
        share = 0.5  # sigmoid(0)
    F.last.weight.zero_()
    F.last.weight[0, 0] = filter_.to(F.last.weight) / share
    F.last.weight[0, 1] = -filter_.to(F.last.weight) / share
    _bias(F.last).fill_(offset)
