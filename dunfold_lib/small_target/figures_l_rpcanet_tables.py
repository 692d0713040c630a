"""Tables of detections for the chapter on L-RPCANet, as recorded on SIRST v1 and other scenes.

Each function returns what ``show.page`` or ``show.table`` takes, read from
``results/small_target``.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from torch import Tensor

from dunfold_lib import records
from dunfold_lib.show import Frames, array
from dunfold_lib.small_target import data, evaluation, fast, scores
from dunfold_lib.small_target import figures_l_rpcanet as figures
from dunfold_lib.small_target.baselines import DETECTORS
from dunfold_lib.small_target.painting import painted
from dunfold_lib.small_target.published import COLUMNS, PUBLISHED_SIRST
from dunfold_lib.tables import Table, mean, minus_sign, narrow

Run = dict[str, Any]  # a record
Named = tuple[str, str]  # an experiment and its recipe, "" for those without one
RECIPES = {
    "gpu": "the paper's size, trained on SIRST v1",
    "full": "the paper's size, trained on SIRST v1 on a CPU",
    "gpu-short": "the paper's size, trained on SIRST v1 in minutes of a GPU",
    "gpu-long": "the paper's size, trained on SIRST v1 in more minutes of a GPU",
    "gpu-continued": "the paper's size, trained on from there",
    "whole-frames": "the paper's size, trained on with whole frames",
    "aligned": "the paper's size, trained on with images turned before they are resized",
    "cpu-sirst": "narrow (K = 3, c = 8), trained on SIRST v1",
    "cpu": "narrow, trained on made-up scenes",
}
SHORT = {  # of the recipes that more tables than ``recipes`` show
    "gpu": "full",
    "gpu-short": "full, 2,300 steps",
    "gpu-continued": "full, 11,000 steps",
    "aligned": "full, shown the shift",
    "cpu-sirst": "narrow",
    "cpu": "narrow, made-up",
}
SCORES = {
    "iou": "IoU",
    "niou": "nIoU",
    "f1": "F1",
    "pd": "Pd",
    "fa_1e-5": "Fa, 1e-5",
    "pd_3px": "Pd, 3 px",
    "fa_3px_1e-6": "Fa, 3 px, 1e-6",
}
CLASSICAL = {
    "top-hat": "top-hat-sirst",
    "MPCM": "mpcm-sirst",
    "PSTNN": "pstnn-sirst",
    "IPI": "ipi-sirst",
}
NETWORKS = {"RPCANet": "rpcanet-sirst", "L-RPCANet": "lrpcanet-sirst"}
ELSEWHERE = {
    "top-hat": "top-hat-elsewhere",
    "MPCM": "mpcm-elsewhere",
    "PSTNN": "pstnn-elsewhere",
    "IPI": "ipi-elsewhere",
    "RPCANet, narrow": "rpcanet-elsewhere",
    "L-RPCANet, narrow": "lrpcanet-elsewhere",
    "L-RPCANet, narrow, made-up": "lrpcanet-elsewhere-made-up",
    "L-RPCANet, full, 2,300 steps": "lrpcanet-elsewhere-full",
}
MAIN = ("lrpcanet-sirst", "cpu-sirst")
AGAINST = {label: (name, "") for label, name in reversed(CLASSICAL.items())}
AGAINST |= {"RPCANet, narrow": ("rpcanet-sirst", "cpu-sirst")}
SIDE_BY_SIDE = {
    "MPCM": ("mpcm-sirst", ""),
    "PSTNN": ("pstnn-sirst", ""),
    "RPCANet": ("rpcanet-sirst", "cpu-sirst"),
    "L-RPCANet": ("lrpcanet-sirst", "cpu-sirst"),
}


def of(name: str, score: str, recipe: str = "") -> list[Any]:
    """A score of every recorded run of one of the room's experiments."""
    return records.values(f"small_target/{name}", score, recipe)


