"""Tables and curves of the chapters on learned algorithms: what is recorded, and quoted of it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from dunfold_lib import records, tables
from dunfold_lib.show import Curves, each_line, line
from dunfold_lib.sparse import theory
from dunfold_lib.sparse.experiments import EXPERIMENTS
from dunfold_lib.sparse.figures_learned import EXACT, weights
from dunfold_lib.tables import Table

RACE = (
    "race-lista-end-to-end",
    "lista",
    "race-lista-analytic-end-to-end",
    "lista-analytic",
    "race-lista-ss",
)  # LISTA by five recipes
COUPLED = (
    ("ISTA", "150 a layer, 600 at the end; 1e-3", "lista", "race-lista-cp-longer"),
    ("analytic", "100, 400; 1e-3", "race-lista-analytic-shorter", "lista-cp"),
    ("analytic", "150, 600; 5e-4", "lista-analytic", "race-lista-cp-gentler"),
    ("analytic, with support selection", "100, 400; 1e-3", "race-lista-ss", "lista-cpss"),
)  # equal training: start, steps and rate, LISTA, LISTA-CP
CONDITIONS = {
    "-snr40": "SNR 40 dB",
    "-snr30": "30 dB",
    "-snr20": "20 dB",
    "-cond50": "condition 50",
}
ANALYTIC = ("lista-cp", "lista-cpss", "tilista", "alista", "alista-ss")  # their start
METHODS = ("ista-lam0.2", "fista-lam0.2", "lista", *ANALYTIC, "hyperlista")
SHIFTED = ("lista-cpss", "tilista", "alista-ss", "hyperlista")
LONE = ("race-alista-end-to-end", "race-alista-ss-end-to-end", "race-lista-ss")
ERROR = "NMSE, dB"
_by_layer = partial(Curves, xlabel="layer k", logy=True)


def each(name: str, score: str = "nmse_db") -> list[Any]:
    """A score of every recorded run; NMSE is in decibels, of which the lower is ahead."""
    return records.values(f"sparse/{name}", score)


def mean(name: str) -> float:
    """The mean recorded NMSE in dB."""
    return float(np.mean(each(name)))


def trainings(*names: str) -> int:
    """The least number of recorded trainings that one of some experiments has."""
    return min(len(each(name)) for name in names)


def _db(name: str, score: str = "nmse_db") -> str:
    return tables.summary(each(name, score))


def _minus(value: float, digits: int = 1) -> str:
    return tables.minus_sign(f"{value:.{digits}f}")


def _curve(name: str, score: str = "nmse_db_per_layer") -> Any:
    return np.mean(each(name, score), axis=0)


def _layers(labels: Mapping[str, str], alt: str, size: tuple[float, float]) -> Curves:
    """The recorded error of every layer, a curve an experiment, mean over its seeds."""
    lines = each_line({label: _curve(n) for n, label in labels.items()}, range(17))
    return Curves(lines, "layer k of one K = 16 network", ERROR, size=size, alt=alt)


def published() -> Table:
    """ISTA and FISTA by the protocol that the sparse chapters share: published and ours."""
    rows = []
    for name in ("ista", "fista"):
        e, found = EXPERIMENTS[name], each(name)
        ours = f"{np.mean(found):.2f} ± {np.ptp(found) / 2:.2f} ({len(found)} seeds)"
        rows.append([e.title, f"{e.published['nmse_db']:.2f}", ours])
    head = ["", "NMSE published, dB", "NMSE ours, dB"]
    return head, rows, EXPERIMENTS["ista"].protocol


def lista_recipes() -> Table:
    """LISTA by five recipes: its error, how many seeds, and how long a training took."""
    rows = []
    for name in RACE:
        seconds = [r["cpu_seconds"] for r in records.recorded(f"sparse/{name}")]
        said = f"{np.mean(seconds):.0f}" if seconds else tables.NONE
        rows.append([EXPERIMENTS[name].title, _db(name), len(seconds), said])
    head = ["LISTA, 6,000,016 numbers", ERROR, "seeds", "CPU-seconds"]
    return head, rows, EXPERIMENTS["lista"].protocol


def lista_layers() -> Curves:
    """The recorded error of every layer of ISTA, FISTA and three LISTAs."""
    labels = {
        "ista-lam0.2": "ISTA",
        "fista-lam0.2": "FISTA",
        "race-lista-end-to-end": "LISTA, end to end",
        "lista": "LISTA, grown",
        "lista-analytic": "LISTA, grown, analytic start",
    }
    alt = "Error against layer for ISTA, FISTA and three LISTAs that differ in their recipe only"
    return _layers(labels, alt, (5.4, 3.6))


def coupling(found: Sequence[float], theta: Sequence[float]) -> Curves:
    """How far every layer of a LISTA is from coupled weights, and its thresholds."""
    k = range(1, len(found) + 1)
    return _by_layer(
        lines=(
            line(k, found, "‖W2 − (I − W1 A)‖₂", 0, "path"),
            line(k, theta, "threshold θ", 1, "path"),
        ),
        ylabel="size",
        alt="The distance from coupling and the threshold, both far smaller in the last layer than "
        "in the first",
        size=(5.4, 3.3),
    )


def necessary(runs: Mapping[str, Sequence[float]]) -> Curves:
    """The largest error of every layer with both halves of the condition, and with each alone."""
    return _by_layer(
        lines=each_line(runs),
        ylabel="largest ‖xᵏ − x*‖₂",
        alt="Coupled with vanishing thresholds falls to zero; with a floor it stops; pushed it "
        "falls, then grows",
        size=(5.4, 3.5),
    )


def bounded(runs: Mapping[float, tuple[Sequence[float], Sequence[float]]]) -> Curves:
    """The theorem's bound (dashed) and the largest error of every layer, by the size of noise."""
    lines = []
    for i, (size, (bound, error)) in enumerate(runs.items()):
        k = range(len(error))
        lines.append(line(k, bound[: len(error)], "", i, "dashed"))
        lines.append(line(k, error, f"noise {size:g}" if size else "no noise", i))
    return _by_layer(
        lines=tuple(lines),
        ylabel="largest ‖xᵏ − x*‖₁",
        alt="Bound and largest measured error for three noise levels: straight lines, then floors",
        size=(5.4, 3.5),
    )


