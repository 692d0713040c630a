"""Bad input at every public door of the library, counted: fine, refused, foreign, silent, unfair.

A case is a good call with one or two of its arguments replaced by something hostile. What comes of
it is one of

fine      it returned, and nothing of what follows is true
refused   ValueError, TypeError or RuntimeError, raised by the library itself, in one line
foreign   any other exception: torch's, NumPy's, an IndexError, several lines, over 30 s of work
silent    it returned though shapes disagree, an input was changed in place, finite input gave a
          result that is not, or a NaN in the input left every number of the result finite
unfair    the same value in another guise (a NumPy number, a tensor that is not contiguous or
          requires a gradient) was refused, or gave another result

python tools/fuzz.py [calls] [--seed N] [--only TEXT] [--show N] [--all]

The doors are the names that rooms export and the public functions and classes of the floors and of
the rooms' mathematics. Good arguments come from ``tools/fuzz_values.py``, by name.
"""

import argparse
import inspect
import itertools
import math
import random
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
import fuzz_values as good
from fuzz_compare import _alike, _differ, _holds_tensors, _numbers_in, _tensors_in
from fuzz_errors import _brief, _refusal
from fuzz_hostile import Hostile, hostile

MODERATE = 1e6  # a result of finite input up to this size must be finite


class Door(NamedTuple):
    """One public callable: its name, how its good arguments are made, and how it is called."""

    name: str
    parameters: tuple[str, ...]
    make: Callable[[], dict[str, Any]]
    call: Callable[[dict[str, Any]], Any]
    optional: frozenset[str]  # parameters that may be None


class Outcome(NamedTuple):
    """What came of one call."""

    kind: str
    detail: str


class Slow(BaseException):
    """The time of a call is up."""


# doors


def doors() -> list[Door]:
    """Every door, in the order of modules and names."""
    made: list[Door] = []
    for path in good.MODULES:
        module = import_module(f"dunfold_lib.{path}")
        for name, thing in vars(module).items():
            mine = getattr(thing, "__module__", None) == module.__name__
            if name.startswith("_") or not mine or not callable(thing):
                continue
            if f"{path}.{name}" not in good.INTERNAL:
                made += _class(path, thing) if inspect.isclass(thing) else [_door(path, thing)]
    return [*made, *_exported()]


def _exported() -> list[Door]:
    """Functions that rooms export from modules whose other functions nobody is offered."""
    rooms = [import_module(f"dunfold_lib.{room}") for room in good.ROOMS]
    things = [getattr(room, name) for room in rooms for name in room.__all__]
    paths = [getattr(thing, "__module__", "").removeprefix("dunfold_lib.") for thing in things]
    return [
        _door(path, thing)
        for path, thing in zip(paths, things, strict=True)
        if path not in good.MODULES and inspect.isfunction(thing)
    ]


def unknown() -> list[str]:
    """Doors that ``fuzz_values`` has no good arguments for: nobody knocks at them."""
    return [door.name for door in doors() if not _known(door)]


def _known(door: Door) -> bool:
    try:
        door.make()
    except LookupError:
        return False
    return True


def _class(path: str, kind: type) -> list[Door]:
    """A class: its constructor, unless a tuple's, and the public methods of a good instance."""
    name = f"{path}.{kind.__name__}"
    if getattr(kind, "_is_protocol", False):
        return []
    made = [] if issubclass(kind, tuple) else [_door(path, kind)]
    for method in dir(kind):
        found = inspect.getattr_static(kind, method)
        if isinstance(found, property) or f"{name}.{method}" in good.INTERNAL:
            continue
        own = inspect.isfunction(found) and found.__module__.startswith("dunfold_lib")
        called = method == "__call__" and own and not issubclass(kind, nn.Module)
        if own and (called or not method.startswith("_")):
            made.append(_door(path, found, kind))
    return made


