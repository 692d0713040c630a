"""What the tests ``test_laboratory*`` share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dunfold_lib import lab, records, trainer
from dunfold_lib.experiment import Experiment
from dunfold_lib.training import ALONE, Context, Recipe, fit


@dataclass(frozen=True, kw_only=True)
class Tiny(Recipe):
    """A recipe with a field of each type."""

    steps: int = 20
    batch: int = 2
    data: str = "here"
    wide: bool = False


def build(recipe: Tiny = Tiny(), seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(3, 2 if recipe.wide else 1, bias=False)


def train(net: nn.Module, recipe: Tiny, context: Context = ALONE) -> list[float]:
    if recipe.data != "here":
        raise ValueError(f"data is {recipe.data!r};\nit must be 'here'")
    sample = lambda n, g: ((b := torch.randn(n, 3, generator=g)), b.sum(1, keepdim=True))
    loss = lambda net, b, truth: (net(b) - truth).square().mean()
    return fit(net, sample, loss, recipe, context)


def measure(net: Any, seed: int, folder: Path | None = None) -> dict[str, Any]:
    return {"error": float((net.weight.detach() - 1).square().sum()), "layers": [1.0, 2.0]}


TINY = Experiment(
    title="Tiny",
    source="none",
    protocol="a hand-made one",
    published={"error": 0.5},
    build=build,
    measure=measure,
    train=train,
    own=("folder",),
    recipes={"cpu": Tiny(), "gpu": Tiny(steps=40)},
)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> lab.Room:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "results_root", lambda: tmp_path / "results")
    return lab.Room("nowhere", {"tiny": TINY, "other": TINY})


@pytest.fixture
def panel(room: lab.Room) -> trainer.Trainer:
    form = trainer.Form(
        methods={"Tiny": "tiny", "Other": "other"},
        find=lambda method, task, recipe: (method, TINY),
        options={"data": lambda task: ["here", "there"]},
        quick=0.5,
    )
    return trainer.Trainer(room, form)


def lines(shown: str) -> list[str]:
    """The paragraphs of a panel."""
    return [part.split("</p>")[0] for part in shown.split("<p>")[1:]]
