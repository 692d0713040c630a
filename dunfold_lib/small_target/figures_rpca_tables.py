"""Tables of the chapter on robust PCA: what targets are, and the classical detectors' records.

Each function returns what ``show.table`` takes.
"""

from typing import Any

import numpy as np
import torch

from dunfold_lib import records, tables
from dunfold_lib.small_target import data, evaluation
from dunfold_lib.small_target import figures_rpca as figures
from dunfold_lib.small_target.published import PUBLISHED, SETS
from dunfold_lib.small_target.scores import components, difference, interval
from dunfold_lib.tables import Table

Statistics = dict[str, list[float]]
SIRST: Statistics = {  # 427 images, 533 targets: as ``statistics`` has them
    "area": [6.0, 13.0, 22.0, 38.0, 96.4],
    "contrast": [2.1, 6.6, 13.3, 24.9, 47.2],
    "targets": [0.838, 0.112, 0.049],
}
COLUMNS = ("iou", "niou", "f1", "pd", "fa_1e-5", "pd_3px", "fa_3px_1e-6")
HEAD = ["", "IoU", "nIoU", "F1", "Pd", "Fa, 1e-5", "Pd, 3 px", "Fa, 1e-6"]


def statistics(frames: data.Frames) -> Statistics:
    """Per cent points of the targets' area and contrast, and shares of images with 1, 2, more."""
    points = lambda v: np.percentile(v, [5, 25, 50, 75, 95]).round(1).tolist()
    areas, ratios = figures.contrast(frames)
    counts = np.array([components(m)[1] for m in frames.mask[:, 0].numpy()])
    shares = [float((counts == 1).mean()), float((counts == 2).mean()), float((counts > 2).mean())]
    return {"area": points(areas), "contrast": points(ratios), "targets": shares}


def made_up() -> data.Frames:
    """The made-up test scenes."""
    return data.synthetic(
        torch.Generator().manual_seed(evaluation.TEST_SEED), evaluation.TEST_SCENES
    )


def targets() -> Table:
    """What a small target is, in SIRST v1 and in made-up scenes."""
    ours = statistics(made_up())
    row = lambda s: " / ".join(f"{v:.1f}" for v in s)
    share = lambda s: " / ".join(f"{100 * v:.0f} %" for v in s)
    told = {
        "area": ("area, pixels: 5 / 25 / 50 / 75 / 95 %", row),
        "contrast": ("local signal to clutter: 5 / 25 / 50 / 75 / 95 %", row),
        "targets": ("images with 1 / 2 / more targets", share),
    }
    return (
        ["", "SIRST v1", "made up"],
        [[label, form(SIRST[key]), form(ours[key])] for key, (label, form) in told.items()],
        "427 real images, 64 made-up ones, all 256 × 256. Local signal to clutter: |mean of the "
        "target − mean around it| over the deviation around it, in 12 pixels to each side, without "
        "the 3 next to a target",
    )


def of(name: str, key: str) -> list[Any]:
    """A score of every recorded run of a detector on SIRST v1."""
    return records.values(f"small_target/{name}-sirst", key)


def mean(name: str, key: str) -> float:
    """The mean of ``of``."""
    return tables.mean(of(name, key))


def _scored(ending: str) -> list[list[str]]:
    cell = lambda n, key: tables.average(of(n, key), "{:.1f}")
    return [[t, *(cell(n, c + ending) for c in COLUMNS)] for n, t in figures.TITLES.items()]


def scores() -> Table:
    """The four detectors on SIRST v1, and their IoU on other scenes."""

    def elsewhere(name: str) -> str:
        found = records.values(f"small_target/{name}-elsewhere", "iou")
        return tables.average(found, "{:.1f}") if found else ""

    rows = zip(figures.TITLES, _scored(""), strict=True)
    return (
        [*HEAD, "other scenes: IoU"],
        [[*row, elsewhere(name)] for name, row in rows],
        "SIRST v1, 86 test images, 109 targets, 256 × 256; per cent, Fa in its unit. Pd and Fa by "
        "overlap, then by centroids. Other scenes: made-up targets in 128 real crops of SIRST v2, "
        "means over three draws",
    )


def scores_made_up() -> Table:
    """The four detectors on made-up scenes."""
    told = "64 made-up scenes, 256 × 256; means over the recorded draws of the scenes"
    return HEAD, _scored("_synthetic"), told


