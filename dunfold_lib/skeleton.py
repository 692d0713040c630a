"""A room's skeleton: the least that a new one needs, with tests that say what to write next.

python -m dunfold_lib new NAME --into FOLDER writes, where FOLDER holds a clone of this repository,
``dunfold_lib/NAME/``, ``tests/test_NAME.py`` and ``book/NAME/NAME.md``; elsewhere ``NAME/``,
``test_NAME.py`` and ``NAME.md``, and then the room is a package of its own.
"""

import builtins
import keyword
import sys
from importlib.util import find_spec
from pathlib import Path

from dunfold_lib import ROOMS, records

SLOTS = {
    "__init__": '"""One sentence on the problem of this room. Read ``model.py`` first."""\n',
    "data": '''"""What is measured, and what is looked for."""

from typing import Any

import torch


def draw(batch: int, g: torch.Generator) -> tuple[Any, torch.Tensor]:
    """Training pairs (b, truth), ``batch`` rows of each, all that is random drawn from g."""
    raise NotImplementedError
''',
    "algorithm": '''"""The algorithm that becomes a network.

symbol   code   shape      meaning
b        b      (batch, …)  what was measured
x        x      (batch, …)  what is looked for
"""

from torch import Tensor


def iterates(b: Tensor, K: int) -> list[Tensor]:
    """[x⁰, …, xᴷ] of the algorithm, with its own constants."""
    raise NotImplementedError
''',
    "model": '''"""The same as a network: what is learned, and what each weight is before that."""

from typing import Any

from torch import Tensor

from dunfold_lib.unroll import Unrolled


class Network(Unrolled):
    """K steps of the algorithm with constants of their own; untrained it is the algorithm."""

    def __init__(self, K: int = 5):
        super().__init__()
        self.K = K

    def start(self, b: Tensor) -> Any:
        raise NotImplementedError

    def layer(self, k: int, x: Any, b: Tensor) -> Any:
        raise NotImplementedError
''',
    "training": '''"""How the network is trained."""

from typing import Any

from ROOM import data
from dunfold_lib.training import ALONE, Context, Recipe, fit


def train(net: Any, recipe: Recipe, context: Context = ALONE) -> list[float]:
    """Train a network by a recipe; the loss of every step."""
    loss = lambda net, b, truth: (net(b) - truth).square().mean()
    return fit(net, data.draw, loss, recipe, context)
''',
    "evaluation": '''"""The test set, which no training sees, and the scores on it."""

from typing import Any


def measure(net: Any, seed: int = 0) -> dict[str, Any]:
    """Scores by name of a network, or of the algorithm where net is None; noise by the seed."""
    raise NotImplementedError
''',
    "experiments": '''"""What is measured in this room. Data; state the bars before the runs."""

from ROOM.evaluation import measure
from ROOM.model import Network
from ROOM.training import train
from dunfold_lib.experiment import Experiment
from dunfold_lib.training import Recipe

PROTOCOL = ""  # data, split, noise, size of the test set, what the score is
_CPU = Recipe(steps=300)

EXPERIMENTS = {
    "algorithm": Experiment("the algorithm, K steps", protocol=PROTOCOL, measure=measure),
    "network": Experiment(
        "the network, K layers",
        protocol=PROTOCOL,
        build=lambda recipe=_CPU, seed=0: Network(),
        measure=measure,
        train=train,
        recipes={"cpu": _CPU},
    ),
}
''',
}
TESTS = '''"""What every network of the book passes. Run: python -m pytest FILE -x

The first test that fails says what to write next; the order is that of the work.
"""

import math
from dataclasses import replace

import pytest
import torch

from ROOM import algorithm, data, experiments

TOLERANCE = 1e-5  # of float32 iterates of size one


def drawn(batch=2, seed=0):
    what = "data.draw: (batch, g) -> (b, truth), a row a signal"
    return written(lambda: data.draw(batch, torch.Generator().manual_seed(seed)), what)


def written(call, what):
    """The call's result; where nothing is written yet, what to write."""
    try:
        return call()
    except NotImplementedError:
        pytest.fail(f"write {what}", pytrace=False)


def learned():
    """The last experiment that trains: the network with all its parts."""
    return [e for e in experiments.EXPERIMENTS.values() if e.train][-1]


def network():
    return learned().build(next(iter(learned().recipes.values())), 0)


def test_1_data():
    b, truth = drawn()
    assert len(b) == len(truth) == 2, "data.draw: one row of b and of truth for each signal"
    assert bool(torch.isfinite(b).all() and torch.isfinite(truth).all()), "data.draw: finite"
    same = torch.equal(b, drawn()[0]) and not torch.equal(b, drawn(seed=1)[0])
    assert same, "data.draw: everything that is random comes from g, and from nothing else"


def test_2_the_algorithm():
    b, truth = drawn(8)
    what = "algorithm.iterates: (b, K) -> [x0, ..., xK]"
    xs = written(lambda: algorithm.iterates(b, 5), what)
    assert len(xs) == 6, f"{what}: K + 1 of them, the start too"
    assert xs[-1].shape == truth.shape, "algorithm.iterates: x has the shape of the truth"


def test_3_untrained_the_network_is_the_algorithm():
    b, _ = drawn()
    net = written(network, "model.Network.__init__")
    xs = written(lambda: net.iterates(b), "model: start(b), layer(k, x, b), and weights that start")
    twin = algorithm.iterates(b, net.K)
    for k, (x, y) in enumerate(zip(xs, twin, strict=True)):
        off = float((x - y).detach().abs().max())
        assert off < TOLERANCE, f"model: x^{k} is {off:.1e} off the algorithm's; start equal to it"


def test_4_every_weight_is_learned():
    b, truth = drawn()
    net = network()
    weights = dict(net.named_parameters())
    assert weights, "model: constants that are learned are nn.Parameter"
    with torch.no_grad():
        for i, p in enumerate(weights.values()):  # off its start, where a weight may be idle
            g = torch.Generator().manual_seed(i)
            p += 0.02 * torch.randn(p.shape, generator=g)
    (net(b) - truth).square().sum().backward()
    idle = [name for name, p in weights.items() if p.grad is None or not p.grad.any()]
    assert not idle, f"model: no gradient reaches {', '.join(idle)}"
    name, p = max(weights.items(), key=lambda pair: float(pair[1].grad.abs().max()))
    _slope_is_the_quotient(net, b, truth, name, p)


def _slope_is_the_quotient(net, b, truth, name, p):
    """Along its own gradient a weight changes the loss as fast as the gradient says."""
    slope, at = p.grad / p.grad.norm(), p.detach().clone()
    h, values = 1e-3, []
    with torch.no_grad():
        for sign in (1, -1):
            p.copy_(at + sign * h * slope)
            values.append(float((net(b) - truth).double().square().sum()))
    found, told = (values[0] - values[1]) / (2 * h), float(p.grad.norm())
    assert math.isclose(found, told, rel_tol=0.05), f"model: gradient of {name}: {told}, {found}"


def test_5_a_row_alone_is_the_row_in_the_batch_and_keeps_its_type():
    b, truth = drawn()
    net = network()
    with torch.no_grad():
        both, first = net(b), net(b[:1])
    assert both.shape == truth.shape, "model: an estimate has the shape of the truth"
    assert both.dtype == truth.dtype, "model: an estimate has the dtype of the truth"
    off = float((both[:1] - first).abs().max())
    assert off < TOLERANCE, f"model: rows of a batch must not know of each other; {off:.1e} off"
    assert net.state_dict().keys() == dict(net.named_parameters()).keys(), (
        "model: what is fixed is a buffer with persistent=False"
    )


def test_6_it_learns():
    e = learned()
    recipe, net = next(iter(e.recipes.values())), network()
    few = replace(recipe, steps=min(recipe.steps, 40))
    b, truth = drawn(16, 99)
    loss = lambda: float((net(b) - truth).detach().square().mean())
    before = loss()
    written(lambda: e.train(net, few), "training.train: (net, recipe, context) -> losses")
    assert loss() < before, "training.train: 40 steps do not lower the error on fresh signals"


def test_7_it_is_measured():
    found = written(lambda: learned().measure(network(), 0), "evaluation.measure: scores by name")
    numbers = [v for v in found.values() if isinstance(v, float)]
    assert numbers, "evaluation.measure: at least one number"
    assert all(map(math.isfinite, numbers)), "evaluation.measure: finite"
    classical = [e for e in experiments.EXPERIMENTS.values() if not e.train]
    assert classical, "experiments: the algorithm stands beside the network"
    assert {*classical[0].measure(None, 0)} & {*found}, "evaluation.measure: the same scores"


def test_8_it_says_what_was_measured():
    for name, e in experiments.EXPERIMENTS.items():
        assert e.protocol, f"experiments: {name} needs its protocol: data, split, noise, score"
'''
PAGE = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# NAME: from an algorithm to a network

