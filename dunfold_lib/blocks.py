"""Pieces of networks that more than one room is made of."""

from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks


@checks.door
def composed(first: Tensor, second: Tensor) -> Tensor:
    """The filter (out, in, 5, 5) of the 3×3 convolution by ``first``, then by ``second``."""
    return functional.conv2d(first.transpose(0, 1), second.flip(2, 3), padding=2).transpose(0, 1)
