"""What every test starts from: one thread, fixed examples, and one small problem in float64."""

import signal

import pytest
import torch
from hypothesis import settings

from dunfold_lib.operators import Matrix
from dunfold_lib.sparse.data import SparseProblem


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)  # on two loaded cores default threads made tests twenty times slower
    settings.register_profile(
        "dunfold", deadline=None, derandomize=True, max_examples=50, database=None
    )
    settings.load_profile("dunfold")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In several processes: the longest first, each notebook alone, other files whole."""
    first = ("test_every_cell_runs", "tests/browser/", "test_training", "test_doors")
    rank = lambda item: [name in item.nodeid for name in first]
    items.sort(key=rank, reverse=True)
    for item in items:
        alone = first[0] in item.nodeid
        group = item.nodeid if alone else item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def tiny() -> tuple[Matrix, torch.Tensor, torch.Tensor]:
    """(A, b, x): a matrix 12 × 20 and 4 sparse signals without noise. No test writes into them."""
    problem = SparseProblem(m=12, n=20, p=0.15, dtype=torch.float64)
    A = problem.operator()
    b, x = problem.sample(A, 4, torch.Generator().manual_seed(1))
    return A, b, x
