"""The notebooks as files, as a stranger's first cell, and as something to move sliders in."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

import dunfold_lib
from tools import colab

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
ADDRESS = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
SECONDS = 300  # for one cell at smoke scale; CI machines are slow
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The cells of one kind, each with its source as one string."""
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == kind:
            yield cell | {"source": "".join(cell["source"])}


# ------------------------------------------------------------------ the files


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS, "no notebooks/*.ipynb"


@each
def test_a_notebook_holds_no_output(path: Path) -> None:
    for cell in cells(path, "code"):
        assert (cell["outputs"], cell["execution_count"]) == ([], None), cell["id"]


@each
def test_ids_are_valid_and_unique(path: Path) -> None:
    ids = [cell.get("id", "") for cell in json.loads(path.read_text())["cells"]]
    assert [i for i in ids if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", i)] == []
    assert len({*ids}) == len(ids)


@each
def test_ids_are_words_that_stay(path: Path) -> None:
    """Jupyter's own ids are eight hexadecimal digits, new whenever a cell is made anew."""
    ids = [cell["id"] for cell in json.loads(path.read_text())["cells"]]
    assert [i for i in ids if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f-]{27})?", i)] == []


@each
def test_metadata_say_kernel_language_and_gpu_and_no_more(path: Path) -> None:
    metadata = json.loads(path.read_text())["metadata"]
    assert set(metadata) <= {"kernelspec", "language_info", "accelerator", "colab"}
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["accelerator"] == "GPU"


@each
def test_text_is_plain_markdown(path: Path) -> None:
    """A MyST role or directive shows as raw text in JupyterLab and on Colab."""
    for cell in cells(path, "markdown"):
        found = re.search(r"\{[\w:-]+\}`|^\s*(```|:::+)\s*\{|^\([\w-]+\)=$", cell["source"], re.M)
        assert not found, f"{cell['id']}: {found}"


MOST_LINES = 250  # of code in a notebook; what is longer belongs into the library


def code_of(path: Path) -> list[str]:
    """A notebook's code cells but the first, without magics."""
    _first, *rest = (cell["source"] for cell in cells(path, "code"))
    return [re.sub(r"^\s*[%!].*$", "", source, flags=re.M) for source in rest]


@each
def test_a_notebook_is_short(path: Path) -> None:
    lines = [line for cell in cells(path, "code") for line in cell["source"].split("\n")]
    assert len(lines) <= MOST_LINES


@each
def test_a_notebook_changes_no_module_and_leaves_the_command_line_alone(path: Path) -> None:
    tree = ast.parse("\n".join(code_of(path)))
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    modules = {a.asname or a.name for n in imports for a in n.names}
    assert not {n for n in modules if n in ("ipywidgets", "__main__", "widgets")}
    stores = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
    stores = [n for n in stores if isinstance(n.ctx, ast.Store) and isinstance(n.value, ast.Name)]
    assert [ast.unparse(n) for n in stores if n.value.id in modules] == []  # type: ignore[attr-defined]


def test_no_two_notebooks_have_the_same_helper() -> None:
    """Functions whose bodies are alike belong into ``lab``, whatever they are called."""
    seen: dict[str, str] = {}
    for path in NOTEBOOKS:
        for node in ast.walk(ast.parse("\n".join(code_of(path)))):
            if isinstance(node, ast.FunctionDef) and (
                len(node.body) > 1 or ast.get_docstring(node)
            ):
                body = ast.dump(ast.Module(node.body, []))
                here = f"{path.stem}: {node.name}"
                assert seen.setdefault(body, here) == here


# ------------------------------------------------------------------ the first code cell


def first_cell(
    path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool, source: str = ""
) -> list[str]:
    """Run the first code cell with a stand-in for IPython; what it asked IPython to do.

    missing : as if the library were not installed.
    """
    asked: list[str] = []
    shell = ModuleType("shell")
    shell.run_line_magic = lambda name, line, **_: asked.append(f"%{name} {line}")  # type: ignore[attr-defined]
    shell.system = lambda line: asked.append(f"!{line}")  # type: ignore[attr-defined]
    if missing:
        gone = lambda name: None if name == "dunfold_lib" else find_spec(name)
        monkeypatch.setattr(importlib.util, "find_spec", gone)
    source = TransformerManager().transform_cell(source or next(cells(path, "code"))["source"])
    names = {"get_ipython": lambda: shell, "var_expand": None}
    exec(compile(source, path.name, "exec"), names)
    return [line.format(**names) for line in asked]


@each
def test_the_first_code_cell_does_nothing_where_the_library_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    modules = {*sys.modules}
    assert first_cell(path, monkeypatch, missing=False) == []
    assert capsys.readouterr() == ("", "")
    assert {*sys.modules} == modules


@each
def test_the_first_code_cell_names_the_address_and_the_version(path: Path) -> None:
    source = next(cells(path, "code"))["source"]
    assert f'"{ADDRESS}"' in source, "run `make stamp`"
    assert f"@v{dunfold_lib.__version__}" in source


@each
def test_without_library_wheel_and_address_the_first_code_cell_says_so_in_one_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if "/OWNER/" not in ADDRESS:
        pytest.skip("the repository has an address")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        first_cell(path, monkeypatch, missing=True)
    assert "make colab" in str(stop.value)
    assert "\n" not in str(stop.value)


