"""Drop executed pages when what they import or read has changed.

The book's cache knows a page by its own cells only, so a change of the library, of a recorded run,
of the reader's data folder or of a pinned version would leave old outputs on the page. A page hangs
on the floors and on the rooms that it imports; rooms never import each other, so a change inside
one room makes only that room's pages run again.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED = ("dunfold_lib/*.py", "book/_ext/*.py", "requirements.lock", "requirements-torch.txt")
ROOMS = sorted(p.parent.name for p in ROOT.glob("dunfold_lib/*/__init__.py"))


def rooms(page: Path) -> list[str]:
    """The rooms that a page hangs on: its own, and those that its import lines name."""
    lines = re.findall(r"^\s*(?:from|import)\b.*\bdunfold_lib\b.*", page.read_text("utf-8"), re.M)
    words = {*re.findall(r"\w+", " ".join(lines)), page.parent.name}
    return ROOMS if "__main__" in words else sorted(words & {*ROOMS})


def files(patterns: tuple[str, ...]) -> Iterator[Path]:
    """Every file that one of the patterns finds below the checkout."""
    yield from sorted(p for pattern in patterns for p in ROOT.glob(pattern) if p.is_file())


def contents(patterns: tuple[str, ...]) -> str:
    """A hash of the names and bytes of these files."""
    digest = hashlib.sha256()
    for path in files(patterns):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def data() -> str:
    """A hash of the data folder: its place, and the names, sizes and times of its files."""
    place = os.environ.get("DUNFOLD_DATA", "").strip()
    digest = hashlib.sha256(place.encode())
    for path in sorted(Path(place).expanduser().rglob("*")) if place else ():
        if path.is_file():
            about = path.stat()
            digest.update(f"{path}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def keys() -> dict[str, str]:
    """For each page a hash of everything that its cells may depend on beside themselves."""
    shared = contents(SHARED) + data()
    own = {
        r: contents((f"dunfold_lib/{r}/**/*.py", f"results/{r}/**/*.*", f"book/{r}/*.py"))
        for r in ROOMS
    }
    return {
        page.relative_to(ROOT).as_posix(): shared + "".join(own[r] for r in rooms(page))
        for page in files(("book/**/*.md",))
    }


def forget(pages: list[str]) -> None:
    """Remove these pages from the caches of Jupyter and Sphinx."""
    from jupyter_cache import get_cache

    cache = get_cache(ROOT / "_build" / ".jupyter_cache")
    for record in cache.list_cache_records():
        if (
            Path(record.uri).is_relative_to(ROOT)
            and Path(record.uri).relative_to(ROOT).as_posix() in pages
        ):
            cache.remove_cache(record.pk)
    for page in pages:
        stem = page.removesuffix(".md")
        (ROOT / "_build" / ".doctrees" / f"{stem}.doctree").unlink(missing_ok=True)


def main() -> None:
    """Compare each page's key with the last build's and forget the pages where it differs."""
    build, now = ROOT / "_build", keys()
    stamp = build / ".page-keys.json"
    known = json.loads(stamp.read_text("utf-8")) if stamp.exists() else {}
    old = [page for page, key in now.items() if known.get(page) != key]
    if old and not known:
        for folder in (".jupyter_cache", ".doctrees", "jupyter_execute", "html"):
            shutil.rmtree(build / folder, ignore_errors=True)
    elif old:
        forget(old)
        print(f"to be executed again, for what they import or read is new: {', '.join(old)}")
    build.mkdir(exist_ok=True)
    stamp.write_text(json.dumps(now, indent=1), "utf-8")


if __name__ == "__main__":
    main()
