"""Operators that keep some pixels of a block and drop the others.

symbol   code    shape         meaning
M        kept    (side, side)  1 where a pixel is measured, 0 where it is missing
Φ        -       (m, side²)    the rows of the identity of the m measured pixels
"""

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.imaging.data import SIDE


@checks.door
def kept_pixels(missing: float, side: int = SIDE, seed: int = 0) -> Tensor:
    """(side, side) of 0 and 1: which pixels a fixed random mask keeps, whole(missing · side²) not.

    missing : share of the pixels that are not measured, from 0 to 1.
    """
    checks.number("missing", missing, 0, 1)
    checks.whole("side", side, 1)
    order = torch.randperm(side**2, generator=torch.Generator().manual_seed(seed))
    kept = torch.ones(side**2)
    kept[order[: int(missing * side**2)]] = 0
    return kept.reshape(side, side)


def is_mask(kept: Tensor) -> None:
    """Refuse anything but a square mask of finite numbers."""
    checks.shaped("kept", kept, ("side", "side"))
    checks.finite("kept", kept)
    if kept.shape[0] != kept.shape[1]:
        raise ValueError(f"kept has shape {tuple(kept.shape)}; it must be square")


@checks.door
def mask_matrix(kept: Tensor) -> Tensor:
    """Phi (m, side²) that measures the m pixels where ``kept`` (side, side) is not zero."""
    is_mask(kept)
    rows = kept.flatten().nonzero()[:, 0]
    if not len(rows):
        raise ValueError("kept is zero everywhere; it must keep a pixel")
    return torch.eye(kept.numel())[rows]
