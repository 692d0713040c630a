"""Figures of the chapter on the networks: their stages, Newton's linear system, and the guide.

Everything is shown on crops of the wheel's motorcycle and on made-up planes, ×4, without noise.
"""

from copy import copy
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks, experiment, fetch
from dunfold_lib.explore import Explorer, Slider
from dunfold_lib.newton_sr import data, downsampling, guesses, scores, training
from dunfold_lib.newton_sr.data import Scene
from dunfold_lib.newton_sr.downsampling import Pair
from dunfold_lib.newton_sr.jacobians import clarke
from dunfold_lib.newton_sr.model import NewtonSR, Stages, steps
from dunfold_lib.newton_sr.painting import MAGNIFIED, error, grey
from dunfold_lib.show import Curves, Frames, line

SIDE, RATIO = 96, 4  # of a crop, in pixels; r
CROPS = {"rear": (160, 80), "floor": (320, 0)}  # top and left in the motorcycle's image
SCENES = (*CROPS, "planes")
PLANES_SEED = 7
KINDS = {
    "Newton": "newton-4",
    "learned inverse": "learned-inverse-4",
    "first-order": "first-order-4",
}
RECIPES = ("cpu-middlebury", "cpu")  # whose weights are shown, in order of preference
GUIDED = RECIPES[::-1]  # the made-up planes are the data whose guide says most
CG = (1, 2, 4, 8, 16)
CURVATURES = tuple(training.CURVATURES)
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
WORST, FLOOR = 400.0, 1e-6  # largest RMSE and smallest residual that an axis shows
WIDE = (5.6, 2.9)  # of a panel that has a row for itself
_by_cg = partial(Curves, xlabel="CG steps a stage", logy=True, xlim=(0, 17), size=WIDE)


@fetch.cached(fetch.nowhere)
def scene(name: str) -> Scene:
    """A crop of the motorcycle, "rear" or "floor", or made-up "planes": (1, 1, 96, 96) each."""
    checks.one_of("name", name, SCENES)
    if name == "planes":
        return data.planes(torch.Generator().manual_seed(PLANES_SEED), SIDE)
    (top, left), whole = CROPS[name], data.motorcycle()
    rows, columns = slice(top, top + SIDE), slice(left, left + SIDE)
    return Scene(*(x[..., rows, columns].contiguous() for x in whole))


@fetch.cached(fetch.nowhere)
def measured(name: str) -> Pair:
    """What the network is given of a scene: a quarter of its depth, and the guide."""
    return downsampling.degraded(*scene(name), RATIO)


def recorded(prefer: tuple[str, ...] = RECIPES) -> str:
    """The first recipe by which all three networks were recorded, seed 0; "" for none."""
    return experiment.first_recorded([f"newton_sr/{n}" for n in KINDS.values()], prefer)


@cache
def network(kind: str, prefer: tuple[str, ...] = RECIPES) -> Stages:
    """The recorded network of a kind, seed 0, trained by the recipe that is preferred."""
    checks.one_of("kind", kind, tuple(KINDS))
    recipe, name = recorded(prefer), KINDS[kind]
    if not recipe:
        raise ValueError(f"no {name} is recorded; make one by `python -m dunfold_lib reproduce`")
    return experiment.load(f"newton_sr/{name}", recipe, 0)


def newton(cg: int, curvature: str = "majorised") -> NewtonSR:
    """The recorded Newton network, its weights untouched, with other steps or another Jacobian."""
    checks.whole("cg", cg, 1)
    checks.one_of("curvature", curvature, CURVATURES)
    net = copy(network("Newton"))
    assert isinstance(net, NewtonSR)
    net.cg, net.curvature = cg, training.CURVATURES[curvature]
    return net


class Run(NamedTuple):
    """U after every stage, the first of them the start, and its RMSE."""

    U: list[Tensor]
    rmse: list[float]


def run(net: Stages, name: str) -> Run:
    """What a network makes of a scene."""
    with torch.no_grad():
        U = net.iterates(measured(name))
    return Run(U, [scores.rmse(u, scene(name).truth) for u in U])


@cache
def run_of(kind: str, name: str) -> Run:
    """``run`` of a recorded network as it was trained."""
    return run(network(kind), name)


@cache
def newton_run(cg: int, curvature: str, name: str) -> Run:
    """``run`` of the recorded Newton network with other steps or another Jacobian."""
    return run(newton(cg, curvature), name)


@cache
def left_over(cg: int, name: str) -> list[float]:
    """‖V d + F‖/‖F‖ in every stage of the recorded Newton network, at least ``FLOOR``."""
    return [max(float(s.relative[0]), FLOOR) for s in steps(newton(cg), measured(name))]


