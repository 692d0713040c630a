"""Damaged files at every reader: each is read or refused in one line that names it.

python tools/fuzz_files.py [COUNT] writes good files of every kind, damages them (cut short, bytes
flipped, emptied, another kind's content, a web page) and gives each to its readers.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dunfold_lib import cubes, fetch, images
from dunfold_lib.hyperspectral import readers as hsi_folders
from dunfold_lib.imaging import data as imaging_data
from dunfold_lib.imaging import load_operator
from dunfold_lib.imaging import load_released as load_ista
from dunfold_lib.newton_sr import data as sr_data
from dunfold_lib.operators import Matrix
from dunfold_lib.small_target import load_released as load_rpca

Reader = Callable[[Path], Any]
PAGE = b"<!DOCTYPE html><html><head><title>404</title></head><body>not found</body></html>"
PICTURES: tuple[Reader, ...] = (images.read, images.mask, imaging_data.read_image, sr_data.read)
ARRAYS: tuple[Reader, ...] = (hsi_folders.read_cube, cubes.arrays)
STATES: tuple[Reader, ...] = (
    fetch.weights,
    load_rpca,
    lambda path: load_ista(path, Matrix(torch.eye(4))),
)


def good(place: Path, g: np.random.Generator) -> dict[Path, tuple[Reader, ...]]:
    """A sound file of every kind, and its readers."""
    from scipy.io import savemat

    small: Any = g.integers(0, 256, (24, 31), dtype=np.uint8)
    deep, colour = small.astype(np.uint16) * 257, np.stack([small] * 3, 2)
    pictures = {"l.png": small, "deep.png": deep, "rgb.png": colour, "l.bmp": small}
    pictures |= {"l.jpg": small, "deep.tif": deep, "f.tif": small / np.float32(255)}
    for name, a in pictures.items():
        Image.fromarray(a).save(place / name)
    Image.fromarray(small).convert("P").save(place / "p.png")
    made = dict.fromkeys([place / name for name in (*pictures, "p.png")], PICTURES)
    cube = g.integers(1, 4000, (12, 9, 5), dtype=np.uint16)
    np.save(place / "cube.npy", cube)
    np.savez_compressed(place / "cube.npz", cube=cube)
    savemat(place / "plain.mat", {"cube": cube})
    savemat(place / "packed.mat", {"cube": cube}, do_compression=True)
    made |= dict.fromkeys([place / n for n in ("cube.npy", "cube.npz")], ARRAYS)
    made |= dict.fromkeys(
        [place / n for n in ("plain.mat", "packed.mat")], (*ARRAYS, load_operator)
    )
    try:
        with fetch.hdf5("fuzz").File(place / "cube.h5", "w") as file:
            file["cube"] = cube
        made[place / "cube.h5"] = ARRAYS
    except ImportError:
        pass
    state = {"decos.0.lowrank.convs.0.weight": torch.ones(2, 1, 3, 3)}
    torch.save(state, place / "state.pkl")
    held: dict[str, Any] = {k: v.numpy() for k, v in state.items()}
    np.savez(place / "state.npz", **held)
    made |= dict.fromkeys([place / n for n in ("state.pkl", "state.npz")], STATES)
    return made


def damaged(data: bytes, other: bytes, g: np.random.Generator) -> bytes:
    """A file's bytes, spoilt in one of five ways."""
    kind = int(g.integers(8))
    if kind < 2:
        return data[: int(g.integers(1, len(data)))]
    if kind == 2:
        return (b"", PAGE, other)[int(g.integers(3))]
    spoilt = bytearray(data)
    reach = min(len(spoilt), 200) if kind < 5 else len(spoilt)  # often in the header
    for at in g.integers(0, reach, int(g.integers(1, 9))):
        spoilt[at] ^= 1 << int(g.integers(8))
    return bytes(spoilt)


def main(n: int = 300, seed: int = 0) -> list[str]:
    """Try n damaged files; a line for each answer that is neither a value nor one line."""
    g, found = np.random.default_rng(seed), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        sound = good(place, g)
        contents = {path: path.read_bytes() for path in sound}
        paths = [*sound]
        for i in range(n):
            path = paths[i % len(paths)]
            other = contents[paths[int(g.integers(len(paths)))]]
            bad = place / f"bad-{i}{path.suffix}"
            bad.write_bytes(damaged(contents[path], other, g))
            for read in sound[path]:
                if told := answer(read, bad):
                    found.append(f"{path.name}, {i}: {told}")
            bad.unlink()
    return found


def answer(read: Reader, path: Path) -> str:
    """What is wrong with a reader's answer to a file; "" where nothing is."""
    try:
        read(path)
    except (ValueError, TypeError) as error:
        said = str(error)
        return "" if path.name in said and "\n" not in said else f"{type(error).__name__}: {said}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


if __name__ == "__main__":
    lines = main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
    print("\n".join(lines) or "no foreign answer")
    sys.exit(bool(lines))
