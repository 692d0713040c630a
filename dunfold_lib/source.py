"""The lines of two functions beside each other, as ``show.twins`` shows them."""

import ast
import difflib
import inspect
import itertools
import re
import textwrap
from collections.abc import Callable
from html import escape
from typing import Any

from dunfold_lib import checks

GUARDS = (
    "checks.",
    "fits(",
    "rows_fit(",
    "self._fits(",
    "_alike(",
    "is_noisy(",
)  # lines that only look at arguments


def body(function: Callable[..., Any]) -> list[str]:
    """The lines of a function below its signature and docstring, without looks at arguments."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
        (node,) = ast.parse(text).body
    except (OSError, SyntaxError, TypeError):
        raise TypeError(f"{checks.brief(function)} has no source to show") from None
    if not isinstance(node, ast.FunctionDef):
        raise TypeError(f"{checks.brief(function)} is no function with a body to show")
    first = node.body[1 if ast.get_docstring(node) is not None and len(node.body) > 1 else 0]
    lines = text.rstrip().split("\n")[first.lineno - 1 :]
    kept = [line for line in lines if not line.lstrip().startswith(GUARDS)]
    return textwrap.dedent("\n".join(kept)).split("\n")


def aligned(a: list[str], b: list[str]) -> list[tuple[str, str]]:
    """Lines of a beside lines of b; a line that only one side has stands beside an empty one."""
    pairs: list[tuple[str, str]] = []
    for _, i, p, j, q in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        pairs += itertools.zip_longest(a[i:p], b[j:q], fillvalue="")
    return pairs


def marked(a: str, b: str) -> str:
    """b with the words that are not in a marked."""
    old, new = (re.findall(r"\w+|\s+|[^\w\s]", s) for s in (a, b))
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return "".join(
        escape(part) if tag == "equal" else f"<mark>{escape(part)}</mark>"
        for tag, _, _, j, q in codes
        if (part := "".join(new[j:q]))
    )
