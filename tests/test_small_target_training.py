"""Of small target: training."""

import json
import math
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import shared_small_target
import torch
from shared_small_target import close, seeded, tiny_recipe
from torch import nn

from dunfold_lib import checkpoints, engine, records
from dunfold_lib.small_target import data, evaluation, readers, scores
from dunfold_lib.small_target import training as small_target_training
from dunfold_lib.small_target.layers import Learned
from dunfold_lib.small_target.model import LRPCANet, RPCANet, TwoTerm, total_loss
from dunfold_lib.training import Context

few = shared_small_target.few


def test_two_steps_of_training_are_two_steps_by_hand(few):
    recipe = tiny_recipe(steps=2, every=5)
    net, twin = (
        small_target_training.build(LRPCANet, recipe),
        small_target_training.build(LRPCANet, recipe),
    )
    losses = small_target_training.train(net, recipe, Context(seed=4))
    g, adam = seeded(4), torch.optim.Adam(twin.train().parameters(), lr=recipe.lr)
    for step in range(2):
        image, mask = data.crops(small_target_training.part("synthetic", "train"), 2, 32, g)
        adam.param_groups[0]["lr"] = recipe.rate(step)
        adam.zero_grad()
        loss = total_loss(twin, image, mask, pooled=True, bce=1.0)
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        adam.step()
        assert losses[step] == pytest.approx(float(loss.detach()), abs=1e-6)
    # a bias before a batch norm has no effect, and Adam follows the rounding of its gradient
    idle = [
        f"{name}.body.{i}.bias"
        for name, F in twin.named_modules()
        if hasattr(F, "body")
        for i, (_, behind) in enumerate(pairwise(F.body))
        if isinstance(behind, nn.BatchNorm2d)
    ]
    assert idle
    for (name, a), b in zip(net.named_parameters(), twin.parameters(), strict=True):
        if name not in idle:
            close(a, b, 5e-6)  # of steps of 3e-3; merged filters round otherwise
    close(net.train()(image), twin.train()(image), 1e-4)


def test_the_checkpoint_is_the_one_that_validation_chose(few, monkeypatch, tmp_path):
    recipe, seen, asked = tiny_recipe(steps=6), [], []
    values = iter([0.1, 0.5, 0.2])
    real = small_target_training.part
    monkeypatch.setattr(
        small_target_training,
        "part",
        lambda name, which, *_: asked.append(which) or real(name, which),
    )

    def pretend(net, frames):
        assert frames.image.equal(real("synthetic", "val").image)
        seen.append({k: v.clone() for k, v in net.state_dict().items()})
        return frames.mask

    monkeypatch.setattr(small_target_training, "predicted", pretend)
    monkeypatch.setattr(scores, "iou", lambda p, y: next(values))
    net = small_target_training.build(LRPCANet, recipe)
    told: list[tuple[int, float]] = []
    small_target_training.train(
        net, recipe, Context(tmp_path, validated=lambda step, iou: told.append((step, iou)))
    )
    assert told == [(2, 0.1), (4, 0.5), (6, 0.2)]
    assert len(seen) == 3  # after steps 2, 4, 6
    for key, value in net.state_dict().items():
        assert torch.equal(value, seen[1][key]), key
    assert set(asked) == {"train", "val"}  # never the test
    assert not net.training
    again = small_target_training.build(LRPCANet, recipe)
    small_target_training.train(
        again, recipe, Context(tmp_path)
    )  # a finished run: nothing is trained, the choice is kept
    for key, value in again.state_dict().items():
        assert torch.equal(value, seen[1][key]), key


