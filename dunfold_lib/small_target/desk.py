"""The frames of the laboratory, and what methods make of them, which is kept."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import checks, show
from dunfold_lib.show import Curves, Frames, line
from dunfold_lib.small_target import baselines, data, evaluation, fast, scores, theory, training
from dunfold_lib.small_target.experiments import NAMES
from dunfold_lib.small_target.figures_lab import (
    AXES,
    HEADS,
    INJECTED,
    MADE_UP,
    MARKS,
    around_zero,
    cut_at,
    grey,
    marked,
    masks,
    published_rows,
    recorded_rows,
    score_rows,
    stretched,
)
from dunfold_lib.small_target.variants import TITLES, here


class Desk:
    """The frames that nothing is trained on; the first ``most`` of each set are looked at."""

    def __init__(self, most: int, few: int):
        self.most, self.few = most, few  # frames that are looked at; whose IoU is taken in noise
        self.made: dict[tuple[Any, ...], Any] = {}
        self.measured: dict[tuple[str, str], tuple[dict[str, float], Any]] = {}

    def once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """What ``make`` gives, made once for a key."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def sets(self) -> dict[str, str]:
        """{what a menu says: name} of what there is to look at."""
        found = {MADE_UP: MADE_UP} | ({INJECTED: INJECTED} if here("injected") else {})
        return found | {title: name for name, title in TITLES.items() if here(name)}

    def whole(self, name: str) -> data.Frames:
        """Made-up frames, targets injected into the last scenes, or the test part of a set."""

        def make() -> data.Frames:
            if name == MADE_UP:
                return evaluation.measured_on("sirst", 0)["_synthetic"]
            if name == INJECTED:
                return training.part("injected", "val")
            return evaluation.measured_on(name, 0)[""]

        frames: data.Frames = self.once(("whole", name), make)
        return frames

    def some(self, name: str) -> data.Frames:
        """The first frames of a set."""
        frames = self.whole(name)
        return frames.part(range(min(self.most, len(frames.names))))

    def frame(self, name: str, at: int) -> tuple[Tensor, Tensor]:
        """(image (1, 1, h, w) in [0, 1], mask alike) of a set."""
        frames = self.some(name)
        return data.images(frames)[at : at + 1], frames.mask[at : at + 1]

    def logits(self, net: Any, name: str) -> Tensor:
        """T of every frame of a set that is looked at."""
        make = lambda: fast.logits(net, data.images(self.some(name)))
        T: Tensor = self.once(("logits", net, name), make)
        return T

    # The sections of the laboratory

    def look(self, frames: str, at: int) -> Frames:
        """A frame and its mask."""
        image, mask = self.frame(frames, at)
        count = scores.components(show.array(mask[0, 0]) > 0)[1]
        said = f"{count} target{'s' * (count != 1)}, {int(mask.sum())} pixels"
        captions, zoom = (self.some(frames).names[at], said), 1 + (image.shape[-1] < 300)
        return Frames((grey(image), grey(mask.float())), captions, f"frame {at}", zoom=zoom)

    def detect(self, frames: str, at: int, detector: str, share: float) -> Frames:
        """A detector's map, and what is found where it is cut at a share of its largest value."""
        image, mask = self.frame(frames, at)
        make = lambda: baselines.DETECTORS[detector](image[0, 0])[None, None]
        found = self.once(("detect", frames, at, detector), make)
        cut = baselines.segment(found[0, 0], share)[None, None]
        top = found.max().clamp(min=1e-6)
        pictures = grey(image), grey(found / top), marked(image, cut, mask)
        said = f"{MARKS}; IoU {100 * scores.iou(cut, mask):.1f}"
        captions = "image", f"{NAMES[detector]}'s map", said
        return Frames(pictures, captions, f"{NAMES[detector]} on a frame")

    def measure(self, frames: str, label: str, method: Any) -> None:
        """Measure a network, or a detector by its name, on a whole test part."""
        here_ = self.whole(frames)
        images = data.images(here_)
        if isinstance(method, str):
            found = masks(baselines.DETECTORS[method], images)
            self.measured[frames, label] = scores.scores(found, here_.mask), None
            return
        T = fast.logits(method, images)
        curve = scores.roc(T, here_.mask)
        made = scores.scores(T > 0, here_.mask) | {"auc": curve.area}
        thin = scores.roc(T, here_.mask, 400)
        self.measured[frames, label] = made, (thin.fpr, thin.tpr)

    def beside(self, frames: str) -> tuple[Any, ...]:
        """measured now | recorded | published, and the ROC of what was measured."""
        cell = lambda made, n: f"{made[n]:.2f}" if n in made else "–"
        now = {label: made for (name, label), made in self.measured.items() if name == frames}
        row = lambda label, who, made: [label, who, *(cell(made, n) for n in HEADS)]
        rows = [row(label, "measured now", made) for label, (made, _) in now.items()]
        rows += [*recorded_rows(frames)]
        for title, printed in published_rows(frames).items():
            rows.append(row(title, "published", printed))
        if not rows:
            return ("Nothing is recorded or published on these frames; measure something.",)
        caption = f"{frames}: scores in per cent, Fa in the unit that its column names"
        table = show.table(["method", "", *HEADS.values()], rows, caption)
        curves = {label: c for label, (_, c) in now.items() if c}
        lines = tuple(
            line(f.clamp(min=1e-7), t, label[:40], i)
            for i, (label, (f, t)) in enumerate(curves.items())
        )
        ends: dict[str, Any] = {"logx": True, "xlim": (1e-7, 1.0), "ylim": (0.0, 1.0)}
        drawn = Curves(lines, *AXES, f"ROC on {frames}", "ROC of pixels", **ends)
        return (table, drawn) if lines else (table,)

    @torch.no_grad()
    def stages(self, network: Any, frames: str, at: int, stage: int) -> Frames:
        """B, T, N and D after a stage."""
        image, mask = self.frame(frames, at)
        make = lambda: list(network.states(image))
        x = self.once(("stages", network, frames, at), make)[stage]
        span = lambda v: f"{float(v.min()):.2f} … {float(v.max()):.2f}"
        rank = lambda v: f"rank {theory.effective_rank(v[0, 0]):.1f}"
        maps = stretched(x.B), around_zero(x.T), around_zero(x.N), stretched(x.D)
        pictures = (grey(image), *maps, marked(image, x.T > 0, mask))
        told = [f"{n}: {span(v)}" for n, v in (("B", x.B), ("T", x.T), ("N", x.N), ("D", x.D))]
        told[0] += f", {rank(x.B)}"
        captions = (f"image, {rank(image)}", *told, f"T > 0; {MARKS}")
        return Frames(pictures, captions, f"stage {stage} of {network.K}")

    def threshold(self, network: Any, frames: str, at: int, share: float) -> tuple[Any, ...]:
        """The ROC of the frames that are looked at, and what a threshold finds."""
        T, mask = self.logits(network, frames), self.some(frames).mask
        t = cut_at(T, share)
        found = t < T
        curve = self.once(("roc", network, frames), lambda: scores.roc(T, mask, 400))
        false, hit = (float((found & m).sum() / m.sum()) for m in (~mask, mask))
        dot = line([max(false, 1e-7)], [hit], f"T > {t:.2f}", 1, "dots")
        lines = line(curve.fpr.clamp(min=1e-7), curve.tpr), dot
        ends: dict[str, Any] = {"logx": True, "xlim": (1e-7, 1.0), "ylim": (0.0, 1.02)}
        drawn = Curves(lines, *AXES, "ROC of pixels", f"ROC, {len(mask)} frames", **ends)
        picture = marked(data.images(self.some(frames))[at], found[at], mask[at])
        caption = f"{len(mask)} frames at T > {t:.2f}"
        table = score_rows({"network": found}, mask, caption)
        return drawn, Frames((picture,), (MARKS,), f"T > {t:.2f}"), table

    def noise(
        self, network: Any, frames: str, at: int, sigma: float, density: float
    ) -> tuple[Any, ...]:
        """A network and top-hat on frames with noise."""
        clean, mask = data.images(self.some(frames))[: self.few], self.some(frames).mask[: self.few]
        g = torch.Generator().manual_seed(7)
        noisy = data.noisy(clean, g, float(sigma), density)
        found = fast.logits(network, noisy) > 0
        pictures = grey(clean[at]), grey(noisy[at]), marked(noisy[at], found[at], mask[at])
        captions = "clean", f"σ = {sigma}/255, density {100 * density:g} %", MARKS
        both = {"network": found, "top-hat": masks(baselines.top_hat, noisy)}
        table = score_rows(both, mask, f"the first {len(mask)} frames")
        return Frames(pictures, captions, "noise"), table

    def robustness(self, network: Any, label: str, frames: str, count: int) -> tuple[Any, ...]:
        """IoU against the level of each kind of noise, of all networks that were drawn so far."""
        checks.whole("number of frames", count, 1)
        chosen = self.some(frames).part(range(min(count, len(self.some(frames).names))))
        run = lambda x: fast.logits(network, x) > 0
        self.once(("robust", frames, count, label), lambda: evaluation.robustness(run, chosen))
        head = ("robust", frames, count)
        found = {key[3]: made for key, made in self.made.items() if key[:3] == head}
        kinds = ("sigma", data.SIGMAS, "σ over 255"), ("density", data.DENSITIES, "salt and pepper")
        drawn = []
        for key, levels, title in kinds:
            curves = enumerate(found.items())
            lines = [line(levels, m[f"iou_{key}"], n[:40], i, "path") for i, (n, m) in curves]
            alt = f"IoU against {title}"
            drawn.append(Curves(tuple(lines), title, "IoU, %", alt, ylim=(0, 100)))
        rows = [[n, made["area_sigma"], made["area_density"]] for n, made in found.items()]
        heads = ["network", "area, Gaussian", "area, salt and pepper"]
        return *drawn, show.table(heads, rows, "IoU, %")
