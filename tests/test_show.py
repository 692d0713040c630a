"""What a page shows: drawings, images, tables, twins, and the explorer's two faces."""

import base64
import io
import re
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from shared_show import NASTY, Reader, curves, grey

from dunfold_lib import show
from dunfold_lib.show import Frames, line


def decoded(uri):
    head, data = uri.split(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


# Drawings


def test_each_name_has_a_line_in_the_next_colour():
    first, second = show.each_line({"a": [3.0, 4.0], "b": [5.0]}, style="path")
    assert (first.label, first.colour, first.style, [*first.x]) == ("a", 0, "path", [1, 2])
    assert (second.label, second.colour, [*second.x], [*second.y]) == ("b", 1, [1], [5])
    (placed,) = show.each_line({"a": [3.0, 4.0]}, [0, 7])
    assert [*placed.x] == [0, 7]


def test_each_style_is_drawn_as_its_name_says():
    styles = {"solid": ("-", "None"), "dashed": ("--", "None"), "dots": ("None", "o")}
    styles |= {"path": ("-", "o")}
    assert {*styles} == {*get_args(show.Style)}
    lines = tuple(show.line([0, 1], [0, 1], style=style) for style in styles)
    (ax,) = show.figure(show.Curves(lines, "x", "y", "a")).axes
    assert [(c.get_linestyle(), c.get_marker()) for c in ax.lines] == [*styles.values()]


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
