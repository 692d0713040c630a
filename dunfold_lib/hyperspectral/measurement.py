"""What a network is given: a noisy cube over its noise level, and a basis of its spectra."""

from typing import NamedTuple

from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.hyperspectral.algorithm import in_units
from dunfold_lib.hyperspectral.lowrank import basis, noise_level


class Noisy(NamedTuple):
    """A noisy cube over its noise level, and a basis of its spectra (``lowrank.basis``)."""

    Y: Tensor  # (N, B, H, W)
    A: Tensor  # (N, B, r)


@checks.door
def measured(
    Y: Tensor, sigma: float | Tensor | None, r: int, window: int = 0
) -> tuple[Noisy, Tensor]:
    """What a network takes of noisy cubes Y (N, B, H, W), and the level it was divided by.

    sigma : deviation of the noise in Y's units, a number or (N, 1, 1, 1); estimated where None.
    window : of the medians that A is estimated from; 0 for none.
    """
    units, level = in_units(Y, noise_level(Y) if sigma is None else sigma)
    return Noisy(units, basis(units, r, window)), level


def is_noisy(b: Noisy, r: int) -> None:
    """Refuse what is no measurement with r eigen-images: shape and dtype only."""
    if not isinstance(b, Noisy):
        raise TypeError(f"b is a {type(b).__name__}; it must be a hyperspectral.Noisy(Y, A)")
    checks.shaped("Y", b.Y, ("batch", "B", "H", "W"))
    checks.rows("A", b.A, (b.Y.shape[1], r))
    if len(b.A) != len(b.Y) or b.A.dtype != b.Y.dtype:
        other = f"{len(b.A)} rows of {b.A.dtype}"
        raise ValueError(f"A has {other}; Y has {len(b.Y)} rows of {b.Y.dtype}")
