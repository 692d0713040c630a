"""Values in the place of a right one: of other shapes, types and sizes, NaN, the same otherwise."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import fuzz_makers as good
import numpy as np
import torch
from torch import Tensor, nn

Hostile = tuple[str, Any]  # (label, value)


def hostile(value: Any) -> Iterator[Hostile]:
    """What may stand in the place of a good value; a label with = marks the same in a guise."""
    yield from (("None", None), ("text", "nonsense"))
    if isinstance(value, Tensor):
        yield from _tensors(value)
    elif isinstance(value, bool):
        yield from (("whole", 2), ("=np.bool", np.bool_(value)), ("list", [value]))
    elif isinstance(value, int):
        yield from _wholes(value)
    elif isinstance(value, float):
        yield from _numbers(value)
    elif isinstance(value, str):
        yield from (("empty", ""), ("whole", 3), ("bytes", b"x"), ("list", [value]))
    elif isinstance(value, np.ndarray):
        yield from _arrays(value)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from _fields(value)
        yield from (("tensor", torch.ones(2, 2)), ("plain", tuple(value)[:1]))
    elif isinstance(value, tuple | list):
        yield from _sequences(value)
    elif isinstance(value, nn.Module):
        yield from (("tensor", torch.ones(3, 3)), ("module", nn.Identity()), ("whole", 3))
        yield from ((f"operator {i}", A) for i, A in enumerate(good.strange_operators()))
    elif callable(value):
        yield from (("tensor", torch.ones(2, 2)), ("whole", 3))
        yield from (("gives none", lambda *_: None), ("gives row", lambda x, *_: x[:1]))
    else:
        yield from (("tensor", torch.ones(2, 2)), ("whole", 3), ("list", [1.0]))


def _tensors(x: Tensor) -> Iterator[Hostile]:
    yield from (("shape scalar", 0.5), ("shape 0-d", x.flatten()[0] if x.numel() else x.sum()))
    for k, n in enumerate(x.shape):
        if n > 1:
            yield f"shape [{k}]=1", x.narrow(k, 0, 1)
            yield f"shape [{k}]-1", x.narrow(k, 0, n - 1)
        yield f"shape [{k}]+1", torch.cat([x, x.narrow(k, 0, 1)], k)
        yield f"shape [{k}]=0", x.narrow(k, 0, 0)
    if x.ndim:
        yield "shape [0] dropped", x[0]
    yield from (("shape none left", x.new_zeros(0)), ("class", Tensor))
    yield "shape [None]", x[None]
    yield "shape [..., None]", x[..., None]
    if x.ndim > 1 and x.shape[-1] != x.shape[-2]:
        yield "shape transposed", x.mT
    yield "=strided", torch.stack([x, x], -1)[..., 0]
    yield from (("list", x.tolist()), ("numpy", x.numpy()), ("complex", x + 0j))
    if x.is_floating_point():
        yield "=gradient", x.clone().requires_grad_()
        for name, value in (("nan", math.nan), ("inf", math.inf), ("-inf", -math.inf)):
            spoilt = x.clone(memory_format=torch.contiguous_format)
            spoilt.view(-1)[:1] = value
            yield name, spoilt
        yield "all nan", torch.full_like(x, math.nan)
        yield from (("zeros", torch.zeros_like(x)), ("ones", torch.ones_like(x)))
        yield from (("negative", -x), ("large", 255 * x), ("huge", 1e12 * x), ("tiny", 1e-30 * x))
        other = torch.float32 if x.dtype == torch.float64 else torch.float64
        yield from (("other float", x.to(other)), ("half", x.half()), ("whole", x.long()))
        yield from (("bfloat16", x.bfloat16()), ("sparse", x.to_sparse() if x.ndim else x))
        yield from (("bool", x > 0), ("expanded", x[:1].expand(x.shape) if x.ndim else x))
    else:
        yield from (("float", x.float()), ("negative", -x.long()), ("ones", torch.ones_like(x)))


def _wholes(value: int) -> Iterator[Hostile]:
    yield from (("zero", 0), ("negative", -1), ("half", 1.5), ("float", float(value)))
    yield from (("nan", math.nan), ("bool", True), ("=np.int64", np.int64(value)))
    yield from (("=np.int32", np.int32(value)), ("tensor", torch.ones(2, 2)), ("list", [value]))
    yield from (("np.float64", np.float64(value)), ("complex", 1j), ("minimum", -(2**63) - 1))


def _numbers(value: float) -> Iterator[Hostile]:
    yield from (("zero", 0.0), ("negative", -value or -1.0), ("nan", math.nan), ("inf", math.inf))
    yield from (("-inf", -math.inf), ("huge", 1e300), ("tiny", 1e-300), ("bool", True))
    yield from (("=np.float64", np.float64(value)), ("=np.float32", np.float32(value)))
    yield from (("tensor", torch.ones(2, 2)), ("list", [value]), ("complex", 1j))
    yield from (("numpy", np.ones((2, 2))), ("whole", 2), ("endless", 10**400))


def _arrays(a: np.ndarray) -> Iterator[Hostile]:
    yield from (("shape scalar", 0.5), ("shape 0-d", a.ravel()[0]), ("shape flat", a.ravel()))
    yield from (("shape empty", a[:0]), ("shape more", a[None]), ("text array", a.astype(str)))
    if a.dtype.kind == "f":
        yield from (("nan", np.where(a == a.max(), math.nan, a)), ("complex", a + 1j))
        yield from (("object", a.astype(object)), ("=float order", np.asfortranarray(a)))
    yield "tensor", torch.from_numpy(np.ascontiguousarray(a))


def _fields(value: Any) -> Iterator[Hostile]:
    """A named tuple with one of its fields spoilt."""
    for field, held in value._asdict().items():
        if isinstance(held, Tensor | float | int):
            for label, bad in hostile(held.detach() if isinstance(held, Tensor) else held):
                head, same = ("=", label[1:]) if label.startswith("=") else ("", label)
                mark = "shape " if same.startswith("shape") else ""
                yield (
                    f"{head}{mark}{field}: {same.removeprefix('shape ')}",
                    value._replace(**{field: bad}),
                )
        else:
            yield f"{field}: None", value._replace(**{field: None})


def _sequences(value: Sequence[Any]) -> Iterator[Hostile]:
    kind: Any = type(value)
    yield from (("empty", kind()), ("longer", kind([*value, *value[:1]])), ("whole", 3))
    yield from (("shorter", kind(value[:-1])), ("Nones", kind([None] * len(value))))
    yield ("=list", list(value)) if kind is tuple and value else ("tuple", tuple(value))
    if value:
        for label, bad in hostile(value[0]):
            if label.startswith("shape") and len(value) > 1:
                yield f"shape [0]: {label}", kind([bad, *value[1:]])
            elif not label.startswith("shape"):
                mark = "=" if label.startswith("=") else ""
                yield f"{mark}[0]: {label.removeprefix('=')}", kind([bad, *value[1:]])
