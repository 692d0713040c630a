"""python -m dunfold_lib: the experiments of the book from the command line.

list       every experiment: the published figure, ours, whether a GPU run is still owed
train      train a network by one of its recipes
evaluate   measure an experiment's scores now
models     every network with recorded weights
run        apply a recorded network to files of your own
reproduce  the table paper | ours | protocol, from recorded runs or measured again
"""

import argparse
import io
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from dunfold_lib import __version__, cubes, experiment, inference, records, reproduce, tables
from dunfold_lib.experiment import Experiment, Run


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.splitlines()[0]}\n")


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
        run = run._replace(on=records.file_hash(Path(args.operator)))
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
        protocol = f"released weights {files}, in the place of ours; {result['protocol']}"
        result["protocol"] = protocol
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
    return recipe | {"weights": weights | {"sha256": records.file_hash(path)}}


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


# the parser


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
    text = "train a network by one of its recipes; field=value changes it"
    _options_of_train(add("train", cmd_train, text))
    _options_of_evaluate(add("evaluate", cmd_evaluate, "measure an experiment's scores now"))
    add("models", cmd_models, "every network with recorded weights: size, data, score")
    _options_of_run(add("run", cmd_run, "apply a recorded network to files of your own"))
    _options_of_reproduce(add("reproduce", cmd_reproduce, "paper | ours, from recorded runs"))
    return p


def _options_of_train(p: argparse.ArgumentParser) -> None:
    p.add_argument("experiment", metavar="ROOM/NAME")
    p.add_argument("--recipe", type=_given, default="cpu", help="cpu (default) or gpu")
    p.add_argument("--seed", type=_seed, default=0, help="seed of training and test signals")
    p.add_argument("--name", type=_given, help="what a recipe with changed fields is called")
    p.add_argument("--device", choices=("cpu", "cuda", "mps"), help="default: the recipe's")
    text = "sparse recovery: train on your own dictionary, a matrix (m, n) as evaluate takes it"
    p.add_argument("--operator", type=_given, metavar="FILE", help=text)
    p.add_argument("--out", type=_given, default="runs", help="folder for the run (default: runs)")
    p.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    p.add_argument("--record", action="store_true", help="keep the run in results/")
    p.add_argument("--replace", action="store_true", help="replace a run that is recorded")


def _options_of_evaluate(p: argparse.ArgumentParser) -> None:
    p.add_argument("experiment", metavar="ROOM/NAME")
    text = "a weights.safetensors (default: of the last recipe that is recorded)"
    p.add_argument("--weights", type=_given, metavar="FILE", help=text)
    p.add_argument("--recipe", type=_given, help="the recorded weights of this recipe")
    text = "weights that the authors released"
    p.add_argument("--released", type=_given, metavar="FILE", help=text)
    text = (
        "their .npz or .mat files with phi and Qinit, or mask_matrix; for sparse recovery "
        "your own dictionary, a matrix (m, n) in a .npy, .npz, .mat or .pt file"
    )
    p.add_argument("--operator", nargs="+", type=_given, default=[], metavar="FILE", help=text)
    p.add_argument("--data", type=_given, metavar="FOLDER", help="measure on your own data")
    text = "resize infrared frames of --data to this; native: leave them (default: 256)"
    p.add_argument("--side", type=_side, metavar="PIXELS", help=text)
    text = "seed of the test signals, and of the run whose weights are taken"
    p.add_argument("--seed", type=_seed, help=text)
    p.add_argument("--json", action="store_true", help="print the whole record as JSON")


def _options_of_run(p: argparse.ArgumentParser) -> None:
    p.add_argument("experiment", metavar="ROOM/NAME")
    text = "a file, or a folder of files: measurements, images, cubes, infrared frames"
    p.add_argument("input", type=_given, metavar="INPUT", help=text)
    text = "a file .npy, or .png for a picture; for a folder a folder"
    p.add_argument("output", type=_given, metavar="OUTPUT", help=text)
    text = "for guided super-resolution: the guide of a file, or a folder of guides"
    p.add_argument("--guide", type=_given, metavar="FILE", help=text)
    text = "for denoisers: the noise's deviation (a cube's is estimated where it is not given)"
    p.add_argument("--sigma", type=float, help=text)
    p.add_argument("--recipe", type=_given, help="the recorded weights of this recipe")
    p.add_argument("--seed", type=_seed, help="those of this seed")
    p.add_argument("--weights", type=_given, metavar="FILE", help="weights that you trained")


def _options_of_reproduce(p: argparse.ArgumentParser) -> None:
    p.add_argument("where", nargs="?", metavar="ROOM[/NAME]")
    p.add_argument("--run", action="store_true", help="measure again, into --out")
    p.add_argument("--seeds", type=_seed, default=3, help="how many seeds --run measures")
    p.add_argument("--recipe", type=_given, help="only train what is not recorded of this recipe")
    p.add_argument("--hours", type=_hours, help="stop in time; the same command goes on later")
    p.add_argument("--record", action="store_true", help="keep what --run measured in results/")
    p.add_argument("--replace", action="store_true", help="replace runs that are recorded")
    p.add_argument("--out", type=_given, default="runs", help="folder for new runs (default: runs)")


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
