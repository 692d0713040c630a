"""The same estimate, sooner, without gradients: a layer's codes a cacheful of patches at a time.

Within a layer no patch looks at another until Rᵀ adds them up. So a strip of the eigen-images goes
through the layer's lines alone, and its codes stay in a core's cache from the first line to the
last; whole cubes of codes go to memory and back a dozen times a layer. What Rᵀ adds up it adds in
another order: the answers are equal up to rounding.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.hyperspectral.algorithm import Steps, low_rank, moved, swept
from dunfold_lib.hyperspectral.lowrank import expand, project
from dunfold_lib.hyperspectral.model import Noisy, Numbers, Sweeps, measured
from dunfold_lib.hyperspectral.patches import Patches, analysis, mean, synthesis
from dunfold_lib.prox import soft

PATCHES = 400  # at once, about: whole lines of them


class Codes(NamedTuple):
    """The codes of one strip's patches."""

    B: Tensor
    L: Tensor
    U: Tensor


class State(NamedTuple):
    """``model.State`` with the codes of strips."""

    G: Tensor
    A: Tensor
    S: Tensor
    codes: list[Codes]


def _strips(R: Patches, size: tuple[int, int]) -> list[tuple[slice, slice]]:
    """(lines of an image, places of their patches among all) of every strip, from the top.

    Where the grid does not reach the last line the last strip holds two lines of patches: it is
    continued by reflection as the image is.
    """
    down, n = R.more(size)[0], R.number(size)
    lines = (size[0] + down - R.side) // R.stride + 1
    across = n // lines
    firsts = [*range(0, lines - bool(down), max(PATCHES // across, 1))] or [0]
    made = []
    for first, end in pairwise([*firsts, lines]):
        bottom = size[0] if end == lines else (end - 1) * R.stride + R.side
        made.append((slice(first * R.stride, bottom), slice(first * across, end * across)))
    return made


def _start(net: Sweeps, b: Noisy) -> State:
    """``net.start(b)``."""
    x = net.start(b)
    parts = [part for _, part in _strips(net.R, (b.Y.shape[2], b.Y.shape[3]))]
    cut = lambda t: [t[..., part].contiguous() for part in parts]
    codes = [Codes(*three) for three in zip(cut(x.B), cut(x.L), cut(x.U), strict=True)]
    return State(x.G, x.A, x.S, codes)


def _layer(net: Sweeps, k: int, x: State, b: Noisy) -> State:
    """``net.layer(k, x, b)``."""
    n, R, size = net.numbers(k), net.R, (b.Y.shape[2], b.Y.shape[3])
    S = x.S if n.mu is None else soft(b.Y - expand(x.G, x.A), n.mu)
    G, A, added, codes = x.G, x.A, torch.zeros_like(x.G), []
    for (lines, _), held in zip(_strips(R, size), x.codes, strict=True):
        X = R(x.G[:, :, lines])
        m = mean(X)
        codes.append(_coded(net, n, X - m, held))
        if n.alpha is not None:
            patches = synthesis(codes[-1].B, *net.W).add_(m)
            added[:, :, lines] += R.T(patches, (lines.stop - lines.start, size[1]))
    if n.alpha is not None:
        share, count = n.alpha / R.nominal, R.count(size, G)
        G = ((1 - n.alpha) * project(b.Y - S, A) + share * added) / (1 - n.alpha + share * count)
    if k >= net.K - net.procrustes:
        A = moved(b.Y - S, G, A)
    return State(G, A, S, codes)


def _coded(net: Sweeps, n: Numbers, X: Tensor, x: Codes) -> Codes:
    """A strip's codes after a layer; X are its patches without their means."""
    B, L, U = x
    F = analysis(X.sub_(synthesis(B, *net.D)), *net.C)
    if n.w is not None:
        F = F.mul_(1 - n.w).add_((L + U).sub_(B).mul_(n.w))
    B = soft(F.add_(B), n.theta)
    if n.tau is not None:
        L = low_rank(B - U, n.tau)
        U = (U + L).sub_(B)
    return Codes(B, L, U)


@checks.door
@torch.no_grad()
def estimate(net: Sweeps, b: Noisy) -> Tensor:
    """``net(b)`` without gradients."""
    x = _start(net, b)
    for k in range(net.K):
        x = _layer(net, k, x, b)
    return expand(x.G, x.A)


@checks.door
@torch.no_grad()
def denoise(
    net: Sweeps, Y: Tensor, sigma: float | Tensor | None = None, core: int | None = None
) -> Tensor:
    """A whole cube (N, B, H, W) without its noise, at the network's stride.

    core : as in ``algorithm.swept``: large cubes go through in overlapping tiles.
    """
    b, level = measured(Y, sigma, net.r, net.window)
    moves = [k >= net.K - net.procrustes for k in range(net.K)]
    blends = [net.numbers(k).alpha is not None for k in range(net.K)]
    begin = lambda Y, A: _start(net, Noisy(Y, A))
    step: Callable[[int, Tensor, State], State] = lambda k, Y, x: _layer(net, k, x, Noisy(Y, x.A))
    steps = Steps(net.R, begin, [partial(step, k) for k in range(net.K)], moves, blends)
    return level * expand(*swept(b.Y, b.A, steps, core))
