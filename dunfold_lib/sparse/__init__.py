"""Sparse recovery. Read ``model.py`` first."""

from dunfold_lib.sparse.algorithm import extrapolated, fista, ista, ista_step, nesterov, objective
from dunfold_lib.sparse.duality import Solution, duality_gap, lam_max, lasso, path
from dunfold_lib.sparse.model import (
    ALISTA,
    LISTA,
    LISTACP,
    NO_SUPPORT,
    SUPPORT,
    HyperLISTA,
    TiLISTA,
)

__all__ = [
    "ALISTA",
    "LISTA",
    "LISTACP",
    "NO_SUPPORT",
    "SUPPORT",
    "HyperLISTA",
    "Solution",
    "TiLISTA",
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
