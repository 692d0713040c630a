"""Public data sets in the layout in which they are downloaded, and the cube inside tensorly.

layout                                             what is read
``nyu_depth_v2_labeled.mat``                       NYU v2: 1449 RGB-D images, 480 × 640
``<scene>_ms/**/<scene>_ms_01.png`` … ``_31.png``  CAVE: cubes of 31 bands, 512 × 512, 16 bit
``<name>_rgb.*`` with ``<name>_gt.*``              pairs, as Middlebury's (``data.read_pairs``)
``Indian_pines_corrected.npy``                     AVIRIS, 145 × 145 × 200; tensorly's wheel has it

Nothing is downloaded: the addresses stand in book/run.md.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dunfold_lib import fetch
from dunfold_lib.newton_sr.data import (
    Scene,
    grey,
    in_range,
    read,
    read_pairs,
    response,
)

NYU = "nyu_depth_v2_labeled.mat"
NYU_TRAIN = 1000  # the first thousand are trained on; the other 449 are the test
NYU_METRES = 10.0  # depth 1
CAVE_BANDS = 31
PINES_BANDS, PINES_GUIDES = 20, 4  # means of ten neighbouring bands; of the guide


def read_folder(folder: Path, guides: int = 3) -> dict[str, Scene]:
    """The scenes of a reader's folder, by its layout: NYU v2's test images, CAVE, or pairs.

    guides : bands of the guide that is made for a cube.
    """
    if (folder / NYU).is_file():
        return nyu(folder, "test")
    if folder.is_dir() and any(folder.glob("*_ms")):
        return cave(folder, guides)
    return read_pairs(folder)


def nyu(folder: Path, part: str = "test") -> dict[str, Scene]:
    """NYU Depth v2 (Silberman et al. 2012): depth over 10 m and the grey photograph.

    part : "train", the first 1000 images, or "test", the others. Needs h5py (extra ``data``).
    """
    if part not in ("train", "test"):
        raise ValueError(f"part is {part!r}; it must be 'train' or 'test'")
    try:
        h5py: Any = import_module("h5py")
    except ImportError:
        raise ImportError("NYU v2 needs h5py: pip install 'dunfold-lib[data]'") from None
    path = folder / NYU
    chosen = slice(0, NYU_TRAIN) if part == "train" else slice(NYU_TRAIN, None)
    try:
        with h5py.File(path) as file:  # MATLAB's order: (image, [colour,] column, row)
            rgb, depth = file["images"][chosen], file["depths"][chosen]
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({str(error).splitlines()[0][:80]})") from None
    if len(depth) == 0 or rgb.ndim != 4 or rgb.shape[::2] != (len(depth), depth.shape[-2]):
        given = f"{rgb.shape} and {depth.shape}"
        raise ValueError(f"{path}: images and depths of part {part!r} have shapes {given}")
    first = 0 if part == "train" else NYU_TRAIN
    return {
        f"{first + i + 1:04d}": Scene(
            in_range((d.T / NYU_METRES).astype(np.float32), f"{path}, depth {first + i + 1}"),
            grey(in_range(np.moveaxis(x, 0, 2).swapaxes(0, 1), str(path))),
        )
        for i, (x, d) in enumerate(zip(rgb, depth, strict=True))
    }


def cave(folder: Path, guides: int = 3) -> dict[str, Scene]:
    """CAVE (Yasuma et al. 2010): every cube below a folder, its guide made by ``data.response``."""
    H, found = response(guides, CAVE_BANDS), dict[str, Scene]()
    for scene in sorted(folder.glob("*_ms")):
        files = sorted(scene.rglob(f"{scene.name}_[0-9][0-9].png"))
        if len(files) != CAVE_BANDS:
            raise ValueError(f"{scene} holds {len(files)} bands; it must hold {CAVE_BANDS}")
        bands = [read(file)[:, :1] for file in files]
        if len({b.shape for b in bands}) != 1:
            raise ValueError(f"{scene}: its bands have different sizes; they must be equal")
        cube = torch.cat(bands, 1)
        found[scene.name.removesuffix("_ms")] = guided(cube, H)
    if not found:
        raise ValueError(f"{folder} holds no cube; it must hold <scene>_ms with {CAVE_BANDS} bands")
    return found


def guided(cube: torch.Tensor, H: torch.Tensor) -> Scene:
    """A cube (1, C, h, w) and what a camera with the response H (Cy, C) sees of it."""
    return Scene(cube, torch.einsum("gb,nbhw->nghw", H, cube))


@cache
def indian_pines() -> Scene:
    """Indian Pines (AVIRIS; Baumgardner et al. 2015): 20 bands 145 × 145, and a guide of 4.

    200 bands averaged by tens, divided by the largest value.
    """
    path = fetch.indian_pines()
    try:
        held = np.load(path, allow_pickle=False).astype(np.float64)
        bands = held.reshape(*held.shape[:2], PINES_BANDS, -1).mean(3)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read ({str(error).splitlines()[0][:80]})") from None
    cube = in_range((bands / bands.max()).astype(np.float32), str(path))
    return guided(cube, response(PINES_GUIDES, PINES_BANDS))
