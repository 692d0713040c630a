"""Images, the patches that are cut from them, and what is known before anything is learned.

Images are luminance in [0, 1], (1, 1, height, width), each of its own size.
"""

from collections.abc import Sequence
from functools import cache
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks, fetch, images
from dunfold_lib.checks import AnyTensor
from dunfold_lib.datasets import bell, crop
from dunfold_lib.fetch import Brought
from dunfold_lib.operators import Blockwise, Blur, Sensing

SIDE = 33  # of a block of the compressive-sensing chapters, in pixels
ROWS = {1: 10, 4: 43, 10: 109, 25: 272, 30: 327, 40: 436, 50: 545}  # CS ratio in % -> rows of Phi
# Inside the scikit-image wheel. Set11's photographs are none of these.
WHEEL_TRAIN = (
    *("astronaut", "brick", "chelsea", "coins", "grass", "gravel", "hubble_deep_field", "ihc"),
    *("moon", "motorcycle_left", "page", "retina", "rocket", "text"),
)
WHEEL_TEST = ("camera", "coffee")
# The other photographs of the wheel, for networks trained on "wheels-part"
HELD_OUT = ("chelsea", "grass", "hubble_deep_field", "ihc", "moon", "text", *WHEEL_TEST)
REDUCED = {"retina": 4, "hubble_deep_field": 2}  # smooth and large: by this factor, to train on
MOST_SPOKES = 75  # per cent of the frequencies: spokes leave the corners of their square out
BLUR, BLUR_NOISE = 1.6, 2 / 255  # deviation of the Gaussian in pixels; of the noise
SUFFIXES = images.SUFFIXES


def read_image(path: Path) -> Tensor:
    """An image file as luminance (1, 1, height, width) in [0, 1]; palettes are resolved."""
    return torch.from_numpy(images.luminance(images.read(path)))[None, None]


