"""How the chapter measures: its test sets, and the scores of networks and of methods on them."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dunfold_lib import conformal, experiment, fetch, records
from dunfold_lib.small_target import baselines, data, readers, scores, theory
from dunfold_lib.small_target.data import Frames
from dunfold_lib.small_target.fast import logits
from dunfold_lib.small_target.maps import dead_maps, lipschitz
from dunfold_lib.small_target.model import LRPCANet, Network
from dunfold_lib.small_target.scores import scores_of
from dunfold_lib.small_target.training import SIDES, files_of, part

TEST_SEED = 2**31  # made-up test scenes come from this seed plus the run's
TEST_SCENES = 64
ELSEWHERE = 128  # frames of other scenes that records of the SIRST v1 experiments are measured on
NOISE_SEEDS = 3
CALIBRATED = 32  # frames that a temperature is chosen on, and as many that it is tested on
LOOKED_AT = 8  # frames on which a record counts dead maps


class Judged(NamedTuple):
    """A recorded run of SIRST v1 as a detector: frames to maps, cut at ``usual`` or at its own."""

    name: str
    recipe: str
    usual: float
    run: Callable[[Frames], Tensor]


class Cuts(NamedTuple):
    """Where maps are cut: as nothing chose it, and what validation chooses from."""

    usual: float
    tried: tuple[float, ...]


LOGITS = Cuts(0.0, tuple(v / 2 for v in range(-8, 41)))
SHARES = Cuts(0.5, tuple(v / 50 for v in range(50)))  # of a classical map's largest value


def measured_on(name: str, seed: int) -> dict[str, Frames]:
    """Where a method is measured, by the ending of its scores' names.

    The test part of a set and, for "sirst", made-up scenes of the seed, which are all there is
    where the data folder lacks SIRST v1.
    """
    found: dict[str, Frames] = {}
    if name != "sirst" or fetch.folder(f"istd/{readers.SETS[name]}"):
        found[""] = readers.frames(name, "test", SIDES.get(name, 256))
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
    """``measured_on``; or a reader's folder, its sizes as ``side`` says: 0 leaves them."""
    if folder is None:
        return {ending: Where((frames,)) for ending, frames in measured_on(name, seed).items()}
    wanted = SIDES.get(name, 256) if side is None else side or None
    found = readers.groups(folder, "test", wanted)
    notes = tuple(f"{note}; --side native measures without" for note in found.notes)
    return {"": Where(found.frames, found.said, notes)}


def with_protocol(made: dict[str, Any], on: Where, how: str) -> dict[str, Any]:
    """Scores with the protocol and the notes of a reader's folder; our own have theirs already."""
    if not on.protocol:
        return made
    notes = [*on.notes, *made.get("notes", ())]
    return made | {"protocol": f"{on.protocol}; {how}", "notes": notes}


def measure(
    name: str, net: Network, seed: int, folder: Path | None = None, side: int | None = None
) -> dict[str, Any]:
    """All scores of a network, the area under its ROC, its steps, and what the stages cost.

    iou_straight : against masks that were resized without the protocol's shift.
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
        made |= _chosen(name, ending, run, LOGITS, T, frames)
        if not ending:
            made["iou_straight"] = 100 * scores.iou(T > 0, straight(name, "test"))
    if folder is None and "iou" in made:
        few = part(name, "train")
        few = few.part(range(min(len(few.names), len(part(name, "val").names))))
        made["iou_train"] = 100 * scores.iou(run(few) > 0, few.mask)
    frames = next(iter(on.values())).most
    dead = dead_maps(net, frames.part(range(min(len(frames.names), LOOKED_AT))))
    made |= {"dead": len(dead), "maps": len([*net.maps()]), "eps": net.eps.tolist()}
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
    cuts: Cuts,
    score: Tensor,
    frames: Frames,
) -> dict[str, Any]:
    """The scores with the cut that has the highest IoU on the validation part, named …_chosen.

    run : frames to maps.  score : the maps of ``frames``.
    """
    val = part("synthetic" if ending else name, "val")
    seen = run(val)
    cut = scores.best_cut(seen, val.mask, cuts.tried)
    on_val = lambda c: 100 * scores.iou(seen > c, val.mask)
    told = {"cut": cut, "iou_val": on_val(cuts.usual), "iou_val_chosen": on_val(cut)}
    made = {key + ending: value for key, value in told.items()}
    return made | _at("_chosen", ending, score > cut, frames)


def _brought(T: Sequence[Tensor], place: Where) -> dict[str, Any]:
    """The scores of a reader's frames, which may have several sizes, cut at 0."""
    made = scores_of([t > 0 for t in T], place.masks, "")
    flat = lambda rows: torch.cat([row.flatten() for row in rows])
    truth = flat(place.masks)
    both = bool(truth.any()) and not truth.all()
    made["auc"] = scores.roc(flat(T), truth).area if both else None
    return with_protocol(made, place, "a target where the logit is above 0")


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
        made |= _chosen(name, ending, run, SHARES, score, frames)
    return made


