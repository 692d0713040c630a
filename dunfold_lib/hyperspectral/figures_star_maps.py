"""Pictures and curves of the chapter on STAR: bands, noise, eigenvalues, sweeps, maps of crops.

Each function returns what ``show.page`` takes.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dunfold_lib.hyperspectral import data, evaluation, scores
from dunfold_lib.hyperspectral.algorithm import Record
from dunfold_lib.hyperspectral.classify import class_map
from dunfold_lib.hyperspectral.lowrank import correlation
from dunfold_lib.show import Curves, Frames, array, line

SHOWN = 45  # the band of most pictures
SCALE = 0.8  # value that is drawn white where a band is not stretched
LARGE = 0.1  # an entry of S that is drawn
SPARSE = ("impulse", "stripes", "dead")


def stretched(plane: Tensor) -> NDArray[np.float64]:
    """A band (h, w) between its 1st and 99th per cent."""
    low, high = plane.quantile(0.01), plane.quantile(0.99)
    return array(((plane - low) / (high - low)).clip(0, 1))


def _scaled(plane: Tensor) -> NDArray[np.float64]:
    return (array(plane) / SCALE).clip(0, 1)


def bands(cube: Tensor, noise: Tensor) -> tuple[Frames, Curves]:
    """Three bands of a cube, and the noise in all of them."""
    shown = (45, 60, 0)
    frames = Frames(
        images=tuple(stretched(cube[0, b]) for b in shown),
        captions=tuple(f"band {b}" for b in shown),
        alt="One band of Indian Pines, 145 by 145 pixels",
        zoom=1,
    )
    curve = Curves(
        lines=(line(range(len(noise)), noise, "", 0),),
        xlabel="band",
        ylabel="noise in 255ths",
        logy=True,
        size=(4.6, 3.0),
        alt="Estimated noise of every band on a logarithmic axis: most near 0.3, some near 5 to 9",
    )
    return frames, curve


def repair(as_is: Tensor, cube: Tensor) -> Frames:
    """Two bad bands before and after the repair."""
    both = {"as it is": as_is, "repaired": cube}
    return Frames(
        images=tuple(stretched(t[0, b]) for b in (60, 0) for t in both.values()),
        captions=tuple(f"band {b}, {n}" for b in (60, 0) for n in both),
        alt="Two bad bands of Indian Pines before and after the repair",
        zoom=1,
    )


def spoilt() -> Frames:
    """Of three kinds of sparse noise the band of the test part that each spoils most."""
    truth = data.part("test")
    made = {k: evaluation.noised(truth, data.NOISES[k], 0) for k in SPARSE}
    worst = {k: int((y - truth).abs().mean((0, 2, 3)).argmax()) for k, y in made.items()}
    said = lambda k: f"{k}, band {worst[k]}, {scores.psnr(made[k], truth):.1f} dB"
    return Frames(
        images=tuple(_scaled(y[0, worst[k]]) for k, y in made.items()),
        captions=tuple(map(said, made)),
        alt="A spoilt band of the test part",
        zoom=2,
    )


def eigenvalues(edge: float) -> Curves:
    """The thirty largest eigenvalues of two noisy cubes, in σ², and the edge of noise."""
    truth, lines = data.part("test"), []
    for i, level in enumerate((10, 50)):
        C = correlation(evaluation.noised(truth, data.Noise(level), 0))[0] / (level / 255) ** 2
        values = torch.linalg.eigvalsh(C).flip(0)[:30]
        lines.append(line(range(1, 31), values, f"σ = {level}", i, "path"))
    lines.append(line((1, 30), (edge, edge), "edge", 5, "dashed"))
    return Curves(
        lines=tuple(lines),
        xlabel="number",
        ylabel="eigenvalue, in σ²",
        logy=True,
        alt="The thirty largest eigenvalues of noisy cubes on a logarithmic axis, with the edge of "
        "noise: at σ = 10 six lie above it, at σ = 50 three",
    )


def descent(made: Sequence[Record], gap: Sequence[float]) -> tuple[Curves, Curves]:
    """The augmented Lagrangian after every update of three sweeps, and ‖L − B‖/‖B‖ by sweeps.

    made : as ``history`` gives it, the start first.
    """
    first = [(r.block, float(r.lagrangian)) for r in made[1:19]]
    at_U = [(i, v) for i, (block, v) in enumerate(first, 1) if block == "U"]
    left = Curves(
        lines=(
            line(range(1, 19), [v for _, v in first], "", 0, "path"),
            line([i for i, _ in at_U], [v for _, v in at_U], "after U", 1, "dots"),
        ),
        xlabel="updates of three sweeps",
        ylabel="augmented Lagrangian",
        size=(4.4, 3.2),
        alt="Augmented Lagrangian after every update of three sweeps: it falls, except where U "
        "moves",
    )
    right = Curves(
        lines=(line(range(1, len(gap) + 1), gap, "", 0),),
        xlabel="sweeps",
        ylabel="‖L − B‖ / ‖B‖",
        logy=True,
        size=(4.4, 3.2),
        alt="Relative distance of L and B against sweeps on a logarithmic axis: it falls from "
        "seven hundredths to below a thousandth",
    )
    return left, right


def denoised(cubes: Mapping[str, Tensor]) -> Frames:
    """Band 45 of cubes by their names, each stretched to its own range."""
    return Frames(
        images=tuple(stretched(t[0, SHOWN]) for t in cubes.values()),
        captions=tuple(cubes),
        alt="Band 45 of the test part at σ = 50",
        zoom=2,
    )


def impulses(cubes: Mapping[str, Tensor], S: Tensor) -> Frames:
    """Band 45 of cubes by their names, and the large entries of S."""
    return Frames(
        images=(*(_scaled(t[0, SHOWN]) for t in cubes.values()), array(S[0, SHOWN].abs() > LARGE)),
        captions=(*cubes, f"|S| > {LARGE}"),
        alt="Band 45 of the test part with impulses",
        zoom=2,
    )


# crops


@cache
def _palette() -> Any:
    import matplotlib

    return np.vstack([(0.12, 0.12, 0.12), matplotlib.colormaps["tab20"](range(20))[:, :3]])


def mapped(cubes: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """By name: the classes (h, w) that a discriminant finds in a cube, a tenth learned from."""
    g = lambda: torch.Generator().manual_seed(0)
    return {name: class_map(x, labels, 0.1, g()) for name, x in cubes.items()}


def share_right(classes: Tensor, labels: Tensor) -> float:
    """The share of the labelled pixels whose class is right."""
    return float((classes == labels)[labels > 0].double().mean())


def crops(found: Mapping[str, Tensor], labels: Tensor) -> Frames:
    """Maps of classes (h, w) beside the ground truth; 0, unknown, is dark."""
    said = (f"{n}: {share_right(c, labels):.2f} right" for n, c in found.items())
    return Frames(
        images=tuple(_palette()[c.numpy()] for c in (labels, *found.values())),
        captions=("ground truth", *said),
        alt="Classes of the pixels of Indian Pines, columns 81 to 144: the ground truth and what a "
        "discriminant finds",
        zoom=2,
    )