@each
def test_a_wheel_beside_the_notebook_is_installed_without_its_dependencies(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Colab's torch and numpy stay as they are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dunfold_lib-0.1.0-py3-none-any.whl").touch()
    ours, others = first_cell(path, monkeypatch, missing=True)
    assert ours == "%pip install -q --no-deps dunfold_lib-0.1.0-py3-none-any.whl"
    assert not re.search(r"\b(torch|numpy|scipy|matplotlib)\b", others)


@each
def test_the_first_code_cells_install_every_package_that_the_library_reads_data_from(
    path: Path,
) -> None:
    sources = (p.read_text("utf-8") for p in ROOT.glob("dunfold_lib/**/*.py"))
    read = {name for text in sources for name in re.findall(r'in_package\(\s*"(\w+)"', text)}
    assert {"tensorly", "nilearn"} <= read
    for source in (next(cells(path, "code"))["source"], colab.FIRST):
        assert read <= {*re.findall(r"\w+", source)}


@each
def test_a_notebook_that_carries_the_library_brings_it_with_its_runs(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = colab.carrying(path)
    assert len(text) < 5e6
    made = json.loads(text)
    source = "".join(next(c for c in made["cells"] if c["id"] == "setup")["source"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert first_cell(path, monkeypatch, missing=True, source=source) == []
    assert sys.path[0] == "dunfold_carried"
    code = (
        "import dunfold_lib; from dunfold_lib import experiment, records; "
        "print(dunfold_lib.__file__, records.results_root()); "
        f"print(len(experiment.select({path.stem!r})), "
        f"len([*(records.results_root() / {path.stem!r}).rglob('run.json')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": "dunfold_carried"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first.count("dunfold_carried") == 2
    assert min(int(n) for n in second.split()) > 5


# ------------------------------------------------------------------ running them

# ipywidgets shows an error of a callback through showtraceback and goes on; so it is kept here
BEFORE = """
def _keep():
    import sys
    shell, kept = get_ipython(), []
    show = shell.showtraceback
    def showtraceback(*args, **options):
        kept.append(repr(sys.exc_info()[1]))
        return show(*args, **options)
    shell.showtraceback = showtraceback
    # a panel answers an error in one line, and leaves it to the logger of ``lab``
    import logging
    handler = logging.Handler()
    handler.emit = lambda record: kept.append(repr(record.exc_info and record.exc_info[1]))
    logging.getLogger("dunfold_lib.lab").addHandler(handler)
    logging.getLogger("dunfold_lib.lab").setLevel(logging.INFO)
    return kept

_errors = _keep()
"""
AFTER = """
def _ends(w):
    "The (attribute, values) through which a control is moved; none for what is no control."
    if hasattr(w, "options") and isinstance(getattr(w, "index", None), int):
        n = len(w.options)
        slider = "Slider" in type(w).__name__
        return "index", [0, n - 1] if slider else range(n)
    if isinstance(getattr(w, "value", None), bool):
        return "value", [not w.value]
    if hasattr(w, "min") and hasattr(w, "max") and "Progress" not in type(w).__name__:
        scale = (lambda v: w.base**v) if hasattr(w, "base") else (lambda v: v)
        return "value", [scale(w.min), scale(w.max)]
    return "", []

def _widgets():
    "Every widget that there is; ipywidgets 7 keeps them elsewhere than 8."
    from ipywidgets.widgets import widget
    kept = widget._instances if hasattr(widget, "_instances") else widget.Widget.widgets
    return [*kept.values()]

def _move():
    "Move every control to its ends, and leave it there; how many changes a callback heard."
    from dunfold_lib import show
    heard, drawn = 0, show.panel_html
    for w in _widgets():
        name, values = _ends(w)
        if not name or w.disabled:
            continue
        def hear(change):
            nonlocal heard
            heard += 1
        w.observe(hear, name)
        for value in values:  # between a menu's ends all is computed, and nothing drawn
            show.panel_html = drawn if value in (values[0], values[-1]) else lambda *_: ""
            try:
                setattr(w, name, value)
            except Exception as error:
                _errors.append(f"{type(w).__name__} {w.description!r} at {value!r}: {error!r}")
        w.unobserve(hear, name)
        show.panel_html = drawn
    return heard

def _press():
    "Press every button but the training panel's, whose training the notebook has begun itself."
    from ipywidgets import Button
    skipped = ("Start", "Stop", "Resume")
    for w in _widgets():
        if isinstance(w, Button) and w.description not in skipped and not w.disabled:
            w.click()

_press()
print("PROBE", _move(), "changes", _errors)
"""


def spoken(cell: Any, kind: str) -> str:
    """What a cell wrote to a stream."""
    streams = [o for o in cell.outputs if o.output_type == "stream" and o.name == kind]
    return "".join(o.text for o in streams)


@pytest.mark.slow
@each
def test_every_cell_runs_and_every_control_moves_without_an_error(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUNFOLD_SMOKE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # on loaded cores more threads are far slower
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(BEFORE))
    notebook.cells.append(nbformat.v4.new_code_cell(AFTER))
    # an empty folder: on Colab a notebook stands alone
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=place).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [text for cell in code if (text := spoken(cell, "stderr"))] == []
    found = re.search(r"PROBE (\d+) changes (.*)", spoken(code[-1], "stdout"))
    assert found
    assert found[2] == "[]"
    assert int(found[1]) > 0 or "explore" not in path.read_text(), "no slider was moved"
