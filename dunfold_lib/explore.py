"""Sliders over a pure figure function. The only module that knows ipywidgets.

An explorer has two faces. In a kernel it is ipywidgets, redrawn when a slider is let go. On the
book's static page, which has no kernel, it is plain HTML: native range inputs over figures that
were computed when the book was built, or over a loop that ``book/_static/explorer.js`` runs.
"""

import itertools
import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from math import prod
from typing import Any

import numpy as np

from dunfold_lib import checks, show
from dunfold_lib.show import Curves, Frames, Panel

MOST_FRAMES = 80  # what one page may hold of precomputed states
WIDE = (7.2, 2.7)  # inches of a plot that stands alone below pictures


@checks.door
@dataclass(frozen=True)
class Slider:
    """The values a control may take, where it starts, and how they read.

    Values that are all text are named choices: radio buttons in the place of a slider.
    """

    label: str
    values: Sequence[Any]
    start: int = 0
    form: str = "{:.3g}"

    def texts(self) -> list[str]:
        """What the reader sees for each value."""
        return [v if isinstance(v, str) else self.form.format(v) for v in self.values]

    @property
    def named(self) -> bool:
        """Whether the values are names, which have no order."""
        return all(isinstance(v, str) for v in self.values)

    def html(self, uid: str) -> str:
        """The control on a page, with ids that begin with ``uid``."""
        return _radios(self, uid) if self.named else _range(self, uid)


@checks.door
@dataclass(frozen=True)
class Guess:
    """A question that the reader answers before the answer is shown; the page remembers the guess.

    asked   : the question.  choices : two or more, each said once.  right : one of them.
    answer  : what is shown once the guess is made, and where to look for it.
    On the page the guess stays in the reader's browser and goes nowhere. Without JavaScript, and on
    paper, the answer is a fold. It stands above an explorer (``guess=``) or by itself.
    """

    asked: str
    choices: Sequence[str]
    right: str
    answer: str

    def __post_init__(self) -> None:
        if len({*self.choices}) < len(self.choices) or len(self.choices) < 2:
            raise ValueError(
                f"choices are {self.choices}; a guess needs two or more, all different"
            )
        if self.right not in self.choices:
            raise ValueError(f"right is {self.right!r}; it must be one of {self.choices}")

    def html(self) -> str:
        """The question with a button for each choice; book/_static/explorer.js takes the guess."""
        uid = show.unique("dfg")
        key = zlib.crc32(repr((self.asked, self.choices)).encode())  # the same at every build
        buttons = "".join(
            f'<button type="button" aria-pressed="false" data-right="{c == self.right:d}" disabled>'
            f"{escape(c)}</button>"
            for c in self.choices
        )
        return (
            f'<div class="df-guess" data-key="{key:08x}">'
            f'<p id="{uid}"><strong>Guess first.</strong> {escape(self.asked)}</p>'
            f'<div class="df-choices" role="group" aria-labelledby="{uid}">{buttons}</div>'
            '<p class="df-verdict" aria-live="polite"></p>'
            f"<details><summary>The answer</summary><p>{escape(self.answer)}</p></details></div>"
        )

    def widget(self) -> Any:
        """The same in a kernel: the answer follows the first guess, which then stands."""
        ipywidgets = _widgets()
        asked = ipywidgets.HTML(f"<b>Guess first.</b> {escape(self.asked)}")
        taken = ipywidgets.ToggleButtons(options=[*self.choices], value=None)
        told = ipywidgets.HTML()

        def tell(change: Any) -> None:
            taken.disabled = True
            guess, verdict = change["new"], "Right." if change["new"] == self.right else "No."
            told.value = f"You guessed “{escape(guess)}”. {verdict} {escape(self.answer)}"

        taken.observe(tell, "value")
        return ipywidgets.VBox([asked, taken, told])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Widgets in a kernel; the page's face while the book is built (DUNFOLD_FACE=page)."""
        return _faces(self, self.asked)


