"""One recipe, one loop: the same on a CPU, a GPU, or several, through Accelerate."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dunfold_lib import checks, records

Sample = Callable[[int, torch.Generator], tuple[Any, Tensor]]
Loss = Callable[[nn.Module, Any, Tensor], Tensor]
SAVE_EVERY = 500  # steps between checkpoints


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train. Counts steps, never seconds, so that a resumed run ends in the same numbers.

    A room's recipe is a subclass with more fields, and other defaults where it needs them.

    steps  : optimiser steps (Adam).
    batch  : signals a step, over all processes together.
    lr     : rate at the first step; it falls along a half cosine to ``end`` · lr.
    clip   : largest Euclidean norm of the gradient.
    precision : "no" for float32, or "bf16" for mixed precision.  compile : by ``torch.compile``.
    """

    steps: int = 1000
    batch: int = 64
    lr: float = 1e-3
    end: float = 0.0
    clip: float = 1.0
    precision: str = "no"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("no", "bf16"):
            raise ValueError(f"precision is {self.precision!r}; it must be 'no' or 'bf16'")
        checks.whole("steps", self.steps, 0)
        checks.whole("batch", self.batch, 1)
        checks.number("lr", self.lr, 0, open_low=True)
        checks.number("end", self.end, 0, 1)
        checks.number("clip", self.clip, 0, open_low=True)

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        wave = 0.5 * (1 + math.cos(math.pi * step / max(self.steps, 1)))
        return self.lr * (self.end + (1 - self.end) * wave)


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
            raise ValueError(f"{path}: names no recipe, seed and experiment; remove it") from None
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


def fit(
    net: nn.Module,
    sample: Sample,
    loss: Loss,
    recipe: Recipe,
    folder: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    watch: Callable[[int, float], None] | None = None,
    origin: Origin | None = None,
) -> list[float]:
    """Train ``net`` in place and give the loss of every step.

    sample : (batch, generator) -> (b, truth), drawn on the CPU, moved to the device here.
    loss   : (net, b, truth) -> a scalar. With several processes it must be a mean over the rows to
    give the numbers of one.
    folder : where a checkpoint is kept every ``SAVE_EVERY`` steps; a run that finds one goes on
    from it to the same numbers.  watch : called with (step, loss).
    origin : what a checkpoint belongs to; by default the recipe and the seed.

    With several processes each draws the whole batch from the same generator and takes its own
    rows; gradients are averaged.
    """
    from accelerate import Accelerator

    machine = Accelerator(cpu=device == "cpu")
    origin = origin or Origin(recipe, seed)
    generator = torch.Generator().manual_seed(seed)
    net.to(machine.device).train()
    weights = [p for p in net.parameters() if p.requires_grad]
    adam = torch.optim.Adam(weights, lr=recipe.lr)
    history = _resume(folder, net, adam, generator, origin)
    mixed = partial(torch.autocast, machine.device.type, torch.bfloat16)
    precision = mixed if recipe.precision == "bf16" else machine.autocast
    loss = torch.compile(loss) if recipe.compile else loss
    for step in range(len(history), recipe.steps):
        b, truth = (_share(t, machine) for t in sample(recipe.batch, generator))
        adam.param_groups[0]["lr"] = recipe.rate(step)
        adam.zero_grad()
        with precision():
            value = loss(net, b, truth)
        value.backward()
        _average(weights, machine)
        nn.utils.clip_grad_norm_(weights, recipe.clip)
        adam.step()
        history.append(float(machine.reduce(value.detach(), "mean")))
        if not math.isfinite(history[-1]):
            raise RuntimeError(f"the loss is {history[-1]} at step {step}; try a smaller lr")
        if watch:
            watch(step, history[-1])
        last = step + 1 == recipe.steps
        if folder and machine.is_main_process and (last or (step + 1) % SAVE_EVERY == 0):
            _checkpoint(folder, net, adam, generator, history, origin, last)
    net.eval()
    return history


