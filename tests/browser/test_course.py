"""What a student does on a page: answer the self-checks, by keys, without JavaScript, on paper."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import BUILT, HTML, ROOT, Visit, holding
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

CHECKED = holding(":::{check}")


# of each choice: whether it is right, shows its reason shut and open, and the reason
REASONS = """(all) => all.map((e) => {
  const [fold, why] = ['summary', '.df-why'].map((part) => e.querySelector(part));
  const shut = why.checkVisibility();
  fold.click();
  const open = why.checkVisibility();
  fold.click();
  return [e.classList.contains('df-right'), shut, open, why.textContent.trim()];
})"""


def answers(choice: Locator) -> None:
    """A key opens a choice and shows its reason; a key closes it again."""
    why = choice.locator(".df-why")
    choice.locator("summary").focus()
    choice.page.keyboard.press("Enter")
    expect(why).to_be_visible()
    choice.page.keyboard.press("Space")
    expect(why).to_be_hidden()


def answer_all(page: Page, source: str) -> None:
    """Each choice says nothing until it is opened, then whether it is right.

    All are clicked; keys, which cost more, are pressed at the first and at the last.
    """
    groups = page.locator(".df-check").all()
    assert len(groups) == source.count(":::{check}") > 0
    for group in groups:
        expect(group).to_have_accessible_name(re.compile(r"\S"))
        choices = group.locator("details.df-choice")
        for right, shut, opened, why in choices.evaluate_all(REASONS):
            assert (shut, opened) == (False, True)
            assert re.match(r"Right\. \S" if right else r"No\. \S", why)
    answers(groups[0].locator("details.df-choice").first)
    answers(groups[-1].locator("details.df-choice").last)


written = lambda path: Path(ROOT / path).with_suffix(".md").read_text("utf-8")


@pytest.mark.parametrize("desk", CHECKED, indirect=True)
def test_every_question_is_answered_and_keys_alone_do_it(desk: Visit, path: str) -> None:
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


# each page that asks before it shows
ASKED = sorted(p for p in BUILT if 'class="df-guess"' in (HTML / p).read_text("utf-8"))
VISITED = ASKED[:1] + ASKED[-1:]  # what costs two visits


def guessing(page: Page) -> tuple[Locator, Locator]:
    """The first guess of a page, and its answer."""
    root = page.locator(".df-guess").first
    return root, root.locator("details")


def test_the_pages_that_ask_are_found() -> None:
    assert {"book/index.html", "book/sparse/ista.html"} <= {*ASKED}
    assert len(ASKED) > 15


@pytest.mark.parametrize("desk", ASKED, indirect=True)
def test_every_guess_comes_before_its_answer_and_says_whether_it_is_right(desk: Visit) -> None:
    for root in desk.page.locator(".df-guess").all():
        answer, verdict = root.locator("details"), root.locator(".df-verdict")
        again = root.get_by_role("button", name="Guess again")
        expect(answer).to_be_hidden()
        assert root.locator("[data-right='1']").count() == 1
        for right, says in (("0", "No."), ("1", "Right.")):
            choice = root.locator(f"[data-right='{right}']").first
            choice.focus()
            desk.page.keyboard.press("Enter")
            expect(verdict).to_have_text(f"You guessed “{choice.inner_text()}”. {says}")
            expect(answer.locator("p")).to_be_visible()
            again.click()
            expect(answer).to_be_hidden()


@pytest.mark.parametrize("path", VISITED)
def test_a_guess_is_remembered(visit: Callable[..., Visit], path: str) -> None:
    page = visit(path).page
    root, answer = guessing(page)
    wrong = root.locator("[data-right='0']").first
    wrong.click()
    words = wrong.inner_text()
    page.reload()
    root, answer = guessing(page)
    expect(root.locator("[aria-pressed='true']")).to_have_text(words)
    expect(answer.locator("p")).to_be_visible()
    root.get_by_role("button", name="Guess again").click()
    expect(answer).to_be_hidden()


def test_without_storage_a_guess_still_works(visit: Callable[..., Visit], site: str) -> None:
    shut = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('shut'); }})"
    opened = visit(ASKED[0])
    opened.page.add_init_script(shut)
    opened.page.reload()
    root, answer = guessing(opened.page)
    root.locator("[data-right='1']").click()
    expect(answer.locator("p")).to_be_visible()
    assert [c for c in opened.complaints if "explorer.js" in c or "df-" in c] == []


def test_without_javascript_the_answer_is_a_fold(visit: Callable[..., Visit]) -> None:
    root, answer = guessing(visit(ASKED[0], script=False).page)
    expect(answer.locator("p")).to_be_hidden()
    answer.locator("summary").click()
    expect(answer.locator("p")).to_be_visible()
    assert all(b.is_disabled() for b in root.locator("button").all())
