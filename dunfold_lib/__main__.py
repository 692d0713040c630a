"""python -m dunfold_lib: the experiments of the book from the command line.

list       every experiment: the published figure, ours, whether a GPU run is still owed
train      train a network by one of its recipes
evaluate   measure an experiment's scores now
reproduce  the table paper | ours | protocol, from recorded runs or measured again
"""

import argparse
import inspect
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import torch
from tqdm.auto import tqdm

from dunfold_lib import __version__, records
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
    """The experiment of this name, or ValueError with the names there are."""
    known = experiments()
    if where not in known:
        raise ValueError(f"no experiment {where!r}; there are {', '.join(known)}")
    return where, known[where]


def select(where: str | None) -> dict[str, Experiment]:
    """All experiments, those of a room, or one."""
    known = experiments()
    if where is None:
        return known
    chosen = {n: e for n, e in known.items() if where in (n, n.split("/")[0])}
    if not chosen:
        raise ValueError(f"no room or experiment {where!r}; there are {', '.join(known)}")
    return chosen


def for_gpu(recipe: str) -> bool:
    """Whether a recipe of this name runs on a GPU where there is one: gpu, gpu-…"""
    return recipe.split("-")[0] == "gpu"


def owed(name: str, e: Experiment) -> str:
    """Whether a GPU run is still owed: '–' without a GPU recipe, else 'yes' or 'no'."""
    if not any(map(for_gpu, e.recipes)):
        return "–"
    runs = records.recorded(name)
    made = any(for_gpu(r.get("recipe_name", "")) and r.get("device") != "cpu" for r in runs)
    return "no" if made else "yes"


def ours(name: str, score: str, recipes: Sequence[str] = ()) -> str:
    """Our recorded score: the value of one run, or mean ± half spread over several seeds.

    Of several recipes the last one that was recorded counts, and is named.
    """
    for recipe in reversed(recipes if len(recipes) > 1 else ()):
        if found := records.values(name, score, recipe):
            return f"{records.summary(found)} ({recipe})"
    return records.summary(records.values(name, score))


def scores_of(name: str, e: Experiment) -> list[str]:
    """The scores in an experiment's table: the published ones, else the first that we recorded."""
    runs = records.recorded(name)
    numbers = [k for k, v in runs[0]["scores"].items() if isinstance(v, float)] if runs else []
    return list(e.published) or numbers[:1] or ["score"]


def rows(chosen: dict[str, Experiment]) -> list[list[str]]:
    """One row a published score: experiment, score, paper, ours, GPU run owed."""
    table = []
    for name, e in chosen.items():
        for score in scores_of(name, e):
            paper = f"{e.published[score]:.2f}" if score in e.published else "–"
            mine = ours(name, score, [*e.recipes])
            table.append([name, score, paper, mine, owed(name, e)])
    return table


