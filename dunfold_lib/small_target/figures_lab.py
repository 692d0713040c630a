"""What the laboratory draws of a frame: maps, marks, and tables of scores."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from timeit import timeit
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dunfold_lib import checks, records, show, tables
from dunfold_lib.show import Frames, Html
from dunfold_lib.small_target import baselines, data, fast, model, readers, scores
from dunfold_lib.small_target.experiments import EXPERIMENTS
from dunfold_lib.small_target.painting import painted
from dunfold_lib.small_target.published import COLUMNS, PUBLISHED, PUBLISHED_SE, PUBLISHED_STAGES

MADE_UP, INJECTED = "made-up", "injected targets"
MARKS = "green: found, blue: missed, orange: false alarm"
HEADS = {
    "iou": "IoU",
    "niou": "nIoU",
    "f1": "F1",
    "pd": "Pd, overlap",
    "fa_1e-5": "Fa, overlap, 1e-5",
    "pd_3px": "Pd, 3 px",
    "fa_3px_1e-6": "Fa, 3 px, 1e-6",
    "auc": "area under ROC",
}
AXES = "share of background pixels", "share of target pixels"
MAIN = [n for n in EXPERIMENTS if not n.startswith(("se-", "stages-", "lipschitz"))]


def grey(x: Tensor) -> Any:
    """A map in [0, 1]."""
    return show.array(x.detach().squeeze().clamp(0, 1))


def around_zero(x: Tensor) -> Any:
    """A map around grey, which is 0."""
    return grey(0.5 + 0.5 * x / x.abs().max().clamp(min=1e-6))


def stretched(x: Tensor) -> Any:
    """A map from its least to its largest value."""
    return grey((x - x.min()) / (x.max() - x.min()).clamp(min=1e-6))


def marked(image: Tensor, found: Tensor, truth: Tensor) -> Any:
    """An image in grey, and what was found, missed and taken for a target."""
    return painted(found.squeeze(), truth.squeeze(), image.squeeze().clamp(0, 1))


def masks(detector: baselines.Detector, images: Tensor) -> Tensor:
    """What a detector finds in images (n, 1, h, w)."""
    return torch.stack([baselines.segment(detector(x[0]))[None] for x in images])


def cut_at(T: Tensor, share: float) -> float:
    """A threshold: −100 % is the least logit, 0 is 0, 100 % the largest."""
    return share / 100 * float(T.max() if share > 0 else -T.min())


def score_rows(found: Mapping[str, Tensor], mask: Tensor, caption: str) -> Html:
    """All scores of masks, one row each."""
    heads = [title for n, title in HEADS.items() if n != "auc"]
    rows = [[n, *(f"{v:.2f}" for v in scores.scores(m, mask).values())] for n, m in found.items()]
    return show.table(["method", *heads], rows, caption)


def recorded_rows(frames: str) -> list[list[str]]:
    """Means over the recorded seeds, by experiment and recipe."""
    ending, on = ("_synthetic", "sirst") if frames == MADE_UP else ("", frames)
    rows = []
    for name in (n for n in MAIN if n.endswith(f"-{on}")):
        e = EXPERIMENTS[name]
        for recipe in e.recipes or ("cpu",):
            seen = [records.values(f"small_target/{name}", n + ending, recipe) for n in HEADS]
            if any(seen):
                said = f"recorded ({recipe})" if e.recipes else "recorded"
                rows.append([e.title, said, *(tables.summary(v) if v else "–" for v in seen)])
    return rows


def published_rows(frames: str) -> dict[str, dict[str, float]]:
    """{method: the printed scores} on a set."""
    rows = {title: row[frames] for title, row in PUBLISHED.items() if frames in row}
    return {title: dict(zip(COLUMNS, row, strict=True)) for title, row in rows.items()}


def ablation(stem: str, ours: Callable[[str, str], str]) -> Html:
    """The paper's table over squeeze-and-excitation or over K, on NUDT-SIRST, beside ours."""
    table: Mapping[Any, Any] = PUBLISHED_SE if stem == "se" else PUBLISHED_STAGES
    rows = []
    for key, row in table.items():
        mine = (ours(f"{stem}-{key or 'none'}", s) for s in ("iou", "fa_1e-5"))
        rows.append([str(key) or "none", f"{row['nudt'][0]:.2f}", f"{row['nudt'][3]:.2f}", *mine])
    first = {"se": "SE in", "stages": "K"}[stem]
    head = [first, "IoU, published", "Fa, published", "IoU, ours", "Fa, ours"]
    return show.table(head, rows, "published: NUDT-SIRST; ours: SIRST v1")


