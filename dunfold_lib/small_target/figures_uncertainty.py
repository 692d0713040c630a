"""The detector's part of the chapter on uncertainty: its probabilities, from the records."""

import numpy as np

from dunfold_lib import records, tables
from dunfold_lib.show import Curves, line
from dunfold_lib.tables import Table

TRAINED = {"calibration": "made-up scenes", "calibration-elsewhere": "SIRST v1"}


def each(name: str, score: str) -> list[float]:
    """A score of every recorded draw of test scenes."""
    return records.values(f"small_target/{name}", score)


def calibrated() -> Table:
    """Calibration of both recorded detectors before and after temperature scaling."""
    rows = []
    for name, title in TRAINED.items():
        for ending, T in (("", "1"), ("_scaled", tables.average(each(name, "temperature")))):
            per = lambda key, e=ending, n=name: [100 * v for v in each(n, key + e)]
            found, every = (tables.summary(per(key), "{:.2f}") for key in ("ece_found", "ece"))
            entropy = tables.summary([1e4 * v for v in each(name, f"entropy{ending}")], "{:.2f}")
            rows.append([title, T, found, every, entropy])
    head = ["trained on", "T", "ECE of found pixels, %", "ECE of all, %", "cross entropy, 1e-4"]
    return head, rows, "Three draws of 32 made-up test scenes; T chosen on 32 others"


def quotes() -> dict[str, str]:
    """The temperatures, for the page's sentences."""
    T = lambda name: tables.average(each(name, "temperature"))
    return {"T_own": T("calibration"), "T_elsewhere": T("calibration-elsewhere")}


def reliability(name: str = "calibration") -> Curves:
    """The reliability diagram of a recorded detector, first draw of test scenes."""
    lines = [line([0, 1], [0, 1], "as it should be", 5, "dashed")]
    for i, (ending, label) in enumerate((("", "T = 1"), ("_scaled", "T chosen"))):
        said, found = (np.asarray(each(name, key + ending)[0]) for key in ("said", "found"))
        lines.append(line(said, found, label, i, "path"))
    return Curves(
        lines=tuple(lines),
        xlabel="probability that it says",
        ylabel="share that are targets",
        xlim=(0, 1),
        ylim=(0, 1),
        equal=True,
        title=f"trained on {TRAINED[name]}",
        alt="Reliability of the detector before and after temperature scaling",
    )
