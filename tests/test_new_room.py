"""``dunfold_lib new``: what it writes, what it refuses, and that a room made so needs no line
changed outside its folder but its name in ``dunfold_lib.ROOMS``.

The room that is made here removes noise from sparse numbers by a learned soft threshold.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dunfold_lib import ROOMS, skeleton
from dunfold_lib.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "import sys; from dunfold_lib.__main__ import main; sys.exit(main(sys.argv[1:]))"
CONTRACTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
TESTS = "import sys, torch, pytest; torch.set_num_threads(1); sys.exit(pytest.main(sys.argv[1:]))"
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
    "algorithm": '''
        """Soft thresholds, again and again."""

        from dunfold_lib.prox import soft


        def iterates(b, K, theta=0.01):
            """[x⁰, …, xᴷ] with x⁰ = b."""
            xs = [b]
            for _ in range(K):
                xs.append(soft(xs[-1], theta))
            return xs
    ''',
    "model": '''
        """Soft thresholds, learned one by one."""

        import torch
        from torch import nn

        from dunfold_lib.prox import soft
        from dunfold_lib.unroll import Unrolled


        class Network(Unrolled):
            """x <- soft(x, theta_k)."""

            def __init__(self, K=2):
                super().__init__()
                self.K = K
                self.theta = nn.Parameter(torch.full((K,), 0.01))

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
        from dunfold_lib.toy.model import Network
        from dunfold_lib.toy.training import train
        from dunfold_lib.training import Recipe

        ABOUT = {"source": "this test", "protocol": "1,000 draws", "published": {"mse": 0.01}}
        EXPERIMENTS = {
            "seen": Experiment("As seen", **ABOUT, build=lambda: None, measure=measure),
            "shrink": Experiment(
                "Learned thresholds", **ABOUT, build=lambda recipe=None, seed=0: Network(),
                measure=measure, train=train, recipes={"cpu": Recipe(steps=60, lr=0.01)},
            ),
        }
    ''',
}
PLAIN = ("-p", "no:cacheprovider", "-o", "addopts=", "--tb=line")
WRITE = {  # a slot, and what the tests say while it is the first that is not filled
    "data": "write data.draw",
    "algorithm": "write algorithm.iterates",
    "model": "write model: start(b), layer(k, x, b)",
    "evaluation": "write evaluation.measure",
    "experiments": "experiments: algorithm needs its protocol",
}


def put_in(folder, name, slots=(*ROOM,)):
    """Write the toy room over some of a skeleton's slots."""
    for slot in slots:
        lines = ROOM[slot]
        code = "\n".join(line.removeprefix(" " * 8) for line in lines.splitlines()).strip()
        code = code.replace("dunfold_lib.toy", name)
        (folder / f"{slot}.py").write_text(code + "\n", "utf-8")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the library with a skeleton, the room in its slots, and its name in the list."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "dunfold_lib", folder / "dunfold_lib")
    (folder / "tools").mkdir()
    for name in ("pyproject.toml", "tools/floors.py"):
        shutil.copy(ROOT / name, folder / name)
    assert main(["new", "toy", "--into", str(folder)]) == 0
    names = folder / "dunfold_lib/__init__.py"
    text = names.read_text("utf-8")
    assert text.count(f'"{ROOMS[-1]}")') == 1
    names.write_text(text.replace(f'"{ROOMS[-1]}")', f'"{ROOMS[-1]}", "toy")'), "utf-8")
    put_in(folder / "dunfold_lib/toy", "dunfold_lib.toy")
    return folder


