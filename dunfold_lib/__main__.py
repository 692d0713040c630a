"""python -m dunfold_lib: the experiments of the book from the command line.

list       every experiment: the published figure, ours, whether a GPU run is still owed
train      train a network by one of its recipes
evaluate   measure an experiment's scores now
reproduce  the table paper | ours | protocol, from recorded runs or measured again
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from dunfold_lib import __version__, records
from dunfold_lib.records import Experiment

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


def owed(name: str, e: Experiment) -> str:
    """Whether a GPU run is still owed: '–' without a GPU recipe, else 'yes' or 'no'."""
    if "gpu" not in e.recipes:
        return "–"
    runs = records.recorded(name)
    made = any(r.get("recipe_name") == "gpu" and r.get("device") != "cpu" for r in runs)
    return "no" if made else "yes"


def ours(name: str, score: str) -> str:
    """Our recorded score: the value of one run, or mean ± half spread over several seeds."""
    runs = records.recorded(name)
    values = [r["scores"][score] for r in runs if score in r["scores"]]
    if not values:
        return "not measured"
    mean, spread = sum(values) / len(values), (max(values) - min(values)) / 2
    return f"{mean:.2f}" + (f" ± {spread:.2f}" if len(values) > 1 else "")


def rows(chosen: dict[str, Experiment]) -> list[list[str]]:
    """One row a published score: experiment, score, paper, ours, GPU run owed."""
    table = []
    for name, e in chosen.items():
        for score in e.published or ["–"]:
            paper = f"{e.published[score]:.2f}" if score in e.published else "–"
            table.append([name, score, paper, ours(name, score), owed(name, e)])
    return table


def show(head: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """A plain text table with aligned columns."""
    lines = [head, *table]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    pad = lambda line: "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
    return "\n".join([pad(head), "  ".join("─" * w for w in widths), *map(pad, table)])


def run(name: str, e: Experiment, seed: int) -> dict[str, Any]:
    """Measure an experiment and give its record."""
    begun = time.perf_counter()
    scores = e.measure(seed)
    seconds = round(time.perf_counter() - begun, 3)
    about = {"experiment": name, "recipe_name": "cpu", "recipe": {}, "seed": seed}
    told = {"protocol": e.protocol, "parameters": 0, "seconds": seconds}
    return about | {"scores": scores} | told | records.environment()


def cmd_list(_: argparse.Namespace) -> None:
    print(show(["experiment", "score", "paper", "ours", "GPU run owed"], rows(experiments())))


def cmd_train(args: argparse.Namespace) -> None:
    name, e = pick(args.experiment)
    raise ValueError(
        f"{name} is a classical algorithm without weights; use: evaluate {name}"
        if not e.recipes
        else f"{name} cannot be trained yet"
    )


def cmd_evaluate(args: argparse.Namespace) -> None:
    name, e = pick(args.experiment)
    made = run(name, e, args.seed)
    if args.json:
        print(json.dumps(made, indent=2, ensure_ascii=False))
        return
    single = {k: v for k, v in made["scores"].items() if not isinstance(v, list)}
    for score, value in single.items():
        print(f"{name}  {score} {value:.3f}")
    print(f"protocol: {e.protocol}; test seed {args.seed}")


def cmd_reproduce(args: argparse.Namespace) -> None:
    chosen = select(args.where)
    if args.run:
        for name, e in chosen.items():
            for seed in range(args.seeds):
                folder = Path(name) / f"cpu-s{seed}"
                made = run(name, e, seed)
                records.save(Path(args.out) / folder, made)
                if args.record:
                    records.save(records.results_root() / folder, made)
    print(show(["experiment", "score", "paper", "ours", "GPU run owed"], rows(chosen)))
    for name, e in chosen.items():
        print(f"\n{name}: {e.title}\n  protocol: {e.protocol}\n  paper: {e.source}")


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
    train = add("train", cmd_train, "train a network by one of its recipes")
    train.add_argument("experiment", metavar="ROOM/NAME")
    evaluate = add("evaluate", cmd_evaluate, "measure an experiment's scores now")
    evaluate.add_argument("experiment", metavar="ROOM/NAME")
    evaluate.add_argument("--seed", type=_seed, default=0, help="seed of the test signals")
    evaluate.add_argument("--json", action="store_true", help="print the whole record as JSON")
    again = add("reproduce", cmd_reproduce, "paper | ours, from recorded runs")
    again.add_argument("where", nargs="?", metavar="ROOM[/NAME]")
    again.add_argument("--run", action="store_true", help="measure again, into --out")
    again.add_argument("--seeds", type=_seed, default=3, help="how many seeds --run measures")
    again.add_argument("--record", action="store_true", help="keep what --run measured in results/")
    again.add_argument("--out", default="runs", help="folder for new runs (default: runs)")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 with one line on stderr when it could not."""
    args = parser().parse_args(arguments)
    try:
        args.action(args)
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        print(f"{parser().prog}: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
