"""Races of ``newton_sr``."""

import time
from functools import partial
from typing import Any

import torch
from bench_race import Race, on_threads, seconds

from dunfold_lib.newton_sr import Lasso, NewtonSR, Pair, fista, ista
from dunfold_lib.newton_sr.evaluation import lasso_problem
from dunfold_lib.newton_sr.ssnal import ssnal

PATIENCE = 60.0  # seconds that a first-order method is given


def newton_stage() -> Race:
    """A stage of NewtonSR on 16 patches at once against one patch after the other."""
    net = NewtonSR().eval()
    Z, Y = (torch.rand(16, 1, n, n, generator=torch.Generator().manual_seed(n)) for n in (10, 40))
    whole = Pair(Z, Y)

    @torch.inference_mode()
    def stage(b: Pair) -> torch.Tensor:
        return net.layer(0, net.start(b), b).U

    def loop() -> torch.Tensor:
        return torch.cat([stage(Pair(z[None], y[None])) for z, y in zip(Z, Y, strict=True)])

    same = lambda x, y: torch.testing.assert_close(x, y, rtol=0, atol=1e-5)
    name = "NewtonSR, a stage with 4 CG steps, 16 patches 40×40: batched | patch after patch"
    return Race(name, loop, lambda: stage(whole), same)


def to_kkt(method: Any, problem: Lasso, tol: float) -> tuple[float, float]:
    """(seconds, KKT residual) of a first-order method; it is looked at every tenth step."""
    begun, gap = time.perf_counter(), float("inf")
    for k, x in enumerate(method(problem)):
        if k % 10 == 0:
            gap = problem.kkt(x)
            if gap <= tol or time.perf_counter() - begun > PATIENCE:
                break
    return time.perf_counter() - begun, gap


def newton_against_first_order() -> None:
    """SSNAL against ISTA and FISTA on an ill-conditioned lasso: the ratio of their times.

    On one thread: the matrices are small, and a busy machine then delays all of them alike.
    """
    problem = lasso_problem(1e5, seed=0)
    with on_threads(1):
        ssnal(problem)  # warms up
        for tol in (1e-6, 1e-8):
            solve = partial(ssnal, problem, tol)
            fast = min(seconds(solve) for _ in range(3))
            for method in (ista, fista):
                spent, gap = to_kkt(method, problem, tol)
                least = "" if gap <= tol else f"at least, having stopped at {gap:.0e}: "
                name = method.__name__.upper()
                print(f"lasso 300×1200, cond(AAᵀ) 1e5, to KKT {tol:.0e}: SSNAL | {name}")
                print(f"  {least}{spent / fast:.1f} times faster ({1e3 * fast:.0f} ms)")


RACES = [newton_stage, newton_against_first_order]
