"""Solutions of the exercises of "How sure?"."""

from math import ceil, inf

import torch
from scipy.special import betainc

from dunfold_lib import conformal


def least(alpha):
    """The smallest n with a finite radius."""
    return ceil(1 / alpha - 1 - 1e-9)


def enough(alpha=0.1, within=0.02, sure=0.95):
    """The smallest multiple of 10 whose calibration lies above 1 − α − within so often."""
    for n in range(10, 100_000, 10):
        k = conformal.rank(n, alpha)
        if k <= n and 1 - betainc(k, n + 1 - k, 1 - alpha - within) >= sure:
            return n
    return None


def two_sided(errors, alpha):
    """(low, high): signed errors lie between them with probability 1 − α or more."""
    return -conformal.radius(-errors, alpha / 2), conformal.radius(errors, alpha / 2)


def adjusted(U, slope, x, eta, K, g):
    """Chains x (n,) after K Langevin steps, each accepted or not (Roberts & Tweedie 1996)."""
    forth = lambda x, y: -(y - x + eta * slope(x)).square() / (4 * eta)
    for _ in range(K):
        xi = torch.randn(x.shape, generator=g, dtype=x.dtype)
        y = x - eta * slope(x) + (2 * eta) ** 0.5 * xi
        log_ratio = U(x) - U(y) + forth(y, x) - forth(x, y)
        take = torch.rand(x.shape, generator=g, dtype=x.dtype).log() < log_ratio
        x = torch.where(take, y, x)
    return x


def weighted(scores, weights, own, alpha):
    """The radius of scores with density ratios ``weights``; own : that of the test point."""
    order = scores.argsort()
    mass = weights[order].cumsum(0) / (weights.sum() + own)
    place = int((mass < 1 - alpha).sum())
    return inf if place == len(scores) else float(scores[order[place]])
