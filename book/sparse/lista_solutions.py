"""Solutions of the exercises in lista.md, which shows them; lista_cases.py checks them."""

from math import log10

import torch
from torch import Tensor

from dunfold_lib.prox import soft
from dunfold_lib.sparse import LISTA, LISTACP
from dunfold_lib.sparse.data import SparseProblem


def count(m: int, n: int, K: int) -> dict[str, int]:
    """Learned numbers of four networks."""
    return {
        "Gregor and LeCun": m * n + n * n + n,
        "LISTA": K * (m * n + n * n) + K,
        "coupled": K * m * n + K,
        "coupled, one matrix": m * n + 2 * K,
    }


def least_error(D: Tensor, theta: float, a: float, size: float) -> float:
    """What the larger of two errors in a row is at least; D = I − W1 A − W2, ‖W2‖₂ ≤ size."""
    return min(a, float((a * D.diag() + theta).abs().max()) / (1 + size))


def encode(b: Tensor, We: Tensor, S: Tensor, theta: Tensor, K: int) -> Tensor:
    """x^K of the network of Gregor and LeCun, from x⁰ = 0; theta (n,): a threshold an entry."""
    x = soft(b @ We.T, theta)
    for _ in range(K - 1):
        x = soft(b @ We.T + x @ S.T, theta)
    return x


def uncouple(net: LISTACP) -> LISTA:
    """A LISTA with the same iterates as a coupled network."""
    free = LISTA(net.A, net.K)
    eye = torch.eye(net.A.domain[0], dtype=net.A.A.dtype)
    with torch.no_grad():
        free.theta.copy_(net.theta)
        for k, W in enumerate(net.W):
            free.W1[k].copy_(W.T)
            free.W2[k].copy_(eye - W.T @ net.A.A)
    return free


def linear_limit(A: Tensor) -> tuple[float, Tensor]:
    """The least NMSE in dB of a matrix on b = A x*, A (m, n) of full row rank, and that matrix."""
    m, n = A.shape
    return 10 * log10(1 - m / n), torch.linalg.pinv(A)


def gap(problem: SparseProblem, count: int, K: int, steps: int, seed: int) -> tuple[float, float]:
    """(training, test) NMSE in dB of a LISTA trained on ``count`` signals, tested on 2000 more."""
    A, g = problem.operator(), torch.Generator().manual_seed(seed)
    (b, x), (b_test, x_test) = (problem.sample(A, size, g) for size in (count, 2000))
    net = LISTA(A, K)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        (net(b) - x).square().mean().backward()
        optimiser.step()
    with torch.no_grad():
        error = lambda y, x: 10 * log10(float((y - x).square().sum() / x.square().sum()))
        return error(net(b), x), error(net(b_test), x_test)
