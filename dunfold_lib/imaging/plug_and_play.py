"""Plug-and-play: an algorithm's proximal step is done by a denoiser D(v, σ).

    minimise over x:   ½‖A x − b‖² + R(x),   R unknown, its prox replaced by D

symbol     code       meaning
A, b, x    A, b, x    operator of images (1, h, w), measurement, image (batch, 1, h, w)
D          denoise    (v, σ) -> image, any of ``denoisers`` or a function of one's own
σ          sigma      noise level told to the denoiser, in the unit of the pixels
ρ          rho        step of the gradient
c          c          weight of ½‖x − v‖² in the data step
K, k       K, k       number of steps, index of one

PnP-ISTA   x = D(x − ρ Aᵀ(A x − b))
PnP-HQS    x = D(prox_data(x)),  σ falling, c = (noise/σ)²
PnP-ADMM   x = prox_data(z − u);  z = D(x + u);  u = u + x − z
D-AMP      x = D(x + Aᵀz), σ from z;  z = b − A x + z · (divergence of D)/m

Venkatakrishnan et al. 2013 (ADMM); Metzler et al. 2016 (D-AMP). All give [x⁰, …, xᴷ].
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.imaging.baselines import begin, measured, rounding
from dunfold_lib.imaging.denoisers import Denoise
from dunfold_lib.operators import Blur, Linear, fits, norm
from dunfold_lib.solvers import conjugate_gradients

CG_STEPS = 100


@checks.door
def ista_step(
    A: Linear, b: Tensor, denoise: Denoise, sigma: float, rho: float, x: Tensor
) -> Tensor:
    """One gradient step on the data term, one denoising."""
    fits(A, b, x)
    checks.number("sigma", sigma, 0)
    checks.number("rho", rho, 0, open_low=True)
    return denoise(x - rho * A.T(A(x) - b), sigma)


@checks.door
def hqs_step(A: Linear, b: Tensor, denoise: Denoise, sigma: float, c: float, x: Tensor) -> Tensor:
    """One exact step on the data term, one denoising."""
    checks.number("sigma", sigma, 0)
    return denoise(data_prox(A, b, x, c), sigma)


@checks.door
def pnp_ista(
    A: Linear,
    b: Tensor,
    denoise: Denoise,
    sigma: float,
    K: int,
    rho: float | None = None,
    start: Tensor | None = None,
) -> list[Tensor]:
    """[x⁰, …, xᴷ] of proximal gradient steps with a denoiser. rho : 1/‖A‖² by default."""
    _look(A, b, K)
    checks.number("sigma", sigma, 0)
    rho = 1 / norm(A) ** 2 if rho is None else rho
    checks.number("rho", rho, 0, open_low=True)
    xs = [begin(A, b, start)]
    for _ in range(K):
        xs.append(ista_step(A, b, denoise, sigma, rho, xs[-1]))
    return xs


@checks.door
def pnp_hqs(
    A: Linear,
    b: Tensor,
    denoise: Denoise,
    sigmas: Sequence[float],
    noise: float,
    start: Tensor | None = None,
) -> list[Tensor]:
    """[x⁰, …, xᴷ] of half-quadratic splitting, K = len(sigmas), after Zhang et al. 2022.

    noise : deviation of the measurement's noise, in the unit of b; c = (noise/σ)², and 0 makes the
    data step the projection onto the images nearest to the data.
    """
    _look(A, b, len(sigmas))
    checks.number("noise", noise, 0)
    for sigma in sigmas:
        checks.number("sigma", sigma, 0, open_low=True)
    xs = [begin(A, b, start)]
    for sigma in sigmas:
        xs.append(hqs_step(A, b, denoise, sigma, (noise / sigma) ** 2, xs[-1]))
    return xs


@checks.door
def falling(high: float, low: float, K: int) -> list[float]:
    """K noise levels from ``high`` to ``low``, equally spaced in their logarithm."""
    checks.number("low", low, 0, open_low=True)
    checks.number("high", high, low)
    checks.whole("K", K, 1)
    return [high * (low / high) ** (k / max(K - 1, 1)) for k in range(K)]


@checks.door
def pnp_admm(
    A: Linear,
    b: Tensor,
    denoise: Denoise,
    sigma: float,
    K: int,
    c: float = 1.0,
    start: Tensor | None = None,
) -> list[Tensor]:
    """[z⁰, …, zᴷ] of ADMM with a denoiser (Venkatakrishnan et al. 2013); z⁰ = start, u⁰ = 0.

    With D = prox of R/c it is ADMM on ½‖A x − b‖² + R(x) with the penalty c.
    """
    _look(A, b, K)
    checks.number("sigma", sigma, 0)
    checks.number("c", c, 0)
    zs = [begin(A, b, start)]
    u = torch.zeros_like(zs[0])
    for _ in range(K):
        x = data_prox(A, b, zs[-1] - u, c)
        zs.append(denoise(x + u, sigma))
        u = u + x - zs[-1]
    return zs


@checks.door
def data_prox(A: Linear, b: Tensor, v: Tensor, c: float, steps: int = CG_STEPS) -> Tensor:
    """argmin_x ½‖A x − b‖² + (c/2)‖x − v‖²; v is (batch, 1, h, w).

    It solves (AᵀA + c)(x − v) = Aᵀ(b − A v): for a ``Blur`` in closed form, by the Fourier
    transform; else by conjugate gradients from v, one step where A's rows are orthonormal. For
    c = 0 it is the image nearest to v among those that fit b best.
    """
    measured(A, b)
    v = begin(A, b, v)
    checks.number("c", c, 0)
    checks.whole("steps", steps, 1)
    if isinstance(A, Blur):
        return _deblurred(A, b, v, c)
    V = lambda d: A.T(A(d)) + c * d
    return v + conjugate_gradients(V, A.T(b - A(v)), steps, rounding(b))


def _deblurred(A: Blur, b: Tensor, v: Tensor, c: float) -> Tensor:
    """The data step of a blur: each frequency on its own, those that A loses stay v's."""
    s = A.spectrum
    power = s.abs().square()
    V = torch.fft.rfft2(v)
    change = s.conj() * (torch.fft.rfft2(b) - s * V)
    kept = power + c > rounding(b) ** 2 * power.max()
    change = torch.where(kept, change / torch.where(kept, power + c, 1), 0)
    return torch.fft.irfft2(V + change, s=A.size)


