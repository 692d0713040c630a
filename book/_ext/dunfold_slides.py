"""Slides: marks in a chapter's source that say what its deck shows (``make slides``).

A mark is a comment of MyST, one line a mark; a reader of the page sees none of them::

    % slide                    a slide begins; its title is the section's
    % slide: Another title
    % key                      of the next paragraph the first sentence is on the slide
    % key: 2, 3                … its second and third
    % show                     the next block is on the slide, whatever it is
    % hide                     the next block is not
    % notes: what to say       for the speaker; it may go on in further lines that begin with %
    % end                      what follows is in no slide

A slide ends at the next ``% slide``, ``% end`` or heading. On it are the displayed formulas, lists,
tables, figures, explorers, and the boxes of theorems and definitions in between. Its paragraphs are
the speaker's notes. Code, printed output, proofs, remarks, checks and exercises are left out. The
chapter's title and its "what you will be able to do" are the first slide.

Sphinx drops comments; this extension keeps the marks in the HTML, as comments there, in which
``tools/slides.py`` finds them. ``without_marks`` takes them out of a source, for a notebook.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

MARK = re.compile(r"(slide|key|show|hide|notes|end)(?=:|$)", re.M)
LINES = re.compile(r"^% ?(?:slide|key|show|hide|notes|end)(?::.*)?\n(?:^%.*\n)*", re.M)


def without_marks(text: str) -> str:
    """A page's source without the marks of its deck."""
    return LINES.sub("", text)


class Keep(SphinxPostTransform):
    """Marks become comments of the HTML."""

    default_priority = 210
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Replace every comment that begins with a mark."""
        for node in [*self.document.findall(nodes.comment)]:
            text = node.astext().strip()
            if MARK.match(text):
                safe = text.replace("--", "- -")
                node.replace_self(nodes.raw("", f"<!-- dunfold\n{safe}\n-->", format="html"))


def setup(app: Any) -> dict[str, Any]:
    """Register the transform."""
    app.add_post_transform(Keep)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
