"""What denoising does to a classifier of pixels: linear discriminant analysis with a ridge.

symbol   code     shape     meaning
x        x        (n, B)    spectra of labelled pixels
y        y        (n,)      their classes
μ, Σ     mean, S  (c, B), (B, B)  class means and the covariance around them, all classes together
π        prior    (c,)      shares of the classes

Fisher 1936; Friedman 1989 for the ridge; Cohen 1960 for κ.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor

RIDGE = 1e-4  # of the mean variance, added to every variance


class Scores(NamedTuple):
    """Of the pixels that were not trained on."""

    accuracy: float  # share that is right
    kappa: float  # the same above what chance gives, over what it leaves


@checks.door
def discriminant(x: Tensor, y: AnyTensor, new: Tensor, ridge: float = RIDGE) -> Tensor:
    """The class of every new spectrum (m, B), from spectra x (n, B) with classes y (n,)."""
    checks.finite("x", x)
    checks.finite("new", new)
    if x.ndim != 2 or tuple(y.shape) != (len(x),) or new.shape[1:] != x.shape[1:]:
        given = f"{tuple(x.shape)}, {tuple(y.shape)} and {tuple(new.shape)}"
        raise ValueError(f"x, y and new have shapes {given}; they must be (n, B), (n,) and (m, B)")
    checks.number("ridge", ridge, 0, open_low=True)
    x, new = x.double(), new.double()
    classes, index = y.unique(return_inverse=True)
    member = torch.nn.functional.one_hot(index).double()  # (n, c)
    mean = member.T @ x / member.sum(0)[:, None]
    around = x - mean[index]
    S = around.T @ around / len(x)
    S = S + ridge * S.diagonal().mean() * torch.eye(len(S)).to(S)
    w = torch.linalg.solve(S, mean.T)  # (B, c)
    prior = member.mean(0).log()
    score = new @ w - 0.5 * (mean.T * w).sum(0) + prior
    return classes[score.argmax(1)]


@checks.door
def kappa(found: AnyTensor, y: AnyTensor) -> float:
    """Cohen's κ: (agreement − chance)/(1 − chance)."""
    checks.like("found", found, "y", y)
    if y.numel() == 0 or (y.is_floating_point() and not bool(torch.isfinite(found + y).all())):
        raise ValueError("found and y must hold classes, one at least, and no NaN")
    classes = torch.cat([found, y]).unique()
    share = lambda t: (t[:, None] == classes).double().mean(0)
    chance = float((share(found) * share(y)).sum())
    agreement = float((found == y).double().mean())
    return (agreement - chance) / (1 - chance) if chance < 1 else 1.0


@checks.door
def classify(cube: Tensor, labels: AnyTensor, share: float, g: torch.Generator) -> Scores:
    """Train on a share of each class's pixels, at least two, and score the others.

    cube : (1, B, H, W).  labels : (H, W), 0 where unknown.
    """
    found, train = _classes(cube, labels, share, g)
    y = labels.flatten()
    test = torch.isin(y, y[train].unique()) & (y > 0) & ~train
    if not bool(test.any()):
        raise ValueError("labels leave no pixel to test on; a class must have more than two")
    right = found[test] == y[test]
    return Scores(float(right.double().mean()), kappa(found[test], y[test]))


@checks.door
def class_map(cube: Tensor, labels: AnyTensor, share: float, g: torch.Generator) -> Tensor:
    """The class of every pixel, (H, W), as ``classify`` with the same generator finds it.

    Pixels with label 0 get a class too: one of those that were trained on.
    """
    found, _ = _classes(cube, labels, share, g)
    return found.reshape(labels.shape)


def _classes(
    cube: Tensor, labels: AnyTensor, share: float, g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(the class of every pixel, which pixels were trained on), both (H W,)."""
    checks.finite("cube", cube)
    checks.number("share", share, 0, 1, open_low=True)
    if cube.ndim != 4 or cube.shape[2:] != labels.shape or len(cube) != 1:
        given = f"{tuple(cube.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"cube and labels have shapes {given}; they must be (1, B, H, W), (H, W)")
    x, y = cube[0].flatten(1).T, labels.flatten()
    train = torch.zeros(len(y), dtype=torch.bool)
    for c in y.unique():
        here = (y == c).nonzero()[:, 0]
        if c > 0 and len(here) > 2:
            count = max(round(share * len(here)), 2)
            train[here[torch.randperm(len(here), generator=g)[:count]]] = True
    if not bool(train.any()):
        raise ValueError("labels leave no pixel to test on; a class must have more than two")
    return discriminant(x[train], y[train], x), train
