"""Chapters as notebooks: nothing in them that only the book's builder understands; one runs."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import chapters  # noqa: E402

PAGES = chapters.chapters()
MACROS = chapters.configuration()["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]
LEFT = {
    "a fence": re.compile(r"^[> ]*(:::|```\{)", re.M),
    "a role": re.compile(r"\{[a-z]+(:[a-z]+)?\}`"),
    "a comment": re.compile(r"^%( |$)", re.M),
    "a label": re.compile(r"^\([\w-]+\)=$|\$\$ *\([\w-]+\)$", re.M),
    "an option": re.compile(r"^[> ]*:(label|class|pyobject|tags):", re.M),
    "a link to a page": re.compile(r"\]\([^)]*\.md"),
    "a macro": re.compile(rf"\\({'|'.join(MACROS)})(?![A-Za-z])"),
}


def left(text: str) -> list[str]:
    """What a text holds that a plain notebook does not show."""
    return [name for name, pattern in LEFT.items() if pattern.search(text)]


def texts(made: dict[str, Any]) -> str:
    return "\n\n".join("".join(c["source"]) for c in made["cells"] if c["cell_type"] == "markdown")


@pytest.mark.parametrize("page", PAGES, ids=[p.stem for p in PAGES])
def test_a_chapter_is_a_plain_notebook(page: Path) -> None:
    made = chapters.notebook(page)
    nbformat.validate(nbformat.reads(json.dumps(made), 4))
    assert made["cells"][0]["id"] == "setup"
    assert left(texts(made)) == []
    linked = re.findall(r"\]\((\w+\.ipynb)\)", texts(made))
    assert {*linked} <= {chapters.name_of(p) for p in PAGES}
    assert json.dumps(made) == json.dumps(chapters.notebook(page))


@pytest.mark.parametrize("page", PAGES, ids=[p.stem for p in PAGES])
def test_nothing_plain_is_left_in_the_page_itself(page: Path) -> None:
    assert "a fence" in left(page.read_text("utf-8"))  # the search finds what it is to find


def built_page(page: Path) -> tuple[str, list[str]]:
    """A page as it is built, in brief: a numbered figure for each cell and each drawing."""
    html, given = ["<nav></nav><article>"], []
    for words, code in chapters.cells_of(page.read_text("utf-8")):
        drawn = [f for f in chapters.RAW.findall(words) if "df-figure" in f and not code]
        opened = [""] * len(drawn)
        if code and "remove-cell" not in words:
            opened = ['<div class="cell docutils"><div class="output text_html">\n']
        for before in opened:
            given.append(f"Figure 9.{len(given) + 1}")
            html.append(f'{before}<figure class="df-figure df-explorer" id="x">')
            html.append(f'<a class="df-number" href="#f">{given[-1]}</a></figure>')
    return "".join(html), given


def test_a_notebook_has_the_numbers_of_the_built_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "book" / "sparse" / "lista.md"
    monkeypatch.setattr(chapters, "OUT", tmp_path / "notebooks")
    said = lambda: re.findall(r"\*\*(Figure [\d.]+)\*\*", texts(chapters.notebook(page)))
    assert said() == []
    html, given = built_page(page)
    built = tmp_path / "book" / "sparse" / "lista.html"
    built.parent.mkdir(parents=True)
    built.write_text(html, "utf-8")
    assert said() == given
    assert len(given) > 10
    built.write_text(html.replace('<div class="cell ', "<div ", 1), "utf-8")
    assert said() == [], "a page that was built from other cells"


BUILT = ROOT / "_build" / "html"


@pytest.mark.skipif(not (BUILT / "book").exists(), reason="the book is not built")
@pytest.mark.parametrize("page", PAGES, ids=[p.stem for p in PAGES])
def test_no_number_of_the_built_book_is_lost(page: Path) -> None:
    html = (BUILT / page.relative_to(ROOT)).with_suffix(".html").read_text("utf-8")
    cells, own = chapters.numbers_of(page)
    found = re.findall(r'<a class="df-number"[^>]*>([^<]*)</a>', html)
    assert sorted([*own, *(n for cell in cells for n in cell)]) == sorted(found)


def test_macros_take_their_arguments_as_tex_does() -> None:
    assert chapters.macros(r"\norm{\inner{a}{b_{1}}}_2") == (
        r"\lVert \langle a, b_{1} \rangle \rVert_2"
    )
    assert chapters.macros(r"\norm B_* + \norm\xi^2, \Rightarrow \R^n") == (
        r"\lVert B \rVert_* + \lVert \xi \rVert^2, \Rightarrow \mathbb{R}^n"
    )


def test_a_hidden_cell_stays_where_a_later_one_needs_it() -> None:
    parts = [("[remove-cell]", "a = 1"), ("[remove-cell]", "b = 2"), ("", "print(a)")]
    assert chapters.kept(parts) == [parts[0], parts[2]]


def test_a_chapter_runs_without_the_book() -> None:
    page = ROOT / "book" / "sparse" / "lista_cp.md"
    made = nbformat.reads(json.dumps(chapters.notebook(page)), 4)
    NotebookClient(made, timeout=300, kernel_name="python3").execute()
    assert any(c.get("outputs") for c in made.cells)
