"""What the tests ``test_parts*`` share."""

import math

import torch

from dunfold_lib.operators import Blur, Compose, Mask, Matrix
from dunfold_lib.wavelets import Wavelet


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def doubles(values):
    return torch.tensor(values, dtype=torch.float64)


# Operators: what holds for every one of them

OPERATORS = {
    "matrix": lambda dtype: Matrix(numbers(5, 7).to(dtype)),
    "mask": lambda dtype: Mask((numbers(4, 7) > 0).to(dtype)),
    "blur": lambda dtype: Blur(numbers(3, 5).to(dtype), (6, 7)),
    "wavelet": lambda dtype: Wavelet((16, 24), "db2", 2),
    "composed with wavelet": lambda dtype: Compose(
        Blur(numbers(5, 3).to(dtype), (12, 8)), Wavelet((12, 8), "haar", 2)
    ),
    "composed matrices": lambda dtype: Compose(
        Matrix(numbers(4, 5).to(dtype)), Matrix(numbers(5, 6, seed=1).to(dtype))
    ),
}


def dense(A):
    """The matrix of A, one column for each unit vector."""
    n = math.prod(A.domain)
    units = torch.eye(n, dtype=torch.float64).reshape(n, *A.domain)
    return torch.stack([A(u[None]).flatten() for u in units], dim=1)