def one(name: str, score: str, recipe: str = "cpu-sirst") -> Any:
    """A score of the first recorded run."""
    return of(name, score, recipe)[0]


def common(names: Iterable[str], score: str = "iou") -> str:
    """The first recipe by which all of these were recorded; else the one that recorded most."""
    names = list(names)
    return max(RECIPES, key=lambda r: sum(bool(of(n, score, r)) for n in names))


def cell(name: str, score: str, recipe: str = "") -> str:
    """Mean ± half the spread of a score; – where it is not measured."""
    return narrow(of(name, score, recipe)).replace("\u202f±\u202f0.00", "")


def steps() -> Table:
    """Lipschitz constants of F_T and F_N measured from below, and their products with the steps."""
    recipe = common(["lipschitz"])
    labels = ("‖J‖ of F_", "pairs, F_", "")
    named = [
        (label + letter if label else f"{step} ‖J‖", f"{key}_F{letter}")
        for letter, step in (("T", "ε"), ("N", "σ"))
        for label, key in zip(labels, ("jacobian", "pairs", "step_jacobian"), strict=True)
    ]
    rows = [
        [label, *(f"{v:.2f}" for v in found)]
        for label, key in named
        for found in of("lipschitz", key, recipe)[:1]
    ] or [["not measured", ""]]
    head = ["", *(f"stage {k}" for k in range(1, len(rows[0])))]
    return head, rows, f"lipschitz, {RECIPES[recipe]}, seed 0; four SIRST test frames"


def rows_of(ending: str = "") -> dict[str, list[str]]:
    """By method: its ``SCORES`` on the frames that an ending of the scores' names means."""
    rows = {label: [cell(name, s + ending) for s in SCORES] for label, name in CLASSICAL.items()}
    for recipe, told in SHORT.items():
        for label, name in NETWORKS.items():
            if of(name, "iou" + ending, recipe):
                rows[f"{label}, {told}"] = [cell(name, s + ending, recipe) for s in SCORES]
    return rows


def ours() -> Table:
    """All scores on the test frames of SIRST v1, at the usual cuts."""
    known = lambda label: label in ELSEWHERE and of(ELSEWHERE[label], "iou")
    unseen = lambda label: cell(ELSEWHERE[label], "iou") if known(label) else ""
    published = dict(zip(COLUMNS, PUBLISHED_SIRST["RPCANet"], strict=True))
    paper = ["RPCANet, published", *(str(published.get(s, "–")) for s in SCORES), ""]
    return (
        ["86 test frames", *SCORES.values(), "other scenes: IoU"],
        [*([label, *row, unseen(label)] for label, row in rows_of().items()), paper],
        "256×256; IoU, nIoU, F1, Pd in %; logits > 0, classical maps above half of their maximum. "
        "Full: the paper's size; narrow: K = 3, c = 8; made-up: trained on made-up scenes, the "
        "others on SIRST v1; shown the shift: on masks half a pixel to one side, as the test's "
        "lie. Mean ± half the spread over recorded seeds; – : not printed. Other "
        "scenes: made-up targets in scenes of SIRST v2, on the next page",
    )


def made_up() -> Table:
    """All scores on the made-up scenes."""
    rows = [[label, *row] for label, row in rows_of("_synthetic").items()]
    return ["64 made-up scenes", *SCORES.values()], rows, "as above; their masks are not shifted"


def with_interval(name: str, recipe: str = "", end: str = "") -> str:
    """IoU of the first recorded run with its 95 % interval, where the frames were recorded."""
    found = of(name, "iou" + end, recipe)
    if not of(name, "union" + end, recipe):
        return f"{found[0]:.1f}" if found else "–"
    low, high = scores.interval(evaluation.pixels(name, end, recipe))
    return f"{found[0]:.1f} [{low:.0f}, {high:.0f}]"