def show(head: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """A plain text table with aligned columns."""
    lines = [head, *table]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    pad = lambda line: "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
    return "\n".join([pad(head), "  ".join("─" * w for w in widths), *map(pad, table)])


def measured(
    name: str, e: Experiment, net: Any, seed: int, folder: Path | None = None
) -> dict[str, Any]:
    """An experiment's scores with their protocol, and where they were measured.

    folder : the reader's own data, in the place of the experiment's.
    """
    about = {"experiment": name, "title": e.title, "recipe_name": "–", "recipe": {}, "seed": seed}
    parameters = sum(p.numel() for p in net.parameters()) if net is not None else 0
    if folder and len(inspect.signature(e.measure).parameters) < 3:
        raise ValueError(f"{name} is measured on synthetic signals; it takes no --data")
    found = dict(e.measure(net, seed, folder) if folder else e.measure(net, seed))
    ours = f"data: {folder}; {e.title}" if folder else e.protocol
    told = {"protocol": found.pop("protocol", ours), "parameters": parameters}
    told |= {"notes": [*found.pop("notes", ())]}
    told |= {"absent": [score for score, value in found.items() if value is None]}
    scores = {score: value for score, value in found.items() if value is not None}
    return about | {"scores": scores} | told | records.environment()


def trained(
    name: str,
    e: Experiment,
    recipe: str,
    seed: int,
    out: Path,
    changes: Sequence[str] = (),
    *,
    resume: bool = False,
) -> Path:
    """Train, measure and write one run; its folder."""
    if e.train is None:
        raise ValueError(f"{name} is a classical algorithm without weights; use: evaluate {name}")
    if recipe not in e.recipes:
        raise ValueError(f"{name} has no recipe {recipe!r}; it has {', '.join(e.recipes)}")
    folder = out / name / f"{recipe}-s{seed}"
    if folder.exists() and not resume:
        raise ValueError(f"{folder} exists; go on with --resume, or remove it")
    settings = override(e.recipes[recipe], changes)
    if (folder / "run.json").exists():
        path = folder / "run.json"
        Origin(settings, seed, name).check(path, path.read_text(encoding="utf-8"))
    net: Any = e.build(settings) if records.takes_recipe(e) else e.build()
    begun, cpu = time.perf_counter(), time.process_time()
    device = "cuda" if torch.cuda.is_available() and for_gpu(recipe) else "cpu"
    with tqdm(unit=" steps", disable=None) as bar:
        told = lambda step, loss: (
            bar.update(step + 1 - bar.n),
            bar.set_postfix(loss=f"{loss:.2f}"),
        )
        losses = e.train(net, settings, folder, seed, device, told, experiment=name)
    made = measured(name, e, net, seed)
    made |= {"recipe_name": recipe, "recipe": asdict(settings)}
    made |= {"device": made["device"] if device == "cuda" else "cpu"}
    made |= {"seconds": round(time.perf_counter() - begun, 1)}
    made |= {
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "matrix": records.problem_hash(net),
    }
    made["weights"] = records.save_weights(folder, net)
    records.save_losses(folder, losses)
    records.save(folder, made)
    return folder


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
    print(show(HEAD, rows(experiments())))


def cmd_train(args: argparse.Namespace) -> None:
    name, e = pick(args.experiment)
    out, changes = Path(args.out), args.changes
    folder = trained(name, e, args.recipe, args.seed, out, changes, resume=args.resume)
    if args.record:
        records.keep(folder, records.results_root() / name / folder.name)
    tell(name, records.load(folder))


def cmd_evaluate(args: argparse.Namespace) -> None:
    name, e = pick(args.experiment)
    net = network(name, e, args)
    made = measured(name, e, net, args.seed, Path(args.data) if args.data else None)
    if args.released:
        files = " with ".join([args.released, *args.operator])
        made["protocol"] = f"released weights {files}, in the place of ours; {made['protocol']}"
    if args.json:
        print(json.dumps(made, indent=2, ensure_ascii=False))
    else:
        tell(name, made)


def network(name: str, e: Experiment, args: argparse.Namespace) -> Any:
    """The network to evaluate: the authors' released one, or ours with the weights of a run."""
    if args.released:
        if args.weights:
            raise ValueError("--weights and --released were both given; choose one network")
        if e.released is None:
            raise ValueError(f"{name} has no importer of released weights; use --weights")
        return e.released(Path(args.released), [Path(p) for p in args.operator])
    if args.operator:
        raise ValueError("--operator belongs to --released; our weights bring their operator")
    if not e.recipes:
        return None
    path = Path(args.weights) if args.weights else default_weights(name)
    net = records.built(e, path.parent)
    records.load_weights(path, net)
    return net


def tell(name: str, made: dict[str, Any]) -> None:
    """Print the single scores of a run with their protocol."""
    for score, value in made["scores"].items():
        if isinstance(value, float):
            print(f"{name}  {score} {value:.3f}")
    for score in made.get("absent", ()):
        print(f"{name}  {score} does not exist for these data")
    for note in made.get("notes", ()):
        print(f"note: {note}")
    print(f"protocol: {made['protocol']}; test seed {made['seed']}")


def default_weights(name: str) -> Path:
    """The first recorded weights of an experiment."""
    found = sorted((records.results_root() / name).glob("*/weights.safetensors"))
    if not found:
        raise ValueError(f"{name} has no recorded weights; train it, then use --weights FILE")
    return found[0]


def cmd_reproduce(args: argparse.Namespace) -> None:
    chosen = select(args.where)
    if args.run:
        for name, e in chosen.items():
            for seed in range(args.seeds):
                again(name, e, seed, args)
    print(show(HEAD, rows(chosen)))
    for name, e in chosen.items():
        print(f"\n{name}: {e.title}\n  protocol: {e.protocol}\n  paper: {e.source}")


def again(name: str, e: Experiment, seed: int, args: argparse.Namespace) -> None:
    """Make one run of an experiment anew, trained by its CPU recipe if it learns anything."""
    folder = Path(args.out) / name / f"cpu-s{seed}"
    if e.train is None:
        begun = time.perf_counter()
        made = measured(name, e, None, seed)
        made["seconds"] = round(time.perf_counter() - begun, 3)
        records.save(folder, made | {"recipe_name": "cpu"})
    elif not (folder / "run.json").exists():
        trained(name, e, "cpu", seed, Path(args.out), resume=True)
    if args.record:
        records.keep(folder, records.results_root() / name / folder.name)


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; it must be a whole number from 0")
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
    train.add_argument("--recipe", default="cpu", help="cpu (default) or gpu")
    train.add_argument("--seed", type=_seed, default=0, help="seed of training and test signals")
    train.add_argument("--out", default="runs", help="folder for the run (default: runs)")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument("--record", action="store_true", help="keep the run in results/")
    evaluate = add("evaluate", cmd_evaluate, "measure an experiment's scores now")
    evaluate.add_argument("experiment", metavar="ROOM/NAME")
    evaluate.add_argument("--weights", help="a weights.safetensors (default: the recorded one)")
    evaluate.add_argument("--released", metavar="FILE", help="weights that the authors released")
    evaluate.add_argument(
        "--operator",
        nargs="+",
        default=[],
        metavar="FILE",
        help="their .npz or .mat files with phi and Qinit, or mask_matrix",
    )
    evaluate.add_argument("--data", metavar="FOLDER", help="measure on your own data")
    evaluate.add_argument("--seed", type=_seed, default=0, help="seed of the test signals")
    evaluate.add_argument("--json", action="store_true", help="print the whole record as JSON")
    redo = add("reproduce", cmd_reproduce, "paper | ours, from recorded runs")
    redo.add_argument("where", nargs="?", metavar="ROOM[/NAME]")
    redo.add_argument("--run", action="store_true", help="measure again, into --out")
    redo.add_argument("--seeds", type=_seed, default=3, help="how many seeds --run measures")
    redo.add_argument("--record", action="store_true", help="keep what --run measured in results/")
    redo.add_argument("--out", default="runs", help="folder for new runs (default: runs)")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 with one line on stderr when it could not."""
    args, extra = parser().parse_known_args(arguments)
    strange = [text for text in extra if "=" not in text or text.startswith("-")]
    if strange or (extra and args.command != "train"):
        parser().error(f"unrecognized arguments: {' '.join(strange or extra)}")
    args.changes = extra
    try:
        args.action(args)
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        print(f"{parser().prog}: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser().prog}: interrupted; a training goes on with --resume", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
