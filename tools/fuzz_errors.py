"""What an error says, and whether the library itself raised it."""

import ast
import linecache
from importlib import import_module
from pathlib import Path
from types import TracebackType

LIBRARY = str(Path(import_module("dunfold_lib").__file__ or "").parent)


def _refusal(error: Exception) -> str:
    """Whether an exception is the library's own, by a ``raise`` of its own, in one line."""
    own = isinstance(error, ValueError | TypeError | RuntimeError) and "\n" not in str(error)
    return "refused" if own and str(error) and _raised_here(error.__traceback__) else "foreign"


def _raised_here(trace: TracebackType | None) -> bool:
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None or not trace.tb_frame.f_code.co_filename.startswith(LIBRARY):
        return False
    return trace.tb_lineno in _raises(trace.tb_frame.f_code.co_filename)


def _raises(file: str, known: dict[str, set[int]] = {}) -> set[int]:  # noqa: B006
    """The lines of a file that belong to a ``raise`` statement."""
    if file not in known:
        tree = ast.parse("".join(linecache.getlines(file)))
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Raise)]
        known[file] = {i for n in nodes for i in range(n.lineno, (n.end_lineno or 0) + 1)}
    return known[file]


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' / '.join(str(error).splitlines())[:110]}"
