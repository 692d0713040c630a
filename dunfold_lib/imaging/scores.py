"""Scores of recorded runs; of those without ground truth as both pages say them."""

from typing import Any

from dunfold_lib import records, tables

SAID = {
    "consistency": "consistency alone",
    "equivariant": "consistency + equivariance",
    "supervised": "supervised",
}
HEAD = ["learned by", "camera, coffee", "Set11", "misfit", "unseen error"]


def values(name: str, score: str = "psnr_wheels", recipe: str = "cpu") -> list[float]:
    """A score of the recorded runs of ``imaging/blind-<name>`` by a recipe."""
    return records.values(f"imaging/blind-{name}", score, recipe)


def first(name: str, score: str, recipe: str = "") -> Any:
    """A score of an experiment's first recorded run, seed 0, whose noise is the page's; or None."""
    return next(iter(records.values(f"imaging/{name}", score, recipe)), None)


def row(title: str, name: str, recipe: str = "cpu") -> list[str]:
    """A row below ``HEAD``."""
    cells = [tables.summary(values(name, s, recipe)) for s in ("psnr_wheels", "psnr")]
    misfit, unseen = (values(name, s, recipe) for s in ("misfit_wheels", "unseen_wheels"))
    return [title, *cells, tables.average(misfit, "{:.0e}"), tables.average(unseen, "{:.4f}")]


def gap(name: str = "{}") -> float:
    """How many dB the mean of "supervised" lies above that of "equivariant"; name : around both."""
    first, second = (tables.mean(values(name.format(n))) for n in ("supervised", "equivariant"))
    return first - second


def verdict(found: float, bar: float) -> str:
    """Whether a gap in dB lies within a bar, in words."""
    return "met" if found <= bar else "missed"
