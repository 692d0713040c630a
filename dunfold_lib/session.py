"""What a reader does in a notebook: networks trained, opened and recorded; runs, losses, tables.

No widgets: ``lab`` puts them around this.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dunfold_lib import checkpoints, checks, experiment, records, show, tables
from dunfold_lib.experiment import Experiment
from dunfold_lib.live import Live, read_losses, spoken
from dunfold_lib.show import Curves, Html, line
from dunfold_lib.training import Context

SMOKE = bool(os.environ.get("DUNFOLD_SMOKE"))  # the tests run notebooks at their least sizes
RUNS = Path("runs")
LONGEST = 100  # characters of a run's folder


@dataclass(frozen=True)
class Job:
    """A training to make.

    name, experiment : what is trained.  base : the recipe, called ``called``, that was changed.
    keep    : whether checkpoints and the run are written.  tested : a folder of the reader's test
    data, "": the experiment's own.  looks : whether it looks at a validation part.
    """

    name: str
    experiment: Experiment
    recipe: Any
    base: Any
    called: str
    seed: int = 0
    device: str = "cpu"
    keep: bool = True
    tested: str = ""
    looks: bool = False

    def __post_init__(self) -> None:
        checks.whole("seed", self.seed)

    @property
    def label(self) -> str:
        """The run's folder: its recipe's name, the fields that were changed, the seed."""
        there = asdict(self.base)
        changed = [f"{n}{v}" for n, v in asdict(self.recipe).items() if v != there[n]]
        said = re.sub(r"[^\w.+-]+", "_", "-".join([self.called, *changed]))
        return f"{said[:LONGEST]}-s{self.seed}"


class Run(NamedTuple):
    """A job that was done and measured."""

    job: Job
    net: Any
    losses: Sequence[float]
    looks: Sequence[tuple[int, float]]  # (step, score on the validation part)
    made: dict[str, Any]  # its run.json

    @property
    def name(self) -> str:
        """The experiment, in its room."""
        return self.job.name

    @property
    def scores(self) -> dict[str, Any]:
        """By name, as the experiment measures them."""
        return dict(self.made["scores"])


class Session:
    """The networks of one room: recorded, trained and opened ones.

    experiments : by name; their recorded runs lie in ``results/<room>/``.
    """

    def __init__(self, room: str, experiments: Mapping[str, Experiment]):
        self.room, self.experiments = room, dict(experiments)
        self.mine: dict[str, tuple[str, Any]] = {}  # label -> (experiment, network)
        self._read = cache(self._trained)
        self.untrained = cache(self._fresh)

    def weights(self, name: str) -> dict[str, Path]:
        """The recorded weights of an experiment by recipe, of each the smallest seed."""
        found = experiment.recorded_weights(f"{self.room}/{name}", self.experiments[name].recipes)
        chosen = {recipe: seeds[min(seeds)] for recipe, seeds in found.items()}
        return {recipe: path for recipe, path in chosen.items() if records.at_hand(path)}

    @property
    def learned(self) -> list[str]:
        """The names of the experiments that are trained."""
        return [name for name, e in self.experiments.items() if e.recipes]

    def recorded(self, name: str, recipe: str = "") -> Any:
        """A recorded network, of this recipe or of the last one that is recorded; or None."""
        found = self.weights(name) if name in self.experiments else {}
        recipe = recipe or next(reversed(found), "")
        return self._read(name, found[recipe]) if recipe in found else None

    def _trained(self, name: str, path: Path) -> Any:
        return experiment.load_from(f"{self.room}/{name}", path, self.experiments[name])

    def _fresh(self, name: str) -> Any:
        net: Any = self.experiments[name].build()
        return net.eval()

    def own(self, name: str) -> Any:
        """The last network of an experiment that the reader trained or opened, or None."""
        return next((net for n, net in reversed(self.mine.values()) if n == name), None)

    def networks(
        self, names: Iterable[str], kind: Any = object, *, every: bool = False, own: bool = False
    ) -> dict[str, Any]:
        """{label: network} of some experiments: the reader's, then the recorded; else a fresh one.

        kind : their class.  every : of each recipe that is recorded, not of the last one alone.
        own  : all of the reader's, variants of other names, too.
        """
        names = [name for name in names if name in self.experiments]
        chosen = {label: net for label, (n, net) in self.mine.items() if own or n in names}
        for name in names:
            known = [*self.weights(name)]
            for recipe in known if every else known[-1:]:
                net = self.recorded(name, recipe)
                chosen[f"{type(net).__name__} ({name}, {recipe})"] = net
        found = {label: net for label, net in chosen.items() if isinstance(net, kind)}
        return found or {f"{names[0]}, untrained": self.untrained(names[0])}

    def take(self, name: str, label: str, net: Any) -> None:
        """Put a network among the reader's; one of the same label goes."""
        self.mine.pop(label, None)
        self.mine[label] = name, net.eval()

    def open(self, name: str, file: str, build: Callable[[Path], Any] | None = None) -> Html:
        """Open weights: a file, its folder, or where the text is empty the recorded ones.

        build : from the folder, the network of a run that is none of the experiments.
        """
        path = Path(file.strip()).expanduser() if file.strip() else self._default(name)
        path = path / records.WEIGHTS if path.is_dir() else path
        run = records.load(path.parent) if (path.parent / "run.json").exists() else {"scores": {}}
        there = str(run.get("experiment", "")).removeprefix(f"{self.room}/")
        name = there if there in self.experiments else name
        net = (build and build(path.parent)) or experiment.build(
            self.experiments[name], path.parent
        )
        records.load_weights(path, net)
        self.take(name, f"{type(net).__name__} ({name}, {path.parent.name}, opened)", net)
        singles = [[n, f"{v:.3f}"] for n, v in run["scores"].items() if isinstance(v, float)]
        numbers = sum(p.numel() for p in net.parameters())
        return show.table(["score", "then"], singles, f"{numbers} learned numbers, {path}")

    def _default(self, name: str) -> Path:
        found = self.weights(name)
        if not found:
            raise ValueError(f"{name} has no recorded weights; write the path of a file")
        return found[[*found][-1]]

    # Runs

    def records(self, name: str) -> list[dict[str, Any]]:
        """The recorded runs of an experiment, as their run.json has them."""
        return records.recorded(f"{self.room}/{name}")

    def runs(self, name: str) -> dict[str, Path]:
        """{label: folder} of every run of an experiment: the reader's, and the recorded ones."""
        places = {"yours": RUNS / self.room, "recorded": records.results_root() / self.room}
        return {
            f"{who}: {path.parent.name}": path.parent
            for who, place in places.items()
            for path in sorted((place / name).glob("*/run.json"))
        }

    def compare(self, first: Any, second: Any) -> tuple[Any, ...]:
        """The losses of two runs' folders, averaged, and their scores side by side."""
        if not (isinstance(first, Path) and isinstance(second, Path)):
            raise ValueError("no run of this experiment is here; train one")
        made = [records.load(folder) for folder in (first, second)]
        lines = []
        for i, folder in enumerate((first, second)):
            at, losses = read_losses(folder)
            means, style = show.running_mean(losses), ("solid", "dashed")[i]
            lines.append(line(at[-len(means) :], means, folder.name, i, style))
        names = [n for run in made for n, v in run["scores"].items() if isinstance(v, float)]
        cell = lambda run, n: f"{run['scores'][n]:.3f}" if n in run["scores"] else "–"
        rows = [[n, *(cell(run, n) for run in made)] for n in dict.fromkeys(names)]
        seconds = [str(run.get("seconds", "–")) for run in made]
        table = show.table(["score", first.name, second.name], [*rows, ["seconds", *seconds]])
        return Curves(tuple(lines), "step", "loss", "Losses of two runs", "Loss, averaged"), table

    def folder(self, job: Job) -> Path:
        """Where a run of the reader's is kept."""
        return RUNS / self.room / job.name / job.label

    def train(
        self,
        job: Job,
        live: Live,
        *,
        fresh: bool = True,
        say: Callable[[str], None] = lambda text: None,
    ) -> Run:
        """Train, measure, and write the run where it is kept; the network joins the reader's.

        fresh : an earlier run of the same job is put aside; else its checkpoint is gone on from.
        """
        e, place = job.experiment, f"{self.room}/{job.name}"
        folder = self._begun(job, fresh=fresh)
        say(f"{e.title}: building the network and its data")
        net, begun = e.build(job.recipe, job.seed), time.perf_counter()
        assert e.train is not None
        look = live.look if job.looks else None
        context = Context(folder, job.seed, job.device, live.watch, look, place)
        losses = e.train(net, job.recipe, context)
        seconds = checkpoints.spent(folder)[0] if folder else time.perf_counter() - begun
        say(f"{e.title}: trained in {spoken(seconds)}, now measuring")
        there = Path(job.tested.strip()).expanduser() if job.tested.strip() else None
        made = experiment.measure(place, net, job.seed, e, **({"folder": there} if there else {}))
        made |= {"recipe_name": job.called if job.called in e.recipes else "cpu"}
        made |= {"recipe": asdict(job.recipe), "seconds": round(seconds, 1)}
        run = Run(job, net, losses, live.looks, made)
        self.take(job.name, f"{type(net).__name__} ({job.name}, {job.label}, yours)", net)
        if folder:
            self.save(run)
        return run

    def _begun(self, job: Job, *, fresh: bool) -> Path | None:
        """The folder of a run that is kept, empty or with a checkpoint to go on from."""
        folder = self.folder(job) if job.keep else None
        if fresh and folder and folder.exists():
            records.put_aside(folder)
        if not fresh and not (folder and any(folder.rglob(checkpoints.CHECKPOINT))):
            where = f"{folder} has none" if folder else "checkpoints are off"
            raise ValueError(f"no checkpoint to go on from: {where}; press Start")
        return folder

    def save(self, run: Run) -> Path:
        """Write run.json, loss.csv and weights.safetensors; their folder."""
        folder = self.folder(run.job)
        records.save_run(folder, run.made, run.net, run.losses)
        return folder

    # Tables

    def ours(self, name: str, score: str) -> str:
        """Our recorded score of an experiment."""
        return tables.ours(f"{self.room}/{name}", score, [*self.experiments[name].recipes])

    def beside(self, run: Run) -> Html:
        """score | published | recorded | yours"""
        e, name = run.job.experiment, f"{self.room}/{run.name}"
        rows = [
            [n, tables.paper(e, n), tables.ours(name, n, [*e.recipes]), f"{v:.3f}"]
            for n, v in run.scores.items()
            if isinstance(v, float)
        ]
        head = ["score", "published", "recorded", "yours"]
        return show.table(head, rows, f"{e.title}; {run.made['protocol']}")

    def table(self, scores: Mapping[str, str], names: Iterable[str], caption: str = "") -> Html:
        """experiment | published and ours, for each score | seeds | whether a GPU run is owed"""
        chosen = {n: self.experiments[n] for n in names}
        printed = [s for s in scores if any(s in e.published for e in chosen.values())]
        head, rows = ["experiment", ""], []
        for s, title in scores.items():
            head += [f"{title}, published", f"{title}, ours"] if s in printed else [title]
        for n, e in chosen.items():
            row = [n, e.title]
            for s in scores:
                row += [tables.paper(e, s)] * (s in printed)
                row.append(self.ours(n, s))
            seeds = max(len(records.values(f"{self.room}/{n}", s)) for s in scores)
            rows.append([*row, seeds, tables.owed(f"{self.room}/{n}", e)])
        return show.table([*head, "runs", "GPU run owed"], rows, caption)