def _door(path: str, f: Callable[..., Any], owner: type | None = None) -> Door:
    """One door; ``owner`` where f is a method."""
    title = f"{path}.{owner.__name__}.{f.__name__}" if owner else f"{path}.{f.__name__}"
    parameters = [
        p
        for p in inspect.signature(f).parameters.values()
        if p.name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    optional = frozenset(
        p.name for p in parameters if p.default is None or "None" in str(p.annotation)
    )
    only = {p.name for p in parameters if p.kind == p.POSITIONAL_ONLY}

    def make() -> dict[str, Any]:
        torch.manual_seed(0)
        values = {p.name: good.value(title, p) for p in parameters}
        return ({"self": good.instance(path, owner)} if owner else {}) | values

    def call(given: dict[str, Any]) -> Any:
        rest = dict(given)
        target: Any = f
        if owner:
            own = rest.pop("self")
            target = own if f.__name__ == "forward" else getattr(own, f.__name__)
        return target(*[rest.pop(k) for k in given if k in only], **rest)

    return Door(title, tuple(p.name for p in parameters), make, call, optional)


# outcomes


def run(door: Door, changed: Mapping[str, Hostile]) -> Outcome:
    """One call and what came of it."""
    given = door.make() | {name: value for name, (_, value) in changed.items()}
    before = {id(x): x.detach().clone() for x in _tensors_in(given)}
    labels = [label for label, _ in changed.values()]
    same = bool(labels) and all(label.startswith("=") for label in labels)
    try:
        result = _timed(lambda: _taken(door.call(given)))
    except Slow:
        return Outcome("foreign", "worked for more than 30 seconds")
    except Exception as error:
        kind = _refusal(error)
        return Outcome("unfair" if same and kind == "refused" else kind, _brief(error))
    finally:
        touched = any(_differ(before[id(x)], x) for x in _tensors_in(given))
    if touched:
        return Outcome("silent", "an input was changed in place")
    if same:
        torch.manual_seed(0)
        wanted = _taken(door.call(door.make()))
        return Outcome(*(("fine", "") if _alike(result, wanted) else ("unfair", "another result")))
    return Outcome(*_suspect(door, given, changed, result))


def _suspect(
    door: Door, given: dict[str, Any], changed: Mapping[str, Hostile], result: Any
) -> tuple[str, str]:
    """("silent", why) where a result should not have come, else ("fine", "")."""
    for name, (label, _) in changed.items():
        if (
            len(changed) == 1
            and _disagrees(door, name, label, given, result)
            and not good.free(door.name, name, label)
        ):
            return "silent", f"{name} has another shape ({label}) and a result came"
    numbers, found = list(_numbers_in(given)), list(_numbers_in(result))
    if any(math.isnan(v) for v in numbers):
        said = all(math.isfinite(v) for v in found)
        if said and not good.deaf(door.name, {k: label for k, (label, _) in changed.items()}):
            return "silent", "NaN in, and every number that came out is finite"
        return "fine", ""
    moderate = all(abs(v) <= MODERATE for v in numbers) and not good.endless(door.name)
    if moderate and not all(math.isfinite(v) for v in found):
        return "silent", "finite in, and not finite out"
    return "fine", ""


def _disagrees(door: Door, name: str, label: str, given: dict[str, Any], result: Any) -> bool:
    """Whether an argument's shape cannot fit the others', and yet there is a result.

    One tensor alone has no other to disagree with. An axis of 1 disagrees where the result is that
    of the same numbers repeated along it; another number of rows where something else has rows.
    """
    first, good_one = door.make(), door.make()[name]
    if not label.startswith("shape") or sum(map(_holds_tensors, first.values())) < 2:
        return False
    if any(part in label for part in ("scalar", "0-d", "dropped", "None")):
        return True
    rows = [len(x) for x in _tensors_in(first) if x.ndim]
    if "[0]" in label and isinstance(good_one, Tensor) and label != "shape [0]=0":
        return rows.count(len(good_one)) > 1
    if "=1" not in label or not isinstance(good_one, Tensor):
        return False
    try:
        repeated = door.call(given | {name: given[name].expand(good_one.shape)})
    except Exception:
        return False
    return _alike(_taken(repeated), result)


def _taken(result: Any) -> Any:
    """A result with its iterators begun: an endless one gives three items."""
    if isinstance(result, Iterator):
        return list(itertools.islice(result, 3))
    return result


def _timed(work: Callable[[], Any]) -> Any:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Slow

    if not hasattr(signal, "SIGPROF"):
        return work()
    old = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, 30)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)


# choosing cases, counting


def singles(door: Door) -> list[dict[str, Hostile]]:
    """Every case of a door with one argument replaced; None only where it is not allowed."""
    given = door.make()
    return [
        {name: (label, value)}
        for name in door.parameters
        for label, value in hostile(given[name])
        if not (value is None and name in door.optional)
    ]


def chosen(calls: int, seed: int, only: str = "") -> Iterator[tuple[Door, dict[str, Hostile]]]:
    """Cases in an order that a seed decides: every door in turn, one in five with two changes."""
    tables = []
    for door in doors():
        if only in door.name and _known(door):
            g = random.Random(f"{seed} {door.name}")  # a new door changes no other's cases
            cases = singles(door)
            tables.append((door, g, g.sample(cases, len(cases))))
    tables = [(door, g, cases) for door, g, cases in tables if cases]
    if not tables:
        return
    everywhere = ((k, *table) for k in itertools.count() for table in tables)
    for k, door, g, cases in itertools.islice(everywhere, calls):
        case = cases[k % len(cases)]
        yield door, (g.choice(cases) | case if g.random() < 0.2 else case)


def complete(only: str = "") -> Iterator[tuple[Door, dict[str, Hostile]]]:
    """Every case with one argument replaced."""
    for door in doors():
        if only in door.name and _known(door):
            yield from ((door, case) for case in singles(door))


def said(changed: Mapping[str, Hostile]) -> str:
    """A case in words."""
    return ", ".join(f"{name}: {label}" for name, (label, _) in changed.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases, print the counts by room, and what must not be; 1 where there is any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("calls", nargs="?", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="doors whose name holds this text")
    parser.add_argument("--show", type=int, default=60, help="how many failures to print")
    parser.add_argument("--all", action="store_true", help="every case with one change")
    asked = parser.parse_args(arguments)
    if not any(asked.only in door.name and singles(door) for door in doors() if _known(door)):
        parser.error(f"no door that takes an argument has {asked.only!r} in its name")
    torch.set_num_threads(1)
    cases = complete(asked.only) if asked.all else chosen(asked.calls, asked.seed, asked.only)
    counts: Counter[tuple[str, str]] = Counter()
    bad: list[str] = []
    for door, changed in cases:
        kind, detail = run(door, changed)
        counts[door.name.split(".")[0], kind] += 1
        if kind not in ("fine", "refused"):
            bad.append(f"{kind:8}{door.name}({said(changed)}): {detail}")
    kinds = ("fine", "refused", "foreign", "silent", "unfair")
    print(f"{'':16}" + "".join(f"{k:>9}" for k in kinds))
    for room in [*dict.fromkeys(r for r, _ in counts), "all"]:
        row = [
            sum(n for (r, k), n in counts.items() if k == kind and room in (r, "all"))
            for kind in kinds
        ]
        print(f"{room:16}" + "".join(f"{n:9}" for n in row))
    print(*sorted(bad)[: asked.show], sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
