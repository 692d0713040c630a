"""A run on disk: what was asked and what came out, in plain files that a reader can open.

A run is the folder ``<room>/<experiment>/<recipe>-s<seed>/`` with a ``run.json``. Runs land under
``runs/`` (ignored by git); those that the book's tables are made from are committed under
``results/`` and travel inside the wheel.
"""

import hashlib
import inspect
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "accelerate")
MOST_BYTES = 2 * 2**20  # weights up to this size are kept with a recorded run


@dataclass(frozen=True)
class Experiment:
    """One row of a published table or figure, and how to measure ours.

    published : the paper's scores by name, empty where a paper prints a curve and no number.
    source    : where those numbers stand, or the figure.
    protocol  : data, split, noise, size of the test set; it is printed beside every score.
    build     : the untrained network, of a recipe where that decides its size; None for a
                classical algorithm.
    measure   : (network or None, seed) -> our scores by name; lists are curves over the layers.
                Where readers may bring data, a third argument is their folder; then its key
                "protocol" says what was measured (files, sizes, noise) in the place of ours.
                Under "notes" it may have lines that are printed beside the scores, and a score
                that does not exist for the data is None.
    train     : (network, recipe, folder, seed, device, watch, experiment="room/name") -> losses;
                None: nothing to learn.
    recipes   : by name, ``cpu`` (minutes on two cores) and ``gpu`` (the paper's size).
    released  : (weights file, operator files) -> the network that its authors released.
    """

    title: str
    source: str
    protocol: str
    published: Mapping[str, float]
    build: Callable[..., nn.Module | None]
    measure: Callable[..., dict[str, Any]]
    train: Callable[..., list[float]] | None = None
    recipes: Mapping[str, Any] = field(default_factory=dict)
    released: Callable[[Path, Sequence[Path]], nn.Module] | None = None


def commit(folder: Path | None = None) -> str:
    """The commit of the checkout that holds this library, '+' for a changed tree, '' for none."""
    here = folder or Path(__file__).parent
    git = lambda *a: subprocess.run(("git", "-C", str(here), *a), capture_output=True, text=True)
    try:
        head = git("rev-parse", "--short", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except OSError:
        return ""
    if head.returncode:
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def environment() -> dict[str, Any]:
    """Where a run was made: versions, device, commit."""
    versions = {p: metadata.version(p) for p in PACKAGES}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    python = platform.python_version()
    return {"commit": commit(), "device": device, "versions": {"python": python, **versions}}


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` for text in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a full disk or an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def save(folder: Path, run: Mapping[str, Any]) -> None:
    """Write ``run.json``. NaN and infinity are refused: a run that holds them has no score."""
    try:
        text = json.dumps(run, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise ValueError(f"the run for {folder} holds NaN or infinity; it was not saved") from None
    write_text(folder / "run.json", text + "\n")


def load(folder: Path) -> dict[str, Any]:
    """Read ``run.json``; ValueError in one line where it is missing, broken or not a run."""
    path = folder / "run.json"
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise ValueError(f"{path}: is not valid JSON; make the run again") from None
    if not isinstance(run, dict) or not isinstance(run.get("scores"), dict):
        raise ValueError(f"{path}: is no run; it must be an object with 'scores'")
    return run


def save_losses(folder: Path, losses: Sequence[float]) -> None:
    """Write ``loss.csv``: one line a step."""
    lines = [f"{step},{loss:.6g}\n" for step, loss in enumerate(losses)]
    write_text(folder / "loss.csv", "step,loss\n" + "".join(lines))


def save_weights(folder: Path, net: nn.Module) -> dict[str, Any]:
    """Write ``weights.safetensors`` and give its size and hash for ``run.json``."""
    from safetensors.torch import save as to_bytes

    data = to_bytes({k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()})
    write_bytes(folder / "weights.safetensors", data)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def load_weights(path: Path, net: Any) -> None:
    """Put the weights of a file into a network; ValueError in one line if they do not fit.

    A run.json beside the file names the matrix they were trained for, which must be the network's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    if (path.parent / "run.json").exists():
        made, here = load(path.parent).get("matrix"), problem_hash(net)
        if made and made != here:
            raise ValueError(f"{path}: was trained for the matrix {made}; this network's is {here}")
    try:
        net.load_state_dict(from_bytes(path.read_bytes()))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{path}: holds no weights of this network ({reason})") from None


def values(name: str, score: str, recipe: str = "") -> list[float]:
    """A score of every recorded run of an experiment ``room/name``, or of those of one recipe."""
    runs = [r for r in recorded(name) if not recipe or r.get("recipe_name") == recipe]
    return [r["scores"][score] for r in runs if score in r["scores"]]


def summary(scores: Sequence[float]) -> str:
    """Mean ± half the spread over seeds, to two digits; one number alone; or that there is none."""
    if not scores:
        return "not measured"
    mean, spread = sum(scores) / len(scores), (max(scores) - min(scores)) / 2
    return f"{mean:.2f}" + (f" ± {spread:.2f}" if len(scores) > 1 else "")


def built(e: Experiment, run: Path) -> Any:
    """The untrained network of a run's folder, of that run's recipe where it decides the size."""
    made = load(run) if (run / "run.json").exists() else {}
    recipe = e.recipes.get(made.get("recipe_name", "cpu"))
    if not made.get("recipe") or recipe is None or not takes_recipe(e):
        return e.build()
    known = {f.name for f in fields(recipe)}
    return e.build(replace(recipe, **{k: v for k, v in made["recipe"].items() if k in known}))


def takes_recipe(e: Experiment) -> bool:
    """Whether the size of an experiment's network depends on the recipe."""
    return bool(inspect.signature(e.build).parameters)


def trained(name: str, e: Experiment, run: str = "cpu-s0") -> Any:
    """The network of an experiment ``room/name`` with the weights of one of its recorded runs."""
    net = built(e, results_root() / name / run)
    if net is None:
        raise ValueError(f"{name} is a classical algorithm; it has no weights")
    load_weights(results_root() / name / run / "weights.safetensors", net)
    return net.eval()


def matrix_hash(*matrices: Tensor) -> str:
    """The first 16 digits of a sha256 of matrices' bytes: weights fit one problem alone."""
    digest = hashlib.sha256()
    for M in matrices:
        digest.update(M.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def problem_hash(net: Any) -> str:
    """Identifies the fixed matrix that a network's weights belong to; '' where it has none."""
    return matrix_hash(net.A.fingerprint()) if hasattr(net, "A") else ""


def keep(folder: Path, target: Path) -> None:
    """Copy a run to the committed results: ``run.json``, ``loss.csv``, and weights if small."""
    for name in ("loss.csv", "weights.safetensors", "run.json"):  # run.json last: it makes a run
        path = folder / name
        if path.exists() and (name == "run.json" or path.stat().st_size <= MOST_BYTES):
            write_bytes(target / name, path.read_bytes())


def results_root() -> Path:
    """The committed results: in the checkout, or inside an installed wheel."""
    package = Path(__file__).parent
    checkout = package.parent / "results"
    return checkout if checkout.is_dir() else package / "results"


def recorded(name: str, root: Path | None = None) -> list[dict[str, Any]]:
    """Every committed run of an experiment ``room/name``, in the order of their folders' names."""
    base = (root or results_root()) / name
    return [load(p.parent) for p in sorted(base.glob("*/run.json"))]
