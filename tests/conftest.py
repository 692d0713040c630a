"""What every test starts from: one thread, fixed examples, and one small problem in float64."""

import os
import re
import signal
from typing import Any

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


ALONE = ("test_every_cell_runs", "test_a_chapter_runs")  # each case is long
FIRST = (*ALONE, "tests/browser/", "test_training", "test_doors")
PAGE = re.compile(r"tests/browser/.*\[([\w/-]+\.html)")


def group(nodeid: str) -> str:
    """What runs in one process: a file, but each notebook and each page of the book by itself.

    The browser's tests of one page follow each other, so that it is opened once for them.
    """
    if page := PAGE.match(nodeid):
        return page[1]
    return nodeid if any(name in nodeid for name in ALONE) else nodeid.split("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, the tests of one group together, and of a page those by night last."""
    rank = lambda name: [part not in name for part in FIRST]
    order = lambda name: (rank(name), group(name), "by_night" in name)
    items.sort(key=lambda item: order(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole groups to each process. xdist's own `loadgroup` marks ids, which pytest 9.2 ignores."""
    from xdist.scheduler import LoadScopeScheduling

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = group
    return scheduler


@pytest.fixture(scope="session")
def tiny() -> tuple[Matrix, torch.Tensor, torch.Tensor]:
    """(A, b, x): a matrix 12 × 20 and 4 sparse signals without noise. No test writes into them."""
    problem = SparseProblem(m=12, n=20, p=0.15, dtype=torch.float64)
    A = problem.operator()
    b, x = problem.sample(A, 4, torch.Generator().manual_seed(1))
    return A, b, x
