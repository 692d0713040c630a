"""Files of arrays and cubes: one reader of .mat, HDF5, .npy and .npz for every room.

A cube comes out as (height, width, bands), whatever way its file holds it, and ``Cube.said`` tells
the way that was taken:

bands × pixels   where the file names both sides (nRow and nCol, or the like); MATLAB's files count
                 the pixels down the columns, those of numpy along the rows
three axes       a vector of wavelengths as long as one axis alone tells the bands; else, of two
                 equal sides, the third axis; else the first axis where it is at most half of the
                 other two; else the last

Numbers that stand for missing data are refused: NaN, infinity, what the file declares as its fill
value, −9999 and the like, 65535 where nothing else comes near it. A few per cent below zero are
noise and stay.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from dunfold_lib import fetch, images

SUFFIXES = (".mat", ".npy", ".npz", ".h5", ".hdf5")
RADIANCE = "rad"  # ICVL's cube; its files hold a picture in colour, too
SIDES = (
    *(("nrow", "ncol"), ("nrows", "ncols"), ("rows", "cols"), ("lines", "samples")),
    ("height", "width"),
)
FILLS = ("_FillValue", "missing_value", "nodata", "data_ignore_value", "data ignore value")
NO_DATA = (-99.0, -999.0, -9999.0, -32768.0)
HUGE = 1e20  # nothing that was measured
# Below zero, what lies under the rest by this share of the largest value, and by half of what the
# rest reaches down, is no noise.
GAP = 0.1
CAVE_BANDS = 31
HDF5 = b"\x89HDF\r\n\x1a\n"
MI_MATRIX, MI_COMPRESSED = 14, 15  # what the parts of a MATLAB file begin with
MOST = 2**33  # bytes of an array that is worth trying


class Held(NamedTuple):
    """The arrays of a file by name, and what the file says of them."""

    arrays: dict[str, Any]
    fills: dict[str, float]
    columns: bool  # pixels are counted down the columns


class Cube(NamedTuple):
    """A cube (height, width, bands) as stored, and how its axes were told."""

    values: Any
    said: str


def arrays(path: Path) -> dict[str, Any]:
    """The arrays of a .mat, .h5, .npy or .npz file, by name."""
    return _held(path).arrays


def matrix(path: Path) -> Tensor:
    """The one matrix (m, n) of a file of arrays, or of one that torch saved; finite, float32."""
    ours = path.suffix.lower() in SUFFIXES
    held = arrays(path) if ours else fetch.saved(path)
    named = held if isinstance(held, Mapping) else {"": held}
    found = {k: v for k, v in named.items() if getattr(v, "ndim", 0) == 2 and max(v.shape) > 1}
    if len(found) != 1:
        names = ", ".join(found) or "none"
        raise ValueError(f"{path} holds the matrices {names}; it must hold one (m, n)")
    ((name, a),) = found.items()
    return fetch.tensor(a, f"{path}: {name or 'its matrix'}")


def _held(path: Path) -> Held:
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(f"{path} is no cube; allowed are {', '.join(SUFFIXES)}")
    with fetch.reading(path):
        if kind in (".npy", ".npz"):
            named = {"": fetch.array(path)} if kind == ".npy" else fetch.archive(path)
            return Held(named, {}, columns=False)
        return _mat(path) if kind == ".mat" else _hdf5(path)


def _mat(path: Path) -> Held:
    with path.open("rb") as file:
        head = file.read(520)
    if head.startswith((HDF5, b"MATLAB 7.3")) or head[512:520] == HDF5:
        return _hdf5(path)
    from scipy.io import loadmat

    _whole_parts(path)
    found = loadmat(path)
    return Held({k: v for k, v in found.items() if isinstance(v, np.ndarray)}, {}, columns=True)


def _whole_parts(path: Path) -> None:
    """Refuse a MATLAB 5 file whose parts do not end where the file does: scipy would go on."""
    data = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        return  # version 4, or none: scipy says
    at = 128
    while at < len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind not in (MI_MATRIX, MI_COMPRESSED) or at + 8 + size > len(data):
            raise ValueError(f"its part at byte {at} is damaged")
        at += 8 + size


def _hdf5(path: Path) -> Held:
    """MATLAB writes axes in reverse order, (bands, width, height): they are turned back."""
    h5py = fetch.hdf5(str(path))
    with path.open("rb") as file:
        matlab = file.read(10) == b"MATLAB 7.3"
    found: dict[str, Any] = {}
    fills: dict[str, float] = {}
    with h5py.File(path) as file:
        sets: list[tuple[str, Any]] = []
        file.visititems(lambda name, v: sets.append((name, v)) if hasattr(v, "shape") else None)
        for name, v in sets:
            if name.startswith("#") or v.dtype.kind not in "buif":
                continue
            if v.size * v.dtype.itemsize > MOST:
                raise ValueError(f"{name} has shape {v.shape}, above {MOST} bytes")
            turn = matlab or "MATLAB_class" in v.attrs
            found[name] = np.transpose(v[()]) if turn else np.asarray(v[()])
            for key in {*FILLS} & {*v.attrs}:
                fills[name] = float(np.ravel(v.attrs[key])[0])
    return Held(found, fills, columns=matlab)


def read(path: Path) -> Cube:
    """The one cube of a file, or ICVL's ``rad``; its axes by the rules at the head of this file."""
    held = _held(path)
    held = held._replace(
        arrays={k: v for k, v in held.arrays.items() if v.dtype.kind in "buif" and v.size}
    )
    folded = _folded(held)
    cubes = folded or {k: v for k, a in held.arrays.items() if (v := _three(a)).ndim == 3}
    cubes = {RADIANCE: cubes[RADIANCE]} if RADIANCE in cubes else cubes
    if len(cubes) != 1:
        names = ", ".join(cubes) or "none"
        raise ValueError(f"{path} holds the cubes {names}; it must hold one array (h, w, bands)")
    ((name, a),) = cubes.items()
    axis, why = (2, "from bands × pixels") if folded else _bands(a, held.arrays)
    values = np.moveaxis(a, axis, 2)
    no_data(values, str(path), held.fills.get(name))
    h, w, bands = values.shape
    return Cube(values, f"h × w, bands: {h} × {w}, {bands} ({why})")


