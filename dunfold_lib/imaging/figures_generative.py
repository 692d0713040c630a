"""What the page on generative priors draws, and its table."""

import torch
from torch import Tensor

from dunfold_lib import experiment, fetch, records, tables
from dunfold_lib.imaging import generative
from dunfold_lib.metrics import psnr
from dunfold_lib.show import Curves, Frames, array, each_line
from dunfold_lib.tables import Table

TITLES = {
    "seen": "as seen",
    "room": "PnP-HQS, the room's denoiser",
    "wide": "PnP-HQS, this denoiser",
    "sample": "one walk",
    "mean": "mean of four walks",
}
WEIGHTS, MEANS, SPREADS = (0.5, 0.3, 0.2), (-2.0, 0.5, 3.0), (0.3, 0.2, 0.6)  # of the mixture


def each(name: str) -> list[float]:
    """The PSNR of an estimate in every record."""
    return records.values("imaging/generative", f"psnr_{name}")


def restorations() -> Table:
    """Every estimate over the recorded seeds."""
    rows = [[title, tables.summary(each(name)), len(each(name))] for name, title in TITLES.items()]
    protocol = "Blurred camera 128×128, noise 2/255; a training and a draw of noise for each seed"
    return ["", "PSNR, dB", "seeds"], rows, protocol


def lead() -> float:
    """dB of the mean of walks over PnP-HQS with the room's denoiser: what the bar is about."""
    return tables.mean(each("mean")) - tables.mean(each("room"))


@fetch.cached(fetch.nowhere)
def restored() -> dict[str, Tensor]:
    """``generative.restored`` with the recorded network, seed 0."""
    return generative.restored(experiment.load("imaging/generative", "cpu", 0), 0)


def photographs() -> Frames:
    """The camera: seen, restored, and the truth."""
    made = restored()
    x = made["truth"]
    names = ("seen", "room", "sample", "mean")
    shown = {f"{TITLES[n]}, {psnr(made[n].clamp(0, 1), x):.1f} dB": made[n] for n in names}
    frame = lambda v: array(v[0, 0].clamp(0, 1))
    every = (*shown.values(), x)
    alt = "The blurred camera, restored by PnP-HQS, by one walk, by four walks, and the truth"
    return Frames(tuple(map(frame, every)), (*shown, "truth"), alt, zoom=2)


def mixture(sigma: float) -> torch.distributions.Distribution:
    """A mixture of three Gaussians on the line, blurred by noise of deviation σ."""
    w, m, s = (torch.tensor(v, dtype=torch.float64) for v in (WEIGHTS, MEANS, SPREADS))
    parts = torch.distributions.Normal(m, (s.square() + sigma**2).sqrt())
    return torch.distributions.MixtureSameFamily(torch.distributions.Categorical(w), parts)


def mean_behind(v: Tensor, sigma: float) -> Tensor:
    """E[x | v] for v = x + σ noise and x of the mixture: the best denoiser."""
    w, m, s = (torch.tensor(t, dtype=torch.float64) for t in (WEIGHTS, MEANS, SPREADS))
    wide = s.square() + sigma**2
    share = (w.log() - wide.log() / 2 - (v[:, None] - m).square() / (2 * wide)).softmax(1)
    return (share * (m + s.square() / wide * (v[:, None] - m))).sum(1)


def levels() -> Curves:
    """The mixture's density at three noise levels."""
    v = torch.linspace(-5, 6, 221, dtype=torch.float64)
    density = lambda sigma: mixture(sigma).log_prob(v).exp()
    return Curves(
        lines=each_line({f"σ = {sigma:g}": density(sigma) for sigma in (0.0, 0.5, 1.5)}, v),
        xlabel="v",
        ylabel="density",
        alt="Three peaks that become one broad hill as the noise grows",
    )
