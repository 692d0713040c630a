"""Each speed-up beside the plain form of the same computation, in one run: a ratio, not seconds.

The two forms take turns, so that a busy machine slows both; the ratio is of their fastest runs, and
its spread that of the turns. Both must give the same answer first.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dunfold_lib.sparse import ista
from dunfold_lib.sparse.data import SparseProblem


@dataclass(frozen=True)
class Race:
    """Two forms of one computation; ``same`` raises if their answers differ."""

    name: str
    plain: Callable[[], Any]
    fast: Callable[[], Any]
    same: Callable[[Any, Any], None]
    turns: int = 7


def seconds(run: Callable[[], Any]) -> float:
    """Wall-clock time of one run."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def report(race: Race) -> None:
    """Run a race and print its ratio."""
    race.same(race.plain(), race.fast())
    pairs = [(seconds(race.plain), seconds(race.fast)) for _ in range(race.turns)]
    plain, fast = (min(p[i] for p in pairs) for i in (0, 1))
    ratios = sorted(p / f for p, f in pairs)
    spread = f"{ratios[0]:.1f}–{ratios[-1]:.1f} over {race.turns} turns"
    print(f"{race.name}\n  {plain / fast:.1f} times faster ({spread}; {1e3 * fast:.1f} ms)")


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


def main() -> None:
    """Run every race."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for make in (batched_ista,):
        report(make())


if __name__ == "__main__":
    main()
