"""How the room measures: the test photographs, and the scores of networks and of the algorithm."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import metrics, tables
from dunfold_lib.deblurring import algorithm, data
from dunfold_lib.deblurring.model import PrimalDualNet

Restore = Callable[[Tensor], Tensor]  # b -> estimate
K = 6  # layers of the networks, and steps of the algorithm that they are compared with


def as_seen(b: Tensor) -> Tensor:
    """Nothing is done."""
    return b


def six_steps(b: Tensor) -> Tensor:
    """As many steps as a network has layers; λ and τ are the best for that on validation."""
    return algorithm.iterates(b, K)[-1]


def solved(b: Tensor) -> Tensor:
    """The minimiser, 400 steps; λ is the best for that on validation."""
    lam, tau, steps = algorithm.LAM_SOLVED, algorithm.TAU_SOLVED, algorithm.SOLVED
    return algorithm.iterates(b, steps, lam=lam, tau=tau)[-1]


def score(restore: Restore, pairs: dict[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
    """PSNR in dB of each image, clipped to [0, 1], by name."""
    return {name: metrics.psnr(restore(b).clamp(0, 1), x) for name, (b, x) in pairs.items()}


@torch.no_grad()
def measure(
    net: PrimalDualNet | None, seed: int = 0, restore: Restore = six_steps
) -> dict[str, Any]:
    """Scores of a network, or where there is none of ``restore``, on the test photographs.

    psnr : the model's own blur.  psnr_cropped : blurred whole, then a rim cut off, as by a
    camera: no blur is periodic there.  psnr_noisier : three times the noise, nothing adapted.
    """
    run = net.cpu().eval() if net is not None else restore
    photos = data.photographs("test")
    own = score(run, data.seen(photos, seed))
    g = torch.Generator().manual_seed(2**31 + seed)
    cut = {name: data.cropped(x, g) for name, x in photos.items()}
    loud = {name: (data.observed(x, g, noise=3 * data.NOISE), x) for name, x in photos.items()}
    mean = lambda scores: tables.mean([*scores.values()])
    made: dict[str, Any] = {"psnr": mean(own), "psnr_each": own}
    made |= {"psnr_cropped": mean(score(run, cut)), "psnr_noisier": mean(score(run, loud))}
    if net is not None:
        made |= {"tau": net.tau.tolist(), "sigma": net.sigma.tolist(), "lam": net.lam.tolist()}
    return made
