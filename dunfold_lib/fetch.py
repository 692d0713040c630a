"""Where data lie: in the folder that the reader names, or inside an installed package.

Nothing is downloaded, and no package is imported to find a file in it.
"""

import os
from importlib.util import find_spec
from pathlib import Path

PINES = "Indian_pines_corrected.npy"


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


def indian_pines() -> Path:
    """The cube (145, 145, 200) of Indian Pines (AVIRIS; Baumgardner et al. 2015) as a .npy file.

    ``hsi/Indian_pines_corrected.npy`` in the data folder, else the copy in tensorly's wheel.
    """
    copy = folder("hsi")
    if copy and (copy / PINES).is_file():
        return copy / PINES
    return in_package("tensorly", f"datasets/data/{PINES}", "Indian Pines", "book")
