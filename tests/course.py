"""What a chapter's source says of its length: words, formulas, exercises, and their minutes.

``python tests/course.py`` says what each chapter lacks.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
DEEPER = "*Deeper: skip it on a first reading.*"
PER_MINUTE, FORMULA, EXERCISE = 150, 0.5, 6  # words, minutes, minutes
FENCE = re.compile(r"^(`{3,}|:{3,})\{?([\w:-]*)\}?")


def chapters():
    """Each numbered chapter of the table of contents: its method page first, then the others."""
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"]
    listed = [c for part in parts if part.get("numbered") for c in part["chapters"]]
    return {c["file"]: [c["file"], *(s["file"] for s in c.get("sections", []))] for c in listed}


def source(page):
    """The text of a page, as the table of contents names it."""
    return (ROOT / f"{page}.md").read_text("utf-8")


@dataclass
class Section:
    """What stands below one heading; ``deeper`` where a first reading skips it.

    words : of its prose.  asked : of its checks, exercises and solutions, which are not prose.
    """

    title: str
    level: int
    deeper: bool = False
    words: int = 0
    asked: int = 0
    formulas: int = 0
    exercises: int = 0
    checks: int = 0
    cells: list[str] = field(default_factory=list)

    def minutes(self, core=False):
        """How long it takes to read; without its exercises for the core."""
        read = self.words / PER_MINUTE + FORMULA * self.formulas
        return read + (0 if core else EXERCISE * self.exercises)


def count(text):
    """The words of a line: what stands between blanks and has a letter or a digit."""
    return sum(any(c.isalnum() for c in word) for word in text.split())


def sections(text):
    """The sections of a page's source, in order; the first is what stands above all headings."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    found, kept, asks, skip, display = [Section("", 0)], False, False, "", False
    above = lambda level: any(s.deeper for s in _parents(found, level))
    for line in text.splitlines():
        now = found[-1]
        if skip:
            if line.rstrip() == skip:
                skip = ""
            elif kept:
                now.cells[-1] += line + "\n"
            elif asks:
                now.asked += count(line)
            continue
        fence = FENCE.match(line)
        if fence and fence[2] in (
            "code-cell",
            "raw",
            "literalinclude",
            "exercise",
            "solution",
            "check",
        ):
            skip, kept = fence[1], fence[2] == "code-cell"
            asks = fence[2] in ("exercise", "solution", "check")
            now.exercises += fence[2] == "exercise"
            now.checks += fence[2] == "check"
            if kept:
                now.cells.append("")
        elif line.strip().startswith("$$") or display:
            ends = line.count("$$") == 2 or (display and "$$" in line)
            now.formulas += not display
            display = not ends
        elif hit := re.match(r"(#+) (.*)", line):
            level = len(hit[1])
            found.append(Section(hit[2], level, above(level)))
        elif line.strip() == DEEPER:
            now.deeper = True
        elif not (fence or line.startswith(("%", ":label:", ":class:"))):
            now.words += count(line)
    return found


def _parents(found, level):
    """The sections of lower level that the next one of ``level`` stands in."""
    for section in reversed(found):
        if section.level < level:
            yield section
            level = section.level


def minutes(text, core=False):
    """How many minutes a page takes; only its core, without exercises."""
    return sum(s.minutes(core) for s in sections(text) if not (core and s.deeper))


def words(text):
    """All words of a page, its checks and exercises too."""
    return sum(s.words + s.asked for s in sections(text))


def rounded(value):
    """Minutes as a page states them, to five."""
    return 5 * round(value / 5)


def stated(text):
    """The minutes that a page states, as a list: core and everything, or everything alone."""
    said = re.search(r"\*Time:\*\s+about\s+(\d+)\s+minutes([^.]*)\.", text)
    if not said:
        return []
    return [int(said[1]), *map(int, re.findall(r"\d+", said[2]))]


def unhinted(text):
    """The solutions of a page that have no hint between their exercise and themselves."""
    tasks = re.split(r"^:{3,}\{exercise\}", text, flags=re.M)[1:]
    pairs = [re.split(r"^:{3,}\{solution\} *", task, maxsplit=1, flags=re.M) for task in tasks]
    return [pair[1].split()[0] for pair in pairs if len(pair) == 2 and "Hint" not in pair[0]]


def faults(chapter, pages):
    """What the pages of a chapter lack as a course, a line each."""
    said, method, *rest = [], source(pages[0]), *map(source, pages[1:])
    every = [s for text in (method, *rest) for s in sections(text)]
    core, whole = minutes(method, core=True), minutes(method)
    if core > 32.5:
        said.append(f"its core takes {core:.0f} minutes; at most 30")
    told = stated(method)
    if len(told) != 2 or abs(told[0] - core) > 5 or abs(told[1] - whole) > 5:
        said.append(f"states {told} minutes; by count {rounded(core)} and {rounded(whole)}")
    for page, text in zip(pages[1:], rest, strict=True):
        if not stated(text) or abs(stated(text)[0] - minutes(text)) > 5:
            said.append(f"{page} states {stated(text)} minutes; by count {rounded(minutes(text))}")
    for page, text in zip(pages, (method, *rest), strict=True):
        if words(text) > 4000:
            said.append(f"{page} has {words(text)} words; at most 4000")
    said += [f"{name} has no hint" for text in (method, *rest) for name in unhinted(text)]
    for name, least in (("exercises", 5), ("checks", 6)):
        if (n := sum(getattr(s, name) for s in every)) < least:
            said.append(f"{n} {name}; at least {least}")
    if not any(OPEN.search(text) for text in (method, *rest)):
        said.append("no exercise is open: none says (research)")
    cells = [c for s in sections(method) for c in s.cells]
    if not any(TRAINS.search(c) and not HIDDEN.search(c) for c in cells):
        said.append("no visible cell of the method page trains")
    if not any("_explorer(" in c for s in every for c in s.cells):
        said.append("no explorer")
    return said


OPEN = re.compile(r"^:{3,}\{exercise\} .*\(research\)$", re.M)
TRAINS = re.compile(r"\b(fit|train|train_\w+|grow)\(|\.backward\(")
HIDDEN = re.compile(r"^:tags: .*(hide-input|hide-cell|remove-cell|remove-input)", re.M)

if __name__ == "__main__":
    for name, listed in chapters().items():
        print(name, *faults(name, listed), sep="\n  ")
