"""Self-checks: questions with immediate answers, on a page without a server and without a kernel.

A question is a fence; its choices are a list of tasks, the right ones ticked, each followed by two
colons and the reason that the reader sees once the choice is taken::

    :::{check} Which step is safe for every $b$?
    - [x] $1/L$ :: the majorant lies above $f$ for every $t\\le1/L$.
    - [ ] $2/L$ :: it bounces: along the steepest eigenvector the error is multiplied by $-1$.
    - [ ] any, if $\\lambda$ is small :: the bound on the step does not contain $\\lambda$.
    :::

A long question may stand in the fence's body before the list; a reason may go on in further
paragraphs of its item, indented, formulas too. Questions that follow one another make one group,
headed "Check yourself". At least two choices, at least one ticked, a reason for each: the build
fails otherwise. "Right." and "No." are added: a reason does not begin with them.

In HTML a choice is a ``details`` element, so that keyboards, screen readers, the browser's search,
print and readers without JavaScript need nothing of ours. Elsewhere the choices are a list and the
reasons follow under "Answer"; ``plain`` writes the same for a notebook.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

LABEL = "Check yourself"
TICK = re.compile(r"\[([x ])\]\s+")
SPLIT = re.compile(r"\s+::\s+")
WORDS = {True: "Right.", False: "No."}


class check(nodes.General, nodes.Element):  # noqa: N801  Docutils names nodes in lower case
    """A question and its choices."""


class check_question(nodes.General, nodes.Element):  # noqa: N801
    """What is asked."""


class check_choice(nodes.General, nodes.Element):  # noqa: N801
    """One choice, right or not; its children are what it says and why."""


class check_said(nodes.General, nodes.TextElement):  # noqa: N801
    """What a choice says."""


class check_why(nodes.General, nodes.Element):  # noqa: N801
    """The reason that is shown once a choice is taken."""


def choice(item: nodes.list_item) -> check_choice:
    """A list item, ``[x] said :: why``, as a choice; ValueError says what it lacks."""
    if not item.children or not isinstance(item[0], nodes.paragraph):
        raise ValueError("a choice is empty; it needs `[x] choice :: why`")
    first, *more = item.children
    texts = [*first.children]
    tick = TICK.match(texts[0].astext())
    if not tick:
        raise ValueError(f"a choice begins {first.astext()[:20]!r}; it needs `[x]` or `[ ]`")
    texts[0] = nodes.Text(texts[0].astext()[tick.end() :])
    for at, node in enumerate(texts):
        if isinstance(node, nodes.Text) and (cut := SPLIT.search(f"{node} ")):
            before, after = nodes.Text(node[: cut.start()]), nodes.Text(node[cut.end() :])
            right = tick[1] == "x"
            word = nodes.strong("", WORDS[right])
            reason = nodes.paragraph("", "", word, nodes.Text(" "), after, *texts[at + 1 :])
            said = check_said("", "", *texts[:at], before)
            return check_choice("", said, check_why("", reason, *more), right=right)
    raise ValueError(f"choice {first.astext()!r} has no reason; write `:: why` after it")


class Check(SphinxDirective):
    """``:::{check} question`` with a list of choices."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """The question as a node, or an error that names what is missing."""
        body = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, body)
        lists = [c for c in body.children if isinstance(c, nodes.bullet_list)]
        if len(lists) != 1:
            raise self.error(f"a check has {len(lists)} lists of choices; it needs one")
        asked = [c for c in body.children if c is not lists[0]]
        if self.arguments:
            texts, _ = self.state.inline_text(self.arguments[0], self.lineno)
            asked.insert(0, nodes.paragraph("", "", *texts))
        try:
            choices = [choice(item) for item in lists[0].children]
        except ValueError as error:
            raise self.error(str(error)) from None
        if not asked or len(choices) < 2 or not any(c["right"] for c in choices):
            raise self.error("a check needs a question, two choices or more, and a ticked one")
        node = check("", check_question("", *asked), *choices)
        node["number"] = self.env.new_serialno("check")
        self.set_source_info(node)
        return [node]


class Flatten(SphinxPostTransform):
    """Where the output is not HTML: the question, its choices, and the reasons after them."""

    default_priority = 200

    def run(self, **kwargs: Any) -> None:
        """Replace every check of the document."""
        if self.app.builder.format == "html":
            return
        for node in [*self.document.findall(check)]:
            question, *choices = node.children
            said = [nodes.paragraph("", "", *(n.deepcopy() for n in c[0])) for c in choices]
            items = [nodes.list_item("", p) for p in said]
            reasons = []
            for p, c in zip(said, choices, strict=True):
                reasons.append(nodes.list_item("", p.deepcopy(), *c[1].children))
            answer = nodes.paragraph("", "", nodes.strong("", "Answer"))
            lists = (
                nodes.enumerated_list("", *part, enumtype="arabic") for part in (items, reasons)
            )
            shown, told = lists
            node.replace_self([*question.children, shown, answer, told])


def _open(self: Any, node: check) -> None:
    name = f"check-{node['number']}"
    self.body.append(f'<div class="df-check" role="group" aria-labelledby="{name}">')
    node[0]["name"] = name


def _open_question(self: Any, node: check_question) -> None:
    self.body.append(f'<div class="df-question" id="{node["name"]}">')


def _open_choice(self: Any, node: check_choice) -> None:
    kind = "right" if node["right"] else "wrong"
    self.body.append(f'<details class="df-choice df-{kind}">')


def _open_said(self: Any, node: check_said) -> None:
    number = node.parent.parent.index(node.parent)
    # a choice may be a formula, so its fold needs words; and it is one button, so links are lost
    for link in [*node.findall(nodes.reference)]:
        link.replace_self(link.children)
    words = f'<span class="visually-hidden">Choice {number}: </span>'
    self.body.append(f"<summary>{words}<span>")


def _tags(before: str, after: str) -> tuple[Any, Any]:
    """A visitor pair that writes two texts."""
    return (lambda self, node: self.body.append(before), lambda self, node: self.body.append(after))


CLOSE = _tags("", "</div>\n")[1]


# ------------------------------------------------------------------ a notebook

FENCE = re.compile(r"^(:{3,})\{check\}[ \t]*([^\n]*)\n(.*?)^\1[ \t]*$", re.M | re.S)
ITEM = re.compile(r"^- \[([x ])\]\s+(.*?)\s+::\s+(.*?)(?=^- \[|\Z)", re.M | re.S)


def plain(text: str) -> str:
    """A page's source with its checks in Markdown that every notebook shows, answers folded."""
    return FENCE.sub(lambda found: _plain(found[2], found[3]), text)


def _plain(title: str, body: str) -> str:
    asked = " ".join(f"{title} {re.split(r'^- ', body, maxsplit=1, flags=re.M)[0]}".split())
    items = ITEM.findall(body)
    choices = "\n".join(f"{i}. {' '.join(said.split())}" for i, (_, said, _) in enumerate(items, 1))
    answers = "\n".join(
        f"{i}. **{WORDS[tick == 'x']}** {why.strip()}" for i, (tick, _, why) in enumerate(items, 1)
    )
    fold = f"<details><summary>Answer</summary>\n\n{answers}\n\n</details>"
    return f"**{LABEL}.** {asked}\n\n{choices}\n\n{fold}"


def setup(app: Any) -> dict[str, Any]:
    """Register the directive, its nodes and what other formats show."""
    app.add_directive("check", Check)
    app.add_node(check, html=(_open, CLOSE))
    app.add_node(check_question, html=(_open_question, CLOSE))
    app.add_node(check_choice, html=(_open_choice, _tags("", "</details>\n")[1]))
    app.add_node(check_said, html=(_open_said, _tags("", "</span></summary>")[1]))
    app.add_node(check_why, html=_tags('<div class="df-why">', "</div>"))
    app.add_post_transform(Flatten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
