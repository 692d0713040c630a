"""What the paper on L-RPCANet prints, as tables and curves of its chapter.

Each function returns what ``show.page`` or ``show.table`` takes.
"""

from typing import Any

from dunfold_lib.show import Curves, line
from dunfold_lib.small_target.published import PUBLISHED, PUBLISHED_AVERAGE
from dunfold_lib.small_target.published import SETS as SETS
from dunfold_lib.tables import Table

SHORT_SETS = ("NUDT", "Aug", "1k")


def printed() -> Table:
    """IoU and Fa of the paper's table on its three sets."""
    number = lambda v: "–" if v is None else f"{v:g}"
    head = ["method", "10⁶ par.", *(c for t in SHORT_SETS for c in (f"{t} IoU", "Fa"))]
    rows = [
        [m, number(row.get("params_M")), *(f"{row[s][i]:.2f}" for s in SETS for i in (0, 3))]
        for m, row in PUBLISHED.items()
    ]
    told = "as printed, on NUDT-SIRST, SIRST-Aug and IRSTD-1k: IoU in %, Fa in 1e-5 by overlap"
    return head, rows, f"Liu et al. 2025, {told}"


def timed() -> dict[str, dict[str, Any]]:
    """The rows of the paper's table that have a time."""
    has_time = lambda row: "seconds_cpu" in row or "seconds_gpu" in row
    return {m: row for m, row in PUBLISHED.items() if has_time(row)}


def printed_times() -> Table:
    """Time, F1 and Pd of the same table."""
    clock = lambda row: (
        f"{row['seconds_cpu']:g}, CPU" if "seconds_cpu" in row else f"{row['seconds_gpu']:g}, GPU"
    )
    head = ["method", "seconds an image", *(c for t in SHORT_SETS for c in (f"{t} F1", "Pd"))]
    rows = [
        [m, clock(row), *(f"{row[s][i]:.2f}" for s in SETS for i in (1, 2))]
        for m, row in timed().items()
    ]
    return head, rows, "The other columns of the same table, as printed: time, F1 and Pd in %"


def printed_means() -> Table:
    """The paper's means over its three sets."""
    rows = [[m, *(f"{v:.2f}" for v in row)] for m, row in PUBLISHED_AVERAGE.items()]
    return ["mean of the three sets", "IoU", "F1", "Pd", "Fa, 1e-5"], rows, "As printed"


def printed_clock() -> Curves:
    """Published IoU on NUDT-SIRST against published time, on two clocks."""
    others = [row for m, row in timed().items() if m != "L-RPCANet"]
    points = []
    for i, (label, key) in enumerate((("on a CPU", "seconds_cpu"), ("on a GPU", "seconds_gpu"))):
        rows = [row for row in others if key in row]
        at = [row[key] for row in rows]
        points.append(line(at, [row["nudt"][0] for row in rows], label, i, "dots"))
    own = PUBLISHED["L-RPCANet"]
    at = [own["seconds_gpu"]]
    points.append(line(at, [own["nudt"][0]], "L-RPCANet, on a GPU", 2, "dots"))
    return Curves(
        tuple(points),
        "seconds an image",
        "IoU on NUDT-SIRST, %",
        logx=True,
        ylim=(15, 100),
        size=(5.2, 3.3),
        alt="Published IoU against published time: three classical methods on a CPU below, seven "
        "networks on a GPU above",
    )
