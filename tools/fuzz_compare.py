"""Whether two results are alike, whatever they are made of."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def _holds_tensors(x: Any) -> bool:
    """Whether an argument has a shape of its own: a tensor, a tuple of some, an operator."""
    if isinstance(x, tuple | list):
        return any(map(_holds_tensors, x))
    return isinstance(x, Tensor | nn.Module)


def _leaves(x: Any) -> Iterator[Any]:
    """Tensors, arrays and numbers inside tuples, lists, mappings, dataclasses and modules."""
    if isinstance(x, nn.Module):
        yield from (*x.parameters(), *x.buffers())
    elif isinstance(x, Mapping):
        yield from itertools.chain.from_iterable(map(_leaves, x.values()))
    elif isinstance(x, tuple | list):
        yield from itertools.chain.from_iterable(map(_leaves, x))
    elif dataclasses.is_dataclass(x) and not isinstance(x, type):
        yield from _leaves([getattr(x, f.name) for f in dataclasses.fields(x)])
    else:
        yield x


def _tensors_in(x: Any) -> Iterator[Tensor]:
    given = {k: v for k, v in x.items() if not isinstance(v, nn.Module)}
    return (t for t in _leaves(given) if isinstance(t, Tensor))


def _numbers_in(x: Any) -> Iterator[float]:
    for leaf in _leaves(x):
        if isinstance(leaf, Tensor | np.ndarray | np.generic):
            a = _array(leaf) if isinstance(leaf, Tensor) else np.asarray(leaf)
            if a.dtype.kind in "fiub":
                yield from a.astype(float).ravel().tolist()
            elif a.dtype.kind == "c":
                yield from np.abs(a).astype(float).ravel().tolist()
        elif isinstance(leaf, int | float):
            yield float(leaf) if abs(leaf) < 1e308 else math.inf


def _array(x: Tensor) -> np.ndarray:
    dense = x.detach().to_dense() if x.layout != torch.strided else x.detach()
    return (dense.float() if dense.dtype == torch.bfloat16 else dense).numpy()


def _differ(a: Tensor, b: Tensor) -> bool:
    b = b.detach()
    if a.layout != torch.strided:
        a, b = a.to_dense(), b.to_dense()
    return a.shape != b.shape or not torch.equal(a.nan_to_num(), b.nan_to_num())


def _alike(a: Any, b: Any) -> bool:
    one, two = list(_numbers_in(a)), list(_numbers_in(b))
    return len(one) == len(two) and np.allclose(one, two, 2e-3, 1e-4, equal_nan=True)
