"""Good arguments for every public door, by name; and which shapes a door may leave to its caller.

``value`` looks for ``room.module.callable.parameter`` first, then for the parameter among its
room's, then takes the default. Everything is small, so that a call takes about a millisecond.
"""

import inspect
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import explore, images, operators, show, wavelets
from dunfold_lib.hyperspectral import algorithm as hc
from dunfold_lib.hyperspectral import lowrank
from dunfold_lib.hyperspectral import model as hm
from dunfold_lib.hyperspectral.data import Noise
from dunfold_lib.hyperspectral.patches import Patches
from dunfold_lib.imaging import data as imaging_data
from dunfold_lib.imaging import model as im
from dunfold_lib.imaging.denoisers import Denoiser, LearnedProx
from dunfold_lib.newton_sr import algorithm as nc
from dunfold_lib.newton_sr import data as newton_data
from dunfold_lib.newton_sr import downsampling, jacobians
from dunfold_lib.newton_sr import model as nm
from dunfold_lib.newton_sr.lasso import Lasso
from dunfold_lib.small_target import data as target_data
from dunfold_lib.small_target import fast, released, scores
from dunfold_lib.small_target import model as tm
from dunfold_lib.sparse import algorithm as sparse_algorithm
from dunfold_lib.sparse import data as sparse_data
from dunfold_lib.sparse import model as sm

MODULES = (
    *(
        "prox",
        "operators",
        "wavelets",
        "datasets",
        "metrics",
        "solvers",
        "blocks",
        "show",
        "explore",
    ),
    *("sparse.model", "sparse.algorithm", "sparse.duality", "sparse.theory"),
    *("sparse.coherence", "sparse.data"),
    *("imaging.model", "imaging.baselines", "imaging.denoisers", "imaging.plug_and_play"),
    *("imaging.fast", "imaging.theory", "imaging.data", "imaging.released"),
    *("hyperspectral.model", "hyperspectral.measurement"),
    *("hyperspectral.algorithm", "hyperspectral.lowrank"),
    *("hyperspectral.patches", "hyperspectral.baselines", "hyperspectral.classify"),
    *("hyperspectral.data", "hyperspectral.fast"),
    *("newton_sr.model", "newton_sr.algorithm", "newton_sr.ssnal", "newton_sr.jacobians"),
    *("newton_sr.lasso", "newton_sr.envelope"),
    *("newton_sr.downsampling", "newton_sr.baselines", "newton_sr.data"),
    *("small_target.model", "small_target.layers", "small_target.weights"),
    *("small_target.baselines", "small_target.scores"),
    *("small_target.fast", "small_target.theory", "small_target.data", "small_target.released"),
)

# What no reader calls: pieces of one function, and bases that have nothing to call. Files are
# the other fuzzer's.
INTERNAL = {
    "operators.Linear",
    "solvers.starting_point",
    *("datasets.bell", "datasets.cells"),  # of a caller's own grid and width
    "show.figure",
    "show.axes_box",
    "show.svg",
    "show.Html",
    "show.unique",
    "show.panel_html",
    "explore.Explorer.widget",
    *(f"blocks.{n}" for n in ("along", "rim", "Less", "edges")),
    *(f"imaging.fast.{n}" for n in ("into", "Shrink", "shrunk")),
    *(f"imaging.fast.{n}" for n in ("plus_phase", "on_image")),
    *(f"imaging.model.{n}" for n in ("conv", "channels_last", "filters", "precision")),
    *("imaging.baselines.rounding", "imaging.model.names"),
    *(f"imaging.data.{n}" for n in ("read_image", "read_folder", "data_folder", "head_slices")),
    "imaging.data.training_images",  # reads all photographs
    *("imaging.released.load_experiment", "imaging.released.load_operator"),
    "hyperspectral.model.Sweeps",
    *(f"hyperspectral.data.{n}" for n in ("indian_pines", "labels", "part")),
    *(f"newton_sr.model.{n}" for n in ("Stages", "Filters", "Response")),
    *("newton_sr.ssnal.Counted", "newton_sr.ssnal.counted", "newton_sr.jacobians.Transform"),
    *("newton_sr.ssnal.Solution.noted", "newton_sr.ssnal.descended"),
    *(f"newton_sr.lasso.{n}" for n in ("checked", "doubled", "largest")),
    *(f"newton_sr.data.{n}" for n in ("read", "stored", "read_pairs", "data_folder")),
    *(f"newton_sr.data.{n}" for n in ("required", "middlebury", "motorcycle", "worldview")),
    *(f"small_target.layers.{n}" for n in ("Excite", "Learned", "conv", "layers", "neck")),
    *("small_target.model.Stages", "small_target.model.Light"),
    *(f"small_target.fast.{n}" for n in ("folded", "mean_after", "Compact", "Merged")),
    *(f"small_target.data.{n}" for n in ("Draw", "fractal", "sky", "cloud", "horizon", "ground")),
    *("small_target.scores.components", "small_target.scores.scores_of"),
    *("small_target.released.load_experiment", "imaging.denoisers.relaxed"),
}

