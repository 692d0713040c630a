"""Of training: commands."""

import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from shared_training import SHORT, TINY, net, sample, train

from dunfold_lib import experiment, records
from dunfold_lib.__main__ import main
from dunfold_lib.sparse import evaluation, experiments
from dunfold_lib.sparse import training as sparse_training
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.training import EndToEnd, Growth, Search, batch_db
from dunfold_lib.training import Context, grow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs by the command line, none trained for more than a few steps."""
    out = tmp_path_factory.mktemp("runs")
    train(out, "sparse/lista-50x100", *TINY)
    train(out, "sparse/hyperlista", "evaluations=6", "signals=20")
    train(out, "sparse/alista", "--seed", "2", *TINY)
    return out


RUNS = {
    "lista-50x100/cpu-s0": (16 * (50 * 100 + 100 * 100) + 16, 17),
    "hyperlista/cpu-s0": (3, 6),
    "alista/cpu-s2": (32, 17),
}


every_run = pytest.mark.parametrize("name", RUNS)


@every_run
def test_train_writes_a_run_that_a_reader_can_open(made, name):
    folder, (parameters, steps) = made / "sparse" / name, RUNS[name]
    run = records.load(folder)
    assert run["experiment"] == f"sparse/{name.split('/')[0]}"
    assert run["recipe_name"] == "cpu"
    assert run["seed"] == int(name[-1])
    assert run["parameters"] == parameters
    assert run["device"] == "cpu"
    assert {"protocol", "versions", "commit", "seconds", "cpu_seconds", "matrix"} <= set(run)
    expected = {"evaluations": 6, "signals": 20} if "hyper" in name else {"batch": 4}
    assert expected.items() <= run["recipe"].items()
    data = (folder / "weights.safetensors").read_bytes()
    assert run["weights"]["bytes"] == len(data)
    lines = (folder / "loss.csv").read_text().splitlines()
    assert lines[0] == "step,loss"
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(steps))
    assert all(math.isfinite(float(line.split(",")[1])) for line in lines[1:])
    assert run["scores"]["nmse_db_per_layer"][-1] == run["scores"]["nmse_db"]


@every_run
def test_evaluate_finds_the_scores_that_the_run_recorded(made, name, capsys):
    run = records.load(made / "sparse" / name)
    weights = str(made / "sparse" / name / "weights.safetensors")
    seed = str(run["seed"])
    call = ["evaluate", run["experiment"], "--weights", weights, "--seed", seed, "--json"]
    assert main(call) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == run["scores"]


@every_run
def test_resuming_a_finished_run_changes_nothing(made, name):
    folder = made / "sparse" / name
    files = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "run.json"}
    before = records.load(folder)
    changes = ["evaluations=6", "signals=20"] if "hyper" in name else TINY
    train(made, before["experiment"], "--resume", "--seed", str(before["seed"]), *changes)
    assert {p: p.read_bytes() for p in files} == files
    after = records.load(folder)
    times = {"seconds", "cpu_seconds", "commit"}
    assert {k: v for k, v in after.items() if k not in times} == {
        k: v for k, v in before.items() if k not in times
    }


@every_run
@pytest.mark.parametrize("how", ["field", "seed", "experiment"])
def test_a_finished_run_does_not_take_another_recipe_seed_or_experiment(
    made, name, how, tmp_path, capsys
):
    experiment, seed = f"sparse/{name.split('/')[0]}", name[-1]
    changes = ["evaluations=6", "signals=20"] if "hyper" in name else TINY
    if how == "field":
        changes = ["evaluations=7", "signals=20"] if "hyper" in name else [*TINY, "finish_lr=0.5"]
    seed = "5" if how == "seed" else seed
    experiment += "-snr40" if how == "experiment" and "50" not in name else ""
    if how == "experiment" and "50" in name:
        experiment = "sparse/lista"
    there = tmp_path / experiment / f"cpu-s{seed}"
    shutil.copytree(made / "sparse" / name, there)
    before = {p: p.read_bytes() for p in there.rglob("*") if p.is_file()}
    call = ("train", experiment, "--resume", "--seed", seed, "--out", tmp_path, *changes)
    assert "belongs to another run" in refused(capsys, *call)
    assert {p: p.read_bytes() for p in there.rglob("*") if p.is_file()} == before


def refused(capsys, *arguments):
    """The one line on stderr of a command that ends with exit code 2."""
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_weights_that_do_not_fit_are_named_in_one_line(made, tmp_path, capsys):
    path = tmp_path / "weights.safetensors"
    look = ("evaluate", "sparse/alista", "--weights")
    assert "cannot be read" in refused(capsys, *look, path)
    path.write_text("no tensors")
    assert str(path) in refused(capsys, *look, path)
    foreign = made / "sparse/hyperlista/cpu-s0/weights.safetensors"
    assert str(foreign) in refused(capsys, *look, foreign)
    whole = (made / "sparse/alista/cpu-s2/weights.safetensors").read_bytes()
    path.write_bytes(whole[:-8])
    assert str(path) in refused(capsys, *look, path)


def test_weights_trained_for_another_matrix_are_refused(made, capsys):
    """They fit in shape; the numbers would be those of no experiment."""
    weights = made / "sparse/alista/cpu-s2/weights.safetensors"
    assert "matrix" in refused(capsys, "evaluate", "sparse/alista-cond50", "--weights", weights)


@pytest.mark.parametrize(
    "change, says",
    [
        ("speed=3", "'speed=3': the recipe has the fields stage_steps, finish_steps, batch"),
        ("batch=many", "'batch=many': batch must be of type int"),
        ("batch=1.5", "'batch=1.5': batch must be of type int"),
        ("lr=", "'lr=': lr must be of type float"),
        ("batch=0", "batch is 0; it must be at least 1"),
        ("stage_steps=-1", "steps is -1; it must be at least 0"),
        ("lr=nan", "lr is nan; it must be finite"),
        ("lr=-1", "lr is -1; it must be finite"),
    ],
)
def test_a_change_of_the_recipe_that_makes_no_sense_is_refused(change, says, tmp_path, capsys):
    assert says in refused(capsys, "train", "sparse/alista", "--out", tmp_path, change)
    assert not list(tmp_path.rglob("run.json"))


def test_a_change_reaches_fields_of_every_type():
    changed = experiment.override(EndToEnd(), ["steps=3", "lr=0.5", "log=true"])
    assert changed == EndToEnd(steps=3, lr=0.5, log=True)
    assert experiment.override(changed, ["log=False"]).log is False
    with pytest.raises(ValueError, match="'log=maybe': log must be of type bool"):
        experiment.override(changed, ["log=maybe"])


def test_a_run_that_exists_is_not_overwritten(made, capsys):
    says = refused(capsys, "train", "sparse/hyperlista", "--out", made, "evaluations=6")
    assert "exists; go on with --resume, or remove it" in says


def test_a_recipe_that_does_not_exist_is_refused(tmp_path, capsys):
    call = ("train", "sparse/hyperlista", "--recipe", "gpu", "--out", tmp_path)
    assert "has no recipe 'gpu'; it has cpu" in refused(capsys, *call)


# every recipe


CHANGES = {
    Growth: {"stage_steps": 1, "finish_steps": 2, "batch": 8},
    EndToEnd: {"steps": 2, "batch": 8},
    Search: {"evaluations": 5, "signals": 8},
}


LEARNED = {name: e for name, e in experiments.EXPERIMENTS.items() if e.train is not None}


@pytest.mark.parametrize("name", LEARNED)
def test_every_recipe_of_every_experiment_takes_a_few_steps(name, monkeypatch):
    """On the experiment's own problem and network, made small."""
    monkeypatch.setattr(experiments, "K", 3)
    for problem in {*experiments.CONDITIONS.values(), experiments.SMALL}:
        for side, value in {"m": 25, "n": 50}.items():
            monkeypatch.setitem(vars(problem), side, value)
    for recipe in LEARNED[name].recipes.values():
        network = LEARNED[name].build()
        before = {k: v.clone() for k, v in network.state_dict().items()}
        tiny = replace(recipe, **CHANGES[type(recipe)])
        losses = LEARNED[name].train(network, tiny)
        assert len(losses) == sparse_training.steps(tiny, network.K)
        assert all(map(math.isfinite, losses))
        for key, value in network.state_dict().items():
            assert torch.isfinite(value).all()
            if key != "W2.0":  # it multiplies x⁰ = 0
                assert not torch.equal(value, before[key]), key