def read_folder(folder: Path) -> Brought[Tensor]:
    """Every image of a folder by its file's name, in the order of the names.

    The name is without its ending, unless two files differ in that alone. One scale serves all;
    a file that cannot be read refuses the folder before any work.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; it must be a folder of images")
    files = fetch.files(folder, SUFFIXES, "images")
    if not files:
        raise ValueError(f"{folder} holds no image; allowed are {', '.join(SUFFIXES)}")
    held = [images.read(p) for p in files]
    scale = images.scale(held, str(folder))
    stems = [p.stem for p in files]
    names = [p.stem if stems.count(p.stem) == 1 else p.name for p in files]
    grey = (torch.from_numpy(images.luminance(x, scale))[None, None] for x in held)
    read = dict(zip(names, grey, strict=True))
    return Brought(read, f"data: {folder}; {len(read)} images, {scale.said}, luminance")


@checks.door
@fetch.cached(lambda part="train": [])
def wheel_images(part: str = "train") -> dict[str, Tensor]:
    """The photographs inside the scikit-image wheel: "train" (14) or "test" (2)."""
    if part not in ("train", "test"):
        raise ValueError(f"part is {part!r}; it must be 'train' or 'test'")
    names = WHEEL_TRAIN if part == "train" else WHEEL_TEST
    return {k: torch.from_numpy(a)[None, None] for k, a in images.photographs(names).items()}


def data_folder(name: str) -> Path | None:
    """``images/name`` in the folder that DUNFOLD_DATA names, or None where there is none."""
    return fetch.folder(f"images/{name}")


@checks.door
@fetch.cached(lambda name: [data_folder("T91")] if name == "T91" else [])
def training_images(name: str) -> dict[str, Tensor]:
    """Images to train on: "wheels", "wheels-part", or "T91" from the data folder.

    "wheels" is the 14 training photographs and, where a side keeps 100 pixels, their half-size
    copies, whose edges are as sharp as those of small test images. T91 served to choose that.
    "wheels-part" is those of them that are not in ``HELD_OUT``.
    """
    if name in ("wheels", "wheels-part"):
        reduce = torch.nn.functional.avg_pool2d
        out = HELD_OUT if name == "wheels-part" else ()
        chosen = {k: v for k, v in wheel_images("train").items() if k not in out}
        whole = {k: reduce(v, REDUCED.get(k, 1)) for k, v in chosen.items()}
        half = {f"{k}, half": reduce(v, 2) for k, v in whole.items() if min(v.shape[2:]) >= 200}
        return whole | half
    if name != "T91":
        raise ValueError(f"data is {name!r}; it must be 'wheels', 'wheels-part' or 'T91'")
    return read_folder(fetch.required("images/T91"))


@fetch.cached(lambda: [])
def held_out() -> dict[str, Tensor]:
    """The photographs of ``HELD_OUT``, (1, 1, height, width) each; a large one reduced."""
    every = wheel_images("train") | wheel_images("test")
    return {k: functional.avg_pool2d(every[k], REDUCED.get(k, 1)) for k in HELD_OUT}


@checks.door
@fetch.cached(lambda part="train": [_head_copy()])
def head_slices(part: str = "train") -> Tensor:
    """MR slices 256×256 of an average head, (slices, 1, 256, 256) in [0, 1].

    Axial slices at 1 mm of the MNI152 T1 template (Fonov et al. 2011), which the nilearn wheel
    holds: "test" takes every tenth (12), "train" those that do not touch one of them (84). Needs
    the extra ``data``, or the volume as ``images/mni152.npy`` in the data folder.
    """
    if part not in ("train", "test"):
        raise ValueError(f"part is {part!r}; it must be 'train' or 'test'")
    volume = _head()
    chosen = [
        z for z in range(30, 150) if (z % 10 == 5) == (part == "test") and z % 10 not in (4, 6)
    ]
    return torch.cat([_centred(volume[:, :, z].T.flip(0)) for z in chosen])


@checks.door
@fetch.cached(lambda: [_head_copy()])
def slices_and_photographs() -> Tensor:
    """The training slices of ``head_slices`` and as many crops of the wheel's training photographs.

    An average of 152 heads is smoother than one head; photographs have edges and grain. Every other
    crop is seen through an ellipse, dark around it as around a head. (168, 1, 256, 256) in [0, 1].
    """
    g, slices = torch.Generator().manual_seed(0), head_slices("train")
    side = slices.shape[-1]
    large = [x for x in training_images("wheels").values() if min(x.shape[2:]) >= side]
    at, windows = torch.linspace(-1, 1, side), list[Tensor]()
    for i, n in enumerate(torch.randint(len(large), (len(slices),), generator=g).tolist()):
        high, wide = 0.6 + 0.3 * torch.rand(2, generator=g)
        inside = (at[:, None] / high) ** 2 + (at / wide) ** 2 <= 1
        windows.append(crop(large[n], side, g) * (inside if i % 2 else 1.0))
    return torch.cat([slices, *windows])


def _head_copy() -> Path | None:
    """The head volume in the data folder, where it is there."""
    place = fetch.folder("images")
    return place / "mni152.npy" if place and (place / "mni152.npy").is_file() else None


def _head() -> Tensor:
    """The template's voxels (x, y, z), scaled to [0, 1]."""
    if copy := _head_copy():
        return _scaled(fetch.array(copy), str(copy))
    needs = "the head volume needs nilearn: pip install 'dunfold-lib[data]'"
    nibabel = fetch.module("nibabel", needs)
    folder = fetch.in_package("nilearn", "datasets/data", "the head volume", "data")
    (file,) = folder.glob("mni_icbm152_t1_tal_nlin_sym_09a*.nii.gz")
    return _scaled(np.asarray(nibabel.load(file).dataobj), str(file))


def _scaled(voxels: Any, name: str) -> Tensor:
    if voxels.ndim != 3 or not np.isfinite(voxels).all() or voxels.max() <= 0:
        raise ValueError(f"{name}: has shape {voxels.shape}; it must be a volume (x, y, z) above 0")
    values = torch.from_numpy(np.array(voxels, dtype=np.float32))
    return (values / values.max()).clamp(0, 1)


