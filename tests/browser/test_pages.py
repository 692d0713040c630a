"""What a reader sees: every page of the built book in Chromium, wide and on a phone."""

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from conftest import HTML, SOURCES, TOC, Visit
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


# ------------------------------------------------------------------ the book as a whole


def test_every_source_is_in_the_table_of_contents_and_has_its_page(site: str) -> None:
    assert SOURCES.keys() <= {*TOC}, "pages that no reader will find"
    assert [name for name in TOC if not (HTML / f"{name}.html").exists()] == []


def test_the_front_door_leads_to_the_first_page(visit: Callable[..., Visit], site: str) -> None:
    with_script_off = visit("index.html", script=False).page
    expect(with_script_off).to_have_url(f"{site}/{TOC[0]}.html")


# ------------------------------------------------------------------ every page, light


def test_a_page_asks_nothing_of_other_servers_and_complains_of_nothing(desk: Visit) -> None:
    assert desk.foreign == []
    assert desk.complaints == []


FORMULAS = """() => ({
  unset: [...document.querySelectorAll('.math')]
    .filter((e) => !e.querySelector('mjx-container') && !e.matches('div.amsmath'))
    .map((e) => e.textContent),
  errors: [...document.querySelectorAll('mjx-merror')].map((e) => e.title || e.textContent),
  red: [...document.querySelectorAll('mjx-mtext')]
    .filter((e) => getComputedStyle(e).color === 'rgb(255, 0, 0)')
    .map((e) => e.textContent),
})"""


def test_every_formula_is_set(desk: Visit) -> None:
    assert desk.page.evaluate(FORMULAS) == {"unset": [], "errors": [], "red": []}


PICTURES = """() => [...document.querySelectorAll('article img, article svg[role=img]')]
  .filter((e) => !e.closest('mjx-container'))
  .map((e) => e.matches('img') ? e.getAttribute('alt') : e.getAttribute('aria-label'))"""


def test_every_picture_has_words(desk: Visit) -> None:
    for words in desk.page.evaluate(PICTURES):
        assert " " in (words or "").strip(), f"a picture says {words!r}"
        assert not re.search(r"[0-9a-f]{16}|\.(png|svg|webp|jpe?g)\b", words), words


def test_no_drawing_hides_its_words(desk: Visit) -> None:
    nameless = "article svg:not([role=img], [aria-hidden=true] *, button *, mjx-container *)"
    assert desk.page.locator(nameless).count() == 0


HEADINGS = """() => [...document.querySelectorAll('main :is(h1, h2, h3, h4, h5, h6)')]
  .filter((h) => h.checkVisibility())
  .map((h) => Number(h.tagName[1]))"""


def test_headings_start_with_one_title_and_skip_no_level(desk: Visit) -> None:
    levels = desk.page.evaluate(HEADINGS)
    assert levels[:1] == [1]
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels)), levels


LINKS = """() => [...document.querySelectorAll('a[href]')].map((a) => new URL(a.href))
  .filter((u) => u.origin === location.origin)
  .map((u) => [decodeURIComponent(u.pathname), decodeURIComponent(u.hash.slice(1))])"""


def test_every_link_inside_the_book_leads_somewhere(desk: Visit) -> None:
    for path, anchor in {tuple(pair) for pair in desk.page.evaluate(LINKS)}:
        target = HTML / path.lstrip("/")
        assert target.is_file(), f"a link to {path}"
        if anchor and target.suffix == ".html":
            assert f'id="{anchor}"' in target.read_text(), f"a link to {path}#{anchor}"


TALLEST = 15000  # px


def test_a_page_is_not_taller_than_a_sitting(desk: Visit) -> None:
    height = desk.page.evaluate("document.documentElement.scrollHeight")
    assert height <= TALLEST


# ------------------------------------------------------------------ a phone


# what sticks out of the screen, if it is not inside something that scrolls by itself
WIDE = """() => {
  const page = document.documentElement;
  const held = (e) => e !== page &&
    (/auto|scroll|hidden|clip/.test(getComputedStyle(e).overflowX) || held(e.parentElement));
  if (page.scrollWidth <= innerWidth) return [];
  return [...document.querySelectorAll('main *')]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !held(e.parentElement))
    .map((e) => `${e.tagName} ${e.className} “${e.textContent.trim().slice(0, 40)}”`)
    .concat(`${page.scrollWidth} px`);
}"""


def test_a_phone_shows_a_page_without_scrolling_sideways(phone: Visit) -> None:
    assert phone.page.evaluate(WIDE) == []


CUT = """() => [...document.querySelectorAll('article span.math:not(.df-wide)')].filter((e) => {
  const formula = e.querySelector('mjx-math');
  return e.clientWidth && formula.getBoundingClientRect().width > e.clientWidth + 2;
}).map((e) => e.textContent)"""


def test_a_phone_cuts_no_formula_in_a_sentence(phone: Visit) -> None:
    assert phone.page.evaluate(CUT) == []


# what a drawing says, and the size of its smallest label: matplotlib draws it as paths, scaled by
# a hundredth of its size; a diagram of ours has texts, whose indices may be smaller
LABELS = """() => [...document.querySelectorAll('article .df-panel > svg')].map((svg) => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const drawn = [...svg.querySelectorAll('[id*="text_"] > g[transform]')]
    .map((g) => 100 * Number(/scale\\(([\\d.]+)/.exec(g.getAttribute('transform'))[1]));
  const texts = [...svg.querySelectorAll('text')]
    .map((t) => parseFloat(getComputedStyle(t).fontSize));
  return [svg.ariaLabel, scale * Math.min(...drawn, ...texts)];
})"""
SMALLEST = 9.9  # px
OUTSIDE = """() => [...document.querySelectorAll('article .df-panel > svg')].flatMap((svg) => {
  const room = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('[id*="text_"], text')].map((e) => e.getBoundingClientRect())
    .filter((b) => b.width && (b.left < room.left - 2 || b.right > room.right + 2
      || b.top < room.top - 2 || b.bottom > room.bottom + 2))
    .map((b) => [svg.ariaLabel, [b.left, b.top, b.right, b.bottom].map(Math.round)]);
})"""


def test_a_phone_shows_labels_that_can_be_read(phone: Visit) -> None:
    for drawing, label in phone.page.evaluate(LABELS):
        assert SMALLEST <= label < 99, f"{label:.1f} px in “{drawing}”"


def test_no_label_leaves_its_drawing(desk: Visit) -> None:
    assert desk.page.evaluate(OUTSIDE) == []
