"""What the tests ``test_bad_input*`` share."""

import torch
from refusals import ones

whole_numbers = ones(2, 2, dtype=torch.int64)

LIST = "is a list; it must be a torch.Tensor"

WHOLE = "has dtype torch.int64; it must be a real floating-point tensor"

ONE_BAD = "holds 1 NaN or infinite entries; all must be finite"
