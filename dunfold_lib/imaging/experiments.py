"""Every published figure of the chapters that is measured again. Data only."""

from dataclasses import replace
from functools import partial

from dunfold_lib.experiment import Experiment
from dunfold_lib.imaging.data import ROWS
from dunfold_lib.imaging.denoising_runs import BASELINES
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus
from dunfold_lib.imaging.released import load_experiment
from dunfold_lib.imaging.runs import (
    Network,
    Training,
    block_tests,
    build,
    build_constrained,
    build_mri,
    measure,
    mri_tests,
    train,
)

RATIOS = (25, 10, 4, 1, 30, 40, 50)  # in order of worth
MRI_RATIOS = (20, 30, 40, 50)
KINDS: dict[str, type[Network]] = {"istanet": ISTANet, "istanet-plus": ISTANetPlus}
TITLES = {"istanet": "ISTA-Net", "istanet-plus": "ISTA-Net+"}
PAPER = "Zhang & Ghanem 2018, table 1 (Set11)"
PAPER_MRI = "Zhang & Ghanem 2018, table 4 (50 brain slices, their mask and training slices)"

# PSNR in dB by CS ratio in per cent
PUBLISHED = {
    "istanet": {50: 37.43, 40: 35.36, 30: 32.91, 25: 31.53, 10: 25.80, 4: 21.23, 1: 17.30},
    "istanet-plus": {50: 38.07, 40: 36.06, 30: 33.82, 25: 32.57, 10: 26.64, 4: 21.31, 1: 17.34},
}
PUBLISHED_MRI = {
    "istanet": {20: 38.30, 30: 40.52, 40: 42.12, 50: 43.60},
    "istanet-plus": {20: 38.73, 30: 40.89, 40: 42.52, 50: 44.09},
}

_CPU = Training()
_SHORT = Training(steps=1200)  # for the ratios of less worth: two minutes
_T91 = Training(data="T91")
# the paper's size: 200 epochs of 88,912 patches in batches of 64
_GPU = Training(
    data="T91",
    phases=9,
    channels=32,
    steps=278_000,
    batch=64,
    lr=1e-3,
    quiet=True,
    precision="bf16",
    compile=True,
)
# the paper's size in hours on two cores: a hundredth of the paper's patches
_FULL = replace(_GPU, steps=20_000, batch=32, warmup=200, average=0.999, compile=False)
_MRI_CPU = Training(data="head", phases=3, channels=16, steps=400, batch=1)
_MRI_GPU = Training(
    data="head", phases=9, channels=32, steps=40_000, batch=4, precision="bf16", compile=True
)


def _blocks(kind: str, ratio: int) -> Experiment:
    cpu = _CPU if ratio in (25, 10) else _SHORT
    return Experiment(
        title=f"{TITLES[kind]}, CS ratio {ratio} %",
        source=PAPER,
        protocol=(
            f"blocks 33×33, Phi {ROWS[ratio]}×1089 Gaussian, rows orthonormal, seed 0, no noise; "
            "psnr, ssim: Set11, where the data folder has it; psnr_wheels: camera and coffee of "
            "scikit-image; luminance in [0, 1], clipped, not rounded; mean over images"
        ),
        published={"psnr": PUBLISHED[kind][ratio]},
        build=lambda recipe=cpu, seed=0: build(KINDS[kind], ratio, recipe, seed),
        measure=partial(measure, block_tests),
        own=("folder",),
        train=train,
        recipes={"cpu": cpu, "cpu-t91": _T91, "full": _FULL, "gpu": _GPU},
        released=partial(load_experiment, KINDS[kind], ROWS[ratio]),
    )


def _slices(kind: str, ratio: int) -> Experiment:
    return Experiment(
        title=f"{TITLES[kind]}, MRI, {ratio} % of the frequencies",
        source=PAPER_MRI,
        protocol=(
            f"256×256 slices, radial mask {ratio} %, no noise; psnr, ssim: Brain50, where the data "
            "folder has it; psnr_head: 12 axial slices of the MNI152 head, others trained on; "
            "luminance in [0, 1], clipped, not rounded; mean over slices"
        ),
        published={"psnr": PUBLISHED_MRI[kind][ratio]},
        build=lambda recipe=_MRI_CPU, seed=0: build_mri(KINDS[kind], ratio, recipe, seed),
        measure=partial(measure, mri_tests),
        own=("folder",),
        train=train,
        recipes={"cpu": _MRI_CPU, "gpu": _MRI_GPU},
        released=partial(load_experiment, KINDS[kind], None, share=ratio / 100),
    )


_CONSTRAINED = _blocks("istanet-plus", 25)

EXPERIMENTS = {
    **{f"{k}-{ratio}": _blocks(k, ratio) for ratio in RATIOS for k in ("istanet-plus", "istanet")},
    **{f"mri-{k}-{ratio}": _slices(k, ratio) for ratio in MRI_RATIOS for k in ("istanet-plus",)},
    "istanet-plus-25-constrained": Experiment(
        title="ISTA-Net+, CS ratio 25 %, steps in (0, 2), thresholds above zero",
        source="no published figure; the paper leaves both free",
        protocol=_CONSTRAINED.protocol,
        published={},
        build=lambda recipe=_CPU, seed=0: build_constrained(ISTANetPlus, 25, recipe, seed),
        measure=_CONSTRAINED.measure,
        own=("folder",),
        train=train,
        recipes={"cpu": _CPU},
    ),
    **BASELINES,
}
