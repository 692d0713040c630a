"""Every published figure of the chapters that is measured again. Data only."""

from dataclasses import replace
from functools import partial

from dunfold_lib.experiment import Experiment
from dunfold_lib.imaging import evaluation, generative, training, uncertainty
from dunfold_lib.imaging.beyond import DEEP_SEEN, measure_blind, measure_bounded, measure_deep
from dunfold_lib.imaging.data import ROWS
from dunfold_lib.imaging.denoisers import BoundedDenoiser
from dunfold_lib.imaging.equilibrium import Equilibrium, Tied
from dunfold_lib.imaging.evaluation import LONG_SEEN, NETWORKS, RADIUS_AT, RADIUS_STEPS, Recover
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus
from dunfold_lib.imaging.published import BRAIN50, PAPER, PAPER_MRI, SET11
from dunfold_lib.imaging.released import load_experiment
from dunfold_lib.imaging.training import Blind, Deep, Network, Training
from dunfold_lib.training import Recipe

RATIOS = (25, 10, 4, 1, 30, 40, 50)  # in order of worth
MRI_RATIOS = (20, 30, 40, 50)
KINDS: dict[str, type[Network]] = {"istanet": ISTANet, "istanet-plus": ISTANetPlus}
TITLES = {"istanet": "ISTA-Net", "istanet-plus": "ISTA-Net+"}
IMAGES = (
    "psnr, ssim: Set11, where the data folder has it; psnr_wheels: camera and coffee of "
    "scikit-image; luminance in [0, 1], clipped, not rounded; mean over images"
)
NAMES = {"tv": "TV", "nlm": "NLM", "wavelet": "wavelet", "cnn": "learned denoiser"}
NAMES |= {"prox": "learned prox", "relaxed": "learned denoiser, relaxed by ½"}
NAMES |= {"admm": "learned denoiser"}
CAMERA = (
    "camera of scikit-image 128×128 (means of 4×4 pixels), periodic Gaussian blur of 1.6 pixels, "
    "noise 2/255"
)
_on_folder = partial(Experiment, own=("folder",))  # a reader's images may take the place of ours

_CPU = Training()
_SHORT = Training(steps=1200)  # for the ratios of less worth: two minutes
_DEEP = Deep()
_T91 = Training(data="T91")
# the paper's size: 200 epochs of 88,912 patches in batches of 64
_GPU = Training(data="T91", phases=9, channels=32, steps=278_000, batch=64, lr=1e-3)
# the paper's size in hours on two cores: a hundredth of the paper's patches
_FULL = replace(_GPU, steps=20_000, batch=32, warmup=200, average=0.999, precision="bf16")
# the paper's size in minutes of a GPU
_GPU_SHORT = replace(
    _FULL, steps=8000, batch=64, lr=2e-3, average=0.998, precision="no", cuda_graph=True
)
_MRI_CPU = Training(data="head", phases=3, channels=16, steps=400, batch=1)
_MRI_SHORT = replace(_GPU_SHORT, data="head+wheels", steps=5000, batch=2)
# and on from there on a CPU, each ratio from the network of 20 %
_BEGIN = "mri-istanet-plus-20/gpu-short-s0"
_MRI_ON = replace(_MRI_SHORT, begin=_BEGIN, steps=600, batch=1, lr=5e-4, warmup=20)
_MRI_GPU = Training(data="head", phases=9, channels=32, steps=40_000, batch=4)
_MRI = {"cpu": _MRI_CPU, "gpu-short": _MRI_SHORT, "continued": _MRI_ON, "gpu": _MRI_GPU}
_DENOISERS = {
    "cnn": Recipe(steps=900, batch=16, lr=3e-3),
    "prox": Recipe(steps=900, batch=16, lr=1e-2),
}


def _phi(ratio: int) -> str:
    return f"blocks 33×33, Phi {ROWS[ratio]}×1089 Gaussian, rows orthonormal, seed 0"


