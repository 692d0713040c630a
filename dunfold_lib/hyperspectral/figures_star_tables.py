"""Tables of the chapter on STAR: a bare projection, white and sparse noise, its parts, crops.

Each function returns what ``show.table`` takes. Scores are read from ``results/hyperspectral``;
what is not recorded there, and quick, is computed for one draw of the noise.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from torch import Tensor

from dunfold_lib import records
from dunfold_lib.hyperspectral import data, evaluation
from dunfold_lib.hyperspectral.experiments import METHODS, SPARSE_METHODS
from dunfold_lib.hyperspectral.lowrank import expand, project, subspace
from dunfold_lib.hyperspectral.scores import psnr
from dunfold_lib.hyperspectral.scores import scores as cube_scores
from dunfold_lib.prox import soft
from dunfold_lib.tables import Table, between, mean, narrow

LEVELS = evaluation.LEVELS
AT_LEVELS = [f"σ = {s}" for s in LEVELS]
PROJECTED = (30, 50, 70)  # levels of noise at which a bare projection is looked at
DIRECTIONS = (1, 2, 3, 4, 6, 9)
EVERY: dict[str, Any] = {**METHODS, **SPARSE_METHODS}
SLOW = ("lrtdtv", "lrtdtv-sparse", "subspace-nlm", "subspace-wavelet")  # recorded, or not shown
SHOWN = {
    "noisy": "noisy",
    "pca": "projection, estimated rank",
    "lrtdtv": "LRTDTV",
    "subspace-wavelet": "subspace + wavelets",
    "subspace-nlm": "subspace + non-local means",
    "subspace-tv": "subspace + total variation",
    "star-classical": "STAR",
}
LIVE = ("noisy", "pca", "subspace-tv", "star-classical")
PARTS = {
    "star-classical": "STAR",
    "star-classical-no-a": "A fixed",
    "star-classical-mixed": "D₃ the cosines",
    "star-classical-beta": "with a copy L, γ₂ = 0",
    "star-classical-svt": "with a copy L, γ₂ = 0.5: SVT",
}
AT_PARTS = (10, 30, 50)  # levels of the table of parts
SPARSE = {
    "noisy-sparse": "noisy",
    "lrtdtv-sparse": "LRTDTV",
    "star-classical-sparse": "STAR",
    "star-classical-medians": "STAR, basis from medians",
    "star-s-classical": "STAR-S",
}
KINDS = {"impulse": "impulses", "stripes": "stripes", "dead": "dead lines", "mixed": "all three"}
BRINGS = {  # what S does, and a basis from medians: the first minus the second
    "S": ("star-s-classical", "star-classical-medians"),
    "medians": ("star-classical-medians", "star-classical-sparse"),
}
MU = 1.5  # of ``star_s``
USES = (
    "not denoised",
    "one σ for all bands, r = 9",
    "each band its σ, r = 9",
    "each band its σ, r = 20",
    "each band its σ, estimated r",
    "mean of 5 × 5 pixels",
)


@cache
def projections() -> dict[int, list[float]]:
    """By level: PSNR of the projection on 1 to 9 directions, in dB."""
    truth, made = data.part("test"), {}
    for level in PROJECTED:
        Y = evaluation.noised(truth, data.Noise(level), 0)
        V = subspace(Y, 9)
        parts = [V[..., :r] for r in range(1, 10)]
        made[level] = [psnr(expand(project(Y, A), A), truth) for A in parts]
    return made


def projection(ranks: Mapping[int, int]) -> Table:
    """``projections`` beside the estimated rank of each level."""
    rows = [
        [str(s), *(f"{p[r - 1]:.1f}" for r in DIRECTIONS), str(ranks[s])]
        for s, p in projections().items()
    ]
    head = ["σ", *(f"r = {r}" for r in DIRECTIONS), "rank"]
    return head, rows, "PSNR in dB of the projection alone; last: the estimated rank"


# scores


@cache
def made_of(name: str, kind: int | str) -> Tensor:
    """What a method makes of the test part in noise of a level or kind, seed 0."""
    noise = data.NOISES[kind] if isinstance(kind, str) else data.Noise(kind)
    return EVERY[name](evaluation.noised(data.part("test"), noise, 0), noise.sigma / 255)


def of(name: str, kind: int | str) -> list[Any]:
    """PSNR of every recorded seed of a method at a level or kind of noise."""
    return records.values(f"hyperspectral/{name}", f"psnr_{kind}", "cpu")


@cache
def scored(name: str, kind: int | str) -> list[float]:
    """``of``; where none is recorded that of seed 0, computed here, for the quick methods."""
    found = of(name, kind)
    if found or name in SLOW:
        return found
    return [psnr(made_of(name, kind), data.part("test"))]


def scores() -> Table:
    """White noise of known σ on the test part."""
    rows = [[label, *(narrow(scored(n, s)) for s in LEVELS)] for n, label in SHOWN.items()]
    told = "mean ± half the spread over the recorded draws of the noise; – : not measured"
    caption = f"White noise of known σ, 200 bands, 96 × 64 pixels; {told}"
    return ["PSNR, dB", *AT_LEVELS], rows, caption


def as_is() -> Table:
    """The same with the damaged crop as truth."""
    rows = [[label, *(narrow(of(n, f"{s}_as_is")) for s in LEVELS)] for n, label in SHOWN.items()]
    head = ["PSNR, dB, file as it is", *AT_LEVELS]
    return head, rows, "As above, but the truth has the wrong values of the file"


@cache
def four() -> dict[str, dict[str, Any]]:
    """All scores of the quick methods at σ = 50, computed here."""
    return {n: cube_scores(made_of(n, 50), data.part("test"), "50") for n in LIVE}


def other_scores() -> Table:
    """``four`` as a table."""
    digits = {"psnr": 2, "ssim": 3, "sam": 4, "ergas": 2}
    rows = [
        [SHOWN[n], *(f"{made[f'{key}_50']:.{d}f}" for key, d in digits.items())]
        for n, made in four().items()
    ]
    head = ["σ = 50", *(key.upper() for key in digits)]
    return head, rows, "One draw of the noise, computed with this page"


def parts() -> Table:
    """STAR without, or with, one of its parts."""
    rows = [[label, *(narrow(scored(n, s)) for s in AT_PARTS)] for n, label in PARTS.items()]
    return (
        ["PSNR, dB", *(f"σ = {s}" for s in AT_PARTS)],
        rows,
        "Two sweeps; γ₁ is 0.9 in the first two rows, 1.2 with the cosines, which it suits better, "
        "and 1 in the last two",
    )


def sparse() -> Table:
    """Impulses, stripes and dead lines over white noise of σ = 10."""
    rows = [[label, *(narrow(scored(n, k)) for k in KINDS)] for n, label in SPARSE.items()]
    return (
        ["PSNR, dB", *KINDS.values()],
        rows,
        "Sparse noise over white noise of σ = 10, as in the figure above; “all three” has smaller "
        "shares of each; mean ± half the spread over draws, one draw where there is no ±; – : not "
        "measured",
    )


@cache
def sparse_part() -> tuple[Tensor, Tensor]:
    """(the test part with impulses, the S that STAR-S takes from it)."""
    level = evaluation.SPARSE_SIGMA / 255
    dirty = evaluation.noised(data.part("test"), data.NOISES["impulse"], 0)
    rest = dirty - made_of("star-s-classical", "impulse")
    return dirty, level * soft(rest / level, MU)


def accuracies(shares: Mapping[str, Sequence[float]]) -> Table:
    """Accuracies by column, in the order of ``USES``."""
    rows = [[use, *(f"{v[i]:.3f}" for v in shares.values())] for i, use in enumerate(USES)]
    told = "Pixels of ten classes, columns 81–144; mean over three choices of training pixels"
    return ["accuracy", *shares], rows, told


# the numbers of the sentences


def minus(first: str, second: str, kinds: Sequence[int | str]) -> list[list[float]]:
    """By kind: PSNR of the first method minus the second, draw by draw."""
    pairs = (zip(scored(first, k), scored(second, k), strict=True) for k in kinds)
    return [[a - b for a, b in pair] for pair in pairs]


def floor() -> list[float]:
    """By level: what STAR's mean gains by a sound truth."""
    return [
        mean(scored("star-classical", s)) - mean(of("star-classical", f"{s}_as_is")) for s in LEVELS
    ]


