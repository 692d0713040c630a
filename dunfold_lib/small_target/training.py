"""How the chapter trains: its recipe, its networks by it, and what they learn from."""

import json
import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dunfold_lib import checks, fetch, records
from dunfold_lib.engine import order
from dunfold_lib.processes import as_first
from dunfold_lib.small_target import data, readers, scores
from dunfold_lib.small_target.data import Frames
from dunfold_lib.small_target.fast import merged, predicted, replaced
from dunfold_lib.small_target.model import LRPCANet, Network, RPCANet, TwoTerm, total_loss
from dunfold_lib.small_target.weights import start_dark
from dunfold_lib.training import ALONE, Context, Recipe, begin, fit

MADE_UP = {"train": (256, 1), "val": (64, 2)}  # made-up scenes of a part, and their seed
SOURCES = ("synthetic", "injected", *readers.SETS)
SIDES = {"irstd1k": 512}  # pixels; the others: 256
BEST = "best.safetensors"


@dataclass(frozen=True, kw_only=True)
class Training(Recipe):
    """How to train one network; its size is part of the recipe.

    data      : "synthetic" (made up), "injected" (made-up targets in real scenes), or a set of the
                data folder: "sirst", "nudt", "irstd1k", "sirst-aug".
    stages, width, neck, noise_layers, merge : K, c, b, n_noise, and d (0: c) of the network.
    awake     : its fresh channels in pairs, ``Learned.awake``; if not Xavier's alone.
    crop      : side of a training crop in pixels.  positive : share of crops around a target.
    phases    : "" or several trainings in turn, "crop:batch:share:rate …", each of this share of
                the steps; a rate counts in ``lr`` and falls to the next phase's, the last one's to
                ``end`` of itself. Small crops are cheap steps; whole frames teach false alarms.
    symmetries : what one of the square's eight acts on: a "crop", or the "image" as it is stored,
                before it is resized, so that the masks of training have the shift of the test's
                (``readers.read_folder``). Made-up frames are never resized: their crops are turned.
    sigma, density : most Gaussian noise (over 255) and salt and pepper that a crop is given.
    pooled    : soft-IoU of the whole batch's sums instead of the mean over its images.
    bce       : weight of the binary cross entropy.  dark : ``model.start_dark``; both against the
                plateau at the start.
    every     : steps from one look at the validation part to the next; the best one is kept.
    begin     : "", or another recipe of the experiment: it begins with the weights which that one
                gave from the same seed.
    steps, batch, lr, end, clip, precision, cuda_graph : as in ``training.Recipe``.
    compile   : as there, but map by map: those of all stages share what was compiled for one.
    """

    data: str = "synthetic"
    stages: int = 3
    width: int = 8
    neck: int = 4
    noise_layers: int = 6
    merge: int = 0
    awake: bool = True
    crop: int = 128
    positive: float = 0.75
    phases: str = ""
    symmetries: str = "crop"
    sigma: float = 0.0
    density: float = 0.0
    pooled: bool = True
    bce: float = 1.0
    dark: float = 4.0
    every: int = 100
    begin: str = ""
    steps: int = 1000
    batch: int = 8
    lr: float = 3e-3
    end: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        _known(self.data)
        checks.whole("crop", self.crop, 1)
        checks.whole("every", self.every, 1)
        checks.number("positive", self.positive, 0, 1)
        self.in_turn()
        checks.number("sigma", self.sigma, 0)
        checks.number("density", self.density, 0, 1)
        checks.number("bce", self.bce, 0)
        checks.number("dark", self.dark, 0)
        checks.one_of("awake", self.awake, (True, False))
        checks.one_of("symmetries", self.symmetries, ("crop", "image"))

    def in_turn(self) -> list["Training"]:
        """The recipe of each phase; the recipe itself where it has none."""
        if not self.phases:
            return [self]
        try:
            parts = [_phase(text) for text in self.phases.split()]
        except ValueError:
            says = "it must be 'crop:batch:share:rate …', as in '64:8:0.6:1 256:4:0.4:0.5'"
            raise ValueError(f"phases is {self.phases!r}; {says}") from None
        ends = [round(self.steps * sum(p.share for p in parts[: i + 1])) for i in range(len(parts))]
        if not math.isclose(sum(p.share for p in parts), 1, abs_tol=1e-6):
            raise ValueError(f"phases is {self.phases!r}; its shares must add up to 1")
        falls = [v.rate / u.rate for u, v in pairwise(parts)] + [self.end]
        steps = [b - a for a, b in pairwise([0, *ends])]
        return [
            replace(
                self, phases="", crop=p.crop, batch=p.batch, lr=self.lr * p.rate, end=fall, steps=n
            )
            for p, fall, n in zip(parts, falls, steps, strict=True)
        ]


class _Phase(NamedTuple):
    crop: int
    batch: int
    share: float
    rate: float


def _phase(text: str) -> _Phase:
    crop, batch, share, rate = text.split(":")
    return _Phase(int(crop), int(batch), float(share), float(rate))


def _known(name: str) -> str:
    checks.one_of("data", name, SOURCES)
    return name


def build(
    kind: type[Network], recipe: Training, se: str = "BTND", carry_noise: bool = True, seed: int = 0
) -> Network:
    """A fresh network of a recipe's size."""
    r = recipe
    if kind is RPCANet:
        net: Network = RPCANet(r.stages, r.width, seed, r.awake)
    elif kind is TwoTerm:
        net = TwoTerm(r.stages, r.width, r.neck, se.replace("N", ""), r.merge, seed, r.awake)
    else:
        sizes = (r.stages, r.width, r.neck, r.noise_layers)
        net = LRPCANet(*sizes, se, carry_noise, r.merge, seed, r.awake)
    start_dark(net, r.dark)
    return net


