"""Robust PCA: the convex programme, and the algorithms that the networks of ``model`` unroll.

symbol   code           shape       meaning
P        P              (m, n)      a matrix: for IPI the patches of an image as columns
B, T     B, T           like P      its low-rank part and its sparse part
λ        lam            number      weight of ‖T‖₁; 1/√max(m, n) for robust PCA
μ        mu             number      penalty of ADMM; for APG the weight that falls to ``mu_end``
s        s              (r,)        singular values

    robust PCA   minimise  ‖B‖_* + λ‖T‖₁  subject to  P = B + T                    (ADMM)
    relaxed      minimise  ‖B‖_* + λ‖T‖₁ + ‖P − B − T‖²/(2μ)                       (APG)
"""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.prox import soft
from dunfold_lib.solvers import momentum


class Split(NamedTuple):
    """A matrix or an image taken apart."""

    B: Tensor
    T: Tensor


def _matrix(name: str, P: Tensor) -> None:
    checks.finite(name, P)
    checks.shaped(name, P, ("rows", "columns"))


@checks.door
def svt(P: Tensor, t: float) -> Tensor:
    """Singular value thresholding, the prox of t‖·‖_* (Cai, Candès & Shen 2010), P (m, n).

    By the eigenvectors of the smaller Gram matrix: values below about 1e-8 of the largest are lost
    in float64, which a threshold above that removes anyway.
    """
    _matrix("P", P)
    checks.number("t", t, 0)
    return _svt(P, t)[0]


def _svt(P: Tensor, t: float) -> tuple[Tensor, int]:
    """(svt, rank of it)."""
    if P.shape[0] < P.shape[1]:
        made, rank = _svt(P.T, t)
        return made.T, rank
    squares, V = torch.linalg.eigh(P.T @ P)
    s = squares.clamp(min=0).sqrt()
    kept = s > t
    V, s = V[:, kept], s[kept]
    return (P @ V) * ((s - t) / s) @ V.T, int(kept.sum())


@checks.door
def default_lam(P: Tensor) -> float:
    """1/√max(m, n): the weight for which exact recovery is proven (Candès et al. 2011)."""
    _matrix("P", P)
    return 1 / max(P.shape) ** 0.5


@checks.door
def objective(B: Tensor, T: Tensor, lam: float) -> float:
    """‖B‖_* + λ‖T‖₁."""
    checks.finite("B", B)
    checks.finite("T", T)
    checks.like("T", T, "B", B)
    checks.number("lam", lam, 0)
    return float(torch.linalg.matrix_norm(B, "nuc") + lam * T.abs().sum())


@checks.door
def rpca_admm(P: Tensor, lam: float | None = None, mu: float | None = None) -> Iterator[Split]:
    """Robust PCA by ADMM: (B, T) after each step, without end.

    lam : default 1/√max(m, n).  mu : penalty, default mn/(4‖P‖₁). Candès et al. 2011, algorithm 1.
    """
    _matrix("P", P)
    lam = default_lam(P) if lam is None else lam
    checks.number("lam", lam, 0, open_low=True)
    mu = P.numel() / (4 * float(P.abs().sum()) or 1.0) if mu is None else mu
    checks.number("mu", mu, 0, open_low=True)
    T, Y = torch.zeros_like(P), torch.zeros_like(P)
    while True:
        B = svt(P - T + Y / mu, 1 / mu)
        T = soft(P - B + Y / mu, lam / mu)
        Y = Y + mu * (P - B - T)
        yield Split(B, T)


@checks.door
def rpca(P: Tensor, lam: float | None = None, tol: float = 1e-7, steps: int = 1000) -> Split:
    """``rpca_admm`` until ‖P − B − T‖ ≤ tol·‖P‖, in float64; answered in the dtype of P.

    RuntimeError where ``steps`` do not reach ``tol``.
    """
    checks.number("tol", tol, 0, open_low=True)
    checks.whole("steps", steps, 1)
    dtype, P = P.dtype, P.double()
    for _, (B, T) in zip(range(steps), rpca_admm(P, lam), strict=False):
        if float((P - B - T).norm()) <= tol * float(P.norm()):
            return Split(B.to(dtype), T.to(dtype))
    raise RuntimeError(f"robust PCA did not reach {tol:g} in {steps} steps; allow more of them")


class Step(NamedTuple):
    """What a step of APG leaves."""

    B: Tensor
    T: Tensor
    mu: float
    rank: int  # of B
    residual: float  # ‖subgradient of the smooth part at (B, T)‖ over max(1, ‖(B, T)‖)


@checks.door
def rpca_apg(
    P: Tensor, lam: float, mu: float, mu_end: float, shrink: float = 0.9
) -> Iterator[Step]:
    """Relaxed robust PCA by accelerated proximal gradients, after each step, without end.

    The weight falls from ``mu`` by the factor ``shrink`` to ``mu_end``: a continuation. The smooth
    part has the Lipschitz constant 2, so a step is SVT by μ/2 and a soft threshold by λμ/2.
    Lin, Ganesh et al. 2009; Beck & Teboulle 2009 for the momentum.
    """
    _matrix("P", P)
    for name, value in (("lam", lam), ("mu", mu), ("mu_end", mu_end)):
        checks.number(name, value, 0, open_low=True)
    checks.number("shrink", shrink, 0, 1, open_low=True)
    B = T = old_B = old_T = torch.zeros_like(P)
    for beta in chain([0.0], momentum()):
        YB, YT = B + beta * (B - old_B), T + beta * (T - old_T)
        half = (YB + YT - P) / 2
        old_B, old_T = B, T
        B, rank = _svt(YB - half, mu / 2)
        T = soft(YT - half, lam * mu / 2)
        both = B + T - YB - YT
        moved = (2 * (YB - B) + both, 2 * (YT - T) + both)
        size = lambda a, b: float((a.square().sum() + b.square().sum()).sqrt())
        yield Step(B, T, mu, rank, size(*moved) / max(1.0, size(B, T)))
        mu = max(shrink * mu, mu_end)


@checks.door
def sweep(D: Tensor, smooth: float, threshold: float, keep: float) -> tuple[Tensor, ...]:
    """One Gauss-Seidel sweep of the classical model from T = N = 0: (B, T, N, B + T + N).

    What ``model.imitate`` makes of a network's stage. D : (batch, 1, h, w). The background's step
    is local here, as a convolution is: a share ``smooth`` of the way to the mean over 3×3 pixels
    with zeros around (robust PCA has ``svt`` there). T: soft threshold, the prox of λ‖·‖₁. N: times
    ``keep``, the prox of μ‖·‖² with keep = 1/(1 + 2μ).
    """
    mean = functional.avg_pool2d(D, 3, 1, 1)
    B = D + smooth * (mean - D)
    T = soft(D - B, threshold)
    N = keep * (D - B - T)
    return B, T, N, B + T + N
