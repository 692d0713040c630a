"""Of show: explorers."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from shared_show import NASTY, Reader, curves, grey

from dunfold_lib import show
from dunfold_lib.explore import WIDE, Explorer, Guess, Slider
from dunfold_lib.show import Frames, line

# The explorer's page


def explorer(draw=None, **options):
    def both(slope, kind):
        image = grey() if kind == "up" else 1 - grey()
        return curves(slope), Frames((image, grey()), (kind, NASTY), "image", note=NASTY)

    sliders = {
        "slope": Slider(NASTY, (0.5, 1.0, 2.0), 1, "{:.1f}"),
        "kind": Slider("kind", ("up", "down")),
    }
    return Explorer(draw or both, sliders, NASTY, **options)


def data_of(html):
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', html, flags=re.S)
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_an_explorer_page_is_balanced_html_with_its_texts_escaped():
    page = Reader(explorer().html())
    assert page.text("label") == [NASTY, "up", "down"]
    assert page.text("output") == ["1.0"]
    assert page.text("figcaption") == [NASTY]
    assert page.text("p") == [f"slope 1 · {NASTY}"]


def test_every_slider_of_a_page_has_one_label_and_one_output():
    page = Reader(explorer().html() + explorer().html())
    ranges = [a["id"] for a in page.all("input") if a["type"] == "range"]
    assert len(set(ranges)) == 2
    assert [a["for"] for a in page.all("label") if "for" in a] == ranges
    assert [a["for"] for a in page.all("output")] == ranges


def test_named_choices_of_a_page_are_radio_buttons_in_a_named_group():
    page = Reader(explorer().html() + explorer().html())
    radios = [a for a in page.all("input") if a["type"] == "radio"]
    groups = [a["aria-labelledby"] for a in page.all("div") if a.get("role") == "radiogroup"]
    assert [a["name"] for a in radios] == [groups[0]] * 2 + [groups[1]] * 2
    assert groups[0] != groups[1]
    assert ["checked" in a for a in radios] == [True, False] * 2
    assert all("disabled" in a for a in radios)


def test_a_slider_of_a_page_spans_its_values_and_starts_where_it_should():
    first, *_ = Reader(explorer().html()).all("input")
    spans = [first[k] for k in ("type", "min", "max", "step", "value")]
    assert spans == ["range", "0", "2", "1", "1"]
    assert first["aria-valuetext"] == "1.0"


def test_the_data_of_an_explorer_cannot_end_its_script():
    html = explorer().html()
    assert html.lower().count("</script") == 1
    assert data_of(html)["frames"][0]["captions"] == ["up", NASTY]


def test_an_explorer_has_one_frame_for_each_state_in_the_order_of_the_product():
    data = data_of(explorer().html())
    assert [s["name"] for s in data["sliders"]] == ["slope", "kind"]
    assert [s["texts"] for s in data["sliders"]] == [["0.5", "1.0", "2.0"], ["up", "down"]]
    states = list(itertools.product((0.5, 1.0, 2.0), ("up", "down")))
    assert len(data["frames"]) == len(states) == 6
    for frame, (slope, kind) in zip(data["frames"], states, strict=True):
        ((moving, dot),) = frame["lines"]
        assert json.loads(data["store"][moving]) == [[0, 1], [0, slope]]
        assert json.loads(data["store"][dot]) == [[0.5], [slope / 2]]
        assert frame["note"] == f"slope {slope:g} · {NASTY}"
        assert frame["captions"][0] == kind
        assert data["store"][frame["images"][0]].startswith("data:image/webp")


def test_an_explorer_stores_every_curve_and_image_once():
    data = data_of(explorer().html())
    used = [
        i
        for f in data["frames"]
        for i in (*f["images"], *itertools.chain.from_iterable(f["lines"]))
    ]
    assert len(used) == 6 * 4
    assert len(data["store"]) == len(set(data["store"])) == 3 + 3 + 2
    assert set(used) == set(range(len(data["store"])))


def test_an_explorer_tells_its_page_where_the_axes_are():
    (panel,) = data_of(explorer().html())["panels"]
    assert panel["box"] == show.axes_box(show.figure(curves(size=WIDE)))
    assert (panel["xlim"], panel["ylim"]) == ([0, 1], [0, 2])
    assert (panel["fixed"], panel["styles"]) == (1, ["dashed", "solid", "dots"])


def test_a_curve_that_is_not_finite_has_null_in_the_store():
    draw = lambda slope, kind: curves(lines=(line([0, 1, 2], [np.nan, np.inf, 1 / 3]),), fixed=0)
    data = data_of(explorer(draw).html())
    assert json.loads(data["store"][0]) == [[0, 1, 2], [None, None, 0.33333]]


def test_an_explorer_with_a_script_holds_its_values_and_no_frame():
    calls = []
    draw = lambda slope, kind: (calls.append(slope), curves(slope))[1]
    data = data_of(explorer(draw, script="go", problem={"L": 2}).html())
    assert calls == [1.0]
    assert (data["script"], data["problem"]) == ("go", {"L": 2})
    assert data["values"] == {"slope": [0.5, 1.0, 2.0], "kind": ["up", "down"]}
    assert "frames" not in data


def test_a_script_spares_an_explorer_the_limit_on_states():
    many = {"slope": Slider("s", range(1, 1000))}
    page = Explorer(lambda slope: curves(slope), many, "c", script="go").html()
    assert Reader(page).all("input")[0]["max"] == "998"


# The explorer's widget


def test_the_book_gets_the_page_and_a_kernel_gets_the_widget(monkeypatch):
    monkeypatch.setenv("DUNFOLD_FACE", "page")
    page = explorer()._repr_mimebundle_()
    assert set(page) == {"text/plain", "text/html"}
    assert Reader(page["text/html"]).all("input")
    monkeypatch.delenv("DUNFOLD_FACE")
    kernel = explorer()._repr_mimebundle_()
    assert set(kernel) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert kernel["application/vnd.jupyter.widget-view+json"]["model_id"]


def test_a_widget_draws_once_and_then_once_for_each_move():
    calls = []
    draw = lambda slope, kind: (calls.append((slope, kind)), curves(slope))[1]
    slope, kind, picture, _ = explorer(draw).widget().children
    assert calls == [(1.0, "up")]
    slope.value = 2
    assert calls[1:] == [(2.0, "up")]
    assert "<p>slope 2</p>" in picture.value
    kind.value = 1
    assert calls[2:] == [(2.0, "down")]
    kind.value = 1  # no move
    assert len(calls) == 3


def test_a_widget_redraws_on_release_and_shows_its_texts():
    slope, kind, picture, caption = explorer().widget().children
    assert not slope.continuous_update
    assert [label for label, _ in slope.options] == ["0.5", "1.0", "2.0"]
    assert (slope.description, kind.value) == (NASTY, 0)
    assert Reader(picture.value).all("svg")
    assert Reader(caption.value).text("i") == [NASTY]


def test_a_widget_whose_drawing_fails_says_so_in_one_line_and_raises():
    def draw(slope, kind):
        if slope == 2:
            raise ValueError("slope is <2>")
        return curves(slope)

    slope, _, picture, _ = explorer(draw).widget().children
    with pytest.raises(ValueError, match="slope is <2>"):
        slope.value = 2
    assert picture.value == "<pre>ValueError: slope is &lt;2&gt;</pre>"
    slope.value = 0
    assert "<p>slope 0.5</p>" in picture.value


# A guess before the answer


def guess(**options):
    return Guess(
        **{"asked": NASTY, "choices": ("up", NASTY), "right": "up"} | {"answer": "x"} | options
    )


def test_a_guess_has_a_button_for_each_choice_and_the_answer_in_a_fold():
    page = Reader(guess().html())
    assert page.text("button") == ["up", NASTY]
    assert [b["data-right"] for b in page.all("button")] == ["1", "0"]
    assert page.text("summary") == ["The answer"]
    assert len(page.all("details")) == 1
    assert "open" not in page.all("details")[0]


def test_a_guess_is_remembered_under_its_question_and_not_under_its_place():
    key = lambda **options: re.search(r'data-key="(\w{8})"', guess(**options).html())[1]
    assert key() == key(answer="y")
    assert len({key(), key(asked="?"), key(choices=("up", "down"))}) == 3


def test_an_explorer_asks_before_its_sliders():
    html = explorer(guess=guess()).html()
    assert html.index("Guess first.") < html.index("df-controls")
    assert "Guess first." not in explorer().html()
    asked, slope, *_ = explorer(guess=guess()).widget().children
    assert "Guess first." in asked.children[0].value
    assert slope.description == NASTY


@pytest.mark.parametrize(("taken", "says"), [("up", "Right."), (NASTY, "No.")])
def test_in_a_kernel_the_first_guess_brings_the_answer_and_stands(taken, says):
    _, choices, told = guess(answer="because").widget().children
    assert (choices.value, told.value) == (None, "")
    choices.value = taken
    assert says in told.value
    assert "because" in told.value
    assert "<b>" not in told.value
    assert choices.disabled


def test_the_book_gets_a_guess_as_a_page_and_a_kernel_as_widgets(monkeypatch):
    monkeypatch.setenv("DUNFOLD_FACE", "page")
    assert "Guess first." in guess()._repr_mimebundle_()["text/html"]
    monkeypatch.delenv("DUNFOLD_FACE")
    assert "application/vnd.jupyter.widget-view+json" in guess()._repr_mimebundle_()


def test_a_trainings_losses_are_drawn_with_their_running_mean():
    values = [float(10 + i % 5) for i in range(100)]
    drawn = show.losses(values)
    steps, means = drawn.lines
    assert steps.x.tolist() == [*range(1, 101)]
    assert steps.y.tolist() == values
    assert means.x.tolist() == [*range(4, 101)]  # a mean of four
    assert means.y[0] == 11.5
    assert (drawn.logy, drawn.ylabel, drawn.xlim) == (True, "loss", (0, 100))
    assert "100 steps" in drawn.alt
    below = show.losses([3.0, -1.0], "dB", at=[500, 501], steps=1000)
    assert (below.logy, below.ylabel, below.xlim) == (False, "loss, dB", (0, 1000))
    assert below.lines[0].x.tolist() == [500, 501]
    assert not show.losses([3.0, 1.0], "dB").logy  # decibels are logarithms already
    assert len(show.losses([1.0] * 5000).lines[0].x) == show.LOSSES
    with pytest.raises(ValueError, match=r"^values is empty; it needs one loss a step$"):
        show.losses([])


def test_what_stands_beside_a_training_is_a_curve_for_each_name():
    drawn = show.by_name({"a": [5.0, 4.0], "b": [5.0, 2.0]}, "stage k", "RMSE")
    assert [(c.label, *c.x, *c.y) for c in drawn.lines] == [("a", 0, 1, 5, 4), ("b", 0, 1, 5, 2)]
    assert "b 2.00" in drawn.alt
    assert show.by_name({"a": [5.0]}, "σ", "dB", [30.0]).lines[0].x.tolist() == [30]


def test_no_room_draws_losses_on_its_own():
    """One look for every training: rooms and pages have ``show.losses``."""
    root = Path(__file__).resolve().parents[1]
    sources = [*root.glob("dunfold_lib/*/*.py"), *root.glob("book/*/*.md")]
    assert len(sources) > 100
    own = re.compile(r"ylabel=.loss|[\"']each step[\"']|[\"']step of the training")
    assert [path.name for path in sources if own.search(path.read_text("utf-8"))] == []
