"""Numbers of figures and tables: counted through a chapter, written into captions, kept in step."""

import io
import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "book" / "_ext")]

import dunfold_numbers as numbers  # noqa: E402

FIGURE = '<figure class="df-figure"><div>drawn</div></figure>'
EXPLORER = (
    '<figure class="df-figure df-explorer" id="x1"><figcaption>Move it.</figcaption></figure>'
)
TABLE = '<table class="df-table"><caption>Times</caption><tbody></tbody></table>'
NUMBER = re.compile(r'<a class="df-number" href="#([\w-]+)">([^<]*)</a>')


def test_each_caption_begins_with_its_number_and_the_number_has_an_address():
    text = numbers.numbered(f"<p>{FIGURE}{TABLE}{EXPLORER}</p>", "3", Counter(figure=1))
    found = [("figure-3-2", "Figure 3.2"), ("table-3-1", "Table 3.1"), ("figure-3-3", "Figure 3.3")]
    assert NUMBER.findall(text) == found
    assert [text.count(f'id="{name}"') for name, _ in found] == [1, 1, 1]
    assert 'id="x1"' in text
    assert re.sub("<.*?>", "", text) == "drawnFigure 3.2Table 3.1 TimesFigure 3.3 Move it."


def test_numbers_add_captions_and_addresses_and_change_nothing_else():
    text = numbers.numbered(EXPLORER + TABLE, "3", Counter())
    text = re.sub(r'<span id="[\w-]+"></span>| id="table-3-1"', "", NUMBER.sub("", text))
    assert text.replace("> ", ">") == EXPLORER + TABLE


def raw(*shown):
    """Pieces of HTML as a page's source."""
    return "".join(f"```{{raw}} html\n{html}\n```\n\n" for html in shown)


@pytest.fixture
def book(tmp_path):
    """``book(pages)``: the numbers of each page of a small book, after a build of what changed."""
    trees = "```{toctree}\n:numbered:\n\none\ntwo\n```\n\n```{toctree}\ntools\n```\n"

    def build(pages):
        written = {"index": trees + raw(FIGURE), **pages}
        for name, text in written.items():
            at = tmp_path / f"{name}.md"
            if not at.exists() or at.read_text("utf-8") != f"# {name}\n\n{text}":
                at.write_text(f"# {name}\n\n{text}", "utf-8")
        said, out = io.StringIO(), tmp_path / "html"
        options = {"extensions": ["myst_parser", "dunfold_numbers"]}
        with docutils_namespace():
            Sphinx(tmp_path, None, out, out / "trees", "html", options, warning=said).build()
        assert said.getvalue() == ""
        read = lambda name: NUMBER.findall((out / f"{name}.html").read_text("utf-8"))
        return {name: [number for _, number in read(name)] for name in written}

    return build


def test_a_chapter_is_counted_through_its_pages_which_follow_each_other(book):
    below = "```{toctree}\nmore\n```\n"
    pages = {"one": below + raw(FIGURE, TABLE), "more": raw(TABLE, FIGURE), "two": raw(EXPLORER)}
    pages["tools"] = raw(FIGURE)
    first = book(pages)
    assert first == {
        "index": ["Figure 0.1"],
        "one": ["Figure 1.1", "Table 1.1"],
        "more": ["Table 1.2", "Figure 1.2"],
        "two": ["Figure 2.1"],
        "tools": ["Figure T.1"],
    }
    second = book(pages | {"one": below + raw(FIGURE, FIGURE)})
    assert second["more"] == ["Table 1.1", "Figure 1.3"]
    assert second["two"] == first["two"]