def call(house, code, *words):
    """(return code, what was printed) of Python code run in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=house,
        env={
            **os.environ,
            "COLUMNS": "200",
            "PYTHONPATH": os.pathsep.join([str(house), str(ROOT)]),
        },
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def run(house, code, *words):
    returned, said = call(house, code, *words)
    assert returned == 0, said
    return said


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
    read = lambda *words: json.loads(
        run(house, COMMAND, *words, "--json").partition("\n}")[0] + "}"
    )
    measured, seen = read("evaluate", "toy/shrink"), read("evaluate", "toy/seen")
    assert measured["scores"]["mse"] < seen["scores"]["mse"]
    table = run(house, COMMAND, "reproduce", "toy")
    assert "Learned thresholds" in table
    assert "0.01" in table


def test_its_own_tests_pass_where_they_were_written(house):
    assert "8 passed" in run(house, TESTS, "tests/test_toy.py", *PLAIN)


# rooms outside the house


def results(folder, *names):
    """What the tests of some rooms say, in one process: (return code, text)."""
    return call(folder, TESTS, *(f"test_{name}.py" for name in names), *PLAIN)


def test_skeletons_say_in_order_what_to_write(tmp_path):
    """Rooms with none, one, two … of their slots filled: the first failure names the next."""
    for i in range(len(WRITE)):
        assert main(["new", f"step_{i}", "--into", str(tmp_path)]) == 0
        put_in(tmp_path / f"step_{i}", f"step_{i}", [*WRITE][:i])
    assert {p.stem for p in (tmp_path / "step_0").glob("*.py")} == {*skeleton.SLOTS}
    assert (tmp_path / "step_0.md").read_text("utf-8").count("step_0") >= 2
    lines = sum(text.count("\n") for text in skeleton.SLOTS.values())
    assert lines < 150  # the least that a room needs
    returned, said = results(tmp_path, *(f"step_{i}" for i in range(len(WRITE))))
    assert returned == 1
    for i, words in enumerate(WRITE.values()):
        first = next(x for x in said.splitlines() if x.startswith(f"FAILED test_step_{i}.py"))
        assert words in first


FAULTS = {  # a solution with one fault, and which of the tests says so
    "data": (("+ 0.1 * torch.randn(count, 16, generator=g)", "+ 0.1 * torch.randn(count, 16)"), 1),
    "algorithm": (("theta=0.01", "theta=0.02"), 3),
    "model": (("return soft(x, self.theta[k].clamp_min(0))", "return soft(x, 0.01)"), 4),
    "training": (("(net(b) - truth).square()", "-(net(b) - truth).square()"), 6),
    "experiments": (('"protocol": "1,000 draws"', '"protocol": ""'), 8),
}


def test_each_fault_of_a_solution_is_found_by_its_test(tmp_path):
    for slot, ((good, bad), _) in FAULTS.items():
        assert main(["new", f"bad_{slot}", "--into", str(tmp_path)]) == 0
        put_in(tmp_path / f"bad_{slot}", f"bad_{slot}")
        path = tmp_path / f"bad_{slot}/{slot}.py"
        before = path.read_text("utf-8")
        assert before.count(good) == 1
        path.write_text(before.replace(good, bad), "utf-8")
    returned, said = results(tmp_path, *(f"bad_{slot}" for slot in FAULTS))
    assert returned == 1
    for slot, (_, number) in FAULTS.items():
        assert re.search(rf"FAILED test_bad_{slot}\.py::test_{number}_", said), said


def test_the_chapters_own_files_in_the_slots_turn_it_green(tmp_path):
    """The solution of "Unroll your own": the room ``deblurring``, put into a skeleton."""
    assert main(["new", "blurs", "--into", str(tmp_path)]) == 0
    for path in (ROOT / "dunfold_lib/deblurring").glob("*.py"):
        text = path.read_text("utf-8").replace("dunfold_lib.deblurring", "blurs")
        (tmp_path / "blurs" / path.name).write_text(text, "utf-8")
    returned, said = results(tmp_path, "blurs")
    assert returned == 0, said
    assert "8 passed" in said


REFUSED = {
    "Room": "must be lower-case",
    "9rooms": "must be lower-case",
    "my-room": "must be lower-case",
    "räume": "must be lower-case",
    "": "must be lower-case",
    "../up": "must be lower-case",
    "class": "a word of Python",
    "print": "a word of Python",
    "_room": "must begin with a letter",
    "test_room": "must begin with a letter",
    "sparse": "dunfold_lib has that already",
    "prox": "dunfold_lib has that already",
    "numpy": "an installed package",
    "json": "an installed package",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_cannot_be_is_refused_in_one_line(name, tmp_path, capsys):
    assert main(["new", name, "--into", str(tmp_path)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert REFUSED[name] in said
    assert not [*tmp_path.iterdir()]


def test_nothing_is_written_over_and_nothing_is_left_half(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.md").write_text("keep", "utf-8")
    assert main(["new", "mine", "--into", str(tmp_path)]) == 2
    assert "mine.md exists" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.md"]
    assert main(["new", "mine", "--into", str(tmp_path / "gone")]) == 2
    assert "is no folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("", "utf-8")
    assert main(["new", "mine", "--into", str(tmp_path / "file")]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert main(["new", "mine", "--into", str(tmp_path)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "Permission denied" in said
    assert not [*tmp_path.iterdir()]
