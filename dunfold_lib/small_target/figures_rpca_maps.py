"""More figures of the chapter on robust PCA: recovery, convergence, spectra, detectors under noise.

Each function returns what ``show.page`` takes. The scenes are those of ``figures_rpca``.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dunfold_lib.show import Curves, Frames, array, line
from dunfold_lib.small_target import baselines, data
from dunfold_lib.small_target import figures_rpca as figures
from dunfold_lib.small_target.painting import painted
from dunfold_lib.small_target.scores import Detection, by_overlap

GOOD = 1e-3  # relative error of a recovered matrix
FLOOR = 1e-16  # what is drawn in the place of 0
WRONG = (("top-hat", 4), ("mpcm", 4), ("pstnn", 5), ("ipi", 4))  # a detector and a scene
LEVELS = {n: data.SIGMAS if n != "ipi" else (0, 10, 25) for n in figures.TITLES}


def plain(i: int) -> Tensor:
    """The image of a scene (h, w)."""
    return figures.scene(i)[0]


def six_scenes(targets: bool = False) -> Frames:
    """The six scenes in three columns, with their targets in green or as they are."""
    rule = np.full((4, figures.SIDE, 3), 0.5)
    names = tuple(f"scenes {i + 1} and {i + 4}" for i in range(3))

    def one(i: int) -> Any:
        image, mask = figures.scene(i)
        return painted(mask, mask, image) if targets else np.repeat(array(image)[..., None], 3, 2)

    alt = (
        "The same two scenes with their targets in green"
        if targets
        else "Two made-up infrared scenes, one above the other"
    )
    stacked = tuple(np.vstack([one(i), rule, one(i + 3)]) for i in range(3))
    return Frames(stacked, names, alt, zoom=2)


def drawn(*names: str) -> list[Frames]:
    """The map of each detector on scene 1, and what it finds there."""
    image, mask = figures.scene()
    made = []
    for name in names:
        score, title = figures.maps(name)[0], figures.TITLES[name]
        pictures = (array(score), painted(score > 0.5, mask, image))
        made.append(Frames(pictures, (f"{title}: map", "found"), f"{title} on scene 1", zoom=2))
    return made


# robust PCA of a matrix


def recovered(cells: Mapping[tuple[int, float], float]) -> Curves:
    """(rank, density of errors) by whether the relative error of B is below 1e-3."""

    def dots(wanted: Callable[[float], bool], label: str, colour: int) -> Any:
        at = [k for k, error in cells.items() if wanted(error)]
        return line([r for r, _ in at], [100 * d for _, d in at], label, colour, "dots")

    return Curves(
        (dots(lambda e: e < GOOD, "recovered", 2), dots(lambda e: e >= GOOD, "not", 1)),
        "rank of B*",
        "errors, % of the entries",
        "Recovered and not recovered matrices over rank and density of errors; a corner at low "
        "rank and low density is recovered",
        xlim=(0, 19),
        ylim=(0, 38),
        title="40 × 40, λ = 1/√40",
    )


def flat_bottom(lams: Sequence[float], sweep: Mapping[int, Sequence[float]]) -> Curves:
    """By rank: the relative error of B against λ, in units of 1/√40."""
    lines = [
        line(lams, [max(e, FLOOR) for e in errors], f"rank {r}, 10 % errors", i)
        for i, (r, errors) in enumerate(sweep.items())
    ]
    return Curves(
        tuple(lines),
        "λ · √40",
        "‖B − B*‖ / ‖B*‖",
        "Relative error against the weight on logarithmic axes, with a wide flat bottom around 1",
        logx=True,
        logy=True,
        ylim=(FLOOR, 10),
    )


def _floored(values: Sequence[float]) -> list[float]:
    return [max(abs(v), FLOOR) for v in values]


def convergence(gap: Sequence[float], apart: Sequence[float], proof: Sequence[float]) -> Curves:
    """Three measures of convergence of ADMM after each step."""
    k = range(1, len(gap) + 1)
    return Curves(
        (
            line(k, _floored(gap), "|objective − cvxpy's|", 0),
            line(k, _floored(apart), "‖P − B − T‖", 1),
            line(k, _floored(proof), "|‖Y‖ − 1|", 2, "dashed"),
        ),
        "steps of ADMM",
        "",
        "Three measures of convergence of ADMM on a logarithmic axis; all fall, one stops at the "
        "other solver's accuracy",
        logy=True,
        ylim=(FLOOR, 100),
    )


def rates(fast: Sequence[float], slow: Sequence[float], bound: Sequence[float]) -> Curves:
    """The objective's gap with and without momentum, and the theorem's bound."""
    k = range(1, len(fast) + 1)
    return Curves(
        (
            line(k, _floored(fast), "with momentum (APG)", 0),
            line(k, _floored(slow), "without", 1),
            line(k, bound, "bound of the theorem", 5, "dashed"),
        ),
        "steps",
        "F − F*",
        "Objective gap of the accelerated and of the plain proximal gradient method, below the "
        "bound of the theorem",
        logy=True,
        ylim=(1e-12, 1e3),
    )


# patches


def patches(D: Tensor) -> Tensor:
    """The matrix of IPI's patches of an image."""
    return baselines.patch_matrix(D, baselines.IPI_PATCH, baselines.IPI_STEP)


