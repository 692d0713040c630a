"""The library behind the book dunfold: from an optimisation algorithm to a neural network.

Start with a room's ``model.py`` (``dunfold_lib.sparse.model`` first): it is written to be read
from top to bottom beside the chapter of the same name.
"""

__version__ = "0.1.0"

ROOMS = ("sparse", "imaging", "newton_sr", "hyperspectral", "small_target")
