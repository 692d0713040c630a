"""What the notebooks stand on: the session, the controls and panels, the panel that trains."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import shared_laboratory
import torch
from shared_laboratory import Tiny, build, lines
from torch import nn

from dunfold_lib import lab, records, session, trainer
from dunfold_lib.show import Curves, Frames, line

panel = shared_laboratory.panel
room = shared_laboratory.room


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
