"""Other packages on the same problems: celer, skglm and scikit-learn on lassos, deepinv on ISTA.

Those that are not installed are skipped by name. A solver's time counts where its answer has the
accuracy asked for, looked at here; its tolerance is the first of a ladder that gives it. ``save``
keeps the table of the lassos for the book's page.
"""

import json
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from bench_race import Race, near, on_threads
from torch import Tensor, nn

from dunfold_lib.newton_sr import data
from dunfold_lib.newton_sr.lasso import Lasso
from dunfold_lib.newton_sr.ssnal import ssnal
from dunfold_lib.operators import Matrix
from dunfold_lib.sparse import ALISTA
from dunfold_lib.sparse.algorithm import extrapolated
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.duality import duality_gap, lasso

SAVED = Path(__file__).resolve().parents[1] / "results" / "newton_sr" / "peers.json"
GAP = 1e-10  # duality gap over the objective
LADDER = [10.0**-k for k in range(6, 19, 2)]  # tolerances; each solver has its own measure
PATIENCE = 20.0  # CPU-seconds after which no smaller tolerance is tried
SEEDS = 3
MANY = {"max_iter": 50, "max_epochs": 2000}
PEERS: dict[str, tuple[str, dict[str, int]]] = {
    "celer": ("celer", MANY),
    "skglm": ("skglm", MANY),
    "scikit-learn": ("sklearn.linear_model", {"max_iter": 50_000}),
}
CASES = {  # condition of AAᵀ, m, n, λ/λ_max
    "cond 1e1": (1e1, 300, 1200, 0.02),
    "cond 1e3": (1e3, 300, 1200, 0.02),
    "cond 1e5": (1e5, 300, 1200, 0.02),
    "cond 1e7": (1e7, 300, 1200, 0.02),
    "many features": (1e5, 300, 6000, 0.02),
    "small λ, cond 1e3": (1e3, 300, 1200, 0.001),
    "small λ, cond 1e7": (1e7, 300, 1200, 0.001),
    "dense": (1e3, 300, 1200, 0.0001),
}
Solve = Callable[[Lasso, np.ndarray, float], Tensor]
Found = dict[str, float | None]


def problem(condition: float, m: int, n: int, share: float, seed: int = 0) -> Lasso:
    """A lasso with 40 entries in truth, λ this share of λ_max."""
    A, b, _ = data.ill_conditioned(torch.Generator().manual_seed(seed), condition, m, n, 40)
    return Lasso(A, b, share * float((A.T @ b).abs().max()))


def gap(p: Lasso, x: Tensor) -> float:
    """Duality gap over the objective: it bounds how far the objective is above its minimum."""
    found = duality_gap(Matrix(p.A), p.b[None], p.lam, x[None])
    return float(found) / float(p.objective(x))


def peer(module: str, options: dict[str, int]) -> Solve | None:
    """A package's lasso, or None where it is not installed."""
    try:
        Peer = import_module(module).Lasso
    except ImportError:
        return None

    def solve(p: Lasso, A: np.ndarray, tol: float) -> Tensor:
        made = Peer(alpha=p.lam / len(p.b), tol=tol, fit_intercept=False, **options)
        made.fit(A, p.b.numpy())
        return torch.from_numpy(np.asarray(made.coef_, dtype=float))

    return solve


def solvers() -> dict[str, Solve]:
    """Ours, and the installed ones."""
    ours: dict[str, Solve] = {
        "SSNAL": lambda p, A, tol: ssnal(p, tol).x,
        "our lasso": lambda p, A, tol: lasso(Matrix(p.A), p.b[None], p.lam, tol).x[0],
    }
    others = {name: peer(*where) for name, where in PEERS.items()}
    for name in [name for name, solve in others.items() if solve is None]:
        print(f"{name} is not installed: skipped")
    return ours | {name: solve for name, solve in others.items() if solve is not None}


def missing() -> list[str]:
    """The packages of the lassos' table that are not installed."""
    return [name for name, where in PEERS.items() if peer(*where) is None]


def climbed(solve: Solve, p: Lasso) -> Found:
    """CPU-ms of the loosest tolerance whose answer has the gap; None where none has."""
    A = np.asfortranarray(p.A.numpy())
    least = float("inf")
    for tol in LADDER:
        begun = time.process_time()
        try:
            x = solve(p, A, tol)
        except (RuntimeError, ValueError):
            break  # rounding lets ours go no further
        ms = 1e3 * (time.process_time() - begun)
        least = min(least, gap(p, x))
        if least <= GAP:
            nonzeros = int((x.abs() > 1e-9).sum())
            return {"ms": round(ms, 1), "gap": least, "nonzeros": nonzeros, "tol": tol}
        if ms > 1e3 * PATIENCE:
            break
    return {"ms": None, "gap": least, "nonzeros": None, "tol": None}


