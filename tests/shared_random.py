"""What the tests of several rooms draw their numbers with, float64 and the same every time."""

import torch

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=seeded(seed), dtype=F64)


def count(net):
    return sum(p.numel() for p in net.parameters())


def moved(net):
    """The network in float64, its weights not the fresh ones, so that nothing is zero."""
    net, g = net.double(), seeded(5)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=g, dtype=F64))
    return net
