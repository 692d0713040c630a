"""Pieces of networks that more than one room is made of."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks


@checks.door
def composed(first: Tensor, second: Tensor) -> Tensor:
    """The filter (out, in, 5, 5) of the 3×3 convolution by ``first``, then by ``second``."""
    return functional.conv2d(first.transpose(0, 1), second.flip(2, 3), padding=2).transpose(0, 1)


def along(lines: Tensor, w: Tensor, pad: int) -> Tensor:
    """Lines (batch, length, in) convolved by w (out, in, 3): (batch, length + 2 pad − 2, out)."""
    windows = functional.pad(lines, (0, 0, pad, pad)).unfold(1, 3, 1)
    return windows.flatten(2) @ w.flatten(1).T


def rim(y: Tensor) -> tuple[Tensor, ...]:
    """Views of the top, bottom, left and right line of y, (batch, length, channels)."""
    last = y.permute(0, 2, 3, 1)
    return last[:, 0], last[:, -1], last[:, :, 0], last[:, :, -1]


class Less(torch.autograd.Function):
    """y minus four lines at its rim, in place; autograd itself would copy all of y four times."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, *lines: Tensor) -> Tensor:
        for view, line in zip(rim(y), lines, strict=True):
            view -= line
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        (g,) = grads
        return g, *(-view for view in rim(g))


def edges(
    x: Tensor,
    first: Tensor,
    second: Tensor,
    bias: Tensor | float = 0.0,
    scale: Tensor | float = 1.0,
) -> list[Tensor]:
    """What the 5×5 filter adds at the top, bottom, left and right line by looking one pixel out.

    x : (batch, in, h, w).  Four lines (batch, length, out); the ring's corners are the first two's.
    Between the two convolutions stand a bias (middle,) and a factor (batch, 1, middle).
    """
    top, bottom, left, right = rim(x)
    two = lambda line, f, s, pad: along((along(line, f, pad) + bias) * scale, s, pad % 2)
    return [
        two(top, first[:, :, 2], second[:, :, 0], 2),
        two(bottom, first[:, :, 0], second[:, :, 2], 2),
        two(left, first[..., 2], second[..., 0], 1),
        two(right, first[..., 0], second[..., 2], 1),
    ]
