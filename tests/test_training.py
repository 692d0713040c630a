"""Training: the loop, its checkpoints, stage-wise growth, and the command line around them."""

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dunfold_lib import checkpoints, experiment, processes, records, training
from dunfold_lib.__main__ import main
from dunfold_lib.checkpoints import Origin
from dunfold_lib.hyperspectral import training as hyperspectral_training
from dunfold_lib.sparse import ALISTA, LISTACP, evaluation, experiments
from dunfold_lib.sparse import training as sparse_training
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.training import EndToEnd, Growth, Search, batch_db, mean_square
from dunfold_lib.training import Context, Recipe, fit, grow

PROBLEM = SparseProblem(m=12, n=20, p=0.15, dtype=torch.float64)
A = PROBLEM.operator()
SHORT = Recipe(steps=8, batch=6, lr=1e-2)
TINY = ["stage_steps=1", "finish_steps=1", "batch=4"]


def sample(batch, g):
    return PROBLEM.sample(A, batch, g)


def net():
    return LISTACP(A, 3, 0.1)


def same(u, v):
    """Whether two networks hold the same weights to the last bit."""
    pairs = zip(u.state_dict().values(), v.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


class Killed(BaseException):
    """What ends a run from outside; no `except Exception` catches it."""


def killer(at):
    def watch(step, loss):
        if step == at:
            raise Killed

    return watch


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# the loop


def test_the_rate_falls_along_half_a_cosine_from_lr_to_its_end():
    recipe = Recipe(steps=10, lr=0.2, end=0.25)
    assert recipe.rate(0) == pytest.approx(0.2)
    assert recipe.rate(5) == pytest.approx(0.2 * 0.625)
    assert recipe.rate(10) == pytest.approx(0.05)
    rates = [recipe.rate(k) for k in range(11)]
    assert all(u > v for u, v in pairwise(rates))


@pytest.mark.parametrize("clip", [1e9, 1e-3], ids=["unclipped", "clipped"])
def test_two_steps_of_fit_are_two_steps_of_adam_by_hand(clip):
    """m ← .9m + .1g, v ← .999v + .001g², p ← p − η m̂/(√v̂ + 1e-8), g scaled to norm ≤ clip."""
    recipe = Recipe(steps=2, batch=6, lr=0.01, end=0.1, clip=clip)
    trained, hand, g = net(), net(), torch.Generator().manual_seed(7)
    history = fit(trained, sample, mean_square, recipe, Context(seed=7))
    weights = list(hand.parameters())
    m, v = ([torch.zeros_like(p) for p in weights] for _ in range(2))
    for step in (1, 2):
        b, x = sample(6, g)
        loss = (hand(b) - x).square().mean()
        assert history[step - 1] == pytest.approx(loss.item(), rel=1e-14)
        gradients = torch.autograd.grad(loss, weights)
        norm = sum(float(d.square().sum()) for d in gradients) ** 0.5
        assert (norm > clip) == (clip < 1)
        rate = 0.01 * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - 1) / 2)) / 2)
        with torch.no_grad():
            for i, d in enumerate(gradients):
                d = d * min(1, clip / (norm + 1e-6))
                m[i] = 0.9 * m[i] + 0.1 * d
                v[i] = 0.999 * v[i] + 0.001 * d * d
                down = (v[i] / (1 - 0.999**step)).sqrt() + 1e-8
                weights[i] -= rate * m[i] / (1 - 0.9**step) / down
    for p, q in zip(trained.parameters(), weights, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-13)
    assert len(history) == 2
    assert not trained.training


def test_a_seed_names_a_run():
    first, again, other = net(), net(), net()
    losses = [
        fit(n, sample, mean_square, SHORT, Context(seed=s)) for n, s in ((first, 1), (again, 1))
    ]
    fit(other, sample, mean_square, SHORT, Context(seed=2))
    assert losses[0] == losses[1]
    assert same(first, again)
    assert not same(first, other)


def test_frozen_weights_stay_and_zero_steps_change_nothing():
    trained = net()
    trained.theta.requires_grad_(False)
    fit(trained, sample, mean_square, SHORT)
    assert torch.equal(trained.theta, net().theta)
    assert not torch.equal(trained.W[0], net().W[0])
    untouched = net()
    assert fit(untouched, sample, mean_square, Recipe(steps=0)) == []
    assert same(untouched, net())


