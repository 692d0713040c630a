"""A run on disk: what was asked and what came out, in plain files that a reader can open.

A run is the folder ``<room>/<experiment>/<recipe>-s<seed>/`` with a ``run.json``. Runs land under
``runs/`` (ignored by git); those that the book's tables are made from are committed under
``results/`` and travel inside the wheel.
"""

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "scipy", "scikit-image")


@dataclass(frozen=True)
class Experiment:
    """One row of a published table or figure, and how to measure ours.

    published : the paper's scores by name, empty where a paper prints a curve and no number.
    source    : where those numbers stand.
    protocol  : data, split, noise, size of the test set; it is printed beside every score.
    measure   : seed -> our scores by name; lists are curves over the layers.
    recipes   : training recipes by name (``cpu``, ``gpu``); empty for a classical algorithm.
    """

    title: str
    source: str
    protocol: str
    published: Mapping[str, float]
    measure: Callable[[int], dict[str, Any]]
    recipes: Mapping[str, Any] = field(default_factory=dict)


def commit(folder: Path | None = None) -> str:
    """The commit of the checkout that holds this library, '+' for a changed tree, '' for none."""
    here = folder or Path(__file__).parent
    git = lambda *a: subprocess.run(("git", "-C", str(here), *a), capture_output=True, text=True)
    try:
        head = git("rev-parse", "--short", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except OSError:
        return ""
    if head.returncode:
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def environment() -> dict[str, Any]:
    """Where a run was made: versions, device, commit."""
    versions = {p: metadata.version(p) for p in PACKAGES}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    python = platform.python_version()
    return {"commit": commit(), "device": device, "versions": {"python": python, **versions}}


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` for text in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a full disk or an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def save(folder: Path, run: Mapping[str, Any]) -> None:
    """Write ``run.json``. NaN and infinity are refused: a run that holds them has no score."""
    try:
        text = json.dumps(run, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise ValueError(f"the run for {folder} holds NaN or infinity; it was not saved") from None
    write_text(folder / "run.json", text + "\n")


def load(folder: Path) -> dict[str, Any]:
    """Read ``run.json``; ValueError in one line where it is missing, broken or not a run."""
    path = folder / "run.json"
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise ValueError(f"{path}: is not valid JSON; make the run again") from None
    if not isinstance(run, dict) or not isinstance(run.get("scores"), dict):
        raise ValueError(f"{path}: is no run; it must be an object with 'scores'")
    return run


def results_root() -> Path:
    """The committed results: in the checkout, or inside an installed wheel."""
    package = Path(__file__).parent
    checkout = package.parent / "results"
    return checkout if checkout.is_dir() else package / "results"


def recorded(name: str, root: Path | None = None) -> list[dict[str, Any]]:
    """Every committed run of an experiment ``room/name``, in the order of their folders' names."""
    base = (root or results_root()) / name
    return [load(p.parent) for p in sorted(base.glob("*/run.json"))]
