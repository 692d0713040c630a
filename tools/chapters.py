"""Write each chapter as a plain notebook, for JupyterLab, VS Code and Colab.

`make chapters` puts them into _build/html/notebooks/<room>_<chapter>.ipynb: boxes as quotations,
solutions and answers folded, macros expanded, citations as links, quoted numbers filled in; below a
cell the numbers of the figures and tables that it shows, as the built book has them.
"""

import ast
import base64
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pybtex.database import parse_file  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).parent))
from blocks import FENCE, INCLUDE, RAW, cells_of, kind_of, numbers_in, options

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(ROOT)]
from dunfold_offers import chapter  # type: ignore[import-not-found]  # noqa: E402

OUT = ROOT / "_build" / "html" / "notebooks"

Labels = dict[str, tuple[str, str]]  # of a label: its page and its words
ROLE = re.compile(r"\{([a-z:]+)\}`([^`]*)`")
EQUATION = re.compile(r"\$\$[ \t]*\(([\w-]+)\)[ \t]*$", re.M)
TARGET = re.compile(r"^\(([\w-]+)\)=\n+([^\n]*)", re.M)
COMMENT = re.compile(r"^%(?: .*)?\n", re.M)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+?\.md)(?:#[^)]*)?\)")


@cache
def configuration() -> dict[str, Any]:
    """The book's configuration."""
    made: dict[str, Any] = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    return made


def chapters() -> list[Path]:
    """The chapters' pages, in the order of the table of contents."""
    listed = re.findall(r"file: (\S+)", (ROOT / "_toc.yml").read_text("utf-8"))
    return [ROOT / f"{page}.md" for page in listed if chapter(page)]


def name_of(page: Path) -> str:
    """The file name of a chapter's notebook."""
    name: str | None = chapter(page.relative_to(ROOT).with_suffix("").as_posix())
    if name is None:
        raise ValueError(f"{page} is not a chapter")
    return name


# ------------------------------------------------------------------ what the whole book names


def bare(title: str) -> str:
    """A box's title without its citations."""
    return re.sub(r",? *(after|from)? *\{cite:[pt]\}`[^`]*`.*", "", title).strip(" ,()")


@cache
def labels() -> Labels:
    """The page and the words of every label of the chapters."""
    found: Labels = {}
    for page in chapters():
        text, name = COMMENT.sub("", page.read_text("utf-8")), name_of(page)
        for number, label in enumerate(EQUATION.findall(text), 1):
            found[label] = (name, f"({number})")
        for label, heading in TARGET.findall(text):
            found[label] = (name, heading.lstrip("# ") if heading.startswith("#") else "here")
        for _, kind, title, body in FENCE.findall(text):
            if label := options(body)[0].get("label"):
                words = bare(title)
                found[label] = (name, f"{kind_of(kind)} ({words})" if words else kind_of(kind))
    return found


@cache
def sources() -> dict[str, tuple[str, str]]:
    """Of every key of the bibliography: "Author (year)", and an address, which may be empty."""
    entries = parse_file(str(ROOT / "book" / "references.bib")).entries
    return {key: (_said(entry), _address(entry.fields)) for key, entry in entries.items()}


def _said(entry: Any) -> str:
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [re.sub(r"[{}]", "", " ".join([*p.prelast_names, *p.last_names])) for p in people]
    who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    return f"{who or entry.fields['title']} ({entry.fields.get('year', 'no year')})"


def _address(fields: Any) -> str:
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    if "eprint" in fields:
        return f"https://arxiv.org/abs/{fields['eprint']}"
    return str(fields.get("url", ""))


def quoted(page: Path) -> dict[str, str]:
    """The numbers that a page's sentences quote: its calls of ``show.quote``, each evaluated after
    the page's imports and what stands above it in its own cell."""
    space: dict[str, Any] = {}
    found: dict[str, str] = {}
    for tree in (ast.parse(code) for _, code in cells_of(page.read_text("utf-8")) if code):
        telling = any(map(quotes, tree.body))
        for node in tree.body:
            if quotes(node):
                call: Any = node.value  # type: ignore[attr-defined]
                found |= eval(compile(ast.Expression(call.args[0]), str(page), "eval"), space)
            elif isinstance(node, ast.Import | ast.ImportFrom) or telling:
                exec(compile(ast.Module([node], []), str(page), "exec"), space)
    return found


# ------------------------------------------------------------------ mathematics


def macros(text: str) -> str:
    """The macros of the configuration expanded, those with arguments too."""
    known = configuration()["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]
    some = re.compile(rf"\\({'|'.join(sorted(known, key=len, reverse=True))})(?![A-Za-z])")
    while found := some.search(text):
        rule = known[found[1]]
        made, count = (rule, 0) if isinstance(rule, str) else rule
        rest = text[found.end() :]
        for i in range(1, count + 1):
            given, rest = argument(rest)
            made = made.replace(f"#{i}", given)
        text = text[: found.start()] + made + rest
    return text


def argument(text: str) -> tuple[str, str]:
    """The first argument in TeX's sense, without its braces, and what follows it."""
    text = text.lstrip()
    if not text.startswith("{"):
        found = re.match(r"\\[A-Za-z]+|\\.|.", text, re.S)
        assert found, "a macro lacks its argument"
        return found[0], text[found.end() :]
    depth = 0
    for at, brace in ((m.start(), m[0]) for m in re.finditer(r"\\.|[{}]", text, re.S)):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth == 0:
            return text[1:at], text[at + 1 :]
    raise ValueError(f"a brace is not closed: {text[:40]!r}")


# ------------------------------------------------------------------ a page's parts


def included(page: Path, file: str, body: str) -> str:
    """A function of a file of solutions as a block of code."""
    code = (page.parent / file).read_text("utf-8")
    name = options(body)[0].get("pyobject")
    if name:
        tree: Any = ast.parse(code)
        for part in name.split("."):
            tree = next(n for n in tree.body if getattr(n, "name", "") == part)
        first = min([tree.lineno, *(d.lineno for d in tree.decorator_list)])
        code = "\n".join(code.splitlines()[first - 1 : tree.end_lineno])
    return f"```python\n{code.strip()}\n```"


def figure(html: str, number: str = "") -> str:
    """Drawings as images that every notebook shows, and their number and caption."""
    pictures = [_image(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.S)]
    caption = re.search(r"<figcaption>(.*?)</figcaption>", html, re.S)
    below = [number and f"**{number}**", f"*{caption[1].strip()}*" if caption else ""]
    return "\n\n".join(filter(None, [*pictures, " ".join(filter(None, below))]))


def numbers_of(page: Path) -> tuple[list[list[str]], list[str]]:
    """The numbers of figures and tables as the built page has them, where it is built."""
    built = (OUT.parent / page.relative_to(ROOT)).with_suffix(".html")
    html = built.read_text("utf-8") if built.exists() else ""
    return numbers_in(html, page.read_text("utf-8"))


def _image(svg: str) -> str:
    css = (ROOT / "book" / "_static" / "dunfold.css").read_text("utf-8")
    colours = dict(reversed(re.findall(r"(--df-\d+):\s*([^;}]+)", css)))
    svg = re.sub(r"var\((--df-\d+)\)", lambda m: colours.get(m[1], "black").strip(), svg)
    svg = svg.replace("currentColor", "black")
    svg = svg.replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" style="background:white" ', 1
    )
    told = re.search(r'aria-label="([^"]*)"', svg)
    data = base64.b64encode(svg.encode()).decode()
    return f"![{told[1] if told else 'Drawing'}](data:image/svg+xml;base64,{data})"


def box(kind: str, title: str, body: str) -> str:
    """A directive as Markdown: a solution folded, a proof plain, any other box a quotation."""
    _, body = options(body)
    body, kind = boxes(body), kind_of(kind)
    if kind == "solution":
        words = labels().get(title.strip(), ("", ""))[1].partition("(")[2].removesuffix(")")
        heading = f"Solution: {words}" if words else "Solution"
        return f"<details><summary>{heading}</summary>\n\n{body}\n\n</details>"
    if kind == "proof":
        return f"**Proof{f' ({title})' if title else ''}.** {body} ∎"
    heading = title if kind == "admonition" else ": ".join(filter(None, (kind.capitalize(), title)))
    quote = f"**{heading}{'' if heading.endswith(('?', '!', '.')) else '.'}**\n\n{body}"
    return re.sub(r"^(?=.)", "> ", quote, flags=re.M).replace("\n\n", "\n>\n")


def boxes(text: str) -> str:
    """Every directive of a text as Markdown."""
    return FENCE.sub(lambda m: box(m[2], m[3].strip(), m[4]), text)


def role(name: str, target: str, here: str, numbers: dict[str, str]) -> str:
    """A role as words or a link."""
    if name.startswith("cite"):
        known = [sources()[key.strip()] for key in target.split(",")]
        said = "; ".join(f"[{words}]({at})" if at else words for words, at in known)
        return said if name == "cite:t" else f"({said})"
    if name == "glue:text":
        return numbers[target]
    given = re.fullmatch(r"(.*?)\s*<([^>]*)>", target)
    words, label = given.groups() if given else ("", target)
    page, known_as = labels()[label]
    said = words or known_as
    return said if page == here else f"[{said}]({page})"


def linked(page: Path, text: str) -> str:
    """Links to chapters lead to their notebooks, links to other pages become words."""
    known = {p.resolve(): name_of(p) for p in chapters()}

    def one(found: re.Match[str]) -> str:
        name = known.get((page.parent / found[2]).resolve())
        return f"[{found[1]}]({name})" if name else found[1]

    return LINK.sub(one, text)


def markdown(page: Path, text: str, numbers: dict[str, str], figures: Iterator[str]) -> str:
    """A page's text between two cells in Markdown that needs no extension."""
    from dunfold_check import plain  # type: ignore[import-not-found]

    here = name_of(page)
    text = COMMENT.sub("", text)
    numbered = lambda m: rf"\tag{{{labels()[m[1]][1][1:-1]}}} $$"
    text = TARGET.sub(r"\2", EQUATION.sub(numbered, text))
    drawn = lambda m: figure(m[1], next(figures, "") if 'class="df-figure' in m[1] else "")
    text = RAW.sub(drawn, boxes(plain(text)))
    text = re.sub(r"^> (```\{literalinclude\})", r"\1", text, flags=re.M)
    text = INCLUDE.sub(lambda m: included(page, m[1], m[2]), text)
    text = ROLE.sub(lambda m: role(m[1], m[2], here, numbers), text)
    parts = re.split(
        r"(^```.*?^```[ \t]*$|data:image/[^)]*)", linked(page, text), flags=re.M | re.S
    )
    parts[::2] = map(macros, parts[::2])
    return "".join(parts).strip()


# ------------------------------------------------------------------ a page's cells


def names(code: str) -> tuple[set[str], set[str]]:
    """The names that a cell needs from earlier ones, and those that it binds."""
    needs: set[str] = set()
    binds: set[str] = set()
    for node in ast.parse(code).body:
        parts = [*ast.walk(node)]
        used = {p.id for p in parts if isinstance(p, ast.Name) and isinstance(p.ctx, ast.Load)}
        needs |= used - binds
        binds |= {p.id for p in parts if isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store)}
        binds |= {(p.asname or p.name).split(".")[0] for p in parts if isinstance(p, ast.alias)}
        binds |= {getattr(node, "name", "")} - {""}
    return needs, binds


