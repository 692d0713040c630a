"""Classical methods and plug-and-play as experiments: what a network is compared with."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks, experiment, fetch, metrics
from dunfold_lib.experiment import Experiment
from dunfold_lib.imaging import data, model
from dunfold_lib.imaging.baselines import total_variation
from dunfold_lib.imaging.denoisers import CLASSICAL, Denoise, Denoiser, LearnedProx
from dunfold_lib.imaging.plug_and_play import d_amp, falling, ista_step, pnp_admm, pnp_hqs, pnp_ista
from dunfold_lib.imaging.runs import block_tests, mri_tests, patch_covariance, scores
from dunfold_lib.imaging.theory import local_radius
from dunfold_lib.operators import Blockwise, Blur, Fourier, Sensing, norm
from dunfold_lib.training import ALONE, Context, Recipe, fit

TEST_SEED = 2**31  # noise of the tests comes from this seed plus the run's
PATCH, MOST_NOISE = 40, 50 / 255  # of the denoiser's training
FLOOR = 5 / 255  # the loss weighs an error by 1/(σ² + FLOOR²)
LEVELS = (15, 25)  # σ·255 of the denoising scores
BLUR, BLUR_NOISE = 1.6, 2 / 255  # deviation of the Gaussian in pixels; of the noise
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


def noisy_patches(batch: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Training pairs (v, truth) of the denoiser; v's second channel is its noise level."""
    cut = _cut()
    x = cut[torch.randint(len(cut), (batch,), generator=g)]
    x = data.turned(x, int(torch.randint(8, (1,), generator=g)))
    sigma = MOST_NOISE * torch.rand(batch, 1, 1, 1, generator=g)
    v = x + sigma * torch.randn(x.shape, generator=g)
    return torch.cat([v, sigma.expand_as(v)], 1), x


@cache
def _cut() -> Tensor:
    return data.patches([*data.training_images("wheels").values()], PATCH, 20)


def denoising_loss(net: Any, v: Tensor, truth: Tensor) -> Tensor:
    """Mean of (D(v, σ) − x*)²/(σ² + FLOOR²): every noise level counts."""
    sigma = v[:, 1:, :1, :1]
    return ((net(v[:, :1], sigma) - truth).square() / (sigma.square() + FLOOR**2)).mean()


def train_denoiser(
    net: Denoiser | LearnedProx, recipe: Recipe, context: Context = ALONE
) -> list[float]:
    """Train a learned denoiser on the wheel's images; the loss of every step."""
    return fit(net, noisy_patches, denoising_loss, recipe, context)


NETWORKS: dict[str, tuple[str, type[Denoiser] | type[LearnedProx]]] = {
    "cnn": ("denoiser", Denoiser),
    "prox": ("denoiser-prox", LearnedProx),
}  # by the name of a denoiser: its experiment and its class


def learned(name: str = "cnn") -> Any:
    """A recorded network of ``NETWORKS``."""
    return experiment.load(f"imaging/{NETWORKS[name][0]}", "cpu", 0)


def quietly(net: Any) -> Denoise:
    """A network as a function that keeps no gradients."""
    return torch.no_grad()(lambda v, sigma: net(v, sigma))


def denoiser(name: str) -> Denoise:
    """A denoiser by name: "tv", "nlm", "wavelet", or a recorded network, "cnn" or "prox"."""
    known = {k.lower(): f for k, f in CLASSICAL.items()}
    return quietly(learned(name)) if name in NETWORKS else known[name]


def relaxed(denoise: Denoise, share: float) -> Denoise:
    """(1 − share)·v + share·D(v, σ)."""
    checks.number("share", share, 0, 1)
    return lambda v, sigma: v + share * (denoise(v, sigma) - v)


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
            made |= scores(run, images, f"_{level}{ending}")
    return _means(made)


def sensed(image: Tensor, ratio: int) -> tuple[Blockwise, Tensor]:
    """The operator of a whole image (1, 1, h, w) padded by zeros to whole blocks, and b."""
    A = Blockwise(Sensing(data.sensing_matrix(ratio)), (image.shape[2], image.shape[3]))
    height, width = (data.SIDE * blocks for blocks in A.grid)
    whole = Blockwise(A.block, (height, width))
    pad = (0, width - image.shape[3], 0, height - image.shape[2])
    return whole, whole(functional.pad(image, pad))


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

        made |= scores(run, images, ending)
    return made


