"""Every published figure of the chapter that is measured again. Data only."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from dunfold_lib.experiment import Experiment
from dunfold_lib.operators import Matrix
from dunfold_lib.sparse.algorithm import fista, ista
from dunfold_lib.sparse.coherence import analytic_weights, lp_weights
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.evaluation import measure, measure_method
from dunfold_lib.sparse.model import ALISTA, LISTA, LISTACP, SUPPORT, HyperLISTA, TiLISTA
from dunfold_lib.sparse.published import CURVES, LOGS, NMSE_DB
from dunfold_lib.sparse.training import EndToEnd, Growth, Search, train

K = 16
CLEAN = SparseProblem()
SMALL = SparseProblem(m=50, n=100, p=0.05)
SS = " + support selection"
CONDITIONS = {
    "": CLEAN,
    "-snr40": SparseProblem(snr_db=40),
    "-snr30": SparseProblem(snr_db=30),
    "-snr20": SparseProblem(snr_db=20),
    "-cond50": SparseProblem(condition=50),
}


def _said(problem: SparseProblem, more: str) -> str:
    noise = "no noise" if problem.snr_db == float("inf") else f"SNR {problem.snr_db:g} dB a row"
    bent = f", condition {problem.condition:g}" if problem.condition else ""
    drawn = f"Gaussian{bent}, unit columns, seed 0" if problem.A is None else "as it was given"
    return (
        f"A {problem.m}×{problem.n} {drawn}; x* Bernoulli({problem.p:g}) × N(0, 1), {noise}; "
        f"{more}; 1000 test signals, NMSE as a ratio of sums"
    )


def _solver(name: str, solver: Any, lam: float, problem: SparseProblem, db: float) -> Experiment:
    return Experiment(
        title=f"{name}, {K} steps, λ = {lam:g}",
        source=LOGS if db else "no published figure; the networks' starting point",
        protocol=_said(problem, f"λ = {lam:g}, K = {K}"),
        published={"nmse_db": db} if db else {},
        measure=partial(measure_method, solver, lam, K, problem),
        on_matrix=lambda A: _solver(name, solver, lam, replace(problem, A=A), 0.0),
    )


def _network(
    name: str,
    build: Callable[[Matrix], Any],
    *recipes: Any,
    problem: SparseProblem = CLEAN,
    db: float | None = None,
    depth: int = K,
) -> Experiment:
    """A network with its recipes "cpu" and, where there is one, "gpu"."""
    return Experiment(
        title=name,
        source=LOGS if db else CURVES[name.split(",")[0].split(" ")[0].removesuffix("SS")],
        protocol=_said(problem, f"one K = {depth} network"),
        published={"nmse_db": db} if db else {},
        build=lambda recipe=recipes[0], seed=0: build(problem.operator()),
        measure=partial(measure, problem),
        train=partial(train, problem),
        recipes=dict(zip(("cpu", "gpu"), recipes, strict=False)),
        on_matrix=lambda A: _network(
            name, build, *recipes, problem=replace(problem, A=A), depth=depth
        ),
    )


def _analytic(Network: Any, **more: Any) -> Callable[[Matrix], Any]:
    return lambda A: Network(A, K, W=analytic_weights(A.A), **more)


_MATRICES = Growth(stage_steps=100, finish_steps=400)
_LONGER = Growth(stage_steps=150, finish_steps=600)
_GENTLER = Growth(stage_steps=150, finish_steps=600, lr=5e-4, finish_lr=1.5e-4)
_MATRICES_GPU = Growth(stage_steps=2000, finish_steps=20_000, batch=512)
_NUMBERS = Growth(60, 300, batch=128, lr=1e-2, finish_lr=3e-3, clip=10.0)
_AT_ONCE = EndToEnd(steps=1000)
_NUMBERS_AT_ONCE = EndToEnd(steps=700, batch=128, lr=1e-2, clip=10.0, log=True)
# on a CPU, and on a GPU
_OF_MATRICES, _OF_MATRICES_LONGER = (_MATRICES, _MATRICES_GPU), (_LONGER, _MATRICES_GPU)
_OF_NUMBERS = (_NUMBERS, Growth(1000, 10_000, batch=512, lr=1e-2, finish_lr=3e-3, clip=10.0))

# method: (title, network, recipes)
METHODS = {
    "lista": ("LISTA, ISTA start", lambda A: LISTA(A, K), _OF_MATRICES_LONGER),
    "lista-cp": ("LISTA-CP", _analytic(LISTACP), _OF_MATRICES),
    "lista-cpss": (f"LISTA-CP{SS}", _analytic(LISTACP, support=SUPPORT), _OF_MATRICES),
    "tilista": (f"TiLISTA{SS}", _analytic(TiLISTA, support=SUPPORT), _OF_MATRICES_LONGER),
    "alista": ("ALISTA", _analytic(ALISTA), _OF_NUMBERS),
    "alista-ss": (f"ALISTA{SS}", _analytic(ALISTA, support=SUPPORT), _OF_NUMBERS),
    "hyperlista": ("HyperLISTA", lambda A: HyperLISTA(A, K), (Search(),)),
}

EXPERIMENTS = {
    "ista": _solver("ISTA", ista, 0.4, CONDITIONS["-snr40"], NMSE_DB["ista"]),
    "fista": _solver("FISTA", fista, 0.4, CONDITIONS["-snr40"], NMSE_DB["fista"]),
    **{
        f"{name}-lam0.2{end}": _solver(name.upper(), solver, 0.2, problem, 0.0)
        for end, problem in CONDITIONS.items()
        for name, solver in (("ista", ista), ("fista", fista))
    },
    **{
        f"{name}{end}": _network(title, net, *recipes, problem=problem, db=NMSE_DB.get(name + end))
        for end, problem in CONDITIONS.items()
        for name, (title, net, recipes) in METHODS.items()
    },
    "lista-analytic": _network("LISTA, analytic start", _analytic(LISTA), _GENTLER, _MATRICES_GPU),
    "hyperlista-32": _network(
        "HyperLISTA, 32 layers", lambda A: HyperLISTA(A, 32), Search(), depth=32
    ),
    "alista-ss-lp": _network(
        f"ALISTA{SS}, LP weights",
        lambda A: ALISTA(A, K, W=lp_weights(A.A), support=SUPPORT),
        _NUMBERS,
    ),
    "hyperlista-lp": _network(
        "HyperLISTA, LP weights", lambda A: HyperLISTA(A, K, W=lp_weights(A.A)), Search()
    ),
    "lista-50x100": _network(
        "LISTA, analytic start, 50×100", _analytic(LISTA), Growth(300, 1500), problem=SMALL
    ),
    # The recipe race: the same networks, other recipes. Grown runs stand above.
    "race-lista-end-to-end": _network(
        "LISTA, ISTA start, end to end", lambda A: LISTA(A, K), _AT_ONCE
    ),
    "race-lista-analytic-end-to-end": _network(
        "LISTA, analytic start, end to end", _analytic(LISTA), _AT_ONCE
    ),
    "race-lista-ss": _network(
        f"LISTA{SS}, analytic start", _analytic(LISTA, support=SUPPORT), _MATRICES
    ),
    "race-lista-cp-ista-start": _network(
        "LISTA-CP, ISTA start", lambda A: LISTACP(A, K), _MATRICES
    ),
    # LISTA and LISTA-CP from the same start by the same recipe; the other halves stand above.
    "race-lista-cp-longer": _network(
        "LISTA-CP, ISTA start, longer", lambda A: LISTACP(A, K), _LONGER
    ),
    "race-lista-analytic-shorter": _network(
        "LISTA, analytic start, shorter", _analytic(LISTA), _MATRICES
    ),
    "race-lista-cp-gentler": _network(
        "LISTA-CP, analytic start, gentler", _analytic(LISTACP), _GENTLER
    ),
    "race-alista-end-to-end": _network("ALISTA, end to end", _analytic(ALISTA), _NUMBERS_AT_ONCE),
    "race-alista-ss-end-to-end": _network(
        f"ALISTA{SS}, end to end", _analytic(ALISTA, support=SUPPORT), _NUMBERS_AT_ONCE
    ),
}