@checks.door
def d_amp(
    A: Linear, b: Tensor, denoise: Denoise, K: int, generator: torch.Generator, damping: float = 1.0
) -> list[Tensor]:
    """[x⁰, …, xᴷ] of D-AMP (Metzler, Maleki & Baraniuk 2016), from x⁰ = 0.

    A and b are scaled together so that A's columns have length one on average, found with a random
    probe. The noise level ‖z‖/√m and the divergence of D are estimated in every step.
    damping : share of the new residual z in each step, 1 in the paper. The theory asks for one A
    with independent Gaussian entries over the whole image; orthonormal rows do as well. Sensing
    block by block breaks it, whatever the block's matrix, and z may grow without bound: take less.
    """
    _look(A, b, K)
    checks.number("damping", damping, 0, 1, open_low=True)
    n, m = A.domain[1] * A.domain[2], b[0].numel()
    length = A(_signs((1, *A.domain), b, generator)).norm() / n**0.5
    b, x = b / length, begin(A, b, None)
    z, xs = b, [x]
    for k in range(K):
        v, sigma = x + A.T(z) / length, float(z.norm() / (len(z) * m) ** 0.5)
        if not sigma < 1e6:
            raise ValueError(f"D-AMP's residual has grown to {sigma:g} by step {k}; lower damping")
        x = denoise(v, sigma)
        xs.append(x)
        onsager = divergence(denoise, v, sigma, generator) / m
        new = b - A(x) / length + z * onsager.reshape(-1, *[1] * (z.ndim - 1))
        z = damping * new + (1 - damping) * z
    return xs


@checks.door
def divergence(
    denoise: Denoise, v: Tensor, sigma: float, generator: torch.Generator, share: float = 0.1
) -> Tensor:
    """Monte-Carlo estimate of the trace of D's Jacobian at v (Ramani, Blu & Unser 2008): (batch,).

    One probe e of random signs: eᵀ(D(v + h e) − D(v))/h with h = ``share``·σ.
    """
    checks.number("sigma", sigma, 0, open_low=True)
    checks.number("share", share, 0, open_low=True)
    h = share * sigma
    e = _signs(v.shape, v, generator)
    return (e * (denoise(v + h * e, sigma) - denoise(v, sigma))).flatten(1).sum(1) / h


def _signs(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    return (torch.randint(2, tuple(shape), generator=generator) * 2 - 1).to(like)


def _look(A: Linear, b: Tensor, K: int) -> None:
    measured(A, b)
    checks.whole("K", K)
