"""Guided super-resolution by semi-smooth Newton steps. Read ``model.py`` first.

``newton_sr.ssnal`` is the module of the lasso's solvers; its main function is ``ssnal.ssnal``.
"""

from dunfold_lib.newton_sr.algorithm import Problem, augmented_lagrangian
from dunfold_lib.newton_sr.downsampling import Downsample, Pair, Spectral, up
from dunfold_lib.newton_sr.jacobians import L1, Groups, Shrink, clarke, majorised
from dunfold_lib.newton_sr.lasso import Lasso, admm, fista, history, ista
from dunfold_lib.newton_sr.model import (
    FirstOrderSR,
    LearnedInverseSR,
    NewtonSR,
    State,
    charbonnier,
    steps,
)

__all__ = [
    "L1",
    "Downsample",
    "FirstOrderSR",
    "Groups",
    "Lasso",
    "LearnedInverseSR",
    "NewtonSR",
    "Pair",
    "Problem",
    "Shrink",
    "Spectral",
    "State",
    "admm",
    "augmented_lagrangian",
    "charbonnier",
    "clarke",
    "fista",
    "history",
    "ista",
    "majorised",
    "steps",
    "up",
]
