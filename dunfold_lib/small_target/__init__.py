"""Infrared small target detection by robust PCA unrolled. Read ``model.py`` first."""

from dunfold_lib.small_target.algorithm import rpca, svt
from dunfold_lib.small_target.baselines import ipi, mpcm, pstnn, segment, top_hat
from dunfold_lib.small_target.data import Frames, images, inject, noisy, synthetic
from dunfold_lib.small_target.fast import compact, detect
from dunfold_lib.small_target.maps import dead_maps
from dunfold_lib.small_target.model import LRPCANet, RPCANet, State, TwoTerm, soft_iou, total_loss
from dunfold_lib.small_target.released import load_released
from dunfold_lib.small_target.scores import by_centroid, by_overlap, iou, niou, roc
from dunfold_lib.small_target.weights import imitate

__all__ = [
    "Frames",
    "LRPCANet",
    "RPCANet",
    "State",
    "TwoTerm",
    "by_centroid",
    "by_overlap",
    "compact",
    "dead_maps",
    "detect",
    "images",
    "imitate",
    "inject",
    "iou",
    "ipi",
    "load_released",
    "mpcm",
    "niou",
    "noisy",
    "pstnn",
    "roc",
    "rpca",
    "segment",
    "soft_iou",
    "svt",
    "synthetic",
    "top_hat",
    "total_loss",
]
