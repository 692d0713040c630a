"""Solutions of the exercises in ista_net.md, which shows them; ista_net_cases.py checks them."""

import torch

from dunfold_lib.imaging import ISTANet, ISTANetPlus
from dunfold_lib.imaging.fast import on_image
from dunfold_lib.prox import soft


def parameters(K, c, plus, shared=False):
    """The numbers of a network with c channels; filters in every phase, or one set for all."""
    pairs = 4 * c * c + 2 * c if plus else 2 * c * c + 2 * c
    return 9 * pairs * (1 if shared else K) + 2 * K


def in_range(F, r, theta):
    """Whether soft(F r, θ) is F of something, for FᵀF = I: one answer for each row of r."""
    z = soft(r @ F.T, theta)
    return (z @ F @ F.T - z).norm(dim=1) <= 1e-9 * z.norm(dim=1)


@torch.no_grad()
def across_blocks(net: ISTANet | ISTANetPlus, image):
    """The same weights, but every convolution runs over the whole image."""
    whole = on_image(net.A, image)
    free = type(net)(whole, net.K, len(net.C2[0]))
    free.load_state_dict(net.state_dict())
    b = whole(image)
    x = whole.join(net.start(b.flatten(0, 1)))
    for k in range(free.K):
        x = free.layer(k, x, b)
    return x


def jump(image, side=33):
    """Mean step from pixel to pixel across a block's border, over the mean step elsewhere."""
    steps = image.diff(dim=-1).abs().mean((0, 1, 2))
    border = torch.arange(1, len(steps) + 1) % side == 0
    return float(steps[border].mean() / steps[~border].mean())


@torch.no_grad()
def equilibrium(net: ISTANet | ISTANetPlus, k, b, times=100):
    """Phase k again and again: the last image, and how far each round moved it."""
    x, moved = net.start(b), []
    for _ in range(times):
        before, x = x, net.layer(k, x, b)
        moved.append(float((x - before).norm() / before.norm()))
    return x, moved


INVERSE = {"ortho": "ortho", "backward": "forward", "forward": "backward"}


def fourier_adjoint(mask, r, norm="ortho"):
    """The adjoint of x ↦ mask · fft2(x, norm), x real; r (batch, 2, h, w) is real, imaginary."""
    spectrum = torch.complex(mask * r[:, 0], mask * r[:, 1])
    return torch.fft.ifft2(spectrum, norm=INVERSE[norm]).real[:, None]


def leading(C, m):
    """The m leading eigenvectors of C (n, n) as the rows of a matrix (m, n)."""
    return torch.linalg.eigh(C)[1].T[-m:].flip(0)


def linear_error(C, Phi):
    """Which share of the energy tr C the best linear estimate from Phi x loses, for E[x xᵀ] = C."""
    seen = Phi @ C
    return 1 - float((seen * torch.linalg.solve(seen @ Phi.T, seen)).sum() / C.trace())
