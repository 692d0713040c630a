"""Frames like those of other sets: targets as SIRST v1 has them in other scenes, and crops like
SIRST-Aug's, for the chapter on L-RPCANet; the numbers that the page of other frames quotes.

Each function returns what ``show.table`` or ``show.quote`` takes, read from
``results/small_target``.
"""

from collections.abc import Mapping

from dunfold_lib.small_target.figures_l_rpcanet_tables import at_both_cuts, away, of
from dunfold_lib.small_target.published import PUBLISHED
from dunfold_lib.tables import Table, between, mean

MATCHED = {
    "top-hat": "top-hat-matched",
    "MPCM": "mpcm-matched",
    "PSTNN": "pstnn-matched",
    "RPCANet, narrow": "rpcanet-matched",
    "L-RPCANet, narrow": "lrpcanet-matched",
    "L-RPCANet, full, 2,300 steps": "lrpcanet-matched-full",
}
REBUILT = {
    "top-hat": "top-hat-rebuilt",
    "MPCM": "mpcm-rebuilt",
    "PSTNN": "pstnn-rebuilt",
    "RPCANet, narrow": "rpcanet-rebuilt",
    "L-RPCANet, narrow": "lrpcanet-rebuilt",
    "L-RPCANet, full, 2,300 steps": "lrpcanet-rebuilt-full",
}
RIVALS = ("mpcm", "pstnn")
# medians of (area, contrast) as ``figures_rpca.contrast`` measures them: of SIRST v1's training
# part, and of all targets in the three draws of ``evaluation.elsewhere`` and ``.matched``
MEDIANS = {"sirst": (22.0, 12.9), "elsewhere": (19.0, 2.3), "matched": (22.0, 10.4)}


def matched() -> Table:
    """Targets of SIRST v1's areas and contrasts in real scenes of another set, at both cuts."""
    return (
        *at_both_cuts(MATCHED),
        "Targets with SIRST v1's areas and contrasts, in crops of the table above; cuts, draws and "
        "trainings as there",
    )


def rebuilt() -> Table:
    """Five crops around each test target of SIRST v1, and what is printed for SIRST-Aug."""
    head, rows = at_both_cuts(REBUILT)
    size = lambda label: label.removesuffix(", full, 2,300 steps")  # a narrow one is not printed
    known = [PUBLISHED.get(size(label), {}).get("sirst-aug") for label in REBUILT]
    printed = [f"{v[0]:.1f}" if v else "" for v in known]
    return (
        [*head, "printed, SIRST-Aug: IoU"],
        [[*row, v] for row, v in zip(rows, printed, strict=True)],
        "Our rebuilding by SIRST-Aug's counts: 545 crops, five around each of 109 test targets of "
        "SIRST v1. Cuts and trainings as above; means over three draws of the crops. Printed: on "
        "the published crops, the networks trained on that set",
    )


def highest(names: Mapping[str, str], key: str) -> float:
    """The highest score of any recorded run of these, at either cut."""
    return max(v for n in names.values() for end in ("", "_chosen") for v in of(n, key + end))


def quotes() -> dict[str, str]:
    """The numbers of the sentences on other frames."""
    chosen = lambda name: between(of(name, "iou_chosen"), 1)
    medians = {f"contrast_{place}": f"{contrast:.1f}" for place, (_, contrast) in MEDIANS.items()}
    printed = {f"{n}_printed": f"{PUBLISHED[n.upper()]['sirst-aug'][0]:.1f}" for n in RIVALS}
    return (
        medians
        | {f"{n}_matched": chosen(f"{n}-matched") for n in RIVALS}
        | {f"{n}_rebuilt": f"{mean(of(f'{n}-rebuilt', 'iou')):.1f}" for n in RIVALS}
        | {f"{n}_rebuilt_chosen": chosen(f"{n}-rebuilt") for n in RIVALS}
        | printed
        | {
            "away_best": f"{highest(away(), 'iou'):.1f}",
            "away_pd": f"{highest(away(), 'pd'):.0f}",
            "matched_best": f"{highest(MATCHED, 'iou'):.1f}",
        }
    )
