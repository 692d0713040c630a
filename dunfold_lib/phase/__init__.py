"""Phase retrieval, unrolled from reweighted amplitude flow. Read ``algorithm.py`` first."""

from dunfold_lib.phase.algorithm import (
    HEAVY,
    PLAIN,
    REWEIGHTED,
    Constants,
    State,
    flow,
    objective,
    spectral,
    step,
)
from dunfold_lib.phase.data import Seen
from dunfold_lib.phase.model import FlowNet

__all__ = [
    "HEAVY",
    "PLAIN",
    "REWEIGHTED",
    "Constants",
    "FlowNet",
    "Seen",
    "State",
    "flow",
    "objective",
    "spectral",
    "step",
]
