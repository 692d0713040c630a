"""What a student does on a page: answer the self-checks, by keys, without JavaScript, on paper."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Visit
from course import NOT_YET, chapters
from playwright.sync_api import Locator, Page, expect

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


ASKED = {  # each page whose explorer asks first
    f"book/{p}.html" for p in ("sparse/ista", "imaging/plug_and_play")
}


def guessing(page: Page) -> tuple[Locator, Locator]:
    """The first guess of a page, and its answer."""
    root = page.locator(".df-guess").first
    return root, root.locator("details")


@pytest.mark.parametrize("path", sorted(ASKED))
def test_a_guess_comes_before_the_answer_and_is_remembered(
    visit: Callable[..., Visit], path: str
) -> None:
    page = visit(path).page
    root, answer = guessing(page)
    expect(answer).to_be_hidden()
    wrong = root.locator("[data-right='0']").first
    wrong.focus()
    page.keyboard.press("Enter")
    words = wrong.inner_text()
    expect(root.locator(".df-verdict")).to_have_text(f"You guessed “{words}”. No.")
    expect(answer.locator("p")).to_be_visible()
    page.reload()
    root, answer = guessing(page)
    expect(root.locator("[aria-pressed='true']")).to_have_text(words)
    expect(answer.locator("p")).to_be_visible()
    root.get_by_role("button", name="Guess again").click()
    expect(answer).to_be_hidden()
    root.locator("[data-right='1']").first.click()
    expect(root.locator(".df-verdict")).to_contain_text("Right.")
    root.get_by_role("button", name="Guess again").click()


def test_without_storage_a_guess_still_works(visit: Callable[..., Visit], site: str) -> None:
    shut = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('shut'); }})"
    opened = visit(min(ASKED))
    opened.page.add_init_script(shut)
    opened.page.reload()
    root, answer = guessing(opened.page)
    root.locator("[data-right='1']").click()
    expect(answer.locator("p")).to_be_visible()
    assert [c for c in opened.complaints if "explorer.js" in c or "df-" in c] == []


def test_without_javascript_the_answer_is_a_fold(visit: Callable[..., Visit]) -> None:
    root, answer = guessing(visit(min(ASKED), script=False).page)
    expect(answer.locator("p")).to_be_hidden()
    answer.locator("summary").click()
    expect(answer.locator("p")).to_be_visible()
    assert all(b.is_disabled() for b in root.locator("button").all())


TALLEST = 15000  # px, on a screen 1400 px wide
# Pages that are taller, or not measured yet. One that is not is taken off; none is put on.
# The chapters on the list of tests/course.py are not looked at.
TALLER = {
    f"book/{page}.html"
    for page in (
        "sparse/ista",
        "sparse/alista",
        "imaging/plug_and_play",
        "imaging/ista_net",
        "small_target/rpca",
    )
}
COURSES = [pages for chapter, pages in chapters().items() if chapter not in NOT_YET]
CHAPTERS = sorted(f"{page}.html" for pages in COURSES for page in pages)


@pytest.mark.parametrize("path", CHAPTERS)
def test_a_page_is_not_taller_than_a_sitting(visit: Callable[..., Visit], path: str) -> None:
    page = visit(path, width=1400).page
    if path not in TALLER:
        assert page.evaluate("document.documentElement.scrollHeight") <= TALLEST
