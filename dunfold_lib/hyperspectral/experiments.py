"""Every table of the chapter that is measured. Data only."""

from dataclasses import replace
from functools import partial
from typing import Any

from dunfold_lib.experiment import Experiment
from dunfold_lib.hyperspectral.algorithm import Star, star, star_s
from dunfold_lib.hyperspectral.baselines import DENOISERS, lrtdtv, noisy, pca, subspace_denoiser
from dunfold_lib.hyperspectral.evaluation import (
    Method,
    measure,
    measure_method,
    measure_method_sparse,
    measure_sparse,
)
from dunfold_lib.hyperspectral.model import SMDSNet, STARNet, STARNetPaper, STARNetS, Sweeps
from dunfold_lib.hyperspectral.training import AS_IS, REPAIRED, Training, build, train

CONTEXT = "no published figure for this protocol; Liu et al. 2026 for context (published.py)"
PINES = (
    "Indian Pines over its largest value, its file repaired (data.repaired; as_is: not), rows "
    "16–111 × columns 81–144, 200 bands; trained on columns 0–79, as the recipe's data says; "
)
AFTER = (
    "; PSNR in dB and SSIM as means over bands, SAM in radians, ERGAS (Wald); not clipped; by "
    "ending: σ of 255; as_is; pavia and simu where the data folder has them"
)
WHITE = (
    f"{PINES}white noise of known σ (blind: estimated){AFTER}; accuracy, kappa: linear "
    "discriminant on columns 81–144, 10 % of the labelled pixels"
)
SPARSE = (
    f"{PINES}white noise σ = 10 and impulses (5 % of entries), stripes (20 % of the columns of "
    f"30 % of the bands), dead columns (10 % of the same) or all, at 2, 10 and 5 %{AFTER}"
)
# of a CPU recipe: the same four minutes on one core
STEPS = {"smds": 2700, "plain": 2000, "star": 1300, "atoms": 1100, "paper": 650, "sparse": 500}

# the paper's batch, first rate and dictionary, on the reader's ICVL cubes
_GPU = Training(
    data="icvl", layers=6, patch=56, stride=1, draws=200, steps=40_000, batch=2, lr=5e-3
)


def _network(
    title: str,
    kind: type[Sweeps],
    steps: str,
    switches: dict[str, Any] | None = None,
    **fields: Any,
) -> Experiment:
    """One network: its switches, and what its recipe changes."""
    cpu = Training(steps=STEPS[steps], **fields)
    gpu = replace(_GPU, **fields)
    return Experiment(
        title=title,
        source=CONTEXT,
        protocol=SPARSE if cpu.sparse else WHITE,
        build=lambda recipe=cpu, seed=0: build(kind, recipe, **(switches or {})),
        measure=measure_sparse if cpu.sparse else measure,
        own=("folder",),
        train=train,
        recipes={
            "as-is": replace(cpu, data=AS_IS),
            "cpu": cpu,
            "gpu-pines": replace(gpu, data=REPAIRED),
            "gpu": gpu,
        },
    )


def _depth(K: int) -> Experiment:
    """STARNet with another number of layers, as many steps as take the same time."""
    e = _network(f"STARNet, K = {K}", STARNet, "star", layers=K)
    cpu = replace(e.recipes["cpu"], steps=STEPS["star"] * 6 // max(K, 2))
    return replace(e, recipes={"as-is": replace(cpu, data=AS_IS), "cpu": cpu})


def _method(title: str, run: Method, *, sparse: bool = False) -> Experiment:
    return Experiment(
        title=title,
        source=CONTEXT,
        protocol=SPARSE if sparse else WHITE,
        measure=partial(measure_method_sparse if sparse else measure_method, run),
        own=("folder",),
    )


_SPARSE_NOISE: dict[str, Any] = {"sparse": True, "whole": True, "high": 30.0}
_S = {"procrustes": 6}
NETWORKS: dict[str, Experiment] = {
    "smds": _network("SMDSNet, one threshold a layer", SMDSNet, "smds"),
    "star": _network("STARNet: G, SVT, and A in the last layer", STARNet, "star"),
    "smds-atoms": _network("SMDSNet, 729 thresholds", SMDSNet, "smds", thresholds="atom"),
    "star-atoms": _network("STARNet, 729 thresholds", STARNet, "atoms", thresholds="atom"),
    "star-paper": _network("STARNetPaper, K = 9", STARNetPaper, "paper", layers=9),
    "star-s": _network("STARNetS, sparse noise", STARNetS, "sparse", **_SPARSE_NOISE),
}
# what one block brings: STARNet with everything else equal, and equal steps
ABLATIONS: dict[str, Experiment] = {
    "star-no-svt": _network("STARNet without SVT", STARNet, "star", {"low_rank": False}),
    "star-no-blend": _network("STARNet, G in the last layer", STARNet, "star", {"blend": False}),
    "star-no-a": _network("STARNet, A never updated", STARNet, "star", {"procrustes": 0}),
    "star-every-a": _network("STARNet, A in every layer", STARNet, "star", _S, whole=True),
    "star-mixed": _network("STARNet, D3 from the DCT", STARNet, "star", {"mixed": True}),
    "star-squared": _network("STARNet, the paper's loss", STARNet, "star", loss="squared"),
    "star-no-s": _network("STARNet, sparse noise", STARNet, "sparse", _S, **_SPARSE_NOISE),
}
METHODS: dict[str, Method] = {
    "noisy": noisy,
    "star-classical": star,
    "star-classical-mixed": partial(star, model=Star(gamma1=1.2, mixed=True)),
    "star-classical-no-a": partial(star, model=Star(moving=False)),
    "star-classical-svt": partial(star, model=Star(gamma1=1.0, gamma2=0.5, beta=2.0)),
    "star-classical-beta": partial(star, model=Star(gamma1=1.0, beta=2.0)),  # its control
    "pca": pca,
    **{f"subspace-{n}": partial(subspace_denoiser, denoise=f) for n, f in DENOISERS.items()},
    "lrtdtv": lrtdtv,
}
SPARSE_METHODS: dict[str, Method] = {
    "noisy-sparse": noisy,
    "star-classical-sparse": star,
    "star-classical-medians": partial(star, sweeps=4, window=5),
    "star-s-classical": star_s,
    "lrtdtv-sparse": lrtdtv,
}
EXPERIMENTS = {
    **NETWORKS,
    **ABLATIONS,
    **{f"star-k{K}": _depth(K) for K in range(1, 10) if K != 6},
    **{n: _method(n.replace("-", " "), run) for n, run in METHODS.items()},
    **{n: _method(n.replace("-", " "), run, sparse=True) for n, run in SPARSE_METHODS.items()},
}
