"""Tables of the chapter on ISTA-Net: published, released and recorded scores, side by side."""

from collections.abc import Iterable

from dunfold_lib import records, tables
from dunfold_lib.imaging.experiments import EXPERIMENTS, TITLES
from dunfold_lib.imaging.published import BRAIN50, SECONDS, SET11
from dunfold_lib.imaging.scores import first
from dunfold_lib.show import Curves, each_line
from dunfold_lib.tables import Table

RATIOS = (1, 4, 10, 25, 30, 40, 50)
MRI_RATIOS = (10, 20, 30, 40, 50)
# measured before this book with the authors' files, which we may not ship; without 50 %
RELEASED = {
    "linear start": (17.28, 20.06, 23.20, 26.92, 27.92, 29.74),
    "ISTA-Net": (17.36, 21.15, 26.26, 31.85, 33.09, 35.38),
    "ISTA-Net+": (17.45, 21.56, 26.49, 32.44, 33.70, 36.02),
}
# the same; the zero-filled without 10 %
ZERO_FILLED_MRI = {20: 30.41, 30: 33.01, 40: 35.14, 50: 37.07}
RELEASED_MRI = {10: 34.63, 20: 38.70, 30: 40.97, 40: 42.65, 50: 44.12}
RECIPES = {
    "cpu": "wheels, CPU",
    "cpu-t91": "T91, CPU",
    "full": "full size, CPU",
    "gpu-short": "full size, short",
    "gpu": "full size, GPU",
}
MRI = {
    "cpu": "ours, 3 phases × 16",
    "gpu-short": "ours, full size, short",
    "continued": "ours, full size, and on",
    "gpu": "ours, full size",
}
LARGE = ("istanet-plus-25", "istanet-plus-10", "istanet-25")  # of the paper's size
PAIR = {"free": "istanet-plus-25", "constrained": "istanet-plus-25-constrained"}


def _cells(kind: str, score: str, recipe: str = "", ratios: Iterable[int] = RATIOS) -> list[str]:
    """Our scores of the experiments ``kind-ratio``; a dash where nothing is recorded."""
    found = [records.values(f"imaging/{kind}-{r}", score, recipe) for r in ratios]
    return [tables.summary(scores) if scores else tables.NONE for scores in found]


def _two(values: Iterable[float | None]) -> list[str]:
    return [tables.NONE if v is None else f"{v:.2f}" for v in values]


def _measured(rows: list[list[str]]) -> list[list[str]]:
    """The rows in which there is a number."""
    return [row for row in rows if any(cell != tables.NONE for cell in row[1:])]


def published() -> dict[str, list[float]]:
    """The PSNR in dB on Set11 that the paper prints, by method, in the order of ``RATIOS``."""
    return {name: [known[r] for r in RATIOS] for name, known in SET11.items()}


def set11() -> Table:
    """PSNR on Set11 at seven ratios: the paper's, the released files', and ours."""
    rows = [[f"{name}, published", *_two(values)] for name, values in published().items()]
    rows += [[f"{n}, released files", *_two((*values, None))] for n, values in RELEASED.items()]
    rows += [
        ["linear start, ours, wheels", *_cells("istanet-plus", "psnr_start", "cpu")],
        ["linear start, ours, T91", *_cells("istanet-plus", "psnr_start", "cpu-t91")],
        ["TV, whole image, ours", *_cells("tv", "psnr")],
        ["D-AMP with TV, ours", *_cells("d-amp", "psnr")],
    ]
    for kind, title in TITLES.items():
        rows += [[f"{title}, ours, {w}", *_cells(kind, "psnr", r)] for r, w in RECIPES.items()]
    caption = "Blocks 33×33, luminance, no noise, mean over 11 images; – : not measured"
    return ["Set11, PSNR in dB", *(f"{r} %" for r in RATIOS)], _measured(rows), caption


def photographs() -> Table:
    """PSNR on two photographs of scikit-image at seven ratios, ours."""
    rows = [
        ["linear start", *_cells("istanet-plus", "psnr_start_wheels", "cpu")],
        ["TV, whole image", *_cells("tv", "psnr_wheels")],
        ["D-AMP with TV", *_cells("d-amp", "psnr_wheels")],
    ]
    for kind, title in TITLES.items():
        rows += [[f"{title}, {w}", *_cells(kind, "psnr_wheels", r)] for r, w in RECIPES.items()]
    head = ["camera and coffee, dB", *(f"{r} %" for r in RATIOS)]
    return head, _measured(rows), "PSNR, mean over the two images; – : not measured"


