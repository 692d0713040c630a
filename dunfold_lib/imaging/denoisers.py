"""Denoisers: (v, σ) -> image, for v (batch, 1, height, width) in [0, 1] with noise of deviation σ.

Three that scikit-image ships, and two small networks, of which one is a prox. Each gives v's own
shape, dtype and device, and returns v where σ is 0, or below what v's numbers resolve. The three
run on the CPU and pass no gradient.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import cos, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dunfold_lib import checks, fetch

Denoise = Callable[[Tensor, float], Tensor]
# Chosen on crops of the wheel's training images with σ = 15/255 and 25/255.
TV_WEIGHT = 0.85  # λ/σ of the total-variation denoiser
NLM_WIDTH, NLM_PATCH, NLM_REACH = 0.75, 5, 6  # filter width/σ; patch and search radius in pixels
WAVELET = "db2"


@checks.door
def tv_chambolle(v: Tensor, sigma: float) -> Tensor:
    """About argmin_x ½‖x − v‖² + 0.85σ·TV(x) (Rudin, Osher & Fatemi 1992), by scikit-image.

    The solver stops early: at a photograph with σ = 15/255 its objective is within 1 % of the
    minimum. The minimiser itself would be a prox.
    """
    from skimage.restoration import denoise_tv_chambolle

    weight = TV_WEIGHT * sigma
    return _each(lambda x: denoise_tv_chambolle(x, weight=weight, eps=1e-4), v, sigma)


@checks.door
def nl_means(v: Tensor, sigma: float) -> Tensor:
    """Non-local means (Buades, Coll & Morel 2005), by scikit-image: means of similar patches."""
    from skimage.restoration import denoise_nl_means

    size = {"patch_size": NLM_PATCH, "patch_distance": NLM_REACH}
    return _each(
        lambda x: denoise_nl_means(x, h=NLM_WIDTH * sigma, sigma=sigma, fast_mode=True, **size),
        v,
        sigma,
    )


@checks.door
def wavelet(v: Tensor, sigma: float) -> Tensor:
    """Soft thresholds in a wavelet basis, one a band from the data (Chang, Yu & Vetterli 2000).

    By scikit-image with PyWavelets (extra ``book``).
    """
    from skimage.restoration import denoise_wavelet

    fetch.module("pywt", "the wavelet denoiser needs PyWavelets: pip install PyWavelets")
    how = {"wavelet": WAVELET, "method": "BayesShrink", "mode": "soft"}
    return _each(lambda x: denoise_wavelet(x, sigma=sigma, **how), v, sigma)


CLASSICAL: dict[str, Denoise] = {"TV": tv_chambolle, "NLM": nl_means, "wavelet": wavelet}


class Denoiser(nn.Module):
    """v minus the noise that five 3×3 convolutions see in it: 28,641 numbers.

    The noise level is a second input channel, as in Zhang, Zuo & Zhang 2018. The last convolution
    starts at zero, so an untrained network gives v back.
    """

    @checks.door
    def __init__(self, channels: int = 32, layers: int = 5, seed: int = 0):
        super().__init__()
        checks.whole("channels", channels, 1)
        checks.whole("layers", layers, 2)
        widths = [2, *[channels] * (layers - 1), 1]
        convs = [nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(widths)]
        g = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for conv in convs:
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu", generator=g)
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            convs[-1].weight.zero_()
        self.convs = nn.ModuleList(convs)

    @checks.door
    def forward(self, v: Tensor, sigma: Tensor | float) -> Tensor:
        """The image in v. sigma : a number, or one for each image, (batch, 1, 1, 1)."""
        return _without_noise([*self.convs], v, sigma)


class BoundedDenoiser(nn.Module):
    """``Denoiser`` whose D − I is eps-Lipschitz: every convolution is held to its share of eps.

    Each is divided, wherever it is used, by what a bound on its norm exceeds eps^(1/layers): the
    largest singular value over a grid of frequencies, with the slack of ``LearnedProx.filters``.
    """

    GRID = 16

    @checks.door
    def __init__(self, channels: int = 16, layers: int = 4, seed: int = 0, eps: float = 0.9):
        super().__init__()
        checks.number("eps", eps, 0, open_low=True)
        self.inner, self.eps = Denoiser(channels, layers, seed), eps

    def _bounded(self, w: Tensor, inputs: int) -> Tensor:
        """A filter bank whose first ``inputs`` channels are a map of norm at most its share."""
        hat = torch.fft.rfft2(w[:, :inputs], s=(self.GRID, self.GRID)).permute(2, 3, 0, 1)
        slack = cos(pi * (w.shape[-1] - 1) / self.GRID)
        size = torch.linalg.matrix_norm(hat, 2).max() / slack
        share = self.eps ** (1 / len(self.inner.convs))
        return w / (size / share).clamp(min=1)

    @checks.door
    def forward(self, v: Tensor, sigma: Tensor | float) -> Tensor:
        """The image in v. sigma : a number, or one for each image, (batch, 1, 1, 1)."""
        held = [partial(self._held, conv, i == 0) for i, conv in enumerate(self.inner.convs)]
        return _without_noise(held, v, sigma)

    def _held(self, conv: Any, first: bool, h: Tensor) -> Tensor:
        """A convolution, held to its share; of the first one's input only v is a map's."""
        w = self._bounded(conv.weight, 1 if first else h.shape[1])
        return functional.conv2d(h, w, conv.bias, padding=1)


class LearnedProx(nn.Module):
    """v − Wᵀ clip(W v, ±θσ), W learned filters with ‖W‖₂ ≤ 1, θ > 0: the prox of a convex function.

    Its Jacobian I − WᵀSW, S diagonal of 0 and 1, is symmetric with its spectrum in [0, 1]: the map
    is the gradient of a convex function and moves no two points apart, hence a prox (Moreau 1965).
    The form is that of Hasannasab et al. 2020. ``channels`` filters of side × side, each of mean
    zero: flat regions stay. W is divided by a bound on its norm wherever it is used.
    """

    GRID = 64  # frequencies down and across at which the norm is bounded

    @checks.door
    def __init__(self, channels: int = 32, side: int = 7, seed: int = 0):
        super().__init__()
        checks.whole("channels", channels, 1)
        checks.whole("side", side, 3)
        if side % 2 == 0 or 2 * side > self.GRID:
            raise ValueError(f"side is {side}; it must be odd and at most {self.GRID // 2}")
        g = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(0.1 * torch.randn(channels, 1, side, side, generator=g))
        self.free = nn.Parameter(torch.zeros(channels))

    @property
    def theta(self) -> Tensor:
        """θ, one for each filter: softplus of a free number."""
        return functional.softplus(self.free)

    @checks.door
    def filters(self) -> Tensor:
        """W as filters (channels, 1, side, side) with ‖W‖₂ ≤ 1.

        ‖W‖₂² is at most the largest Σ|ŵᵢ|² over all frequencies, a trigonometric polynomial of
        degree d = side − 1; that is at most its largest value on the grid over cos(πd/GRID)²
        (M. Riesz).
        """
        w = self.weight - self.weight.mean((2, 3), keepdim=True)
        power = torch.fft.rfft2(w[:, 0], s=(self.GRID, self.GRID)).abs().square().sum(0)
        slack = cos(pi * (w.shape[-1] - 1) / self.GRID)
        return w * slack / power.max().sqrt().clamp(min=1e-12)

    @checks.door
    def forward(self, v: Tensor, sigma: Tensor | float) -> Tensor:
        """The image in v. sigma : a number, or one for each image, (batch, 1, 1, 1)."""
        _image_and_level(v, sigma)
        w, half = self.filters(), self.weight.shape[-1] // 2
        most = self.theta[:, None, None] * sigma
        z = functional.conv2d(v, w, padding=half)
        return v - functional.conv_transpose2d(z.clamp(-most, most), w, padding=half)


def _without_noise(
    convs: Sequence[Callable[[Tensor], Tensor]], v: Tensor, sigma: Tensor | float
) -> Tensor:
    """v minus what the convolutions see in v and σ; where σ is 0, v."""
    _image_and_level(v, sigma)
    if not isinstance(sigma, Tensor):
        sigma = v.new_full((len(v), 1, 1, 1), sigma)
    h = torch.cat([v, sigma.expand_as(v)], 1)
    for conv in convs[:-1]:
        h = conv(h).relu()
    return v - convs[-1](h) * (sigma > 0)


def _image_and_level(v: Tensor, sigma: Tensor | float) -> None:
    """Refuse what is no image, and a noise level that is no number, nor one for each image."""
    checks.shaped("v", v, ("batch", 1, "height", "width"))
    if isinstance(sigma, Tensor):
        checks.rows("sigma", sigma, (1, 1, 1))
    else:
        checks.number("sigma", sigma, 0)


def _each(denoise: Callable[[Any], Any], v: Tensor, sigma: float) -> Tensor:
    """A NumPy denoiser on every image of a batch, after a look at the arguments."""
    checks.shaped("v", v, ("batch", 1, "height", "width"))
    checks.finite("v", v)
    checks.number("sigma", sigma, 0)
    if sigma <= torch.finfo(v.dtype).eps * float(v.abs().max()):
        return v.clone()  # less than v's own numbers resolve
    images = v.detach().cpu().numpy()[:, 0]
    return torch.from_numpy(np.stack([denoise(x) for x in images]))[:, None].to(v)


def quietly(net: Any) -> Denoise:
    """A network as a function that keeps no gradients."""
    return torch.no_grad()(lambda v, sigma: net(v, sigma))


def relaxed(denoise: Denoise, share: float) -> Denoise:
    """(1 − share)·v + share·D(v, σ)."""
    checks.number("share", share, 0, 1)
    return lambda v, sigma: v + share * (denoise(v, sigma) - v)
