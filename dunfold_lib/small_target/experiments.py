"""Every table of the chapter that is measured. Data only."""

from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from dunfold_lib import experiment
from dunfold_lib.experiment import Experiment
from dunfold_lib.small_target.baselines import DETECTORS
from dunfold_lib.small_target.data import Frames, images
from dunfold_lib.small_target.evaluation import (
    CALIBRATED,
    ELSEWHERE,
    Judged,
    measure,
    measure_calibration,
    measure_elsewhere,
    measure_lipschitz,
    measure_method,
    measure_robust,
    measure_shift,
    shares,
)
from dunfold_lib.small_target.fast import logits
from dunfold_lib.small_target.model import LRPCANet, Network, RPCANet, TwoTerm
from dunfold_lib.small_target.published import (
    COLUMNS,
    PAPER,
    PUBLISHED,
    PUBLISHED_SE,
    PUBLISHED_STAGES,
)
from dunfold_lib.small_target.released import load_experiment
from dunfold_lib.small_target.training import Training, build, epochs, train

OWN = ("folder", "side")  # of a reader's frames

SPLITS = {  # frames to train on, and how the set is told of
    "sirst": (256, "SIRST v1, 256 to train on, 85 to choose on, 86 test images (109 targets)"),
    "nudt": (663, "NUDT-SIRST, 663 to train on (every seventh to choose on), 662 test images"),
    "sirst-aug": (8525, "SIRST-Aug, 8525 to train on (every seventh to choose on), 545 test"),
    "irstd1k": (800, "IRSTD-1k at 512×512, 800 to train on (every seventh to choose on), 201 test"),
}
PROTOCOL = (
    "{}; 256×256 where nothing else is said, images bilinear, masks nearest (⌊·⌋, as OpenCV), "
    "logits > 0; iou, f1 over all pixels, niou per image; pd, fa_1e-5 by overlap; pd_3px, "
    "fa_3px_1e-6 by centroids below 3 px; the checkpoint is chosen on validation, never on test"
)
MADE_UP = "; _synthetic: 64 made-up scenes of the test seed"
CUT = "; maps cut at half of their largest value"
ELSEWHERE_CUTS = (
    "cuts: the usual one, and (_chosen) the one that the validation part of SIRST v1 chose; iou, "
    "f1 over all pixels, niou per image; pd, fa_1e-5 by overlap; pd_3px, fa_3px_1e-6 by centroids "
    "below 3 px"
)
ELSE = {  # by the place of ``evaluation.PLACES``: how it is told of, and the protocol
    "elsewhere": (
        "on other scenes",
        f"{ELSEWHERE} frames of 256×256: made-up targets in crops of the 255 target-free scenes of "
        f"SIRST v2, which nothing was trained or chosen on; {ELSEWHERE_CUTS}",
    ),
    "matched": (
        "on targets like SIRST v1's in other scenes",
        f"{ELSEWHERE} frames of 256×256: one to three made-up targets, areas and contrasts by the "
        "quantiles of SIRST v1's training part, where they do not exceed white, in crops of the "
        "255 target-free scenes of SIRST v2, which nothing was trained or chosen on; "
        f"{ELSEWHERE_CUTS}",
    ),
    "rebuilt": (
        "on crops like SIRST-Aug's",
        "545 crops of 256×256, five in random places around each of the 109 targets of SIRST v1's "
        "test part; images with a side below 256 are enlarged, in their own shape: our rebuilding "
        "of SIRST-Aug by its counts, not the published crops, on which nothing was trained or "
        f"chosen; {ELSEWHERE_CUTS}",
    ),
}
NAMES = {"top-hat": "top-hat", "mpcm": "MPCM", "pstnn": "PSTNN", "ipi": "IPI"}
KINDS: dict[str, tuple[str, type[Network]]] = {
    "lrpcanet": ("L-RPCANet", LRPCANet),
    "rpcanet": ("RPCANet", RPCANet),
    "two-term": ("L-RPCANet without its noise term", TwoTerm),
}

# K = 3, c = 8: 0.8 seconds a step on one CPU core. These two start from Xavier's weights, which
# leave maps dead; their runs are kept for that
_CPU = Training(steps=600, awake=False)  # made-up scenes: any machine
_SIRST = Training(data="sirst", steps=1000, awake=False)
# the paper's size: whole images, batches of 8, 400 epochs (studies: 100). The rate, the
# cross entropy, the pooled sums and an image's eight symmetries are ours; no such run is recorded
_GPU = Training(
    data="sirst", stages=6, width=32, crop=256, steps=epochs(256, 8, 400), lr=1e-3, every=64
)


# the paper's size in hours on two cores: many small crops, then whole frames, which teach what is
# no target. The order of the phases follows the validation of shorter runs of narrow networks; the
# other numbers were not searched for
_FULL = Training(
    data="sirst",
    stages=6,
    width=32,
    phases="64:8:0.68:1 128:4:0.23:0.5 256:2:0.09:0.25",
    steps=4400,
    lr=2e-3,
    warmup=50,
    average=0.99,
    precision="bf16",
    every=200,
)

