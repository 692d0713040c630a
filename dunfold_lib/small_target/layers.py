"""The learned maps of the networks: convolutions, pairs of channels, squeeze and excitation."""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

SQUEEZE = 16  # c over the hidden channels of squeeze-and-excitation, two at least


class Excite(nn.Module):
    """Squeeze and excitation: each channel times a number in (0, 1) made from all channels' means.

    Hu, Shen & Sun 2018. c = 32 has 162 parameters.
    """

    def __init__(self, c: int, g: torch.Generator):
        super().__init__()
        hidden = max(c // SQUEEZE, 2)
        self.squeeze, self.widen = conv(1, c, hidden, g), conv(1, hidden, c, g)

    def scale(self, mean: Tensor) -> Tensor:  # (batch, c, 1, 1), both sides
        return self.widen(self.squeeze(mean).relu()).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x.mean((2, 3), keepdim=True))


class Learned(nn.Module):
    """F: features of images (batch, 1, h, w), excited where asked for, and one 3×3 layer back.

    body : convolutions with what stands between them.  excite : ``Excite``, or the identity.
    last : 3×3, c → 1.
    """

    def __init__(self, body: Iterable[nn.Module], c: int, se: bool, g: torch.Generator):
        super().__init__()
        self.body = nn.Sequential(*body)
        self.excite = Excite(c, g) if se else nn.Identity()
        self.last = conv(3, c, 1, g)

    @torch.no_grad()
    def awake(self, gain: float) -> None:
        """Pair the channels of fresh filters, so that no ReLU can silence the map.

        Behind a pair (a, −a) the next filter takes relu(a) − relu(−a) = a: at first the map is
        linear. What a constant image becomes, ``gain`` times itself, sets the sums of the taps;
        all else of the filters stays as drawn. Balduzzi et al. 2017 pair channels so.
        """
        convs = [m for m in self.body if isinstance(m, nn.Conv2d)]
        if min(m.out_channels for m in convs) < 2:
            return  # one channel has no partner
        constant, paired = torch.ones(1), False  # paired: what a layer is given left a ReLU
        for m, behind in pairwise([*self.body, nn.Identity()]):
            if isinstance(m, nn.Conv2d):
                bent = not isinstance(behind, nn.Identity)
                constant, paired = _pair(m, constant, paired, bent), bent
        _pair(self.last, constant, paired, False, gain * (2 if self.excites() else 1))
        if isinstance(self.excite, Excite):
            w = self.excite.squeeze.weight
            w[len(w) // 2 :] = -w[: -(len(w) // 2)]

    def excites(self) -> bool:
        """Whether it has squeeze-and-excitation, which halves fresh features."""
        return isinstance(self.excite, Excite)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.excite(self.body(x)))


def conv(k: int, into: int, out: int, g: torch.Generator) -> nn.Conv2d:
    """A fresh k×k convolution that keeps the size: Xavier-normal weights, biases 0.

    Its filters lie channels-last in memory, and features follow: a step of training takes half.
    """
    made = nn.Conv2d(into, out, k, padding=k // 2)
    with torch.no_grad():
        spread = (2 / (k * k * (into + out))) ** 0.5
        made.weight.normal_(0, spread, generator=g)
    made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    made.bias = nn.Parameter(torch.zeros(out))
    return made


def _pair(m: nn.Conv2d, constant: Tensor, into: bool, out: bool, gain: float = 1.0) -> Tensor:
    """Filters on pairs of channels (a, −a), and that give such pairs, where asked for.

    constant : (channels,) what a constant image has become.  Gives the same behind the layer, of
    length ``gain`` times that. A channel left over by pairs keeps its filters.
    """
    w = m.weight
    o, i = (len(w) // 2 if out else len(w)), len(constant)
    core, middle = w[:o, :i].clone(), w.shape[2] // 2
    now = core.sum((2, 3)) @ constant
    then = gain * now / now.norm() if o > 1 else torch.full_like(now, gain)
    core[:, :, middle, middle] += torch.outer(then - now, constant) / constant.square().sum()
    w[:o, :i] = core
    if into:
        w[:o, i : 2 * i] = -core
    if out:
        w[o : 2 * o, : 2 * i] = -w[:o, : 2 * i]
    return then


def layers(first: int, c: int, count: int, norm: bool, g: torch.Generator) -> list[nn.Module]:
    """conv 1→c of size ``first``, then ``count`` of 3×3, c→c; after each (BN and) ReLU."""
    made: list[nn.Module] = []
    for i in range(count + 1):
        made.append(conv(3 if i else first, c if i else 1, c, g))
        made += [nn.BatchNorm2d(c)] if norm else []
        made.append(nn.ReLU())
    return made


def neck(
    first: int, sizes: tuple[int, int], count: int, norm: bool, se: bool, g: torch.Generator
) -> Learned:
    """A map of ``layers`` with few channels, widened at their end; sizes : (few, wide)."""
    few, wide = sizes
    return Learned([*layers(first, few, count, norm, g), conv(3, few, wide, g)], wide, se, g)
