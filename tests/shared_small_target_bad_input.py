"""What the tests ``test_small_target_bad_input*`` share."""

import torch

from dunfold_lib.small_target.model import LRPCANet, RPCANet

BAD = "holds 1 NaN or infinite entries; all must be finite"

g = torch.Generator().manual_seed(0)


def tiny(kind=LRPCANet, **sizes):
    return kind(K=1, c=2, **({"b": 2} if kind is not RPCANet else {}), **sizes).eval()
