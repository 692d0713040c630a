"""Figures from arrays: what a chapter draws, and how it looks on a page.

A figure function returns data, ``Curves`` or ``Frames``, never a drawing. ``figure`` draws curves
with matplotlib; ``html`` puts panels into a page as inline SVG and small images, in colours that
follow the page's light or dark theme. Both carry a text for readers who do not see the picture.
"""

import base64
import io
import itertools
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, get_args

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from dunfold_lib import checks, source

# Okabe & Ito's palette, tellable apart by colour-blind readers. On a page each colour is a CSS
# variable (book/_static/dunfold.css) with a lighter twin for the dark theme.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#5f6a72")
INK = "#010203"  # stands for the page's text colour
STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "legend.fontsize": "medium",
    "mathtext.fontset": "stix",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "path.simplify": False,
}
QUOTED = "application/papermill.record/"  # MyST-NB keeps such an output and shows it nowhere
Style = Literal["solid", "dashed", "dots", "path"]
LOOKS: dict[Style, dict[str, Any]] = {
    "solid": {"linestyle": "-"},
    "dashed": {"linestyle": "--"},
    "dots": {"linestyle": "none", "marker": "o", "markersize": 5},
    "path": {"linestyle": "-", "marker": "o", "markersize": 3, "linewidth": 1.2},
}
BESIDE = (4.4, 3.2)  # of one of two figures in a row
_serial = itertools.count(1)
_styled = threading.RLock()  # the style is the whole process's: a notebook also draws in a thread


@checks.door
@dataclass(frozen=True)
class Line:
    """One curve. ``style``: a line, dashes, dots, or a line with a dot at every point."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    label: str = ""
    colour: int = 0
    style: Style = "solid"


@checks.door
@dataclass(frozen=True)
class Curves:
    """Curves on one pair of axes; ``alt`` says in words what they show.

    xlim, ylim : limits of the axes, found from the data where None; an explorer needs both.
    fixed      : how many of the lines, from the first on, do not move with an explorer's sliders.
    note       : one line of text about this state of the figure.
    """

    lines: tuple[Line, ...]
    xlabel: str
    ylabel: str
    alt: str
    title: str = ""
    logx: bool = False
    logy: bool = False
    xlim: tuple[float, float] | None = None
    ylim: tuple[float, float] | None = None
    equal: bool = False
    fixed: int = 0
    note: str = ""
    size: tuple[float, float] = (5.2, 3.3)


@checks.door
@dataclass(frozen=True)
class Frames:
    """Images side by side: grey (height, width) or colour (height, width, 3), values in [0, 1]."""

    images: tuple[NDArray[np.float64], ...]
    captions: tuple[str, ...]
    alt: str
    note: str = ""
    zoom: int = 1

    def __post_init__(self) -> None:
        if len(self.images) != len(self.captions):
            raise ValueError(f"{len(self.images)} images have {len(self.captions)} captions")
        if not self.images:
            raise ValueError("frames were given no image; they need at least one")
        checks.whole("zoom", self.zoom, 1)
        for image in self.images:
            if image.ndim != 2 and image.shape[2:] != (3,):
                allowed = "(height, width) or (height, width, 3)"
                raise ValueError(f"an image has shape {image.shape}; it must be {allowed}")


def array(x: Tensor | ArrayLike) -> NDArray[np.float64]:
    """Anything numeric as a float64 NumPy array."""
    try:
        held = x.detach().cpu().double().numpy() if isinstance(x, Tensor) else x
        return np.asarray("nothing" if held is None else held, dtype=np.float64)
    except (TypeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise type(error)(f"x is {checks.brief(x)}; it must be numbers ({why})") from None


@checks.door
def line(x: Any, y: Any, label: str = "", colour: int = 0, style: Any = "solid") -> Line:
    """A ``Line`` from tensors or sequences; x and y must be equally long."""
    x, y = array(x).ravel(), array(y).ravel()
    checks.one_of("style", style, get_args(Style))
    if x.shape != y.shape:
        raise ValueError(f"x has {len(x)} points and y {len(y)}; a line needs as many of each")
    return Line(x, y, label, colour, style)


def each_line(found: Mapping[str, Any], x: Any = None, style: Any = "solid") -> tuple[Line, ...]:
    """A line for each name, each in the next colour.  x : of all, by default 1, 2, …"""
    at = lambda y: range(1, len(y) + 1) if x is None else x
    return tuple(line(at(y), y, name, i, style) for i, (name, y) in enumerate(found.items()))


def figure(curves: Curves) -> Figure:
    """The curves as a matplotlib figure; line i has the gid ``line-i``."""
    with _styled, matplotlib.rc_context(STYLE):
        fig = Figure(figsize=curves.size, dpi=72)
        ax = fig.subplots()
        for i, c in enumerate(curves.lines):
            colour, label = COLOURS[c.colour % len(COLOURS)], c.label or f"_{i}"
            ax.plot(c.x, c.y, color=colour, label=label, gid=f"line-{i}", **LOOKS[c.style])
        ax.set(xlabel=curves.xlabel, ylabel=curves.ylabel, title=curves.title)
        scale = {False: "linear", True: "log"}
        ax.set(xscale=scale[curves.logx], yscale=scale[curves.logy])
        if not curves.logx and all((c.x == c.x.round()).all() for c in curves.lines):
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if curves.equal:
            ax.set_aspect("equal", adjustable="box")
        if curves.xlim:
            ax.set_xlim(*curves.xlim)
        if curves.ylim:
            ax.set_ylim(*curves.ylim)
        if any(c.label for c in curves.lines):
            ax.legend(handlelength=1.8, labelspacing=0.3)
        # once and by hand: as the figure's own it would be drawn twice more, to no other end
        ConstrainedLayoutEngine().execute(fig)
        ax.apply_aspect()
    return fig


def axes_box(fig: Figure) -> list[float]:
    """[left, right, bottom, top] of the axes in the SVG's coordinates, whose y points down."""
    (ax,) = fig.axes
    box, height = ax.get_window_extent(), fig.get_figheight() * fig.dpi
    return [round(v, 2) for v in (box.x0, box.x1, height - box.y0, height - box.y1)]


