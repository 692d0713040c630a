"""Scores of small target detection. Two families bear the names Pd and Fa; each says which it is.

A prediction and a truth are sequences of boolean images (h, w) or one tensor (n, 1, h, w) or
(n, h, w); sums run over all of them. Targets are 8-connected components.

family    a target counts as hit                         a false alarm
overlap   where a predicted pixel touches it             predicted pixels outside the mask over
                                                         background pixels; unit 1e-5
centroid  where a component's centroid is < 3 px away,   pixels of the components without a partner
          one to one, nearest pairs first                over all pixels; unit 1e-6
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor

DRAWS = 4000  # resamplings of a bootstrap
NEAR = 3.0  # pixels between centroids
UNIT = {"overlap": 1e-5, "centroid": 1e-6}  # what a Fa is printed in
Masks = Sequence[AnyTensor] | AnyTensor


class Detection(NamedTuple):
    """Hits among the targets, and false alarms among the pixels that could be one."""

    hits: int
    targets: int
    false: int
    pixels: int

    @property
    def pd(self) -> float:
        """Share of the targets that were hit."""
        return self.hits / max(self.targets, 1)

    @property
    def fa(self) -> float:
        """Share of the pixels that are a false alarm; a plain ratio, without the family's unit."""
        return self.false / max(self.pixels, 1)


def _pairs(predicted: Masks, truth: Masks) -> Iterator[tuple[Any, Any]]:
    """Both as numpy images (h, w), looked at."""
    if len(predicted) != len(truth) or len(truth) == 0:
        given = f"{len(predicted)} and {len(truth)} images"
        raise ValueError(f"predicted and truth hold {given}; they must be equally many, from 1")
    for p, y in zip(predicted, truth, strict=True):
        pair = _image("predicted", p), _image("truth", y)
        if pair[0].shape != pair[1].shape:
            given = f"{pair[0].shape} and {pair[1].shape}"
            raise ValueError(f"predicted and truth hold shapes {given}; they must be equal")
        yield pair


def _image(name: str, x: Any) -> Any:
    """A mask (h, w) or (1, h, w) as a numpy image (h, w)."""
    if not isinstance(x, Tensor) or x.dtype != torch.bool:
        given = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name} holds {given}; it must hold torch.bool masks")
    flat = x[0] if x.ndim == 3 and len(x) == 1 else x
    if flat.ndim != 2 or 0 in flat.shape:
        raise ValueError(f"{name} holds an image of shape {tuple(x.shape)}; it must be (h, w)")
    return flat.cpu().numpy()


@checks.door
def iou(predicted: Masks, truth: Masks) -> float:
    """Σ intersection / Σ union of the targets' pixels; sums over all images. The papers' mIoU."""
    both, union = map(sum, counts(predicted, truth))
    return both / union if union else 1.0


@checks.door
def niou(predicted: Masks, truth: Masks) -> float:
    """Mean over images of intersection over union; 1 where there is neither target nor alarm."""
    each = [b / u if u else 1.0 for b, u in zip(*counts(predicted, truth), strict=True)]
    return sum(each) / len(each)


class Counts(NamedTuple):
    """Pixels of the targets, image by image: what an IoU and its sampling error are made of."""

    intersection: Sequence[int]
    union: Sequence[int]


@checks.door
def counts(predicted: Masks, truth: Masks) -> Counts:
    """``Counts`` of predictions against truths."""
    each = [(int((p & y).sum()), int((p | y).sum())) for p, y in _pairs(predicted, truth)]
    return Counts([b for b, _ in each], [u for _, u in each])


def _resampled(found: Counts, seed: int) -> Tensor:
    """IoU in per cent of DRAWS sets of images, each drawn with replacement: (DRAWS,), float64."""
    n = len(found.union)
    if n == 0 or len(found.intersection) != n:
        given = f"{len(found.intersection)} and {n} images"
        raise ValueError(f"counts hold {given}; they must be equally many, from 1")
    both, union = (torch.tensor(list(row), dtype=torch.float64) for row in found)
    rows = torch.randint(n, (DRAWS, n), generator=torch.Generator().manual_seed(seed))
    total = union[rows].sum(1)
    return torch.where(total > 0, 100 * both[rows].sum(1) / total.clamp(min=1), 100.0)


