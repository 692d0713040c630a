"""Figures of the chapter on ISTA-Net: its phases, its features, and what noise does to it."""

import itertools
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from dunfold_lib import checks, experiment, fetch
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.imaging import data
from dunfold_lib.imaging.baselines import total_variation
from dunfold_lib.imaging.denoisers import tv_chambolle
from dunfold_lib.imaging.fast import image_phases
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus
from dunfold_lib.imaging.plug_and_play import pnp_ista
from dunfold_lib.metrics import psnr
from dunfold_lib.operators import Blockwise, Fourier
from dunfold_lib.show import Curves, Frames, array, line

SIZE = 132  # of a crop, in pixels: 4×4 blocks
CROPS = {"camera": (66, 170), "coffee": (100, 120)}  # top and left of the crop
RATIOS = (1, 4, 10, 25, 50)
NOISE = (0, 2, 5, 10, 15, 20)  # deviation of the noise on b, in 1/255
TV_STEPS = 200
TV_SHARE = 0.3  # of the noise, told to the denoiser of the weighted TV; its λ is 0.85 times that
CHANNELS = 8
PHOTOGRAPH = "A crop of a photograph"


@fetch.cached(fetch.nowhere)
def photograph(name: str) -> Tensor:
    """A crop of one of the wheel's test photographs, (1, 1, 132, 132): "camera" or "coffee"."""
    checks.one_of("name", name, CROPS)
    top, left = CROPS[name]
    return data.wheel_images("test")[name][..., top : top + SIZE, left : left + SIZE].contiguous()


def recorded_ratios() -> tuple[int, ...]:
    """Those of ``RATIOS`` whose ISTA-Net+ was recorded by the CPU recipe."""
    recorded = lambda r: experiment.first_recorded([f"imaging/istanet-plus-{r}"], ["cpu"])
    return tuple(r for r in RATIOS if recorded(r))


@cache
def network(ratio: int) -> ISTANet | ISTANetPlus:
    """The recorded ISTA-Net+ of a CS ratio, by the CPU recipe."""
    return experiment.load(f"imaging/istanet-plus-{ratio}", "cpu", 0)


@fetch.cached(fetch.nowhere)
def run(ratio: int, name: str) -> list[dict[str, Tensor]]:
    """What every phase makes of a photograph's crop; first the start alone."""
    return list(image_phases(network(ratio), photograph(name)))


def score(estimate: Tensor, truth: Tensor) -> float:
    """PSNR in dB, the estimate, which must be finite, clipped to [0, 1]."""
    checks.finite("estimate", estimate)
    return psnr(estimate.clamp(0, 1), truth)


def phase(ratio: int = 25, k: int = 5, name: str = "camera") -> tuple[Frames, Curves]:
    """Truth, estimate after k phases, its error, and the PSNR of every phase.

    ratio : one of ``RATIOS``.  name : "camera" or "coffee".
    """
    truth, seen = photograph(name), run(ratio, name)
    checks.layer(k, len(seen) - 1, "phases")
    x = seen[k]["x"]
    db = [score(s["x"], truth) for s in seen]
    error = (0.5 + 4 * (x - truth)).clamp(0, 1)
    frames = Frames(
        images=tuple(array(t)[0, 0] for t in (truth, x.clamp(0, 1), error)),
        captions=("truth", f"after phase {k}, {db[k]:.1f} dB", "its error × 4, grey is none"),
        alt=PHOTOGRAPH,
    )
    curve = Curves(
        lines=(
            line(range(len(db)), db, "this ratio, this image", 0, "path"),
            line([k], [db[k]], "this phase", 1, "dots"),
        ),
        xlabel="phase k",
        ylabel="PSNR, dB",
        xlim=(-0.2, len(db) - 0.8),
        ylim=(12, 42),
        alt="PSNR of the estimate after each phase, with the chosen phase marked",
        size=(4.2, 3.2),
        note=f"CS ratio {ratio} %: start {db[0]:.2f} dB, after phase {k} {db[k]:.2f} dB",
    )
    return frames, curve


