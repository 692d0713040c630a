"""Solutions of the exercises in star_net.md; tests/test_star_net_page.py checks them."""

import torch
from torch.autograd.function import once_differentiable

from dunfold_lib.hyperspectral import denoise, measured
from dunfold_lib.hyperspectral.model import Noisy, Sweeps
from dunfold_lib.hyperspectral.scores import psnr
from dunfold_lib.hyperspectral.training import set_to


def parameters(kind, K=6, p=9, r=9, thresholds="layer"):
    """The numbers of a network of this chapter, by the name of its class."""
    matrices = 3 * (2 * p * p + r * r)  # analysis, synthesis, output: D1, D2, D3 each
    atoms = p * p * r
    if kind == "STARNetPaper":
        return matrices + 4 * K * atoms + atoms  # λ, γ₁, γ₂, β, and a first threshold
    theta = K * (atoms if thresholds == "atom" else 1)
    if kind == "SMDSNet":
        return matrices + theta
    mu = K if kind == "STARNetS" else 0
    return matrices + theta + 2 * K + (K - 1) + mu  # α and w of every layer, τ of all but the last


class _Spectral(torch.autograd.Function):
    """U f(s) Uᵀ X, where f multiplies singular values and ``slope`` is its derivative."""

    @staticmethod
    def forward(ctx, X, f, slope):
        squares, U = torch.linalg.eigh(X @ X.mT)
        s = squares.clamp(min=1e-300).sqrt()
        M = (U * f(s)[..., None, :]) @ U.mT
        ctx.save_for_backward(X, U, s, M)
        ctx.f, ctx.slope = f, slope
        return M @ X

    @staticmethod
    @once_differentiable
    def backward(ctx, dY):
        X, U, s, M = ctx.saved_tensors
        f, g = ctx.f(s), s.square()
        rise, run = (v[..., :, None] - v[..., None, :] for v in (f, g))
        close = run.abs() < 1e-8 * g.amax(-1)[..., None, None]
        gamma = torch.where(close, (ctx.slope(s) / (2 * s))[..., None], rise / run)
        dM = U @ ((U.mT @ (dY @ X.mT) @ U) * gamma) @ U.mT
        return M @ dY + (dM + dM.mT) @ X, None, None


def garrote(X, tau):
    """Every singular value s becomes max(s − τ²/s, 0): large ones hardly lose anything."""
    f = lambda s: (1 - (tau / s) ** 2).relu()
    slope = lambda s: torch.where(s > tau, 2 * tau**2 / s**3, 0.0)
    return _Spectral.apply(X, f, slope)


@torch.no_grad()
def told(net, Y, truth, sigma, factors):
    """PSNR when the network is told the factor times the true σ; the last one: it estimates σ."""
    made = [psnr(denoise(net, Y, f * sigma), truth) for f in factors]
    return [*made, psnr(denoise(net, Y), truth)]


def share(alpha, trained, used, p=9):
    """What becomes of G's share α if λ were kept, not α, from one stride to another."""
    lam = alpha / (1 - alpha) / (p / trained) ** 2
    product = lam * (p / used) ** 2
    return product / (1 + product)


@torch.no_grad()
def at_strides(net, Y, truth, sigma, strides):
    """(patches, PSNR) of one network at several strides."""
    made = []
    for stride in strides:
        with set_to(net, stride=stride):
            b, level = measured(Y, sigma, net.r)
            patches = net.R(net.start(b).G).shape[-1]
            made.append((patches, psnr(level * net(b), truth)))
    return made


@torch.no_grad()
def remembers(net: Sweeps, b: Noisy) -> float:
    """The largest change of the first layer's B when the B before it is another."""
    x = net.start(b)
    other = x._replace(B=x.B + torch.randn_like(x.B))
    return float((net.layer(0, x, b).B - net.layer(0, other, b).B).abs().max())


def smeared(size, width, g):
    """Noise of deviation 1 whose neighbours, over width pixels to the right, go together."""
    white = torch.randn(*size[:-1], size[-1] + width - 1, generator=g)
    return white.unfold(-1, width, 1).sum(-1) / width**0.5
