"""The panel that trains, the same in every notebook.

In the tests, which set DUNFOLD_SMOKE, a training has one step and the ``least`` sizes of its
``Form``, and is measured on its example alone.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from dunfold_lib import lab, processes, session, training
from dunfold_lib.experiment import Experiment
from dunfold_lib.live import Live, loss_curves, spoken
from dunfold_lib.session import SMOKE, Run
from dunfold_lib.show import Curves

# of fields that every recipe has
LABELS = {"compile": "torch.compile", "cuda_graph": "CUDA graph", "lr": "learning rate"}


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a room's training panel offers.

    methods, tasks : what the menus say, and what ``find`` is given.
    find    : (method, task, recipe or None) -> (name, experiment); without a recipe the experiment
              whose recipes are offered.  By default the name is the method and then the task.
    start   : the method and task that are trained first.
    quick   : of the CPU recipe's steps, the share that the quick one has.  least : fields in tests.
    options : by text field of a recipe, task -> what it may be.
    labels  : by field, what its control says, beside ``LABELS``.
    unused  : by method, the fields that mean nothing.
    steps   : (recipe, experiment) -> how many losses a training gives.
    sized   : whether a changed field is answered with the network's number of learned numbers.
    looks   : whether a training looks at a validation part.
    report  : (run) -> what is shown of it; by default ``Session.beside``.
    example : a folder of test data of the reader's kind; only where an experiment takes a folder.
    """

    methods: Mapping[str, str]
    tasks: Mapping[str, str] = field(default_factory=lambda: {"the data below": ""})
    find: Callable[[str, str, Any], tuple[str, Experiment]] | None = None
    start: tuple[str, str] | None = None
    quick: float = 0.2
    least: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    unused: Mapping[str, Sequence[str]] = field(default_factory=dict)
    steps: Callable[[Any, Any], int] = lambda recipe, e: int(recipe.steps)
    sized: bool = False
    looks: bool = False
    report: Callable[[Run], tuple[Any, ...]] | None = None
    example: Callable[[], Path] | None = None


