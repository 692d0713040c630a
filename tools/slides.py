"""One deck of slides a chapter, from the built book: `make slides`.

A deck holds what the marks in a chapter's source choose (book/_ext/dunfold_slides.py), taken from
the built page, so that text and slides cannot drift. It is one HTML file beside its styles, scripts
and fonts, needs no server and no network, and prints to PDF, one slide a page.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup, Comment
from bs4.element import NavigableString, PageElement, Tag

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
DECKS = ROOT / "_build" / "slides"
PARTS = ("mathjax", "dunfold.css", "explorer.js", "slides.css", "slides.js", "pygments.css")
MARK = re.compile(r"^(slide|key|show|hide|notes|end)(?::[ \t]*(.*))?$")
BOXES = ("theorem", "lemma", "proposition", "corollary", "definition", "algorithm")
JUNK = ".headerlink, .copybtn, noscript"


@dataclass
class Slide:
    """A title, what is shown, and what is said."""

    title: str
    shown: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def marks(comment: str) -> list[tuple[str, str]]:
    """The marks of a comment, each with what stands after its colon, over several lines."""
    found: list[tuple[str, str]] = []
    for line in comment.strip().splitlines():
        if hit := MARK.match(line.strip()):
            found.append((hit[1], hit[2] or ""))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}".strip())
    return found


def blocks(section: Tag) -> Iterator[PageElement]:
    """Comments and blocks of a page in order; sections are walked through, not given."""
    for child in section.children:
        if isinstance(child, Tag) and child.name == "section":
            yield from blocks(child)
        elif isinstance(child, Comment | Tag):
            yield child


def sentences(paragraph: Tag) -> list[str]:
    """The HTML of each sentence; full stops inside formulas, links and code end none."""
    done: list[str] = []
    now = ""
    for child in paragraph.children:
        if isinstance(child, NavigableString):
            ended = re.search(r"[.?!]$", BeautifulSoup(now, "html.parser").get_text().strip())
            parts = re.split(r"(?<=[.?!])\s+", escape(str(child), quote=False))
            if now and ended and str(child)[:1].isspace() and now.endswith(">"):
                done, now = [*done, now], ""
            for part in parts[:-1]:
                done, now = [*done, now + part], ""
            now += parts[-1]
        else:
            now += str(child)
    return [s.strip() for s in [*done, now] if s.strip()]


def kind(block: Tag) -> str:
    """What a block is: heading, formula, list, table, figure, box, cell, text or other."""
    classes = block.get_attribute_list("class")
    if re.fullmatch("h[1-6]", block.name):
        return "heading"
    if "math" in classes:
        return "formula"
    if "cell" in classes:
        return "cell"
    if "proof" in classes and any(box in classes for box in BOXES):
        return "box"
    if block.name == "p":
        return "text"
    return {"ul": "list", "ol": "list", "table": "table", "figure": "figure"}.get(
        block.name, "other"
    )


def outputs(cell: Tag, code: bool = False) -> str:
    """The drawn outputs of a cell; with ``code`` what it printed and its source too."""
    wanted = ".cell_output .text_html, .cell_output .highlight-ipython3"
    if code:
        wanted = ":scope > .cell_input, .cell_output > .output"
    return "".join(str(e) for e in cell.select(wanted))


def chosen(block: Tag, order: tuple[str, str] | None) -> str:
    """The HTML of a block that is on a slide, or nothing."""
    mark, argument = order or ("", "")
    sort = kind(block)
    if mark == "hide":
        return ""
    if mark == "key":
        said = sentences(block)
        numbers = [int(n) for n in re.findall(r"\d+", argument)] or [1]
        if sort != "text" or max(numbers) > len(said):
            text = block.get_text()[:40]
            raise ValueError(f"key {argument} before “{text}”, which has {len(said)} sentences")
        return f"<p>{' '.join(said[n - 1] for n in numbers)}</p>"
    if sort == "cell":
        return outputs(block, mark == "show")
    if mark == "show" or sort in ("formula", "list", "table", "figure", "box"):
        return str(block)
    return "" if sort != "other" or not block.select("table, figure") else str(block)


def opening(article: Tag) -> Slide:
    """The first slide: the chapter's title and what its reader will be able to do."""
    title = article.select_one("h1")
    box = article.select_one(".tip.admonition")
    listed = box.select_one("ul") if box else None
    slide = Slide(title.decode_contents() if title else "", [str(listed)] if listed else [])
    if box:
        slide.said = [
            str(p) for p in box.select("p:not(.admonition-title)") if not p.find_parent("li")
        ]
    return slide


