"""What an experiment is: one row of a published table, and how to measure ours."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dunfold_lib.training import Context


def no_network(recipe: Any = None, seed: int = 0) -> None:
    """What a classical algorithm builds."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One row of a published table or figure, and how to measure ours.

    published : the paper's scores by name, empty where a paper prints a curve and no number.
    source    : where those numbers stand, or the figure.
    protocol  : data, split, noise, size of the test set; it is printed beside every score.
    build     : (recipe, seed) -> the untrained network, of the recipe's size; what is random in
                its initial weights is drawn from the seed. Both have defaults, the first recipe
                and 0. None for a classical algorithm.
    measure   : (network or None, seed) -> our scores by name; lists are curves over the layers.
                Its key "protocol" says what was measured (files, sizes, noise) in the place of
                ours, "notes" has lines that are printed beside the scores, and a score that does
                not exist for the data is None.
    train     : (network, recipe, context) -> losses; None: nothing to learn.
    recipes   : by name, ``cpu`` (minutes on two cores) and ``gpu`` (the paper's size).
    applied   : the recipe whose weights are taken where none is asked for; by default the last that
                is recorded.
    own       : what ``measure`` takes of a reader's: "folder" of data, "side" of its images.
    released  : (weights file, operator files) -> the network that its authors released.
    on_matrix : (matrix (m, n)) -> the same experiment on a dictionary of one's own.
    """

    title: str = field(kw_only=False)
    protocol: str
    measure: Callable[..., dict[str, Any]]
    source: str = "no published figure"
    published: Mapping[str, float] = field(default_factory=dict)
    build: Callable[..., nn.Module | None] = no_network
    train: Callable[[Any, Any, Context], list[float]] | None = None
    recipes: Mapping[str, Any] = field(default_factory=dict)
    applied: str = ""
    own: tuple[str, ...] = ()
    released: Callable[[Path, Sequence[Path]], nn.Module] | None = None
    on_matrix: Callable[[Tensor], "Experiment"] | None = None


def existing(value: Any) -> Any:
    """A score, or None in the place of every NaN and infinity: JSON has none, and they are none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: existing(part) for key, part in value.items()}
    return [existing(part) for part in value] if isinstance(value, list | tuple) else value
