"""Tables of the chapter on STAR-Net: a layer's parts, a wrong level, and scores as recorded.

Each function returns what ``show.table`` takes; scores are read from ``results/hyperspectral``.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from dunfold_lib import records
from dunfold_lib.hyperspectral import data, evaluation
from dunfold_lib.hyperspectral import figures_star_net as figures
from dunfold_lib.hyperspectral.algorithm import star
from dunfold_lib.hyperspectral.baselines import noisy, pca
from dunfold_lib.hyperspectral.evaluation import Method
from dunfold_lib.hyperspectral.fast import denoise
from dunfold_lib.hyperspectral.scores import psnr
from dunfold_lib.hyperspectral.scores import scores as cube_scores
from dunfold_lib.tables import Table, narrow

Named = tuple[str, str]  # an experiment and its recipe, "" for those without one
LEVELS = figures.LEVELS
AT_LEVELS = [f"σ = {s}" for s in LEVELS]
PARTS = (  # the paper's part, in ADMM, its number there, the number here, the line of Sweeps.layer
    (
        "ShrinkNet",
        "F, a gradient step in B",
        "1/ν = 1/(λ + β)",
        "w = β/(λ + β)",
        "(1 - n.w) * step + n.w * (x.L + x.U - x.B)",
    ),
    ("ShrinkNet", "B, soft threshold", "λγ₁/ν", "θ", "soft(F, n.theta)"),
    ("SvtNet", "L, threshold of singular values", "λγ₂/β", "τ", "L = low_rank(B - U, n.tau)"),
    ("Linear", "P = βU, the multiplier", "β; 1 for U", "none", "U = U + L - B"),
    (
        "LargNet",
        "G, a division",
        "λ per patch",
        "α = λC₀/(1 + λC₀)",
        "self.blend(project(b.Y - S, A), synthesis(B, *self.W) + m, n.alpha)",
    ),
    ("LargNet", "A, Procrustes", "none: exact", "none", "A = moved("),
    ("with S", "S, soft threshold", "μ", "μ", "soft(b.Y - expand(x.G, x.A), n.mu)"),
)
ROWS: dict[str, Named] = {
    "noisy": ("noisy", ""),
    "PCA": ("pca", ""),
    "LRTDTV": ("lrtdtv", ""),
    "subspace + TV": ("subspace-tv", ""),
    "STAR, classical": ("star-classical", ""),
    "SMDSNet, 735": ("smds", "as-is"),
    "SMDSNet, 5,103": ("smds-atoms", "as-is"),
    "STARNet, 752": ("star", "as-is"),
    "STARNet, 5,120": ("star-atoms", "as-is"),
    "STARNetPaper, 27,702": ("star-paper", "as-is"),
    "SMDSNet, 735, trained on repaired columns": ("smds", "cpu"),
    "STARNet, 752, trained on repaired columns": ("star", "cpu"),
    "SMDSNet, 735, GPU": ("smds", "gpu-pines"),
    "STARNet, 752, GPU": ("star", "gpu-pines"),
    "STARNetPaper, GPU": ("star-paper", "gpu-pines"),
}
AWAY: dict[str, Named] = {"subspace + non-local means": ("subspace-nlm", "")}
AWAY |= {n: ROWS[n] for n in ("subspace + TV", "STAR, classical", "SMDSNet, 735", "STARNet, 752")}
SCENES = {"_pavia": "Pavia Centre", "_simu": "simulated"}
QUICK: dict[str, Method] = {"noisy": noisy, "pca": pca, "star-classical": star}
MORE = "mean ± half the spread over seeds; one seed where there is no ±; – : not measured"


def parts() -> Table:
    """The paper's names, what each part is in ADMM, and where it stands in ``Sweeps.layer``."""
    head = ["part", "in ADMM", "step or threshold", "number here", "line of the layer"]
    return head, [list(row) for row in PARTS], ""


@cache
def told() -> dict[int, list[float]]:
    """By the level that the network is told, 0 for nothing: PSNR at every level of the noise."""
    net, truth = figures.network(), figures.truth()
    score = lambda s, *level: psnr(denoise(net, figures.noisy(s), *level), truth)
    made = {t: [score(s, t / 255) for s in LEVELS] for t in LEVELS}
    return made | {0: [score(s) for s in LEVELS]}


def told_levels() -> Table:
    """``told`` as a table."""
    label = lambda t: f"told {t}" if t else "told nothing"
    rows = [[label(t), *(f"{v:.2f}" for v in row)] for t, row in told().items()]
    return (
        ["noise", *AT_LEVELS],
        rows,
        "PSNR in dB of the network of the figures, on their crop; told nothing: it estimates σ "
        "from the cube",
    )


def learned() -> Table:
    """The numbers of the shown network, layer by layer."""
    net = figures.network()
    found = [net.numbers(k) for k in range(net.K)]
    said = lambda v: "–" if v is None else f"{float(v):.2f}"
    named = (("θ", "theta"), ("α", "alpha"), ("w", "w"), ("τ", "tau"))
    rows = [[label, *(said(getattr(n, name)) for n in found)] for label, name in named]
    return ["layer", *map(str, range(1, net.K + 1))], rows, ""


# scores


def of(name: str, score: str, recipe: str = "") -> list[Any]:
    """A score of every recorded run of one of the room's experiments."""
    return records.values(f"hyperspectral/{name}", score, recipe)


