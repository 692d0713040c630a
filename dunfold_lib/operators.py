"""Linear maps with their transposes: ``A(x)`` is A x and ``A.T(r)`` is Aᵀ r, one signal per row.

Fixed arrays are non-persistent buffers: they follow ``.to(device)`` and ``.double()``, and are not
part of a network's saved weights.
"""

from copy import deepcopy
from math import isqrt

import torch
from torch import Tensor, nn

from dunfold_lib import checks


class Linear(nn.Module):
    """A linear map. ``domain`` and ``codomain`` are the shapes of one input and one output."""

    domain: tuple[int, ...]
    codomain: tuple[int, ...]
    orthogonal = False  # whether its transpose is its inverse

    def forward(self, x: Tensor) -> Tensor:
        """A x, from (batch, *domain) to (batch, *codomain)."""
        raise NotImplementedError

    def T(self, r: Tensor) -> Tensor:
        """Aᵀ r, from (batch, *codomain) to (batch, *domain)."""
        raise NotImplementedError

    def known_norm(self) -> float | None:
        """‖A‖₂ where a formula gives it, else None."""
        return None

    def fingerprint(self) -> Tensor:
        """The fixed numbers that tell this map from others: a network's weights belong to them."""
        return torch.cat([torch.zeros(0), *(b.flatten() for b in self.buffers())])


@checks.door
def is_linear(name: str, A: Linear) -> None:
    """Refuse anything but an operator of this module."""
    if not isinstance(A, Linear):
        raise TypeError(f"{name} is a {type(A).__name__}; it must be an operators.Linear")


def fits(A: Linear, b: Tensor, x: Tensor) -> None:
    """Refuse a measurement and a signal of A that are not row for row."""
    if not isinstance(A, Linear):
        is_linear("A", A)
    checks.rows("b", b, A.codomain)
    checks.rows("x", x, A.domain)
    if len(b) != len(x):
        raise ValueError(f"x has {len(x)} rows; b has {len(b)}")


@checks.door
def norm(A: Linear, iterations: int = 1000, seed: int = 0) -> float:
    """‖A‖₂, the largest singular value.

    Exact where the operator knows it (``known_norm``); otherwise ``iterations`` steps of the power
    method on AᵀA in float64 on the CPU, which approaches the norm from below.
    """
    is_linear("A", A)
    checks.whole("iterations", iterations, 1)
    known = A.known_norm()
    if known is not None:
        return known
    A = deepcopy(A).cpu().double()
    v = torch.randn(1, *A.domain, generator=torch.Generator().manual_seed(seed)).double()
    for _ in range(iterations):
        v = A.T(A(v / v.norm()))
        if not bool(v.any()):
            return 0.0
    return float(v.norm().sqrt())


class Matrix(Linear):
    """x ↦ A x for a matrix A (m, n), whose entries must be finite."""

    A: Tensor

    @checks.door
    def __init__(self, A: Tensor):
        super().__init__()
        checks.finite("A", A)
        if A.ndim != 2:
            raise ValueError(f"A has shape {tuple(A.shape)}; it must be a matrix (m, n)")
        self.register_buffer("A", A.detach().clone(), persistent=False)
        self.codomain, self.domain = (A.shape[0],), (A.shape[1],)

    def forward(self, x: Tensor) -> Tensor:  # (batch, n) -> (batch, m)
        checks.rows("x", x, self.domain, self.A)
        return x @ self.A.T

    def T(self, r: Tensor) -> Tensor:  # (batch, m) -> (batch, n)
        checks.rows("r", r, self.codomain, self.A)
        return r @ self.A

    def known_norm(self) -> float:
        return float(torch.linalg.matrix_norm(self.A.double(), 2))


class _Masked(Linear):
    """A map of images (1, height, width) that a mask of 0 and 1 decides."""

    mask: Tensor
    channels = 1  # of what it gives

    @checks.door
    def __init__(self, mask: Tensor):
        super().__init__()
        checks.finite("mask", mask)
        if mask.ndim != 2 or not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError(f"mask has shape {tuple(mask.shape)}; it must be 2-D and hold 0 and 1")
        self.register_buffer("mask", mask.detach().clone(), persistent=False)
        self.domain, self.codomain = (1, *mask.shape), (self.channels, *mask.shape)


class Mask(_Masked):
    """Keep the pixels where ``mask`` (height, width) is 1 and zero those where it is 0."""

    def forward(self, x: Tensor) -> Tensor:  # (batch, 1, height, width), both sides
        checks.rows("x", x, self.domain)
        return x * self.mask

    def T(self, r: Tensor) -> Tensor:
        return self(r)

    def known_norm(self) -> float:
        return float(self.mask.max())