def stage(kind: str = "Newton", k: int = 3, name: str = "rear") -> tuple[Frames, Curves]:
    """Guide, truth, estimate after k stages and its error; RMSE of every stage of all networks."""
    checks.one_of("kind", kind, tuple(KINDS))
    truth, Y = scene(name)
    made = {n: run_of(n, name) for n in KINDS}
    checks.layer(k, len(made[kind].U) - 1, "stages")
    U, rmse = made[kind].U[k], made[kind].rmse
    frames = Frames(
        images=tuple(grey(t) for t in (Y, truth, U, error(U, truth))),
        captions=("guide", "truth", f"U after stage {k}", f"its error × {MAGNIFIED}, grey is none"),
        alt="A crop of a scene",
        zoom=2,
    )
    colour = {n: i for i, n in enumerate(KINDS)}
    lines = [line(range(len(r.rmse)), r.rmse, n, colour[n], "path") for n, r in made.items()]
    curve = Curves(
        lines=(*lines, line([k], [rmse[k]], "shown", colour[kind], "dots")),
        xlabel="stage k",
        ylabel="RMSE",
        xlim=(-0.2, len(rmse) - 0.8),
        ylim=(-1, 30),
        alt="RMSE after each stage of the three networks, with the chosen one marked",
        size=(4.2, 3.2),
        note=f"{kind}, {name}: bicubic {rmse[0]:.2f}, after stage {k} {rmse[k]:.2f}",
    )
    return frames, curve


def products(cg: int = 4, k: int = 3, name: str = "rear") -> tuple[Frames, Curves]:
    """The Newton network with ``cg`` steps of conjugate gradients a stage; it was trained with 4.

    k : the stage that is shown.
    """
    checks.one_of("cg", cg, CG)
    made, left = newton_run(cg, "majorised", name), [left_over(c, name) for c in CG]
    checks.layer(k, len(left[0]), "stages", 1)
    truth, rmse, here = scene(name).truth, made.rmse[k], left[CG.index(cg)][k - 1]
    frames = Frames(
        images=tuple(grey(t) for t in (truth, made.U[k], error(made.U[k], truth))),
        captions=("truth", f"stage {k}, RMSE {rmse:.2f}", f"its error × {MAGNIFIED}"),
        alt=f"The scene {name}",
        zoom=2,
    )
    stages = range(1, len(left[0]) + 1)
    lines = [line(CG, [r[j - 1] for r in left], f"stage {j}", j - 1, "path") for j in stages]
    curve = _by_cg(
        lines=(*lines, line([cg], [here], "shown", 3, "dots")),
        ylabel="‖Vd + F‖ / ‖F‖",
        ylim=(FLOOR / 2, 1),
        alt="What is left of the Newton system in each stage against the number of CG steps",
        note=f"{cg} CG steps, stage {k}: RMSE {rmse:.2f}, ‖Vd + F‖/‖F‖ = {here:.1e}",
    )
    return frames, curve


def jacobian(curvature: str = "majorised", cg: int = 4) -> tuple[Frames, Curves]:
    """The Newton network with another element M: where V has curvature, and what comes of it.

    curvature : "majorised", as it was trained, or "clarke".
    """
    checks.one_of("curvature", curvature, CURVATURES)
    checks.one_of("cg", cg, CG)
    made = {c: [newton_run(n, c, "rear") for n in CG] for c in CURVATURES}
    here, net = made[curvature][CG.index(cg)], newton(cg, curvature)
    U, rmse, truth = here.U[-1], here.rmse[-1], scene("rear").truth
    frames = Frames(
        images=(grey(weight(net, 1)), grey(U), grey(error(U, truth))),
        captions=("M in stage 1", f"last U, RMSE {rmse:.1f}", f"its error × {MAGNIFIED}"),
        alt="The crop rear",
        zoom=2,
    )
    lines = [
        line(CG, [min(r.rmse[-1], WORST) for r in made[c]], c, i, "path")
        for i, c in enumerate(CURVATURES)
    ]
    curve = _by_cg(
        lines=(*lines, line([cg], [min(rmse, WORST)], "shown", 3, "dots")),
        ylabel="RMSE of the last U",
        ylim=(8, WORST),
        fixed=len(lines),
        alt="RMSE of the estimate against the number of CG steps for two Jacobians",
        note=f"{curvature}, {cg} CG steps: RMSE {rmse:.2f}",
    )
    return frames, curve


@torch.no_grad()
def weight(net: NewtonSR, k: int, name: str = "rear") -> Tensor:
    """M of φ at the image that stage k starts from, mean over its filters."""
    x = list(net.states(measured(name), k - 1))[-1]
    phi = net.problem(k - 1, x, measured(name)).priors[0]
    v = x.U + x.L1 / net.log_s1[k - 1].exp()
    return net.curvature(phi.T(v) - phi.g, phi.theta).mean(1, keepdim=True)


