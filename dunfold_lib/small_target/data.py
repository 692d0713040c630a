"""Infrared scenes with small targets: made up, or made-up targets in real backgrounds; noise.

Images are 8 bit, as the cameras and all public sets have them: ``Frames`` holds bytes, ``images``
gives them in [0, 1]. Made-up scenes follow what was measured on SIRST v1: area, mean and spectral
slope β of the images. They are harder: more targets an image, and fainter ones, for the local
contrast is set before blur and sensor noise (a median of 2.4 is left, where SIRST v1 has 13).
Targets that are ``matched`` have the areas and the contrasts of SIRST v1's training part.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor
from dunfold_lib.datasets import bell, turned

BORDER = 8  # pixels between a target's centre and the border
EDGE = math.exp(-1.5)  # a pixel belongs to a target where its Gaussian is above this
PSF = 0.7  # deviation of the optics' blur, pixels
AMPLITUDE = (0.04, 0.8)  # least and greatest height of a target
AROUND = 12  # pixels to each side that a target's local contrast is measured in
RANKS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)  # of the two rows below
# measured on SIRST v1's training part, 327 targets in 256 frames at 256×256: area in pixels, and
# |mean over the target − mean around it| over the deviation around it; the two hardly go together
# (a rank correlation of 0.09)
AREAS = (4.0, 5.3, 8.0, 12.0, 22.0, 38.0, 67.8, 98.4, 156.2)
CONTRASTS = (0.8, 2.0, 3.2, 6.7, 12.9, 23.7, 41.4, 47.7, 82.6)
PLACES = 50  # most places that are tried for a matched target
SIGMAS = (0, 5, 10, 15, 20, 25)  # deviations of Gaussian noise, over 255
DENSITIES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)  # shares of pixels that salt and pepper replace


class Frames(NamedTuple):
    """Images with the masks of their targets, all of one size."""

    names: tuple[str, ...]
    image: AnyTensor  # (n, 1, h, w), uint8
    mask: AnyTensor  # (n, 1, h, w), bool

    @checks.door
    def part(self, rows: Sequence[int]) -> "Frames":
        """These rows only."""
        _stored(self)
        return Frames(tuple(self.names[i] for i in rows), self.image[rows], self.mask[rows])


@checks.door
def images(frames: Frames) -> Tensor:
    """The images (n, 1, h, w) in [0, 1], float32."""
    _stored(frames)
    return frames.image.float() / 255


def _stored(frames: Frames) -> None:
    """Refuse images that are not 8 bit, and masks or names that are not theirs."""
    image, mask = frames.image, frames.mask
    if image.dtype != torch.uint8 or image.ndim != 4 or image.shape[1] != 1:
        given = f"{tuple(image.shape)} of {image.dtype}"
        raise ValueError(f"image has shape {given}; it must be (n, 1, h, w) of torch.uint8")
    if mask.dtype != torch.bool:
        raise TypeError(f"mask has dtype {mask.dtype}; it must be torch.bool")
    checks.like("mask", mask, "image", image)
    if len(frames.names) != len(image):
        raise ValueError(f"{len(image)} images have {len(frames.names)} names")


@checks.door
def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of x (h, w) by a window of ±3σ, the border repeated."""
    checks.shaped("x", x, ("h", "w"))
    checks.number("sigma", sigma, 0, open_low=True)
    reach = max(math.ceil(3 * sigma), 1)
    kernel = bell(reach, sigma, x.dtype)
    kernel = kernel / kernel.sum()
    x = functional.pad(x[None, None], (reach,) * 4, mode="replicate")
    x = functional.conv2d(x, kernel.view(1, 1, -1, 1))
    return functional.conv2d(x, kernel.view(1, 1, 1, -1))[0, 0]