class Trainer:
    """Method, task, recipe and its fields, device, seed; Start, Stop, Resume, Save.

    Buttons train in a thread, so that Stop and the other panels are heard; ``run`` trains in this
    one, where the kernel's interrupt stops. A run is kept in ``runs/<room>/<experiment>/`` with its
    checkpoint: Resume goes on from there, Start puts it aside and begins.
    """

    def __init__(self, room: lab.Room, form: Form):
        self.room, self.form = room, form
        self.method, self.task = lab.menu("method", form.methods), lab.menu("task", form.tasks)
        if form.start:
            self.method.value, self.task.value = form.start
        self.scale, self.device = lab.menu("recipe"), lab.menu("device", processes.devices())
        self.seed, self.keep = lab.number("seed", 0), lab.tick("checkpoints", True)
        self.tested = lab.text("measure on", str(form.example()) if form.example and SMOKE else "")
        self.fields: dict[str, Any] = {}
        self.kind: type | None = None
        self.stopping, self.thread = threading.Event(), threading.Thread()
        self.last: Run | None = None
        self.lower, self.said, self.picture = lab.below(), lab.place(), lab.place()
        actions = {"Start": self.start, "Stop": self.stop, "Resume": self.resume, "Save": self.save}
        self.buttons = {name: lab.button(name, action) for name, action in actions.items()}
        for control in (self.method, self.task, self.scale):
            control.observe(self.fill, "value")
        self._free(idle=True)
        self.fill()
        heads = [self.method, self.task, self.scale, self.device, self.seed, self.keep]
        heads += [self.tested] if form.example else []
        parts = [lab.in_rows(heads), self.lower, lab.in_rows(self.buttons.values()), self.said]
        self.box = lab.below(*parts, self.picture)

    def _free(self, *, idle: bool) -> None:
        """Which buttons may be pressed."""
        may = {"Start": idle, "Stop": not idle, "Resume": idle, "Save": idle and bool(self.last)}
        for name, button in self.buttons.items():
            button.disabled = not may[name]

    # The form

    def found(self, recipe: Any = None) -> tuple[str, Experiment]:
        """The name and the experiment that the menus stand for, with a recipe or without one."""
        method, task = self.method.value, self.task.value
        if self.form.find:
            return self.form.find(method, task, recipe)
        return method + task, self.room.experiments[method + task]

    def base(self) -> Any:
        """The recipe that the menus stand for."""
        _, e = self.found()
        quick = self.scale.value not in e.recipes
        recipe = e.recipes["cpu" if quick and "cpu" in e.recipes else self.scale.value or "cpu"]
        if SMOKE:
            return replace(training.shorter(recipe, 0.0), **self.form.least)
        return training.shorter(recipe, self.form.quick) if quick else recipe

    def recipe(self) -> Any:
        """The recipe as the fields say."""
        chosen = {n: c.value for n, c in self.fields.items() if not c.disabled}
        return replace(self.base(), **chosen)

    def fill(self, _: Any = None) -> None:
        """Fill the fields with the values of the recipe that the menus stand for."""
        self.said.value = lab.answered(self._filled)

    def _filled(self) -> tuple[()]:
        _, e = self.found()
        lab.offer(self.scale, ["quick"] * ("cpu" in e.recipes) + [*e.recipes])
        base, unused = self.base(), self.form.unused.get(self.method.value, ())
        if type(base) is not self.kind:
            self.kind, label = type(base), {**LABELS, **self.form.labels}.get
            values = {f.name: getattr(base, f.name) for f in fields(base)}
            made = {n: lab.typed(label(n, n), v, self._options(n, v)) for n, v in values.items()}
            self.fields, self.lower.children = made, [lab.in_rows(made.values())]
            for control in made.values() if self.form.sized else ():
                control.observe(self.size, "value")
        for name, control in self.fields.items():
            value = getattr(base, name)
            if name in self.form.options:
                lab.offer(control, self._options(name, value))
            control.value, control.disabled = value, name in unused
        return ()

    def size(self, _: Any = None) -> None:
        """Say how many numbers the network of the form would learn."""

        def said() -> str:
            job = self.job()
            net: Any = job.experiment.build(job.recipe, 0)
            return f"{sum(p.numel() for p in net.parameters()):,} learned numbers"

        self.said.value = lab.answered(said)

    def _options(self, name: str, value: Any) -> list[tuple[str, Any]]:
        """What a text field may be; its value is always among that."""
        if name not in self.form.options:
            return []
        pairs = lab.pairs(self.form.options[name](self.task.value))
        known = [v for _, v in pairs]
        return pairs if value in known else [*pairs, (f"{value} (not here)", value)]

    def refresh(self) -> None:
        """Menus anew: what there is to train on may have changed."""
        for name in self.form.options.keys() & self.fields.keys():
            lab.offer(self.fields[name], self._options(name, self.fields[name].value))

    # Training

    def start(self) -> None:
        """Train in a thread, from the beginning."""
        self._in_thread(fresh=True)

    def resume(self) -> None:
        """Train in a thread, from the last checkpoint."""
        self._in_thread(fresh=False)

    def _in_thread(self, *, fresh: bool) -> None:
        if not self.thread.is_alive():
            self.thread = threading.Thread(target=self.run, kwargs={"fresh": fresh}, daemon=True)
            self.thread.start()

    def stop(self) -> None:
        """End the training after the step that it is in."""
        self.stopping.set()

    def run(self, *, fresh: bool = True) -> None:
        """Train, measure and show; however that ends, a line says so."""
        self.stopping.clear()
        self._free(idle=False)
        try:
            self.said.value = lab.html(self._trained(fresh=fresh))
        except KeyboardInterrupt:
            self.said.value = lab.html("stopped" + "; Resume goes on from there" * self.keep.value)
        except Exception as error:
            self.said.value = lab.failed(error)
        finally:
            self._free(idle=True)

    def job(self) -> session.Job:
        """The training that the form asks for."""
        name, e = self.found(self.recipe())
        chosen = (self.recipe(), self.base(), self.scale.value, self.seed.value, self.device.value)
        more = (self.keep.value, self.tested.value, self.form.looks)
        return session.Job(name, e, *chosen, *more)

    def _trained(self, *, fresh: bool) -> str:
        job = self.job()
        count = self.form.steps(job.recipe, job.experiment)
        live = Live(count, self._shown, self.stopping.is_set)
        say = lambda said: setattr(self.said, "value", lab.html(said))
        self.last = run = self.room.train(job, live, fresh=fresh, say=say)
        at = range(len(run.losses))
        drawn = loss_curves(at, run.losses, run.looks, len(at)) if at else ()
        told = self.form.report(run) if self.form.report else (self.room.beside(run),)
        self.picture.value = lab.html(*drawn, *told)
        self.room.refresh()
        where = f"; kept in {self.room.folder(job)}" if job.keep else ""
        seconds = spoken(run.made["seconds"])
        return f"{job.experiment.title}, {job.label}: trained in {seconds}{where}"

    def _shown(self, curves: tuple[Curves, ...], said: str) -> None:
        self.picture.value, self.said.value = lab.html(*curves), lab.html(said)

    def save(self) -> None:
        """Write the last run."""
        if run := self.last:
            self.said.value = lab.answered(lambda: f"written to {self.room.save(run)}")


def show(room: lab.Room, form: Form) -> Trainer:
    """Show the panel that trains, and train once by the quick recipe."""
    from IPython.display import display

    made = Trainer(room, form)
    room.panels.append(made)
    display(made.box)
    made.run()
    return made
