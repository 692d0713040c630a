"""The studies of the chapter on STAR-Net: blocks, depth, sparse noise, gains; its quoted numbers.

Each function returns what ``show.page`` or ``show.table`` takes.
"""

from collections.abc import Mapping, Sequence
from time import process_time
from timeit import timeit
from typing import Any

from dunfold_lib import records
from dunfold_lib.hyperspectral import data, evaluation
from dunfold_lib.hyperspectral import figures_star_net_printed as printed
from dunfold_lib.hyperspectral.fast import denoise
from dunfold_lib.hyperspectral.figures_star_net_tables import (
    AT_LEVELS,
    LEVELS,
    MORE,
    ROWS,
    Named,
    against,
    apart,
    minus,
    of,
    over,
    scored,
)
from dunfold_lib.hyperspectral.model import SMDSNet, STARNet, STARNetPaper
from dunfold_lib.show import Curves, line
from dunfold_lib.tables import Table, between, mean, minus_sign, narrow

ABLATION = {
    "star-no-svt": "no SVT: no L, no U",
    "star-no-blend": "G in the last layer only",
    "star-no-a": "A never updated",
    "star-every-a": "A in every layer, trained so",
    "star-mixed": "D₃ begins as a DCT",
    "star-squared": "the paper's loss, mean square",
    "smds": "SMDSNet: none of G, SVT, A",
}
LONE = ("star-every-a", "star-mixed", "star-squared")
DEPTHS = {K: "star" if K == 6 else f"star-k{K}" for K in range(1, 10)}
KINDS = {
    "impulse": "5 % impulses",
    "stripes": "stripes",
    "dead": "dead columns",
    "mixed": "all three",
}
SPARSE: dict[str, Named] = {
    "noisy": ("noisy-sparse", ""),
    "LRTDTV": ("lrtdtv-sparse", ""),
    "STAR, classical": ("star-classical-sparse", ""),
    "the same, A from medians": ("star-classical-medians", ""),
    "STAR-S, classical": ("star-s-classical", ""),
    "STARNet without S": ("star-no-s", "as-is"),
    "STARNetS, 758": ("star-s", "as-is"),
}
BESIDE = (
    "noisy",
    "LRTDTV",
    "STAR, classical",
    "SMDSNet, 735",
    "SMDSNet, 5,103",
    "STARNet, 752",
    "STARNetPaper, 27,702",
)
OURS: Named = ("star", "as-is")
CLASSICAL: Named = ("star-classical", "cpu")
PAIRS: dict[str, tuple[Named, Named]] = {  # of sentences: the first minus the second
    "lead": (OURS, CLASSICAL),
    "behind": (CLASSICAL, ("smds", "as-is")),
    "repaired": (OURS, ("star", "cpu")),  # trained on damaged columns, and on repaired ones
    "sound": (("star", "cpu"), CLASSICAL),
}


def ablation() -> Table:
    """One block out, trained again: the difference to all blocks of the same seed."""
    whole = [narrow(scored("star", "psnr", s, "as-is")) for s in LEVELS]
    rows = [
        [label, *map(narrow, over(n, "star").values())]
        for n, label in ABLATION.items()
        if of(n, "psnr_50", "as-is")
    ]
    return (
        ["PSNR, dB", *AT_LEVELS],
        [["STARNet, all blocks", *whole], *rows],
        "recipe as-is; from the second row on: difference to STARNet of the same seed, mean ± half "
        "the spread over seeds; – : not measured",
    )


def depths() -> Table:
    """STARNet with as many layers as are recorded."""
    rows = [
        [f"K = {K}", *(narrow(scored(n, "psnr", s, "as-is")) for s in LEVELS)]
        for K, n in DEPTHS.items()
        if of(n, "psnr_50", "as-is")
    ]
    told = "trained for about the same time: fewer layers, more steps"
    return ["PSNR, dB", *AT_LEVELS], rows, f"STARNet, every depth that is recorded, {told}"


