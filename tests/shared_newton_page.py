"""What the tests ``test_newton_page*`` share."""

import pages
import torch

SOLUTIONS = pages.solutions("newton_sr/newton")

F64 = torch.float64
