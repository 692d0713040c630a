"""python -m dunfold_lib: the experiments of the book from the command line.

list       every experiment: the published figure, ours, whether a GPU run is still owed
train      train a network by one of its recipes
evaluate   measure an experiment's scores now
reproduce  the table paper | ours | protocol, from recorded runs or measured again
"""

import _thread
import argparse
import inspect
import io
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from difflib import SequenceMatcher
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from tqdm.auto import tqdm

from dunfold_lib import __version__, cubes, records, training
from dunfold_lib.records import Experiment
from dunfold_lib.training import Origin

HEAD = ("experiment", "score", "paper", "ours", "GPU run owed")
ROOMS = ("sparse", "imaging", "newton_sr", "hyperspectral", "small_target")


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.splitlines()[0]}\n")


def experiments() -> dict[str, Experiment]:
    """Every experiment of the rooms that are built, by ``room/name``."""
    found: dict[str, Experiment] = {}
    for room in ROOMS:
        try:
            module = import_module(f"dunfold_lib.{room}.experiments")
        except ModuleNotFoundError as error:
            if error.name not in (f"dunfold_lib.{room}", f"dunfold_lib.{room}.experiments"):
                raise
            continue
        found |= {f"{room}/{name}": e for name, e in module.EXPERIMENTS.items()}
    return found


def pick(where: str) -> tuple[str, Experiment]:
    """The experiment of this name, or ValueError with the names that are nearest."""
    known = experiments()
    if where not in known:
        raise ValueError(f"no experiment {where!r}; the nearest are {nearest(where, known)}")
    return where, known[where]


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


def for_gpu(recipe: str) -> bool:
    """Whether a recipe of this name runs on a GPU where there is one: gpu, gpu-…"""
    return recipe.split("-")[0] == "gpu"


def owed(name: str, e: Experiment, unread: list[str] | None = None) -> str:
    """Whether a GPU run is still owed: '–' without a GPU recipe, else 'yes' or 'no'."""
    if not any(map(for_gpu, e.recipes)):
        return "–"
    runs = records.recorded(name, unread=unread)
    made = any(for_gpu(r.get("recipe_name", "")) and r.get("device") != "cpu" for r in runs)
    return "no" if made else "yes"


def ours(
    name: str, score: str, recipes: Sequence[str] = (), unread: list[str] | None = None
) -> str:
    """Our recorded score: the value of one run, or mean ± half spread over several seeds.

    Of several recipes the last one that was recorded counts, and is named; a changed recipe, under
    a name of its own, never does.
    """
    for recipe in reversed(recipes):
        if found := records.values(name, score, recipe, unread):
            return records.summary(found) + (f" ({recipe})" if len(recipes) > 1 else "")
    return records.summary([] if recipes else records.values(name, score, "", unread))


def scores_of(name: str, e: Experiment, unread: list[str] | None = None) -> list[str]:
    """The scores in an experiment's table: the published ones, else the first that we recorded."""
    runs = records.recorded(name, unread=unread)
    numbers = [k for k, v in runs[0]["scores"].items() if isinstance(v, float)] if runs else []
    return list(e.published) or numbers[:1] or ["score"]


def rows(chosen: dict[str, Experiment], unread: list[str] | None = None) -> list[list[str]]:
    """One row a published score: experiment, score, paper, ours, GPU run owed.

    unread : gets a line for each recorded run that cannot be read; without it the first one raises.
    """
    table = []
    for name, e in chosen.items():
        for score in scores_of(name, e, unread):
            paper = f"{e.published[score]:.2f}" if score in e.published else "–"
            mine = ours(name, score, [*e.recipes], unread)
            table.append([name, score, paper, mine, owed(name, e, unread)])
    return table


def show_rows(chosen: dict[str, Experiment]) -> None:
    """Print the table; recorded runs that cannot be read are named on stderr and left out."""
    unread: list[str] = []
    print(show(HEAD, rows(chosen, unread)))
    for line in dict.fromkeys(unread):
        print(f"{line}; it is left out", file=sys.stderr)


