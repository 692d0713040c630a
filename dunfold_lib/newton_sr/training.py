"""How the chapter trains: its recipe, its networks by it, and what they learn from."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from dunfold_lib import checks, cubes
from dunfold_lib.newton_sr import data, readers
from dunfold_lib.newton_sr.data import Scene
from dunfold_lib.newton_sr.downsampling import Pair, degraded
from dunfold_lib.newton_sr.jacobians import clarke, majorised
from dunfold_lib.newton_sr.model import NewtonSR, PlainSR, Stages, charbonnier
from dunfold_lib.training import ALONE, Context, Recipe, fit

TRAIN_SCENES = 24  # made-up ones
SPLIT = {"worldview": 192, "indian-pines": 96}  # rows that are trained on; those below: the test
Network = Stages | PlainSR


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
        known(self.data)
        checks.one_of("curvature", self.curvature, CURVATURES)
        checks.number("residual", self.residual, 0)
        checks.number("fourier", self.fourier, 0)


def build(
    kind: type[Network], ratio: int, recipe: Training, alpha: float = 0.0, seed: int = 0
) -> Network:
    """A fresh network for a ratio and the bands of the recipe's data; α > 0 for those with many."""
    checks.whole("ratio", ratio, 2)
    C, Cy = CHANNELS[known(recipe.data)]
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


def known(name: str) -> str:
    checks.one_of("data", name, CHANNELS)
    return name


def training_set(name: str) -> dict[str, Scene]:
    """The scenes to train on, by name."""
    if known(name) == "middlebury":
        return data.middlebury("train")
    if name == "nyu":
        return readers.nyu(data.required("nyu"), "train")
    if name == "cave":
        return every_other(0)
    if name in SPLIT:
        return {name: Scene(*(x[:, :, : SPLIT[name]] for x in whole_scene(name)))}
    g = torch.Generator().manual_seed(0)
    make = data.planes if name == "planes" else data.fusion
    return {str(i): make(g) for i in range(TRAIN_SCENES)}


def whole_scene(name: str) -> Scene:
    """The one scene whose upper rows are trained on."""
    return data.worldview() if name == "worldview" else readers.indian_pines()


def every_other(first: int) -> dict[str, Scene]:
    """CAVE's cubes: the first, third, … are trained on, those between are the test."""
    scenes = readers.cave(data.required("cave"), CHANNELS["cave"][1])
    return dict([*scenes.items()][first::2])


def train(net: Network, recipe: Training, context: Context = ALONE) -> list[float]:
    """Train a network by a recipe; the loss of every step."""
    scenes, ratio = training_set(recipe.data), net.ratio

    def sample(batch: int, g: torch.Generator) -> tuple[Pair, Tensor]:
        truth, Y = data.patches(scenes, batch, recipe.patch, g)
        return degraded(truth, Y, ratio), truth

    loss = partial(charbonnier, residual=recipe.residual, fourier=recipe.fourier)
    return fit(net, sample, loss, recipe, context)
