"""Denoising of hyperspectral cubes by sparse tensor representation. Read ``model.py`` first."""

from dunfold_lib.hyperspectral.algorithm import Star, history, star, star_s
from dunfold_lib.hyperspectral.fast import denoise, estimate
from dunfold_lib.hyperspectral.lowrank import (
    band_noise,
    basis,
    noise_level,
    procrustes,
    rank,
    subspace,
    svt,
)
from dunfold_lib.hyperspectral.model import (
    Noisy,
    SMDSNet,
    STARNet,
    STARNetPaper,
    STARNetS,
    as_sweeps,
    measured,
)
from dunfold_lib.hyperspectral.patches import Patches, analysis, dct, synthesis

__all__ = [
    "Noisy",
    "Patches",
    "SMDSNet",
    "STARNet",
    "STARNetPaper",
    "STARNetS",
    "Star",
    "analysis",
    "as_sweeps",
    "band_noise",
    "basis",
    "dct",
    "denoise",
    "estimate",
    "history",
    "measured",
    "noise_level",
    "procrustes",
    "rank",
    "star",
    "star_s",
    "subspace",
    "svt",
    "synthesis",
]
