"""Making runs again, and those that are owed: one after the other, safe to kill at any moment."""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dunfold_lib import checkpoints, experiment, records
from dunfold_lib.experiment import Experiment, Run

# what is trained first, where nothing else is asked for; the rest follows in the tables' order
WORTH = (
    "small_target/lrpcanet-sirst",
    "imaging/istanet-plus-25",
    "small_target/rpcanet-sirst",
    "small_target/two-term-sirst",
    "imaging/istanet-25",
    "imaging/istanet-plus-10",
)


def every(chosen: Mapping[str, Experiment], recipe: str, seeds: int, out: Path) -> list[Run]:
    """The runs of a recipe over seeds; a classical algorithm's has no recipe but the name."""
    made = lambda name, seed: Run(name, recipe, chosen[name].recipes.get(recipe), seed, out)
    return [made(name, seed) for name in chosen for seed in range(seeds)]


def owed(chosen: Mapping[str, Experiment], recipe: str, seeds: int, out: Path) -> list[Run]:
    """The runs of a recipe that are not recorded, in order of worth: first seeds first."""
    able = {name: e for name, e in chosen.items() if recipe in e.recipes and e.train}
    if not able:
        known = ", ".join(sorted({r for e in chosen.values() for r in e.recipes}))
        raise ValueError(f"no experiment here has a recipe {recipe!r}; they have {known}")
    worth = lambda run: WORTH.index(run.name) if run.name in WORTH else len(WORTH)
    runs = sorted(every(able, recipe, seeds, out), key=lambda run: (run.seed, worth(run)))
    return [run for run in runs if not (run.recorded / "run.json").exists()]


def until(hours: float | None, runs: Sequence[Run], make: Callable[[Run], None]) -> list[Run]:
    """Make runs one after the other until all are made or the time is up; those that failed.

    A run that was interrupted goes on from its checkpoint, at any later start.
    """
    left, failed = [*runs], list[Run]()
    with _alarm(hours) as rung:
        try:
            while left and not rung:
                failed += [] if tried(left[0], make) else [left[0]]
                left.pop(0)
        except KeyboardInterrupt:
            if not rung:
                raise
    for run in left:
        print(f"left: {said(run)}")
    return failed


def said(run: Run) -> str:
    """A run in words."""
    return f"{run.name} seed {run.seed}"


def tried(run: Run, make: Callable[[Run], None]) -> bool:
    """Make one run; False, and a line on stderr, where that cannot be done: others still can."""
    try:
        make(run)
    except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
        print(f"{said(run)}: {str(error).splitlines()[0]}", file=sys.stderr)
        return False
    return True


def go_on(run: Run, *, record: bool) -> None:
    """Make one run, or go on with it; one that is made is only recorded."""
    if not experiment.is_made(run):
        experiment.train(run, resume=True)
    if record:
        records.keep(run.folder, run.recorded)
    print(f"made: {said(run)} in {run.folder}", flush=True)


def make_anew(run: Run, *, record: bool) -> None:
    """Make one run anew, trained if the experiment learns anything.

    What is in the folder is never taken for a measurement: a training goes on from its checkpoint
    if it is of this recipe, seed and experiment, else it is put aside; scores are measured anew.
    """
    if run.recipe is None:
        begun = time.perf_counter()
        result = experiment.measure(run.name, None, run.seed)
        result["seconds"] = round(time.perf_counter() - begun, 3)
        records.save(run.folder, result | {"recipe_name": run.recipe_name})
    else:
        put_aside(run)
        experiment.train(run, resume=True)
    if record:
        records.keep(run.folder, run.recorded)


def put_aside(run: Run) -> None:
    """Rename a run's folder, and say so, where what it holds is of another run."""
    folder = run.folder
    if not folder.exists() or not any(folder.iterdir()):
        return
    what = "its training goes on or is taken as it is, its scores are measured anew"
    try:
        experiment.is_made(run)
        checkpoints.check_folder(folder, run.origin)
    except ValueError as error:
        what = f"{error}; put aside as {records.put_aside(folder)}, and made anew"
    print(f"{folder} exists: {what}", file=sys.stderr)


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