Makers = dict[str, Callable[[], Any]]


def rand(*shape: int) -> Tensor:
    """Uniform numbers in [0, 1], float32."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def normal(*shape: int) -> Tensor:
    """Normal numbers, float64."""
    g = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=g, dtype=torch.float64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def truths(*shape: int) -> Tensor:
    """A mask with some targets."""
    return rand(*shape) > 0.8


def matrix() -> operators.Matrix:
    return operators.Matrix(normal(5, 8))


def hyperlista() -> sm.HyperLISTA:
    return sm.HyperLISTA(matrix(), 3, (0.1, 0.01, 0.1))


def image_operator() -> operators.Sensing:
    return operators.Sensing(torch.linalg.qr(normal(36, 12))[0].T.contiguous())


def block_operator() -> operators.Sensing:
    return operators.Sensing(torch.linalg.qr(normal(36, 12))[0].T.float().contiguous())


def strange_operators() -> list[operators.Linear]:
    return [
        operators.Matrix(normal(4, 8)),
        operators.Fourier(torch.ones(6, 6)),
        downsampling.Downsample((8, 8), 2),
    ]


def smooth(v: Tensor, sigma: float) -> Tensor:
    """A denoiser: means of neighbours, the more the larger σ."""
    mean = torch.nn.functional.avg_pool2d(v, 3, 1, 1, count_include_pad=False)
    return v + sigma / (1 + sigma) * (mean - v)


def star_net() -> hm.STARNet:
    return hm.STARNet(K=2, side=3, r=3)


def noisy_cube() -> hm.Noisy:
    Y = 5 * rand(2, 4, 6, 7)
    return hm.Noisy(Y, lowrank.subspace(Y, 3))


def star_state() -> hc.State:
    b = noisy_cube()
    return hc.Star(side=3, beta=1.0, gamma2=0.5, mu=1.0).start(*b)


def steps() -> hc.Steps:
    """One sweep of STAR, as ``swept`` takes it."""
    model = hc.Star(side=3)
    step = lambda Y, x: [*model.sweep(Y, x)][-1][1]
    return hc.Steps(model.R, model.start, [step], [True], [True])


def counts() -> scores.Counts:
    return scores.counts(truths(4, 1, 9, 8), truths(4, 1, 8, 9).mT)


def pair() -> downsampling.Pair:
    return downsampling.Pair(rand(2, 1, 4, 5), rand(2, 1, 8, 10))


def newton_net() -> nm.NewtonSR:
    return nm.NewtonSR(ratio=2, K=2, c=2, f=3)


def problem() -> nc.Problem:
    D = downsampling.Downsample((8, 8), 2, dtype=torch.float64)
    g = torch.zeros((), dtype=torch.float64)
    prior = jacobians.Shrink(operators.Mask(torch.ones(8, 8).double()), g + 0.1, g)
    zero = torch.zeros(2, 1, 8, 8, dtype=torch.float64)
    return nc.Problem(D, normal(2, 1, 4, 4), (prior, prior), (0.5, 0.5), (zero, zero))


def lasso() -> Lasso:
    return Lasso(normal(5, 8), normal(5), 0.1)


def target_net() -> tm.LRPCANet:
    return tm.LRPCANet(K=2, c=4, b=2, n_noise=1).eval()


def frames() -> target_data.Frames:
    return target_data.Frames(("a", "b"), (255 * rand(2, 1, 40, 36)).byte(), truths(2, 1, 40, 36))


def curves() -> show.Curves:
    lines = (show.line([0, 1], [0, 1]),)
    return show.Curves(lines, "x", "y", "a", xlim=(0.0, 1.0), ylim=(0.0, 1.0))


def ist_weights() -> dict[str, Any]:
    net = im.ISTANet(block_operator(), 1, 2)
    names = {"C1": "conv1_forward", "C2": "conv2_forward"}
    names |= {"C3": "conv1_backward", "C4": "conv2_backward"}
    held: dict[str, Any] = {"lambda_step": net.rho[:1], "soft_thr": net.theta[:1]}
    held |= {theirs: getattr(net, ours)[0] for ours, theirs in names.items()}
    return {f"fcs.0.{k}": v.detach().numpy() for k, v in held.items()}


def rpca_weights() -> dict[str, Any]:
    """Released weights of an RPCA-Net of one stage and two channels, by their names."""
    net = tm.RPCANet(1, 2)
    return {name: tensor.detach().numpy() for name, tensor in released._places(net, {}).items()}


FLOOR: Makers = {
    "x": lambda: rand(3, 6),
    "t": lambda: 0.3,
    "count": lambda: 2,
    "A": matrix,
    "estimate": lambda: rand(2, 3, 8, 9),
    "truth": lambda: rand(2, 3, 9, 8).mT.contiguous(),
    "first": lambda: rand(3, 2, 3, 3),
    "second": lambda: rand(4, 3, 3, 3),
    "V": lambda: lambda x: 2 * x,
    "c": lambda: normal(2, 4),
    "steps": lambda: 3,
    "start": lambda: normal(2, 4) + 1,
    "iterations": lambda: 5,
    "seed": lambda: 3,
    "mask": lambda: (rand(6, 6) > 0.5).float(),
    "size": lambda: (8, 8),
    "kernel": lambda: rand(3, 3),
    "name": lambda: "haar",
    "levels": lambda: 1,
    "Phi": lambda: normal(4, 9),
    "block": lambda: operators.Sensing(normal(4, 9)),
    "outer": lambda: operators.Mask(torch.ones(8, 8)),
    "inner": lambda: wavelets.Wavelet((8, 8), "haar", 1),
    "y": lambda: rand(5),
    "image": lambda: rand(4, 4).double().numpy(),
    "images": lambda: (rand(4, 4).double().numpy(),),
    "captions": lambda: ("a",),
    "alt": lambda: "alt",
    "head": lambda: ["a", "b"],
    "rows": lambda: [[1, 2.0]],
    "texts": lambda: {"a": "1.5"},
    "left": lambda: sparse_algorithm.objective,
    "right": lambda: sparse_algorithm.ista_step,
    "label": lambda: "v",
    "values": lambda: (1.0, 2.0),
    "sliders": lambda: {"v": explore.Slider("v", (1, 2))},
    "draw": lambda: lambda v: curves(),
    "caption": lambda: "caption",
    "index": lambda: (1,),
    "lines": lambda: (show.line([0, 1], [0, 1]),),
    "xlabel": lambda: "x",
    "ylabel": lambda: "y",
    "xlim": lambda: (0.0, 1.0),
    "ylim": lambda: (0.0, 1.0),
    "size_": lambda: (5.2, 3.3),
}

SPARSE: Makers = {
    "A": matrix,
    "b": lambda: normal(3, 5),
    "lam": lambda: 0.1,
    "x": lambda: normal(3, 8),
    "start": lambda: normal(3, 8) + 1,
    "K": lambda: 3,
    "L": lambda: 40.0,
    "betas": lambda: [0.0, 0.3],
    "W": lambda: normal(5, 8) + 1,
    "support": lambda: (0.1, 0.5),
    "c": lambda: (0.1, 0.01, 0.1),
    "k": lambda: 1,
    "depth": lambda: 1,
    "gap": lambda: 1e-3,
    "limit": lambda: 4000,
    "lams": lambda: [0.5, 0.2],
    "distance": lambda: 2.0,
    "xs": lambda: [normal(1, 8), normal(1, 8) + 1],
    "x_star": lambda: torch.tensor([1.0, 0, -2, 0, 0, 0, 0, 0]).double(),
    "m": lambda: 5,
    "n": lambda: 8,
    "mu": lambda: 0.1,
    "s": lambda: 2,
    "gamma": lambda: 0.9,
    "largest": lambda: 1.0,
    "noise": lambda: 0.01,
    "column": lambda: 2,
    "side": lambda: 32,
    "sigma": lambda: 1.5,
    "truth": lambda: rand(1, 1, 32, 32),
    "kept": lambda: 0.5,
    "batch": lambda: 2,
    "first": lambda: 1.0,
    "E": lambda: [3.0, 2.0, 1.0],
    "smallest": lambda: 0.5,
    "trusted": lambda: [1, 2],
    "gain": lambda: 0.5,
    "g": generator,
    "p": lambda: 0.3,
    "condition": lambda: 2.0,
    "snr_db": lambda: 20.0,
    "dtype": lambda: torch.float64,
}

IMAGING: Makers = {
    "A": image_operator,
    "W": lambda: wavelets.Wavelet((6, 6), "haar", 1),
    "b": lambda: normal(2, 12),
    "x": lambda: normal(2, 1, 6, 6),
    "start": lambda: normal(2, 1, 6, 6),
    "v": lambda: normal(2, 1, 6, 6),
    "p": lambda: normal(2, 2, 6, 6),
    "u": lambda: rand(2, 1, 6, 6),
    "z": lambda: rand(2, 2, 6, 6),
    "rho": lambda: 0.5,
    "theta": lambda: 0.1,
    "lam": lambda: 0.1,
    "K": lambda: 2,
    "k": lambda: 1,
    "depth": lambda: 1,
    "c": lambda: 0.5,
    "steps": lambda: 3,
    "channels": lambda: 2,
    "Q": lambda: rand(36, 12),
    "seed": lambda: 3,
    "ratio": lambda: 0.1,
    "sigma": lambda: 0.1,
    "sigmas": lambda: [0.2, 0.1],
    "noise": lambda: 0.05,
    "high": lambda: 0.5,
    "low": lambda: 0.1,
    "denoise": lambda: smooth,
    "f": lambda: torch.sin,
    "generator": generator,
    "draws": lambda: 20,
    "mu": lambda: 0.1,
    "L": lambda: 1.0,
    "eps": lambda: 0.1,
    "D": lambda: 0.5 * torch.eye(6).double(),
    "C": lambda: torch.eye(9).double() + 0.1,
    "B": lambda: normal(3, 5),
    "Phi": lambda: normal(4, 6),
    "value": lambda: 0.5,
    "n": lambda: 6,
    "m": lambda: 3,
    "net": lambda: im.ISTANetPlus(block_operator(), 2, 2),
    "truth": lambda: rand(2, 1, 6, 6),
    "image": lambda: rand(1, 1, 8, 13),
    "pixels": lambda: rand(6, 5).numpy(),
    "images": lambda: [rand(1, 1, 8, 8), rand(1, 1, 7, 9)],
    "side": lambda: 3,
    "stride": lambda: 2,
    "cut": lambda: rand(5, 1, 3, 3),
    "numbers": lambda: imaging_data.packed(torch.eye(9).double() + 0.1),
    "layers": lambda: 2,
    "means": lambda: normal(3),
    "deviation": lambda: 0.1,
    "part": lambda: "test",
    "weights": ist_weights,
    "dtype": lambda: torch.float64,
}

HYPER: Makers = {
    "Y": lambda: 5 * rand(2, 4, 6, 7),
    "A": lambda: noisy_cube().A,
    "G": lambda: rand(2, 3, 6, 7),
    "X": lambda: normal(2, 3, 4),
    "B": lambda: rand(2, 3, 9, 20),
    "M": lambda: normal(2, 5, 3),
    "sigma": lambda: 0.5,
    "tau": lambda: 0.3,
    "r": lambda: 3,
    "window": lambda: 3,
    "model": lambda: hc.Star(side=3),
    "x": star_state,
    "sweeps": lambda: 1,
    "net": star_net,
    "b": noisy_cube,
    "truth": lambda: 5 * rand(2, 4, 6, 7),
    "K": lambda: 2,
    "k": lambda: 1,
    "depth": lambda: 1,
    "side": lambda: 3,
    "stride": lambda: 2,
    "procrustes": lambda: 1,
    "size": lambda: (6, 7),
    "like": lambda: rand(2),
    "D1": lambda: rand(3, 3),
    "D2": lambda: rand(3, 3),
    "D3": lambda: rand(3, 3),
    "n": lambda: 4,
    "image": lambda: rand(8, 8).double().numpy(),
    "denoise": lambda: lambda image, sigma: image,
    "most": lambda: 2,
    "steps": lambda: 2,
    "lam": lambda: 4.0,
    "ranks": lambda: (2, 3, 3),
    "y": lambda: torch.tensor([1, 1, 2, 2, 3, 3]),
    "new": lambda: rand(4, 5),
    "found": lambda: torch.tensor([1, 2, 2, 2, 3, 3]),
    "cube": lambda: rand(1, 4, 6, 7),
    "labels": lambda: (torch.arange(42) % 3).reshape(6, 7),
    "share": lambda: 0.3,
    "g": generator,
    "a": lambda: rand(4, 5, 3).numpy(),
    "core": lambda: 4,
    "halo": lambda: 2,
    "stored": lambda: (4000 * rand(5, 6, 4)).numpy().astype("uint16"),
    "doubtful": lambda: rand(5, 6, 4).numpy() > 0.9,
    "name": lambda: "a cube",
    "bands": lambda: 4,
    "materials": lambda: 2,
    "batch": lambda: 2,
    "YA": lambda: rand(2, 3, 6, 7),
    "patches": lambda: rand(2, 3, 9, 20),
    "alpha": lambda: torch.tensor(0.3),
    "gamma1": lambda: 0.9,
    "gamma2": lambda: 0.5,
    "beta": lambda: 1.0,
    "mu": lambda: 1.0,
    "varying": lambda: False,
    "dtype": lambda: torch.float64,
}

NEWTON: Makers = {
    "net": newton_net,
    "b": pair,
    "truth": lambda: rand(2, 1, 8, 10),
    "residual": lambda: 0.1,
    "fourier": lambda: 0.1,
    "ratio": lambda: 2,
    "K": lambda: 2,
    "k": lambda: 1,
    "depth": lambda: 1,
    "c": lambda: 2,
    "f": lambda: 3,
    "alpha": lambda: 0.1,
    "problem": problem,
    "start": lambda: normal(2, 1, 8, 8),
    "enough": lambda: 0.01,
    "d": lambda: normal(2, 1, 8, 8),
    "phi": lambda: 100.0,
    "slope": lambda: -1.0,
    "U": lambda: normal(2, 1, 8, 8),
    "eps": lambda: 0.1,
    "M": lambda: jacobians.clarke,
    "tol": lambda: 1e-2,
    "outer": lambda: 100,
    "newton": lambda: 5,
    "cg": lambda: 20,
    "inner": lambda: 0.1,
    "step": lambda: 0.1,
    "x": lambda: normal(8),
    "v": lambda: normal(8),
    "t": lambda: 0.1,
    "sigma": lambda: 100.0,
    "rho": lambda: 1.0,
    "iterates": lambda: iter([normal(8), normal(8)]),
    "size": lambda: (8, 8),
    "a": lambda: normal(3, 4),
    "theta": lambda: torch.full((3, 4), 0.1).double(),
    "g": generator,
    "F": lambda: torch.sin,
    "V": lambda: lambda x: 2 * x,
    "p": lambda: normal(2, 1, 8, 8),
    "like": lambda: normal(2, 4),
    "residuals": lambda: [1.0, 0.1, 0.001],
    "w": lambda: rand(2, 3, 3, 3),
    "grid": lambda: 8,
    "n": lambda: 8,
    "H": lambda: rand(2, 3),
    "Z": lambda: rand(2, 2, 4, 5),
    "Y": lambda: rand(2, 1, 8, 10),
    "r": lambda: rand(2, 1, 4, 4),
    "radius": lambda: 1,
    "lam": lambda: 0.01,
    "contrast": lambda: 0.1,
    "held": lambda: [images.Stored(rand(4, 5).numpy(), 0.0, "a")],
    "scene": lambda: newton_data.Scene(rand(1, 1, 8, 10), rand(1, 1, 8, 10)),
    "scenes": lambda: {"a": newton_data.Scene(rand(1, 1, 8, 10), rand(1, 1, 8, 10))},
    "name": lambda: "an image",
    "side": lambda: 8,
    "regions": lambda: 3,
    "texture": lambda: 0.1,
    "bands": lambda: 4,
    "guides": lambda: 1,
    "materials": lambda: 2,
    "batch": lambda: 2,
    "condition": lambda: 100.0,
    "m": lambda: 5,
    "nonzeros": lambda: 4,
    "group": lambda: 2,
    "noise": lambda: 0.1,
    "dtype": lambda: torch.float64,
    "floor": lambda: 1e-12,
    "width": lambda: 2,
}

TARGET: Makers = {
    "net": target_net,
    "b": lambda: rand(2, 1, 9, 8),
    "T": lambda: normal(2, 1, 9, 8),
    "truth": lambda: truths(2, 1, 9, 8).double(),
    "logit": lambda: 1.0,
    "smooth": lambda: 0.5,
    "threshold": lambda: 0.1,
    "keep": lambda: 0.5,
    "K": lambda: 2,
    "c": lambda: 4,
    "n_noise": lambda: 1,
    "k": lambda: 1,
    "depth": lambda: 1,
    "x": lambda: target_net().start(rand(2, 1, 9, 8)),
    "B": lambda: rand(2, 1, 9, 8),
    "N": lambda: rand(2, 1, 9, 8),
    "side": lambda: 5,
    "P": lambda: normal(6, 5),
    "t": lambda: 0.5,
    "lam": lambda: 0.3,
    "mu": lambda: 1.0,
    "mu_end": lambda: 0.1,
    "shrink": lambda: 0.9,
    "tol": lambda: 1e-4,
    "steps": lambda: 300,
    "D": lambda: rand(2, 1, 9, 8),
    "score": lambda: rand(9, 8),
    "share": lambda: 0.5,
    "image": lambda: rand(9, 10),
    "scales": lambda: (3, 5),
    "length": lambda: 9,
    "patch": lambda: 4,
    "step": lambda: 3,
    "size": lambda: (9, 10),
    "predicted": lambda: truths(2, 1, 8, 9).mT,
    "score_": lambda: rand(9, 8),
    "points": lambda: 5,
    "thresholds": lambda: [0.3, 0.6],
    "cuts": lambda: [0.3, 0.6],
    "first": counts,
    "second": counts,
    "level": lambda: 0.9,
    "F": lambda: torch.sin,
    "y": lambda: rand(3, 6) + 1,
    "sigma": lambda: 5.0,
    "density": lambda: 0.1,
    "frames": frames,
    "rows": lambda: [0, 1],
    "g": generator,
    "scene": lambda: rand(36, 40),
    "scenes": lambda: [rand(36, 40)],
    "count": lambda: 2,
    "batch": lambda: 2,
    "seed": lambda: 3,
    "weights": rpca_weights,
    "b_": lambda: 2,
}

ROOMS = {
    "sparse": SPARSE,
    "imaging": IMAGING,
    "hyperspectral": HYPER,
    "newton_sr": NEWTON,
    "small_target": TARGET,
}

SPECIAL: Makers = {
    "operators.fits.b": lambda: normal(3, 5),
    "operators.fits.x": lambda: normal(3, 8),
    "sparse.theory.ista_bound_longer.t": lambda: 0.04,
    "imaging.theory.local_radius.step": lambda: torch.sin,
    "imaging.theory.mixture_*.v": lambda: normal(4),
    "hyperspectral.algorithm.swept.s": steps,
    "small_target.scores.best_cut.score": lambda: [rand(9, 8), rand(9, 8)],
    "small_target.scores.best_cut.truth": lambda: [truths(9, 8), truths(9, 8)],
    "small_target.scores.interval.found": counts,
    "metrics.nmse_db*.estimate": lambda: rand(2, 6),
    "metrics.nmse_db*.truth": lambda: rand(2, 6) + 1,
    "metrics.psnr.estimate": lambda: rand(8, 9),
    "metrics.psnr.truth": lambda: rand(8, 9) * 0.9,
    "metrics.ssim.estimate": lambda: rand(8, 9),
    "metrics.ssim.truth": lambda: rand(8, 9) * 0.9,
    "operators.Matrix.A": lambda: normal(5, 8),
    "operators.Matrix.*.x": lambda: normal(2, 8),
    "operators.Matrix.*.r": lambda: normal(2, 5),
    "operators.Mask.*.[xr]": lambda: rand(2, 1, 6, 6),
    "operators.Sensing.*.x": lambda: normal(2, 1, 3, 3),
    "operators.Sensing.*.r": lambda: normal(2, 4),
    "operators.Blockwise.*.x": lambda: normal(2, 1, 8, 8),
    "operators.Blockwise.*.r": lambda: normal(2, 9, 4),
    "operators.Blockwise.join.blocks": lambda: normal(18, 1, 3, 3),
    "operators.Fourier.*.x": lambda: rand(2, 1, 6, 6),
    "operators.Fourier.*.r": lambda: rand(2, 2, 6, 6),
    "operators.Blur.*.[xr]": lambda: rand(2, 1, 8, 8),
    "wavelets.Wavelet.*.[xr]": lambda: rand(2, 1, 8, 8),
    "operators.Compose.*.[xr]": lambda: rand(2, 1, 8, 8),
    "explore.Slider.start": lambda: 0,
    "explore.Guess.asked": lambda: "?",
    "explore.Guess.answer": lambda: "because",
    "explore.Guess.choices": lambda: ("a", "b"),
    "explore.Guess.right": lambda: "a",
    "explore.Explorer.guess": lambda: explore.Guess("?", ("a", "b"), "a", "because"),
    "show.line.x": lambda: rand(5),
    "show.array.x": lambda: rand(5),
    "show.running_mean.losses": lambda: [3.0, 2.0, 1.0],
    "show.by_name.found": lambda: {"a": [3.0, 2.0]},
    "show.by_name.x": lambda: [1.0, 2.0],
    "show.losses.at": lambda: [1, 2],
    "show.Line.x": lambda: rand(5).double().numpy(),
    "show.Line.y": lambda: rand(5).double().numpy(),
    "show.Curves.size": lambda: (5.2, 3.3),
    "sparse.model.HyperLISTA.layer.s": lambda: hyperlista().start(normal(3, 5)),
    "sparse.model.*LISTA*.layer.x": lambda: normal(3, 8),
    "sparse.model.HyperLISTA.readout.s": lambda: hyperlista().start(normal(3, 5)),
    "sparse.theory.*.A": lambda: normal(5, 8),
    "sparse.coherence.*.A": lambda: normal(5, 8),
    "sparse.theory.local_rate.support": lambda: torch.tensor([1, 0, 1, 0, 0, 0, 0, 0]) > 0,
    "sparse.coherence.generalised_coherence.gap": lambda: 0.1,
    "sparse.data.SparseProblem.A": lambda: None,
    "sparse.data.gaussian_kernel.side": lambda: 5,
    "imaging.model.ISTANetPlus.transform.u": lambda: rand(2, 2, 6, 6),
    "imaging.model.*.b": lambda: rand(2, 12),
    "imaging.model.*.x": lambda: rand(2, 1, 6, 6),
    "imaging.model.*.A": block_operator,
    "imaging.fast.*.b": lambda: rand(2, 12),
    "imaging.released.*.A": block_operator,
    "imaging.denoisers.*.v": lambda: rand(2, 1, 6, 6),
    "imaging.denoisers.nl_means.v": lambda: rand(2, 1, 16, 16),
    "imaging.denoisers.*.channels": lambda: 2,
    "imaging.theory.*.A": lambda: normal(5, 4),
    "imaging.theory.linear_iterates.b": lambda: normal(2, 4),
    "imaging.theory.linear_iterates.start": lambda: normal(2, 6),
    "imaging.theory.relu_covariance.C": lambda: torch.eye(4).double() + 0.5,
    "imaging.data.sensing_matrix.ratio": lambda: 1,
    "imaging.data.radial_mask.ratio": lambda: 20,
    "imaging.data.radial_mask.side": lambda: 16,
    "imaging.data.linear_start.Phi": lambda: normal(4, 9),
    "imaging.data.turned.k": lambda: 5,
    "hyperspectral.patches.mean.X": lambda: rand(2, 3, 9, 20),
    "hyperspectral.patches.*synthesis*.X": lambda: rand(2, 3, 9, 20),
    "hyperspectral.patches.analysis.X": lambda: rand(2, 3, 9, 20),
    "hyperspectral.patches.Patches.T.X": lambda: rand(2, 3, 9, 9),
    "hyperspectral.patches.Patches.*.side": lambda: 3,
    "hyperspectral.baselines.*.Y": lambda: rand(1, 4, 6, 7),
    "hyperspectral.baselines.tucker.X": lambda: rand(4, 6, 7),
    "hyperspectral.classify.discriminant.x": lambda: rand(6, 5),
    "hyperspectral.classify.kappa.y": lambda: torch.tensor([1, 1, 2, 2, 3, 3]),
    "hyperspectral.algorithm.star_s.Y": lambda: 5 * rand(2, 4, 10, 9),
    "hyperspectral.algorithm.Star.*.Y": lambda: noisy_cube().Y,
    "hyperspectral.model.*.readout.x": lambda: star_net().start(noisy_cube()),
    "hyperspectral.model.*.layer.x": lambda: star_net().start(noisy_cube()),
    "hyperspectral.data.*.size": lambda: (8, 9),
    "hyperspectral.data.Noise.__call__.truth": lambda: rand(2, 4, 6, 7),
    "hyperspectral.data.Noise.bands": lambda: 0.5,
    "hyperspectral.data.Noise.sigma": lambda: 10.0,
    "newton_sr.model.*.layer.x": lambda: newton_net().start(pair()),
    "newton_sr.model.*.readout.x": lambda: newton_net().start(pair()),
    "newton_sr.model.*.problem.x": lambda: newton_net().start(pair()),
    "newton_sr.model.*.direction.problem": lambda: newton_net().problem(
        1, newton_net().start(pair()), pair()
    ),
    "newton_sr.model.*.direction.U": lambda: rand(2, 1, 8, 10),
    "newton_sr.model.*.curvature": lambda: jacobians.majorised,
    "newton_sr.model.*.channels": lambda: 1,
    "newton_sr.data.filled.d": lambda: np.array([[1.0, np.inf, 3.0], [2.0, 1.0, 4.0]]),
    "newton_sr.algorithm.newton_direction.F": lambda: problem().F(normal(2, 1, 8, 8)),
    "newton_sr.algorithm.*.M": lambda: jacobians.clarke,
    **{f"newton_sr.{m}.*.problem": lasso for m in ("ssnal", "lasso", "envelope")},
    **{f"newton_sr.{m}.*.tol": lambda: 1e-8 for m in ("ssnal", "lasso", "envelope")},
    "newton_sr.ssnal.ssnal.inner": lambda: 0.01,
    "newton_sr.jacobians.Shrink.*.[vx]": lambda: normal(2, 1, 8, 8),
    "newton_sr.jacobians.directional.U": lambda: normal(2, 1, 8, 8),
    "newton_sr.jacobians.Groups.size": lambda: 2,
    "newton_sr.downsampling.keys_kernel.x": lambda: normal(5),
    "newton_sr.downsampling.Downsample.*.x": lambda: rand(2, 1, 8, 8),
    "newton_sr.downsampling.Downsample.*.U": lambda: rand(2, 1, 8, 8),
    "newton_sr.downsampling.Downsample.at.like": lambda: rand(2, 1, 6, 8),
    "newton_sr.downsampling.Downsample.channels": lambda: 1,
    "newton_sr.downsampling.Spectral.*.x": lambda: rand(2, 3, 8, 8),
    "newton_sr.downsampling.Spectral.*.r": lambda: rand(2, 2, 8, 8),
    "newton_sr.downsampling.mix.x": lambda: rand(2, 3, 8, 8),
    "newton_sr.baselines.box.x": lambda: rand(2, 1, 8, 8),
    "operators.gradient.x": lambda: rand(2, 1, 8, 8),
    "operators.gradient_T.p": lambda: rand(2, 2, 1, 8, 8),
    "newton_sr.baselines.*.U": lambda: rand(2, 2, 8, 10),
    "newton_sr.baselines.*.start": lambda: rand(2, 2, 8, 10),
    "newton_sr.baselines.*.sigma": lambda: 1.5,
    "newton_sr.data.planes_of.a": lambda: rand(4, 5, 3).numpy(),
    "newton_sr.data.in_range.a": lambda: rand(4, 5, 3).numpy(),
    "newton_sr.data.patches.side": lambda: 4,
    "small_target.model.LRPCANet.b": lambda: 2,
    "small_target.model.TwoTerm.b": lambda: 2,
    "small_target.model.total_loss.truth": lambda: truths(2, 1, 9, 8).float(),
    "small_target.model.soft_iou.T": lambda: rand(2, 1, 9, 8),
    "small_target.model.soft_iou.truth": lambda: truths(2, 1, 9, 8).float(),
    "small_target.algorithm.objective.[BT]": lambda: normal(6, 5),
    "small_target.baselines.from_patches.P": lambda: normal(16, 9),
    "small_target.baselines.ipi.image": lambda: rand(60, 72),
    "small_target.baselines.ipi.steps": lambda: 3,
    "small_target.baselines.pstnn.image": lambda: rand(40, 44),
    "small_target.baselines.pstnn.steps": lambda: 3,
    "small_target.scores.roc.truth": lambda: truths(9, 8),
    "small_target.scores.detection_curve.truth": lambda: [truths(9, 8), truths(9, 8)],
    "small_target.scores.*.truth": lambda: truths(2, 1, 9, 8),
    "small_target.scores.detection_curve.score": lambda: [rand(9, 8), rand(9, 8)],
    "small_target.fast.detect.image": lambda: rand(2, 1, 9, 8),
    "small_target.theory.*.x": lambda: rand(3, 6),
    "solvers.jacobian_norm.f": lambda: torch.sin,
    "solvers.jacobian_norm.x": lambda: normal(1, 4),
    "datasets.turned.x": lambda: rand(1, 4, 5),
    "datasets.turned.k": lambda: 5,
    "datasets.crop.x": lambda: rand(1, 8, 9),
    "datasets.crop.side": lambda: 4,
    "datasets.crop.g": generator,
    "solvers.jacobian_norm.generator": generator,
    "imaging.data.sensed.image": lambda: rand(1, 1, 40, 40),
    "imaging.data.sensed.ratio": lambda: 25,
    "imaging.data.blurred.image": lambda: rand(1, 1, 40, 40),
    "small_target.fast.logits.image": lambda: rand(1, 1, 16, 16),
    "small_target.scores.thresholds.T": lambda: normal(3, 1, 4, 4),
    "solvers.jacobian_norm.steps": lambda: 3,
    "small_target.theory.*.steps": lambda: 5,
    "small_target.data.blur.x": lambda: rand(9, 10),
    "small_target.data.blur.sigma": lambda: 1.0,
    "small_target.data.noisy.x": lambda: rand(2, 1, 9, 8),
    "small_target.data.*.side": lambda: 32,
}

CHANGED = {"imaging.model.start_quietly", "small_target.weights.start_dark"}


def value(door: str, parameter: inspect.Parameter) -> Any:
    """A good value for a parameter of a door."""
    name = f"{door}.{parameter.name}"
    room = ROOMS.get(door.split(".")[0], FLOOR)
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
    "show.Line": lambda: show.line([0, 1], [0, 1]),
    "show.Curves": curves,
    "show.Frames": lambda: show.Frames((rand(4, 4).double().numpy(),), ("a",), "alt"),
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
    *("hyperspectral.data.crops.cube", "datasets.crop.x"),  # cuts; the NaN may lie outside
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
    "hyperspectral.algorithm.moved.A",  # reads which of its columns are zero
)
ENDLESS: tuple[str, ...] = (
    "metrics.psnr",  # of equal images
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