@fetch.cached(lambda seed, matched=False: [files_of("injected")])
def elsewhere(seed: int, matched: bool = False) -> Frames:
    """Made-up targets in real scenes that no recorded network was trained on, 256×256.

    ``data.inject`` with the test seed plus ``seed``, from all backgrounds of the data folder.
    """
    g = torch.Generator().manual_seed(TEST_SEED + seed)
    return data.inject(g, readers.backgrounds(), ELSEWHERE, matched=matched)


def matched(seed: int) -> Frames:
    """``elsewhere`` in equal crops, with targets of SIRST v1's areas and contrasts."""
    return elsewhere(seed, True)


@fetch.cached(lambda seed: [files_of("sirst")])
def rebuilt(seed: int) -> Frames:
    """``readers.augmented``: crops like SIRST-Aug's of SIRST v1's test part, the test seed plus
    ``seed``."""
    g = torch.Generator().manual_seed(TEST_SEED + seed)
    return readers.augmented(fetch.required(f"istd/{readers.SETS['sirst']}"), "test", g)


PLACES = {"elsewhere": elsewhere, "matched": matched, "rebuilt": rebuilt}  # by a seed


def measure_elsewhere(place: str, by: Judged, net: None, seed: int) -> dict[str, Any]:
    """All scores of a recorded run on one of PLACES, at the usual cut and at that chosen on SIRST
    v1: nothing is trained or chosen here."""
    cuts = records.values(f"small_target/{by.name}", "cut", by.recipe)
    if not cuts:
        raise ValueError(f"small_target/{by.name} has no recorded cut; record it first")
    frames = PLACES[place](seed)
    score = by.run(frames)
    made = _at("", "", score > by.usual, frames) | {"cut": cuts[0]}
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
    return with_protocol(made, place, "maps cut at half of their largest value")


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
            found = []
            for draw in range(NOISE_SEEDS if level else 1):
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


def pixels(name: str, end: str = "", recipe: str = "") -> scores.Counts:
    """Pixels of the targets, frame by frame, of the first recorded run of an experiment."""
    first: Any = lambda key: records.values(f"small_target/{name}", key + end, recipe)[0]
    return scores.Counts(*map(first, scores.Counts._fields))


def measure_calibration(recipe: str, net: None, seed: int) -> dict[str, Any]:
    """Calibration of a recorded L-RPCANet on made-up scenes, before and after scaling.

    T is chosen on the made-up validation scenes.  ece, entropy : over all pixels; ece_found : over
    those with p > ½, the same before and after.  said, found : the bins of all pixels.
    """
    detector = experiment.load("small_target/lrpcanet-sirst", recipe, 0)
    val = part("synthetic", "val").part(range(CALIBRATED))
    test = data.synthetic(torch.Generator().manual_seed(TEST_SEED + seed), CALIBRATED)
    T = conformal.temperature(logits(detector, data.images(val)), val.mask)
    raw = logits(detector, data.images(test))
    made: dict[str, Any] = {"temperature": T}
    for ending, v in (("", raw), ("_scaled", raw / T)):
        inside = raw > 0
        bins = conformal.reliability(v[inside].sigmoid(), test.mask[inside], 5)
        made[f"ece_found{ending}"] = bins.ece
        made[f"entropy{ending}"] = conformal.cross_entropy(v, test.mask)
        every = conformal.reliability(v.sigmoid(), test.mask)
        made[f"ece{ending}"] = every.ece
        made |= {f"said{ending}": every.said.tolist(), f"found{ending}": every.found.tolist()}
    return made


def measure_shift(net: None, seed: int) -> dict[str, Any]:
    """IoU of SIRST v1's masks, resized without the shift of ⌊·⌋, as an answer to the protocol's."""
    ends = {"test": "", "val": "_val", "train": "_train"}
    masks = lambda which: (straight("sirst", which), readers.frames("sirst", which).mask)
    return {f"iou{ends[p]}": 100 * scores.iou(*masks(p)) for p in readers.PARTS}


def straight(name: str, which: str) -> Tensor:
    """The masks of a part of a set, resized by the pixel in the middle: not shifted."""
    return readers.frames(name, which, SIDES.get(name, 256), masks="nearest-exact").mask
