"""How far a learned map is from a proximal one: its Lipschitz constant, measured from below.

A step v − ε F(v) is a contraction in v where F is monotone and ε times F's Lipschitz constant is
small; the paper assumes the latter. Both measures are lower bounds: a pair of points, and the
spectral norm of the Jacobian at one point.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dunfold_lib import checks

Map = Callable[[Tensor], Tensor]


@checks.door
def pairwise(F: Map, x: Tensor, y: Tensor) -> Tensor:
    """‖F(x) − F(y)‖/‖x − y‖ of each row of x and y (batch, …): (batch,)."""
    checks.finite("x", x)
    checks.finite("y", y)
    if x.shape != y.shape:
        raise ValueError(f"x and y have shapes {tuple(x.shape)} and {tuple(y.shape)}; equal only")
    gap = (x - y).flatten(1).norm(dim=1)
    if not bool(gap.all()):
        raise ValueError("x and y have a row in common; a Lipschitz quotient needs two points")
    return (F(x) - F(y)).flatten(1).norm(dim=1) / gap


@checks.door
def effective_rank(x: Tensor) -> float:
    """exp of the entropy of the singular values' shares: 1 to min(h, w), for an image (h, w).

    Roy & Vetterli 2007. Is a background B^k of lower rank than its image?
    """
    checks.finite("x", x)
    checks.shaped("x", x, ("h", "w"))
    s = torch.linalg.svdvals(x.double())
    share = s / s.sum().clamp(min=torch.finfo(s.dtype).tiny)
    return float((-(share * share.clamp(min=1e-300).log()).sum()).exp())
