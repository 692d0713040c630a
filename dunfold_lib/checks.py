"""A caller's mistakes, answered in one line: what was given and what is allowed."""

import math
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

LARGEST = sys.float_info.max


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


def rows(name: str, x: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a batch whose rows do not have this shape: x must be (batch, *shape), real."""
    real(name, x)
    if x.ndim != len(shape) + 1 or tuple(x.shape[1:]) != tuple(shape):
        wanted = ", ".join(["batch", *map(str, shape)])
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it must be ({wanted})")


def number(
    name: str,
    value: float,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
) -> None:
    """Refuse a number that is not real and finite, or outside [low, high] (or (low, high])."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {brief(value)}; it must be a number")
    inside = (value > low if open_low else value >= low) and value <= high
    if not (inside and -LARGEST <= value <= LARGEST):
        interval = f"{'(' if open_low or low == -math.inf else '['}{low:g}, {high:g}]"
        given = f"{value:g}" if isinstance(value, float) else brief(value)
        raise ValueError(f"{name} is {given}; it must be finite and in {interval}")


def size(name: str, value: tuple[int, int]) -> None:
    """Refuse anything but two whole numbers from 1: (height, width)."""
    pair = isinstance(value, tuple) and len(value) == 2
    if not pair or not all(type(v) is int and v > 0 for v in value):
        raise ValueError(f"{name} is {brief(value)}; it must be (height, width), both from 1")


def whole(name: str, value: int, low: int = 0) -> None:
    """Refuse anything but a whole number of at least ``low``."""
    if isinstance(value, bool) or not isinstance(value, int):
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
