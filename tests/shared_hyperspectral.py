"""What the tests ``test_hyperspectral*`` share."""

import torch

from dunfold_lib.hyperspectral import (
    data,
)
from dunfold_lib.hyperspectral.model import (
    SMDSNet,
    STARNet,
    STARNetPaper,
    STARNetS,
)

F64 = torch.float64

NETWORKS_HERE = (SMDSNet, STARNet, STARNetS, STARNetPaper)

SMALL = {"K": 3, "side": 4, "r": 3, "stride": 2}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def count(net):
    return sum(p.numel() for p in net.parameters())


def units(seed=0, size=(14, 13), bands=8, level=0.05):
    """A small noisy cube in units of σ, and the clean one."""
    truth = data.synthetic(seeded(seed), size, bands, 3).double()
    noise = torch.randn(truth.shape, generator=seeded(seed + 1), dtype=F64)
    return truth / level + noise, truth / level


def network(kind=STARNet, **sizes):
    """A small one in float64 whose weights are not the fresh ones, so that nothing is zero."""
    net = kind(**SMALL | sizes).double()
    g = seeded(5)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=g, dtype=F64))
    return net
