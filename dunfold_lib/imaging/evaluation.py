"""How the chapter measures: its test sets, and the scores of networks and of methods on them."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import checks, experiment, fetch, metrics
from dunfold_lib.imaging import data, model
from dunfold_lib.imaging.baselines import total_variation
from dunfold_lib.imaging.data import BLUR_NOISE, blurred, sensed, small_camera
from dunfold_lib.imaging.denoisers import (
    CLASSICAL,
    Denoise,
    Denoiser,
    LearnedProx,
    quietly,
    relaxed,
)
from dunfold_lib.imaging.fast import on_image, reconstruct
from dunfold_lib.imaging.plug_and_play import d_amp, falling, ista_step, pnp_admm, pnp_hqs, pnp_ista
from dunfold_lib.imaging.theory import local_radius
from dunfold_lib.imaging.training import Network, patch_covariance
from dunfold_lib.operators import Blockwise, Blur, Fourier, norm

SCORED = "PSNR in dB and SSIM of each image, clipped to [0, 1], not rounded; mean over images"
TEST_SEED = 2**31  # noise of the tests comes from this seed plus the run's
LEVELS = (15, 25)  # σ·255 of the denoising scores
# Chosen on crops of the wheel's training images, at 25 % and with this blur.
ADMM_SIGMA, ADMM_C, ADMM_STEPS = 12 / 255, 0.1, 20
HQS_HIGH, HQS_LOW, HQS_STEPS = 15 / 255, 2 / 255, 10
AMP_DAMPING, AMP_STEPS = 0.5, 30
DEBLUR_HIGH, DEBLUR_LOW, DEBLUR_STEPS = 49 / 255, 2 / 255, 8
DEBLUR_SIGMA, DEBLUR_ISTA_STEPS = {"tv": 1 / 255, "cnn": 3 / 255, "prox": 0.25 / 255}, 50
LONG_SEEN = (1, 2, 5, 10, 20, 40, 60, 80, 100, 200, 300, 400, 500, 600, 800, 1000, 1250, 1500)
LONG_RELAXED = 0.5  # share of the denoiser in the relaxed one
RADIUS_STEPS, RADIUS_AT = 400, 60  # of the power method; the iterate whose Jacobian it looks at
Recover = Callable[[Any, Tensor, torch.Generator], Tensor]  # (A, b, generator) -> image


def score(estimate: Tensor, truth: Tensor) -> tuple[float, float]:
    """(PSNR in dB, SSIM) of one image (1, 1, height, width): clipped to [0, 1], not rounded."""
    checks.finite("estimate", estimate)
    shown = estimate.clamp(0, 1)
    return metrics.psnr(shown, truth), metrics.ssim(shown[0, 0], truth[0, 0])


def mean_scores(
    run: Callable[[Tensor], Tensor], images: Mapping[str, Tensor], ending: str = ""
) -> dict[str, Any]:
    """Means over images of the per-image scores, and the PSNR of each.

    An image of a reader's folder that has no score is left out and named in ``notes``; ``protocol``
    says what was measured.
    """
    brought = images if isinstance(images, fetch.Brought) else None

    def one(item: tuple[str, Tensor]) -> tuple[float, float]:
        try:
            return score(run(item[1]), item[1])
        except ValueError as error:
            raise ValueError(f"image {item[0]}: {error}") from None

    named = {name: (name, image) for name, image in images.items()}
    pairs, notes = fetch.tried(named, one, brought is not None)
    mean = lambda i: sum(p[i] for p in pairs.values()) / len(pairs)
    each = {name: round(p[0], 4) for name, p in pairs.items()}
    made = {f"psnr{ending}": mean(0), f"ssim{ending}": mean(1), f"psnr_each{ending}": each}
    if brought is None:
        return made
    return made | {"protocol": f"{brought.said}; {SCORED}", "notes": notes}


def block_tests(folder: Path | None = None) -> dict[str, dict[str, Tensor]]:
    """Where a compressive-sensing method is measured, by the ending of its scores' names.

    A reader's own folder; or the wheel's test photographs and, where the data folder has it, Set11.
    """
    if folder is not None:
        return {"": data.read_folder(folder)}
    set11 = data.data_folder("Set11")
    found = {"": dict(data.read_folder(set11))} if set11 else {}
    return found | {"_wheels": data.wheel_images("test")}


def mri_tests(folder: Path | None = None) -> dict[str, dict[str, Tensor]]:
    """Where an MR network is measured: a reader's folder; or the head's slices and Brain50."""
    if folder is not None:
        return {"": data.read_folder(folder)}
    brain = data.data_folder("Brain50")
    found = {"": dict(data.read_folder(brain))} if brain else {}
    return found | {"_head": {str(i): s[None] for i, s in enumerate(data.head_slices("test"))}}


@torch.no_grad()
def measure(
    sets: Callable[[Path | None], dict[str, dict[str, Tensor]]],
    net: Network,
    seed: int,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Scores of a network, of the start it improves on, its steps and thresholds, and its time."""
    net.cpu().eval()
    made: dict[str, Any] = {}
    for ending, images in sets(folder).items():
        made |= mean_scores(partial(reconstruct, net), images, ending)
        made |= mean_scores(partial(started, net), images, f"_start{ending}")
    made = {k: v for k, v in made.items() if not k.startswith("psnr_each_start")}
    made |= {"rho": net.rho.tolist(), "theta": net.theta.tolist()}
    return made | {"image_seconds": image_seconds(net)}


