"""What training sets and made-up scenes are drawn with: symmetries, crops, cells, a Gaussian."""

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor


@checks.door
def turned(x: AnyTensor, k: int) -> Tensor:
    """One of the 8 symmetries of the square: k % 4 quarter turns, then mirrored from k = 4 on."""
    x = x.rot90(k % 4, (-2, -1))
    return x.flip(-1) if k >= 4 else x


@checks.door
def crop(x: Tensor, side: int, g: torch.Generator) -> Tensor:
    """A random crop (…, side, side) of x (…, h, w), in one of its 8 symmetries."""
    checks.whole("side", side, 1)
    if min(x.shape[-2:]) < side:
        raise ValueError(f"x {tuple(x.shape)} holds no crop of {side}×{side}")
    top, left = (int(torch.randint(n - side + 1, (1,), generator=g)) for n in x.shape[-2:])
    turn = int(torch.randint(8, (1,), generator=g))
    return turned(x[..., top : top + side, left : left + side], turn)


@checks.door
def cells(y: Tensor, x: Tensor, sites: Tensor) -> Tensor:
    """For every pixel of a grid (h, w) the number of its nearest site; sites (n, 2): polygons."""
    return ((y[..., None] - sites[:, 0]) ** 2 + (x[..., None] - sites[:, 1]) ** 2).argmin(-1)


@checks.door
def bell(reach: int, sigma: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """exp(−½(t/σ)²) at t = −reach, …, reach: a Gaussian's line, not yet of sum 1."""
    checks.whole("reach", reach)
    checks.number("sigma", sigma, 0, open_low=True)
    return (-0.5 * (torch.arange(-reach, reach + 1, dtype=dtype) / sigma) ** 2).exp()
