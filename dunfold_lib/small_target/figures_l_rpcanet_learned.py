"""The small training of the chapter on L-RPCANet: its loss, and what its network finds.

Each function returns what ``show.page`` takes.
"""

from collections.abc import Sequence

from torch import Tensor

from dunfold_lib.live import loss_curves
from dunfold_lib.show import Curves, Frames, array
from dunfold_lib.small_target import data, scores
from dunfold_lib.small_target.data import Frames as Scenes
from dunfold_lib.small_target.pictures import painted


def loss(losses: Sequence[float]) -> Curves:
    """The loss of a training and its running mean."""
    (curves,) = loss_curves(range(1, len(losses) + 1), losses, (), len(losses))
    return curves


def found(frames: Scenes, swept: Tensor, learned: Tensor, shown: int = 0) -> Frames:
    """A scene, and the masks (n, 1, h, w) of the classical sweeps and of the network on it."""
    image, truth = data.images(frames)[shown, 0], frames.mask[shown, 0]
    masks = {"classical sweeps": swept, "learned": learned}
    said = lambda m: scores.by_overlap(m[shown, 0][None], truth[None])
    told = {k: said(m) for k, m in masks.items()}
    return Frames(
        (array(image), *(painted(m[shown, 0], truth, image) for m in masks.values())),
        (
            "a scene",
            *(f"{k}: {d.hits} of {d.targets} hit, {d.false} false" for k, d in told.items()),
        ),
        "A scene, and what two classical sweeps and the trained network find in it",
        zoom=2,
    )
