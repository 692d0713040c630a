"""Public data sets of infrared small targets, in the layouts in which they are downloaded.

set          layout                                                       parts
SIRST v1     images/, masks/ (``NAME.png`` or ``NAME_pixels0.png``),      train, val, test
             train.txt … beside them or in idx_427/
NUDT-SIRST   images/, masks/, img_idx/train_NUDT-SIRST.txt …              train, test
IRSTD-1k     images/ and masks/ or IRSTD1k_Img/ and IRSTD1k_Label/,       train, test
             img_idx/train_IRSTD-1K.txt … or trainval.txt, test.txt
SIRST-Aug    trainval/{images,masks}/, test/{images,masks}/               train, test

They lie in ``istd/`` of the folder that DUNFOLD_DATA names. Nothing is downloaded. A set without a
validation list gives every seventh image of its training list, and trains on the others.
"""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks, fetch
from dunfold_lib.small_target.data import Draw, Frames

SETS = {  # name of an experiment's data: its folder below istd/
    "sirst": "SIRSTv1",
    "nudt": "NUDT-SIRST",
    "irstd1k": "IRSTD-1k",
    "sirst-aug": "SIRST-Aug",
}
BACKGROUNDS = "SIRSTv2_backgrounds"
SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
IMAGES, MASKS = ("images", "IRSTD1k_Img"), ("masks", "IRSTD1k_Label")
LISTS = (".", "img_idx", "idx_427", "50_50")  # where split lists lie
RESAMPLING = ("bilinear", "antialiased", "nearest-exact", "nearest")
PARTS = ("train", "val", "test")
HELD_OUT = 7  # every seventh of a training list is for validation where no list says which
CROPS = {"train": 25, "test": 5}  # SIRST-Aug: crops of an image; of a target


def frames(name: str, part: str, side: int = 256) -> Frames:
    """A part of one of SETS, from the data folder."""
    checks.one_of("data set", name, SETS)
    return read_folder(fetch.required(f"istd/{SETS[name]}"), part, side)


