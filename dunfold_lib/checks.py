"""A caller's mistakes, answered in one line: what was given and what is allowed."""

import dis
import functools
import inspect
import math
import os
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

HERE = str(Path(__file__).parent) + os.sep
LARGEST, LEAST = sys.float_info.max, sys.float_info.min
MOST = 2**63 - 1  # of a whole number
# What only our own code can get wrong, once arguments have the types that annotations say.
OURS = (AssertionError, AttributeError, ImportError, KeyError, NameError, RecursionError)
RAISES = {dis.opmap[name] for name in ("RAISE_VARARGS", "RERAISE")}
NUMBER, PLAIN = (float, int), (float, int, str, NoneType, torch.dtype)
FULL = (torch.float32, torch.float64)
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")
AnyTensor = Annotated[Tensor, "of any dtype"]


def brief(value: Any) -> str:
    """A value in one line: itself where it is short, else its type."""
    text = repr(value)
    return text if len(text) < 40 and "\n" not in text else f"a {type(value).__name__}"


def finite(name: str, x: Tensor) -> None:
    """Refuse anything but a non-empty floating-point tensor without NaN or infinity."""
    real(name, x)
    if x.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it must not be empty")
    if not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name} holds {bad} NaN or infinite entries; all must be finite")


def real(name: str, x: Tensor) -> None:
    """Refuse anything but a floating-point tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}; it must be a torch.Tensor")
    if not x.is_floating_point():
        raise TypeError(f"{name} has dtype {x.dtype}; it must be a real floating-point tensor")
    if x.layout != torch.strided:
        raise TypeError(f"{name} has layout {x.layout}; it must be a dense tensor")


def like(name: str, x: Tensor, wanted: str, y: Tensor) -> None:
    """Refuse an x whose shape is not that of ``wanted``, y: nothing broadcasts here."""
    if x.shape != y.shape:
        shapes = f"{tuple(x.shape)}; it must be that of {wanted}, {tuple(y.shape)}"
        raise ValueError(f"{name} has shape {shapes}")


def shaped(name: str, x: Tensor, shape: Sequence[int | str]) -> None:
    """Refuse a tensor of another shape; a word in the place of a number stands for any from 1.

    The word "batch" stands for any from 0: no signals give no estimates.
    """
    real(name, x)
    if x.ndim != len(shape) or any(
        n == 0 and m != "batch" if isinstance(m, str) else n != m
        for n, m in zip(x.shape, shape, strict=False)
    ):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it must be ({wanted})")


def within(name: str, x: Tensor, low: float, high: float) -> None:
    """Refuse a tensor with values outside [low, high]; not looked at while torch compiles."""
    if not torch.compiler.is_compiling() and x.numel():
        least, most = float(x.min()), float(x.max())
        if not (low <= least and most <= high):
            given = f"{least:g} to {most:g}"
            raise ValueError(
                f"{name} holds values from {given}; it must lie in [{low:g}, {high:g}]"
            )


def broadcasts(name: str, t: Any, shape: Sequence[int]) -> None:
    """Refuse what is no finite number, and a tensor that does not broadcast to a shape."""
    if not isinstance(t, Tensor):
        number(name, t)
        return
    real(name, t)
    pairs = zip(t.shape[::-1], shape[::-1], strict=False)
    if t.ndim > len(shape) or any(p not in (1, q) for p, q in pairs):
        raise ValueError(f"{name} has shape {tuple(t.shape)}; it must broadcast to {tuple(shape)}")


def rows(name: str, x: Tensor, shape: tuple[int, ...], own: Tensor | None = None) -> None:
    """Refuse a batch whose rows do not have this shape: x must be (batch, *shape), real.

    own : an operator's numbers, whose dtype x must have.
    """
    real(name, x)
    if x.ndim != len(shape) + 1 or tuple(x.shape[1:]) != tuple(shape):
        wanted = ", ".join(["batch", *map(str, shape)])
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it must be ({wanted})")
    if own is not None and x.dtype != own.dtype and not _mixed(x):
        raise TypeError(f"{name} has dtype {x.dtype}; the operator has {own.dtype}")


def number(
    name: str,
    value: float,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
) -> None:
    """Refuse a number that is not real and finite, or outside [low, high] (or (low, high])."""
    if not _is_number(value):
        raise TypeError(f"{name} is {brief(value)}; it must be a number")
    above = value > low and (low != 0 or value >= LEAST)  # 1/value is finite
    inside = (above if open_low else value >= low) and value <= high
    if not (inside and -LARGEST <= value <= LARGEST):
        interval = f"{'(' if open_low or low == -math.inf else '['}{low:g}, {high:g}]"
        given = brief(value) if isinstance(value, Integral) else f"{float(value):g}"
        raise ValueError(f"{name} is {given}; it must be finite and in {interval}")


def size(name: str, value: tuple[int, int]) -> None:
    """Refuse anything but two whole numbers from 1: (height, width)."""
    pair = isinstance(value, tuple) and len(value) == 2
    if not pair or not all(_is_whole(v) and v > 0 for v in value):
        raise ValueError(f"{name} is {brief(value)}; it must be (height, width), both from 1")


def whole(name: str, value: int, low: int = 0) -> None:
    """Refuse anything but a whole number of at least ``low``."""
    if not _is_whole(value):
        raise TypeError(f"{name} is {brief(value)}; it must be a whole number")
    if value < low:
        raise ValueError(f"{name} is {value}; it must be at least {low}")


def layer(k: int, last: int, what: str, first: int = 0) -> None:
    """Refuse a k that is none of a network's ``what`` (layers, stages): ``first`` to ``last``."""
    whole("k", k, first)
    if k > last:
        raise ValueError(f"k is {k}; the network has {last} {what}")


