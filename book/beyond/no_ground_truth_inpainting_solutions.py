"""Solutions of the exercises in no_ground_truth_inpainting.md."""

from itertools import combinations

from torch import Tensor

from dunfold_lib.imaging.self_supervised import pairs_at


def unseen_share(N: int, k: int, D: int) -> float:
    """The mean share of pixels that D shifts of a random mask with k holes of N do not see."""
    share = 1.0
    for i in range(D):
        share *= max(k - i, 0) / (N - i)
    return share


def smallest_ruler(n: int) -> tuple[int, ...]:
    """As few of the pixels 0, …, n − 1 as show every distance from 1 to n − 1."""
    every = set(range(1, n))
    for k in range(1, n + 1):
        for marks in combinations(range(n), k):
            if {b - a for a, b in combinations(marks, 2)} >= every:
                return marks
    raise ValueError(f"n is {n}; it must be at least 1")


def never_seen(kept: Tensor, turns: bool = True) -> Tensor:
    """Distances (i, j) of no kept pair of the mask (s, s): true or false, (s, s).

    turns : whether c(i, j) = c(j, i) may be used.
    """
    pairs = pairs_at(kept)
    return (pairs + pairs.T if turns else pairs) == 0
