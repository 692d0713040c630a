"""Cubes in the files and folders in which they are downloaded.

layout                                             what is read
``<name>.mat``                                     ICVL (``rad``, beside an ``rgb``), Washington DC
                                                   Mall, PaviaU: version 5 by scipy, version 7.3 by
                                                   h5py (extra ``data``); not ``<name>_gt.mat``
``<name>.npy``, ``<name>.npz``                     one array (height, width, bands)
``<scene>_ms/**/<scene>_ms_01.png`` … ``_31.png``  CAVE: cubes of 31 bands, 512 × 512, 16 bit

Every cube is divided by its largest value. Nothing is downloaded: the addresses stand in
book/run.md.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dunfold_lib import fetch
from dunfold_lib.hyperspectral.data import scaled

SUFFIXES = (".mat", ".npy", ".npz")
RADIANCE = "rad"  # ICVL's cube; its files hold a picture in colour, too
TRUTH = "_gt"  # ends the name of a file of classes
HDF5 = b"MATLAB 7.3"  # how a version 7.3 file begins


def read_cube(path: Path) -> Tensor:
    """The one three-dimensional array of a file, or ICVL's ``rad``, (1, B, H, W)."""
    read = {".mat": _mat, ".npy": _npy, ".npz": _npz}.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"{path} is no cube; allowed are {', '.join(SUFFIXES)}")
    with fetch.reading(path):
        held = read(path)
    cubes = [k for k, a in held.items() if a.ndim == 3]
    cubes = [RADIANCE] if RADIANCE in cubes else cubes
    if len(cubes) != 1:
        names = ", ".join(cubes) or "none"
        raise ValueError(f"{path} holds the cubes {names}; it must hold one array (h, w, bands)")
    return scaled(held[cubes[0]], str(path))


def _npy(path: Path) -> Mapping[str, Any]:
    return {"": np.load(path, allow_pickle=False)}


def _npz(path: Path) -> Mapping[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _mat(path: Path) -> Mapping[str, Any]:
    from scipy.io import loadmat

    with open(path, "rb") as file:
        new = file.read(len(HDF5)) == HDF5
    if new:
        return _hdf5(path)
    return {k: v for k, v in loadmat(path).items() if isinstance(v, np.ndarray)}


def _hdf5(path: Path) -> Mapping[str, Any]:
    """MATLAB writes axes in reverse order: (bands, width, height)."""
    h5py = fetch.hdf5(str(path))
    with h5py.File(path) as file:
        arrays = {k: v for k, v in file.items() if isinstance(v, h5py.Dataset) and v.ndim == 3}
        return {k: np.transpose(v[()]) for k, v in arrays.items()}


def cave(folder: Path) -> dict[str, Tensor]:
    """CAVE (Yasuma et al. 2010): every cube below a folder, (1, 31, 512, 512)."""
    return {name: scaled(cube, name) for name, cube in fetch.cave(folder).items()}


def read_folder(folder: Path) -> dict[str, Tensor]:
    """Every cube of a folder by name: CAVE's scenes where there are any, else its files."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; it must hold cubes {', '.join(SUFFIXES)}")
    if any(folder.glob("*_ms")):
        return cave(folder)
    is_cube = lambda p: p.suffix.lower() in SUFFIXES and not p.stem.endswith(TRUTH)
    files = [p for p in sorted(folder.iterdir()) if is_cube(p)]
    if not files:
        raise ValueError(f"{folder} holds no cube; allowed are {', '.join(SUFFIXES)}")
    return {p.stem: read_cube(p) for p in files}


EXTRA: Mapping[str, str] = {"pavia": "pavia_center_105x120x102", "simu": "simu_indian_145x145x224"}


def extra_scenes() -> dict[str, Tensor]:
    """Cubes of ``hsi`` in the data folder, for tests alone: nothing is trained on them."""
    place = fetch.folder("hsi")
    read: Callable[[str], Path] = lambda stem: (place or Path()) / f"{stem}.npz"
    return {k: read_cube(read(stem)) for k, stem in EXTRA.items() if place and read(stem).is_file()}
