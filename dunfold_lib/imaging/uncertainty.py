"""How far may the estimate be off? Ensembles, dropout, and conformal intervals from their spread.

symbol   code      shape           meaning
x̂        centre    (n, pixels)     mean of the members' estimates
s        spread    (n, pixels)     deviation of members or of draws, plus FLOOR; or 1
         scores    (n, pixels)     |x − x̂| / s
         crops     (n, 4, 1, 33, 33)   four blocks of one crop, which is the unit that is exchanged
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor, nn

from dunfold_lib import checks, conformal, metrics
from dunfold_lib.imaging import data, training
from dunfold_lib.imaging.data import SIDE
from dunfold_lib.imaging.fast import estimate
from dunfold_lib.imaging.model import ISTANetPlus, conv
from dunfold_lib.operators import fits as rows_fit
from dunfold_lib.prox import soft
from dunfold_lib.training import ALONE, Context

MEMBERS, DRAWS, SHARE = 3, 8, 0.1  # of an ensemble; of dropout, and the share that it drops
FLOOR = 2 / 255  # added to a spread: members may agree and all be wrong
CROP, MOST, PIXELS = 2 * SIDE, 24, 512  # side; crops of one photograph; pixels drawn of a crop
SPLITS = 20  # into halves, for each seed: the guarantee is of their mean
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)  # nominal coverage of the calibration curves
ALPHA = 0.1
NAMES = ("constant", "ensemble", "dropout")
BARS = {f"coverage_{name}": (0.88, 0.92) for name in NAMES}  # stated before the runs
RECIPE = training.Training(data="wheels-part", phases=3, channels=8, steps=400, batch=8)


class Ensemble(nn.Module):
    """Networks of one recipe from different seeds; it gives the mean of their estimates."""

    def __init__(self, members: list[ISTANetPlus]):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.A = members[0].A

    @property
    def nets(self) -> list[ISTANetPlus]:
        """The members."""
        return [m for m in self.members if isinstance(m, ISTANetPlus)]

    def forward(self, b: Tensor) -> Tensor:
        """The mean estimate (batch, 1, h, w)."""
        return self.estimates(b).mean(0)

    def estimates(self, b: Tensor) -> Tensor:
        """Every member's estimate: (members, batch, 1, h, w), without gradients."""
        return torch.stack([estimate(m, b) for m in self.nets])


def build(recipe: training.Training = RECIPE, seed: int = 0, members: int = MEMBERS) -> Ensemble:
    """A fresh ensemble at 25 %: member i of seed s has the filters of seed members·s + i."""
    nets = [training.build(ISTANetPlus, 25, recipe, members * seed + i) for i in range(members)]
    return Ensemble([net for net in nets if isinstance(net, ISTANetPlus)])


def train(net: Ensemble, recipe: training.Training, context: Context = ALONE) -> list[float]:
    """Train each member from a seed of its own, one after the other; all their losses."""
    losses: list[float] = []
    for i, member in enumerate(net.nets):
        seed = len(net.members) * context.seed + i
        here = context.part(recipe, f"member-{i}", seed, len(losses))
        losses += training.train(member, recipe, here)
    return losses