:::{admonition} What you will be able to do
:class: tip
- …

*Before:* … *Time:* about 0 minutes for the core, 0 with everything and the exercises.
:::

## The problem

## The algorithm

A theorem in a box, and a check below it that can fail.

## The network

Untrained it is the algorithm: one cell that asserts it.

## Train it here

## The experiments

The bars, stated before the runs. Then `python -m dunfold_lib reproduce NAME`.

## What went wrong on the way

## Exercises
"""


def files(name: str, into: Path) -> dict[Path, str]:
    """What ``write`` writes: every file of the skeleton with its text."""
    house = (into / "dunfold_lib/__init__.py").is_file()
    room = f"dunfold_lib.{name}" if house else name
    at = lambda inside, plain: into / (inside if house else plain)
    folder, test = at(f"dunfold_lib/{name}", name), at(f"tests/test_{name}.py", f"test_{name}.py")
    made = {folder / f"{slot}.py": text for slot, text in SLOTS.items()}
    made |= {test: TESTS.replace("FILE", str(test.relative_to(into)))}
    made |= {at(f"book/{name}/{name}.md", f"{name}.md"): PAGE.replace("NAME", name)}
    return {path: text.replace("ROOM", room) for path, text in made.items()}


def write(name: str, into: Path) -> list[Path]:
    """Write a room's skeleton; ValueError in one line, before anything is written."""
    check(name)
    if not into.is_dir():
        raise ValueError(f"{into} is no folder; --into takes one that exists")
    made = files(name, into)
    there = next((path for path in made if path.exists()), None)
    if there:
        raise ValueError(f"{there} exists; choose another name or folder")
    for folder in {path.parent for path in made}:
        records.prepare(folder)
    for path, text in made.items():
        records.write_text(path, text)
    return [*made]


def check(name: str) -> None:
    """Refuse a name that Python, this library or an installed package has taken."""
    if not name.isidentifier() or not name.isascii() or name != name.lower():
        raise ValueError(f"NAME is {name!r}; it must be lower-case letters, digits and '_'")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name) or hasattr(builtins, name):
        raise ValueError(f"NAME is {name!r}, a word of Python; choose another")
    if name.startswith("_") or name.startswith("test_"):
        raise ValueError(f"NAME is {name!r}; it must begin with a letter, and not with test_")
    if name in ROOMS or find_spec(f"dunfold_lib.{name}"):
        raise ValueError(f"NAME is {name!r}; dunfold_lib has that already")
    if name in sys.stdlib_module_names or find_spec(name):
        raise ValueError(f"NAME is {name!r}, an installed package; choose another")