def started(net: Network, image: Tensor) -> Tensor:
    """The image that the first phase begins from."""
    whole = on_image(net.A, image)
    b = whole(image)
    if isinstance(whole, Blockwise):
        return whole.join(net.start(b.flatten(0, 1)))
    return net.start(b)


def image_seconds(net: Network, turns: int = 5) -> dict[str, float]:
    """Seconds for one image of 256×256, the fastest of some turns, by device."""
    image, found = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(0)), {}
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        there, x = net.to(device), image.to(device)
        spent = []
        for _ in range(turns + 1):  # the first one warms up
            begun = time.perf_counter()
            reconstruct(there, x).cpu()
            spent.append(time.perf_counter() - begun)
        found[device] = round(min(spent[1:]), 4)
    net.cpu()
    return found


NETWORKS: dict[str, tuple[str, type[Denoiser] | type[LearnedProx]]] = {
    "cnn": ("denoiser", Denoiser),
    "prox": ("denoiser-prox", LearnedProx),
}  # by the name of a denoiser: its experiment and its class


def learned(name: str = "cnn") -> Any:
    """A recorded network of ``NETWORKS``."""
    return experiment.load(f"imaging/{NETWORKS[name][0]}", "cpu", 0)


def denoiser(name: str) -> Denoise:
    """A denoiser by name: "tv", "nlm", "wavelet", or a recorded network, "cnn" or "prox"."""
    known = {k.lower(): f for k, f in CLASSICAL.items()}
    return quietly(learned(name)) if name in NETWORKS else known[name]