class Draw:
    """Random numbers of one generator, in the shapes that a scene needs."""

    def __init__(self, g: torch.Generator):
        self.g = g

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.g))

    def log_uniform(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def by_ranks(self, points: Sequence[float]) -> float:
        """A number whose quantiles at RANKS are these points, straight between their logarithms."""
        return math.exp(float(np.interp(self.uniform(0, 1), RANKS, np.log(points))))

    def whole(self, low: int, high: int) -> int:
        """One of low, …, high."""
        return int(torch.randint(low, high + 1, (), generator=self.g))

    def place(self, scene: Tensor) -> list[float]:
        """A target's centre, off the border of a scene (h, w)."""
        return [self.uniform(BORDER, n - 1 - BORDER) for n in scene.shape]

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.g)


def fractal(draw: Draw, side: int, beta: float) -> Tensor:
    """Noise (side, side) whose power falls like 1/f^β: mean 0, deviation 1."""
    f = torch.fft.fftfreq(side)[:, None].hypot(torch.fft.rfftfreq(side))
    f[0, 0] = 1
    spectrum = torch.fft.rfft2(draw.normal(side, side)) * f ** (-beta / 2)
    spectrum[0, 0] = 0
    made = torch.fft.irfft2(spectrum, s=(side, side))
    return made / made.std()


def sky(draw: Draw, y: Tensor, x: Tensor) -> Tensor:
    """Nothing but the ramp and the noise that every scene has."""
    return torch.zeros_like(y)


def cloud(draw: Draw, y: Tensor, x: Tensor) -> Tensor:
    """A sigmoid of smooth noise: banks with soft edges."""
    smooth = fractal(draw, len(y), 3.5)
    return draw.uniform(0.1, 0.35) * (4 * smooth).sigmoid()


def horizon(draw: Draw, y: Tensor, x: Tensor) -> Tensor:
    """Below a soft, tilted edge another level, and rougher."""
    edge = draw.uniform(-0.3, 0.3) + draw.uniform(-0.2, 0.2) * x
    below = ((y - edge) * len(y) / draw.uniform(2, 8)).sigmoid()
    rough = 0.05 * fractal(draw, len(y), draw.uniform(1.8, 2.5))
    return below * (draw.uniform(-0.25, 0.25) + rough)


def ground(draw: Draw, y: Tensor, x: Tensor) -> Tensor:
    """Rough everywhere, with up to four rectangles: buildings."""
    made = draw.uniform(0.03, 0.08) * fractal(draw, len(y), draw.uniform(1.8, 2.5))
    for _ in range(draw.whole(0, 4)):
        down, across = draw.uniform(-0.5, 0.5), draw.uniform(-0.5, 0.5)
        inside = (y - down).abs() < draw.uniform(0.02, 0.2)
        made += draw.uniform(-0.15, 0.15) * (
            inside & ((x - across).abs() < draw.uniform(0.02, 0.2))
        )
    return made


SCENES = (sky, cloud, horizon, ground)


@checks.door
def background(g: torch.Generator, side: int = 256) -> Tensor:
    """A made-up scene (side, side) without targets, about [0, 1], not yet seen through optics."""
    checks.whole("side", side, 32)
    draw, at = Draw(g), torch.linspace(-0.5, 0.5, side)
    y, x = torch.meshgrid(at, at, indexing="ij")
    turn, tilt = draw.uniform(0, 2 * math.pi), draw.uniform(-0.25, 0.25)
    made = draw.uniform(0.2, 0.6) + tilt * (math.cos(turn) * y + math.sin(turn) * x)
    made = made + draw.uniform(0.01, 0.12) * fractal(draw, side, draw.uniform(2, 4))
    return made + SCENES[draw.whole(0, len(SCENES) - 1)](draw, y, x)


@checks.door
def add_targets(g: torch.Generator, scene: Tensor, matched: bool = False) -> tuple[Tensor, Tensor]:
    """(scene with one to three targets, their mask), for a scene (h, w).

    A target is a rotated Gaussian, its height a multiple of the deviation of the scene around it:
    the local signal to clutter ratio, log-uniform from 1.5 to 25.
    matched : areas and ratios by the quantiles AREAS and CONTRASTS, where the ratio is that of the
    mean over the target's mask, behind the optics, as it was measured on SIRST v1. A real target
    of a large ratio stands in calm surroundings: a place is drawn again, up to PLACES times, where
    the target would exceed white.
    """
    checks.finite("scene", scene)
    if scene.ndim != 2 or min(scene.shape) <= 2 * BORDER:
        given = tuple(scene.shape)
        raise ValueError(f"scene has shape {given}; it must be (h, w), both above {2 * BORDER}")
    draw, add = Draw(g), _matched if matched else _faint
    made, mask = scene.clone(), torch.zeros(scene.shape, dtype=torch.bool)
    for _ in range(draw.whole(1, 3)):
        target, inside = add(draw, scene)
        made += target
        mask |= inside
    return made, mask


