"""Figures of the chapter on L-RPCANet: its maps stage by stage, its threshold, its depth.

Everything is shown on made-up scenes of 128×128, so a page needs no data but committed weights.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import checks, experiment, fetch
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.show import Curves, Frames, array, line
from dunfold_lib.small_target import data, guesses, scores
from dunfold_lib.small_target.experiments import EXPERIMENTS
from dunfold_lib.small_target.fast import compact
from dunfold_lib.small_target.model import Network, State
from dunfold_lib.small_target.painting import extremes, painted, stretched, up
from dunfold_lib.small_target.published import PUBLISHED_STAGES

SIDE = 128  # of a scene, in pixels
# whose weights are shown, the first that is there: what is shown are made-up scenes
RECIPES = ("cpu", "gpu", "cpu-sirst")
LARGE = "gpu-short"  # the recipe of the network of the paper's size
SCENES = {"cloud": 38, "ground": 15, "horizon": 26}  # seeds
NOISES = {
    "none": (0.0, 0.0),
    "σ = 10/255": (10.0, 0.0),
    "σ = 25/255": (25.0, 0.0),
    "1 % salt and pepper": (0.0, 0.01),
}
MANY, MANY_SEED = 12, 400  # scenes that the ROC is made of
FEW = 4  # of them, for the networks of all depths
RATES = (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)  # of false positives: thresholds
LEAST = 1e-5  # smallest rate of false positives that the ROC shows
WIDE = (4.4, 3.2)
_of_iou = partial(Curves, ylabel="IoU, %", ylim=(-3, 103), size=WIDE)


@fetch.cached(fetch.nowhere)
def scene(name: str) -> data.Frames:
    """One made-up scene with its mask, 128×128."""
    checks.one_of("name", name, SCENES)
    return data.synthetic(torch.Generator().manual_seed(SCENES[name]), 1, SIDE)


@fetch.cached(fetch.nowhere)
def many() -> data.Frames:
    """The scenes that scores and the ROC are taken on."""
    return data.synthetic(torch.Generator().manual_seed(MANY_SEED), MANY, SIDE)


def disturbed(frames: data.Frames, noise: str) -> Tensor:
    """The images of frames (n, 1, h, w) with a noise of ``NOISES``, always the same draw."""
    checks.one_of("noise", noise, NOISES)
    sigma, density = NOISES[noise]
    return data.noisy(data.images(frames), torch.Generator().manual_seed(7), sigma, density)


def recorded(name: str = "lrpcanet-sirst") -> str:
    """The first recipe by which a network was recorded with its weights, seed 0; "" for none."""
    return experiment.first_recorded([f"small_target/{name}"], RECIPES)


@cache
def network(name: str = "lrpcanet-sirst", recipe: str = "") -> Network:
    """A recorded network, seed 0, in ``eval`` mode.

    recipe : by default the first of ``RECIPES`` whose weights are there.
    """
    checks.one_of("name", name, EXPERIMENTS)
    recipe = recipe or recorded(name)
    if not recipe:
        raise ValueError(f"no {name} is recorded; make one by `python -m dunfold_lib reproduce`")
    net: Network = experiment.load(f"small_target/{name}", recipe, 0)
    return net.requires_grad_(False)


@cache
def depths() -> tuple[str, tuple[int, ...]]:
    """(recipe, the K whose networks ``stages-K`` it recorded): the recipe with most of them."""
    there = lambda K, r: experiment.first_recorded([f"small_target/stages-{K}"], [r])
    found = {r: tuple(K for K in PUBLISHED_STAGES if there(K, r)) for r in RECIPES}
    best = max(RECIPES, key=lambda r: len(found[r]))
    return best, found[best]


@fetch.cached(fetch.nowhere)
@torch.no_grad()
def states(name: str, noise: str, recipe: str = "") -> tuple[State, ...]:
    """The state before the first stage and after each one, on a scene."""
    return tuple(network(recipe=recipe).states(disturbed(scene(name), noise)))


@fetch.cached(fetch.nowhere)
def score(noise: str, name: str = "lrpcanet-sirst", recipe: str = "", count: int = 0) -> Tensor:
    """T^K of the first ``count`` of ``many`` scenes (n, 1, h, w), 0: all, by a recorded network."""
    return compact(network(name, recipe))(disturbed(many(), noise)[: count or None])


def share(predicted: Tensor, truth: Tensor) -> float:
    """IoU in per cent."""
    return 100 * scores.iou(predicted, truth)


class Sizes(NamedTuple):
    """What a stage's maps hold, over one scene."""

    low: float  # least T
    high: float  # largest T
    T: float  # mean |T|
    N: float  # mean |N|
    apart: float  # mean |D − image|
    level: float  # mean B


