"""An experiment: one row of a table, its recipe, and how to build, train, measure and load it.

e = find("sparse/alista-ss")                   an Experiment
run = plan("sparse/alista-ss", "cpu", seed=1)  a Run: what is to be trained, and where it goes
train(run)                                     trains, measures and saves it
measure("sparse/alista-ss", net)               scores with their protocol
load("sparse/alista-ss")                       the network with its recorded weights
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from difflib import SequenceMatcher
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from dunfold_lib import ROOMS, checkpoints, processes, records
from dunfold_lib.checkpoints import Origin
from dunfold_lib.description import Experiment as Experiment
from dunfold_lib.description import existing
from dunfold_lib.training import Context

ONE_PROCESS = (
    "note: accelerate launch started one process (with --cpu it starts no more); "
    "for several: torchrun --nproc_per_node=N -m dunfold_lib train …"
)


def experiments(rooms: Sequence[str] = ROOMS) -> dict[str, Experiment]:
    """Every experiment of rooms by ``room/name``."""
    found: dict[str, Experiment] = {}
    for room in (r for r in ROOMS if r in rooms):
        module = import_module(f"dunfold_lib.{room}.experiments")
        found |= {f"{room}/{name}": e for name, e in module.EXPERIMENTS.items()}
    return found


def find(name: str) -> Experiment:
    """The experiment ``room/name``, or ValueError with the names that are nearest."""
    if name in (known := experiments(name.split("/")[:1])):
        return known[name]
    raise ValueError(f"no experiment {name!r}; the nearest are {nearest(name, experiments())}")


def select(where: str | None) -> dict[str, Experiment]:
    """All experiments, those of a room, or one."""
    known = experiments()
    if where is None:
        return known
    chosen = {n: e for n, e in known.items() if where in (n, n.split("/")[0])}
    if not chosen:
        near = nearest(where, [*{n.split("/")[0]: 0 for n in known}, *known])
        raise ValueError(f"no room or experiment {where!r}; the nearest are {near}")
    return chosen


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """The names that are most like this one, with or without their room."""
    like = lambda u, v: SequenceMatcher(None, u.lower(), v.lower()).ratio()
    bare = lambda n: n.split("/")[-1]
    by = lambda n: max(like(name, n), like(bare(name), bare(n)))
    return ", ".join(sorted(known, key=by, reverse=True)[:count])


# recipes and runs


class Run(NamedTuple):
    """One training: of which experiment, by which recipe, from which seed, and where it goes."""

    name: str  # room/name
    recipe_name: str
    recipe: Any
    seed: int = 0
    out: Path = Path("runs")
    on: str = ""  # of a reader's own dictionary the sha256; "": the experiment's

    @property
    def folder(self) -> Path:
        where = f"-on-{self.on[:8]}" if self.on else ""
        return self.out / self.name / f"{self.recipe_name}{where}-s{self.seed}"

    @property
    def origin(self) -> Origin:
        trained_for = f"{self.name} on {self.on}" if self.on else self.name
        return Origin(self.recipe, self.seed, trained_for)

    @property
    def recorded(self) -> Path:
        """The folder that it has among the committed results."""
        return records.results_root() / self.name / self.folder.name


def plan(
    name: str,
    recipe: str = "cpu",
    changes: Sequence[str] = (),
    called: str = "",
    seed: int = 0,
    out: Path = Path("runs"),
) -> Run:
    """A run by one of an experiment's recipes, with changes ``field=value``.

    called : what a changed recipe is called; no other recipe of the experiment has that name.
    """
    e, called = find(name), called or recipe
    if e.train is None:
        raise ValueError(f"{name} is a classical algorithm without weights; use: evaluate {name}")
    if recipe not in e.recipes:
        raise ValueError(f"{name} has no recipe {recipe!r}; it has {', '.join(e.recipes)}")
    if not called.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError(f"--name is {called!r}; letters, digits, '-', '_' and '.' are allowed")
    if called in e.recipes and called != recipe:
        raise ValueError(f"--name is {called!r}, which is another recipe of {name}")
    return Run(name, called, override(e.recipes[recipe], changes), seed, out)


def override(recipe: Any, changes: Sequence[str]) -> Any:
    """A recipe with fields replaced by ``field=value``; only existing fields, of the same type."""
    known = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in known:
            raise ValueError(f"{change!r}: the recipe has the fields {', '.join(known)}")
        kind = type(known[name])
        try:
            value = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError):
            raise ValueError(f"{change!r}: {name} must be of type {kind.__name__}") from None
        recipe = replace(recipe, **{name: value})
    return recipe


def for_gpu(recipe: str) -> bool:
    """Whether a recipe of this name runs on a GPU where there is one: gpu, gpu-…"""
    return recipe.split("-")[0] == "gpu"


def device_for(recipe: str, device: str = "") -> str:
    """The device that was asked for, or a recipe's: the GPU for gpu and gpu-…, else the CPU."""
    if not device and for_gpu(recipe) and not processes.available("cuda"):
        others = " or ".join(f"--device {name}" for name in reversed(processes.devices()))
        raise ValueError(f"recipe {recipe!r} needs a CUDA GPU, none is here; insist with {others}")
    return device or ("cuda" if for_gpu(recipe) else "cpu")


