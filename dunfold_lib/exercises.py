"""The exercises of the book as files that a student fills in and tests.

``python -m dunfold_lib exercises OUT`` writes a folder a page, ``OUT/ROOM_PAGE``, with
``exercises.py``, each function of a solution without its body, and ``test_exercises.py``, what must
hold of them. Both come from files beside the page: ``PAGE_solutions.py`` and ``PAGE_cases.py``.
``OUT/README.md`` lists the exercises: the functions that answer each, or that words do. With
``notebook`` a folder has ``PAGE.ipynb`` instead: a cell a function, a cell a test, marked as
nbgrader marks them (schema 3).
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from dunfold_lib import records

BOOK = Path(__file__).resolve().parents[1] / "book"
HEAD = '''"""Exercises of the page {page}.

Write what raises NotImplementedError, then run `python -m pytest` in this folder: each test that
fails says which function is missing, or what does not hold of yours.
"""
'''
README = """# Exercises of the book

{how} The functions need the package `dunfold_lib`
and the tests `pytest`; neither needs the book. An exercise with "(research)" is open: its function
is where it starts.

"""
FILES = """Each folder has a page's exercises. Write what raises `NotImplementedError` in its
`exercises.py`, then run `pytest`, here for all folders or in one of them for its own."""
NOTEBOOKS = """Each folder has a page's exercises as a notebook. Write what raises
`NotImplementedError`, then run the cells below it: each is a test. The marks are nbgrader's."""
CELLS = """# Exercises of the page {page}

Write what raises `NotImplementedError`. Each test below stands alone: it fails by the name of what
is missing, or by what does not hold."""
CHECK = """import sys

exercises = sys.modules["__main__"]


def check(test):
    \"\"\"Run a test, with all values that it asks for.\"\"\"
    rounds = [{}]
    for mark in getattr(test, "pytestmark", []):
        names, values = mark.args[0].split(", "), mark.args[1]
        given = values if len(names) > 1 else [[v] for v in values]
        rounds = [{**r, **dict(zip(names, v, strict=True))} for r in rounds for v in given]
    for values in rounds:
        test(**values)"""
BOX = r"^(:{{3,}})\{{{kind}\}} ([^\n]*)\n(.*?)^\1$"  # a directive: title, and options with body
LABEL = re.compile(r":label: (\S+)\n")
SHOWN = re.compile(r"\{literalinclude\} (\S+)\n:pyobject: (\S+)")
TITLE = re.compile(r"^:{3,}\{prf:\w+\} ([^\n]+)\n:label: (\S+)", re.M)
ROLE = re.compile(r"\{(?:cite:t|cite:p|eq|numref|ref|prf:ref)\}`([^`]*)`")


def pages() -> list[str]:
    """Every page with solutions, ``room/page``; ValueError where the book's sources are not."""
    found = sorted(BOOK.glob("*/*_solutions.py"))
    if not found:
        raise ValueError(f"{BOOK} has no exercises; run this in a checkout of the repository")
    return [p.relative_to(BOOK).as_posix().removesuffix("_solutions.py") for p in found]


def hand_out(out: Path, page: str = "", notebook: bool = False) -> list[str]:
    """Write the exercises of one page, or of all; the lines that say what was written."""
    known = pages()
    if page and page not in known:
        raise ValueError(f"no exercises for {page!r}; choose one of {', '.join(known)}")
    chosen = [page] if page else known
    made = write(out, chosen, notebook)
    untested = [p for p in chosen if not _beside(p, "cases").exists()]
    lines = [str(path) for path in made]
    lines += [f"no tests yet: {', '.join(untested)}"] if untested else []
    tested = len(untested) < len(chosen) and not notebook
    return lines + ([f"next: python -m pytest {out}"] if tested else [])