def sizes(name: str, noise: str = "none") -> list[Sizes]:
    """``Sizes`` of every stage."""
    start, *made = states(name, noise)
    mean = lambda t: float(t.abs().mean())
    return [
        Sizes(
            float(x.T.min()),
            float(x.T.max()),
            mean(x.T),
            mean(x.N),
            mean(x.D - start.D),
            float(x.B.mean()),
        )
        for x in made
    ]


def stage(
    k: int = 1, noise: str = "none", name: str = "cloud", recipe: str = ""
) -> tuple[Frames, Curves]:
    """The image, what stage k is given, its B, T and N, what T > 0 finds; IoU of every stage.

    Each map is stretched between its own extremes, which its caption tells.
    """
    seen = states(name, noise, recipe)
    checks.layer(k, len(seen) - 1, "stages", 1)
    truth, x = scene(name).mask, seen[k]
    shares = [share(s.T > 0, truth) for s in seen[1:]]
    found = painted(x.T[0, 0] > 0, truth[0, 0])
    maps = ((f"D{up(k - 1)}, given", seen[k - 1].D),)
    maps += tuple((f"{letter}{up(k)}", getattr(x, letter)) for letter in "BTN")
    frames = Frames(
        images=(array(seen[0].D)[0, 0], *(stretched(m) for _, m in maps), found),
        captions=("image", *(f"{text}: {extremes(m)}" for text, m in maps), f"T{up(k)} > 0"),
        alt=f"Scene {name}, noise: {noise}, stage {k}",
        zoom=2,
    )
    stages = range(1, len(seen))
    curve = _of_iou(
        lines=(
            line(stages, shares, "T > 0", 0, "path"),
            line([k], [shares[k - 1]], "shown", 1, "dots"),
        ),
        xlabel="stage k",
        xlim=(0.7, len(seen) - 0.7),
        alt="IoU of T above zero after each stage, with the shown one marked",
        note=f"{name}, noise: {noise}, stage {k}: IoU {shares[k - 1]:.0f} %. Green: found, orange: "
        "false, blue: missed",
    )
    return frames, curve


@cache
def cuts() -> tuple[float, ...]:
    """Thresholds: 0, and those that the false positive rates ``RATES`` have without noise."""
    background = score("none")[~many().mask].sort(descending=True).values
    at = [float(background[round(r * len(background))]) for r in RATES]
    return tuple(sorted({round(v, 2) for v in (*at, 0.0)}))


@cache
def _roc(noise: str) -> tuple[scores.Curve, float]:
    """(some 150 points of the ROC, dense where false positives are few, and its area)."""
    full = scores.roc(score(noise), many().mask)
    rows = torch.logspace(0, float(np.log10(len(full.fpr))), 150).long().unique() - 1
    return scores.Curve(*(t[rows] for t in full)), full.area


def threshold(cut: float = 0.0, noise: str = "none") -> tuple[Frames, Curves]:
    """T^K > cut on one scene, and where that cut lies on the ROC of all scenes' pixels."""
    checks.number("cut", cut)
    logit, truth = score(noise), many().mask
    found, (curve, area) = logit > cut, _roc(noise)
    rate = float((found & ~truth).sum() / (~truth).sum())
    hits = float((found & truth).sum() / truth.sum())
    told = scores.by_overlap(found, truth)
    drawn = curve.fpr > LEAST
    plot = Curves(
        lines=(
            line(curve.fpr[drawn], curve.tpr[drawn], f"ROC of {MANY} scenes", 0),
            line([max(rate, LEAST)], [hits], "this threshold", 1, "dots"),
        ),
        xlabel="false positive rate (pixels)",
        ylabel="true positive rate",
        logx=True,
        xlim=(LEAST / 1.3, 1),
        ylim=(-0.03, 1.03),
        alt="ROC over the pixels, with the chosen threshold marked",
        size=WIDE,
        note=f"T > {cut:g}, noise: {noise}: IoU {share(found, truth):.1f} %, "
        f"Pd {100 * told.pd:.0f} %, Fa {told.fa / 1e-5:.1f}e-5, area under the ROC {area:.3f}",
    )
    return _first(logit, cut, noise, ""), plot


