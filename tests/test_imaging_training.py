"""Of imaging: training."""

import math
from dataclasses import replace

import pytest
import shared_imaging
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared_imaging import TINY, close, count, kinds, uniform
from torch.testing import assert_close

from dunfold_lib import checkpoints, records, training
from dunfold_lib.imaging import data, evaluation, fast, model
from dunfold_lib.imaging import training as imaging_training
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, symmetric_loss
from dunfold_lib.operators import Fourier, Sensing
from dunfold_lib.training import Context

scraps = shared_imaging.scraps


def state(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def same(u, v):
    return all(torch.equal(a, b) for a, b in zip(state(u).values(), state(v).values(), strict=True))


@kinds
def test_two_steps_of_training_are_two_steps_of_adam_by_hand(scraps, Network):
    recipe = replace(TINY, steps=2, symmetry=0.3, clip=0.5)
    trained, hand = (imaging_training.build(Network, 1, recipe) for _ in range(2))
    history = imaging_training.train(trained, recipe, Context(seed=5))
    draw, g = imaging_training.sampler(recipe), torch.Generator().manual_seed(5)
    adam = torch.optim.Adam(hand.parameters())
    for step in range(2):
        truth = draw(3, g)
        by = fast.plus_loss if Network is ISTANetPlus else symmetric_loss  # the same, tested above
        loss = by(hand, hand.A(truth), truth, 0.3)
        assert history[step] == pytest.approx(loss.item(), rel=1e-6)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(hand.parameters(), 0.5)
        adam.param_groups[0]["lr"] = 1e-2 * (1 + math.cos(math.pi * step / 2)) / 2
        adam.step()
    for u, v in zip(trained.parameters(), hand.parameters(), strict=True):
        close(u, v, 1e-7)


class Killed(BaseException):
    """What ends a run from outside."""


@pytest.mark.parametrize("constrained", [False, True], ids=["free", "constrained"])
def test_a_killed_run_goes_on_to_the_same_numbers(scraps, constrained, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 2)
    build = imaging_training.build_constrained if constrained else imaging_training.build
    made = lambda: build(ISTANetPlus, 1, TINY)
    whole = made()
    losses = imaging_training.train(whole, TINY, Context(tmp_path / "whole", 3))

    def killer(step, loss):
        if step == 2:
            raise Killed

    with pytest.raises(Killed):
        imaging_training.train(made(), TINY, Context(tmp_path / "cut", 3, watch=killer))
    resumed = made()
    assert imaging_training.train(resumed, TINY, Context(tmp_path / "cut", 3)) == losses
    assert same(whole, resumed)
    assert not same(whole, made())


def test_batches_are_training_blocks_in_some_symmetry_and_a_seed_names_them(scraps):
    draw = imaging_training.sampler(TINY)
    at = lambda seed: draw(200, torch.Generator().manual_seed(seed))
    first = at(0)
    assert first.shape == (200, 1, 33, 33)
    assert torch.equal(first, at(0))
    assert not torch.equal(first, at(1))
    all_of_them = torch.stack([data.turned(scraps, k) for k in range(8)], 1)  # block, symmetry
    seen = set()
    for x in first[:100]:
        hit = (all_of_them == x).flatten(2).all(2).nonzero()
        assert len(hit) == 1
        seen.add(tuple(hit[0].tolist()))
    assert {block for block, _ in seen} == set(range(12))
    assert {turn for _, turn in seen} == set(range(8))


def test_batches_for_slices_are_slices_of_the_head(monkeypatch):
    slices = uniform(5, 1, 8, 8).float()
    monkeypatch.setattr(data, "head_slices", lambda part: {"train": slices}[part])
    draw = imaging_training.sampler(imaging_training.Training(data="head"))
    x = draw(6, torch.Generator().manual_seed(0))
    assert x.shape == (6, 1, 8, 8)
    away = (x.sum((1, 2, 3))[:, None] - slices.sum((1, 2, 3))).abs()
    assert float(away.min(1).values.max()) < 1e-4 < float(away.median())


def test_batches_for_slices_come_from_photographs_too_where_the_recipe_says_so(monkeypatch):
    both = uniform(5, 1, 8, 8).float()
    monkeypatch.setattr(data, "slices_and_photographs", lambda: both)
    draw = imaging_training.sampler(imaging_training.Training(data="head+wheels"))
    x = draw(6, torch.Generator().manual_seed(0))
    away = (x.sum((1, 2, 3))[:, None] - both.sum((1, 2, 3))).abs()
    assert float(away.min(1).values.max()) < 1e-4 < float(away.median())


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_network_for_slices_trains(precision, monkeypatch):
    slices = uniform(5, 1, 12, 12).float()
    monkeypatch.setattr(data, "head_slices", lambda part: slices)
    recipe = replace(TINY, data="head", quiet=False, precision=precision)
    net = ISTANetPlus(Fourier(data.radial_mask(40, 12)), 2, 2)
    before = state(net)
    losses = imaging_training.train(net, recipe)
    assert len(losses) == 4
    assert all(map(math.isfinite, losses))
    assert not any(torch.equal(v, before[k]) for k, v in net.state_dict().items())


@kinds
@pytest.mark.parametrize("quiet", [True, False])
def test_a_built_network_has_the_recipes_size_and_its_start(scraps, Network, quiet):
    net = imaging_training.build(Network, 1, replace(TINY, quiet=quiet))
    assert (net.K, net.C1[0].shape[0]) == (2, 2)
    assert torch.equal(net.A.Phi, data.sensing_matrix(1))
    close(net.Q, data.linear_start(net.A.Phi, data.covariance(scraps)), 1e-7)
    b = net.A(scraps)
    moved = (net(b) - net.start(b)).abs().max().item()
    assert moved < 1e-5 if quiet else moved > 1e-2


def test_a_built_network_for_slices_measures_by_its_mask():
    net = imaging_training.build_mri(ISTANetPlus, 20, replace(TINY, phases=1))
    assert torch.equal(net.A.mask, data.radial_mask(20))
    assert net.Q is None
    assert net.rho.tolist() == [1.0]


@kinds
def test_a_constrained_network_starts_as_the_free_one_and_cannot_leave_its_bounds(scraps, Network):
    free, held = (
        f(Network, 1, TINY) for f in (imaging_training.build, imaging_training.build_constrained)
    )
    close(held.rho, free.rho, 1e-6)
    close(held.theta, free.theta, 2e-6)
    assert count(held) == count(free)
    b = held.A(scraps)
    close(held(b), free(b), 1e-4)
    imaging_training.train(held, replace(TINY, lr=3.0, steps=6))
    for push in (0.0, -30.0, 30.0):
        with torch.no_grad():
            for name in ("rho", "theta"):
                held.parametrizations[name].original += push
        assert bool(((held.rho >= 0) & (held.rho <= 2)).all())
        assert bool((held.theta >= 0).all())
        if push == 0:
            assert bool(((held.rho > 0) & (held.rho < 2) & (held.theta > 0)).all())
    other = imaging_training.build_constrained(Network, 1, TINY)
    other.load_state_dict(held.state_dict())
    assert same(held, other)


@given(st.floats(0.05, 1.95), st.floats(1e-4, 20))
def test_a_bound_and_its_right_inverse_undo_each_other(rho, theta):
    for bound, value in ((model.Within(0.0, 2.0), rho), (model.Within(0.0), theta)):
        x = torch.tensor([value], dtype=torch.float64)
        assert_close(bound(bound.right_inverse(x)), x, rtol=1e-10, atol=0)


def test_a_shorter_recipe_has_its_share_of_the_steps_and_nothing_else_changes():
    recipe = imaging_training.Training(steps=1000)
    assert training.shorter(recipe, 0.25) == replace(recipe, steps=250)
    assert training.shorter(recipe, 0.0).steps == 1
    assert training.shorter(recipe, 1) == recipe


def test_the_covariance_is_read_from_its_record_and_else_computed(scraps, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(imaging_training, "training_set", lambda name: scraps)
    monkeypatch.setattr(records, "results_root", lambda: tmp_path)
    fresh = imaging_training.patch_covariance.__wrapped__
    computed = fresh("mine")
    assert torch.equal(computed, data.covariance(scraps))
    path = imaging_training.record_covariance("mine")
    assert path == tmp_path / "imaging/covariance-mine.safetensors"
    monkeypatch.setattr(imaging_training, "training_set", None)  # not asked any more
    found = fresh("mine")
    assert found.dtype == torch.float64
    assert_close(found, computed, rtol=1e-6, atol=0)
    Phi = data.sensing_matrix(1)
    close(data.linear_start(Phi, found), data.linear_start(Phi, computed), 1e-4)
    imaging_training.record_covariance("measured-1", computed)
    assert torch.equal(imaging_training.measured_covariance.__wrapped__(1), found)


def test_the_linear_start_from_the_wheels_images_reaches_its_bar():
    """Set11 at 25 %: at least 26.6 dB, from T91 26.7 to 27.2 (the shared bars of the chapter)."""
    folder = data.data_folder("Set11")
    if folder is None:
        pytest.skip("Set11 is not here: DUNFOLD_DATA names no folder with images/Set11")
    Phi = data.sensing_matrix(25)
    for name, low, high in (("wheels", 26.6, 27.2), ("T91", 26.7, 27.2)):
        if name == "T91" and data.data_folder(name) is None:
            continue
        Q = data.linear_start(Phi, imaging_training.patch_covariance(name))
        net = ISTANet(Sensing(Phi), 1, 2, Q)
        made = evaluation.mean_scores(
            lambda x, net=net: evaluation.started(net, x), data.read_folder(folder)
        )
        assert low <= made["psnr"] <= high


def test_a_training_begins_with_recorded_weights_of_another_ratio(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "results_root", lambda: tmp_path)
    monkeypatch.setattr(data, "head_slices", lambda part: uniform(5, 1, 12, 12).float())
    recipe = replace(TINY, data="head", steps=0, begin="mri-20/cpu-s0")
    make = lambda ratio: ISTANetPlus(Fourier(data.radial_mask(ratio, 12)), 2, 4)
    other = make(20)
    with torch.no_grad():
        other.rho.fill_(0.25)
    with pytest.raises(ValueError, match=r"mri-20/cpu-s0/weights.safetensors: cannot be read"):
        imaging_training.train(make(50), recipe)
    records.save_run(tmp_path / "imaging/mri-20/cpu-s0", {"scores": {}}, other, [])
    net = make(50)
    imaging_training.train(net, recipe)
    assert_close(net.rho, other.rho)
    with pytest.raises(ValueError, match="holds no weights of this network"):
        imaging_training.train(ISTANetPlus(Fourier(data.radial_mask(50, 12)), 2, 6), recipe)