def one_of(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Refuse what is not among the allowed values."""
    if value not in (known := list(allowed)):
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(str, known))}")


# What annotations say


class Kind(NamedTuple):
    """One type of argument: whether a value is of it, what it becomes, and its name in errors."""

    fits: Callable[[Any], bool]
    text: str
    take: Callable[[str, Any], Any] | None = None


def door(f: Callable[P, R]) -> Callable[P, R]:
    """A public function whose arguments are of the types that its annotations say, or refused.

    Numbers of NumPy become Python's, those in a list too. Tensors must be real, and of the
    precision of the other tensors, operators and networks, unless annotated ``AnyTensor``.
    Shapes and intervals f itself looks at; what torch, NumPy or arithmetic say of the rest is told
    in one line, with the place and the cause. Errors of our own code stay as they are (``OURS``).
    Of a dataclass the constructor is the door.
    """
    if inspect.isclass(f):
        f.__init__ = door(f.__init__)  # type: ignore[method-assign]
        return f  # type: ignore[return-value]
    known: dict[str, tuple[Kind, ...]] = {}
    order, lazy = _positional(f), inspect.isgeneratorfunction(f)

    @functools.wraps(f)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            return f(*args, **kwargs)
        if not known:
            known.update(_parameters(f))
        given = [_taken(k, known[k], v) for k, v in zip(order, args, strict=False)]
        named = {k: _taken(k, known[k], v) if k in known else v for k, v in kwargs.items()}
        pairs = (*zip(order, given, strict=False), *named.items())
        _one_precision(known, pairs)
        try:
            made = f(*given, *args[len(order) :], **named)  # type: ignore[arg-type]
        except Exception as error:
            if (told := _told(f.__qualname__, pairs, error)) is error:
                raise
            raise told from error
        return _guarded(f.__qualname__, pairs, made) if lazy else made  # type: ignore

    return checked


def _guarded(name: str, given: Iterable[tuple[str, Any]], made: Iterator[Any]) -> Iterator[Any]:
    """The items of a door that is a generator; errors on the way are told as at the door."""
    try:
        yield from made
    except Exception as error:
        if (told := _told(name, given, error)) is error:
            raise
        raise told from error


def _told(name: str, given: Iterable[tuple[str, Any]], error: Exception) -> Exception:
    """An error as it is, if a statement ``raise`` made it or it is one of ``OURS``.

    Of a function that the caller gave, the result may lack an attribute: that is told, too.
    Any other is what torch, NumPy or arithmetic could not do with numbers that come from the
    arguments, as a rule because their shapes do not fit: one line, with what was given.
    """
    at, place = error.__traceback__, ""
    while at is not None:
        code = at.tb_frame.f_code
        if code.co_filename.startswith(HERE) and code.co_filename != __file__:
            place = f" at {code.co_filename.removeprefix(HERE)}:{at.tb_lineno}"
        if at.tb_next is None:
            break
        at = at.tb_next
    lent = any(inspect.isroutine(v) for _, v in given)  # what it gave is not of our making
    ours = isinstance(error, OURS) and not (lent and isinstance(error, AttributeError))
    if at is None or ours or isinstance(error, torch.OutOfMemoryError | MemoryError):
        return error
    raised = code.co_code[at.tb_lasti] in RAISES and "site-packages" not in code.co_filename
    if raised:
        return error
    held = ", ".join(f"{k} {_seen(v)}" for k, v in given if k != "self")
    why = " ".join(str(error).split())[:120] or "no reason given"
    return ValueError(f"{name} failed inside on {held}: {why} ({type(error).__name__}{place})")


def _seen(value: Any) -> str:
    """A value for an error: the shape of a tensor, else itself where it is short."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return (
            f"({', '.join(f'{k} {_seen(v)}' for k, v in zip(value._fields, value, strict=True))})"
        )
    return f"{tuple(value.shape)}" if isinstance(value, Tensor) else brief(value)


