"""The decks of the built book, in Chromium at 1280×720: what is shown fits, moves and prints."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HTML, READY, ROOT, Visit, watched
from playwright.sync_api import Browser, expect

sys.path[:0] = [str(ROOT / "tools")]

import slides  # noqa: E402

pytestmark = pytest.mark.browser
MARKED = sorted(
    p.relative_to(ROOT / "book").with_suffix("").as_posix().replace("/", "-")
    for p in ROOT.glob("book/*/*.md")
    if re.search(r"^% slide", p.read_text("utf-8"), re.M)
)
LEAST, MOST = 12, 25  # slides
SMALLEST = 18  # px of 720: what is read from the back row


@pytest.fixture(scope="module")
def decks(tmp_path_factory: Any) -> Path:
    """A folder with the decks of the built book."""
    if not (HTML / "index.html").exists():
        pytest.fail(f"no book in {HTML}: run `make book` first", pytrace=False)
    out = tmp_path_factory.mktemp("decks")
    made = {path.stem for path in slides.write(HTML, out)}
    assert made == {*MARKED}
    return out


@pytest.fixture(scope="module", params=MARKED)
def deck(request: Any, browser: Browser, decks: Path) -> Iterator[Visit]:
    """A deck, opened as a file."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    with watched(context, "file://") as visit:
        visit.page.goto((decks / f"{request.param}.html").as_uri())
        visit.page.evaluate(READY)
        visit.page.wait_for_selector(".df-deck[data-awake]", state="attached")
        yield visit
    context.close()


# every fold open: [title, height and width of what is shown and of its room, smallest text]
SIZES = """() => {
  const folds = [...document.querySelectorAll('details')].map((e) => [e, e.open, e.hidden]);
  folds.forEach(([e]) => { e.open = true; e.hidden = false; });
  const texts = (e) => [...e.querySelectorAll('p, li, td, th, pre, summary, label, button')]
    .filter((t) => !t.closest('.eqno, sup, svg, mjx-container, .df-foot') && t.textContent.trim());
  const found = [...document.querySelectorAll('.df-slide')].map((slide) => {
    const room = slide.querySelector('.df-body'), fit = slide.querySelector('.df-fit');
    const sizes = texts(fit).map((t) => parseFloat(getComputedStyle(t).fontSize));
    return [slide.querySelector('h1, h2').textContent, fit.offsetHeight, room.clientHeight,
      Math.max(fit.scrollWidth, room.scrollWidth), room.clientWidth, Math.min(...sizes, 99)];
  });
  folds.forEach(([e, open, hidden]) => { e.open = open; e.hidden = hidden; });
  return found;
}"""


def test_every_slide_holds_what_it_shows_in_readable_size(deck: Visit) -> None:
    sizes = deck.page.evaluate(SIZES)
    assert LEAST <= len(sizes) <= MOST
    for title, high, room, wide, width, smallest in sizes:
        assert title.strip()
        assert 0 < high <= room, f"“{title}” is {high} px high, with room for {room}"
        assert wide <= width, f"“{title}” is {wide} px wide, with room for {width}"
        assert smallest >= SMALLEST, f"“{title}” has text of {smallest} px"


# of each figure and table: its numbers, and where they lead in the book
NUMBERS = """() => [...document.querySelectorAll('.df-figure, .df-table')].map((e) =>
  [...e.querySelectorAll('.df-number')].map((a) => [a.textContent, a.getAttribute('href')]))"""


def test_a_figure_has_the_same_number_on_its_slide_and_on_its_page(deck: Visit) -> None:
    found = deck.page.evaluate(NUMBERS)
    assert [len(numbers) for numbers in found] == [1] * len(found)
    for ((number, link),) in found:
        page, _, name = link.removeprefix("../html/").partition("#")
        assert f'href="#{name}">{number}</a>' in (HTML / page).read_text("utf-8")


def test_a_deck_sets_its_formulas_needs_no_network_and_complains_of_nothing(deck: Visit) -> None:
    raw = "all => all.filter((e) => !e.querySelector('mjx-container')).map((e) => e.textContent)"
    assert deck.page.locator(".df-page .math").evaluate_all(raw) == []
    assert deck.page.locator("mjx-merror").count() == 0
    assert deck.foreign == []
    assert deck.complaints == []


# [the formula's number, pixels between the two], of each numbered formula that shows its number
SHOWN = ".df-slide div.math:has(.eqno:not([hidden]))"
NUMBERED = """(shown) => [...document.querySelectorAll(shown)].map((e) => {
  const number = e.querySelector('.eqno'), set = e.querySelector('mjx-math, mjx-container > svg');
  const [a, b] = [set, number].map((x) => x.getBoundingClientRect());
  return [number.textContent, b.left - a.right];
})"""


def test_a_number_does_not_touch_its_formula(deck: Visit) -> None:
    for number, gap in deck.page.evaluate(NUMBERED, SHOWN):
        assert gap >= 4, f"{number} is {gap} px from its formula"


def test_arrows_walk_through_a_deck_and_one_slide_is_seen(deck: Visit) -> None:
    page = deck.page
    n = page.locator(".df-slide").count()
    page.keyboard.press("Home")
    for i in range(1, n + 1):
        expect(page.locator(".df-now")).to_have_attribute("id", f"s{i}")
        assert page.locator(".df-slide:not([inert])").count() == 1
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".df-now")).to_have_attribute("id", f"s{n - 1}")
    page.keyboard.press("n")
    expect(page.locator(".df-now .df-notes")).to_be_visible()
    page.keyboard.press("n")
    expect(page.locator(".df-now .df-notes")).to_be_hidden()


def test_an_explorer_lives_in_its_slide(deck: Visit) -> None:
    page = deck.page
    for root in page.locator(".df-slide:has(.df-explorer)").all():
        number = root.get_attribute("id")
        page.evaluate("(n) => { location.hash = n; }", str(number).removeprefix("s"))
        expect(page.locator(".df-now")).to_have_attribute("id", str(number))
        slider = root.get_by_role("slider").first
        said = slider.locator("xpath=following-sibling::output")
        before = said.inner_text()
        slider.press("Home")
        slider.press("ArrowRight")
        second = said.inner_text()
        slider.press("End")
        assert len({second, said.inner_text()}) == 2, before
        expect(page.locator(".df-now")).to_have_attribute("id", str(number))
        page.keyboard.press("Escape")


def test_a_deck_prints_one_slide_a_page(deck: Visit) -> None:
    pdf = deck.page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == deck.page.locator(".df-slide").count()
