"""Tables of the chapter on semi-smooth Newton: the recorded counts of steps on lassos."""

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from dunfold_lib import records, tables
from dunfold_lib.newton_sr import evaluation
from dunfold_lib.newton_sr.figures_newton import FALLS, MOST_PRODUCTS
from dunfold_lib.tables import Table

LASSOS = ("lasso-1e1", "lasso-1e3", "lasso-1e5", "lasso-1e7", "group-lasso-1e3")


def lasso_mean(name: str, score: str) -> float | None:
    """The mean of a recorded score over the seeds; None where nothing is recorded."""
    found = records.values(f"newton_sr/{name}", score)
    return tables.mean(found) if found else None


def _counts(scores: Sequence[str]) -> list[list[str]]:
    """A row for each of ``LASSOS``: its conditioning, and the mean counts over the seeds."""
    label = lambda n: ("group lasso, " if "group" in n else "") + n[-3:]
    return [[label(n), *(_count(lasso_mean(n, s)) for s in scores)] for n in LASSOS]


def _count(mean: float | None) -> str:
    """A mean count as a cell: "> 5000" where not all got there."""
    if mean is None:
        return tables.MISSING
    return f"{mean:.0f}" if mean <= evaluation.LIMIT else f">\u00a0{evaluation.LIMIT}"


def newton_counts() -> Table:
    """The recorded outer, Newton and conjugate-gradient steps of SSNAL on the lassos."""
    caption = (
        "SSNAL to a KKT residual of 1e-12. Mean over three seeds; 300 × 1200, 40 non-zeros, 1 % "
        "noise, λ = 0.02 λ_max, float64; the group lasso: 200 × 800, 10 groups of 4"
    )
    head = ["cond(AAᵀ)", "outer steps", "Newton steps", "CG steps"]
    return head, _counts(("outer", "newton", "cg")), caption


def first_order_counts() -> Table:
    """The recorded steps of three first-order methods on the same lassos, to two accuracies, and
    the conjugate-gradient steps of SSNAL."""
    methods, gaps = ("ISTA", "FISTA", "ADMM"), ("6", "8")
    head = [f"{m} 1e-{gap}" for m in methods for gap in gaps]
    scores = [f"{m.lower()}_1e-0{gap}" for m in methods for gap in gaps]
    caption = (
        "Steps of first-order methods to a KKT residual of 1e-6 and 1e-8, at most 5000; conjugate-"
        "gradient steps of SSNAL to 1e-12"
    )
    return ["cond(AAᵀ)", *head, "SSNAL 1e-12"], _counts([*scores, "cg"]), caption


def spectra(found: Mapping[float, Sequence[float]]) -> tuple[Any, ...]:
    """A table of ``spectrum`` by the penalty; zero up to rounding is 0."""
    rows = [[f"{s:g}", *("0" if v < 1e-12 else v for v in row)] for s, row in found.items()]
    head = ["smallest eigenvalue of V at U⁰", "at the minimiser", "largest there", "Newton steps"]
    return (
        ["s", *head],
        rows,
        "V without ε, Clarke's element; 16 × 16 pixels from 8 × 8 measurements; ‖F‖ to 1e-10",
        "{:.2g}",
    )


def products_table(found: Mapping[float, Mapping[str, Sequence[float | None]]]) -> Table:
    """A table of ``products_needed`` by the penalty."""
    said = lambda v: f"{v:.0f}" if v is not None else f">\u00a0{MOST_PRODUCTS}"
    rows = [
        [f"{s:g}", name, *map(said, counts)]
        for s, methods in found.items()
        for name, counts in methods.items()
    ]
    caption = (
        "Products with D and Dᵀ until ‖F‖ has fallen by a factor; one inner problem, 16 × 16 "
        "pixels from 8 × 8; at most 400 gradient steps"
    )
    return ["s", "", *(f"‖F‖ / {fall}" for fall in FALLS)], rows, caption


def peers() -> dict[str, Any]:
    """What ``python tools/bench.py --save`` measured: solvers of other packages beside ours."""
    text = (records.results_root() / "newton_sr/peers.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def peers_table() -> Table:
    """CPU-milliseconds of lasso solvers to one duality gap: the median over the seeds."""
    found = peers()
    names = [*found["rows"][0]["found"]]
    rows = [[row["case"], *(_arrived(row["found"][n]) for n in names)] for row in found["rows"]]
    caption = (
        f"CPU-milliseconds to a duality gap of {found['gap']:g} of the objective, on one thread of "
        f"an {found['machine']}, median over three seeds; 300 × 1200 (many features: 300 × 6000, "
        "cond(AAᵀ) 1e5; dense: 1e3), λ = 0.02 λ_max (small: 0.001, dense: 0.0001). "
        f"skglm {found['versions']['skglm']}, celer {found['versions']['celer']}, "
        f"scikit-learn {found['versions']['scikit-learn']}"
    )
    return ["lasso", *names], rows, caption


def _arrived(runs: Sequence[dict[str, Any]]) -> str:
    """The median time; where a seed did not reach the gap, on how many it did."""
    times = [run["ms"] for run in runs if run["ms"] is not None]
    if len(times) < len(runs):
        return f"reached on {len(times)} of {len(runs)}"
    return f"{median(times):.0f}"


def quotes() -> dict[str, str]:
    """The recorded numbers that the chapter's sentences quote, by name."""
    newton = [v for n in LASSOS[:4] for v in records.values(f"newton_sr/{n}", "newton")]
    over = lambda a, b: f"{a / b:.1f}" if a is not None and b else tables.MISSING
    times = lambda score, name: over(lasso_mean(name, score), lasso_mean("lasso-1e1", score))
    return {
        "newton_least": f"{min(newton):.0f}",
        "newton_most": f"{max(newton):.0f}",
        "ista_times": times("ista_1e-06", "lasso-1e3"),
        "cg_times": times("cg", "lasso-1e7"),
    }