def test_the_search_keeps_the_best_numbers_that_it_tried():
    problem = SparseProblem(m=25, n=50)
    network = experiments.HyperLISTA(problem.operator(), 4)
    losses = sparse_training.train(problem, network, Search(40, 50))
    g = torch.Generator().manual_seed(0)
    b, truth = problem.sample(problem.operator(), 50, g)
    assert len(losses) == 40
    assert float(batch_db(4, network, b, truth)) == pytest.approx(min(losses), abs=1e-5)
    assert min(losses) < losses[0]


def test_test_signals_are_not_training_signals():
    """The seeds of training and tuning stay below those of the test signals."""
    problem = SparseProblem(m=25, n=50)
    trained = {1000 * seed + stage for seed in range(10) for stage in range(18)}
    assert max(trained) < evaluation.TEST_SEED
    first, _ = evaluation.test_signals(problem, 0)
    assert len(first) == evaluation.TEST_SIZE
    assert not torch.equal(first, evaluation.test_signals(problem, 1)[0])


def test_the_loss_of_growth_is_the_score():
    b, x = sample(50, torch.Generator().manual_seed(0))
    network = net().requires_grad_(False)
    value = 10 * math.log10(float((network.iterates(b)[2] - x).square().sum() / x.square().sum()))
    assert batch_db(2, network, b, x).item() == pytest.approx(value, abs=1e-12)


def test_a_long_run_keeps_small_checkpoints_of_past_stages(tmp_path):
    at = lambda depth: lambda *given: batch_db(depth, *given)
    grow(net(), sample, at, replace(SHORT, steps=2), SHORT, Context(tmp_path))
    sizes = [p.stat().st_size for p in sorted(tmp_path.glob("*/checkpoint.safetensors"))]
    assert len(sizes) == 4
    finish, *stages = sizes
    assert finish > 3 * 12 * 20 * 8
    assert all(size < 8000 for size in stages)


def test_a_recorded_loss_has_200_points_of_means():
    lines = ["step,loss", *(f"{step},{step % 3}" for step in range(1001))]
    kept = [line.split(",") for line in records.thinned("\n".join(lines) + "\n").splitlines()[1:]]
    assert len(kept) == 167  # blocks of six steps
    assert [int(step) for step, _ in kept] == [*range(5, 1001, 6), 1000]
    assert {float(loss) for _, loss in kept[:-1]} == {1.0}
    short = "step,loss\n0,1\n1,2\n"
    assert records.thinned(short) == short


def test_what_is_kept_of_a_run_is_small_and_all_of_a_short_one(tmp_path):
    run = tmp_path / "run"
    records.save(run, {"scores": {"a": 1.0}})
    records.save_losses(run, [float(i) for i in range(5000)])
    records.keep(run, tmp_path / "kept")
    assert len((tmp_path / "kept/loss.csv").read_text().splitlines()) == 201
    assert records.load(tmp_path / "kept") == records.load(run)