def relative(M: Tensor) -> Tensor:
    """Singular values over the largest."""
    return torch.linalg.svdvals(M) / torch.linalg.matrix_norm(M, 2)


def spectra(target: Tensor) -> list[Curves]:
    """Singular values of two scenes and of a lone target, as images and as patches."""
    shown = {
        "scene 1": (plain(0), 0, "solid"),
        "scene 5, hazy": (plain(4), 2, "solid"),
        "a target alone": (target, 1, "dashed"),
    }

    def panel(M: Callable[[Tensor], Tensor], title: str) -> Curves:
        values = lambda D: relative(M(D))[:81].clamp(min=1e-5)
        return Curves(
            tuple(line(range(1, 82), values(D), n, i, s) for n, (D, i, s) in shown.items()),
            "index of the singular value",
            "σ / σ₁",
            f"Singular values, {title}: of two scenes and of a lone target, on a logarithmic axis",
            logy=True,
            ylim=(1e-5, 2),
            title=title,
        )

    return [
        panel(lambda D: D, "the image as a matrix"),
        panel(patches, "the matrix of its patches"),
    ]


def corner_weight(i: int = 5) -> Tensor:
    """√W of a scene (h, w): where PSTNN sees corners."""
    return baselines.corners(255 * plain(i)).sqrt()


def corners() -> Frames:
    """Scene 6, stretched, and its corner weight."""
    image, weight = plain(5), corner_weight()
    low, high = image.min(), image.max()
    return Frames(
        (array((image - low) / (high - low)), array(weight / weight.max())),
        ("scene 6, stretched", "√W"),
        "Buildings, and the corner weight of the scene",
        zoom=2,
    )


# detections


def guesses(guess: Mapping[str, Tensor], truth: Tensor) -> Frames:
    """Predictions (h, w) by name for one mask (h, w)."""
    grey = torch.full(tuple(truth.shape), 0.3)
    pictures = tuple(painted(p, truth, grey) for p in guess.values())
    return Frames(pictures, tuple(guess), "A prediction for two targets", zoom=4)


def half_pixel(small: Tensor, shifted: Tensor, straight: Tensor) -> Frames:
    """A small image and its masks by both ways of resizing, as bytes (h, w), around the target."""
    at = (small > 0).nonzero()
    top, left = (max(int(v) - 3, 0) for v in at.min(0).values)
    near = lambda x: x[top : top + 12, left : left + 12]
    image, shifted, straight = near(small) / 255, near(shifted) > 127, near(straight) > 127
    pictures = (array(image), *(painted(m, m, image) for m in (shifted, straight)))
    names = ("image", "mask by ⌊ih/256⌋", "mask by the middle")
    both = painted(straight, shifted, image)
    alt = "A small target, its mask by both ways of resizing, and the second against the first"
    return Frames((*pictures, both), (*names, "second against first"), alt, zoom=12)


@cache
def on_all(name: str) -> Detection:
    """By overlap: what a detector finds in the six scenes above half of its largest value."""
    return by_overlap(figures.maps(name) > 0.5, figures.scenes().mask[:, 0])


def on_scene(name: str, i: int) -> Detection:
    """``on_all`` for one of the scenes."""
    found = figures.maps(name)[i : i + 1] > 0.5
    return by_overlap(found, figures.scenes().mask[i : i + 1, 0])


def wrong() -> Frames:
    """Each detector on a scene where it fails."""
    return Frames(
        tuple(painted(figures.maps(n)[i] > 0.5, *figures.scene(i)[::-1]) for n, i in WRONG),
        tuple(f"{figures.TITLES[n]}, scene {i + 1}" for n, i in WRONG),
        "A detector that fails on a made-up scene",
        zoom=2,
    )


def under(name: str, **kind: float) -> Detection:
    """By overlap: what a detector finds in the six scenes with noise, ``data.noisy``."""
    x = data.noisy(data.images(figures.scenes()), torch.Generator().manual_seed(0), **kind)
    run = baselines.DETECTORS[name]
    found = torch.stack([baselines.segment(run(v[0].double())) for v in x])
    return by_overlap(found, figures.scenes().mask[:, 0])


@cache
def under_noise(name: str) -> list[Detection]:
    """``under`` Gaussian noise at each of its ``LEVELS``."""
    return [under(name, sigma=float(s)) if s else on_all(name) for s in LEVELS[name]]


def noise() -> list[Curves]:
    """Targets hit, and false pixels, of the four detectors against the noise's deviation."""

    def panel(of: Callable[[Detection], float], ylabel: str, alt: str, **more: Any) -> Curves:
        lines = [
            line(LEVELS[n], [of(d) for d in under_noise(n)], title, i, "path")
            for i, (n, title) in enumerate(figures.TITLES.items())
        ]
        return Curves(tuple(lines), "deviation of the noise, of 255", ylabel, alt, **more)

    return [
        panel(
            lambda d: d.hits,
            "targets hit, of 11",
            "Targets hit against the noise's deviation for four detectors",
            ylim=(0, 11.5),
        ),
        panel(
            lambda d: max(d.false, 0.5),
            "false pixels",
            "False pixels against the noise's deviation for four detectors, logarithmic",
            logy=True,
            ylim=(0.4, 2e4),
        ),
    ]
