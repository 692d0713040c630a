"""What a reader sees: every page of the built book in Chromium, light, dark and on a phone."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import yaml
from conftest import HTML, ROOT, Visit
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser


def listed(node: Any) -> Iterator[str]:
    """Every file that the table of contents names, without its ending."""
    if isinstance(node, dict):
        yield from (node[key] for key in ("root", "file") if key in node)
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from listed(child)


TOC = [*listed(yaml.safe_load((ROOT / "_toc.yml").read_text()))]
BUILT = {p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts}
SOURCES = {p.relative_to(ROOT).with_suffix("").as_posix(): p for p in ROOT.glob("book/**/*.md")}
WITH_EXPLORERS = sorted(f"{n}.html" for n, p in SOURCES.items() if "_explorer()" in p.read_text())
# index.html only leads on to the first page of the table of contents
REST = {f"{name}.html" for name in TOC} | BUILT - {"index.html", *WITH_EXPLORERS}
# Each page is opened once for all tests of a wide screen, and once for those of a phone. For this
# pytest needs every list of pages to begin alike: those with explorers come first.
PAGES = [*WITH_EXPLORERS, *sorted(REST.difference(WITH_EXPLORERS))]


@pytest.fixture(scope="module", params=PAGES)
def desk(request: Any, opened: Callable[..., Any]) -> Iterator[Visit]:
    """A page on a wide screen, light. The tests that share it leave it as it was."""
    with opened(request.param) as visit:
        yield visit


@pytest.fixture(scope="module", params=PAGES)
def phone(request: Any, opened: Callable[..., Any]) -> Iterator[Visit]:
    """A page on a narrow screen that is touched. The tests that share it only move sliders."""
    with opened(request.param, width=390, touch=True) as visit:
        yield visit


@pytest.fixture(scope="module")
def asleep(request: Any, desk: Visit, opened: Callable[..., Any]) -> Iterator[Page]:
    """The page of ``desk`` for a reader without JavaScript."""
    path = desk.page.url.removeprefix(request.getfixturevalue("site")).lstrip("/")
    with opened(path, script=False) as visit:
        yield visit.page


THEME = "document.documentElement.dataset.theme"
DARK = """() => document.documentElement.dataset.theme === 'dark'
  && document.getAnimations().every((a) => a.playState !== 'running')"""


@pytest.fixture(scope="module")
def night(desk: Visit) -> Page:
    """The page of ``desk`` when the reader's system turns dark, its colours at rest; it stays so.

    The tests by day stand above the tests by night, and say so if they do not.
    """
    desk.page.emulate_media(color_scheme="dark")
    desk.page.wait_for_function(DARK)
    return desk.page


on_explorers = lambda where: pytest.mark.parametrize(
    where, WITH_EXPLORERS, indirect=True, scope="module"
)


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


# ------------------------------------------------------------------ contrast, by WCAG 2's formula

# [what, colour, ground] of each text, or of each line of a drawing: colours are laid over the first
# opaque ground among the parents, in numbers from 0 to 255.
COLOURS = """(drawings) => {
  const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const kept = (f, known = new Map()) => (key) => {
    if (!known.has(key)) known.set(key, f(key));
    return known.get(key);
  };
  const rgba = kept((colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  });
  const over = (top, under, a) => under.map((v, i) => a * top[i] + (1 - a) * v);
  const ground = kept((e) => {
    if (!e) return [255, 255, 255];
    const c = rgba(getComputedStyle(e).backgroundColor);
    return c[3] === 1 ? c.slice(0, 3) : over(c, ground(e.parentElement), c[3]);
  });
  const opacity = kept((e) => e ? getComputedStyle(e).opacity * opacity(e.parentElement) : 1);
  const shown = (e) => {
    const box = e.getBoundingClientRect();
    return e.checkVisibility({ visibilityProperty: true }) && box.width > 1 && box.height > 1;
  };
  const seen = (e, colour, what) => {
    const c = rgba(colour), under = ground(e);
    return [what, over(c, under, c[3] * opacity(e)), under];
  };
  const all = (where) => [...document.querySelectorAll(where)].filter(shown);
  const ink = (e, k) => getComputedStyle(e)[k];
  if (drawings) {
    return all('article svg[role=img] [id*="-line-"] :is(path, use)')
      .filter((e) => !e.closest('defs'))
      .flatMap((e) => ['stroke', 'fill'].map((k) => ink(e, k)).filter((c) => c !== 'none')
        .map((c) => seen(e, c, e.closest('[id*="-line-"]').id)));
  }
  const words = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const texts = all('article *')
    .filter((e) => !e.closest('svg, mjx-assistive-mml') && (words(e) || e.matches('mjx-c')))
    .map((e) => seen(e, ink(e, 'color'), e.textContent.trim().slice(0, 40) || e.className));
  const labels = all('article svg[role=img] [id*="text_"] use')
    .map((e) => seen(e, ink(e, 'fill'), `label in ${e.closest('svg').ariaLabel}`));
  return [...texts, ...labels];
}"""


def luminance(colour: list[float]) -> float:
    """The relative luminance of an sRGB colour, as WCAG 2 defines it."""
    parts = [v / 255 for v in colour]
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: list[float], b: list[float]) -> float:
    """WCAG 2's contrast ratio of two colours, from 1 to 21."""
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def pale(page: Page, drawings: bool, least: float) -> set[str]:
    """What is harder to see than ``least`` on its ground, with its colours and ratio."""
    return {
        f"“{what}”: {[*map(round, ink)]} on {[*map(round, ground)]}, {contrast(ink, ground):.2f}"
        for what, ink, ground in page.evaluate(COLOURS, drawings)
        if contrast(ink, ground) < least
    }