@checks.door
@torch.no_grad()
def dropped(net: ISTANetPlus, b: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """The estimate with a share of the thresholded features put to zero, the others scaled up.

    Each number of soft(F(u), θ), in every phase, is dropped on its own (Gal & Ghahramani 2016).
    share : 0 gives the network's own estimate.
    """
    checks.number("share", share, 0, 0.99)
    rows_fit(net.A, b, x := net.start(b))
    for k in range(net.K):
        p = net.phase(k, x, b)
        z = soft(p.z, net.theta[k])
        mask = torch.rand(z.shape, generator=generator, dtype=z.dtype) >= share
        x = p.r + conv(net.inverse(k, z * mask / (1 - share)), net.G[k])
    return x


@cache
def crops() -> tuple[Tensor, Tensor]:
    """(crops of the held-out photographs (n, 4, 1, 33, 33), the photograph of each (n,)).

    Squares of 66 pixels on a grid, none over another; at most 24 of a photograph, drawn once.
    """
    g, cut, which = torch.Generator().manual_seed(0), [], []
    for i, image in enumerate(data.held_out().values()):
        squares = data.patches([image], CROP, CROP)
        squares = squares[torch.randperm(len(squares), generator=g)[:MOST]]
        cut.append(data.patches([*squares.split(1)], SIDE, SIDE).unflatten(0, (-1, 4)))
        which += [i] * len(squares)
    return torch.cat(cut), torch.tensor(which)


@torch.no_grad()
def estimated(net: Ensemble, x: Tensor, draws: int = DRAWS) -> dict[str, Tensor]:
    """Of blocks x (n, 4, 1, 33, 33): truth, centre, deviations by name; (n, pixels) each."""
    blocks = x.flatten(0, 1)
    b, g = net.A(blocks), torch.Generator().manual_seed(0)
    every = net.estimates(b)
    dropout = torch.stack([dropped(net.nets[0], b, SHARE, g) for _ in range(draws)])
    made = {"truth": blocks, "centre": every.mean(0)}
    made |= {"ensemble": every.std(0), "dropout": dropout.std(0)}
    made["constant"] = torch.ones_like(blocks) - FLOOR
    return {name: v.reshape(len(x), -1) for name, v in made.items()}


def scores(seen: Mapping[str, Tensor], name: str) -> Tensor:
    """|x − x̂| over the spread of that name, (n, pixels)."""
    return (seen["truth"] - seen["centre"]).abs() / (seen[name] + FLOOR)


def splits(n: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Random halves of n, for calibration and the rest; those of different seeds differ."""
    seeds = (2**31 + SPLITS * seed + i for i in range(SPLITS))
    orders = [torch.randperm(n, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return [(order[: n // 2], order[n // 2 :]) for order in orders]


def at(seen: Mapping[str, Tensor], name: str, split: tuple[Tensor, Tensor]) -> list[float]:
    """[coverage, coverage where it is hard, mean width] of one split at 90 %.

    hard : among the tenth of the test pixels with the largest ensemble spread.
    """
    s, (calibration, test) = scores(seen, name), split
    r = conformal.radius_of_images(s[calibration], ALPHA)
    spread = seen["ensemble"][test]
    hard = spread >= spread.flatten().quantile(0.9)
    width = float(2 * r * (seen[name][test] + FLOOR).mean())
    return [conformal.covered(s[test], r), conformal.covered(s[test][hard], r), width]


def by_photograph(which: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Every split into half of the photographs for calibration and half to test on."""
    count, found = int(which.max()) + 1, []
    for chosen in combinations(range(count), count // 2):
        inside = torch.isin(which, torch.tensor(chosen))
        found.append((inside.nonzero()[:, 0], (~inside).nonzero()[:, 0]))
    return found


def mean_of(rows: Sequence[Sequence[float]]) -> list[float]:
    """Column means."""
    return [sum(column) / len(column) for column in zip(*rows, strict=True)]


def curve(seen: Mapping[str, Tensor], name: str, split: tuple[Tensor, Tensor]) -> list[float]:
    """Measured coverage at each of ``LEVELS`` of conformal intervals."""
    s, (calibration, test) = scores(seen, name), split
    r = lambda level: conformal.radius_of_images(s[calibration], 1 - level)
    return [conformal.covered(s[test], r(level)) for level in LEVELS]


def uncalibrated(seen: Mapping[str, Tensor], name: str, test: Tensor) -> list[float]:
    """The same of x̂ ± z·deviation, as if the deviation were that of a Gaussian error."""
    error = (seen["truth"] - seen["centre"])[test].abs()
    z = [NormalDist().inv_cdf((1 + level) / 2) for level in LEVELS]
    return [float((error <= v * seen[name][test]).double().mean()) for v in z]


def measure(net: Ensemble, seed: int = 0) -> dict[str, Any]:
    """Coverage and width of each kind of interval, split by crop and by photograph."""
    x, which = crops()
    whole = estimated(net.cpu().eval(), x)
    made: dict[str, Any] = {"crops": len(x)}
    made["psnr"] = metrics.psnr(whole["centre"].clamp(0, 1), whole["truth"])
    seen, halved = drawn(whole), splits(len(x), seed)
    for name in NAMES:
        found = [at(seen, name, split) for split in halved]
        means = zip(("coverage", "hard", "width"), mean_of(found), strict=True)
        made |= {f"{key}_{name}": value for key, value in means}
        made |= {f"splits_{name}": [round(row[0], 4) for row in found]}
        apart = [round(at(seen, name, split)[0], 4) for split in by_photograph(which)]
        made |= {f"photographs_{name}": apart}
        made[f"curve_{name}"] = mean_of([curve(seen, name, split) for split in halved])
    for name in NAMES[1:]:
        made[f"curve_{name}_uncalibrated"] = uncalibrated(seen, name, torch.arange(len(x)))
    return made


def drawn(seen: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each crop's values at the same ``PIXELS`` pixels, drawn once: a share of the work."""
    g = torch.Generator().manual_seed(1)
    chosen = torch.randperm(seen["truth"].shape[1], generator=g)[:PIXELS]
    return {name: v[:, chosen] for name, v in seen.items()}