# the paper's size in nine minutes of an H200 that six such trainings share, where float32's own
# convolutions (TF32) are as soon as bfloat16's: each step waits for its launches
_GPU_SHORT = replace(
    _FULL,
    phases="128:8:0.85:1 256:4:0.15:0.3",
    steps=2300,
    precision="no",
    average=0.998,
    every=100,
)


# as many steps as fitted into ten minutes of such a GPU that six shared; each is launched as one
_GPU_LONG = replace(_GPU_SHORT, steps=4000, every=250, cuda_graph=True)
# and eleven minutes more of it, which three shared
_GPU_CONTINUED = replace(_GPU_LONG, steps=7000, every=500, begin="gpu-long")
_FULL_SIZE = {"full": _FULL, "gpu-short": _GPU_SHORT, "gpu-long": _GPU_LONG}
# and on a CPU, whole frames whose masks are all shifted to the side to which the test's are. Whole
# frames by two pilots of 100 such steps, seed 0: on validation they gained 4.3 points, crops 0.9
_ALIGNED = replace(
    _FULL,
    phases="",
    crop=256,
    batch=2,
    symmetries="image",
    steps=800,
    lr=6e-4,
    warmup=20,
    average=0.98,
    every=100,
    begin="gpu-continued",
)
_WHOLE = replace(_ALIGNED, symmetries="crop")  # the same, but for the shift
_FULL_SIZE |= {"gpu-continued": _GPU_CONTINUED, "whole-frames": _WHOLE, "aligned": _ALIGNED}