def _blocks(kind: str, ratio: int) -> Experiment:
    cpu = _CPU if ratio in (25, 10) else _SHORT
    return _on_folder(
        title=f"{TITLES[kind]}, CS ratio {ratio} %",
        source=PAPER,
        protocol=f"{_phi(ratio)}, no noise; {IMAGES}",
        published={"psnr": SET11[TITLES[kind]][ratio]},
        build=lambda recipe=cpu, seed=0: training.build(KINDS[kind], ratio, recipe, seed),
        measure=partial(evaluation.measure, evaluation.block_tests),
        train=training.train,
        recipes={"cpu": cpu, "cpu-t91": _T91, "full": _FULL, "gpu-short": _GPU_SHORT, "gpu": _GPU},
        released=partial(load_experiment, KINDS[kind], ROWS[ratio]),
    )


def _slices(kind: str, ratio: int) -> Experiment:
    return _on_folder(
        title=f"{TITLES[kind]}, MRI, {ratio} % of the frequencies",
        source=PAPER_MRI,
        protocol=(
            f"256×256 slices, radial mask {ratio} %, no noise; psnr, ssim: Brain50, where the data "
            "folder has it; psnr_head: 12 axial slices of the MNI152 head, others trained on; "
            "luminance in [0, 1], clipped, not rounded; mean over slices"
        ),
        published={"psnr": BRAIN50[TITLES[kind]][ratio]},
        build=lambda recipe=_MRI_CPU, seed=0: training.build_mri(KINDS[kind], ratio, recipe, seed),
        measure=partial(evaluation.measure, evaluation.mri_tests),
        train=training.train,
        recipes=_MRI,
        released=partial(load_experiment, KINDS[kind], None, share=ratio / 100),
    )


def _sensing(title: str, ratio: int, recover: Recover, row: str = "") -> Experiment:
    return _on_folder(
        title=f"{title}, CS ratio {ratio} %",
        source=f"{PAPER}: {row}" if row else "no published figure",
        protocol=(
            f"{_phi(ratio)}, no noise; recovered as a whole, padded by zeros to whole blocks; "
            f"{IMAGES}"
        ),
        published={"psnr": SET11[row][ratio]} if row else {},
        measure=partial(evaluation.measure_sensing, ratio, recover),
    )


def _denoising(name: str) -> Experiment:
    kind = NETWORKS[name][1] if name in NETWORKS else None
    return _on_folder(
        title=f"denoising, {NAMES[name]}",
        protocol=f"white Gaussian noise, σ = 15/255 and 25/255, by name; {IMAGES}",
        build=lambda recipe=None, seed=0: kind(seed=seed) if kind else None,
        measure=partial(evaluation.measure_denoising, name),
        train=training.train_denoiser if kind else None,
        recipes={"cpu": _DENOISERS[name]} if kind else {},
    )


def _deblurring(method: str, name: str) -> Experiment:
    return _on_folder(
        title=f"deblurring, PnP-{method.upper()}, {NAMES[name]}",
        protocol=f"{CAMERA}; clipped, not rounded",
        measure=partial(evaluation.measure_deblurring, method, name),
    )


def _long(name: str) -> Experiment:
    method = "ADMM" if name == "admm" else "ISTA"
    return Experiment(
        title=f"deblurring, PnP-{method}, {NAMES[name]}, {max(LONG_SEEN)} steps",
        protocol=(
            f"{CAMERA} of the run's seed; psnr after {max(LONG_SEEN)} steps, clipped; "
            f"radius of the step's Jacobian at x^{RADIUS_AT}, {RADIUS_STEPS} power steps"
        ),
        measure=partial(evaluation.measure_long, name),
    )


def _bounded(share: float, weight: float) -> Experiment:
    return Experiment(
        title=f"deblurring, PnP-ISTA, D − I bounded by {0.9 * share:g}, weight {weight:g} of b",
        source="no published figure; the condition of Ryu et al. 2019",
        protocol=f"{CAMERA} of the run's seed; psnr after {max(LONG_SEEN)} steps, clipped",
        measure=partial(measure_bounded, share, weight),
    )


