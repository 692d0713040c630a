"""Files of images: one reader for every room, and OpenCV's way to resize them.

A file is read as it is stored, whatever its bit depth, byte order, palette, alpha channel (left
out) or orientation, or it is refused in one line that names it. What its numbers mean is decided
for all images that belong together, by ``scale``, which says what it assumed:

stored                                 white is
1 bit, 8 bit, colour of 16 bit         the largest number of its bits
whole numbers of more than 8 bit       2ⁿ − 1 of the least n of 8, 10, 12, 14, 16 that holds all
                                       images: cameras of 12 or 14 bit store them in files of 16
floating point in [0, 1]               1
floating point, but whole numbers      as whole numbers

With ``stretch``, as infrared frames are read, what has no white (kelvin, degrees, numbers above 16
bit) or uses less than a sixteenth of its range goes from its least value at 0 to its largest at 1.
"""

import struct
import zlib
from collections.abc import Sequence
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dunfold_lib import fetch

SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".pgm")
DEPTHS = (8, 10, 12, 14, 16)  # bits of cameras
LEAST_SHARE = 16  # a range below 1/16 of its depth is stretched
LABELS = 32  # a mask of whole numbers 1 … k is one of labels up to this k
GREY = (0.299, 0.587, 0.114)  # BT.601
GREY_16 = (19595, 38470, 7471)  # the same over 2¹⁶, as Pillow and libjpeg have it
PNG = b"\x89PNG\r\n\x1a\n"
COLOUR = ("P", "PA", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV")
BITS, PHOTOMETRIC, FORMAT = 258, 262, 339  # tags of a TIFF
UNSIGNED = 1


class Stored(NamedTuple):
    """An image as its file has it."""

    values: Any  # (h, w) or (h, w, 3), whole numbers or floating point
    white: float  # what white is; 0: the file alone does not tell
    name: str

    @property
    def size(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]


class Scale(NamedTuple):
    """From stored numbers to [0, 1], and in words what was assumed."""

    low: float
    high: float
    said: str

    def __call__(self, image: Stored) -> Any:
        """An image in [0, 1], float64; one whose file tells its white is divided by that."""
        low, high = (0.0, image.white) if image.white else (self.low, self.high)
        return (image.values.astype(np.float64) - low) / (high - low)


def read(path: Path) -> Stored:
    """An image file as it is stored; ValueError in one line that names it where that fails."""
    with fetch.reading(path):
        values, white = _read(path)
    return _looked_at(values, white, str(path))


def of_array(a: Any, name: str) -> Stored:
    """An array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) as if a file had held it."""
    a = np.asarray(a)
    if a.ndim not in (2, 3) or 0 in a.shape or (a.ndim == 3 and a.shape[2] not in (1, 3, 4)):
        allowed = "(height, width), or with 1, 3 or 4 channels last"
        raise ValueError(f"{name} has shape {a.shape}; it must be {allowed}")
    if a.dtype.kind not in "buif":
        allowed = "8 or 16 bit, or floating point"
        raise TypeError(f"{name} has dtype {a.dtype}; it must be {allowed}")
    a = (a[..., 0] if a.shape[2] == 1 else a[..., :3]) if a.ndim == 3 else a
    white = {"bool": 1.0, "uint8": 255.0}.get(a.dtype.name, 0.0)
    return _looked_at(a.astype(np.uint8) if a.dtype == bool else a, white, name)


def _looked_at(values: Any, white: float, name: str) -> Stored:
    if 0 in values.shape:
        raise ValueError(f"{name} has shape {values.shape}; it must hold pixels")
    if not np.isfinite(values).all():
        low, high = values.min(), values.max()
        raise ValueError(f"{name} holds values from {low:g} to {high:g}; allowed: [0, 1]")
    return Stored(values, white, name)


def _read(path: Path) -> tuple[Any, float]:
    """(values, white or 0) of a file; anything may be raised."""
    from PIL import Image, ImageOps

    head = path.read_bytes()[:26] if path.suffix.lower() == ".png" else b""
    deep, colours = (head[24], head[25]) if head.startswith(PNG) and len(head) == 26 else (0, 0)
    if deep == 16 and colours == 4:
        return _grey_with_alpha(path), 0.0
    if deep == 16 and colours in (2, 6):
        high, low = (_bytes_of(path, raw).astype(np.uint16) for raw in ("16B", "16L"))
        return 256 * high + low, 65535.0
    with Image.open(path) as file:
        _one_frame(file)
        unsigned = _refuse_odd_tiff(file)
        picture = ImageOps.exif_transpose(file)
        if picture.mode in COLOUR:
            picture = picture.convert("RGB")
        a = np.asarray(picture.getchannel(0) if picture.mode in ("LA", "La") else picture)
    a = a.view(np.uint32) if unsigned and a.dtype == np.int32 else a
    white = {"bool": 1.0, "uint8": 255.0}.get(a.dtype.name, 0.0)
    return a.astype(np.uint8 if a.dtype == bool else a.dtype.newbyteorder("=")), white


def _one_frame(file: Any) -> None:
    """A telephone's JPEG (MPO) holds its preview, too; anything else must be one image."""
    frames = getattr(file, "n_frames", 1)
    if frames != 1 and file.format != "MPO":
        raise ValueError(f"it holds {frames} images; it must hold one")


def _refuse_odd_tiff(file: Any) -> bool:
    """Refuse what Pillow would read wrongly; whether the numbers of a TIFF are unsigned."""
    tags = getattr(file, "tag_v2", {})
    bits = max(np.atleast_1d(tags.get(BITS, 8)))
    if bits > 8 and (file.mode not in ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")):
        raise ValueError(f"it holds colour of {bits} bit; save it as PNG, or in 8 bit")
    if bits > 8 and tags.get(PHOTOMETRIC, 1) == 0:
        raise ValueError(f"its {bits} bits have white at 0; save it with black at 0")
    return bool(tags) and bits == 32 and np.atleast_1d(tags.get(FORMAT, UNSIGNED))[0] == UNSIGNED


def _grey_with_alpha(path: Path) -> Any:
    """Grey of 16 bit beside alpha: Pillow keeps 8, so the four bytes are read as four colours."""
    from PIL import Image

    data = bytearray(path.read_bytes())
    data[24:26] = bytes((8, 6))
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with Image.open(BytesIO(bytes(data))) as file:
        _one_frame(file)
        four = np.asarray(file).astype(np.uint16)
    return 256 * four[..., 0] + four[..., 1]


def _bytes_of(path: Path, raw: str) -> Any:
    """The upper ("16B") or the lower ("16L") bytes of colours of 16 bit, (h, w, 3)."""
    from PIL import Image

    with Image.open(path) as file:
        _one_frame(file)
        mode: Any = f"{file.mode};{raw}"
        old: Any = file.tile  # named tuples, plain ones before Pillow 11
        new: Any = [t._replace(args=mode) if hasattr(t, "args") else (*t[:3], mode) for t in old]
        file.tile = new
        return np.asarray(file)[..., :3]


def scale(images: Sequence[Stored], name: str, stretch: bool = False) -> Scale:
    """What white is in images that belong together; the rules are at the head of this file.

    name : of their file or folder, for errors.  stretch : see there; without it they are refused.
    """
    deep = [s.values for s in images if not s.white]
    if not deep:
        return Scale(0.0, 255.0, "8 bit over 255")
    if len({v.dtype.kind == "f" for v in deep}) > 1:
        raise ValueError(f"{name} holds whole numbers and floating point; one scale must fit all")
    low, high = (float(f([f(v) for v in deep])) for f in (np.min, np.max))
    whole = all((v == np.rint(v)).all() for v in deep) and (high > 1 or deep[0].dtype.kind != "f")
    if not whole and low >= 0 and high <= 1:
        return Scale(0.0, 1.0, "floating point in [0, 1]")
    depth = next((d for d in DEPTHS if high < 2**d), 0) if whole and low >= 0 else 0
    narrow = high - low < 2**depth / LEAST_SHARE
    if stretch and high > low and (not depth or narrow):
        return Scale(low, high, f"values from {low:g} to {high:g} stretched to [0, 1]")
    if not depth:
        kept = "whole numbers of 8 to 16 bit" if whole else "[0, 1]"
        raise ValueError(f"{name} holds values from {low:g} to {high:g}; allowed: {kept}")
    said = f"whole numbers up to {high:g} taken as {depth} bit, over {2**depth - 1}"
    return Scale(0.0, 2.0**depth - 1, said)


def grey(a: Any) -> Any:
    """Luminance (h, w) of values (h, w) or (h, w, 3)."""
    return a @ np.array(GREY) if a.ndim == 3 else a


def photographs(names: Sequence[str]) -> dict[str, Any]:
    """Photographs inside the scikit-image wheel: luminance (h, w) in [0, 1], float32, by name."""
    folder = Path(str(resources.files("skimage") / "data"))
    files = {p.stem: p for p in folder.iterdir()}
    return {name: luminance(read(files[name])) for name in names}


def luminance(image: Stored, by: Scale | None = None) -> Any:
    """An image (h, w) in [0, 1], float32; its scale is its own, unless one is given."""
    by = by or scale([image], image.name)
    return np.array(grey(by(image)), dtype=np.float32, order="C")


def as_bytes(image: Stored, scale: Scale) -> Any:
    """An image as grey bytes (h, w), rounded; one of 8 bit keeps its bytes."""
    a = image.values
    if a.dtype != np.uint8 or image.white != 255:
        return np.rint(255 * grey(scale(image))).clip(0, 255).astype(np.uint8)
    if a.ndim == 2:
        return a.copy()
    return ((a.astype(np.int64) @ np.array(GREY_16) + 2**15) >> 16).astype(np.uint8)


def picture(image: Any) -> Any:
    """An image in [0, 1] in bytes."""
    return np.rint(255 * image).astype(np.uint8)


def mask(path: Path) -> Any:
    """Where a file marks targets, bool (h, w): from half its largest value on.

    A palette's numbers count, not its colours; of several channels the brightest. Whole numbers
    1 … k up to 32 with none left out are labels: all of them count.
    """
    a = _palette(path)
    a = read(path).values if a is None else a
    a = a.max(2) if a.ndim == 3 else a
    if a.min() < 0:
        raise ValueError(f"{path}: holds {a.min():g}; a mask must not be negative")
    most = a.max()
    values = np.unique(a[a > 0]) if most <= LABELS else ()
    labels = len(values) == most and bool(np.all(values == np.arange(1, len(values) + 1)))
    return a > 0 if labels else (2 * a.astype(np.float64) >= most)


def _palette(path: Path) -> Any:
    """The numbers of a file with a palette, or None."""
    from PIL import Image, ImageOps

    with fetch.reading(path), Image.open(path) as file:
        if file.mode not in ("P", "PA"):
            return None
        _one_frame(file)
        return np.array(ImageOps.exif_transpose(file).getchannel(0))


# OpenCV's arithmetic (modules/imgproc/src/resize.cpp): weights of 11 bits, sums in whole numbers


def bilinear(a: Any, size: tuple[int, int]) -> Any:
    """Bytes (h, w) at another size (height, width), exactly as ``cv2.resize`` with INTER_LINEAR."""
    rows, columns = (_weights(n, m) for n, m in zip(a.shape, size))
    left, w = columns
    inside = (left >= 0) & (left < a.shape[1] - 1)
    w = np.where(inside, w, 2048 * np.array([[1], [0]]))  # beyond the border: its pixel alone
    near = lambda i, n: i.clip(0, n - 1)
    wide = a.astype(np.int64)
    wide = wide[:, near(left, a.shape[1])] * w[0] + wide[:, near(left + 1, a.shape[1])] * w[1]
    top, v = rows[0], rows[1][:, :, None]
    parts = [(v[i] * (wide[near(top + i, len(a))] >> 4)) >> 16 for i in (0, 1)]
    return ((parts[0] + parts[1] + 2) >> 2).clip(0, 255).astype(np.uint8)


def _weights(before: int, after: int) -> tuple[Any, Any]:
    """(the pixel before each new one, the weights of it and of the next in 1/2048: (2, after))."""
    at = ((np.arange(after) + 0.5) * (1 / (after / before)) - 0.5).astype(np.float32)
    low = np.floor(at).astype(np.int64)
    part = (at - low).astype(np.float32)
    both = np.stack([np.float32(1) - part, part]) * np.float32(2048)
    return low, np.rint(both).astype(np.int64)


def nearest(a: Any, size: tuple[int, int]) -> Any:
    """An array (h, w) at another size, as ``cv2.resize`` with INTER_NEAREST: pixel ⌊i·h/height⌋."""
    rows, columns = (
        np.minimum(np.floor(np.arange(m) * (1 / (m / n))).astype(int), n - 1)
        for n, m in zip(a.shape, size)
    )
    return a[rows][:, columns]
