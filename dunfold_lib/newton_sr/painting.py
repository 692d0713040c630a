"""How the figures show an image, and an error of it."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dunfold_lib.show import array

MAGNIFIED = 6  # an error that is shown


def error(U: Tensor, truth: Tensor) -> Tensor:
    """The error, magnified, around a grey of one half."""
    return 0.5 + MAGNIFIED * (U - truth)


def grey(x: Tensor) -> NDArray[np.float64]:
    """The first channel of the first row, within [0, 1]."""
    return array(x.clamp(0, 1))[0, 0]
