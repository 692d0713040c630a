"""Public data sets of infrared small targets, in the layouts in which they are downloaded.

set          layout                                                       parts
SIRST v1     images/, masks/ (``NAME.png`` or ``NAME_pixels0.png``),      train, val, test
             train.txt … beside them or in idx_427/
NUDT-SIRST   images/, masks/, img_idx/train_NUDT-SIRST.txt …              train, test
IRSTD-1k     images/ and masks/ or IRSTD1k_Img/ and IRSTD1k_Label/,       train, test
             img_idx/train_IRSTD-1K.txt … or trainval.txt, test.txt
SIRST-Aug    trainval/{images,masks}/, test/{images,masks}/               train, test

Images are read by ``dunfold_lib.images``: frames of 12 to 16 bit and of floating point share the
scale of their folder. One file that cannot be read refuses the folder before any work.

They lie in ``istd/`` of the folder that DUNFOLD_DATA names. Nothing is downloaded. A set without a
validation list gives every seventh image of its training list, and trains on the others.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks, fetch, images
from dunfold_lib.datasets import turned
from dunfold_lib.small_target.data import Draw, Frames

SETS = {  # name of an experiment's data: its folder below istd/
    "sirst": "SIRSTv1",
    "nudt": "NUDT-SIRST",
    "irstd1k": "IRSTD-1k",
    "sirst-aug": "SIRST-Aug",
}
BACKGROUNDS = "SIRSTv2_backgrounds"
SUFFIXES = images.SUFFIXES
IMAGES, MASKS = ("images", "IRSTD1k_Img"), ("masks", "IRSTD1k_Label")
LISTS = (".", "img_idx", "idx_427", "50_50")  # where split lists lie
RESAMPLING = ("bilinear", "antialiased", "nearest-exact", "nearest")
PARTS = ("train", "val", "test")
HELD_OUT = 7  # every seventh of a training list is for validation where no list says which
CROPS = {"train": 25, "test": 5}  # SIRST-Aug: crops of an image; of a target


def frames(
    name: str, part: str, side: int = 256, symmetries: bool = False, masks: str = "nearest"
) -> Frames:
    """A part of one of SETS, from the data folder; symmetries, masks : as in ``read_folder``."""
    checks.one_of("data set", name, SETS)
    folder = fetch.required(f"istd/{SETS[name]}")
    return read_folder(folder, part, side, masks=masks, symmetries=symmetries)


class Groups(NamedTuple):
    """A folder's frames, those of one size together, and in words how they were read."""

    frames: tuple[Frames, ...]
    said: str
    notes: tuple[str, ...]  # what was lost on the way


@fetch.cached(lambda folder, *_, **__: [folder])
def read_folder(
    folder: Path,
    part: str = "test",
    side: int | None = 256,
    resampling: str = "bilinear",
    masks: str = "nearest",
    symmetries: bool = False,
) -> Frames:
    """The images and masks of one part of a folder in any of the layouts above.

    A folder without any split list gives all its images as its test part.
    side : both are resized to side × side; None: left as they are, all of one size.
    resampling, masks : how images and masks are; one of RESAMPLING. "bilinear" and "nearest" are
    OpenCV's, in its arithmetic: four pixels, without antialiasing, in weights of 11 bits, and pixel
    ⌊i·h/side⌋. That shifts a mask by half a pixel down and to the right against its image, and
    scores with it: PSTNN has 37.9 IoU on SIRST v1, and 41.6 with "nearest-exact". The published
    figures on SIRST v1 have it.
    symmetries : each frame eight times, in every symmetry of the square, turned before it is
    resized: so all eight masks are shifted to the same side, as those of a test part are. Takes
    eight times the memory, and is refused where no image changes its size.
    """
    found = groups(folder, part, side, resampling, masks, symmetries).frames
    if len(found) > 1:
        sizes = sorted(tuple(f.image.shape[2:]) for f in found)
        given = " and ".join(map(str, sizes[:2]))
        raise ValueError(f"{folder} holds images of sizes {given}; give a side to resize them to")
    return found[0]


