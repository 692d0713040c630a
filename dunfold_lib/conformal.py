"""Intervals that cover as often as they say, and probabilities that mean what they say.

A score is |error| / spread of one number. ``radius`` turns calibration scores into the half-width,
in spreads, of an interval for the next one; ``radius_of_images`` where the images are
exchangeable and their pixels are not.
"""

from math import ceil, floor, inf, log
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor

SLACK = 1e-9  # of a product such as 100 · 0.9, before it is rounded to a whole number


@checks.door
def rank(n: int, alpha: float) -> int:
    """⌈(n + 1)(1 − α)⌉: the place of the score that is taken, among n in order of size."""
    checks.whole("n", n, 1)
    checks.number("alpha", alpha, 0, 1)
    return ceil((n + 1) * (1 - alpha) - SLACK)


@checks.door
def radius(scores: Tensor, alpha: float) -> float:
    """The score (n,) of that rank; inf where n is too small for α (Papadopoulos et al. 2002).

    The next exchangeable score is at most this with probability 1 − α or more.
    """
    checks.finite("scores", scores, ("n",))
    k = rank(len(scores), alpha)
    return inf if k > len(scores) else float(scores.sort().values[max(k - 1, 0)])


@checks.door
def radius_of_images(scores: Tensor, alpha: float) -> float:
    """The least r with (Σᵢ share of image i above r + 1)/(n + 1) ≤ α, for scores (n, pixels).

    The mean share of the next exchangeable image's pixels above it is at most α (Angelopoulos et
    al. 2024). inf where n < 1/α − 1. With one pixel an image it is ``radius``.
    """
    checks.finite("scores", scores, ("n", "pixels"))
    checks.number("alpha", alpha, 0, 1)
    n, pixels = scores.shape
    above = floor(pixels * ((n + 1) * alpha - 1) + SLACK)
    if above < 0:
        return inf
    return float(scores.flatten().sort().values[max(n * pixels - above - 1, 0)])


@checks.door
def covered(scores: Tensor, r: float) -> float:
    """Share of the scores that are at most r, a number or inf."""
    checks.finite("scores", scores)
    if not scores.numel() or r != r:
        raise ValueError(f"r is {r} for {scores.numel()} scores; it needs a number, and a score")
    return float((scores <= r).double().mean())


class Bins(NamedTuple):
    """A reliability diagram: of each bin that is not empty its mean p, share of targets, size."""

    said: Tensor
    found: Tensor
    size: Tensor

    @property
    def ece(self) -> float:
        """Σ size · |said − found| / Σ size (Naeini et al. 2015; Guo et al. 2017)."""
        gaps = (self.said - self.found).abs()
        return float((self.size * gaps).sum() / self.size.sum())


@checks.door
def reliability(p: Tensor, y: AnyTensor, bins: int = 10) -> Bins:
    """Probabilities p in [0, 1] and truths y (bool) of one shape, in bins of equal width."""
    checks.finite("p", p)
    checks.whole("bins", bins, 1)
    _truths(y, "p", p)
    if float(p.min()) < 0 or float(p.max()) > 1:
        raise ValueError(f"p is within [{p.min():g}, {p.max():g}]; it must be within [0, 1]")
    flat, truth = p.flatten().double(), y.flatten().double()
    which = (flat * bins).long().clamp(max=bins - 1)
    total = lambda v: torch.zeros(bins, dtype=torch.float64).index_add_(0, which, v)
    count = total(torch.ones_like(flat))
    there = count > 0
    mean = lambda v: total(v)[there] / count[there]
    return Bins(mean(flat), mean(truth), count[there])


@checks.door
def temperature(logits: Tensor, y: AnyTensor) -> float:
    """The T in [1/64, 64] with the least mean cross entropy of sigmoid(logits/T) (Guo et al. 2017).

    The loss is convex in 1/T; its slope there is bisected.
    """
    checks.finite("logits", logits)
    _truths(y, "logits", logits)
    v, truth = logits.flatten().double(), y.flatten().double()
    slope = lambda s: float(((v * s).sigmoid() - truth).mul(v).mean())
    low, high = -log(64), log(64)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(2.718281828459045**middle) < 0 else (low, middle)
    return float(torch.tensor(-(low + high) / 2, dtype=torch.float64).exp())


@checks.door
def cross_entropy(logits: Tensor, y: AnyTensor) -> float:
    """The mean of −log of what sigmoid(logits) gives to the truth."""
    checks.finite("logits", logits)
    _truths(y, "logits", logits)
    return float(functional.binary_cross_entropy_with_logits(logits.double(), y.double()))


def _truths(y: Tensor, name: str, like: Tensor) -> None:
    """Refuse what is not yes or no for each number of ``like``, or nothing at all."""
    if y.shape != like.shape or not y.numel():
        given = f"{tuple(like.shape)} and {tuple(y.shape)}"
        raise ValueError(f"{name} and y have shapes {given}; they must be equal and not empty")
    if not bool(((y == 0) | (y == 1)).all()):
        raise ValueError("y holds other numbers than 0 and 1; allowed are 0 and 1, or booleans")
