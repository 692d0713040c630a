"""The room's networks on blurred images of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dunfold_lib import checks, images
from dunfold_lib.deblurring.model import PrimalDualNet
from dunfold_lib.images import picture as picture

SUFFIXES = images.SUFFIXES


@torch.no_grad()
@checks.door
def apply(net: PrimalDualNet, image: np.ndarray) -> Any:
    """A blurred image, restored: (h, w) in [0, 1], float32.

    image : (h, w), or in colour, whose luminance is taken; 8 bit, deeper whole numbers, or [0, 1]
    (``images.scale``). Its blur must be the network's, 1.6 pixels, and its sides at least 15.
    """
    stored = images.of_array(image, "image")
    least = len(net.kernel)
    if min(stored.size) < least:
        raise ValueError(f"image has shape {stored.size}; both sides must be at least {least}")
    b = torch.from_numpy(images.luminance(stored))[None, None]
    return net(b)[0, 0].clamp(0, 1).numpy()


def read(path: Path) -> tuple[Any, ...]:
    """An image file, in [0, 1]."""
    return (images.luminance(images.read(path)),)
