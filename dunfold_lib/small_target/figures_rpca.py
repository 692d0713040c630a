"""Figures of the chapter on robust PCA and the classical detectors, and their sliders."""

from dataclasses import replace
from functools import cache
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import checks, fetch
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.show import Curves, Frames, Line, array, line
from dunfold_lib.small_target import algorithm, baselines, data
from dunfold_lib.small_target.data import Frames as Scenes
from dunfold_lib.small_target.painting import painted
from dunfold_lib.small_target.scores import (
    UNIT,
    Curve,
    by_overlap,
    components,
    detection_curve,
    iou,
    roc,
)

SEEDS, SIDE = tuple(range(30, 36)), 128  # one made-up scene a seed; the first is the page's own
THEORY = (SIDE / baselines.IPI_PATCH**2) ** 0.5  # 1/√(rows of P), in units of 1/√SIDE
SHARES = (0.1, THEORY, 0.35, 0.5, 1.0, 2.0)  # λ in units of 1/√SIDE
STEPS = (5, 10, 20, 30, 40)  # of the accelerated proximal gradient method
CUTS = (0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)
TITLES = {"top-hat": "top-hat", "mpcm": "MPCM", "pstnn": "PSTNN", "ipi": "IPI"}
GUARD, AROUND = 3, 12  # pixels around a target that are left out, and that are looked at
LEAST = 3e-6  # a share of pixels that is drawn in the place of 0


@fetch.cached(fetch.nowhere)
def scenes() -> Scenes:
    """The made-up scenes of ``SEEDS``, nothing chosen among them."""
    made = [data.synthetic(torch.Generator().manual_seed(s), 1, SIDE) for s in SEEDS]
    names = tuple(f"seed {s}" for s in SEEDS)
    image, mask = (torch.cat([getattr(f, key) for f in made]) for key in ("image", "mask"))
    return Scenes(names, image, mask)


def scene(i: int = 0) -> tuple[Tensor, Tensor]:
    """(image in [0, 1], mask) of one of ``scenes``, both (h, w); 0 is the page's own."""
    return data.images(scenes())[i, 0].double(), scenes().mask[i, 0]


def contrast(frames: Scenes) -> tuple[list[int], list[float]]:
    """(area in pixels, local signal to clutter ratio) of every target.

    The ratio is |mean over the target − mean around it| over the deviation around it; around is
    within ``AROUND`` pixels of the target's box and farther than ``GUARD`` from any target.
    """
    from scipy import ndimage

    areas, ratios = [], []
    for x, mask in zip(array(data.images(frames)[:, 0]), frames.mask[:, 0].numpy(), strict=True):
        labels, count = components(mask)
        far = ~ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=GUARD)
        for i in range(1, count + 1):
            rows, columns = (labels == i).nonzero()
            near = np.zeros_like(mask)
            near[
                max(rows.min() - AROUND, 0) : rows.max() + AROUND + 1,
                max(columns.min() - AROUND, 0) : columns.max() + AROUND + 1,
            ] = True
            clutter = x[near & far]
            areas.append(len(rows))
            gap = abs(x[rows, columns].mean() - clutter.mean())
            ratios.append(float(gap / max(clutter.std(), 1e-6)))
    return areas, ratios


# robust PCA of a scene's patches


class Parts(NamedTuple):
    """A scene taken apart by robust PCA of its patches, after some steps."""

    B: Tensor  # (h, w)
    T: Tensor  # (h, w)
    rank: int  # of the patches' B
    share: float  # of the patches' entries that T does not set to zero
    rest: float  # ‖P − B − T‖/‖P‖


def weights(P: Tensor) -> tuple[float, float]:
    """(first, last) weight μ of IPI's continuation for patches P (m, n)."""
    s = torch.linalg.svdvals(P)
    return float(s[1]), max(0.005 * float(s[3]), 1e-6 * float(s[1]))


@cache
def taken_apart(share: float) -> dict[int, Parts]:
    """The page's scene at each of ``STEPS``, λ = share/√SIDE."""
    image, _ = scene()
    patch, step = baselines.IPI_PATCH, baselines.IPI_STEP
    P = baselines.patch_matrix(image, patch, step)
    back = lambda M: baselines.from_patches(M, (SIDE, SIDE), patch, step)
    run = algorithm.rpca_apg(P, share / SIDE**0.5, *weights(P))
    made = {}
    for k, x in enumerate(islice(run, STEPS[-1]), 1):
        if k in STEPS:
            rest = float((P - x.B - x.T).norm() / P.norm())
            dense = float((x.T != 0).double().mean())
            made[k] = Parts(back(x.B), back(x.T), x.rank, dense, rest)
    return made


def parts(share: float = 1.0, steps: int = 40) -> Frames:
    """B, T and what is found in the scene, by λ in units of 1/√128 and the number of steps."""
    checks.one_of("steps", steps, STEPS)
    (image, mask), x = scene(), taken_apart(share)[steps]
    found = baselines.segment(x.T.clamp(min=0))
    got = by_overlap(found[None], mask[None])
    note = (
        f"λ = {share / SIDE**0.5:.3f}, {steps} steps: B has rank {x.rank}, T is non-zero in "
        f"{100 * x.share:.2g} % of the patches' entries, ‖P − B − T‖ = {100 * x.rest:.1g} % of "
        f"‖P‖; {got.hits} of {got.targets} targets hit, {got.false} false pixels"
    )
    return Frames(
        images=(array(x.B), array(0.5 + x.T / 0.3), painted(found, mask, image)),
        captions=("B", "T, grey is 0", "scene and what is found"),
        alt="A made-up cloudy scene taken apart by robust PCA",
        note=note,
        zoom=2,
    )


