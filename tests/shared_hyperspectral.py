"""What the tests ``test_hyperspectral*`` share."""

import shared_random
import torch

from dunfold_lib.hyperspectral import data
from dunfold_lib.hyperspectral.model import SMDSNet, STARNet, STARNetPaper, STARNetS

seeded = shared_random.seeded
randn = shared_random.randn
count = shared_random.count


F64 = torch.float64

NETWORKS_HERE = (SMDSNet, STARNet, STARNetS, STARNetPaper)

SMALL = {"K": 3, "side": 4, "r": 3, "stride": 2}


def units(seed=0, size=(14, 13), bands=8, level=0.05):
    """A small noisy cube in units of σ, and the clean one."""
    truth = data.synthetic(seeded(seed), size, bands, 3).double()
    noise = torch.randn(truth.shape, generator=seeded(seed + 1), dtype=F64)
    return truth / level + noise, truth / level


def network(kind=STARNet, **sizes):
    """A small one in float64 whose weights are not the fresh ones, so that nothing is zero."""
    return shared_random.moved(kind(**SMALL | sizes))