def _first(T: Tensor, cut: float, noise: str, more: str) -> Frames:
    """The first of ``many``, its T and where that is above a cut; ``more`` is said of it."""
    image, found = disturbed(many(), noise)[0, 0], painted(T[0, 0] > cut, many().mask[0, 0])
    return Frames(
        images=(array(image), stretched(T[:1]), found),
        captions=("image", f"Tᴷ: {extremes(T[:1])}", f"Tᴷ > {cut:g}{more}"),
        alt=f"One of the scenes, noise: {noise}",
        zoom=2,
    )


def depth(K: int = 6, noise: str = "none") -> tuple[Frames, Curves]:
    """A network of K stages, trained as such, on one scene, and the IoU of all K."""
    recipe, found = depths()
    checks.one_of("K", K, found)
    checks.one_of("noise", noise, NOISES)
    truth = many().mask[:FEW]
    shares = {n: [share(_deep(k, n) > 0, truth) for k in found] for n in NOISES}
    here = shares[noise][found.index(K)]
    curve = _of_iou(
        lines=(
            *(line(found, v, n, i, "path") for i, (n, v) in enumerate(shares.items())),
            line([K], [here], "shown", 5, "dots"),
        ),
        xlabel="stages K",
        xlim=(0.7, max(PUBLISHED_STAGES) + 0.3),
        fixed=len(NOISES),
        alt="IoU against the number of stages for four kinds of noise",
        note=f"K = {K}, noise: {noise}: IoU {here:.1f} % on {FEW} made-up scenes; recipe {recipe}",
    )
    return _first(_deep(K, noise), 0, noise, f", K = {K}"), curve


def _deep(K: int, noise: str) -> Tensor:
    return score(noise, f"stages-{K}", depths()[0], FEW)


def stage_explorer() -> Explorer:
    """Sliders over ``stage``."""
    K = network().K
    return _of_stages(stage, Slider("stage", tuple(range(1, K + 1)), K - 1, "{:d}"), guesses.STAGES)


def _of_stages(draw: Callable[..., Any], k: Slider, guess: Guess, every: int = 1) -> Explorer:
    """Sliders over one network's stages and scenes, and ``every`` so many kinds of noise."""
    noise = Slider("noise", tuple(NOISES)[::every])
    return Explorer(
        draw,
        {"k": k, "noise": noise, "name": Slider("scene", tuple(SCENES))},
        "Follow one scene through the stages, then add noise. Which of the maps mean what they "
        "are called?",
        guess=guess,
    )


def large(k: int = 6, noise: str = "none", name: str = "cloud") -> tuple[Frames, Curves]:
    """``stage`` of the network of the paper's size."""
    return stage(k, noise, name, LARGE)


def large_explorer() -> Explorer:
    """Sliders over ``large``."""
    k = Slider("stage", tuple(range(1, network(recipe=LARGE).K + 1)), 0, "{:d}")
    return _of_stages(large, k, guesses.LARGE, 2)


def threshold_explorer() -> Explorer:
    """Sliders over ``threshold``."""
    values = cuts()
    return Explorer(
        threshold,
        {
            "cut": Slider("threshold of Tᴷ", values, values.index(0.0), "{:g}"),
            "noise": Slider("noise", tuple(NOISES)),
        },
        "Move the threshold along the ROC. Can it undo what noise does?",
        guess=guesses.THRESHOLD,
    )


def depth_explorer() -> Explorer:
    """Sliders over ``depth``."""
    _, found = depths()
    if not found:
        raise ValueError("no stages-K is recorded; make one by `python -m dunfold_lib reproduce`")
    return Explorer(
        depth,
        {
            "K": Slider("stages K", found, len(found) - 1, "{:d}"),
            "noise": Slider("noise", tuple(NOISES)),
        },
        "Each K is a network of its own. What does another stage buy, and under noise?",
        guess=_more_stages(found),
    )


def _more_stages(found: tuple[int, ...]) -> Guess:
    """Whether the deepest network of ``depth`` finds more than the shallowest."""
    few, many = (depth(k, next(iter(NOISES)))[-1].note for k in (found[0], found[-1]))
    value = lambda note: float(note.split("IoU ")[1].split(" %")[0])
    choices = ("more", "less")
    return Guess(
        "Trained on real frames, looking at four made-up scenes without noise: does the network of "
        f"{found[-1]} stages find more than the one of {found[0]}?",
        choices,
        choices[value(many) < value(few)],
        f"An IoU of {value(few):.0f} % with {found[0]}, of {value(many):.0f} % with {found[-1]}. "
        "One training each, on other frames than these: it ranks nothing.",
    )
