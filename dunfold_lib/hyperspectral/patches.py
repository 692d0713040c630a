"""Patches of eigen-images and their codes in a dictionary of three small matrices.

symbol   code            shape              meaning
G        G               (N, r, H, W)       eigen-images: r numbers in every pixel
X        X               (N, r, p², n)      the n patches of G; the patch axis is the last
R, Rᵀ    R(G), R.T(X)    as G and X         ``Patches``: cut out, and add up where patches overlap
C        R.count(size)   (1, 1, H, W)       RᵀR, a diagonal: how often each pixel was taken
m        mean(X)         (N, r, 1, n)       mean of each patch and band
D1, D2   D1, D2          (p, p)             dictionary of the rows and of the columns of a patch
D3       D3              (r, r)             dictionary of the bands
X ×D     synthesis       like X             X ×₁D1 ×₂D2 ×₃D3; ``analysis`` has the transposes

Kolda & Bader 2009 for mode products.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import pi, prod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks


class Tile(NamedTuple):
    """whole[..., *place] = work(whole[..., *window])[..., *part]."""

    window: tuple[slice, slice]
    part: tuple[slice, slice]
    place: tuple[slice, slice]


@checks.door
@dataclass(frozen=True)
class Patches:
    """R: every ``side`` × ``side`` patch on a grid of step ``stride``, of images of any size.

    Where the grid does not reach the last row or column the image is continued by reflection, and
    what Rᵀ adds up there is folded back: ⟨R G, X⟩ = ⟨G, Rᵀ X⟩ and RᵀR is diagonal for every size.
    """

    side: int = 9
    stride: int = 1

    def __post_init__(self) -> None:
        checks.whole("side", self.side, 1)
        checks.whole("stride", self.stride, 1)
        if self.stride > self.side:
            raise ValueError(f"stride is {self.stride}; patches of {self.side} allow {self.side}")

    @checks.door
    def more(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns by which an image is continued."""
        if min(size) < self.side or min(size) < self.stride + 1:
            least = max(self.side, self.stride + 1)
            raise ValueError(f"the image is {size}; both sides must be at least {least}")
        down, across = (-(n - self.side) % self.stride for n in size)
        return down, across

    @checks.door
    def number(self, size: tuple[int, int]) -> int:
        """n, the patches of an image."""
        wide = (n + more for n, more in zip(size, self.more(size), strict=True))
        return prod((n - self.side) // self.stride + 1 for n in wide)

    @checks.door
    def __call__(self, G: Tensor) -> Tensor:  # (N, r, H, W) -> (N, r, p², n)
        checks.shaped("G", G, ("batch", "r", "H", "W"))
        down, across = self.more((G.shape[2], G.shape[3]))
        if down or across:
            G = functional.pad(G, (0, across, 0, down), mode="reflect")
        cut = functional.unfold(G, self.side, stride=self.stride)
        return cut.unflatten(1, (G.shape[1], self.side**2))

    @checks.door
    def T(self, X: Tensor, size: tuple[int, int]) -> Tensor:  # (N, r, p², n) -> (N, r, *size)
        """Rᵀ for images of this size."""
        checks.shaped("X", X, ("N", "r", self.side**2, "n"))
        down, across = self.more(size)
        whole = (size[0] + down, size[1] + across)
        G = functional.fold(X.flatten(1, 2), whole, self.side, stride=self.stride)
        return _folded_back(_folded_back(G, down, 2), across, 3)

    @checks.door
    def count(self, size: tuple[int, int], like: Tensor) -> Tensor:
        """C = RᵀR 1, (1, 1, *size), in the precision and on the device of ``like``."""
        return self.T(self(like.new_ones(1, 1, *size)), size)

    @checks.door
    def tiles(self, size: tuple[int, int], core: int, halo: int) -> Iterator[Tile]:
        """Overlapping windows on this grid of patches, whose cores cover the image once.

        core : side of a core, made a multiple of the stride.  halo : pixels around it, at least.
        What a window's work leaves in its core is that of the whole image if no pixel there depends
        on one farther away than ``halo``.
        """
        checks.whole("core", core, 1)
        checks.whole("halo", halo)
        self.more(size)
        rows, columns = (list(self._cuts(n, core, halo)) for n in size)
        for down, across in product(rows, columns):
            yield Tile(*zip(down, across, strict=True))

    def _cuts(self, n: int, core: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
        """Along one axis. A window begins on the grid, and ends on it or with the image."""
        p, step = self.side, self.stride
        core = -(-core // step) * step
        for top in range(0, n, core):
            end, least = min(top + core, n), max(n - max(p, step + 1), 0)
            first = min(max(top - halo, 0), least) // step * step
            more = max(-(-(end + halo - first - p) // step), int(p == step))
            last = min(first + p + more * step, n)
            yield slice(first, last), slice(top - first, end - first), slice(top, end)

    @property
    def nominal(self) -> float:
        """C away from the border: (p/stride)², exact where the stride divides p."""
        return (self.side / self.stride) ** 2


def _folded_back(G: Tensor, more: int, axis: int) -> Tensor:
    """Transpose of the reflection that added ``more`` entries at the end of an axis."""
    if not more:
        return G
    n = G.shape[axis] - more
    tail = G.narrow(axis, n, more).flip(axis)  # lies on entries n − 1 − more, …, n − 2
    pad = (0, 0, n - 1 - more, 1) if axis == 2 else (n - 1 - more, 1)
    return G.narrow(axis, 0, n) + functional.pad(tail, pad)


@checks.door
def mean(X: Tensor) -> Tensor:
    """The mean of every patch in every band, (N, r, 1, n)."""
    checks.shaped("X", X, ("N", "r", "p²", "n"))
    return X.mean(2, keepdim=True)


@checks.door
def synthesis(X: Tensor, D1: Tensor, D2: Tensor, D3: Tensor) -> Tensor:
    """X ×₁D1 ×₂D2 ×₃D3: two matrix products, kron(D1, D2) over the pixels and D3 over the bands."""
    checks.shaped("X", X, ("N", "r", "p²", "n"))
    checks.shaped("D3", D3, (X.shape[1], X.shape[1]))
    checks.shaped("D1", D1, ("p", "p"))
    checks.shaped("D2", D2, (X.shape[2] // len(D1),) * 2)
    N, r, q, n = X.shape
    inside = torch.kron(D1, D2).expand(N * r, q, q).bmm(X.reshape(N * r, q, n))
    return D3.expand(N, r, r).bmm(inside.view(N, r, q * n)).view(N, r, q, n)


@checks.door
def analysis(X: Tensor, D1: Tensor, D2: Tensor, D3: Tensor) -> Tensor:
    """X ×₁D1ᵀ ×₂D2ᵀ ×₃D3ᵀ, the transpose of ``synthesis``."""
    return synthesis(X, D1.T, D2.T, D3.T)


@checks.door
def synthesis_plain(X: Tensor, D1: Tensor, D2: Tensor, D3: Tensor) -> Tensor:
    """The same by one matrix (r p², r p²), as released codes have it; for the benchmark."""
    checks.shaped("X", X, ("N", "r", "p²", "n"))
    checks.shaped("D3", D3, (X.shape[1], X.shape[1]))
    checks.shaped("D1", D1, ("p", "p"))
    checks.shaped("D2", D2, (X.shape[2] // len(D1),) * 2)
    whole = torch.kron(D3, torch.kron(D1, D2))
    return (whole @ X.flatten(1, 2)).reshape(X.shape)


@checks.door
def dct(n: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The orthonormal DCT-II as a dictionary (n, n): its columns are cosines, the first constant.

    Ahmed, Natarajan & Rao 1974.
    """
    checks.whole("n", n, 1)
    at = torch.arange(n, dtype=torch.float64)
    D = (pi / n * (at[:, None] + 0.5) * at).cos() * (2 / n) ** 0.5
    D[:, 0] = n**-0.5
    return D.to(dtype)


def strongest(codes: Tensor, of: Tensor) -> Tensor:
    """The patch of codes (9, 81) in the eigen-image that is strongest in ``of``: ½ is 0."""
    i = int(of.norm(dim=1).argmax())
    D = dct(9, codes.dtype)
    top = 2 * float((D @ of[i].reshape(9, 9) @ D.T).abs().max())
    return (0.5 + D @ codes[i].reshape(9, 9) @ D.T / top).clamp(0, 1)
