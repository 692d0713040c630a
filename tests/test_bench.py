"""The benchmark refuses unequal answers, skips what is not installed, and records what it ran."""

import itertools
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from dunfold_lib.hyperspectral import STARNet

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tools")]
import bench  # noqa: E402
import bench_peers  # noqa: E402
import bench_steps  # noqa: E402
from bench_race import Race, near, report  # noqa: E402


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "no group 'nonsense'; there are sparse, "),
        (["--speed"], "unrecognized arguments: --speed"),
        (["steps", "--save"], "--save keeps what peers measure, and goes with no other group"),
        (["--save"], "--save needs every package; not installed: celer, skglm"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(monkeypatch, capsys, arguments, says):
    monkeypatch.setattr(bench_peers, "missing", lambda: ["celer", "skglm"])
    monkeypatch.setattr(bench_peers, "save", lambda: pytest.fail("it measured"))
    with pytest.raises(SystemExit):
        bench.main(arguments)
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_a_race_between_unequal_answers_prints_no_ratio(capsys):
    one, other = torch.ones(3), torch.tensor([1.0, 1.0, 1.1])
    with pytest.raises(AssertionError, match=r"the answers differ by 1\.0e-01"):
        report(Race("unequal", lambda: one, lambda: other, near))
    assert "faster" not in capsys.readouterr().out
    report(Race("equal", lambda: one, lambda: one, near, threads=(1,)))
    assert "times faster" in capsys.readouterr().out


def test_a_package_that_is_missing_is_skipped_by_its_name(monkeypatch, capsys):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(bench_peers, "import_module", missing)
    assert [*bench_peers.solvers()] == ["SSNAL", "our lasso"]
    assert bench_peers.missing() == [*bench_peers.PEERS]
    assert [race() for race in bench_peers.RACES[1:]] == [None, None, None]
    said = capsys.readouterr().out.splitlines()
    names = [*bench_peers.PEERS, "deepinv", "deepinv", "deepinv"]
    assert len(said) == len(names)
    for name, line in zip(names, said, strict=True):
        assert f"{name} is not installed: skipped" in line


def test_a_time_counts_only_where_the_answer_has_the_gap():
    p = bench_peers.problem(1e1, 20, 40, 0.1)
    ours = bench_peers.solvers()["SSNAL"]
    found = bench_peers.climbed(ours, p)
    assert found["ms"] is not None
    assert found["gap"] <= bench_peers.GAP
    zero = bench_peers.climbed(lambda p, A, tol: torch.zeros(40, dtype=torch.float64), p)
    assert zero["ms"] is None
    assert zero["gap"] > 0.1


def test_a_plain_step_has_the_loss_and_the_gradient_of_ours():
    for make in (bench_steps.newton, partial(bench_steps.cube, STARNet)):
        case = make()
        near(bench_steps.PlainStep(case)(), bench_steps.ours(case))
        other = replace(case, truth=1.01 * case.truth)
        with pytest.raises(AssertionError, match="the answers differ"):
            near(bench_steps.PlainStep(case)(), bench_steps.ours(other))


def test_steps_are_timed_in_turns_and_the_first_is_left_out(monkeypatch):
    clock = itertools.count()
    taken = []
    monkeypatch.setattr(bench_steps.time, "process_time", lambda: float(next(clock)))

    def loss(net, b, truth):
        taken.append("ours")
        next(clock)
        return (net(b) - truth).square().mean()

    def plain_loss(net, b, truth):
        next(clock), next(clock)
        taken.append("plain")
        return (net(b) - truth).square().mean()

    net, x = torch.nn.Linear(2, 2), torch.ones(3, 2)
    case = bench_steps.Case("linear", net, loss, x, x, plain_loss=plain_loss, turns=2)
    assert bench_steps.in_turns(case) == [(3.0, 2.0), (3.0, 2.0)]
    assert taken == ["ours", "plain"] * 3


def test_the_floor_counts_convolutions_and_products_of_matrices(monkeypatch):
    monkeypatch.setattr(bench_steps, "rate", lambda mixed: 4.0 if mixed else 1.0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Linear(8, 8))
    x = torch.ones(1, 1, 8, 8)
    case = bench_steps.Case("two", net, lambda n, b, t: n(b).sum(), x, x)
    convolved, products = 2 * 2 * 9 * 64, 3 * 2 * 8 * 64  # the input of the first has no gradient
    assert bench_steps.floor(case, False) == (convolved + products, convolved + products)
    assert bench_steps.floor(case, True) == (convolved + products, convolved / 4 + products)


def test_the_recorded_table_is_of_the_cases_and_names_its_machine():
    found = json.loads(bench_peers.SAVED.read_text(encoding="utf-8"))
    assert [(r["case"], tuple(r["numbers"])) for r in found["rows"]] == [*bench_peers.CASES.items()]
    assert found["gap"] == bench_peers.GAP
    assert found["machine"]
    for row in found["rows"]:
        for runs in row["found"].values():
            assert len(runs) == bench_peers.SEEDS
            for run in runs:
                assert (run["ms"] is not None) == (run["gap"] <= found["gap"])


def test_solvers_that_arrive_agree_on_the_non_zeros():
    found = json.loads(bench_peers.SAVED.read_text(encoding="utf-8"))
    for row in found["rows"]:
        for runs in zip(*row["found"].values(), strict=True):
            counts = [run["nonzeros"] for run in runs if run["ms"] is not None]
            assert max(counts) - min(counts) <= 0.02 * max(counts), row["case"]
