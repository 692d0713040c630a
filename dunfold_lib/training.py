"""One recipe, one loop: the same on a CPU, a GPU, or several, through Accelerate."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dunfold_lib import checks, records
from dunfold_lib.checkpoints import Checkpoint, Origin, Parts, strip
from dunfold_lib.engine import Average, Convolutions, Graphed, has_units
from dunfold_lib.processes import processes, same_buffers, share, shares, sum_gradients

Sample = Callable[[int, torch.Generator], tuple[Any, Tensor]]
Loss = Callable[[nn.Module, Any, Tensor], Tensor]
Watch = Callable[[int, float], None]


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
    with them (``engine.has_units``), and float32 for all else.
    compile   : by ``torch.compile``; then all is float32, for its tracer (torch 2.13) does not keep
    to a function mode: a mean inside ``engine.Convolutions`` came out unreduced.
    cuda_graph : on one GPU a step is captured once and launched as one (``engine.Graphed``); for a
    loss that does the same at every step. Elsewhere it changes nothing.
    """

    steps: int = 1000
    batch: int = 64
    lr: float = 1e-3
    end: float = 0.0
    clip: float = 1.0
    precision: str = "no"
    compile: bool = False
    cuda_graph: bool = False
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
        shown = self.watch
        watch = shown and (lambda step, loss: shown(past + step, loss))
        folder = self.folder / name if self.folder else None
        return replace(self, folder=folder, seed=seed, watch=watch, origin=self.of(recipe))


ALONE = Context()


def begin(net: nn.Module, run: str, context: Context) -> None:
    """Give a network the weights of another run, whatever matrix that was trained for.

    run : ``room/NAME/RUN``, looked for in the folder that has the context's own run, then among the
    recorded ones.  ValueError in one line where it is in neither.
    """
    path = records.results_root() / run / records.WEIGHTS
    if context.folder:
        beside = context.folder.resolve().parent.parent.parent / run / records.WEIGHTS
        path = beside if beside.exists() else path
    records.load_weights(path, net, any_matrix=True)


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
    generator = torch.Generator().manual_seed(context.seed)
    stepped, average = _Steps(net, loss, recipe, machine), Average(net, recipe.average)
    whole = Parts(net, stepped.adam, generator, average)
    run = Checkpoint(context.folder, context.of(recipe), whole, machine)
    history = run.resume()
    with signals_wait() as came:
        for step in range(len(history), recipe.steps):
            b, truth = (share(t, machine) for t in sample(recipe.batch, generator))
            history.append(stepped(step, b, truth))
            average.after(step)
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


class _Steps:
    """Adam's steps by a recipe: the gradient of the whole batch, clipped."""

    def __init__(self, net: nn.Module, loss: Loss, recipe: Recipe, machine: Any):
        self.net, self.recipe, self.machine = net.to(machine.device).train(), recipe, machine
        self.parts = shares(recipe.batch, machine)
        self.weights = [p for p in net.parameters() if p.requires_grad]
        graph = recipe.cuda_graph and machine.device.type == "cuda" and machine.num_processes == 1
        lr = torch.tensor(recipe.lr, device=machine.device) if graph else recipe.lr
        self.adam = torch.optim.Adam(self.weights, lr=lr, capturable=graph)
        self.once = Graphed(self._once) if graph else self._once
        self.loss = torch.compile(loss, dynamic=False) if recipe.compile else loss
        half = recipe.precision == "bf16" and not recipe.compile
        mixed = half and has_units(machine.device.type)
        self.precision = Convolutions if mixed else machine.autocast

    def __call__(self, step: int, b: Any, truth: Tensor) -> float:
        """The loss before the step; RuntimeError where it is not finite."""
        group, rate = self.adam.param_groups[0], self.recipe.rate(step)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
        found = float(self.machine.reduce(self.once(b, truth), "sum"))
        if not math.isfinite(found):
            raise RuntimeError(f"the loss is {found} at step {step}; try a smaller lr")
        return found

    def _once(self, b: Any, truth: Tensor) -> Tensor:
        """One step; its loss, of this process's rows."""
        self.adam.zero_grad()
        with self.precision():
            value = self.loss(self.net, b, truth) * self.parts[self.machine.process_index]
        value.backward()
        sum_gradients(self.weights, self.machine)
        nn.utils.clip_grad_norm_(self.weights, self.recipe.clip)
        self.adam.step()
        same_buffers(self.net, self.parts, self.machine)
        return value.detach()


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
            strip(folder / f"stage-{t - 1:02d}")  # the next stage's checkpoint holds its layers
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
