"""What the laboratory draws of a pair: estimates side by side, and networks stage by stage."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dunfold_lib import show
from dunfold_lib.metrics import psnr
from dunfold_lib.newton_sr import data, experiments, up
from dunfold_lib.newton_sr.baselines import bicubic, glp
from dunfold_lib.newton_sr.downsampling import Pair, degraded
from dunfold_lib.newton_sr.evaluation import Method
from dunfold_lib.newton_sr.model import NewtonSR, Stages, steps
from dunfold_lib.newton_sr.scores import rmse
from dunfold_lib.show import Curves, Frames, line

NAMES = {"guided-tv": "guide-weighted TV", "tv": "plain TV"}


def middle(scene: data.Scene, side: int) -> data.Scene:
    """The middle of a scene, its sides multiples of 16 and at most ``side``."""
    whole = (scene.truth.shape[2], scene.truth.shape[3])
    h, w = (min(side, n // 16 * 16) for n in whole)
    top, left = ((n - m) // 2 for n, m in zip(whole, (h, w), strict=True))
    return data.Scene(*(x[..., top : top + h, left : left + w] for x in scene))


def measured(scene: data.Scene, ratio: int, side: int) -> tuple[Pair, Tensor]:
    """(measurement, truth) of a scene's middle."""
    truth, Y = middle(scene, side)
    return degraded(truth, Y, ratio), truth


def baselines(ratio: int, bands: bool, few: bool = False) -> dict[str, Method]:
    """What learns nothing, by name; few: TV of five steps."""
    if bands:
        return {"bicubic": bicubic, "GLP": glp}
    found = experiments.methods(ratio)
    five = partial(partial, K=5)  # of a method that is a partial itself
    short = {n: five(f) for n, f in found.items() if "tv" in n and few}
    return {NAMES.get(n, n): f for n, f in (found | short).items()}


@torch.no_grad()
def applied(net: nn.Module, Z: Tensor, Y: Tensor) -> Tensor:
    """A network's estimate, as a method gives it."""
    estimate: Tensor = net(Pair(Z, Y))
    return estimate


def seen(x: Tensor, like: Tensor | None = None) -> Any:
    """An image for the eye: depth, or three of its bands, by the largest values of ``like``."""
    like, C = x if like is None else like, x.shape[1]
    chosen = [C - 1, C // 2, 0] if C > 1 else [0]
    top = like[0, chosen].flatten().quantile(0.99) if C > 1 else like.max()
    shown = (x[0, chosen] / top.clamp(min=1e-6)).clamp(0, 1)
    return show.array(shown[0] if C == 1 else shown.permute(1, 2, 0))


def score(x: Tensor, truth: Tensor) -> str:
    """RMSE of depth, PSNR in dB of several bands."""
    return f"{rmse(x, truth):.2f}" if truth.shape[1] == 1 else f"{psnr(x, truth):.2f} dB"


def side_by_side(b: Pair, truth: Tensor, found: Mapping[str, Method], alt: str) -> Frames:
    """Truth, guide and every estimate, with its score."""
    estimates = {label: run(*b) for label, run in found.items()}
    captions = [f"{label}: {score(x, truth)}" for label, x in estimates.items()]
    pictures = (seen(truth), seen(b.Y), *(seen(x, truth) for x in estimates.values()))
    return Frames(pictures, ("truth", "guide", *captions), alt)


def with_cg(net: Stages, cg: int) -> Stages:
    """A NewtonSR with other steps of conjugate gradients (0: as it was trained)."""
    if not cg or not isinstance(net, NewtonSR):
        return net
    made = deepcopy(net)
    made.cg = cg
    return made


@torch.no_grad()
def stage_curves(
    nets: Mapping[str, nn.Module], b: Pair, truth: Tensor, cg: int, alt: str
) -> tuple[Curves, ...]:
    """RMSE after each stage, and ‖Vd + F‖ / ‖F‖ of each; PlainSR, which has no stages, is left
    out."""
    errors, solved = [], []
    for i, (label, net) in enumerate(nets.items()):
        if not isinstance(net, Stages):
            continue
        run = with_cg(net, cg)
        rmses = [rmse(U, truth) for U in run.iterates(b)]
        relative = [float(s.relative.mean()) for s in steps(run, b)]
        errors.append(line(range(net.K + 1), rmses, label, i, "path"))
        solved.append(line(range(1, net.K + 1), relative, label, i, "path"))
    if not errors:
        raise ValueError("PlainSR has no stages; train another network")
    left, right = f"RMSE after each stage, {alt}", f"Residual of each stage, {alt}"
    return (
        Curves(tuple(errors), "stage", "RMSE, 0 … 255", left),
        Curves(tuple(solved), "stage", "‖Vd + F‖ / ‖F‖", right, logy=True),
    )


@torch.no_grad()
def trail(net: Any, b: Pair) -> list[Tensor]:
    """The estimates after stages 0, …, K; of PlainSR before and after."""
    return list(net.iterates(b)) if isinstance(net, Stages) else [up(b.Z, net.ratio), net(b)]


def stage_view(images: Sequence[Tensor], stage: int, b: Pair, truth: Tensor, alt: str) -> Frames:
    """Truth, guide, the estimate after a stage, and eight times its error."""
    U = images[stage]
    error = show.array(8 * (U - truth).abs().mean(1)[0])
    captions = "truth", "guide", f"stage {stage}: {score(U, truth)}", "8 |error|"
    return Frames((seen(truth), seen(b.Y), seen(U, truth), error), captions, alt)


def stages_of(scores: Mapping[str, Any]) -> tuple[Curves, ...]:
    """The curves stage by stage of a run's scores."""
    curves = {n[len("stages") :].strip("_"): v for n, v in scores.items() if n.startswith("stages")}
    lines = tuple(line(range(len(v)), v, n, i, "path") for i, (n, v) in enumerate(curves.items()))
    title = "RMSE after each stage, first scene of each set"
    return (Curves(lines, "stage", "RMSE, 0 … 255", title, "Stage by stage"),) if lines else ()