def test_contrast_is_what_wcag_says_it_is() -> None:
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast([119, 119, 119], [255, 255, 255]) == pytest.approx(4.48, abs=0.005)


def test_by_day_text_is_readable(desk: Visit) -> None:
    assert desk.page.evaluate(THEME) == "light"
    assert pale(desk.page, drawings=False, least=4.5) == set()


def test_by_day_curves_stand_out(desk: Visit) -> None:
    assert desk.page.evaluate(THEME) == "light"
    assert pale(desk.page, drawings=True, least=3) == set()


def test_a_page_opened_at_night_is_dark(visit: Callable[..., Visit]) -> None:
    page = visit(WITH_EXPLORERS[0], scheme="dark").page
    assert page.evaluate(THEME) == "dark"
    assert pale(page, drawings=False, least=4.5) == set()
    assert pale(page, drawings=True, least=3) == set()


def test_by_night_text_is_readable(night: Page) -> None:
    assert pale(night, drawings=False, least=4.5) == set()


def test_by_night_curves_stand_out(night: Page) -> None:
    assert pale(night, drawings=True, least=3) == set()


FRAMES = """(all) => all.map((e) => getComputedStyle(e))
  .map((s) => [s.backgroundColor, s.padding, s.filter])"""


def test_by_night_a_photograph_gets_no_frame_and_no_shade(night: Page) -> None:
    for frame in night.locator(".df-image img").evaluate_all(FRAMES):
        assert frame == ["rgba(0, 0, 0, 0)", "0px", "none"]


# ------------------------------------------------------------------ explorers


# [left, right, top, bottom] of the points of each line that lie inside its axes
EXTENTS = """(lines) => lines.map((line) => {
  const read = (e, names) => names.map((name) => e.getAttribute(name));
  const rect = line.closest('svg').querySelector('clipPath rect');
  const [x, y, w, h] = read(rect, ['x', 'y', 'width', 'height']).map(Number);
  const dots = [...line.querySelectorAll('use')].map((u) => read(u, ['x', 'y']));
  const ends = [...line.querySelectorAll('path')].filter((p) => !p.closest('defs'))
    .flatMap((p) => [...p.getAttribute('d').matchAll(/[ML] ?([-.0-9]+) ([-.0-9]+)/g)])
    .map((match) => match.slice(1));
  const inside = [...dots, ...ends].map(([a, b]) => [Number(a), Number(b)])
    .filter(([a, b]) => a > x - 1 && a < x + w + 1 && b > y - 1 && b < y + h + 1);
  const [xs, ys] = [0, 1].map((i) => inside.map((p) => p[i]));
  return [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
})"""


@on_explorers("desk")
def test_an_explorer_wakes_without_a_jump(desk: Visit, asleep: Page) -> None:
    lines = ".df-explorer [id*='-line-']"
    before, after = (page.locator(lines).evaluate_all(EXTENTS) for page in (asleep, desk.page))
    assert before or asleep.locator(".df-explorer .df-image img").count()  # pictures cannot jump
    for i, (extent, now) in enumerate(zip(before, after, strict=True)):
        assert now == pytest.approx(extent, abs=0.2), f"line {i}, in the figure's pixels"


