"""Figures of the chapter on semi-smooth Newton as functions of a few numbers, and their sliders."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import accumulate, islice
from math import log2
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.explore import Explorer, Slider
from dunfold_lib.newton_sr import data, guesses
from dunfold_lib.newton_sr.algorithm import (
    Problem,
    Solution,
    accelerated,
    armijo,
    minimise,
    newton_direction,
)
from dunfold_lib.newton_sr.downsampling import Downsample, up
from dunfold_lib.newton_sr.jacobians import Curvature, Shrink, clarke, dense, filter_norm, majorised
from dunfold_lib.newton_sr.lasso import Lasso, admm, fista, ista
from dunfold_lib.newton_sr.model import Filters
from dunfold_lib.newton_sr.ssnal import ssnal
from dunfold_lib.show import Curves, Frames, array, line

CONDITIONS = tuple(10.0**k for k in range(1, 8))  # cond(AAᵀ)
SHARES = (0.05, 0.2)  # λ/λ_max
FIRST_ORDER_STEPS, POINTS = 1000, 45  # the first-order methods' steps, and how many are drawn
LEAST = 1e-16  # what is drawn at the bottom of a logarithmic axis
_residuals = partial(Curves, logy=True, ylim=(LEAST, 10), size=(4.0, 3.3))

PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # s
CG_STEPS = (4, 16, 400)  # most conjugate-gradient steps in a Newton step
NEWTON_STEPS, MOST_PRODUCTS = 20, 400
SMOOTH, EDGE, CONTRAST = 2e-4, 0.03, 0.01  # sθ of φ; sθ of ψ, and the guide's edge that quarters it

FALLS = {"10": 1e-1, "10²": 1e-2, "10⁴": 1e-4, "10⁸": 1e-8}  # of ‖F‖, by name


class Trace(NamedTuple):
    """How a method went: after ``steps`` steps and ``products`` pairs of A and Aᵀ, ``error``."""

    steps: list[float]
    products: list[float]
    error: list[float]


def small_lasso(condition: float, share: float) -> Lasso:
    """A lasso with 40 measurements of 160 unknowns, 6 of them non-zero; λ = share · λ_max."""
    A, b, _ = data.ill_conditioned(torch.Generator().manual_seed(0), condition, 40, 160, 6)
    return Lasso(A, b, share * float((A.T @ b).abs().max()))


@cache
def race(condition: float, share: float) -> dict[str, Trace]:
    """KKT residuals of SSNAL after each outer step, of the others at ``POINTS`` of their steps."""
    problem = small_lasso(condition, share)
    found = ssnal(problem)
    spent = accumulate(n + c for n, c in zip(found.psi, found.cg, strict=True))
    traces = {"SSNAL": Trace([*map(float, accumulate(found.newton))], [*spent], found.kkt)}
    top = FIRST_ORDER_STEPS
    drawn = {round(top ** (i / (POINTS - 1))) for i in range(POINTS)}
    for name, method in {"ADMM": admm, "FISTA": fista, "ISTA": ista}.items():
        iterates = enumerate(method(problem), 1)
        kept = [(k, problem.kkt(x)) for k, x in islice(iterates, top) if k in drawn]
        k, kkt = [float(k) for k, _ in kept], [v for _, v in kept]
        traces[name] = Trace(k, k, kkt)
    return traces


def conditioning(condition: float = 1e3, share: float = 0.05) -> tuple[Curves, Curves]:
    """KKT residual of four methods, against their steps and against products with A and Aᵀ."""
    traces = race(condition, share)
    newton = traces["SSNAL"]
    ends = ", ".join(f"{n} {t.error[-1]:.0e}" for n, t in traces.items() if n != "SSNAL")
    note = (
        f"cond(AAᵀ) = {condition:.0e}, λ = {share:g} λ_max: SSNAL {newton.error[-1]:.0e} after "
        f"{newton.steps[-1]:.0f} steps, {newton.products[-1]:.0f} products; "
        f"after {FIRST_ORDER_STEPS} steps {ends}"
    )

    def panel(x: str, xlabel: str, alt: str, note: str = "") -> Curves:
        lines = tuple(
            line(getattr(t, x), _shown(t.error), name, i, "path" if name == "SSNAL" else "solid")
            for i, (name, t) in enumerate(traces.items())
        )
        xlim = (1, FIRST_ORDER_STEPS)
        return _residuals(lines, xlabel, "KKT residual", alt, logx=True, xlim=xlim, note=note)

    return (
        panel("steps", "steps (SSNAL: Newton steps)", "KKT residual of four methods by steps"),
        panel("products", "products with A and Aᵀ", "KKT residual by products with A", note),
    )


def _shown(values: Sequence[float]) -> list[float]:
    """Values on a logarithmic axis."""
    return [max(v, LEAST) for v in values]


class Depth(NamedTuple):
    """A made-up depth image to be found from few pixels and a guide, and where to start."""

    problem: Problem
    start: Tensor  # (1, 1, side, side): bicubic
    truth: Tensor
    Y: Tensor  # guide


def depth(s: float, side: int = 16, ratio: int = 2) -> Depth:
    """The multi-modal model on ``data.planes``; φ on second, ψ on first differences.

    s : both penalties; sθ stays. ψ's threshold is small where the guide has an edge. The filters
    are scaled to ‖T‖ = 1, so each P is the prox of a convex function; T T* is not I.
    """
    checks.number("s", s, 0, open_low=True)
    scene = data.planes(torch.Generator().manual_seed(0), side, 5, 0.02)
    truth, Y = (x.double() for x in scene)
    D = Downsample((side, side), ratio, 1, torch.float64)
    noise = torch.randn(1, *D.codomain, generator=torch.Generator().manual_seed(0)).double()
    Z = D(truth) + 0.005 * ratio * noise
    first, second = differences([0.0, -1.0, 1.0]), differences([1.0, -2.0, 1.0])
    zero = Z.new_zeros(())
    edges = 1 / (1 + (first(Y) / CONTRAST) ** 2)
    priors = (Shrink(second, zero + SMOOTH / s, zero), Shrink(first, EDGE / s * edges, zero))
    problem = Problem(D, Z, priors, (s, s), (0 * truth, 0 * truth))
    return Depth(problem, up(Z / ratio, ratio), truth, Y)


def differences(weights: list[float]) -> Filters:
    """Three weights along rows and along columns, as two filters with ‖T‖ = 1."""
    w = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    w[0, 0, 1] = w[1, 0, :, 1] = torch.tensor(weights, dtype=torch.float64)
    return Filters(w / filter_norm(w))


def newton_trace(
    problem: Problem, U: Tensor, M: Curvature, steps: int, cg: int, tol: float = 1e-13
) -> Trace:
    """‖F‖ under Newton–CG with Armijo's rule; every product with V, F and Φ counts as a pair."""
    trace, spent = Trace([], [], []), 1.0
    for k in range(steps + 1):
        F = problem.F(U)
        size = float(F.norm())
        for values, new in zip(trace, (float(k), spent, size), strict=True):
            values.append(new)
        if size <= tol:
            break
        d, made = newton_direction(problem, U, F, cg, M)
        t = armijo(problem, U, d, float(problem.Phi(U).sum()), float((F * d).sum()))
        if t == 0:
            break
        spent += made + 2 - log2(t)  # V's, F at the new point, Φ at every trial
        U = U + t * d
    return trace


