"""The cubes of the laboratory: scenes in noise, and what methods make of them, which is kept."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import show
from dunfold_lib.hyperspectral import data, evaluation, figures_lab, readers, scores
from dunfold_lib.hyperspectral.algorithm import Star, star, star_s
from dunfold_lib.hyperspectral.figures_lab import NOISES, SPARSE, middle
from dunfold_lib.show import Html


class Desk:
    """The scenes that nothing was trained on; of each the middle is looked at.

    side  : its pixels.  few : in tests; twenty bands alone, and tables of the middle, too.
    """

    def __init__(self, side: int, few: bool = False):
        self.side, self.few = side, few
        self.made: dict[tuple[Any, ...], Any] = {}
        g = torch.Generator().manual_seed(evaluation.TEST_SEED)
        made_up = data.synthetic(g, (side, side))
        scenes = {"Indian Pines": data.part("test"), "synthetic": made_up} | readers.extra_scenes()
        self.scenes = {name: self.thinned(cube) for name, cube in scenes.items()}

    def thinned(self, cube: Tensor) -> Tensor:
        """A cube (1, B, H, W), or twenty of its bands."""
        return cube[:, :: max(cube.shape[1] // 20, 1)].contiguous() if self.few else cube

    def once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """What ``make`` gives, made once for a key."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def bands(self, scene: str) -> int:
        """How many bands a scene has."""
        return self.scenes[scene].shape[1]

    def cut(self, scene: str) -> Tensor:
        """The middle of a scene."""
        return middle(self.scenes[scene], self.side)

    def spoilt(self, scene: str, noise: data.Noise) -> Tensor:
        """The middle of a scene in noise of seed 0."""
        return evaluation.noised(self.cut(scene), noise, 0)

    def white(self, scene: str, level: float) -> Tensor:
        """In white noise of this σ, of 255."""
        return self.spoilt(scene, data.Noise(level))

    # The sections of the laboratory

    def look(
        self, scene: str, noise: str, level: float, method: Any, **where: Any
    ) -> tuple[Any, ...]:
        """``figures_lab.look`` at what a method makes of a scene."""
        kind = replace(NOISES[noise], sigma=level)
        Y, sigma = self.spoilt(scene, kind), None if kind.varying else level / 255
        make = lambda: figures_lab.denoised(method, Y, sigma)
        X = self.once(("look", scene, noise, level, method), make)
        cubes = {"truth": self.cut(scene), "noisy": Y, "denoised": X}
        return figures_lab.look(cubes, **where)

    def table(
        self, scene: str, noise: str, score: str, blind: bool, methods: dict[str, Any]
    ) -> Html:
        """A score of methods (None: the noisy cube) for every level or kind of noise."""
        cases: Iterable[Any] = evaluation.LEVELS if noise == "white" else SPARSE
        key = score.lower()

        def cell(method: Any, case: Any) -> str:
            make = lambda: self._scores(scene, case, method, blind)
            made = self.once(("table", scene, case, method, blind), make)
            return figures_lab.FORMS[key].format(made[f"{key}_"])

        rows = [[label, *(cell(m, case) for case in cases)] for label, m in methods.items()]
        head = [f"σ = {case}" if noise == "white" else case for case in cases]
        size = " × ".join(str(n) for n in self.scenes[scene].shape[1:])
        return show.table([score, *head], rows, f"{scene}, {size}, noise of seed 0")

    def _scores(self, scene: str, case: Any, method: Any, blind: bool) -> dict[str, Any]:
        truth = self.cut(scene) if self.few else self.scenes[scene]
        noise = data.NOISES[case] if case in SPARSE else data.Noise(case)
        Y = evaluation.noised(truth, noise, 0)
        sigma = None if blind else noise.sigma / 255
        X = Y if method is None else figures_lab.denoised(method, Y, sigma)
        return scores.scores(X, truth, "")

    def layers(
        self, scene: str, network: Any, level: float, layers: int, sigma: float, **times: float
    ) -> tuple[Any, ...]:
        """A network with other thresholds and another σ, layer by layer."""
        Y = self.white(scene, level)
        changed = figures_lab.scaled(network, **times)
        make = lambda: figures_lab.walk(changed, Y, sigma * level / 255)
        walked = self.once(("layers", scene, network, level, sigma, *times.values()), make)
        alt = f"{type(network).__name__} on {scene}, σ = {level}"
        return figures_lab.layers(walked, layers, Y, self.cut(scene), alt)

    def by_hand(
        self, scene: str, level: float, sweeps: int, beta: float, **weights: Any
    ) -> tuple[Any, ...]:
        """STAR with weights of one's own, sweep by sweep."""
        algorithm = Star(beta=beta if weights["gamma2"] else 0.0, **weights)
        Y = self.white(scene, level)
        make = lambda: figures_lab.swept(algorithm, Y, level / 255, sweeps)
        walked = self.once(("by hand", scene, level, sweeps, beta, *weights.values()), make)
        alt = f"STAR on {scene}, σ = {level}"
        return figures_lab.sweeps(walked, Y, self.cut(scene), alt)

    def sparse(
        self, scene: str, network: Any, level: float, band: int, **shares: float
    ) -> tuple[Any, ...]:
        """What S of a STARNetS takes of impulses, stripes and dead columns."""
        kind = {"impulse": 0.0, "stripes": 0.0, "dead": 0.0} | shares
        Y = self.spoilt(scene, data.Noise(level, False, *kind.values()))
        make = lambda: figures_lab.split(network, Y, level / 255)
        X, S = self.once(("sparse", scene, network, level, *shares.values()), make)
        found = {"noisy": Y, "STAR": star(Y, level / 255), "STAR-S": star_s(Y, level / 255)}
        return figures_lab.sparse_parts(found | {"STARNetS": X}, S, self.cut(scene), band, scene)

    # A reader's cubes

    def own(self, where: str, name: str, side: int, add: float) -> Tensor:
        """The middle of a reader's cube (1, B, H, W), with white noise of σ = ``add``."""

        def make() -> Tensor:
            cube = self.thinned(middle(listed(where)[name](), side))
            return evaluation.noised(cube, data.Noise(add), 0) if add else cube

        cube: Tensor = self.once(("own", where, name, side, add), make)
        return cube

    def blind(
        self, method: Any, cube: tuple[Any, ...], each: bool, stride: int
    ) -> tuple[Tensor, Tensor]:
        """A reader's cube (the arguments of ``own``) without its noise, and σ of every band."""
        make = lambda: figures_lab.blind(method, self.own(*cube), each, stride)
        found: tuple[Tensor, Tensor] = self.once(("blind", method, *cube, each, stride), make)
        return found


def listed(where: str) -> dict[str, Callable[[], Tensor]]:
    """{name: how to read that cube} of a file or folder; of nothing, Indian Pines as recorded."""
    if not where.strip():
        return {"Indian Pines": data.indian_pines}
    at = Path(where.strip()).expanduser()
    if not at.exists():
        raise ValueError(f"{at} is neither a file nor a folder")
    held = readers.read_folder(at) if at.is_dir() else {at.stem: readers.read_cube(at)}
    return {name: lambda cube=cube: cube for name, cube in held.items()}  # type: ignore[misc]


def save(cube: Tensor, target: Path) -> str:
    """Write a cube (1, B, H, W) as .npy of height, width, bands."""
    target.parent.mkdir(exist_ok=True)
    np.save(target, cube[0].permute(1, 2, 0).numpy())
    return f"written: {target}"


def example(folder: Path) -> Path:
    """The folder, with a small cube in it."""
    save(middle(data.part("test"), 24)[:, ::10], folder / "cube.npy")
    return folder
