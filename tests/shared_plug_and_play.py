"""What the tests ``test_plug_and_play*`` share."""

import shared_random
import torch

from dunfold_lib.imaging import data
from dunfold_lib.imaging.denoisers import LearnedProx
from dunfold_lib.operators import Blockwise, Blur, Fourier, Mask, Sensing

seeded = shared_random.seeded


F64 = torch.float64


def picture(side=32, rows=1, seed=0):
    """Two flat regions with a little texture, in [0, 1]: (rows, 1, side, side)."""
    x = torch.full((rows, 1, side, side), 0.3, dtype=F64)
    x[..., side // 4 : side // 2 + 3, side // 3 :] = 0.8
    return x + 0.02 * torch.rand(x.shape, generator=seeded(seed), dtype=F64)


def sensing(m, side=8, seed=0):
    Q, _ = torch.linalg.qr(torch.randn(side**2, m, generator=seeded(seed), dtype=F64))
    return Sensing(Q.T.contiguous())


def lopsided(side=16):
    """A Fourier mask with frequencies that are measured without their opposites."""
    mask = (torch.rand(side, side, generator=seeded(3)) < 0.4).double()
    mask[0, 0] = 1
    return Fourier(mask)


OPERATORS = {
    "whole blocks": lambda: Blockwise(sensing(20), (16, 16)),
    "cut blocks": lambda: Blockwise(sensing(20), (13, 15)),
    "mask": lambda: Mask((torch.rand(16, 16, generator=seeded(1)) < 0.5).double()),
    "Fourier, symmetric": lambda: Fourier(data.radial_mask(30, 16).double()),
    "Fourier, lopsided": lopsided,
    "blur": lambda: Blur(torch.tensor([[1.0, 2, 1]], dtype=F64).T / 4, (16, 16)),
}


def problem(name):
    A = OPERATORS[name]()
    truth = picture(16, 2)[..., : A.domain[1], : A.domain[2]].contiguous()
    return A, A(truth), truth


def steep(side=7, seed=0):
    """A learned prox in double precision, with thresholds of different sizes."""
    net = LearnedProx(channels=5, side=side, seed=seed).double()
    with torch.no_grad():
        net.free.copy_(torch.linspace(-3, 1, 5))
    return net