@torch.no_grad()
def measure_denoising(name: str, net: Any, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """Scores at each of ``LEVELS``: ``psnr_15`` and so on."""
    denoise = quietly(net.cpu().eval()) if net is not None else denoiser(name)
    made: dict[str, Any] = {}
    for level in LEVELS:
        for ending, images in block_tests(folder).items():
            g, sigma = torch.Generator().manual_seed(TEST_SEED + seed), level / 255
            noisy = lambda x, g=g, s=sigma: x + s * torch.randn(x.shape, generator=g)
            run = lambda x, f=noisy, s=sigma: denoise(f(x), s)
            made |= mean_scores(run, images, f"_{level}{ending}")
    return _means(made)


def linear_estimate(A: Blockwise, b: Tensor) -> Tensor:
    """Q b in every block, Q the least-squares start from the wheel's training images."""
    Q = _start_matrix(A.block.Phi.shape[0])
    return A.join(model.linear_estimate(A.block, Q, b.flatten(0, 1)))


@fetch.cached(fetch.nowhere)
def _start_matrix(m: int) -> Tensor:
    ratio = next(r for r, rows in data.ROWS.items() if rows == m)
    return data.linear_start(data.sensing_matrix(ratio), patch_covariance("wheels"))


@torch.no_grad()
def measure_sensing(
    ratio: int, recover: Recover, net: None, seed: int, folder: Path | None = None
) -> dict[str, Any]:
    """Scores of a method that recovers images from their block measurements."""
    made: dict[str, Any] = {}
    for ending, images in block_tests(folder).items():
        g = torch.Generator().manual_seed(TEST_SEED + seed)

        def run(image: Tensor, g: torch.Generator = g) -> Tensor:
            A, b = sensed(image, ratio)
            return recover(A, b, g)[..., : image.shape[2], : image.shape[3]]

        made |= mean_scores(run, images, ending)
    return made


@torch.no_grad()
def measure_mri(ratio: int, net: None, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """Scores of total variation on MR slices, as far as the mask's frequencies tell."""
    A = Fourier(data.radial_mask(ratio))
    made: dict[str, Any] = {}
    for ending, images in mri_tests(folder).items():
        made |= mean_scores(lambda x: total_variation(A, A(x)), images, ending)
    return _means(made)


def by_tv(A: Any, b: Tensor, g: torch.Generator) -> Tensor:
    """The image of least total variation, 400 steps."""
    return total_variation(A, b)


def by_amp(A: Any, b: Tensor, g: torch.Generator) -> Tensor:
    """D-AMP with the total-variation denoiser."""
    return d_amp(A, b, CLASSICAL["TV"], AMP_STEPS, g, AMP_DAMPING)[-1]


def by_admm(name: str, A: Any, b: Tensor, g: torch.Generator) -> Tensor:
    """PnP-ADMM from the linear start."""
    start = linear_estimate(A, b)
    return pnp_admm(A, b, denoiser(name), ADMM_SIGMA, ADMM_STEPS, ADMM_C, start)[-1]


def by_hqs(name: str, A: Any, b: Tensor, g: torch.Generator) -> Tensor:
    """PnP-HQS from the linear start."""
    sigmas = falling(HQS_HIGH, HQS_LOW, HQS_STEPS)
    return pnp_hqs(A, b, denoiser(name), sigmas, 0.0, linear_estimate(A, b))[-1]


@torch.no_grad()
def measure_deblurring(
    method: str, name: str, net: None, seed: int, folder: Path | None = None
) -> dict[str, Any]:
    """Scores of "hqs" or "ista" with a denoiser, and of the blurred image."""
    images = data.read_folder(folder) if folder else {"camera": small_camera()}
    made: dict[str, Any] = {}
    for which in ("", "_input"):
        g = torch.Generator().manual_seed(TEST_SEED + seed)
        run = lambda x, g=g, m=which or method: deblur(m, name, *blurred(x, g))
        made |= mean_scores(run, images, which)
    return _means(made)


def deblur(method: str, name: str, A: Blur, b: Tensor) -> Tensor:
    """The image that a method makes of a blurred one; "_input" gives b back."""
    if method == "_input":
        return b
    if method == "ista":
        steps = DEBLUR_ISTA_STEPS
        return pnp_ista(A, b, denoiser(name), DEBLUR_SIGMA[name], steps, start=b)[-1]
    sigmas = falling(DEBLUR_HIGH, DEBLUR_LOW, DEBLUR_STEPS)
    return pnp_hqs(A, b, denoiser(name), sigmas, BLUR_NOISE, b)[-1]


@torch.no_grad()
def measure_long(name: str, net: None, seed: int) -> dict[str, Any]:
    """A deblurring that goes on: PSNR and size of the step at ``LONG_SEEN``, and the radius.

    name : a denoiser of PnP-ISTA; "relaxed", the learned one relaxed; "admm", PnP-ADMM with it.
    The noise is drawn from the run's seed, so that of seed 0 is the chapter's.
    """
    truth = small_camera()
    A, b = blurred(truth, torch.Generator().manual_seed(seed))
    plug = name if name in DEBLUR_SIGMA else "cnn"
    D, sigma = denoiser(plug), DEBLUR_SIGMA[plug]
    D = relaxed(D, LONG_RELAXED) if name == "relaxed" else D
    K = max(LONG_SEEN)
    xs = (pnp_admm if name == "admm" else pnp_ista)(A, b, D, sigma, K, start=b)
    db = {k: metrics.psnr(xs[k].clamp(0, 1), truth) for k in LONG_SEEN}
    moves = [float((xs[k] - xs[k - 1]).norm()) for k in LONG_SEEN]
    made: dict[str, Any] = {"psnr": db[K], **{f"psnr_{k}": db[k] for k in (60, 1000)}}
    made |= {"psnr_seen": [*db.values()], "moves": moves}
    made |= {"low": float(xs[K].min()), "high": float(xs[K].max())}
    if plug in NETWORKS and name != "admm":
        network = relaxed(learned(plug), LONG_RELAXED if name == "relaxed" else 1.0)
        made["radius"] = deblurring_radius(A, b, network, sigma, xs[RADIUS_AT])
    return made


def deblurring_radius(
    A: Blur, b: Tensor, D: Denoise, sigma: float, x: Tensor, steps: int = RADIUS_STEPS
) -> float:
    """``theory.local_radius`` of the step of PnP-ISTA at x, with a network as the denoiser."""
    rho = 1 / norm(A) ** 2
    step = lambda x: ista_step(A, b, D, sigma, rho, x)
    return local_radius(step, x, steps, torch.Generator().manual_seed(0))


def _means(made: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in made.items() if not k.startswith("psnr_each")}
