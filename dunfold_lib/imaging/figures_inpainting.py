"""Figures and tables of the page on inpainting from measurements alone."""

from functools import cache

import torch
from torch import Tensor

from dunfold_lib import experiment, fetch, tables
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.imaging import data, masks, self_supervised, training
from dunfold_lib.imaging.experiments import BLIND, EXPERIMENTS, MASK_BAR
from dunfold_lib.imaging.fast import reconstruct
from dunfold_lib.imaging.scores import HEAD, SAID, gap, row, values, verdict
from dunfold_lib.metrics import psnr
from dunfold_lib.operators import Blockwise, Sensing
from dunfold_lib.show import Frames, array
from dunfold_lib.tables import Table

MISSING = (0.3, 0.5, 0.7, 0.9, 0.97)
# Of the explorer: how many symmetries of the square, and how many shifts.
GROUPS = {
    "none": (1, 1),
    "8 turns and mirrors": (8, 1),
    "8 shifts": (1, 8),
    "64 shifts": (1, 64),
    "both: 8 · 64": (8, 64),
}
SECOND_MOMENTS = "linear, from second moments"


def shifts(count: int, side: int = data.SIDE, seed: int = 0) -> list[tuple[int, int]]:
    """Different shifts by whole pixels, the first one by none."""
    order = torch.randperm(side**2, generator=torch.Generator().manual_seed(seed))
    order = torch.cat([order.new_zeros(1), order[order != 0]])[:count]
    return [(k // side, k % side) for k in order.tolist()]


@cache
def _seen(missing: float, group: str) -> tuple[Tensor, Tensor]:
    """(the mask, what the group sees of a block)."""
    kept = masks.kept_pixels(missing)
    count, moves = GROUPS[group]
    return kept, self_supervised.seen_pixels(kept, shifts(moves), count)


def pixels(missing: float = 0.9, group: str = "none") -> Frames:
    """A mask of 33×33 pixels, and the pixels that some symmetry moves into it."""
    kept, seen = _seen(missing, group)
    share = lambda x: f"{100 * float(x.mean()):.1f} %"
    return Frames(
        images=(array(kept), array(seen)),
        captions=(f"kept: {share(kept)}", f"seen by some symmetry: {share(seen)}"),
        alt="The kept pixels of a block in white, and beside them those that a symmetry moves "
        "into the mask",
        note=f"{100 * missing:.0f} % missing, symmetries: {group}",
        zoom=6,
    )


def pixels_explorer() -> Explorer:
    """Controls over ``pixels``."""
    right = "a little over half"
    return Explorer(
        pixels,
        {
            "missing": Slider("share of missing pixels", MISSING, 3, "{:.0%}"),
            "group": Slider("symmetries", [*GROUPS], 0),
        },
        "One mask of 33×33 pixels. White: kept, and seen by at least one symmetry.",
        guess=Guess(
            "Nine of ten pixels are missing, the kept ones lie at random. A block may be turned "
            "and mirrored in 8 ways: 8 · 10 %. How many of the pixels does some way see?",
            ("about 80 %", right, "all"),
            right,
            "About 1 − 0.9⁸ = 57 %: the eight masks overlap. Choose the 8 turns and mirrors at "
            "90 %, then the shifts.",
        ),
    )


@fetch.cached(fetch.nowhere)
def moments(truths: bool = False) -> Tensor:
    """Q (1089, m) of the recipes' mask, from blocks with holes, or from the blocks themselves."""
    kept = masks.kept_pixels(BLIND["mask-supervised"].missing)
    C = training.patch_covariance("wheels") if truths else _measured(kept)
    return data.linear_start(masks.mask_matrix(kept), C)


def _measured(kept: Tensor) -> Tensor:
    """The covariance from training blocks that are turned at random and measured once each."""
    blocks = training.turned(training.training_set("wheels"), torch.Generator().manual_seed(0))
    return self_supervised.masked_covariance(kept, blocks)


def filled(image: Tensor, truths: bool = False) -> Tensor:
    """Q b of an image (1, 1, h, w) of any size, block by block."""
    A = Sensing(masks.mask_matrix(masks.kept_pixels(BLIND["mask-supervised"].missing)))
    whole = Blockwise(A, (image.shape[2], image.shape[3]))
    b = whole(image).flatten(0, 1)
    return whole.join((b @ moments(truths).T).unflatten(1, A.domain))


def linear(truths: bool = False) -> float:
    """PSNR in dB of Q b, mean over the wheel's test photographs."""
    images = data.wheel_images("test").values()
    return tables.mean([psnr(filled(x, truths).clamp(0, 1), x) for x in images])


def scores() -> Table:
    """Recorded scores by loss, and the linear estimates, which are computed here."""
    rows = [row(said, f"mask-{name}") for name, said in SAID.items()]
    for truths, given in ((False, "measurements"), (True, "truths")):
        rows.append([f"{SECOND_MOMENTS} of {given}", f"{linear(truths):.2f}", *"–––"])
    caption = (
        "PSNR in dB, mean ± half the spread over three seeds; the linear ones have no seed and are "
        "computed with this page. Misfit: ‖A x − b‖²/‖b‖². Unseen error: mean square error at the "
        "missing pixels per pixel of the image, camera and coffee. "
    )
    return HEAD, rows, caption + EXPERIMENTS["blind-mask-equivariant"].protocol


def pictures() -> Frames:
    """What three networks, seed 0, and second moments make of a photograph with holes."""
    truth = data.small_camera()
    net = lambda name: experiment.load(f"imaging/blind-mask-{name}", "cpu", 0)
    made = {said: reconstruct(net(name), truth) for name, said in SAID.items()}
    made |= {SECOND_MOMENTS: filled(truth)}
    shown = {f"{n}, {psnr(x.clamp(0, 1), truth):.1f} dB": x.clamp(0, 1) for n, x in made.items()}
    every = {**shown, "truth": truth}
    return Frames(
        images=tuple(array(x[0, 0]) for x in every.values()),
        captions=tuple(every),
        alt="A photograph of which half of the pixels are missing: black holes by consistency, "
        "filled with equivariance, with truths and by second moments, and the photograph",
        zoom=2,
    )


def quotes() -> dict[str, str]:
    """The numbers that the page's sentences quote, by name."""
    mean = lambda name, score="psnr_wheels": tables.average(values(f"mask-{name}", score))
    apart = gap("mask-{}")
    recipe = BLIND["mask-equivariant"]
    return {
        "mask_bar": f"{MASK_BAR:g}",
        "mask_steps": str(recipe.steps),
        "mask_missing": f"{100 * recipe.missing:.0f}",
        "mask_gap": f"{abs(apart):.2f}",
        "mask_verdict": verdict(apart, MASK_BAR),
        "mask_start": mean("equivariant", "psnr_start_wheels"),
        "mask_alone": mean("consistency"),
        "mask_equivariant": mean("equivariant"),
        "mask_supervised": mean("supervised"),
        "mask_linear": f"{linear():.1f}",
        "mask_linear_truths": f"{linear(truths=True):.1f}",
    }
