"""What the notebooks stand on: the session, the controls and panels, the panel that trains."""

import json
import math
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dunfold_lib import lab, live, records, session, show, trainer, training
from dunfold_lib.experiment import Experiment
from dunfold_lib.show import Curves, Frames, line
from dunfold_lib.training import ALONE, Context, Recipe, fit


@dataclass(frozen=True, kw_only=True)
class Tiny(Recipe):
    """A recipe with a field of each type."""

    steps: int = 20
    batch: int = 2
    data: str = "here"
    wide: bool = False


def build(recipe: Tiny = Tiny(), seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(3, 2 if recipe.wide else 1, bias=False)


def train(net: nn.Module, recipe: Tiny, context: Context = ALONE) -> list[float]:
    if recipe.data != "here":
        raise ValueError(f"data is {recipe.data!r};\nit must be 'here'")
    sample = lambda n, g: ((b := torch.randn(n, 3, generator=g)), b.sum(1, keepdim=True))
    loss = lambda net, b, truth: (net(b) - truth).square().mean()
    return fit(net, sample, loss, recipe, context)


def measure(net: Any, seed: int, folder: Path | None = None) -> dict[str, Any]:
    return {"error": float((net.weight.detach() - 1).square().sum()), "layers": [1.0, 2.0]}


TINY = Experiment(
    title="Tiny",
    source="none",
    protocol="a hand-made one",
    published={"error": 0.5},
    build=build,
    measure=measure,
    train=train,
    own=("folder",),
    recipes={"cpu": Tiny(), "gpu": Tiny(steps=40)},
)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> lab.Room:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "results_root", lambda: tmp_path / "results")
    return lab.Room("nowhere", {"tiny": TINY, "other": TINY})


@pytest.fixture
def panel(room: lab.Room) -> trainer.Trainer:
    form = trainer.Form(
        methods={"Tiny": "tiny", "Other": "other"},
        find=lambda method, task, recipe: (method, TINY),
        options={"data": lambda task: ["here", "there"]},
        quick=0.5,
    )
    return trainer.Trainer(room, form)


def lines(shown: str) -> list[str]:
    """The paragraphs of a panel."""
    return [part.split("</p>")[0] for part in shown.split("<p>")[1:]]


# ------------------------------------------------------------------ answers


def fails(error: BaseException) -> Any:
    def f() -> None:
        raise error

    return f


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("b is 3;\n  it must be 4"), "b is 3; it must be 4"),
        (KeyError("no such thing"), "no such thing"),
        (KeyError(), "KeyError"),
        (RuntimeError(""), "RuntimeError"),
        (FileNotFoundError(2, "No such file", "a<b"), "[Errno 2] No such file: &#x27;a&lt;b&#x27;"),
        (ValueError("x" * 900), "x" * 300),
    ],
)
def test_an_error_is_answered_in_one_line(error: BaseException, said: str) -> None:
    assert lines(lab.answered(fails(error))) == [said]


def test_an_interrupt_is_no_answer() -> None:
    with pytest.raises(KeyboardInterrupt):
        lab.answered(fails(KeyboardInterrupt()))


def test_a_panel_shows_curves_frames_tables_and_text_in_their_order() -> None:
    curve = Curves((line([0, 1], [1, 2]),), "x", "y", "a curve")
    frame = Frames((torch.zeros(4, 4).double().numpy(),), ("black",), "a frame")
    shown = lab.html("first", (curve, frame), session.show.table(["a"], [["b"]]), "1 < 2")
    places = [shown.index(word) for word in ("first", "a curve", "black", "<table", "1 &lt; 2")]
    assert places == sorted(places)
    assert shown.count('class="df-panels"') == 1  # side by side


# ------------------------------------------------------------------ controls and panels


def test_a_recipe_decides_its_controls() -> None:
    kinds = {n: type(lab.typed(n, v)).__name__ for n, v in vars(Tiny()).items()}
    assert kinds["steps"] == "IntText"
    assert kinds["lr"] == "FloatText"
    assert kinds["wide"] == "Checkbox"
    assert kinds["data"] == "Text"
    assert type(lab.typed("data", "a", ["a", "b"])).__name__ == "Dropdown"


def test_a_slider_is_whole_where_its_numbers_are_and_heard_when_let_go() -> None:
    whole, real = lab.slider("a", 1, 0, 4), lab.slider("b", 1.0, 0, 4, 0.5)
    assert [type(w).__name__ for w in (whole, real)] == ["IntSlider", "FloatSlider"]
    assert not whole.continuous_update
    assert not real.continuous_update


def test_a_menu_that_is_filled_anew_keeps_what_was_chosen_if_it_can() -> None:
    menu = lab.menu("m", {"one": 1, "two": 2})
    menu.value = 2
    lab.offer(menu, {"two": 3, "three": 4})
    assert (menu.label, menu.value) == ("two", 3)
    lab.offer(menu, ["four"])
    assert menu.value == "four"
    lab.offer(menu, [])
    assert menu.value is None


