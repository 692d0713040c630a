"""``dunfold_lib exercises``: what it writes, what it refuses, and what its tests say.

The cases beside the pages hold of the book's solutions, and a skeleton fails each of them by the
error that names what to write.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from dunfold_lib import exercises
from dunfold_lib.__main__ import main

TESTS = "import sys, torch, pytest; torch.set_num_threads(1); sys.exit(pytest.main(sys.argv[1:]))"
PAGES = exercises.pages()


def run(folder, *options):
    """What pytest says of a student's folder."""
    program = (sys.executable, "-c", TESTS, "-q", "-p", "no:cacheprovider", "--tb=line", *options)
    env = {**os.environ, "PYTHONPATH": str(exercises.BOOK.parent), "COLUMNS": "200"}
    return subprocess.run(program, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every page's exercises."""
    out = tmp_path_factory.mktemp("handed") / "out"
    assert main(["exercises", str(out)]) == 0
    return out


def functions(path):
    """The public functions of a file."""
    found = [n for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, ast.FunctionDef)]
    return {f.name: f for f in found if not f.name.startswith("_")}


def test_the_solutions_pass_every_case(written, tmp_path):
    for page in PAGES:
        folder = tmp_path / page.replace("/", "_")
        shutil.copytree(written / folder.name, folder)
        shutil.copy(exercises.BOOK / f"{page}_solutions.py", folder / "exercises.py")
    said = run(tmp_path)
    assert said.returncode == 0, said.stdout
    assert " passed" in said.stdout


def test_the_skeleton_fails_every_case_by_the_name_of_what_is_missing(written):
    said = run(written, "-rfEp")
    failed = dict(re.findall(r"^FAILED \S+::test_(\S+) - (.*)$", said.stdout, re.M))
    assert "PASSED" not in said.stdout
    assert "ERROR" not in said.stdout
    assert failed
    for name, words in failed.items():
        missing = re.match(r"NotImplementedError: write (\w+)\(", words)
        assert missing, (name, words)
        assert name.startswith(missing[1])


@pytest.mark.parametrize("page", PAGES)
def test_every_function_has_a_case(page):
    cases = " ".join(functions(exercises.BOOK / f"{page}_cases.py"))
    for name in functions(exercises.BOOK / f"{page}_solutions.py"):
        assert f"test_{name}_" in cases, name


def test_every_page_of_the_book_has_cases_and_one_that_has_none_would_be_named(
    capsys, tmp_path, monkeypatch
):
    assert [p for p in PAGES if not (exercises.BOOK / f"{p}_cases.py").exists()] == []
    room = tmp_path / "book/sparse"
    room.mkdir(parents=True)
    for page in ("ista", "lista"):
        (room / f"{page}_solutions.py").write_text('def f(x):\n    """f(x)."""\n', "utf-8")
    (room / "ista_cases.py").write_text("", "utf-8")
    monkeypatch.setattr(exercises, "BOOK", tmp_path / "book")
    assert main(["exercises", str(tmp_path / "out")]) == 0
    assert "no tests yet: sparse/lista\n" in capsys.readouterr().out


def test_the_readme_lists_every_exercise_once_and_says_which_are_answered_in_words(written):
    text = (written / "README.md").read_text("utf-8")
    listed = re.findall(r"^- (.*): (.*)$", text, re.M)
    asked = [
        title
        for path in sorted(exercises.BOOK.glob("*/*.md"))
        for title in re.findall(r"^:::+\{exercise\} (.*)$", path.read_text("utf-8"), re.M)
    ]
    assert sorted(title for title, _ in listed) == sorted(asked)
    words = [title for title, answer in listed if "a proof or a discussion" in answer]
    assert words == ["D-AMP without its last term"]
    for title, answer in listed:
        folder = re.search(r" in `(\w+)`$", answer)
        names = re.findall(r"`(\w+)`(?:,| in)", answer)
        assert bool(folder) == bool(names) == (title not in words), answer
        if folder:
            held = functions(written / folder[1] / "exercises.py")
            assert {*names} <= held.keys()
    for page in PAGES:  # and every function is asked for
        folder = page.replace("/", "_")
        for name in functions(written / folder / "exercises.py"):
            assert re.search(rf"`{name}`.* in `{folder}`", text), name


@pytest.mark.parametrize("page", PAGES)
def test_a_skeleton_keeps_signatures_and_words_and_no_body(page, written):
    made = written / page.replace("/", "_") / "exercises.py"
    theirs, ours = functions(made), functions(exercises.BOOK / f"{page}_solutions.py")
    assert theirs.keys() == ours.keys()
    for name, f in theirs.items():
        assert ast.unparse(f.args) == ast.unparse(ours[name].args)
        assert ast.get_docstring(f) == ast.get_docstring(ours[name])
        assert [type(node) for node in f.body] == [ast.Expr, ast.Raise]
    compile(made.read_text("utf-8"), str(made), "exec")
    exec(made.read_text("utf-8"), {"__name__": "exercises"})


@pytest.mark.parametrize("page", PAGES)
def test_every_function_stands_under_the_words_of_its_exercise(page):
    asked = exercises.questions(page)
    for name in functions(exercises.BOOK / f"{page}_solutions.py"):
        words = asked[name][1]
        assert len(words.split()) > 10, name
        assert all(line.startswith("#") for line in words.splitlines())
        assert not re.search(r"\{[a-z:]+\}`", words), f"a role is left in {name}"