def scores(names: Sequence[str], protocol: str) -> Table:
    """Size, error, median error and seeds of some experiments; the caption is one's protocol."""
    rows = []
    for name in names:
        runs = records.recorded(f"sparse/{name}")
        size = f"{runs[0]['parameters']:,}" if runs else tables.NONE
        found = (_db(name, s) for s in ("nmse_db", "nmse_db_median"))
        rows.append([EXPERIMENTS[name].title, size, *found, len(runs)])
    return ["", "numbers", ERROR, "median, dB", "seeds"], rows, EXPERIMENTS[protocol].protocol


def coupled_scores() -> Table:
    """The scores of ISTA, FISTA, LISTA and LISTA-CP, with and without support selection."""
    names = ("ista-lam0.2", "fista-lam0.2", "lista", "lista-analytic", "race-lista-cp-ista-start")
    return scores((*names, "lista-cp", "lista-cpss"), "lista-cp")


def coupled_layers() -> tuple[Curves, Curves]:
    """The recorded error of every layer with coupled weights, and the learned thresholds."""
    labels = {
        "fista-lam0.2": "FISTA",
        "lista-analytic": "LISTA",
        "lista-cp": "LISTA-CP",
        "lista-cpss": "LISTA-CPSS",
    }
    alt = (
        "Error against layer: LISTA-CP falls along a line, with support selection far more steeply"
    )
    thresholds = _by_layer(
        lines=tuple(
            line(range(1, 17), _curve(n, "theta"), label, i, "path")
            for i, (n, label) in enumerate(labels.items())
            if n.startswith("lista")
        ),
        ylabel="learned threshold",
        size=(4.4, 3.4),
        alt="Learned thresholds of each layer: they fall along the layers",
    )
    return _layers(labels, alt, (4.4, 3.4)), thresholds


def equal_training() -> Table:
    """LISTA beside LISTA-CP where both had the same start, steps and rate."""
    rows = [[start, steps, _db(free), _db(coupled)] for start, steps, free, coupled in COUPLED]
    caption = "NMSE in dB of noiseless signals, mean over the recorded seeds; no ±: one seed"
    return ["start", "steps; rate", "LISTA, 6,000,016", "LISTA-CP, 2,000,016"], rows, caption


def analytic() -> Table:
    """Three kinds of weights: coherences, the certified sparsity, and what was trained on them."""
    A, rows = EXACT.operator().A, []
    known = (("A", "A itself", None), ("QP", "analytic (QP)", ""), ("LP", "smallest μ (LP)", "-lp"))
    for name, label, ending in known:
        _, W, mu = weights(name)
        trained = [
            tables.NONE if ending is None else _db(n + ending) for n in ("alista-ss", "hyperlista")
        ]
        certified = f"s ≤ {theory.certified_sparsity(mu)}"
        rms = f"{theory.rms_coherence(W, A):.4f}"
        rows.append([label, f"{mu:.3f}", rms, certified, *trained])
    bound = theory.welch_bound(250, 500)
    caption = f"250×500 Gaussian; Welch's bound on any μ of unit columns: {bound:.3f}"
    head = ["weights W", "μ", "rms", "certified", "ALISTA + ss, dB", "HyperLISTA, dB"]
    return head, rows, caption


