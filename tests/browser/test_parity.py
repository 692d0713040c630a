"""The JavaScript of an explorer computes what its Python twin computes, number by number."""

import importlib
import json
import random
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, watched
from playwright.sync_api import Browser, Page

from dunfold_lib.explore import Explorer
from dunfold_lib.show import Curves

pytestmark = pytest.mark.browser

SAMPLE = 24  # positions drawn at random, beside the ends of every slider
RELATIVE, FLOOR = 1e-9, 1e-12  # FLOOR: of the first value of a line, where digits cancel


def scripted() -> Iterator[Any]:
    """Every explorer of the library that the page computes by itself."""
    for path in sorted(ROOT.glob("dunfold_lib/*/explorers.py")):
        module = importlib.import_module(f"dunfold_lib.{path.parent.name}.explorers")
        for name in sorted(n for n in vars(module) if n.endswith("_explorer")):
            explorer = getattr(module, name)()
            if explorer.script:
                yield pytest.param(explorer, id=f"{path.parent.name}-{name}")


def positions(explorer: Explorer) -> list[tuple[int, ...]]:
    """The start, every corner of the sliders' box, and a sample of the rest."""
    sliders = explorer.sliders.values()
    corners = product(*({0, len(s.values) - 1} for s in sliders))
    draw = random.Random(0)
    rest = (tuple(draw.randrange(len(s.values)) for s in sliders) for _ in range(SAMPLE))
    return sorted({tuple(s.start for s in sliders), *corners, *rest})


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """An empty page that has explorer.js."""
    with watched(browser, "data:") as visit:
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
    given = json.loads(json.dumps([explorer.script, values, explorer.problem]))
    answer = page.evaluate("([name, values, problem]) => dunfold.scripts[name](values, problem)", given)
    return answer["lines"], answer["note"]


def difference(ours: Any, theirs: Any) -> float:
    """The largest relative difference of two sequences; infinite where nan or inf differ."""
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    usual = np.isfinite(a)
    if a.shape != b.shape or not np.array_equal(a[~usual], b[~usual], equal_nan=True):
        return np.inf
    if not usual.any():
        return 0.0
    floor = FLOOR / RELATIVE * max(1.0, abs(a[usual][0]))
    return float(np.max(np.abs(a - b)[usual] / np.maximum(np.abs(a[usual]), floor)))


@pytest.mark.parametrize("explorer", scripted())
def test_a_script_draws_what_python_draws(explorer: Explorer, page: Page) -> None:
    worst = {}
    for at in positions(explorer):
        ours, theirs = by_python(explorer, at)[0], by_page(page, explorer, at)[0]
        assert [len(panel) for panel in ours] == [len(panel) for panel in theirs]
        for p, panel in enumerate(ours):
            for i, line in enumerate(panel):
                for axis in (0, 1):
                    key = (at, p, i, "xy"[axis])
                    worst[key] = difference(line[axis], theirs[p][i][axis])
    where = max(worst, key=worst.__getitem__)
    print("PARITY", explorer.script, len(positions(explorer)), where, worst[where])
    assert worst[where] <= RELATIVE, f"{explorer.script} differs at {where} by {worst[where]:.1e}"


@pytest.mark.parametrize("explorer", scripted())
def test_a_script_says_what_python_says(explorer: Explorer, page: Page) -> None:
    for at in positions(explorer):
        assert by_page(page, explorer, at)[1] == by_python(explorer, at)[1], at
