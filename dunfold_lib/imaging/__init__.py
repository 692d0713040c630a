"""Images: compressive sensing, MRI, plug-and-play priors. Read ``model.py`` first."""

from dunfold_lib.imaging.baselines import Phase, total_variation, wavelet_ista, wavelet_phase
from dunfold_lib.imaging.fast import estimate, image_phases, reconstruct
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, phases, start_quietly, symmetric_loss
from dunfold_lib.imaging.released import load_operator, load_released

__all__ = [
    "ISTANet",
    "ISTANetPlus",
    "Phase",
    "estimate",
    "image_phases",
    "load_operator",
    "load_released",
    "phases",
    "reconstruct",
    "start_quietly",
    "symmetric_loss",
    "total_variation",
    "wavelet_ista",
    "wavelet_phase",
]
