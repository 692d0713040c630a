"""The blocks of a chapter's Markdown: cells, boxes, included files, raw HTML, and their options."""

import re
from collections.abc import Iterator

CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```[ \t]*$", re.M | re.S)


FENCE = re.compile(r"^(:{3,})\{([\w:]+)\}[ \t]*([^\n]*)\n(.*?)^\1[ \t]*$", re.M | re.S)


OPTION = re.compile(r"\A(?:[ \t]*\n)*:([\w-]+):[ \t]*([^\n]*)\n")


INCLUDE = re.compile(r"^```\{literalinclude\} (\S+)\n(.*?)^```[ \t]*$", re.M | re.S)


RAW = re.compile(r"^```\{raw\} html\n(.*?)^```[ \t]*$", re.M | re.S)


def options(body: str) -> tuple[dict[str, str], str]:
    """A directive's options, and what follows them."""
    found = {}
    while option := OPTION.match(body):
        found[option[1]] = option[2].strip()
        body = body[option.end() :]
    return found, body.strip("\n")


def kind_of(directive: str) -> str:
    """What a box is called: "prf:theorem" is a theorem."""
    return directive.split(":")[-1]


def cells_of(text: str) -> Iterator[tuple[str, str]]:
    """A page's parts in order: (text, "") or (tags, code)."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    words = CELL.split(text)
    for i, part in enumerate(words):
        if i % 2 == 0:
            yield part, ""
        else:
            given, code = options(part)
            yield given.get("tags", ""), code


SEEN = re.compile(
    r'(?P<cell><div class="cell )|(?P<output><div class="output text_html">\s*)?'
    r'<(?:figure|table) class="df-(?:figure|table)\b|<a class="df-number"[^>]*>(?P<said>[^<]*)</a>'
)


def numbers_in(html: str, text: str) -> tuple[list[list[str]], list[str]]:
    """The numbers of figures and tables of a built page (dunfold_numbers.py): of each cell that it
    shows, and of the text's own; none where it was not built from ``text``."""
    cells: list[list[str]] = []
    own: list[str] = []
    inside = False
    for found in SEEN.finditer(html, max(html.find("<article"), 0)):
        if found["cell"]:
            cells.append([])
        elif found["said"]:
            (cells[-1] if inside and cells else own).append(found["said"])
        else:
            inside = bool(found["output"])
    shown = [words for words, code in cells_of(text) if code and "remove-cell" not in words]
    drawn = [part for part in RAW.findall(text) if 'class="df-figure' in part]
    return (cells, own) if (len(shown), len(drawn)) == (len(cells), len(own)) else ([], [])
