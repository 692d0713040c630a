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

import pytest

from dunfold_lib import exercises
from dunfold_lib.__main__ import main

TESTS = "import sys, torch, pytest; torch.set_num_threads(1); sys.exit(pytest.main(sys.argv[1:]))"
WITH_CASES = [p for p in exercises.pages() if (exercises.BOOK / f"{p}_cases.py").exists()]
TESTED = {  # pages come to this list, and none leaves it
    "imaging/ista_net",
    "imaging/plug_and_play",
    "sparse/alista",
    "sparse/ista",
    "sparse/lista",
    "sparse/lista_cp",
}


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
    for page in WITH_CASES:
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


@pytest.mark.parametrize("page", WITH_CASES)
def test_every_function_has_a_case(page):
    cases = " ".join(functions(exercises.BOOK / f"{page}_cases.py"))
    for name in functions(exercises.BOOK / f"{page}_solutions.py"):
        assert f"test_{name}_" in cases, name


def test_a_page_without_cases_is_named(capsys, tmp_path):
    assert main(["exercises", str(tmp_path / "out")]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("no tests yet")]
    untested = {*exercises.pages()} - {*WITH_CASES}
    assert {*line.removeprefix("no tests yet: ").split(", ")} == untested
    assert {*WITH_CASES} >= TESTED


@pytest.mark.parametrize("page", exercises.pages())
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


@pytest.mark.parametrize("page", exercises.pages())
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
    assert [p.name for p in out.iterdir()] == ["sparse_lista"]
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
    line = refused(capsys, tmp_path / "new", "--page", "sparse/lasso")
    assert "no exercises for 'sparse/lasso'; choose one of" in line
    assert "sparse/lista" in line
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert "Permission denied" in refused(capsys, tmp_path / "new")
    monkeypatch.setattr(exercises, "BOOK", tmp_path / "no book")
    assert "run this in a checkout" in refused(capsys, tmp_path / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
