"""The notebooks' widgets: controls over pure functions, and a room that its panels share.

Only notebooks import this, and ``trainer``. Whatever a reader types is answered inside the panel, a
mistake in one line; the logger of this module keeps its traceback.
"""

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from dunfold_lib import explore, fetch, session, show
from dunfold_lib.experiment import Experiment
from dunfold_lib.show import Curves, Frames, Html

log = logging.getLogger(__name__)
Draw = Callable[..., Any]
_wide: dict[str, Any] = {"style": {"description_width": "initial"}}
_heard_late = _wide | {"continuous_update": False}  # when a change is complete


# What a panel shows


def html(*parts: Any) -> str:
    """Curves and frames side by side, tables, and lines of text, as one piece of HTML."""
    flat = [p for part in parts for p in (part if isinstance(part, tuple) else (part,))]
    made: list[str] = []
    for drawn, group in itertools.groupby(flat, lambda p: isinstance(p, Curves | Frames)):
        some = [*group]
        text = lambda p: p.text if isinstance(p, Html) else f"<p>{escape(p)}</p>"
        made += [show.page(*some).text] if drawn else map(text, some)
    return explore.STYLE + "".join(made)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(said.split())[:300] or type(error).__name__


def failed(error: BaseException) -> str:
    """An error as HTML: its line."""
    log.info("answered in one line", exc_info=error)
    return html(first_line(error))


def answered(f: Draw, *args: Any, **named: Any) -> str:
    """What f gives, as HTML; of an error its line."""
    try:
        return html(f(*args, **named))
    except Exception as error:
        return failed(error)


# Controls


def menu(label: str, options: Any = (), value: Any = None) -> Any:
    """One of some options: names, (name, value) pairs or a mapping."""
    made = widgets.Dropdown(options=pairs(options), description=label, **_wide)
    if value is not None:
        made.value = value
    return made


def slider(label: str, value: float, low: float, high: float, step: float = 1) -> Any:
    """A number between two, heard when the slider is let go; whole where all four are."""
    whole = all(isinstance(v, int) for v in (value, low, high, step))
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    return kind(value, min=low, max=high, step=step, description=label, **_heard_late)


def steps(label: str, values: Iterable[Any], value: Any) -> Any:
    """One of some numbers, on a slider."""
    named = [(f"{v:g}" if isinstance(v, float) else str(v), v) for v in values]
    return widgets.SelectionSlider(options=named, value=value, description=label, **_heard_late)


def tick(label: str, value: bool = False) -> Any:
    """Yes or no."""
    return widgets.Checkbox(value, description=label, indent=False)


def text(label: str, value: str = "") -> Any:
    """A path or another text, heard when it is complete."""
    return widgets.Text(value, description=label, **_heard_late)


def path(typed: str) -> Path:
    """What was typed as a path; ~ is the home folder, quotes and blanks around it are left out."""
    bare = typed.strip().strip("'\"").strip()
    if not bare:
        raise ValueError("the path is empty; write that of a file or folder")
    return Path(bare).expanduser()


def number(label: str, value: float) -> Any:
    """A number to type, whole where this one is; what uses it says what is allowed."""
    kind = widgets.IntText if isinstance(value, int) else widgets.FloatText
    return kind(value, description=label, **_heard_late)


def typed(label: str, value: Any, options: Any = ()) -> Any:
    """The control of a recipe's field, by the type of its value."""
    if options:
        return menu(label, options)
    if isinstance(value, bool):
        return tick(label, value)
    return text(label, value) if isinstance(value, str) else number(label, value)


def pairs(options: Any) -> list[tuple[str, Any]]:
    """Options of a menu, each as (name, value)."""
    if isinstance(options, Mapping):
        return [*options.items()]
    return [o if isinstance(o, tuple) else (str(o), o) for o in options]


def offer(control: Any, options: Any) -> None:
    """Options for a menu, or the largest value of a slider; what was chosen stays if it can."""
    if isinstance(options, int):
        control.max = options
        return
    named, before = pairs(options), control.label
    if [*control.options] != named:
        names = [name for name, _ in named]
        control.options = named
        if names:
            control.index = names.index(before) if before in names else 0


def in_rows(controls: Iterable[Any]) -> Any:
    """Controls side by side, in as many rows as the width asks for."""
    shown = [*controls]
    for control in shown:
        control.layout.flex = "0 0 auto"
        control.layout.width = control.layout.width or "20em"
    return widgets.HBox(shown, layout=widgets.Layout(flex_flow="row wrap"))


