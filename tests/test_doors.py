"""Records and the command line."""

import json
import subprocess
import sys

import pytest

from dunfold_lib import __main__ as door
from dunfold_lib import records
from dunfold_lib.__main__ import main
from dunfold_lib.records import Experiment


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty results folder in the place of the committed one."""
    monkeypatch.setattr(records, "results_root", lambda: tmp_path)
    return tmp_path


def fake(**changes):
    about = {"title": "t", "source": "s", "protocol": "p", "published": {"nmse_db": -1.0}}
    return Experiment(**about | {"measure": lambda seed: {"nmse_db": -2.0 - seed}} | changes)


def test_list_shows_every_experiment_with_paper_and_ours(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name, e in door.experiments().items():
        line = next(row for row in out.splitlines() if row.startswith(name + " "))
        assert all(f"{v:.2f}" in line for v in e.published.values())
        assert "not measured" not in line


def test_a_recorded_run_holds_what_a_reader_needs():
    for name in door.experiments():
        runs = records.recorded(name)
        assert runs, f"{name} has no recorded run"
        for run in runs:
            assert {"protocol", "seed", "device", "versions", "seconds", "commit"} <= set(run)
            assert run["experiment"] == name


def test_evaluate_measures_what_is_recorded(capsys):
    assert main(["evaluate", "sparse/ista", "--json"]) == 0
    now = json.loads(capsys.readouterr().out)["scores"]["nmse_db"]
    kept = next(r for r in records.recorded("sparse/ista") if r["seed"] == 0)
    assert now == pytest.approx(kept["scores"]["nmse_db"], abs=1e-3)


def test_reproduce_run_writes_runs_and_record_keeps_them(results, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(door, "experiments", lambda: {"room/one": fake()})
    out = tmp_path / "elsewhere"
    assert main(["reproduce", "room", "--run", "--seeds", "2", "--out", str(out)]) == 0
    assert "not measured" in capsys.readouterr().out  # measured, not recorded
    assert len(list(out.glob("room/one/cpu-s*/run.json"))) == 2
    main(["reproduce", "room/one", "--run", "--seeds", "3", "--record", "--out", str(out)])
    assert "-3.00 ± 1.00" in capsys.readouterr().out


def test_a_gpu_run_is_owed_until_one_made_on_a_gpu_is_recorded(results, monkeypatch):
    e = fake(recipes={"gpu": object()})
    assert door.owed("room/one", e) == "yes"
    assert door.owed("room/one", fake()) == "–"
    run = {"scores": {}, "recipe_name": "gpu", "device": "cpu"}
    records.save(results / "room/one/gpu-s0", run)
    assert door.owed("room/one", e) == "yes"
    records.save(results / "room/one/gpu-s0", run | {"device": "NVIDIA H100"})
    assert door.owed("room/one", e) == "no"


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["evaluate", "sparse/nothing"], "no experiment 'sparse/nothing'; there are sparse/"),
        (["reproduce", "kitchen"], "no room or experiment 'kitchen'; there are"),
        (["train", "sparse/ista"], "classical algorithm without weights"),
        (["evaluate", "sparse/ista", "--seed", "-1"], "whole number from 0"),
        (["evaluate", "sparse/ista", "--seed", "x"], "whole number from 0"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "required: COMMAND"),
    ],
)
def test_a_bad_command_is_answered_in_one_line_with_exit_code_2(arguments, says, capsys):
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert says in error
    assert error.count("\n") == 1


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
    assert records.commit(tmp_path) == ""
