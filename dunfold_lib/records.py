"""A run on disk: what was asked and what came out, in plain files that a reader can open.

A run is the folder ``<room>/<experiment>/<recipe>-s<seed>/`` with a ``run.json``. Runs land under
``runs/`` (ignored by git); those that the book's tables are made from are committed under
``results/`` and travel inside the wheel.
"""

import hashlib
import itertools
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dunfold_lib import download
from dunfold_lib.machine import environment as environment

PART = ".part"  # the end of the name of a file that is still being written
PROBE = 4096  # bytes that a disk must still take before a run begins
WEIGHTS = "weights.safetensors"
LOSSES = "loss.csv"
LOSS_POINTS = 200  # of a recorded run
REGISTRY = "weights.json"  # of an installed package: the weights that are not in it
ADDRESS = "DUNFOLD_WEIGHTS"  # the variable that names where they are downloaded from
RAW = "https://raw.githubusercontent.com"
MOST_BYTES = 2 * 2**20  # weights up to this size are kept with a recorded run of seed 0
SEEDS = 3  # a sentence ranks two methods over at least so many runs of each


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` for text in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a full disk or an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(6)}{PART}")
    try:
        with part.open("xb") as file:  # its mode is the one that the umask allows
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def prepare(folder: Path) -> None:
    """Make a run's folder, see that it can be written, and remove what kills left half written."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.glob("*" + PART):
        part.unlink(missing_ok=True)
    write_bytes(folder / "probe", b"-" * PROBE)
    (folder / "probe").unlink()


def tensor_bytes(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """A safetensors file that names the sha256 of its own content, beside ``about``."""
    from safetensors.torch import save as to_bytes

    plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    told = {**about, "sha256": _digest(plain, about)}
    return to_bytes(plain, {"about": json.dumps(told, sort_keys=True)})  # one entry: one order


def tensors_of(path: Path, data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file's bytes and what it says of itself; ValueError if a bit has changed.

    ``tensor_bytes`` wrote it: it names the sha256 of its content.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    try:
        tensors = from_bytes(data)
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
        about = dict(json.loads(header.get("about", "{}")))
    except (SafetensorError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{path}: is no safetensors file ({reason})") from None
    named = about.pop("sha256", "")
    if not named:
        raise ValueError(f"{path}: names no sha256 of its content")
    if named != _digest(tensors, about):
        raise ValueError(f"{path}: is damaged (its content is not that of its sha256)")
    return tensors, about


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(sorted(about.items()))).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


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
        run = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise ValueError(f"{path}: is not valid JSON; make the run again") from None
    if not isinstance(run, dict) or not isinstance(run.get("scores"), dict):
        raise ValueError(f"{path}: is no run; it must be an object with 'scores'")
    return run


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def save_losses(folder: Path, losses: Sequence[float]) -> None:
    """Write ``loss.csv``: one line a step."""
    write_text(folder / LOSSES, _lines(enumerate(losses)))


def _lines(pairs: Iterable[tuple[int, float]]) -> str:
    return "step,loss\n" + "".join(f"{step},{loss:.6g}\n" for step, loss in pairs)


def thinned(text: str, most: int = LOSS_POINTS) -> str:
    """The text of a ``loss.csv`` with at most so many lines: each the mean over equally many steps,
    at the last of them."""
    pairs = [line.split(",") for line in text.splitlines()[1:]]
    size = -(-len(pairs) // most)
    if size <= 1:
        return text
    blocks = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    mean = lambda block: sum(float(loss) for _, loss in block) / len(block)
    return _lines((int(block[-1][0]), mean(block)) for block in blocks)


def save_weights(folder: Path, net: nn.Module) -> dict[str, Any]:
    """Write ``weights.safetensors`` and give its size and hash for ``run.json``."""
    from safetensors.torch import save as to_bytes

    data = to_bytes({k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()})
    write_bytes(folder / WEIGHTS, data)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def load_weights(path: Path, net: Any, any_matrix: bool = False) -> None:
    """Put the weights of a file into a network; ValueError in one line if they do not fit.

    A run.json beside the file names the file's sha256, and the matrix they were trained for, which
    must be the network's unless ``any_matrix``.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    if (path.parent / "run.json").exists():
        run, here = load(path.parent), problem_hash(net)
        made, named = run.get("matrix"), dict(run.get("weights") or {}).get("sha256")
        if named and path.name == WEIGHTS and path.exists() and download.digest(path) != named:
            raise ValueError(f"{path}: is not the file of its run.json (other sha256)")
        if made and made != here and not any_matrix:
            raise ValueError(f"{path}: was trained for the matrix {made}; this network's is {here}")
    try:
        net.load_state_dict(from_bytes(weights_file(path).read_bytes()))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{path}: holds no weights of this network ({reason})") from None


def elsewhere() -> dict[str, dict[str, Any]]:
    """The weights that an installed package has not: {``room/name/run``: its sha256 and bytes}."""
    path = results_root() / REGISTRY
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def address() -> str:
    """Where weights are downloaded from, a folder like ``results``; "" where none is set.

    It is DUNFOLD_WEIGHTS, else what the package's repository holds at its version.
    """
    if named := os.environ.get(ADDRESS, "").strip():
        return named.rstrip("/")
    try:
        about = metadata.metadata("dunfold-lib")
    except metadata.PackageNotFoundError:
        return ""
    links = dict(link.split(", ", 1) for link in about.get_all("Project-URL") or ())
    found = re.fullmatch(
        r"https://github\.com/((?!OWNER/)[\w.-]+/[\w.-]+)", links.get("Repository", "")
    )
    return f"{RAW}/{found[1]}/v{about['Version']}/results" if found else ""


def weights_file(path: Path) -> Path:
    """The weights of a run: the file itself, or where an installed package lacks it, a download.

    path : in the run's folder, whether it is there or not.  ValueError in one line with the command
    that trains them where they can not be had.
    """
    ours = path.resolve().is_relative_to(results_root().resolve())
    run = path.parent.relative_to(results_root()).as_posix() if ours else ""
    if path.exists() or path.name != WEIGHTS or run not in elsewhere():
        return path
    about, base = elsewhere()[run], address()
    name, (recipe, _, seed) = run.rpartition("/")[0], path.parent.name.rpartition("-s")
    make = f"make them: python -m dunfold_lib train {name} --recipe {recipe} --seed {seed}"
    if not base:
        raise ValueError(
            f"{run}: its weights are not in this package and {ADDRESS} is not set; {make}"
        )
    target = download.cache() / "weights" / f"{about['sha256']}.safetensors"
    try:
        return download.file(f"{base}/{run}/{WEIGHTS}", about["sha256"], about["bytes"], target)
    except ValueError as error:
        raise ValueError(f"{error}; or {make}") from None


def at_hand(path: Path) -> bool:
    """Whether the weights of a recorded run are here or can be downloaded."""
    return path.exists() or bool(address())


def values(name: str, score: str, recipe: str = "", unread: list[str] | None = None) -> list[float]:
    """A score of every recorded run of an experiment ``room/name``, or of those of one recipe."""
    runs = [r for r in recorded(name, unread=unread) if recipe in ("", r.get("recipe_name"))]
    return [r["scores"][score] for r in runs if r["scores"].get(score) is not None]


def save_run(
    folder: Path, result: Mapping[str, Any], net: nn.Module, losses: Sequence[float]
) -> None:
    """Write a trained run: its weights and losses, and ``run.json`` last, which makes it a run."""
    weights = save_weights(folder, net)
    save_losses(folder, losses)
    save(folder, {**result, "matrix": problem_hash(net), "weights": weights})


def put_aside(folder: Path) -> Path:
    """Give a folder another name, ``.old0`` or the next that is free, which is returned."""
    names = (folder.with_name(f"{folder.name}.old{i}") for i in itertools.count())
    return folder.rename(next(path for path in names if not path.exists()))


def ranks(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether a sentence may put the first before the second: three runs of each or more, and every
    score of the first above every one of the second."""
    return min(len(first), len(second)) >= SEEDS and min(first) > max(second)


def undecided(*scores: Sequence[float]) -> bool:
    """Whether a sentence may put none of these lists of scores before another (`ranks`)."""
    return not any(ranks(a, b) for a, b in itertools.permutations(scores, 2))


def matrix_hash(M: Tensor) -> str:
    """The first 16 digits of a sha256 of a matrix's bytes: weights fit one problem alone."""
    data = M.detach().cpu().contiguous().numpy().tobytes()
    return hashlib.sha256(data).hexdigest()[:16]


def problem_hash(net: Any) -> str:
    """Identifies the fixed matrix that a network's weights belong to; '' where it has none."""
    return matrix_hash(net.A.fingerprint()) if hasattr(net, "A") else ""


def keep(folder: Path, target: Path) -> None:
    """Copy a run to the committed results: ``run.json``, 200 points of its loss, and, if it is of
    seed 0, its weights if small; of every other run's weights ``run.json`` has the sha256."""
    if target.exists():  # what it has is of another run: never one's scores beside the other's
        prepare(target)
        for name in ("run.json", WEIGHTS, LOSSES):
            (target / name).unlink(missing_ok=True)
    for name in (LOSSES, WEIGHTS, "run.json"):  # run.json last: it makes a run
        path = folder / name
        if not path.exists() or (name == WEIGHTS and not keeps_weights(folder)):
            continue
        data = path.read_bytes()
        write_bytes(target / name, thinned(data.decode()).encode() if name == LOSSES else data)


def keeps_weights(folder: Path) -> bool:
    """Whether the committed results keep a run's weights: the small ones of seed 0."""
    size = (folder / WEIGHTS).stat().st_size
    return load(folder).get("seed", 0) == 0 and size <= MOST_BYTES


def results_root() -> Path:
    """The committed results: in the checkout, or inside an installed wheel."""
    inside = Path(__file__).parent / "results"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "results"


def check_recordable() -> None:
    """ValueError where results are those of an installed package, which stay as they are."""
    if Path(__file__).parent in results_root().parents:
        raise ValueError(f"--record is for a checkout of the repository; {results_root()} is none")


def recorded(
    name: str, root: Path | None = None, unread: list[str] | None = None
) -> list[dict[str, Any]]:
    """Every committed run of an experiment ``room/name``, in the order of their folders' names.

    unread : gets a line for each run that cannot be read; without it the first of them raises.
    """
    runs = []
    for path in sorted(((root or results_root()) / name).glob("*/run.json")):
        try:
            runs.append(load(path.parent))
        except ValueError as error:
            if unread is None:
                raise
            unread.append(str(error))
    return runs
