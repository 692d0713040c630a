"""A new room needs no line changed outside its folder but its name in ``dunfold_lib.ROOMS``.

The room that is made here removes noise from sparse numbers by a learned soft threshold.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "import sys; from dunfold_lib.__main__ import main; sys.exit(main(sys.argv[1:]))"
CONTRACTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
ROOM = {
    "__init__": '"""Sparse numbers and their noise."""',
    "data": '''
        """Sparse numbers and what is seen of them."""

        import torch


        def draw(count, g):
            """(seen, truth), of shape (count, 16): a tenth of the numbers is not zero."""
            kept = torch.rand(count, 16, generator=g) < 0.1
            truth = torch.where(kept, torch.randn(count, 16, generator=g), 0.0)
            return truth + 0.1 * torch.randn(count, 16, generator=g), truth
    ''',
    "model": '''
        """Soft thresholds, learned one by one."""

        import torch
        from torch import nn

        from dunfold_lib.prox import soft
        from dunfold_lib.unroll import Unrolled


        class Shrink(Unrolled):
            """x <- soft(x, theta_k)."""

            def __init__(self, K=2):
                super().__init__()
                self.K = K
                self.theta = nn.Parameter(torch.zeros(K))

            def start(self, b):
                return b

            def layer(self, k, x, b):
                return soft(x, self.theta[k].clamp_min(0))
    ''',
    "training": '''
        """How the thresholds are learned."""

        from dunfold_lib.toy import data
        from dunfold_lib.training import ALONE, fit


        def train(net, recipe, context=ALONE):
            loss = lambda net, b, truth: (net(b) - truth).square().mean()
            return fit(net, data.draw, loss, recipe, context)
    ''',
    "evaluation": '''
        """The test set and the score."""

        import torch

        from dunfold_lib.toy import data


        @torch.no_grad()
        def measure(net, seed=0):
            b, truth = data.draw(1000, torch.Generator().manual_seed(1000 + seed))
            return {"mse": float(((net(b) if net else b) - truth).square().mean())}
    ''',
    "experiments": '''
        """What is measured in this room."""

        from dunfold_lib.experiment import Experiment
        from dunfold_lib.toy.evaluation import measure
        from dunfold_lib.toy.model import Shrink
        from dunfold_lib.toy.training import train
        from dunfold_lib.training import Recipe

        ABOUT = {"source": "this test", "protocol": "1,000 draws", "published": {"mse": 0.01}}
        EXPERIMENTS = {
            "seen": Experiment("As seen", **ABOUT, build=lambda: None, measure=measure),
            "shrink": Experiment(
                "Learned thresholds", **ABOUT, build=lambda recipe=None, seed=0: Shrink(),
                measure=measure, train=train, recipes={"cpu": Recipe(steps=60, lr=0.01)},
            ),
        }
    ''',
}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the library with the room in it and its name in the list."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "dunfold_lib", folder / "dunfold_lib")
    (folder / "tools").mkdir()
    for name in ("pyproject.toml", "tools/floors.py"):
        shutil.copy(ROOT / name, folder / name)
    names = folder / "dunfold_lib/__init__.py"
    text = names.read_text("utf-8")
    assert text.count('"small_target")') == 1
    names.write_text(text.replace('"small_target")', '"small_target", "toy")'), "utf-8")
    (folder / "dunfold_lib/toy").mkdir()
    for name, lines in ROOM.items():
        code = "\n".join(line.removeprefix(" " * 8) for line in lines.splitlines()).strip()
        (folder / f"dunfold_lib/toy/{name}.py").write_text(code + "\n", "utf-8")
    return folder


def run(house, code, *words):
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_contracts_hold_the_new_room_too(house):
    assert "0 broken" in run(house, CONTRACTS, "--no-cache")
    data = house / "dunfold_lib/toy/data.py"
    before = data.read_text("utf-8")
    data.write_text(before + "\nfrom dunfold_lib.toy import model\n", "utf-8")
    try:
        with pytest.raises(AssertionError, match="1 broken"):
            run(house, CONTRACTS, "--no-cache")
    finally:
        data.write_text(before, "utf-8")


def test_the_command_lists_trains_records_measures_and_reports_the_new_room(house):
    assert "toy/shrink" in run(house, COMMAND, "list")
    run(house, COMMAND, "train", "toy/shrink", "--recipe", "cpu", "--record")
    measured = json.loads(run(house, COMMAND, "evaluate", "toy/shrink", "--json"))
    seen = json.loads(run(house, COMMAND, "evaluate", "toy/seen", "--json"))
    assert measured["scores"]["mse"] < seen["scores"]["mse"]
    table = run(house, COMMAND, "reproduce", "toy")
    assert "Learned thresholds" in table
    assert "0.01" in table
