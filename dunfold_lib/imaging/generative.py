"""A prior that was learned by denoising at every noise level, walked from noise to an image.

D(v, σ) is trained to give the mean of the image behind v; by Tweedie's formula (D(v, σ) − v)/σ² is
then the score of the images' density blurred by noise of deviation σ. ``annealed`` goes down the
noise levels and asks for the data at each of them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import checks, metrics
from dunfold_lib.imaging import data, evaluation, training
from dunfold_lib.imaging.denoisers import Denoise, Denoiser, quietly
from dunfold_lib.imaging.plug_and_play import data_prox, falling, pnp_hqs
from dunfold_lib.operators import Linear
from dunfold_lib.training import ALONE, Context, Recipe, fit

LOW, HIGH = 2 / 255, 0.5  # noise levels, of the training and of the walk
SIDE, STEPS, SAMPLES = 32, 30, 4  # of a patch; of a walk; walks whose mean is an estimate
RECIPE = Recipe(steps=400, batch=16, lr=3e-3)
BAR = 0.0  # dB of the mean of samples over PnP-HQS with the room's denoiser; stated before the runs


def noisy(batch: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Training pairs of the denoiser (``training.noisy``), log σ uniform from LOW to HIGH."""
    return training.noisy(SIDE, lambda u: LOW * (HIGH / LOW) ** u, batch, g)


def build(recipe: Recipe = RECIPE, seed: int = 0) -> Denoiser:
    """A fresh denoiser, of the size of the room's."""
    return Denoiser(seed=seed)


def train(net: Denoiser, recipe: Recipe, context: Context = ALONE) -> list[float]:
    """Train it to remove noise of every level; the loss of every step."""
    return fit(net, noisy, training.denoising_loss, recipe, context)


@checks.door
def annealed(
    A: Linear,
    b: Tensor,
    denoise: Denoise,
    sigmas: Sequence[float],
    noise: float,
    generator: torch.Generator,
) -> list[Tensor]:
    """[x¹, …, xᴷ]: the images that each level believes in, after Zhu et al. 2023.

    At a level σ: denoise, take the data into account with c = (noise/σ)², then add noise of the
    next level anew. Without the last it is PnP-HQS, denoiser first. noise : of the measurement.
    """
    start = A.T(b)
    fresh = lambda: torch.randn(start.shape, generator=generator, dtype=b.dtype)
    x, xs = start + sigmas[0] * fresh(), []
    for sigma, after in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
        xs.append(data_prox(A, b, denoise(x, sigma), (noise / sigma) ** 2))
        x = xs[-1] + after * fresh()
    return xs


@torch.no_grad()
def restored(net: Denoiser, seed: int) -> dict[str, Tensor]:
    """Truth, data and estimates by name of the blurred camera, noise of the test seed."""
    g = torch.Generator().manual_seed(evaluation.TEST_SEED + seed)
    truth, D, noise = data.small_camera(), quietly(net), data.BLUR_NOISE
    A, b = data.blurred(truth, g)
    hqs = falling(evaluation.DEBLUR_HIGH, evaluation.DEBLUR_LOW, evaluation.DEBLUR_STEPS)
    many = b.expand(SAMPLES, -1, -1, -1)
    samples = annealed(A, many, D, falling(HIGH, LOW, STEPS), noise, g)[-1]
    made = {"truth": truth, "seen": b, "sample": samples[:1], "mean": samples.mean(0, True)}
    made["wide"] = pnp_hqs(A, b, D, hqs, noise, b)[-1]
    return made | {"room": pnp_hqs(A, b, evaluation.denoiser("cnn"), hqs, noise, b)[-1]}


def measure(net: Denoiser, seed: int = 0) -> dict[str, Any]:
    """PSNR in dB of each estimate, clipped: psnr (mean of samples), psnr_room and the others."""
    made = restored(net.cpu().eval(), seed)
    truth = made.pop("truth")
    scores = {f"psnr_{name}": metrics.psnr(x.clamp(0, 1), truth) for name, x in made.items()}
    return {"psnr": scores["psnr_mean"]} | scores
