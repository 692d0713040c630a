"""What every unrolled network is: K layers, each one step of an algorithm."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


class Unrolled(nn.Module):
    """x⁰ = start(b), xᵏ⁺¹ = layer(k, xᵏ, b).

    b and x are a tensor, or a NamedTuple of tensors where an instrument gives two or an algorithm
    carries more than its estimate. Networks give ``start``, ``layer`` and, for a tuple,
    ``readout``; they override nothing else and are not subclassed.
    """

    K: int

    def start(self, b: Any) -> Any:
        """x⁰."""
        raise NotImplementedError

    def layer(self, k: int, x: Any, b: Any) -> Any:
        """xᵏ⁺¹ from xᵏ, for k = 0, …, K − 1."""
        raise NotImplementedError

    def readout(self, x: Any) -> Tensor:
        """The estimate in a state."""
        return x

    def states(self, b: Any, depth: int | None = None) -> Iterator[Any]:
        """x⁰, …, x^depth as the algorithm carries them; depth is K by default."""
        x = self.start(b)
        yield x
        for k in range(self.K if depth is None else depth):
            x = self.layer(k, x, b)
            yield x

    def iterates(self, b: Any) -> list[Tensor]:
        """The estimates in x⁰, …, xᴷ, for plots, losses per layer, and tests."""
        return [self.readout(x) for x in self.states(b)]

    def forward(self, b: Any) -> Tensor:
        """The estimate after K layers."""
        *_, x = self.states(b)
        return self.readout(x)