def slides(article: Tag) -> list[Slide]:
    """The deck of a page; an empty list where the page has no mark."""
    for junk in article.select(JUNK):
        junk.decompose()
    made, heading, open_, order = [opening(article)], "", False, None
    for block in blocks(article):
        if isinstance(block, Comment):
            for mark, argument in marks(str(block).removeprefix(" dunfold")):
                if mark == "slide":
                    made.append(Slide(_titled(argument) or heading))
                    open_ = True
                elif mark == "end":
                    open_ = False
                elif mark == "notes":
                    made[-1].said.append(f"<p>{escape(argument)}</p>")
                else:
                    order = (mark, argument)
            continue
        assert isinstance(block, Tag)
        if kind(block) == "heading":
            for number in block.select(".section-number"):
                number.decompose()
            heading, open_ = block.decode_contents(), False
        elif open_:
            html = chosen(block, order)
            if html:
                made[-1].shown.append(html)
            if kind(block) == "text" and (not order or order[0] != "show"):
                made[-1].said.append(str(block))
        elif order and order[0] in ("key", "show"):
            raise ValueError(f"{order[0]} outside of a slide, before “{block.get_text()[:40]}”")
        order = None
    return made if len(made) > 1 else []


def _titled(text: str) -> str:
    """A title as HTML; what stands between dollars is set as mathematics."""
    return re.sub(r"\$(.+?)\$", r'<span class="math">\\(\1\\)</span>', escape(text, quote=False))


def linked(html: str, page: str) -> str:
    """The same with its links leading into the book beside the decks."""
    base = f"../html/{Path(page).parent.as_posix()}/"
    name = Path(page).name
    out = lambda hit: f'{hit[1]}href="{base}{name if hit[2][:1] == "#" else ""}{hit[2]}"'
    return re.sub(r'(?<=<a )([^>]*?)href="(?!https?:|mailto:|data:)([^"]+)"', out, html)


def deck(page: str, html: str) -> str:
    """The deck of a built page, or nothing where it has no mark."""
    soup = BeautifulSoup(html, "html.parser")
    article = soup.select_one("article")
    try:
        made = slides(article) if article else []
    except ValueError as error:
        raise ValueError(f"{page}: {error}") from None
    if not made:
        return ""
    maths = next(s.string for s in soup.find_all("script") if "window.MathJax" in (s.string or ""))
    plain = BeautifulSoup(made[0].title, "html.parser").get_text()
    body = "".join(_section(s, i, len(made), plain) for i, s in enumerate(made, 1))
    styles = "".join(
        f'<link rel="stylesheet" href="_static/{n}">' for n in PARTS if n.endswith("css")
    )
    return (
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(plain)}</title>{styles}'
        f"<script>{maths}</script>"
        '<script defer src="_static/mathjax/tex-chtml.js"></script>'
        '<script defer src="_static/explorer.js"></script>'
        '<script defer src="_static/slides.js"></script></head>'
        '<body class="tex2jax_ignore"><main class="df-deck">'
        f"{linked(body, page)}</main></body></html>\n"
    )


def _section(slide: Slide, i: int, n: int, chapter: str) -> str:
    """One slide as HTML."""
    level = "h1" if i == 1 else "h2"
    return (
        f'<section class="df-slide" id="s{i}" aria-label="Slide {i} of {n}"><div class="df-page">'
        f"<{level}>{slide.title}</{level}>"
        f'<div class="df-body bd-content"><div class="df-fit">{"".join(slide.shown)}</div></div>'
        f'<p class="df-foot"><span>{escape(chapter)}</span><span>{i} / {n}</span></p></div>'
        f'<aside class="df-notes" aria-label="Notes">{"".join(slide.said)}</aside></section>'
    )


def write(html: Path = HTML, out: Path = DECKS) -> list[Path]:
    """Write the deck of every built page that has marks, and what decks need beside them."""
    written = []
    for path in sorted(html.glob("book/*/*.html")):
        page = path.relative_to(html).as_posix()
        if text := deck(page, path.read_text("utf-8")):
            out.mkdir(parents=True, exist_ok=True)
            target = out / f"{path.parent.name}-{path.name}"
            target.write_text(text, "utf-8")
            written.append(target)
    for name in PARTS if written else ():
        source, target = html / "_static" / name, out / "_static" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    return written


if __name__ == "__main__":
    made = write(*map(Path, sys.argv[1:3]))
    if not made:
        sys.exit("no page has marks for slides, or the book is not built: make book")
    for path in made:
        print(path)
