"""Pictures of the chapter's ideas: a kink, its fan of slopes, Newton's steps at it."""

from itertools import pairwise

import torch

from dunfold_lib import checks
from dunfold_lib.prox import soft
from dunfold_lib.show import Curves, Line, line

SIGMA, LAM, B = 2.0, 1.0, 3.0  # of the example on a line: A = 1
SIZE = (4.2, 2.8)
FAN = (0.0, 0.25, 0.5, 0.75, 1.0)  # slopes at a kink


def kink(t: float = 1.0) -> Curves:
    """Soft thresholding with threshold t, and at v = t a fan of the slopes of Clarke's Jacobian."""
    checks.number("t", t, 0, open_low=True)
    v, reach = torch.linspace(-3, 3, 241).double(), torch.tensor([-0.9, 0.9]).double()
    said = lambda s: "slopes 0 to 1" if s == 0 else ""
    fan = [line(t + reach, s * reach, said(s), 1, "dashed") for s in FAN]
    return Curves(
        lines=(line(v, soft(v, t), "soft(v, 1)", 0), *fan, line([t], [0.0], "", 3, "dots")),
        xlabel="v",
        ylabel="value",
        xlim=(-3, 3),
        ylim=(-2.2, 2.2),
        title="the prox of |·|, and its slopes at the kink",
        size=SIZE,
        alt="Soft thresholding with threshold 1: flat between -1 and 1, slope 1 outside; through "
        "the kink at 1 five lines with slopes from 0 to 1",
    )


@checks.door
def on_a_line(xi: float) -> tuple[float, float]:
    """(F, V) of the inner problem with A = 1, b = 3, λ = 1, σ = 2, x = 0; at a kink V = 1."""
    checks.number("xi", xi)
    v, t = -SIGMA * xi, SIGMA * LAM
    active = abs(v) > t
    x = (v - t if v > 0 else v + t) if active else 0.0
    return xi + B - x, 1 + SIGMA * active


def newton_on_a_line(start: float) -> list[float]:
    """[ξ⁰, ξ¹, …] of Newton's method on the example, until F is 0 up to rounding."""
    path = [start]
    while abs(on_a_line(path[-1])[0]) > 1e-12 and len(path) < 12:
        F, V = on_a_line(path[-1])
        path.append(path[-1] - F / V)
    return path


def newton_at_a_kink(start: float = 2.0) -> Curves:
    """F of the example with its two kinks, and the tangents of Newton's method from a start."""
    path = newton_on_a_line(start)
    axis = torch.linspace(-4, 3, 141).double()
    values = [on_a_line(float(x))[0] for x in axis]
    low = lambda n: f"ξ{'⁰¹²³⁴⁵'[n]} = {path[n]:.3g}"
    tangents: list[Line] = []
    for n, (x, y) in enumerate(pairwise(path)):
        tangents.append(line([x, y], [on_a_line(x)[0], 0.0], low(n), n + 1, "path"))
    found = line(path[-1:], [0.0], f"{low(len(path) - 1)}, the end", 0, "dots")
    return Curves(
        lines=(line(axis, values, "F(ξ)", 5), *tangents, found),
        xlabel="ξ",
        ylabel="F",
        xlim=(-4, 3),
        ylim=(-8, 11),
        title="Newton's method over two kinks",
        size=SIZE,
        alt=f"A line with kinks at -1 and 1; tangents from {start:g} lead over "
        + ", ".join(f"{x:.3g}" for x in path[1:]),
    )
