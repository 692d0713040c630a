"""The chapter's networks on infrared frames of one's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dunfold_lib import checks, images
from dunfold_lib.small_target.fast import logits
from dunfold_lib.small_target.model import Network

SUFFIXES = images.SUFFIXES


@torch.no_grad()
@checks.door
def apply(net: Network, image: np.ndarray) -> Any:
    """T, the logit of each pixel: a target where it is above 0.

    image : (h, w), or in colour, whose luminance is taken; 8 bit, deeper, or any other units, which
    are stretched to [0, 1] (``images.scale``).  Gives (h, w), float32.
    """
    stored = images.of_array(image, "image")
    grey = images.as_bytes(stored, images.scale([stored], "image", stretch=True))
    x = torch.from_numpy(grey).float()[None, None] / 255
    return logits(net.eval(), x)[0, 0].numpy()


def scale(paths: Sequence[Path]) -> images.Scale:
    """The one scale of all frames, as ``readers`` has it; one that cannot be read refuses all."""
    return images.scale([images.read(path) for path in paths], "the frames", stretch=True)


def read(path: Path, scale: images.Scale) -> tuple[Any, ...]:
    """A frame as grey bytes."""
    return (images.as_bytes(images.read(path), scale),)


def picture(result: Any) -> Any:
    """The logits as a mask: 255 where a target is."""
    return np.where(result > 0, np.uint8(255), np.uint8(0))