def _shape(
    scene: Tensor, at: list[float], wide: float, narrow: float, turn: float
) -> tuple[Tensor, Tensor]:
    """A Gaussian (h, w) of height 1, and where it belongs to the target."""
    down, across = at
    y, x = torch.meshgrid(*(torch.arange(n) for n in scene.shape), indexing="ij")
    along = math.cos(turn) * (y - down) + math.sin(turn) * (x - across)
    beside = math.cos(turn) * (x - across) - math.sin(turn) * (y - down)
    shape = (-0.5 * ((along / wide) ** 2 + (beside / narrow) ** 2)).exp()
    return shape, shape > EDGE


def _around(scene: Tensor, at: list[float]) -> float:
    """The deviation of a scene within AROUND pixels of a place."""
    rows, columns = (slice(max(round(v) - AROUND, 0), round(v) + AROUND + 1) for v in at)
    return float(scene[rows, columns].std())


def _faint(draw: Draw, scene: Tensor) -> tuple[Tensor, Tensor]:
    """A target and its mask: a ratio times the local deviation, within AMPLITUDE."""
    at, (low, high) = draw.place(scene), AMPLITUDE
    wide, turn = draw.log_uniform(0.7, 4), draw.uniform(0, math.pi)
    shape, inside = _shape(scene, at, wide, wide / draw.uniform(1, 2), turn)
    ratio = draw.log_uniform(1.5, 25)
    return min(max(ratio * _around(scene, at), low), high) * shape, inside


def _matched(draw: Draw, scene: Tensor) -> tuple[Tensor, Tensor]:
    """A target and its mask, of an area and a ratio of SIRST v1: the first place that it fits,
    or the one where it exceeds white least."""
    area, ratio = draw.by_ranks(AREAS), draw.by_ranks(CONTRASTS)
    turn, longer = draw.uniform(0, math.pi), draw.uniform(1, 2)
    wide = math.sqrt(area * longer / (3 * math.pi))  # EDGE is at √3 deviations
    best, least, tried = (scene, scene > 1), math.inf, 0
    while least > 0 and tried < PLACES:
        at = draw.place(scene)
        shape, inside = _shape(scene, at, wide, wide / longer, turn)
        target = ratio * _around(scene, at) / float(blur(shape, PSF)[inside].mean()) * shape
        above, tried = float((scene + blur(target, PSF))[inside].max()) - 1, tried + 1
        if above < least:
            best, least = (target, inside), above
    return best


@checks.door
def sensed(g: torch.Generator, scene: Tensor) -> Tensor:
    """What the camera stores of a scene (h, w): column stripes, Gaussian noise, 8 bit."""
    checks.finite("scene", scene)
    checks.shaped("scene", scene, ("h", "w"))
    draw, (h, w) = Draw(g), scene.shape
    seen = scene + draw.uniform(0, 0.008) * draw.normal(1, w)
    seen = seen + draw.uniform(0, 0.012) * draw.normal(h, w)
    return (255 * seen).round().clamp(0, 255).to(torch.uint8)


@checks.door
def synthetic(g: torch.Generator, count: int, side: int = 256) -> Frames:
    """Made-up scenes with targets, seen through one optics and one sensor."""
    checks.whole("count", count, 1)
    return _frames(g, [background(g, side) for _ in range(count)], sensed, "made-up", blurred=True)


