"""Solutions of the exercises in rpca.md; tests/test_rpca_page.py checks them."""

import torch
from torch import Tensor

from dunfold_lib.prox import soft
from dunfold_lib.small_target import svt
from dunfold_lib.small_target.algorithm import default_lam
from dunfold_lib.small_target.baselines import patch_matrix
from dunfold_lib.small_target.scores import components


def certificates(P: Tensor) -> tuple[Tensor, Tensor]:
    """(Y for T = 0 and any λ ≥ 1, Y for B = 0 and λ = 1/√(mn)) of P (m, n)."""
    U, _, Vt = torch.linalg.svd(P, full_matrices=False)
    return U @ Vt, P.sign() / P.numel() ** 0.5


def growing(P: Tensor, mu: float, factor: float, tol: float = 1e-7) -> tuple[Tensor, Tensor, int]:
    """(B, T, steps) of ADMM whose penalty starts at mu and grows by a factor a step."""
    T, Y, lam, steps = torch.zeros_like(P), torch.zeros_like(P), default_lam(P), 0
    while True:
        B = svt(P - T + Y / mu, 1 / mu)
        T = soft(P - B + Y / mu, lam / mu)
        rest = P - B - T
        Y, mu, steps = Y + mu * rest, factor * mu, steps + 1
        if rest.norm() <= tol * P.norm():
            return B, T, steps


def stripes(columns: Tensor) -> int:
    """Rank of the patch matrix of a square image whose columns are constant, columns (n,)."""
    image = columns.expand(len(columns), -1)
    return int(torch.linalg.matrix_rank(patch_matrix(image, 50, 10)))


def squares(mask: Tensor, reach: int) -> Tensor:
    """A square of 2·reach + 1 pixels around every target's centroid, for a mask (h, w)."""
    labels, count = components(mask.numpy())
    made = torch.zeros_like(mask)
    for i in range(1, count + 1):
        y, x = (int(v.mean().round()) for v in (labels == i).nonzero())
        made[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True
    return made


def off_by(a: float, c: float, p: int, t: float) -> float:
    """‖B − aJ‖ of B = svt(aJ + cI, t) with p² columns, for t below p²a + c."""
    return p * (c - t) if t < c else t - c


def columns_of(p: int, s: int) -> int:
    """Columns of the patch matrix that hold a pixel far from the border; s divides p."""
    return (p // s) ** 2


def away(
    n: int, rank: int, density: float, count: int, g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(P, B) of planted matrices (count, n, n), and so a test of thresholds learned elsewhere."""
    normal = lambda *size: torch.randn(count, *size, generator=g)
    B = normal(n, rank) @ normal(rank, n) / n**0.5
    where = torch.rand(count, n, n, generator=g) < density
    return B + normal(n, n).sign() * where, B
