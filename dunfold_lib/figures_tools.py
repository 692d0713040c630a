"""Pictures of the page "Four tools": an envelope, a solver, a line search, a splitting."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.prox import soft
from dunfold_lib.show import Curves, line

X, T = 2.2, 1.0  # where the envelope's value is shown, and its width there
SLOPE = 0.3  # of Armijo's rule


def huber(x: Tensor, t: float) -> Tensor:
    """The Moreau envelope of |x|, entry by entry: x²/2t up to t, |x| − t/2 beyond (Huber 1964)."""
    checks.number("t", t, 0, open_low=True)
    return torch.where(x.abs() <= t, x**2 / (2 * t), x.abs() - t / 2)


def envelopes(widths: Sequence[float] = (0.3, 1.0, 2.5)) -> Curves:
    """|x| and its Moreau envelopes."""
    x = torch.linspace(-3, 3, 301, dtype=torch.float64)
    lines = [line(x, x.abs(), "|x|", 0)]
    lines += [line(x, huber(x, t), f"envelope, t = {t:g}", i) for i, t in enumerate(widths, 1)]
    alt = "Huber's functions lie below |x| and touch it at 0; a larger t is rounder and lower"
    return Curves(tuple(lines), "x", "", alt, "Envelopes of |x|", ylim=(-0.1, 3))


def envelope_at() -> Curves:
    """How the envelope's value at one x comes about."""
    z = torch.linspace(-1, 3.6, 301, dtype=torch.float64)
    x = torch.tensor(X, dtype=torch.float64)
    p, value = soft(x, T), huber(x, T)
    lines = (
        line(z, z.abs(), "|z|", 0),
        line(z, z.abs() + (z - x) ** 2 / (2 * T), "|z| + (z − x)²/2t", 1, "dashed"),
        line([p], [value], "least, at the prox", 2, "dots"),
        line([x], [value], "the envelope at x", 3, "dots"),
    )
    alt = "A sum of |z| and a parabola around x is least at the prox; that least value stands at x"
    return Curves(lines, "z", "", alt, f"x = {X:g}, t = {T:g}", ylim=(-0.1, 4))


def errors(runs: dict[str, Sequence[float]], bound: Sequence[float], title: str) -> Curves:
    """Relative errors step by step, and what they cannot exceed."""
    lines = [line(range(len(e)), e, name, i) for i, (name, e) in enumerate(runs.items())]
    lines.append(line(range(len(bound)), bound, "bound", 3, "dashed"))
    alt = f"{title}: the error of {' and of '.join(runs)}, and the bound, over the steps"
    return Curves(
        tuple(lines), "step", "error ÷ first error", alt, title, logy=True, ylim=(1e-8, 2)
    )


def armijo(f: Callable[[Tensor], Tensor], tried: Sequence[float]) -> Curves:
    """f along a direction, its tangent, the line that a step must stay below, the steps tried."""
    t = torch.linspace(0, 1.05, 301, dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
    start = f(zero)
    (slope,) = torch.autograd.grad(start, zero)
    start, steps = start.detach(), torch.tensor([*tried], dtype=torch.float64)
    lines = (
        line(t, f(t), "f(x + td)", 0),
        line(t, start + slope * t, "tangent", 1, "dashed"),
        line(t, start + SLOPE * slope * t, f"{SLOPE:g} of its slope", 2),
        line(steps, f(steps), "steps tried", 3, "dots"),
    )
    alt = "A step is accepted where f lies below the line that falls by a share of the slope"
    low, high = float(f(t).min()), float(f(t).max())
    room = 0.15 * (high - low)
    return Curves(lines, "t", "", alt, "Armijo's rule", ylim=(low - 2 * room, high + room))


def splitting(runs: dict[float, Sequence[float]]) -> Curves:
    """How far ADMM is from the solution, for several penalties."""
    lines = [line(range(len(e)), e, f"ρ = {rho:g}", i) for i, (rho, e) in enumerate(runs.items())]
    alt = "Distance to the solution over the steps of ADMM, one curve a penalty"
    return Curves(tuple(lines), "step", "‖z − x̂‖ ÷ ‖x̂‖", alt, "One lasso", logy=True)