@checks.door
def inject(
    g: torch.Generator, scenes: Sequence[Tensor], count: int, side: int = 256, matched: bool = False
) -> Frames:
    """The same targets in real backgrounds: crops of side × side of scenes (h, w) in [0, 1].

    matched : targets as in ``add_targets``, with SIRST v1's areas and contrasts, in equal crops.
    """
    checks.whole("count", count, 1)
    small = [tuple(s.shape) for s in scenes if s.ndim != 2 or min(s.shape) < side]
    if small or not scenes:
        given = f"shape {small[0]}" if small else "no scene"
        raise ValueError(f"backgrounds: {given}; each must be (h, w), both from {side}")
    for scene in scenes:
        checks.finite("scenes", scene)
    draw, cut = Draw(g), []
    for _ in range(count):
        scene = scenes[draw.whole(0, len(scenes) - 1)]
        top, left = (draw.whole(0, n - side) for n in scene.shape)
        cut.append(scene[top : top + side, left : left + side].float())
    store = lambda g, seen: (255 * seen).round().clamp(0, 255).to(torch.uint8)
    return _frames(g, cut, store, "injected", blurred=False, matched=matched)


def _frames(
    g: torch.Generator,
    scenes: Sequence[Tensor],
    store: Callable[[torch.Generator, Tensor], Tensor],
    name: str,
    blurred: bool,
    matched: bool = False,
) -> Frames:
    """Put targets into scenes and store them; a real scene is blurred already, its targets not."""
    made, masks = [], []
    for scene in scenes:
        seen, mask = add_targets(g, scene, matched)
        seen = blur(seen, PSF) if blurred else scene + blur(seen - scene, PSF)
        made.append(store(g, seen.clamp(0, 1)))
        masks.append(mask)
    names = tuple(f"{name}-{i}" for i in range(len(made)))
    return Frames(names, torch.stack(made)[:, None], torch.stack(masks)[:, None])


@checks.door
def noisy(x: Tensor, g: torch.Generator, sigma: float = 0.0, density: float = 0.0) -> Tensor:
    """Images x (batch, 1, h, w) in [0, 1] with Gaussian noise, then salt and pepper; clipped.

    sigma : deviation, over 255.  density : share of the pixels that become 0 or 1, half and half.
    """
    checks.finite("x", x)
    checks.number("sigma", sigma, 0)
    checks.number("density", density, 0, 1)
    made = x
    if sigma:
        made = (made + sigma / 255 * torch.randn(x.shape, generator=g, dtype=x.dtype)).clamp(0, 1)
    if density:
        u = torch.rand(x.shape, generator=g, dtype=x.dtype)
        made = made.masked_fill(u < density / 2, 0).masked_fill(u > 1 - density / 2, 1)
    return made


@checks.door
def crops(
    frames: Frames,
    batch: int,
    side: int,
    g: torch.Generator,
    positive: float = 0.75,
    turns: bool = True,
) -> tuple[Tensor, Tensor]:
    """(images, masks) of random crops (batch, 1, side, side); turns: each in one of 8 symmetries.

    Images are drawn with equal chance; a share ``positive`` of the crops of images with targets
    holds a pixel of a target in a random place, the others lie anywhere.
    """
    checks.whole("batch", batch, 1)
    checks.number("positive", positive, 0, 1)
    h, w = frames.image.shape[2:]
    if side > min(h, w) or side < 1:
        raise ValueError(f"side is {side}; the images are {h}×{w}: it must be 1 to {min(h, w)}")
    draw, cut = Draw(g), []
    for _ in range(batch):
        i = draw.whole(0, len(frames.image) - 1)
        at = frames.mask[i, 0].nonzero()
        top, left = draw.whole(0, h - side), draw.whole(0, w - side)
        if len(at) and draw.uniform(0, 1) < positive:
            y, x = (int(v) for v in at[draw.whole(0, len(at) - 1)])
            top = min(max(y - draw.whole(0, side - 1), 0), h - side)
            left = min(max(x - draw.whole(0, side - 1), 0), w - side)
        both = torch.cat([frames.image[i], frames.mask[i].to(torch.uint8)])
        both = both[:, top : top + side, left : left + side]
        cut.append(turned(both, draw.whole(0, 7) if turns else 0))
    whole = torch.stack(cut)
    return whole[:, :1].float() / 255, whole[:, 1:].float()