def test_one_page_alone_and_no_other(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["exercises", str(out), "--page", "sparse/lista"]) == 0
    assert {p.name for p in out.iterdir()} == {"README.md", "sparse_lista"}
    headings = re.findall(r"^## (.*)$", (out / "README.md").read_text("utf-8"), re.M)
    assert headings == ["sparse/lista"]
    names = {"__init__.py", "exercises.py", "test_exercises.py"}
    assert {p.name for p in (out / "sparse_lista").iterdir()} == names
    said = capsys.readouterr().out
    assert "no tests yet" not in said
    assert f"next: python -m pytest {out}" in said


def refused(capsys, *arguments):
    """The one line of a command that does nothing."""
    assert main(["exercises", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_written(
    tmp_path, capsys, monkeypatch
):
    (tmp_path / "mine").write_text("keep", "utf-8")
    assert "is not empty" in refused(capsys, tmp_path)
    assert "is no folder" in refused(capsys, tmp_path / "mine")
    assert "mine" in refused(capsys, tmp_path / "mine" / "below")
    for page in ("sparse/lasso", "sparse", "lista", "../book/sparse/lista", "sparse/lista_cases"):
        line = refused(capsys, tmp_path / "new", "--page", page)
        assert f"no exercises for {page!r}; choose one of" in line
        assert "sparse/lista" in line
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    monkeypatch.setattr(exercises, "BOOK", tmp_path / "no book")
    assert "run this in a checkout" in refused(capsys, tmp_path / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").read_text("utf-8") == "keep"


@pytest.mark.parametrize("page", [(), ("--page", "sparse/lista")])
def test_a_students_work_is_never_written_over(page, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["exercises", str(out), "--page", "sparse/lista"]) == 0
    capsys.readouterr()
    work = out / "sparse_lista/exercises.py"
    work.write_text("# two evenings", "utf-8")
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    for given in (out, out / "sparse_lista", f"{out}/"):
        assert "is not empty" in refused(capsys, given, *page)
    (tmp_path / "link").symlink_to(out)
    assert "is not empty" in refused(capsys, tmp_path / "link", *page)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("what", ["mkdir", "open"])
def test_a_folder_that_cannot_be_written_is_told_in_one_line(what, tmp_path, capsys, monkeypatch):
    def refuse(self, *args, **kwargs):
        if tmp_path in Path(self).parents:
            raise PermissionError(13, "Permission denied", str(self))
        return kept(self, *args, **kwargs)

    kept = getattr(Path, what)
    monkeypatch.setattr(Path, what, refuse)
    line = refused(capsys, tmp_path / "new", "--page", "sparse/lista")
    assert "Permission denied" in line
    assert str(tmp_path / "new") in line


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """Every page's exercises as a notebook: its cells by the page."""
    out = tmp_path_factory.mktemp("handed") / "out"
    assert main(["exercises", str(out), "--notebook"]) == 0
    name = lambda page: out / page.replace("/", "_") / f"{page.split('/')[1]}.ipynb"
    assert sorted(out.rglob("*.*")) == sorted([out / "README.md", *map(name, PAGES)])
    assert "`exercises.py`" not in (out / "README.md").read_text("utf-8")
    return {page: nbformat.read(name(page), 4) for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_a_notebook_has_a_cell_for_each_function_and_each_test_with_nbgraders_marks(
    page, notebooks
):
    nbformat.validate(notebooks[page])
    cells = notebooks[page].cells
    marks = [c.metadata.nbgrader for c in cells]
    assert len({m.grade_id for m in marks}) == len({c.id for c in cells}) == len(cells)
    for cell, m in zip(cells, marks, strict=True):
        assert {**m} == {
            "schema_version": 3,
            "grade_id": m.grade_id,
            "task": False,
            "grade": m.grade,
            "solution": m.solution,
            "locked": not m.solution,
            **({"points": 1} if m.grade else {}),
        }
        assert re.fullmatch(r"\w+", m.grade_id, re.ASCII)
        inside = cell.source.partition("### BEGIN SOLUTION")[2].partition("### END SOLUTION")
        assert bool(inside[1]) == m.solution
        assert not m.solution or inside[0].strip().startswith("raise NotImplementedError(")
    written = [m.grade_id for m in marks if m.solution]
    tests = [m.grade_id for m in marks if m.grade]
    assert written == [*functions(exercises.BOOK / f"{page}_solutions.py")]
    cases = functions(exercises.BOOK / f"{page}_cases.py")
    assert tests == [name for name in cases if name.startswith("test_")]


@pytest.mark.parametrize("page", ["sparse/ista", "beyond/no_ground_truth"])
def test_a_notebook_passes_with_the_solutions_and_fails_without(page, notebooks, tmp_path):
    cells = [c for c in notebooks[page].cells if c.cell_type == "code"]
    solution = (exercises.BOOK / f"{page}_solutions.py").read_text("utf-8")
    kept = [c.source for c in cells if not c.metadata.nbgrader.solution]
    whole, mine = tmp_path / "whole.py", tmp_path / "mine.py"
    whole.write_text("\n\n".join([solution, *kept]), "utf-8")
    tried = [
        f"try:\n    exec({c.source!r})\nexcept NotImplementedError as e:\n    print(e)"
        if c.metadata.nbgrader.grade
        else c.source
        for c in cells
    ]
    mine.write_text("\n\n".join(tried), "utf-8")
    env = {**os.environ, "PYTHONPATH": str(exercises.BOOK.parent)}
    call = lambda path: subprocess.run(
        (sys.executable, str(path)), env=env, capture_output=True, text=True, check=False
    )
    made = call(whole)
    assert made.returncode == 0, made.stderr
    said = call(mine).stdout.splitlines()
    graded = [c.metadata.nbgrader.grade_id for c in cells if c.metadata.nbgrader.grade]
    assert len(said) >= len(graded)
    assert all(re.match(r"write \w+\(", line) for line in said)
