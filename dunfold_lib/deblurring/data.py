"""Photographs that everyone has, and what a blur and noise make of them.

Images are luminance in [0, 1], (batch, 1, height, width). The blur takes an image as periodic:
what leaves one edge enters at the other.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks, fetch, images
from dunfold_lib.datasets import bell, crop
from dunfold_lib.operators import Blur

# Inside the scikit-image wheel, each at half its size (means of 2×2 pixels; two large ones smaller)
TRAIN = (
    *("astronaut", "brick", "grass", "gravel", "hubble_deep_field", "ihc", "moon"),
    *("motorcycle_left", "page", "retina", "text"),
)
VALIDATION = ("coins", "rocket")  # λ and the steps of the algorithm are chosen here
TEST = ("camera", "chelsea", "coffee")  # looked at by ``evaluation`` alone
PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
REDUCED = {"retina": 6, "hubble_deep_field": 4}
WIDTH, REACH, NOISE = 1.6, 7, 0.01  # of the Gaussian in pixels; of its square; of the noise
SIDE = 48  # of a training crop


@checks.door
def gaussian(
    width: float = WIDTH, reach: int = REACH, dtype: torch.dtype = torch.float32
) -> Tensor:
    """A Gaussian kernel (2·reach + 1, 2·reach + 1) of sum 1; width is its deviation in pixels."""
    line = bell(reach, width, dtype)
    line = line / line.sum()
    return line[:, None] * line


@checks.door
@fetch.cached(lambda part="train": [])
def photographs(part: str = "train") -> dict[str, Tensor]:
    """The photographs of a part by name: "train" (11), "validation" (2) or "test" (3)."""
    checks.one_of("part", part, PARTS)
    return {
        name: functional.avg_pool2d(torch.from_numpy(a)[None, None], REDUCED.get(name, 2))
        for name, a in images.photographs(PARTS[part]).items()
    }


@checks.door
def observed(
    x: Tensor, g: torch.Generator, kernel: Tensor | None = None, noise: float = NOISE
) -> Tensor:
    """b = k ∗ x + noise · N(0, 1) of images x (batch, 1, h, w), the blur periodic."""
    checks.shaped("x", x, ("batch", 1, "h", "w"))
    checks.number("noise", noise, 0)
    kernel = gaussian(dtype=x.dtype) if kernel is None else kernel
    A = Blur(kernel, (x.shape[2], x.shape[3]))
    return A(x) + noise * torch.randn(x.shape, generator=g, dtype=x.dtype)


@checks.door
def cropped(x: Tensor, g: torch.Generator, rim: int = REACH) -> tuple[Tensor, Tensor]:
    """(b, truth) as a camera has them: the blur of the whole, and then a rim cut off both."""
    checks.whole("rim", rim, 1)
    inside = (..., slice(rim, -rim), slice(rim, -rim))
    return observed(x, g)[inside], x[inside]


def draw(batch: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Training pairs (b, truth), each (batch, 1, 48, 48): crops in one of their 8 symmetries."""
    among = [*photographs("train").values()]
    which = torch.randint(len(among), (batch,), generator=g)
    truth = torch.cat([crop(among[int(i)], SIDE, g) for i in which])
    return observed(truth, g), truth


def seen(photos: Mapping[str, Tensor], seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Each photograph by name as (b, truth); the noise is that of the seed."""
    g = torch.Generator().manual_seed(2**31 + seed)
    return {name: (observed(x, g), x) for name, x in photos.items()}