@cache
def read_folder(
    folder: Path,
    part: str = "test",
    side: int | None = 256,
    resampling: str = "bilinear",
    masks: str = "nearest",
) -> Frames:
    """The images and masks of one part of a folder in any of the layouts above.

    A folder without any split list gives all its images as its test part.
    side : both are resized to side × side; None: left as they are.
    resampling, masks : how images and masks are; one of RESAMPLING. "bilinear" looks at four
    pixels, without antialiasing, and rounds to 8 bit; "nearest" takes pixel ⌊i·h/side⌋, as OpenCV
    does. That shifts a mask by up to half a pixel against its image, and classical scores with it:
    PSTNN has 37.9 IoU on SIRST v1, and 41.6 with "nearest-exact". The published figures have it.
    """
    checks.one_of("part", part, PARTS)
    checks.one_of("resampling", resampling, RESAMPLING)
    checks.one_of("masks", masks, RESAMPLING)
    if side is not None:
        checks.whole("side", side, 1)
    root, names = _names(folder, part)
    read = [_pair(root, name, side, resampling, masks) for name in names]
    sizes = {image.shape for image, _ in read}
    if len(sizes) > 1:
        given = " and ".join(str(tuple(s)) for s in sorted(sizes)[:2])
        raise ValueError(f"{folder} holds images of sizes {given}; give a side to resize them to")
    image, mask = (torch.stack([pair[i] for pair in read])[:, None] for i in (0, 1))
    return Frames(tuple(names), image, mask)


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
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({str(error).splitlines()[0][:80]})") from None
    names = [line.strip() for line in lines if line.strip()]
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
    found = sorted(p.stem for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(f"{folder} holds no image; allowed are {', '.join(SUFFIXES)}")
    return found


def _file(folder: Path, name: str) -> Path:
    for stem in (name, f"{name}_pixels0"):
        for suffix in SUFFIXES:
            if (folder / (stem + suffix)).is_file():
                return folder / (stem + suffix)
    raise ValueError(f"{folder} holds no image {name}; allowed are {', '.join(SUFFIXES)}")


def _pair(
    root: Path,
    name: str,
    side: int | None = None,
    resampling: str = "bilinear",
    masks: str = "nearest",
) -> tuple[Tensor, Tensor]:
    """(image uint8, mask bool) of a name below a folder, both (h, w), resized one by one."""
    image = _grey(_file(_folder(root, IMAGES), name))
    mask = _grey(_file(_folder(root, MASKS), name))
    if side is not None:
        image, mask = resized(image, side, resampling), resized(mask, side, masks)
    if image.shape != mask.shape:
        given = f"{tuple(image.shape)} and {tuple(mask.shape)}"
        raise ValueError(f"{name}: image and mask have sizes {given}; they must be equal")
    return image, mask > (127 if mask.max() > 1 else 0)  # some sets store 0 and 1, not 0 and 255


def resized(x: Tensor, side: int, resampling: str) -> Tensor:
    """Bytes (h, w) as (side, side), by one of RESAMPLING."""
    if tuple(x.shape) == (side, side):
        return x
    smooth = not resampling.startswith("nearest")
    made = functional.interpolate(
        x[None, None].float(),
        (side, side),
        mode="bilinear" if smooth else resampling,
        align_corners=False if smooth else None,
        antialias=resampling == "antialiased",
    )
    return made[0, 0].round().clamp(0, 255).to(torch.uint8)


def _grey(path: Path) -> Tensor:
    """An image file as grey bytes (h, w)."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            picture = file if file.mode == "L" else file.convert("RGB").convert("L")
            return torch.from_numpy(np.array(picture))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:80]
        raise ValueError(f"{path}: cannot be read as an image ({reason})") from None


@cache
def backgrounds(side: int = 256) -> tuple[Tensor, ...]:
    """Real scenes without targets (h, w) in [0, 1], enlarged where a side is below ``side``."""
    folder = fetch.required(f"istd/{BACKGROUNDS}") / "images"
    scenes = []
    for name in _stems(folder):
        scene = _grey(_file(folder, name)).float() / 255
        scale = max(side / min(scene.shape), 1)
        size = [max(round(scale * n), side) for n in scene.shape]
        scenes.append(functional.interpolate(scene[None, None], size, mode="bilinear")[0, 0])
    return tuple(scenes)


def augmented(folder: Path, part: str, g: torch.Generator, side: int = 256) -> Frames:
    """A set like SIRST-Aug, made from SIRST v1: 25 crops of every image, or 5 of every test target.

    Crops of the images at their own size, enlarged where smaller than ``side``; each holds a
    target. The published crops are not reproduced, their number and kind are.
    """
    checks.one_of("part", part, CROPS)
    checks.whole("side", side, 1)
    parts = ("train", "val") if part == "train" else ("test",)
    draw, names, image, mask = Draw(g), list[str](), list[Tensor](), list[Tensor]()
    for whole_part in parts:
        root, found = _names(folder, whole_part)
        for name in found:
            both = _enlarged(root, name, side)
            for i, (top, left) in enumerate(_places(both[1], part, side, draw)):
                cut = both[:, top : top + side, left : left + side]
                names.append(f"{name}-{i}")
                image.append(cut[0])
                mask.append(cut[1].bool())
    return Frames(tuple(names), torch.stack(image)[:, None], torch.stack(mask)[:, None])


def _enlarged(root: Path, name: str, side: int) -> Tensor:
    """(2, h, w) bytes: image and mask, both sides at least ``side``."""
    image, mask = _pair(root, name)
    if min(image.shape) < side:
        image, mask = _pair(root, name, side)
    return torch.stack([image, mask.to(torch.uint8)])


def _places(mask: Tensor, part: str, side: int, draw: Draw) -> list[tuple[int, int]]:
    """(top, left) of the crops of one image: each holds the middle pixel of a target."""
    from scipy import ndimage

    h, w = mask.shape
    labels, count = ndimage.label(mask.numpy(), np.ones((3, 3)))
    middles = ndimage.center_of_mass(labels > 0, labels, range(1, count + 1))
    place: Callable[[float, int], int] = lambda at, n: min(
        max(round(at) - draw.whole(0, side - 1), 0), n - side
    )
    chosen = [m for m in middles for _ in range(CROPS["test"])]
    if part == "train":
        any_of = lambda: middles[draw.whole(0, count - 1)] if count else (h / 2, w / 2)
        chosen = [any_of() for _ in range(CROPS["train"])]
    return [(place(y, h), place(x, w)) for y, x in chosen]
