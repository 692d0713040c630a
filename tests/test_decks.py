"""Decks of slides: what the marks in a page choose, and that nothing else comes in."""

import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(ROOT / "tools")]

import dunfold_slides  # noqa: E402
import slides  # noqa: E402

mark = lambda text: f"<!-- dunfold\n{text}\n-->"
FORMULA = r'<div class="math">\[x\]</div>'
CELL = (
    '<div class="cell"><div class="cell_input"><pre>code</pre></div><div class="cell_output">'
    '<div class="output stream">printed</div>'
    '<div class="output text_html"><figure class="df-figure">drawn</figure></div></div></div>'
)
HEAD = (
    '<h1>1. Title<a class="headerlink" href="#t">#</a></h1><div class="tip admonition">'
    '<p class="admonition-title">Able</p><ul><li><p>do it</p></li></ul><p>Time: 5</p></div>'
)


def made(*parts):
    """The slides of an article of one section."""
    html = f"<article><section>{HEAD}{''.join(parts)}</section></article>"
    return slides.slides(BeautifulSoup(html, "html.parser").article)


def shown(*parts):
    """What the second slide of such an article shows, as text."""
    return [BeautifulSoup(s, "html.parser").get_text() for s in made(*parts)[1].shown]


def test_a_page_without_marks_has_no_deck():
    assert made("<p>a</p>", FORMULA) == []


def test_the_first_slide_is_the_title_and_what_one_will_be_able_to_do():
    first = made(mark("slide"), FORMULA)[0]
    assert first.title == "1. Title"
    assert "do it" in first.shown[0]
    assert "Time: 5" in first.said[0]
    assert "do it" not in "".join(first.said)


def test_a_slide_shows_formulas_lists_tables_figures_and_boxes_and_no_more():
    box = lambda name, text: f'<div class="proof {name} admonition"><p>{text}</p></div>'
    assert shown(
        mark("slide"),
        "<p>Words. More words.</p>",
        FORMULA,
        "<ul><li>item</li></ul>",
        "<table><tr><td>cell</td></tr></table>",
        box("theorem", "It holds"),
        box("", "Proof"),
        '<div class="admonition"><p>Remark</p></div>',
        '<div class="df-check">asked</div>',
        '<div class="exercise admonition">task</div>',
        CELL,
    ) == [r"\[x\]", "item", "cell", "It holds", "drawn"]


def test_paragraphs_and_notes_are_what_is_said():
    slide = made(mark("slide\nnotes: Ask <first>\nthen wait"), "<p>Words.</p>", FORMULA)[1]
    assert slide.said == ["<p>Ask &lt;first&gt; then wait</p>", "<p>Words.</p>"]


@pytest.mark.parametrize("ending", [mark("end"), "<h2>Next</h2>", mark("slide")])
def test_a_slide_ends(ending):
    assert shown(mark("slide"), FORMULA, ending, "<ul><li>later</li></ul>") == [r"\[x\]"]


def test_a_title_is_its_own_or_the_sections():
    heading = '<h2><span class="section-number">1.2 </span>The <em>bound</em></h2>'
    titles = [s.title for s in made(heading, mark("slide"), mark(r"slide: Of $\ell_1$ & more"))]
    said = r'Of <span class="math">\(\ell_1\)</span> &amp; more'
    assert titles[1:] == ["The <em>bound</em>", said]


@pytest.mark.parametrize(
    ("marked", "chosen"),
    [("key", "One $1.5$."), ("key: 2", "Two?"), ("key: 1, 3", "One $1.5$. See e.")],
)
def test_key_takes_whole_sentences(marked, chosen):
    text = '<p>One <span class="math">$1.5$</span>. Two? See <em>e.</em> Three: end.</p>'
    assert shown(mark("slide"), mark(marked), text) == [chosen]


def test_show_brings_in_anything_and_hide_leaves_anything_out():
    assert shown(mark("slide\nshow"), "<p>Words.</p>", mark("hide"), FORMULA) == ["Words."]
    (code, printed, *_) = made(mark("slide"), mark("show"), CELL)[1].shown[0].split("</pre>")
    assert "code" in code
    assert "printed" in printed


def test_a_mark_holds_for_one_block():
    assert shown(mark("slide\nhide"), FORMULA, "<ul><li>item</li></ul>") == ["item"]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((mark("slide\nkey: 2"), "<p>One.</p>"), "key 2 before “One.”, which has 1 sentences"),
        ((mark("slide\nkey"), FORMULA), "key  before"),
        ((mark("slide\nend\nkey"), "<p>One.</p>"), "key outside of a slide, before “One.”"),
    ],
)
def test_a_mark_that_finds_nothing_is_an_error(parts, says):
    with pytest.raises(ValueError, match=says):
        made(*parts)


def test_links_lead_into_the_book_and_drawings_keep_their_own():
    html = '<a class="x" href="b.html#y">b</a><a href="#z">z</a><use xlink:href="#g"/>'
    assert slides.linked(html, "book/r/a.html") == (
        '<a class="x" href="../html/book/r/b.html#y">b</a><a href="../html/book/r/a.html#z">z</a>'
        '<use xlink:href="#g"/>'
    )


def test_a_notebook_is_spared_the_marks():
    text = "a\n\n% slide: T\n% notes: x\n%  more\nb\n\n% key\nc\n% other\nd\n"
    assert dunfold_slides.without_marks(text) == "a\n\nb\n\nc\n% other\nd\n"


@pytest.mark.parametrize("page", sorted(ROOT.glob("book/*/*.md")), ids=lambda p: p.stem)
def test_every_mark_of_a_page_is_one_that_is_known(page):
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("%"):
            assert slides.MARK.match(line.removeprefix("%").strip()), line
