"""Records and the command line: weights."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import shared_doors
import torch
from shared_doors import SMALL, fake

from dunfold_lib import experiment, records, tables
from dunfold_lib.__main__ import main
from dunfold_lib.sparse import coherence
from dunfold_lib.sparse import experiments as sparse_experiments
from dunfold_lib.training import Recipe

results = shared_doors.results


# which weights


@pytest.fixture
def learned(results, monkeypatch):
    """An experiment of three recipes, some of them recorded: the score is the weight."""

    def measure(net, seed):
        return {"weight": float(net.weight.detach())}

    e = fake(
        build=lambda recipe=None, seed=0: torch.nn.Linear(1, 1),
        measure=measure,
        train=lambda *given: [],
        published={},
        recipes={"cpu": Recipe(steps=1), "cpu-b": Recipe(steps=2), "gpu": Recipe(steps=3)},
    )
    monkeypatch.setattr(experiment, "experiments", lambda rooms=(): {"room/one": e})

    def record(folder, value):
        net = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(net.weight, value)
        recipe, _, seed = folder.rpartition("-s")
        made = {"scores": {"weight": value}, "recipe_name": recipe, "seed": int(seed)}
        made["weights"] = records.save_weights(results / "room/one" / folder, net)
        records.save(results / "room/one" / folder, made)

    return record


def evaluated(capsys, *more):
    capsys.readouterr()
    assert main(["evaluate", "room/one", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_weights_are_those_that_the_table_shows_and_are_named(learned, results, capsys):
    learned("cpu-b-s1", 3.0)
    learned("cpu-b-s0", 2.0)
    learned("cpu-s0", 1.0)
    learned("a-changed-one-s0", 9.0)
    made = evaluated(capsys)
    path = results / "room/one/cpu-b-s0/weights.safetensors"
    assert made["scores"] == {"weight": 2.0}
    assert (made["recipe_name"], made["weights"]["seed"]) == ("cpu-b", 0)
    assert made["weights"]["path"] == str(path)
    assert experiment.weights_of("room/one")[0] == path
    e = experiment.find("room/one")
    assert tables.ours("room/one", "weight", [*e.recipes]) == "2.50 ± 0.50 (cpu-b)"
    assert evaluated(capsys, "--seed", "1")["scores"] == {"weight": 3.0}
    assert evaluated(capsys, "--recipe", "cpu")["scores"] == {"weight": 1.0}
    assert evaluated(capsys, "--seed", "7")["weights"]["seed"] == 0
    assert main(["evaluate", "room/one"]) == 0
    said = capsys.readouterr().out
    assert f"weights: {path} (recipe cpu-b, seed 0; chosen: recipe cpu-b of cpu, cpu-b" in said
    given = evaluated(capsys, "--weights", str(results / "room/one/cpu-s0/weights.safetensors"))
    assert (given["recipe_name"], given["scores"]) == ("cpu", {"weight": 1.0})


@pytest.mark.parametrize(
    "more, says",
    [
        (["--recipe", "gpu"], "has no recorded weights of gpu; train it"),
        (["--recipe", "tpu"], "has no recipe 'tpu'; it has cpu, cpu-b, gpu"),
        (["--recipe", "cpu", "--weights", "x"], "--weights and --recipe were both given"),
        (["--recipe", "cpu", "--released", "x"], "--recipe and --released were both given"),
    ],
)
def test_weights_that_are_not_there_are_not_replaced_by_others(learned, more, says, capsys):
    learned("cpu-s0", 1.0)
    assert main(["evaluate", "room/one", *more]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_weights_that_are_not_kept_are_answered_with_the_command_that_makes_them(
    learned, results, capsys
):
    learned("cpu-s0", 1.0)
    learned("cpu-s1", 2.0)
    (results / "room/one/cpu-s1" / records.WEIGHTS).unlink()
    command = "python -m dunfold_lib train room/one --recipe cpu --seed 1"
    with pytest.raises(ValueError, match=f"recorded without weights; make: {command}$"):
        experiment.load("room/one", seed=1)
    assert main(["evaluate", "room/one", "--seed", "1"]) == 2
    error = capsys.readouterr().err
    assert command in error
    assert error.count("\n") == 1
    (results / "room/one/cpu-s0" / records.WEIGHTS).unlink()
    with pytest.raises(ValueError, match="cpu-s0 of room/one is recorded without weights"):
        experiment.load("room/one")


def test_one_flipped_bit_in_the_weights_is_noticed(learned, results, capsys):
    learned("cpu-s0", 1.0)
    path = results / "room/one/cpu-s0/weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
    assert main(["evaluate", "room/one"]) == 2
    error = capsys.readouterr().err
    assert f"{path}: is not the file of its run.json" in error
    assert error.count("\n") == 1


def test_an_experiment_may_apply_another_recipe_than_the_last(learned, results, monkeypatch):
    learned("cpu-s0", 1.0)
    learned("cpu-b-s0", 2.0)
    e = experiment.find("room/one")
    chosen = lambda *asked: experiment.weights_of("room/one", *asked)[0].parent.name
    for applied, taken in (("", "cpu-b-s0"), ("cpu", "cpu-s0"), ("not recorded", "cpu-b-s0")):
        here = replace(e, applied=applied)
        monkeypatch.setattr(experiment, "find", lambda name, here=here: here)
        assert chosen() == taken
        assert chosen("cpu-b") == "cpu-b-s0"


def test_weights_of_another_experiment_are_named_as_such(learned, results, capsys):
    learned("cpu-s0", 1.0)
    folder = results / "room/one/cpu-s0"
    records.save(folder, {**records.load(folder), "experiment": "room/two"})
    made = evaluated(capsys, "--weights", str(folder / "weights.safetensors"))
    assert made["weights"]["chosen"] == "as given, trained for room/two"


def test_a_run_of_its_own_name_is_evaluated_when_it_is_asked_for(learned, capsys):
    learned("short-s0", 5.0)
    learned("cpu-s0", 1.0)
    assert evaluated(capsys)["scores"] == {"weight": 1.0}
    assert evaluated(capsys, "--recipe", "short")["scores"] == {"weight": 5.0}


def test_a_record_made_before_a_field_existed_loads_with_its_default(results):
    e = experiment.find("newton_sr/newton-4")
    recipes = {name: replace(r, filters=3, width=4) for name, r in e.recipes.items()}
    changed = replace(e, recipes=recipes)
    folder = results / "newton_sr/newton-4/cpu-s0"
    known = {k: v for k, v in vars(recipes["cpu"]).items() if k not in ("filters", "cg")}
    run = {"scores": {}, "recipe_name": "cpu", "recipe": {**known, "gone": 3}}
    records.save(folder, run)
    net, asked = experiment.build(changed, folder), e.build(replace(e.recipes["cpu"], width=4))
    assert count_of(net) == count_of(asked)
    assert count_of(net) != count_of(e.build(recipes["cpu"]))


def count_of(net):
    return sum(p.numel() for p in net.parameters())


STARTS = {  # rooms whose networks begin at random, and those that begin at ISTA or cosines
    **dict.fromkeys(("imaging", "newton_sr", "small_target"), True),
    **dict.fromkeys(("sparse", "hyperspectral"), False),
}


def start_of(net):
    return torch.cat([p.detach().double().flatten() for p in net.parameters()])


@pytest.fixture
def weighed_once(monkeypatch):
    """Weights that are of the matrix alone are found once for each matrix."""
    for name in ("analytic_weights", "lp_weights"):
        monkeypatch.setattr(sparse_experiments, name, of_its_matrix(getattr(coherence, name)))


def of_its_matrix(weights):
    known = {}

    def found(A):
        key = A.numpy().tobytes()
        if key not in known:
            known[key] = weights(A)
        return known[key]

    return found


@pytest.mark.parametrize("room", STARTS)
@pytest.mark.usefixtures("weighed_once")
def test_the_seed_reaches_the_initial_weights(room):
    chosen = {n: e for n, e in experiment.select(room).items() if e.train is not None}
    assert chosen
    for name, e in chosen.items():
        recipe = next(iter(e.recipes.values()))
        nets = (e.build(recipe, 0), e.build(), e.build(recipe, 1))
        first, plain, other = map(start_of, nets)
        assert torch.equal(first, plain), name
        assert torch.equal(first, other) != STARTS[room], name


@pytest.mark.parametrize("seed", [0, 3])
def test_a_training_begins_at_its_seeds_weights_and_says_so(tmp_path, seed):
    e = experiment.find("newton_sr/plain-4")
    starts = []

    def train(net, *given, **more):
        starts.append(start_of(net))
        return []

    e = replace(e, train=train, measure=lambda net, seed: {"rmse": 0.0})
    asked = experiment.Run("room/one", "cpu", e.recipes["cpu"], seed, tmp_path)
    assert experiment.train(asked, e)
    run = records.load(asked.folder)
    assert torch.equal(starts[0], start_of(e.build(e.recipes["cpu"], seed)))
    assert run["start_seed"] == seed


def test_seconds_are_those_of_training_and_not_of_measuring(tmp_path):
    def slow(net, seed):
        time.sleep(3)
        return {"nmse_db": 0.0}

    known = experiment.find("sparse/lista-50x100")
    begun = time.perf_counter()
    asked = experiment.plan("sparse/lista-50x100", "cpu", SMALL, out=tmp_path)
    slowly = replace(known, measure=slow)
    experiment.train(asked, slowly)
    run = records.load(asked.folder)
    assert 0 < run["seconds"] < time.perf_counter() - begun - 2.9
    experiment.train(asked, slowly, resume=True)
    again = records.load(asked.folder)
    assert (again["seconds"], again["cpu_seconds"]) == (run["seconds"], run["cpu_seconds"])


def test_a_replaced_record_has_nothing_of_the_one_before(tmp_path, monkeypatch):
    old, new, target = (tmp_path / name for name in ("old", "new", "target"))
    for folder, size in ((old, 2), (new, 50)):
        made = {"scores": {}, "weights": records.save_weights(folder, torch.nn.Linear(size, size))}
        records.save(folder, made)
    records.save_losses(old, [1.0])
    records.keep(old, target)
    assert {p.name for p in target.iterdir()} == {"run.json", "loss.csv", records.WEIGHTS}
    monkeypatch.setattr(records, "MOST_BYTES", 1000)
    records.keep(new, target)
    assert [p.name for p in target.iterdir()] == ["run.json"]
    assert records.load(target) == records.load(new)


@pytest.mark.parametrize("seed, kept", [(0, True), (1, False)])
def test_git_keeps_the_weights_of_seed_0_alone_and_every_sha256(tmp_path, seed, kept):
    run, target = tmp_path / "run", tmp_path / "target"
    weights = records.save_weights(run, torch.nn.Linear(2, 2))
    records.save(run, {"scores": {}, "seed": seed, "weights": weights})
    records.keep(run, target)
    assert (target / records.WEIGHTS).exists() == kept
    assert records.load(target)["weights"] == weights


@pytest.mark.parametrize(
    "first, second, ahead",
    [([3, 4, 5], [0, 1, 2], True), ([3, 4, 5], [0, 1, 3], False), ([3, 4], [0, 1, 2], False)],
)
def test_two_are_ranked_by_three_runs_each_that_do_not_overlap(first, second, ahead):
    assert records.ranks(first, second) == ahead
    assert not records.ranks(second, first)
    assert records.undecided(first, second) == (not ahead)
    assert records.undecided([0.0], second, first) == (not ahead)


def test_a_reader_that_has_enough_is_no_error():
    call = f"{sys.executable} -m dunfold_lib list | head -n 1"
    done = subprocess.run(call, shell=True, capture_output=True, text=True)
    assert done.stderr == ""
