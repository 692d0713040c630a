"""Every table of the chapter that is measured. Data only."""

from dataclasses import replace
from functools import partial

from dunfold_lib.newton_sr.baselines_sr import (
    bicubic,
    glp,
    guided_filter,
    guided_tv,
    joint_bilateral,
)
from dunfold_lib.newton_sr.model import FirstOrderSR, LearnedInverseSR, NewtonSR, Stages
from dunfold_lib.newton_sr.runs import (
    Method,
    Training,
    build,
    measure,
    measure_lasso,
    measure_method,
    train,
)
from dunfold_lib.records import Experiment

RATIOS = (4, 8, 16)  # in order of worth
CONDITIONS = {"1e1": 1e1, "1e3": 1e3, "1e5": 1e5, "1e7": 1e7}
KINDS: dict[str, type[Stages]] = {
    "newton": NewtonSR,
    "learned-inverse": LearnedInverseSR,
    "first-order": FirstOrderSR,
}
TITLES = {
    "newton": "NewtonSR",
    "learned-inverse": "LearnedInverseSR",
    "first-order": "FirstOrderSR",
}
STEPS = {"newton": 2400, "learned-inverse": 6800, "first-order": 9000}  # the same five CPU minutes
NONE = "no published figure for this protocol"
DEPTH = (
    "depth ×{}, Keys antialiased downsampling without noise; RMSE in 0 … 255, without 6 pixels at "
    "the border; planes: 4 made-up scenes of the test seed; motorcycle: scikit-image's; art, "
    "moebius: Middlebury at half size, where the data folder has them"
)
BANDS = {
    "fusion": "8 made-up bands ×4 and 3 wide ones at full size; 4 scenes of the test seed",
    "worldview": "WorldView-2 by Wald's protocol, 8 bands ×4 and PAN; rows from 192; data folder",
}

# the paper's batch, patches and first rate; its six stages
_GPU = Training(
    data="middlebury", stages=6, filters=32, width=48, patch=128, steps=60_000, batch=16, lr=1e-3
)


def _methods(ratio: int) -> dict[str, Method]:
    """Windows grow with the ratio; the other constants are those of ×4."""
    return {
        "bicubic": bicubic,
        "guided-filter": partial(guided_filter, radius=ratio // 4),
        "joint-bilateral": partial(joint_bilateral, radius=ratio, sigma=1.5 * ratio / 4),
        "tv": partial(guided_tv, contrast=1e6),
        "guided-tv": guided_tv,
    }


def _patch(ratio: int) -> int:
    return 64 if ratio == 16 else 40


def _depth(kind: str, ratio: int) -> Experiment:
    cpu = Training(steps=STEPS[kind], patch=_patch(ratio))
    return Experiment(
        title=f"{TITLES[kind]}, depth ×{ratio}",
        source=NONE,
        protocol=DEPTH.format(ratio),
        published={},
        build=lambda recipe=cpu: build(KINDS[kind], ratio, recipe),
        measure=partial(measure, "planes"),
        train=train,
        recipes={"cpu": cpu, "cpu-middlebury": replace(cpu, data="middlebury"), "gpu": _GPU},
    )


def _bands(kind: str, name: str) -> Experiment:
    cpu = Training(data=name, steps=STEPS[kind] // 4)
    return Experiment(
        title=f"{TITLES[kind]}, {name} ×4",
        source=NONE,
        protocol=f"{BANDS[name]}; no noise; PSNR in dB, SAM in degrees, ERGAS",
        published={},
        build=lambda recipe=cpu: build(KINDS[kind], 4, recipe, alpha=1.0),
        measure=partial(measure, name),
        train=train,
        recipes={"cpu": cpu},
    )


def _method(name: str, run: Method, ratio: int, data: str) -> Experiment:
    return Experiment(
        title=f"{name}, ×{ratio}",
        source=NONE,
        protocol=DEPTH.format(ratio) if data == "planes" else BANDS[data],
        published={},
        build=lambda: None,
        measure=partial(measure_method, data, run, ratio),
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
        published={},
        build=lambda: None,
        measure=partial(measure_lasso, CONDITIONS[condition], group),
    )


EXPERIMENTS = {
    **{f"{kind}-{ratio}": _depth(kind, ratio) for ratio in RATIOS for kind in KINDS},
    **{f"{kind}-{name}": _bands(kind, name) for name in BANDS for kind in KINDS},
    **{f"{n}-{r}": _method(n, f, r, "planes") for r in RATIOS for n, f in _methods(r).items()},
    **{
        f"{n}-{d}": _method(n, run, 4, d)
        for n, run in {"bicubic": bicubic, "glp": glp}.items()
        for d in BANDS
    },
    **{f"lasso-{c}": _lasso(c, 1) for c in CONDITIONS},
    **{f"group-lasso-{c}": _lasso(c, 4) for c in ("1e3",)},
}
