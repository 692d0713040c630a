"""What the tests ``test_rpca_page*`` share."""

import torch

F64 = torch.float64
