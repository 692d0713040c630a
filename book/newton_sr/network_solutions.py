"""Solutions of the exercises in network.md; tests/test_newton_network_page.py checks them."""

import torch
from torch.nn.functional import interpolate

from dunfold_lib.newton_sr import Downsample, NewtonSR, majorised
from dunfold_lib.newton_sr.algorithm import minimise
from dunfold_lib.newton_sr.jacobians import filter_norm
from dunfold_lib.solvers import conjugate_gradients


def on_a_line(a, theta, eps, clarke):
    """Where the full Newton step on Huber's function leads from a."""
    slope = max(-theta, min(a, theta))
    inside = abs(a) < theta
    M = float(inside) if clarke else 1.0 if inside else theta / abs(a)
    return a - slope / (M + eps)


def parameters(kind, K=3, c=8, f=12, bands=(1, 1), spectral=False):
    """The numbers of a network: "Newton", "learned inverse" or "first-order".

    bands: of the image and of its guide. The learned inverse has 8 channels."""
    (C, Cy), width = bands, 8
    conv = lambda into, out: 9 * into * out + out
    encoder = conv(C + Cy, f) + conv(f, f) + conv(f, 2 * c)
    stage = 2 * 9 * c * C + 2 * c + 3  # T1, T2; t1, t2; s1, s2, η
    if kind == "Newton":
        stage += 1  # ε
    if kind == "learned inverse":
        stage += conv(C, width) + conv(width, width) + conv(width, C)
    return encoder + K * stage + (Cy * C + 1 if spectral else 0)


@torch.no_grad()
def cg_bound(net: NewtonSR, k, steps):
    """(κ, Chebyshev's bound on the error of d after CG steps, in V's norm, over its first)."""
    eps = float(net.log_eps[k].exp())
    norms = [float(filter_norm(w)) ** 2 for w in (net.T1[k], net.T2[k])]
    s = [float(t[k].exp()) for t in (net.log_s1, net.log_s2)]
    D = net.A.known_norm() ** 2
    kappa = (D + s[0] * norms[0] + s[1] * norms[1] + eps) / eps
    q = (kappa**0.5 - 1) / (kappa**0.5 + 1)
    return kappa, [2 * q**j for j in steps]


@torch.no_grad()
def cg_error(net: NewtonSR, k, b, steps):
    """What the bound speaks of, measured: ‖d_j − d‖_V/‖d‖_V for every j of ``steps``."""
    x = list(net.states(b, k))[-1]
    problem = net.problem(k, x, b)
    V = problem.V(x.U, net.log_eps[k].exp(), net.curvature)
    d = conjugate_gradients(V, -problem.F(x.U), 300)
    size = lambda p: float((p * V(p)).sum()) ** 0.5
    made = (conjugate_gradients(V, -problem.F(x.U), j) for j in steps)
    return [size(p - d) / size(d) for p in made]


@torch.no_grad()
def to_the_end(net: NewtonSR, b, newton=200):
    """The minimiser of the last stage's Φ, from where the network met it; ‖F‖ on the way."""
    x = list(net.states(b, net.K - 1))[-1]
    problem = net.problem(net.K - 1, x, b)
    U, residuals, _, _ = minimise(problem, x.U, 1e-3, newton, 200, majorised)
    return U, residuals


@torch.no_grad()
def with_another_adjoint(net: NewtonSR, k, b, cg, align_corners):
    """(asymmetry of V, ‖V d + F‖/‖F‖ after CG) with bilinear interpolation as Dᵀ."""
    x = list(net.states(b, k))[-1]
    problem = net.problem(k, x, b)
    problem = problem._replace(D=Bilinear(problem.D, align_corners))
    V = problem.V(x.U, net.log_eps[k].exp(), net.curvature)
    g = torch.Generator().manual_seed(0)
    p, q = (torch.randn(x.U.shape, generator=g, dtype=x.U.dtype) for _ in range(2))
    apart = float(((V(p) * q).sum() - (p * V(q)).sum()).abs() / (p * V(p)).sum())
    F = problem.F(x.U)
    left = [float((V(conjugate_gradients(V, -F, j)) + F).norm() / F.norm()) for j in cg]
    return apart, left


class Bilinear:
    """D as it is; for its transpose bilinear interpolation, over r."""

    def __init__(self, D: Downsample, align_corners: bool):
        self.D, self.align = D, align_corners

    def __call__(self, x):
        return self.D(x)

    def T(self, r):
        n = self.D.ratio
        return interpolate(r, scale_factor=n, mode="bilinear", align_corners=self.align) / n


@torch.no_grad()
def misplaced(net, b, truth, shifts):
    """RMSE of a network whose guide lies so many pixels to the right of the scene."""
    seen = (b._replace(Y=b.Y.roll(shift, -1)) for shift in shifts)
    return [float((net(pair) - truth).square().mean().sqrt()) for pair in seen]