def quotes(node: ast.stmt) -> bool:
    """Whether a statement is a call of ``show.quote``."""
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("show.quote(")


def unquoted(code: str) -> str:
    """A cell without its calls of ``show.quote``, which the notebook does not need."""
    gone = {
        line
        for node in ast.parse(code).body
        if quotes(node)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = [line for i, line in enumerate(code.split("\n"), 1) if i not in gone]
    return "\n".join(lines).strip("\n")


def kept(parts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The parts without hidden cells whose names no later cell needs."""
    wanted: set[str] = set()
    found = []
    for words, code in reversed(parts):
        if code:
            code = unquoted(code)
            needs, binds = names(code)
            if "remove-cell" in words and not binds & wanted:
                continue
            wanted = (wanted - binds) | needs
        found.append((words, code))
    return found[::-1]


def cell(number: int, source: str, code: bool, folded: bool = False) -> dict[str, Any]:
    """A cell of a notebook."""
    made: dict[str, Any] = {"cell_type": "code" if code else "markdown", "id": f"cell-{number}"}
    made["metadata"] = {"jupyter": {"source_hidden": True}} if folded else {}
    made["source"] = source.splitlines(keepends=True)
    return made | ({"execution_count": None, "outputs": []} if code else {})


def notebook(page: Path) -> dict[str, Any]:
    """A chapter as a notebook, its first cell the set-up cell of the laboratories."""
    made: dict[str, Any] = json.loads((ROOT / "notebooks" / "sparse.ipynb").read_text("utf-8"))
    text = page.read_text("utf-8")
    numbers = quoted(page) if "{glue:text}" in text else {}
    cells = [c for c in made["cells"] if c["id"] == "setup"]
    of_cells, of_text = numbers_of(page)
    shown, own = iter(of_cells), iter(of_text)
    for number, (words, code) in enumerate(kept([*cells_of(text)])):
        source = code or markdown(page, words, numbers, own)
        if source:
            cells.append(cell(number, source, bool(code), bool(code) and "hide" in words))
        if code and "remove-cell" not in words and (said := next(shown, None)):
            told = f"Above: **{'**, **'.join(said)}**"
            cells.append({**cell(number, told, False), "id": f"shown-{number}"})
    return made | {"cells": cells}


def main(some: list[str]) -> None:
    """Write the notebooks of these chapters, as `sparse/lista_cp`, or of all."""
    OUT.mkdir(parents=True, exist_ok=True)
    for page in chapters():
        if not some or f"{page.parent.name}/{page.stem}" in some:
            text = json.dumps(notebook(page), ensure_ascii=False, indent=1) + "\n"
            (OUT / name_of(page)).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