def write(out: Path, chosen: Sequence[str], notebook: bool = False) -> list[Path]:
    """Write the exercises of these pages; ValueError before anything is written."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is no folder; OUT is a new or an empty one")
    if out.is_dir() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty; OUT is a new or an empty folder")
    made = {out / path: text for p in chosen for path, text in files(p, notebook).items()}
    made[out / "README.md"] = readme(chosen, NOTEBOOKS if notebook else FILES)
    records.prepare(out)
    for path, text in made.items():
        records.write_text(path, text)
    return [*made]


def files(page: str, notebook: bool = False) -> dict[str, str]:
    """The files of one page by their names: the tests only where the page has cases."""
    folder, cases = page.replace("/", "_"), _beside(page, "cases")
    tests = cases.read_text("utf-8") if cases.exists() else ""
    if notebook:
        name = page.rpartition("/")[2]
        return {f"{folder}/{name}.ipynb": json.dumps(_notebook(page, tests), indent=1) + "\n"}
    made = {f"{folder}/__init__.py": "", f"{folder}/exercises.py": skeleton(page)}
    return made | ({f"{folder}/test_exercises.py": tests} if tests else {})


def skeleton(page: str) -> str:
    """The functions of a page's solutions, each with its exercise's words and without its body."""
    imports, parts = _parts(page)
    head = "\n".join([HEAD.format(page=page), *imports]).rstrip()
    return "\n\n\n".join([head, *(words + code for _, words, code in parts)]) + "\n"


def _parts(page: str) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The imports that signatures need; name, words and skeleton of every function.

    An exercise's words stand before its first function alone.
    """
    source = _beside(page, "solutions").read_text("utf-8")
    tree, asked = ast.parse(source), questions(page)
    parts, told = [], set[str]()
    for f in _public(tree):
        label, words = asked.get(f.name, ("", ""))
        parts.append((f.name, "" if label in told else words, _empty(f, source.split("\n"))))
        told.add(label)
    return _imports(tree), parts


def _notebook(page: str, tests: str) -> dict[str, Any]:
    """The notebook of a page, in Jupyter's format 4.5."""
    imports, parts = _parts(page)
    cells = [_cell("about", CELLS.format(page=page), "markdown")]
    cells += [_cell("imports", "\n".join(imports))] if imports else []
    for name, words, code in parts:
        told = re.sub(r"^# ?", "", words, flags=re.M).strip()
        title, _, rest = told.partition("\n")
        cells += [_cell(f"words_{name}", f"## {title}\n{rest}", "markdown")] if told else []
        cells.append(_cell(name, _regions(code), solution=True))
    helpers, named = _tests(tests)
    cells += [_cell("helpers", f"{CHECK}\n\n\n{helpers}")] if named else []
    cells += [_cell(name, f"{code}\n\n\ncheck({name})", grade=True) for name, code in named]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _regions(code: str) -> str:
    """A skeleton whose last line stands in the marks between which nbgrader puts its own."""
    head, _, error = code.rpartition("\n")
    return f"{head}\n    ### BEGIN SOLUTION\n{error}\n    ### END SOLUTION"


def _tests(source: str) -> tuple[str, list[tuple[str, str]]]:
    """What tests share, as one text; and name and code of every test."""
    lines, shared, named = source.split("\n"), [], []
    for node in ast.parse(source).body[1:]:  # without the docstring
        marks = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(d.lineno for d in marks)])
        code = "\n".join(lines[first - 1 : node.end_lineno])
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            named.append((node.name, code))
        elif code != "from . import exercises":
            shared.append(code)
    return "\n".join(shared), named


def _cell(
    name: str, text: str, kind: str = "code", grade: bool = False, solution: bool = False
) -> dict[str, Any]:
    """A cell with nbgrader's marks: whether it is graded, a point each, and who may change it."""
    marks = {"schema_version": 3, "grade_id": name, "task": False, "locked": not solution}
    marks |= {"grade": grade, "solution": solution} | ({"points": 1} if grade else {})
    made: dict[str, Any] = {"cell_type": kind, "metadata": {"nbgrader": marks}}
    if kind == "code":
        made |= {"execution_count": None, "outputs": list[Any]()}
    return made | {"id": name[-64:], "source": text.splitlines(keepends=True)}


def questions(page: str) -> dict[str, tuple[str, str]]:
    """The label and the words, as comments, of the exercise that each function answers."""
    found: dict[str, tuple[str, str]] = {}
    solutions = _beside(page, "solutions")
    for path in sorted(solutions.parent.glob("*.md")):
        for title, label, body, shown in _exercises(path):
            said = _comment(f"{title}\n\n{body}")
            found |= {f: (label, said) for file, f in shown if file == solutions.name}
    return found