def test_a_loss_that_is_not_a_number_ends_the_run_in_one_line(tmp_path):
    spoilt = lambda net, b, truth: mean_square(net, b, truth) * math.nan
    with pytest.raises(RuntimeError, match="the loss is nan at step 0; try a smaller lr") as error:
        fit(net(), sample, spoilt, SHORT, Context(tmp_path))
    one_line(error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given, says",
    [
        ({"steps": -1}, "steps is -1; it must be at least 0"),
        ({"steps": 1.5}, "steps is 1.5; it must be a whole number"),
        ({"batch": 0}, "batch is 0; it must be at least 1"),
        ({"lr": 0.0}, r"lr is 0; it must be finite and in \(0, inf\]"),
        ({"lr": math.nan}, "lr is nan; it must be finite"),
        ({"end": 1.5}, r"end is 1.5; it must be finite and in \[0, 1\]"),
        ({"clip": 0.0}, r"clip is 0; it must be finite and in \(0, inf\]"),
    ],
)
def test_a_recipe_refuses(given, says):
    with pytest.raises((ValueError, TypeError), match=says) as error:
        Recipe(**given)
    one_line(error)


# checkpoints


@pytest.mark.parametrize("killed_at", [0, 2, 3, 5, 7])
def test_a_killed_run_goes_on_to_the_same_numbers(killed_at, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 3)
    whole, resumed = net(), net()
    losses = fit(whole, sample, mean_square, SHORT, Context(seed=3))
    with pytest.raises(Killed):
        fit(
            net(),
            sample,
            mean_square,
            SHORT,
            Context(tmp_path, 3, watch=killer(killed_at)),
        )
    seen = []
    watch = lambda step, loss: seen.append(step)
    assert fit(resumed, sample, mean_square, SHORT, Context(tmp_path, 3, watch=watch)) == losses
    assert same(whole, resumed)
    assert seen == list(range(killed_at // 3 * 3, 8))  # it went on, it did not begin again


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, again = net(), net()
    losses = fit(first, sample, mean_square, SHORT, Context(tmp_path))
    assert fit(again, sample, mean_square, SHORT, Context(tmp_path, watch=killer(0))) == losses
    assert same(first, again)


@pytest.mark.parametrize("killed_at", [0, 4, 5, 11, 14, 17, 21, 22])
def test_a_killed_growth_goes_on_to_the_same_numbers(killed_at, tmp_path, monkeypatch):
    """Three stages of 5 steps and a last one of 8, a checkpoint every 3 steps."""
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 3)
    stage, finish = replace(SHORT, steps=5), SHORT
    at = lambda depth: lambda *given: batch_db(depth, *given)
    whole, resumed = net(), net()
    losses = grow(whole, sample, at, stage, finish, Context(seed=3))
    assert len(losses) == 3 * 5 + 8
    with pytest.raises(Killed):
        grow(net(), sample, at, stage, finish, Context(tmp_path, 3, watch=killer(killed_at)))
    seen = []
    watch = lambda step, loss: seen.append(step)
    assert grow(resumed, sample, at, stage, finish, Context(tmp_path, 3, watch=watch)) == losses
    assert same(whole, resumed)
    assert seen == list(range(seen[0], 23))
    assert killed_at - 2 <= seen[0] <= killed_at
    third = net()
    assert grow(third, sample, at, stage, finish, Context(tmp_path, 3, watch=killer(0))) == losses
    assert same(whole, third)


def test_growth_begins_each_layer_as_a_copy_of_the_one_before():
    """Without a finish and with steps in the first stage alone, all layers are the first."""
    seen = []

    def at(depth):
        def loss(net, b, truth):
            seen.append((depth, [p.detach().clone() for p in net.W], net.theta.detach().clone()))
            return batch_db(depth, net, b, truth)

        return loss

    grow(net(), sample, at, replace(SHORT, steps=2), Recipe(steps=1, batch=6))
    assert [depth for depth, _, _ in seen] == [1, 1, 2, 2, 3, 3, 3]
    for t in (1, 2):
        _, W, theta = seen[2 * t]  # the first step of stage t + 1
        assert torch.equal(W[t], W[t - 1])
        assert theta[t] == theta[t - 1]
        assert not torch.equal(W[t], net().W[t])


def test_a_stage_leaves_the_layers_above_it_alone():
    trained = net()
    at = lambda depth: lambda *given: batch_db(1, *given)
    grow(trained, sample, at, SHORT, Recipe(steps=0))
    assert not torch.equal(trained.W[0], net().W[0])
    assert torch.equal(trained.W[2], trained.W[1])  # copied, and no gradient since


def test_copying_a_layer_copies_what_each_layer_has_and_not_what_all_share():
    source = ALISTA(A, 3)
    with torch.no_grad():
        source.gamma.copy_(torch.tensor([1.0, 2.0, 3.0]))
        source.theta.copy_(torch.tensor([4.0, 5.0, 6.0]))
    training.copy_layer(source, 0, 2)
    assert source.gamma.tolist() == [1.0, 2.0, 1.0]
    assert source.theta.tolist() == [4.0, 5.0, 4.0]


@pytest.mark.parametrize("spoil", ["cut", "text", "foreign", "weights"])
def test_a_checkpoint_that_does_not_fit_is_named_in_one_line(spoil, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    other = ALISTA(A, 3) if spoil == "foreign" else net()
    fit(other, sample, mean_square, SHORT, Context(tmp_path))
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:100])
    if spoil == "text":
        path.write_text("no tensors")
    if spoil == "weights":
        records.save_weights(tmp_path, other)
        (tmp_path / "weights.safetensors").replace(path)
    with pytest.raises(ValueError, match="is no checkpoint of this run") as error:
        fit(net(), sample, mean_square, SHORT, Context(tmp_path))
    assert str(path) in one_line(error)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    """Its numbers would be those of neither recipe."""
    fit(net(), sample, mean_square, SHORT, Context(tmp_path))
    with pytest.raises(ValueError, match="checkpoint") as error:
        fit(net(), sample, mean_square, replace(SHORT, lr=0.5), Context(tmp_path))
    one_line(error)