@torch.no_grad()
def measure_mri(ratio: int, net: None, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """Scores of total variation on MR slices, as far as the mask's frequencies tell."""
    A = Fourier(data.radial_mask(ratio))
    made: dict[str, Any] = {}
    for ending, images in mri_tests(folder).items():
        made |= scores(lambda x: total_variation(A, A(x)), images, ending)
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


def blurred(image: Tensor, generator: torch.Generator) -> tuple[Blur, Tensor]:
    """A Gaussian blur of an image (1, 1, h, w), periodic at the edges, and b with noise."""
    t = torch.arange(-7, 8, dtype=image.dtype)
    bell = (-t.square() / (2 * BLUR**2)).exp()
    bell = bell / bell.sum()
    A = Blur(bell[:, None] * bell, (image.shape[2], image.shape[3]))
    return A, A(image) + BLUR_NOISE * torch.randn(image.shape, generator=generator)


def small_camera() -> Tensor:
    """The camera photograph 128×128: means over 4×4 pixels, (1, 1, 128, 128)."""
    return functional.avg_pool2d(data.wheel_images("test")["camera"], 4)


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
        made |= scores(run, images, which)
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
    if name == "admm":
        xs = pnp_admm(A, b, D, sigma, K, start=b)
    else:
        xs = pnp_ista(A, b, D, sigma, K, start=b)
    db = {k: metrics.psnr(xs[k].clamp(0, 1), truth) for k in LONG_SEEN}
    moves = [float((xs[k] - xs[k - 1]).norm()) for k in LONG_SEEN]
    made: dict[str, Any] = {"psnr": db[K], **{f"psnr_{k}": db[k] for k in (60, 1000)}}
    made |= {"psnr_seen": [*db.values()], "moves": moves}
    made |= {"low": float(xs[K].min()), "high": float(xs[K].max())}
    if plug in NETWORKS and name != "admm":
        share = LONG_RELAXED if name == "relaxed" else 1.0
        made["radius"] = deblurring_radius(A, b, learned(plug), sigma, xs[RADIUS_AT], share)
    return made


def deblurring_radius(
    A: Blur,
    b: Tensor,
    net: Any,
    sigma: float,
    x: Tensor,
    share: float = 1.0,
    steps: int = RADIUS_STEPS,
) -> float:
    """``theory.local_radius`` of the step of PnP-ISTA at x, with a network, relaxed by a share."""
    D, rho = relaxed(net, share), 1 / norm(A) ** 2
    step = lambda x: ista_step(A, b, D, sigma, rho, x)
    return local_radius(step, x, steps, torch.Generator().manual_seed(0))


def _means(made: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in made.items() if not k.startswith("psnr_each")}


SOURCE = "Zhang & Ghanem 2018, table 1 (Set11)"
PUBLISHED = {  # PSNR in dB by CS ratio in per cent
    "TVAL3": {50: 33.55, 40: 31.46, 30: 29.23, 25: 27.92, 10: 22.99, 4: 18.75, 1: 16.43},
    "D-AMP": {50: 35.92, 40: 33.56, 30: 30.39, 25: 28.46, 10: 22.64, 4: 18.40, 1: 5.21},
}
IMAGES = (
    "psnr, ssim: Set11, where the data folder has it; psnr_wheels: camera and coffee of "
    "scikit-image; luminance in [0, 1], clipped, not rounded; mean over images"
)
NAMES = {"tv": "TV", "nlm": "NLM", "wavelet": "wavelet", "cnn": "learned denoiser"}
NAMES |= {"prox": "learned prox", "relaxed": "learned denoiser, relaxed by ½"}
NAMES |= {"admm": "learned denoiser"}


def _sensing(title: str, ratio: int, recover: Recover, row: str = "") -> Experiment:
    return Experiment(
        title=f"{title}, CS ratio {ratio} %",
        source=f"{SOURCE}: {row}" if row else "no published figure",
        protocol=(
            f"blocks 33×33, Phi {data.ROWS[ratio]}×1089 Gaussian, rows orthonormal, seed 0, no "
            f"noise; recovered as a whole, padded by zeros to whole blocks; {IMAGES}"
        ),
        published={"psnr": PUBLISHED[row][ratio]} if row else {},
        build=lambda recipe=None, seed=0: None,
        measure=partial(measure_sensing, ratio, recover),
        own=("folder",),
    )


DENOISER_RECIPES = {
    "cnn": Recipe(steps=900, batch=16, lr=3e-3),
    "prox": Recipe(steps=900, batch=16, lr=1e-2),
}


def _denoising(name: str) -> Experiment:
    kind = NETWORKS[name][1] if name in NETWORKS else None
    return Experiment(
        title=f"denoising, {NAMES[name]}",
        source="no published figure",
        protocol=f"white Gaussian noise, σ = 15/255 and 25/255, by name; {IMAGES}",
        published={},
        build=lambda recipe=None, seed=0: kind(seed=seed) if kind else None,
        measure=partial(measure_denoising, name),
        own=("folder",),
        train=train_denoiser if kind else None,
        recipes={"cpu": DENOISER_RECIPES[name]} if kind else {},
    )


def _deblurring(method: str, name: str) -> Experiment:
    return Experiment(
        title=f"deblurring, PnP-{method.upper()}, {NAMES[name]}",
        source="no published figure",
        protocol=(
            "camera of scikit-image 128×128 (means of 4×4 pixels), periodic Gaussian blur of 1.6 "
            "pixels, noise 2/255; clipped, not rounded"
        ),
        published={},
        build=lambda recipe=None, seed=0: None,
        measure=partial(measure_deblurring, method, name),
        own=("folder",),
    )


def _long(name: str) -> Experiment:
    method = "ADMM" if name == "admm" else "ISTA"
    return Experiment(
        title=f"deblurring, PnP-{method}, {NAMES[name]}, {max(LONG_SEEN)} steps",
        source="no published figure",
        protocol=(
            "camera of scikit-image 128×128 (means of 4×4 pixels), periodic Gaussian blur of 1.6 "
            f"pixels, noise 2/255 of the run's seed; psnr after {max(LONG_SEEN)} steps, clipped; "
            f"radius of the step's Jacobian at x^{RADIUS_AT}, {RADIUS_STEPS} power steps"
        ),
        published={},
        build=lambda recipe=None, seed=0: None,
        measure=partial(measure_long, name),
    )


def _slices(ratio: int) -> Experiment:
    return Experiment(
        title=f"total variation, MRI, {ratio} % of the frequencies",
        source="no published figure",
        protocol=(
            f"256×256 slices, radial mask {ratio} %, no noise, 400 steps; psnr, ssim: Brain50, "
            "where the data folder has it; psnr_head: 12 axial slices of the MNI152 head; clipped, "
            "not rounded; mean over slices"
        ),
        published={},
        build=lambda recipe=None, seed=0: None,
        measure=partial(measure_mri, ratio),
        own=("folder",),
    )


RATIOS = (25, 10, 50, 40, 30, 4, 1)
BASELINES = {
    "denoiser": _denoising("cnn"),
    "denoiser-prox": _denoising("prox"),
    **{f"denoise-{name}": _denoising(name) for name in ("tv", "nlm", "wavelet")},
    **{f"tv-{r}": _sensing("total variation", r, by_tv, "TVAL3") for r in RATIOS},
    **{f"mri-tv-{r}": _slices(r) for r in (10, 20, 30, 40, 50)},
    **{f"d-amp-{r}": _sensing("D-AMP with TV", r, by_amp, "D-AMP") for r in (25, 10)},
    **{
        f"pnp-{method}-{name}-25": _sensing(
            f"PnP-{method.upper()}, {NAMES[name]}", 25, partial(by, name)
        )
        for method, by in (("admm", by_admm), ("hqs", by_hqs))
        for name in ("tv", "cnn")
    },
    **{
        f"deblur-{method}-{name}": _deblurring(method, name)
        for method in ("hqs", "ista")
        for name in ("tv", "cnn")
    },
    **{f"deblur-long-{name}": _long(name) for name in ("cnn", "relaxed", "admm", "tv", "prox")},
}
