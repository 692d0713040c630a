"""Tables: the paper's number, ours over seeds, and what is owed; one format for all who print."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dunfold_lib import records
from dunfold_lib.experiment import Experiment, for_gpu

HEAD = ("experiment", "score", "paper", "ours", "GPU run owed")
NONE = "–"
MISSING = "not measured"

Table = tuple[Sequence[str], Sequence[Sequence[Any]], str]  # head, rows, caption: ``show.table``'s


def mean(scores: Sequence[float]) -> float:
    """The mean over seeds."""
    return sum(scores) / len(scores)


def average(scores: Sequence[float], form: str = "{:.2f}") -> str:
    """The mean alone; or that there is none."""
    return form.format(mean(scores)) if scores else MISSING


def summary(scores: Sequence[float], form: str = "{:.2f}") -> str:
    """Mean ± half the spread over seeds; one number alone; or that there is none."""
    spread = f" ± {form.format((max(scores) - min(scores)) / 2)}" if len(scores) > 1 else ""
    return average(scores, form) + spread


def narrow(scores: Sequence[float], digits: int = 2) -> str:
    """``summary`` for a narrow cell: thin spaces, a minus sign, – where nothing is measured."""
    if not scores:
        return NONE
    middle, half = round(mean(scores), digits) + 0.0, (max(scores) - min(scores)) / 2  # no −0.00
    more = f"\u202f±\u202f{half:.{digits}f}" if len(scores) > 1 else ""
    return minus_sign(f"{middle:.{digits}f}{more}")


def between(scores: Sequence[float], digits: int = 2) -> str:
    """The smallest to the largest, in words; one number where both are written alike."""
    low, high = (minus_sign(f"{v:.{digits}f}") for v in (min(scores), max(scores)))
    return low if low == high else f"{low} to {high}"


def minus_sign(number: str) -> str:
    """A number as text, its hyphen a minus sign."""
    return number.replace("-", "−")


def paper(e: Experiment, score: str) -> str:
    """The published score of an experiment, or that there is none."""
    return f"{e.published[score]:.2f}" if score in e.published else NONE


def ours(
    name: str, score: str, recipes: Sequence[str] = (), unread: list[str] | None = None
) -> str:
    """Our recorded score: the value of one run, or mean ± half spread over several seeds.

    Of several recipes the last one that was recorded counts, and is named; a changed recipe, under
    a name of its own, never does.
    """
    for recipe in reversed(recipes):
        if found := records.values(name, score, recipe, unread):
            return summary(found) + (f" ({recipe})" if len(recipes) > 1 else "")
    return summary([] if recipes else records.values(name, score, "", unread))


def owed(name: str, e: Experiment, unread: list[str] | None = None) -> str:
    """Whether a GPU run is still owed: '–' without a GPU recipe, else 'yes' or 'no'."""
    if not any(map(for_gpu, e.recipes)):
        return NONE
    runs = records.recorded(name, unread=unread)
    made = any(for_gpu(r.get("recipe_name", "")) and r.get("device") != "cpu" for r in runs)
    return "no" if made else "yes"


def scores_of(name: str, e: Experiment, unread: list[str] | None = None) -> list[str]:
    """The scores in an experiment's table: the published ones, else the first that we recorded."""
    runs = records.recorded(name, unread=unread)
    numbers = [k for k, v in runs[0]["scores"].items() if isinstance(v, float)] if runs else []
    return list(e.published) or numbers[:1] or ["score"]


def rows(chosen: Mapping[str, Experiment], unread: list[str] | None = None) -> list[list[str]]:
    """One row a published score: experiment, score, paper, ours, GPU run owed.

    unread : gets a line for each recorded run that cannot be read; without it the first one raises.
    """
    table = []
    for name, e in chosen.items():
        for score in scores_of(name, e, unread):
            mine = ours(name, score, [*e.recipes], unread)
            table.append([name, score, paper(e, score), mine, owed(name, e, unread)])
    return table


def text(head: Sequence[str], table: Sequence[Sequence[str]]) -> str:
    """A plain text table with aligned columns."""
    lines = [head, *table]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    pad = lambda line: "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
    return "\n".join([pad(head), "  ".join("─" * w for w in widths), *map(pad, table)])


def report(chosen: Mapping[str, Experiment]) -> None:
    """Print the table; recorded runs that cannot be read are named on stderr and left out."""
    unread: list[str] = []
    print(text(HEAD, rows(chosen, unread)))
    for line in dict.fromkeys(unread):
        print(f"{line}; it is left out", file=sys.stderr)
