"""What the tests ``test_star_net_page*`` share."""

import pages
import torch

from dunfold_lib import records
from dunfold_lib.hyperspectral import figures_star_net as figures
from dunfold_lib.hyperspectral.experiments import EXPERIMENTS

SOLUTIONS = pages.solutions("hyperspectral/star_net")

cleared = pages.clearing(figures)

F64 = torch.float64

# what the page says: each test is named after a sentence, and fails where it would be wrong


def settings(name, recipe="cpu"):
    return EXPERIMENTS[name].recipes[recipe]


def above(found):
    """Whether differences of the same seed put the first before the second."""
    return records.ranks(found, [0.0] * len(found))