# A reader's images


def example(folder: Path, count: int = 1) -> Path:
    """The folder, with made-up scenes and their masks in it."""
    frames = data.synthetic(torch.Generator().manual_seed(5), count)
    for name, x in (("images", frames.image), ("masks", 255 * frames.mask.to(torch.uint8))):
        (folder / name).mkdir()
        for i in range(count):
            Image.fromarray(x[i, 0].numpy()).save(folder / name / f"made-up-{i}.png")
    return folder


def own(where: Path, network: Any, resize: bool, share: float) -> tuple[Any, ...]:
    """What a network finds in a reader's image, or in a folder with masks, which is scored."""
    mask = None
    if where.is_dir():
        frames = readers.read_folder(where, "test", 256 if resize else None)
        image, mask, name = data.images(frames), frames.mask, frames.names[0]
    else:
        with Image.open(where) as file:
            stored = torch.from_numpy(np.array(file.convert("RGB").convert("L")))
        stored = readers.resized(stored, 256, "bilinear") if resize else stored
        image, name = stored[None, None].float() / 255, where.name
    T = fast.logits(network, image)
    t = cut_at(T, share)
    found = t < T
    truth = found[:1] if mask is None else mask[:1]
    pictures = grey(image[:1]), around_zero(T[:1]), marked(image[:1], found[:1], truth)
    said = f"T > {t:.2f}" + (f"; {MARKS}" if mask is not None else "")
    captions = name, f"T: {float(T[0].min()):.1f} … {float(T[0].max()):.1f}", said
    drawn = Frames(pictures, captions, name)
    if mask is None:
        count = scores.components(show.array(found[0, 0]) > 0)[1]
        return drawn, f"{count} components, {int(found.sum())} pixels"
    both = {"network": found, "top-hat": masks(baselines.top_hat, image)}
    return drawn, score_rows(both, mask, f"{where}: {len(mask)} images")


# Speed and size


@torch.no_grad()
def speed(net: Any, side: int, threads: int, turns: int) -> Html:
    """Milliseconds of a network and its fast form, in turns, beside RPCANet of the same size."""
    checks.whole("threads", threads, 1)
    checks.whole("turns", turns, 1)
    image = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    other = model.RPCANet(net.K, net.FD[0].last.in_channels).eval()
    forms = {"plain": net, "fast": fast.compact(net)}
    forms |= {"RPCANet, plain": other, "RPCANet, fast": fast.compact(other)}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    seconds = lambda run: timeit(lambda: run(image), number=1)
    try:
        taken = [[*map(seconds, forms.values())] for _ in range(turns + 1)][1:]
    finally:
        torch.set_num_threads(before)
    best = [min(column) for column in zip(*taken, strict=True)]
    gap = float((forms["plain"](image) - forms["fast"](image)).abs().max())
    rows = [[n, f"{1e3 * s:.1f}", f"{s / best[1]:.2f}"] for n, s in zip(forms, best, strict=True)]
    said = (
        f"{side} × {side}, {threads} thread(s), least of {turns} turns; forms differ by {gap:.1e}"
    )
    return show.table(["form", "milliseconds", "times the fast form"], rows, said)


def described(nets: Mapping[str, Any], caption: str = "Networks") -> Html:
    """What networks are: class, stages, channels, numbers, multiplications."""
    rows: list[Sequence[Any]] = []
    for label, net in nets.items():
        numbers = sum(p.numel() for p in net.parameters())
        carried = str(net.carry_noise) if isinstance(net, model.LRPCANet) else "–"
        size = f"{model.macs(net) / 1e9:.2f}"
        width = net.FD[0].last.in_channels
        rows.append([label, type(net).__name__, net.K, width, numbers, carried, size])
    head = ["network", "class", "K", "channels of F_D", "learned numbers", "N carried"]
    return show.table([*head, "10⁹ multiplications, 256 × 256"], rows, caption)
