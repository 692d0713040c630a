"""How the chapter trains and measures: the protocol of its tables, shared by every experiment."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dunfold_lib import checks, fetch, records
from dunfold_lib.engine import order
from dunfold_lib.small_target import baselines, data, readers, scores, theory
from dunfold_lib.small_target.data import Frames
from dunfold_lib.small_target.fast import compact, merged
from dunfold_lib.small_target.model import (
    LRPCANet,
    Network,
    RPCANet,
    TwoTerm,
    start_dark,
    total_loss,
)
from dunfold_lib.training import ALONE, Context, Recipe, as_first, fit

TEST_SEED = 2**31  # made-up test scenes come from this seed plus the run's
MADE_UP = {"train": (256, 1), "val": (64, 2)}  # made-up scenes of a part, and their seed
TEST_SCENES = 64
ELSEWHERE = 128  # frames of other scenes that records of the SIRST v1 experiments are measured on
NOISE_SEEDS = 3
SOURCES = ("synthetic", "injected", *readers.SETS)
SIDES = {"irstd1k": 512}  # pixels; the others: 256
BEST = "best.safetensors"
MARGIN = 30  # pixels: further from the border, zeros around an image do not reach
FLAT, FAINT = 1e-6, 1e-4  # deviation of a dead map's output: at most, and of its input's
LOOKED_AT = 8  # frames on which a record counts dead maps
CUTS = tuple(v / 2 for v in range(-8, 41))  # of logits, that validation chooses from
SHARES = tuple(v / 50 for v in range(50))  # of a classical map's largest value, likewise


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
    sigma, density : most Gaussian noise (over 255) and salt and pepper that a crop is given.
    pooled    : soft-IoU of the whole batch's sums instead of the mean over its images.
    bce       : weight of the binary cross entropy.  dark : ``model.start_dark``; both against the
                plateau at the start.
    every     : steps from one look at the validation part to the next; the best one is kept.
    steps, batch, lr, end, clip, precision, compile : as in ``training.Recipe``.
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
    sigma: float = 0.0
    density: float = 0.0
    pooled: bool = True
    bce: float = 1.0
    dark: float = 4.0
    every: int = 100
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
    kind: type[Network],
    recipe: Training,
    se: str = "BTND",
    carry_noise: bool = True,
    seed: int = 0,
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


def _place(name: str) -> Path | None:
    """Where the data of this name lie, where they are files."""
    inside = readers.SETS | {"injected": readers.BACKGROUNDS}
    return fetch.folder(f"istd/{inside[name]}") if name in inside else None


@fetch.cached(lambda name, which: [_place(name)])
def part(name: str, which: str) -> Frames:
    """The frames to train on ("train"), or to choose the checkpoint on ("val")."""
    if _known(name) not in ("synthetic", "injected"):
        return readers.frames(name, which, SIDES.get(name, 256))
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
    frames = part(recipe.data, "train")
    best = Best(net, recipe, context)
    net.to(memory_format=order(context.device, recipe.width))  # type: ignore[call-overload]
    model = net if recipe.compile or context.device != "cpu" else merged(net)
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
        losses += fit(net, partial(_drawn, frames, phase), loss, phase, here)
    best.take()
    as_first(net, context.device)
    return losses


def _drawn(
    frames: Frames, recipe: Training, batch: int, g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A batch of crops with their noise, and their masks."""
    image, mask = data.crops(frames, batch, recipe.crop, g, recipe.positive)
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


def predicted(net: Network, frames: Frames) -> Tensor:
    """Where a network finds targets, (n, 1, h, w); it is left in the mode it was in."""
    return logits(net, data.images(frames)) > 0


@torch.no_grad()
def logits(net: Network, image: Tensor) -> Tensor:
    """T^K of images (n, 1, h, w) on the network's device; the result on the CPU.

    One by one through ``fast.compact``, or on a GPU, which waits for each launch, in batches.
    """
    learning, device = net.training, net.eps.device
    net.eval()
    run, size = (compact(net), 1) if device.type == "cpu" else (net, 16)
    made = torch.cat([run(x.to(device)).cpu() for x in image.split(size)])
    net.train(learning)
    return made


