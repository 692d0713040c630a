"""Solutions of the exercises in no_ground_truth.md; test_no_ground_truth_page.py has checks."""

import torch
from torch import Tensor

from dunfold_lib.imaging.data import turned
from dunfold_lib.operators import Linear


def unseen_pixels(mask: Tensor, count: int = 8) -> int:
    """How many pixels none of the first ``count`` symmetries moves into the mask."""
    seen = torch.stack([turned(mask, k) for k in range(count)]).amax(0)
    return int((seen == 0).sum())


def consistency_gradient(A: Linear, x: Tensor, b: Tensor) -> Tensor:
    """The gradient of ‖A x − b‖² in x, which lies in the range of Aᵀ."""
    return 2 * A.T(A(x) - b)


def best_shrinkage(v: Tensor, sigma: float) -> Tensor:
    """The a of least SURE for D(v) = a v, one a row."""
    return 1 - v.shape[1] * sigma**2 / v.square().sum(1)


def classes_seen(Phi: Tensor) -> tuple[int, int]:
    """(rank of the matrices Phi E Phiᵀ, how many distance classes there are)."""
    side = round(Phi.shape[1] ** 0.5)
    place = torch.arange(side)
    y, x = (p.flatten() for p in torch.meshgrid(place, place, indexing="ij"))
    down, across = (y[:, None] - y).abs(), (x[:, None] - x).abs()
    low, high = torch.minimum(down, across), torch.maximum(down, across)
    classes = [(i, j) for j in range(side) for i in range(j + 1)]
    made = [Phi @ ((low == i) & (high == j)).to(Phi) @ Phi.T for i, j in classes]
    rank = torch.linalg.matrix_rank(torch.stack([M.flatten() for M in made]))
    return int(rank), len(classes)


def seen_together(operators: list[Tensor]) -> bool:
    """Whether every direction is seen by one of the matrices (m_j, n)."""
    return int(torch.linalg.matrix_rank(torch.cat(operators))) == operators[0].shape[1]


def condition(Phi: Tensor) -> float:
    """σ_max/σ_min of the map from a stationary covariance to Phi C Phiᵀ; classes of unit norm."""
    side = round(Phi.shape[1] ** 0.5)
    y, x = torch.arange(side**2) // side, torch.arange(side**2) % side
    down, across = (y[:, None] - y).abs(), (x[:, None] - x).abs()
    kind = torch.minimum(down, across) * side + torch.maximum(down, across)
    classes = [(kind == k).to(Phi) for k in kind.unique()]
    made = [(Phi @ (E / E.norm()) @ Phi.T).flatten() for E in classes]
    s = torch.linalg.svdvals(torch.stack(made))
    return float(s[0] / s[-1])
