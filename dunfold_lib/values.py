"""What is asked of one value: another is refused in one line, what was given and what may be."""

import math
import sys
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

LARGEST, LEAST = sys.float_info.max, sys.float_info.min
MOST = 2**63 - 1  # of a whole number
FULL = (torch.float32, torch.float64)


def brief(value: Any) -> str:
    """A value in one line: itself where it is short, else its type."""
    text = repr(value)
    return text if len(text) < 40 and "\n" not in text else f"a {type(value).__name__}"


def finite(name: str, x: Tensor, shape: Sequence[int | str] | None = None) -> None:
    """Refuse anything but a non-empty floating-point tensor without NaN or infinity.

    shape : what it must have, as ``shaped`` takes it; by default any.
    """
    real(name, x)
    if x.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it must not be empty")
    if not _capturing(x) and not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(f"{name} holds {bad} NaN or infinite entries; all must be finite")
    if shape is not None:
        shaped(name, x, shape)


def _capturing(x: Tensor) -> bool:
    """Whether a CUDA graph is being captured, in which nothing has a value yet."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()


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
    """Refuse a tensor with values outside [low, high].

    Not looked at while torch compiles, or a CUDA graph is captured.
    """
    if not torch.compiler.is_compiling() and not _capturing(x) and x.numel():
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
    if own is not None and x.dtype != own.dtype and not mixed(x):
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
    if not is_number(value):
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
    if not pair or not all(is_whole(v) and v > 0 for v in value):
        raise ValueError(f"{name} is {brief(value)}; it must be (height, width), both from 1")


def whole(name: str, value: int, low: int = 0) -> None:
    """Refuse anything but a whole number of at least ``low``."""
    if not is_whole(value):
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


def mixed(x: Tensor) -> bool:
    """Whether x has 16 bit inside autocast, which mixes it with float32."""
    return x.dtype not in FULL and torch.is_autocast_enabled(x.device.type)


def is_whole(value: Any) -> bool:
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def is_number(value: Any) -> bool:
    return type(value) is float or (isinstance(value, Real) and not isinstance(value, bool))