def _gpu(name: str, **fields: Any) -> Training:
    """The paper's size on a set; on the large ones fewer epochs see as much."""
    count = 60 if name == "sirst-aug" else 400
    steps = epochs(SPLITS[name][0], 8, count)
    return replace(_GPU, data=name, steps=steps, every=max(steps // 200, 1), **fields)


def _on_cpu(cpu: Training, sirst: Training) -> dict[str, Training]:
    """The recipes on a CPU, and both with maps that no ReLU silences at the start.

    The last recorded one is what tables and ``evaluate`` take: until the awake ones have as many
    seeds as it needs to say which is better, they stand before "cpu-sirst".
    """
    alive = partial(replace, awake=True)
    awake = {"cpu-awake": alive(cpu), "sirst-awake": alive(sirst)}
    return {"cpu": cpu} | awake | {"cpu-sirst": sirst}


def _published(name: str, set_: str) -> dict[str, float]:
    """The printed scores of a method on a set, by our names."""
    return dict(zip(COLUMNS, PUBLISHED.get(name, {}).get(set_, ()), strict=False))


def _source(name: str, set_: str) -> str:
    if not _published(name, set_):
        return "no published figure for this protocol"
    return "Wu et al. 2024 (RPCANet)" if set_ == "sirst" else f"{PAPER}, main table"


def _learned(kind: str, set_: str) -> Experiment:
    title, network = KINDS[kind]
    recipes = {"gpu": _gpu(set_)}
    if set_ == "sirst":
        recipes = _on_cpu(_CPU, _SIRST) | _FULL_SIZE | recipes
    first = next(iter(recipes.values()))
    return Experiment(
        title=f"{title}, {set_}",
        source=_source(title, set_),
        protocol=PROTOCOL.format(SPLITS[set_][1]) + (MADE_UP if set_ == "sirst" else ""),
        published=_published(title, set_),
        build=lambda recipe=first, seed=0: build(network, recipe, seed=seed),
        measure=partial(measure, set_),
        own=OWN,
        train=train,
        recipes=recipes,
        applied="gpu-continued",  # aligned ones mark a target half a pixel beside it
        released=None if network is TwoTerm else partial(load_experiment, network),
    )


def _method(name: str, set_: str) -> Experiment:
    return Experiment(
        title=f"{NAMES[name]}, {set_}",
        source=_source(NAMES[name], set_),
        protocol=PROTOCOL.format(SPLITS[set_][1]) + (MADE_UP if set_ == "sirst" else "") + CUT,
        published=_published(NAMES[name], set_),
        measure=partial(measure_method, set_, name),
        own=OWN,
    )


def _judged() -> dict[str, tuple[str, Judged]]:
    """Recorded runs of SIRST v1 as detectors, by the names of their experiments for a place {}."""
    classical = lambda n: Judged(f"{n}-sirst", "", 0.5, partial(shares, DETECTORS[n]))
    found = {f"{name}-{{}}": (NAMES[name], classical(name)) for name in DETECTORS}
    for kind in ("lrpcanet", "rpcanet"):
        for end, recipe, told in (
            ("", "cpu-sirst", "trained on SIRST v1"),
            ("-made-up", "cpu", "trained on made-up scenes"),
            ("-full", "gpu-short", "of the paper's size, trained on SIRST v1"),
        ):
            if kind == "lrpcanet" or recipe == "cpu-sirst":  # the others' weights are not kept
                run = partial(_maps, f"{kind}-sirst", recipe)
                of = Judged(f"{kind}-sirst", recipe, 0.0, run)
                found[f"{kind}-{{}}{end}"] = (f"{KINDS[kind][0]}, {told}", of)
    return found


def _elsewhere(place: str) -> dict[str, Experiment]:
    """Recorded runs of SIRST v1 on other frames; nothing is trained or chosen there."""
    told, protocol = ELSE[place]
    return {
        name.format(place): Experiment(
            title=f"{title}, {told}",
            protocol=protocol,
            measure=partial(measure_elsewhere, place, by),
        )
        for name, (title, by) in _judged().items()
    }


def _calibration(told: str, recipe: str) -> Experiment:
    """How a recorded network's probabilities fare on made-up scenes."""
    return Experiment(
        title=f"L-RPCANet's probabilities, {told}",
        protocol=(
            f"{CALIBRATED} made-up scenes of the test seed; the temperature is chosen on "
            f"{CALIBRATED} made-up validation scenes; ece: 10 bins, all pixels; ece_found: 5 bins, "
            "pixels with a logit above 0; entropy: mean cross entropy of all pixels"
        ),
        measure=partial(measure_calibration, recipe),
    )


def _maps(name: str, recipe: str, frames: Frames) -> Tensor:
    """The logits of a recorded network, seed 0."""
    net = experiment.load(f"small_target/{name}", recipe, 0)
    return logits(net, images(frames))


def _study(
    title: str,
    network: type[Network] = LRPCANet,
    score: Any = measure,
    build_as: dict[str, Any] | None = None,
    source: str = "no published figure",
    **fields: Any,
) -> Experiment:
    """One change to L-RPCANet, on SIRST v1 with everything else equal, and fewer steps."""
    cpu, sirst = replace(_CPU, **fields), replace(_SIRST, steps=500, **fields)
    gpu = replace(_gpu("sirst", **fields), steps=epochs(256, 8, 100))
    return Experiment(
        title=title,
        source=source,
        protocol=PROTOCOL.format(SPLITS["sirst"][1]) + MADE_UP,
        build=lambda recipe=cpu, seed=0: build(network, recipe, **(build_as or {}), seed=seed),
        measure=partial(score, "sirst"),
        own=OWN,
        train=train,
        recipes=_on_cpu(cpu, sirst) | {"gpu": gpu},
    )


_ON_NUDT = f"{PAPER}, {{}}, on NUDT-SIRST: {{}} IoU; ours on SIRST v1 answers for the order alone"
_CLEAN: dict[str, Any] = {}
_QUARTER = _study("L-RPCANet with a quarter of the channels in F_D (d = c/4)", merge=2)
_NARROW = replace(
    _QUARTER, recipes={**_QUARTER.recipes, "gpu": replace(_QUARTER.recipes["gpu"], merge=8)}
)
_NOISE: dict[str, Any] = {"sigma": 25.0, "density": 0.1}

EXPERIMENTS = {
    **{f"{kind}-{s}": _learned(kind, s) for s in SPLITS for kind in ("lrpcanet", "rpcanet")},
    "two-term-sirst": _learned("two-term", "sirst"),
    **{name: e for place in ELSE for name, e in _elsewhere(place).items()},
    "calibration": _calibration("trained on made-up scenes", "cpu"),
    "calibration-elsewhere": _calibration("trained on SIRST v1", "cpu-sirst"),
    "half-pixel": Experiment(
        title="Masks without the protocol's shift, SIRST v1",
        protocol=(
            "256×256; masks resized by the pixel in the middle (nearest-exact, ⌊(i+½)h/side⌋) as "
            "the answer, those of the protocol (nearest, ⌊i·h/side⌋) as the truth; iou over all "
            "pixels, of the 86 test, 85 validation and 256 training images"
        ),
        measure=measure_shift,
    ),
    **{f"{name}-{s}": _method(name, s) for s in SPLITS for name in DETECTORS},
    **{
        f"se-{letters or 'none'}": _study(
            f"L-RPCANet, squeeze-and-excitation in {letters or 'no map'}",
            build_as={"se": letters},
            source=_ON_NUDT.format("SE ablation", table["nudt"][0]),
        )
        for letters, table in PUBLISHED_SE.items()
    },
    **{
        f"stages-{K}": _study(
            f"L-RPCANet with {K} stages",
            source=_ON_NUDT.format("stage table", table["nudt"][0]),
            stages=K,
        )
        for K, table in PUBLISHED_STAGES.items()
    },
    **{
        f"robust-{name}{'-noise' if noise else ''}": _study(
            f"{title}, trained {'with' if noise else 'without'} noise",
            network,
            measure_robust,
            source="the papers' noise levels are not published",
            **noise,
        )
        for name, title, network in (
            ("lrpcanet", "L-RPCANet", LRPCANet),
            ("two-term", "L-RPCANet without its noise term", TwoTerm),
            ("rpcanet", "RPCANet", RPCANet),
        )
        for noise in (_CLEAN, _NOISE)
    },
    "lipschitz": _study("L-RPCANet, Lipschitz constants stage by stage", score=measure_lipschitz),
    "noise-not-carried": _study(
        "L-RPCANet, N = 0 at the start of each stage, as the released code has it",
        build_as={"carry_noise": False},
    ),
    "narrow-merge": _NARROW,
}
