"""Figures and tables of what the maps of L-RPCANet do: derived, drawn at random, trained.

Each function returns what ``show.page`` or ``show.table`` takes. The networks and the made-up
scenes are those of ``figures_l_rpcanet``.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from dunfold_lib.show import Curves, Frames, array, line
from dunfold_lib.small_target import data, scores, theory
from dunfold_lib.small_target import figures_l_rpcanet as figures
from dunfold_lib.small_target.layers import Excite
from dunfold_lib.small_target.maps import activity
from dunfold_lib.small_target.model import LRPCANet, Network, RPCANet, State, macs, soft_iou
from dunfold_lib.small_target.painting import painted, up
from dunfold_lib.tables import Table, minus_sign

Loss = Callable[[Tensor, Tensor], Tensor]
PIXELS = ("a target's pixel, d = 0.4", "a background pixel, d = 0.02")
LAYERS = {  # of a module's map: where it is, its numbers outside of it, and what it is made of
    "SEBEM": ("FB", 0, "1×1 1→β, BN, ReLU; 3 × (3×3 β→β, BN, ReLU); 3×3 β→c; SE; 3×3 c→1"),
    "SETEM": ("FT", 1, "1×1 1→β, ReLU; 6 × (3×3 β→β, ReLU); 3×3 β→c; SE; 3×3 c→1; and ε"),
    "SENRM": ("FN", 1, "3×3 1→β, ReLU; 6 × (3×3 β→β, ReLU); 3×3 β→c; SE; 3×3 c→1; and σ"),
    "SEIRM": ("FD", 0, "3×3 1→c, BN, ReLU; 3 × (3×3 c→c, BN, ReLU); SE; 3×3 c→1"),
}
LEAST_SHOWN = 1e-10  # deviation of a map's output


def two_jumps(paths: Mapping[str, Tensor]) -> list[Curves]:
    """T of two pixels (stages, 2) over the stages, for the derived update and after each jump."""
    return [
        Curves(
            tuple(
                line(range(len(p)), p[:, i], name, j, "path")
                for j, (name, p) in enumerate(paths.items())
            ),
            "stage",
            "T",
            title=title,
            size=(4.2, 3.1),
            alt=f"T of {title} over six stages for the derived update and after each of the two "
            "jumps",
        )
        for i, title in enumerate(PIXELS)
    ]


@torch.no_grad()
def contributions(net: LRPCANet, seen: Sequence[State], mask: Tensor) -> list[tuple[float, ...]]:
    """What each stage adds to T^K: its weight, then the means of −F_B and of −εF_T, weighted,
    over the targets' pixels of ``mask`` and over the others.

    seen : the states before the first stage and after each one.
    """
    rows = []
    for k, x in enumerate(seen[:-1]):
        FB = net.FB[k](x.D - x.T - x.N)
        FT = net.eps[k] * net.FT[k](2 * x.T - FB)
        weight = 2 ** (net.K - 1 - k)
        means = (float((-weight * F)[at].mean()) for at in (mask, ~mask) for F in (FB, FT))
        rows.append((weight, *means))
    return rows


def contribution_table(rows: Sequence[tuple[float, ...]]) -> Table:
    """The rows of ``contributions`` and their sum."""
    total = [sum(r[i] for r in rows) for i in range(1, 5)]
    text = [[str(k + 1), str(r[0]), *map(_two, r[1:])] for k, r in enumerate(rows)]
    head = ["stage", "weight", "targets: −F_B", "−ε F_T", "elsewhere: −F_B", "−ε F_T"]
    return (
        head,
        [*text, ["sum", "", *map(_two, total)]],
        "Means over the targets' pixels and over the others of the scene “cloud”, each with its "
        "weight; the weights of the first figure",
    )


def _two(value: float) -> str:
    return minus_sign(f"{value:.2f}")


def count(net: Any) -> int:
    """Trained numbers of a module."""
    return sum(p.numel() for p in net.parameters())


def module_sizes() -> dict[str, int]:
    """Parameters of the four modules of one stage of the paper's size."""
    net = LRPCANet(K=1)
    return {name: count(getattr(net, at)) + more for name, (at, more, _) in LAYERS.items()}


