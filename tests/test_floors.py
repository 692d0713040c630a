"""The house itself: floors, rooms, and what the repository promises about its files."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOMS = {"sparse", "imaging", "newton_sr", "hyperspectral", "small_target"}


def contracts():
    return SETTINGS["tool"]["importlinter"]["contracts"]


def test_the_contracts_know_all_five_rooms_and_every_built_room_is_checked_inside():
    floors, inside = contracts()[:2]
    assert set(re.findall(r"\w+", " ".join(floors["layers"]))) >= ROOMS
    built = {f"dunfold_lib.{p.parent.name}" for p in ROOT.glob("dunfold_lib/*/model.py")}
    assert built == set(inside["containers"])


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (None, ""),
        ("sparse/theory.py", "from dunfold_lib.sparse import figures_ista"),
        ("sparse/helpers.py", "from dunfold_lib.sparse import figures_ista"),  # in no layer
        ("imaging/data.py", "import ipywidgets"),
        ("tables.py", "import ipywidgets"),
        ("records.py", "from dunfold_lib import experiment"),
        ("newton_sr/data.py", "from dunfold_lib.imaging import data"),
    ],
)
def test_a_planted_import_breaks_a_contract(file, line, tmp_path):
    shutil.copytree(ROOT / "dunfold_lib", tmp_path / "dunfold_lib")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if file:
        path = tmp_path / "dunfold_lib" / file
        before = path.read_text("utf-8") if path.exists() else ""
        path.write_text(f"{before}\n\n{line}\n", "utf-8")
    call = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", call, "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ("0 broken" in done.stdout, done.returncode) == (not file, int(bool(file))), done.stdout


def test_importing_the_library_loads_no_notebook_package_and_opens_no_connection():
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = refuse\n"
        "import dunfold_lib.explore, dunfold_lib.__main__\n"
        "dunfold_lib.experiment.experiments()\n"
        "heavy = {'ipywidgets', 'cvxpy', 'pywt', 'IPython', 'accelerate', 'nilearn', 'skimage'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_experiment_is_named_in_the_book():
    """By its name, or by its method's and its condition's, which a table puts together.

    A room whose chapters are not written yet has none to be named in.
    """
    from dunfold_lib.experiment import experiments
    from dunfold_lib.sparse.experiments import CONDITIONS

    book = "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("book/**/*.md"))
    quoted = lambda text: f'"{text}"' in book
    for name in experiments():
        room, short = name.split("/")
        if not (ROOT / "book" / room).is_dir():
            continue
        assert f"reproduce {room}" in book
        ends = [end for end in CONDITIONS if end and short.endswith(end)]
        parts = [(short.removesuffix(end), end) for end in ends]
        assert quoted(short) or any(quoted(a) and quoted(b) for a, b in parts), name


def test_every_written_chapter_is_in_the_table_of_contents():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"(?:file|root): (\S+)", toc))
    written = {p.relative_to(ROOT).with_suffix("").as_posix() for p in ROOT.glob("book/**/*.md")}
    assert listed == written


def test_versions_agree():
    import dunfold_lib

    version = SETTINGS["project"]["version"]
    assert dunfold_lib.__version__ == version
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_address_stands_once_and_its_copies_agree():
    """After `make stamp` the notebooks' first cells hold the address of _config.yml."""
    url = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    for notebook in ROOT.glob("notebooks/*.ipynb"):
        found = re.findall(r"REPOSITORY = \\\"(\S+?)\\\"", notebook.read_text(encoding="utf-8"))
        assert found == [url], notebook.name
    assert url in (ROOT / "README.md").read_text(encoding="utf-8")


def test_nothing_that_is_committed_is_large_or_data():
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / line for line in done.stdout.splitlines()]
    for path in filter(Path.is_file, files):
        assert path.stat().st_size <= 2 * 2**20, path
        assert path.suffix not in {".mat", ".npz", ".pt", ".pth", ".pkl", ".h5"}, path
