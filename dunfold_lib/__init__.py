"""The library behind the book dunfold: from an optimisation algorithm to a neural network.

Start with a room's ``model.py`` (``dunfold_lib.sparse.model`` first): it is written to be read
from top to bottom beside the chapter of the same name.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

ROOMS = ("sparse", "imaging", "newton_sr", "hyperspectral", "small_target", "deblurring", "phase")


def load(name: str, recipe: str = "", seed: int | None = None, weights: Any = "") -> Any:
    """The network of a recorded run of ``room/name``, ready for data of one's own.

    ``inference.Recorded``: ``load("small_target/lrpcanet-sirst")(image)``. recipe, seed : of the
    run; by default those that ``experiment.weights_of`` chooses.  weights : a file of your own.
    """
    inference = import_module("dunfold_lib.inference")  # all import this file
    return inference.load(name, recipe, seed, weights)