def groups(
    folder: Path,
    part: str = "test",
    side: int | None = 256,
    resampling: str = "bilinear",
    masks: str = "nearest",
    symmetries: bool = False,
) -> Groups:
    """``read_folder`` for images of any sizes: frames of one size make one group.

    Targets that have no pixel left after resizing are counted in ``notes``, as they are stored.
    """
    checks.one_of("part", part, PARTS)
    _resizing(side, resampling, masks)
    root, names = _names(folder, part)
    stored, truths = _stored(root, names)
    checks.one_of("symmetries", symmetries, (True, False))
    if symmetries and all(side in (None, n) for image in stored for n in image.size):
        raise ValueError(f"{folder}: no image changes its size; symmetries are of those that do")
    scale = images.scale(stored, str(folder), stretch=True)
    targets = lost = 0
    by_size: dict[tuple[int, int], list[tuple[str, Tensor, Tensor]]] = {}
    for name, image, truth in zip(names, stored, truths, strict=True):
        count, gone = _lost(truth, side)
        targets, lost = targets + count, lost + gone
        for grey, mask in _turned(images.as_bytes(image, scale), truth, symmetries):
            if side is not None:
                grey, mask = resized(grey, side, resampling), resized(mask, side, masks)
            by_size.setdefault((grey.shape[0], grey.shape[1]), []).append((name, grey, mask > 127))
    made = tuple(
        Frames(tuple(n), torch.stack(x)[:, None], torch.stack(y)[:, None])
        for n, x, y in (zip(*rows, strict=True) for rows in by_size.values())
    )
    before = sorted({s.size for s in stored})
    sizes = ", ".join(f"{h}×{w}" for h, w in before[:3]) + (", …" if len(before) > 3 else "")
    way = f"resized to {side}×{side} ({resampling}, masks {masks})" if side else "not resized"
    way += ", each in 8 symmetries" if symmetries else ""
    said = f"data: {folder}; {len(names)} frames, {sizes} pixels, {scale.said}; {way}"
    note = f"{lost} of {targets} targets vanished by resizing to {side}×{side}"
    return Groups(made, said, (note,) if lost else ())


def _resizing(side: int | None, resampling: str, masks: str) -> None:
    """Refuse what no frame can be resized by."""
    checks.one_of("resampling", resampling, RESAMPLING)
    checks.one_of("masks", masks, RESAMPLING)
    if side is not None:
        checks.whole("side", side, 1)


def _turned(image: Any, truth: Any, symmetries: bool) -> list[Tensor]:
    """Image and mask (2, h, w) in bytes; or these in all eight symmetries."""
    both = torch.from_numpy(np.stack([image, 255 * truth.astype(np.uint8)]))
    return [turned(both, k).contiguous() for k in range(8 if symmetries else 1)]


def _stored(root: Path, names: Sequence[str]) -> tuple[list[images.Stored], list[Any]]:
    """The images and the masks of these names, as they are stored; their sizes are compared."""
    pictures, labels = (_index(_folder(root, kinds)) for kinds in (IMAGES, MASKS))
    stored = [images.read(pictures(name)) for name in names]
    truths = [images.mask(labels(name)) for name in names]
    for name, image, truth in zip(names, stored, truths, strict=True):
        if image.size != truth.shape:
            given = f"{image.size} and {truth.shape}"
            raise ValueError(f"{name}: image and mask have sizes {given}; they must be equal")
    return stored, truths


def _lost(truth: Any, side: int | None) -> tuple[int, int]:
    """(the targets of a mask, those of them without a pixel after resizing by nearest)."""
    from scipy import ndimage

    labels, count = ndimage.label(truth, np.ones((3, 3)))
    if side is None:
        return count, 0
    left = np.unique(images.nearest(labels, (side, side)))
    return count, count - int((left > 0).sum())


