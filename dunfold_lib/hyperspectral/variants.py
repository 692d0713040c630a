"""One's own variants of the room's networks: their switches as fields of a recipe."""

from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from dunfold_lib import fetch, records
from dunfold_lib.experiment import Experiment, as_recipe
from dunfold_lib.hyperspectral import evaluation, training
from dunfold_lib.hyperspectral.experiments import EXPERIMENTS, SPARSE, WHITE
from dunfold_lib.hyperspectral.model import SMDSNet, STARNet, STARNetPaper, STARNetS, Sweeps

KINDS: dict[str, type[Sweeps]] = {
    "star": STARNet,
    "smds": SMDSNet,
    "star-s": STARNetS,
    "star-paper": STARNetPaper,
}
UNUSED = {  # fields that mean nothing to a network
    "smds": ("blend", "low_rank", "procrustes"),
    "star-paper": ("blend", "low_rank", "thresholds"),
}


@dataclass(frozen=True, kw_only=True)
class Switched(training.Training):
    """A recipe, and what of the network is switched on.

    blend, low_rank, mixed, side, r : as in ``model.STARNet``.
    procrustes : in how many of the last layers A moves, at most in all.
    """

    blend: bool = True
    low_rank: bool = True
    procrustes: int = 1
    mixed: bool = False
    side: int = 9
    r: int = 9


LABELS = {  # what the fields say in a form
    "data": "trained on",
    "layers": "layers K",
    "thresholds": "thresholds, one a",
    "low": "σ from",
    "high": "to",
    "sparse": "sparse noise",
    "whole": "all bands",
    "patch": "crop",
    "end": "last rate, of it",
    "clip": "largest gradient",
    "blend": "G in every layer",
    "low_rank": "SVT",
    "procrustes": "A moves in",
    "mixed": "D3 from DCT",
    "side": "patch side p",
    "r": "eigen-images r",
}
SWITCHES = ("blend", "low_rank", "procrustes", "mixed", "side", "r")


def build(name: str, recipe: Switched, seed: int = 0) -> Sweeps:
    """A fresh network of a kind of ``KINDS``; what means nothing to it is left out."""
    chosen = {n: getattr(recipe, n) for n in SWITCHES if n not in UNUSED.get(name, ())}
    if "procrustes" in chosen:
        chosen["procrustes"] = min(recipe.procrustes, recipe.layers)
    return training.build(KINDS[name], recipe, **chosen)


def _variant(name: str) -> Experiment:
    """The book's experiment on this network, with the switches among the fields of its recipes."""
    e = EXPERIMENTS[name]
    first = {"star-s": e.recipes["cpu"].layers, "smds": 0}.get(name, 1)
    made = {n: Switched(**asdict(r), procrustes=first) for n, r in e.recipes.items()}
    return replace(e, recipes=made, build=partial(build, name))


def sources() -> list[tuple[str, str]]:
    """(what a menu says, name) of everything to train on."""
    here = lambda name: name in training.WHEEL or fetch.folder(f"hsi/{name}")
    names = (*training.WHEEL, *training.FOLDERS)
    return [(name if here(name) else f"{name} (not here)", name) for name in names]


VARIANTS = {name: _variant(name) for name in KINDS}


def _form(net: Any) -> tuple[Any, ...]:
    """What tells one network from another, but for its weights."""
    shapes = tuple((name, tuple(p.shape)) for name, p in net.named_parameters())
    return type(net), net.procrustes, net.mixed, net.side, shapes


@cache
def _known() -> dict[str, tuple[Any, ...]]:
    """The book's networks, and what their losses see."""
    return {
        n: (_form(e.build()), _loss(e.recipes["cpu"])) for n, e in EXPERIMENTS.items() if e.recipes
    }


def _loss(recipe: training.Training) -> tuple[Any, ...]:
    return recipe.sparse, recipe.whole, recipe.loss


def like(name: str, recipe: Switched) -> tuple[str, Experiment]:
    """The book's experiment with this network and loss, else one of its kind, built by the
    recipe."""
    e, net = VARIANTS[name], build(name, recipe)
    for known, form in _known().items():
        if form == (_form(net), _loss(recipe)):
            book = EXPERIMENTS[known]
            return known, replace(book, recipes=e.recipes, build=e.build)
    measure = evaluation.measure_sparse if recipe.sparse else evaluation.measure
    title, protocol = f"{type(net).__name__}, switched", SPARSE if recipe.sparse else WHITE
    return name, replace(e, title=title, protocol=protocol, measure=measure)


def rebuilt(folder: Path) -> Sweeps | None:
    """The untrained network of a run that was made here; None for any other."""
    run = records.load(folder) if (folder / "run.json").exists() else {}
    name, made = str(run.get("experiment", "")).rpartition("/")[2], run.get("recipe", {})
    if "low_rank" not in made or name not in EXPERIMENTS:
        return None
    kind = next(n for n, c in KINDS.items() if type(EXPERIMENTS[name].build()) is c)
    return build(kind, as_recipe(Switched, made))
