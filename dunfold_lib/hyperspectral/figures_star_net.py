"""Figures of the chapter on STAR-Net: its layers, its singular values, its blocks.

Everything is shown on a 48 × 48 crop of Indian Pines' test part in white noise of known σ, with
a patch on every third pixel, as in training. The network is the recorded one; where none is
recorded, a fresh one.
"""

from copy import copy
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dunfold_lib import checks, experiment, fetch
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.hyperspectral import data, evaluation, guesses, scores
from dunfold_lib.hyperspectral.experiments import EXPERIMENTS
from dunfold_lib.hyperspectral.lowrank import project
from dunfold_lib.hyperspectral.model import Noisy, Numbers, STARNet, State, measured
from dunfold_lib.hyperspectral.norms import NORMS, passes, shrink
from dunfold_lib.hyperspectral.patches import analysis, mean, strongest, synthesis
from dunfold_lib.show import Curves, Frames, array, line

TOP, SIDE = 48, 48  # of the crop in the test part
STRIDE, BANDS = 3, (40, 120)  # of the patches; bands that are shown
PIXEL = (20, 30)  # row and column whose spectrum is shown
SHOWN = "star"  # the experiment whose network is shown
LEVELS = evaluation.LEVELS
TAUS = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 48.0)
PLACES = ("field", "edge")
ON, OFF = "on", "off"
WIDE, HALF = (5.6, 2.6), (4.4, 3.1)  # of a panel that has a row for itself, or shares one
MAGNIFIED, FLOOR = 8, 0.5  # of an error; smallest singular value that an axis shows


@fetch.cached(fetch.nowhere)
def truth() -> Tensor:
    """The crop without added noise, (1, 200, 48, 48)."""
    return data.part("test")[..., TOP : TOP + SIDE, :SIDE].contiguous()


@fetch.cached(fetch.nowhere)
def noisy(level: int) -> Tensor:
    """The crop in white noise."""
    checks.one_of("level", level, LEVELS)
    return evaluation.noised(truth(), data.Noise(level), 0)


def recorded() -> bool:
    """Whether the network that is shown was trained and recorded."""
    return bool(experiment.first_recorded([f"hyperspectral/{SHOWN}"], ["as-is"]))


@cache
def network() -> STARNet:
    """The recorded network, seed 0; a fresh one where there is none. With patches of ``STRIDE``."""
    e = EXPERIMENTS[SHOWN]
    net = experiment.load(f"hyperspectral/{SHOWN}", "as-is", 0) if recorded() else e.build()
    assert isinstance(net, STARNet)
    net.eval()
    net.stride = STRIDE
    return net.requires_grad_(False)


class Switched(STARNet):
    """A network some of whose blocks are switched off after training, its weights kept.

    without A it stays as it was estimated; without SVT, τ = 0, so L is B and U stays 0; without G
    only the last layer makes G.
    """

    off: frozenset[str] = frozenset()

    def numbers(self, k: int) -> Numbers:
        n = super().numbers(k)
        if "SVT" in self.off and n.tau is not None:
            n = n._replace(tau=torch.zeros_like(n.tau))
        return n._replace(alpha=None) if "G" in self.off and k < self.K - 1 else n


def switched(*off: str) -> STARNet:
    """``network()`` without the blocks that are named: "A", "SVT", "G"."""
    for name in off:
        checks.one_of("block", name, ("A", "SVT", "G"))
    net = copy(network())
    net.__class__ = Switched
    assert isinstance(net, Switched)
    net.off = frozenset(off)
    net.procrustes = 0 if "A" in off else net.procrustes
    return net


class Run(NamedTuple):
    """What a network makes of the crop: the first cube, then one after every layer."""

    cubes: list[Tensor]
    psnr: list[float]
    codes: list[float]  # PSNR of what the codes of a layer alone say


@torch.no_grad()
def run(net: STARNet, level: int) -> Run:
    """All layers of a network on the crop at one level of noise."""
    b, sigma = measured(noisy(level), level / 255, net.r, net.window)
    states = list(net.states(b))
    score = lambda x: scores.psnr(sigma * x, truth())
    cubes = [net.readout(x) for x in states]
    alone = [score(of_codes(net, p, x, b)) for p, x in pairwise(states)]
    return Run([sigma * x for x in cubes], [score(x) for x in cubes], alone)


def of_codes(net: STARNet, before: State, x: State, b: Noisy) -> Tensor:
    """The cube if a layer were the last one: G by the last layer's α, from this layer's codes."""
    alpha = net.numbers(net.K - 1).alpha
    assert alpha is not None
    patches = synthesis(x.B, *net.W) + mean(net.R(before.G))
    return net.readout(x._replace(G=net.blend(project(b.Y, before.A), patches, alpha)))


