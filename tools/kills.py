"""Kill trainings at random moments, go on with them, and compare with the run that nobody touched.

``make kills``: 300 kills over the five rooms by SIGKILL, SIGTERM and SIGINT, by tiny recipes. Every
chain of starts must end in the weights, losses and run.json (without times) of one start, to the
last bit. Needs ``fork``: Linux or macOS.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dunfold_lib import checkpoints, experiment, processes, records
from dunfold_lib.experiment import Experiment
from dunfold_lib.hyperspectral import training as hyperspectral_training
from dunfold_lib.imaging import training as imaging_training
from dunfold_lib.newton_sr import training as newton_sr_training
from dunfold_lib.small_target import training as small_target_training

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOST_IN_A_CHAIN = 6  # kills before a chain is left alone
SAVE_EVERY, SAVE_SECONDS = 3, 0.2  # so that tiny recipes have checkpoints too
TIMES = {"seconds", "cpu_seconds"}
CASES: dict[str, list[str]] = {  # experiment: what makes its recipe tiny
    "sparse/lista-50x100": ["stage_steps=2", "finish_steps=12", "batch=4"],
    "sparse/race-alista-end-to-end": ["steps=25", "batch=4"],
    "sparse/hyperlista": ["evaluations=12", "signals=20"],
    "imaging/istanet-plus-25": ["phases=1", "channels=4", "steps=20", "batch=2"],
    "newton_sr/newton-4": [
        *("stages=1", "cg=2", "filters=2", "width=2", "steps=15", "batch=1", "patch=20"),
        "residual=0.5",
    ],
    "hyperspectral/smds": ["layers=1", "draws=2", "patch=12", "steps=12", "batch=2"],
    "small_target/lrpcanet-sirst": [
        *("stages=1", "width=2", "neck=2", "noise_layers=1", "crop=32"),
        *("steps=14", "batch=2", "every=4", "sigma=5.0"),
    ],
}


def light(net: Any, seed: int) -> dict[str, Any]:
    """In the place of a measurement: numbers that tell networks apart."""
    sums = [float(p.detach().double().abs().sum()) for p in net.state_dict().values()]
    return {"sum": sum(sums), "sums": sums}


def train(name: str, e: Experiment, out: Path) -> None:
    """One start of a case, gone on with from what is there."""
    checkpoints.SAVE_EVERY, checkpoints.SAVE_SECONDS = SAVE_EVERY, SAVE_SECONDS
    experiment.train(experiment.plan(name, "cpu", CASES[name], seed=3, out=out), e, resume=True)


FRAMES = {"train": (8, 1), "val": (4, 2)}  # few made-up scenes, in the place of the chapter's
DATA: dict[str, Callable[[], Any]] = {  # what every start of a room draws, kept where it is drawn
    "imaging": lambda: imaging_training.training_set("wheels"),
    "newton_sr": lambda: newton_sr_training.training_set("planes"),
    "hyperspectral": lambda: hyperspectral_training.training_set("indian-pines"),
    "small_target": lambda: [small_target_training.part("synthetic", which) for which in FRAMES],
}


def warm(names: Sequence[str]) -> None:
    """Import and draw beforehand what every start would: a fork takes it along.

    No backward pass: autograd's threads do not live through a fork.
    """
    small_target_training.MADE_UP.update(FRAMES)
    processes.processes()
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    torch.optim.Adam([weight]).step()
    for room in dict.fromkeys(name.split("/")[0] for name in names):
        DATA.get(room, lambda: None)()


def start(action: Callable[[], None]) -> int:
    """Do something in a process of its own, silently; its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        action()
        code = 0
    except KeyboardInterrupt:
        code = 130
    finally:
        os._exit(code)


def ended(child: int, seconds: float) -> int | None:
    """The exit code of a process that ends within so many seconds, negative for a signal."""
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.002)


def outcome(folder: Path) -> dict[str, Any]:
    """What a run is compared by; files that were left half written are named."""
    run = {k: v for k, v in records.load(folder).items() if k not in TIMES}
    files = {n: (folder / n).read_bytes() for n in (records.WEIGHTS, "loss.csv")}
    parts = sorted(p.name for p in folder.rglob("*" + records.PART))
    return {"run": json.dumps(run, sort_keys=True), "parts": parts, **files}


def chain(
    name: str, e: Experiment, out: Path, seconds: float, kills: int, chance: random.Random
) -> Counter[str]:
    """Kill one run so many times at random moments, then let it end; the signals that met it."""
    met: Counter[str] = Counter()
    while True:
        child = start(partial(train, name, e, out))
        if met.total() >= kills:
            code = ended(child, 3600)
            break
        code = ended(child, chance.uniform(0, seconds))
        if code is not None:
            break
        number = chance.choice(SIGNALS)
        os.kill(child, number)
        met[number.name] += 1
        code = ended(child, 3600)
        if code == 0:  # it had ended when the signal came
            break
        if code not in (-number, 130):
            raise RuntimeError(f"{name}: a start that met {number.name} ended with code {code}")
    if code:
        raise RuntimeError(f"{name}: a start that nobody touched ended with code {code}")
    return met


def case(name: str) -> Experiment:
    """An experiment that is measured by ``light``."""
    return replace(experiment.find(name), measure=light)


def attack(names: Sequence[str], kills: int, seed: int = 0, most: int = MOST_IN_A_CHAIN) -> str:
    """So many kills in all, in chains over the cases; what was done, or RuntimeError."""
    chance, met, chains = random.Random(seed), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        whole: dict[str, tuple[dict[str, Any], float]] = {}
        while met.total() < kills:
            name = names[chains.total() % len(names)]
            e, run = case(name), f"{name}/cpu-s3"
            if name not in whole:
                begun = time.monotonic()
                if code := ended(start(partial(train, name, e, Path(folder) / "whole")), 3600):
                    raise RuntimeError(
                        f"{name}: the run that nobody touched ended with code {code}"
                    )
                seconds = time.monotonic() - begun
                whole[name] = outcome(Path(folder) / "whole" / run), seconds
            right, seconds = whole[name]
            out = Path(folder) / f"chain-{chains.total()}"
            count = min(chance.randint(1, most), kills - met.total())
            met += chain(name, e, out, seconds, count, chance)
            if (found := outcome(out / run)) != right:
                other = [key for key in right if right[key] != found[key]]
                raise RuntimeError(f"{name}: chain {chains.total()} ends in other {other}")
            chains[name] += 1
            print(f"{met.total()} kills, {name} as without", flush=True)
    told = ", ".join(f"{count} {name}" for name, count in sorted(met.items()))
    return f"{met.total()} kills ({told}) in {chains.total()} chains: all as without"


def main() -> None:
    """Attack, by the command line's numbers."""
    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    p.add_argument("--kills", type=int, default=300)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--only", nargs="+", choices=CASES, default=[*CASES], metavar="ROOM/NAME")
    args = p.parse_args()
    os.environ["DUNFOLD_DATA"] = ""
    torch.set_num_threads(1)  # threads do not live through a fork
    warm(args.only)
    try:
        print(attack(args.only, args.kills, args.seed))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
