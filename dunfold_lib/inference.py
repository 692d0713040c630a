"""Recorded networks on data of one's own, from Python and from the command line.

net = load("small_target/lrpcanet-sirst")   the network, its weights and its operator
T = net(image)                              an array or a tensor, in its usual shape
net.run(Path("frames"), Path("found"))      every file of a folder

What a network takes and gives stands in its room's ``inference.apply``; which files, in ``read``,
which is given what all files share, where there is a ``scale`` of them.
"""

import inspect
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from dunfold_lib import experiment, fetch, records, tables
from dunfold_lib.tables import Table

ARRAY, PICTURE = ".npy", ".png"
AWAY = "↓"  # marks weights that an installed package has not


@dataclass(frozen=True)
class Recorded:
    """A network with recorded weights, ready for data of one's own.

    name : ``room/name``.  net : in ``eval`` mode, on the CPU.  weights : their file.  why : by
    which rule they were chosen.
    """

    name: str
    net: nn.Module
    weights: Path
    why: str

    def __call__(self, *given: Any, **own: Any) -> Any:
        """The room's ``inference.apply``: NumPy arrays give an array, tensors a tensor."""
        arrays = [x.detach().cpu().numpy() if isinstance(x, Tensor) else x for x in given]
        for x in arrays:
            if not isinstance(x, np.ndarray):
                says = "it must be a NumPy array or a torch.Tensor"
                raise TypeError(f"{self.name} was given a {type(x).__name__}; {says}")
        apply = _room(self.name).apply
        try:
            inspect.signature(apply).bind(self.net, *arrays, **own)
        except TypeError as error:
            takes = ", ".join([*inspect.signature(apply).parameters][1:])
            raise TypeError(f"{self.name}: {error}; it takes {takes}") from None
        made = apply(self.net, *arrays, **own)
        return torch.from_numpy(made) if isinstance(given[0], Tensor) else made

    def run(
        self, source: Path, target: Path, guide: Path | None = None, **own: Any
    ) -> list[tuple[Path, str]]:
        """Apply the network to a file, or to every file of a folder, and write the results.

        target : a file .npy (numbers) or, where a result is a picture, .png; for a folder a folder,
        of pictures or else of .npy files. No file is written over.
        guide : for guided networks, of ``source``'s kind; in a folder by the same name.
        Gives the files that could not be done, and why; one file that cannot raises.
        """
        room, folder = _room(self.name), source.is_dir()
        paths = fetch.files(source, room.SUFFIXES) if folder else [source]
        if not paths:
            raise ValueError(f"{source} holds no file that ends in {', '.join(room.SUFFIXES)}")
        targets = self._targets(source, target, paths)
        guided = "guide" in inspect.signature(room.read).parameters
        guides = _guides(paths, guide) if guided else []
        if guide and not guides:
            raise ValueError(f"{self.name} takes no guide")
        shared = [room.scale(paths)] if hasattr(room, "scale") else []
        failed: list[tuple[Path, str]] = []
        for i, path in enumerate(tqdm(paths, unit=" files", disable=None if folder else True)):
            try:
                arrays = room.read(path, *guides[i : i + 1], *shared)
                _write(targets[i], self(*arrays, **own), room)
            except (ValueError, TypeError, OSError) as error:
                if not folder:
                    raise
                failed.append((path, str(error).splitlines()[0]))
        return failed

    def _targets(self, source: Path, target: Path, paths: Sequence[Path]) -> list[Path]:
        """Where results go; ValueError where one stands already."""
        endings = [PICTURE, ARRAY] if hasattr(_room(self.name), "picture") else [ARRAY]
        if source.is_dir():
            made = [target / f"{path.stem}{endings[0]}" for path in paths]
            if len({*made}) < len(made):
                raise ValueError(f"{source} holds files of one name and several endings")
        elif target.suffix.lower() not in endings:
            raise ValueError(f"{target} must end in {' or '.join(endings)}")
        else:
            made = [target]
        there = next((path for path in made if path.exists()), None)
        if there:
            raise ValueError(f"{there} exists; name another, or remove it")
        return made


def load(
    name: str, recipe: str = "", seed: int | None = None, weights: Path | str = ""
) -> Recorded:
    """The network of an experiment ``room/name`` with recorded weights and its operator.

    recipe, seed : of the run; by default those that ``experiment.weights_of`` chooses.
    weights : a file of your own training, in the place of recorded ones.
    """
    if weights and (recipe or seed is not None):
        raise ValueError("weights and a recipe or seed were both given; choose one network")
    if weights:
        return Recorded(name, experiment.load_from(name, Path(weights)), Path(weights), "as given")
    path, why = experiment.asked_for(name, recipe, seed)
    return Recorded(name, experiment.load_from(name, path), records.weights_file(path), why)


def loadable() -> dict[str, tuple[Path, str]]:
    """The experiments with recorded weights, by name: the file that ``load`` takes, and why."""
    found = {}
    for name, e in experiment.experiments().items():
        if e.recipes and experiment.recorded_weights(name, e.recipes):
            found[name] = experiment.weights_of(name)
    return found


def models() -> Table:
    """Every network that ``load`` gives: of what size, trained on what, how good, and by which run.

    Its score is the one that a paper prints, else the first recorded one, of that run alone.
    """
    rows = [_row(name, *chosen) for name, chosen in loadable().items()]
    head = ["name", "numbers", "kB", "trained on", "score", "run"]
    told = "Networks with recorded weights; a score is that of the run whose weights"
    away = f"; {AWAY} is downloaded when it is first loaded"
    return head, rows, told + away * any(AWAY in row[2] for row in rows)


def _row(name: str, path: Path, why: str) -> list[str]:
    e, run = experiment.find(name), records.load(path.parent)
    score = tables.scores_of(name, e)[0]
    found = f"{score} {run['scores'][score]:.2f}" if score in run["scores"] else tables.NONE
    kilobytes = f"{run['weights']['bytes'] / 1000:.0f}" + f" {AWAY}" * (not path.exists())
    learned_from = str(run["recipe"].get("data", "made-up signals"))
    return [name, f"{run['parameters']:,}", kilobytes, learned_from, found, path.parent.name]


def _room(name: str) -> Any:
    where = f"dunfold_lib.{name.partition('/')[0]}.inference"
    try:
        return import_module(where)
    except ModuleNotFoundError as error:
        if error.name != where:
            raise
        raise ValueError(f"the room of {name} has no inference on data of one's own") from None


def _guides(paths: Sequence[Path], guide: Path | None) -> list[Path]:
    """The guide of each file."""
    if guide is None:
        raise ValueError("a guided network needs a guide; give its file or folder with --guide")
    if not guide.is_dir():
        if len(paths) > 1:
            raise ValueError(f"{guide} is one file; it must be a folder for {len(paths)} images")
        return [guide]
    by_name = {fetch.same_name(p.stem): p for p in sorted(guide.iterdir()) if p.is_file()}
    lost = [p.name for p in paths if fetch.same_name(p.stem) not in by_name]
    if lost:
        raise ValueError(f"{guide} has no guide for {lost[0]}; it must have the same name")
    return [by_name[fetch.same_name(p.stem)] for p in paths]


def _write(target: Path, result: Any, room: Any) -> None:
    """A result, whole or not at all."""
    file = io.BytesIO()
    if target.suffix.lower() == ARRAY:
        np.save(file, result)
    else:
        from PIL import Image

        Image.fromarray(room.picture(result)).save(file, format="PNG")
    records.write_bytes(target, file.getvalue())
