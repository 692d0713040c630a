"""Of laboratory: training."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shared_laboratory
import torch
from shared_laboratory import TINY, Tiny, lines

from dunfold_lib import lab, live, records, show, trainer, training

panel = shared_laboratory.panel
room = shared_laboratory.room


# ------------------------------------------------------------------ the panel that trains


def test_a_training_is_shown_kept_and_joins_the_networks(
    room: lab.Room, panel: trainer.Trainer
) -> None:
    panel.run()
    folder = Path("runs/nowhere/tiny/quick-s0")
    made = records.load(folder)
    assert made["recipe"]["steps"] == 10
    assert made["recipe_name"] == "cpu"
    assert made["experiment"] == "nowhere/tiny"
    assert len((folder / "loss.csv").read_text().splitlines()) == 11
    assert re.match(r"Tiny, quick-s0: trained in \d+ s; kept in runs", lines(panel.said.value)[0])
    for word in ("running mean", "published", "recorded", "0.50", f"{made['scores']['error']:.3f}"):
        assert word in panel.picture.value
    assert [*room.networks(["tiny"])] == ["Linear (tiny, quick-s0, yours)"]
    assert panel.buttons["Stop"].disabled
    assert not panel.buttons["Save"].disabled


def test_fields_follow_method_and_recipe_and_a_changed_one_names_the_folder(
    panel: trainer.Trainer,
) -> None:
    panel.scale.value = "gpu"
    assert panel.fields["steps"].value == 40
    panel.fields["steps"].value = 3
    panel.fields["lr"].value = 0.01
    assert panel.job().label == "gpu-steps3-lr0.01-s0"
    panel.scale.value = "cpu"
    assert panel.fields["steps"].value == 20


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("lr", math.nan, "lr is nan"),
        ("lr", -1.0, "lr is -1"),
        ("steps", -5, "steps is -5"),
        ("batch", 0, "batch is 0"),
        ("precision", "", "precision is ''"),
        ("data", "there", "data is 'there'; it must be 'here'"),
    ],
)
def test_a_bad_field_is_answered_in_one_line_and_nothing_is_written(
    panel: trainer.Trainer, field: str, value: Any, said: str
) -> None:
    panel.fields[field].value = value
    panel.run()
    assert len(lines(panel.said.value)) == 1
    assert said in panel.said.value.replace("&#x27;", "'")
    assert not [*Path().rglob("run.json")]
    assert not panel.buttons["Start"].disabled


def test_a_changed_field_tells_the_size_of_the_network(panel: trainer.Trainer) -> None:
    sized = trainer.Trainer(panel.room, replace(panel.form, sized=True))
    sized.fields["wide"].value = True
    assert lines(sized.said.value) == ["6 learned numbers"]
    sized.fields["steps"].value = -1
    assert lines(sized.said.value) == ["steps is -1; it must be at least 0"]


@pytest.mark.parametrize("seed", [-1, 10**30])
def test_a_seed_that_is_none_is_answered_in_one_line(panel: trainer.Trainer, seed: int) -> None:
    panel.seed.value = seed
    panel.run()
    assert len(lines(panel.said.value)) == 1
    assert not [*Path().rglob("run.json")]


@pytest.mark.parametrize("place", ["nowhere", "\0"])
def test_test_data_of_the_reader_s_that_are_not_there_are_answered_in_one_line(
    panel: trainer.Trainer, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    read = lambda net, seed, folder: {"error": float(len([*Path(folder).iterdir()]))}
    form = replace(panel.form, find=lambda *_: ("tiny", replace(TINY, measure=read)))
    monkeypatch.setattr(panel, "form", form)
    panel.tested.value = place
    panel.run()
    assert len(lines(panel.said.value)) == 1
    assert not panel.buttons["Start"].disabled


def stopped_after(panel: trainer.Trainer, step: int) -> None:
    """Run until a step was shown, as if Stop had been pressed while it was taken."""
    taken = iter(range(step + 1))
    asked = lambda: next(taken, None) == step
    panel.stopping.is_set = asked  # type: ignore[method-assign]
    panel.run()
    panel.stopping.is_set = lambda: False  # type: ignore[method-assign]


def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(panel: trainer.Trainer) -> None:
    panel.scale.value = "cpu"
    panel.run()
    assert panel.last is not None
    whole, weights = panel.last.losses, panel.last.net.weight.clone()
    stopped_after(panel, 6)
    assert lines(panel.said.value) == ["stopped; Resume goes on from there"]
    assert not Path("runs/nowhere/tiny/cpu-s0/run.json").exists()
    panel.run(fresh=False)
    assert panel.last.losses == whole
    assert len(panel.last.losses) == 20
    assert torch.equal(panel.last.net.weight, weights)


def test_buttons_train_in_a_thread_that_stop_ends(panel: trainer.Trainer) -> None:
    panel.fields["steps"].value = 1_000_000
    panel.buttons["Start"].click()
    panel.buttons["Stop"].click()
    panel.thread.join(60)
    assert not panel.thread.is_alive()
    assert lines(panel.said.value) == ["stopped; Resume goes on from there"]
    assert [*Path("runs").rglob("checkpoint.safetensors")]


def test_there_is_nothing_to_go_on_from_before_a_training(panel: trainer.Trainer) -> None:
    panel.run(fresh=False)
    assert "no checkpoint to go on from" in lines(panel.said.value)[0]
    panel.keep.value = False
    panel.run(fresh=False)
    assert "checkpoints are off" in lines(panel.said.value)[0]


def test_an_earlier_run_of_the_same_job_is_put_aside(panel: trainer.Trainer) -> None:
    panel.run()
    panel.run()
    found = sorted(p.name for p in Path("runs/nowhere/tiny").iterdir())
    assert found == ["quick-s0", "quick-s0.old0"]


def test_without_checkpoints_nothing_is_written_until_save(panel: trainer.Trainer) -> None:
    panel.keep.value = False
    panel.run()
    assert not Path("runs").exists()
    panel.buttons["Save"].click()
    assert lines(panel.said.value)[0].startswith("written to runs")
    assert json.loads(Path("runs/nowhere/tiny/quick-s0/run.json").read_text())["seconds"] >= 0


def test_two_runs_are_compared_and_none_is_answered_in_one_line(
    room: lab.Room, panel: trainer.Trainer
) -> None:
    room.comparer(["tiny", "other"])
    room.panels[-1].press()
    assert lines(room.panels[-1].below.value) == ["no run of this experiment is here; train one"]
    panel.run()
    panel.seed.value = 1
    panel.run()
    compare = room.panels[-1]
    assert [*compare.controls["second"].options][1][0] == "yours: quick-s1"
    compare.controls["second"].index = 1
    compare.press()
    assert compare.below.value.count("quick-s1") > 0
    assert "<table" in compare.below.value


# ------------------------------------------------------------------ while a training goes on


def test_the_running_mean_is_of_a_twenty_fifth_of_the_losses() -> None:
    losses = [float(i % 7) for i in range(100)]
    means = show.running_mean(losses)
    assert means[0] == pytest.approx(sum(losses[:4]) / 4)
    assert means[-1] == pytest.approx(sum(losses[-4:]) / 4)
    assert len(means) == 97


def test_the_time_that_is_left_goes_by_the_pace_of_this_start() -> None:
    seen = live.Live(1000, lambda curves, said: None)
    seen.begun, seen.at, seen.losses = 0.0, [*range(500, 600)], [1.0] * 100
    assert seen.said(198.0) == "step 600 of 1000: loss 1, about 13 min left"


def test_curves_are_drawn_once_in_a_while_and_at_the_end() -> None:
    shown: list[str] = []
    seen = live.Live(50, lambda curves, said: shown.append(said), every=1000.0)
    for step in range(50):
        seen.watch(step, 1.0)
    assert len(shown) == 1
    assert shown[0].startswith("step 50 of 50")


def test_losses_below_zero_have_no_logarithmic_axis_and_looks_have_a_panel() -> None:
    (drawn,) = live.loss_curves([0, 1], [-3.0, -4.0], [], 2)
    assert not drawn.logy
    drawn, seen = live.loss_curves([0, 1], [3.0, 4.0], [(1, 50.0)], 2)
    assert drawn.logy
    assert seen.ylabel == "IoU, %"


def test_a_shorter_recipe_has_a_share_of_its_steps() -> None:
    assert training.shorter(Tiny(), 0.5) == Tiny(steps=10)
    assert training.shorter(Tiny(), 0.0) == Tiny(steps=1)
