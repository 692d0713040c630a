"""Where data lie, in the reader's folder or inside an installed package, and how files are read.

Nothing is downloaded, and no package is imported to find a file in it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import checks

PINES = "Indian_pines_corrected.npy"
CAVE_BANDS = 31
# what readers of images, arrays and MATLAB files raise on a file that is missing or damaged
UNREADABLE = (OSError, ValueError, KeyError, EOFError, SyntaxError, NotImplementedError)


def folder(name: str) -> Path | None:
    """The folder ``name`` below the one that DUNFOLD_DATA names, or None where there is none."""
    root = os.environ.get("DUNFOLD_DATA", "")
    path = Path(root) / name
    return path if root and path.is_dir() else None


def required(name: str) -> Path:
    """``folder``, or an error that says where the data belong."""
    found = folder(name)
    if found is None:
        what = name.rpartition("/")[2]
        place = f"put it into {name} of the folder DUNFOLD_DATA names"
        raise ValueError(f"{what} is not here: {place}")
    return found


def in_package(package: str, inside: str, what: str, extra: str) -> Path:
    """A file or folder inside an installed package; where it is not, what to install for it."""
    found = find_spec(package)
    path = Path(found.origin).parent / inside if found and found.origin else Path(inside)
    if not path.exists():
        raise ImportError(f"{what} needs {package}: pip install 'dunfold-lib[{extra}]'")
    return path


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is read becomes a ValueError of one line that names it."""
    try:
        yield
    except UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:80]
        raise ValueError(f"{path}: cannot be read ({reason})") from None


def array(path: Path) -> Any:
    """The array of a .npy file; pickled objects are refused."""
    with reading(path):
        return np.load(path, allow_pickle=False)


def tensor(value: Any, name: str) -> Tensor:
    """An array as a finite float32 tensor."""
    try:
        made = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError):
        raise ValueError(f"{name} is a {type(value).__name__}; it must be an array") from None
    if made.dtype.is_complex:
        raise TypeError(f"{name} has dtype {made.dtype}; it must be real")
    made = made.detach().float()
    checks.finite(name, made)
    return made


def hdf5(what: str) -> Any:
    """The module h5py, or an error that says what needs it."""
    try:
        return import_module("h5py")
    except ImportError:
        raise ImportError(f"{what} needs h5py: pip install 'dunfold-lib[data]'") from None


def indian_pines() -> Path:
    """The cube (145, 145, 200) of Indian Pines (AVIRIS; Baumgardner et al. 2015) as a .npy file.

    ``hsi/Indian_pines_corrected.npy`` in the data folder, else the copy in tensorly's wheel. In
    that copy (tensorly 0.9 and 0.10) every byte 13 has become a byte 10: values from 3328 to 3583
    read 768 lower. It is used as it is; a sound file can be put into the data folder.
    """
    copy = folder("hsi")
    if copy and (copy / PINES).is_file():
        return copy / PINES
    return in_package("tensorly", f"datasets/data/{PINES}", "Indian Pines", "book")


def cave(place: Path) -> dict[str, Any]:
    """CAVE (Yasuma et al. 2010): every cube below a folder, (512, 512, 31) as stored, 16 bit.

    A scene is a folder ``<scene>_ms`` that holds ``<scene>_ms_01.png`` … ``_31.png``, itself or one
    level below.
    """
    found = {s.name.removesuffix("_ms"): _bands(s) for s in sorted(place.glob("*_ms"))}
    if not found:
        raise ValueError(f"{place} holds no cube; it must hold <scene>_ms with {CAVE_BANDS} bands")
    return found


def _bands(scene: Path) -> Any:
    files = sorted(scene.rglob(f"{scene.name}_[0-9][0-9].png"))
    if len(files) != CAVE_BANDS:
        raise ValueError(f"{scene} holds {len(files)} bands; it must hold {CAVE_BANDS}")
    bands = [_first_channel(file) for file in files]
    if len({b.shape for b in bands}) != 1:
        raise ValueError(f"{scene}: its bands have different sizes; they must be equal")
    return np.stack(bands, 2)


def _first_channel(path: Path) -> Any:
    from PIL import Image

    with reading(path), Image.open(path) as picture:
        a = np.asarray(picture)
    return a[..., 0] if a.ndim == 3 else a