def inside(f: F) -> F:
    """A door's function itself: for a loop whose arguments were looked at before it."""
    return getattr(f, "__wrapped__", f)


def _positional(f: Callable[..., Any]) -> list[str]:
    """The parameters that a call may give by their place."""
    rows = inspect.signature(f).parameters.values()
    return [p.name for p in rows if p.kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD]


def _parameters(f: Callable[..., Any]) -> dict[str, tuple[Kind, ...]]:
    """Each parameter with the kinds that it may be; none where anything goes."""
    hints = typing.get_type_hints(f, include_extras=True)
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    rows = [p for p in inspect.signature(f).parameters.values() if p.kind not in several]
    return {p.name: _kinds(hints.get(p.name, Any)) for p in rows}


def _taken(name: str, kinds: tuple[Kind, ...], value: Any) -> Any:
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


def _one_precision(known: dict[str, tuple[Kind, ...]], given: Iterable[tuple[str, Any]]) -> None:
    """Refuse tensors and operators of two precisions in one call, and numbers that it cannot hold.

    Single numbers in a tensor may be of any. What a network takes it looks at itself.
    """
    first, of, numbers = None, "", list[tuple[str, float]]()
    for name, held in given:
        if isinstance(held, PLAIN):
            if isinstance(held, NUMBER):
                numbers.append((name, held))
            continue
        if name == "self" or ANY in known.get(name, ()):
            continue
        for part, value in _parts(name, held):
            dtype = _precision(value)
            if dtype is not None and first is not None and dtype != first:
                raise TypeError(f"{part} has dtype {dtype}; {of} has {first}: one for all")
            if dtype is not None and first is None:
                first, of = dtype, part
    if first is not None and first != torch.float64:
        for name, number_ in numbers:
            if KINDS[float] in known.get(name, ()):
                _held(name, number_, first, of)


def _held(name: str, value: float, dtype: torch.dtype, of: str) -> None:
    """Refuse a number that a dtype would make 0 or infinite."""
    most = torch.finfo(dtype)
    if value and math.isfinite(value) and not most.tiny <= abs(value) <= most.max:
        becomes = "0" if abs(value) < 1 else "infinite"
        raise ValueError(f"{name} is {value:g}; it would be {becomes} in the {dtype} of {of}")


def _parts(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """An argument, or the fields of a named tuple, each with its name."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return zip(value._fields, value, strict=True)
    return ((name, value),)


def _precision(value: Any) -> torch.dtype | None:
    """The dtype of a tensor or an operator; None for single numbers and networks."""
    if isinstance(value, Tensor):
        return value.dtype if _counts(value) else None
    if not isinstance(value, nn.Module) or not vars(value).get("_buffers"):
        return None
    return next((t.dtype for t in value._buffers.values() if t is not None), None)


def _counts(x: Tensor) -> bool:
    """Whether the precision of x must be that of others: more than one real number."""
    return bool(x.ndim and x.is_floating_point() and not _mixed(x))


def _mixed(x: Tensor) -> bool:
    """Whether x has 16 bit inside autocast, which mixes it with float32."""
    return x.dtype not in FULL and torch.is_autocast_enabled(x.device.type)


def _is_whole(value: Any) -> bool:
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def _is_number(value: Any) -> bool:
    return type(value) is float or (isinstance(value, Real) and not isinstance(value, bool))


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
    float: Kind(_is_number, "a number", _as_number),
    int: Kind(_is_whole, "a whole number", _as_whole),
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
            _taken(f"{name}[{i}]", k, v) for i, (k, v) in enumerate(zip(each, held, strict=False))
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
            _taken(f"a key of {name}", each[0], k): _taken(f"{name}[{brief(k)}]", each[1], v)
            for k, v in value.items()
        }
        same = all(made.get(k, made) is v for k, v in value.items())
        return value if same else made

    return Kind(lambda v: isinstance(v, Mapping), "a mapping", take)


def _fields(kind: Any, name: str, value: Any) -> Any:
    """A named tuple with its fields looked at as arguments are."""
    hints = typing.get_type_hints(kind, include_extras=True)
    made = [_taken(f, _kinds(hints[f]), getattr(value, f)) for f in kind._fields]
    return value if all(a is b for a, b in zip(made, value, strict=True)) else kind(*made)
