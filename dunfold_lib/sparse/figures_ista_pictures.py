"""Pictures of ISTA's theorems: bounds, rates, floors, the path of solutions, the majorants."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dunfold_lib.prox import soft
from dunfold_lib.show import Curves, array, each_line, line

_by_step = partial(Curves, xlabel="iteration k", logy=True)


def proven(bound: Mapping[str, Sequence[float]], gaps: Mapping[str, Sequence[float]]) -> Curves:
    """F(xᵏ) − F* of some methods against k ≥ 1, each beside its bound (dashed)."""
    seen = lambda gap: [v if v > 1e-13 else float("nan") for v in gap]
    lines = []
    for i, name in enumerate(bound):
        k = range(1, len(bound[name]) + 1)
        lines.append(line(k, bound[name], f"bound of {name}", i, "dashed"))
        lines.append(line(k, seen(gaps[name][1:]), name, i))
    return _by_step(
        lines=tuple(lines),
        ylabel="F(xᵏ) − F*",
        logx=True,
        ylim=(1e-13, 1e2),
        alt="Measured objective error of ISTA and FISTA, each below its dashed bound at every k",
        size=(5.4, 3.5),
    )


def identified(error: Sequence[float], k0: int, rate: float) -> Curves:
    """The distance to the solution against k, and the proven rate from the step k0 on."""
    shown = [k for k, e in enumerate(error) if e > 1e-11]
    after = range(k0, len(error))
    return _by_step(
        lines=(
            line(shown, [error[k] for k in shown], "‖xᵏ − x̂‖", 0),
            line(after, [error[k0] * rate ** (k - k0) for k in after], "proven rate", 1, "dashed"),
            line([k0], [error[k0]], "signs identified", 2, "dots"),
        ),
        ylabel="distance to x̂",
        ylim=(1e-11, 10),
        alt="Distance to the solution: slow at first, then a straight line on a logarithmic axis",
        size=(5.4, 3.3),
    )


def floors(distances: Mapping[float, Sequence[float]]) -> Curves:
    """The distance to the truth against k ≥ 1, a curve for each λ."""
    return _by_step(
        lines=each_line({f"λ = {lam:g}": d[1:] for lam, d in distances.items()}),
        ylabel="‖xᵏ − x*‖",
        logx=True,
        alt="Distance to the truth for four values of λ: smaller λ takes longer and ends lower",
        size=(5.4, 3.3),
    )


def solution_path(grid: Sequence[float], codes: Tensor, on: Tensor) -> Curves:
    """Entries of the solutions against λ/λ_max, coloured by whether they are in the true support.

    grid : values of λ, the first of them λ_max.  codes : (len(grid), n).  on : (n,), boolean.
    """
    x, share = array(codes), array(grid) / grid[0]
    ever = [int(j) for j in np.flatnonzero((np.abs(x) > 1e-9).any(0))]
    names = {True: "in the support of x*", False: "not in it"}
    lines = []
    for j in sorted(ever, key=lambda j: not on[j]):
        name = names.pop(bool(on[j]), "")  # one label for each kind
        lines.append(line(share, x[:, j], name, 0 if on[j] else 1))
    return Curves(
        lines=tuple(lines),
        xlabel="λ / λ_max",
        ylabel="entries of x̂(λ)",
        logx=True,
        xlim=(1, 1e-2),
        size=(5.4, 3.3),
        alt="Entries of the solution as λ falls: the true support first, then false ones",
    )


MAJORISED = {"curvature": 0.5, "centre": 3.0, "L": 1.0, "lam": 0.5, "start": -1.5}


def majorised_path(steps: int = 3) -> list[float]:
    """The start and ``steps`` minimisers of the majorants of ``majorants``, each from the last."""
    m, xs = MAJORISED, [MAJORISED["start"]]
    for _ in range(steps):
        v = xs[-1] - m["curvature"] * (xs[-1] - m["centre"]) / m["L"]
        xs.append(float(soft(torch.tensor(v), m["lam"] / m["L"])))
    return xs


def majorants() -> Curves:
    """An objective F of one unknown, two of its majorants, and the steps that they make."""
    m, xs, p = MAJORISED, majorised_path(), np.linspace(-2.2, 4.2, 193)
    f = lambda x: 0.5 * m["curvature"] * (x - m["centre"]) ** 2
    F = lambda x: f(x) + m["lam"] * np.abs(x)
    slope = lambda x: m["curvature"] * (x - m["centre"])
    above = lambda x: f(x) + slope(x) * (p - x) + 0.5 * m["L"] * (p - x) ** 2 + m["lam"] * np.abs(p)
    return Curves(
        lines=(
            line(p, F(p), "F", 0),
            line(p, above(xs[0]), "majorant at x⁰", 1, "dashed"),
            line(p, above(xs[1]), "majorant at x¹", 2, "dashed"),
            line(xs[:3], [F(x) for x in xs[:3]], "x⁰, x¹, x²", 3, "dots"),
        ),
        xlabel="x",
        ylabel="objective",
        xlim=(-2.2, 4.2),
        ylim=(0, 8),
        size=(6.4, 3.0),
        alt="An objective with a kink; two parabolas with the same kink lie above it and touch it",
    )
