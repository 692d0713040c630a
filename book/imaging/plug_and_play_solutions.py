"""Solutions of the exercises in plug_and_play.md; plug_and_play_cases.py checks them."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from dunfold_lib.imaging.denoisers import Denoise
from dunfold_lib.imaging.plug_and_play import pnp_ista
from dunfold_lib.operators import Linear


def averaged(denoise: Denoise) -> Denoise:
    """A denoiser that swings less, made of any denoiser."""
    return lambda v, sigma: (v + denoise(v, sigma)) / 2


def data_step(A: Linear, b: Tensor, v: Tensor, c: float) -> Tensor:
    """argmin_x ½‖A x − b‖² + (c/2)‖x − v‖² where A Aᵀ = I."""
    return v + A.T(b - A(v)) / (1 + c)


def prior(D: Tensor, x: Tensor) -> Tensor:
    """g with D = prox_g, for a symmetric D with spectrum in (0, 1]: one value per row."""
    return 0.5 * (x * (torch.linalg.solve(D, x.T).T - x)).sum(1)


def first_that_fits(A: Linear, b: Tensor, xs: Iterable[Tensor], noise: float) -> int | None:
    """The first k with ‖A x^k − b‖ ≤ 1.1 · noise · √n; None where there is none."""
    level = 1.1 * noise * b.numel() ** 0.5
    return next((k for k, x in enumerate(xs) if float((A(x) - b).norm()) <= level), None)


def by_discrepancy(
    A: Linear, b: Tensor, denoise: Denoise, sigmas: Sequence[float], noise: float, K: int
) -> float:
    """The σ whose K-th iterate of PnP-ISTA has the residual nearest to noise·√n."""
    level = noise * b.numel() ** 0.5

    def off(sigma: float) -> float:
        x = pnp_ista(A, b, denoise, sigma, K)[-1]
        return abs(float((A(x) - b).norm()) - level)

    return min(sigmas, key=off)