class Explorer:
    """``draw(**values)`` gives one panel or several; one slider for each of its keywords.

    script  : the name of a function of explorer.js that computes the moving lines on the page; it
              is given ``problem`` and the sliders' values, and must agree with ``draw`` (a test
              compares them). Without it every state is computed when the page is built.
    caption : what to try, in a sentence.
    guess   : a question that stands above the sliders; the caption must not give its answer away.
    """

    @checks.door
    def __init__(
        self,
        draw: Callable[..., Panel | tuple[Panel, ...]],
        sliders: dict[str, Slider],
        caption: str,
        script: str = "",
        problem: dict[str, Any] | None = None,
        guess: Guess | None = None,
    ):
        if not sliders:
            raise ValueError("an explorer was given no slider; it needs at least one")
        for name, s in sliders.items():
            if not 0 <= s.start < len(s.values):
                raise ValueError(f"slider {name} starts at {s.start} of {len(s.values)} values")
        states = prod(len(s.values) for s in sliders.values())
        if not script and states > MOST_FRAMES:
            raise ValueError(f"{states} states to precompute; a page holds at most {MOST_FRAMES}")
        self.draw, self.sliders, self.caption = draw, sliders, caption
        self.script, self.problem, self.guess = script, problem or {}, guess

    @checks.door
    def panels(self, index: Sequence[int]) -> tuple[Panel, ...]:
        """The panels for one position of every slider."""
        if len(index) != len(self.sliders):
            n = len(self.sliders)
            raise ValueError(f"index has {len(index)} positions; the explorer has {n} sliders")
        for i, (name, s) in zip(index, self.sliders.items(), strict=True):
            if not 0 <= i < len(s.values):
                raise ValueError(f"index is {i} for slider {name}; it has 0 to {len(s.values) - 1}")
        return self._panels(index)

    def _panels(self, index: Sequence[int]) -> tuple[Panel, ...]:
        """The same, of positions that exist."""
        chosen = {n: s.values[i] for (n, s), i in zip(self.sliders.items(), index, strict=True)}
        drawn = self.draw(**chosen)
        return _laid_out(drawn if isinstance(drawn, tuple) else (drawn,))

    # The face of the page

    def html(self) -> str:
        """The explorer without a kernel: HTML and SVG, moved by book/_static/explorer.js."""
        uid = show.unique("dfx")
        start = [s.start for s in self.sliders.values()]
        panels = self._panels(start)
        controls = "".join(s.html(f"{uid}-{n}") for n, s in self.sliders.items())
        inner = "".join(show.panel_html(p, f"{uid}p{i}") for i, p in enumerate(panels))
        note = " · ".join(p.note for p in panels if p.note)
        asked = self.guess.html() if self.guess else ""
        data = json.dumps(self._data(panels), separators=(",", ":"), allow_nan=False).replace(
            "<", "\\u003c"
        )
        return (
            f'<figure class="df-figure df-explorer" id="{uid}">{asked}'
            f'<div class="df-controls">{controls}</div><div class="df-panels">{inner}</div>'
            f'<p class="df-note" aria-live="polite">{escape(note)}</p>'
            f"<figcaption>{escape(self.caption)}</figcaption>"
            "<noscript>The sliders of this figure need JavaScript.</noscript>"
            f'<script type="application/json">{data}</script></figure>'
        )

    def _data(self, panels: tuple[Panel, ...]) -> dict[str, Any]:
        data: dict[str, Any] = {
            "sliders": [{"name": n, "texts": s.texts()} for n, s in self.sliders.items()],
            "panels": [_axes(p) for p in panels if isinstance(p, Curves)],
        }
        if self.script:
            values = {n: [*s.values] for n, s in self.sliders.items()}
            return data | {"script": self.script, "problem": self.problem, "values": values}
        store: dict[str, int] = {}  # every image and curve once, however many states show it
        keep = lambda item: store.setdefault(item, len(store))
        positions = itertools.product(*(range(len(s.values)) for s in self.sliders.values()))
        data["frames"] = [_state(self._panels(index), keep) for index in positions]
        return data | {"store": [*store]}

    # The face of a kernel

    def widget(self) -> Any:
        """The explorer as ipywidgets, in the subset that versions 7.7 and 8 share."""
        ipywidgets = _widgets()
        controls = [_control(ipywidgets, s) for s in self.sliders.values()]
        picture = ipywidgets.HTML()

        def redraw(_: Any = None) -> None:
            try:
                panels = self.panels([c.value for c in controls])
                note = " · ".join(p.note for p in panels if p.note)
                picture.value = f"{STYLE}{show.page(*panels).text}<p>{escape(note)}</p>"
            except Exception as error:
                picture.value = f"<pre>{escape(f'{type(error).__name__}: {error}')}</pre>"
                raise

        for c in controls:
            c.observe(redraw, "value")
        redraw()
        caption = ipywidgets.HTML(f"<i>{escape(self.caption)}</i>")
        above = [self.guess.widget()] if self.guess else []
        return ipywidgets.VBox([*above, *controls, picture, caption])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Widgets in a kernel; the page's face while the book is built (DUNFOLD_FACE=page)."""
        return _faces(self, self.caption)


