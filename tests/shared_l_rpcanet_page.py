"""What the tests ``test_l_rpcanet_page*`` share."""

import pages
import torch

from dunfold_lib.small_target import LRPCANet
from dunfold_lib.small_target import figures_l_rpcanet as figures
from dunfold_lib.small_target.experiments import EXPERIMENTS

SOLUTIONS = pages.solutions("small_target/l_rpcanet")


def small(K=2, seed=0, **changes):
    """A network that does something, without a record: large last layers, a working D."""
    net = LRPCANet(K=K, c=4, b=2, n_noise=1, seed=seed, **changes)
    with torch.no_grad():
        net.eps.fill_(0.5)
        net.sigma.fill_(0.5)
        for F in (*net.FB, *net.FT, *net.FN):
            F.last.weight.mul_(10)
    return net.requires_grad_(False).eval()


# what the page says: each test is named after a sentence, and fails where it would be wrong


def recorded(name, recipe="cpu-sirst"):
    """A recorded network of seed 0."""
    return figures.network(name, recipe)


def settings(name, recipe):
    return EXPERIMENTS[name].recipes[recipe]