@cache
def gradient_trace(s: float) -> Trace:
    """‖F‖ under Nesterov's method on ``depth(s)``: one pair a step, and one for the first F."""
    problem, start, *_ = depth(s)
    Us = accelerated(problem, start, MOST_PRODUCTS, 1 / (1 + 2 * s))
    k = [float(i) for i in range(MOST_PRODUCTS + 1)]
    return Trace(k, [i + 1 for i in k], [float(problem.F(U).norm()) for U in Us])


def primal(s: float = 1.0, cg: int = 400) -> tuple[Curves, Curves]:
    """‖F‖ of one inner problem, by Newton steps and by products, for two curvatures."""
    problem, start, *_ = depth(s)
    curvatures = {"Clarke": clarke, "majorised": majorised}
    traces = {n: newton_trace(problem, start, M, NEWTON_STEPS, cg) for n, M in curvatures.items()}
    within = lambda t: sum(p <= MOST_PRODUCTS for p in t.products)
    by_step = tuple(
        line(t.steps, _shown(t.error), n, i, "path") for i, (n, t) in enumerate(traces.items())
    )
    traces["gradient"] = gradient_trace(s)
    by_product = tuple(
        line(t.products[: within(t)], _shown(t.error[: within(t)]), name, i)
        for i, (name, t) in enumerate(traces.items())
    )
    ends = ", ".join(f"{name} {t.error[-1]:.0e}" for name, t in traces.items())
    note = f"s = {s:g}, at most {cg} steps of CG: ‖F‖ ends at {ends}"
    alt = "Norm of F on a logarithmic axis against "
    steps = alt + "Newton steps, for two curvatures"
    work: dict[str, Any] = {"logx": True, "xlim": (1, MOST_PRODUCTS), "note": note}
    return (
        _residuals(by_step, "Newton steps", "‖F‖", steps, xlim=(0, NEWTON_STEPS)),
        _residuals(by_product, "products with D and Dᵀ", "‖F‖", f"{alt}products", **work),
    )


