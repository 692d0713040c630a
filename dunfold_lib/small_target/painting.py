"""Detections in colour, alike on every page: green hit, orange false, blue missed."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dunfold_lib.show import array
from dunfold_lib.tables import minus_sign

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


def stretched(x: Tensor) -> NDArray[np.float64]:
    """A map (1, 1, h, w) from its least value, black, to its largest, white; flat: grey."""
    low, high = x.min(), x.max()
    gap = float(high - low)
    return array((x - low) / gap)[0, 0] if gap > 0 else np.full(tuple(x.shape[2:]), 0.5)


def extremes(x: Tensor) -> str:
    low, high = (float(v) for v in (x.min(), x.max()))
    digits = 2 if max(abs(low), abs(high)) < 10 else 0
    return minus_sign(f"{low:.{digits}f} to {high:.{digits}f}")


def up(k: int) -> str:
    """k as a superscript."""
    return "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(d)] for d in str(k))
