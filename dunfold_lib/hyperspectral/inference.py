"""The chapter's networks on cubes of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dunfold_lib import checks, cubes
from dunfold_lib.hyperspectral.data import scaled
from dunfold_lib.hyperspectral.fast import denoise
from dunfold_lib.hyperspectral.model import Sweeps

SUFFIXES = cubes.SUFFIXES


@torch.no_grad()
@checks.door
def apply(net: Sweeps, cube: np.ndarray, sigma: float | None = None) -> Any:
    """The cube without its noise, at stride 1.

    cube  : (height, width, bands).  sigma : the noise's deviation, in the cube's units; estimated
    where None.  Gives the same shape and units, float32.
    """
    Y, largest = scaled(cube, "cube"), float(cube.max())
    if sigma is not None:
        checks.number("sigma", sigma, 0, open_low=True)
    net.stride = 1
    made = denoise(net, Y, None if sigma is None else sigma / largest)
    return np.ascontiguousarray(np.moveaxis(largest * made[0].numpy(), 0, 2))


def read(path: Path) -> tuple[Any, ...]:
    """The one cube of a file; how axes are told: ``dunfold_lib.cubes``."""
    return (cubes.read(path).values,)
