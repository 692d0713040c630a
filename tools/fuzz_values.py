"""Good arguments for every public door, by name; and which shapes a door may leave to its caller.

``value`` looks for ``room.module.callable.parameter`` first, then for the parameter among its
room's, then takes the default. Everything is small, so that a call takes about a millisecond.
"""

import inspect
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from functools import partial
from typing import Any

import torch
from fuzz_makers import (
    FLOOR,
    Makers,
    block_operator,
    blur_kernel,
    curves,
    frames,
    hyperlista,
    lasso,
    matrix,
    normal,
    problem,
    rand,
    target_net,
)
from fuzz_rooms import COMMON
from fuzz_rooms import ROOMS as ROOMS
from fuzz_special import SPECIAL

from dunfold_lib import deblurring, explore, operators, phase, wavelets
from dunfold_lib.hyperspectral import algorithm as hc
from dunfold_lib.hyperspectral import model as hm
from dunfold_lib.hyperspectral.data import Noise
from dunfold_lib.hyperspectral.patches import Patches
from dunfold_lib.imaging import equilibrium, langevin
from dunfold_lib.imaging import model as im
from dunfold_lib.imaging.denoisers import BoundedDenoiser, Denoiser, LearnedProx
from dunfold_lib.newton_sr import downsampling, jacobians
from dunfold_lib.newton_sr import model as nm
from dunfold_lib.small_target import fast
from dunfold_lib.small_target import model as tm
from dunfold_lib.sparse import data as sparse_data
from dunfold_lib.sparse import model as sm

MODULES = tuple(
    f"{room}{module}"
    for room, modules in {
        "": "prox operators wavelets datasets metrics solvers blocks show explore conformal",
        "deblurring.": "model algorithm data",
        "phase.": "model algorithm data theory",
        "sparse.": "model algorithm duality theory coherence data",
        "imaging.": "model baselines denoisers plug_and_play fast theory data released masks "
        "langevin equilibrium self_supervised generative",
        "hyperspectral.": "model measurement algorithm lowrank patches baselines classify data "
        "fast",
        "newton_sr.": "model algorithm ssnal jacobians lasso envelope downsampling baselines data",
        "small_target.": "model layers weights baselines scores fast theory data released",
    }.items()
    for module in modules.split()
)

# What no reader calls: pieces of one function, and bases that have nothing to call. Files are
# the other fuzzer's.
PIECES = {
    "operators": "Linear",
    "datasets": "bell cells",  # of a caller's own grid and width
    "solvers": "starting_point",
    "blocks": "along rim Less edges",
    "show": "figure axes_box svg Html unique panel_html each_line",
    "explore": "Explorer.widget Slider.html",
    "deblurring.model": "fresh",
    "deblurring.algorithm": "step begin differences",
    "deblurring.data": "draw seen photographs",
    "phase.algorithm": "measured settled largest",
    "sparse.model": "Layers",
    "imaging.model": "Phases Within conv channels_last filters precision names",
    "imaging.baselines": "rounding",
    "imaging.denoisers": "relaxed",
    "imaging.fast": "into Shrink shrunk plus_phase on_image",
    # the last one reads all photographs
    "imaging.data": "read_image read_folder data_folder head_slices training_images",
    "imaging.released": "load_experiment load_operator",
    "imaging.masks": "is_mask",  # a check
    # losses, as ``fit`` calls them, and their pieces
    "imaging.equilibrium": "square_loss",
    "imaging.self_supervised": "joined cut by_distance consistency equivariance sure supervised "
    "alone equivariant",
    "imaging.generative": "noisy build train restored measure",
    "hyperspectral.model": "Sweeps",
    "hyperspectral.measurement": "is_noisy",  # shapes and types alone, of a caller's own r
    "hyperspectral.patches": "strongest",
    "hyperspectral.data": "indian_pines labels part",
    "newton_sr.model": "Stages Filters Response",
    "newton_sr.ssnal": "Counted counted Solution.noted descended",
    "newton_sr.lasso": "checked doubled largest",
    "newton_sr.data": "read stored read_pairs data_folder required middlebury motorcycle worldview",
    "small_target.model": "Stages Light",
    "small_target.layers": "Excite Learned conv layers neck",
    "small_target.scores": "components scores_of",
    "small_target.fast": "folded mean_after Compact Merged replaced",
    "small_target.data": "Draw fractal sky cloud horizon ground",
    "small_target.released": "load_experiment",
}
INTERNAL = {f"{module}.{name}" for module, names in PIECES.items() for name in names.split()}


