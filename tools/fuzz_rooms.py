"""What the arguments of each room are called, and one that is right."""

import fuzz_makers as make
import torch
from fuzz_makers import PHASE, SPARSE, Makers, plain

from dunfold_lib import deblurring, images, operators, wavelets
from dunfold_lib.hyperspectral import algorithm as hc
from dunfold_lib.imaging import data as imaging_data
from dunfold_lib.imaging import model as im
from dunfold_lib.newton_sr import data as newton_data
from dunfold_lib.newton_sr import jacobians

COMMON: Makers = {  # what means the same in every room, unless the room has its own
    **plain(K=2, k=1, depth=1, seed=3, batch=2),
    "g": make.generator,
    "dtype": lambda: torch.float64,
}


DEBLURRING: Makers = {
    **plain(size=(6, 7), radius=0.3, lam=0.1, tau=2.0, product=0.9, pairs=1, width=2, reach=2),
    **plain(rim=1, noise=0.1),
    "A": lambda: operators.Blur(make.blur_kernel(), (6, 7)),
    "kernel": make.blur_kernel,
    **dict.fromkeys(("b", "x", "v", "start"), lambda: make.normal(2, 1, 6, 7)),
    "p": lambda: make.normal(2, 2, 6, 7),
    "D": lambda: deblurring.differences(torch.float64),
}
IMAGING: Makers = {
    **plain(rho=0.5, theta=0.1, lam=0.1, c=0.5, steps=3, channels=2, ratio=0.1, sigma=0.1),
    **plain(sigmas=[0.2, 0.1], noise=0.05, high=0.5, low=0.1, draws=20, mu=0.1, L=1.0, eps=0.1),
    **plain(value=0.5, n=6, m=3, side=3, stride=2, layers=2, deviation=0.1, part="test"),
    "A": make.image_operator,
    "W": lambda: wavelets.Wavelet((6, 6), "haar", 1),
    "b": lambda: make.normal(2, 12),
    **dict.fromkeys(("x", "start", "v"), lambda: make.normal(2, 1, 6, 6)),
    "u": lambda: make.rand(2, 1, 6, 6),
    "z": lambda: make.rand(2, 2, 6, 6),
    "Q": lambda: make.rand(36, 12),
    "denoise": lambda: make.smooth,
    "generator": make.generator,
    "D": lambda: 0.5 * torch.eye(6).double(),
    "C": lambda: torch.eye(9).double() + 0.1,
    "B": lambda: make.normal(3, 5),
    "Phi": lambda: make.normal(4, 6),
    "net": lambda: im.ISTANetPlus(make.block_operator(), 2, 2),
    "truth": lambda: make.rand(2, 1, 6, 6),
    "image": lambda: make.rand(1, 1, 8, 13),
    "images": lambda: [make.rand(1, 1, 8, 8), make.rand(1, 1, 7, 9)],
    "cut": lambda: make.rand(5, 1, 3, 3),
    "numbers": lambda: imaging_data.packed(torch.eye(9).double() + 0.1),
    "means": lambda: make.normal(3),
    "weights": make.ist_weights,
}


HYPER: Makers = {
    **plain(sigma=0.5, tau=0.3, r=3, window=3, sweeps=1, side=3, stride=2, procrustes=1),
    **plain(size=(6, 7), n=4, most=2, steps=2, lam=4.0, ranks=(2, 3, 3), share=0.3, core=4, halo=2),
    **plain(name="a cube", bands=4, materials=2, gamma1=0.9, gamma2=0.5, beta=1.0, mu=1.0),
    **plain(varying=False),
    "Y": lambda: 5 * make.rand(2, 4, 6, 7),
    "A": lambda: make.noisy_cube().A,
    "G": lambda: make.rand(2, 3, 6, 7),
    "X": lambda: make.normal(2, 3, 4),
    "B": lambda: make.rand(2, 3, 9, 20),
    "M": lambda: make.normal(2, 5, 3),
    "model": lambda: hc.Star(side=3),
    "x": make.star_state,
    "net": make.star_net,
    "b": make.noisy_cube,
    "truth": lambda: 5 * make.rand(2, 4, 6, 7),
    "like": lambda: make.rand(2),
    **dict.fromkeys(("D1", "D2", "D3"), lambda: make.rand(3, 3)),
    "image": lambda: make.rand(8, 8).double().numpy(),
    "denoise": lambda: lambda image, sigma: image,
    "y": lambda: torch.tensor([1, 1, 2, 2, 3, 3]),
    "new": lambda: make.rand(4, 5),
    "found": lambda: torch.tensor([1, 2, 2, 2, 3, 3]),
    "cube": lambda: make.rand(1, 4, 6, 7),
    "labels": lambda: (torch.arange(42) % 3).reshape(6, 7),
    "a": lambda: make.rand(4, 5, 3).numpy(),
    "stored": lambda: (4000 * make.rand(5, 6, 4)).numpy().astype("uint16"),
    "doubtful": lambda: make.rand(5, 6, 4).numpy() > 0.9,
    "YA": lambda: make.rand(2, 3, 6, 7),
    "patches": lambda: make.rand(2, 3, 9, 20),
    "alpha": lambda: torch.tensor(0.3),
}