@cache
def run_of(level: int, *off: str) -> Run:
    """``run`` of the shown network, some of its blocks switched off."""
    return run(switched(*off), level)


def layer(k: int = 6, level: int = 30) -> tuple[Frames, Curves, Curves]:
    """Two bands after k layers, one pixel's spectrum, and PSNR after every layer up to it.

    k : 0 is the projection on the basis, before the first layer.
    """
    made, clean, noise = run_of(level), truth(), noisy(level)
    checks.layer(k, len(made.cubes) - 1, "layers")
    X = made.cubes[k]
    frames = Frames(
        images=(*(_band(X, b) for b in BANDS), _error(X, BANDS[1])),
        captions=(*(f"band {b}" for b in BANDS), f"error in band {BANDS[1]} × {MAGNIFIED}"),
        alt=f"The crop after {k} layers",
        zoom=2,
    )
    layers, shown, first = range(len(made.psnr)), made.psnr[k], max(k, 1)
    curve = Curves(
        lines=(
            line(layers[: k + 1], made.psnr[: k + 1], "G ×₃ A as it is", 0, "path"),
            line(layers[1 : first + 1], made.codes[:first], "by the codes alone", 1, "path"),
            line([k], [shown], "shown", 3, "dots"),
        ),
        xlabel="layer k",
        ylabel="PSNR, dB",
        xlim=(-0.2, len(made.psnr) - 0.8),
        ylim=(28, 48),
        alt="PSNR after each layer so far, of the cube and of what the codes of a layer alone say",
        size=HALF,
        note=f"σ = {level}, layer {k}: {shown:.2f} dB; noisy {scores.psnr(noise, clean):.2f} dB",
    )
    return frames, _spectrum(noise, X, clean), curve


def _spectrum(noise: Tensor, X: Tensor, clean: Tensor) -> Curves:
    """What noisy, estimated and clean cubes hold at ``PIXEL``."""
    at, bands = (0, slice(None), *PIXEL), range(clean.shape[1])
    return Curves(
        lines=(
            line(bands, noise[at], "noisy", 5),
            line(bands, X[at], "estimate", 1),
            line(bands, clean[at], "truth", 2, "dashed"),
        ),
        xlabel="band",
        ylabel="value",
        xlim=(-2, clean.shape[1] + 1),
        ylim=(-0.6, 1.6),
        alt="The spectrum of one pixel: noisy, true, and estimated",
        size=HALF,
    )


@fetch.cached(fetch.nowhere)
def codes(place: str) -> Tensor:
    """The codes (9, 81) of one patch of the crop in noise of σ = 10, in units of σ.

    place : "field", the patch of least energy beside its mean, or "edge", that of most.
    """
    checks.one_of("place", place, PLACES)
    net = network()
    b, _ = measured(noisy(LEVELS[0]), LEVELS[0] / 255, net.r)
    fresh = STARNet(stride=STRIDE)
    with torch.no_grad():
        X = net.R(project(b.Y, b.A))
        found = analysis(X - mean(X), *fresh.C)[0].permute(2, 0, 1)
    energy = found.square().sum((1, 2))
    return found[int(energy.argmin() if place == "field" else energy.argmax())].double()


def values(
    tau: float = 8.0, norm: str = "nuclear norm", place: str = "edge"
) -> tuple[Frames, Curves]:
    """Singular values of a patch's codes before and after the prox, and what passes a gradient."""
    checks.one_of("tau", tau, TAUS)
    X = codes(place)
    Y = shrink(X, tau, norm)
    before, after = (torch.linalg.svdvals(t) for t in (X, Y))
    kept = int((after > 1e-6).sum())
    curve = Curves(
        lines=(
            line(range(1, 10), before.clamp(min=FLOOR), "before", 5, "path"),
            line(range(1, 10), after.clamp(min=FLOOR), "after", 1, "path"),
        ),
        xlabel="i",
        ylabel="singular value, in σ",
        xlim=(0.6, 9.4),
        logy=True,
        ylim=(FLOOR / 1.3, 250),
        alt="Nine singular values of a patch's codes before and after the proximal map",
        size=WIDE,
        note=f"{norm}, τ = {tau:g}: {kept} of 9 singular values stay",
    )
    passed = array(passes(X, tau, norm).clamp(0, 1))
    frames = Frames(
        images=(passed, array(strongest(X, X)), array(strongest(Y, X))),
        captions=("gradient that passes", "patch", f"after, τ = {tau:g}"),
        alt=f"Patch {place}, {norm}",
        zoom=14,
    )
    return frames, curve


