"""Where many pages are to be run, run their cells into the book's cache, in two processes.

Jupyter Book runs one page after the other. Here each of two runs of it takes every second page, and
writes nothing but the cache; the build that follows finds all pages there. What fails here is run
again by that build, which then says so.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from jupyter_cache import get_cache

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "_build" / ".jupyter_cache"
PROCESSES = 2  # each page takes up to a gigabyte, and one thread
MANY = 6  # pages: for fewer, starting Jupyter Book twice more costs more than it saves


def pages() -> list[str]:
    """The pages of the table of contents that have cells, without their suffix, in its order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    chapters = [c for part in toc["parts"] for c in part["chapters"]]
    named = [p["file"] for c in chapters for p in (c, *c.get("sections", ()))]
    return [p for p in named if "{code-cell}" in (ROOT / f"{p}.md").read_text("utf-8")]


def command(share: int, some: list[str]) -> list[str]:
    """Jupyter Book on these pages alone, with the cache of the whole book."""
    place = ROOT / "_build" / f"first-{share}"
    place.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    config["execute"]["cache"] = str(CACHE)
    ours = config["sphinx"]["local_extensions"]
    ours |= {name: str(ROOT / folder) for name, folder in ours.items()}
    chapters = [{"file": page} for page in some]
    toc = {"format": "jb-book", "root": "book/index", "chapters": chapters}
    for name, content in (("_config.yml", config), ("_toc.yml", toc)):
        (place / name).write_text(yaml.safe_dump(content), "utf-8")
    files = ("--config", str(place / "_config.yml"), "--toc", str(place / "_toc.yml"))
    kind = ("--builder", "custom", "--custom-builder", "dummy")
    program = (str(Path(sys.executable).with_name("jupyter-book")), "build", "-qq")
    return [*program, *files, *kind, "--path-output", str(place), str(ROOT)]


def missing() -> list[str]:
    """The pages that the cache does not hold; asking makes its tables, before two processes do."""
    held = {Path(record.uri) for record in get_cache(CACHE).list_cache_records()}
    return [page for page in pages() if ROOT / f"{page}.md" not in held]


def main() -> None:
    """Share the missing pages out, where they are many."""
    run_now = missing()
    if len(run_now) < MANY:
        return
    shares = [run_now[i::PROCESSES] for i in range(PROCESSES)]
    silent, one = subprocess.DEVNULL, {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = [
        subprocess.Popen(command(i, some), cwd=ROOT, stdout=silent, stderr=silent, env=one)
        for i, some in enumerate(shares)
    ]
    try:
        for run in runs:
            run.wait()
    finally:
        for run in runs:
            run.terminate()


if __name__ == "__main__":
    main()
