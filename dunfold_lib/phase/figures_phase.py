"""What the chapter draws: a landscape of two numbers, the start over oversampling, a flow."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import experiment, fetch, show
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.phase import data, theory
from dunfold_lib.phase.algorithm import HEAVY, KINDS, flow, largest, objective, spectral
from dunfold_lib.phase.data import Seen
from dunfold_lib.show import Curves, Line, line

TRUTH = (1.0, 0.5)  # of the landscape
SIDE = 2.0  # of it, from the middle
ANGLES = tuple(range(0, 360, 15))


@cache
def scene() -> tuple[Seen, Tensor]:
    """(b, x*) of two real numbers and 40 amplitudes, float64."""
    A = data.matrices(1, 40, 2, 1, torch.Generator().manual_seed(1), torch.float64)
    truth = torch.tensor([TRUTH], dtype=torch.float64)
    return data.seen(A, truth), truth


def values(points: Tensor) -> Tensor:
    """f of the scene at points (count, 2)."""
    b, _ = scene()
    many = Seen(b.y.expand(len(points), -1), b.A.expand(len(points), -1, -1, -1))
    return objective(many, points)


@fetch.cached(fetch.nowhere)
def contours() -> list[Line]:
    """Lines of equal f."""
    from contourpy import contour_generator

    at = np.linspace(-SIDE, SIDE, 81)
    X, Y = np.meshgrid(at, at)
    points = torch.from_numpy(np.stack([X.ravel(), Y.ravel()], 1))
    f = values(points).reshape(X.shape).numpy()
    levels = float(f.max()) * np.array([0.01, 0.03, 0.07, 0.13, 0.2, 0.3, 0.45])
    drawn: Any = contour_generator(X, Y, f)
    pieces = [piece for level in levels for piece in drawn.lines(level)]
    return [line(p[:, 0], p[:, 1], "equal f" if i == 0 else "", 5) for i, p in enumerate(pieces)]


def descent(angle: int, steps: int = 30) -> list[Tensor]:
    """Plain amplitude flow from a short vector in a direction, in degrees, by the exact 1/L."""
    b, _ = scene()
    turn = math.radians(angle)
    start = 0.1 * torch.tensor([[math.cos(turn), math.sin(turn)]], dtype=torch.float64)
    t = largest(b) / float(theory.lipschitz(b.A)[0])  # a multiple of a large Gaussian matrix's 1/L
    return flow(b, steps, t, start=start)


def landscape(angle: int = 105) -> Curves:
    """The contours, both minima, and a descent from near 0."""
    xs = torch.cat(descent(angle))
    _, truth = scene()
    (p, q) = truth[0].tolist()
    ends = "x*" if float((xs[-1] - truth[0]).norm()) < float((xs[-1] + truth[0]).norm()) else "−x*"
    return Curves(
        lines=(
            *contours(),
            line([p, -p], [q, -q], "x* and −x*", 2, "dots"),
            line(xs[:, 0], xs[:, 1], "the flow", 1, "path"),
        ),
        xlabel="first number",
        ylabel="second number",
        xlim=(-SIDE, SIDE),
        ylim=(-SIDE, SIDE),
        fixed=len(contours()) + 1,
        equal=True,
        alt="Lines of equal loss with two minima, opposite each other, and a descent from near 0",
        size=(5.0, 4.6),
        note=f"from 0.1 at {angle}°: it ends at {ends}, f = {float(values(xs[-1:])[0]):.1e}",
    )


def landscape_explorer() -> Explorer:
    """Slider over ``landscape``, with a guess."""
    slow = line_of_saddles()
    asked = "Two minima, x* and −x*. What is the point 0 between them?"
    choices = ("a third, poorer minimum", "a saddle", "a maximum with a cusp")
    answer = (
        "From 0 the loss falls in every direction, like a cone: a local maximum with a cusp. The "
        f"saddles lie beside it, where starts to the left and to the right part: try {slow}°."
    )
    return Explorer(
        landscape,
        {"angle": Slider("direction of the start, degrees", ANGLES, 7, "{:d}")},
        "Two real numbers, 40 amplitudes. The flow begins at a distance of 0.1 from 0.",
        guess=Guess(asked, choices, choices[2], answer),
    )


def line_of_saddles() -> int:
    """The first direction of ANGLES at which the end changes from x* to −x*."""
    _, truth = scene()
    side = [float((descent(angle)[-1] * truth).sum()) > 0 for angle in ANGLES]
    return next(ANGLES[i] for i in range(1, len(side)) if side[i] != side[i - 1])


# the start


@fetch.cached(fetch.nowhere)
def overlaps(width: int, n: int, deltas: tuple[float, ...], draws: int) -> dict[str, list[float]]:
    """The mean overlap of the spectral start at each m/n, by its preprocessing."""
    g = torch.Generator().manual_seed(3)
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for delta in deltas:
        b, truth = data.draw(draws, round(delta * n), g, width, n)
        for kind in KINDS:
            found[kind].append(float(theory.overlap(spectral(b, kind), truth, width).mean()))
    return found


def starts(width: int = 1, n: int = 128) -> Curves:
    """The overlap of three starts over m/n, and what theory says of the best."""
    unit = theory.threshold(width)
    at = tuple(unit * k for k in (0.5, 1, 1.5, 2, 3, 4, 6, 8))
    found = overlaps(width, n // width, at, 12)
    fine = np.linspace(at[0], at[-1], 60)
    named = {"optimal": "T = 1 − 1/y²", "trimmed": "trimmed y²", "plain": "y²"}
    kind = "real" if width == 1 else "complex"
    return Curves(
        lines=(
            line(fine, [theory.predicted_overlap(float(v), width) for v in fine], "theory", 5),
            *(line(at, found[k], named[k], i, "path") for i, k in enumerate(KINDS)),
        ),
        xlabel="oversampling m/n",
        ylabel="overlap ρ",
        ylim=(0, 1),
        title=f"{kind}, n = {n // width}",
        alt=f"Overlap of three spectral starts against oversampling, {kind}, with the prediction",
    )


# one signal through a flow and through the network

SHOWN = (1.5, 1.75, 2.0, 2.25, 2.5, 3.0)
DEPTHS = (0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20)


@fetch.cached(fetch.nowhere)
def courses(delta: float) -> dict[str, Tensor]:
    """Relative errors (21, 32) after each step or layer of fresh real signals, by method."""
    b, truth = data.draw(32, round(delta * data.N), torch.Generator().manual_seed(7))
    net = experiment.load("phase/network-real", "cpu", 0)
    with torch.no_grad():
        runs = {"20 steps": flow(b, 20, *HEAVY[1]), "20 layers": net.iterates(b)}
    error = lambda xs: torch.stack([data.relative_error(x, truth) for x in xs])
    return {name: error(xs) for name, xs in runs.items()}


def course(delta: float = 2.0, k: int = 20) -> Curves:
    """The share of signals within an error, after k steps or layers."""
    found = courses(delta)
    share = np.arange(1, 33) / 32
    ends = {name: float((e[k] <= 1e-2).double().mean()) for name, e in found.items()}
    told = ", ".join(f"{name} {100 * v:.0f} %" for name, v in ends.items())
    return Curves(
        lines=(
            line([1e-2, 1e-2], [0, 1], "success", 5, "dashed"),
            *(
                line(e[k].sort().values.clamp_min(1e-5), share, name, i, "path")
                for i, (name, e) in enumerate(found.items())
            ),
        ),
        xlabel="relative error, up to the sign",
        ylabel="share of signals within it",
        xlim=(1e-5, 2),
        ylim=(0, 1),
        logx=True,
        fixed=1,
        alt="The share of 32 signals within an error, for steps of the flow and for layers",
        size=(5.2, 3.4),
        note=f"m/n = {delta:g}, after {k}: within 1 %: {told}",
    )


def course_explorer() -> Explorer:
    """Sliders over ``course``, with a guess."""
    ends = {name: float((e[20] <= 1e-2).double().mean()) for name, e in courses(2.0).items()}
    steps, layers = (f"{100 * v:.0f} %" for v in ends.values())
    asked = "At m/n = 2 the same 20 steps, with learned constants: what changes?"
    choices = ("about as many signals are recovered", "far more", "far fewer")
    answer = (
        f"After 20 steps {steps} of these 32 signals are recovered, after 20 layers {layers}. "
        "The constants that it began with were chosen for 20 steps: there is little left to learn."
    )
    return Explorer(
        course,
        {
            "delta": Slider("oversampling m/n", SHOWN, 5, "{:g}"),
            "k": Slider("steps or layers", DEPTHS, 0, "{:d}"),
        },
        "32 fresh real signals, n = 64, each with a matrix of its own.",
        guess=Guess(asked, choices, choices[0], answer),
    )


def trained_here(
    losses: Sequence[float], shares: Mapping[str, Sequence[float]], at: Sequence[float]
) -> list[Curves]:
    """A short training: its loss, and success over oversampling beside the flow's."""
    return [show.losses(losses, "log₁₀"), show.by_name(shares, "oversampling m/n", "success", at)]