def svg(fig: Figure, alt: str, uid: str) -> str:
    """The figure as an SVG element for a page; its colours become CSS variables."""
    buffer = io.StringIO()
    with _styled, matplotlib.rc_context(STYLE | {"svg.hashsalt": uid}):
        fig.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.S)
    # ids become unique on a page, not only in their figure; hexadecimal colours stay
    text = re.sub(r'( id="|#(?![0-9a-f]{6}\b))([\w-]+)', rf"\g<1>{uid}-\g<2>", text)
    for i, colour in enumerate(COLOURS):
        text = text.replace(colour, f"var(--df-{i}, {colour})")
    text = text.replace(INK, "currentColor")
    head = f'<svg role="img" aria-label="{escape(alt)}" '
    return head + re.sub(r'^<svg (?:xmlns:xlink="[^"]*" )?', "", text, count=1)


@checks.door
def image_uri(image: NDArray[np.float64], zoom: int = 1) -> str:
    """An image in [0, 1] as a data URI in WebP; values outside are clipped, NaN is 0."""
    from PIL import Image, ImageOps

    if np.ndim(image) not in (2, 3) or 0 in np.shape(image):
        raise ValueError(f"image has shape {np.shape(image)}; it must be (height, width) or (…, 3)")
    pixels = np.clip(np.nan_to_num(image) * 255, 0, 255).round().astype(np.uint8)
    picture = ImageOps.scale(Image.fromarray(pixels), zoom, Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=60, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def unique(stem: str = "df") -> str:
    """An id that no other figure of this process has."""
    return f"{stem}-{next(_serial)}"


Panel = Curves | Frames


def panel_html(panel: Panel, uid: str) -> str:
    """One panel as HTML."""
    if isinstance(panel, Curves):
        return f'<div class="df-panel">{svg(figure(panel), panel.alt, uid)}</div>'
    size = lambda image: (
        f'width="{image.shape[1] * panel.zoom}" height="{image.shape[0] * panel.zoom}"'
    )
    return "".join(
        f'<div class="df-panel df-image"><img {size(image)} src="{image_uri(image, panel.zoom)}" '
        f'alt="{escape(f"{panel.alt}: {caption}")}"><span>{escape(caption)}</span></div>'
        for image, caption in zip(panel.images, panel.captions, strict=True)
    )


class Html:
    """A piece of a page; a notebook shows it as it is."""

    def __init__(self, text: str, alt: str):
        self.text, self.alt = text, alt

    def _repr_html_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.alt


@checks.door
def page(*panels: Panel, caption: str = "") -> Html:
    """The panels in a row that wraps on a narrow screen, with a caption."""
    if not panels:
        raise ValueError("page was given no panel; it needs at least one Curves or Frames")
    uid = unique()
    inner = "".join(panel_html(p, f"{uid}p{i}") for i, p in enumerate(panels))
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    text = f'<figure class="df-figure"><div class="df-panels">{inner}</div>{below}</figure>'
    return Html(text, " · ".join(p.alt for p in panels))


@checks.door
def table(
    head: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "", form: str = "{:.3g}"
) -> Html:
    """A small table; floats are written by ``form``."""
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row has {len(row)} cells; the table has {len(head)} columns")
    cell = lambda v: escape(form.format(v) if isinstance(v, float) else str(v))
    top = "".join(f'<th scope="col">{escape(h)}</th>' if h else "<td></td>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{cell(v)}</td>" for v in row) + "</tr>" for row in rows)
    name = f"<caption>{escape(caption)}</caption>" if caption else ""
    inner = f"{name}<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return Html(f'<table class="df-table">{inner}</table>', caption or " | ".join(head))