def _centred(image: Tensor, side: int = 256) -> Tensor:
    """An image in the middle of a black square, (1, 1, side, side)."""
    down, across = side - image.shape[0], side - image.shape[1]
    pad = (across // 2, across - across // 2, down // 2, down - down // 2)
    return torch.nn.functional.pad(image, pad)[None, None]


@checks.door
def sensing_matrix(ratio: int, seed: int = 0) -> Tensor:
    """Phi (m, 1089) of a CS ratio in per cent: Gaussian, its rows made orthonormal.

    ratio : 1, 4, 10, 25, 30, 40 or 50. The matrix of a lower ratio is the top of a higher one's.
    """
    if ratio not in ROWS:
        raise ValueError(
            f"ratio is {ratio}; it must be one of {', '.join(map(str, ROWS))} per cent"
        )
    g = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(SIDE**2, max(ROWS.values()), generator=g, dtype=torch.float64)
    Q, R = torch.linalg.qr(gaussian)
    return (Q * R.diagonal().sign()).T[: ROWS[ratio]].float().contiguous()


@checks.door
def radial_mask(ratio: float, side: int = 256) -> Tensor:
    """(side, side) of 0 and 1: spokes through the zero frequency, which stands at [0, 0].

    Spokes at multiples of the golden angle are added until ``ratio`` per cent are measured.
    """
    checks.number("ratio", ratio, 0, MOST_SPOKES, open_low=True)
    checks.whole("side", side, 8)
    mask = torch.zeros(side, side)
    radius = torch.arange(-side, side + 1, dtype=torch.float64) / 2
    for k in range(10 * side):
        angle = torch.tensor(k * np.pi * (np.sqrt(5) - 1) / 2, dtype=torch.float64)
        y, x = ((radius * f(angle)).round().long() for f in (torch.sin, torch.cos))
        inside = (y.abs() < side / 2) & (x.abs() < side / 2)
        mask[y[inside] % side, x[inside] % side] = 1
        if mask.mean() >= ratio / 100:
            return mask
    raise ValueError(f"ratio is {ratio}; spokes on {side}×{side} measure less: choose a lower one")


@checks.door
def patches(images: Sequence[Tensor], side: int = SIDE, stride: int = 20) -> Tensor:
    """Every patch of a grid over the images: (patches, 1, side, side)."""
    checks.whole("side", side, 1)
    checks.whole("stride", stride, 1)
    for image in images:
        checks.real("an image", image)
        if image.ndim != 4 or image.shape[:2] != (1, 1):
            given = tuple(image.shape)
            raise ValueError(f"an image has shape {given}; it must be (1, 1, height, width)")
    cut = [
        image.unfold(2, side, stride).unfold(3, side, stride).reshape(-1, 1, side, side)
        for image in images
        if min(image.shape[-2:]) >= side
    ]
    if not cut:
        raise ValueError(f"no image holds a patch of {side}×{side}; give larger images")
    return torch.cat(cut)


@checks.door
def turned(x: AnyTensor, k: int) -> Tensor:
    """One of the 8 symmetries of the square: k % 4 quarter turns, mirrored from k = 4 on."""
    return torch.rot90(x if k < 4 else x.flip(-1), k % 4, (-2, -1))


@checks.door
def covariance(cut: Tensor) -> Tensor:
    """E[x xᵀ] of patches (patches, 1, side, side) and their 8 symmetries: (side², side²)."""
    checks.finite("cut", cut)
    if cut.ndim != 4 or cut.shape[1] != 1 or cut.shape[2] != cut.shape[3]:
        given = tuple(cut.shape)
        raise ValueError(f"cut has shape {given}; it must be (patches, 1, side, side)")
    n, side = cut[0].numel(), cut.shape[-1]
    rows = cut.flatten(1).double()
    C = rows.T @ rows / len(rows)
    index = torch.arange(n).reshape(side, side)
    orders = [turned(index, k).flatten() for k in range(8)]
    return torch.stack([C[i][:, i] for i in orders]).mean(0)


@checks.door
def linear_start(Phi: AnyTensor, C: AnyTensor) -> Tensor:
    """Q (n, m): of all matrices the one with the least mean ‖x − Q Phi x‖² over patches.

    With X the patches as columns and Y = Phi X it is X Yᵀ(Y Yᵀ)⁻¹ = C Phiᵀ(Phi C Phiᵀ)⁻¹, so it
    needs only Phi (m, n) and the patches' covariance C (n, n).
    """
    checks.finite("Phi", Phi)
    checks.finite("C", C)
    if Phi.ndim != 2 or C.shape != (Phi.shape[1], Phi.shape[1]):
        given = f"{tuple(Phi.shape)} and {tuple(C.shape)}"
        raise ValueError(f"Phi and C have shapes {given}; they must be (m, n) and (n, n)")
    P, C = Phi.double(), C.double()
    return torch.linalg.solve(P @ C @ P.T, P @ C).T.to(Phi.dtype).contiguous()


@checks.door
def packed(C: Tensor) -> Tensor:
    """The different numbers of a covariance that the square's symmetries leave alone."""
    checks.finite("C", C)
    side = isqrt(C.shape[0]) if C.ndim == 2 else 0
    if C.ndim != 2 or C.shape != (side * side, side * side):
        given = tuple(C.shape)
        raise ValueError(f"C has shape {given}; it must be (n, n) with n a square number")
    which, count = _orbits(side)
    sums = torch.zeros(count, dtype=C.dtype).index_add_(0, which.flatten(), C.flatten())
    return sums / torch.bincount(which.flatten(), minlength=count)


@checks.door
def unpacked(numbers: Tensor, side: int = SIDE) -> Tensor:
    """The covariance (side², side²) whose different numbers these are."""
    checks.real("numbers", numbers)
    which, count = _orbits(side)
    if numbers.shape != (count,):
        raise ValueError(f"numbers have shape {tuple(numbers.shape)}; it must be ({count},)")
    return numbers[which]


@cache
def _orbits(side: int) -> tuple[Tensor, int]:
    """For each pair of pixels the number of its class under symmetries and exchange."""
    n = side * side
    index = torch.arange(n).reshape(side, side)
    least = torch.full((n, n), n * n)
    for k in range(8):
        i = turned(index, k).flatten()
        pair = i[:, None] * n + i
        least = torch.minimum(least, torch.minimum(pair, pair.T))
    values, which = torch.unique(least, return_inverse=True)
    return which, len(values)


@checks.door
def sensed(image: Tensor, ratio: int) -> tuple[Blockwise, Tensor]:
    """The operator of a whole image (1, 1, h, w) padded by zeros to whole blocks, and b."""
    A = Blockwise(Sensing(sensing_matrix(ratio)), (image.shape[2], image.shape[3]))
    height, width = (SIDE * blocks for blocks in A.grid)
    whole = Blockwise(A.block, (height, width))
    pad = (0, width - image.shape[3], 0, height - image.shape[2])
    return whole, whole(functional.pad(image, pad))


@checks.door
def blurred(image: Tensor, generator: torch.Generator) -> tuple[Blur, Tensor]:
    """A Gaussian blur of an image (1, 1, h, w), periodic at the edges, and b with noise."""
    line = bell(7, BLUR, image.dtype)
    line = line / line.sum()
    A = Blur(line[:, None] * line, (image.shape[2], image.shape[3]))
    return A, A(image) + BLUR_NOISE * torch.randn(image.shape, generator=generator)


def small_camera() -> Tensor:
    """The camera photograph 128×128: means over 4×4 pixels, (1, 1, 128, 128)."""
    return functional.avg_pool2d(wheel_images("test")["camera"], 4)