def _range(s: Slider, uid: str) -> str:
    """A native range input, its label and what it stands at."""
    text = escape(s.texts()[s.start])
    return (
        f'<div class="df-control"><label for="{uid}">{escape(s.label)}</label>'
        f'<input id="{uid}" type="range" min="0" max="{len(s.values) - 1}" step="1" '
        f'value="{s.start}" aria-valuetext="{text}" disabled>'
        f'<output for="{uid}">{text}</output></div>'
    )


def _radios(s: Slider, uid: str) -> str:
    """Native radio buttons, one for each name."""
    buttons = "".join(
        f'<label><input type="radio" name="{uid}" value="{i}"{" checked" * (i == s.start)} '
        f"disabled>{escape(text)}</label>"
        for i, text in enumerate(s.texts())
    )
    return (
        f'<div class="df-control df-named" role="radiogroup" aria-labelledby="{uid}">'
        f'<span id="{uid}">{escape(s.label)}</span>{buttons}</div>'
    )


def _control(ipywidgets: Any, s: Slider) -> Any:
    """The control in a kernel; its value is the position, from 0."""
    options = [(text, i) for i, text in enumerate(s.texts())]
    given: dict[str, Any] = {"options": options, "value": s.start, "description": s.label}
    if s.named:
        style = {"description_width": "initial", "button_width": "auto"}
        return ipywidgets.ToggleButtons(**given, style=style)
    return ipywidgets.SelectionSlider(
        **given,
        continuous_update=False,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="min(32em, 95%)"),
    )


def _laid_out(panels: tuple[Panel, ...]) -> tuple[Panel, ...]:
    """The same; one plot among pictures becomes wide, for it stands below them."""
    plots = [p for p in panels if isinstance(p, Curves)]
    if len(plots) != 1 or len(plots) == len(panels) or plots[0].equal:
        return panels
    return tuple(replace(p, size=WIDE) if isinstance(p, Curves) else p for p in panels)


def _widgets() -> Any:
    """The module ipywidgets, or an error that says how to get it."""
    try:
        import ipywidgets
    except ImportError:
        message = "an explorer's sliders need ipywidgets: pip install ipywidgets"
        raise ImportError(message) from None
    return ipywidgets


def _faces(shown: Explorer | Guess, text: str) -> dict[str, Any]:
    """Widgets in a kernel; HTML while the book is built (DUNFOLD_FACE=page)."""
    bundle: dict[str, Any] = {"text/plain": text}
    if os.environ.get("DUNFOLD_FACE") == "page":
        return bundle | {"text/html": shown.html()}
    view = {"version_major": 2, "version_minor": 0, "model_id": shown.widget().model_id}
    return bundle | {"application/vnd.jupyter.widget-view+json": view}


STYLE = (
    "<style>.df-panels{display:flex;flex-wrap:wrap;gap:1em}.df-panel{flex:1 1 18em;max-width:36em}"
    ".df-panels:has(>.df-image)>.df-panel:not(.df-image){order:1;flex-basis:24em;max-width:48em}"
    ".df-panel svg{width:100%;height:auto}.df-image{flex:0 1 auto;text-align:center}"
    ".df-image img{display:block;max-width:100%;height:auto}.df-figure{margin:0}</style>"
)


def _axes(panel: Curves) -> dict[str, Any]:
    """What the page needs to put data on a panel's axes."""
    if panel.xlim is None or panel.ylim is None:
        raise ValueError("a panel of an explorer has no limits; it needs xlim and ylim")
    return {
        "box": show.axes_box(show.figure(panel)),
        "xlim": panel.xlim,
        "ylim": panel.ylim,
        "logx": panel.logx,
        "logy": panel.logy,
        "fixed": panel.fixed,
        "styles": [c.style for c in panel.lines],
    }


def _state(panels: tuple[Panel, ...], keep: Callable[[str], int]) -> dict[str, Any]:
    """One position of the sliders: indices of curves and images in the store, captions, note."""
    lines: list[list[int]] = []
    images: list[int] = []
    captions: list[str] = []
    for p in panels:
        if isinstance(p, Frames):
            images += [keep(show.image_uri(i, p.zoom)) for i in p.images]
            captions += p.captions
        else:
            lines.append([keep(_points(c)) for c in p.lines[p.fixed :]])
    note = " · ".join(p.note for p in panels if p.note)
    return {"lines": lines, "images": images, "captions": captions, "note": note}


def _points(c: show.Line) -> str:
    """A curve as JSON text: [[x…], [y…]] to five digits, null where not finite."""
    short = lambda v: float(f"{v:.5g}") if np.isfinite(v) else None
    return json.dumps([[short(v) for v in c.x], [short(v) for v in c.y]], separators=(",", ":"))