LOSSES = 500  # of a training, that are drawn


@checks.door
def running_mean(losses: Sequence[float]) -> NDArray[np.float64]:
    """The mean of each loss and those before it, a twenty-fifth of all; none for the first ones."""
    width = max(len(losses) // 25, 1)
    sums = np.cumsum([0.0, *losses])
    return (sums[width:] - sums[:-width]) / width


@checks.door
def losses(
    values: Sequence[float], unit: str = "", at: Sequence[int] = (), steps: int = 0
) -> Curves:
    """The loss of every step of a training, and its running mean; logarithmic where none is ≤ 0.

    at : the step of each, by default 1, 2, …  steps : where the axis ends, by default at the last.
    """
    if not values:
        raise ValueError("values is empty; it needs one loss a step")
    at, means = at or range(1, len(values) + 1), running_mean(values)
    drawn = lambda row: row[:: max(len(values) // LOSSES, 1)]
    lines = (
        line(drawn(at), drawn(values), "each step", 5),
        line(drawn(at[-len(means) :]), drawn(means), "running mean", 0),
    )
    alt = f"The loss of {len(values)} steps and its running mean, {means[0]:.3g} to {means[-1]:.3g}"
    log, ylabel = min(values) > 0 and not unit, f"loss, {unit}" if unit else "loss"
    ends = (0, max(steps or at[-1], 2))
    return Curves(lines, "step", ylabel, alt, xlim=ends, logy=log, size=BESIDE)


@checks.door
def by_name(
    found: Mapping[str, Sequence[float]], xlabel: str, ylabel: str, x: Sequence[float] = ()
) -> Curves:
    """What each method gives, a curve for each name: what training came to, beside its losses.

    x : where, by default 0, 1, …, so many steps or layers.
    """
    lines = [
        line(x or range(len(values)), values, name, i, "path")
        for i, (name, values) in enumerate(found.items())
    ]
    ends = ", ".join(f"{name} {values[-1]:.2f}" for name, values in found.items())
    alt = f"{ylabel} against {xlabel}; at the last: {ends}"
    return Curves(tuple(lines), xlabel, ylabel, alt, size=BESIDE)


@checks.door
def quote(texts: Mapping[str, str]) -> None:
    """Give a page's sentences their numbers: after it, ``{glue:text}`name``` stands for
    ``texts[name]``."""
    from IPython.display import display

    for name, text in texts.items():
        bundle = {QUOTED + "text/plain": repr(text)}
        display(bundle, raw=True, metadata={"scrapbook": {"name": name, "mime_prefix": QUOTED}})


@checks.door
def twins(left: Callable[..., Any], right: Callable[..., Any]) -> Html:
    """The bodies of two functions, line over line; what differs in the second is marked."""
    names = (left.__qualname__, right.__qualname__)
    row = lambda name, code: (
        f'<tr><th scope="row">{escape(name)}</th><td><code>{code}</code></td></tr>'
    )
    rows = "".join(
        (row(names[0], escape(p)) if p else "") + (row(names[1], source.marked(p, q)) if q else "")
        for p, q in source.aligned(source.body(left), source.body(right))
    )
    return Html(f'<table class="df-twins">{rows}</table>', f"{names[0]} over {names[1]}")
