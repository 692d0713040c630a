"""Resolve requirements.lock and environment.yml from pyproject.toml.

torch stays out of the lock (requirements-torch.txt pins it), and with it the CUDA packages, so that
its wheel can come from another index. What stands behind the command goes to uv:
``python tools/lock.py --constraint requirements.lock`` keeps every version and adds what is new.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = "# Every package but torch, made by `make lock` from pyproject.toml; do not edit.\n"
# what Binder and conda users need; the rest of the lock are these packages' own needs and tools
CONDA = (
    *("jupyter-book", "jupyterlab", "ipywidgets", "jupytext", "sphinx-proof", "sphinx-exercise"),
    *("cvxpy", "matplotlib", "numpy", "pywavelets", "scikit-image", "scipy"),
    *("accelerate", "safetensors", "tqdm", "pillow", "nibabel", "nilearn"),
    *("h5py", "tensorly"),
)


def resolve(more: Sequence[str]) -> str:
    """The lock's text, for every platform and Python from 3.11 on, with the hash of every file."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as override:
        override.write("torch ; python_version < '3'\n")
        override.flush()
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--extra", "book", "--extra", "data", "--extra", "dev"]
        command += ["--override", override.name]
        command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--generate-hashes"]
        command += [*more, "pyproject.toml"]
        uv = Path(sys.executable).with_name("uv")
        command[0] = str(uv) if uv.exists() else "uv"
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return HEAD + done.stdout.rstrip() + "\n"


def pins(lock: str) -> dict[str, str]:
    """Package -> version of the lock's lines for Python 3.11."""
    found: dict[str, str] = {}
    for name, version, marker in re.findall(r"^([\w.-]+)==([\w.]+)( ;.*?)?(?: \\)?$", lock, re.M):
        if "python_full_version >= '3.12'" not in marker:
            found.setdefault(name.lower(), version)
    return found


def environment(lock: str) -> str:
    """environment.yml: conda gives Python, pip the pinned packages and a CPU torch."""
    known = pins(lock)
    torch = re.findall(r"^torch==(\S+)$", (ROOT / "requirements-torch.txt").read_text(), re.M)[0]
    lines = "".join(f"      - {name}=={known[name]}\n" for name in sorted(CONDA))
    return (
        "# Binder and conda: `conda env create -f environment.yml`; made by `make lock`.\n"
        "# postBuild installs the library itself, so that a commit does not rebuild this.\n"
        "name: dunfold\nchannels:\n  - conda-forge\ndependencies:\n"
        "  - python=3.11\n  - pip\n  - pip:\n"
        "      - --extra-index-url https://download.pytorch.org/whl/cpu\n"
        f"      - torch=={torch}\n{lines}"
    )


if __name__ == "__main__":
    text = resolve(sys.argv[1:])
    (ROOT / "requirements.lock").write_text(text, encoding="utf-8")
    (ROOT / "environment.yml").write_text(environment(text), encoding="utf-8")