def gap(first: Named, second: Named, end: str = "_chosen") -> tuple[float, float, float]:
    """IoU of the first minus the second at the chosen cut, and its interval on paired frames."""
    ours, theirs = (evaluation.pixels(name, end, recipe) for name, recipe in (first, second))
    low, high = scores.difference(ours, theirs)
    found = [one(name, "iou" + end, recipe) for name, recipe in (first, second)]
    return found[0] - found[1], low, high


def words(difference: float, low: float, high: float) -> str:
    """A ``gap`` in words: not resolved where its interval holds 0."""
    text = minus_sign(f"{difference:+.1f} [{low:.1f}, {high:.1f}]")
    return text if low > 0 or high < 0 else text + ", not resolved"


def _compared() -> dict[str, Named]:
    """The rows of ``fair`` by their labels."""
    rows = {label: (name, "") for label, name in CLASSICAL.items()}
    rows |= {f"{label}, narrow": (name, "cpu-sirst") for label, name in NETWORKS.items()}
    names = ("gpu-short", "gpu-continued", "aligned", "gpu")
    large = [(r, label, name) for r in names for label, name in NETWORKS.items()]
    rows |= {f"{label}, {SHORT[r]}": (n, r) for r, label, n in large if of(n, "iou_chosen", r)}
    in_pairs = NETWORKS | {"without N": "two-term-sirst"}
    return rows | {
        f"{label}, narrow, in pairs": (name, "sirst-awake")
        for label, name in in_pairs.items()
        if of(name, "iou", "sirst-awake")
    }


def fair() -> Table:
    """Every method at its usual cut and at the one with the highest IoU on validation."""
    first = lambda n, score, r: next((f"{v:.4g}" for v in of(n, score, r)), "–")
    rows = [
        [
            label,
            with_interval(n, r),
            first(n, "fa_1e-5", r),
            first(n, "cut", r),
            with_interval(n, r, "_chosen"),
            first(n, "pd_chosen", r),
            first(n, "fa_1e-5_chosen", r),
        ]
        for label, (n, r) in _compared().items()
    ]
    usual = ["usual cut: IoU", "Fa, 1e-5", "cut"]
    return (
        ["86 test frames", *usual, "chosen cut: IoU", "Pd", "Fa, 1e-5"],
        rows,
        "Usual: logits above 0, classical maps above half of their maximum. Chosen: the cut (a "
        "logit, a share of the maximum) with the highest IoU on validation. In brackets the 95 % "
        "interval of a bootstrap over the frames",
    )


def against() -> Table:
    """IoU of the narrow L-RPCANet minus each of the others, on paired frames."""
    rows = [
        [label, words(*gap(MAIN, other, "")), words(*gap(MAIN, other))]
        for label, other in AGAINST.items()
        if of(other[0], "union_chosen")
    ]
    head = ["IoU of L-RPCANet, narrow, minus", "usual cut", "chosen cut"]
    return head, rows, "Points of IoU; 95 % interval of the paired bootstrap; one training"


def recipes(name: str = "lrpcanet-sirst") -> Table:
    """What each recorded recipe of a network is worth on the parts of SIRST v1."""
    runs: dict[str, list[Run]] = {}
    for run in records.recorded(f"small_target/{name}"):
        if "iou_val" in run["scores"] and run["recipe"]["data"] == "sirst":
            runs.setdefault(run["recipe_name"], []).append(run)
    rows = [_recipe(turns) for turns in sorted((_turns(r, runs) for r in runs), key=_size)]
    head = ["recipe", "K × c", "steps", "IoU: train", "validation", "test", "Fa, 1e-5", "minutes"]
    return (
        head,
        rows,
        "L-RPCANet at cut 0, mean ± half the spread over three seeds, or one. Crops: 128 pixels; "
        "gpu-…: then 256; full: 64, 128, 256; whole-frames, aligned: 256. gpu-continued "
        "begins with the weights of gpu-long, these two with its. Weights are chosen on "
        "validation. Minutes: of a core, or of a GPU that others shared",
    )