@cache
def noisy_runs(ratio: int = 25, name: str = "camera") -> dict[str, Any]:
    """Estimates from measurements with noise of every level in ``NOISE``: network, and two TVs.

    "network" is a list over the phases, "tv" fits the data exactly, "weighted" minimises
    ½‖A x − b‖² + λ TV(x) with λ proportional to the noise. All are (levels, 1, 132, 132).
    """
    net, truth = network(ratio), photograph(name)
    A = Blockwise(net.A, (SIZE, SIZE))  # type: ignore[arg-type]
    clean, g = A(truth), torch.Generator().manual_seed(0)
    noise = torch.randn(clean.shape, generator=g)
    sigmas = [level / 255 for level in NOISE]
    b = torch.cat([clean + sigma * noise for sigma in sigmas])
    with torch.no_grad():
        network_estimates = [A.join(x) for x in net.iterates(b.flatten(0, 1))]
    tv = total_variation(A, b, TV_STEPS)
    weighted = [
        pnp_ista(A, row[None], tv_chambolle, TV_SHARE * sigma, 40, 1.0, start[None])[-1]
        for row, start, sigma in zip(b, tv, sigmas, strict=True)
    ]
    return {"network": network_estimates, "tv": tv, "weighted": torch.cat(weighted)}


@cache
def noisy_scores(ratio: int = 25, name: str = "camera") -> dict[str, list[list[float]]]:
    """PSNR in dB of ``noisy_runs``: for each method a list over its phases of lists over noise."""
    truth, runs = photograph(name), noisy_runs(ratio, name)
    rows = lambda images: [score(x[None], truth) for x in images]
    network_rows = [rows(images) for images in runs["network"]]
    return {"network": network_rows, "tv": [rows(runs["tv"])], "weighted": [rows(runs["weighted"])]}


def noise(level: int = 5, k: int = 5) -> tuple[Frames, Curves]:
    """The network, trained without noise, on a noisy measurement; beside it total variation.

    level : one of ``NOISE``, deviation of the noise on b in 1/255.  k : phases.
    """
    checks.one_of("level", level, NOISE)
    runs, db, i = noisy_runs(), noisy_scores(), NOISE.index(level)
    checks.layer(k, len(runs["network"]) - 1, "phases")
    shown = (runs["network"][k][i], runs["tv"][i], runs["weighted"][i])
    here = (db["network"][k][i], db["tv"][0][i], db["weighted"][0][i])
    methods = (f"network, phase {k}", "TV, exact fit", "TV, weighted fit")
    frames = Frames(
        images=tuple(array(x.clamp(0, 1))[0] for x in shown),
        captions=tuple(f"{m}, {v:.1f} dB" for m, v in zip(methods, here, strict=True)),
        alt=PHOTOGRAPH,
    )
    curve = Curves(
        lines=(
            line(NOISE, db["network"][0], "linear start", 5, "dashed"),
            line(NOISE, db["tv"][0], "TV, exact fit", 2),
            line(NOISE, db["weighted"][0], "TV, weighted fit", 3),
            line(NOISE, db["network"][k], "network, this phase", 0, "path"),
            line([level], [here[0]], "this noise", 1, "dots"),
        ),
        xlabel="noise on b, in 1/255",
        ylabel="PSNR, dB",
        xlim=(-0.5, NOISE[-1] + 0.5),
        ylim=(18, 32),
        fixed=3,
        alt="PSNR against the noise level for the linear start, two kinds of TV and the network",
        size=(4.2, 3.4),
        note=f"noise {level}/255, phase {k}: network {here[0]:.2f} dB, TV {max(here[1:]):.2f} dB",
    )
    return frames, curve


