"""What the instrument does: antialiased bicubic downsampling and a spectral response.

symbol   code    shape                         meaning
r        ratio   whole                         low-resolution pixels are r × r pixels
R        keys    (n/r, n)                      rows of the antialiased Keys kernel, which sum to 1
D        D       (C, rH, rW) -> (C, H, W)      r · R_h U R_wᵀ; r makes ‖D‖₂ close to 1
down     down    the same                      D U / r: the low-resolution image, means kept
up       up      (C, H, W) -> (C, rH, rW)      Keys interpolation
H        H       (C, h, w) -> (Cy, h, w)       spectral response: a matrix (Cy, C) at every pixel

Keys 1981, a = −½. The kernel is r times as wide for downsampling. The image is mirrored at its
border, the border pixel included.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks, fetch
from dunfold_lib.operators import Linear


@checks.door
def keys_kernel(x: Tensor) -> Tensor:
    """Keys' cubic kernel for a = −½: 1 at 0, 0 at the other whole numbers, 0 from |x| = 2 on."""
    checks.finite("x", x)
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))


@checks.door
@fetch.cached(fetch.nowhere)
def keys_matrix(n: int, ratio: int) -> Tensor:
    """R (n/ratio, n), float64: weights of n pixels in every low-resolution pixel; rows sum to 1."""
    checks.whole("ratio", ratio, 1)
    checks.whole("n", n, 1)
    if n % ratio:
        raise ValueError(f"n is {n}; it must be a multiple of the ratio {ratio}")
    centre = (torch.arange(n // ratio, dtype=torch.float64) + 0.5) * ratio - 0.5
    reach = 2 * ratio
    offset = torch.arange(-reach, reach + 1, dtype=torch.float64)
    at = centre.floor()[:, None] + offset  # (n/ratio, 4 ratio + 1): pixels under the kernel
    return _gathered(at, keys_kernel((at - centre[:, None]) / ratio), n)


@checks.door
@fetch.cached(fetch.nowhere)
def keys_up_matrix(n: int, ratio: int) -> Tensor:
    """(n·ratio, n), float64: Keys interpolation of n samples; rows sum to 1."""
    checks.whole("ratio", ratio, 1)
    checks.whole("n", n, 1)
    centre = (torch.arange(n * ratio, dtype=torch.float64) + 0.5) / ratio - 0.5
    at = centre.floor()[:, None] + torch.arange(-1, 3, dtype=torch.float64)
    return _gathered(at, keys_kernel(at - centre[:, None]), n)


def _gathered(at: Tensor, weight: Tensor, n: int) -> Tensor:
    """Rows of weights at pixels ``at``, those outside mirrored into 0 … n − 1, sums made 1."""
    inside = at.long() % (2 * n)
    inside = torch.where(inside < n, inside, 2 * n - 1 - inside)
    R = torch.zeros(len(at), n, dtype=torch.float64).scatter_add_(1, inside, weight)
    return R / R.sum(1, keepdim=True)


@checks.door
def up(Z: Tensor, ratio: int) -> Tensor:
    """Keys interpolation, (…, H, W) to (…, ratio·H, ratio·W)."""
    checks.real("Z", Z)
    high, wide = (keys_up_matrix(n, ratio).to(Z) for n in Z.shape[-2:])
    return high @ Z @ wide.T


class Downsample(Linear):
    """D: images (channels, *size) to (channels, *size / ratio), times ratio; exact transpose.

    size : (height, width), multiples of the ratio; ``at`` gives the same map for another size.
    """

    high: Tensor  # (height/ratio, height)
    wide: Tensor  # (width/ratio, width)

    @checks.door
    def __init__(
        self,
        size: tuple[int, int],
        ratio: int,
        channels: int = 1,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        checks.size("size", size)
        checks.whole("ratio", ratio, 1)
        checks.whole("channels", channels, 1)
        if any(n % ratio for n in size):
            raise ValueError(f"size is {size}; both must be multiples of the ratio {ratio}")
        self.size, self.ratio, self.channels = size, ratio, channels
        self.register_buffer("high", keys_matrix(size[0], ratio).to(dtype), persistent=False)
        self.register_buffer("wide", keys_matrix(size[1], ratio).to(dtype), persistent=False)
        self.domain = (channels, *size)
        self.codomain = (channels, size[0] // ratio, size[1] // ratio)

    @checks.door
    def at(self, like: Tensor) -> "Downsample":
        """The same map for images of the size, precision and device of ``like`` (…, h, w)."""
        size = (like.shape[-2], like.shape[-1])
        return _downsample(size, self.ratio, self.channels, like.dtype, like.device)

    def forward(self, x: Tensor) -> Tensor:  # (batch, C, rH, rW) -> (batch, C, H, W)
        checks.rows("x", x, self.domain, self.high)
        return self.ratio * (self.high @ x @ self.wide.T)

    def T(self, r: Tensor) -> Tensor:  # (batch, C, H, W) -> (batch, C, rH, rW)
        checks.rows("r", r, self.codomain, self.high)
        return self.ratio * (self.high.T @ r @ self.wide)

    def down(self, U: Tensor) -> Tensor:
        """D U / r, the low-resolution image: (batch, C, rH, rW) -> (batch, C, H, W)."""
        return self(U) / self.ratio

    def known_norm(self) -> float:
        """The product of the two matrices' norms, times the ratio."""
        norms = [float(torch.linalg.matrix_norm(R.double(), 2)) for R in (self.high, self.wide)]
        return self.ratio * norms[0] * norms[1]


@lru_cache(maxsize=32)
def _downsample(
    size: tuple[int, int], ratio: int, channels: int, dtype: torch.dtype, device: torch.device
) -> Downsample:
    return Downsample(size, ratio, channels, dtype).to(device)


class Spectral(Linear):
    """H: every pixel's C bands become Cy, by one matrix (Cy, C)."""

    H: Tensor

    @checks.door
    def __init__(self, H: Tensor, size: tuple[int, int]):
        super().__init__()
        checks.finite("H", H)
        checks.size("size", size)
        if H.ndim != 2:
            raise ValueError(f"H has shape {tuple(H.shape)}; it must be a matrix (Cy, C)")
        self.register_buffer("H", H.detach().clone(), persistent=False)
        self.domain, self.codomain = (H.shape[1], *size), (H.shape[0], *size)

    def forward(self, x: Tensor) -> Tensor:  # (batch, C, h, w) -> (batch, Cy, h, w)
        checks.rows("x", x, self.domain, self.H)
        return mix(self.H, x)

    def T(self, r: Tensor) -> Tensor:  # (batch, Cy, h, w) -> (batch, C, h, w)
        checks.rows("r", r, self.codomain, self.H)
        return mix(self.H.T, r)

    def known_norm(self) -> float:
        return float(torch.linalg.matrix_norm(self.H.double(), 2))


@checks.door
def mix(H: Tensor, x: Tensor) -> Tensor:
    """A matrix (out, in) on the channels of every pixel of (batch, in, h, w)."""
    checks.shaped("H", H, ("out", "in"))
    checks.shaped("x", x, ("batch", H.shape[1], "h", "w"))
    return torch.einsum("oi,bihw->bohw", H, x)


class Pair(NamedTuple):
    """One measurement: a low-resolution image and its guide."""

    Z: Tensor  # (batch, C, H, W)
    Y: Tensor  # (batch, Cy, rH, rW)


def degraded(truth: Tensor, Y: Tensor, ratio: int) -> Pair:
    """The measurement of images (batch, C, h, w): Keys down by the ratio, without noise.

    Y : their guides (batch, Cy, h, w).
    """
    checks.shaped("truth", truth, ("batch", "C", "h", "w"))
    size = (truth.shape[2], truth.shape[3])
    checks.shaped("Y", Y, (len(truth), "Cy", *size))
    D = Downsample(size, ratio, truth.shape[1], truth.dtype).to(truth.device)
    return Pair(D.down(truth), Y)
