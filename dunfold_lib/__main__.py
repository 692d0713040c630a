"""python -m dunfold_lib: the experiments of the book from the command line.

list       every experiment: the published figure, ours, whether a GPU run is still owed
train      train a network by one of its recipes
evaluate   measure an experiment's scores now
models     every network with recorded weights
run        apply a recorded network to files of your own
reproduce  the table paper | ours | protocol, from recorded runs or measured again
new        the skeleton of a room of your own, with tests that say what to write next
exercises  the book's exercises as files that a student fills in, with their tests
"""

import argparse
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dunfold_lib import (
    __version__,
    cubes,
    download,
    exercises,
    experiment,
    inference,
    options,
    records,
    reproduce,
    skeleton,
    tables,
)
from dunfold_lib.experiment import Experiment, Run
from dunfold_lib.options import Parser, of_evaluate, of_new, of_reproduce, of_run, of_train


def cmd_list(_: argparse.Namespace) -> None:
    tables.report(experiment.experiments())


def cmd_train(args: argparse.Namespace) -> None:
    name, out = args.experiment, Path(args.out)
    run = experiment.plan(name, args.recipe, args.changes, args.name or "", args.seed, out)
    e = experiment.find(name)
    if args.operator:
        if args.record:
            raise ValueError(
                "--record keeps what readers can make again; a run on --operator is not"
            )
        e = _on_matrix(name, e, [args.operator])
        run = run._replace(on=download.digest(Path(args.operator)))
    if args.record:
        if run.recipe != e.recipes.get(run.recipe_name, run.recipe):
            raise ValueError(
                f"a changed recipe is not recorded as {run.recipe_name!r}; "
                "give it a name with --name"
            )
        _recordable(run, replace=args.replace)
    if not experiment.train(run, e, resume=args.resume, device=args.device or ""):
        return
    if args.record:
        records.keep(run.folder, run.recorded)
    _report(name, records.load(run.folder))


def _recordable(run: Run, *, replace: bool) -> None:
    """Refuse to replace a recorded run unasked, or to record into an installed package."""
    records.check_recordable()
    if (run.recorded / "run.json").exists() and not replace:
        raise ValueError(f"{run.recorded} is recorded; replace it with --replace")