def depth_curves() -> Curves:
    """``depths`` as curves over the number of layers."""
    found = {K: [scored(n, "psnr", s, "as-is") for s in LEVELS] for K, n in DEPTHS.items()}
    trained = {K: row for K, row in found.items() if all(row)}
    lines = [
        line([*trained], [mean(row[i]) for row in trained.values()], f"σ = {s}", i, "path")
        for i, s in enumerate(LEVELS)
    ]
    return Curves(
        tuple(lines),
        "layers K",
        "PSNR, dB",
        ylim=(37, 50.5),
        size=(5.4, 3.6),
        alt="PSNR of STARNet against the number of layers at four noise levels: a step from one "
        "layer to two at the lowest level, and nearly flat elsewhere",
    )


def sparse() -> Table:
    """PSNR under white noise of σ = 10 and impulses, stripes, dead columns."""
    rows = [
        [label, *(narrow(of(n, f"psnr_{k}_as_is", r)) for k in KINDS)]
        for label, (n, r) in SPARSE.items()
    ]
    caption = f"all three: 2 % impulses, fewer stripes and dead columns; {MORE}"
    return ["PSNR, dB", *KINDS.values()], rows, caption


def beside_printed(name: str = "ICVL") -> Table:
    """PSNR as printed for a cube, and below it our own rows of another one."""
    head, rows, caption = printed.psnr(name)
    ours = []
    for label in BESIDE:
        n, r = ROWS[label]
        found = [scored(n, "psnr", s, r) for s in LEVELS]
        means = [f"{mean(v):.2f}" if v else "–" for v in found]
        average = f"{sum(map(mean, found)) / len(LEVELS):.2f}" if all(found) else "–"
        ours.append([f"here: {label}", *means, average])
    return head, [*rows, *ours], f"{caption}; rows “here” are Indian Pines, another protocol"


def times() -> Table:
    """Run times as printed, and ours on one core."""
    Y = evaluation.noised(data.part("test"), data.Noise(70), 0)
    nets = {kind.__name__: kind() for kind in (SMDSNet, STARNet, STARNetPaper)}
    count = lambda net: sum(p.numel() for p in net.parameters())
    seconds = lambda net: timeit(lambda: denoise(net, Y, 70 / 255), timer=process_time, number=1)
    ours = [[f"here: {n}", f"{count(f):,}", f"{seconds(f):.2f}", "–"] for n, f in nets.items()]
    return (
        ["as printed", "parameters", "seconds, ICVL", "seconds, PaviaU"],
        [*printed.times(), *ours],
        "run times are those of one cube, on the paper's machine; whole numbers are rounded in our "
        "source. “here”: seconds of one processor core on the crop of 96 × 64 × 200 that this page "
        "was built with, and not to be compared with those above",
    )


def gains() -> Table:
    """STAR-Net over SMDS-Net: as printed on two cubes, and here."""
    signed = lambda v: minus_sign(f"{v:+.2f}")
    rows = [[f"{name}, as printed", *map(signed, printed.gain(name))] for name in printed.CUBES]
    mine = ["Indian Pines, here (752 over 735)", *map(narrow, over("star", "smds").values())]
    return (
        ["gain of STAR-Net over SMDS-Net, dB", *AT_LEVELS],
        [*rows, mine],
        "here: of the same seed, at equal training time, mean ± half the spread over seeds; – : "
        "not measured",
    )


# the numbers of the sentences


def blind() -> list[float]:
    """What estimating σ changes in the mean, by level."""
    score = lambda key, s: mean(of("star", f"{key}_{s}_as_is", "as-is"))
    return [score("psnr_blind", s) - score("psnr", s) for s in LEVELS]


def four_accuracies() -> dict[int, list[float]]:
    """By level: mean accuracies of the last four rows."""
    four: tuple[Named, ...] = (("smds", "as-is"), OURS, ("subspace-tv", ""), ("star-classical", ""))
    return {s: [mean(of(n, f"accuracy_{s}_as_is", r)) for n, r in four] for s in LEVELS}


def nlm_accuracy() -> list[float]:
    """By level: accuracy of non-local means minus the highest of the four."""
    four = four_accuracies()
    return [mean(of("subspace-nlm", f"accuracy_{s}_as_is")) - max(four[s]) for s in LEVELS]


