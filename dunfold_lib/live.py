"""A training while it goes on: its losses, their running mean, the time that is left."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from dunfold_lib import records, show
from dunfold_lib.show import Curves


def read_losses(folder: Path) -> tuple[list[int], list[float]]:
    """The steps and losses of a run's loss.csv."""
    path = folder / records.LOSSES
    try:
        pairs = [row.split(",") for row in path.read_text(encoding="utf-8").splitlines()[1:]]
        return [int(step) for step, _ in pairs], [float(loss) for _, loss in pairs]
    except (OSError, ValueError):
        raise ValueError(f"{path}: is no list of losses") from None


def loss_curves(
    at: Sequence[int], losses: Sequence[float], looks: Sequence[tuple[int, float]], steps: int
) -> tuple[Curves, ...]:
    """Loss and its running mean; the score on the validation part where there is one."""
    drawn = show.losses(losses, at=at, steps=steps)
    if not looks:
        return (drawn,)
    at, scores = zip(*looks, strict=True)
    seen = show.by_name({"on the validation part": scores}, "step", "IoU, %", at)
    return drawn, replace(seen, xlim=drawn.xlim)


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
