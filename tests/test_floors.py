"""The house itself: floors, rooms, and what the repository promises about its files."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder

from dunfold_lib import ROOMS
from tools import stamp

ROOT = Path(__file__).resolve().parents[1]
URL = "https://github.com/OWNER/dunfold"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def contracts():
    return SETTINGS["tool"]["importlinter"]["contracts"]


def test_every_room_is_in_the_one_list_and_each_stands_in_both_contracts():
    assert {p.parent.name for p in ROOT.glob("dunfold_lib/*/model.py")} == {*ROOMS}
    floors, inside = contracts()[:2]
    assert "rooms" in floors["layers"]
    assert inside["containers"] == ["dunfold_lib.rooms"]


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
        (  # tables stand above the figures that they are made with
            "small_target/figures_rpca.py",
            "from dunfold_lib.small_target import figures_rpca_tables",
        ),
    ],
)
def test_a_planted_import_breaks_a_contract(file, line, tmp_path):
    shutil.copytree(ROOT / "dunfold_lib", tmp_path / "dunfold_lib")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/floors.py", tmp_path / "tools")
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


def hidden(path):
    """Names that a module imports and that a function of it hides by a name of its own."""
    tree = ast.parse(path.read_text("utf-8"))
    imports = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    imported = {(a.asname or a.name).split(".")[0] for n in imports for a in n.names}
    for f in ast.walk(tree):
        if isinstance(f, (ast.FunctionDef, ast.Lambda)):
            names = [n for n in ast.walk(f) if isinstance(n, ast.Name)]
            yield from {n.id for n in names if isinstance(n.ctx, ast.Store)} & imported


def test_no_function_hides_a_name_that_its_module_imports(tmp_path):
    """``scores = [scores.psnr(x) for x in xs]`` fails when it runs, and no linter here sees it."""
    planted = tmp_path / "planted.py"
    planted.write_text("import scores\n\n\ndef f(xs):\n    scores = [scores.psnr(x) for x in xs]\n")
    assert [*hidden(planted)] == ["scores"]
    paths = [*ROOT.glob("dunfold_lib/**/*.py"), *ROOT.glob("tools/*.py"), *ROOT.glob("book/*/*.py")]
    assert len(paths) > 100
    assert {path.name: found for path in paths if (found := [*hidden(path)])} == {}


LINES, LONG, ARGUMENTS = 350, 40, 6  # of a file, of a function with its docstring, of a function
# Their arguments are one recipe of an iteration: the problem, its steps and numbers, the start.
RECIPES = {
    "imaging/plug_and_play.py": {"pnp_ista", "pnp_admm"},
    "deblurring/algorithm.py": {"step", "iterates"},
}
NETWORKS = ("Stages", "Light", "Sweeps", "Unrolled", "nn.Module")  # bases of those


def too_large(path, name):
    """What of a file is over the limits, in words; constructors of networks have any arguments."""
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    if len(text.splitlines()) > LINES:
        yield f"{name}: {len(text.splitlines())} lines"
    bases = lambda c: {ast.unparse(b) for b in c.bases}
    classes = [c for c in ast.walk(tree) if isinstance(c, ast.ClassDef)]
    free = {f for c in classes if bases(c) & {*NETWORKS} for f in c.body}
    methods = {f for c in classes for f in c.body}
    for f in ast.walk(tree):
        if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if (lines := f.end_lineno - f.lineno + 1) > LONG:
                yield f"{name}: {f.name} has {lines} lines"
            given = [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs]
            count = len(given) - (f in methods and given[0].arg in ("self", "cls"))
            recipe = f.name in RECIPES.get(name, ()) or (f in free and f.name == "__init__")
            if count > ARGUMENTS and not recipe:
                yield f"{name}: {f.name} has {count} arguments"


def test_no_file_and_no_function_is_too_long_and_none_has_too_many_arguments(tmp_path):
    planted = tmp_path / "planted.py"
    wide = "def f(a, b, c, d, e, g, *, h):\n    return a\n"
    planted.write_text(wide + "\n\ndef long():\n" + "    pass\n" * 40 + "x = 0\n" * 310)
    found = ["planted: 355 lines", "planted: f has 7 arguments", "planted: long has 41 lines"]
    assert sorted(too_large(planted, "planted")) == found
    net = "class N({}):\n    def __init__(self, a, b, c, d, e, f, g):\n        pass\n"
    for base, wrong in (("nn.Module", 0), ("object", 1)):
        planted.write_text(net.format(base))
        assert len([*too_large(planted, "planted")]) == wrong
    library, tools = ROOT / "dunfold_lib", ROOT / "tools"
    solutions = {path: path.name for path in ROOT.glob("book/*/*.py")}
    paths = {path: str(path.relative_to(library)) for path in library.glob("**/*.py")}
    paths |= {path: path.name for path in tools.glob("*.py")} | solutions
    assert len(paths) > 150
    tests = [path for path in ROOT.glob("tests/**/*.py") if path.name != "conftest.py"]
    assert len({path.name for path in tests}) == len(tests) > 80
    lines = {path.name: len(path.read_text("utf-8").splitlines()) for path in tests}
    assert {name: count for name, count in lines.items() if count > LINES} == {}
    assert {said for path, name in paths.items() for said in too_large(path, name)} == set()
    for name, kept in RECIPES.items():  # an exception that none needs is none
        tree = ast.parse((library / name).read_text("utf-8"))
        wide = {f.name for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)}
        assert kept <= wide


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


def test_what_is_recorded_and_what_pages_ask_for_are_experiments():
    from dunfold_lib.experiment import experiments

    known = {*experiments()}
    runs = ROOT.glob("results/*/*/*/run.json")
    recorded = {"/".join(path.parts[-4:-2]) for path in runs}
    assert len(recorded) > 100
    assert recorded <= known
    rooms = "|".join(ROOMS)
    read = re.compile(
        rf"""(?:recorded|values|load|find)\(["'](?=(?:{rooms})/)([^"'{{]+[^"'{{/])["']"""
    )
    files = [*ROOT.glob("book/*/*.md"), *ROOT.glob("dunfold_lib/*/figures_*.py")]
    asked = {name for path in files for name in read.findall(path.read_text("utf-8"))}
    assert asked
    assert asked <= known


def test_a_page_of_each_room_names_the_command_that_measures_again():
    for room in ROOMS:
        pages = [p.read_text("utf-8") for p in ROOT.glob("book/*/*.md")]
        assert any(re.search(rf"reproduce {room}\b", page) for page in pages), room


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


def test_a_second_stamp_finds_the_first():
    before = f"{URL}/issues {URL}-else mybinder.org/v2/gh/OWNER/dunfold/main"
    once = stamp.stamped(before, URL, "https://github.com/a/unfold.it")
    there = "https://github.com/a/unfold.it"
    assert once == f"{there}/issues {URL}-else mybinder.org/v2/gh/a/unfold.it/main"
    assert stamp.stamped(once, there, URL) == before


def test_what_the_stamp_takes_for_the_address_is_that_of_the_configuration():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    url = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    assert stamp.former(citation) == url
    assert f'Repository = "{url}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def committed() -> list[Path]:
    """The files that git tracks; without git, as in a source distribution, those to be packed."""
    if not (ROOT / ".git").exists():
        return [Path(f.path) for f in SdistBuilder(str(ROOT)).recurse_included_files()]
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


def test_nothing_that_is_committed_is_large_or_data():
    files = [*filter(Path.is_file, committed())]
    assert Path(__file__) in files
    for path in files:
        assert path.stat().st_size <= 2 * 2**20, path
        assert path.suffix not in {".mat", ".npz", ".pt", ".pth", ".pkl", ".h5"}, path