def below(*parts: Any) -> Any:
    """Parts of a panel, one below the other."""
    return widgets.VBox(parts)


def place() -> Any:
    """Where a panel shows HTML."""
    return widgets.HTML()


def button(label: str, pressed: Callable[[], None]) -> Any:
    """A button that calls a function."""
    made = widgets.Button(description=label)
    made.on_click(lambda _: pressed())
    return made


class Panel:
    """Controls, and below them what ``draw`` makes of their values.

    draw    : (**values) -> curves, frames, tables, lines of text, or a tuple of these.
    depends : by control, (**values) -> its options or, of a slider, its largest value.
    word    : on a button; then it is drawn when that is pressed, and not at every move.
    """

    def __init__(
        self,
        draw: Draw,
        controls: Mapping[str, Any],
        depends: Mapping[str, Draw] | None = None,
        word: str = "",
    ):
        self.draw, self.controls, self.depends = draw, dict(controls), depends or {}
        self.below, self.fitting = place(), False
        for control in controls.values():
            control.observe(self.refresh, "value")
        self.by_button = bool(word)
        shown = [*controls.values(), *([button(word, self.press)] if word else [])]
        self.box = below(in_rows(shown), self.below)
        self.refresh()

    def refresh(self, _: Any = None) -> None:
        """What depends on a control, and the drawing, unless a button asks for it."""
        if not self.fitting:
            self.below.value = answered(self._fit if self.by_button else self._drawn)

    def press(self) -> None:
        """The drawing that the button asks for."""
        self.below.value = html("working …")
        self.below.value = answered(self._drawn)

    def _fit(self) -> tuple[()]:
        self.fitting = True  # what is changed here is not heard
        try:
            for name, rule in self.depends.items():
                offer(self.controls[name], rule(**self.values()))
        finally:
            self.fitting = False
        return ()

    def _drawn(self) -> Any:
        self._fit()
        return self.draw(**self.values())

    def values(self) -> dict[str, Any]:
        """The controls' values by name."""
        return {name: control.value for name, control in self.controls.items()}


class Room(session.Session):
    """The session of one notebook, and its panels, which are drawn anew when a network comes."""

    def __init__(self, room: str, experiments: Mapping[str, Experiment]):
        super().__init__(room, experiments)
        self.panels: list[Any] = []
        self.caches: list[Any] = []

    def panel(
        self,
        draw: Draw,
        controls: Mapping[str, Any],
        depends: Mapping[str, Draw] | None = None,
        word: str = "",
    ) -> Any:
        """The box of a ``Panel``."""
        self.panels.append(Panel(draw, controls, depends, word))
        return self.panels[-1].box

    def refresh(self) -> None:
        """All panels anew."""
        for panel in self.panels:
            panel.refresh()

    def kept(self, f: Draw) -> Any:
        """``cache``, emptied when the data folder changes."""
        self.caches.append(cache(f))
        return self.caches[-1]

    def data_folder(self, found: Draw) -> Any:
        """A panel for the folder that DUNFOLD_DATA names, and what is ``found`` there."""

        def draw(place: str) -> Any:
            if place != os.environ.get(fetch.VARIABLE, ""):
                os.environ[fetch.VARIABLE] = place
                for kept in self.caches:
                    kept.cache_clear()
                for panel in [p for p in self.panels if p.draw is not draw]:
                    panel.refresh()
            fetch.root()  # says where it is no folder
            return found()

        return self.panel(draw, {"place": text("data folder", os.environ.get(fetch.VARIABLE, ""))})

    def opener(self, names: Sequence[str] = (), build: Draw | None = None) -> Any:
        """A panel that opens weights: recorded ones, or the reader's file.

        names : of the experiments that are offered; by default all that are trained.
        """

        def draw(experiment: str, file: str) -> Any:
            said = self.open(experiment, file, build)
            self.refresh()
            return said

        recorded_first = sorted(names or self.learned, key=lambda name: not self.weights(name))
        controls = {
            "experiment": menu("experiment", recorded_first),
            "file": text("file or folder"),
        }
        return Panel(draw, controls, word="Open").box

    def comparer(self, names: Sequence[str] = ()) -> Any:
        """A panel that compares two runs of an experiment of ``names``, as in ``opener``."""
        runs = {"first": menu("first run"), "second": menu("second run")}
        of = lambda experiment, **_: self.runs(experiment) or ["none yet"]
        return self.panel(
            lambda experiment, first, second: self.compare(first, second),
            {"experiment": menu("experiment", names or self.learned), **runs},
            dict.fromkeys(runs, of),
            "Compare",
        )
