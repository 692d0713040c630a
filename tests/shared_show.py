"""What the tests ``test_show*`` share."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np

from dunfold_lib.show import Curves, line

NASTY = """<b>"x" & 'y'</script>"""

VOID = {"img", "input", "br", "meta", "link"}


class Reader(HTMLParser):
    """Every element as (tag, attributes, number of its svg or None), and its text; tags balance."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open, self.svgs = [], [], [], 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute of <{tag}> is given twice"
        self.svgs += tag == "svg"
        inside = self.svgs if "svg" in self.open or tag == "svg" else None
        self.elements.append((tag, dict(attrs), inside))
        self.texts.append("")
        if tag not in VOID:
            self.open.append(tag)
            self.index = len(self.elements) - 1

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts[self.index] += data

    def all(self, tag):
        return [attrs for t, attrs, _ in self.elements if t == tag]

    def text(self, tag):
        return [x for (t, _, _), x in zip(self.elements, self.texts, strict=True) if t == tag]


def curves(slope=1.0, **changes):
    lines = (
        line([0, 1], [0, 1], "fixed", 5, "dashed"),
        line([0, 1], [0, slope], "moves & <grows>", 1),
        line([0.5], [slope / 2], "", 0, "dots"),
    )
    note = f"slope {slope:g}"
    made = Curves(lines, "x", "$y_1$", "a", xlim=(0, 1), ylim=(0, 2), fixed=1, note=note)
    return replace(made, **changes)


def grey(height=5, width=7):
    return np.linspace(0, 1, height * width).reshape(height, width)
