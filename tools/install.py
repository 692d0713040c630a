"""Make .venv and install what the book needs, on any system, from Python 3.11 and nothing else.

    python tools/install.py            what the book and its laboratories run on
    python tools/install.py --dev      and what tests and checks need
    python tools/install.py --torch-index URL      torch from there; "" is pip's own index

On Linux PyPI's torch brings CUDA along, 3 GB of it; where no GPU shows, the CPU wheels of
download.pytorch.org are taken, if that can be reached.
"""

from __future__ import annotations  # an old Python must get so far as to be told that it is old

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
CPU = "https://download.pytorch.org/whl/cpu"
SECONDS = 5  # that the index has to answer


def has_gpu() -> bool:
    """Whether a driver of NVIDIA or AMD shows."""
    return bool(shutil.which("nvidia-smi") or shutil.which("rocm-smi"))


def reachable(index: str) -> bool:
    """Whether an index of packages answers."""
    try:
        with urlopen(Request(index + "/torch/", method="HEAD"), timeout=SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def torch_index() -> str:
    """Where torch comes from: the CPU wheels where PyPI's would bring a CUDA that nothing uses."""
    if not sys.platform.startswith("linux") or has_gpu():
        return ""
    return CPU if reachable(CPU) else ""


def lacking() -> str:
    """What this Python lacks, in one line, or ""."""
    name = sys.executable
    if sys.version_info < (3, 11):  # noqa: UP036
        version = ".".join(map(str, sys.version_info[:3]))
        return f"dunfold needs Python 3.11 or later; {name} is {version}"
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return f"{name} has no venv module. On Debian and Ubuntu: apt-get install python3-venv"
    return ""


def install(place: Path, index: str | None, dev: bool) -> None:
    """Make the environment where it is missing, and install into it."""
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        run([sys.executable, "-m", "venv", str(place)])
    # --no-compile: a module is compiled when it is first imported, and most never are
    pip = [str(python), "-m", "pip", "install", "-q", "--no-compile"]
    chosen = torch_index() if index is None else index
    torch = [*pip, "-r", "requirements-torch.txt"]
    if chosen:
        print(f"torch comes from {chosen}", flush=True)
    done = run([*torch, *(["--index-url", chosen] if chosen else [])], may_fail=index is None)
    if done and chosen:
        print("torch comes from pip's own index: that one failed", flush=True)
        run(torch)
    elif done:
        raise SystemExit(done)
    run([*pip, "-r", "requirements.lock"])
    if dev:
        run([*pip, "-r", "requirements-dev.lock"])
    run([*pip, "--no-deps", "-e", "."])
    (place / ".installed").touch()
    if dev:
        (place / ".installed-dev").touch()


def run(command: list[str], may_fail: bool = False) -> int:
    """Run a command in the checkout; SystemExit where it fails and must not."""
    code = subprocess.run(command, cwd=ROOT).returncode
    if code and not may_fail:
        raise SystemExit(code)
    return code


def main() -> None:
    """Install, or say in one line why not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--torch-index", metavar="URL", help='where torch comes from; "": PyPI')
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="default: .venv")
    given = parser.parse_args()
    why = lacking()
    if why:
        raise SystemExit(why)
    install(given.venv.absolute(), given.torch_index, given.dev)


if __name__ == "__main__":
    main()
