"""What the tests ``test_training*`` share."""

import torch

from dunfold_lib.__main__ import main
from dunfold_lib.sparse import LISTACP
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.training import Recipe

PROBLEM = SparseProblem(m=12, n=20, p=0.15, dtype=torch.float64)

A = PROBLEM.operator()

SHORT = Recipe(steps=8, batch=6, lr=1e-2)

TINY = ["stage_steps=1", "finish_steps=1", "batch=4"]


def sample(batch, g):
    return PROBLEM.sample(A, batch, g)


def net():
    return LISTACP(A, 3, 0.1)


def same(u, v):
    """Whether two networks hold the same weights to the last bit."""
    pairs = zip(u.state_dict().values(), v.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


class Killed(BaseException):
    """What ends a run from outside; no `except Exception` catches it."""


def killer(at):
    def watch(step, loss):
        if step == at:
            raise Killed

    return watch


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def other(value):
    """Another value of the same type."""
    return not value if isinstance(value, bool) else value + type(value)(1)


# the command line


def train(out, *arguments):
    assert main(["train", *arguments, "--out", str(out)]) == 0
