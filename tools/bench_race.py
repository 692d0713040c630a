"""A race: two forms of one computation that give the same answer, in turns, and their ratio."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

ONE_TWO = (1, 2)


@dataclass(frozen=True)
class Race:
    """Two forms of one computation; ``same`` raises if their answers differ.

    threads : how many to run it with, one number after the other; torch's own choice where empty.
    """

    name: str
    plain: Callable[[], Any]
    fast: Callable[[], Any]
    same: Callable[[Any, Any], None]
    turns: int = 7
    threads: tuple[int, ...] = ()


def seconds(run: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one run: on the wall, or by another clock."""
    begun = clock()
    run()
    return clock() - begun


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Inside it torch computes on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def report(race: Race) -> None:
    """Run a race and print its ratio: the median of the turns'."""
    print(race.name, flush=True)
    race.same(race.plain(), race.fast())
    for threads in race.threads or (torch.get_num_threads(),):
        clock = time.process_time if threads == 1 else time.perf_counter
        runs = (race.plain, race.fast)
        with on_threads(threads):
            pairs = [tuple(seconds(run, clock) for run in runs) for _ in range(race.turns)]
        ratios = sorted(p / f for p, f in pairs)
        spread = f"{ratios[0]:.1f}–{ratios[-1]:.1f} over {race.turns} turns"
        told = f"{threads} thread{'s' * (threads > 1)}: " if race.threads else ""
        fast = 1e3 * min(f for _, f in pairs)
        print(f"  {told}{median(ratios):.1f} times faster ({spread}; {fast:.1f} ms)", flush=True)


def near(x: Any, y: Any, tol: float = 1e-4) -> None:
    """Raise where two tensors, or two lists of them, differ by more than ``tol`` of the largest."""
    pairs = [(x, y)] if isinstance(x, Tensor) else [*zip(x, y, strict=True)]
    for p, q in pairs:
        gap = float((p - q).detach().abs().max() / p.detach().abs().max().clamp(min=1e-12))
        assert gap < tol, f"the answers differ by {gap:.1e}"


def gradients(f: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Derivatives of f's sum of squares with respect to its inputs."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    return list(torch.autograd.grad(f(*leaves).square().sum(), leaves))


def form(f: Callable[..., Any], *x: Tensor, backward: bool = False) -> Callable[[], Any]:
    """A function on its tensors, ready to run; with gradients where asked for."""
    if backward:
        return partial(gradients, f, *x)
    return torch.inference_mode()(partial(f, *x))


def as_written(net: Any) -> Any:
    """The plain form: module after module, filters in torch's own order."""
    return deepcopy(net).to(memory_format=torch.contiguous_format)
