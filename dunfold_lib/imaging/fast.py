"""The same numbers, sooner: two convolutions in a row are one, and blocks fit the cache.

In ISTA-Net+ nothing stands between D and C1. Two 3×3 convolutions in a row, 1→c→c channels, are one
of 5×5, 1→c, at a tenth of the work. Not quite at the edge of a block, where C1 sees zeros and not
what D would have given one pixel further out; ``edges`` is that difference, on four lines.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.blocks import Less, composed, edges
from dunfold_lib.checks import AnyTensor
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, channels_last, conv, fits
from dunfold_lib.operators import Blockwise, Linear, Sensing
from dunfold_lib.prox import soft

BLOCKS = 32  # at once: their features stay in a core's cache


def into(r: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """conv(conv(r, first), second) for r of one channel: (batch, 1, h, w) -> (batch, out, h, w)."""
    y = functional.conv2d(channels_last(r), composed(first, second), padding=2)
    return Less.apply(y, *edges(r, first, second))


class Shrink(torch.autograd.Function):
    """``soft`` by one threshold of zero or more, through torch's own kernel."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor) -> Tensor:
        kept = functional.softshrink(z, theta.item())
        ctx.save_for_backward(kept)
        return kept

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (g,), (kept,) = grads, ctx.saved_tensors
        sign = kept.sign()
        inward = g * sign
        return inward * sign, -inward.sum()


def shrunk(z: Tensor, theta: Tensor) -> Tensor:
    """``soft(z, theta)`` for one threshold; a negative one takes the formula as it stands."""
    return Shrink.apply(z, theta) if bool(theta >= 0) else soft(z, theta)


def plus_phase(net: ISTANetPlus, k: int, x: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(r, z, x) of ISTA-Net+'s phase k."""
    r = x - net.rho[k] * net.A.T(net.A(x) - b)
    z = conv(into(r, net.D[k], net.C1[k]).relu_(), net.C2[k])
    return r, z, r + conv(net.inverse(k, shrunk(z, net.theta[k])), net.G[k])


@checks.door
def plus_loss(net: ISTANetPlus, b: Tensor, truth: Tensor, weight: float = 0.01) -> Tensor:
    """``model.symmetric_loss`` of an ISTA-Net+, and through it the same gradients."""
    fits(net, b, truth)
    x, asymmetry = net.start(b), truth.new_zeros(())
    for k in range(net.K):
        r, z, x = plus_phase(net, k, x, b)
        if weight:
            u = conv(channels_last(r), net.D[k])
            undone = net.inverse(k, z)
            last = (0, 2, 3, 1)  # the order in memory, in which the gradients shall be, too
            asymmetry = asymmetry + functional.mse_loss(undone.permute(last), u.permute(last))
    return functional.mse_loss(x, truth) + weight * asymmetry


@checks.door
@torch.no_grad()
def estimate(net: ISTANet | ISTANetPlus, b: Tensor) -> Tensor:
    """``net(b)`` without gradients, a cacheful of blocks at a time."""
    checks.rows("b", b, net.A.codomain)
    return torch.cat([_estimate(net, part) for part in b.split(BLOCKS)])


def _estimate(net: ISTANet | ISTANetPlus, b: Tensor) -> Tensor:
    if not isinstance(net, ISTANetPlus):
        return net(b)
    x = net.start(b)
    for k in range(net.K):
        x = plus_phase(net, k, x, b)[-1]
    return x


@checks.door
@torch.no_grad()
def reconstruct(net: ISTANet | ISTANetPlus, image: AnyTensor) -> Tensor:
    """Measure an image as the network's operator does, and give the network's estimate of it.

    image : (1, 1, height, width). Of any size where the operator measures blocks; else its own.
    """
    whole = on_image(net.A, image)
    image = image.to(net.rho)
    if isinstance(whole, Blockwise):
        return whole.join(estimate(net, whole(image).flatten(0, 1)))
    return estimate(net, whole(image))


def on_image(A: Linear, image: Tensor) -> Linear:
    """The operator for a whole image: block by block where A measures blocks, else A itself."""
    checks.finite("image", image, ("batch", 1, "height", "width"))
    return Blockwise(A, (image.shape[2], image.shape[3])) if isinstance(A, Sensing) else A


@checks.door
@torch.no_grad()
def image_phases(net: ISTANet | ISTANetPlus, image: AnyTensor) -> Iterator[dict[str, Any]]:
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
