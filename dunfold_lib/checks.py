"""A caller's mistakes, answered in one line: what was given and what is allowed."""

import dis
import functools
import inspect
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from dunfold_lib.kinds import ANY, KINDS, Kind, parameters, taken
from dunfold_lib.values import brief as brief
from dunfold_lib.values import broadcasts as broadcasts
from dunfold_lib.values import finite as finite
from dunfold_lib.values import layer as layer
from dunfold_lib.values import like as like
from dunfold_lib.values import mixed
from dunfold_lib.values import number as number
from dunfold_lib.values import one_of as one_of
from dunfold_lib.values import real as real
from dunfold_lib.values import rows as rows
from dunfold_lib.values import shaped as shaped
from dunfold_lib.values import size as size
from dunfold_lib.values import whole as whole
from dunfold_lib.values import within as within

HERE = str(Path(__file__).parent) + os.sep
DOOR = {HERE + f"{name}.py" for name in ("checks", "kinds", "values")}  # not the place of an error
# What only our own code can get wrong, once arguments have the types that annotations say.
OURS = (AssertionError, AttributeError, ImportError, KeyError, NameError, RecursionError)
RAISES = {dis.opmap[name] for name in ("RAISE_VARARGS", "RERAISE")}
NUMBER, PLAIN = (float, int), (float, int, str, NoneType, torch.dtype)
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")
AnyTensor = Annotated[Tensor, "of any dtype"]


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
            known.update(parameters(f))
        given = [taken(k, known[k], v) for k, v in zip(order, args, strict=False)]
        named = {k: taken(k, known[k], v) if k in known else v for k, v in kwargs.items()}
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
        if code.co_filename.startswith(HERE) and code.co_filename not in DOOR:
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
    found = inspect.signature(f).parameters.values()
    return [p.name for p in found if p.kind <= inspect.Parameter.POSITIONAL_OR_KEYWORD]


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
    return bool(x.ndim and x.is_floating_point() and not mixed(x))
