"""Of training: checkpoints."""

import signal
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from shared_training import SHORT, A, Killed, killer, net, one_line, same, sample

from dunfold_lib import checkpoints, records, training
from dunfold_lib.sparse import ALISTA, experiments
from dunfold_lib.sparse import training as sparse_training
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.training import Search, batch_db, mean_square
from dunfold_lib.training import Context, Recipe, fit, grow

# checkpoints


@pytest.mark.parametrize("killed_at", [0, 2, 3, 5, 7])
def test_a_killed_run_goes_on_to_the_same_numbers(killed_at, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 3)
    whole, resumed = net(), net()
    losses = fit(whole, sample, mean_square, SHORT, Context(seed=3))
    with pytest.raises(Killed):
        fit(net(), sample, mean_square, SHORT, Context(tmp_path, 3, watch=killer(killed_at)))
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
        fit(net(), sample, mean_square, SHORT, Context(tmp_path / "file/run", watch=killer(0)))


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
