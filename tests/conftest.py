"""What every test starts from: one thread, fixed examples, and one small problem in float64."""

import os
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
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # and so in the processes that tests start
    settings.register_profile(
        "dunfold", deadline=None, derandomize=True, max_examples=50, database=None
    )
    settings.load_profile("dunfold")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In several processes: the longest first, each notebook and page alone, other files whole.

    The browser's tests of one page follow each other, so that it is opened once for them.
    """
    alone = ("test_every_cell_runs", "test_a_chapter_runs")
    first = (*alone, "tests/browser/", "test_training", "test_doors")
    rank = lambda item: [name not in item.nodeid for name in first]
    items.sort(key=lambda item: (rank(item), page_of(item)))
    for item in items:
        own = any(name in item.nodeid for name in alone)
        group = item.nodeid if own else page_of(item) or item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


def page_of(item: pytest.Item) -> str:
    """The page of the book that a browser's test shares with others, or nothing."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return next((str(params[kind]) for kind in ("desk", "night", "phone") if kind in params), "")


@pytest.fixture(scope="session")
def tiny() -> tuple[Matrix, torch.Tensor, torch.Tensor]:
    """(A, b, x): a matrix 12 × 20 and 4 sparse signals without noise. No test writes into them."""
    problem = SparseProblem(m=12, n=20, p=0.15, dtype=torch.float64)
    A = problem.operator()
    b, x = problem.sample(A, 4, torch.Generator().manual_seed(1))
    return A, b, x
