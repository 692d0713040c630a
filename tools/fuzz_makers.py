"""Arguments that a door takes: tensors, operators, networks, made the same every time."""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import deblurring, explore, operators, phase, show, wavelets
from dunfold_lib.hyperspectral import algorithm as hc
from dunfold_lib.hyperspectral import lowrank
from dunfold_lib.hyperspectral import model as hm
from dunfold_lib.imaging import model as im
from dunfold_lib.imaging.released import PLUS
from dunfold_lib.newton_sr import algorithm as nc
from dunfold_lib.newton_sr import downsampling, jacobians
from dunfold_lib.newton_sr import model as nm
from dunfold_lib.newton_sr.lasso import Lasso
from dunfold_lib.small_target import data as target_data
from dunfold_lib.small_target import model as tm
from dunfold_lib.small_target import released, scores
from dunfold_lib.sparse import algorithm as sparse_algorithm
from dunfold_lib.sparse import model as sm

Makers = dict[str, Callable[[], Any]]


def plain(**values: Any) -> Makers:
    """Arguments that are these values, by name."""
    return {name: partial(copy, value) for name, value in values.items()}


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
    held: dict[str, Any] = {"lambda_step": net.rho[:1], "soft_thr": net.theta[:1]}
    held |= {PLUS[name]: getattr(net, name)[0] for name in im.names(net)}
    return {f"fcs.0.{k}": v.detach().numpy() for k, v in held.items()}


def rpca_weights() -> dict[str, Any]:
    """Released weights of an RPCA-Net of one stage and two channels, by their names."""
    net = tm.RPCANet(1, 2)
    return {name: tensor.detach().numpy() for name, tensor in released._places(net, {}).items()}


FLOOR: Makers = {
    **plain(t=0.3, count=2, steps=3, iterations=5, size=(8, 8), name="haar", levels=1),
    **plain(captions=("a",), alt="alt", head=["a", "b"], texts={"a": "1.5"}, label="v"),
    **plain(values=(1.0, 2.0), caption="caption", index=(1,), xlabel="x", ylabel="y"),
    **plain(xlim=(0.0, 1.0), ylim=(0.0, 1.0)),
    "x": lambda: rand(3, 6),
    "A": matrix,
    "estimate": lambda: rand(2, 3, 8, 9),
    "truth": lambda: rand(2, 3, 9, 8).mT.contiguous(),
    "first": lambda: rand(3, 2, 3, 3),
    "second": lambda: rand(4, 3, 3, 3),
    "V": lambda: lambda x: 2 * x,
    "c": lambda: normal(2, 4),
    "start": lambda: normal(2, 4) + 1,
    "mask": lambda: (rand(6, 6) > 0.5).float(),
    "kernel": lambda: rand(3, 3),
    "Phi": lambda: normal(4, 9),
    "block": lambda: operators.Sensing(normal(4, 9)),
    "outer": lambda: operators.Mask(torch.ones(8, 8)),
    "inner": lambda: wavelets.Wavelet((8, 8), "haar", 1),
    "y": lambda: rand(5),
    "image": lambda: rand(4, 4).double().numpy(),
    "images": lambda: (rand(4, 4).double().numpy(),),
    "rows": lambda: [[1, 2.0]],
    "left": lambda: sparse_algorithm.objective,
    "right": lambda: sparse_algorithm.ista_step,
    "sliders": lambda: {"v": explore.Slider("v", (1, 2))},
    "draw": lambda: lambda v: curves(),
    "lines": lambda: (show.line([0, 1], [0, 1]),),
}


def blur_kernel() -> Tensor:
    """A small kernel of sum 1, float64."""
    return torch.ones(3, 3, dtype=torch.float64) / 9


def blur_state() -> deblurring.State:
    """What a network on four filters carries between its layers."""
    return deblurring.State(normal(2, 1, 6, 7), normal(2, 1, 6, 7), normal(2, 4, 6, 7))


SPARSE: Makers = {
    **plain(lam=0.1, K=3, L=40.0, betas=[0.0, 0.3], support=(0.1, 0.5), c=(0.1, 0.01, 0.1)),
    **plain(gap=1e-3, limit=4000, lams=[0.5, 0.2], distance=2.0, m=5, n=8, mu=0.1, s=2, gamma=0.9),
    **plain(largest=1.0, noise=0.01, column=2, side=32, kept=0.5, first=1.0, E=[3.0, 2.0, 1.0]),
    **plain(smallest=0.5, trusted=[1, 2], gain=0.5, p=0.3, condition=2.0, snr_db=20.0),
    "A": matrix,
    "b": lambda: normal(3, 5),
    "x": lambda: normal(3, 8),
    "start": lambda: normal(3, 8) + 1,
    "W": lambda: normal(5, 8) + 1,
    "xs": lambda: [normal(1, 8), normal(1, 8) + 1],
    "x_star": lambda: torch.tensor([1.0, 0, -2, 0, 0, 0, 0, 0]).double(),
    "truth": lambda: rand(1, 1, 32, 32),
}


def amplitudes() -> phase.Seen:
    """Amplitudes and matrices of two complex signals of three numbers, float64."""
    return phase.Seen(normal(2, 9).abs(), normal(2, 9, 2, 6))


def flow_state() -> phase.State:
    """What a flow on ``amplitudes`` carries."""
    return phase.State(normal(2, 6), normal(2, 6))


PHASE: Makers = {
    **plain(angle=0.5, m=9, n=3, width=2, noise=0.1, t=1.0, eta=0.5, beta=0.3, delta=2.0),
    "b": amplitudes,
    "A": lambda: normal(2, 9, 2, 6),
    **dict.fromkeys(("x", "at", "truth", "start"), lambda: normal(2, 6)),
    "r": lambda: normal(2, 9, 2),
    "s": flow_state,
    "y": lambda: rand(2, 9) + 1,
}
