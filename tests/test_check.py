"""Self-checks: what the directive makes of a question, for HTML, for text and for a notebook."""

import io
import re
import sys
from pathlib import Path

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "book" / "_ext")]

import dunfold_check  # noqa: E402

GOOD = """\
# A page

:::{check} Is $1+1=2$?
- [x] Yes, *surely* :: by
  Peano's axioms.

  $$ S(0)+S(0) = S(S(0)) $$
- [ ] No :: one has miscounted.
:::
"""


@pytest.fixture
def built(tmp_path):
    """``built(text, builder)``: what Sphinx writes of one page, and what it warns of."""

    def build(text, builder="html"):
        (tmp_path / "index.md").write_text(text, "utf-8")
        out = tmp_path / builder
        options = {
            "extensions": ["myst_parser", "dunfold_check"],
            "myst_enable_extensions": ["colon_fence", "dollarmath"],
        }
        with docutils_namespace():
            said = io.StringIO()
            trees = out / "trees"
            Sphinx(tmp_path, None, out, trees, builder, options, warning=said).build()
        suffix = "html" if builder == "html" else "txt"
        return (out / f"index.{suffix}").read_text("utf-8"), said.getvalue()

    return build


def test_a_fold_has_words_and_no_link_in_its_button(built):
    text, said = built(GOOD.replace("*surely*", "[surely](https://example.org)"))
    assert said == ""
    buttons = re.findall(r"<summary>(.*?)</summary>", text, re.S)
    assert [re.sub("<.*?>", "", b) for b in buttons] == ["Choice 1: Yes, surely", "Choice 2: No"]
    assert "<a " not in "".join(buttons)


def test_a_choice_is_a_fold_that_says_why(built):
    text, said = built(GOOD)
    assert said == ""
    (group,) = re.findall(r'<div class="df-check".*?(?=</section>)', text, re.S)
    assert re.findall(r'<details class="df-choice (df-\w+)">', group) == ["df-right", "df-wrong"]
    assert "<em>surely</em></span></summary>" in group
    assert "<strong>Right.</strong> by\nPeano" in group
    assert "<strong>No.</strong> one has miscounted." in group
    assert "S(S(0))" in group.partition("<strong>Right.</strong>")[2].partition("</details>")[0]
    assert "[x]" not in group
    assert "::" not in group
    name = re.search(r'aria-labelledby="(.*?)"', group)[1]
    assert f'class="df-question" id="{name}"' in group


def test_every_question_has_a_name_of_its_own(built):
    text, _ = built(GOOD + "\n" + GOOD.partition("\n\n")[2])
    names = re.findall(r'aria-labelledby="(check-.*?)"', text)
    assert len(names) == len({*names}) == 2


def test_elsewhere_the_reasons_follow_the_choices(built):
    text, said = built(GOOD, "text")
    assert said == ""
    asked, _, answer = text.partition("Answer")
    assert "surely" in asked
    assert "Peano" not in asked
    assert answer.index("Right.") < answer.index("Peano") < answer.index("No.")


@pytest.mark.parametrize(
    "body, says",
    [
        ("words alone", "0 lists"),
        ("- [x] a :: b", "two choices or more"),
        ("- [ ] a :: b\n- [ ] c :: d", "a ticked one"),
        ("- [x] a :: b\n- [ ] c", "has no reason"),
        ("- [x] a :: b\n- c :: d", "needs `[x]` or `[ ]`"),
        ("- [x] a :: b\n-\n", "a choice is empty"),
    ],
)
def test_what_a_question_lacks_is_said(built, body, says):
    _, said = built(f"# A page\n\n:::{{check}} Is it?\n{body}\n:::\n")
    assert says in said


def test_a_notebook_shows_it_as_markdown():
    text = dunfold_check.plain(GOOD)
    assert ":::" not in text
    asked, _, fold = text.partition("<details><summary>Answer</summary>")
    assert "**Check yourself.** Is $1+1=2$?\n\n1. Yes, *surely*\n2. No\n" in asked
    assert "1. **Right.** by\n  Peano's axioms." in fold
    assert "2. **No.** one has miscounted." in fold


def test_the_pages_questions_survive_in_a_notebook():
    for page in ROOT.glob("book/**/*.md"):
        text = page.read_text("utf-8")
        plain = dunfold_check.plain(text)
        assert "{check}" not in plain
        for fold in re.findall(r"<summary>Answer</summary>(.*?)</details>", plain, re.S):
            assert len(re.findall(r"^\d\. \*\*(?:Right|No)\.", fold, re.M)) >= 2, page