def blocks(
    a: str = ON, low_rank: str = ON, blend: str = ON, level: int = 50
) -> tuple[Frames, Curves]:
    """The shown network with blocks switched off at test time, its weights kept."""
    for name, value in (("a", a), ("low_rank", low_rank), ("blend", blend)):
        checks.one_of(name, value, (ON, OFF))
    chosen = {"A": a, "SVT": low_rank, "G": blend}
    off = tuple(name for name, value in chosen.items() if value == OFF)
    X = run_of(level, *off).cubes[-1]
    whole, made = ([run_of(v, *o).psnr[-1] for v in LEVELS] for o in ((), off))
    here = made[LEVELS.index(level)]
    frames = Frames(
        images=(_band(X, BANDS[1]), _error(X, BANDS[1])),
        captions=(f"band {BANDS[1]}", f"error × {MAGNIFIED}"),
        alt="The crop's estimate",
        zoom=4,
    )
    change = [m - w for m, w in zip(made, whole, strict=True)]
    curve = Curves(
        lines=(
            line(LEVELS, [0] * len(LEVELS), "all blocks", 5, "dashed"),
            line(LEVELS, change, "as switched", 0, "path"),
            line([level], [change[LEVELS.index(level)]], "shown", 3, "dots"),
        ),
        xlabel="σ of 255",
        ylabel="change of PSNR, dB",
        xlim=(6, 74),
        ylim=(-2, 0.5),
        fixed=1,
        alt="Change of PSNR over the level of noise when blocks are switched off",
        size=(4.6, 3.2),
        note=f"σ = {level}, off: {', '.join(off) or 'none'}; {here:.2f} dB, "
        f"all blocks {whole[LEVELS.index(level)]:.2f} dB",
    )
    return frames, curve


def layer_explorer() -> Explorer:
    """Sliders over ``layer``."""
    last = network().K
    return Explorer(
        layer,
        {
            "k": Slider("layers", tuple(range(last + 1)), 1, "{:d}"),
            "level": Slider("noise σ", LEVELS, 1, "{:d}"),
        },
        "Add one layer after the other. And when did the codes know?",
        guess=_leaving(),
    )


def _leaving() -> Guess:
    """In which layer the noise leaves the picture."""
    made = run_of(30).psnr
    last = len(made) - 1
    return Guess(
        f"The network starts from a projection and has {last} layers. In which of them does the "
        "noise leave the picture?",
        ("a little in each", "nearly all in the first", "nearly all in the last"),
        "nearly all in the last",
        f"At σ = 30: {made[0]:.1f} dB at the start, {made[-2]:.1f} dB after layer {last - 1}, "
        f"{made[-1]:.1f} dB after layer {last}. Only there is the estimate made from the codes.",
    )


def values_explorer() -> Explorer:
    """Sliders over ``values``."""
    return Explorer(
        values,
        {
            "tau": Slider("τ, in σ", TAUS, TAUS.index(8.0), "{:g}"),
            "norm": Slider("penalty", NORMS),
            "place": Slider("patch", PLACES, 1),
        },
        "Noise alone has singular values between 6 and 12. Which τ takes it away, and what else?",
        guess=guesses.PENALTIES,
    )


def blocks_explorer() -> Explorer:
    """Sliders over ``blocks``."""
    return Explorer(
        blocks,
        {
            "a": Slider("A at the end", (ON, OFF)),
            "low_rank": Slider("SVT", (ON, OFF)),
            "blend": Slider("G in every layer", (ON, OFF)),
            "level": Slider("noise σ", LEVELS, 2, "{:d}"),
        },
        "Nothing is trained again. Switch blocks off one by one, and try each level of noise.",
        guess=_missed(),
    )


def _missed() -> Guess:
    """Which block the shown network misses most at σ = 50."""
    whole = run_of(50).psnr[-1]
    lost = {off: whole - run_of(50, off).psnr[-1] for off in ("A", "SVT", "G")}
    said = ", ".join(f"without {off} it loses {v:.1f} dB" for off, v in lost.items())
    return Guess(
        "One block of the trained network is switched off and nothing is trained again. Which does "
        "it miss most at σ = 50?",
        (*lost,),
        max(lost, key=lambda off: lost[off]),
        f"At σ = 50 {said}. That is what this network relies on, not what a block brings.",
    )


def _band(X: Tensor, b: int) -> NDArray[np.float64]:
    """One band, stretched by the truth's own range."""
    low, high = (float(v) for v in truth()[0, b].aminmax())
    return array(((X[0, b] - low) / (high - low)).clamp(0, 1))


def _error(X: Tensor, b: int) -> NDArray[np.float64]:
    return array((0.5 + MAGNIFIED * (X[0, b] - truth()[0, b])).clamp(0, 1))
