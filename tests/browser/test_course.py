"""What a student does on a page: answer the self-checks, by keys, without JavaScript, on paper."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Visit
from playwright.sync_api import Locator, expect

pytestmark = pytest.mark.browser

SOURCES = [*ROOT.glob("book/**/*.md")]
holding = lambda mark: sorted(
    p.relative_to(ROOT).with_suffix(".html").as_posix() for p in SOURCES if mark in p.read_text()
)
CHECKED = holding(":::{check}")


def answers(choice: Locator) -> None:
    """A closed choice says nothing; open it shows whether it is right, and why."""
    why = choice.locator(".df-why")
    expect(why).to_be_hidden()
    choice.locator("summary").focus()
    choice.page.keyboard.press("Enter")
    expect(why).to_be_visible()
    right = "df-right" in (choice.get_attribute("class") or "")
    expect(why).to_have_text(re.compile(r"^Right\. \S" if right else r"^No\. \S"))
    choice.page.keyboard.press("Space")
    expect(why).to_be_hidden()


@pytest.mark.parametrize(
    ("page", "script"), [(CHECKED[0], False), *((page, True) for page in CHECKED)]
)
def test_keys_alone_answer_every_question(
    visit: Callable[..., Visit], page: str, script: bool
) -> None:
    opened = visit(page, script=script).page
    written = Path(ROOT / page).with_suffix(".md").read_text("utf-8")
    groups = opened.locator(".df-check").all()
    assert len(groups) == written.count(":::{check}") > 0
    for group in groups:
        expect(group).to_have_accessible_name(re.compile(r"\S"))
        for choice in group.locator("details.df-choice").all():
            answers(choice)


def test_on_paper_every_reason_is_seen(visit: Callable[..., Visit]) -> None:
    page = visit(CHECKED[0]).page
    seen = "all => all.map((e) => e.checkVisibility())"
    reasons = page.locator(".df-why > p:first-child")
    assert not any(reasons.evaluate_all(seen))
    page.emulate_media(media="print")
    assert all(reasons.evaluate_all(seen))
