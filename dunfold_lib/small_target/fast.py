"""The same T, sooner: for detecting, not for learning.

- T^K needs neither the N nor the D of the last stage; they are left out.
- A batch norm after a convolution is part of that convolution.
- Squeeze-and-excitation stands between two convolutions with no bend between them: for one image it
  is a scale of the second one's channels. The mean that decides the scale follows from sums of the
  first one's input. So 3×3 b→c, scale, 3×3 c→1 are one 5×5, b→1, at a tenth of the work. At the
  border the second convolution sees zeros, not what the first would give outside: the outermost
  line is computed as it stands.
- Features lie channels-last in memory.

``compact`` prepares a network once; its ``detect`` takes images one by one.
"""

from collections.abc import Callable
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.blocks import Less, composed, edges
from dunfold_lib.small_target import data
from dunfold_lib.small_target.data import Frames
from dunfold_lib.small_target.layers import Excite, Learned
from dunfold_lib.small_target.model import MAPS, LRPCANet, Network

Layer = tuple[Tensor, Tensor]  # weight (out, in, k, k) and bias (out,) of a convolution


def folded(F: Learned) -> list[Layer]:
    """The convolutions of a map's body, each with the batch norm behind it, for ``eval`` mode."""
    made: list[Layer] = []
    for module in F.body:
        if isinstance(module, nn.Conv2d):
            made.append(_layer(module))
        elif isinstance(module, nn.BatchNorm2d):
            mean, var = module.running_mean, module.running_var
            assert mean is not None
            assert var is not None
            scale = module.weight / (var + module.eps).sqrt()
            weight, bias = made[-1]
            made[-1] = (weight * scale[:, None, None, None], (bias - mean) * scale + module.bias)
    return made


def mean_after(z: Tensor, wide: Layer) -> Tensor:
    """Means over the pixels of ``wide`` applied to z (n, b, h, w): (n, c, 1, 1), from sums of z.

    A tap at (−1, ·) never sees the last row, one at (+1, ·) never the first; columns alike.
    """
    rows = z.sum(3)  # (n, b, h)
    left, right = z[..., 0], z[..., -1]
    over = lambda t: torch.stack([t.sum(2) - t[..., -1], t.sum(2), t.sum(2) - t[..., 0]], 2)
    sums = torch.stack([over(rows - right), over(rows), over(rows - left)], 3)  # (n, b, 3, 3)
    pixels = z.shape[2] * z.shape[3]
    return (sums.flatten(1) @ wide[0].flatten(1).T / pixels + wide[1])[:, :, None, None]


class Compact:
    """One learned map F, prepared: images (1, 1, h, w) to the same."""

    def __init__(self, F: Learned):
        order = torch.channels_last
        lay = lambda layer: (layer[0].detach().contiguous(memory_format=order), layer[1].detach())
        convs = [lay(layer) for layer in folded(F)]
        bare = isinstance(F.body[-1], nn.Conv2d)  # a widening layer without a bend behind it
        self.wide = convs.pop() if bare else None
        self.hidden, self.excite = convs, F.excite
        self.last = lay(_layer(F.last))

    def __call__(self, v: Tensor) -> Tensor:
        x = v.contiguous(memory_format=torch.channels_last)
        for weight, bias in self.hidden:
            x = functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2).relu_()
        weight, bias = self.last
        if self.wide is None:
            return functional.conv2d(x, self._scaled(weight, x.mean((2, 3), True)), bias, padding=1)
        weight = self._scaled(weight, mean_after(x, self.wide))
        return _two(x, self.wide, (weight, bias))

    def _scaled(self, weight: Tensor, mean: Tensor) -> Tensor:
        """The last filter (1, c, 3, 3) times what squeeze-and-excitation makes of the means."""
        return weight * self.excite.scale(mean) if isinstance(self.excite, Excite) else weight


def _two(z: Tensor, wide: Layer, last: Layer) -> Tensor:
    """Two 3×3 convolutions as one, its outermost line as it stands."""
    plain = lambda t: functional.conv2d(functional.conv2d(t, *wide, padding=1), *last, padding=1)
    if min(z.shape[2:]) < 5:
        return plain(z)
    bias = (last[0].sum((2, 3)) @ wide[1]) + last[1]
    y = functional.conv2d(z, composed(wide[0], last[0]), bias, padding=2)
    y[:, :, 0], y[:, :, -1] = plain(z[:, :, :3])[:, :, 0], plain(z[:, :, -3:])[:, :, -1]
    y[..., 0], y[..., -1] = plain(z[..., :3])[..., 0], plain(z[..., -3:])[..., -1]
    return y


