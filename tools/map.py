"""Which room uses which shared module: the table in README.md, made from the imports.

python tools/map.py          rewrite the table
python tools/map.py --check  fail if it is not what the imports say
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "dunfold_lib"
BEGIN, END = "<!-- map:begin -->", "<!-- map:end -->"


def used(room: str) -> set[str]:
    """Names of shared modules that a room imports."""
    names: set[str] = set()
    for file in (LIBRARY / room).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "dunfold_lib":
                names |= {a.name for a in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.removeprefix("dunfold_lib.").split(".")[0])
    return names


def purpose(module: str) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse((LIBRARY / f"{module}.py").read_text(encoding="utf-8")))
    return (text or "").split("\n")[0].split(". ")[0].rstrip(".")


def table() -> str:
    """The map as a Markdown table."""
    rooms = sorted(p.parent.name for p in LIBRARY.glob("*/model.py"))
    shared = sorted(p.stem for p in LIBRARY.glob("*.py") if not p.stem.startswith("__"))
    uses = {room: used(room) for room in rooms}
    lines = [["module", *rooms, "what it is for"], ["---"] * (len(rooms) + 2)]
    for module in shared:
        marks = ["●" if module in uses[room] else "" for room in rooms]
        lines.append([f"`{module}`", *marks, purpose(module)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: list[str]) -> int:
    """Rewrite or check the table in README.md."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    new = f"{head}{BEGIN}\n{table()}\n{END}{tail}"
    if new == text:
        return 0
    if "--check" in arguments:
        print("README.md: the map of rooms and floors is out of date; run: make map")
        return 1
    readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