def value(door: str, parameter: inspect.Parameter) -> Any:
    """A good value for a parameter of a door."""
    name = f"{door}.{parameter.name}"
    room = COMMON | ROOMS.get(door.split(".")[0], FLOOR)
    for pattern, make in SPECIAL.items():
        if fnmatch(name, pattern):
            return make()
    if parameter.name in room:
        return room[parameter.name]()
    if parameter.default is not inspect.Parameter.empty:
        return parameter.default
    raise LookupError(f"{name} has no good value; give it one in tools/fuzz_values.py")


def _alike(path: str, kinds: tuple[Any, ...], make: Callable[[Any], Any]) -> Makers:
    """Instances of classes that are made alike."""
    return {f"{path}{kind.__name__}": partial(make, kind) for kind in kinds}


INSTANCES: Makers = {
    "operators.Matrix": matrix,
    "operators.Mask": lambda: operators.Mask((rand(6, 6) > 0.5).float()),
    "operators.Sensing": lambda: operators.Sensing(normal(4, 9)),
    "operators.Blockwise": lambda: operators.Blockwise(operators.Sensing(normal(4, 9)), (8, 8)),
    "operators.Fourier": lambda: operators.Fourier((rand(6, 6) > 0.5).float()),
    "operators.Blur": lambda: operators.Blur(rand(3, 3), (8, 8)),
    "wavelets.Wavelet": lambda: wavelets.Wavelet((8, 8), "haar", 1),
    "operators.Compose": lambda: operators.Compose(
        operators.Mask(torch.ones(8, 8)), wavelets.Wavelet((8, 8), "haar", 1)
    ),
    "explore.Slider": lambda: explore.Slider("v", (1, 2)),
    "explore.Guess": lambda: explore.Guess("?", ("a", "b"), "a", "because"),
    "explore.Explorer": lambda: explore.Explorer(
        lambda v: curves(), {"v": explore.Slider("v", (1, 2))}, "c"
    ),
    "sparse.data.SparseProblem": lambda: sparse_data.SparseProblem(5, 8, dtype=torch.float64),
    "sparse.model.HyperLISTA": hyperlista,
    **_alike(
        "sparse.model.", (sm.LISTA, sm.LISTACP, sm.TiLISTA, sm.ALISTA), lambda k: k(matrix(), 3)
    ),
    "deblurring.model.PrimalDualNet": lambda: deblurring.PrimalDualNet(
        2, 1, 2, kernel=blur_kernel()
    ),
    "phase.model.FlowNet": lambda: phase.FlowNet(2).double(),
    **_alike("imaging.model.", (im.ISTANet, im.ISTANetPlus), lambda k: k(block_operator(), 2, 2)),
    "hyperspectral.algorithm.Star": lambda: hc.Star(side=3, beta=1.0, gamma2=0.5, mu=1.0),
    **_alike(
        "hyperspectral.model.",
        (hm.SMDSNet, hm.STARNet, hm.STARNetS, hm.STARNetPaper),
        lambda k: k(K=2, side=3, r=3),
    ),
    **_alike(
        "newton_sr.model.",
        (nm.NewtonSR, nm.LearnedInverseSR, nm.FirstOrderSR),
        lambda k: k(ratio=2, K=2, c=2, f=3),
    ),
    "newton_sr.model.PlainSR": lambda: nm.PlainSR(ratio=2, f=3),
    "newton_sr.algorithm.Problem": problem,
    "newton_sr.lasso.Lasso": lasso,
    "newton_sr.jacobians.L1": jacobians.L1,
    "newton_sr.jacobians.Groups": lambda: jacobians.Groups(2),
    "newton_sr.jacobians.Shrink": lambda: problem().priors[0],
    "newton_sr.downsampling.Downsample": lambda: downsampling.Downsample((8, 8), 2),
    "newton_sr.downsampling.Spectral": lambda: downsampling.Spectral(rand(2, 3), (8, 8)),
    "small_target.model.RPCANet": lambda: tm.RPCANet(2, 3).eval(),
    "small_target.model.LRPCANet": target_net,
    "small_target.model.TwoTerm": lambda: tm.TwoTerm(2, 4, 2).eval(),
    "small_target.data.Frames": frames,
    "small_target.fast.Prepared": lambda: fast.Prepared(target_net()),
    "imaging.equilibrium.Equilibrium": lambda: equilibrium.Equilibrium(block_operator(), 2, 3),
    "imaging.equilibrium.Tied": lambda: equilibrium.Tied(block_operator(), 2, 2, 3),
    "imaging.langevin.Wiener": lambda: langevin.Wiener(rand(8, 5).double() + 0.1),
    "imaging.denoisers.BoundedDenoiser": lambda: BoundedDenoiser(2, 2),
    "imaging.denoisers.Denoiser": lambda: Denoiser(2, 2),
    "imaging.denoisers.LearnedProx": lambda: LearnedProx(2, 3),
    "hyperspectral.patches.Patches": lambda: Patches(3, 2),
    "hyperspectral.data.Noise": lambda: Noise(10.0, impulse=0.1),
}


