"""What is measured in this room. Data only; no paper prints these numbers (``published.py``)."""

from functools import partial

from dunfold_lib.experiment import Experiment
from dunfold_lib.phase.algorithm import HEAVY, PLAIN, REWEIGHTED, Constants
from dunfold_lib.phase.data import N
from dunfold_lib.phase.evaluation import TRIALS, K, measure
from dunfold_lib.phase.published import NONE
from dunfold_lib.phase.training import Training, build, train

# Stated before the runs: the network's m/n is lower by more than this, and the seeds do not overlap
BARS = {
    "50 % of trials, below reweighted flow": 0.0,
    "95 % of trials, below reweighted flow": 0.0,
    "50 % of trials, below the same with momentum": 0.0,
    "95 % of trials, below the same with momentum": 0.0,
}
WIDTHS = {"real": 1, "complex": 2}
FLOWS = {
    "plain": ("amplitude flow, 20 steps", {1: PLAIN, 2: PLAIN}),
    "reweighted": ("reweighted, 20 steps", REWEIGHTED),
    "heavy": ("reweighted, momentum, 20 steps", HEAVY),
}
RECIPES = {"real": Training(), "complex": Training(width=2, least=1.75, most=4.5, batch=8)}


def _protocol(field: str) -> str:
    return (
        f"{field} Gaussian signals, n = {N}, each with a Gaussian matrix of its own; "
        f"{TRIALS[WIDTHS[field]]} a point and seed, none seen in training; K = {K}; "
        "success: relative error up to a phase ≤ 1 %; delta_50: m/n from which half succeed"
    )


def _flow(field: str, title: str, constants: Constants) -> Experiment:
    return Experiment(
        f"{title}, {field}",
        source=NONE,
        protocol=_protocol(field),
        measure=partial(measure, width=WIDTHS[field], constants=constants),
    )


def _network(field: str) -> Experiment:
    recipe = RECIPES[field]
    return Experiment(
        f"network, 20 layers, {field}",
        source=NONE,
        protocol=_protocol(field),
        build=lambda recipe=recipe, seed=0: build(recipe, seed),
        measure=partial(measure, width=WIDTHS[field]),
        train=train,
        recipes={"cpu": recipe},
    )


EXPERIMENTS = {
    **{
        f"{name}-{field}": _flow(field, title, constants[width])
        for field, width in WIDTHS.items()
        for name, (title, constants) in FLOWS.items()
    },
    **{f"network-{field}": _network(field) for field in WIDTHS},
}
