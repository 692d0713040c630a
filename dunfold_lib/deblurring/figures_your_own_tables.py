"""The chapter's tables and the numbers of its sentences, from the records."""

import numpy as np

from dunfold_lib import records, tables
from dunfold_lib.deblurring.experiments import BARS, EXPERIMENTS
from dunfold_lib.show import Curves, line
from dunfold_lib.tables import Table


def each(name: str, score: str = "psnr") -> list[float]:
    """A score of every recorded run of an experiment of this room."""
    return records.values(f"deblurring/{name}", score)


def ablation() -> Table:
    """Every experiment: numbers that are learned, three scores, seeds, CPU-seconds."""
    rows = []
    for name, e in EXPERIMENTS.items():
        runs = records.recorded(f"deblurring/{name}")
        scores = [tables.summary(each(name, s)) for s in ("psnr", "psnr_cropped", "psnr_noisier")]
        spent = [r["cpu_seconds"] for r in runs if "cpu_seconds" in r]
        seconds = f"{np.mean(spent):.0f}" if spent else tables.NONE
        numbers = f"{runs[0]['parameters']:,}" if spent else "0"
        rows.append([e.title, numbers, *scores, len(runs), seconds])
    head = ["", "learned", "PSNR, dB", "rim cut off", "noise × 3", "seeds", "CPU-seconds"]
    return head, rows, EXPERIMENTS["prox"].protocol


def leads() -> dict[str, float]:
    """What the bars ask for, as measured: differences of means over the seeds, in dB."""
    mean = {name: tables.mean(each(name)) for name in EXPERIMENTS}
    return {
        "prox over six steps": mean["prox"] - mean["tv-6"],
        "prox over the solved problem": mean["prox"] - mean["tv"],
        "steps alone over six steps": mean["steps"] - mean["tv-6"],
    }


def bars() -> Table:
    """Each bar, stated before the runs, and what was measured."""
    rows = []
    for name, found in leads().items():
        said = "met" if found >= BARS[name] else "missed"
        rows.append([name, f"≥ {BARS[name]:.1f}", tables.minus_sign(f"{found:.2f}"), said])
    return ["lead, dB", "bar", "measured", ""], rows, "Means over the recorded seeds"


def constants() -> Curves:
    """The learned τ, σ and λ of every layer as factors of the algorithm's, mean over seeds."""
    runs = [r["scores"] for r in records.recorded("deblurring/prox")]
    first = lambda v: np.asarray(v)[..., 0] if np.ndim(v) == 2 else np.asarray(v)
    factors = {n: np.mean([first(r[n]) for r in runs], 0) for n in ("tau", "sigma", "lam")}
    names = {"tau": "τ", "sigma": "σ", "lam": "λ of the differences"}
    k = range(1, len(factors["tau"]) + 1)
    return Curves(
        lines=tuple(line(k, v, names[n], i, "path") for i, (n, v) in enumerate(factors.items())),
        xlabel="layer",
        ylabel="factor",
        alt="Learned steps and weight of each layer, as factors of the algorithm's",
    )


def quotes() -> dict[str, str]:
    """What the page's sentences say of the records."""
    form = lambda v: tables.minus_sign(f"{v:.2f}")
    lead = leads()
    mean = {name: tables.mean(each(name)) for name in EXPERIMENTS}
    cut = tables.mean(each("prox")) - tables.mean(each("prox", "psnr_cropped"))
    loud = {n: tables.mean(each(n, "psnr_noisier")) for n in ("prox", "tv")}
    return {
        "lead_six": form(lead["prox over six steps"]),
        "lead_solved": form(lead["prox over the solved problem"]),
        "lead_steps": form(lead["steps alone over six steps"]),
        "six_behind": form(abs(mean["tv"] - mean["tv-6"])),
        "filters_over_steps": form(mean["filters"] - mean["steps"]),
        "prox_over_filters": form(mean["prox"] - mean["filters"]),
        "cut_off": form(cut),
        "loud_prox": form(loud["prox"]),
        "loud_tv": form(loud["tv"]),
    }