def _three(a: Any) -> Any:
    """An array without one axis of length 1 where it has four."""
    return a.squeeze(a.shape.index(1)) if a.ndim == 4 and 1 in a.shape else a


def _folded(held: Held) -> dict[str, Any]:
    """Cubes that are stored as bands × pixels or pixels × bands, with both sides named."""
    one = {k.lower(): int(v.flat[0]) for k, v in held.arrays.items() if v.size == 1}
    sides = next(((one[a], one[b]) for a, b in SIDES if a in one and b in one), None)
    if sides is None:
        return {}
    n, order = sides[0] * sides[1], "F" if held.columns else "C"
    found = {}
    for name, a in held.arrays.items():
        if a.ndim == 2 and n in a.shape and n > 1 and min(a.shape) > 1:
            found[name] = (a.T if a.shape[1] == n else a).reshape(*sides, -1, order=order)
    if len(found) > 1 and "Y" in found:  # the scene beside its abundances
        return {"Y": found["Y"]}
    most = max((a.shape[2] for a in found.values()), default=0)
    return {k: a for k, a in found.items() if a.shape[2] == most}


def _bands(a: Any, beside: Mapping[str, Any]) -> tuple[int, str]:
    """(the axis of the bands, how it was told)."""
    lengths = {max(v.shape) for v in beside.values() if v.ndim and v.size == max(v.shape) > 1}
    told = [i for i in range(3) if a.shape[i] in lengths and a.shape.count(a.shape[i]) == 1]
    if len(told) == 1:
        return told[0], "a vector of that length is beside it"
    first, middle, last = a.shape
    if middle == last != first:
        return 0, "bands first: the other sides are equal"
    if first == middle or 2 * first > min(middle, last):
        return 2, "bands last"
    return 0, "bands first: the shortest side by far"


def no_data(a: Any, name: str, fill: float | None = None) -> None:
    """Refuse an array that holds numbers which stand for missing data."""
    bad = ~np.isfinite(a) if a.dtype.kind == "f" else np.zeros(a.shape, bool)
    for value in (*NO_DATA, *(() if fill is None else (fill,))):
        bad |= a == value
    usual = a[~bad]
    if usual.size:
        most = float(usual.max())
        bad |= (a <= _below_noise(usual, most)) | (np.abs(a.astype(np.float64)) > HUGE)
        if a.dtype.kind in "ui" and most == np.iinfo(a.dtype).max > 255:
            rest = usual[usual < most]
            bad |= (a == most) if rest.size and 2 * float(rest.max()) < most else False
    if bad.any():
        example, count = a[bad].flat[0], int(bad.sum())
        raise ValueError(
            f"{name} holds NaN, infinity or no data: {example:g} and the like, {count} of {a.size}"
            " values; cut them off or fill them first"
        )


def _below_noise(usual: Any, most: float) -> float:
    """The largest value below zero that noise does not lead down to; minus infinity without one."""
    if most <= 0:
        return most
    under = usual < -GAP * most
    low = np.sort(usual[under].astype(np.float64))[::-1]
    start = min(float(usual[~under].min()), 0.0)
    above = np.concatenate([[start], low])[:-1]
    far = np.flatnonzero(above - low > np.maximum(GAP * most, -above / 2))
    return float(low[far[0]]) if far.size else -np.inf


def cave(place: Path) -> dict[str, Any]:
    """CAVE (Yasuma et al. 2010): every cube below a folder, (512, 512, 31) as stored, 16 bit.

    A scene is a folder ``<scene>_ms`` that holds ``<scene>_ms_01.png`` … ``_31.png``, itself or one
    level below.
    """
    found = {s.name.removesuffix("_ms"): _of_bands(s) for s in sorted(place.glob("*_ms"))}
    if not found:
        raise ValueError(f"{place} holds no cube; it must hold <scene>_ms with {CAVE_BANDS} bands")
    return found


def _of_bands(scene: Path) -> Any:
    files = sorted(scene.rglob(f"{scene.name}_[0-9][0-9].[pP][nN][gG]"))
    if len(files) != CAVE_BANDS:
        raise ValueError(f"{scene} holds {len(files)} bands; it must hold {CAVE_BANDS}")
    bands = [images.read(file) for file in files]
    if len({b.size for b in bands}) != 1:
        raise ValueError(f"{scene}: its bands have different sizes; they must be equal")
    return np.stack([b.values[..., 0] if b.values.ndim == 3 else b.values for b in bands], 2)
