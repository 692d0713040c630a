"""Every explorer of the built book: it wakes, and answers keys and fingers."""

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
