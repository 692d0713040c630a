"""What axe-core finds on a page by WCAG 2.1's rules, A and AA: names, roles, labels, order.

Its rules of colour cost seconds a page. test_contrast.py checks every chapter's text, by day and by
night; axe checks the colours of what surrounds it, on one page.
"""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from conftest import Visit, turned
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
ONE = "book/glossary.html"  # a small page with links in its sentences
COLOURS = ["color-contrast", "link-in-text-block"]
QUICK = {"resultTypes": ["violations"], "preload": False, "iframes": False}
# Every fold is opened; a word or an empty drawing stands for the thousands of parts of a formula or
# a drawing, whose names test_pages.py checks. The page is left as it was found.
AUDIT = """async ([where, options]) => {
  const shut = [...document.querySelectorAll('details:not([open])')];
  shut.forEach((e) => { e.open = true; });
  const parts = [...document.querySelectorAll('mjx-container, article svg[role=img]')];
  const swapped = parts.map((e) => {
    const stand = e.matches('svg') ? e.cloneNode() : document.createElement('span');
    if (!e.matches('svg')) stand.textContent = 'formula';
    e.replaceWith(stand);
    return [stand, e];
  });
  try {
    const { violations } = await axe.run(where || document, options);
    return violations.flatMap((v) => v.nodes.map((n) =>
      `${v.impact}: ${v.help} (${v.id}): ${n.target.join(' ')} ${n.html.slice(0, 120)}`));
  } finally {
    swapped.forEach(([stand, e]) => stand.replaceWith(e));
    shut.forEach((e) => { e.open = false; });
  }
}"""


def audit(page: Page, where: Any = None, **options: Any) -> list[str]:
    """What axe finds, one line each, with its impact, its rule and a selector."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    return page.evaluate(AUDIT, [where, {**QUICK, **options}])


def test_axe_finds_nothing(desk: Visit) -> None:
    off = {rule: {"enabled": False} for rule in COLOURS}
    assert audit(desk.page, runOnly=LEVELS, rules=off) == []


def test_keys_reach_whatever_a_phone_scrolls(phone: Visit) -> None:
    assert audit(phone.page, runOnly=["scrollable-region-focusable"]) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_pale_text_around_a_page(visit: Callable[..., Visit], theme: str) -> None:
    page = turned(visit(ONE, width=1400).page, theme)
    around = {"include": [["body"]], "exclude": [["article"]]}
    assert audit(page, around, runOnly=["color-contrast"]) == []
    assert audit(page, runOnly=["link-in-text-block"]) == []


def test_axe_sees_a_nameless_button(visit: Callable[..., Visit]) -> None:
    page = visit(ONE).page
    page.evaluate("document.querySelector('article').append(document.createElement('button'))")
    assert [line for line in audit(page, runOnly=LEVELS[:1]) if "button-name" in line]