def modules() -> Table:
    """The four modules: what their maps are made of, and their parameters."""
    sizes = module_sizes()
    rows = [[name, layers, f"{sizes[name]:,}"] for name, (_, _, layers) in LAYERS.items()]
    total = ["a stage", "", f"{sum(sizes.values()):,}"]
    head = ["module", "layers of F", "parameters"]
    return head, [*rows, total], "β = 4, c = 32; counted in the network itself"


def target_square() -> Tensor:
    """A mask (1, 1, 256, 256) whose target is a square of 36 pixels."""
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 100:106, 100:106] = 1
    return mask


def plateau() -> Curves:
    """Soft-IoU and cross entropy, the targets found, against the logit of the background."""
    mask, logit = target_square(), torch.linspace(-14, 2, 33)
    losses: dict[str, Loss] = {"soft-IoU": soft_iou, "BCE": binary_cross_entropy_with_logits}
    drawn = [
        line(logit, [float(f(torch.where(mask > 0, 3.0, t), mask)) for t in logit], name, i)
        for i, (name, f) in enumerate(losses.items())
    ]
    return Curves(
        tuple(drawn),
        "logit t of the background",
        "loss",
        ylim=(-0.05, 1.5),
        alt="soft-IoU is flat at one for background logits above minus four, cross entropy falls "
        "there",
    )


def fresh_spreads(seeds: int = 6) -> Curves:
    """Deviation of the output of each map of fresh narrow networks: a dead one lies at the
    bottom."""
    frames = figures.many().part(range(2))
    lines = []
    for colour, (label, awake) in enumerate((("Xavier", False), ("in pairs", True))):
        for seed in range(seeds):
            net = LRPCANet(3, 8, seed=seed, awake=awake)
            made = activity(net, frames)
            row = [max(made[name].made, LEAST_SHOWN) for name, _ in net.maps()]
            named = "" if seed else label
            lines.append(line(range(1, len(row) + 1), row, named, colour, "dots"))
    return Curves(
        tuple(lines),
        "map: 1 to 4 are F_B, F_T, F_N, F_D of the first stage, and so on",
        "deviation of the output",
        logy=True,
        size=(6.2, 3.4),
        alt="Deviation of each map's output for six seeds: from Xavier's weights many lie at the "
        "bottom, from weights in pairs none",
    )


def inside() -> Table:
    """What the maps of every stage of the shown network hold over the scene “cloud”."""
    columns = ("low", "high", "N", "level", "apart")
    head = ["stage", "T, least", "T, largest", "mean |N|", "mean B", "mean |D − image|"]
    rows = [
        [str(k + 1), *(_two(getattr(s, f)) for f in columns)]
        for k, s in enumerate(figures.sizes("cloud"))
    ]
    told = f"values 0 to 1; weights of the recipe {figures.recorded()}"
    return head, rows, f"The scene “cloud” of the first figure, {told}"


@cache
def effective_ranks() -> dict[str, list[float]]:
    """By scene: the effective rank of the image, then of the B of every stage."""
    rank = lambda k, s: theory.effective_rank((s.D if k == 0 else s.B)[0, 0])
    seen = {name: figures.states(name, "none") for name in figures.SCENES}
    return {name: [rank(k, s) for k, s in enumerate(made)] for name, made in seen.items()}


def ranks() -> Table:
    """``effective_ranks`` as a table."""
    head = [f"B{up(k)}" for k in range(1, figures.network().K + 1)]
    rows = [[name, *(f"{v:.1f}" for v in found)] for name, found in effective_ranks().items()]
    return ["effective rank", "image", *head], rows, "128×128 pixels, so at most 128"


class Excited(NamedTuple):
    """Features (c, h, w) before squeeze-and-excitation, and the scales (c) that it gives them."""

    features: Tensor
    scales: Tensor


@torch.no_grad()
def excitations(net: Network, image: Tensor) -> dict[str, Excited]:
    """``Excited`` of every map by its name, FB1, FT1, …, for one image (1, 1, h, w)."""
    noted: dict[str, Excited] = {}

    def note(name: str, excite: Any, given: Any, _: Tensor) -> None:
        scales = excite.scale(given[0].mean((2, 3), keepdim=True))
        noted[name] = Excited(given[0][0], scales[0, :, 0, 0])

    with ExitStack() as after:
        for name, F in net.maps():
            after.enter_context(F.excite.register_forward_hook(partial(note, name)))
        net(image)
    return noted


