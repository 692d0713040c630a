"""Every table of the chapter that is measured. Data only."""

from dataclasses import replace
from functools import partial
from typing import Any

from dunfold_lib.experiment import Experiment
from dunfold_lib.newton_sr.baselines import bicubic, glp, guided_filter, guided_tv, joint_bilateral
from dunfold_lib.newton_sr.evaluation import Method, measure, measure_lasso, measure_method
from dunfold_lib.newton_sr.model import FirstOrderSR, LearnedInverseSR, NewtonSR, PlainSR
from dunfold_lib.newton_sr.training import Network, Training, build, train

RATIOS = (4, 8, 16)  # in order of worth
CONDITIONS = {"1e1": 1e1, "1e3": 1e3, "1e5": 1e5, "1e7": 1e7}
KINDS: dict[str, type[Network]] = {
    "newton": NewtonSR,
    "learned-inverse": LearnedInverseSR,
    "first-order": FirstOrderSR,
    "plain": PlainSR,
}
# of a recipe with three stages and patches of 40: the same five minutes on one CPU core; half of it
# at ×8 and ×16
STEPS = {"newton": 2400, "learned-inverse": 6800, "first-order": 9000, "plain": 18000}
NONE = "no published figure for this protocol"
DEPTH = (
    "depth ×{}, Keys antialiased downsampling without noise; RMSE in 0 … 255, without 6 pixels at "
    "the border; planes: 4 made-up scenes of the test seed; motorcycle: scikit-image's; art, "
    "moebius: Middlebury at half size, where the data folder has them"
)
BANDS = {
    "fusion": "8 made-up bands ×4 and 3 wide ones at full size; 4 scenes of the test seed",
    "indian-pines": (
        "Indian Pines, 200 bands averaged by tens, ×4, and a guide of 4 wide bands at full size; "
        "rows 96 to 143, trained on those above"
    ),
    "worldview": (
        "WorldView-2 by Wald's protocol, 8 bands ×4 and PAN; rows from 192, trained on those "
        "above; data folder"
    ),
}

# the paper's batch, patches and first rate; its six stages
_GPU = Training(
    data="middlebury", stages=6, filters=32, width=48, patch=128, steps=60_000, batch=16, lr=1e-3
)


def methods(ratio: int) -> dict[str, Method]:
    """What learns nothing, for depth. Windows grow with the ratio; other constants are ×4's."""
    return {
        "bicubic": bicubic,
        "guided-filter": partial(guided_filter, radius=ratio // 4),
        "joint-bilateral": partial(joint_bilateral, radius=ratio, sigma=1.5 * ratio / 4),
        "tv": partial(guided_tv, contrast=1e6),
        "guided-tv": guided_tv,
    }


def _training(kind: str, data: str, ratio: int = 4, **fields: Any) -> Training:
    """The CPU recipe: three stages, or 20 channels where there are none."""
    width = 20 if kind == "plain" else Training.width
    steps = STEPS[kind] if ratio == 4 else STEPS[kind] // 2
    lr = 2e-3 if kind == "plain" else Training.lr  # by the training loss: its ReLUs die at 4e-3
    patch = 64 if ratio == 16 else 40
    return Training(data=data, width=width, steps=steps, patch=patch, lr=lr, **fields)


def _depth(kind: str, ratio: int, title: str = "", **fields: Any) -> Experiment:
    cpu = _training(kind, "planes", ratio, **fields)
    gpu = replace(_GPU, **fields)
    return Experiment(
        title=f"{KINDS[kind].__name__}{title}, depth ×{ratio}",
        source=NONE,
        protocol=DEPTH.format(ratio),
        build=lambda recipe=cpu, seed=0: build(KINDS[kind], ratio, recipe, seed=seed),
        measure=partial(measure, "planes"),
        own=("folder",),
        train=train,
        recipes={"cpu": cpu, "cpu-middlebury": replace(cpu, data="middlebury"), "gpu": gpu},
    )


def _bands(kind: str, name: str) -> Experiment:
    cpu = replace(_training(kind, name), steps=STEPS[kind] * 3 // 8)
    return Experiment(
        title=f"{KINDS[kind].__name__}, {name} ×4",
        source=NONE,
        protocol=f"{BANDS[name]}; no noise; PSNR in dB, SAM in degrees, ERGAS",
        build=lambda recipe=cpu, seed=0: build(KINDS[kind], 4, recipe, 1.0, seed),
        measure=partial(measure, name),
        own=("folder",),
        train=train,
        recipes={"cpu": cpu, "gpu": replace(_GPU, data=name, patch=48, steps=20_000)},
    )


def _method(name: str, run: Method, ratio: int, data: str) -> Experiment:
    return Experiment(
        title=f"{name}, ×{ratio}",
        source=NONE,
        protocol=DEPTH.format(ratio) if data == "planes" else BANDS[data],
        measure=partial(measure_method, data, run, ratio),
        own=("folder",),
    )


def _lasso(condition: str, group: int) -> Experiment:
    size = "300 × 1200, 40 non-zeros" if group == 1 else "200 × 800, 10 groups of 4"
    return Experiment(
        title=f"SSNAL and first-order methods, {'lasso' if group == 1 else 'group lasso'}",
        source="Li, Sun & Toh 2018 for the method",
        protocol=(
            f"{size}, cond(AAᵀ) = {condition}, 1 % noise, λ = 0.02 λ_max, float64; SSNAL to a "
            "KKT residual of 1e-12, the others to 1e-6 and 1e-8, 5001 where 5000 steps do not reach"
        ),
        measure=partial(measure_lasso, CONDITIONS[condition], group),
    )


# What one choice changes: NewtonSR at ×4 with everything else equal
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "newton-clarke-4": ("with Clarke's curvature", {"curvature": "clarke"}),
    "newton-deep-4": ("with six stages", {"stages": 6}),
    "newton-residual-4": ("with 0.01·mean|F| in the loss", {"residual": 0.01}),
    "newton-fourier-4": ("with 0.01 of the spectra in the loss", {"fourier": 0.01}),
}
EXPERIMENTS = {
    **{f"{kind}-{ratio}": _depth(kind, ratio) for ratio in RATIOS for kind in KINDS},
    **{n: _depth("newton", 4, f" {title}", **fields) for n, (title, fields) in ABLATIONS.items()},
    **{f"{kind}-{name}": _bands(kind, name) for name in BANDS for kind in KINDS},
    **{f"{n}-{r}": _method(n, f, r, "planes") for r in RATIOS for n, f in methods(r).items()},
    **{
        f"{n}-{d}": _method(n, run, 4, d)
        for n, run in {"bicubic": bicubic, "glp": glp}.items()
        for d in BANDS
    },
    **{f"lasso-{c}": _lasso(c, 1) for c in CONDITIONS},
    **{f"group-lasso-{c}": _lasso(c, 4) for c in ("1e3",)},
}
