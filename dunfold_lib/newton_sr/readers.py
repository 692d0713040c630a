"""Public data sets in the layout in which they are downloaded, and the cube inside tensorly.

layout                                             what is read
``nyu_depth_v2_labeled.mat``                       NYU v2: 1449 RGB-D images, 480 × 640
``<scene>_ms/**/<scene>_ms_01.png`` … ``_31.png``  CAVE: cubes of 31 bands, 512 × 512, 16 bit
``<name>_rgb.*`` with ``<name>_gt.*``              pairs, as Middlebury's (``data.read_pairs``)
``Indian_pines_corrected.npy``                     AVIRIS, 145 × 145 × 200; tensorly's wheel has it

Nothing is downloaded: the addresses stand in book/run.md.
"""

from pathlib import Path

import numpy as np
import torch

from dunfold_lib import checks, cubes, fetch
from dunfold_lib.cubes import CAVE_BANDS
from dunfold_lib.fetch import Brought
from dunfold_lib.newton_sr.data import Scene, grey, in_range, read_pairs, response

NYU = "nyu_depth_v2_labeled.mat"
NYU_TRAIN = 1000  # the first thousand are trained on; the other 449 are the test
NYU_METRES = 10.0  # depth 1
PINES_BANDS, PINES_GUIDES = 20, 4  # means of ten neighbouring bands; of the guide


def read_folder(folder: Path, guides: int = 3) -> Brought[Scene]:
    """The scenes of a reader's folder, by its layout: NYU v2's test images, CAVE, or pairs.

    guides : bands of the guide that is made for a cube.
    """
    if (folder / NYU).is_file():
        held = nyu(folder, "test")
        return Brought(held, f"data: {folder}; {len(held)} test images of NYU v2, depth over 10 m")
    if folder.is_dir() and any(folder.glob("*_ms")):
        held = cave(folder, guides)
        told = f"data: {folder}; {len(held)} cubes in CAVE's layout, over 65535"
        return Brought(held, f"{told}; a guide of {guides} bands made from each")
    return read_pairs(folder)


def nyu(folder: Path, part: str = "test") -> dict[str, Scene]:
    """NYU Depth v2 (Silberman et al. 2012): depth over 10 m and the grey photograph.

    part : "train", the first 1000 images, or "test", the others. Needs h5py (extra ``data``).
    """
    checks.one_of("part", part, ("train", "test"))
    h5py, path = fetch.hdf5("NYU v2"), folder / NYU
    chosen = slice(0, NYU_TRAIN) if part == "train" else slice(NYU_TRAIN, None)
    with fetch.reading(path), h5py.File(path) as file:  # (image, [colour,] column, row)
        rgb, depth = file["images"][chosen], file["depths"][chosen]
    if len(depth) == 0 or rgb.ndim != 4 or rgb.shape[::2] != (len(depth), depth.shape[-2]):
        given = f"{rgb.shape} and {depth.shape}"
        raise ValueError(f"{path}: images and depths of part {part!r} have shapes {given}")
    return {
        f"{i:04d}": Scene(
            in_range((d.T / NYU_METRES).astype(np.float32), f"{path}, depth {i}"),
            grey(in_range(np.moveaxis(x, 0, 2).swapaxes(0, 1), str(path))),
        )
        for i, (x, d) in enumerate(zip(rgb, depth, strict=True), chosen.start + 1)
    }


def cave(folder: Path, guides: int = 3) -> dict[str, Scene]:
    """CAVE (Yasuma et al. 2010): every cube below a folder, its guide made by ``data.response``."""
    H = response(guides, CAVE_BANDS)
    return {name: guided(in_range(cube, name), H) for name, cube in cubes.cave(folder).items()}


def guided(cube: torch.Tensor, H: torch.Tensor) -> Scene:
    """A cube (1, C, h, w) and what a camera with the response H (Cy, C) sees of it."""
    return Scene(cube, torch.einsum("gb,nbhw->nghw", H, cube))


@fetch.cached(lambda: [fetch.indian_pines()])
def indian_pines() -> Scene:
    """Indian Pines (AVIRIS; Baumgardner et al. 2015): 20 bands 145 × 145, and a guide of 4.

    200 bands averaged by tens, divided by the largest value. Of the damaged file as it is, which
    ``hyperspectral.data.repaired`` mends: the recorded scores were measured on it.
    """
    path = fetch.indian_pines()
    held = fetch.array(path).astype(np.float64)
    with fetch.reading(path):
        bands = held.reshape(*held.shape[:2], PINES_BANDS, -1).mean(3)
    cube = in_range((bands / bands.max()).astype(np.float32), str(path))
    return guided(cube, response(PINES_GUIDES, PINES_BANDS))
