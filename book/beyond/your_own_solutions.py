"""Solutions of the exercises of "Unroll your own"."""

import torch
from torch.nn import functional

from dunfold_lib.deblurring import algorithm, iterates
from dunfold_lib.operators import Blur


def checkerboard(size=(6, 8)):
    """(‖D x‖²/‖x‖² of the checkerboard, ‖D‖²) on images of a size."""
    rows, columns = (torch.arange(n) for n in size)
    x = ((rows[:, None] + columns) % 2 * 2 - 1).double()[None, None]
    D = algorithm.differences(torch.float64)
    ratio = algorithm.analyse(D, x).square().sum() / x.square().sum()
    return float(ratio), algorithm.norm_squared(D, size)


def block_soft(v, t):
    """The prox of t‖·‖₂ on each pair of channels (batch, 2, h, w)."""
    return v - algorithm.ball(v, t)


def dualised(b, kernel, lam, K, tau=0.5):
    """x^K with a dual variable for the data term, too; tau·sigma·9 = 1."""
    A = Blur(kernel, b.shape[2:])
    D, sigma = algorithm.differences(b.dtype), 1 / (9 * tau)
    x = ahead = b
    p, q = torch.zeros_like(algorithm.analyse(D, b)), torch.zeros_like(b)
    for _ in range(K):
        p = algorithm.ball(p + sigma * algorithm.analyse(D, ahead), lam)
        q = (q + sigma * (A(ahead) - b)) / (1 + sigma)
        new = x - tau * (algorithm.synthesise(D, p) + A.T(q))
        x, ahead = new, 2 * new - x
    return x


def reflected(b, K=6, rim=24):
    """Six steps on b continued by reflection, cut to b's size."""
    wide = functional.pad(b, (rim,) * 4, "reflect")
    return iterates(wide, K)[-1][..., rim:-rim, rim:-rim]


def mean_square(net, b, truth):
    """The mean square error of the batch."""
    return (net(b) - truth).square().mean()
