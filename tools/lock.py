"""Resolve requirements.lock, requirements-dev.lock and environment.yml from pyproject.toml.

requirements.lock is what the book and its laboratories run on, requirements-dev.lock what tests
and checks need besides. torch stays out of both (requirements-torch.txt pins it), and with it the
CUDA packages, so that its wheel can come from another index. What stands behind the command goes to
uv: ``python tools/lock.py --constraint requirements.lock --constraint requirements-dev.lock`` keeps
every version and adds what is new.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[1]
MADE = "made by `make lock` from pyproject.toml; do not edit."
HEAD = f"# Every package but torch that the book runs on, {MADE}\n"
DEV = f"# What develops and tests need besides requirements.lock, {MADE}\n"
RUN, MORE = ("book", "data"), ("dev",)  # extras
BINDER = {"python_full_version": "3.11.9", "python_version": "3.11", "sys_platform": "linux"}
BINDER |= {"os_name": "posix", "platform_machine": "x86_64", "implementation_name": "cpython"}


def resolve(extras: Sequence[str], more: Sequence[str]) -> str:
    """A lock's text, for every platform and Python from 3.11 on, with the hash of every file."""
    with tempfile.TemporaryDirectory() as folder:
        override = Path(folder, "override.txt")
        override.write_text("torch ; python_version < '3'\n", encoding="utf-8")
        uv = Path(sys.executable).with_name("uv")
        command = [str(uv) if uv.exists() else "uv", "pip", "compile", "--quiet", "--universal"]
        command += ["--python-version", "3.11", "--override", str(override)]
        command += [word for extra in extras for word in ("--extra", extra)]
        command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--generate-hashes"]
        command += [*more, "pyproject.toml"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return done.stdout.rstrip() + "\n"


def blocks(lock: str) -> dict[str, str]:
    """``name==version ; marker`` -> its lines with the hashes."""
    parts = re.split(r"^(?=[\w.-]+(?:\[.*?\])?==)", lock, flags=re.M)
    return {part.split(" \\\n")[0].strip(): part for part in parts if "==" in part}


def divided(more: Sequence[str]) -> tuple[str, str]:
    """(what runs, what develops besides), at the versions of one resolution."""
    every = resolve((*RUN, *MORE), more)
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder, "known.txt")
        known.write_text("".join(f"{line}\n" for line in blocks(every)), encoding="utf-8")
        run = resolve(RUN, ["--constraint", str(known)])
    rest = {line: text for line, text in blocks(every).items() if line not in blocks(run)}
    return HEAD + run, DEV + "".join(rest.values())


def pins(lock: str) -> dict[str, str]:
    """Package -> version of the lock's lines for Binder's Python 3.11 on Linux."""
    found = {}
    for line in blocks(lock):
        name, _, marker = line.partition(";")
        if not marker or Marker(marker).evaluate({**BINDER}):
            package, _, version = name.strip().partition("==")
            found[package.lower()] = version
    return found


def environment(lock: str) -> str:
    """environment.yml: conda gives Python, pip the pinned packages and a CPU torch."""
    torch = re.findall(r"^torch==(\S+)$", (ROOT / "requirements-torch.txt").read_text(), re.M)[0]
    lines = "".join(f"      - {name}=={version}\n" for name, version in sorted(pins(lock).items()))
    return (
        "# Binder and conda: `conda env create -f environment.yml`; made by `make lock`.\n"
        "# postBuild installs the library itself, so that a commit does not rebuild this.\n"
        "name: dunfold\nchannels:\n  - conda-forge\ndependencies:\n"
        "  - python=3.11\n  - pip\n  - pip:\n"
        "      - --extra-index-url https://download.pytorch.org/whl/cpu\n"
        f"      - torch=={torch}\n{lines}"
    )


if __name__ == "__main__":
    run, dev = divided(sys.argv[1:])
    (ROOT / "requirements.lock").write_text(run, encoding="utf-8")
    (ROOT / "requirements-dev.lock").write_text(dev, encoding="utf-8")
    (ROOT / "environment.yml").write_text(environment(run), encoding="utf-8")
