"""Every explorer of the built book: it wakes, and answers keys and fingers."""

import re
from typing import Any

import pytest
from conftest import Visit, on_explorers
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

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


# the drawn lines and images of an explorer, as a number that no other drawing has, what its
# controls stand at, and its note
STATE = """(root) => {
  const all = (where, what) => [...root.querySelectorAll(where)].map(what);
  const curves = all('.df-panel [id*="-line-"] path', (p) => p.getAttribute('d'));
  const images = all('.df-image img', (i) => i.src);
  const text = (e) => (e.matches('input') ? e.parentElement : e).textContent;
  const [says, note] = ['output, :checked', '.df-note'].map((where) => all(where, text));
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


def control(root: Locator, i: int) -> tuple[Locator, bool]:
    """The i-th control of an explorer, and whether it is a slider."""
    box = root.locator(".df-control").nth(i)
    slider = box.get_by_role("slider")
    return (slider, True) if slider.count() else (box.get_by_role("radio"), False)


def shows(root: Locator, i: int, text: str) -> bool:
    """Control i says ``text``, a slider to screen readers too."""
    inputs, slides = control(root, i)
    said = root.evaluate(STATE)["says"][i]
    return said == text and (not slides or inputs.get_attribute("aria-valuetext") == text)


def choose(root: Locator, i: int, texts: list[str]) -> None:
    """Go round the radio buttons i by keys; each name has another picture."""
    radios, _ = control(root, i)
    assert radios.count() == len(texts)
    before, seen = root.evaluate(STATE), []
    start = texts.index(before["says"][i])
    radios.nth(start).focus()
    for k in range(1, len(texts) + 1):
        root.page.keyboard.press("ArrowRight")
        seen.append(root.evaluate(STATE)["picture"])
        assert shows(root, i, texts[(start + k) % len(texts)])
    assert len({*seen}) > 1
    assert root.evaluate(STATE) == before


def walk(root: Locator, i: int, texts: list[str]) -> None:
    """Move slider i by keys to both ends and by one step, and back to where it stood."""
    slider, slides = control(root, i)
    if not slides:
        return choose(root, i, texts)
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
    return None


@on_explorers("desk")
def test_arrow_keys_move_every_slider_its_text_and_its_picture_and_back(desk: Visit) -> None:
    for root in explorers(desk.page):
        for i, texts in enumerate(root.evaluate(TEXTS)):
            walk(root, i, texts)
    assert desk.complaints == []


OUTLINED = """(e) => [e, e.parentElement]
  .some((x) => getComputedStyle(x).outlineStyle !== 'none')"""


@on_explorers("desk")
def test_tab_reaches_every_slider_and_each_has_a_name(desk: Visit) -> None:
    page = desk.page
    for root in explorers(page):
        for group in root.get_by_role("radiogroup").all():
            expect(group).to_have_accessible_name(re.compile(r"\S"))
        # a group of radio buttons is one stop
        stops = root.locator("input[type=range], input:checked").all()
        names = [stop.evaluate("e => e.labels[0].textContent") for stop in stops]
        assert len(stops) == root.locator(".df-control").count()
        stops[0].focus()
        page.keyboard.press("Shift+Tab")
        for stop, name in zip(stops, names, strict=True):
            page.keyboard.press("Tab")
            expect(stop).to_be_focused()
            expect(stop).to_have_accessible_name(name)
            assert stop.evaluate(OUTLINED), "a reader with a keyboard does not see where she is"


def tap(root: Locator, i: int, texts: list[str]) -> None:
    """Tap the first and the last of the radio buttons i."""
    radios, _ = control(root, i)
    for k in (0, len(texts) - 1):
        label = radios.nth(k).locator("..")
        size = label.bounding_box()
        assert size
        assert size["height"] >= 24, "too small to hit (WCAG 2.2, 2.5.8)"
        label.tap()
        assert shows(root, i, texts[k])


@on_explorers("phone")
def test_a_finger_moves_every_slider(phone: Visit) -> None:
    for root in explorers(phone.page):
        for i, texts in enumerate(root.evaluate(TEXTS)):
            slider, slides = control(root, i)
            if not slides:
                tap(root, i, texts)
                continue
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
        assert all(given.is_disabled() for given in root.locator("input").all())


# [picture, width] of each picture of an explorer on a phone; labels of axes in pixels
WIDTHS = "all => all.map((e) => Math.round(e.getBoundingClientRect().width))"
LABEL = 10.5  # units of a drawing, dunfold_lib/show.py
LABELS = """(all, size) => all.map((e) => size * e.clientWidth / e.viewBox.baseVal.width)"""


@on_explorers("phone")
def test_on_a_phone_all_pictures_of_an_explorer_have_one_size(phone: Visit) -> None:
    for root in explorers(phone.page):
        assert len({*root.locator(".df-image").evaluate_all(WIDTHS)}) <= 1


@on_explorers("desk")
def test_the_labels_of_an_explorers_axes_are_large_enough_to_read(desk: Visit) -> None:
    for root in explorers(desk.page):
        labels = root.locator(".df-panel > svg").evaluate_all(LABELS, LABEL)
        assert all(size >= 11 for size in labels), labels


@on_explorers("desk")
def test_a_click_or_a_key_enlarges_a_figure_and_escape_gives_it_back(desk: Visit) -> None:
    page, root = desk.page, explorers(desk.page)[0]
    picture, button = root.locator(".df-panels :is(img, svg)").first, root.locator(".df-enlarge")
    before = picture.bounding_box()
    picture.click()
    expect(button).to_have_text("Close")
    large, seen = picture.bounding_box(), root.evaluate("e => e.clientWidth / innerWidth")
    assert before
    assert large
    assert large["width"] > before["width"]
    assert seen > 0.95
    page.keyboard.press("Escape")
    expect(button).to_have_text("Enlarge")
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_text("Close")
    page.keyboard.press("Enter")
    expect(button).to_have_text("Enlarge")
    assert abs(picture.bounding_box()["width"] - before["width"]) < 1
