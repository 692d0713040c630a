"""Images with a guide: what the scikit-image wheel ships, scenes made up, and folders of pairs.

A scene is (truth, Y): depth or bands (1, C, h, w) and its guide (1, Cy, h, w), both in [0, 1].
Depth is an 8-bit disparity divided by 255; a score in units of 0 … 255 multiplies it again.
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks, cubes, fetch, images
from dunfold_lib.datasets import cells, crop
from dunfold_lib.fetch import Brought

SUFFIXES = (*images.SUFFIXES, ".npy")
MIDDLEBURY_TRAIN = ("books", "dolls", "laundry", "reindeer")
MIDDLEBURY_TEST = ("art", "moebius")


class Scene(NamedTuple):
    """What a guided network should find, and the guide."""

    truth: Tensor  # (1, C, h, w)
    Y: Tensor  # (1, Cy, h, w)


def read(path: Path) -> Tensor:
    """An image file or a .npy array (h, w) or (h, w, C), as (1, C, h, w) in [0, 1].

    What is white: ``images.scale``, of this file alone.
    """
    held = stored(path)
    return planes_of(images.scale([held], str(path))(held), str(path))


def stored(path: Path) -> images.Stored:
    """A file as it is stored; the one channel of an image whose three are equal."""
    if path.suffix.lower() != ".npy":
        held = images.read(path)
        a = held.values
        grey = a.ndim == 3 and bool((a == a[..., :1]).all())
        return held._replace(values=a[..., 0]) if grey else held
    a = fetch.array(path)
    if a.dtype.kind not in "uif":
        raise TypeError(f"{path} has dtype {a.dtype}; it must be whole or floating-point numbers")
    cubes.no_data(a, str(path))
    return images.Stored(a, 255.0 if a.dtype == np.uint8 else 0.0, str(path))


@checks.door
def in_range(a: np.ndarray, name: str) -> Tensor:
    """An array (h, w) or (h, w, C) as (1, C, h, w), its values looked at.

    8 and 16 bit are divided by their largest value; floating point must lie in [0, 1].
    """
    if a.dtype in (np.uint8, np.uint16):
        a = a / np.iinfo(a.dtype).max
    elif not np.issubdtype(a.dtype, np.floating):
        raise TypeError(f"{name} has dtype {a.dtype}; it must be 8 or 16 bit, or floating point")
    return planes_of(a, name)


@checks.door
def planes_of(a: np.ndarray, name: str) -> Tensor:
    """An array (h, w) or (h, w, C) of numbers in [0, 1] as (1, C, h, w), float32."""
    if a.ndim not in (2, 3) or 0 in a.shape:
        raise ValueError(f"{name} has shape {a.shape}; it must be (height, width) or with channels")
    if not np.isfinite(a).all() or a.min() < 0 or a.max() > 1:
        raise ValueError(f"{name} holds values from {a.min():g} to {a.max():g}; allowed: [0, 1]")
    planes = a[None] if a.ndim == 2 else np.moveaxis(a, 2, 0)
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))[None]


@checks.door
def grey(Y: Tensor) -> Tensor:
    """A guide with one channel: RGB weighted 0.299, 0.587, 0.114 (BT.601), others averaged."""
    checks.shaped("Y", Y, ("batch", "channels", "h", "w"))
    if Y.shape[1] == 3:
        return (Y * Y.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    return Y.mean(1, keepdim=True)


def read_pairs(folder: Path, names: Sequence[str] | None = None) -> Brought[Scene]:
    """Every pair ``<name>_rgb.*`` (guide, made grey) and ``<name>_gt.*`` (truth) of a folder.

    ``<name>_d.*`` is taken where there is no ``_gt``.  names : only these, in this order.

    Truths of 8 bit are divided by 255, those in [0, 1] stay. Deeper ones (millimetres, metres) have
    no white: they are divided by the largest of the folder. A pair that cannot be read refuses the
    folder before any work.
    """
    what = "pairs <name>_rgb.*, <name>_gt.*:"
    files = {fetch.same_name(p.stem): p for p in fetch.files(folder, SUFFIXES, what)}
    found = [k.removesuffix("_rgb") for k in files if k.endswith("_rgb")]
    truths = {n: files.get(f"{n}_gt", files.get(f"{n}_d")) for n in found}
    wanted = list(names) if names is not None else found
    if not wanted or not all(truths.get(n) for n in wanted):
        lost = [n for n in wanted if not truths.get(n)]
        what = f"no pair {lost[0]}_rgb, {lost[0]}_gt" if lost else "no pair <name>_rgb, <name>_gt"
        raise ValueError(f"{folder} holds {what}; allowed are {', '.join(SUFFIXES)}")
    guides = {n: stored(files[f"{n}_rgb"]) for n in wanted}
    held = {n: stored(Path(str(truths[n]))) for n in wanted}
    white, depth = images.scale([*guides.values()], str(folder)), depth_scale([*held.values()])
    made = {}
    for n in wanted:
        Y, truth = (planes_of(f(x[n]), x[n].name) for f, x in ((white, guides), (depth, held)))
        made[n] = _scene(Y, truth, n)
    holes = sum(int((s.values == 0).sum()) for s in held.values() if not s.white)
    hole_text = f"; {holes} pixels of depth are 0, and counted as such" if holes else ""
    count = f"data: {folder}; {len(made)} pairs"
    return Brought(made, f"{count}; depth: {depth.said}{hole_text}; guide: {white.said}")


def _scene(Y: Tensor, truth: Tensor, name: str) -> Scene:
    if Y.shape[2:] != truth.shape[2:]:
        given = f"{tuple(Y.shape[2:])} and {tuple(truth.shape[2:])}"
        raise ValueError(f"{name}: guide and truth have sizes {given}; they must be equal")
    return Scene(truth[:, :1] if truth.shape[1] == 3 else truth, grey(Y))


@checks.door
def depth_scale(held: Sequence[images.Stored]) -> images.Scale:
    """What depth 1 is: 255 of 8 bit, 1 where nothing is above it, else the largest value of all."""
    deep = [s.values for s in held if not s.white]
    if not deep:
        return images.Scale(0.0, 255.0, "8 bit over 255")
    low, high = (float(f([f(v) for v in deep])) for f in (np.min, np.max))
    if low < 0 or high <= 0:
        given = f"depths from {low:g} to {high:g}"
        raise ValueError(f"{held[0].name} and the like hold {given}; they must be above 0")
    if high <= 1 and deep[0].dtype.kind == "f":
        return images.Scale(0.0, 1.0, "floating point in [0, 1]")
    return images.Scale(0.0, high, f"over its largest value in the folder, {high:g}")


@checks.door
def halved(scene: Scene) -> Scene:
    """Both images at half size, by means over 2 × 2 pixels."""
    return Scene(*(functional.avg_pool2d(x, 2) for x in scene))


@checks.door
def cropped(scene: Scene, ratio: int) -> Scene:
    """The scene without the last rows and columns that make no whole low-resolution pixel."""
    h, w = (n // ratio * ratio for n in scene.truth.shape[2:])
    if not h or not w:
        raise ValueError(f"the scene is {tuple(scene.truth.shape[2:])}; the ratio is {ratio}")
    return Scene(*(x[..., :h, :w] for x in scene))


def data_folder(name: str) -> Path | None:
    """``multimodal/name`` in the folder that DUNFOLD_DATA names, or None where there is none."""
    return fetch.folder(f"multimodal/{name}")


def required(name: str) -> Path:
    """``data_folder``, or an error that says where the data belong."""
    return fetch.required(f"multimodal/{name}")


@checks.door
@fetch.cached(lambda part: [data_folder("middlebury"), data_folder("sintel")])
def middlebury(part: str) -> dict[str, Scene]:
    """Middlebury 2005/2006 at half size: "train" (4 scenes, and Sintel's), "test" (2)."""
    checks.one_of("part", part, ("train", "test"))
    names = MIDDLEBURY_TRAIN if part == "train" else MIDDLEBURY_TEST
    found = read_pairs(required("middlebury"), names)
    if part == "train":
        found |= {f"sintel {n}": s for n, s in read_pairs(required("sintel")).items()}
    return {n: halved(s) for n, s in found.items()}


@fetch.cached(lambda: [])
def motorcycle() -> Scene:
    """The stereo pair inside the scikit-image wheel: its left image and the disparity, (500, 741).

    Where the disparity is infinite (7 per cent) the least finite value of that row on either side
    is taken: the background's. Scaled so that its largest value is 1.
    """
    folder = Path(str(resources.files("skimage") / "data"))
    with np.load(folder / "motorcycle_disp.npz") as file:
        d = filled(file["arr_0"].astype(np.float64))
    Y = read(folder / "motorcycle_left.png")
    return Scene(in_range((d / d.max()).astype(np.float32), "disparity"), grey(Y))


@checks.door
def filled(d: np.ndarray) -> Any:
    """Disparity (h, w) without its holes: each takes the smaller of its row's finite neighbours."""
    if d.ndim != 2 or d.dtype.kind != "f":
        raise ValueError(f"d has shape {d.shape} of {d.dtype}; it must be (h, w), floating point")
    whole = d.copy()
    for row in whole:
        good = np.flatnonzero(np.isfinite(row))
        if len(good) == 0:
            raise ValueError("a row of the disparity holds no finite value; it cannot be filled")
        holes = np.flatnonzero(~np.isfinite(row))
        after = np.searchsorted(good, holes)
        left, right = good[np.maximum(after - 1, 0)], good[np.minimum(after, len(good) - 1)]
        row[holes] = np.minimum(row[left], row[right])
    return whole


@checks.door
def planes(g: torch.Generator, side: int = 96, regions: int = 9, texture: float = 0.05) -> Scene:
    """A made-up scene (1, 1, side, side): polygons of planar depth, and a guide that shades them.

    Regions are cells around random points. Depth is a plane in each; the guide is one grey level
    in each, with texture that depth lacks, and some neighbours share their level: not every edge
    of the one is an edge of the other.
    """
    checks.whole("side", side, 2)
    checks.whole("regions", regions, 1)
    checks.number("texture", texture, 0)
    rand = lambda *shape: torch.rand(*shape, generator=g)
    at = torch.linspace(0, 1, side)
    y, x = torch.meshgrid(at, at, indexing="ij")
    sites = rand(regions, 2)
    cell = cells(y, x, sites)
    level, down, across = 0.2 + 0.6 * rand(regions), 0.3 * rand(regions), 0.3 * rand(regions)
    depth = level[cell] + (down[cell] - 0.15) * (y - 0.5) + (across[cell] - 0.15) * (x - 0.5)
    shade = (6 * rand(regions)).floor() / 6 * 0.8 + 0.1  # six levels: neighbours may share one
    waves = (2 * torch.pi * (8 * rand(1) * x + 8 * rand(1) * y)).sin()
    fine = functional.avg_pool2d(rand(1, 1, side, side), 3, 1, 1, count_include_pad=False)[0, 0]
    guide = shade[cell] + texture * waves + 2 * texture * (fine - 0.5)
    return Scene(depth.clamp(0, 1)[None, None], guide.clamp(0, 1)[None, None])


@checks.door
def fusion(
    g: torch.Generator, side: int = 96, bands: int = 8, guides: int = 3, materials: int = 8
) -> Scene:
    """A made-up hyperspectral scene: smooth spectra mixed in polygons, (1, bands, side, side).

    Its guide (1, guides, side, side) is the same scene through ``response``: fewer, wider bands.
    """
    checks.whole("bands", bands, 1)
    checks.whole("materials", materials, 1)
    at = torch.linspace(0, 1, bands)
    centre, width = torch.rand(2, materials, 1, generator=g)
    width = 0.05 + 0.15 * width  # narrow enough that the guide's few bands do not tell all
    spectra = 0.2 + 0.7 * (-((at - centre) ** 2) / width**2).exp()  # (materials, bands)
    share = torch.cat([planes(g, side).Y for _ in range(materials)], 1)  # (1, materials, …)
    share = share / share.sum(1, keepdim=True)
    truth = torch.einsum("mb,nmhw->nbhw", spectra, share)
    return Scene(truth, torch.einsum("gb,nbhw->nghw", response(guides, bands), truth))


@checks.door
def response(guides: int, bands: int) -> Tensor:
    """A spectral response (guides, bands): Gaussians at equal distances, rows sum to 1."""
    checks.whole("guides", guides, 1)
    centre = (torch.arange(guides) + 0.5) / guides
    at = (torch.arange(bands) + 0.5) / bands
    H = (-0.5 * ((at - centre[:, None]) * guides) ** 2 * 4).exp()
    return H / H.sum(1, keepdim=True)


@fetch.cached(lambda: [data_folder("wv2")])
def worldview() -> Scene:
    """WorldView-2 sample by Wald's protocol: the 8 bands are the truth (1, 8, 320, 320), and the
    panchromatic image is brought to their size, by means over 4 × 4 pixels; 11 bit, by 2047.
    """
    path = required("wv2") / "imgWV2.mat"
    held = cubes.arrays(path)
    with fetch.reading(path):
        bands, pan = (held[k].astype(np.float32) / 2047 for k in ("I_MS", "I_PAN"))
    Y = functional.avg_pool2d(torch.from_numpy(pan)[None, None], 4)
    return Scene(in_range(bands.clip(0, 1), "I_MS"), Y.clamp(0, 1))


@checks.door
def patches(
    scenes: Mapping[str, Scene], batch: int, side: int, g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(truth, Y) of ``batch`` random patches, each in one of 8 symmetries; scenes count by area."""
    checks.whole("batch", batch, 1)
    small = [n for n, s in scenes.items() if min(s.truth.shape[2:]) < side]
    if small or not scenes:
        raise ValueError(f"scene {small[0] if small else '(none)'} holds no patch of {side}×{side}")
    chosen = list(scenes.values())
    area = torch.tensor([float(s.truth[0, 0].numel()) for s in chosen])
    drawn = torch.multinomial(area, batch, replacement=True, generator=g)
    cut = [crop(torch.cat([chosen[int(i)].truth, chosen[int(i)].Y], 1), side, g) for i in drawn]
    whole, C = torch.cat(cut), chosen[0].truth.shape[1]
    return whole[:, :C].contiguous(), whole[:, C:].contiguous()


DESIGN_NOISE = 0.01  # relative


class Design(NamedTuple):
    """A lasso whose matrix has a chosen condition: A (m, n), b (m,), the truth (n,)."""

    A: Tensor
    b: Tensor
    x_star: Tensor


@checks.door
def ill_conditioned(
    g: torch.Generator,
    condition: float,
    m: int = 300,
    n: int = 1200,
    nonzeros: int = 40,
    group: int = 1,
) -> Design:
    """A Gaussian matrix with its singular values replaced: cond(AAᵀ) = condition, ‖A‖₂ = 1.

    nonzeros : in whole groups of ``group`` consecutive entries.  b = A x* + noise of
    ``DESIGN_NOISE`` ‖A x*‖.
    """
    for name, count in (("m", m), ("n", n), ("group", group)):
        checks.whole(name, count, 1)
    checks.whole("nonzeros", nonzeros)
    checks.number("condition", condition, 1)
    if nonzeros % group or n % group or nonzeros > n:
        raise ValueError(f"nonzeros is {nonzeros}, n {n}; both must be multiples of group {group}")
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    Q, _, W = torch.linalg.svd(normal(m, n), full_matrices=False)
    s = torch.logspace(0, -0.5 * float(np.log10(condition)), len(Q), dtype=torch.float64)
    A = (Q * s) @ W
    x = torch.zeros(n // group, group, dtype=torch.float64)
    chosen = torch.randperm(n // group, generator=g)[: nonzeros // group]
    x[chosen] = normal(len(chosen), group)
    clean = A @ x.flatten()
    return Design(A, clean + DESIGN_NOISE * clean.norm() / m**0.5 * normal(m), x.flatten())
