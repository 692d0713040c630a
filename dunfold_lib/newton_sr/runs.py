"""How the chapter trains and measures: the protocol of its tables, shared by every experiment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import degrees
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import checks, cubes, fetch, metrics
from dunfold_lib.newton_sr import data, readers
from dunfold_lib.newton_sr.data import Scene
from dunfold_lib.newton_sr.downsampling import Downsample
from dunfold_lib.newton_sr.jacobians import L1, Groups, Penalty, clarke, majorised, orders
from dunfold_lib.newton_sr.model import NewtonSR, Pair, PlainSR, Stages, charbonnier, steps
from dunfold_lib.newton_sr.ssnal import Lasso, admm, fista, history, ista, ssnal
from dunfold_lib.training import ALONE, Context, Recipe, fit

BORDER = 6  # pixels on every side that no score looks at
TEST_SEED = 2**31  # made-up test scenes come from this seed plus the run's
TRAIN_SCENES, TEST_SCENES = 24, 4  # made-up ones
SPLIT = {"worldview": 192, "indian-pines": 96}  # rows that are trained on; those below: the test
SCORED = (
    "×{}, Keys antialiased downsampling without noise; RMSE of depth in 0 … 255, without 6 pixels "
    "at the border; PSNR in dB, SAM in degrees, ERGAS of several bands; means over scenes"
)
LASSO_SHARE = 0.02  # λ/λ_max of the lasso table
GAPS, LIMIT = (1e-6, 1e-8), 5000  # KKT residuals that are waited for, and for how many steps

Network = Stages | PlainSR
Method = Callable[[Tensor, Tensor], Tensor]  # (Z, Y) -> estimate


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """How to train one network; its size is part of the recipe.

    data      : "planes" (made up), "middlebury" (data folder, with Sintel) or "nyu" (data folder);
                with several bands "fusion" (made up), "indian-pines" (inside tensorly), "worldview"
                or "cave" (data folder).
    stages, cg, filters, width : the network's K, steps of conjugate gradients (Newton only), c, f.
    curvature : "majorised" or "clarke" (Newton only).
    patch     : side of a training patch in pixels, a multiple of the ratio.
    residual, fourier : weights of mean|F(U)| and of the spectra's mean distance in the loss.
    steps, batch, lr, end, clip, precision, compile : as in ``training.Recipe``.
    """

    data: str = "planes"
    stages: int = 3
    cg: int = 4
    filters: int = 8
    width: int = 12
    curvature: str = "majorised"
    patch: int = 40
    residual: float = 0.0
    fourier: float = 0.0
    steps: int = 2400
    batch: int = 6
    lr: float = 4e-3
    end: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        _known(self.data)
        if self.curvature not in CURVATURES:
            allowed = " or ".join(map(repr, CURVATURES))
            raise ValueError(f"curvature is {self.curvature!r}; it must be {allowed}")
        checks.number("residual", self.residual, 0)
        checks.number("fourier", self.fourier, 0)


def build(
    kind: type[Network], ratio: int, recipe: Training, alpha: float = 0.0, seed: int = 0
) -> Network:
    """A fresh network for a ratio and the bands of the recipe's data; α > 0 for those with many."""
    checks.whole("ratio", ratio, 2)
    C, Cy = CHANNELS[_known(recipe.data)]
    if issubclass(kind, PlainSR):
        return kind(ratio, recipe.width, C, Cy, seed)
    net = kind(ratio, recipe.stages, recipe.filters, recipe.width, C, Cy, alpha, seed)
    if isinstance(net, NewtonSR):
        checks.whole("cg", recipe.cg, 1)
        net.cg, net.curvature = recipe.cg, CURVATURES[recipe.curvature]
    return net


CURVATURES = {"majorised": majorised, "clarke": clarke}
CHANNELS = {  # bands of the truth and of the guide
    **dict.fromkeys(("planes", "middlebury", "nyu"), (1, 1)),
    "fusion": (8, 3),
    "worldview": (8, 1),
    "indian-pines": (readers.PINES_BANDS, readers.PINES_GUIDES),
    "cave": (cubes.CAVE_BANDS, 3),
}


def _known(name: str) -> str:
    checks.one_of("data", name, CHANNELS)
    return name


def training_scenes(name: str) -> dict[str, Scene]:
    """The scenes to train on, by name."""
    if _known(name) == "middlebury":
        return data.middlebury("train")
    if name == "nyu":
        return readers.nyu(data.required("nyu"), "train")
    if name == "cave":
        return _every_other(0)
    if name in SPLIT:
        return {name: Scene(*(x[:, :, : SPLIT[name]] for x in _split(name)))}
    g = torch.Generator().manual_seed(0)
    make = data.planes if name == "planes" else data.fusion
    return {str(i): make(g) for i in range(TRAIN_SCENES)}


def _split(name: str) -> Scene:
    """The one scene whose upper rows are trained on."""
    return data.worldview() if name == "worldview" else readers.indian_pines()


def _every_other(first: int) -> dict[str, Scene]:
    """CAVE's cubes: the first, third, … are trained on, those between are the test."""
    cubes = readers.cave(data.required("cave"), CHANNELS["cave"][1])
    return dict([*cubes.items()][first::2])


def measured_on(name: str, seed: int, folder: Path | None = None) -> dict[str, dict[str, Scene]]:
    """Where a method is measured, by the ending of its scores' names.

    A reader's folder; or what the data are measured on: made-up scenes of the seed, the
    wheel's motorcycle, and art and moebius where the data folder has them.
    """
    if folder is not None:
        return {"": readers.read_folder(folder, CHANNELS[_known(name)][1])}
    if _known(name) in SPLIT:
        return {"": {name: Scene(*(x[:, :, SPLIT[name] :] for x in _split(name)))}}
    if name == "cave":
        return {"": _every_other(1)}
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


def degraded(truth: Tensor, Y: Tensor, ratio: int) -> Pair:
    """The measurement of images (batch, C, h, w): Keys down by the ratio, without noise."""
    size = (truth.shape[2], truth.shape[3])
    D = Downsample(size, ratio, truth.shape[1], truth.dtype).to(truth.device)
    return Pair(D.down(truth), Y)


def train(net: Network, recipe: Training, context: Context = ALONE) -> list[float]:
    """Train a network by a recipe; the loss of every step."""
    scenes, ratio = training_scenes(recipe.data), net.ratio

    def sample(batch: int, g: torch.Generator) -> tuple[Pair, Tensor]:
        truth, Y = data.patches(scenes, batch, recipe.patch, g)
        return degraded(truth, Y, ratio), truth

    loss = partial(charbonnier, residual=recipe.residual, fourier=recipe.fourier)
    return fit(net, sample, loss, recipe, context)


def rmse(estimate: Tensor, truth: Tensor) -> float:
    """Root mean square error in units of 0 … 255, without the outer 6 pixels; not clipped."""
    checks.finite("truth", truth)
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    checks.finite("estimate", estimate)
    if estimate.shape != truth.shape or min(truth.shape[-2:]) <= 2 * BORDER:
        given = f"{tuple(estimate.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"estimate and truth have shapes {given}; equal and above 12 pixels only")
    error = (estimate[inner] - truth[inner]).double()
    return float(255 * error.square().mean().sqrt())


def scores(run: Method, scenes: Mapping[str, Scene], ratio: int, ending: str) -> dict[str, Any]:
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
        made |= scores(lambda Z, Y: net(Pair(Z, Y)), scenes, net.ratio, ending)
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
        made |= scores(run, scenes, ratio, ending)
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
