"""Cubes in the files and folders in which they are downloaded.

layout                                             what is read
``<name>.mat``                                     ICVL (``rad``, beside an ``rgb``), Washington DC
                                                   Mall, PaviaU, Urban (bands × pixels): version 5
                                                   by scipy, 7.3 and HDF5 by h5py (extra ``data``);
                                                   not ``<name>_gt.mat``
``<name>.h5``, ``<name>.npy``, ``<name>.npz``      one array (height, width, bands)
``<scene>_ms/**/<scene>_ms_01.png`` … ``_31.png``  CAVE: cubes of 31 bands, 512 × 512, 16 bit

How axes are told, and what is refused as no data: ``dunfold_lib.cubes``. Every cube is divided by
its largest value, whole numbers too. Nothing is downloaded: the addresses stand in book/run.md.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from dunfold_lib import cubes, fetch
from dunfold_lib.cubes import SUFFIXES
from dunfold_lib.fetch import Brought
from dunfold_lib.hyperspectral.data import scaled

TRUTH = "_gt"  # ends the name of a file of classes


def read_cube(path: Path) -> Tensor:
    """The one cube of a file, or ICVL's ``rad``, (1, B, H, W), over its largest value."""
    return scaled(cubes.read(path).values, str(path))


def cave(folder: Path) -> dict[str, Tensor]:
    """CAVE (Yasuma et al. 2010): every cube below a folder, (1, 31, 512, 512)."""
    return {name: scaled(cube, name) for name, cube in cubes.cave(folder).items()}


def read_folder(folder: Path) -> Brought[Tensor]:
    """Every cube of a folder by name: CAVE's scenes where there are any, else its files.

    One file that cannot be read refuses the folder before any work; ``said`` has the axes of each.
    """
    if folder.is_dir() and any(folder.glob("*_ms")):
        held = cave(folder)
        size = lambda x: f"{x.shape[2]} × {x.shape[3]}, {x.shape[1]}"
        told = [f"{name} {size(x)}" for name, x in held.items()]
        said = f"{len(held)} cubes in CAVE's layout, h × w, bands: {'; '.join(told)}"
    else:
        files = [p for p in fetch.files(folder, SUFFIXES, "cubes") if not p.stem.endswith(TRUTH)]
        if not files:
            raise ValueError(f"{folder} holds no cube; allowed are {', '.join(SUFFIXES)}")
        stems = [p.stem for p in files]
        read = {p.stem if stems.count(p.stem) == 1 else p.name: cubes.read(p) for p in files}
        held = {name: scaled(cube.values, name) for name, cube in read.items()}
        told = [f"{name}: {cube.said}" for name, cube in read.items()]
        said = f"{len(held)} cubes: {'; '.join(told)}"
    return Brought(held, f"data: {folder}; {said}; each over its largest value")


EXTRA: Mapping[str, str] = {"pavia": "pavia_center_105x120x102", "simu": "simu_indian_145x145x224"}


def extra_scenes() -> dict[str, Tensor]:
    """Cubes of ``hsi`` in the data folder, for tests alone: nothing is trained on them."""
    place = fetch.folder("hsi")
    read: Callable[[str], Path] = lambda stem: (place or Path()) / f"{stem}.npz"
    return {k: read_cube(read(stem)) for k, stem in EXTRA.items() if place and read(stem).is_file()}