def is_made(run: Run) -> bool:
    """Whether a run's folder has its scores; ValueError in one line if they are another run's."""
    path = run.folder / "run.json"
    if path.exists():
        run.origin.check(path, path.read_text(encoding="utf-8"))
    return path.exists()


# training


def train(run: Run, e: Experiment | None = None, *, resume: bool = False, device: str = "") -> bool:
    """Train, measure and save a run in its folder; False in all processes but the first.

    e : the experiment where it is not the one of that name.
    device : "cpu", "cuda" or "mps"; "" is the recipe's. ValueError where the folder has a run, or
    with ``resume`` where it has another one.
    """
    e, device = e or find(run.name), device_for(run.recipe_name, device)
    machine = processes.processes(device)
    first = bool(machine.is_main_process)
    if first:
        if "ACCELERATE_MIXED_PRECISION" in os.environ and machine.num_processes == 1:
            print(ONE_PROCESS, file=sys.stderr)  # it was started by accelerate launch
        _prepare(run, resume=resume)
    net: Any = e.build(run.recipe, run.seed)
    assert e.train is not None
    with tqdm(unit=" steps", disable=None if first else True) as bar:

        def watch(step: int, loss: float) -> None:
            bar.update(step + 1 - bar.n)
            bar.set_postfix(loss=f"{loss:.2f}")

        context = Context(run.folder, run.seed, device, watch, experiment=run.origin.experiment)
        losses = e.train(net, run.recipe, context)
    if first:
        _save(run, e, net, losses, device)
    return first


def _prepare(run: Run, *, resume: bool) -> None:
    """See, before anything is trained, that a run may and can be written in its folder."""
    if run.folder.exists() and any(run.folder.iterdir()) and not resume:
        raise ValueError(f"{run.folder} exists; go on with --resume, or remove it")
    is_made(run)
    records.prepare(run.folder)


def _save(run: Run, e: Experiment, net: Any, losses: list[float], device: str) -> None:
    """Measure what was trained, and write it."""
    seconds, cpu = checkpoints.spent(run.folder)
    result = measure(run.name, net, run.seed, e)
    result |= {"experiment": run.origin.experiment}
    result |= {"recipe_name": run.recipe_name, "recipe": asdict(run.recipe)}
    result |= {"device": result["device"] if device == "cuda" else device, "start_seed": run.seed}
    result |= {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}
    records.save_run(run.folder, result, net, losses)


# measuring


def measure(
    name: str, net: Any, seed: int = 0, e: Experiment | None = None, **own: Any
) -> dict[str, Any]:
    """An experiment's scores with their protocol, and where they were measured.

    e : the experiment where it is not the one of that name, but a reader's form of it.
    own : ``folder``, a reader's data in the place of the experiment's; ``side``, pixels that its
    images are resized to, 0: not at all.
    """
    e = e or find(name)
    if own.get("folder") and "folder" not in e.own:
        raise ValueError(f"{name} takes no --data; it is measured on: {e.protocol}")
    if "side" in own and not (own.get("folder") and "side" in e.own):
        raise ValueError(f"{name}: --side is for infrared frames that --data brings")
    parameters = sum(p.numel() for p in net.parameters()) if net is not None else 0
    found = dict(e.measure(net, seed, **own))
    protocol = f"data: {own['folder']}; {e.title}" if own.get("folder") else e.protocol
    about = {"experiment": name, "title": e.title, "recipe_name": "–", "recipe": {}, "seed": seed}
    said = {"protocol": found.pop("protocol", protocol), "parameters": parameters}
    said |= {"notes": [*found.pop("notes", ())]}
    found = {score: existing(value) for score, value in found.items()}
    said |= {"absent": [score for score, value in found.items() if value is None]}
    scores = {score: value for score, value in found.items() if value is not None}
    return about | {"scores": scores} | said | records.environment()


# recorded networks