def instance(path: str, kind: type) -> Any:
    """A small instance of a class, for its methods."""
    torch.manual_seed(0)
    return INSTANCES[f"{path}.{kind.__name__}"]()


# Where a shape may differ from the good one: (door, parameter, label), as patterns.
FREE: tuple[tuple[str, str, str], ...] = (
    ("*.readout", "*", "*"),  # reads one field
    ("hyperspectral.algorithm.Star.dictionary", "*", "*"),  # reads how many images G has
    ("imaging.theory.variance_factor", "*", "*=1"),  # a matrix of one column
    ("newton_sr.downsampling.Downsample.at", "*", "*"),  # any leading axes
    ("show.line", "*", "*"),  # flattens
    ("deblurring.algorithm.analyse", "x", "shape [[]0]*"),  # a batch of any size
    ("deblurring.algorithm.iterates", "b", "shape [[]0]*"),
    ("deblurring.algorithm.synthesise", "p", "shape [[]0]*"),
    ("deblurring.model.PrimalDualNet.residual", "v", "shape [[]0]?1"),
    ("hyperspectral.model.*.blend", "alpha", "*"),  # a number
    ("small_target.model.*", "N", "*"),  # a tensor or a number, which broadcasts
    ("newton_sr.downsampling.mix", "H", "*"),  # any number of rows
    ("newton_sr.baselines.ratio_of", "[ZY]", "shape [[]1]*"),  # any number of channels
    ("newton_sr.downsampling.mix", "x", "shape [[]0]*"),  # a batch of any size
    ("newton_sr.jacobians.*", "theta", "*"),  # broadcasts, as it says
    ("newton_sr.jacobians.*", "a", "shape [[]None]"),  # to any leading axes of a
    ("prox.*", "t", "*"),  # the same
    ("sparse.model.*", "lam", "*"),
    ("sparse.algorithm.*", "lam", "*"),
    ("small_target.scores.*", "*", "shape [[]0]: shape [[]None]"),  # (h, w) or (1, h, w)
)
DEAF: tuple[str, ...] = (
    "*.readout.*",
    "*.start.b",  # x⁰ = 0
    "*.states.depth: zero",  # the same: x⁰ alone
    "*.fits.*",  # looks at shapes alone
    *("newton_sr.downsampling.Downsample.at.like", "hyperspectral.patches.Patches.count.like"),
    "hyperspectral.algorithm.Star.dictionary.*",
    "hyperspectral.algorithm.Star.objective.x: [LU]:*",  # not in the objective
    "hyperspectral.model.*.layer.b: A:*",  # the state has its own A, which moves
    "datasets.crop.x",  # cuts; the NaN may lie outside
    "show.image_uri.image",  # a picture; it says what NaN becomes
    "newton_sr.data.filled.d",  # fills NaN in: that is what it is for
    "newton_sr.jacobians.*.jacobian.v",  # gives a function
    "newton_sr.jacobians.Shrink.curvature.v",  # gives a function
    "newton_sr.algorithm.Problem.V.*",
    "newton_sr.model.*.layer.b: Y:*",  # the guide is read once, by start
    "newton_sr.model.*.problem.*",  # gives a problem, in which the NaN may stand
    "newton_sr.jacobians.*.active.v",  # a mask, which has no place for NaN
    "newton_sr.jacobians.clarke.theta",  # |a| < NaN is false
    *("small_target.model.*.background.x", "small_target.model.*.parts.x"),  # read some fields
    "small_target.model.*.targets.x",
    "small_target.model.*.layer.x: B:*",  # which a stage makes anew
    "small_target.model.*.layer.b",  # a stage reads the image from the state
    "imaging.langevin.moments.states: [[]0[]]:*",  # which the burn leaves out
    "hyperspectral.algorithm.moved.A",  # reads which of its columns are zero
)
ENDLESS: tuple[str, ...] = (
    "metrics.psnr",  # of equal images
    *("conformal.radius", "conformal.radius_of_images"),  # too few scores for α
    "hyperspectral.model.as_sweeps",  # μ = ∞ is STAR without S
)


def free(door: str, parameter: str, label: str) -> bool:
    """Whether a door may take this argument in another shape."""
    return any(
        fnmatch(door, d) and fnmatch(parameter, p) and fnmatch(label, pattern)
        for d, p, pattern in FREE
    )


def deaf(door: str, labels: Mapping[str, str]) -> bool:
    """Whether a NaN in these arguments, by name and label, may leave the result finite."""
    given = [f"{door}.{n}{more}" for n, label in labels.items() for more in ("", f": {label}")]
    return any(fnmatch(text, d) for d in DEAF for text in given)


def endless(door: str) -> bool:
    """Whether a result may be infinite."""
    return any(fnmatch(door, d) for d in ENDLESS)