class Inside(NamedTuple):
    """Of a stage's two priors: the share of clips that do not saturate; sizes in the second one."""

    phi: float
    psi: float
    g: float  # mean |g|
    seen: float  # mean |T2 v|


@torch.no_grad()
def inside(net: Stages, name: str) -> list[Inside]:
    """What the priors of every stage meet on a scene."""
    b, made = measured(name), []
    for k, x in zip(range(net.K), net.states(b), strict=False):
        problem = net.problem(k, x, b)
        share, seen = [], x.U
        for prior, s, L in zip(problem.priors, problem.s, problem.L, strict=True):
            seen = prior.T(x.U + L / s)
            share.append(float(clarke(seen - prior.g, prior.theta).mean()))
        made.append(Inside(share[0], share[1], float(x.g.abs().mean()), float(seen.abs().mean())))
    return made


@fetch.cached(fetch.nowhere)
def guided_by(strength: float, kind: str, name: str) -> tuple[Tensor, Tensor]:
    """(mixed guide, estimate): ``strength`` times the guide, the rest its mean."""
    checks.number("strength", strength, 0, 1)
    b = measured(name)
    Y = strength * b.Y + (1 - strength) * b.Y.mean()
    with torch.no_grad():
        return Y, network(kind, GUIDED)(Pair(b.Z, Y))


def guide(strength: float = 1.0, kind: str = "Newton", name: str = "rear") -> tuple[Frames, Curves]:
    """The same network with a fainter guide; at 0 the guide is one constant.

    strength : one of ``STRENGTHS``.
    """
    checks.one_of("strength", strength, STRENGTHS)
    checks.one_of("kind", kind, tuple(KINDS))
    truth = scene(name).truth
    rmse = {n: [scores.rmse(guided_by(t, n, name)[1], truth) for t in STRENGTHS] for n in KINDS}
    Y, U = guided_by(strength, kind, name)
    here = rmse[kind][STRENGTHS.index(strength)]
    frames = Frames(
        images=tuple(grey(t) for t in (Y, U, error(U, truth))),
        captions=("guide as given", f"estimate, RMSE {here:.2f}", f"its error × {MAGNIFIED}"),
        alt=f"The scene {name}",
        zoom=2,
    )
    lines = [line(STRENGTHS, v, n, i, "path") for i, (n, v) in enumerate(rmse.items())]
    curve = Curves(
        lines=(*lines, line([strength], [here], "shown", list(KINDS).index(kind), "dots")),
        xlabel="strength of the guide",
        ylabel="RMSE",
        xlim=(-0.05, 1.05),
        ylim=(0, 25),
        alt="RMSE of the three networks against the strength of the guide",
        size=WIDE,
        note=f"{kind}, {name}, strength {strength:g}: RMSE {here:.2f}",
    )
    return frames, curve


def stage_explorer() -> Explorer:
    """Sliders over ``stage``."""
    last = min(network(kind).K for kind in KINDS)
    return Explorer(
        stage,
        {
            "k": Slider("stages", tuple(range(last + 1)), last, "{:d}"),
            "kind": Slider("network", tuple(KINDS)),
            "name": Slider("scene", SCENES),
        },
        "Which network's stages could you stop at? Look at the floor, too.",
        guess=guesses.STAGES,
    )


def products_explorer() -> Explorer:
    """Sliders over ``products``."""
    last = network("Newton").K
    return Explorer(
        products,
        {
            "cg": Slider("CG steps a stage", CG, CG.index(4), "{:d}"),
            "k": Slider("stage", tuple(range(1, last + 1)), last - 1, "{:d}"),
            "name": Slider("scene", ("rear", "planes")),
        },
        "It was trained with 4 steps. What do more of them do to the system, and to the image?",
        guess=guesses.PRODUCTS,
    )


def jacobian_explorer() -> Explorer:
    """Sliders over ``jacobian``."""
    return Explorer(
        jacobian,
        {
            "curvature": Slider("curvature M", CURVATURES),
            "cg": Slider("CG steps a stage", CG, CG.index(4), "{:d}"),
        },
        "Solve the system better and better: with which M does the image get better, too?",
        guess=guesses.JACOBIAN,
    )


def guide_explorer() -> Explorer:
    """Sliders over ``guide``."""
    rmse = lambda t, n: scores.rmse(guided_by(t, "Newton", n)[1], scene(n).truth)
    whole, none = ({n: rmse(t, n) for n in ("rear", "planes")} for t in (1.0, 0.0))
    return Explorer(
        guide,
        {
            "strength": Slider("strength of the guide", STRENGTHS, len(STRENGTHS) - 1, "{:.2f}"),
            "kind": Slider("network", tuple(KINDS)),
            "name": Slider("scene", ("rear", "planes")),
        },
        "How much of the estimate comes from the guide?",
        guess=guesses.without_guide(whole, none),
    )
