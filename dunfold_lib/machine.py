"""On what a run was made: the commit, and the versions that decide its numbers."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "accelerate")


def commit(folder: Path | None = None) -> str:
    """The commit of the checkout that tracks this package: '+' for a changed tree, '' for none."""
    here = folder or Path(__file__).parent
    free = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}  # as in a git hook
    git = lambda *a: subprocess.run(
        ("git", "-C", str(here), *a), capture_output=True, encoding="utf-8", env=free
    )
    try:
        tracked = git("ls-files", "--error-unmatch", "--", "records.py")
        head = git("rev-parse", "--short", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except OSError:
        return ""
    if head.returncode or tracked.returncode:  # another project's, or none
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def environment() -> dict[str, Any]:
    """Where a run was made: versions, device, commit."""
    versions = {p: metadata.version(p) for p in PACKAGES}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    python = platform.python_version()
    return {"commit": commit(), "device": device, "versions": {"python": python, **versions}}