class Sensing(Linear):
    """x ↦ Phi vec(x): m numbers of a square image, for a matrix Phi (m, side²).

    ``vec`` reads the pixels row by row. Both products stay in Phi's precision inside autocast.
    """

    Phi: Tensor

    @checks.door
    def __init__(self, Phi: Tensor):
        super().__init__()
        checks.finite("Phi", Phi)
        side = isqrt(Phi.shape[1]) if Phi.ndim == 2 else 0
        if Phi.ndim != 2 or side * side != Phi.shape[1]:
            given = tuple(Phi.shape)
            raise ValueError(f"Phi has shape {given}; it must be (m, n) with n a square number")
        self.register_buffer("Phi", Phi.detach().clone(), persistent=False)
        self.codomain, self.domain = (Phi.shape[0],), (1, side, side)

    @property
    def side(self) -> int:
        """Height and width of one image."""
        return self.domain[1]

    def forward(self, x: Tensor) -> Tensor:  # (batch, 1, side, side) -> (batch, m)
        checks.rows("x", x, self.domain)
        with torch.autocast(x.device.type, enabled=False):
            return x.flatten(1).to(self.Phi.dtype) @ self.Phi.T

    def T(self, r: Tensor) -> Tensor:  # (batch, m) -> (batch, 1, side, side)
        checks.rows("r", r, self.codomain)
        with torch.autocast(r.device.type, enabled=False):
            return (r.to(self.Phi.dtype) @ self.Phi).unflatten(1, self.domain)

    def known_norm(self) -> float:
        return float(torch.linalg.matrix_norm(self.Phi.double(), 2))

    def fingerprint(self) -> Tensor:
        """Phi to about four digits: its last ones differ between machines, for it is factorised."""
        return (self.Phi.double() * 4096).round()