def files_of(name: str) -> Path | None:
    """Where the data of this name lie, where they are files."""
    inside = readers.SETS | {"injected": readers.BACKGROUNDS}
    return fetch.folder(f"istd/{inside[name]}") if name in inside else None


@fetch.cached(lambda name, *_: [files_of(name)])
def part(name: str, which: str, symmetries: bool = False) -> Frames:
    """The frames to train on ("train"), or to choose the checkpoint on ("val").

    symmetries : those of a set's files as in ``readers.read_folder``.
    """
    if _known(name) in readers.SETS:
        return readers.frames(name, which, SIDES.get(name, 256), symmetries)
    count, seed = MADE_UP[which]
    g = torch.Generator().manual_seed(seed)
    if name == "synthetic":
        return data.synthetic(g, count)
    scenes = readers.backgrounds()
    cut = len(scenes) * 4 // 5  # the last fifth of the scenes is for validation
    return data.inject(g, scenes[:cut] if which == "train" else scenes[cut:], count)


def train(net: Network, recipe: Training, context: Context = ALONE) -> list[float]:
    """Train a network by a recipe; the loss of every step.

    The network ends with the weights that found most on the validation part, never on the test.
    """
    files = recipe.symmetries == "image" and recipe.data in readers.SETS
    frames = part(recipe.data, "train", files)
    if recipe.begin:
        begin(net, f"{context.experiment}/{recipe.begin}-s{context.seed}", context)
    best = Best(net, recipe, context)
    net.to(memory_format=order(context.device, recipe.width))  # type: ignore[call-overload]
    model = merged(net) if context.device == "cpu" and not recipe.compile else net
    if recipe.compile:
        model = replaced(net, partial(torch.compile, dynamic=False))
    losses: list[float] = []

    def loss(_: nn.Module, b: Tensor, truth: Tensor) -> Tensor:
        return total_loss(model, b, truth, pooled=recipe.pooled, bce=recipe.bce)

    def watch(step: int, value: float) -> None:
        best.look(step + 1)
        if context.watch:
            context.watch(step, value)

    phases, looking = recipe.in_turn(), replace(context, watch=watch)
    for i, phase in enumerate(phases):
        name = f"phase-{i + 1}" if len(phases) > 1 else ""
        here = looking.part(recipe, name, 1000 * i + context.seed, len(losses))
        drawn = partial(_drawn, frames, phase, not files)
        losses += fit(net, drawn, loss, replace(phase, compile=False), here)
    best.take()
    as_first(net, context.device)
    return losses


def _drawn(
    frames: Frames, recipe: Training, turns: bool, batch: int, g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A batch of crops, turned or not, with their noise, and their masks."""
    image, mask = data.crops(frames, batch, recipe.crop, g, recipe.positive, turns)
    return _disturbed(image, recipe, g), mask


def _disturbed(image: Tensor, recipe: Training, g: torch.Generator) -> Tensor:
    """Crops with noise of a random strength each, up to the recipe's; half stay clean."""
    if not recipe.sigma and not recipe.density:
        return image
    rows = []
    for row in image.split(1):
        share, kind = torch.rand((), generator=g), int(torch.randint(4, (), generator=g))
        sigma = recipe.sigma * float(share) if kind == 0 else 0.0
        density = recipe.density * float(share) if kind == 1 else 0.0
        rows.append(data.noisy(row, g, sigma, density))
    return torch.cat(rows)


class Best:
    """Keeps the weights with the highest IoU on the validation part, in the run's folder too."""

    def __init__(self, net: Network, recipe: Training, context: Context):
        self.net, self.recipe, self.validated = net, recipe, context.validated
        self.origin = context.of(recipe)
        self.path = context.folder / BEST if context.folder else None
        self.score, self.step, self.weights = -1.0, 0, dict[str, Tensor]()
        if self.path and self.path.exists():
            self._resume(self.path)

    def look(self, step: int) -> None:
        """Measure after this many steps where it is time to."""
        if step % self.recipe.every and step != self.recipe.steps:
            return
        frames = part(self.recipe.data, "val")
        score = scores.iou(predicted(self.net, frames), frames.mask)
        if self.validated:
            self.validated(step, score)
        if score > self.score:
            kept = {k: v.detach().cpu().clone() for k, v in self.net.state_dict().items()}
            self.score, self.step, self.weights = score, step, kept
            self._save()

    def take(self) -> None:
        """Give the network the best weights."""
        if self.weights:
            self.net.load_state_dict(self.weights)
        self.net.eval()

    def _save(self) -> None:
        if self.path:
            best = json.dumps({"iou": self.score, "step": self.step})
            about = {"best": best, "origin": self.origin.text()}
            records.write_bytes(self.path, records.tensor_bytes(self.weights, about))

    def _resume(self, path: Path) -> None:
        try:
            self.weights, about = records.tensors_of(path, path.read_bytes())
            told = json.loads(about["best"])
            self.score, self.step = float(told["iou"]), int(told["step"])
        except (OSError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{path}: holds no best weights ({reason}); remove it") from None
        self.origin.check(path, about.get("origin"))


def epochs(frames: int, batch: int, count: int) -> int:
    """Steps that ``count`` passes over so many frames take: the papers count those."""
    return math.ceil(frames / batch) * count
