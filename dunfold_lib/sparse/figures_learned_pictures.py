"""Three columns by hand, and interference against the threshold."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.prox import soft
from dunfold_lib.show import Curves, line
from dunfold_lib.sparse import theory
from dunfold_lib.sparse.figures_learned import DRAWS, EXACT, sparse_signals, weights

COLUMNS = ((1.0, 0.0), (0.6, 0.8), (0.0, 1.0))


LOWEST = {"A": 0.0, "QP": -12 / 41, "LP": -1 / 3}  # w = (1, y) for the first of ``COLUMNS``


def three_columns() -> tuple[Curves, Curves]:
    """Where QP and LP touch the line wᵀa₁ = 1 of ``COLUMNS``, and what they make of the entries."""
    (_, (p, q), _), y = COLUMNS, np.linspace(-1.1, 0.6, 60)
    size = lambda v: (abs(p + q * v), abs(v))  # of wᵀa₂ and wᵀa₃
    t = max(size(LOWEST["LP"]))
    corner = lambda s, r: ((s * t - q * r * t) / p, r * t)  # wᵀa₂ = ±t, wᵀa₃ = ±t
    corners = [corner(s, r) for s, r in ((1, 1), (1, -1), (-1, -1), (-1, 1), (1, 1))]
    radius = np.hypot(*size(LOWEST["QP"]))
    angle = np.linspace(0, 2 * np.pi, 121)
    second, third = radius * np.cos(angle), radius * np.sin(angle)
    plane = Curves(
        lines=(
            line([1.0] * 60, y, "wᵀa₁ = 1", 5, "dashed"),
            line([x for x, _ in corners], [v for _, v in corners], "largest entry", 1),
            line((second - q * third) / p, third, "sum of squares", 2),
            line([1.0], [LOWEST["LP"]], "LP", 1, "dots"),
            line([1.0], [LOWEST["QP"]], "QP", 2, "dots"),
        ),
        xlabel="first entry of w",
        ylabel="second entry of w",
        xlim=(-1.3, 1.8),
        ylim=(-0.8, 0.6),
        size=(4.4, 3.3),
        alt="A parallelogram and an ellipse around zero, each touching a line at another point",
    )
    entries = Curves(
        lines=tuple(
            line([2, 3], size(LOWEST[name]), f"w of {name}", colour, "path")
            for name, colour in (("A", 0), ("QP", 2), ("LP", 1))
        ),
        xlabel="column j",
        ylabel="|wᵀa_j|",
        ylim=(-0.02, 0.65),
        size=(4.0, 3.3),
        alt="Sizes of the two other entries: the LP makes them equal, the QP keeps "
        "their squares low",
    )
    return plane, entries


SHARES = (2.0, 1.0, 0.7, 0.5, 0.35, 0.2)  # of the theorem's threshold


ORDINARY = 50  # a signal of ``sparse_signals(500, 4, 60)`` whose sizes were drawn


@cache
def thresholded(share: float, s: int = 4, K: int = 12) -> tuple[Tensor, Tensor, list[float]]:
    """LISTA-CP on one ordinary signal with ``share`` of the theorem's thresholds, LP's weights.

    Returns (K, n) sizes before the threshold, (K + 1, n) estimates, and the theorem's K + 1 bounds.
    """
    A, W, mu = weights("LP")
    truth = sparse_signals(A.shape[1], s, DRAWS)[ORDINARY]
    E, xs, sizes = theory.error_bounds(mu, s, 1.0, 1.0, K), [torch.zeros_like(truth)], []
    for k in range(K):
        v = xs[-1] - (A @ (xs[-1] - truth)) @ W
        sizes.append(v.abs())
        xs.append(soft(v, share * mu * E[k] * (1 + 1e-9)))
    return torch.stack(sizes), torch.stack(xs), list(E)


def ordinary() -> Tensor:
    """The signal of ``thresholded``."""
    return sparse_signals(EXACT.n, 4, DRAWS)[ORDINARY]


def false_entries(share: float) -> list[int]:
    """How many entries outside the support are non-zero after each layer of ``thresholded``."""
    _, xs, _ = thresholded(share)
    return (xs[1:, ordinary() == 0] != 0).sum(1).tolist()


def interference(k: int = 1, share: float = 1.0) -> tuple[Curves, Curves]:
    """Sizes before the threshold in layer k, true entries and others, and every layer's error."""
    return _entries(k, share), _errors(k, share)


def _entries(k: int, share: float) -> Curves:
    sizes, _, E = thresholded(share)
    truth, mu = ordinary(), weights("LP")[2]
    on, theta = truth != 0, share * mu * E[k - 1]
    seen = sizes[k - 1].clamp(1e-5, 1e2)
    others = seen[~on].sort(descending=True).values[:100]
    true = seen[on].sort(descending=True).values
    false = false_entries(share)[k - 1]
    return Curves(
        lines=(
            line([0, 106], [theta, theta], "threshold", 5, "dashed"),
            line(range(1, 5), true, "true entries", 0, "dots"),
            line(range(6, 106), others, "largest others: interference", 1, "dots"),
        ),
        xlabel="entry, sorted by size",
        ylabel="size before the threshold",
        xlim=(0, 106),
        ylim=(1e-5, 1e2),
        logy=True,
        alt="Sizes of the true entries and of the largest others, with the threshold between them",
        size=(4.2, 3.3),
        note=f"layer {k}: {false} false entries",
    )


def _errors(k: int, share: float) -> Curves:
    _, xs, E = thresholded(share)
    error = (xs - ordinary()).abs().sum(1).clamp(1e-4, 1e4)
    return Curves(
        lines=(
            line(range(len(E)), E, "the theorem's bound", 5, "dashed"),
            line(range(len(E)), error, "error of this signal", 0, "path"),
            line([k], [float(error[k])], "this layer", 1, "dots"),
        ),
        xlabel="layer k",
        ylabel="error in the ℓ1 norm",
        xlim=(0, len(E) - 1),
        ylim=(1e-4, 1e4),
        logy=True,
        fixed=1,
        alt="The theorem's bound and the error of one signal, layer by layer, with this "
        "layer marked",
        size=(4.2, 3.3),
        note=f"error {float(error[k]):.2g}, bound {E[k]:.2g}",
    )


def interference_explorer() -> Explorer:
    """Sliders over ``interference``, with a guess."""
    half, third, fifth = (false_entries(share) for share in (0.5, 0.35, 0.2))
    guess = Guess(
        "The theorem's threshold is made for the worst signal. Here is an ordinary one with four "
        "non-zeros. Lower the threshold: when does the first false entry get through?",
        ("at once, below the whole", "below a half of it", "only below a tenth"),
        "below a half of it",
        f"At 0.5 no false entry passes, in any layer ({max(half)}), and the error is "
        "half as large. "
        f"At 0.35 there are {third[0]} after the first layer and {third[1]} after the second: the "
        f"threshold is too low at first, and recovers. At 0.2 they feed on each other, {fifth[-1]} "
        "after twelve layers, and the error grows. Training looks for the room in between.",
    )
    return Explorer(
        interference,
        {
            "k": Slider("layer k", tuple(range(1, 9)), 0, "{:d}"),
            "share": Slider("share of the threshold", SHARES, 1, "{:g}"),
        },
        "Orange above the dashed line is a false entry. The true entries need not be above it yet.",
        guess=guess,
    )
