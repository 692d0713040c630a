"""Numbers for figures and tables, so that a class can refer to them: "Figure 3.2", "Table 3.1".

The figures (``show.page``, explorers, ``figure.df-figure``) and tables (``show.table``) of a
chapter and of the pages below it are counted in reading order. A page without a chapter's number
counts by the letter that its name begins with (tools: "Figure T.1"); the landing page is chapter 0.
A number is written into the caption when the page is written, and leads to itself: its address can
be passed on. No source changes for it; slides, made from built pages, have the same numbers.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.util import logging

SHOWN = re.compile(r'<(figure|table) class="df-(?:figure|table)\b[^>]*>')
WORDS = {"figure": "Figure", "table": "Table"}
Counts = Counter[str]


def counted(html: str) -> Counts:
    """How many figures and tables a piece of HTML shows."""
    return Counter(found[1] for found in SHOWN.finditer(html))


def pages(env: Any) -> Iterator[str]:
    """Every page, in reading order."""
    todo = [env.config.root_doc]
    while todo:
        page = todo.pop()
        yield page
        todo += reversed(env.toctree_includes.get(page, []))


def chapter(env: Any, page: str) -> str:
    """The number of the chapter that a page belongs to, or what stands for it."""
    if page == env.config.root_doc:
        return "0"
    number = env.toc_secnumbers.get(page, {}).get("")
    return str(number[0]) if number else page.rpartition("/")[2][0].upper()


def starts(env: Any) -> dict[str, tuple[str, Counts]]:
    """Of each page its chapter, and what the pages before it in the chapter show."""
    seen: dict[str, Counts] = {}
    made = {}
    for page in pages(env):
        at = chapter(env, page)
        before = seen.setdefault(at, Counter())
        made[page] = at, before
        seen[at] = before + env.dunfold_shown.get(page, Counter())
    return made


def numbered(html: str, at: str, before: Counts) -> str:
    """A page's HTML with a number in the caption of each figure and table, and an address."""
    count, parts, end = Counter(before), [], 0
    for found in SHOWN.finditer(html):
        kind = found[1]
        count[kind] += 1
        name = f"{kind}-{at}-{count[kind]}"
        said = f'<a class="df-number" href="#{name}">{WORDS[kind]} {at}.{count[kind]}</a>'
        close = html.index(f"</{kind}>", found.end())
        parts += [html[end : found.start()], _addressed(found[0], name)]
        parts += [_captioned(html[found.end() : close], kind, said)]
        end = close
    return "".join([*parts, html[end:]])


def _addressed(tag: str, name: str) -> str:
    """An opening tag with an id, or, where it has one, followed by an empty element that has it."""
    return f'{tag}<span id="{name}"></span>' if " id=" in tag else f'{tag[:-1]} id="{name}">'


def _captioned(inner: str, kind: str, said: str) -> str:
    tag = {"figure": "figcaption", "table": "caption"}[kind]
    if f"<{tag}>" in inner:
        return inner.replace(f"<{tag}>", f"<{tag}>{said} ", 1)
    alone = f"<{tag}>{said}</{tag}>"
    return alone + inner if kind == "table" else inner + alone


# ------------------------------------------------------------------ Sphinx


def shown(env: Any) -> dict[str, Counts]:
    """What each page shows, as far as the pages were read."""
    if not hasattr(env, "dunfold_shown"):
        env.dunfold_shown, env.dunfold_starts = {}, {}
    kept: dict[str, Counts] = env.dunfold_shown
    return kept


def read(app: Any, doctree: Any) -> None:
    """Count what a page shows."""
    raw = "".join(node.astext() for node in doctree.findall(nodes.raw) if "html" in node["format"])
    shown(app.env)[app.env.docname] = counted(raw)


def purge(app: Any, env: Any, page: str) -> None:
    """Forget a page that is read anew."""
    shown(env).pop(page, None)


def merge(app: Any, env: Any, some: Any, other: Any) -> None:
    """What another process counted."""
    shown(env).update({page: shown(other)[page] for page in some if page in shown(other)})


def moved(app: Any, env: Any) -> list[str]:
    """The pages whose numbers begin elsewhere than when they were last written."""
    shown(env)
    old, env.dunfold_starts = env.dunfold_starts, starts(env)
    return [page for page, start in env.dunfold_starts.items() if old.get(page) != start]


def write(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Number a page."""
    if page not in shown(app.env) or not context.get("body"):
        return
    at, before = app.env.dunfold_starts.get(page, (chapter(app.env, page), Counter()))
    if counted(context["body"]) != app.env.dunfold_shown[page]:
        words = "%s shows other figures and tables than were counted"
        logging.getLogger(__name__).warning(words, page, location=page)
    context["body"] = numbered(context["body"], at, before)


def setup(app: Any) -> dict[str, Any]:
    """Register the hooks."""
    app.connect("doctree-read", read)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("env-get-updated", moved, priority=900)
    app.connect("html-page-context", write, priority=400)
    return {
        "version": "1",
        "env_version": 1,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