def parts_explorer() -> Explorer:
    """Sliders over ``parts``."""
    return Explorer(
        parts,
        {
            "share": Slider("λ · √128", SHARES, 0, "{:.2f}"),
            "steps": Slider("steps", STEPS, len(STEPS) - 1, "{:d}"),
        },
        "T is white where it is positive, black where it is negative. Found is where it exceeds "
        "half of its largest value: green is a hit pixel, orange a false one, blue a missed one.",
        guess=Guess(
            "The scene holds three targets. Which λ finds all three?",
            ("a small one, and much else", "a middle one, and nothing else", "a large one"),
            "a small one, and much else",
            "Where T is cheap it takes the targets and most of the clouds; where it is dear it "
            "stays empty. Move λ: no position finds three targets and nothing else.",
        ),
    )


# detectors and their thresholds


@fetch.cached(fetch.nowhere)
def maps(name: str) -> Tensor:
    """A detector's maps of all scenes (n, h, w), each divided by its largest value."""
    run = baselines.DETECTORS[name]
    made = torch.stack([run(scene(i)[0]) for i in range(len(SEEDS))])
    return made / made.amax((1, 2), keepdim=True).clamp(min=1e-12)


@cache
def pixel_curve(name: str) -> Curve:
    """The receiver operating characteristic of a detector's pixels on all scenes."""
    return roc(maps(name), scenes().mask[:, 0], 400)


def above_zero(c: Curve) -> Curve:
    """The part of a curve whose thresholds are positive: pixels that are zero have no order."""
    positive = c.threshold > 0
    return Curve(c.threshold[positive], c.fpr[positive], c.tpr[positive])


@cache
def target_curve(name: str) -> tuple[list[float], list[float]]:
    """(Fa in 1e-5, Pd in per cent), by overlap, of a detector at every one of ``CUTS``."""
    score = maps(name)
    made = detection_curve([*score], scenes().mask, CUTS)
    return [d.fa / UNIT["overlap"] for d in made], [100 * d.pd for d in made]


def cut(name: str = "top-hat", share: float = 0.5) -> tuple[Frames, Curves, Curves]:
    """What a detector finds at a threshold, and where that is on two curves."""
    checks.one_of("detector", name, TITLES)
    truth, found = scenes().mask[:, 0], maps(name) > share
    image, mask = scene()
    got = by_overlap(found, truth)
    tpr = float((found & truth).sum() / truth.sum())
    fpr = float((found & ~truth).sum() / (~truth).sum())
    floor = LEAST / UNIT["overlap"]
    note = (
        f"{TITLES[name]} above {share:g} of its largest value, six scenes: {got.hits} of "
        f"{got.targets} targets hit, {got.false} false pixels, "
        f"Fa {got.fa / UNIT['overlap']:.1f}e-5, IoU {100 * iou(found, truth):.1f} %"
    )
    pixels, targets = [], []
    for i, (key, title) in enumerate(TITLES.items()):
        c, (fa, pd) = above_zero(pixel_curve(key)), target_curve(key)
        pixels.append(line(c.fpr.clamp(min=LEAST), 100 * c.tpr, title, i))
        targets.append(line([max(v, floor) for v in fa], pd, title, i))
    pixels.append(line([max(fpr, LEAST)], [100 * tpr], "", 5, "dots"))
    targets.append(line([max(got.fa / UNIT["overlap"], floor)], [100 * got.pd], "", 5, "dots"))
    frames = Frames(
        (array(image), array(maps(name)[0]), painted(found[0], mask, image)),
        ("scene 1", "map", "found"),
        f"{TITLES[name]} on the made-up cloudy scene",
        zoom=2,
    )
    left = _against(
        pixels,
        ("false pixels / background pixels", "hit pixels, %"),
        1.0,
        "Receiver operating characteristic of pixels for four detectors, and a moving point",
    )
    right = _against(
        targets,
        ("Fa by overlap, 1e-5", "Pd by overlap, %"),
        UNIT["overlap"],
        "Targets hit against false alarms for four detectors, and a moving point",
    )
    return frames, left, replace(right, note=note)


def _against(lines: list[Line], labels: tuple[str, str], unit: float, alt: str) -> Curves:
    """Hits against false alarms in a unit, on a logarithmic axis; the last line moves."""
    xlabel, ylabel = labels
    return Curves(
        lines=tuple(lines),
        xlabel=xlabel,
        ylabel=ylabel,
        logx=True,
        xlim=(0.7 * LEAST / unit, 1.5 / unit),
        ylim=(-3, 103),
        fixed=len(TITLES),
        alt=alt,
        size=(4.0, 3.3),
    )


def cut_explorer() -> Explorer:
    """Sliders over ``cut``."""
    return Explorer(
        cut,
        {
            "name": Slider("detector", tuple(TITLES), 0),
            "share": Slider("threshold", CUTS, CUTS.index(0.5), "{:g}"),
        },
        "Six made-up scenes; a threshold is a share of the map's largest value. Which detector "
        "hits most targets for a Fa of at most 100e-5? Which curves end early, and why?",
        guess=Guess(
            "Let the threshold fall as far as you like. Which detector hits every target at last?",
            tuple(TITLES.values()),
            "top-hat",
            "The top-hat, with more than half of the background. The curves of PSTNN and IPI end "
            "early: no threshold brings back what was shrunk to zero.",
        ),
    )
