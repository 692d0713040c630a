"""A training while it goes on: its losses, their running mean, the time that is left."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dunfold_lib import records
from dunfold_lib.show import Curves, line

POINTS = 500  # of a loss that is drawn


def read_losses(folder: Path) -> tuple[list[int], list[float]]:
    """The steps and losses of a run's loss.csv."""
    path = folder / records.LOSSES
    try:
        pairs = [row.split(",") for row in path.read_text(encoding="utf-8").splitlines()[1:]]
        return [int(step) for step, _ in pairs], [float(loss) for _, loss in pairs]
    except (OSError, ValueError):
        raise ValueError(f"{path}: is no list of losses") from None


def smooth(at: Sequence[int], losses: Sequence[float]) -> tuple[Any, Any]:
    """(steps, means): of each loss and those before it, a twenty-fifth of all."""
    width = max(len(losses) // 25, 1)
    sums = np.cumsum([0.0, *losses])
    return np.asarray(at)[width - 1 :], (sums[width:] - sums[:-width]) / width


def loss_curves(
    at: Sequence[int], losses: Sequence[float], looks: Sequence[tuple[int, float]], steps: int
) -> tuple[Curves, ...]:
    """Loss and its running mean; the score on the validation part where there is one."""
    every = max(len(losses) // POINTS, 1)
    means = smooth(at, losses)
    lines = (
        line(at[::every], losses[::every], "each step", 5),
        line(means[0][::every], means[1][::every], "running mean", 0),
    )
    log = min(losses) > 0
    drawn = Curves(
        lines,
        "step",
        "loss",
        "Loss and its running mean",
        "Loss",
        xlim=(0, max(steps, 2)),
        logy=log,
    )
    if not looks:
        return (drawn,)
    seen = line([step for step, _ in looks], [score for _, score in looks], style="path")
    title = "Score on the validation part"
    return drawn, Curves((seen,), "step", "IoU, %", title, "Validation", xlim=(0, max(steps, 2)))


def spoken(seconds: float) -> str:
    """A time in words."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Live:
    """What a training has shown so far.

    show : called with (curves, a line of text), at most once in ``every`` seconds, and at the end.
    stop : asked after every step; a true answer ends the training as Ctrl-C does.
    """

    def __init__(
        self,
        steps: int,
        show: Callable[[tuple[Curves, ...], str], None],
        stop: Callable[[], bool] = lambda: False,
        every: float = 1.0,
    ):
        self.steps, self.show, self.stop, self.every = steps, show, stop, every
        self.at: list[int] = []
        self.losses: list[float] = []
        self.looks: list[tuple[int, float]] = []
        self.begun = self.drawn = time.perf_counter()

    def watch(self, step: int, loss: float) -> None:
        """A step was taken."""
        now = time.perf_counter()
        if not self.at:
            self.begun = now
        self.at.append(step)
        self.losses.append(loss)
        if step + 1 >= self.steps or now - self.drawn >= self.every:
            self.show(loss_curves(self.at, self.losses, self.looks, self.steps), self.said(now))
            self.drawn = time.perf_counter()
        if self.stop():
            raise KeyboardInterrupt

    def look(self, step: int, score: float) -> None:
        """The validation part was looked at: a share, shown in per cent."""
        self.looks.append((step, 100 * score))

    def said(self, now: float) -> str:
        """Where the training is, and the time that is left at the pace so far."""
        step, taken = self.at[-1], len(self.at) - 1
        text = f"step {step + 1} of {self.steps}: loss {self.losses[-1]:.3g}"
        if taken:
            left = (now - self.begun) / taken * (self.steps - step - 1)
            text += f", about {spoken(left)} left"
        return text