class Merged(nn.Module):
    """A learned map of a bottleneck, to train: its widening layer and its last one are one.

    The factors of squeeze-and-excitation differ from image to image, and so do the 5×5 filters:
    each is a sum, with those factors, of the c filters that each channel stands for.
    """

    def __init__(self, F: Learned):
        super().__init__()
        *body, wide = F.body
        self.body, self.wide, self.excite, self.last = nn.Sequential(*body), wide, F.excite, F.last

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        first, bias = _layer(self.wide)
        last, shift = _layer(self.last)
        if isinstance(self.excite, Excite):
            scale = self.excite.scale(mean_after(z, (first, bias)))[:, :, 0, 0]
        else:
            scale = z.new_ones(len(z), len(first))
        singly = functional.conv2d(
            first.transpose(0, 1), last.transpose(0, 1).flip(2, 3), padding=2, groups=len(first)
        )  # (b, c, 5, 5)
        filters = torch.einsum("nc,bcij->nbij", scale, singly)
        n, b, h, w = z.shape
        y = functional.conv2d(z.reshape(1, n * b, h, w), filters, padding=2, groups=n)
        level = scale @ (bias * last[0].sum((1, 2))) + shift
        y = y.view(n, 1, h, w) + level[:, None, None, None]
        return Less.apply(y, *edges(z, first, last, bias, scale[:, None]))


def _layer(m: nn.Module) -> Layer:
    assert isinstance(m, nn.Conv2d)
    assert m.bias is not None
    return m.weight, m.bias


@checks.door
def merged(net: Network) -> Network:
    """The same network with the same parameters, to train: ``Merged`` in the place of its maps.

    Maps without a widening layer stay as they are.
    """
    return replaced(net, lambda F: Merged(F) if isinstance(F.body[-1], nn.Conv2d) else F)


def replaced(net: Network, make: Callable[[Learned], Any]) -> Network:
    """A network that is the same but for its maps: each is what ``make`` makes of it."""
    twin = copy(net)
    twin._modules = dict(net._modules)
    for name in MAPS:
        if hasattr(net, name):
            maps = nn.ModuleList(make(_map(F)) for F in getattr(net, name))
            setattr(twin, name, maps)
    return twin


class Prepared:
    """A network prepared by ``compact``; later changes of its weights are not seen."""

    @checks.door
    def __init__(self, net: Network):
        self.net = net
        last = net.K - 1
        self.FB, self.FT = ([Compact(_map(F)) for F in maps] for maps in (net.FB, net.FT))
        self.FD = [Compact(_map(F)) for F in net.FD[:last]]
        self.FN = [Compact(_map(F)) for F in net.FN[:last]] if isinstance(net, LRPCANet) else []
        self.eps = net.eps.tolist()
        self.sigma = net.sigma.tolist() if isinstance(net, LRPCANet) else []
        self.carry = isinstance(net, LRPCANet) and net.carry_noise

    @torch.inference_mode()
    def __call__(self, b: Tensor) -> Tensor:
        """T^K, logits (batch, 1, h, w), as ``net(b)`` gives in ``eval`` mode."""
        return torch.cat([self._one(image) for image in self.net.start(b).D.split(1)])

    def _one(self, D: Tensor) -> Tensor:
        T, N = torch.zeros_like(D), torch.zeros_like(D)
        for k, (FB, FT) in enumerate(zip(self.FB, self.FT, strict=True)):
            carried = N if self.carry else torch.zeros_like(N)
            v = D - T - carried
            B = v + FB(v)
            v = T + D - B - carried
            T = v - self.eps[k] * FT(v)
            if k + 1 == len(self.FB):
                break
            if self.FN:
                v = carried + D - B - T
                N = v - self.sigma[k] * self.FN[k](v)
            D = self.FD[k](B + T + N)
        return T


def _map(F: nn.Module) -> Learned:
    assert isinstance(F, Learned)
    return F


@checks.door
def compact(net: Network) -> Prepared:
    """Prepare a network for detecting. It must be in ``eval`` mode, as after training."""
    if net.training:
        raise ValueError("the network is in training mode; call net.eval() first")
    return Prepared(net)


@checks.door
def detect(net: Network, image: Tensor) -> Tensor:
    """T^K, logits, for images (batch, 1, h, w) in [0, 1] whose values are looked at."""
    checks.finite("image", image)
    checks.within("image", image, 0, 1)
    return compact(net)(image)


@checks.door
def predicted(net: Network, frames: Frames) -> Tensor:
    """Where a network finds targets, (n, 1, h, w); it is left in the mode it was in."""
    return logits(net, data.images(frames)) > 0


@checks.door
@torch.no_grad()
def logits(net: Network, image: Tensor) -> Tensor:
    """T^K of images (n, 1, h, w) on the network's device; the result on the CPU.

    One by one through ``fast.compact``, or on a GPU, which waits for each launch, in batches.
    """
    learning, device = net.training, net.eps.device
    net.eval()
    run, size = (compact(net), 1) if device.type == "cpu" else (net, 16)
    made = torch.cat([run(x.to(device)).cpu() for x in image.split(size)])
    net.train(learning)
    return made
