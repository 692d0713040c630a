"""Tables and curves of the chapter on the networks: what is recorded, and what stands beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dunfold_lib import records
from dunfold_lib.newton_sr import data, experiments
from dunfold_lib.newton_sr.data import Scene
from dunfold_lib.newton_sr.figures_network import KINDS, Inside, run_of, scene
from dunfold_lib.newton_sr.jacobians import clarke, clip, majorised
from dunfold_lib.newton_sr.painting import grey
from dunfold_lib.show import Curves, Frames, line
from dunfold_lib.tables import Table, average, between, narrow

HOME = "cpu-middlebury"  # the recipe of the tables that name no other
RECIPES = {HOME: "Middlebury", "cpu": "planes", "gpu": "Middlebury, GPU"}
NETWORKS = {kind.__name__: stem for stem, kind in experiments.KINDS.items()}
CLASSICAL = {
    "bicubic": "bicubic",
    "guided filter": "guided-filter",
    "joint bilateral": "joint-bilateral",
    "guide-weighted TV": "guided-tv",
    "plain TV": "tv",
}
CHANGED = {
    "newton-4": "majorised",
    "newton-clarke-4": "Clarke's curvature",
    "newton-deep-4": "six stages, twice the time",
    "newton-residual-4": "0.01·mean|F| in the loss",
    "newton-fourier-4": "0.01 of the spectra in the loss",
}
BANDS = {"made-up fusion": "fusion", "Indian Pines": "indian-pines", "WorldView-2": "worldview"}
TESTS = ("art", "moebius")


def of(name: str, score: str, recipe: str = "") -> list[Any]:
    """A score of every recorded run of an experiment, or of those of one recipe."""
    return records.values(f"newton_sr/{name}", score, recipe)


def _tight(name: str, score: str, recipe: str = "") -> str:
    """Mean ± half the spread in a narrow setting; a dash where nothing is recorded."""
    return narrow(of(name, score, recipe))


def examples(planes: Scene) -> tuple[Frames, Frames]:
    """The guides and depths of the motorcycle at half size and of a made-up scene."""
    truth, Y = (grey(x)[::2, ::2] for x in data.motorcycle())
    made = (grey(planes.Y), grey(planes.truth))
    return (
        Frames((Y, truth), ("guide: left image", "disparity"), "The motorcycle"),
        Frames(made, ("guide", "depth"), "Made-up planes", zoom=2),
    )


def before_and_after(name: str = "rear") -> Frames:
    """The guide, the truth, bicubic interpolation and the recorded NewtonSR's estimate, large."""
    made, (truth, Y) = run_of("Newton", name), scene(name)
    estimates = f"bicubic, RMSE {made.rmse[0]:.1f}", f"NewtonSR, RMSE {made.rmse[-1]:.1f}"
    return Frames(
        images=tuple(map(grey, (Y, truth, made.U[0], made.U[-1]))),
        captions=("the guide", "the truth", *estimates),
        alt="The motorcycle's rear" if name == "rear" else f"The scene {name}",
        zoom=3,
    )


def parabolas(at: float) -> Curves:
    """Huber's function with θ = 1 and its quadratic models at a point, for both curvatures."""
    axis, one = torch.linspace(-4, 4, 161).double(), torch.tensor(1.0).double()
    a = torch.tensor(at).double()
    huber = lambda a: clip(a, one) * (a - clip(a, one) / 2)
    model = lambda M: huber(a) + clip(a, one) * (axis - a) + M(a, one) / 2 * (axis - a) ** 2
    return Curves(
        lines=(
            line(axis, huber(axis), "Huber, θ = 1", 5),
            line(axis, model(majorised), "majorised", 0),
            line(axis, model(clarke), "Clarke", 1, "dashed"),
            line([at], [huber(a)], "", 3, "dots"),
        ),
        xlabel="a",
        ylabel="value",
        ylim=(-1.5, 5),
        title=f"at a = {at:g}",
        size=(4.2, 3.1),
        alt=f"Huber's function and its two quadratic models that touch it at {at:g}",
    )


def variants() -> Table:
    """The recorded errors of NewtonSR and of four variants, after two kinds of training."""
    scores = [(f"rmse_{s}", recipe) for recipe in (HOME, "cpu") for s in TESTS]
    rows = [[what, *(_tight(name, s, r) for s, r in scores)] for name, what in CHANGED.items()]
    caption = (
        "NewtonSR, trained on Middlebury and Sintel, or on made-up planes; mean ± half the spread "
        "over the recorded seeds; – : not measured"
    )
    return ["×4, RMSE", "Middlebury: Art", "Moebius", "planes: Art", "Moebius"], rows, caption


def _left(name: str, score: str, k: int) -> str:
    """What stage k leaves of Newton's system, over the recorded seeds."""
    found = [run[k] for run in of(name, score, HOME)]
    if not found:
        return "not measured"
    low, high = (f"{v:.3f}" if v < 0.1 else f"{v:.2f}" for v in (min(found), max(found)))
    return low if low == high else f"{low} to {high}"


def solved() -> Table:
    """‖Vd + F‖/‖F‖ of every stage of the three networks on two scenes, over the recorded seeds."""
    rows = [
        [f"{label}, {s.capitalize()}", *(_left(name, f"solved_{s}", k) for k in range(3))]
        for label, name in KINDS.items()
        for s in TESTS
    ]
    caption = (
        "Recipe cpu-middlebury; smallest to largest over seeds; V with the majorised curvature"
    )
    return ["‖Vd + F‖/‖F‖", *(f"stage {k}" for k in (1, 2, 3))], rows, caption


