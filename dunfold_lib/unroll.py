"""What every unrolled network is: K layers, each one step of an algorithm."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from dunfold_lib import checks


class Unrolled(nn.Module):
    """x⁰ = start(b), xᵏ⁺¹ = layer(k, xᵏ, b).

    b and x are a tensor, or a NamedTuple of tensors where an instrument gives two or an algorithm
    carries more than its estimate. Networks give ``start``, ``layer`` and, for a tuple,
    ``readout``; they override nothing else and are not subclassed.
    """

    K: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """What a network defines in public are doors (``checks.door``)."""
        super().__init_subclass__(**kwargs)
        for name, f in list(vars(cls).items()):
            if inspect.isfunction(f) and (name == "__init__" or not name.startswith("_")):
                of_layer = "k" in inspect.signature(f).parameters
                setattr(cls, name, _of_a_layer(f) if of_layer else checks.door(f))

    def start(self, b: Any) -> Any:
        """x⁰."""
        raise NotImplementedError

    def layer(self, k: int, x: Any, b: Any) -> Any:
        """xᵏ⁺¹ from xᵏ, for k = 0, …, K − 1."""
        raise NotImplementedError

    def readout(self, x: Any) -> Tensor:
        """The estimate in a state."""
        if not isinstance(x, Tensor):
            raise TypeError(f"x is {checks.brief(x)}; the state of this network is a tensor")
        return x

    def states(self, b: Any, depth: int | None = None) -> Iterator[Any]:
        """x⁰, …, x^depth as the algorithm carries them; depth is K by default."""
        depth = self.K if depth is None else depth
        checks.whole("depth", depth)
        checks.layer(depth, self.K, "layers")
        x = self.start(b)
        yield x
        for k in range(depth):
            x = self.layer(k, x, b)
            yield x

    def iterates(self, b: Any) -> list[Tensor]:
        """The estimates in x⁰, …, xᴷ, for plots, losses per layer, and tests."""
        return [self.readout(x) for x in self.states(b)]

    def forward(self, b: Any) -> Tensor:
        """The estimate after K layers."""
        *_, x = self.states(b)
        return self.readout(x)


def _of_a_layer(f: Callable[..., Any]) -> Callable[..., Any]:
    """A door whose k must be the number of one of the network's layers."""
    looked_at = checks.door(f)

    @functools.wraps(f)
    def within(self: Any, k: int, *args: Any, **kwargs: Any) -> Any:
        checks.whole("k", k)
        if k >= self.K:
            raise ValueError(f"k is {k}; the network has layers 0 to {self.K - 1}")
        _row_for_row((*args, *kwargs.values()))
        return looked_at(self, k, *args, **kwargs)

    return within


def _row_for_row(args: tuple[Any, ...]) -> None:
    """Refuse a state and a measurement that do not hold as many signals, one to a row.

    A state may also hold numbers, tensors without a row.
    """
    held = [v for a in args for v in (a if isinstance(a, tuple) else (a,))]
    tensors = [v for v in held if isinstance(v, Tensor)]
    shapes = [tuple(v.shape) for v in tensors if v.ndim]
    scalar = any(isinstance(a, Tensor) and not a.ndim for a in args[1:])
    if scalar or len({shape[0] for shape in shapes}) > 1:
        given = ", ".join(str(tuple(v.shape)) for v in tensors)
        raise ValueError(f"state and measurement have shapes {given}; their rows must be as many")