class Blockwise(Linear):
    """A map of square blocks, applied to every block of an image (1, *size) of any size.

    The image is padded with zeros below and on the right to whole blocks, which are taken row by
    row: b is (batch, blocks, *block.codomain). ``split`` and ``join`` do the cutting alone.
    """

    block: Sensing

    @checks.door
    def __init__(self, block: Sensing, size: tuple[int, int]):
        super().__init__()
        if not isinstance(block, Sensing):
            raise TypeError(f"block is a {type(block).__name__}; it must be an operators.Sensing")
        checks.size("size", size)
        self.block, self.size = block, size
        self.grid = tuple(-(-s // block.side) for s in size)  # blocks down, blocks across
        self.domain, self.codomain = (1, *size), (self.grid[0] * self.grid[1], *block.codomain)

    def split(self, x: Tensor) -> Tensor:  # (batch, 1, *size) -> (batch · blocks, 1, side, side)
        checks.rows("x", x, self.domain)
        side, (down, across), (height, width) = self.block.side, self.grid, self.size
        x = nn.functional.pad(x, (0, across * side - width, 0, down * side - height))
        x = x.unflatten(2, (down, side)).unflatten(4, (across, side))  # batch, 1, down, side, …
        return x.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)

    def join(self, blocks: Tensor) -> Tensor:  # (batch · blocks, 1, side, side) -> (batch, 1, …)
        checks.rows("blocks", blocks, self.block.domain)
        count = self.codomain[0]
        if len(blocks) % count:
            raise ValueError(f"blocks has {len(blocks)} rows; {count} of them make one image")
        x = blocks.unflatten(0, (-1, *self.grid)).permute(0, 3, 1, 4, 2, 5)
        return x.flatten(4, 5).flatten(2, 3)[..., : self.size[0], : self.size[1]]

    def forward(self, x: Tensor) -> Tensor:  # (batch, 1, *size) -> (batch, blocks, m)
        return self.block(self.split(x)).unflatten(0, (-1, self.codomain[0]))

    def T(self, r: Tensor) -> Tensor:
        checks.rows("r", r, self.codomain)
        return self.join(self.block.T(r.flatten(0, 1)))

    def known_norm(self) -> float | None:
        """That of the block where the image holds a whole one."""
        return self.block.known_norm() if min(self.size) >= self.block.side else None


class Fourier(_Masked):
    """Magnetic resonance: the orthonormal Fourier transform of a real image where ``mask`` is 1.

    mask : (height, width) of 0 and 1, zero frequency at [0, 0]. b holds the real and the imaginary
    part as two channels; ⟨·, ·⟩ is the real part, so ``T`` gives the real part.
    """

    channels = 2

    @checks.door
    def forward(self, x: Tensor) -> Tensor:  # (batch, 1, height, width) -> (batch, 2, …)
        checks.rows("x", x, self.domain)
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.fft.fft2(x[:, 0].to(self.mask.dtype), norm="ortho")
            return self.mask * torch.view_as_real(spectrum).movedim(-1, 1)

    @checks.door
    def T(self, r: Tensor) -> Tensor:  # (batch, 2, height, width) -> (batch, 1, …)
        checks.rows("r", r, self.codomain)
        with torch.autocast(r.device.type, enabled=False):
            spectrum = torch.view_as_complex((self.mask * r).movedim(1, -1).contiguous())
            return torch.fft.ifft2(spectrum, norm="ortho").real[:, None]

    def known_norm(self) -> float:
        """1, or √½ where no frequency is measured together with its opposite."""
        opposite = self.mask.flip((0, 1)).roll((1, 1), (0, 1))
        return float(((self.mask + opposite) / 2).max().sqrt())


class Blur(Linear):
    """Circular convolution of images (1, *size) with a kernel of odd sides, by the FFT.

    The image is taken as periodic: what leaves one edge enters at the other.
    """

    spectrum_parts: Tensor  # (height, width/2 + 1, 2): .double() leaves complex buffers alone

    @checks.door
    def __init__(self, kernel: Tensor, size: tuple[int, int]):
        super().__init__()
        checks.finite("kernel", kernel)
        checks.size("size", size)
        sides = tuple(kernel.shape)
        if len(sides) != 2 or any(k % 2 == 0 or k > s for k, s in zip(sides, size, strict=True)):
            raise ValueError(f"kernel has shape {sides}; its sides must be odd and at most {size}")
        padded = kernel.new_zeros(size)
        padded[: sides[0], : sides[1]] = kernel
        padded = padded.roll((-(sides[0] // 2), -(sides[1] // 2)), (0, 1))  # centre at (0, 0)
        parts = torch.view_as_real(torch.fft.rfft2(padded))
        self.register_buffer("spectrum_parts", parts, persistent=False)
        self.size = size
        self.domain = self.codomain = (1, *size)

    @property
    def spectrum(self) -> Tensor:
        """The kernel's discrete Fourier transform, complex (height, width/2 + 1)."""
        return torch.view_as_complex(self.spectrum_parts)

    @checks.door
    def forward(self, x: Tensor) -> Tensor:  # (batch, 1, height, width), both sides
        checks.rows("x", x, self.domain)
        return torch.fft.irfft2(torch.fft.rfft2(x) * self.spectrum, s=self.size)

    @checks.door
    def T(self, r: Tensor) -> Tensor:
        checks.rows("r", r, self.codomain)
        return torch.fft.irfft2(torch.fft.rfft2(r) * self.spectrum.conj(), s=self.size)

    def known_norm(self) -> float:
        return float(self.spectrum.abs().max())


class Compose(Linear):
    """x ↦ outer(inner(x))."""

    outer: Linear
    inner: Linear

    @checks.door
    def __init__(self, outer: Linear, inner: Linear):
        super().__init__()
        is_linear("outer", outer)
        is_linear("inner", inner)
        if outer.domain != inner.codomain:
            raise ValueError(f"outer takes {outer.domain} but inner gives {inner.codomain}")
        self.outer, self.inner = outer, inner
        self.domain, self.codomain = inner.domain, outer.codomain

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))

    def T(self, r: Tensor) -> Tensor:
        return self.inner.T(self.outer.T(r))

    def known_norm(self) -> float | None:
        """An orthogonal inner map leaves the norm alone."""
        return self.outer.known_norm() if self.inner.orthogonal else None


@checks.door
def gradient(x: Tensor) -> Tensor:
    """Forward differences, (batch, C, h, w) to (batch, 2, C, h, w): 0 past the last pixel."""
    checks.shaped("x", x, ("batch", "C", "h", "w"))
    down = torch.diff(x, dim=2, append=x[:, :, -1:])
    return torch.stack([down, torch.diff(x, dim=3, append=x[..., -1:])], 1)


@checks.door
def gradient_T(p: Tensor) -> Tensor:
    """The transpose of ``gradient``: minus the divergence."""
    checks.shaped("p", p, ("batch", 2, "C", "h", "w"))
    down, across = p[:, 0, :, :-1], p[:, 1, ..., :-1]
    pad = torch.nn.functional.pad
    return -torch.diff(pad(down, (0, 0, 1, 1)), dim=2) - torch.diff(pad(across, (1, 1)), dim=3)