def _at_cut(name: str, end: str) -> list[str]:
    if not of(name, "union" + end):
        return [tables.MISSING] * 3
    found = evaluation.pixels(f"{name}-sirst", end)
    low, high = interval(found)
    rest = [f"{mean(name, key + end):.1f}" for key in ("pd", "fa_1e-5")]
    return [f"{mean(name, 'iou' + end):.1f} [{low:.0f}, {high:.0f}]", *rest]


def cuts() -> Table:
    """The four detectors cut at half, and at the share that validation chose."""
    cut = lambda n: f"{of(n, 'cut')[0]:.2f}" if of(n, "cut") else "–"
    rows = [
        [title, *_at_cut(n, ""), cut(n), *_at_cut(n, "_chosen")]
        for n, title in figures.TITLES.items()
    ]
    at_half = ["cut at half: IoU", "Pd", "Fa, 1e-5"]
    return (
        ["", *at_half, "share", "chosen: IoU", "Pd", "Fa, 1e-5"],
        rows,
        "SIRST v1; the share of the maximum chosen on validation, once, for all frames; 95 % "
        "intervals",
    )


def half_pixel() -> Table:
    """What masks without the protocol's shift score against its own, on each part of SIRST v1."""
    parts = {"test": "", "validation": "_val", "training": "_train"}
    row = [f"{_straight('iou' + ending):.1f}" for ending in parts.values()]
    return (
        ["IoU of the masks without shift", *parts],
        [["against the protocol's", *row]],
        "SIRST v1 at 256 × 256: masks by the pixel in the middle against masks by ⌊i h/256⌋",
    )


def _straight(key: str) -> float:
    """A recorded score of the masks without shift."""
    (found,) = records.values("small_target/half-pixel", key)
    return float(found)


def published() -> Table:
    """Three of the detectors as printed on three other sets."""
    rows = []
    for name in ("MPCM", "PSTNN", "IPI"):
        for key, title in SETS.items():
            v = PUBLISHED[name][key]
            rows.append([name, title, *(f"{c:.2f}" for c in v), f"{200 * v[0] / (100 + v[0]):.2f}"])
    head = ["published", "", "IoU", "F1", "Pd", "Fa, 1e-5", "2 IoU/(1 + IoU)"]
    return head, rows, "As printed by Liu, Han, Xiu et al. 2025; the last column is ours"


# the numbers of the sentences


def gain(name: str) -> float:
    """Points of IoU on SIRST v1 that a cut chosen on validation brings."""
    return mean(name, "iou_chosen") - mean(name, "iou")


def ahead() -> tuple[float, float]:
    """IoU of PSTNN minus that of MPCM at the chosen cuts: interval on the same frames."""
    first, second = (evaluation.pixels(f"{n}-sirst", "_chosen") for n in ("pstnn", "mpcm"))
    return difference(first, second)


def by_detector(key: str) -> dict[str, float]:
    """A score on SIRST v1 of all four."""
    return {name: mean(name, key) for name in figures.TITLES}


def lost() -> dict[str, float]:
    """Points of Pd that each loses when targets are counted by centroids."""
    return {name: v - mean(name, "pd_3px") for name, v in by_detector("pd").items()}


def quotes() -> dict[str, str]:
    """The numbers that the page's sentences quote."""
    fa, (low, high) = by_detector("fa_1e-5"), ahead()
    spread = lambda v, digits=0: tables.between([*v], digits)
    grew = mean("pstnn", "fa_1e-5_chosen") / mean("pstnn", "fa_1e-5")
    ious = {f"iou_{n.replace('-', '_')}": f"{v:.1f}" for n, v in by_detector("iou").items()}
    return ious | {
        "half_pixel": f"{_straight('iou'):.1f}",
        "pd_all": spread(by_detector("pd").values()),
        "fa_hat": f"{fa['top-hat']:.0f}",
        "fa_rest": spread([v for n, v in fa.items() if n != "top-hat"]),
        "pd_lost": spread(lost().values(), 1),
        "ipi_draws": str(len(of("ipi", "iou_synthetic"))),
        "hat_pd": f"{mean('top-hat', 'pd_synthetic'):.0f}",
        "hat_iou": f"{mean('top-hat', 'iou_synthetic'):.1f}",
        "gain_mpcm": f"{gain('mpcm'):.0f}",
        "gain_pstnn": f"{gain('pstnn'):.0f}",
        "apart": f"{low:.0f} and {high:.0f}",
        "fa_grew": f"{grew:.1f}",
    }
