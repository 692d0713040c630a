"""The JavaScript of an explorer computes what its Python twin computes, number by number."""

import importlib
import inspect
import json
import random
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, watched
from playwright.sync_api import Browser, Page

from dunfold_lib.explore import Explorer
from dunfold_lib.show import Curves

pytestmark = pytest.mark.browser

CALL = """(given) => {
  const [name, values, problem] = JSON.parse(given);
  return dunfold.scripts[name](values, problem);
}"""
SAMPLE = 60  # positions of the sliders: all of them, or the start, the corners and a random rest
# Over all 934 positions the largest difference is 5e-13. A value is compared relative to its size,
# or to a thousandth of the line's first value where that is more: there digits have cancelled.
RELATIVE, SMALL = 1e-11, 1e-3


def scripted() -> dict[str, Callable[[], Explorer]]:
    """Every explorer that the page computes by itself; making one can take seconds."""
    found = {}
    for path in sorted(ROOT.glob("dunfold_lib/*/figures_*.py")):
        module = importlib.import_module(f"dunfold_lib.{path.parent.name}.{path.stem}")
        makers = {n: f for n, f in vars(module).items() if n.endswith("_explorer")}
        told = {n: f for n, f in makers.items() if "script=" in inspect.getsource(f)}
        found |= {f"{path.parent.name}-{name}": make for name, make in told.items()}
    return found


MAKERS = scripted()


def positions(explorer: Explorer) -> list[tuple[int, ...]]:
    """The start, every corner of the sliders' box, and a sample of the rest; or all, if few."""
    sliders = explorer.sliders.values()
    every = [*product(*(range(len(s.values)) for s in sliders))]
    corners = product(*({0, len(s.values) - 1} for s in sliders))
    some = random.Random(0).sample(every, min(SAMPLE, len(every)))
    return sorted({tuple(s.start for s in sliders), *corners, *some})


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """An empty page that has explorer.js."""
    with browser.new_context() as context, watched(context, "data:") as visit:
        visit.page.set_content("<title>parity</title>")
        visit.page.add_script_tag(path=ROOT / "book" / "_static" / "explorer.js")
        yield visit.page


def by_python(explorer: Explorer, at: tuple[int, ...]) -> tuple[list[Any], str]:
    """The lines that move, panel by panel, and the note."""
    panels = explorer.panels(at)
    curves = [p for p in panels if isinstance(p, Curves)]
    lines = [[(c.x, c.y) for c in p.lines[p.fixed :]] for p in curves]
    return lines, " · ".join(p.note for p in panels if p.note)


def by_page(page: Page, explorer: Explorer, at: tuple[int, ...]) -> tuple[list[Any], str]:
    """The same from explorer.js; what it is given has gone through JSON, as on a page."""
    sliders = explorer.sliders.items()
    values = {name: s.values[i] for (name, s), i in zip(sliders, at, strict=True)}
    given = json.dumps([explorer.script, values, explorer.problem])
    answer = page.evaluate(CALL, given)
    return answer["lines"], answer["note"]


def difference(ours: Any, theirs: Any) -> float:
    """The largest relative difference of two sequences; infinite where nan or inf differ."""
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    if a.shape != b.shape:
        return np.inf
    usual = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~usual], b[~usual], equal_nan=True):
        return np.inf
    a, b = a[usual], b[usual]
    size = np.maximum(np.abs(a), SMALL * max([1.0, *np.abs(a[:1])]))
    return float(np.max(np.abs(a - b) / size, initial=0.0))


def test_a_difference_sees_nan_infinity_and_length() -> None:
    assert difference([1, np.nan, np.inf], [1, np.nan, np.inf]) == 0
    assert difference([np.nan], [np.nan]) == 0
    assert difference([2.0, 4.0], [2.0, 5.0]) == 0.25
    assert difference([1, 2], [1, np.nan]) == np.inf
    for other in (
        [1, np.nan, -np.inf],
        [1, 2, np.inf],
        [1, np.inf, np.nan],
        [1, np.nan],
        [None] * 3,
    ):
        assert difference([1, np.nan, np.inf], other) == np.inf


def test_every_script_of_the_page_has_its_explorer(page: Page) -> None:
    scripts = page.evaluate("Object.keys(dunfold.scripts)")
    assert sorted(scripts) == sorted(make().script for make in MAKERS.values())


@pytest.mark.parametrize("name", MAKERS)
def test_a_script_draws_and_says_what_python_draws_and_says(
    name: str, page: Page, record_property: Any
) -> None:
    explorer, worst = MAKERS[name](), {}
    for at in positions(explorer):
        (ours, note), (theirs, said) = by_python(explorer, at), by_page(page, explorer, at)
        assert said == note, at
        assert [len(panel) for panel in theirs] == [len(panel) for panel in ours]
        for p, panel in enumerate(ours):
            for i, line in enumerate(panel):
                pairs = zip(line, theirs[p][i], strict=True)
                worst[at, p, i] = max(difference(a, b) for a, b in pairs)
    where = max(worst, key=worst.__getitem__)
    record_property("largest difference", worst[where])
    told = "position {}, panel {}, moving line {}".format(*where)
    assert worst[where] <= RELATIVE, f"{explorer.script}, {told}: {worst[where]:.1e}"