def build(e: Experiment, folder: Path) -> Any:
    """The untrained network of a run's folder, of that run's recipe where it decides the size.

    A field that the run does not know had its default: it was made before there was one.
    """
    made = records.load(folder) if (folder / "run.json").exists() else {}
    recipe = e.recipes.get(made.get("recipe_name", "cpu"), next(iter(e.recipes.values()), None))
    if not made.get("recipe") or recipe is None:
        return e.build()
    return e.build(as_recipe(type(recipe), made["recipe"]))


def as_recipe(kind: type[Any], made: Mapping[str, Any]) -> Any:
    """A run's recipe as it stands in run.json, of a class; fields that it has no more are left
    out."""
    known = {f.name for f in fields(kind)}
    return kind(**{name: value for name, value in made.items() if name in known})


def load(name: str, recipe: str = "", seed: int | None = None) -> Any:
    """The network of an experiment ``room/name`` with recorded weights, ready to use.

    recipe, seed : of the run; by default those that ``weights_of`` chooses.
    """
    return load_from(name, asked_for(name, recipe, seed)[0])


def asked_for(name: str, recipe: str = "", seed: int | None = None) -> tuple[Path, str]:
    """``weights_of``, of no other seed than the one that was asked for."""
    path, why = weights_of(name, recipe, seed)
    if seed is not None and not path.parent.name.endswith(f"-s{seed}"):
        raise ValueError(f"{name} has no recorded weights of seed {seed}; it has {why}")
    return path, why


def load_from(name: str, path: Path, e: Experiment | None = None) -> Any:
    """The network of an experiment (or of a reader's form of it) with the weights of a file."""
    net = build(e or find(name), path.parent)
    if net is None:
        raise ValueError(f"{name} is a classical algorithm; it has no weights")
    records.load_weights(path, net)
    return net.eval()


def weights_of(name: str, recipe: str = "", seed: int | None = None) -> tuple[Path, str]:
    """The recorded weights that are taken, and why.

    Of the recipe that was asked for, else of the one that the experiment says is ``applied``, else
    of the last of its recipes that is recorded, which the tables show; of the seed that was asked
    for, else of the smallest one.
    """
    e = find(name)
    if not e.recipes:
        raise ValueError(f"{name} is a classical algorithm; it has no weights")
    asked = [recipe] if recipe else [*e.recipes]
    found = recorded_weights(name, asked)
    if recipe and recipe not in e.recipes and not found:
        raise ValueError(f"{name} has no recipe {recipe!r}; it has {', '.join(e.recipes)}")
    if not found:
        for r in reversed(asked):
            _refuse_unkept(name, r, seed or 0)
        of = f" of {recipe}" if recipe else ""
        raise ValueError(f"{name} has no recorded weights{of}; train it, then use --weights FILE")
    last = e.applied if e.applied in found else [*found][-1]
    if seed not in (None, *found[last]):
        _refuse_unkept(name, last, seed)
    if seed in found[last]:
        return found[last][seed], f"recipe {last} of {', '.join(found)}, seed {seed}"
    smallest = min(found[last])
    why = f"recipe {last} of {', '.join(found)}, seed {smallest} of {len(found[last])} recorded"
    return found[last][smallest], why


def first_recorded(names: Iterable[str], recipes: Iterable[str]) -> str:
    """The first of these recipes by which all experiments have weights of seed 0, or ""."""
    files = lambda name, recipe: recorded_weights(name, [recipe]).get(recipe, {})
    there = lambda *of: 0 in files(*of) and records.at_hand(files(*of)[0])
    return next((r for r in recipes if all(there(name, r) for name in names)), "")


def recorded_weights(name: str, recipes: Iterable[str]) -> dict[str, dict[int, Path]]:
    """{recipe: {seed: file}} of an experiment's recorded weights, in the recipes' order.

    Of an installed package some are no files yet: ``records.weights_file``.
    """
    found: dict[str, dict[int, Path]] = {recipe: {} for recipe in recipes}
    root = records.results_root()
    away = [root / run / records.WEIGHTS for run in records.elsewhere()]
    here = (root / name).glob("*/" + records.WEIGHTS)
    for path in (*here, *(p for p in away if p.parent.parent == root / name)):
        recipe, _, seed = path.parent.name.rpartition("-s")
        if recipe in found and seed.isdigit():
            found[recipe][int(seed)] = path
    return {recipe: seeds for recipe, seeds in found.items() if seeds}


def _refuse_unkept(name: str, recipe: str, seed: int | None) -> None:
    """Say how weights are made whose run is recorded without them."""
    if (records.results_root() / name / f"{recipe}-s{seed}/run.json").exists():
        command = f"python -m dunfold_lib train {name} --recipe {recipe} --seed {seed}"
        raise ValueError(f"{recipe}-s{seed} of {name} is recorded without weights; make: {command}")
