"""What a student does on a page: answer the self-checks, by keys, without JavaScript, on paper."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Visit, holding
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

CHECKED = holding(":::{check}")


REASONS = """(all) => all.map((e) => [
  e.classList.contains('df-right'),
  e.querySelector('.df-why').checkVisibility(),
  e.querySelector('.df-why').textContent.trim(),
])"""


def answers(choice: Locator) -> None:
    """A key opens a choice and shows its reason; a key closes it again."""
    why = choice.locator(".df-why")
    choice.locator("summary").focus()
    choice.page.keyboard.press("Enter")
    expect(why).to_be_visible()
    choice.page.keyboard.press("Space")
    expect(why).to_be_hidden()


def answer_all(page: Page, source: str) -> None:
    """Each question's choices say nothing until they are opened, then whether they are right."""
    groups = page.locator(".df-check").all()
    assert len(groups) == source.count(":::{check}") > 0
    for group in groups:
        expect(group).to_have_accessible_name(re.compile(r"\S"))
        choices = group.locator("details.df-choice")
        for right, visible, why in choices.evaluate_all(REASONS):
            assert not visible
            assert re.match(r"Right\. \S" if right else r"No\. \S", why)
        answers(choices.first)
        answers(choices.last)


written = lambda path: Path(ROOT / path).with_suffix(".md").read_text("utf-8")


@pytest.mark.parametrize("desk", CHECKED, indirect=True)
def test_keys_alone_answer_every_question(desk: Visit, path: str) -> None:
    answer_all(desk.page, written(path))


def test_without_javascript_keys_answer_every_question(visit: Callable[..., Visit]) -> None:
    answer_all(visit(CHECKED[0], script=False).page, written(CHECKED[0]))


def test_on_paper_every_reason_is_seen(visit: Callable[..., Visit]) -> None:
    page = visit(CHECKED[0]).page
    seen = "all => all.map((e) => e.checkVisibility())"
    reasons = page.locator(".df-why > p:first-child")
    assert not any(reasons.evaluate_all(seen))
    page.emulate_media(media="print")
    assert all(reasons.evaluate_all(seen))


ASKED = {  # each page whose explorer asks first
    f"book/{p}.html" for p in ("sparse/ista", "imaging/plug_and_play", "beyond/your_own")
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