def show(head: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """A plain text table with aligned columns."""
    lines = [head, *table]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    pad = lambda line: "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
    return "\n".join([pad(head), "  ".join("─" * w for w in widths), *map(pad, table)])


def measured(
    name: str,
    e: Experiment,
    net: Any,
    seed: int,
    folder: Path | None = None,
    side: int | None = None,
) -> dict[str, Any]:
    """An experiment's scores with their protocol, and where they were measured.

    folder : the reader's own data, in the place of the experiment's.  side : pixels that its
    images are resized to, 0: not at all; None: as the experiment has it.
    """
    about = {"experiment": name, "title": e.title, "recipe_name": "–", "recipe": {}, "seed": seed}
    parameters = sum(p.numel() for p in net.parameters()) if net is not None else 0
    if folder and len(inspect.signature(e.measure).parameters) < 3:
        raise ValueError(f"{name} is measured on synthetic signals; it takes no --data")
    sized = {} if side is None else {"side": side}
    if sized and (not folder or "side" not in inspect.signature(e.measure).parameters):
        raise ValueError(f"{name}: --side is for infrared frames that --data brings")
    found = dict(e.measure(net, seed, folder, **sized) if folder else e.measure(net, seed))
    ours = f"data: {folder}; {e.title}" if folder else e.protocol
    told = {"protocol": found.pop("protocol", ours), "parameters": parameters}
    told |= {"notes": [*found.pop("notes", ())]}
    found = {score: existing(value) for score, value in found.items()}
    told |= {"absent": [score for score, value in found.items() if value is None]}
    scores = {score: value for score, value in found.items() if value is not None}
    return about | {"scores": scores} | told | records.environment()


def existing(value: Any) -> Any:
    """A score, or None in the place of every NaN and infinity: JSON has none, and they are none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: existing(part) for key, part in value.items()}
    return [existing(part) for part in value] if isinstance(value, list | tuple) else value


def trained(
    name: str,
    e: Experiment,
    recipe: str,
    seed: int,
    out: Path,
    changes: Sequence[str] = (),
    *,
    resume: bool = False,
    device: str = "",
    called: str = "",
) -> Path | None:
    """Train, measure and write one run; its folder, or None in all processes but the first.

    device : "cpu", "cuda" or "mps"; "" is the recipe's.  called : what a changed recipe is called.
    """
    if e.train is None:
        raise ValueError(f"{name} is a classical algorithm without weights; use: evaluate {name}")
    settings, called = settled(name, e, recipe, changes, called)
    device = device_for(recipe, device)
    alone = "ACCELERATE_MIXED_PRECISION" in os.environ  # started by accelerate launch
    machine = training.processes(device)
    folder, first = out / name / f"{called}-s{seed}", machine.is_main_process
    if first:
        if alone and machine.num_processes == 1:
            print(ONE_PROCESS, file=sys.stderr)
        _free(folder, Origin(settings, seed, name), resume=resume)
    net: Any = e.build(settings, seed)
    with tqdm(unit=" steps", disable=None if first else True) as bar:
        told = lambda step, loss: (
            bar.update(step + 1 - bar.n),
            bar.set_postfix(loss=f"{loss:.2f}"),
        )
        losses = e.train(net, settings, folder, seed, device, told, experiment=name)
    if not first:
        return None
    seconds, cpu = training.spent(folder)
    made = measured(name, e, net, seed) | {"recipe_name": called, "recipe": asdict(settings)}
    made |= {"device": made["device"] if device == "cuda" else device, "start_seed": seed}
    made |= {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}
    made["matrix"] = records.problem_hash(net)
    made["weights"] = records.save_weights(folder, net)
    records.save_losses(folder, losses)
    records.save(folder, made)
    return folder


ONE_PROCESS = (
    "note: accelerate launch started one process (with --cpu it starts no more); "
    "for several: torchrun --nproc_per_node=N -m dunfold_lib train …"
)


def settled(
    name: str, e: Experiment, recipe: str, changes: Sequence[str], called: str
) -> tuple[Any, str]:
    """A recipe with its changes, and its name, which no other recipe of the experiment has."""
    if recipe not in e.recipes:
        raise ValueError(f"{name} has no recipe {recipe!r}; it has {', '.join(e.recipes)}")
    settings, called = override(e.recipes[recipe], changes), called or recipe
    if not called.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError(f"--name is {called!r}; letters, digits, '-', '_' and '.' are allowed")
    if called in e.recipes and called != recipe:
        raise ValueError(f"--name is {called!r}, which is another recipe of {name}")
    return settings, called


def device_for(recipe: str, device: str) -> str:
    """The device that was asked for, or a recipe's: the GPU for gpu and gpu-…, else the CPU."""
    if not device and for_gpu(recipe) and not training.available("cuda"):
        others = " or ".join(f"--device {name}" for name in reversed(training.devices()))
        raise ValueError(f"recipe {recipe!r} needs a CUDA GPU, none is here; insist with {others}")
    return device or ("cuda" if for_gpu(recipe) else "cpu")


def _free(folder: Path, origin: Origin, *, resume: bool) -> None:
    """See, before anything is trained, that a run may and can be written here."""
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise ValueError(f"{folder} exists; go on with --resume, or remove it")
    holds_run(folder, origin)
    records.prepare(folder)


def holds_run(folder: Path, origin: Origin) -> bool:
    """Whether a folder has a measured run; ValueError in one line if that is another one."""
    path = folder / "run.json"
    if path.exists():
        origin.check(path, path.read_text(encoding="utf-8"))
    return path.exists()


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


def cmd_list(_: argparse.Namespace) -> None:
    show_rows(experiments())


def cmd_train(args: argparse.Namespace) -> None:
    name, e = pick(args.experiment)
    if args.record and e.train is not None:
        settings, called = settled(name, e, args.recipe, args.changes, args.name or "")
        if called == args.recipe and settings != e.recipes[called]:
            raise ValueError(
                f"a changed recipe is not recorded as {called!r}; give it a name with --name"
            )
        recordable(name, f"{called}-s{args.seed}", replace=args.replace)
    how = {"resume": args.resume, "device": args.device or "", "called": args.name or ""}
    folder = trained(name, e, args.recipe, args.seed, Path(args.out), args.changes, **how)
    if folder is None:
        return
    if args.record:
        records.keep(folder, records.results_root() / name / folder.name)
    tell(name, records.load(folder))


def recordable(name: str, run: str, *, replace: bool) -> None:
    """Refuse to replace a recorded run unasked."""
    path = records.results_root() / name / run / "run.json"
    if path.exists() and not replace:
        raise ValueError(f"{path.parent} is recorded; replace it with --replace")


def cmd_evaluate(args: argparse.Namespace) -> None:
    name, e = pick(args.experiment)
    if args.operator and not args.released:
        e = on_matrix(name, e, args.operator)
    net, about = network(name, e, args)
    made = (
        measured(name, e, net, args.seed or 0, Path(args.data) if args.data else None, args.side)
        | about
    )
    if args.released:
        files = " with ".join([args.released, *args.operator])
        made["protocol"] = f"released weights {files}, in the place of ours; {made['protocol']}"
    if args.json:
        print(json.dumps(made, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        tell(name, made)


def on_matrix(name: str, e: Experiment, files: Sequence[str]) -> Experiment:
    """An experiment on the reader's dictionary; its networks have no recorded weights for that."""
    if e.own is None:
        raise ValueError("--operator belongs to --released; our weights bring their operator")
    if len(files) > 1:
        raise ValueError(f"--operator was given {len(files)} files; {name} takes one matrix (m, n)")
    made = e.own(cubes.matrix(Path(files[0])))
    return replace(made, protocol=f"{made.protocol}; A: {files[0]}")


def network(name: str, e: Experiment, args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The network to evaluate, the authors' released one or ours, and whose it is."""
    if args.released:
        if args.weights or args.recipe:
            other = "--weights" if args.weights else "--recipe"
            raise ValueError(f"{other} and --released were both given; choose one network")
        if e.released is None:
            raise ValueError(f"{name} has no importer of released weights; use --weights")
        net = e.released(Path(args.released), [Path(p) for p in args.operator])
        return net, {"recipe_name": "released", "weights": {"path": args.released}}
    if not e.recipes:
        if args.weights or args.recipe:
            other = "--weights" if args.weights else "--recipe"
            raise ValueError(f"{name} is a classical algorithm; it takes no {other}")
        return None, {}
    if args.weights and args.recipe:
        raise ValueError("--weights and --recipe were both given; choose one network")
    if args.weights:
        path, why = Path(args.weights), "as given"
    elif args.operator:
        raise ValueError(f"{name} has no weights for that matrix; give them with --weights FILE")
    else:
        path, why = chosen_weights(name, e, args.recipe or "", args.seed)
    net = records.built(e, path.parent)
    records.load_weights(path, net)
    run = records.load(path.parent) if (path.parent / "run.json").exists() else {}
    if run.get("experiment", name) != name:
        why += f", trained for {run['experiment']}"
    weights = {"path": str(path), "seed": run.get("seed"), "chosen": why}
    told = {"recipe_name": run.get("recipe_name", "unknown"), "recipe": run.get("recipe", {})}
    return net, told | {"weights": weights | {"sha256": records.file_hash(path)}}


def chosen_weights(
    name: str, e: Experiment, recipe: str = "", seed: int | None = None
) -> tuple[Path, str]:
    """The recorded weights that are taken, and why.

    Of the recipe that was asked for, else of the last of the experiment's recipes that is recorded,
    which the tables show; of the seed that was asked for, else of the smallest one.
    """
    base = records.results_root() / name
    folders = lambda r: [p for p in base.glob("*/" + records.WEIGHTS) if _of(p) == r]
    if recipe and recipe not in e.recipes and not folders(recipe):
        raise ValueError(f"{name} has no recipe {recipe!r}; it has {', '.join(e.recipes)}")
    digits = lambda path: path.parent.name.rpartition("-s")[2]
    by_recipe = {
        r: {int(digits(p)): p for p in folders(r) if digits(p).isdigit()}
        for r in ([recipe] if recipe else e.recipes)
    }
    found = {r: seeds for r, seeds in by_recipe.items() if seeds}
    if not found:
        of = f" of {recipe}" if recipe else ""
        raise ValueError(f"{name} has no recorded weights{of}; train it, then use --weights FILE")
    last = [*found][-1]
    if seed in found[last]:
        return found[last][seed], f"recipe {last} of {', '.join(found)}, seed {seed}"
    smallest = min(found[last])
    why = f"recipe {last} of {', '.join(found)}, seed {smallest} of {len(found[last])} recorded"
    return found[last][smallest], why


def _of(path: Path) -> str:
    """The recipe's name in that of a run's folder."""
    return path.parent.name.rpartition("-s")[0]


def default_weights(name: str) -> Path:
    """The recorded weights of an experiment that ``evaluate`` takes."""
    return chosen_weights(*pick(name))[0]


def tell(name: str, made: dict[str, Any]) -> None:
    """Print the single scores of a run with their protocol."""
    for score, value in made["scores"].items():
        if isinstance(value, float):
            print(f"{name}  {score} {value:.3f}")
    for score in made.get("absent", ()):
        print(f"{name}  {score} does not exist for these data")
    for note in made.get("notes", ()):
        print(f"note: {note}")
    weights = made.get("weights", {})
    if "chosen" in weights:
        of = f"recipe {made['recipe_name']}, seed {weights['seed']}"
        print(f"weights: {weights['path']} ({of}; chosen: {weights['chosen']})")
    print(f"protocol: {made['protocol']}; test seed {made['seed']}")


def cmd_reproduce(args: argparse.Namespace) -> None:
    chosen = select(args.where)
    if args.recipe or args.hours:
        make_owed(chosen, args)
        return
    if args.run:
        pairs = [(name, seed) for name in chosen for seed in range(args.seeds)]
        for name, seed in pairs if args.record else ():
            recordable(name, f"cpu-s{seed}", replace=args.replace)
        records.prepare(Path(args.out))
        failed = [
            name for name, seed in pairs if not again(name, chosen[name], seed, args, made_anew)
        ]
    show_rows(chosen)
    for name, e in chosen.items():
        print(f"\n{name}: {e.title}\n  protocol: {e.protocol}\n  paper: {e.source}")
    if args.run and failed:
        raise ValueError(f"could not be measured: {', '.join(dict.fromkeys(failed))}; the rest was")


# what is trained first, where nothing else is asked for; the rest follows in the tables' order
WORTH = (
    "small_target/lrpcanet-sirst",
    "imaging/istanet-plus-25",
    "small_target/rpcanet-sirst",
    "small_target/two-term-sirst",
    "imaging/istanet-25",
    "imaging/istanet-plus-10",
)
Run = tuple[str, int]  # an experiment's name and a seed


def owed_runs(chosen: Mapping[str, Experiment], recipe: str, seeds: int) -> list[Run]:
    """The runs of a recipe that are not recorded, in order of worth: first seeds first."""
    names = [name for name, e in chosen.items() if recipe in e.recipes and e.train]
    if not names:
        known = sorted({r for e in chosen.values() for r in e.recipes})
        raise ValueError(
            f"no experiment here has a recipe {recipe!r}; they have {', '.join(known)}"
        )
    names.sort(key=lambda name: WORTH.index(name) if name in WORTH else len(WORTH))
    path = lambda name, seed: records.results_root() / name / f"{recipe}-s{seed}" / "run.json"
    every = [(name, seed) for seed in range(seeds) for name in names]
    return [run for run in every if not path(*run).exists()]


def make_owed(chosen: dict[str, Experiment], args: argparse.Namespace) -> None:
    """Train what is not recorded, one run after the other, until all are made or the time is up.

    A run that was interrupted goes on from its checkpoint, at any later start of the command.
    """
    if not (args.run and args.recipe):
        raise ValueError("--recipe and --hours belong to --run: --run --recipe NAME [--hours H]")
    runs, failed = owed_runs(chosen, args.recipe, args.seeds), list[Run]()
    records.prepare(Path(args.out))
    with _alarm(args.hours) as rung:
        try:
            while runs and not rung:
                name, seed = runs[0]
                if not again(name, chosen[name], seed, args, make_run):
                    failed.append(runs[0])
                runs.pop(0)
        except KeyboardInterrupt:
            if not rung:
                raise
    for run in runs:
        print(f"left: {told(run)}")
    if failed:
        raise ValueError(f"could not be made: {', '.join(map(told, failed))}")


def told(run: Run) -> str:
    """A run in words."""
    return f"{run[0]} seed {run[1]}"


def make_run(name: str, e: Experiment, seed: int, args: argparse.Namespace) -> None:
    """Make one run of a recipe, or go on with it; one that is made is only recorded."""
    folder = Path(args.out) / name / f"{args.recipe}-s{seed}"
    if not holds_run(folder, Origin(e.recipes[args.recipe], seed, name)):
        trained(name, e, args.recipe, seed, Path(args.out), resume=True)
    if args.record:
        records.keep(folder, records.results_root() / name / folder.name)
    print(f"made: {told((name, seed))} in {folder}", flush=True)


@contextmanager
def _alarm(hours: float | None) -> Iterator[list[bool]]:
    """Send the main thread a SIGTERM when the hours are over; then the list is full.

    Not Ctrl-C's signal, which a command in the background may ignore.
    """
    rung: list[bool] = []

    def ring() -> None:
        rung.append(True)
        _thread.interrupt_main(signal.SIGTERM)

    clock = threading.Timer((hours or 0) * 3600, ring)
    clock.daemon = True
    if hours:
        clock.start()
    try:
        yield rung
    finally:
        clock.cancel()


def again(
    name: str,
    e: Experiment,
    seed: int,
    args: argparse.Namespace,
    make: Callable[[str, Experiment, int, argparse.Namespace], None],
) -> bool:
    """Make one run; False, and a line on stderr, where that cannot be done: others still can."""
    try:
        make(name, e, seed, args)
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        print(f"{told((name, seed))}: {str(error).splitlines()[0]}", file=sys.stderr)
        return False
    return True


def made_anew(name: str, e: Experiment, seed: int, args: argparse.Namespace) -> None:
    """Make one run of an experiment anew, trained by its CPU recipe if it learns anything.

    What is in the folder is never taken for a measurement: a training goes on from its checkpoint
    if it is of this recipe, seed and experiment, else it is put aside; scores are measured anew.
    """
    folder = Path(args.out) / name / f"cpu-s{seed}"
    if e.train is None:
        begun = time.perf_counter()
        made = measured(name, e, None, seed)
        made["seconds"] = round(time.perf_counter() - begun, 3)
        records.save(folder, made | {"recipe_name": "cpu"})
    else:
        put_aside(folder, Origin(e.recipes["cpu"], seed, name))
        trained(name, e, "cpu", seed, Path(args.out), resume=True)
    if args.record:
        records.keep(folder, records.results_root() / name / folder.name)


def put_aside(folder: Path, origin: Origin) -> None:
    """Rename a run's folder, and say so, where what it holds is of another run."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    told = "its training goes on or is taken as it is, its scores are measured anew"
    try:
        holds_run(folder, origin)
        training.check_folder(folder, origin)
    except ValueError as error:
        aside = next(p for p in map(folder.with_name, _numbered(folder.name)) if not p.exists())
        folder.rename(aside)
        told = f"{error}; put aside as {aside}, and made anew"
    print(f"{folder} exists: {told}", file=sys.stderr)


def _numbered(name: str) -> Iterator[str]:
    return (f"{name}.old{i}" for i in count())


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; it must be a whole number from 0")
    return int(text)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 < hours < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; it must be hours above 0")
    return hours


def _given(text: str) -> str:
    """A file or folder; an empty one is the mark of a shell variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; is a shell variable not set?")
    return os.path.expanduser(text)


def _side(text: str) -> int:
    if text == "native":
        return 0
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no side; it must be pixels, or native")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = _Parser(prog="python -m dunfold_lib", description=(__doc__ or "").split("\n")[0])
    p.add_argument("--version", action="version", version=f"dunfold_lib {__version__}")
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, action: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(action=action)
        return sub

    add("list", cmd_list, "every experiment: published figure, ours, whether a GPU run is owed")
    train = add("train", cmd_train, "train a network by one of its recipes; field=value changes it")
    train.add_argument("experiment", metavar="ROOM/NAME")
    train.add_argument("--recipe", type=_given, default="cpu", help="cpu (default) or gpu")
    train.add_argument("--seed", type=_seed, default=0, help="seed of training and test signals")
    train.add_argument("--name", type=_given, help="what a recipe with changed fields is called")
    train.add_argument("--device", choices=("cpu", "cuda", "mps"), help="default: the recipe's")
    train.add_argument(
        "--out", type=_given, default="runs", help="folder for the run (default: runs)"
    )
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument("--record", action="store_true", help="keep the run in results/")
    train.add_argument("--replace", action="store_true", help="replace a run that is recorded")
    evaluate = add("evaluate", cmd_evaluate, "measure an experiment's scores now")
    evaluate.add_argument("experiment", metavar="ROOM/NAME")
    evaluate.add_argument(
        "--weights",
        type=_given,
        metavar="FILE",
        help="a weights.safetensors (default: of the last recipe that is recorded)",
    )
    evaluate.add_argument("--recipe", type=_given, help="the recorded weights of this recipe")
    evaluate.add_argument(
        "--released", type=_given, metavar="FILE", help="weights that the authors released"
    )
    evaluate.add_argument(
        "--operator",
        nargs="+",
        type=_given,
        default=[],
        metavar="FILE",
        help="their .npz or .mat files with phi and Qinit, or mask_matrix; for sparse recovery "
        "your own dictionary, a matrix (m, n) in a .npy, .npz, .mat or .pt file",
    )
    evaluate.add_argument("--data", type=_given, metavar="FOLDER", help="measure on your own data")
    evaluate.add_argument(
        "--side",
        type=_side,
        metavar="PIXELS",
        help="resize infrared frames of --data to this; native: leave them (default: 256)",
    )
    evaluate.add_argument(
        "--seed",
        type=_seed,
        help="seed of the test signals, and of the run whose weights are taken",
    )
    evaluate.add_argument("--json", action="store_true", help="print the whole record as JSON")
    redo = add("reproduce", cmd_reproduce, "paper | ours, from recorded runs")
    redo.add_argument("where", nargs="?", metavar="ROOM[/NAME]")
    redo.add_argument("--run", action="store_true", help="measure again, into --out")
    redo.add_argument("--seeds", type=_seed, default=3, help="how many seeds --run measures")
    redo.add_argument(
        "--recipe", type=_given, help="only train what is not recorded of this recipe"
    )
    redo.add_argument("--hours", type=_hours, help="stop in time; the same command goes on later")
    redo.add_argument("--record", action="store_true", help="keep what --run measured in results/")
    redo.add_argument("--replace", action="store_true", help="replace runs that are recorded")
    redo.add_argument(
        "--out", type=_given, default="runs", help="folder for new runs (default: runs)"
    )
    return p


SIGTERM = "SIGTERM"


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: with a line that says how to go on."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt(SIGTERM)

    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main_thread else None
    try:
        yield
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 with one line on stderr when it could not."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever the machine's code page is
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    args, extra = parser().parse_known_args(arguments)
    strange = [text for text in extra if "=" not in text or text.startswith("-")]
    if strange or (extra and args.command != "train"):
        parser().error(f"unrecognized arguments: {' '.join(strange or extra)}")
    args.changes = extra
    try:
        with _sigterm_interrupts():
            args.action(args)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        print(f"{parser().prog}: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"{parser().prog}: interrupted; a training goes on with --resume", file=sys.stderr)
        return 128 + (signal.SIGTERM if stop.args == (SIGTERM,) else signal.SIGINT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