def mri() -> Table:
    """PSNR on MR slices at five shares of the frequencies: published, released, and ours."""
    known = lambda values: _two(values.get(r) for r in MRI_RATIOS)
    net = lambda score, r: _cells("mri-istanet-plus", score, r, MRI_RATIOS)
    tv = lambda score: _cells("mri-tv", score, "", MRI_RATIOS)
    rows = [
        *([f"{name}, published", *known(values)] for name, values in BRAIN50.items()),
        ["zero-filled, authors' masks", *known(ZERO_FILLED_MRI)],
        ["ISTA-Net+, released files", *known(RELEASED_MRI)],
    ]
    for where, ending in (("", ""), ("head: ", "_head")):
        rows += [
            [f"{where}zero-filled, ours", *net(f"psnr_start{ending}", "cpu")],
            [f"{where}TV, ours", *tv(f"psnr{ending}")],
            *([f"{where}ISTA-Net+, {told}", *net(f"psnr{ending}", r)] for r, told in MRI.items()),
        ]
    caption = (
        "50 brain slices of the paper; “head”: 12 slices of the MNI152 template, on which nearby "
        "slices were trained; full size: on photographs, too; and on: from there, on a CPU. Our "
        "masks are spokes at golden angles, and ours saw no slice of the paper's. – : not measured"
    )
    return ["PSNR in dB", *(f"{r} %" for r in MRI_RATIOS)], _measured(rows), caption


def _seconds(name: str, recipe: str) -> list[str]:
    """The least recorded seconds for an image, on a CPU and on a GPU."""
    runs = records.values(f"imaging/{name}", "image_seconds", recipe)
    found = [[run[d] for run in runs if d in run] for d in ("cpu", "cuda")]  # type: ignore[index, operator]
    return [f"{min(seconds):.3f}" if seconds else tables.NONE for seconds in found]


def seconds() -> Table:
    """Seconds for an image of 256×256: the paper's machine's and ours."""
    rows = [[f"{name}, published", *pair] for name, pair in SECONDS.items()]
    sizes = {"cpu": "5 phases × 16", "gpu-short": "9 phases × 32"}
    for kind, title in TITLES.items():
        rows += [[f"{title}, ours, {s}", *_seconds(f"{kind}-25", r)] for r, s in sizes.items()]
    last = _seconds("mri-istanet-plus-20", "cpu")
    rows.append(["MRI: ISTA-Net+, ours, 3 phases × 16", *last])
    caption = (
        "Published: the paper's machine. Ours: the machine that made the record; – : not measured"
    )
    return ["256×256; CS at 25 %", "CPU, s", "GPU, s"], _measured(rows), caption


def _constants(score: str, ylabel: str) -> Curves:
    found = {label: v for label, name in PAIR.items() if (v := first(name, score, "cpu"))}
    return Curves(
        lines=each_line(found, style="path"),
        xlabel="phase",
        ylabel=ylabel,
        size=(4.2, 3.1),
        alt=f"Learned {ylabel} of each phase, free and constrained",
    )


def constants() -> tuple[Curves, Curves]:
    """The learned steps and thresholds of each phase at 25 %, free and constrained."""
    return _constants("rho", "step ρ"), _constants("theta", "threshold θ")


def restriction() -> Table:
    """The scores at 25 % of the free and of the constrained network, on a CPU recipe."""
    ours = lambda name, score: tables.summary(records.values(f"imaging/{name}", score, "cpu"))
    rows = [[label, ours(n, "psnr"), ours(n, "psnr_wheels")] for label, n in PAIR.items()]
    head = ["25 %, CPU recipe", "Set11, dB", "camera and coffee, dB"]
    return head, rows, EXPERIMENTS["istanet-plus-25"].protocol


def below_total_variation() -> list[float]:
    """How many dB our small MRI networks lie below total variation, at each ratio."""
    tv = lambda r: records.values(f"imaging/mri-tv-{r}", "psnr")[0]
    net = lambda r: records.values(f"imaging/mri-istanet-plus-{r}", "psnr", "cpu")[0]
    return [tv(r) - net(r) for r in MRI_RATIOS[1:]]


def trainings(names: Iterable[str], recipe: str = "cpu") -> int:
    """The least number of recorded trainings that one of some experiments has."""
    return min(len(records.values(f"imaging/{n}", "psnr", recipe)) for n in names)


def quotes() -> dict[str, str]:
    """The recorded numbers that the chapter's sentences quote, by name."""
    scores = lambda name, recipe="": records.values(f"imaging/{name}", "psnr", recipe)
    over = below_total_variation()
    return {
        "pair_seeds": str(trainings(PAIR.values())),
        "tv_25": tables.average(scores("tv-25")),
        "pnp_25": tables.average(scores("pnp-admm-cnn-25")),
        "large_25": tables.average(scores("istanet-plus-25", "gpu-short")),
        "large_10": tables.average(scores("istanet-plus-10", "gpu-short")),
        "large_plain_25": tables.average(scores("istanet-25", "gpu-short")),
        "large_25_seeds": str(trainings(LARGE, "gpu-short")),
        "plus_25": tables.average(scores("istanet-plus-25", "cpu-t91")),
        "plus_25_seeds": str(trainings(["istanet-plus-25"], "cpu-t91")),
        "mri_tv": tables.between(over, 1),
        "mri_large": tables.average(scores("mri-istanet-plus-20", "gpu-short")),
        "mri_on": tables.average(scores("mri-istanet-plus-20", "continued")),
        "mri_tv_20": tables.average(scores("mri-tv-20")),
        "mri_on_30": tables.average(scores("mri-istanet-plus-30", "continued")),
        "mri_tv_30": tables.average(scores("mri-tv-30")),
        "mri_seeds": str(trainings(f"mri-istanet-plus-{r}" for r in MRI_RATIOS[1:])),
    }
