"""One recipe, one loop: the same on a CPU, a GPU, or several, through Accelerate."""

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dunfold_lib import checks, records
from dunfold_lib.engine import Average, Convolutions, has_units

Sample = Callable[[int, torch.Generator], tuple[Any, Tensor]]
Loss = Callable[[nn.Module, Any, Tensor], Tensor]
Watch = Callable[[int, float], None]
CHECKPOINT = "checkpoint.safetensors"
SAVE_EVERY = 500  # steps between checkpoints
SAVE_SECONDS = 60.0  # between checkpoints, at most, whatever a step costs


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train. Counts steps, never seconds, so that a resumed run ends in the same numbers.

    A room's recipe is a subclass with more fields, and other defaults where it needs them.

    steps  : optimiser steps (Adam).
    batch  : signals a step, over all processes together.
    lr     : rate at the first step; it falls along a half cosine to ``end`` · lr.
    warmup : steps over which the rate first rises to that.
    clip   : largest Euclidean norm of the gradient.
    average : decay of an average of the weights over the steps, which the network ends with (and
    ``watch`` sees); 0: the last weights (``engine.Average``).
    precision : "no" for float32; "bf16" for convolutions in bfloat16 where the device is sooner
    with them (``engine.has_units``), and float32 for all else.  compile : by ``torch.compile``.
    """

    steps: int = 1000
    batch: int = 64
    lr: float = 1e-3
    end: float = 0.0
    clip: float = 1.0
    precision: str = "no"
    compile: bool = False
    warmup: int = 0
    average: float = 0.0

    def __post_init__(self) -> None:
        if self.precision not in ("no", "bf16"):
            raise ValueError(f"precision is {self.precision!r}; it must be 'no' or 'bf16'")
        checks.whole("steps", self.steps, 0)
        checks.whole("batch", self.batch, 1)
        checks.number("lr", self.lr, 0, open_low=True)
        checks.number("end", self.end, 0, 1)
        checks.number("clip", self.clip, 0, open_low=True)
        checks.whole("warmup", self.warmup, 0)
        checks.number("average", self.average, 0, 1 - 1e-9)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        wave = 0.5 * (1 + math.cos(math.pi * step / max(self.steps, 1)))
        rising = min(1.0, (step + 1) / (self.warmup + 1))
        return rising * self.lr * (self.end + (1 - self.end) * wave)


def shorter(recipe: Any, share: float) -> Any:
    """A recipe of any kind with this share of its steps (or of a search's evaluations), at least
    one of each sort."""
    checks.number("share", share, 0, 1)
    counts = {
        f.name: max(int(share * getattr(recipe, f.name)), 4 if f.name == "evaluations" else 1)
        for f in fields(recipe)
        if f.name.endswith(("steps", "evaluations"))
    }
    return replace(recipe, **counts)


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


@dataclass(frozen=True)
class Context:
    """How and where one training runs; the recipe says what it does.

    folder : where a checkpoint is kept, every ``SAVE_EVERY`` steps and every ``SAVE_SECONDS``; a
    run that finds one goes on from it to the same numbers. None: nowhere.
    seed   : of everything that is drawn.  device : "cpu", "cuda" or "mps".
    watch  : called with (step, loss) after each step, in the first process.
    validated  : likewise with (step, score) after each look at a validation part, in rooms that
    choose their weights there.
    experiment : ``room/name``, for which it trains.
    origin : what its checkpoints belong to; by default the recipe, the seed and the experiment.
    """

    folder: Path | None = None
    seed: int = 0
    device: str = "cpu"
    watch: Watch | None = None
    validated: Watch | None = None
    experiment: str = ""
    origin: Origin | None = None

    def of(self, recipe: Any) -> Origin:
        """The origin of a run by this recipe."""
        return self.origin or Origin(recipe, self.seed, self.experiment)

    def part(self, recipe: Any, name: str, seed: int, past: int) -> "Context":
        """A part of a run by this recipe, in a folder of its own, after so many steps."""
        watch = self.watch and partial(_shifted, self.watch, past)
        folder = self.folder / name if self.folder else None
        return replace(self, folder=folder, seed=seed, watch=watch, origin=self.of(recipe))


def _shifted(watch: Watch, past: int, step: int, loss: float) -> None:
    watch(past + step, loss)


ALONE = Context()


def fit(
    net: nn.Module, sample: Sample, loss: Loss, recipe: Recipe, context: Context = ALONE
) -> list[float]:
    """Train ``net`` in place and give the loss of every step.

    sample : (batch, generator) -> (b, truth), drawn on the CPU, moved to the device here.
    loss   : (net, b, truth) -> a scalar: a mean over the rows, or made of ``total`` sums.

    Ctrl-C and SIGTERM end a run after the step that they find it in, which is saved; a second one
    ends it at once. So does a KeyboardInterrupt that the context's ``watch`` raises.

    With several processes each draws the whole batch from the same generator and takes its own
    rows; the gradient is that of the whole batch, and all have the weights of the first.
    """
    machine = processes(context.device)
    shares = _shares(recipe.batch, machine)
    generator = torch.Generator().manual_seed(context.seed)
    net.to(machine.device).train()
    weights = [p for p in net.parameters() if p.requires_grad]
    adam = torch.optim.Adam(weights, lr=recipe.lr)
    average = Average(net, recipe.average)
    origin = context.of(recipe)
    run = Checkpoint(context.folder, origin, net, adam, generator, machine, average)
    history = run.resume()
    mixed = recipe.precision == "bf16" and has_units(machine.device.type)
    precision = Convolutions if mixed else machine.autocast
    loss = torch.compile(loss) if recipe.compile else loss
    with signals_wait() as came:
        for step in range(len(history), recipe.steps):
            b, truth = (_share(t, machine) for t in sample(recipe.batch, generator))
            adam.param_groups[0]["lr"] = recipe.rate(step)
            adam.zero_grad()
            with precision():
                value = loss(net, b, truth) * shares[machine.process_index]
            value.backward()
            _sum_gradients(weights, machine)
            nn.utils.clip_grad_norm_(weights, recipe.clip)
            adam.step()
            _same_buffers(net, shares, machine)
            average.after(step)
            history.append(float(machine.reduce(value.detach(), "sum")))
            if not math.isfinite(history[-1]):
                raise RuntimeError(f"the loss is {history[-1]} at step {step}; try a smaller lr")
            try:
                if context.watch and machine.is_main_process:
                    with average.shown():
                        context.watch(step, history[-1])
            except KeyboardInterrupt:  # whoever watches ends the run; a second Ctrl-C does at once
                if not came:
                    run.after(history, finished=False, stopped=True)
                raise
            stopped = bool(came)  # looked at once: what comes later is of the next step
            run.after(history, finished=step + 1 == recipe.steps, stopped=stopped)
            if stopped:
                break
    average.take()
    net.eval()
    return history


def processes(device: str = "cpu") -> Any:
    """Accelerate's view of this process among all, on a device: "cpu", "cuda" or "mps".

    What an earlier call in this process chose does not count; ValueError where there is none.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    checks.one_of("device", device, ("cpu", "cuda", "mps"))
    if not available(device):
        raise ValueError(f"device is {device!r}; this machine has {', '.join(devices())}")
    kept = PartialState._shared_state  # by accelerate, of an earlier call in this process
    if kept and kept["device"].type != device and kept["num_processes"] == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    machine = Accelerator(cpu=device == "cpu")
    if machine.device.type != device:
        raise ValueError(f"device is {device!r}; these processes began on {machine.device.type}")
    return machine


def available(device: str) -> bool:
    """Whether this machine has a device of this kind."""
    has = {"cpu": lambda: True, "cuda": torch.cuda.is_available}
    return bool((has | {"mps": torch.backends.mps.is_available})[device]())


def devices() -> list[str]:
    """The kinds of device that this machine has, the fastest first."""
    return [name for name in ("cuda", "mps", "cpu") if available(name)]


def total(x: Tensor) -> Tensor:
    """The sum of a number over all processes, with its gradient; with one process the number.

    A loss that is no mean over rows is made of such sums: its gradient is then that of one process.
    """
    import torch.distributed as several

    if not (several.is_available() and several.is_initialized()) or several.get_world_size() == 1:
        return x
    from torch.distributed.nn.functional import all_reduce

    return cast(Tensor, all_reduce(x))


@contextmanager
def signals_wait() -> Iterator[list[int]]:
    """Keep Ctrl-C and SIGTERM until the end of the block: a list of those that came.

    The second one acts at once. Elsewhere than in the main thread nothing is kept.
    """
    came: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            restore()
            signal.raise_signal(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        before = {n: h for n, h in handlers.items() if h not in (None, signal.SIG_IGN)}
        for number in before:
            signal.signal(number, note)
    try:
        yield came
    finally:
        restore()
    if came:
        signal.raise_signal(came[0])
        raise KeyboardInterrupt


def grow(
    net: nn.Module,
    sample: Sample,
    loss_at: Callable[[int], Loss],
    stage: Recipe,
    finish: Recipe,
    context: Context = ALONE,
) -> list[float]:
    """Stage-wise training. For t = 1…K layer t begins as a copy of layer t − 1, and all layers up
    to t are trained by ``stage`` on ``loss_at(t)``; then the whole network by ``finish``.

    Without an origin of its own a context's checkpoints belong to those of the two that made them.
    """
    machine, folder = processes(context.device), context.folder
    K = int(net.K)  # type: ignore[arg-type]
    history: list[float] = []
    for t in [*range(1, K + 1), K + 1]:
        whole = t > K
        if 1 < t <= K:
            copy_layer(net, t - 2, t - 1)
        name, recipe = ("finish", finish) if whole else (f"stage-{t:02d}", stage)
        here = context.part(recipe, name, 1000 * context.seed + t, len(history))
        history += fit(net, sample, loss_at(min(t, K)), recipe, here)
        if folder and t > 1 and machine.is_main_process:
            _strip(folder / f"stage-{t - 1:02d}")  # the next stage's checkpoint holds its layers
    return history


@torch.no_grad()
def copy_layer(net: nn.Module, source: int, target: int) -> None:
    """Give layer ``target`` the weights of layer ``source``, where the network has one a layer."""
    for child in net.children():
        if isinstance(child, nn.ParameterList):
            child[target].copy_(child[source])
    for p in net._parameters.values():
        if p is not None and p.ndim == 1 and len(p) == net.K:
            p[target] = p[source]


def _shares(batch: int, machine: Any) -> list[float]:
    """The part of a batch's rows that each process has."""
    n = machine.num_processes
    if batch < n:
        raise ValueError(f"batch is {batch}; with {n} processes it must be at least {n}")
    return [((i + 1) * batch // n - i * batch // n) / batch for i in range(n)]


def _share(x: Any, machine: Any) -> Any:
    """This process's rows, on its device; tuples of tensors keep their type."""
    if not isinstance(x, Tensor):
        return type(x)(*(_share(part, machine) for part in x))
    n, i = machine.num_processes, machine.process_index
    return x[i * len(x) // n : (i + 1) * len(x) // n].to(machine.device)


def _sum_gradients(weights: Sequence[Tensor], machine: Any) -> None:
    """The sum over processes of every gradient, in one message."""
    known = [p for p in weights if p.grad is not None]
    if machine.num_processes == 1 or not known:
        return
    flat = machine.reduce(torch.cat([p.grad.flatten() for p in known if p.grad is not None]), "sum")
    for p, part in zip(known, flat.split([p.numel() for p in known]), strict=True):
        p.grad = part.view_as(p)


def _same_buffers(net: nn.Module, shares: Sequence[float], machine: Any) -> None:
    """The running statistics of batch norms: their mean over processes, by rows."""
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [t for m in norms for t in (m.running_mean, m.running_var) if t is not None]
    if machine.num_processes == 1 or not kept:
        return
    flat = torch.cat([t.flatten() for t in kept]) * shares[machine.process_index]
    parts = machine.reduce(flat, "sum").split([t.numel() for t in kept])
    for buffer, part in zip(kept, parts, strict=True):
        buffer.copy_(part.view_as(buffer))


def as_first(net: nn.Module, device: str = "cpu") -> None:
    """Give the network in every process the weights that it has in the first."""
    machine = processes(device)
    if machine.num_processes > 1:
        data = records.tensor_bytes(net.state_dict(), {}) if machine.is_main_process else b""
        net.load_state_dict(records.tensors_of(Path(), _from_first(data, machine))[0])


def _from_first(data: bytes, machine: Any) -> bytes:
    """The bytes that the first process has, in every process."""
    if machine.num_processes == 1:
        return data
    from accelerate.utils import broadcast

    size = broadcast(torch.tensor([len(data)], device=machine.device))
    mine = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0)
    first = machine.is_main_process
    text = mine if first else torch.empty(int(size))
    return bytes(broadcast(text.to(torch.uint8).to(machine.device)).cpu().numpy().tobytes())


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


class Checkpoint:
    """Everything that a run needs to go on, in one file that is replaced whole."""

    def __init__(
        self,
        folder: Path | None,
        origin: Origin,
        net: nn.Module,
        adam: torch.optim.Adam,
        generator: torch.Generator,
        machine: Any,
        average: Average | None = None,
    ):
        self.path = folder / CHECKPOINT if folder else None
        self.average = average or Average(net, 0)
        self.origin, self.net, self.adam, self.generator = origin, net, adam, generator
        self.machine = machine
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
        history = self._take(_from_first(data, self.machine))
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


def _strip(folder: Path) -> None:
    """Leave only the losses in the checkpoint of a stage that the next one has taken over."""
    path = folder / CHECKPOINT
    if path.exists():
        tensors, about = records.tensors_of(path, path.read_bytes())
        kept = {k: v for k, v in tensors.items() if k in ("history", "generator")}
        if kept.keys() == tensors.keys():
            return
        records.write_bytes(path, records.tensor_bytes(kept, about))


def _metadata(path: Path) -> dict[str, str]:
    """What a checkpoint says of itself."""
    return records.tensors_of(path, path.read_bytes())[1]