def _turns(recipe: str, runs: Mapping[str, list[Run]]) -> list[list[Run]]:
    """The runs by a recipe, and before them those whose weights they began with, in turn."""
    turns = [runs[recipe]]
    while (before := runs.get(turns[0][0]["recipe"].get("begin"))) and before not in turns:
        turns.insert(0, before)
    return turns


def _size(turns: list[list[Run]]) -> tuple[int, int, int]:
    last = turns[-1][0]["recipe"]
    return last["stages"], last["width"], sum(turn[0]["recipe"]["steps"] for turn in turns)


def _recipe(turns: list[list[Run]]) -> list[str]:
    """A row of ``recipes``."""
    runs, (K, c, _) = turns[-1], _size(turns)
    score = lambda key: narrow([run["scores"][key] for run in runs], 1)
    steps = " + ".join(f"{turn[0]['recipe']['steps']:,}" for turn in turns)
    parts = [score(k) for k in ("iou_train", "iou_val", "iou", "fa_1e-5")]
    minutes = " + ".join(map(_minutes, turns))
    return [runs[0]["recipe_name"], f"{K}\u202f×\u202f{c}", steps, *parts, minutes]


def _minutes(runs: list[Run]) -> str:
    on, time = ("CPU", "cpu_seconds") if runs[0]["device"] == "cpu" else ("GPU", "seconds")
    return f"{mean([run[time] for run in runs]) / 60:.0f} {on}"


def away() -> dict[str, str]:
    """``ELSEWHERE``, those that are recorded."""
    return {label: name for label, name in ELSEWHERE.items() if of(name, "iou")}


def at_both_cuts(names: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    """(head, rows) of experiments on other frames: means over the draws, at both cuts."""
    keys = {"iou": 1, "pd": 0, "fa_1e-5": 0, "iou_chosen": 1, "pd_chosen": 0, "fa_1e-5_chosen": 0}
    rows = [
        [label, *(f"{mean(of(n, k)):.{digits}f}" for k, digits in keys.items())]
        for label, n in names.items()
    ]
    return ["", "usual cut: IoU", "Pd", "Fa, 1e-5", "chosen: IoU", "Pd", "Fa, 1e-5"], rows


def elsewhere() -> Table:
    """Made-up targets in real scenes of another set, at both cuts."""
    return (
        *at_both_cuts(away()),
        "Made-up targets in real scenes of another set. The cut was chosen on SIRST v1's "
        "validation part; means over three draws of 128 frames; one training each",
    )


@cache
def found_in(scene: str) -> dict[str, Tensor]:
    """By method: its mask of a made-up scene at the cut that validation chose for it."""
    frames = figures.scene(scene)
    made = {}
    for method, (name, recipe) in SIDE_BY_SIDE.items():
        if recipe:
            shown = fast.logits(figures.network(name, recipe), data.images(frames))
        else:
            shown = evaluation.shares(DETECTORS[name.removesuffix("-sirst")], frames)
        made[method] = shown > of(name, "cut", recipe)[0]
    return made


def side_by_side() -> list[Frames]:
    """Each made-up scene and what four detectors find in it."""
    return [_found_in(scene) for scene in figures.SCENES]


def _found_in(scene: str) -> Frames:
    frames, found = figures.scene(scene), found_in(scene)
    image = data.images(frames)[0, 0]
    said = lambda m, d: f"{m}: {d.hits} of {d.targets}, {d.false} false"
    counted = {m: scores.by_overlap(mask, frames.mask) for m, mask in found.items()}
    return Frames(
        (array(image), *(painted(m[0, 0], frames.mask[0, 0], image) for m in found.values())),
        (scene, *(said(m, d) for m, d in counted.items())),
        f"Scene {scene} and what four detectors find in it",
        zoom=1,
    )


def in_each(n: int) -> str:
    """How many each method of a table has, in words."""
    return "one training each" if n == 1 else f"{n} trainings each"
