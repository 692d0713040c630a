"""What the tests ``test_imaging_bad_input*`` share."""

import torch

from dunfold_lib.operators import Sensing

LIST = "is a list; it must be a torch.Tensor"

WHOLE = "has dtype torch.int64; it must be a real floating-point tensor"

COMPLEX = "has dtype torch.complex128; it must be a real floating-point tensor"

ONE_BAD = "holds 1 NaN or infinite entries; all must be finite"

EMPTY = "it must not be empty"

# networks

PHI = torch.linalg.qr(torch.arange(45.0, dtype=torch.float64).reshape(9, 5).sin())[0].T  # (5, 9)

A = Sensing(PHI.contiguous())
