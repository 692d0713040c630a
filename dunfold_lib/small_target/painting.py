"""Detections in colour, alike on every page: green hit, orange false, blue missed."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dunfold_lib.show import array

HIT, FALSE, MISSED = (0.0, 0.62, 0.45), (0.84, 0.37, 0.0), (0.0, 0.45, 0.7)
DARK = 0.12  # what lies below where no image does
DIMMED = 0.8  # an image, so that white pixels stay apart from painted ones


def painted(found: Tensor, truth: Tensor, image: Tensor | None = None) -> NDArray[np.float64]:
    """Pixels found and those of targets (h, w) as a picture (h, w, 3), over an image in [0, 1]."""
    below = np.full(tuple(truth.shape), DARK) if image is None else DIMMED * array(image)
    made = np.repeat(below[..., None], 3, axis=2)
    for where, colour in ((found & truth, HIT), (found & ~truth, FALSE), (~found & truth, MISSED)):
        made[where.numpy()] = colour
    return made