def readme(chosen: Sequence[str], how: str = FILES) -> str:
    """Every exercise of these pages, with the functions that answer it or that words do."""
    rooms = dict.fromkeys(p.partition("/")[0] for p in chosen)
    paths = [path for room in rooms for path in sorted((BOOK / room).glob("*.md"))]
    head = README.format(how=how)
    return head + "".join(part for path in paths if (part := _listed(path, chosen)))


def _listed(path: Path, chosen: Sequence[str]) -> str:
    """The exercises of a page of the book as a list; "" where none belongs to what is written."""
    room, asked = path.parent.name, list(_exercises(path))
    home = lambda file: f"{room}/{file.removesuffix('_solutions.py')}"
    shown = {home(file) for *_, answers in asked for file, _ in answers}
    if not asked or (shown and not shown & {*chosen}):
        return ""
    lines = [f"- {title}: {_answer(room, answers)}" for title, _, _, answers in asked]
    return "\n".join([f"## {room}/{path.stem}", "", *lines, "", ""])


def _answer(room: str, answers: Sequence[tuple[str, str]]) -> str:
    """Where the answer of an exercise is written."""
    public = [(file, name) for file, name in answers if name[0].islower()]
    if not public:
        return "in words, a proof or a discussion; the book has the answer"
    folder = f"{room}_{public[0][0].removesuffix('_solutions.py')}"
    return f"{', '.join(f'`{name}`' for _, name in public)} in `{folder}`"


def _exercises(path: Path) -> Iterator[tuple[str, str, str, list[tuple[str, str]]]]:
    """Title, label, words, and (file, name) of what its solution shows, of each exercise."""
    text = path.read_text("utf-8")
    answers = {title.strip(): body for title, body in _boxes("solution", text)}
    for title, body in _boxes("exercise", text):
        if label := LABEL.search(body):
            shown = SHOWN.findall(answers.get(label[1], ""))
            yield title, label[1], LABEL.sub("", body), shown


def _boxes(kind: str, text: str) -> Iterator[tuple[str, str]]:
    """The title and the body of every directive of a kind."""
    for found in re.finditer(BOX.format(kind=kind), text, re.M | re.S):
        yield found[2], found[3]


def _comment(text: str) -> str:
    """Words of the book as comments of Python; a reference becomes what it refers to."""
    text = ROLE.sub(lambda found: _titles().get(found[1], f"({found[1]})"), text)
    lines = (f"# {line}".rstrip() for line in text.strip().split("\n"))
    return "\n".join(lines) + "\n"


@cache
def _titles() -> dict[str, str]:
    """The words of every theorem of the book, by its label."""
    texts = (path.read_text("utf-8") for path in sorted(BOOK.glob("*/*.md")))
    found = (pair for text in texts for pair in TITLE.findall(text))
    return {label: f"“{ROLE.sub('', title).strip()}”" for title, label in found}


def _beside(page: str, what: str) -> Path:
    """The file of solutions or of cases of a page."""
    return BOOK / f"{page}_{what}.py"


def _public(tree: ast.Module) -> list[ast.FunctionDef]:
    """The functions that a student writes."""
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [f for f in defined if not f.name.startswith("_")]


def _empty(f: ast.FunctionDef, lines: list[str]) -> str:
    """A function's decorators, signature and docstring, with the error that names it."""
    first = min([f.lineno, *(d.lineno for d in f.decorator_list)])
    head = lines[first - 1 : f.body[0].end_lineno]  # the docstring is the body's first statement
    given = ", ".join(a.arg for a in [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs])
    return "\n".join([*head, f'    raise NotImplementedError("write {f.name}({given})")'])


def _imports(tree: ast.Module) -> list[str]:
    """The lines of import that the signatures need."""
    used = {name for f in _public(tree) for name in _names(f)}
    kept = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [a for a in node.names if (a.asname or a.name).split(".")[0] in used]
            kept += [ast.unparse(node)] if node.names else []
    return kept


def _names(f: ast.FunctionDef) -> set[str]:
    """Every name in a function's decorators, annotations and defaults."""
    nodes = [*f.decorator_list, f.args, *([f.returns] if f.returns else [])]
    found = (name for node in nodes for name in ast.walk(node))
    return {name.id for name in found if isinstance(name, ast.Name)}