def test_a_panel_follows_what_its_controls_depend_on_and_draws_once() -> None:
    drawn: list[tuple[str, int]] = []
    controls = {"which": lab.menu("which", ["ab", "abcd"]), "at": lab.slider("at", 0, 0, 9)}
    p = lab.Panel(
        lambda which, at: drawn.append((which, at)) or which[at],
        controls,
        {"at": lambda which, at: len(which) - 1},
    )
    controls["which"].value = "abcd"
    controls["at"].value = 3
    controls["which"].value = "ab"  # the slider falls to 1; that is not heard a second time
    assert drawn == [("ab", 0), ("abcd", 0), ("abcd", 3), ("ab", 1)]
    assert lines(p.below.value) == ["b"]


def test_a_panel_answers_an_error_and_goes_on() -> None:
    box = lab.number("n", 1.0)
    p = lab.Panel(lambda n: f"{math.sqrt(n):.1f}", {"n": box})
    for n, said in ((-1.0, "math domain error"), (4.0, "2.0"), (math.nan, "nan")):
        box.value = n
        assert said in lines(p.below.value)[0] or "nonnegative" in lines(p.below.value)[0]
    assert len(lines(p.below.value)) == 1


def test_a_panel_with_a_button_draws_when_it_is_pressed() -> None:
    drawn: list[str] = []
    box = lab.text("t", "a")
    p = lab.Panel(lambda t: drawn.append(t) or t, {"t": box}, word="Go")
    box.value = "b"
    assert drawn == []
    p.press()
    assert drawn == ["b"]


@pytest.mark.parametrize("text", ["nowhere/at/all", "  ", "\0", "'quoted'"])
def test_a_data_folder_that_is_none_is_answered_in_one_line(
    room: lab.Room, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("DUNFOLD_DATA", "")
    room.data_folder(lambda: "all is found")
    room.panels[0].controls["place"].value = text
    (said,) = lines(room.panels[0].below.value)
    assert (said == "all is found") is (not text.strip())


def test_another_data_folder_empties_what_was_kept_and_draws_all_panels_anew(
    room: lab.Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DUNFOLD_DATA", "")
    drawn: list[str] = []
    look = room.kept(lambda name: drawn.append(name))
    room.data_folder(lambda: "")
    room.panel(lambda: look("a") or "seen", {})
    room.refresh()
    assert drawn == ["a"]
    room.panels[0].controls["place"].value = str(tmp_path)
    assert drawn == ["a", "a"]


# ------------------------------------------------------------------ networks


def test_there_is_always_a_network_and_the_reader_s_stands_first(room: lab.Room) -> None:
    assert [*room.networks(["tiny"])] == ["tiny, untrained"]
    room.take("tiny", "mine", net := build())
    assert room.networks(["tiny"]) == {"mine": net}
    assert room.own("tiny") is net
    assert room.own("other") is None
    assert room.networks(["other"], own=True) == {"mine": net}
    assert [*room.networks(["tiny"], nn.Conv2d)] == ["tiny, untrained"]


def test_recorded_networks_are_read_once_and_the_last_recipe_counts(room: lab.Room) -> None:
    for run, seed in (("cpu-s0", 1), ("gpu-s2", 2), ("gpu-s0", 3)):
        folder = records.results_root() / "nowhere" / "tiny" / run
        records.save_weights(folder, build(seed=seed))
    assert {r: p.parent.name for r, p in room.weights("tiny").items()} == {
        "cpu": "cpu-s0",
        "gpu": "gpu-s0",
    }
    assert torch.equal(room.recorded("tiny").weight, build(seed=3).weight)
    assert room.recorded("tiny") is room.recorded("tiny", "gpu")
    assert [*room.networks(["tiny"], every=True)] == ["Linear (tiny, cpu)", "Linear (tiny, gpu)"]


@pytest.mark.parametrize("file", ["", "nowhere.safetensors", "wrong.txt", "empty", "\0"])
def test_weights_that_cannot_be_opened_are_answered_in_one_line(room: lab.Room, file: str) -> None:
    Path("wrong.txt").write_text("no weights")
    Path("empty").mkdir()
    room.panels.append(lab.Panel(partial(room.open, build=None), {}))
    shown = lab.answered(room.open, "tiny", file)
    assert len(lines(shown)) == 1
    assert room.mine == {}


def test_weights_that_were_saved_are_opened_with_their_recipe(
    room: lab.Room, panel: trainer.Trainer
) -> None:
    panel.fields["wide"].value = True
    panel.run()
    (run,) = Path("runs/nowhere/tiny").iterdir()
    room.mine.clear()
    assert "6 learned numbers" in room.open("tiny", str(run)).text
    assert room.own("tiny").weight.shape == (2, 3)


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