def alista_layers() -> tuple[Curves, Curves]:
    """The recorded error of every layer of five networks; all that ALISTA learned."""
    labels = {"lista-cpss": "LISTA-CPSS", "tilista": "TiLISTA + ss", "alista": "ALISTA"}
    labels |= {"alista-ss": "ALISTA + ss", "hyperlista": "HyperLISTA"}
    alt = (
        "Error against layer for five networks; those with support selection fall far more steeply"
    )
    mu, k = weights("LP")[2], range(1, 17)
    promised = [mu * E for E in theory.error_bounds(mu, 6, 1.0, 3.0, 15)]
    with_ss = np.maximum(_curve("alista-ss", "theta"), 1e-5)
    learned = _by_layer(
        lines=(
            line(k, _curve("alista-ss", "gamma"), "step γ, with ss", 0, "path"),
            line(k, with_ss, "threshold θ, with ss", 1, "path"),
            line(k, _curve("alista", "gamma"), "step γ, without", 0, "dashed"),
            line(k, _curve("alista", "theta"), "threshold θ, without", 1, "dashed"),
            line(k, promised, "θ of the theorem, s = 6, B = 3", 2, "dashed"),
        ),
        ylabel="learned value",
        size=(4.4, 3.5),
        alt="Learned steps stay near or above one, learned thresholds fall along the layers",
    )
    return _layers(labels, alt, (4.4, 3.5)), learned


def grown() -> Table:
    """ALISTA with and without growth, with and without support selection."""
    rows = [
        ["end to end", _db("race-alista-end-to-end"), _db("race-alista-ss-end-to-end")],
        ["grown layer by layer", _db("alista"), _db("alista-ss")],
    ]
    caption = (
        "NMSE in dB, noiseless; loss: the batch's error in decibels in all four; no ±: one seed"
    )
    return ["ALISTA", "without support selection", "with"], rows, caption


def shifts() -> Table:
    """Four networks where the test signals differ from those of the training."""
    at = lambda name, key: tables.summary([shift[key] for shift in each(name, "shift")])
    titles = [EXPERIMENTS[m].title.replace("support selection", "ss") for m in SHIFTED]
    rows = [["as trained", *(_db(m) for m in SHIFTED)]]
    for key in each("alista-ss", "shift")[0]:
        rows.append([f"tested at {key}", *(at(m, key) for m in SHIFTED)])
    caption = "NMSE in dB where the test signals differ from the training signals"
    return ["trained on p = 0.1, no noise", *titles], rows, caption


def conditions() -> Table:
    """Nine methods trained and tested with noise, and on an ill-conditioned matrix."""

    def cell(name: str) -> str:
        paper = EXPERIMENTS[name].published.get("nmse_db")
        return _db(name) + (f" (published {paper:.2f})" if paper else "")

    rows = [[EXPERIMENTS[m].title, *(cell(m + c) for c in CONDITIONS)] for m in METHODS]
    caption = (
        "NMSE in dB; one recorded seed a cell unless a spread is given. Published: logs of Behrens "
        "et al. 2021"
    )
    return ["trained and tested at", *CONDITIONS.values()], rows, caption


def lista_quotes() -> dict[str, str]:
    """The recorded numbers that the sentences on LISTA quote, by name."""
    means = [mean(name) for name in RACE]
    return {
        "start_gain": _minus(mean("lista") - mean("lista-analytic")),
        "grown": _minus(mean("lista")),
        "analytic": _minus(mean("lista-analytic")),
        "lowest": _minus(min(means), 0),
        "highest": _minus(max(means), 0),
        "lone_seeds": str(trainings(RACE[0], RACE[2], RACE[4])),
    }


def lista_cp_quotes() -> dict[str, str]:
    """The recorded numbers that the sentences on LISTA-CP quote, by name."""
    return {
        "equal_seeds": str(max(trainings(free, coupled) for _, _, free, coupled in COUPLED)),
        "ista_free": _minus(mean("lista")),
        "ista_coupled": _minus(mean("race-lista-cp-longer")),
        "analytic_free": _minus(mean("lista-analytic")),
        "analytic_coupled": _minus(mean("race-lista-cp-gentler")),
    }


def bent_by(name: str) -> float:
    """What an ill-conditioned matrix changes in a method's mean error, in dB."""
    return mean(name + "-cond50") - mean(name)


def alista_quotes() -> dict[str, str]:
    """The recorded numbers that the sentences on ALISTA quote, by name."""
    five = [bent_by(name) for name in ANALYTIC]
    learned = [m + c for m in METHODS[2:] for c in CONDITIONS]
    return {
        "lp_seeds": str(trainings("alista-ss-lp", "hyperlista-lp")),
        "selection": _minus(mean("alista") - mean("alista-ss"), 0),
        "no_growth": _minus(mean("race-alista-ss-end-to-end"), 2),
        "lone_seeds": str(trainings(*LONE)),
        "free": _minus(mean("lista-analytic")),
        "free_ss": _minus(mean("race-lista-ss")),
        "bent_least": _minus(min(five)),
        "bent_most": _minus(max(five)),
        "bent_lista": _minus(bent_by("lista")),
        "bent_hyper": _minus(bent_by("hyperlista")),
        "fista_loses": _minus(bent_by("fista-lam0.2")),
        "cell_seeds": str(trainings(*learned)),
    }
