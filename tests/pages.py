"""What the tests of pages share: a page's solutions, and what holds of every explorer."""

import importlib.util
import inspect
from itertools import product
from pathlib import Path

import numpy as np

from dunfold_lib.show import Frames

BOOK = Path(__file__).resolve().parents[1] / "book"


def solutions(page):
    """The module of solutions beside a page, ``room/page``."""
    path = BOOK / f"{page}_solutions.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def clearing(explorers):
    """What empties the caches of a module's own functions, those too that a test replaces later."""
    cached = [f for _, f in inspect.getmembers(explorers) if hasattr(f, "cache_clear")]
    own = [f for f in cached if f.__module__ == explorers.__name__]

    def clear():
        for f in own:
            f.cache_clear()

    return clear


def inside(panel):
    """Every point of a panel's curves lies within its fixed axes, every pixel in [0, 1]."""
    if isinstance(panel, Frames):
        for image in panel.images:
            assert np.isfinite(image).all()
            assert image.min() >= 0
            assert image.max() <= 1
        return
    for c in panel.lines:
        assert np.isfinite(c.y).all()
        for (low, high), values in ((panel.xlim, c.x), (panel.ylim, c.y)):
            assert low <= values.min() <= values.max() <= high


def pictures(panels):
    """The images of some panels, as bytes."""
    return [i.tobytes() for p in panels if isinstance(p, Frames) for i in p.images]


def drawn(panels):
    """What the reader sees of some panels, as bytes: images and curves."""
    lines = [c for p in panels if not isinstance(p, Frames) for c in p.lines]
    return pictures(panels) + [a.tobytes() for c in lines for a in (c.x, c.y)]


def states_lie_inside(explorer):
    """At most 80 states, and ``inside`` for each."""
    sizes = [len(s.values) for s in explorer.sliders.values()]
    assert np.prod(sizes) <= 80
    for index in product(*map(range, sizes)):
        for panel in explorer.panels(index):
            inside(panel)


def ends_differ(explorer, seen=pictures):
    """Both ends of each slider show something else, the other sliders where they start."""
    start = [s.start for s in explorer.sliders.values()]
    for i, slider in enumerate(explorer.sliders.values()):
        ends = [[*start[:i], end, *start[i + 1 :]] for end in (0, len(slider.values) - 1)]
        one, two = (seen(explorer.panels(index)) for index in ends)
        assert one != two, slider.label
