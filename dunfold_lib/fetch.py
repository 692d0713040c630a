"""Where data lie, in the reader's folder or inside an installed package, and how files are read.

Nothing is downloaded, and no package is imported to find a file in it. Images are read by
``images``, arrays and cubes by ``cubes``; here is what both stand on.
"""

import os
import unicodedata
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import checks

PINES = "Indian_pines_corrected.npy"
VARIABLE = "DUNFOLD_DATA"
# A damaged file makes its reader raise anything (zlib.error, BadZipFile, MatReadError,
# DecompressionBombError, struct.error, MemoryError, IndexError, …): all of it is the file's.
UNREADABLE = (Exception,)
WRAPPERS = ("state_dict", "model_state_dict", "net", "model")  # keys around a released state dict
P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


def root() -> Path | None:
    """The folder that DUNFOLD_DATA names, or None where it names none.

    Blanks and quotes around it are left out, and ~ is the home folder. ValueError where it is set
    and is no folder.
    """
    text = os.environ.get(VARIABLE, "").strip()
    text = text[1:-1].strip() if text[:1] in "'\"" and text[:1] == text[-1:] else text
    if not text:
        return None
    path = Path(text).expanduser()
    if not path.is_dir():
        raise ValueError(f"{VARIABLE} is {text!r}; there is no such folder")
    return path


def folder(name: str) -> Path | None:
    """The folder ``name`` below the one that DUNFOLD_DATA names, or None where there is none.

    ValueError where it lies one level lower or higher: DUNFOLD_DATA is then the wrong folder.
    """
    top = root()
    if top is None or (top / name).is_dir():
        return top and top / name
    below = (p for p in sorted(top.iterdir()) if p.is_dir())
    above = [top.parent] if top.name == Path(name).parts[0] else []
    for other in (*below, *above):
        if (other / name).is_dir():
            raise ValueError(f"{VARIABLE} is {str(top)!r}; {name} lies in {other}: set it to that")
    return None


def required(name: str) -> Path:
    """``folder``, or an error that says where the data belong."""
    found = folder(name)
    if found is None:
        what = name.rpartition("/")[2]
        place = f"put it into {name} of the folder {VARIABLE} names"
        raise ValueError(f"{what} is not here: {place}")
    return found


def files(place: Path, suffixes: Sequence[str], what: str = "files") -> list[Path]:
    """The files of a folder that end in one of ``suffixes``, in any case, in order of their names.

    Names that begin with a dot are left out: macOS puts ``._a.png`` beside ``a.png``.
    """
    if not place.is_dir():
        raise ValueError(f"{place} is no folder; it must hold {what} {', '.join(suffixes)}")
    ours = lambda p: p.suffix.lower() in suffixes and not p.name.startswith(".")
    return sorted(p for p in place.iterdir() if ours(p) and p.is_file())


def same_name(name: str) -> str:
    """A name in Unicode's composed form: macOS stores ``ü`` as two characters."""
    return unicodedata.normalize("NFC", name)


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without a byte order mark or blanks around."""
    with reading(path):
        text = path.read_text(encoding="utf-8-sig")
    return [same_name(line.strip()) for line in text.splitlines() if line.strip()]


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
        with warnings.catch_warnings(action="ignore"):
            yield
    except ImportError:
        raise
    except UNREADABLE as error:
        if str(error).startswith(str(path)):
            raise  # a reader inside has said it
        said = str(error).replace(repr(str(path)), "").replace(str(path), "")
        reason = " ".join(said.split())[:80] or type(error).__name__
        raise ValueError(f"{path}: cannot be read ({reason})") from None


def stamp(places: Iterable[Path | None]) -> tuple[Any, ...]:
    """What tells that files or folders have changed: names, sizes and times of all inside."""
    told = []
    for place in places:
        inside = [place, *sorted(place.rglob("*"))] if place and place.exists() else []
        about = [(p, p.stat()) for p in inside if p.exists()]
        told.append((str(place), *((str(p), s.st_size, s.st_mtime_ns) for p, s in about)))
    return tuple(told)


def nowhere(*_: Any, **__: Any) -> list[Path | None]:
    """The files of a loader that reads none."""
    return []


def cached(where: Callable[P, Iterable[Path | None]]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A cache for loaders: it hands out copies, and reads again what has changed on the disk.

    where : from the loader's arguments, the files and folders that it reads. A value is kept while
    they and DUNFOLD_DATA are the same.
    """

    def wrap(load: Callable[P, T]) -> Callable[P, T]:
        kept: dict[Any, tuple[Any, T]] = {}

        @wraps(load)
        def cached_load(*args: P.args, **kwargs: P.kwargs) -> T:
            key = (args, tuple(sorted(kwargs.items())))
            now = (os.environ.get(VARIABLE, ""), stamp(where(*args, **kwargs)))
            if key not in kept or kept[key][0] != now:
                kept[key] = now, load(*args, **kwargs)
            return copied(kept[key][1])

        cached_load.cache_clear = kept.clear  # type: ignore[attr-defined]
        return cached_load

    return wrap