def stages(scene_name: str) -> Curves:
    """The recorded error after each stage of the three networks on a scene, a curve a seed."""
    lines = []
    for colour, (label, name) in enumerate(KINDS.items()):
        for i, rmse in enumerate(of(name, f"stages_{scene_name}", HOME)):
            said = label if i == 0 else ""
            lines.append(line(range(len(rmse)), rmse, said, colour, "path"))
    return Curves(
        lines=tuple(lines),
        xlabel="stage k",
        ylabel="RMSE",
        ylim=(0, 26),
        title=scene_name.capitalize(),
        size=(4.2, 3.3),
        alt=f"RMSE on {scene_name} after each stage of the three networks, one curve a seed",
    )


def _rows(ratio: int, scores: Sequence[str], recipes: Sequence[str]) -> list[list[str]]:
    """Classical methods, then by recipe the networks that are recorded, at a ratio."""
    rows = [
        [label, *(_tight(f"{stem}-{ratio}", s) for s in scores)]
        for label, stem in CLASSICAL.items()
    ]
    for recipe in recipes:
        for label, stem in NETWORKS.items():
            name = f"{stem}-{ratio}"
            if of(name, scores[0], recipe):
                said = (_tight(name, s, recipe) for s in scores)
                rows.append([f"{label}, {RECIPES[recipe]}", *said])
    return rows


def depth() -> Table:
    """The recorded errors of all methods on four scenes at ×4."""
    scenes = ("art", "moebius", "motorcycle", "planes")
    rows = _rows(4, [f"rmse_{s}" for s in scenes], tuple(RECIPES))
    caption = (
        "mean ± half the spread over the recorded seeds; one seed where there is no ±. Art and "
        "Moebius are scenes that no row was trained on; the rows “planes” saw no real scene at all"
    )
    return ["×4, RMSE", "Art", "Moebius", "motorcycle", "planes"], rows, caption


def coarse() -> Table:
    """The recorded errors of all methods on two scenes at ×8 and ×16."""
    scores = [f"rmse_{s}" for s in TESTS]
    at8, at16 = (_rows(r, scores, ("cpu",)) for r in (8, 16))
    head = ["RMSE", "×8, Art", "×8, Moebius", "×16, Art", "×16, Moebius"]
    rows = [[*a, *b[1:]] for a, b in zip(at8, at16, strict=True)]
    return head, rows, "mean ± half the spread over the recorded seeds; – : not measured"


def priors(looked: Mapping[tuple[str, str], Sequence[Inside]]) -> Table:
    """What the priors of recorded networks meet, by the network's label and its recipe."""
    rows = []
    for (label, recipe), seen in looked.items():
        parts = (
            ([100 * i.phi for i in seen], 0),
            ([100 * i.psi for i in seen], 1),
            ([i.g for i in seen], 1),
            ([i.seen for i in seen], 1),
        )
        rows.append([f"{label}, {RECIPES[recipe]}", *(between(v, digits) for v, digits in parts)])
    caption = (
        "smallest to largest over three stages, on the motorcycle's rear and on made-up planes"
    )
    return ["seed 0", "within, φ, %", "within, ψ, %", "mean |g|", "mean |T₂v₂|"], rows, caption


def several() -> Table:
    """The recorded scores on three problems with several bands."""
    methods = {"bicubic": "bicubic", "GLP": "glp", **NETWORKS}
    scores = ("psnr", "sam", "ergas")
    rows = [
        [f"{title}: {label}", *(_tight(f"{stem}-{end}", s, "cpu") for s in scores)]
        for title, end in BANDS.items()
        for label, stem in methods.items()
    ]
    caption = (
        "×4, no noise, recipe cpu; mean ± half the spread over the recorded seeds; – : not "
        "measured. SAM is the mean angle between spectra, ERGAS a relative error over the bands; "
        "both are better when small"
    )
    return ["", "PSNR, dB", "SAM, degrees", "ERGAS"], rows, caption


def trainings(names: Sequence[str], recipe: str = "cpu", score: str = "rmse_art") -> int:
    """The least number of recorded trainings that one of some experiments has."""
    return min(len(of(name, score, recipe)) for name in names)


def quotes() -> dict[str, str]:
    """The recorded numbers that the chapter's sentences quote, by name."""
    networks = [*NETWORKS.values()]
    errors = {
        f"{stem.replace('-', '_')}_{s}": average(of(f"{stem}-4", f"rmse_{s}", HOME))
        for stem in (*networks, "newton-clarke")
        for s in TESTS
    }
    bands = [f"{stem}-{end}" for end in BANDS.values() for stem in networks]
    return errors | {
        **{f"tv_{s}": average(of("tv-4", f"rmse_{s}")) for s in TESTS},
        "bicubic_art": average(of("bicubic-4", "rmse_art")),
        "made_art": average(of("newton-4", "rmse_art", "cpu")),
        "variant_seeds": str(trainings([*CHANGED][2:])),
        "home_seeds": str(trainings(["newton-4", "learned-inverse-4"], HOME)),
        "planes_seeds": str(trainings([f"{stem}-4" for stem in networks[1:]])),
        **{f"seeds_{r}": str(trainings([f"{stem}-{r}" for stem in networks])) for r in (8, 16)},
        "band_seeds": str(trainings(bands, "", "psnr")),
    }