NEWTON: Makers = {
    **plain(residual=0.1, fourier=0.1, ratio=2, c=2, f=3, alpha=0.1, enough=0.01, phi=100.0),
    **plain(slope=-1.0, eps=0.1, tol=1e-2, outer=100, newton=5, cg=20, inner=0.1, step=0.1, t=0.1),
    **plain(sigma=100.0, rho=1.0, size=(8, 8), residuals=[1.0, 0.1, 0.001], grid=8, n=8, radius=1),
    **plain(lam=0.01, contrast=0.1, name="an image", side=8, regions=3, texture=0.1, bands=4),
    **plain(guides=1, materials=2, condition=100.0, m=5, nonzeros=4, group=2, floor=1e-12, width=2),
    "net": make.newton_net,
    "b": make.pair,
    "truth": lambda: make.rand(2, 1, 8, 10),
    "problem": make.problem,
    **dict.fromkeys(("start", "d", "U", "p"), lambda: make.normal(2, 1, 8, 8)),
    "M": lambda: jacobians.clarke,
    "x": lambda: make.normal(8),
    "v": lambda: make.normal(8),
    "iterates": lambda: iter([make.normal(8), make.normal(8)]),
    "a": lambda: make.normal(3, 4),
    "theta": lambda: torch.full((3, 4), 0.1).double(),
    "F": lambda: torch.sin,
    "V": lambda: lambda x: 2 * x,
    "like": lambda: make.normal(2, 4),
    "w": lambda: make.rand(2, 3, 3, 3),
    "H": lambda: make.rand(2, 3),
    "Z": lambda: make.rand(2, 2, 4, 5),
    "Y": lambda: make.rand(2, 1, 8, 10),
    "r": lambda: make.rand(2, 1, 4, 4),
    "held": lambda: [images.Stored(make.rand(4, 5).numpy(), 0.0, "a")],
    "scene": lambda: newton_data.Scene(make.rand(1, 1, 8, 10), make.rand(1, 1, 8, 10)),
    "scenes": lambda: {"a": newton_data.Scene(make.rand(1, 1, 8, 10), make.rand(1, 1, 8, 10))},
}


TARGET: Makers = {
    **plain(logit=1.0, smooth=0.5, threshold=0.1, keep=0.5, c=4, n_noise=1, side=5, t=0.5, lam=0.3),
    **plain(tol=1e-4, steps=300, share=0.5, scales=(3, 5), length=9, patch=4, step=3, size=(9, 10)),
    **plain(points=5, thresholds=[0.3, 0.6], cuts=[0.3, 0.6], level=0.9, sigma=5.0, density=0.1),
    **plain(rows=[0, 1], count=2),
    "net": make.target_net,
    **dict.fromkeys(("b", "B", "N"), lambda: make.rand(2, 1, 9, 8)),
    "x": lambda: make.target_net().start(make.rand(2, 1, 9, 8)),
    "P": lambda: make.normal(6, 5),
    "score": lambda: make.rand(9, 8),
    "image": lambda: make.rand(9, 10),
    "predicted": lambda: make.truths(2, 1, 8, 9).mT,
    "first": make.counts,
    "second": make.counts,
    "F": lambda: torch.sin,
    "y": lambda: make.rand(3, 6) + 1,
    "frames": make.frames,
    "scene": lambda: make.rand(36, 40),
    "scenes": lambda: [make.rand(36, 40)],
    "weights": make.rpca_weights,
}


ROOMS = {
    "deblurring": DEBLURRING,
    "phase": PHASE,
    "sparse": SPARSE,
    "imaging": IMAGING,
    "hyperspectral": HYPER,
    "newton_sr": NEWTON,
    "small_target": TARGET,
}
