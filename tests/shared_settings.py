"""What the tests ``test_settings*`` share."""

import shared_random
import torch

seeded = shared_random.seeded


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)
