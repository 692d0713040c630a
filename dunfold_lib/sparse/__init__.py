"""Sparse recovery. Read ``model.py`` first."""

from dunfold_lib.sparse.model import (
    Solution,
    duality_gap,
    extrapolated,
    fista,
    ista,
    ista_step,
    lam_max,
    lasso,
    nesterov,
    objective,
    path,
)

__all__ = [
    "Solution",
    "duality_gap",
    "extrapolated",
    "fista",
    "ista",
    "ista_step",
    "lam_max",
    "lasso",
    "nesterov",
    "objective",
    "path",
]
