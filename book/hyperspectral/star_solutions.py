"""Solutions of the exercises in star.md; tests/test_star_page.py checks them."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from dunfold_lib.hyperspectral import Star, data, evaluation, star
from dunfold_lib.hyperspectral.lowrank import band_noise, nuclear, rank
from dunfold_lib.hyperspectral.patches import dct
from dunfold_lib.prox import soft


def svt_by_gram(X: Tensor, tau: float) -> Tensor:
    """Singular value thresholding of (r, q) from eigenvalues of the small matrix X Xᵀ."""
    squares, U = torch.linalg.eigh(X @ X.T)  # (r,), (r, r)
    s = squares.clamp(min=1e-30).sqrt()
    shrink = (1 - tau / s).clamp(min=0)
    return (U * shrink) @ U.T @ X


def hand(Y: Tensor, A: Tensor, theta: float) -> tuple[Tensor, float, Tensor, Tensor]:
    """(G, mean, codes, what the thresholded codes say) of Y (2, 2, 2), one spectrum A (2,)."""
    G = (A[:, None, None] * Y).sum(0)
    D = dct(2, Y.dtype)  # its columns are the atoms
    m = G.mean()
    codes = D.T @ (G - m) @ D
    return G, float(m), codes, D @ soft(codes, theta) @ D.T + m


def norms_of_rotated(G: Tensor, Q: Tensor) -> tuple[float, float]:
    """(ℓ₁ norm, nuclear norm) of Qᵀ G, for G (r, pixels) and an orthogonal Q (r, r)."""
    turned = Q.T @ G
    return float(turned.abs().sum()), float(nuclear(turned))


def whitened(denoise: Callable[[Tensor, float], Tensor], Y: Tensor) -> Tensor:
    """A denoiser of white noise applied to bands of different noise levels, which it estimates."""
    deviation = band_noise(Y)[:, :, None, None].clamp(min=1e-6)  # (N, bands, 1, 1)
    return deviation * denoise(Y / deviation, 1.0)


def truncated(G: Tensor, sigma: float) -> Tensor:
    """G (r, pixels) without the rows in which the noise has more energy than the signal."""
    signal = G.square().mean(1) - sigma**2  # of every row, estimated
    return G * (signal > sigma**2)[:, None]


def with_svt(gamma1: float, beta: float = 0.0, gamma2: float = 0.0) -> float:
    """Mean PSNR on the validation part at σ = 10, 30, 50."""
    model = Star(gamma1=gamma1, beta=beta, gamma2=gamma2, stride=3)
    kinds = tuple(data.Noise(level) for level in (10, 30, 50))
    return sum(evaluation.validation(partial(star, model=model), kinds)) / len(kinds)


def tile_ranks(Y: Tensor, sigma: float, side: int) -> Tensor:
    """The estimated rank of each tile of side × side pixels of Y (1, B, H, W), what is left cut."""
    bands = Y.shape[1]
    tiles = Y.unfold(2, side, side).unfold(3, side, side)  # (1, B, rows, columns, side, side)
    return rank(tiles[0].permute(1, 2, 0, 3, 4).reshape(-1, bands, side, side), sigma)
