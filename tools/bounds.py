"""Run the tests at the lowest versions that pyproject.toml allows, or at the newest there are.

    python tools/bounds.py lowest|newest [arguments for pytest]

Each has an environment of its own, ``.venv-lowest`` and ``.venv-newest``, made anew when what it
resolves to has changed. The pages are built with the locked versions, so the browser's tests are
left out; warnings of other versions are shown, not errors.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
EXTRAS = ("book", "data", "dev")


def run(*command: str | Path) -> str:
    """The output of a command that must not fail."""
    done = subprocess.run([*map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}")
    return done.stdout


def resolved(which: str) -> str:
    """Every package with its version, for this Python and this platform."""
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    how = ("--resolution", RESOLUTIONS[which], "--python", sys.executable, "--upgrade")
    return run(uv(), "pip", "compile", "-q", *how, *extras, "--no-annotate", "pyproject.toml")


def uv() -> Path:
    """The uv of the environment that runs this."""
    return Path(sys.executable).with_name("uv")


def environment(which: str) -> Path:
    """The Python of an environment with these versions and the library of this checkout."""
    place, pins = ROOT / f".venv-{which}", resolved(which)
    python, stamp = place / "bin" / "python", place / "pins.txt"
    if not stamp.exists() or stamp.read_text("utf-8") != pins:
        run(uv(), "venv", "-q", "--clear", "--python", sys.executable, place)
        (place / "wanted.txt").write_text(pins, "utf-8")
        run(uv(), "pip", "install", "-q", "--python", python, "-r", place / "wanted.txt")
        run(uv(), "pip", "install", "-q", "--python", python, "--no-deps", "-e", ROOT)
        (place / "wanted.txt").replace(stamp)
    return python


def main(which: str, *more: str) -> int:
    """Run the tests there; pytest's exit code."""
    if which not in RESOLUTIONS:
        raise SystemExit(f"{which!r} is no set of versions; choose {' or '.join(RESOLUTIONS)}")
    python = environment(which)
    quiet = ("-o", "filterwarnings=default", "--ignore=tests/browser")
    return subprocess.run([python, "-m", "pytest", *quiet, *more], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or [""])))
