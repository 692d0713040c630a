"""Solutions of the exercises in lista_cp.md; tests/test_solutions.py checks them."""

from math import ceil, log

from dunfold_lib.sparse import theory


def layers_needed(mu: float, s: int, largest: float, target: float) -> int:
    """The smallest K for which the theorem promises at most this error, without noise."""
    factor = theory.contraction(mu, s, 1.0)
    if factor >= 1:
        raise ValueError(f"s is {s}; the theorem holds up to {theory.certified_sparsity(mu)}")
    return max(0, ceil(log(target / (s * largest)) / log(factor)))
