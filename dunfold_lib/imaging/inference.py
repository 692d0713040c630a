"""The chapter's networks on images of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dunfold_lib import checks, images
from dunfold_lib.images import picture as picture
from dunfold_lib.imaging.denoisers import Denoiser, LearnedProx
from dunfold_lib.imaging.fast import reconstruct
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus
from dunfold_lib.imaging.uncertainty import Ensemble

SUFFIXES = images.SUFFIXES


@torch.no_grad()
@checks.door
def apply(
    net: ISTANet | ISTANetPlus | Denoiser | LearnedProx | Ensemble,
    image: np.ndarray,
    sigma: float | None = None,
) -> Any:
    """A network of compressed sensing measures the image and gives it back; a denoiser cleans it.

    image : (h, w), or in colour, whose luminance is taken; 8 bit, deeper whole numbers, or [0, 1]
    (``images.scale``).  sigma : for a denoiser, the noise's deviation in [0, 1].
    Gives (h, w) in [0, 1], float32.
    """
    x = torch.from_numpy(images.luminance(images.of_array(image, "image")))[None, None]
    cleans = isinstance(net, Denoiser | LearnedProx)
    if cleans != (sigma is not None):
        needs = "a denoiser needs sigma, in [0, 1]" if cleans else "sigma is for denoisers alone"
        raise ValueError(f"sigma is {sigma}; {needs}")
    if isinstance(net, Denoiser | LearnedProx):
        checks.number("sigma", sigma or 0.0, 0, 1)
        made = net(x, float(sigma or 0.0))
    elif isinstance(net, Ensemble):
        made = torch.stack([reconstruct(member, x) for member in net.nets]).mean(0)
    else:
        made = reconstruct(net, x)
    return made[0, 0].clamp(0, 1).numpy()


def read(path: Path) -> tuple[Any, ...]:
    """An image file, in [0, 1]."""
    stored = images.read(path)
    return (images.scale([stored], str(path))(stored),)
