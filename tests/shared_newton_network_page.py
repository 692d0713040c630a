"""What the tests ``test_newton_network_page*`` share."""

import pages
import torch

from dunfold_lib.newton_sr import FirstOrderSR, LearnedInverseSR, NewtonSR
from dunfold_lib.newton_sr import figures_network as figures
from dunfold_lib.newton_sr import figures_network_tables as tables

SOLUTIONS = pages.solutions("newton_sr/network")

cleared = pages.clearing(figures)

CLASSES = {"Newton": NewtonSR, "learned inverse": LearnedInverseSR, "first-order": FirstOrderSR}

RECORDED = bool(figures.recorded())


def small(kind=NewtonSR, K=2, c=3, seed=0):
    """A network that does a little, without a record: thresholds that images feel."""
    net = kind(K=K, c=c, f=4, seed=seed)
    with torch.no_grad():
        net.t1.fill_(-3)
        net.t2.fill_(-3)
    return net.requires_grad_(False).eval()


# what the sentences say of records, settings and sizes


UNROLLED = ("newton-4", "learned-inverse-4", "first-order-4")

MADE = ("cpu", tables.HOME)


def of(name, score, recipe=""):
    found = tables.of(name, score, recipe)
    assert found, f"newton_sr/{name} has no {score} by {recipe or 'any recipe'}"
    return found


def mean(values):
    return sum(values) / len(values)
