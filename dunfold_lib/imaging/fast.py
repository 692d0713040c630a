"""The same numbers, sooner: two convolutions in a row are one, and blocks fit the cache.

In ISTA-Net+ nothing stands between D and C1: two 3×3 convolutions, 1→c→c channels, are one of 5×5,
1→c, at a tenth of the cost. Not quite at the edge of a block, where C1 sees zeros and not what D
would have given one pixel further out; ``edges`` is that difference, on four lines of pixels.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, channels_last, conv
from dunfold_lib.operators import Blockwise, Linear, Sensing
from dunfold_lib.prox import soft

BLOCKS = 32  # at once: their features stay in a core's cache


def composed(first: Tensor, second: Tensor) -> Tensor:
    """The filter (out, in, 5, 5) of the convolution by ``first``, then by ``second``."""
    return functional.conv2d(first.transpose(0, 1), second.flip(2, 3), padding=2).transpose(0, 1)


def edges(x: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
    """What the 5×5 filter adds at the top, bottom, left and right line by looking one pixel out."""
    line = lambda v, f, s, p: functional.conv1d(
        functional.conv1d(v, f, padding=p), s, padding=p % 2
    )
    return (
        line(x[:, :, 0], first[:, :, 2], second[:, :, 0], 2),
        line(x[:, :, -1], first[:, :, 0], second[:, :, 2], 2),
        line(x[..., 0], first[..., 2], second[..., 0], 1),
        line(x[..., -1], first[..., 0], second[..., 2], 1),
    )


def twice(x: Tensor, first: Tensor, second: Tensor, both: Tensor) -> Tensor:
    """conv(conv(x, first), second), by the one filter ``both`` = composed(first, second)."""
    y = functional.conv2d(x, both, padding=2)
    top, bottom, left, right = edges(x, first, second)
    y[:, :, 0] -= top
    y[:, :, -1] -= bottom
    y[..., 0] -= left
    y[..., -1] -= right
    return y


@torch.no_grad()
def estimate(net: ISTANet | ISTANetPlus, b: Tensor) -> Tensor:
    """``net(b)`` without gradients, a cacheful of blocks at a time."""
    if not isinstance(net, ISTANetPlus):
        return torch.cat([net(part) for part in b.split(BLOCKS)])
    both = [composed(D, C1) for D, C1 in zip(net.D, net.C1, strict=True)]
    return torch.cat([_plus(net, part, both) for part in b.split(BLOCKS)])


def _plus(net: ISTANetPlus, b: Tensor, both: list[Tensor]) -> Tensor:
    x = net.start(b)
    for k in range(net.K):
        r = channels_last(x - net.rho[k] * net.A.T(net.A(x) - b))
        z = conv(twice(r, net.D[k], net.C1[k], both[k]).relu_(), net.C2[k])
        x = r + conv(net.inverse(k, shrunk(z, net.theta[k])), net.G[k])
    return x


def shrunk(z: Tensor, theta: Tensor) -> Tensor:
    """``soft(z, theta)`` for one threshold, by torch's own kernel where that is not negative."""
    t = float(theta)
    return functional.softshrink(z, t) if t >= 0 else soft(z, theta)


@torch.no_grad()
def reconstruct(net: ISTANet | ISTANetPlus, image: Tensor) -> Tensor:
    """Measure an image as the network's operator does, and give the network's estimate of it.

    image : (1, 1, height, width). Of any size where the operator measures blocks; else its own.
    """
    checks.finite("image", image)
    whole = on_image(net.A, image)
    image = image.to(net.rho)
    if isinstance(whole, Blockwise):
        return whole.join(estimate(net, whole(image).flatten(0, 1)))
    return estimate(net, whole(image))


def on_image(A: Linear, image: Tensor) -> Linear:
    """The operator for a whole image: block by block where A measures blocks, else A itself."""
    if image.ndim != 4 or image.shape[1] != 1:
        given = tuple(image.shape)
        raise ValueError(f"image has shape {given}; it must be (batch, 1, height, width)")
    return Blockwise(A, (image.shape[2], image.shape[3])) if isinstance(A, Sensing) else A


@torch.no_grad()
def image_phases(net: ISTANet | ISTANetPlus, image: Tensor) -> Iterator[dict[str, Any]]:
    """What each phase makes of a whole image: r, features, thresholded features, estimate.

    image : (1, 1, height, width). Features are (channels, height, width).
    """
    whole = on_image(net.A, image)
    b = whole(image.to(net.rho))
    join = lambda t: t
    if isinstance(whole, Blockwise):
        b = b.flatten(0, 1)
        join = lambda t: torch.cat([whole.join(c[:, None]) for c in t.unbind(1)], 1)
    x = net.start(b)
    yield {"x": join(x)}
    for k in range(net.K):
        p = net.phase(k, x, b)
        x = p.x
        kept = soft(p.z, net.theta[k])
        yield {"r": join(p.r), "z": join(p.z), "kept": join(kept), "x": join(x)}
