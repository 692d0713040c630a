"""Every published figure of the chapter that is measured again. Data only."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from dunfold_lib.metrics import nmse_db, nmse_db_median
from dunfold_lib.records import Experiment
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.model import fista, ista

K = 16
TEST_SEED = 2**31  # test signals come from this seed plus the run's, training never does


def classical(solver: Callable[..., Any], lam: float, snr_db: float, seed: int) -> dict[str, Any]:
    """NMSE of K steps on 1000 fresh signals: at the last step, its median, and layer by layer."""
    problem = SparseProblem(snr_db=snr_db)
    A = problem.operator()
    b, truth = problem.sample(A, 1000, torch.Generator().manual_seed(TEST_SEED + seed))
    xs = solver(A, b, lam, K)
    return {
        "nmse_db": nmse_db(xs[-1], truth),
        "nmse_db_median": nmse_db_median(xs[-1], truth),
        "nmse_db_per_layer": [nmse_db(x, truth) for x in xs],
    }


def _protocol(snr: str) -> str:
    return (
        f"A 250×500 Gaussian, unit columns, seed 0; x* Bernoulli(0.1) × N(0, 1), {snr}; "
        f"λ = 0.4, K = {K}; 1000 test signals, NMSE as a ratio of sums"
    )


_LOGS = "training logs in the public repository of Behrens et al. 2021 (m 250, s 50, SNR 40 dB)"

EXPERIMENTS = {
    "ista": Experiment(
        title="ISTA, 16 steps, λ = 0.4",
        source=_LOGS,
        protocol=_protocol("SNR 40 dB"),
        published={"nmse_db": -5.770},
        measure=partial(classical, ista, 0.4, 40.0),
    ),
    "fista": Experiment(
        title="FISTA, 16 steps, λ = 0.4",
        source=_LOGS,
        protocol=_protocol("SNR 40 dB"),
        published={"nmse_db": -7.625},
        measure=partial(classical, fista, 0.4, 40.0),
    ),
}
