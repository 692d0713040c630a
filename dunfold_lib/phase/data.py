"""Signals, random matrices, and the amplitudes that are seen of them.

A complex number is held as a pair (Re, Im): all tensors are real. ``width`` c is 1 for real signals
and 2 for complex ones, whose n numbers are d = 2n: first the real parts, then the imaginary ones.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks

N = 64  # numbers of a signal
WIDTHS = (1, 2)  # of a number: real, complex
LEAST, MOST = 1.25, 4.0  # m/n of the training draws


class Seen(NamedTuple):
    """What is known: y (batch, m), amplitudes, and A (batch, m, c, d), a matrix for each signal."""

    y: Tensor
    A: Tensor


@checks.door
def forward(A: Tensor, x: Tensor) -> Tensor:
    """A x, (batch, m, c): row i holds the pair, or the number, whose length is y_i."""
    checks.shaped("A", A, ("batch", "m", "c", "d"))
    checks.shaped("x", x, (len(A), A.shape[3]))
    return (A.flatten(1, 2) @ x[..., None]).unflatten(1, A.shape[1:3])[..., 0]


@checks.door
def adjoint(A: Tensor, r: Tensor) -> Tensor:
    """Aᵀ r, (batch, d), of r (batch, m, c)."""
    checks.shaped("A", A, ("batch", "m", "c", "d"))
    checks.shaped("r", r, A.shape[:3])
    return (r.flatten(1)[:, None] @ A.flatten(1, 2))[:, 0]


@checks.door
def matrices(
    batch: int, m: int, n: int, width: int, g: torch.Generator, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Gaussian A (batch, m, c, d) with E|a_iᵀx|² = ‖x‖², real (width 1) or complex (width 2)."""
    checks.whole("batch", batch, 1)
    checks.whole("m", m, 1)
    checks.whole("n", n, 1)
    checks.one_of("width", width, WIDTHS)
    drawn = torch.randn(batch, m, width, n, generator=g, dtype=dtype)
    if width == 1:
        return drawn
    p, q = (drawn / 2**0.5).unbind(2)
    return torch.stack([torch.cat([p, -q], 2), torch.cat([q, p], 2)], 2)


@checks.door
def seen(A: Tensor, x: Tensor, noise: float = 0.0, g: torch.Generator | None = None) -> Seen:
    """The amplitudes |A x|; noise: Gaussian, a multiple of their root mean square, cut at 0."""
    checks.number("noise", noise, 0)
    y = forward(A, x).norm(dim=2)
    if noise:
        level = noise * y.square().mean(1, keepdim=True).sqrt()
        y = (y + level * torch.randn(y.shape, generator=g, dtype=y.dtype)).clamp_min(0)
    return Seen(y, A)


@checks.door
def draw(
    batch: int,
    m: int,
    g: torch.Generator,
    width: int = 1,
    n: int = N,
    dtype: torch.dtype = torch.float32,
) -> tuple[Seen, Tensor]:
    """(b, x*): Gaussian signals (batch, d) of expected square norm n, each with its own matrix."""
    A = matrices(batch, m, n, width, g, dtype)
    x = torch.randn(batch, width * n, generator=g, dtype=dtype) / width**0.5
    return seen(A, x), x


@checks.door
def turned(x: Tensor, angle: float, width: int = 2) -> Tensor:
    """e^{i·angle} x of x (batch, d), of the same amplitudes. Real: by the cosine's sign."""
    checks.shaped("x", x, ("batch", "d"))
    turn = torch.as_tensor(angle, dtype=x.dtype)
    if width == 1:
        return x * torch.where(turn.cos() < 0, -1.0, 1.0).to(x)
    re, im = x.chunk(2, 1)
    return torch.cat([turn.cos() * re - turn.sin() * im, turn.sin() * re + turn.cos() * im], 1)


@checks.door
def aligned(x: Tensor, truth: Tensor, width: int = 1) -> Tensor:
    """x (batch, d), each row turned by the phase (for width 1 the sign) that brings it nearest."""
    checks.shaped("x", x, ("batch", "d"))
    checks.like("x", x, "truth", truth)
    if width == 1:
        return x * torch.where((x * truth).sum(1, keepdim=True) < 0, -1.0, 1.0).to(x)
    (u, v), (p, q) = x.chunk(2, 1), truth.chunk(2, 1)
    re, im = (u * p + v * q).sum(1, keepdim=True), (u * q - v * p).sum(1, keepdim=True)
    size = (re.square() + im.square()).sqrt().clamp_min(torch.finfo(x.dtype).tiny)
    cos, sin = re / size, im / size
    return torch.cat([cos * u - sin * v, sin * u + cos * v], 1)


@checks.door
def relative_error(x: Tensor, truth: Tensor, width: int = 1) -> Tensor:
    """min over phases of ‖e^{iφ}x − x*‖/‖x*‖, one number a row (batch,)."""
    error, length = (aligned(x, truth, width) - truth).norm(dim=1), truth.norm(dim=1)
    if bool((length == 0).any()):
        raise ValueError("truth has a row of zeros; to that no error is relative")
    return error / length