def measured_on(name: str, seed: int, folder: Path | None = None) -> dict[str, Frames]:
    """Where a method is measured, by the ending of its scores' names.

    A reader's folder; or the test part of a set and, for "sirst", made-up scenes of the seed, which
    are all there is where the data folder lacks SIRST v1.
    """
    side = SIDES.get(name, 256)
    if folder is not None:
        return {"": readers.read_folder(folder, "test", side)}
    found: dict[str, Frames] = {}
    if name != "sirst" or fetch.folder(f"istd/{readers.SETS[name]}"):
        found[""] = readers.frames(name, "test", side)
    if name == "sirst":
        g = torch.Generator().manual_seed(TEST_SEED + seed)
        found["_synthetic"] = data.synthetic(g, TEST_SCENES)
    return found


class Where(NamedTuple):
    """Frames that a method is measured on: those of one size together; what is told of them."""

    frames: tuple[Frames, ...]
    protocol: str = ""  # of a reader's folder
    notes: tuple[str, ...] = ()

    @property
    def masks(self) -> list[Tensor]:
        return [mask for frames in self.frames for mask in frames.mask]

    @property
    def most(self) -> Frames:
        """The frames of the most frequent size."""
        return max(self.frames, key=lambda frames: len(frames.names))


def where(
    name: str, seed: int, folder: Path | None = None, side: int | None = None
) -> dict[str, Where]:
    """``measured_on``, and in a reader's folder the sizes as ``side`` says: 0 leaves them."""
    if folder is None:
        return {ending: Where((frames,)) for ending, frames in measured_on(name, seed).items()}
    wanted = SIDES.get(name, 256) if side is None else side or None
    found = readers.groups(folder, "test", wanted)
    notes = tuple(f"{note}; --side native measures without" for note in found.notes)
    return {"": Where(found.frames, found.said, notes)}


def told(made: dict[str, Any], on: Where, how: str) -> dict[str, Any]:
    """Scores with the protocol and the notes of a reader's folder; our own have theirs already."""
    if not on.protocol:
        return made
    notes = [*on.notes, *made.get("notes", ())]
    return made | {"protocol": f"{on.protocol}; {how}", "notes": notes}


def scores_of(found: Sequence[Tensor], truth: Sequence[Tensor], ending: str) -> dict[str, Any]:
    """``scores.scores``, None for those that do not exist.

    Without a target in any frame there are only false alarms to count; without a pixel of
    background there are none.
    """
    made: dict[str, Any] = dict(scores.scores(found, truth, ending))
    targets = any(bool(mask.any()) for mask in truth)
    background = any(not bool(mask.all()) for mask in truth)
    gone = [k for k in made if not (background if k.startswith("fa_") else targets)]
    return made | dict.fromkeys(gone)


class Activity(NamedTuple):
    """How much a learned map makes of what it is given: deviations over an image's pixels."""

    given: float
    made: float

    @property
    def dead(self) -> bool:
        """Whether what it makes is constant, or 10,000 times flatter than what it was given."""
        return self.made < max(FLAT, FAINT * self.given)