def procrustes_brings() -> dict[int, list[float]]:
    """With one step of A at the end minus without."""
    score = lambda key: of("star", key, "as-is")
    return {s: apart(score(f"psnr_{s}"), score(f"psnr_fixed_{s}")) for s in LEVELS}


def s_brings() -> dict[str, list[float]]:
    """By kind of sparse noise: STARNetS minus the same network without S."""
    return {k: against("star-s", "star-no-s", f"psnr_{k}_as_is") for k in KINDS}


def s_over_classical() -> dict[str, list[float]]:
    """By kind of sparse noise: STARNetS minus the classical STAR-S."""
    score = lambda n, r, k: of(n, f"psnr_{k}_as_is", r)
    return {k: apart(score("star-s", "as-is", k), score("star-s-classical", "", k)) for k in KINDS}


def _by_level(stem: str, found: Mapping[Any, Sequence[float]], digits: int = 2) -> dict[str, str]:
    return {f"{stem}_{s}": between(v, digits) for s, v in found.items()}


def quotes() -> dict[str, str]:
    """The numbers that the page's sentences quote."""
    return _quoted_scores() | _quoted_scenes() | _quoted_studies() | _quoted_gains()


def _quoted_scores() -> dict[str, str]:
    again = minus(("smds", "cpu"), ("smds", "as-is"))
    changes = max(abs(v) for row in again.values() for v in row)
    found = {stem: minus(*pair) for stem, pair in PAIRS.items()}
    made = {key: said for stem, v in found.items() for key, said in _by_level(stem, v).items()}
    return made | {
        "smds_changes": f"{changes:.2f}",
        "ahead_70": between([-v for v in found["behind"][70]]),
        "atom_seeds": str(len(of("star-atoms", "psnr_50", "as-is"))),
    }


def _quoted_scenes() -> dict[str, str]:
    nlm = minus(("subspace-nlm", ""), OURS, "pavia")
    flat = minus(("subspace-tv", ""), OURS, "simu")
    wide = max(max(v) - min(v) for v in four_accuracies().values())
    return {
        "blind": between(blind()),
        "nlm_10": between(nlm[10]),
        "flat": between([mean(v) for v in flat.values()], 1),
        "as_is_10": between(minus(OURS, CLASSICAL, "as_is")[10]),
        "four_apart": f"{wide:.3f}",
        "nlm_gain": between(nlm_accuracy()),
    }


def _quoted_studies() -> dict[str, str]:
    blend = [*over("star-no-blend", "star").values()]
    seeds = lambda n: len(of(n, "psnr_50", "as-is"))
    spent = lambda n: mean(
        [
            r["cpu_seconds"]
            for r in records.recorded(f"hyperspectral/{n}")
            if r.get("recipe_name") == "as-is"
        ]
    )
    lone = [[mean(row)] for row in over("star-k1", "star").values()]
    return (
        _by_level("svt", over("star", "star-no-svt"))
        | _by_level("procrustes", procrustes_brings())
        | {
            "svt_time": f"{spent('star-no-svt') / spent('star'):.2f}",
            "blend_10": between(blend[0], 3),
            "blend_else": f"{max(abs(v) for row in blend[1:] for v in row):.3f}",
            "lone_seeds": str(min(map(seeds, LONE))),
            "depth_seeds": str(min(k for n in DEPTHS.values() if n != "star" and (k := seeds(n)))),
            "one_layer": ", ".join(map(between, lone)),
        }
    )


def _quoted_gains() -> dict[str, str]:
    fixed = {
        s: [mean(of("star", f"psnr_fixed_{s}", "as-is")) - mean(of("smds", f"psnr_{s}", "as-is"))]
        for s in LEVELS
    }
    trained = [v for row in s_over_classical().values() for v in row]
    return (
        _by_level("s", s_brings(), 1)
        | {"s_trained": between(trained, 1)}
        | _by_level("gain", over("star", "smds"))
        | _by_level("fixed_gain", fixed)
    )
