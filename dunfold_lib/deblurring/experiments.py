"""What is measured in this room. Data only; no paper prints these numbers (``published.py``)."""

from dataclasses import replace
from functools import partial

from dunfold_lib.deblurring.evaluation import Restore, as_seen, measure, six_steps, solved
from dunfold_lib.deblurring.published import NONE
from dunfold_lib.deblurring.training import Training, build, train
from dunfold_lib.experiment import Experiment

# Stated before the runs, for the mean over three seeds on the test photographs, in dB
BARS = {
    "prox over six steps": 1.0,
    "prox over the solved problem": 0.0,
    "steps alone over six steps": 0.1,
}
PROTOCOL = (
    "camera, chelsea, coffee of scikit-image at half size; periodic Gaussian blur of 1.6 pixels, "
    "noise 0.01 of the run's seed; PSNR in dB, clipped, not rounded; mean over images"
)
_ours = partial(Experiment, source=NONE, protocol=PROTOCOL)

_CPU = Training()


def _method(title: str, restore: Restore) -> Experiment:
    return _ours(title, measure=partial(measure, restore=restore))


def _network(title: str, recipe: Training) -> Experiment:
    return _ours(
        title,
        build=lambda recipe=recipe, seed=0: build(recipe, seed),
        measure=measure,
        train=train,
        recipes={"cpu": recipe},
    )


EXPERIMENTS = {
    "seen": _method("as seen", as_seen),
    "tv-6": _method("total variation, six steps", six_steps),
    "tv": _method("total variation, solved", solved),
    "steps": _network("steps and weights, six layers", _CPU),
    "filters": _network("and filters", replace(_CPU, pairs=3)),
    "prox": _network("and a residual after the prox", replace(_CPU, pairs=3, width=8)),
}