@cache
def _computed(name: str, score: str, level: int) -> list[float]:
    """A score of a quick method for the seeds 0 to 2, computed here."""
    test = data.part("test")
    cubes = (evaluation.noised(test, data.Noise(level), seed) for seed in range(3))
    made = [QUICK[name](Y, level / 255) for Y in cubes]
    if score == "psnr":
        return [psnr(x, test) for x in made]
    return [cube_scores(x, test, "")[f"{score}_"] for x in made]


def scored(name: str, score: str, level: int, recipe: str = "") -> list[float]:
    """A score of every recorded seed; for the three quick methods, else, computed here."""
    found = of(name, f"{score}_{level}", recipe)
    return found if found or name not in QUICK else _computed(name, score, level)


def _here() -> dict[str, Named]:
    """``ROWS``, those for a GPU if they are recorded."""
    there = lambda label, p: "GPU" not in label or scored(p[0], "psnr", 50, p[1])
    return {label: p for label, p in ROWS.items() if there(label, p)}


def scores() -> Table:
    """PSNR on the test crop at every level, and on an unseen scene at one."""
    unseen = lambda n, r: narrow(found) if (found := of(n, "psnr_50_pavia", r)) else ""
    rows = [
        [label, *(narrow(scored(n, "psnr", s, r)) for s in LEVELS), unseen(n, r)]
        for label, (n, r) in _here().items()
    ]
    nlm = [narrow(of("subspace-nlm", f"psnr_{s}")) for s in LEVELS]
    rows.append(["subspace + non-local means", *nlm, unseen("subspace-nlm", "")])
    head = ["PSNR, dB", *AT_LEVELS, "unseen scene, σ = 50"]
    return head, rows, f"Mean over bands; unseen scene: Pavia Centre, below; {MORE}"


def other_scores() -> Table:
    """SSIM, SAM and ERGAS on the test crop at σ = 50."""
    digits = {"SSIM": 3, "SAM": 4, "ERGAS": 2}
    rows = [
        [label, *(narrow(scored(n, m.lower(), 50, r), d) for m, d in digits.items())]
        for label, (n, r) in _here().items()
    ]
    return (
        ["σ = 50", *digits],
        rows,
        "SSIM: Gaussian window, larger is better; SAM: mean angle between spectra in radians, and "
        "ERGAS, relative error over the bands as Wald defines it: smaller is better. The records "
        "hold every level",
    )


def elsewhere() -> Table:
    """PSNR on two other scenes, and with an estimated σ on the file as it is."""
    rows = [
        [f"{scene}: {label}", *(narrow(of(n, f"psnr_{s}{end}", r)) for s in LEVELS)]
        for end, scene in SCENES.items()
        for label, (n, r) in AWAY.items()
    ]
    for told, score in (("known", "psnr"), ("estimated", "psnr_blind")):
        found = [narrow(of("star", f"{score}_{s}_as_is", "as-is")) for s in LEVELS]
        rows.append([f"Indian Pines as it is: σ {told}", *found])
    caption = f"Not trained on these scenes; last two rows: STARNet; {MORE}"
    return ["PSNR, dB", *AT_LEVELS], rows, caption


def as_is() -> Table:
    """PSNR with the damaged crop as truth."""
    rows = [
        [label, *(narrow(of(ROWS[label][0], f"psnr_{s}_as_is", ROWS[label][1])) for s in LEVELS)]
        for label in ("STAR, classical", "SMDSNet, 735", "STARNet, 752")
    ]
    return ["PSNR, dB, file as it is", *AT_LEVELS], rows, MORE


def accuracies() -> Table:
    """Accuracy of the crops' classes after denoising."""
    use = {label: ROWS[label] for label in ("noisy", "PCA")} | AWAY
    rows = [
        [label, *(narrow(of(n, f"accuracy_{s}_as_is", r), 3) for s in LEVELS)]
        for label, (n, r) in use.items()
    ]
    return ["accuracy", *AT_LEVELS], rows, f"10 % of the labelled pixels to learn from; {MORE}"


# differences of the same seed


def apart(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """The first minus the second, seed by seed in the order of the records."""
    return [a - b for a, b in zip(first, second, strict=False)]


def minus(first: Named, second: Named, scene: str = "") -> dict[int, list[float]]:
    """By level: PSNR of the first ``apart`` from the second."""
    read = lambda n, r, s: of(n, f"psnr_{s}_{scene}", r) if scene else scored(n, "psnr", s, r)
    return {s: apart(read(*first, s), read(*second, s)) for s in LEVELS}


def over(first: str, second: str) -> dict[int, list[float]]:
    """By level: PSNR of the first network ``against`` the second."""
    return {s: against(first, second, f"psnr_{s}") for s in LEVELS}


def against(name: str, other: str, score: str) -> list[float]:
    """Differences of a score, recipe as-is, over the seeds that both have."""
    seeds = lambda n: {
        int(r.get("seed", 0)): r["scores"][score]
        for r in records.recorded(f"hyperspectral/{n}")
        if r.get("recipe_name") == "as-is" and score in r["scores"]
    }
    a, b = seeds(name), seeds(other)
    return [a[s] - b[s] for s in sorted(a.keys() & b.keys())]