def slow_net(seconds):
    """A loss whose every step takes some time."""

    def loss(net, b, truth):
        time.sleep(seconds)
        return mean_square(net, b, truth)

    return loss


def test_a_checkpoint_is_due_by_time_as_well_whatever_a_step_costs(tmp_path, monkeypatch):
    """And the numbers do not depend on when it was written."""
    now = iter(range(0, 10**6, 25))
    clock = SimpleNamespace(
        monotonic=lambda: float(next(now)), perf_counter=float, process_time=float
    )
    monkeypatch.setattr(checkpoints, "time", clock)
    kept, real = [], records.write_bytes
    write = lambda path, data: kept.append(path.name) or real(path, data)
    monkeypatch.setattr(records, "write_bytes", write)
    seen = []
    watch = lambda step, loss: seen.append(kept.count(checkpoints.CHECKPOINT))
    trained = net()
    losses = fit(trained, sample, mean_square, SHORT, Context(tmp_path, 3, watch=watch))
    assert seen[-1] in (1, 2)  # every 60 s, at 25 s and more a step
    monkeypatch.undo()
    plain = net()
    assert fit(plain, sample, mean_square, SHORT, Context(seed=3)) == losses
    assert same(plain, trained)


def test_no_more_than_a_minute_is_between_checkpoints():
    assert checkpoints.SAVE_SECONDS <= 60


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_after_the_step_and_nothing_is_lost(number, tmp_path):
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    stop = lambda step, loss: signal.raise_signal(number) if step == 4 else None
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(net(), sample, mean_square, SHORT, Context(tmp_path, 3, watch=stop))
    finally:
        assert signal.signal(signal.SIGTERM, before) is signal.default_int_handler
    whole, resumed, seen = net(), net(), []
    watch = lambda step, loss: seen.append(step)
    losses = fit(resumed, sample, mean_square, SHORT, Context(tmp_path, 3, watch=watch))
    assert seen == [5, 6, 7]
    assert fit(whole, sample, mean_square, SHORT, Context(seed=3)) == losses
    assert same(whole, resumed)


def test_a_second_signal_ends_a_run_at_once(tmp_path):
    def stop(step, loss):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        fit(net(), sample, mean_square, SHORT, Context(tmp_path, watch=stop))
    assert not (tmp_path / checkpoints.CHECKPOINT).exists()


def test_a_search_goes_on_from_what_it_has_tried(tmp_path):
    problem = SparseProblem(m=25, n=50)
    tried = lambda: experiments.HyperLISTA(problem.operator(), 4)
    whole, resumed, seen = tried(), tried(), []
    recipe = Search(12, 20)
    losses = sparse_training.train(problem, whole, recipe)
    stop = lambda step, loss: signal.raise_signal(signal.SIGINT) if step == 6 else None
    with pytest.raises(KeyboardInterrupt):
        sparse_training.train(problem, tried(), recipe, Context(tmp_path, watch=stop))
    with pytest.raises(ValueError, match="signals is 20 there and 30 here"):
        sparse_training.train(problem, tried(), Search(12, 30), Context(tmp_path))
    watch = lambda step, loss: seen.append(step)
    assert sparse_training.train(problem, resumed, recipe, Context(tmp_path, watch=watch)) == losses
    assert seen[0] == 7
    assert torch.equal(whole.c, resumed.c)


