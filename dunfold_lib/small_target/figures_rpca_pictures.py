"""Pictures of the chapter's ideas: patches as columns, a case by hand, and learned thresholds.

Each function returns what ``show.page`` or ``show.table`` takes.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from torch import Tensor

from dunfold_lib import show
from dunfold_lib.show import COLOURS, Curves, Frames, array, line
from dunfold_lib.small_target import baselines
from dunfold_lib.small_target import figures_rpca as figures

FRAME = 2  # pixels of a patch's outline
SHOWN = (12, 40, 68)  # of the 81 patches of a scene


def errors(found: Mapping[int, float], steps: int, error: float) -> Curves:
    """The error (dB) of ADMM by its steps, and that of so many learned steps."""
    admm = show.by_name({"ADMM": [*found.values()]}, "steps", "error of B, dB", [*found])
    (path,) = admm.lines
    mine = line([steps], [error], f"{steps} learned steps", 0, "dots")
    alt = "Error against the number of steps: the learned ones lie below ADMM with as many"
    return replace(admm, lines=(replace(path, colour=1), mine), alt=alt)


def _outlined(image: Tensor) -> NDArray[np.float64]:
    """Scene 1 in colour, with the outlines of the patches ``SHOWN``."""
    made = np.repeat(array(image)[..., None], 3, 2)
    side, step = baselines.IPI_PATCH, baselines.IPI_STEP
    at = baselines.starts(figures.SIDE, side, step)
    for colour, patch in enumerate(SHOWN):
        y, x = (at[i] for i in divmod(patch, len(at)))
        box = np.zeros(image.shape, bool)
        box[y : y + side, x : x + side] = True
        box[y + FRAME : y + side - FRAME, x + FRAME : x + side - FRAME] = False
        made[box] = to_rgb(COLOURS[colour])
    return made


def columns() -> Frames:
    """Three patches of scene 1, each of them, and where they stand as columns of P."""
    image, _ = figures.scene()
    side = baselines.IPI_PATCH
    P = baselines.patch_matrix(image, side, baselines.IPI_STEP)
    tall = np.repeat(array(P.reshape(100, -1, P.shape[1]).mean(1))[..., None], 3, 2)
    for colour, patch in enumerate(SHOWN):
        tall[-8:, max(patch - 1, 0) : patch + 2] = to_rgb(COLOURS[colour])
    patches = (array(P[:, i].reshape(side, side)) for i in SHOWN)
    return Frames(
        (_outlined(image), *patches, tall),
        ("scene 1", *(f"patch {i + 1}" for i in SHOWN), "P, 2,500 rows drawn as 100"),
        "Three patches of a scene and the columns of P that they become",
        zoom=2,
    )


def by_hand() -> tuple[Tensor, Tensor]:
    """(an image of 3 × 3: 2 everywhere, 5 in the middle; its four 2 × 2 patches as columns)."""
    D = torch.full((3, 3), 2.0, dtype=torch.float64)
    D[1, 1] = 5
    columns = [D[y : y + 2, x : x + 2].reshape(4) for y in (0, 1) for x in (0, 1)]
    return D, torch.stack(columns, 1)


def toy(B: Tensor) -> Frames:
    """The image and the patch matrix of ``by_hand``, and what it is taken apart into."""
    D, P = by_hand()
    return Frames(
        tuple(array(x / 6) for x in (D, P, B, P - B)),
        ("image D, 3 × 3", "P: its patches as columns", "B, of rank 1", "T"),
        "An image of nine pixels, its patch matrix, and the two parts",
        zoom=44,
    )
