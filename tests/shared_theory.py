"""What the tests ``test_theory*`` share."""

from functools import cache

import torch

from dunfold_lib.sparse import ALISTA, theory
from dunfold_lib.sparse.data import SparseProblem


@cache
def matrix(m, n, seed=0):
    """A Gaussian operator of unit columns in float64."""
    return SparseProblem(m=m, n=n, seed=seed, dtype=torch.float64).operator()


@cache
def certificate(m, n, gap=1e-2):
    return theory.generalised_coherence(matrix(m, n).A, gap)


def weights(kind, m, n):
    """W with w_iᵀa_i = 1 by linear programme, by quadratic programme, or A itself."""
    A = matrix(m, n).A
    if kind == "A":
        return A
    return certificate(m, n).W if kind == "LP" else theory.analytic_weights(A)


def signals(n, s, rows, seed=0):
    """s-sparse rows with |x_i| ≤ 1: half at the extremes ±1, half anywhere between."""
    g = torch.Generator().manual_seed(seed)
    x = torch.zeros(rows, n, dtype=torch.float64)
    value = 2 * torch.rand(rows, s, generator=g, dtype=torch.float64) - 1
    value[::2] = value[::2].sign()
    on = torch.stack([torch.randperm(n, generator=g)[:s] for _ in range(rows)])
    return x.scatter(1, on, value)


def proven(Network, A, W, mu, s, gamma, K, noise=0.0):
    """A network with the thresholds of the theorem, and the bounds it promises."""
    E = theory.error_bounds(mu, s, gamma, 1.0, K, noise)
    net = Network(A, K, W=W)
    with torch.no_grad():
        if Network is ALISTA:
            net.gamma.fill_(gamma)
        net.theta.copy_(torch.tensor([gamma * (mu * e + noise) * (1 + 1e-9) for e in E[:K]]))
    return net, E


def errors(net, b, x):
    """‖xᵏ − x*‖₁ of every row (rows) for each layer."""
    with torch.no_grad():
        return [(y - x).abs().sum(1) for y in net.iterates(b)]


SIZE = (200, 240)  # certifies s = 2 with A, 4 with the quadratic, 10 with the linear programme