def features(k: int = 1, channel: int = 1) -> Frames:
    """r of phase k, one of its features, and the same after the threshold.

    channel : 1 is the feature with the most energy in this phase.
    """
    net, seen = network(25), run(25, "camera")
    checks.layer(k, len(seen) - 1, "phases", 1)
    checks.whole("channel", channel, 1)
    energy = seen[k]["z"][0].square().mean((1, 2))
    if channel > len(energy):
        raise ValueError(f"channel is {channel}; the network has {len(energy)}")
    c = int(energy.argsort(descending=True)[channel - 1])
    z, kept, theta = seen[k]["z"][0, c], seen[k]["kept"][0, c], float(net.theta[k - 1].detach())
    zeros, largest = float((kept == 0).float().mean()), float(z.abs().max())
    white = max(float(z.abs().quantile(0.995)), 1e-12)
    signed = lambda t: array((0.5 + t / (2 * white)).clamp(0, 1))
    return Frames(
        images=(array(seen[k]["r"])[0, 0].clip(0, 1), signed(z), signed(kept)),
        captions=(f"r of phase {k}", "feature, grey is 0", f"after soft, {zeros:.0%} are 0"),
        alt=PHOTOGRAPH,
        note=f"phase {k}, feature {channel}: θ = {theta:.4f}, largest value {largest:.3f}",
    )


def measured_slice(share: int = 20) -> Frames:
    """A slice of a head, the frequencies that a scanner measures, and the zero-filled slice.

    share : of the frequencies, in per cent; the lowest are shown in the middle.
    """
    mask, head = data.radial_mask(share), data.head_slices("test")[5:6]
    A = Fourier(mask)
    zero_filled = A.T(A(head))
    said = f"zero-filled, {score(zero_filled, head):.1f} dB"
    return Frames(
        (array(head)[0, 0], array(torch.fft.fftshift(mask)), array(zero_filled)[0, 0]),
        ("slice", f"measured, {share} %", said),
        "An axial slice of an average head and its measurement",
    )


def wanted(F: Sequence[float], dB: Sequence[float], tv: float) -> tuple[Curves, Curves]:
    """The objective F of wavelet ISTA against k, and its PSNR dB beside total variation's."""
    k, last = range(len(F)), len(F) - 1
    objective = Curves(
        (line(k, F, "F(xᵏ)", 0),),
        "step k",
        "objective",
        size=(4.2, 3.1),
        alt="The objective falls at every step",
    )
    quality = Curves(
        (line(k, dB, "wavelet ISTA", 0), line([0, last], [tv, tv], "total variation", 2, "dashed")),
        "step k",
        "PSNR, dB",
        size=(4.2, 3.1),
        alt="PSNR rises for about ten steps and then falls below the linear start",
    )
    return objective, quality


def distances(k: int, images: Tensor, features: Tensor) -> Curves:
    """Squared distances of features against those of images, a dot a block, in phase k + 1."""
    ends = torch.stack([images.min(), images.max()])
    median = (features / images).median().item() * ends
    return Curves(
        lines=(
            line(images, features, "one block", 0, "dots"),
            line(ends, median, "median ratio", 1, "dashed"),
        ),
        xlabel="‖x − r‖²",
        ylabel="‖F(x) − F(r)‖²",
        logx=True,
        logy=True,
        title=f"phase {k + 1}",
        size=(4.2, 3.4),
        alt="Squared distance of features against squared distance of images, on logarithmic axes",
    )


def phase_explorer() -> Explorer:
    """Sliders over ``phase``: 50 states where all ratios are recorded."""
    ratios = recorded_ratios()
    if not ratios:
        raise ValueError("no ISTA-Net+ is recorded; make one by `python -m dunfold_lib reproduce`")
    last = min(network(r).K for r in ratios)
    depths = tuple(sorted({*range(min(4, last + 1)), last}))
    return Explorer(
        phase,
        {
            "ratio": Slider("CS ratio", ratios, ratios.index(25) if 25 in ratios else 0, "{:d} %"),
            "k": Slider("phases", depths, len(depths) - 1, "{:d}"),
            "name": Slider("image", tuple(CROPS), 0),
        },
        "Where do the blocks show, and which phase removes what?",
        guess=_most_gained() if 25 in ratios else None,
    )


