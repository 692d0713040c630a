"""The chapter's networks on a low-resolution image of one's own and its guide."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dunfold_lib import checks, images
from dunfold_lib.newton_sr import data
from dunfold_lib.newton_sr.downsampling import Pair
from dunfold_lib.newton_sr.training import Network

SUFFIXES = (*images.SUFFIXES, ".npy")


@torch.no_grad()
@checks.door
def apply(net: Network, image: np.ndarray, guide: np.ndarray) -> Any:
    """The image at the guide's size.

    image : (h, w), depth, say, or (h, w, C): the network's bands; 8 bit, floating point in [0, 1],
    or units of its own from 0, which the answer is in.
    guide : (rh, rw), or in colour, r the network's ratio; 8 or 16 bit, or [0, 1].
    Gives (rh, rw) or (rh, rw, C), float32, in the image's units.
    """
    held = images.Stored(image, 255.0 if image.dtype == np.uint8 else 0.0, "image")
    white = data.depth_scale([held]).high
    Z = data.planes_of(image / white, "image")
    Y = data.in_range(guide, "guide")
    U = net(Pair(Z, data.grey(Y) if net.guides == 1 else Y))[0].clamp_min(0)
    made = (white * U).numpy()
    return made[0] if image.ndim == 2 else np.moveaxis(made, 0, 2)


def read(path: Path, guide: Path) -> tuple[Any, ...]:
    """A file and its guide."""
    Y = data.read(guide)[0].movedim(0, 2).numpy()
    return data.stored(path).values, Y[..., 0] if Y.shape[2] == 1 else Y
