"""The chapter's tables, its curves over oversampling, and the numbers of its sentences."""

import math

import numpy as np

from dunfold_lib import records, tables
from dunfold_lib.phase.algorithm import HEAVY
from dunfold_lib.phase.evaluation import DELTAS
from dunfold_lib.phase.experiments import BARS, EXPERIMENTS, FLOWS
from dunfold_lib.show import Curves, each_line
from dunfold_lib.tables import Table

NAMES = ("reweighted", "heavy", "network")
FIELDS = ("real", "complex")
RIVALS = {"reweighted flow": "reweighted", "the same with momentum": "heavy"}


def each(name: str, score: str) -> list[float]:
    """A score of every recorded run of an experiment of this room; NaN where it was not reached."""
    runs = records.recorded(f"phase/{name}")
    return [run["scores"].get(score, math.nan) for run in runs]


def mean(name: str, score: str) -> list[float]:
    """The mean of a curve over the recorded seeds."""
    runs = records.recorded(f"phase/{name}")
    return [float(v) for v in np.mean([run["scores"][score] for run in runs], 0)]


def success(field: str, score: str = "success") -> Curves:
    """The share of successes over m/n by method, mean over seeds."""
    after = "20 steps or layers" if score == "success" else "180 steps more"
    titles = {n: t.removesuffix(", 20 steps") for n, (t, _) in FLOWS.items()}
    titles["network"] = "network"
    return Curves(
        lines=each_line({titles[n]: mean(f"{n}-{field}", score) for n in NAMES}, DELTAS, "path"),
        xlabel="oversampling m/n",
        ylabel="share of trials within 1 %",
        ylim=(-0.02, 1.02),
        xlim=(1, 6),
        title=f"{field}, after {after}",
        alt=f"Success of four methods over oversampling, {field} signals, after {after}",
    )


def thresholds() -> Table:
    """From which m/n half, and 95 %, of the trials succeed; after 20, and after 180 more."""
    scores = ("delta_50", "delta_95", "delta_50_solved", "delta_95_solved")
    rows = []
    for name in [f"{name}-{field}" for field in FIELDS for name in NAMES]:
        seeds = len(records.recorded(f"phase/{name}"))
        rows.append([EXPERIMENTS[name].title, *(_from(name, s) for s in scores), str(seeds)])
    head = ["", "50 %", "95 %", "50 %, 180 steps more", "95 %, 180 steps more", "seeds"]
    return head, rows, "m/n from which on so many of the trials succeed"


def _from(name: str, score: str) -> str:
    found = each(name, score)
    if any(map(math.isnan, found)):
        return f"> {DELTAS[-1]:g}"
    return tables.summary(found)


def leads(field: str) -> dict[str, tuple[float, str]]:
    """What each bar asks for: by how much lower the network's m/n is, and what follows."""
    found = {}
    for bar in BARS:
        share, rival = bar[:2], RIVALS[bar.split("below ")[1]]
        ours, theirs = (_last(f"{name}-{field}", share) for name in ("network", rival))
        found[bar] = (float(np.mean(theirs) - np.mean(ours)), said(ours, theirs))
    return found


def _last(name: str, share: str) -> list[float]:
    """The m/n of every seed; where it was not reached, the last one that was tried."""
    return [DELTAS[-1] if math.isnan(v) else v for v in each(name, f"delta_{share}")]


def said(ours: list[float], theirs: list[float]) -> str:
    """Met where three seeds of each do not overlap; not decided with fewer; else missed."""
    if min(len(ours), len(theirs)) < 3:
        return f"not decided: {len(ours)} and {len(theirs)} seeds"
    return "met" if records.ranks([-v for v in ours], [-v for v in theirs]) else "missed"


def bars() -> Table:
    """Each bar, stated before the runs, and what was measured."""
    rows = [
        [field, bar, tables.minus_sign(f"{lower:.2f}"), what]
        for field in FIELDS
        for bar, (lower, what) in leads(field).items()
    ]
    head = ["", "the network succeeds at a lower m/n", "lower by", ""]
    return head, rows, "Means over seeds; met where no two seeds of three overlap"


def constants(field: str = "real") -> Curves:
    """The learned numbers of every layer, mean over seeds, over the algorithm's."""
    start = HEAVY[1 if field == "real" else 2]
    runs = [run["scores"] for run in records.recorded(f"phase/network-{field}")]
    learned = lambda n: np.mean([np.abs(r[n]) for r in runs], 0)
    ratio = {n: learned(n) / getattr(start, n) for n in ("t", "eta", "beta")}
    names = {"t": "step t", "eta": "reweighting η", "beta": "momentum β"}
    return Curves(
        lines=each_line({names[n]: v for n, v in ratio.items()}, style="path"),
        xlabel="layer",
        ylabel="factor of the algorithm's",
        title=field,
        alt=f"Learned step, reweighting and momentum of each layer, {field}, as factors",
    )


def quotes() -> dict[str, str]:
    """What the page's sentences say of the records."""
    at = lambda name, score: _from(f"{name}-real", score)
    return {
        "network_50": at("network", "delta_50"),
        "heavy_50": at("heavy", "delta_50"),
        "reweighted_50": at("reweighted", "delta_50"),
        "network_solved": at("network", "delta_50_solved"),
        "heavy_solved": at("heavy", "delta_50_solved"),
    }