def _names(folder: Path, part: str) -> tuple[Path, list[str]]:
    """(the folder of images/ and masks/, the names of the part)."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; it must hold images/, masks/ and a split list")
    aug = folder / ("test" if part == "test" else "trainval")
    if aug.is_dir():
        names = _stems(_folder(aug, IMAGES))
        return aug, names if part == "test" else _held_out(names, part)
    lists = {p: _list(folder, p) for p in (*PARTS, "trainval")}
    if found := lists[part]:
        names = _read_list(found)
        return folder, names if part != "train" or lists["val"] else _held_out(names, part)
    if part != "test" and (found := lists["train"] or lists["trainval"]):
        return folder, _held_out(_read_list(found), part)
    if part == "test" and not any(lists.values()):
        return folder, _stems(_folder(folder, IMAGES))
    raise ValueError(f"{folder} holds no list {part}.txt; it must name the images of that part")


def _list(folder: Path, part: str) -> Path | None:
    """The split list of a part: part.txt, or part_….txt."""
    for place in LISTS:
        for pattern in (f"{part}.txt", f"{part}_*.txt"):
            if found := sorted((folder / place).glob(pattern)):
                return found[0]
    return None


def _read_list(path: Path) -> list[str]:
    """The names of a list, one a line: without folders (``images\\a.png``) and endings."""
    names = [line.replace("\\", "/").rpartition("/")[2] for line in fetch.lines(path)]
    if not names:
        raise ValueError(f"{path}: names no image; it must hold one name a line")
    return [Path(n).stem if Path(n).suffix.lower() in SUFFIXES else n for n in names]


def _held_out(names: list[str], part: str) -> list[str]:
    """Every seventh name for validation, the others to train on."""
    kept = names[::HELD_OUT]
    return kept if part == "val" else [n for n in names if n not in set(kept)] or kept


def _folder(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise ValueError(f"{root} holds no folder {next(iter(names))}/; it needs images/ and masks/")


def _stems(folder: Path) -> list[str]:
    found = [fetch.same_name(p.stem) for p in fetch.files(folder, SUFFIXES)]
    if not found:
        raise ValueError(f"{folder} holds no image; allowed are {', '.join(SUFFIXES)}")
    twice = [n for n in found if found.count(n) > 1]
    if twice:
        raise ValueError(f"{folder} holds two images {twice[0]}; a name must be one image's")
    return found


def _index(folder: Path) -> Callable[[str], Path]:
    """From a name to its file, ``NAME.png`` or ``NAME_pixels0.png``; endings in any case."""
    files = {fetch.same_name(p.stem): p for p in reversed(fetch.files(folder, SUFFIXES))}
    folded = {stem.casefold(): p for stem, p in files.items()}

    def find(name: str) -> Path:
        for stem in (name, f"{name}_pixels0"):
            if found := files.get(stem) or folded.get(stem.casefold()):
                return found
        raise ValueError(f"{folder} holds no image {name}; allowed are {', '.join(SUFFIXES)}")

    return find


def resized(x: Tensor, side: int, resampling: str) -> Tensor:
    """Bytes (h, w) as (side, side), by one of RESAMPLING."""
    if tuple(x.shape) == (side, side):
        return x
    if resampling in ("bilinear", "nearest"):
        f = images.bilinear if resampling == "bilinear" else images.nearest
        return torch.from_numpy(f(x.numpy(), (side, side)))
    smooth = resampling == "antialiased"
    made = functional.interpolate(
        x[None, None].float(),
        (side, side),
        mode="bilinear" if smooth else resampling,
        align_corners=False if smooth else None,
        antialias=smooth,
    )
    return made[0, 0].round().clamp(0, 255).to(torch.uint8)


@fetch.cached(lambda side=256: [fetch.folder(f"istd/{BACKGROUNDS}")])
def backgrounds(side: int = 256) -> tuple[Tensor, ...]:
    """Real scenes without targets (h, w) in [0, 1], enlarged where a side is below ``side``."""
    folder = fetch.required(f"istd/{BACKGROUNDS}") / "images"
    scenes = []
    files = _index(folder)
    stored = [images.read(files(name)) for name in _stems(folder)]
    scale = images.scale(stored, str(folder), stretch=True)
    for held in stored:
        scene = torch.from_numpy(images.as_bytes(held, scale)).float() / 255
        larger = max(side / min(scene.shape), 1)
        size = [max(round(larger * n), side) for n in scene.shape]
        scenes.append(functional.interpolate(scene[None, None], size, mode="bilinear")[0, 0])
    return tuple(scenes)


def augmented(folder: Path, part: str, g: torch.Generator, side: int = 256) -> Frames:
    """A set like SIRST-Aug, made from SIRST v1: 25 crops of every image, or 5 of every test target.

    Crops of the images at their own size, enlarged in their own shape where a side is below
    ``side``; each holds a target. The published crops are not reproduced, their number is.
    """
    checks.one_of("part", part, CROPS)
    checks.whole("side", side, 1)
    parts = ("train", "val") if part == "train" else ("test",)
    draw, names, image, mask = Draw(g), list[str](), list[Tensor](), list[Tensor]()
    for whole_part in parts:
        root, found = _names(folder, whole_part)
        stored, truths = _stored(root, found)
        scale = images.scale(stored, str(folder), stretch=True)
        for name, held, truth in zip(found, stored, truths, strict=True):
            both = _enlarged(images.as_bytes(held, scale), truth, side)
            for i, (top, left) in enumerate(_places(both[1], part, side, draw)):
                cut = both[:, top : top + side, left : left + side]
                names.append(f"{name}-{i}")
                image.append(cut[0])
                mask.append(cut[1].bool())
    return Frames(tuple(names), torch.stack(image)[:, None], torch.stack(mask)[:, None])


def _enlarged(image: Any, mask: Any, side: int) -> Tensor:
    """(2, h, w) bytes: image and mask, their shorter side at least ``side``, their shape kept.

    A square would hold one crop alone, and most of SIRST v1's images are smaller than ``side``.
    """
    larger = max(side / min(image.shape), 1)
    h, w = (max(round(larger * n), side) for n in image.shape)
    grey, truth = images.bilinear(image, (h, w)), images.nearest(mask.astype(np.uint8), (h, w))
    return torch.from_numpy(np.stack([grey, truth]))


def _places(mask: Tensor, part: str, side: int, draw: Draw) -> list[tuple[int, int]]:
    """(top, left) of the crops of one image: each holds the middle pixel of a target."""
    from scipy import ndimage

    h, w = mask.shape
    labels, count = ndimage.label(mask.numpy(), np.ones((3, 3)))
    middles = ndimage.center_of_mass(labels > 0, labels, range(1, count + 1))
    # any start that has the pixel inside, with equal chance: few are left where an image is small
    place: Callable[[float, int], int] = lambda at, n: draw.whole(
        max(round(at) - side + 1, 0), min(round(at), n - side)
    )
    chosen = [m for m in middles for _ in range(CROPS["test"])]
    if part == "train":
        any_of = lambda: middles[draw.whole(0, count - 1)] if count else (h / 2, w / 2)
        chosen = [any_of() for _ in range(CROPS["train"])]
    return [(place(y, h), place(x, w)) for y, x in chosen]