def copied(value: Any) -> Any:
    """A value whose tensors and arrays are copies, through tuples, lists and mappings."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Mapping):
        return {key: copied(v) for key, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(copied, value))
    if isinstance(value, tuple | list):
        return type(value)(map(copied, value))
    return value


def array(path: Path) -> Any:
    """The array of a .npy file; pickled objects and sizes above the file's are refused."""
    with reading(path):
        if zipfile.is_zipfile(path):
            raise ValueError("it is an archive of arrays; its name must end in .npz")
        np.load(path, mmap_mode="r", allow_pickle=False)  # compares the header with the file
        return np.load(path, allow_pickle=False)


def archive(path: Path) -> dict[str, Any]:
    """The arrays of an .npz file by name; pickled objects are refused."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return dict(file)


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


def module(name: str, needs: str) -> Any:
    """A module that may be missing; the error then says what needs it and how to get it."""
    try:
        return import_module(name)
    except ImportError:
        raise ImportError(needs) from None


def hdf5(what: str) -> Any:
    """The module h5py."""
    return module("h5py", f"{what} needs h5py: pip install 'dunfold-lib[data]'")


def indian_pines() -> Path:
    """The cube (145, 145, 200) of Indian Pines (AVIRIS; Baumgardner et al. 2015) as a .npy file.

    ``hsi/Indian_pines_corrected.npy`` in the data folder, else the copy in tensorly's wheel. In
    that copy (tensorly 0.9 and 0.10) every byte 13 has become a byte 10: values from 3328 to 3583
    read 768 lower. It is used as it is; a sound file can be put into the data folder.
    """
    copy = folder("hsi")
    if copy and (copy / PINES).is_file():
        return copy / PINES
    return in_package("tensorly", f"datasets/data/{PINES}", "Indian Pines", "data")


def weights(source: Path | str | Mapping[str, Any]) -> dict[str, Tensor]:
    """A released state dict by name: a mapping, an .npz or what torch saved; nothing is run."""
    if isinstance(source, Mapping):
        return state_dict(source)
    path = Path(source)
    held = saved(path)
    if not isinstance(held, Mapping):
        raise ValueError(f"{path}: holds a {type(held).__name__}; it must be a state dict")
    return state_dict(held, str(path))


def saved(path: Path) -> Any:
    """What an .npz, a safetensors file or one that torch saved holds.

    Read with ``weights_only=True``, so no code in it is executed.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        with warnings.catch_warnings(action="ignore"):
            return _state(path)
    except UNREADABLE as error:
        reason = " ".join(str(error).split())[:100]
        raise ValueError(
            f"{path}: holds no state dict that can be read safely ({reason})"
        ) from None


def _state(path: Path) -> Any:
    if path.suffix.lower() == ".npz":
        return archive(path)
    if path.suffix.lower() == ".safetensors":
        from safetensors.torch import load

        return load(path.read_bytes())
    return torch.load(path, map_location="cpu", weights_only=True)


def state_dict(held: Mapping[str, Any], source: str = "weights") -> dict[str, Tensor]:
    """Tensors by name: the dict inside a wrapper, without ``module.`` and counters of batches."""
    inner = next((held[k] for k in WRAPPERS if isinstance(held.get(k), Mapping)), held)
    named = {str(k).removeprefix("module."): v for k, v in inner.items()}
    return {
        k: tensor(v, f"{source}: {k}")
        for k, v in named.items()
        if not k.endswith("num_batches_tracked")
    }


def fill(places: Mapping[str, Tensor], held: Mapping[str, Tensor], source: str, what: str) -> None:
    """Copy released tensors into a network's, name by name.

    places : a name of theirs -> our tensor. ValueError where a name is missing or strange, or where
    a shape differs; nothing is copied then. A 1×1 filter may be a matrix, and one number any shape.
    """
    missing = [name for name in places if name not in held]
    strange = sorted(set(held) - set(places))
    if missing or strange:
        said = f"lacks {missing[0]}" if missing else f"holds {strange[0]}"
        example = ", ".join([*places][:2])
        raise ValueError(f"{source}: {said}; a {what} has {len(places)} names: {example}, …")
    for name, place in places.items():
        given, allowed = tuple(held[name].shape), tuple(place.shape)
        if not (
            given == allowed
            or (*given, 1, 1) == allowed
            or max(place.numel(), held[name].numel()) == 1
        ):
            raise ValueError(f"{source}: {name} has shape {given}, not {allowed}")
        if name.endswith("running_var") and bool((held[name] < 0).any()):
            raise ValueError(f"{source}: {name} holds a negative variance; it must be at least 0")
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(held[name].reshape(place.shape))


class Brought(dict[str, T]):
    """What a reader's folder holds, by name; ``said`` tells it for a protocol."""

    def __init__(self, held: Mapping[str, T], said: str):
        super().__init__(held)
        self.said = said


def tried(
    items: Mapping[str, T], score: Callable[[T], S], lenient: bool = True
) -> tuple[dict[str, S], list[str]]:
    """(the scores of all items that have them, a line for each that has none: its name and why).

    ValueError where no item has any, or, if not ``lenient``, where one has none.
    """
    made: dict[str, S] = {}
    notes: list[str] = []
    for name, item in items.items():
        try:
            made[name] = score(item)
        except (ValueError, TypeError, RuntimeError) as error:
            notes.append(f"{name} is left out: {(str(error) or repr(error)).splitlines()[0]}")
            if not lenient:
                raise
    if not made:
        raise ValueError(notes[0] if notes else "there is nothing to score")
    return made, [f"{len(notes)} of {len(items)} have no score", *notes] if notes else []
