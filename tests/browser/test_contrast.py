"""Text and curves can be told from their ground, by day and by night, by WCAG 2's formula."""

from collections.abc import Callable

import pytest
from conftest import THEME, WITH_EXPLORERS, Visit
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

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
  const texts = all('article :not(mjx-container *), mjx-container [style*=color]')
    .filter((e) => !e.closest('svg') && (words(e) || e.matches('mjx-container, mjx-container *')))
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
