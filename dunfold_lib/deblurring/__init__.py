"""Total-variation deblurring, unrolled from its primal-dual algorithm. Read ``model.py`` first."""

from dunfold_lib.deblurring.algorithm import State, differences, iterates, objective, step
from dunfold_lib.deblurring.model import PrimalDualNet

__all__ = ["PrimalDualNet", "State", "differences", "iterates", "objective", "step"]
