"""Figures of the small trainings on the two chapters' pages: the loss, and what came of it."""

from collections.abc import Mapping, Sequence

from dunfold_lib import checks
from dunfold_lib.show import Curves, line

POINTS = 20  # of a loss curve: each the mean of as many steps
SIZE = (4.2, 3.2)


def smoothed(losses: Sequence[float]) -> tuple[list[float], list[float]]:
    """(last step, mean loss) of at most ``POINTS`` runs of equally many steps."""
    if not losses:
        raise ValueError("losses is empty; it needs one value a step")
    width = -(-len(losses) // POINTS)
    parts = [losses[i : i + width] for i in range(0, len(losses), width)]
    ends = [float(min((i + 1) * width, len(losses))) for i in range(len(parts))]
    return ends, [sum(part) / len(part) for part in parts]


@checks.door
def trained(
    losses: Sequence[float], errors: Mapping[str, Sequence[float]], unit: str = "RMSE"
) -> tuple[Curves, Curves]:
    """The loss of a small training beside the error after each stage, a curve for each name.

    losses : one a step.  errors : the first of each is the start's.  unit : of the errors.
    """
    ends = ", ".join(f"{name} {values[-1]:.2f}" for name, values in errors.items())
    loss = Curves(
        lines=(line(*smoothed(losses), "", 5, "path"),),
        xlabel="step of the training",
        ylabel="loss",
        title="the training",
        logy=True,
        size=SIZE,
        alt="The loss against the steps of the training",
    )
    stages = Curves(
        lines=tuple(
            line(range(len(values)), values, name, i, "path")
            for i, (name, values) in enumerate(errors.items())
        ),
        xlabel="stage k",
        ylabel=unit,
        title="after each stage, on what it never saw",
        size=SIZE,
        alt=f"{unit} after each stage; after the last: {ends}",
    )
    return loss, stages
