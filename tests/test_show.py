"""What a page shows: drawings, images, tables, twins, and the explorer's two faces."""

import base64
import io
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dunfold_lib import show
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.show import Curves, Frames, line

NASTY = """<b>"x" & 'y'</script>"""
VOID = {"img", "input", "br", "meta", "link"}


class Reader(HTMLParser):
    """Every element as (tag, attributes, number of its svg or None), and its text; tags balance."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open, self.svgs = [], [], [], 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute of <{tag}> is given twice"
        self.svgs += tag == "svg"
        inside = self.svgs if "svg" in self.open or tag == "svg" else None
        self.elements.append((tag, dict(attrs), inside))
        self.texts.append("")
        if tag not in VOID:
            self.open.append(tag)
            self.index = len(self.elements) - 1

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts[self.index] += data

    def all(self, tag):
        return [attrs for t, attrs, _ in self.elements if t == tag]

    def text(self, tag):
        return [x for (t, _, _), x in zip(self.elements, self.texts, strict=True) if t == tag]


def curves(slope=1.0, **changes):
    lines = (
        line([0, 1], [0, 1], "fixed", 5, "dashed"),
        line([0, 1], [0, slope], "moves & <grows>", 1),
        line([0.5], [slope / 2], "", 0, "dots"),
    )
    note = f"slope {slope:g}"
    made = Curves(lines, "x", "$y_1$", "a", xlim=(0, 1), ylim=(0, 2), fixed=1, note=note)
    return replace(made, **changes)


def grey(height=5, width=7):
    return np.linspace(0, 1, height * width).reshape(height, width)


def decoded(uri):
    head, data = uri.split(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


# Drawings


def test_ids_on_a_page_never_collide():
    both = show.page(curves(), curves()).text + show.page(curves()).text
    ids = [a["id"] for _, a, _ in Reader(both).elements if "id" in a]
    assert len(ids) > 60
    assert len(ids) == len(set(ids))


def test_every_reference_in_a_drawing_points_into_the_same_drawing():
    page = Reader(show.page(curves(), curves(logy=True, ylim=(0.1, 2))).text)
    assert page.svgs == 2
    for number in (1, 2):
        inside = [a for _, a, svg in page.elements if svg == number]
        ids = {a["id"] for a in inside if "id" in a}
        values = [v for a in inside for v in a.values() if v]
        clips = {i for v in values for i in re.findall(r"url\(#([^)]*)\)", v)}
        hrefs = {v[1:] for v in values if v.startswith("#")}
        assert clips
        assert hrefs
        assert clips | hrefs <= ids


def test_colours_follow_the_theme():
    lines = tuple(line([0, 1], [i, i + 1], str(i), i, "path") for i in range(len(show.COLOURS)))
    text = show.svg(show.figure(curves(lines=lines)), "a", "u")
    for i, colour in enumerate(show.COLOURS):
        assert f"stroke: var(--df-{i}, {colour})" in text
    assert "currentColor" in text
    bare = re.sub(r"var\(--df-\d, #[0-9a-f]{6}\)", "", text)
    assert re.findall(r"(?:fill|stroke): ?#\w+|#[0-9a-f]{6}\b", bare) == []


def test_text_in_a_drawing_takes_the_colour_of_the_page():
    text = show.svg(show.figure(curves(title="T")), "a", "u")
    # after its id, each text opens a group whose style has a colour, unless it is plain black
    drawn = re.findall(r'<g id="u-text_\d+">\s*<g ([^>]*)>', text)
    assert len(drawn) > 8
    assert all("fill: currentColor" in attributes for attributes in drawn)


def test_a_drawing_is_the_same_each_time_it_is_made():
    assert show.svg(show.figure(curves()), "a", "u") == show.svg(show.figure(curves()), "a", "u")


@pytest.mark.parametrize("alt", ["plain", NASTY, r"soft(v, \lambda) and \1", "‖x‖₁ > 0"])
def test_the_alt_text_is_the_escaped_label_of_a_drawing(alt):
    text = show.svg(show.figure(curves()), alt, "u")
    (root,) = Reader(text).all("svg")
    assert root["aria-label"] == alt
    assert root["role"] == "img"
    assert "<b>" not in text


def test_a_line_keeps_its_gid_and_its_place_in_the_box_of_the_axes():
    fig = show.figure(curves(slope=2.0))
    left, right, bottom, top = show.axes_box(fig)
    text = show.svg(fig, "a", "u")
    path = re.search(r'<g id="u-line-1">\s*<path d="M (\S+) (\S+) \nL (\S+) (\S+)', text)
    assert [float(v) for v in path.groups()] == pytest.approx([left, bottom, right, top], abs=0.01)


def test_axes_keep_the_limits_they_are_given():
    (ax,) = show.figure(curves(xlim=(-1, 3), ylim=(0.5, 9), logy=True)).axes
    assert (ax.get_xlim(), ax.get_ylim(), ax.get_yscale()) == ((-1, 3), (0.5, 9), "log")


# Images, captions, tables


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("zoom", [1, 3])
def test_an_image_decodes_to_its_size(shape, zoom):
    picture = decoded(show.image_uri(np.full(shape, 0.5), zoom))
    assert picture.format == "WEBP"
    assert picture.size == (7 * zoom, 5 * zoom)


@pytest.mark.parametrize("given, level", [(-3.0, 0), (0.0, 0), (0.5, 128), (1.0, 255), (4.0, 255)])
def test_an_image_is_clipped_to_grey_levels(given, level):
    pixels = np.asarray(decoded(show.image_uri(np.full((8, 8), given))), dtype=float)
    assert np.abs(pixels - level).max() <= 2  # WebP stores 16 … 235


def test_an_image_with_nan_is_drawn_as_black():
    assert np.asarray(decoded(show.image_uri(np.full((8, 8), np.nan)))).max() <= 2


def test_images_of_a_page_carry_their_size_and_their_caption_escaped():
    frames = Frames((grey(), grey(4, 3)), (NASTY, "second"), alt=NASTY, zoom=2)
    page = Reader(show.page(frames).text)
    assert [a["alt"] for a in page.all("img")] == [f"{NASTY}: {NASTY}", f"{NASTY}: second"]
    assert page.text("span") == [NASTY, "second"]
    for a, size in zip(page.all("img"), [(14, 10), (6, 8)], strict=True):
        assert decoded(a["src"]).size == size
        assert (int(a["width"]), int(a["height"])) == size


def test_a_page_escapes_its_caption_and_reads_as_its_alt_texts():
    page = show.page(curves(alt="one"), curves(alt="two"), caption=NASTY)
    assert Reader(page.text).text("figcaption") == [NASTY]
    assert repr(page) == "one · two"
    assert page._repr_html_() == page.text


def test_a_page_without_a_caption_has_none():
    assert Reader(show.page(curves()).text).all("figcaption") == []


def test_a_table_formats_floats_and_escapes_everything_else():
    made = show.table(["name", NASTY], [["<i>", 0.123456], ["n", 12]], NASTY, "{:.2f}")
    page = Reader(made.text)
    assert page.text("td") == ["<i>", "0.12", "n", "12"]
    assert page.text("th") == ["name", NASTY]
    assert page.text("caption") == [NASTY]
    assert all(a["scope"] == "col" for a in page.all("th"))


# Twins


def plain(A, x, b, lam, L):
    return x - A.T(A(x) - b) / L < lam, "<b>"


def learned(A, x, b, lam, L):
    return x - A.T(A(x) - b) / L < A.theta[0], "<b>"


def longer(A, x, b, lam, L):
    x = x + 1
    return x - A.T(A(x) - b) / L < lam, "<b>"


def marked(made):
    return re.findall("<mark>(.*?)</mark>", made.text)


def test_twins_mark_only_the_words_that_differ():
    assert marked(show.twins(plain, learned)) == ["A.theta[0]"]


def test_a_quoted_number_is_kept_by_name_and_shown_nowhere(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **more: sent.append((data, more)))
    show.quote({"lead": "−1.5"})
    ((data, more),) = sent
    assert data == {"application/papermill.record/text/plain": "'−1.5'"}
    assert more["metadata"]["scrapbook"]["name"] == "lead"


def test_twins_of_one_function_have_no_mark():
    assert marked(show.twins(plain, plain)) == []


def test_twins_mark_an_added_line_and_not_the_lines_after_it():
    cells = re.findall("<code>(.*?)</code>", show.twins(plain, longer).text)
    found = [re.sub("</?mark>", "", cell).strip() for cell in cells if "<mark>" in cell]
    assert found == ["x = x + 1"]


def test_twins_show_both_bodies_line_over_line_and_escaped():
    code = Reader(show.twins(plain, learned).text.replace("<mark>", "").replace("</mark>", ""))
    assert code.text("code") == [
        'return x - A.T(A(x) - b) / L < lam, "<b>"',
        'return x - A.T(A(x) - b) / L < A.theta[0], "<b>"',
    ]
    assert code.text("th") == ["plain", "learned"]


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
    assert page.text("label") == [NASTY, "kind"]
    assert page.text("output") == ["1.0", "up"]
    assert page.text("figcaption") == [NASTY]
    assert page.text("p") == [f"slope 1 · {NASTY}"]


def test_every_slider_of_a_page_has_one_label_and_one_output():
    page = Reader(explorer().html() + explorer().html())
    inputs = [a["id"] for a in page.all("input")]
    assert len(set(inputs)) == 4
    assert [a["for"] for a in page.all("label")] == inputs
    assert [a["for"] for a in page.all("output")] == inputs


def test_a_slider_of_a_page_spans_its_values_and_starts_where_it_should():
    first, second = Reader(explorer().html()).all("input")
    ranges = [[a[k] for k in ("type", "min", "max", "step", "value")] for a in (first, second)]
    assert ranges == [["range", "0", "2", "1", "1"], ["range", "0", "1", "1", "0"]]
    assert (first["aria-valuetext"], second["aria-valuetext"]) == ("1.0", "up")


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
    assert panel["box"] == show.axes_box(show.figure(curves()))
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