def _tv_slices(ratio: int) -> Experiment:
    return _on_folder(
        title=f"total variation, MRI, {ratio} % of the frequencies",
        protocol=(
            f"256×256 slices, radial mask {ratio} %, no noise, 400 steps; psnr, ssim: Brain50, "
            "where the data folder has it; psnr_head: 12 axial slices of the MNI152 head; clipped, "
            "not rounded; mean over slices"
        ),
        measure=partial(evaluation.measure_mri, ratio),
    )


# Stated before the runs: "equivariant" lies within BLIND_BAR of "supervised" in the mean over
# seeds, from Aᵀb and from Q b, on the wheel's test photographs.
BLIND_BAR = 1.5  # dB
BLIND_NOISE = 10 / 255
_NOISY = Blind(start="measurements", noise=BLIND_NOISE)
BLIND = {
    "supervised": Blind(loss="supervised"),
    "consistency": Blind(loss="consistency", quiet=False),
    "equivariant": Blind(loss="equivariant"),
    "supervised-q": Blind(loss="supervised", start="truths"),
    "equivariant-q": Blind(loss="equivariant", start="measurements"),
    "supervised-noisy": replace(_NOISY, loss="supervised"),
    "equivariant-noisy": replace(_NOISY, loss="equivariant"),
    "sure-noisy": replace(_NOISY, loss="sure"),
}  # how each learns, by the last part of its experiment's name

# Stated before the runs: "mask-equivariant" lies within MASK_BAR of "mask-supervised" in the mean
# over seeds, from Aᵀb, on the wheel's test photographs.
MASK_BAR = 1.5  # dB
_MASK = Blind(missing=0.5, steps=300, batch=2)
BLIND |= {
    "mask-supervised": replace(_MASK, loss="supervised"),
    "mask-consistency": replace(_MASK, loss="consistency", quiet=False),
    "mask-equivariant": replace(_MASK, loss="equivariant"),
}


def _blind(name: str) -> Experiment:
    recipe = BLIND[name]
    noise = "no noise" if not recipe.noise else f"noise {255 * recipe.noise:.0f}/255 in b"
    start = {"transpose": "Aᵀb"}.get(recipe.start, f"Q b, Q from {recipe.start}")
    task, A = "CS ratio 25 %", _phi(25)
    recipes = {"cpu": recipe, "long": replace(recipe, steps=4 * recipe.steps)}
    if recipe.missing:
        task = f"inpainting, {100 * recipe.missing:.0f} % of the pixels missing"
        A = "blocks 33×33, one random mask for every block, seed 0"
        recipes = {"cpu": recipe}
    return _on_folder(
        title=f"ISTA-Net+ by the loss {recipe.loss}, {task}, start {start}, {noise}",
        source="no published figure; losses of Chen, Tachella & Davies 2021",
        protocol=f"{A}, {noise}; {IMAGES}",
        build=lambda recipe=recipe, seed=0: training.build_blind(25, recipe, seed),
        measure=partial(measure_blind, recipe.noise),
        train=training.train_blind,
        recipes=recipes,
    )


def _deep(title: str, kind: type[Equilibrium] | type[Tied]) -> Experiment:
    return Experiment(
        title=f"one layer of a learned prox, {title}, CS ratio 25 %",
        source="no published figure; Gilton, Ongie & Willett 2021",
        protocol=(
            f"{_phi(25)}, no noise; camera and coffee of scikit-image at half their size, mean "
            f"over the two; up to {max(DEEP_SEEN)} applications; clipped, not rounded"
        ),
        build=lambda recipe=_DEEP, seed=0: training.build_deep(kind, recipe, seed),
        measure=measure_deep,
        train=training.train_deep,
        recipes={"cpu": _DEEP},
    )