def quotes() -> dict[str, str]:
    """The numbers that the page's sentences quote."""
    lead = minus("star-classical", "subspace-tv", LEVELS[:3])
    over = [mean(v) for v in minus("star-classical", "pca", LEVELS)]
    turn = [mean(v) for v in minus("star-classical", "star-classical-no-a", AT_PARTS)]
    cosines = [mean(v) for v in minus("star-classical", "star-classical-mixed", AT_PARTS)]
    copy = [mean(v) for v in minus("star-classical", "star-classical-beta", AT_PARTS)]
    svt = [mean(v) for v in minus("star-classical-beta", "star-classical-svt", AT_PARTS)]
    return {f"floor_{s}": f"{v:.1f}" for s, v in zip(LEVELS, floor(), strict=True)} | {
        "over_pca": between(over, 1),
        "tv_most": f"{max(map(max, lead)):.2f}",
        "turn_10": f"{turn[0]:.1f}",
        "turn_else": between(turn[1:], 1),
        "cosines": between(cosines, 1),
        "copy_most": f"{max(copy):.1f}",
        "svt_most": f"{max(svt):.1f}",
        **{
            f"{stem}_{k}": f"{of_means(*pair)[k]:.1f}"
            for stem, pair in BRINGS.items()
            for k in ("impulse", "stripes")
        },
    }


def of_means(first: str, second: str) -> dict[str, float]:
    """By kind of sparse noise: mean PSNR of the first method minus that of the second."""
    return {k: mean(scored(first, k)) - mean(scored(second, k)) for k in KINDS}
