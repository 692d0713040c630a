"""What the tests ``test_networks*`` share."""

import pytest
import torch

from dunfold_lib.sparse import ALISTA, LISTA, LISTACP, TiLISTA

LAYERED = (LISTA, LISTACP, TiLISTA, ALISTA)

layered = pytest.mark.parametrize("Network", LAYERED)

supports = pytest.mark.parametrize("support", [(0.0, 0.0), (0.1, 0.25)], ids=["plain", "ss"])

ROUNDING = 1e-12  # of float64 iterates of size one


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shaken(net, by=0.02):
    """The network with every parameter moved a little: no two layers alike, no ties."""
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p += by * normal(*p.shape, seed=i)
            if p.ndim == 1 and len(p) == net.K:
                p.abs_()
    return net


def close(x, y, tolerance=ROUNDING):
    torch.testing.assert_close(x, y, rtol=0, atol=tolerance)