def test_seconds_are_those_of_training_alone_over_all_its_starts(tmp_path):
    slow, recipe = slow_net(0.05), replace(SHORT, steps=6)
    stop = lambda step, loss: signal.raise_signal(signal.SIGINT) if step == 2 else None
    with pytest.raises(KeyboardInterrupt):
        fit(net(), sample, slow, recipe, Context(tmp_path, watch=stop))
    first, _ = checkpoints.spent(tmp_path)
    assert first >= 0.15
    fit(net(), sample, slow, recipe, Context(tmp_path))
    whole, cpu = checkpoints.spent(tmp_path)
    assert whole >= first + 0.15
    assert 0 < cpu < whole
    fit(net(), sample, slow, recipe, Context(tmp_path))  # finished: nothing more is spent
    assert checkpoints.spent(tmp_path) == (whole, cpu)


def test_a_folder_that_cannot_be_written_is_found_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        fit(
            net(),
            sample,
            mean_square,
            SHORT,
            Context(tmp_path / "file/run", watch=killer(0)),
        )


def test_what_a_kill_left_half_written_is_swept(tmp_path):
    fit(net(), sample, mean_square, SHORT, Context(tmp_path))
    (tmp_path / f"{checkpoints.CHECKPOINT}.12ab{records.PART}").write_bytes(b"half")
    fit(net(), sample, mean_square, SHORT, Context(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == [checkpoints.CHECKPOINT]


def test_one_flipped_bit_in_a_checkpoint_is_noticed(tmp_path):
    path = tmp_path / checkpoints.CHECKPOINT
    fit(net(), sample, mean_square, SHORT, Context(tmp_path))
    whole = path.read_bytes()
    for at in (20, 60, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="is no checkpoint of this run") as error:
            fit(net(), sample, mean_square, SHORT, Context(tmp_path))
        assert str(path) in one_line(error)


# whose file it is


RECIPES = {
    f"{name} {key}": recipe
    for name, e in experiment.experiments().items()
    for key, recipe in e.recipes.items()
}


def other(value):
    """Another value of the same type."""
    return not value if isinstance(value, bool) else value + type(value)(1)


def test_every_field_of_every_recipe_tells_a_run_from_another():
    for name, recipe in RECIPES.items():
        here = Origin(recipe, 1, "room/one")
        here.check(Path("x"), here.text())
        text = json.loads(here.text())
        for field in fields(recipe):
            changed = text["recipe"] | {field.name: other(text["recipe"][field.name])}
            with pytest.raises(ValueError, match=rf"x: belongs to another run \({field.name} is"):
                here.check(Path("x"), json.dumps(text | {"recipe": changed}))
        for change in ({"seed": 2}, {"experiment": "room/two"}):
            with pytest.raises(ValueError, match="belongs to another run") as error:
                here.check(Path("x"), json.dumps(text | change))
            assert next(iter(change)) in one_line(error), name


def test_a_field_that_a_file_does_not_know_had_its_default():
    here = Origin(Recipe(batch=3))
    old = {"recipe": {"steps": 1000, "batch": 3}, "seed": 0, "experiment": ""}
    here.check(Path("x"), json.dumps(old))
    with pytest.raises(ValueError, match=r"\(lr is 0.001 there and 0.5 here\)"):
        Origin(Recipe(batch=3, lr=0.5)).check(Path("x"), json.dumps(old))
    with pytest.raises(ValueError, match="speed is 3 there and None here"):
        here.check(Path("x"), json.dumps(old | {"recipe": {"batch": 3, "speed": 3}}))


@pytest.mark.parametrize("text", [None, "", "{", "[]", "3", '{"recipe": {}}', '{"recipe": 3}'])
def test_a_file_that_names_no_origin_is_refused(text):
    with pytest.raises(ValueError, match=r"x: .*names no recipe, seed and experiment") as error:
        Origin(Recipe()).check(Path("x"), text)
    one_line(error)


@pytest.mark.parametrize("killed_at", [None, 3])
@pytest.mark.parametrize(
    "change, seed, experiment",
    [
        ({"low": 6.0}, 0, "room/one"),
        ({"stride": 4}, 0, "room/one"),
        ({"lr": 0.5}, 0, "room/one"),
        ({}, 1, "room/one"),
        ({}, 0, "room/two"),
    ],
)
def test_a_run_of_another_recipe_seed_or_experiment_is_not_gone_on_with(
    killed_at, change, seed, experiment, tmp_path, monkeypatch
):
    """A room's own fields too, and whether it was finished or not."""
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 2)
    recipe = hyperspectral_training.Training(steps=6, batch=4)
    begun = Origin(recipe, 0, "room/one")
    with contextlib.suppress(Killed):
        watch = killer(killed_at)
        fit(
            net(),
            sample,
            mean_square,
            recipe,
            Context(tmp_path, 0, watch=watch, origin=begun),
        )
    files = {p: p.read_bytes() for p in tmp_path.rglob("*")}
    now = replace(recipe, **change)
    context = Context(tmp_path, seed, watch=killer(0), experiment=experiment)
    with pytest.raises(ValueError, match="belongs to another run") as error:
        fit(net(), sample, mean_square, now, context)
    assert "checkpoint.safetensors" in one_line(error)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*")} == files


def test_a_growth_that_was_killed_early_does_not_go_on_with_another_finish(tmp_path):
    """The stage at which it was killed has nothing to do with what changed."""
    stage = replace(SHORT, steps=5)
    grown = Growth(stage_steps=5, finish_steps=8, batch=6)
    at = lambda depth: lambda *given: batch_db(depth, *given)
    whose = lambda now, **more: Context(tmp_path, 3, origin=Origin(now, 3, ""), **more)
    call = lambda now, **more: grow(net(), sample, at, stage, SHORT, whose(now, **more))
    with pytest.raises(Killed):
        call(grown, watch=killer(7))
    with pytest.raises(ValueError, match=r"finish_lr is 0\.0003 there and 0\.5 here"):
        call(replace(grown, finish_lr=0.5))


# several processes


SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import nn
torch.set_num_threads(1)
from accelerate import Accelerator
from dunfold_lib import records, training
from dunfold_lib.small_target import LRPCANet, training as small_target_training
from dunfold_lib.sparse import LISTACP, evaluation, training as sparse_training
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.training import EndToEnd, Growth, Search, batch_db, mean_square
from dunfold_lib.training import Recipe, Context, fit
out = Path(sys.argv[1])
problem = SparseProblem(m=12, n=20, p=0.15, dtype=torch.float64)
A = problem.operator()
machine = Accelerator(cpu=True)
assert machine.num_processes == 2, machine.num_processes
rank = machine.process_index
sample = lambda n, g: problem.sample(A, n, g)
recipe = Recipe(steps=8, batch=5, lr=1e-2)
net = LISTACP(A, 3, 0.1)
with torch.no_grad():
    net.theta += rank  # the first process has the state that counts
losses = fit(net, sample, mean_square, recipe, Context(seed=3))
records.save_weights(out / f"fit-{rank}", net)
if machine.is_main_process:
    records.save_losses(out / "fit-0", losses)
net = LISTACP(A, 3, 0.1)
grown = Growth(stage_steps=4, finish_steps=4, batch=5)
growing = Context(out / "grown" if rank == 0 else out / "elsewhere")
sparse_training.train(problem, net, grown, growing)
sparse_training.train(problem, net, grown, growing)  # resumed
records.save_weights(out / f"grow-{rank}", net)
net = nn.Sequential(nn.Linear(12, 20), nn.BatchNorm1d(20)).double()
fit(net, sample, mean_square, recipe, Context(seed=3))
records.save_weights(out / f"norm-{rank}", net)
small_target_training.MADE_UP.update(train=(8, 1), val=(4, 2))
sizes = {"stages": 1, "width": 2, "neck": 2, "noise_layers": 1, "crop": 32}
tiny = small_target_training.Training(steps=4, every=1, batch=3, lr=0.05, **sizes)
net = small_target_training.build(LRPCANet, tiny)
small_target_training.train(net, tiny, Context(out / "small" if rank == 0 else out / "elsewhere"))
records.save_weights(out / f"small-{rank}", net)
try:
    fit(net, sample, mean_square, Recipe(batch=1))
except ValueError as error:
    (out / f"refused-{rank}").write_text(str(error))
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder that two processes have written."""
    out = tmp_path_factory.mktemp("two")
    (out / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    launch += [str(out / "script.py"), str(out)]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def close_weights(network, folder):
    loaded = type(network)(A, 3, 0.1)
    records.load_weights(folder / "weights.safetensors", loaded)
    for p, q in zip(network.parameters(), loaded.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_two_processes_train_as_one_does(two):
    """Rows are weighted: five are three and two. The first process's state counts."""
    whole = net()
    losses = fit(whole, sample, mean_square, replace(SHORT, batch=5), Context(seed=3))
    for rank in (0, 1):
        close_weights(whole, two / f"fit-{rank}")
    lines = (two / "fit-0/loss.csv").read_text().splitlines()[1:]
    assert [float(line.split(",")[1]) for line in lines] == pytest.approx(losses, rel=1e-5)


@pytest.mark.slow
def test_two_processes_grow_as_one_does_though_its_loss_is_no_mean_over_rows(two):
    whole = net()
    sparse_training.train(PROBLEM, whole, Growth(stage_steps=4, finish_steps=4, batch=5))
    for rank in (0, 1):
        close_weights(whole, two / f"grow-{rank}")
    assert (two / "grown/finish/checkpoint.safetensors").exists()
    assert not (two / "elsewhere").exists()  # the first process alone writes


@pytest.mark.slow
def test_two_processes_are_one_network_to_the_last_bit(two):
    """Running statistics of batch norms too, and what validation chose in the first process."""
    assert (two / "small/best.safetensors").exists()
    for name in ("fit", "grow", "norm", "small"):
        first, second = ((two / f"{name}-{r}/weights.safetensors").read_bytes() for r in (0, 1))
        assert first == second


@pytest.mark.slow
def test_a_batch_of_fewer_rows_than_processes_is_refused(two):
    for rank in (0, 1):
        says = (two / f"refused-{rank}").read_text()
        assert says == "batch is 1; with 2 processes it must be at least 2"


@pytest.mark.slow
def test_the_command_in_two_processes_measures_prints_and_writes_once(tmp_path):
    call = ["-m", "dunfold_lib", "train", "sparse/lista-50x100", *TINY, "--out", str(tmp_path)]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [sys.executable, *launch, *call], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("protocol: ") == 1
    assert done.stdout.count("nmse_db ") == 1
    assert len(list(tmp_path.rglob("run.json"))) == 1


@pytest.mark.slow
def test_accelerate_launch_says_that_it_starts_one_process(tmp_path):
    call = ["-m", "dunfold_lib", "train", "sparse/lista-50x100", *TINY, "--out", str(tmp_path)]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes=2"]
    done = subprocess.run(
        [sys.executable, *launch, *call], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count(experiment.ONE_PROCESS) == 1


def test_a_device_that_is_not_here_is_refused_and_never_replaced(monkeypatch):
    fit(net(), sample, mean_square, replace(SHORT, steps=1))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device is 'cuda'; this machine has") as error:
            fit(net(), sample, mean_square, SHORT, Context(device="cuda"))
        one_line(error)
        monkeypatch.setattr(processes, "available", lambda device: True)
        with pytest.raises(ValueError, match="device is 'cuda'; these processes began on cpu"):
            fit(net(), sample, mean_square, SHORT, Context(device="cuda"))
    with pytest.raises(ValueError, match="device is 'gpu'; it must be"):
        fit(net(), sample, mean_square, SHORT, Context(device="gpu"))


def test_a_device_is_not_that_of_an_earlier_fit_in_this_process():
    """Accelerate keeps the first one that it was asked for."""
    from accelerate.state import PartialState

    processes.processes("cpu")
    PartialState._shared_state["device"] = torch.device("meta")
    assert processes.processes("cpu").device.type == "cpu"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_processes_share_the_rows_of_a_batch_without_loss(n):
    b = torch.arange(7.0)[:, None]
    parts = [
        processes.share(b, SimpleNamespace(num_processes=n, process_index=i, device="cpu"))
        for i in range(n)
    ]
    assert torch.equal(torch.cat(parts), b)


KILLS = [sys.executable, str(Path(__file__).parents[1] / "tools" / "kills.py"), "--kills"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_runs_killed_at_random_moments_end_as_the_untouched_ones():
    """A few of what `make kills` does."""
    cases = ["sparse/lista-50x100", "sparse/hyperlista", "small_target/lrpcanet-sirst"]
    done = subprocess.run([*KILLS, "6", "--only", *cases], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("6 kills (")


# the command line


def train(out, *arguments):
    assert main(["train", *arguments, "--out", str(out)]) == 0


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