# share of the bounded denoiser, weight of ½‖x − b‖²; the last one's convergence is proven
BOUNDED = {"whole": (1.0, 0.0), "half": (0.5, 0.0), "proven": (0.25, 0.25)}

EXPERIMENTS = {
    **{f"{k}-{ratio}": _blocks(k, ratio) for ratio in RATIOS for k in ("istanet-plus", "istanet")},
    **{f"mri-{k}-{ratio}": _slices(k, ratio) for ratio in MRI_RATIOS for k in ("istanet-plus",)},
    "istanet-plus-25-constrained": replace(
        _blocks("istanet-plus", 25),
        title="ISTA-Net+, CS ratio 25 %, steps in (0, 2), thresholds above zero",
        source="no published figure; the paper leaves both free",
        published={},
        build=lambda recipe=_CPU, seed=0: training.build_constrained(ISTANetPlus, 25, recipe, seed),
        recipes={"cpu": _CPU},
        released=None,
    ),
    "ensemble-25": Experiment(
        title="three ISTA-Net+, CS ratio 25 %: coverage of intervals",
        protocol=(
            "blocks 33×33, Phi 272×1089, trained on 8 photographs of the wheel; crops 66×66 of 8 "
            "others, half for calibration, half to test on, mean over 20 splits of the run's seed; "
            "photographs_…: all 70 splits into four and four photographs; level 90 %"
        ),
        build=uncertainty.build,
        measure=uncertainty.measure,
        train=uncertainty.train,
        recipes={"cpu": uncertainty.RECIPE},
    ),
    "generative": Experiment(
        title="deblurring, annealed walk with a prior of every noise level",
        protocol=(
            "camera of scikit-image 128×128, periodic Gaussian blur of 1.6 pixels, noise 2/255 of "
            "the run's seed; psnr: mean of 4 walks; _sample: one; _wide, _room: PnP-HQS with this "
            "denoiser and with the recorded one; clipped, not rounded"
        ),
        build=generative.build,
        measure=generative.measure,
        train=generative.train,
        recipes={"cpu": generative.RECIPE},
    ),
    "denoiser": _denoising("cnn"),
    "denoiser-prox": _denoising("prox"),
    **{f"denoise-{name}": _denoising(name) for name in ("tv", "nlm", "wavelet")},
    **{
        f"tv-{r}": _sensing("total variation", r, evaluation.by_tv, "TVAL3")
        for r in (25, 10, 50, 40, 30, 4, 1)
    },
    **{f"mri-tv-{r}": _tv_slices(r) for r in (10, 20, 30, 40, 50)},
    **{f"d-amp-{r}": _sensing("D-AMP with TV", r, evaluation.by_amp, "D-AMP") for r in (25, 10)},
    **{
        f"pnp-{method}-{name}-25": _sensing(
            f"PnP-{method.upper()}, {NAMES[name]}", 25, partial(by, name)
        )
        for method, by in (("admm", evaluation.by_admm), ("hqs", evaluation.by_hqs))
        for name in ("tv", "cnn")
    },
    **{
        f"deblur-{method}-{name}": _deblurring(method, name)
        for method in ("hqs", "ista")
        for name in ("tv", "cnn")
    },
    "denoiser-bounded": replace(
        _denoising("cnn"),
        title="denoising, learned denoiser with D − I bounded by 0.9",
        build=lambda recipe=None, seed=0: BoundedDenoiser(seed=seed),
        measure=partial(evaluation.measure_denoising, "bounded"),
        recipes={"cpu": Recipe(steps=400, batch=8, lr=1e-2)},
    ),
    **{f"deblur-bounded-{name}": _bounded(*how) for name, how in BOUNDED.items()},
    "equilibrium": _deep("at its fixed point", Equilibrium),
    "tied": _deep("five times", Tied),
    **{f"blind-{name}": _blind(name) for name in BLIND},
    **{f"deblur-long-{name}": _long(name) for name in ("cnn", "relaxed", "admm", "tv", "prox")},
}