def _bounds(drawn: Tensor, level: float) -> tuple[float, float]:
    checks.number("level", level, 0, 1, open_low=True)
    tail = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=drawn.dtype)
    low, high = torch.quantile(drawn, tail).tolist()
    return low, high


@checks.door
def interval(found: Counts, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap of the pooled IoU over images, in per cent (Efron 1979).

    It tells what another draw of the same kind of frames would change, not another training.
    """
    return _bounds(_resampled(found, seed), level)


@checks.door
def difference(
    first: Counts, second: Counts, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """``interval`` of IoU(first) − IoU(second) on the same images: each draw takes equal ones.

    Where it holds 0, these images do not tell the two apart.
    """
    if len(first.union) != len(second.union):
        given = f"{len(first.union)} and {len(second.union)} images"
        raise ValueError(f"first and second hold {given}; they must be the same images")
    return _bounds(_resampled(first, seed) - _resampled(second, seed), level)


@checks.door
def best_cut(score: Masks, truth: Masks, cuts: Sequence[float]) -> float:
    """The cut whose ``score > cut`` has the highest pooled IoU; the lowest of equals.

    score : maps as masks are laid out. To be chosen on validation frames, never on the test.
    """
    if not cuts:
        raise ValueError("cuts is empty; it must hold one at least")
    for s in score:
        checks.finite("score", s)
    found = {float(c): iou([s > c for s in score], truth) for c in sorted(cuts)}
    return max(found, key=lambda c: found[c])


@checks.door
def f1(share: float) -> float:
    """F1 = 2 IoU/(1 + IoU) of the pixels, from the pooled IoU in [0, 1]."""
    checks.number("share", share, 0, 1)
    return 2 * share / (1 + share)


def components(mask: Any) -> tuple[Any, int]:
    """(labels, their number) of a boolean array (h, w): 8-connected components, 0 is background."""
    from scipy import ndimage

    labels, count = ndimage.label(mask, np.ones((3, 3), dtype=int))
    return labels, int(count)


@checks.door
def by_overlap(predicted: Masks, truth: Masks) -> Detection:
    """The papers' Pd and Fa: a target is hit where any predicted pixel overlaps it."""
    found = np.zeros(4, dtype=np.int64)
    for p, y in _pairs(predicted, truth):
        labels, count = components(y)
        hits = len(np.unique(labels[p & y]))
        found += (hits, count, int((p & ~y).sum()), int((~y).sum()))
    return Detection(*found.tolist())


@checks.door
def by_centroid(predicted: Masks, truth: Masks) -> Detection:
    """Pd and Fa by components: one predicted for one true, their centroids below 3 px apart."""
    found = np.zeros(4, dtype=np.int64)
    for p, y in _pairs(predicted, truth):
        (p_labels, p_count), (y_labels, y_count) = components(p), components(y)
        matched = _matched(_centroids(p_labels, p_count), _centroids(y_labels, y_count))
        area = np.bincount(p_labels.ravel(), minlength=p_count + 1)[1:]
        false = int(area.sum() - area[matched].sum())  # by its pixels: areas may be equal
        found += (len(matched), y_count, false, p.size)
    return Detection(*found.tolist())


def _centroids(labels: Any, count: int) -> Any:
    """(count, 2): mean row and column of each component."""
    from scipy import ndimage

    made = ndimage.center_of_mass(labels > 0, labels, range(1, count + 1))
    return np.asarray(made, dtype=float).reshape(-1, 2)


def _matched(predicted: Any, truth: Any) -> list[int]:
    """The predicted components that have a partner; nearest pairs first, one to one."""
    gap = np.linalg.norm(predicted[:, None] - truth[None], axis=2)
    kept: list[int] = []
    while gap.size and gap.min() < NEAR:
        i, j = np.unravel_index(gap.argmin(), gap.shape)
        gap[i], gap[:, j] = np.inf, np.inf
        kept.append(int(i))
    return kept


@checks.door
def scores(predicted: Masks, truth: Masks, ending: str = "") -> dict[str, float]:
    """All scores by name, in per cent; a Fa's name ends in its unit."""
    share = iou(predicted, truth)
    overlap, centroid = by_overlap(predicted, truth), by_centroid(predicted, truth)
    made = {
        "iou": 100 * share,
        "niou": 100 * niou(predicted, truth),
        "f1": 100 * f1(share),
        "pd": 100 * overlap.pd,
        "fa_1e-5": overlap.fa / UNIT["overlap"],
        "pd_3px": 100 * centroid.pd,
        "fa_3px_1e-6": centroid.fa / UNIT["centroid"],
    }
    return {name + ending: value for name, value in made.items()}


class Curve(NamedTuple):
    """A receiver operating characteristic, from the strictest threshold to the laxest."""

    threshold: Tensor  # (n,)
    fpr: Tensor  # (n,) share of background pixels above the threshold
    tpr: Tensor  # (n,) share of target pixels above it

    @property
    def area(self) -> float:
        """Area under the curve from (0, 0) to (1, 1), by trapezia."""
        ends = lambda t: torch.cat([t.new_zeros(1), t, t.new_ones(1)])
        return float(torch.trapezoid(ends(self.tpr), ends(self.fpr)))


@checks.door
def roc(score: Tensor, truth: AnyTensor, points: int = 0) -> Curve:
    """ROC of pixels: ``score`` above a threshold against ``truth``, both of one shape.

    points : at most so many thresholds, evenly among the scores in order; 0: every score.
    """
    checks.finite("score", score)
    checks.whole("points", points)
    if not isinstance(truth, Tensor) or truth.dtype != torch.bool or truth.shape != score.shape:
        given = f"{tuple(score.shape)} and {tuple(getattr(truth, 'shape', ()))}"
        raise ValueError(f"score and truth have shapes {given}; equal, and truth torch.bool, only")
    if truth.all() or not truth.any():
        raise ValueError("truth is all target or all background; a ROC needs pixels of both")
    order = score.flatten().double().argsort(descending=True)
    s, y = score.flatten()[order].double(), truth.flatten()[order]
    last = torch.cat([s[1:] != s[:-1], torch.ones(1, dtype=torch.bool)]).nonzero()[:, 0]
    if points and len(last) > points:
        last = last[torch.linspace(0, len(last) - 1, points).round().long()]
    hits = y.cumsum(0)[last]
    return Curve(s[last], (last + 1 - hits) / (~truth).sum(), hits / truth.sum())


@checks.door
def detection_curve(
    score: Sequence[Tensor], truth: Masks, thresholds: Sequence[float]
) -> list[Detection]:
    """``by_overlap`` of ``score > threshold`` at each threshold: Pd against Fa."""
    for t in thresholds:
        checks.number("threshold", float(t))
    for s in score:
        checks.finite("score", s)
    return [by_overlap([s > t for s in score], truth) for t in thresholds]


def scores_of(found: Sequence[Tensor], truth: Sequence[Tensor], ending: str) -> dict[str, Any]:
    """``scores.scores``, None for those that do not exist.

    Without a target in any frame there are only false alarms to count; without a pixel of
    background there are none.
    """
    made: dict[str, Any] = dict(scores(found, truth, ending))
    targets = any(bool(mask.any()) for mask in truth)
    background = any(not bool(mask.all()) for mask in truth)
    gone = [k for k in made if not (background if k.startswith("fa_") else targets)]
    return made | dict.fromkeys(gone)


@checks.door
def thresholds(T: Sequence[Tensor] | Tensor, points: int = 25) -> list[float]:
    """Thresholds for ``detection_curve``: evenly among the logits' extremes, and 0."""
    checks.whole("points", points, 2)
    low, high = (float(f(torch.stack([f(t) for t in T]))) for f in (torch.min, torch.max))
    return sorted({0.0, *torch.linspace(low, high, points).tolist()})
