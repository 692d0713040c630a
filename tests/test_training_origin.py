"""Of training: origin."""

import contextlib
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from shared_training import SHORT, Killed, killer, net, one_line, other, sample

from dunfold_lib import checkpoints, experiment
from dunfold_lib.checkpoints import Origin
from dunfold_lib.hyperspectral import training as hyperspectral_training
from dunfold_lib.sparse.training import Growth, batch_db, mean_square
from dunfold_lib.training import Context, Recipe, fit, grow

# whose file it is


RECIPES = {
    f"{name} {key}": recipe
    for name, e in experiment.experiments().items()
    for key, recipe in e.recipes.items()
}


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
        fit(net(), sample, mean_square, recipe, Context(tmp_path, 0, watch=watch, origin=begun))
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
