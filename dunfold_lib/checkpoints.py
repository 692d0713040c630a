"""Everything that a run needs to go on, in one file, and what the run is that it belongs to."""

import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from dunfold_lib import records
from dunfold_lib.engine import Average
from dunfold_lib.processes import from_first

CHECKPOINT = "checkpoint.safetensors"
SAVE_EVERY = 500  # steps between checkpoints
SAVE_SECONDS = 60.0  # between checkpoints, at most, whatever a step costs


@dataclass(frozen=True)
class Origin:
    """What the numbers of a run come from: its recipe, its seed, and the experiment ``room/name``.

    Every file that a run can go on from names its origin, and belongs to no other.
    """

    recipe: Any
    seed: int = 0
    experiment: str = ""

    def text(self) -> str:
        """As JSON, for a file's metadata."""
        return json.dumps(asdict(self))

    def check(self, path: Path, named: str | None) -> None:
        """ValueError in one line unless a file that names this origin (as JSON) is of this run.

        A field that the file lacks had its default: it was written before there was one.
        """
        try:
            there = dict(json.loads(named or ""))
            fields_there, seed, experiment = there["recipe"], there["seed"], there["experiment"]
        except (ValueError, KeyError, TypeError):
            says = "it names no recipe, seed and experiment"
            raise ValueError(f"{path}: is no checkpoint of this run ({says}); remove it") from None
        here = json.loads(json.dumps(asdict(self.recipe)))
        default = {f.name: f.default for f in fields(self.recipe)}
        pairs = {n: (fields_there.get(n, default.get(n)), v) for n, v in here.items()}
        pairs |= {n: (v, None) for n, v in fields_there.items() if n not in here}
        pairs |= {"seed": (seed, self.seed), "experiment": (experiment, self.experiment)}
        other = [f"{n} is {u!r} there and {v!r} here" for n, (u, v) in pairs.items() if u != v]
        if other:
            raise ValueError(
                f"{path}: belongs to another run ({'; '.join(other)}); go on with that"
            )


class Parts(NamedTuple):
    """What a run is made of besides its losses: each has a state that is saved."""

    net: nn.Module
    adam: torch.optim.Adam
    generator: torch.Generator
    average: Average


class Checkpoint:
    """Everything that a run needs to go on, in one file that is replaced whole."""

    def __init__(self, folder: Path | None, origin: Origin, parts: Parts, machine: Any):
        self.path = folder / CHECKPOINT if folder else None
        self.net, self.adam, self.generator, self.average = parts
        self.origin, self.machine = origin, machine
        self.before, self.begun, self.saved = (0.0, 0.0), _now(), time.monotonic()
        if folder and machine.is_main_process:
            records.prepare(folder)

    def resume(self) -> list[float]:
        """Load the checkpoint where there is one, and give the losses so far.

        Of several processes the first one reads; the others have what it has.
        """
        first = self.machine.is_main_process
        data = self.path.read_bytes() if first and self.path and self.path.exists() else b""
        if first and not data and self.machine.num_processes > 1:
            data = self._bytes([], finished=False)
        history = self._take(from_first(data, self.machine))
        self.begun, self.saved = _now(), time.monotonic()
        return history

    def _take(self, data: bytes) -> list[float]:
        if not data:
            return []
        path = self.path or Path(CHECKPOINT)
        try:
            tensors, about = records.tensors_of(path, data)
        except ValueError as error:
            raise ValueError(f"{error}: is no checkpoint of this run; remove it") from None
        self.origin.check(path, about.get("origin"))
        try:
            part = lambda name: {
                k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)
            }
            if weights := part("net."):
                self.net.load_state_dict(weights)
            for name, t in part("average.").items():
                self.average.kept[name].copy_(t)
            state = self.adam.state_dict()
            for key, value in part("adam.").items():
                i, name = key.split(".")
                state["state"].setdefault(int(i), {})[name] = value
            self.adam.load_state_dict(state)
            self.generator.set_state(tensors["generator"])
            self.before = float(about["seconds"]), float(about["cpu_seconds"])
            return [float(v) for v in tensors["history"]]
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            says = f"is no checkpoint of this run ({reason}); remove it"
            raise ValueError(f"{path}: {says}") from None

    def after(self, history: list[float], *, finished: bool, stopped: bool) -> None:
        """Save after a step, where it is time to."""
        due = time.monotonic() - self.saved >= SAVE_SECONDS or len(history) % SAVE_EVERY == 0
        if self.path and self.machine.is_main_process and (finished or stopped or due):
            records.write_bytes(self.path, self._bytes(history, finished=finished))
            self.saved = time.monotonic()

    def _bytes(self, history: list[float], *, finished: bool) -> bytes:
        tensors = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.kept.items()}
        tensors["generator"] = self.generator.get_state()
        states = {} if finished else self.adam.state_dict()["state"]  # a finished run needs none
        for i, state in states.items():
            tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
        tensors["history"] = torch.tensor(history, dtype=torch.float64)
        seconds, cpu = (b + n - t for b, n, t in zip(self.before, _now(), self.begun, strict=True))
        about = {"origin": self.origin.text(), "seconds": str(seconds), "cpu_seconds": str(cpu)}
        return records.tensor_bytes(tensors, about)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def spent(folder: Path) -> tuple[float, float]:
    """Seconds and CPU-seconds that the training in a folder took, over all its starts.

    Looks at a validation part that choose the weights are training; measuring is not. What a kill
    lost, less than ``SAVE_SECONDS`` and a step, was trained again and counts once.
    """
    told = [_metadata(p) for p in folder.rglob(CHECKPOINT)]
    sums = [sum(float(about.get(name, 0)) for about in told) for name in ("seconds", "cpu_seconds")]
    return sums[0], sums[1]


def check_folder(folder: Path, origin: Origin) -> None:
    """ValueError in one line if a checkpoint in a run's folder belongs to another run."""
    for path in sorted(folder.rglob(CHECKPOINT)):
        origin.check(path, _metadata(path).get("origin"))


def strip(folder: Path) -> None:
    """Leave only the losses in the checkpoint of a stage that the next one has taken over."""
    path = folder / CHECKPOINT
    if path.exists():
        tensors, about = records.tensors_of(path, path.read_bytes())
        kept = {k: v for k, v in tensors.items() if k in ("history", "generator")}
        if kept.keys() != tensors.keys():
            records.write_bytes(path, records.tensor_bytes(kept, about))


def _metadata(path: Path) -> dict[str, str]:
    """What a checkpoint says of itself."""
    return records.tensors_of(path, path.read_bytes())[1]