def grow(
    net: nn.Module,
    sample: Sample,
    loss_at: Callable[[int], Loss],
    stage: Recipe,
    finish: Recipe,
    folder: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    watch: Callable[[int, float], None] | None = None,
    origin: Origin | None = None,
) -> list[float]:
    """Stage-wise training. For t = 1…K layer t begins as a copy of layer t − 1, and all layers up
    to t are trained by ``stage`` on ``loss_at(t)``; then the whole network by ``finish``.

    origin : what the checkpoints belong to; by default each to its recipe and seed.
    """
    from accelerate import PartialState

    K = int(net.K)  # type: ignore[arg-type]
    history: list[float] = []
    for t in [*range(1, K + 1), K + 1]:
        whole = t > K
        here = folder / ("finish" if whole else f"stage-{t:02d}") if folder else None
        if 1 < t <= K:
            copy_layer(net, t - 2, t - 1)
        told = partial(_shifted, watch, len(history)) if watch else None
        recipe, loss = (finish, loss_at(K)) if whole else (stage, loss_at(t))
        history += fit(net, sample, loss, recipe, here, 1000 * seed + t, device, told, origin)
        if folder and t > 1 and PartialState().is_main_process:
            _strip(folder / f"stage-{t - 1:02d}")  # the next stage's checkpoint holds its layers
    return history


def _shifted(watch: Callable[[int, float], None], past: int, step: int, loss: float) -> None:
    watch(past + step, loss)


@torch.no_grad()
def copy_layer(net: nn.Module, source: int, target: int) -> None:
    """Give layer ``target`` the weights of layer ``source``, where the network has one a layer."""
    for child in net.children():
        if isinstance(child, nn.ParameterList):
            child[target].copy_(child[source])
    for p in net._parameters.values():
        if p is not None and p.ndim == 1 and len(p) == net.K:
            p[target] = p[source]


def _share(x: Any, machine: Any) -> Any:
    """This process's rows, on its device; tuples of tensors keep their type."""
    if not isinstance(x, Tensor):
        return type(x)(*(_share(part, machine) for part in x))
    n, i = machine.num_processes, machine.process_index
    return x[i * len(x) // n : (i + 1) * len(x) // n].to(machine.device)


def _average(weights: Sequence[Tensor], machine: Any) -> None:
    if machine.num_processes > 1:
        for p in weights:
            if p.grad is not None:
                p.grad = machine.reduce(p.grad, "mean")


def _checkpoint(
    folder: Path,
    net: nn.Module,
    adam: torch.optim.Adam,
    generator: torch.Generator,
    history: list[float],
    origin: Origin,
    finished: bool,
) -> None:
    """Everything a run needs to go on, in one file that is replaced whole."""
    from safetensors.torch import save

    tensors = {f"net.{k}": v for k, v in net.state_dict().items()}
    tensors["generator"] = generator.get_state()
    states = {} if finished else adam.state_dict()["state"]  # a finished run needs none
    for i, state in states.items():
        tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
    tensors["history"] = torch.tensor(history, dtype=torch.float64)
    about = {"origin": origin.text()}
    contiguous = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    records.write_bytes(folder / "checkpoint.safetensors", save(contiguous, about))


def _strip(folder: Path) -> None:
    """Leave only the losses in the checkpoint of a stage that the next one has taken over."""
    from safetensors.torch import load, save

    path = folder / "checkpoint.safetensors"
    if path.exists():
        kept = {k: v for k, v in load(path.read_bytes()).items() if k in ("history", "generator")}
        records.write_bytes(path, save(kept, _metadata(path)))


def _metadata(path: Path) -> dict[str, str]:
    """What a checkpoint says of itself: the recipe it belongs to."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def _resume(
    folder: Path | None,
    net: nn.Module,
    adam: torch.optim.Adam,
    generator: torch.Generator,
    origin: Origin,
) -> list[float]:
    """Load a checkpoint where there is one, and give the losses so far."""
    path = folder / "checkpoint.safetensors" if folder else None
    if path is None or not path.exists():
        return []
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors, about = load(path.read_bytes()), _metadata(path)
        if "origin" not in about:
            raise KeyError("it names no recipe")
        origin.check(path, about["origin"])
        part = lambda name: {
            k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)
        }
        if weights := part("net."):
            net.load_state_dict(weights)
        state = adam.state_dict()
        for key, value in part("adam.").items():
            i, name = key.split(".")
            state["state"].setdefault(int(i), {})[name] = value
        adam.load_state_dict(state)
        generator.set_state(tensors["generator"])
        return [float(v) for v in tensors["history"]]
    except (SafetensorError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: is no checkpoint of this run ({reason}); remove it") from None