def cmd_evaluate(args: argparse.Namespace) -> None:
    name, e = args.experiment, experiment.find(args.experiment)
    if args.operator and not args.released:
        e = _on_matrix(name, e, args.operator)
    net, about = _network(name, e, args)
    own = {"folder": Path(args.data)} if args.data else {}
    own |= {} if args.side is None else {"side": args.side}
    result = experiment.measure(name, net, args.seed or 0, e, **own) | about
    if args.released:
        files = " with ".join([args.released, *args.operator])
        ours = result["protocol"]
        result["protocol"] = f"released weights {files}, in the place of ours; {ours}"
    if args.json:
        print(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _report(name, result)


def _on_matrix(name: str, e: Experiment, files: Sequence[str]) -> Experiment:
    """An experiment on the reader's dictionary; its networks have no recorded weights for that."""
    if e.on_matrix is None:
        raise ValueError(
            f"{name} takes no matrix; --operator is for sparse recovery, or --released"
        )
    if len(files) > 1:
        raise ValueError(f"--operator was given {len(files)} files; {name} takes one matrix (m, n)")
    on_it = e.on_matrix(cubes.matrix(Path(files[0])))
    return replace(on_it, protocol=f"{on_it.protocol}; A: {files[0]}")


def _network(name: str, e: Experiment, args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The network to evaluate, the authors' released one or ours, and whose it is."""
    given = [f"--{word}" for word in ("weights", "recipe", "released") if getattr(args, word)]
    if args.released:
        if len(given) > 1:
            raise ValueError(f"{given[0]} and --released were both given; choose one network")
        if e.released is None:
            raise ValueError(f"{name} has no importer of released weights; use --weights")
        net = e.released(Path(args.released), [Path(p) for p in args.operator])
        return net, {"recipe_name": "released", "weights": {"path": args.released}}
    if not e.recipes:
        if given:
            raise ValueError(f"{name} is a classical algorithm; it takes no {given[0]}")
        return None, {}
    if len(given) > 1:
        raise ValueError("--weights and --recipe were both given; choose one network")
    if args.operator and not args.weights:
        raise ValueError(f"{name} has no weights for that matrix; give them with --weights FILE")
    path, why = Path(args.weights or ""), "as given"
    if not args.weights:
        path, why = experiment.weights_of(name, args.recipe or "", args.seed)
    return experiment.load_from(name, path, e), _whose(name, path, why)


def _whose(name: str, path: Path, why: str) -> dict[str, Any]:
    """What a record says of the weights that were measured."""
    run = records.load(path.parent) if (path.parent / "run.json").exists() else {}
    if run.get("experiment", name) != name:
        why += f", trained for {run['experiment']}"
    path = records.weights_file(path)
    weights = {"path": str(path), "seed": run.get("seed"), "chosen": why}
    recipe = {"recipe_name": run.get("recipe_name", "unknown"), "recipe": run.get("recipe", {})}
    return recipe | {"weights": weights | {"sha256": download.digest(path)}}


def _report(name: str, result: dict[str, Any]) -> None:
    """Print the single scores of a run with their protocol."""
    for score, value in result["scores"].items():
        if isinstance(value, float):
            print(f"{name}  {score} {value:.3f}")
    for score in result.get("absent", ()):
        print(f"{name}  {score} does not exist for these data")
    for note in result.get("notes", ()):
        print(f"note: {note}")
    weights = result.get("weights", {})
    if "chosen" in weights:
        of = f"recipe {result['recipe_name']}, seed {weights['seed']}"
        print(f"weights: {weights['path']} ({of}; chosen: {weights['chosen']})")
    print(f"protocol: {result['protocol']}; test seed {result['seed']}")


def cmd_models(_: argparse.Namespace) -> None:
    head, rows, caption = inference.models()
    print(f"{tables.text(head, rows)}\n{caption}")


def cmd_run(args: argparse.Namespace) -> None:
    given = {"sigma": args.sigma} if args.sigma is not None else {}
    net = inference.load(args.experiment, args.recipe or "", args.seed, args.weights or "")
    print(f"{net.name}: {net.weights}, {net.why}", file=sys.stderr)
    guide = Path(args.guide) if args.guide else None
    failed = net.run(Path(args.input), Path(args.output), guide, **given)
    for path, why in failed:
        print(f"{path}: left out, {why}", file=sys.stderr)
    if failed:
        raise ValueError(f"{len(failed)} files of {args.input} were left out")


def cmd_reproduce(args: argparse.Namespace) -> None:
    chosen, out = experiment.select(args.where), Path(args.out)
    if args.record:
        records.check_recordable()
    if args.recipe or args.hours:
        if not (args.run and args.recipe):
            raise ValueError(
                "--recipe and --hours belong to --run: --run --recipe NAME [--hours H]"
            )
        runs = reproduce.owed(chosen, args.recipe, args.seeds, out)
        records.prepare(out)
        failed = reproduce.until(args.hours, runs, partial(reproduce.go_on, record=args.record))
        if failed:
            raise ValueError(f"could not be made: {', '.join(map(reproduce.said, failed))}")
        return
    failed = _measured_again(chosen, args) if args.run else []
    tables.report(chosen)
    for name, e in chosen.items():
        print(f"\n{name}: {e.title}\n  protocol: {e.protocol}\n  paper: {e.source}")
    if failed:
        names = ", ".join(dict.fromkeys(run.name for run in failed))
        raise ValueError(f"could not be measured: {names}; the rest was")


def _measured_again(chosen: dict[str, Experiment], args: argparse.Namespace) -> list[Run]:
    """Make the runs of the recipe ``cpu`` anew; those that failed."""
    runs = reproduce.every(chosen, "cpu", args.seeds, Path(args.out))
    for run in runs if args.record else ():
        _recordable(run, replace=args.replace)
    records.prepare(Path(args.out))
    make = partial(reproduce.make_anew, record=args.record)
    return [run for run in runs if not reproduce.tried(run, make)]


def cmd_new(args: argparse.Namespace) -> None:
    into = Path(args.into)
    made = skeleton.write(args.name, into)
    for path in made:
        print(path)
    if (into / "dunfold_lib/__init__.py").is_file():
        print(f"add {args.name!r} to ROOMS in {into / 'dunfold_lib/__init__.py'}")
    test = next(path.relative_to(into) for path in made if path.name.startswith("test_"))
    print(f"next, in {into}: python -m pytest {test} -x")


def cmd_exercises(args: argparse.Namespace) -> None:
    print("\n".join(exercises.hand_out(Path(args.out), args.page or "", args.notebook)))


# the parser


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="python -m dunfold_lib", description=(__doc__ or "").split("\n")[0])
    p.add_argument("--version", action="version", version=f"dunfold_lib {__version__}")
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, action: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(action=action)
        return sub

    add("list", cmd_list, "every experiment: published figure, ours, whether a GPU run is owed")
    text = "train a network by one of its recipes; field=value changes it"
    of_train(add("train", cmd_train, text))
    of_evaluate(add("evaluate", cmd_evaluate, "measure an experiment's scores now"))
    add("models", cmd_models, "every network with recorded weights: size, data, score")
    of_run(add("run", cmd_run, "apply a recorded network to files of your own"))
    of_reproduce(add("reproduce", cmd_reproduce, "paper | ours, from recorded runs"))
    of_new(add("new", cmd_new, "the skeleton of a room of your own, with its tests"))
    options.of_exercises(
        add("exercises", cmd_exercises, "the book's exercises to fill in, with tests")
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
