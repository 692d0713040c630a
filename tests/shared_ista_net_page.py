"""What the tests ``test_ista_net_page*`` share."""

import torch

from dunfold_lib.imaging import ISTANetPlus, data, start_quietly
from dunfold_lib.operators import Sensing


def small(ratio=25, kind=ISTANetPlus, channels=4, K=2):
    """A network that does a little, without a record: fresh filters, made faint."""
    A = Sensing(data.sensing_matrix(ratio))
    net = kind(A, K, channels, Q=A.Phi.T.contiguous())
    start_quietly(net)
    g = torch.Generator().manual_seed(ratio)
    with torch.no_grad():
        for w in getattr(net, "G", ()):
            w.copy_(0.02 * torch.randn(w.shape, generator=g))
    return net.eval()