def spoken(found: list[Found]) -> str:
    """The median of the seeds' times; or the worst gap where one did not arrive."""
    times = [f["ms"] for f in found]
    if None in times:
        return f"not reached ({max(f['gap'] or 0 for f in found):.0e})"
    return f"{median(ms for ms in times if ms is not None):.1f} ms"


def lassos() -> list[dict[str, Any]]:
    """Print every solver's CPU-time to the gap, on one thread; the rows of the table."""
    rows = []
    with on_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "did not converge": the gap is looked at here
        installed = solvers()
        for solve in installed.values():
            climbed(solve, problem(1e1, 50, 100, 0.1))  # compiles
        for name, numbers in CASES.items():
            problems = [problem(*numbers, seed) for seed in range(SEEDS)]
            runs = [{n: climbed(solve, p) for n, solve in installed.items()} for p in problems]
            found = {n: [run[n] for run in runs] for n in installed}
            rows.append({"case": name, "numbers": numbers, "found": found})
            shown = ", ".join(f"{n} {spoken(f)}" for n, f in found.items())
            print(f"lasso {name}, gap {GAP:g} of the objective: {shown}", flush=True)
    return rows


def save() -> None:
    """Measure the lassos and keep their table, with date, processor and versions."""
    names = ("torch", "numpy", *PEERS)
    here = {"date": date.today().isoformat(), "machine": processor(), "gap": GAP}
    here["command"] = "python tools/bench.py --save"
    found = here | {"versions": {n: metadata.version(n) for n in names}, "rows": lassos()}
    SAVED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def processor() -> str:
    """Its name, as Linux has it; elsewhere its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


@dataclass(frozen=True)
class Signals:
    """1000 measurements 250×500, and deepinv's names for their problem at λ = 0.2, 16 steps."""

    A: Matrix
    b: Tensor
    L: float
    lam: float = 0.2
    K: int = 16

    @classmethod
    def drawn(cls) -> "Signals":
        """Those of seed 0."""
        made = SparseProblem()
        A = made.operator()
        b, _ = made.sample(A, 1000, torch.Generator().manual_seed(0))
        return cls(A, b, float(torch.linalg.matrix_norm(A.A.double(), 2) ** 2))

    def deepinv(self, method: str, **more: Any) -> Callable[[], Tensor]:
        """An algorithm of deepinv on them, from zero; ImportError where it is not installed."""
        optim, physics = import_module("deepinv.optim"), import_module("deepinv.physics")
        A, zero = self.A.A, torch.zeros(len(self.b), self.A.A.shape[1])
        forward = physics.LinearPhysics(A=lambda x, **_: x @ A.T, A_adjoint=lambda y, **_: y @ A)
        prior = optim.prior.L1Prior()
        prior.prox = lambda x, *a, gamma=1.0, **k: nn.functional.softshrink(x, float(gamma))
        how: dict[str, Any] = {"stepsize": 1 / self.L, "lambda_reg": self.lam, "max_iter": self.K}
        how |= {"early_stop": False, "custom_init": lambda y, _: (zero, zero)}
        found = getattr(optim, method)(optim.data_fidelity.L2(), prior, **how, **more)
        return torch.inference_mode()(lambda: found(self.b, forward))


def iterations(name: str) -> Race | None:
    """ISTA or FISTA, and deepinv's; None where it is not installed."""
    s = Signals.drawn()
    momentum = [0.0, *((k + 2) / (k + 3) for k in range(s.K - 1))]  # deepinv's
    method, rule = {"ISTA": ("PGD", [0.0] * s.K), "FISTA": ("FISTA", momentum)}[name]
    fast = torch.inference_mode()(lambda: extrapolated(s.A, s.b, s.lam, rule, s.L)[-1])
    own = ", momentum as deepinv has it" * (name == "FISTA")
    return beside_deepinv(f"{name}, 1000 signals, 250×500, K = {s.K}{own}", s, method, fast)


def unrolled() -> Race | None:
    """An unrolled network's forward, W = A/L, and deepinv's; None where it is not installed."""
    s = Signals.drawn()
    net = ALISTA(s.A, s.K, s.lam, W=s.A.A / s.L).eval()
    with torch.no_grad():
        net.theta.fill_(s.lam / s.L)
    fast = torch.inference_mode()(lambda: net(s.b))
    title = f"forward of an unrolled ISTA, 1000 signals, 250×500, K = {s.K}"
    return beside_deepinv(title, s, "PGD", fast, unfold=True, trainable_params=["stepsize"])


def beside_deepinv(
    title: str, s: Signals, method: str, fast: Callable[[], Any], **more: Any
) -> Race | None:
    """Ours beside deepinv's; None where it is not installed."""
    try:
        plain = s.deepinv(method, **more)
    except ImportError:
        print(f"{title}: deepinv is not installed: skipped")
        return None
    return Race(f"{title}: ours | deepinv", plain, fast, near, threads=(1,))


RACES: list[Callable[[], Any]] = [
    lassos,
    partial(iterations, "ISTA"),
    partial(iterations, "FISTA"),
    unrolled,
]
