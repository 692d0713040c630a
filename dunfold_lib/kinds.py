"""What annotations say: the kinds of arguments, and what a value of each becomes."""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple

from torch import Tensor

from dunfold_lib.values import MOST, brief, is_number, is_whole, number, real


class Kind(NamedTuple):
    """One type of argument: whether a value is of it, what it becomes, and its name in errors."""

    fits: Callable[[Any], bool]
    text: str
    take: Callable[[str, Any], Any] | None = None


def parameters(f: Callable[..., Any]) -> dict[str, tuple[Kind, ...]]:
    """Each parameter with the kinds that it may be; none where anything goes."""
    hints = typing.get_type_hints(f, include_extras=True)
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    rows = [p for p in inspect.signature(f).parameters.values() if p.kind not in several]
    return {p.name: _kinds(hints.get(p.name, Any)) for p in rows}


def taken(name: str, kinds: tuple[Kind, ...], value: Any) -> Any:
    for fits, _, take in kinds:
        if fits(value):
            return take(name, value) if take else value
    if not kinds:
        return value
    texts = " or ".join(dict.fromkeys(k.text for k in kinds if k.text != "None"))
    plain = isinstance(value, NoneType | str | float | int) or any(
        k.text == "a number" for k in kinds
    )
    given = brief(value) if plain else f"a {type(value).__name__}"
    raise TypeError(f"{name} is {given}; it must be {texts}")


def _as_whole(name: str, value: Any) -> int:
    if not -MOST <= value <= MOST:
        raise ValueError(f"{name} is {brief(value)}; it must be a whole number below 2⁶³")
    return int(value)


def _as_number(name: str, value: Any) -> float | int:
    if type(value) is float or not isinstance(value, Integral):
        return float(value)
    number(name, int(value))
    return int(value)


def _as_real(name: str, x: Tensor) -> Tensor:
    real(name, x)
    return x


def _of(kind: type, text: str) -> Kind:
    return Kind(lambda v: isinstance(v, kind), text)


ANY = _of(Tensor, "a torch.Tensor")


KINDS: dict[Any, Kind] = {
    Tensor: Kind(lambda v: isinstance(v, Tensor), "a torch.Tensor", _as_real),
    float: Kind(is_number, "a number", _as_number),
    int: Kind(is_whole, "a whole number", _as_whole),
    bool: Kind(
        lambda v: isinstance(v, bool) or type(v).__name__ in ("bool_", "bool"),
        "True or False",
        lambda name, v: bool(v),
    ),
    str: _of(str, "a text"),
    NoneType: _of(NoneType, "None"),
}


def _kinds(hint: Any) -> tuple[Kind, ...]:
    """What an annotation allows; nothing where it does not say or anything goes."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        each = [_kinds(part) for part in inner]
        return tuple(kind for kinds in each for kind in kinds) if all(each) else ()
    if origin is typing.Annotated:
        return (ANY,)
    if hint in KINDS:
        return (KINDS[hint],)
    if origin is Literal:
        return (_literal(inner),)
    if origin in (Sequence, list, tuple):
        return (_sequence(origin, inner),)
    if origin in (Mapping, dict):
        return (_mapping(*inner),)
    kind = origin or hint
    if kind is Callable:
        return (Kind(callable, "a function"),)
    if not isinstance(kind, type) or kind in (Any, object):
        return ()
    if getattr(kind, "_is_protocol", False):
        return (_protocol(kind),)
    room = kind.__module__.removeprefix("dunfold_lib.").split(".")[0]
    text = f"a {room}.{kind.__name__}".replace("a o", "an o", 1)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        text += f"({', '.join(kind._fields)})"
        return (Kind(lambda v: isinstance(v, kind), text, functools.partial(_fields, kind)),)
    return (_of(kind, text),)


def _sequence(origin: Any, inner: tuple[Any, ...]) -> Kind:
    """A tuple of a fixed length, or a sequence of any, whose items are looked at one by one."""
    fixed = origin is tuple and inner[-1:] != (Ellipsis,)
    items = [_kinds(part) for part in inner if part is not Ellipsis]
    length = f"{len(items)} items" if fixed else "items"
    text = f"a sequence of {length}" + (f", each {items[0][0].text}" if items and items[0] else "")

    def fits(value: Any) -> bool:
        several = hasattr(value, "__len__") and hasattr(value, "__getitem__")
        several = several and not isinstance(value, type)
        plain = several and not isinstance(value, str | bytes | Mapping)
        return plain and getattr(value, "ndim", 1) > 0

    def take(name: str, value: Any) -> Any:
        numbers = items and items[0] and items[0][0] in (KINDS[float], KINDS[int])
        held = value.tolist() if numbers and hasattr(value, "tolist") else value
        if isinstance(held, Tensor):
            return held
        if fixed and len(held) != len(items):
            raise ValueError(f"{name} has {len(held)} items; it must have {len(items)}")
        each = items if fixed else items * len(held)
        made = [
            taken(f"{name}[{i}]", k, v) for i, (k, v) in enumerate(zip(each, held, strict=False))
        ]
        return tuple(made) if origin is tuple or isinstance(value, tuple) else made

    return Kind(fits, text, take)


def _literal(allowed: tuple[Any, ...]) -> Kind:
    """One of some words."""
    fits = lambda v: isinstance(v, str) and v in allowed
    return Kind(fits, f"one of {', '.join(map(str, allowed))}")


def _protocol(kind: type) -> Kind:
    """Whatever has the methods of a protocol."""
    names = [n for n in vars(kind) if n == "__call__" or inspect.isfunction(vars(kind)[n])]
    names = [n for n in names if n == "__call__" or not n.startswith("_")]
    fits = lambda v: not isinstance(v, type) and all(callable(getattr(v, n, None)) for n in names)
    return Kind(fits, f"a {kind.__name__} ({', '.join(names)})")


def _mapping(keys: Any, values: Any) -> Kind:
    """A mapping whose keys and values are looked at one by one."""
    each = _kinds(keys), _kinds(values)

    def take(name: str, value: Any) -> Any:
        made = {
            taken(f"a key of {name}", each[0], k): taken(f"{name}[{brief(k)}]", each[1], v)
            for k, v in value.items()
        }
        same = all(made.get(k, made) is v for k, v in value.items())
        return value if same else made

    return Kind(lambda v: isinstance(v, Mapping), "a mapping", take)


def _fields(kind: Any, name: str, value: Any) -> Any:
    """A named tuple with its fields looked at as arguments are."""
    hints = typing.get_type_hints(kind, include_extras=True)
    made = [taken(f, _kinds(hints[f]), getattr(value, f)) for f in kind._fields]
    return value if all(a is b for a, b in zip(made, value, strict=True)) else kind(*made)