@pytest.mark.parametrize("width", [4, 32])  # wide filters lie otherwise where there are no units
def test_an_interrupted_run_goes_on_to_the_same_numbers(few, monkeypatch, tmp_path, width):
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 2)
    monkeypatch.setattr(engine, "has_units", lambda device: False)
    recipe = tiny_recipe(steps=5, every=2, width=width)
    whole = small_target_training.build(LRPCANet, recipe)
    losses = small_target_training.train(whole, recipe)

    class StopError(Exception):
        pass

    def stop(step, loss):
        if step == 3:
            raise StopError

    cut = small_target_training.build(LRPCANet, recipe)
    with pytest.raises(StopError):
        small_target_training.train(cut, recipe, Context(tmp_path, watch=stop))
    fresh = small_target_training.build(LRPCANet, recipe)
    assert small_target_training.train(fresh, recipe, Context(tmp_path)) == losses
    for a, b in zip(fresh.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_best_weights_belong_to_one_recipe_seed_and_experiment(few, tmp_path):
    """Killed before its first checkpoint, a run has nothing else to be known by."""
    recipe = tiny_recipe(steps=2, every=1)
    net = small_target_training.build(LRPCANet, recipe)
    small_target_training.train(net, recipe, Context(tmp_path, experiment="room/one"))
    (tmp_path / "checkpoint.safetensors").unlink()
    for change, seed, name in (
        ({"lr": 1e-9}, 0, "room/one"),
        ({"density": 0.5}, 0, "room/one"),
        ({}, 1, "room/one"),
        ({}, 0, "room/two"),
    ):
        with pytest.raises(ValueError, match=r"best.safetensors: belongs to another run") as error:
            small_target_training.train(
                net, replace(recipe, **change), Context(tmp_path, seed, experiment=name)
            )
        assert "\n" not in str(error.value)


def test_a_training_begins_with_the_weights_of_another_recipe_and_the_same_seed(
    few, monkeypatch, tmp_path
):
    monkeypatch.setattr(records, "results_root", lambda: tmp_path / "results")
    recipe, name = tiny_recipe(steps=0, begin="other"), "small_target/lrpcanet-sirst"
    build = partial(small_target_training.build, LRPCANet, recipe)
    run = lambda seed, net: small_target_training.train(
        net, recipe, Context(tmp_path / "runs" / name / f"own-s{seed}", seed, experiment=name)
    )
    with pytest.raises(ValueError, match=r"other-s3/weights.safetensors: cannot be read"):
        run(3, build())
    for place, value in (("results", 0.25), ("runs", 0.5)):  # what is beside the run goes first
        other, net = build(seed=1), build(seed=2)
        with torch.no_grad():
            other.sigma.fill_(value)
        records.save_run(tmp_path / place / name / "other-s3", {"scores": {}}, other, [])
        run(3, net)
        assert net.sigma.unique() == value
        assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters()))
    with pytest.raises(ValueError, match="other-s4"):
        run(4, build())


def test_symmetries_of_images_turn_files_and_no_crop(few, monkeypatch, request):
    """Made-up frames are never resized, so that their crops are turned whatever the recipe says."""
    asked, cut = [], data.crops

    def crops(frames, batch, side, g, positive, turns):
        asked.append((frames.names[0], turns))
        return cut(frames, batch, side, g, positive, turns)

    made, forget = data.synthetic(seeded(), 2), small_target_training.part.cache_clear
    forget()
    request.addfinalizer(forget)
    monkeypatch.setattr(data, "crops", crops)
    monkeypatch.setattr(
        readers,
        "frames",
        lambda name, part, side, symmetries: made._replace(names=(f"{part} {symmetries}",) * 2),
    )
    for name in ("sirst", "synthetic"):
        for symmetries in ("crop", "image"):
            recipe = tiny_recipe(steps=1, data=name, symmetries=symmetries)
            small_target_training.train(small_target_training.build(RPCANet, recipe), recipe)
    names = [("train False", True), ("train True", False), *[("made-up-0", True)] * 2]
    assert asked == names
    with pytest.raises(ValueError, match="symmetries is 'files'; it must be one of"):
        tiny_recipe(symmetries="files")


def test_compiled_maps_learn_the_same_and_leave_the_network_as_it_is(few, monkeypatch):
    made = []

    class Compiled(nn.Module):
        def __init__(self, F, dynamic):
            super().__init__()
            self.F, self.calls = F, 0
            made.append((self, dynamic))

        def forward(self, v):
            self.calls += 1
            return self.F(v)

    monkeypatch.setattr(torch, "compile", Compiled)
    recipe, ran = tiny_recipe(steps=2), []
    for compiled in (False, True):
        net = small_target_training.build(LRPCANet, recipe)
        losses = small_target_training.train(
            net, replace(recipe, compile=compiled), Context(seed=4)
        )
        ran.append((net, losses))
        assert len(made) == compiled * 4 * recipe.stages
    maps = [F for _, F in net.maps()]
    assert {c.F for c, _ in made} == {*maps}
    assert {(c.calls, dynamic) for c, dynamic in made} == {(2, False)}
    assert {type(F) for F in maps} == {Learned}
    assert ran[1][1] == pytest.approx(ran[0][1], abs=1e-5)


def test_noise_in_training_comes_from_the_recipe_alone(few):
    x = torch.full((40, 1, 8, 8), 0.5)
    assert small_target_training._disturbed(x, tiny_recipe(), seeded()) is x
    rough = small_target_training._disturbed(x, tiny_recipe(sigma=25.0, density=0.1), seeded())
    clean = (rough == x).flatten(1).all(1).sum()
    assert 12 <= int(clean) <= 30


@pytest.mark.parametrize("kind", [RPCANet, LRPCANet, TwoTerm])
def test_every_kind_is_built_trained_and_measured(kind, few, monkeypatch):
    monkeypatch.setenv("DUNFOLD_DATA", "")
    recipe = tiny_recipe(steps=2, every=2, sigma=5.0)
    net = small_target_training.build(kind, recipe)
    losses = small_target_training.train(net, recipe)
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    made = evaluation.measure("sirst", net, 0)
    assert {"iou_synthetic", "pd_3px_synthetic", "auc_synthetic", "eps"} <= set(made)
    assert "iou" not in made  # no SIRST v1 without the data folder
    assert ("sigma" in made) == (kind is LRPCANet)
    json.dumps(made, allow_nan=False)
