"""What is proven: how well the spectral start can do, and why a step goes down.

Large n and m with m/n = δ, Gaussian A, no noise: Lu & Li 2020, Mondelli & Montanari 2019.
"""

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.phase.data import WIDTHS, Seen, aligned, forward

POINTS = 4001  # of the quadrature
LONGEST = 12.0  # amplitudes beyond have no weight in float64


@checks.door
def threshold(width: int = 1) -> float:
    """δ below which no start from the amplitudes has an overlap: 1/2 real, 1 complex."""
    checks.one_of("width", width, WIDTHS)
    return 0.5 * width


def _amplitudes(width: int) -> tuple[Tensor, Tensor]:
    """Amplitudes s of mean square 1, and their weights: |N(0, 1)|, or its complex twin."""
    s = (torch.arange(POINTS, dtype=torch.float64) + 0.5) * (LONGEST / POINTS)
    density = (-s.square() / 2).exp() if width == 1 else s * (-s.square()).exp()
    return s, density / density.sum()


@checks.door
def predicted_overlap(delta: float, width: int = 1) -> float:
    """ρ of the spectral start with T = 1 − 1/y² as n grows, for m = δn amplitudes; 0 up to δ*.

    With Z = T(s²): ρ² = (1/δ − E[(Z/(λ−Z))²]) / (1/δ + E[(s² − 1)(Z/(λ−Z))²]) at the λ > 1 for
    which E[(s² − 1) Z/(λ − Z)] = 1/δ; Lu & Li 2020, theorem 1.
    """
    checks.number("delta", delta, 0, open_low=True)
    checks.one_of("width", width, WIDTHS)
    s, weight = _amplitudes(width)
    power = s.square()
    mean = lambda v: float((weight * v).sum())
    gain = lambda lam: (power - 1) / ((lam - 1) * power + 1)  # Z/(λ − Z)
    side = lambda lam: mean((power - 1) * gain(lam)) - 1 / delta
    if side(1.0) <= 0:
        return 0.0
    low, high = 1.0, 1e6
    for _ in range(100):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if side(middle) > 0 else (low, middle)
    squared = gain(low).square()
    found = (1 / delta - mean(squared)) / (1 / delta + mean((power - 1) * squared))
    return max(found, 0.0) ** 0.5


@checks.door
def overlap(x: Tensor, truth: Tensor, width: int = 1) -> Tensor:
    """ρ = |⟨x, x*⟩|/(‖x‖‖x*‖) of each row, (batch,)."""
    product = (aligned(x, truth, width) * truth).sum(1)
    return product / (x.norm(dim=1) * truth.norm(dim=1))


@checks.door
def majorant(b: Seen, x: Tensor, at: Tensor) -> Tensor:
    """1/(2m) Σ |a_iᵀx − y_i s_i|² with the signs, or phases, s_i of a_iᵀ``at``; (batch,).

    Never below ``objective``, and equal to it at x = ``at``.
    """
    z = forward(b.A, at)
    target = z * (b.y / z.norm(dim=2).clamp_min(torch.finfo(z.dtype).tiny))[..., None]
    return 0.5 * (forward(b.A, x) - target).square().sum(2).mean(1)


@checks.door
def lipschitz(A: Tensor) -> Tensor:
    """L = ‖A‖₂²/m of each matrix (batch, m, c, d), exactly; (batch,)."""
    checks.shaped("A", A, ("batch", "m", "c", "d"))
    return torch.linalg.matrix_norm(A.flatten(1, 2), 2).square() / A.shape[1]