def conditioning_explorer() -> Explorer:
    """Sliders over ``conditioning``."""
    return Explorer(
        conditioning,
        {
            "condition": Slider("cond(AAᵀ)", CONDITIONS, 0, "{:.0e}"),
            "share": Slider("λ / λ_max", SHARES, 0, "{:g}"),
        },
        "KKT residual against steps, and against products with A. Make A worse and worse.",
        guess=guesses.CONDITIONING,
    )


def primal_explorer() -> Explorer:
    """Sliders over ``primal``."""
    return Explorer(
        primal,
        {
            "s": Slider("penalty s", PENALTIES, 2, "{:g}"),
            "cg": Slider("most CG steps", CG_STEPS, 2, "{:d}"),
        },
        "Follow the first three steps, then the last ones. Then allow only four steps of CG.",
        guess=guesses.PRIMAL,
    )


# --- tables and curves of what is recorded, and of what the page computes ---


def local(found: Mapping[str, Sequence[float]]) -> Curves:
    """‖F‖ against Newton steps, one curve for each inner problem by its name."""
    return Curves(
        lines=tuple(
            line(range(len(sizes)), sizes, name, 1 - i, "path")
            for i, (name, sizes) in enumerate(found.items())
        ),
        xlabel="Newton step k",
        ylabel="‖F(ξᵏ)‖",
        logy=True,
        alt="Norm of the gradient of the inner problem against Newton steps on a logarithmic axis: "
        "both curves bend down and end at rounding",
        size=(5.4, 2.8),
    )


def spectrum(s: float) -> list[float]:
    """Smallest eigenvalue of V at the start and at the minimiser, the largest there, Newton steps.

    s : both penalties of ``depth``. V is Clarke's element without ε.
    """
    problem, start, *_ = depth(s)
    U, sizes, *_ = minimise(problem, start, 1e-10, 60, 400)
    values = lambda x: torch.linalg.eigvalsh(dense(problem.V(x, 0.0, clarke), x))
    first, last = values(start), values(U)
    return [max(float(first[0]), 0.0), float(last[0]), float(last[-1]), len(sizes) - 1]


def solved(d: Depth, found: Solution) -> tuple[Frames, Curves]:
    """Truth, guide, start and minimiser of a depth image; ‖F‖ over all Newton steps."""
    error = lambda U: float(255 * (U - d.truth).square().mean().sqrt())
    curve, at = [], 0
    for i, sizes in enumerate(found.residuals):
        curve.append(line(range(at, at + len(sizes)), sizes, "", i % 2, "path"))
        at += len(sizes) - 1
    estimates = f"bicubic ×4, RMSE {error(d.start):.1f}", f"minimiser, RMSE {error(found.U):.1f}"
    frames = Frames(
        images=tuple(array(x).squeeze() for x in (d.truth, d.Y, d.start, found.U)),
        captions=("truth", "guide", *estimates),
        alt="Made-up depth image of five planar regions, 32 by 32 pixels",
        zoom=5,
    )
    curves = Curves(
        lines=tuple(curve),
        xlabel="Newton steps, all outer steps in a row",
        ylabel="‖F‖",
        logy=True,
        size=(5.2, 3.2),
        alt="Norm of F against Newton steps on a logarithmic axis, one piece for each outer step",
    )
    return frames, curves


def products_needed(s: float) -> dict[str, list[float | None]]:
    """Pairs of D and Dᵀ until ‖F‖ of ``depth(s)`` has fallen by each of ``FALLS``; None: never."""
    problem, start, *_ = depth(s)
    newton = newton_trace(problem, start, clarke, 40, 400)
    traces = {"Newton": newton, "gradient": gradient_trace(s)}
    pairs = lambda t, fall: next(
        (p for p, e in zip(t.products, t.error, strict=True) if e <= fall * t.error[0]), None
    )
    return {name: [pairs(t, fall) for fall in FALLS.values()] for name, t in traces.items()}
