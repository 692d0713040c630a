"""Records and the command line: recording."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import shared_doors
from shared_doors import SMALL, fake

from dunfold_lib import experiment, machine, processes, records, tables
from dunfold_lib.__main__ import main

results = shared_doors.results
ROOT = Path(__file__).resolve().parents[1]


# recording


def test_a_recorded_run_is_replaced_only_when_asked(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiment, "experiments", lambda rooms=(): {"room/one": fake()})
    call = ["reproduce", "room", "--run", "--record", "--seeds", "1", "--out"]
    assert main([*call, str(tmp_path / "a")]) == 0
    path = results / "room/one/cpu-s0/run.json"
    before = path.read_bytes()
    monkeypatch.setattr(experiment, "measure", None)  # nothing is measured before it is refused
    assert main([*call, str(tmp_path / "b")]) == 2
    assert "is recorded; replace it with --replace" in capsys.readouterr().err
    assert path.read_bytes() == before
    monkeypatch.undo()


def test_a_changed_recipe_is_recorded_under_a_name_of_its_own_alone(results, tmp_path, capsys):
    call = ["train", "sparse/lista-50x100", *SMALL, "--record", "--out", str(tmp_path / "runs")]
    assert main(call) == 2
    assert "a changed recipe is not recorded as 'cpu'; give it a name" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert main([*call, "--name", "a/b"]) == 2
    assert main([*call, "--name", "short"]) == 0
    assert [p.name for p in (results / "sparse/lista-50x100").iterdir()] == ["short-s0"]
    run = records.load(results / "sparse/lista-50x100/short-s0")
    assert (run["recipe_name"], run["recipe"]["batch"]) == ("short", 4)
    e = experiment.find("sparse/lista-50x100")
    assert tables.ours("sparse/lista-50x100", "nmse_db", [*e.recipes]) == "not measured"
    assert main([*call, "--name", "short", "--resume"]) == 2
    assert "is recorded; replace it with --replace" in capsys.readouterr().err
    assert main([*call, "--name", "short", "--resume", "--replace"]) == 0


def test_a_change_does_not_take_the_name_of_another_recipe(capsys, tmp_path):
    call = ["train", "newton_sr/newton-4", "steps=1", "--out", str(tmp_path)]
    assert main([*call, "--name", "cpu-middlebury"]) == 2
    assert "--name is 'cpu-middlebury', which is another recipe" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["the same", "another"])
def test_a_planted_score_never_reaches_the_table(recipe, results, tmp_path, monkeypatch, capsys):
    """reproduce --run measures again, whatever lies in its folder."""
    known = experiment.find("sparse/lista-50x100")
    tiny = replace(known, recipes={"cpu": experiment.override(known.recipes["cpu"], SMALL)})
    monkeypatch.setattr(experiment, "experiments", lambda rooms=(): {"sparse/lista-50x100": tiny})
    out, record = tmp_path / "runs", results / "sparse/lista-50x100/cpu-s0"
    call = ["reproduce", "sparse", "--run", "--seeds", "1", "--out", str(out)]
    assert main(call) == 0
    folder = out / "sparse/lista-50x100/cpu-s0"
    true = records.load(folder)
    planted = {**true, "scores": {"nmse_db": -12345.6}}
    if recipe == "another":
        planted["recipe"] = {**true["recipe"], "batch": 5}
    records.save(folder, planted)
    capsys.readouterr()
    assert main([*call, "--record"]) == 0
    said = capsys.readouterr()
    assert "-12345" not in said.out
    assert records.load(record)["scores"] == true["scores"]
    assert ("put aside as" in said.err) == (recipe == "another")
    assert "batch is 5 there and 4 here" in said.err or recipe == "the same"
    aside = [p for p in folder.parent.iterdir() if p != folder]
    assert [records.load(p) for p in aside] == [planted] * len(aside)  # nothing of yours is lost


def test_a_recipe_for_a_gpu_does_not_begin_on_a_cpu_unasked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "available", lambda device: device == "cpu")
    call = ["train", "sparse/lista", "--recipe", "gpu", "--out", str(tmp_path)]
    assert main([*call, *SMALL]) == 2
    says = "recipe 'gpu' needs a CUDA GPU, none is here; insist with --device cpu"
    assert says in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
    assert main([*call, "--device", "cuda", *SMALL]) == 2
    assert "device is 'cuda'; this machine has cpu" in capsys.readouterr().err
    assert experiment.device_for("gpu", "cpu") == "cpu"
    assert experiment.device_for("cpu", "") == "cpu"
    monkeypatch.setattr(processes, "available", lambda device: True)
    assert [experiment.device_for("gpu-pines", d) for d in ("", "mps")] == ["cuda", "mps"]


def test_a_folder_that_cannot_be_written_is_found_before_the_training(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    call = ["train", "sparse/lista-50x100", "--out", str(tmp_path / "file")]
    begun = time.monotonic()
    assert main(call) == 2
    assert time.monotonic() - begun < 60  # the whole recipe takes minutes
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o002])
def test_files_have_the_mode_that_the_umask_allows(mask, tmp_path):
    before = os.umask(mask)
    try:
        records.write_text(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def git(folder, *call):
    config = ("-c", "user.name=x", "-c", "user.email=x@y", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *config, *call], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_only_a_checkout_that_tracks_this_package_has_a_commit(tmp_path, monkeypatch):
    package = tmp_path / "dunfold_lib"
    package.mkdir()
    (package / "records.py").write_text("x = 1\n")
    (tmp_path / "other").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", "other")
    git(tmp_path, "commit", "-m", "of another project")
    assert machine.commit(package) == ""  # it lies there, untracked, as in a .venv
    git(tmp_path, "add", "dunfold_lib")
    git(tmp_path, "commit", "-m", "of this one")
    head = git(tmp_path, "rev-parse", "--short", "HEAD")
    assert machine.commit(package) == head
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))  # as a hook of another has it
    assert machine.commit(package) == head
    (package / "records.py").write_text("x = 2\n")
    assert machine.commit(package) == head + "+"


def test_an_interrupted_command_says_how_to_go_on(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "experiments", stop)
    assert main(["list"]) == 130
    assert capsys.readouterr().err.endswith("interrupted; a training goes on with --resume\n")


def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch, capsys):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(
        experiment, "experiments", lambda rooms=(): signal.raise_signal(signal.SIGTERM)
    )
    assert main(["list"]) == 143
    assert capsys.readouterr().err.endswith("interrupted; a training goes on with --resume\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_python_m_runs_from_anywhere(tmp_path):
    command = [sys.executable, "-m", "dunfold_lib", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in ("list", "train", "evaluate", "reproduce"))


def test_a_run_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    run = {"scores": {"nmse_db": -1.0}}
    records.save(tmp_path, run)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        records.save(tmp_path, {"scores": {"nmse_db": -2.0}})
    assert records.load(tmp_path) == run
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    "text, says",
    [
        ("{", "is not valid JSON"),
        ("[1, 2]", "is no run"),
        ('{"scores": 3}', "is no run"),
        ("", "is not valid JSON"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_run_is_named_in_one_line(tmp_path, text, says):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=says) as caught:
        records.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert "run.json" in str(caught.value)


def test_a_score_that_is_not_a_number_is_refused(tmp_path):
    with pytest.raises(ValueError, match="NaN or infinity"):
        records.save(tmp_path, {"scores": {"nmse_db": float("nan")}})
    assert not list(tmp_path.iterdir())


def test_outside_a_checkout_there_is_no_commit(tmp_path):
    assert machine.commit(tmp_path) == ""


def test_every_recorded_run_names_a_commit_of_this_history():
    """A run made before its commit was moved onto newer ones says that in ``ran_at``."""
    if not (ROOT / ".git").exists() or (ROOT / ".git/shallow").exists():
        pytest.skip("no history is here")
    said = subprocess.run(["git", "log", "--format=%H"], cwd=ROOT, capture_output=True, text=True)
    if said.returncode:
        pytest.skip(f"git log: {said.stderr.strip()}")
    history = said.stdout.split()
    if len(history) < 100:
        pytest.skip(f"{len(history)} commits are a copy without the history")
    short = {commit[:7] for commit in history}
    for path in sorted(records.results_root().glob("*/*/*/run.json")):
        named = json.loads(path.read_text("utf-8"))["commit"].removesuffix("+")
        assert named[:7] in short, f"{path.parent}: {named}"
