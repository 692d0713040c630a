"""Records and the command line: commands."""

import json
import math
import os
import subprocess
import sys

import pytest
import shared_doors
from shared_doors import fake

from dunfold_lib import experiment, records, tables
from dunfold_lib.__main__ import main

results = shared_doors.results


def test_a_measure_says_what_it_measured_and_which_scores_do_not_exist(
    monkeypatch, capsys, tmp_path
):
    def measure(net, seed, folder=None):
        found = {"iou": 50.0, "auc": None, "curve": [1.0]}
        return found | {"protocol": f"12 files of {folder}", "notes": ["3 of 12 targets vanished"]}

    monkeypatch.setattr(
        experiment,
        "experiments",
        lambda rooms=(): {"room/one": fake(measure=measure, own=("folder",))},
    )
    call = ["evaluate", "room/one", "--data", str(tmp_path)]
    assert main(call) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "room/one  iou 50.000"
    assert "room/one  auc does not exist for these data" in lines
    assert "note: 3 of 12 targets vanished" in lines
    assert lines[-1] == f"protocol: 12 files of {tmp_path}; test seed 0"
    assert main([*call, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["scores"] == {"iou": 50.0, "curve": [1.0]}
    assert made["absent"] == ["auc"]
    assert made["notes"] == ["3 of 12 targets vanished"]


def test_a_score_that_is_no_number_does_not_lose_the_others(monkeypatch, capsys):
    found = {
        "iou": 50.0,
        "auc": math.nan,
        "psnr": math.inf,
        "curve": [1.0, -math.inf],
        "n": {"a": 1},
    }
    e = fake(measure=lambda net, seed: found)
    monkeypatch.setattr(experiment, "experiments", lambda rooms=(): {"room/one": e})
    assert main(["evaluate", "room/one", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["scores"] == {"iou": 50.0, "curve": [1.0, None], "n": {"a": 1}}
    assert made["absent"] == ["auc", "psnr"]


def test_an_experiment_that_fails_does_not_lose_the_rest(results, tmp_path, monkeypatch, capsys):
    def broken(net, seed):
        raise ValueError("image a.png: cannot be read")

    both = {"room/one": fake(measure=broken), "room/two": fake()}
    monkeypatch.setattr(experiment, "experiments", lambda rooms=(): both)
    call = ["reproduce", "--run", "--record", "--seeds", "2", "--out", str(tmp_path / "runs")]
    assert main(call) == 2
    said = capsys.readouterr()
    assert "room/two    nmse_db  -1.00  -2.50 ± 0.50" in said.out
    assert said.err.splitlines() == [
        "room/one seed 0: image a.png: cannot be read",
        "room/one seed 1: image a.png: cannot be read",
        "python -m dunfold_lib: could not be measured: room/one; the rest was",
    ]


def test_a_gpu_run_is_owed_until_one_made_on_a_gpu_is_recorded(results, monkeypatch):
    e = fake(recipes={"gpu": object()})
    assert tables.owed("room/one", e) == "yes"
    assert tables.owed("room/one", fake()) == "–"
    run = {"scores": {}, "recipe_name": "gpu", "device": "cpu"}
    records.save(results / "room/one/gpu-s0", run)
    assert tables.owed("room/one", e) == "yes"
    records.save(results / "room/one/gpu-s0", run | {"device": "NVIDIA H100"})
    assert tables.owed("room/one", e) == "no"


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["evaluate", "sparse/nothing"], "no experiment 'sparse/nothing'; the nearest are sparse/"),
        (["reproduce", "kitchen"], "no room or experiment 'kitchen'; the nearest are"),
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


UNSET = [
    ["evaluate", "sparse/ista", "--data", ""],
    ["evaluate", "sparse/alista", "--weights", ""],
    ["evaluate", "sparse/alista", "--weights", " "],
    ["evaluate", "sparse/alista", "--recipe", ""],
    ["evaluate", "imaging/istanet-25", "--released", ""],
    ["evaluate", "imaging/istanet-25", "--released", "x", "--operator", ""],
    ["train", "sparse/alista", "--out", ""],
    ["train", "sparse/alista", "--recipe", ""],
    ["train", "sparse/alista", "--name", ""],
    ["reproduce", "sparse/ista", "--out", ""],
]


@pytest.mark.parametrize("arguments", UNSET, ids=" ".join)
def test_an_unset_shell_variable_is_not_swallowed(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "is empty; is a shell variable not set?" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "given, names",
    [
        ("sparse/alistas", ["sparse/alista"]),
        ("alista", ["sparse/alista"]),
        ("imaging/ista-net-plus-25", ["imaging/istanet-plus-25"]),
        ("small_target/lrpcanet", ["small_target/lrpcanet-sirst"]),
        ("Hyperspectral/STAR", ["hyperspectral/star"]),
    ],
)
def test_a_wrong_name_is_answered_with_the_three_nearest(given, names):
    with pytest.raises(ValueError, match="no experiment") as error:
        experiment.find(given)
    near = str(error.value).rpartition(" are ")[2].split(", ")
    assert len(near) == 3
    assert set(names) <= set(near) <= set(experiment.experiments())


COMMANDS = (["list"], ["--help"], ["evaluate", "sparse/ä"])


SPEAK = """
import runpy, sys
for command in {commands!r}:
    sys.argv[1:] = command
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding={encoding!r})
    try:
        runpy.run_module("dunfold_lib", run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    sys.stdout.flush()
    sys.stdout.buffer.write(b"\\0%d\\0" % code)
    sys.stderr.flush()
    sys.stderr.buffer.write(b"\\0")
"""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16"])
def test_a_pipe_gets_utf8_whatever_the_code_page(encoding):
    """Each command as if it were the first of its process."""
    code = SPEAK.format(commands=COMMANDS, encoding=encoding)
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, timeout=300)
    said, told = (stream.split(b"\0") for stream in (done.stdout, done.stderr))
    assert [int(code) for code in said[1::2]] == [0, 0, 2]
    for command, out, error in zip(COMMANDS, said[::2], told, strict=False):
        text = (out + error).decode("utf-8")
        assert text
        assert "Traceback" not in text
        assert command[-1] != "list" or "×" in text or "–" in text
        assert "sparse/ä" in text or "sparse/ä" not in command


def test_one_broken_run_does_not_stop_the_list_and_is_named(results, monkeypatch, capsys):
    monkeypatch.setattr(experiment, "experiments", lambda rooms=(): {"room/one": fake()})
    good = {"scores": {"nmse_db": -3.0}, "recipe_name": "cpu"}
    records.save(results / "room/one/cpu-s0", good)
    for i, text in enumerate(("{", '{"scores": {"nmse_db": NaN}}', "")):
        (results / f"room/one/cpu-s{i + 1}").mkdir()
        (results / f"room/one/cpu-s{i + 1}/run.json").write_text(text)
    for command in (["list"], ["reproduce", "room"]):
        assert main(command) == 0
        said = capsys.readouterr()
        assert "-3.00" in said.out
        assert [line.split(": ")[0] for line in said.err.splitlines()] == [
            str(results / f"room/one/cpu-s{i}/run.json") for i in (1, 2, 3)
        ]
    with pytest.raises(ValueError, match="cpu-s1"):  # a page does not leave it out silently
        records.recorded("room/one")
