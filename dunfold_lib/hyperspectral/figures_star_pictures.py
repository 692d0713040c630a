"""Pictures of both chapters' ideas: how data flow through a sweep and a layer, a cube that is
denoised by hand, and what a small training brings.

``flow`` gives a piece of a page; the others return what ``show.page`` takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import show
from dunfold_lib.hyperspectral import data, evaluation
from dunfold_lib.hyperspectral.evaluation import Method
from dunfold_lib.hyperspectral.lowrank import project
from dunfold_lib.hyperspectral.patches import Patches, analysis, dct, mean, synthesis
from dunfold_lib.prox import soft
from dunfold_lib.show import COLOURS, Curves, Frames, Html, array, line, unique

LEVELS = evaluation.LEVELS


class Box(NamedTuple):
    """One block of a diagram: what it does, what it is given from outside, its colour."""

    says: str
    given: str
    colour: int


class Flow(NamedTuple):
    """A diagram from top to bottom; ``again`` stands beside the way back to the first box."""

    first: str
    boxes: tuple[Box, ...]
    last: str
    again: str
    caption: str


SWEEP = Flow(
    "Y over σ; A from its spectra; G = Y ×₃ Aᵀ",
    (
        Box("S: large residuals are taken out", "Y, μ", 4),
        Box("B: patches of G, small codes go", "γ₁, λ, β", 0),
        Box("L: small singular values go", "γ₂, λ, β", 1),
        Box("U: the multiplier moves", "", 5),
        Box("G: patches back, averaged with Y", "Y, λ", 2),
        Box("A: the spectra turn (Procrustes)", "Y", 3),
    ),
    "the cube G ×₃ A, times σ",
    "again",
    "A sweep of STAR-S. At the right what each update is given beside the state; nothing in it is "
    "learned. STAR leaves out S, and without the nuclear norm also L and U.",
)
LAYER = Flow(
    "G, A, B, L, U",
    (
        Box("ShrinkNet: B by a soft threshold", "C, D, w, θ", 0),
        Box("SvtNet: L = SVT(B − U, τ)", "τ", 1),
        Box("Linear: U ← U + L − B", "", 5),
        Box("LargNet: G by α, A by Procrustes", "Y, W, α", 2),
    ),
    "the next layer; after the last, G ×₃ A",
    "",
    "One layer. At the right what it is given: the noisy cube Y, matrices that all layers share, "
    "and numbers of its own.",
)
WIDTH, STEP, HIGH = 430, 60, 36  # of the drawing; from box to box; of a box
LEFT, RIGHT = 44, 318  # edges of the boxes


def flow(of: Flow) -> Html:
    """A diagram in words and boxes, its colours those of the page's theme."""
    tip = unique("df-tip")
    tops = [*accumulate([30] + [STEP] * (len(of.boxes) - 1))]
    end = tops[-1] + HIGH
    middle = (LEFT + RIGHT) // 2
    arrow = lambda path: (
        f'<path d="{path}" stroke="currentColor" fill="none" marker-end="url(#{tip})"/>'
    )
    text = lambda x, y, said: f'<text x="{x}" y="{y}" text-anchor="middle">{escape(said)}</text>'
    parts = [text(WIDTH // 2, 15, of.first), arrow(f"M{middle} 20V29")]
    for top, box in zip(tops, of.boxes, strict=True):
        parts.append(_box(top, box.colour) + text(middle, top + 23, box.says))
        parts.append(arrow(f"M{middle} {top + HIGH}V{top + STEP - 1}") if top != tops[-1] else "")
        if box.given:
            parts.append(text((RIGHT + WIDTH) // 2 + 10, top + 23, box.given))
            parts.append(arrow(f"M{RIGHT + 18} {top + 18}H{RIGHT + 2}"))
    parts += [arrow(f"M{middle} {end}V{end + 16}"), text(WIDTH // 2, end + 34, of.last)]
    if of.again:
        parts.append(arrow(f"M{LEFT} {end - 18}H22V{tops[0] + 18}H{LEFT - 2}"))
        y = (tops[0] + end) // 2
        parts.append(f'<g transform="rotate(-90 14 {y})">{text(14, y, of.again)}</g>')
    said = f"{of.first}; then {'; '.join(b.says for b in of.boxes)}; {of.last}"
    return Html(_figure("".join(parts), end + 44, tip, said, of.caption), said)


def _box(top: int, colour: int) -> str:
    shade = f"var(--df-{colour}, {COLOURS[colour]})"
    return (
        f'<rect x="{LEFT}" y="{top}" width="{RIGHT - LEFT}" height="{HIGH}" rx="6" fill="none" '
        f'stroke="{shade}" stroke-width="1.8"/>'
    )


def _figure(inner: str, height: int, tip: str, said: str, caption: str) -> str:
    marker = (
        f'<defs><marker id="{tip}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor"/></marker>'
        "</defs>"
    )
    return (
        '<figure class="df-figure"><div class="df-panels"><div class="df-panel" '
        f'style="max-width:27rem"><svg role="img" aria-label="{escape(said)}" '
        f'viewBox="0 0 {WIDTH} {height}" font-size="15" fill="currentColor" stroke-width="1.3">'
        f"{marker}{inner}</svg></div></div><figcaption>{escape(caption)}</figcaption></figure>"
    )


# two bands of 2 × 2 pixels

SPECTRUM = (0.6, 0.8)
TRUE = ((10.0, 10.0), (0.0, 0.0))  # the eigen-image
BANDS = (((7.0, 6.0), (-2.0, 1.0)), ((8.0, 8.5), (0.0, -0.5)))  # noisy


class ByHand(NamedTuple):
    """The steps of the worked example."""

    Y: Tensor  # (1, 2, 2, 2)
    A: Tensor  # (1, 2, 1)
    G: Tensor  # (1, 1, 2, 2), projected
    m: float
    codes: Tensor  # (2, 2)
    kept: Tensor  # (2, 2)
    made: Tensor  # (2, 2), what the patch says


def by_hand(theta: float = 1.0) -> ByHand:
    """One spectrum, one patch, one soft threshold θ."""
    Y = torch.tensor(BANDS, dtype=torch.float64)[None]
    A = torch.tensor(SPECTRUM, dtype=torch.float64)[None, :, None]
    G, R, one = project(Y, A), Patches(2, 1), torch.eye(1, dtype=torch.float64)
    D = (dct(2, Y.dtype), dct(2, Y.dtype), one)
    X = R(G)
    m = mean(X)
    codes = analysis(X - m, *D)
    kept = soft(codes, theta)
    made = synthesis(kept, *D) + m
    square = lambda t: t.reshape(2, 2)
    return ByHand(Y, A, G, float(m), square(codes), square(kept), square(made))


def small() -> Frames:
    """The worked example as pictures: both bands, the eigen-image, its codes, what is left."""
    x = by_hand()
    shown = (*x.Y[0], x.G[0, 0], x.made)
    grey = lambda t: (array(t) + 3).clip(0, 14) / 14
    rows = lambda t: " / ".join(" ".join(f"{v:z.1f}" for v in row) for row in t.tolist())
    names = ("band 1", "band 2", "G", "made of its code")
    return Frames(
        images=tuple(map(grey, shown)),
        captions=tuple(f"{n}: {rows(t)}" for n, t in zip(names, shown, strict=True)),
        alt="A cube of two bands and 2 by 2 pixels",
        zoom=60,
    )


# a small training


def quality(run: Method) -> list[float]:
    """PSNR in dB at every level of white noise on the validation part."""
    return evaluation.validation(run, tuple(map(data.Noise, LEVELS)))


def above(found: Mapping[str, Sequence[float]], base: Sequence[float], of: str) -> Curves:
    """How far methods are above ``base`` at every level of noise.

    found, base : PSNR at ``LEVELS``.  of : the name of ``base``.
    """
    rise = {k: [v - b for v, b in zip(row, base, strict=True)] for k, row in found.items()}
    curves = show.by_name(rise, "σ of 255", f"PSNR above {of}, dB", LEVELS)
    zero = line(LEVELS, [0.0] * len(LEVELS), of, 5, "dashed")
    return replace(curves, lines=(*curves.lines, zero), ylabel="gain in PSNR, dB")