@torch.no_grad()
def activity(net: Network, frames: Frames) -> dict[str, Activity]:
    """``Activity`` of FB1, FT1, …: the largest over the frames, 30 pixels from the border.

    Nearer to the border the zeros around an image make even a constant map vary; in images below 91
    pixels the margin is a third of the side.
    """
    side = min(frames.image.shape[2:])
    rim = min(MARGIN, (side - 1) // 3)
    inside = lambda x: x[..., rim : x.shape[-2] - rim, rim : x.shape[-1] - rim].flatten(1)
    spread = lambda x: float(inside(x.double()).std(1, correction=0).max())
    found: dict[str, Activity] = {}

    def note(name: str, _: Any, given: Any, made: Tensor) -> None:
        found[name] = Activity(spread(given[0]), spread(made))

    hooks = [F.register_forward_hook(partial(note, name)) for name, F in net.maps()]
    learning = net.training
    try:
        net.eval()(data.images(frames).to(net.eps))
    finally:
        net.train(learning)
        for hook in hooks:
            hook.remove()
    return found


@checks.door
def dead_maps(net: Network, frames: Frames) -> list[str]:
    """The names, FT1, FN2, …, of the learned maps that ignore their image: ``Activity.dead``.

    A dead map is a constant: its stage then does without it, and most often nothing wakes it, for
    where every ReLU of a layer is 0 no gradient passes.
    """
    return [name for name, a in activity(net, frames).items() if a.dead]


def measure(
    name: str, net: Network, seed: int, folder: Path | None = None, side: int | None = None
) -> dict[str, Any]:
    """All scores of a network, the area under its ROC, its steps, and what the stages cost.

    side : a reader's frames are resized to side × side; 0: measured at their own sizes; None: as
    the published protocol has it. Our own data have their size.
    """
    net.cpu().eval()
    made: dict[str, Any] = {}
    run = lambda frames: logits(net, data.images(frames))
    on = where(name, seed, folder, side)
    for ending, place in on.items():
        if folder is not None:
            made |= _brought([t for frames in place.frames for t in run(frames)], place)
            continue
        (frames,) = place.frames
        T = run(frames)
        made |= _at("", ending, T > 0, frames)
        made[f"auc{ending}"] = scores.roc(T, frames.mask).area
        made |= _chosen(name, ending, run, CUTS, 0.0, T, frames)
    if folder is None and "iou" in made:
        few = part(name, "train")
        few = few.part(range(min(len(few.names), len(part(name, "val").names))))
        made["iou_train"] = 100 * scores.iou(run(few) > 0, few.mask)
    frames = next(iter(on.values())).most
    dead = dead_maps(net, frames.part(range(min(len(frames.names), LOOKED_AT))))
    made |= {"dead": len(dead), "maps": len([*net.maps()])}
    made |= {"eps": net.eps.tolist()}
    return made | ({"sigma": net.sigma.tolist()} if isinstance(net, LRPCANet) else {})


def _at(cut: str, ending: str, found: Tensor, frames: Frames) -> dict[str, Any]:
    """All scores of masks, and the pixels of each image that the IoU is made of."""
    pixels = scores.counts(found, frames.mask)
    made: dict[str, Any] = scores.scores(found, frames.mask, cut + ending)
    return made | {f"{key}{cut}{ending}": row for key, row in pixels._asdict().items()}


def _chosen(
    name: str,
    ending: str,
    run: Callable[[Frames], Tensor],
    cuts: Sequence[float],
    usual: float,
    score: Tensor,
    frames: Frames,
) -> dict[str, Any]:
    """The scores with the cut that has the highest IoU on the validation part, named …_chosen.

    run : frames to maps.  usual : the cut that nothing chose.  score : the maps of ``frames``.
    """
    val = part("synthetic" if ending else name, "val")
    seen = run(val)
    cut = scores.best_cut(seen, val.mask, cuts)
    on_val = lambda c: 100 * scores.iou(seen > c, val.mask)
    told = {"cut": cut, "iou_val": on_val(usual), "iou_val_chosen": on_val(cut)}
    made = {key + ending: value for key, value in told.items()}
    return made | _at("_chosen", ending, score > cut, frames)


def _brought(T: Sequence[Tensor], place: Where) -> dict[str, Any]:
    """The scores of a reader's frames, which may have several sizes, cut at 0."""
    made = scores_of([t > 0 for t in T], place.masks, "")
    flat = lambda rows: torch.cat([row.flatten() for row in rows])
    truth = flat(place.masks)
    both = bool(truth.any()) and not truth.all()
    made["auc"] = scores.roc(flat(T), truth).area if both else None
    return told(made, place, "a target where the logit is above 0")


def measure_method(
    name: str,
    detector: str,
    net: None,
    seed: int,
    folder: Path | None = None,
    side: int | None = None,
) -> dict[str, Any]:
    """All scores of a detector that learns nothing: its maps cut at half of their largest value.

    And at the share of it that the validation part chooses, as it does for networks.
    side : as in ``measure``. A reader's frame that the detector refuses is named and left out.
    """
    made: dict[str, Any] = {}
    if folder is not None:
        return _brought_method(detector, where(name, seed, folder, side)[""])
    run = partial(shares, baselines.DETECTORS[detector])
    for ending, frames in measured_on(name, seed).items():
        score = run(frames)
        made |= _at("", ending, score > 0.5, frames)
        made |= _chosen(name, ending, run, SHARES, 0.5, score, frames)
    return made


@fetch.cached(lambda seed: [_place("injected")])
def elsewhere(seed: int) -> Frames:
    """Made-up targets in real scenes that no recorded network was trained on, 256×256.

    ``data.inject`` with the test seed plus ``seed``, from all backgrounds of the data folder.
    """
    g = torch.Generator().manual_seed(TEST_SEED + seed)
    return data.inject(g, readers.backgrounds(), ELSEWHERE)


def measure_elsewhere(
    name: str,
    recipe: str,
    usual: float,
    run: Callable[[Frames], Tensor],
    net: None,
    seed: int,
) -> dict[str, Any]:
    """All scores of maps on ``elsewhere``, at the usual cut and at that chosen on SIRST v1.

    name, recipe : the recorded run whose cut is taken; here nothing is chosen.  run : frames to
    maps, cut at ``usual``.
    """
    cuts = records.values(f"small_target/{name}", "cut", recipe)
    if not cuts:
        raise ValueError(f"small_target/{name} has no recorded cut; record it first")
    frames = elsewhere(seed)
    score = run(frames)
    made = _at("", "", score > usual, frames) | {"cut": cuts[0]}
    return made | _at("_chosen", "", score > cuts[0], frames)


def shares(detector: baselines.Detector, frames: Frames) -> Tensor:
    """A detector's maps of frames, each over its largest value: (n, 1, h, w); zeros stay zeros."""
    maps = torch.stack([detector(x[0]) for x in data.images(frames)])
    return (maps / maps.amax((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny))[:, None]


def _brought_method(detector: str, place: Where) -> dict[str, Any]:
    """The scores of a detector on a reader's frames."""
    run = baselines.DETECTORS[detector]
    images = {
        name: (x[0], mask[0])
        for frames in place.frames
        for name, x, mask in zip(frames.names, data.images(frames), frames.mask, strict=True)
    }
    find = lambda pair: (baselines.segment(run(pair[0])), pair[1])
    found, notes = fetch.tried(images, find)
    predicted, truth = ([pair[i] for pair in found.values()] for i in (0, 1))
    made = scores_of(predicted, truth, "") | {"notes": notes}
    return told(made, place, "maps cut at half of their largest value")


def robustness(run: Callable[[Tensor], Tensor], frames: Frames, seed: int = 0) -> dict[str, Any]:
    """IoU in per cent at each level of Gaussian and of salt-and-pepper noise, and the mean of each.

    run : images (n, 1, h, w) to masks.  Means over three draws of the noise; the area under a curve
    is its mean by trapezia over the levels, from 0 to 100.
    """
    made: dict[str, Any] = {}
    clean = data.images(frames)
    for name, levels in (("sigma", data.SIGMAS), ("density", data.DENSITIES)):
        curve = []
        for level in levels:
            draws = range(NOISE_SEEDS if level else 1)
            found = []
            for draw in draws:
                g = torch.Generator().manual_seed(TEST_SEED + NOISE_SEEDS * seed + draw)
                noisy = data.noisy(clean, g, **{name: float(level)})
                found.append(100 * scores.iou(run(noisy), frames.mask))
            curve.append(sum(found) / len(found))
        area = torch.trapezoid(torch.tensor(curve), torch.tensor(levels)) / levels[-1]
        made |= {f"iou_{name}": [round(v, 3) for v in curve], f"area_{name}": float(area)}
    return made


def measure_robust(
    name: str, net: Network, seed: int, folder: Path | None = None, side: int | None = None
) -> dict[str, Any]:
    """``measure``, and how the IoU falls with noise that the images did not have."""
    made = measure(name, net, seed, folder, side)
    ending, place = next(iter(where(name, seed, folder, side).items()))
    found = robustness(lambda x: logits(net, x) > 0, place.most, seed)
    return made | {key + ending: value for key, value in found.items()}


def stage_inputs(net: Network, b: Tensor) -> list[dict[str, Tensor]]:
    """What F_T and F_N of every stage see of images b (batch, 1, h, w)."""
    seen: list[dict[str, Tensor]] = []
    hooks = [
        F.register_forward_pre_hook(partial(_note, seen, name, k))
        for name in ("FT", "FN")
        for k, F in enumerate(getattr(net, name, ()))
    ]
    seen += [{} for _ in range(net.K)]
    try:
        with torch.no_grad():
            net(b)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _note(seen: list[dict[str, Tensor]], name: str, k: int, _: Any, given: Any) -> None:
    seen[k][name] = given[0].detach()


def lipschitz(net: Network, b: Tensor, steps: int = 30) -> dict[str, list[float]]:
    """‖J‖ of F_T and F_N at what each stage sees, the largest quotient of pairs, and step · ‖J‖.

    b : (batch, 1, h, w), at least two images: pairs are neighbours in the batch.
    """
    checks.finite("b", b)
    if len(b) < 2:
        raise ValueError(f"b has {len(b)} image; pairs need two at least")
    made: dict[str, list[float]] = {}
    steps_of = {"FT": net.eps} | ({"FN": net.sigma} if isinstance(net, LRPCANet) else {})
    with torch.no_grad():
        for k, seen in enumerate(stage_inputs(net, b)):
            for name, v in seen.items():
                F = getattr(net, name)[k]
                size = theory.jacobian_norm(F, v[:1], steps)
                gap = float(theory.pairwise(F, v[:-1], v[1:]).max())
                step = float(steps_of[name][k].abs())
                rows = {"jacobian": size, "pairs": gap, "step_jacobian": step * size}
                for key, value in rows.items():
                    made.setdefault(f"{key}_{name}", []).append(round(value, 4))
    return made


def measure_lipschitz(
    name: str, net: Network, seed: int, folder: Path | None = None, side: int | None = None
) -> dict[str, Any]:
    """``measure``, the Lipschitz figure on the first four images, and the ranks of their B^k.

    contractive : 1.0 where every step times its measured constant stays below one, else 0.0.
    """
    made = measure(name, net, seed, folder, side)
    frames = next(iter(where(name, seed, folder, side).values())).most
    b = data.images(frames)[:4]
    found = lipschitz(net, b)
    steps = [v for key, values in found.items() if key.startswith("step") for v in values]
    with torch.no_grad():
        B = [x.B[0, 0] for x in net.states(b[:1])]
    ranks = [round(theory.effective_rank(x), 2) for x in B]
    return made | found | {"contractive": float(max(steps) < 1), "rank_B": ranks}


def epochs(frames: int, batch: int, count: int) -> int:
    """Steps that ``count`` passes over so many frames take: the papers count those."""
    return math.ceil(frames / batch) * count


def thresholds(T: Sequence[Tensor] | Tensor, points: int = 25) -> list[float]:
    """Thresholds for ``detection_curve``: evenly among the logits' extremes, and 0."""
    checks.whole("points", points, 2)
    low, high = (float(f(torch.stack([f(t) for t in T]))) for f in (torch.min, torch.max))
    return sorted({0.0, *torch.linspace(low, high, points).tolist()})