# the drawn lines and images of an explorer, as a number that no other drawing has, its outputs and
# its note
STATE = """(root) => {
  const all = (where, what) => [...root.querySelectorAll(where)].map(what);
  const curves = all('.df-panel [id*="-line-"] path', (p) => p.getAttribute('d'));
  const images = all('.df-image img', (i) => i.src);
  const [says, note] = ['output', '.df-note'].map((where) => all(where, (e) => e.textContent));
  const drawing = [...curves, ...images].join(), seen = window.dfSeen ??= new Map();
  if (!seen.has(drawing)) seen.set(drawing, seen.size);
  return { picture: seen.get(drawing), says, note };
}"""
TEXTS = """(root) => JSON.parse(root.querySelector('script[type="application/json"]').textContent)
  .sliders.map((s) => s.texts)"""


def explorers(page: Page) -> list[Locator]:
    """The explorers of a page; a page given here has at least one."""
    found = page.locator(".df-explorer").all()
    assert found
    return found


def pressed(root: Locator, slider: Locator, key: str) -> dict[str, Any]:
    """The state of an explorer after a key."""
    slider.press(key)
    return root.evaluate(STATE)


def shows(root: Locator, i: int, text: str) -> bool:
    """Slider i says ``text``, to eyes and to screen readers."""
    said = root.evaluate(STATE)["says"][i]
    return said == text == root.get_by_role("slider").nth(i).get_attribute("aria-valuetext")


def walk(root: Locator, i: int, texts: list[str]) -> None:
    """Move slider i by keys to both ends and by one step, and back to where it stood."""
    slider = root.get_by_role("slider").nth(i)
    before, start = root.evaluate(STATE), int(slider.input_value())
    low = pressed(root, slider, "Home")
    assert shows(root, i, texts[0])
    step = pressed(root, slider, "ArrowRight")
    assert shows(root, i, texts[1])
    back = pressed(root, slider, "ArrowLeft")
    assert shows(root, i, texts[0])
    high = pressed(root, slider, "End")
    assert shows(root, i, texts[-1])
    assert step["picture"] != low["picture"] != high["picture"]
    assert back == low
    pressed(root, slider, "Home")
    for _ in range(start):
        slider.press("ArrowRight")
    assert root.evaluate(STATE) == before


@on_explorers("desk")
def test_arrow_keys_move_every_slider_its_text_and_its_picture_and_back(desk: Visit) -> None:
    for root in explorers(desk.page):
        for i, texts in enumerate(root.evaluate(TEXTS)):
            walk(root, i, texts)
    assert desk.complaints == []


@on_explorers("desk")
def test_tab_reaches_every_slider_and_each_has_a_name(desk: Visit) -> None:
    page = desk.page
    for root in explorers(page):
        sliders = root.get_by_role("slider").all()
        names = [slider.evaluate("e => e.labels[0].textContent") for slider in sliders]
        assert len({*names}) == len(sliders) == root.locator("input").count()
        sliders[0].focus()
        page.keyboard.press("Shift+Tab")
        for slider, name in zip(sliders, names, strict=True):
            page.keyboard.press("Tab")
            expect(slider).to_be_focused()
            expect(slider).to_have_accessible_name(name)
            outline = slider.evaluate("e => getComputedStyle(e).outlineStyle")
            assert outline != "none", "a reader with a keyboard does not see where she is"


@on_explorers("phone")
def test_a_finger_moves_every_slider(phone: Visit) -> None:
    for root in explorers(phone.page):
        for i, texts in enumerate(root.evaluate(TEXTS)):
            slider = root.get_by_role("slider").nth(i)
            size = slider.bounding_box()
            assert size
            assert size["height"] >= 24, "too small to hit (WCAG 2.2, 2.5.8)"
            slider.tap(position={"x": 3, "y": size["height"] / 2})
            assert shows(root, i, texts[0])
            low = root.evaluate(STATE)["picture"]
            slider.tap(position={"x": size["width"] - 3, "y": size["height"] / 2})
            assert shows(root, i, texts[-1])
            assert root.evaluate(STATE)["picture"] != low


DRAWN = """(lines) => lines.map((line) => {
  const box = line.getBoundingClientRect();
  return line.querySelector('path, use') !== null && box.width + box.height > 1;
})"""


@on_explorers("desk")
def test_without_javascript_an_explorer_shows_its_first_state(asleep: Page) -> None:
    for root in explorers(asleep):
        pictures = root.locator(".df-image img, .df-panel > svg").all()
        assert pictures
        for picture in pictures:
            expect(picture).to_be_visible()
        assert all(root.locator("[id*='-line-']").evaluate_all(DRAWN))
        assert all(root.locator("img").evaluate_all("all => all.map((i) => i.naturalWidth > 1)"))
        assert "need JavaScript" in root.locator("noscript").inner_html()
        assert all(slider.is_disabled() for slider in root.get_by_role("slider").all())
