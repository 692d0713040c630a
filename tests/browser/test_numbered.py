"""Every figure and table of the built book has a number, in order through its chapter."""

import re
from collections import defaultdict
from itertools import groupby

import pytest
from conftest import HTML, TOC, Visit

pytestmark = pytest.mark.browser

# of each figure and table: its kind, its numbers as they are seen, and whether they lead to it
SHOWN = """() => [...document.querySelectorAll('article :is(.df-figure, .df-table)')].map((e) => {
  const all = [...e.querySelectorAll('figcaption, caption')]
    .flatMap((c) => [...c.querySelectorAll('.df-number')]).filter((a) => a.textContent.trim());
  const at = (a) => document.getElementById(a.getAttribute('href').slice(1));
  return [e.localName, all.map((a) => a.textContent), all.every((a) => e.contains(at(a)))];
})"""


def test_each_figure_and_table_has_one_number_in_order_and_an_address(desk: Visit) -> None:
    found = desk.page.evaluate(SHOWN)
    for kind, numbers, leads in found:
        assert len(numbers) == 1, f"a {kind} has the numbers {numbers}"
        assert re.fullmatch(rf"{kind.title()} (\d+|[A-Z])\.\d+", numbers[0])
        assert leads
    for _, group in groupby(sorted(found, key=lambda e: e[0]), key=lambda e: e[0]):
        parts = [numbers[0].rsplit(".", 1) for _, numbers, _ in group]
        first = int(parts[0][1])
        assert [int(n) for _, n in parts] == [*range(first, first + len(parts))]
        assert len({chapter for chapter, _ in parts}) == 1


NUMBER = re.compile(r'<a class="df-number" href="#[\w-]+">(\w+ \w+)\.(\d+)</a>')


def test_no_number_of_a_chapter_is_missing_or_given_twice(site: str) -> None:
    given = defaultdict(list)
    for name in TOC:
        for chapter, number in NUMBER.findall((HTML / f"{name}.html").read_text("utf-8")):
            given[chapter].append(int(number))
    assert len(given) > 20
    for chapter, numbers in given.items():
        assert numbers == [*range(1, len(numbers) + 1)], chapter
