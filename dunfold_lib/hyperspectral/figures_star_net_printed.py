"""What the paper on STAR-Net prints, as tables of its chapter.

Each function returns what ``show.table`` takes.
"""

from dunfold_lib.hyperspectral import published
from dunfold_lib.hyperspectral.figures_star_net import LEVELS
from dunfold_lib.tables import Table

CUBES = {"ICVL": published.ICVL, "PaviaU": published.PAVIAU}
DIGITS = {"SSIM": 3, "SAM": 3, "ERGAS": 1}


def psnr(name: str) -> Table:
    """PSNR as printed for a cube of ``CUBES``."""
    rows = [[m, *(f"{v:.2f}" for v in scores)] for m, scores in CUBES[name]["PSNR"].items()]
    return _head(name), rows, f"PSNR in dB as printed for {name}"


def others(name: str) -> Table:
    """SSIM, SAM and ERGAS as printed for a cube of ``CUBES``."""
    rows = [
        [f"{method}: {key}", *(f"{v:.{d}f}" for v in CUBES[name][key][method])]
        for method in CUBES[name]["PSNR"]
        for key, d in DIGITS.items()
    ]
    note = "the released codes put in ERGAS a band's squared error over its mean"
    return _head(name), rows, f"As printed for {name}; {note}, not over the mean's square"


def _head(name: str) -> list[str]:
    return [name, *(f"σ = {s}" for s in LEVELS), "average"]


def times() -> list[list[str]]:
    """Rows of the run times as printed: method, parameters, seconds on either cube."""
    parameters = lambda m: f"{published.PARAMETERS[m]:,}" if m in published.PARAMETERS else "–"
    return [[m, parameters(m), *(f"{t:g}" for t in row)] for m, row in published.SECONDS.items()]


def gain(name: str) -> list[float]:
    """PSNR of STAR-Net minus that of SMDS-Net at every level, as printed for a cube."""
    psnr = CUBES[name]["PSNR"]
    pairs = zip(psnr["STAR-Net"], psnr["SMDS-Net"], strict=True)
    return [a - b for a, b in pairs][: len(LEVELS)]