def _most_gained() -> Guess:
    """In which phase the picture of ``phase`` gains most."""
    truth, seen = photograph("camera"), run(25, "camera")
    db = [score(s["x"], truth) for s in seen]
    gains = [after - before for before, after in itertools.pairwise(db)]
    best = 1 + gains.index(max(gains))
    choices = ("the first", "one in the middle", "the last")
    return Guess(
        f"At 25 % the linear start has {db[0]:.1f} dB and the last phase ends at {db[-1]:.1f} dB. "
        "Which of the phases gains most?",
        choices,
        choices[0 if best == 1 else 2 if best == len(gains) else 1],
        f"Phase {best}, with {max(gains):.2f} dB; the first has {gains[0]:.2f}. Only the last "
        "image was compared with the truth in training: the phases before it are free to prepare.",
    )


def noise_explorer() -> Explorer:
    """Sliders over ``noise``: one state for each level and phase."""
    last = network(25).K
    return Explorer(
        noise,
        {
            "level": Slider("noise on b, in 1/255", NOISE, 0, "{:d}"),
            "k": Slider("phases", tuple(range(last + 1)), last, "{:d}"),
        },
        "Total variation with a weighted fit was told of the noise, the network was not.",
        guess=_overtaken(),
    )


def _overtaken() -> Guess | None:
    """From which noise on the weighted TV of ``noise`` is above the network; None if from none."""
    db = noisy_scores()
    ours, theirs = db["network"][-1], db["weighted"][0]
    above = [level for level, a, b in zip(NOISE, ours, theirs, strict=True) if b > a]
    choices = tuple(f"{level}/255" for level in NOISE[1:])
    if not above or above[0] == NOISE[0] or len(choices) < 2:
        return None
    first = above[0]
    at = NOISE.index(first)
    return Guess(
        f"Without noise the network is {ours[0] - theirs[0]:.1f} dB above total variation. From "
        "which noise on b is total variation, told of it, above the network?",
        choices,
        f"{first}/255",
        f"At {first}/255 the network has {ours[at]:.1f} dB and total variation {theirs[at]:.1f}; "
        f"at {NOISE[-1]}/255 {ours[-1]:.1f} and {theirs[-1]:.1f}. One training and one photograph.",
    )


def features_explorer() -> Explorer:
    """Sliders over ``features``."""
    net = network(25)
    phases, channels = range(1, net.K + 1), range(1, min(CHANNELS, len(net.C2[0])) + 1)
    return Explorer(
        features,
        {
            "k": Slider("phase", tuple(phases), 0, "{:d}"),
            "channel": Slider("feature, strongest first", tuple(channels), 0, "{:d}"),
        },
        "Which features are edges, and of which is little left behind the threshold?",
        guess=_sparse(),
    )


def _sparse() -> Guess:
    """Which share of the strongest feature of phase 1 is zero behind the threshold."""
    seen = run(25, "camera")[1]
    c = int(seen["z"][0].square().mean((1, 2)).argmax())
    zeros = float((seen["kept"][0, c] == 0).float().mean())
    choices = ("less than a quarter", "about half", "nine tenths")
    return Guess(
        "ISTA wants few coefficients. In the first phase, which share of the strongest feature is "
        "zero behind the threshold?",
        choices,
        min(zip(choices, (0.12, 0.5, 0.9), strict=True), key=lambda c: abs(c[1] - zeros))[0],
        f"{zeros:.0%}. Trained for the last image and not for few coefficients, the network "
        "thresholds little away here. Look at the other features, and at later phases.",
    )