@cache
def scales() -> dict[str, Tensor]:
    """By map: the scales (scenes, c) that the shown network gives on the three scenes."""
    net = figures.network()
    rows = [excitations(net, data.images(figures.scene(name))) for name in figures.SCENES]
    return {name: torch.stack([row[name].scales for row in rows]) for name in rows[0]}


def scale_changes() -> dict[str, float]:
    """By map: the most that one channel's scale changes from scene to scene."""
    return {name: float((v.amax(0) - v.amin(0)).max()) for name, v in scales().items()}


def excited() -> list[Frames]:
    """Of each module of the last stage the channels with the largest and the least scale, before
    and after squeeze-and-excitation."""
    net, image = figures.network(), data.images(figures.scene("cloud"))
    noted = excitations(net, image)
    return [
        _before_and_after(noted[f"{at}{net.K}"], image, title) for title, (at, *_) in LAYERS.items()
    ]


def _before_and_after(found: Excited, image: Tensor, title: str) -> Frames:
    features, scale = found
    rows = int(scale.argmax()), int(scale.argmin())
    most = features[list(rows)].abs().max()
    grey = lambda x: (array(x / most) + 1) / 2
    said = [
        text for i in rows for text in (f"channel {i + 1}, before", f"times {float(scale[i]):.2f}")
    ]
    pairs = (grey(f) for i in rows for f in (features[i], scale[i] * features[i]))
    return Frames(
        (array(image[0, 0]), *pairs),
        (title, *said),
        f"Two channels of {title} before and after squeeze-and-excitation, beside the scene",
        zoom=1,
    )


def scale_table() -> Table:
    """The range of the scales of every map, and the most that one of them changes."""
    stages, made, change = range(1, figures.network().K + 1), scales(), scale_changes()
    said = lambda n: f"{float(made[n].min()):.2f} to {float(made[n].max()):.2f} ({change[n]:.3f})"
    rows = [[title, *(said(f"{at}{k}") for k in stages)] for title, (at, *_) in LAYERS.items()]
    return (
        ["scales, least to largest", *(f"stage {k}" for k in stages)],
        rows,
        "Over the channels and three scenes; in brackets the most that one channel's scale changes "
        "from scene to scene",
    )


def skipped(net: Network) -> float:
    """Multiplications in 10⁹ at 256², without the N and the D of the last stage."""
    last = [F for name, F in net.maps() if name in (f"FN{net.K}", f"FD{net.K}")]
    convs = [m for F in last for m in F.modules() if isinstance(m, torch.nn.Conv2d)]
    excites = [e for F in last for e in F.modules() if isinstance(e, Excite)]
    scaling = {m for e in excites for m in e.modules()}
    left_out = sum(m.weight.numel() for m in convs if m not in scaling)
    return (macs(net) - 256**2 * left_out) / 1e9


def work(prepared: Callable[[Network], float]) -> Table:
    """Work of four networks as written, without the last N and D, and as ``prepared`` counts it."""
    forms: dict[str, Network] = {
        "RPCANet": RPCANet(),
        "L-RPCANet, K = 6": LRPCANet(),
        "L-RPCANet, K = 3": LRPCANet(K=3),
        "d = 8, K = 6": LRPCANet(d=8),
    }
    spent = {label: (macs(n) / 1e9, skipped(n), prepared(n)) for label, n in forms.items()}
    head = ["GMAC at 256²", "as written", "last N, D left out", "and composed"]
    rows = [[label, *(f"{v:.1f}" for v in row)] for label, row in spent.items()]
    return head, rows, "Multiplications of the convolutions"


def found(frames: data.Frames, swept: Tensor, learned: Tensor, shown: int = 0) -> Frames:
    """A scene, and the masks (n, 1, h, w) of the classical sweeps and of the network on it."""
    image, truth = data.images(frames)[shown, 0], frames.mask[shown, 0]
    masks = {"classical sweeps": swept, "learned": learned}
    said = lambda m: scores.by_overlap(m[shown, 0][None], truth[None])
    counted = {k: said(m) for k, m in masks.items()}
    told = (f"{k}: {d.hits} of {d.targets} hit, {d.false} false" for k, d in counted.items())
    return Frames(
        (array(image), *(painted(m[shown, 0], truth, image) for m in masks.values())),
        ("a scene", *told),
        "A scene, and what two classical sweeps and the trained network find in it",
        zoom=2,
    )
