"""What the tests ``test_star_page*`` share."""

import pages
import torch

SOLUTIONS = pages.solutions("hyperspectral/star")

F64 = torch.float64
