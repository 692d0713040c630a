"""A chapter is a course: its length, its time, exercises, checks, a training, an explorer."""

import course
import pytest

CHAPTERS = course.chapters()
PAGE = """\
---
kernelspec: {name: python3}
---

# A title of five words

:::{admonition} Able
*Time:* about 20 minutes for the core, 45 with everything and the exercises.
:::

Words with $x + y$ in between.

$$ x $$ (eq-x)

% slide: not a word
```{code-cell} python3
:tags: [hide-input]
fit(net)
```

## Deep
*Deeper: skip it on a first reading.*

Three more words.

### Deeper still

$$
x
$$

## Shallow

:::{check} Is it?
- [x] Yes :: it is.
- [ ] No :: it is.
:::

:::{exercise} Do
:label: ex-do
This.

*Hint:* there.
:::

:::{solution} ex-do
Done.
:::
"""


def test_the_chapters_are_found():
    assert len(CHAPTERS) >= 12


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_is_a_course(chapter):
    assert course.faults(chapter, CHAPTERS[chapter]) == []


def test_words_formulas_exercises_and_checks_are_counted_by_section():
    top, title, deep, still, shallow = course.sections(PAGE)
    assert (top.words, title.words) == (0, 13 + 6)
    assert (title.formulas, deep.formulas, still.formulas) == (1, 0, 1)
    assert (deep.words, deep.deeper, still.deeper, shallow.deeper) == (3, True, True, False)
    assert (shallow.words, shallow.exercises, shallow.checks) == (0, 1, 1)
    assert title.cells == [":tags: [hide-input]\nfit(net)\n"]


def test_the_core_leaves_out_what_is_deeper_and_the_exercises():
    core, whole = course.minutes(PAGE, core=True), course.minutes(PAGE)
    assert core == pytest.approx(19 / 150 + 0.5)
    assert whole == pytest.approx(22 / 150 + 1 + 6)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("*Time:* about 20 minutes for the core, 45 with everything.", [20, 45]),
        ("*Time:* about\n15 minutes.", [15]),
        ("It takes 20 minutes.", []),
    ],
)
def test_the_stated_time_is_read(line, says):
    assert course.stated(line) == says


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("about 20 minutes", "about 10 minutes", ""),
        ("$$ x $$ (eq-x)", "word " * 8000, "its core takes"),
        ("$$ x $$ (eq-x)", "word " * 8000, "words; at most 4000"),
        ("", "", "states [20, 45] minutes; by count 0 and 5"),
        ("", "", "1 exercises; at least 5"),
        ("", "", "no exercise is open"),
        ("", "", "1 checks; at least 6"),
        ("", "", "no visible cell of the method page trains"),
        ("", "", "no explorer"),
        ("*Hint:*", "", "ex-do has no hint"),
    ],
)
def test_each_fault_of_a_course_is_found(monkeypatch, before, after, says):
    monkeypatch.setattr(course, "source", lambda page: PAGE.replace(before, after))
    assert any(says in line for line in course.faults("a", ["a"]))


def test_a_hint_in_the_solution_comes_too_late():
    late = PAGE.replace("*Hint:* there.", "").replace("Done.", "*Hint:* there. Done.")
    assert course.unhinted(PAGE) == []
    assert course.unhinted(late) == ["ex-do"]


def test_a_chapter_that_has_everything_has_no_fault(monkeypatch):
    checks = ":::{check} Is it?\n- [x] Yes :: it is.\n:::\n\n" * 6
    tasks = ":::{exercise} Do\nThis.\n:::\n\n" * 5 + ":::{exercise} Go on (research)\n:::\n\n"
    text = PAGE.replace(":tags: [hide-input]\n", "x_explorer()\n").replace("about 20", "about 0")
    monkeypatch.setattr(course, "source", lambda page: f"{text}\n{checks}{tasks}")
    assert course.faults("a", ["a"]) == []
