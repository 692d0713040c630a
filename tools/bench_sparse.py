"""Races of ``sparse``."""

import time
from importlib import import_module
from typing import Any

import numpy as np
import torch
from bench_race import Race

from dunfold_lib.sparse import LISTACP, ista
from dunfold_lib.sparse.coherence import analytic_weights, generalised_coherence
from dunfold_lib.sparse.data import SparseProblem


def batched_ista() -> Race:
    """ISTA on a batch of 1000 signals against a NumPy loop, one signal after the other."""
    problem = SparseProblem()
    operator = problem.operator()
    b, _ = problem.sample(operator, 1000, torch.Generator().manual_seed(0))
    A, signals = operator.A.numpy(), b.numpy()
    L, lam, K = float(np.linalg.norm(A.astype(float), 2) ** 2), 0.2, 16

    def loop() -> np.ndarray:
        out = np.zeros((len(signals), A.shape[1]), dtype=A.dtype)
        for i, signal in enumerate(signals):
            x = out[i]
            for _ in range(K):
                v = x - A.T @ (A @ x - signal) / np.float32(L)
                x = np.sign(v) * np.maximum(np.abs(v) - np.float32(lam / L), 0)
            out[i] = x
        return out

    same = lambda x, y: np.testing.assert_allclose(x, y[-1].numpy(), rtol=0, atol=1e-4)
    name = "ISTA, 1000 signals, 250×500, float32, K = 16: batched | NumPy loop over signals"
    return Race(name, loop, lambda: ista(operator, b, lam, K, L), same)


def batched_network() -> Race:
    """A trained-size LISTA-CP on 1000 signals at once against one signal after the other."""
    problem = SparseProblem()
    A = problem.operator()
    b, _ = problem.sample(A, 1000, torch.Generator().manual_seed(0))
    net = LISTACP(A, W=analytic_weights(A.A)).eval()

    @torch.inference_mode()
    def loop() -> torch.Tensor:
        return torch.cat([net(row[None]) for row in b])

    same = lambda x, y: torch.testing.assert_close(x, y, rtol=0, atol=1e-4)
    name = "LISTA-CP forward, 1000 signals, 250×500, K = 16: batched | signal after signal"
    return Race(name, loop, torch.inference_mode()(lambda: net(b)), same)


def closed_form() -> Race:
    """ALISTA's weights in closed form against cvxpy on the whole quadratic programme."""
    A = SparseProblem(dtype=torch.float64).operator().A

    def programme() -> np.ndarray:
        cp: Any = import_module("cvxpy")
        a = A.numpy()
        W = cp.Variable(a.shape)
        C = np.linalg.cholesky(a @ a.T)
        unit = cp.sum(cp.multiply(W, a), axis=0) == 1
        problem = cp.Problem(cp.Minimize(cp.sum_squares(C.T @ W)), [unit])
        problem.solve("CLARABEL")
        return np.asarray(W.value)

    same = lambda x, y: np.testing.assert_allclose(x, y.numpy(), rtol=0, atol=1e-6)
    name = "ALISTA's weights, 250×500, float64: closed form | cvxpy"
    return Race(name, programme, lambda: analytic_weights(A), same, turns=1)


def coherence_time() -> None:
    """How long the certificate of μ̃ takes; there is no plain form that ends within minutes."""
    A = SparseProblem(dtype=torch.float64).operator().A
    begun = time.process_time()
    found = generalised_coherence(A)
    spent = time.process_time() - begun
    print(f"μ̃ of 250×500 in [{found.lower:.4f}, {found.upper:.4f}]\n  {spent:.1f} CPU-seconds")


RACES = [batched_ista, batched_network, closed_form, coherence_time]
