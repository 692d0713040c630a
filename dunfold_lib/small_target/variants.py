"""One's own variants of the room's networks: their switches as fields of a recipe."""

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dunfold_lib import checks, records
from dunfold_lib.experiment import Experiment, as_recipe
from dunfold_lib.small_target import evaluation, training
from dunfold_lib.small_target.experiments import EXPERIMENTS, KINDS
from dunfold_lib.small_target.model import Network
from dunfold_lib.small_target.published import PUBLISHED_SE, SETS

TITLES = {"sirst": "SIRST v1", **SETS}
LABELS = {  # what the fields say in a form
    "data": "trained on",
    "stages": "stages K",
    "width": "channels c",
    "neck": "bottleneck b",
    "noise_layers": "layers of F_N, n_N",
    "merge": "channels of F_D, d",
    "positive": "around targets",
    "awake": "awake start",
    "end": "last rate / first",
    "warmup": "warm-up",
    "symmetries": "symmetries act on",
    "se": "SE in",
    "carry_noise": "carry N",
}
UNUSED = {  # fields that mean nothing to a network
    "rpcanet": ("neck", "noise_layers", "merge", "se", "carry_noise"),
    "two-term": ("noise_layers", "carry_noise"),
}


@dataclass(frozen=True, kw_only=True)
class Switched(training.Training):
    """A recipe, and what of the network is switched on.

    se : the maps with squeeze-and-excitation, letters of BTND.  carry_noise : whether N goes from
    stage to stage; as in ``model.LRPCANet``.
    """

    se: str = "BTND"
    carry_noise: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        letters = "".join(letter for letter in "BTND" if letter in self.se.upper())
        if letters != self.se:
            raise ValueError(f"se is {self.se!r}; it must be letters of BTND, in this order")
        checks.one_of("carry_noise", self.carry_noise, (True, False))


def build(name: str, recipe: Switched, seed: int = 0) -> Network:
    """A fresh network of a kind of ``experiments.KINDS``."""
    return training.build(KINDS[name][1], recipe, recipe.se, recipe.carry_noise, seed)


def sources() -> list[tuple[str, str]]:
    """(what a menu says, name) of everything to train on."""
    said = lambda name: "" if here(name) else " (not here)"
    names = {"synthetic": "made-up scenes", "injected": "injected targets"} | TITLES
    return [(title + said(name), name) for name, title in names.items()]


def here(name: str) -> bool:
    """Whether the data folder holds what is needed."""
    return name == "synthetic" or training.files_of(name) is not None


def variant(name: str, on: str = "sirst") -> Experiment:
    """The book's experiment on a set, with the switches among the fields of its recipes."""
    kind = "lrpcanet" if f"{name}-{on}" not in EXPERIMENTS else name
    e = EXPERIMENTS[f"{kind}-{on}"]
    made = {n: Switched(**asdict(r)) for n, r in e.recipes.items()}
    e = replace(e, title=f"{KINDS[name][0]}, {on}", recipes=made, build=partial(build, name))
    return e if kind == name else replace(e, published={}, source="none")


def like(name: str, recipe: Switched) -> tuple[str, Experiment]:
    """The book's experiment with this network on this set, else a variant of one."""
    on = recipe.data if recipe.data in TITLES else "sirst"
    e, known = variant(name, on), _known(name, recipe, on)
    book = EXPERIMENTS.get(known)
    if book is None:
        title = f"{KINDS[name][0]}, {known.partition('-')[2]}"
        return known, replace(e, title=title, published={}, source="none")
    about = replace(book, recipes=e.recipes, build=e.build)  # without the studies' extra scores
    return known, replace(about, measure=partial(evaluation.measure, on))


def _known(name: str, recipe: Switched, on: str) -> str:
    """The name of the book's experiment of these switches, or a new one."""
    se, carried = recipe.se, recipe.carry_noise or name != "lrpcanet"
    if name == "rpcanet" or (carried and se == "BTND"):
        return f"{name}-{on}"
    if on == "sirst" and name == "two-term" and se == "BTD":
        return "robust-two-term"
    if on == "sirst" and name == "lrpcanet" and carried and se in PUBLISHED_SE:
        return f"se-{se or 'none'}"
    if on == "sirst" and name == "lrpcanet" and se == "BTND":
        return "noise-not-carried"
    return "-".join([name, on, f"se-{se or 'none'}", *["not-carried"] * (not carried)])


def rebuilt(folder: Path) -> Network | None:
    """The untrained network of a run that was made here; None for any other."""
    run = records.load(folder) if (folder / "run.json").exists() else {}
    made: dict[str, Any] = run.get("recipe", {})
    if "carry_noise" not in made:
        return None
    recipe = as_recipe(Switched, made)
    name = str(run.get("experiment", "")).rpartition("/")[2]
    kind = (
        "two-term" if "two-term" in name else "rpcanet" if "-rpcanet" in f"-{name}" else "lrpcanet"
    )
    return build(kind, recipe)
