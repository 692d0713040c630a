"""Checked downloads that go on where they stopped; nothing is asked for without a sha256."""

import hashlib
import http.client
import os
import re
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm.auto import tqdm

BLOCK, SECONDS = 1 << 16, 30  # bytes that are read at once, and how long a silence may last
TRIES = 3
PART = ".part"


def cache() -> Path:
    """Where downloads are kept: XDG_CACHE_HOME or LOCALAPPDATA, else ~/.cache."""
    named = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(named) if named else Path.home() / ".cache") / "dunfold"


def file(url: str, sha256: str, size: int, target: Path) -> Path:
    """``target``, downloaded from ``url`` where it is not there with this content already.

    What an interruption leaves is continued by the next call. ``target`` appears whole or not at
    all. ValueError in one line where the address has no such file, cannot be reached, breaks off
    three times, or gives any content but that of ``sha256``.
    """
    _check(url, sha256, size)
    if target.is_file() and digest(target) == sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{sha256[:12]}{PART}")
    begun = part.is_file() and part.stat().st_size > 0
    _complete(url, size, part)
    if begun and digest(part) != sha256:  # what was there was not the beginning of this file
        part.unlink()
        _complete(url, size, part)
    if (found := digest(part)) != sha256:
        part.unlink()
        raise ValueError(
            f"{url}: has the sha256 {found[:12]}…, not {sha256[:12]}…; nothing is kept"
        )
    os.replace(part, target)
    return target


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(url: str, sha256: str, size: int) -> None:
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise ValueError(f"{url!r} is no address; it must begin with https:// or http://")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"sha256 is {sha256!r}; it must be 64 digits of 0-9 and a-f")
    if size < 1:
        raise ValueError(f"size is {size}; it must be bytes from 1")


def _complete(url: str, size: int, part: Path) -> None:
    """Bring ``part`` to ``size`` bytes; ValueError where that does not succeed."""
    why = ""
    for _ in range(TRIES):
        try:
            _go_on(url, size, part)
            why = "it ended"
        except HTTPError as error:
            if error.code == 416 and _size(part):  # more is here than there
                part.unlink()
                continue
            raise ValueError(f"{url}: cannot be read ({error.code} {error.reason})") from None
        except (OSError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
            why = str(getattr(error, "reason", "") or error) or type(error).__name__
        if _size(part) >= size:
            return
    why = " ".join(why.split())
    raise ValueError(
        f"{url}: {_size(part)} of {size} bytes came ({why}); the same call goes on from there"
    )


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _go_on(url: str, size: int, part: Path) -> None:
    """One request for what is missing, appended as it comes; never more than ``size`` bytes."""
    begun = _size(part)
    if begun >= size:
        return
    asked = {"Range": f"bytes={begun}-"} if begun else {}
    with urlopen(Request(url, headers=asked), timeout=SECONDS) as answer:
        follows = answer.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
        begun = begun if answer.status == 206 and follows else 0
        with (
            part.open("ab" if begun else "wb") as file,
            tqdm(
                initial=begun,
                total=size,
                unit="B",
                unit_scale=True,
                desc=url.rpartition("/")[2],
                disable=None if sys.stderr else True,
            ) as bar,
        ):
            while begun < size and (block := answer.read(min(BLOCK, size - begun))):
                begun += file.write(block)
                bar.update(len(block))
