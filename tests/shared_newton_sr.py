"""What the tests ``test_newton_sr*`` share."""

import numpy as np
import shared_random
import torch
from PIL import Image

from dunfold_lib.newton_sr.algorithm import Problem
from dunfold_lib.newton_sr.downsampling import Downsample, up
from dunfold_lib.newton_sr.jacobians import Shrink
from dunfold_lib.newton_sr.model import FirstOrderSR, LearnedInverseSR, NewtonSR, Pair

seeded = shared_random.seeded
randn = shared_random.randn
rand = shared_random.rand


F64 = torch.float64

NETWORKS = (NewtonSR, LearnedInverseSR, FirstOrderSR)


def pair(rows=2, side=12, ratio=4, channels=1, guides=1, seed=0):
    Z = rand(rows, channels, side // ratio, side // ratio, seed=seed)
    return Pair(Z, rand(rows, guides, side, side, seed=seed + 1))


def network(kind=NewtonSR, **sizes):
    """A small one in float64 whose weights are not the fresh ones, so that nothing is zero."""
    return shared_random.moved(kind(c=3, f=4, **sizes))


class Orthonormal:
    """U ↦ M U Mᵀ for an orthonormal M."""

    def __init__(self, n, seed=0):
        self.M = torch.linalg.qr(randn(n, n, seed=seed))[0]

    def __call__(self, x):
        return self.M @ x @ self.M.T

    def T(self, r):
        return self.M.T @ r @ self.M


def model_problem(side=8, s=1.0, seed=0):
    """The convex model on a small image: two ℓ1 priors in orthonormal bases, the second guided."""
    truth = torch.full((1, 1, side, side), 0.2, dtype=F64)
    truth[..., 2:6, 3:7] = 0.8
    D = Downsample((side, side), 2, 1, F64)
    T1, T2 = Orthonormal(side, seed), Orthonormal(side, seed + 1)
    theta = 0.02 / (1 + (T2(truth) / 0.1) ** 2)
    zero = torch.zeros((), dtype=F64)
    priors = (Shrink(T1, zero + 0.01 / s, zero), Shrink(T2, theta / s, 0.5 * T2(truth)))
    Z = D(truth) + 0.02 * randn(1, 1, side // 2, side // 2, seed=seed)
    return Problem(D, Z, priors, (s, s), (0 * truth, 0 * truth)), up(Z / 2, 2)


def write_pair(folder, name, size=(20, 24), ending="gt"):
    g = np.random.default_rng(len(name))
    for tail, shape in (("rgb.png", (*size, 3)), (f"{ending}.bmp", size)):
        pixels = g.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}_{tail}")
