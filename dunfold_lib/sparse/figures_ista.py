"""Figures of the chapter as functions of a few numbers, and the sliders that move them."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.metrics import psnr
from dunfold_lib.operators import Matrix
from dunfold_lib.show import Curves, Frames, Line, array, line
from dunfold_lib.sparse import theory
from dunfold_lib.sparse.algorithm import extrapolated, fista, ista, nesterov, objective
from dunfold_lib.sparse.data import masked, photograph

SOFT_POINTS = tuple(round(-2.5 + 0.05 * i, 2) for i in range(101))

# A lasso in two unknowns, ill-conditioned enough that a step of 1/L is slow along one axis.
PLANE_A = ((1.0, 0.6), (0.2, 0.9), (0.5, 0.7))
PLANE_B = (1.1, 0.3, 0.6)
PLANE_START = (-1.4, 1.6)
PLANE_STEPS, PLANE_SETTLE = 60, 1500
NO_BOUND = 1e30


def soft_playground(lam: float = 0.6, v: float = 1.0) -> tuple[Curves, Curves]:
    """The scalar problem min_p ½(p − v)² + λ|p|, and its solution as a function of v."""
    p = np.array(SOFT_POINTS)
    best = float(np.sign(v) * max(abs(v) - lam, 0)) + 0.0  # no −0
    value = lambda q: 0.5 * (q - v) ** 2 + lam * np.abs(q)
    left = Curves(
        lines=(
            line(p, 0.5 * (p - v) ** 2, "½(p − v)²", 5, "dashed"),
            line(p, value(p), "½(p − v)² + λ|p|", 0),
            line([best], [value(best)], "minimiser", 1, "dots"),
        ),
        xlabel="p",
        ylabel="value",
        xlim=(-2.5, 2.5),
        ylim=(-0.1, 5),
        alt="A parabola around v, the same parabola plus λ|p| with its kink at zero, its minimiser",
        size=(4.0, 3.2),
    )
    right = Curves(
        lines=(
            line([-2.5, 2.5], [-2.5, 2.5], "v itself", 5, "dashed"),
            line(p, np.sign(p) * np.maximum(np.abs(p) - lam, 0), "soft(v, λ)", 0),
            line([v], [best], "this v", 1, "dots"),
        ),
        xlabel="v",
        ylabel="soft(v, λ)",
        xlim=(-2.5, 2.5),
        ylim=(-2.5, 2.5),
        fixed=1,
        alt="Soft threshold against v: zero up to λ, then a line of slope one",
        size=(4.0, 3.2),
        note=f"v = {v:g}, λ = {lam:g}: soft(v, λ) = {best:.2g}",
    )
    return left, right


def lasso_plane(
    step: float = 1.0, lam: float = 0.2, momentum: str = "none"
) -> tuple[Curves, Curves]:
    """ISTA with momentum on a lasso in two unknowns, and F − F* beside the bound of ISTA.

    step : in units of 1/L.  momentum : "none", a constant such as "0.5", or "FISTA".
    """
    A, b, x0 = Matrix(_rows(PLANE_A)), _rows([PLANE_B]), _rows([PLANE_START])
    K, L = PLANE_STEPS, A.known_norm() ** 2
    constant = 0.0 if momentum in ("none", "FISTA") else float(momentum)
    betas = nesterov(K) if momentum == "FISTA" else [constant] * K
    xs = torch.cat(extrapolated(A, b, lam, betas, L / step, x0))
    best = ista(A, b, lam, PLANE_SETTLE, L, x0)[-1]
    gap = objective(A, b.expand(len(xs), -1), lam, xs) - objective(A, b, lam, best)
    distance = float((x0 - best).norm())
    bound = [_bound(step, L, distance, float(gap[0]), momentum, k) for k in range(1, K + 1)]
    error = Curves(
        lines=(
            line(range(1, K + 1), bound, "proven bound", 5, "dashed"),
            line(range(K + 1), gap.clamp(min=1e-16), "F(xᵏ) − F*", 0),
        ),
        xlabel="iteration k",
        ylabel="F(xᵏ) − F*",
        xlim=(0, K),
        ylim=(1e-13, 1e3),
        logy=True,
        alt="F(xᵏ) − F* against k on a logarithmic axis, with the bound where one is proven",
        size=(4.0, 3.7),
        note=_verdict(array(gap)),
    )
    return _plane(A, b, xs, best), error


def _plane(A: Matrix, b: Tensor, xs: Tensor, best: Tensor) -> Curves:
    """A path of iterates over the ellipses of the data term, with the ℓ1 ball through x̂."""
    size = float(best.abs().sum())
    return Curves(
        lines=(
            *_ellipses(A, b),
            line([size, 0, -size, 0, size], [0, size, 0, -size, 0], "‖x‖₁ = ‖x̂‖₁", 2, "dashed"),
            line(xs[:, 0], xs[:, 1], "xᵏ", 0, "path"),
            line(best[:, 0], best[:, 1], "x̂", 1, "dots"),
        ),
        xlabel="$x_1$",
        ylabel="$x_2$",
        xlim=(-2, 2.6),
        ylim=(-1.6, 2.2),
        equal=True,
        fixed=5,
        alt="Path of the iterates over the ellipses of the data term, with the ℓ1 ball through x̂",
        size=(4.0, 3.7),
    )


def _bound(step: float, L: float, distance: float, first: float, momentum: str, k: int) -> float:
    """What is proven of F(xᵏ) − F* for the step step/L, or ``NO_BOUND``, far above the axis."""
    if momentum == "none" and step < 2:
        return theory.ista_bound_longer(step / L, L, distance, first, k)
    if momentum == "FISTA" and step <= 1:
        return theory.fista_bound(L / step, distance, k)
    return NO_BOUND


def _rows(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _ellipses(A: Matrix, b: Tensor) -> tuple[Line, ...]:
    """Five level sets of ½‖A x − b‖² in the plane."""
    gram = A.A.T @ A.A
    centre = torch.linalg.solve(gram, A.T(b)[0])
    angle = torch.linspace(0, 2 * torch.pi, 121, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()])
    shape = torch.linalg.inv(torch.linalg.cholesky(gram).T) @ circle
    levels = [centre[:, None] + c * shape for c in (0.15, 0.5, 1.0, 1.7, 2.6)]
    return tuple(line(x, y, "", 5) for x, y in levels)


def _verdict(gap: NDArray[np.float64]) -> str:
    K, end = len(gap) - 1, float(gap[-1])
    if not (np.isfinite(end) and end <= gap[0] * 10):
        return f"after {K} steps: diverged"
    return f"after {K} steps: F − F* = " + ("below 1e-12" if end <= 1e-12 else f"{end:.1e}")


LAMS = (0.001, 0.003, 0.01, 0.03, 0.1)
STEPS = (1, 5, 20, 50, 100, 200)


@cache
def _restorations() -> tuple[Tensor, Tensor, dict[str, list[Tensor]]]:
    """Truth, measurement, and for each method the images after ``STEPS``, one row for each λ."""
    truth = photograph(256)[..., 16:192, 40:216].contiguous()
    A, b = masked(truth, kept=0.5, noise=0.02)
    lams = torch.tensor(LAMS).reshape(-1, 1, 1, 1)
    rows = b.expand(len(LAMS), -1, -1, -1)
    images = lambda xs: [A.inner(xs[k]) for k in STEPS]
    runs = {m: images(f(A, rows, lams, max(STEPS))) for m, f in (("ISTA", ista), ("FISTA", fista))}
    return truth, b, runs


def restored_psnr(method: str, lam: float, k: int) -> float:
    """PSNR in dB of the photograph after k steps; values as in ``restoration``."""
    truth, _, runs = _restorations()
    return psnr(runs[method][STEPS.index(k)][LAMS.index(lam)].clamp(0, 1), truth[0])


def restoration(lam: float = 0.03, k: int = 50, method: str = "ISTA") -> Frames:
    """A photograph from half of its pixels: truth, measurement, and the estimate after k steps.

    lam : one of ``LAMS``.  k : one of ``STEPS``.  method : "ISTA" or "FISTA".
    """
    truth, b, runs = _restorations()
    estimate = runs[method][STEPS.index(k)][LAMS.index(lam)]
    score = restored_psnr(method, lam, k)
    return Frames(
        images=tuple(array(t).squeeze() for t in (truth, b, estimate)),
        captions=(
            "truth",
            f"half of the pixels, {psnr(b, truth):.1f} dB",
            f"estimate, {score:.1f} dB",
        ),
        alt="Photograph of a man behind a camera on a tripod",
        note=f"{method}, λ = {lam:g}, k = {k}: PSNR {score:.2f} dB",
    )


def soft_explorer() -> Explorer:
    """Sliders over ``soft_playground``."""
    return Explorer(
        soft_playground,
        {
            "lam": Slider("λ", (0.0, 0.3, 0.6, 0.9, 1.2, 1.5), 2),
            "v": Slider("v", (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0), 6),
        },
        "Left: the parabola, and with λ|p| on top of it. Right: where the minimum lies, "
        "for every v.",
        script="softPlayground",
        problem={"p": SOFT_POINTS},
        guess=Guess(
            "At v = 1 and λ = 0.6 the minimum lies at 0.4. Keep λ and take v = 0.5. "
            "Where is it now?",
            ("at −0.1", "at 0", "at 0.5"),
            "at 0",
            "At 0. The slope of the parabola there is smaller than λ, so the kink holds the "
            "minimum: it stays at 0 for every v between −0.6 and 0.6. Move v and see.",
        ),
    )


def _longest_step() -> Guess:
    """Which of three steps leaves the least after all steps of ``lasso_plane``, no momentum."""
    left = {s: float(lasso_plane(s, 0.2)[1].lines[1].y[PLANE_STEPS]) for s in (0.5, 1.0, 1.7)}
    best = min(left, key=lambda s: left[s])
    choices = {s: f"{s:g}/L" for s in left}
    return Guess(
        f"No momentum, λ = 0.2. Which of these steps leaves the least after {PLANE_STEPS} steps?",
        tuple(choices.values()),
        choices[best],
        "What is left of F − F*: "
        + ", ".join(f"{left[s]:.0e} with {choices[s]}" for s in left)
        + ". The simple bound is proven up to 1/L. Now go past 2/L, and then "
        "add momentum.",
    )


def plane_explorer() -> Explorer:
    """Sliders over ``lasso_plane``; on the page its JavaScript twin computes."""
    problem = {
        "A": PLANE_A,
        "b": PLANE_B,
        "start": PLANE_START,
        "L": Matrix(_rows(PLANE_A)).known_norm() ** 2,
        "K": PLANE_STEPS,
        "settle": PLANE_SETTLE,
    }
    return Explorer(
        lasso_plane,
        {
            "step": Slider("step · L", tuple(round(0.1 * i, 1) for i in range(1, 23)), 9, "{:.1f}"),
            "lam": Slider("λ", (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2), 3, "{:g}"),
            "momentum": Slider("momentum β", ("none", "0.3", "0.6", "0.9", "FISTA"), 0),
        },
        "Where does the path leave for infinity: at step · L = 2, or sooner with momentum?",
        script="lassoPlane",
        problem=problem,
        guess=_longest_step(),
    )


def restoration_explorer() -> Explorer:
    """Sliders over ``restoration``, after a guess."""
    ends = {
        (method, lam): f"{restored_psnr(method, lam, k):.1f} dB"
        for method, k in (("ISTA", 50), ("FISTA", 200))
        for lam in (0.1, 0.01)
    }
    guess = Guess(
        f"Fifty steps of ISTA at λ = 0.1 end at {ends['ISTA', 0.1]}. Make λ ten times smaller and "
        "take fifty steps again: does the picture get better or worse?",
        ("better", "worse", "it stays the same"),
        "worse",
        f"At λ = 0.01 the same fifty steps end at {ends['ISTA', 0.01]}. But wait: FISTA after 200 "
        f"steps has {ends['FISTA', 0.01]} there, and {ends['FISTA', 0.1]} at λ = 0.1. A small λ is "
        "slow, and it keeps more of the picture. Move all three sliders to see both.",
    )
    return Explorer(
        restoration,
        {
            "lam": Slider("λ", LAMS, 4, "{:g}"),
            "k": Slider("iterations k", STEPS, 3, "{:d}"),
            "method": Slider("method", ("ISTA", "FISTA"), 0),
        },
        "Half of the pixels and noise, and what the two lines make of it after k steps.",
        guess=guess,
    )
