"""How the chapter measures: its test sets, and the scores of networks and of methods on them."""

from collections.abc import Callable, Mapping
from itertools import islice
from math import degrees
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import fetch, metrics
from dunfold_lib.newton_sr import data, readers
from dunfold_lib.newton_sr.data import Scene
from dunfold_lib.newton_sr.downsampling import Pair, degraded
from dunfold_lib.newton_sr.jacobians import L1, Groups, Penalty, orders
from dunfold_lib.newton_sr.lasso import Lasso, admm, fista, history, ista
from dunfold_lib.newton_sr.model import PlainSR, steps
from dunfold_lib.newton_sr.scores import rmse
from dunfold_lib.newton_sr.ssnal import ssnal
from dunfold_lib.newton_sr.training import CHANNELS, SPLIT, Network, every_other, known, whole_scene

TEST_SEED = 2**31  # made-up test scenes come from this seed plus the run's
TEST_SCENES = 4  # likewise
SCORED = (
    "×{}, Keys antialiased downsampling without noise; RMSE of depth in 0 … 255, without 6 pixels "
    "at the border; PSNR in dB, SAM in degrees, ERGAS of several bands; means over scenes"
)
LASSO_SHARE = 0.02  # λ/λ_max of the lasso table
GAPS, LIMIT = (1e-6, 1e-8), 5000  # KKT residuals that are waited for, and for how many steps
Method = Callable[[Tensor, Tensor], Tensor]  # (Z, Y) -> estimate


def measured_on(name: str, seed: int, folder: Path | None = None) -> dict[str, dict[str, Scene]]:
    """Where a method is measured, by the ending of its scores' names.

    A reader's folder; or what the data are measured on: made-up scenes of the seed, the
    wheel's motorcycle, and art and moebius where the data folder has them.
    """
    if folder is not None:
        return {"": readers.read_folder(folder, CHANNELS[known(name)][1])}
    if known(name) in SPLIT:
        return {"": {name: Scene(*(x[:, :, SPLIT[name] :] for x in whole_scene(name)))}}
    if name == "cave":
        return {"": every_other(1)}
    if name == "nyu":
        return {"_nyu": readers.nyu(data.required("nyu"), "test")}
    g = torch.Generator().manual_seed(TEST_SEED + seed)
    if name == "fusion":
        return {"": {str(i): data.fusion(g) for i in range(TEST_SCENES)}}
    found = {"_planes": {str(i): data.planes(g) for i in range(TEST_SCENES)}}
    found["_motorcycle"] = {"motorcycle": data.motorcycle()}
    if data.data_folder("middlebury"):
        found |= {f"_{n}": {n: s} for n, s in data.middlebury("test").items()}
    return found


def mean_scores(
    run: Method, scenes: Mapping[str, Scene], ratio: int, ending: str
) -> dict[str, Any]:
    """Means over scenes: RMSE of depth; PSNR, SAM in degrees and ERGAS of several bands.

    A scene of a reader's folder that has no score is left out and named in ``notes``; ``protocol``
    says what was measured.
    """

    def score(scene: Scene) -> dict[str, float]:
        truth, Y = data.cropped(scene, ratio)
        estimate = run(*degraded(truth, Y, ratio))
        if truth.shape[1] == 1:
            return {"rmse": rmse(estimate, truth)}
        found = {"psnr": metrics.psnr(estimate, truth)}
        found["sam"] = degrees(metrics.sam(estimate, truth))
        return found | {"ergas": metrics.ergas(estimate, truth, ratio)}

    brought = scenes if isinstance(scenes, fetch.Brought) else None
    each, notes = fetch.tried(scenes, score, brought is not None)
    names = next(iter(each.values()))
    if any(found.keys() != names.keys() for found in each.values()):
        raise ValueError("some scenes have one band and some several; measure them apart")
    made: dict[str, Any] = {
        name + ending: sum(found[name] for found in each.values()) / len(each) for name in names
    }
    if brought is None:
        return made
    protocol = f"{brought.said}; {SCORED.format(ratio)}"
    return made | {"protocol": protocol, "notes": notes}


@torch.no_grad()
def measure(name: str, net: Network, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """Scores of a network, after each of its stages, and how well a stage solves its system."""
    net.cpu().eval()
    made: dict[str, Any] = {}
    for ending, scenes in measured_on(name, seed, folder).items():
        made |= mean_scores(lambda Z, Y: net(Pair(Z, Y)), scenes, net.ratio, ending)
        if isinstance(net, PlainSR):
            continue
        left_out = {note.split(" is left out")[0] for note in made.get("notes", ())}
        first = next(scene for name, scene in scenes.items() if name not in left_out)
        truth, Y = data.cropped(first, net.ratio)
        b = degraded(truth, Y, net.ratio)
        made[f"stages{ending}"] = [round(rmse(U, truth), 4) for U in net.iterates(b)]
        made[f"solved{ending}"] = [round(float(s.relative.mean()), 6) for s in steps(net, b)]
    return made


@torch.no_grad()
def measure_method(
    name: str, run: Method, ratio: int, net: None, seed: int, folder: Path | None = None
) -> dict[str, Any]:
    """Scores of a method that learns nothing."""
    made: dict[str, Any] = {}
    for ending, scenes in measured_on(name, seed, folder).items():
        made |= mean_scores(run, scenes, ratio, ending)
    return made


def lasso_problem(condition: float, seed: int, group: int = 1) -> Lasso:
    """One of the chapter's problems: λ = 0.02 λ_max, 300 × 1200; groups of 4: 200 × 800."""
    g = torch.Generator().manual_seed(seed)
    m, n, p = (300, 1200, L1()) if group == 1 else (200, 800, Groups(group))
    A, b, _ = data.ill_conditioned(g, condition, m, n, 40, group)
    c = (A.T @ b).unflatten(0, (-1, group)).norm(dim=1)
    penalty: Penalty = p
    return Lasso(A, b, LASSO_SHARE * float(c.max()), penalty)


def measure_lasso(condition: float, group: int, net: None, seed: int) -> dict[str, Any]:
    """Counts: SSNAL's outer, Newton and CG steps to KKT 1e-12; first-order steps to each of GAPS.

    A method that does not get there in LIMIT steps has LIMIT + 1.
    """
    problem = lasso_problem(condition, seed, group)
    found = ssnal(problem)
    made: dict[str, Any] = {"newton": float(sum(found.newton)), "outer": float(len(found.kkt))}
    made |= {"cg": float(sum(found.cg)), "kkt": found.kkt[-1]}
    exact = ssnal(problem, inner=1e-12)
    made["residuals"] = exact.residuals[0]
    made["orders"] = [round(p, 3) for p in orders(exact.residuals[0])]
    for name, method in {"ista": ista, "fista": fista, "admm": admm}.items():
        kkt = history(problem, islice(method(problem), LIMIT), LIMIT, min(GAPS))
        for gap in GAPS:
            reached = next((k + 1 for k, v in enumerate(kkt) if v <= gap), LIMIT + 1)
            made[f"{name}_{gap:.0e}"] = float(reached)
    return made
