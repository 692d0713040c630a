"""API pages from docstrings: ``% api: sparse`` on a page becomes every name that the room exports.

Each name has its types, its docstring, an example (``examples.txt``, tested) and links to the pages
whose cells use it; those pages link back.
"""

import ast
import inspect
import re
from functools import cache
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MARK = re.compile(r"^% api: ([\w ]+)$", re.M)
SHARED = "prox operators wavelets solvers unroll metrics inference"
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```[ \t]*$", re.M | re.S)
LITERAL = re.compile(r"(``.*?``)")


def names(module: str) -> list[str]:
    """The public functions and classes of a module or room, in the order of the alphabet."""
    made = import_module(f"dunfold_lib.{module}")
    known = getattr(made, "__all__", None) or [
        n for n, v in vars(made).items() if getattr(v, "__module__", "") == made.__name__
    ]
    public = (n for n in known if not n.startswith("_") and callable(getattr(made, n)))
    ours = (n for n in public if inspect.isfunction(v := getattr(made, n)) or inspect.isclass(v))
    return sorted(ours, key=str.lower)


@cache
def modules() -> dict[str, str]:
    """The page of every module that an API page shows."""
    pages = sorted((ROOT / "book").glob("api*.md"))
    found = {p.stem: MARK.findall(p.read_text("utf-8")) for p in pages}
    return {m: page for page, lines in found.items() for line in lines for m in line.split()}


@cache
def examples() -> dict[str, str]:
    """``module.name`` -> its example, complete with its imports."""
    text = (HERE / "examples.txt").read_text("utf-8")
    parts = re.findall(r"^(\w[\w.]*)\n((?:[ ]+[^\n]*\n|\n(?=[ ]))+)", text, re.M)
    made = {}
    for name, body in parts:
        module, _, last = name.rpartition(".")
        lines = inspect.cleandoc(body)
        first = [">>> import torch"] if "torch." in lines else []
        first += [f">>> from dunfold_lib.{module} import {last}"]
        made[name] = "\n".join([*first, lines])
    return made


@cache
def used(page: str) -> list[str]:
    """``module.name`` of what a page (``book/sparse/ista``) imports and an API page shows."""
    path = ROOT / f"{page}.md"
    if not re.fullmatch(r"book/\w+/\w+", page) or not path.exists():
        return []
    nodes = [n for code in CELL.findall(path.read_text("utf-8")) for n in _imports(code)]
    found = {f"{n.module.removeprefix('dunfold_lib.')}.{a.name}" for n in nodes for a in n.names}
    return sorted(name for name in found if name in shown())


def _imports(code: str) -> list[Any]:
    code = re.sub(r"\A(:[^\n]*\n)+", "", code)
    made = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom)]
    return [n for n in made if (n.module or "").startswith("dunfold_lib.")]


@cache
def shown() -> dict[str, str]:
    """``module.name`` -> the page that shows it."""
    return {f"{m}.{n}": page for m, page in modules().items() for n in names(m)}


@cache
def chapters_of(name: str) -> list[str]:
    """The pages whose cells import ``module.name``."""
    pages = (p.relative_to(ROOT).with_suffix("") for p in sorted(ROOT.glob("book/*/*.md")))
    return [p.as_posix() for p in pages if name in used(p.as_posix())]


def safe(text: str) -> str:
    """Text that reStructuredText leaves as it is, but for ``code``."""
    parts = LITERAL.split(text)
    parts[::2] = [re.sub(r"([\\*|`_<>])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def as_rst(lines: list[str]) -> list[str]:
    """A docstring of this house as reStructuredText: paragraphs, and a list of its parameters."""
    made = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines).strip()):
        text = re.sub(r"\n[ ]+", " ", paragraph)
        for line in re.split(r"\n(?=[\w, *]+ : )|\n(?=Gives )|[ ]{2,}(?=[\w, *]+ : )", text):
            given = re.match(r"([\w, *]+?)\s+: (.*)", line, re.S)
            words = " ".join((given[2] if given else line).split())
            made += [f"* ``{given[1]}``: {safe(words)}" if given else safe(words), ""]
    return made


def entry(module: str, name: str) -> list[str]:
    """The lines of reStructuredText that show one name."""
    full = f"{module}.{name}"
    kind = "class" if inspect.isclass(getattr(import_module(f"dunfold_lib.{module}"), name)) else ""
    made = [f".. auto{kind or 'function'}:: dunfold_lib.{full}", ""]
    more = []
    if full in examples():
        more += [
            ".. code-block:: pycon",
            "",
            *(f"   {x}" for x in examples()[full].split("\n")),
            "",
        ]
    if pages := chapters_of(full):
        more += ["Used in " + ", ".join(f":doc:`/{page}`" for page in pages) + ".", ""]
    return made + [f"   {line}".rstrip() for line in more]


def fill(app: Any, page: str, source: list[str]) -> None:
    """Put the entries in the place of the marks."""

    def one(found: re.Match[str]) -> str:
        made = []
        for module in found[1].split():
            lines = [line for name in names(module) for line in entry(module, name)]
            head = f"## dunfold_lib.{module}\n\n" if " " in found[1] else ""
            made.append(head + "\n".join(["```````{eval-rst}", *lines, "```````"]))
        return "\n\n".join(made)

    source[0] = MARK.sub(one, source[0])


def plain(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings of this house are no reStructuredText."""
    lines[:] = as_rst(lines)


def link_back(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The names that a chapter's cells import, below its text."""
    if found := used(page):
        at = lambda name: f"../{shown()[name]}.html#dunfold_lib.{name}"
        links = [f'<a href="{at(n)}"><code>{escape(n.split(".")[-1])}</code></a>' for n in found]
        context["body"] += (
            '<details class="api"><summary>Functions of this page</summary>'
            f"<p>{', '.join(links)}</p></details>"
        )


def setup(app: Any) -> dict[str, Any]:
    """Register the hooks."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", plain)
    app.connect("html-page-context", link_back, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
