"""What the chapter draws: the bound on its nearly worst case, the step condition, photographs."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from dunfold_lib import experiment, fetch
from dunfold_lib.deblurring import algorithm, data, evaluation
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.metrics import psnr
from dunfold_lib.show import Curves, Frames, array, line

PRODUCTS = (0.25, 0.5, 1.0, 1.3, 2.0, 4.0)  # τσ‖D‖²; the theorem ends at 1
STEPS, AT = 300, 50.0  # of the explorer; its τ


def nearly_worst(N: int, c: float = 1.0, lam: float = 0.5) -> tuple[float, float]:
    """(gap, bound) after N steps on two pixels (c, −c) without a data term, τσ‖D‖² = 1.

    τ is such that step N arrives at the solution, as late as the bound allows.
    """
    start = torch.tensor([c, -c], dtype=torch.float64).reshape(1, 1, 1, 2)
    none, tau = torch.zeros(1, 1, dtype=torch.float64), c / (2 * lam * N)
    L2 = algorithm.norm_squared(algorithm.differences(torch.float64), (1, 2))
    product = algorithm.BOUND / L2
    xs = algorithm.iterates(0 * start, N, none, lam, tau, product, start)
    mean = torch.stack(xs[1:]).mean(0)
    gap = algorithm.objective(0 * start, lam, mean, none)
    return float(gap), bound(2 * c**2, 2 * lam**2, tau, 1 / (L2 * tau), N)


def bound(primal: float, dual: float, tau: float, sigma: float, N: int) -> float:
    """(primal/2τ + dual/2σ)/N of squared distances: the theorem's right side."""
    return (primal / (2 * tau) + dual / (2 * sigma)) / N


def worst_case(counts: Sequence[int] = (2, 4, 8, 16, 32, 64, 128)) -> Curves:
    """The gap over its bound against the number of steps."""
    ratios = [gap / most for gap, most in map(nearly_worst, counts)]
    return Curves(
        lines=(
            line(counts, ratios, "gap / bound, two pixels", 0, "path"),
            line([counts[0], counts[-1]], [1, 1], "the theorem's bound", 5, "dashed"),
        ),
        xlabel="steps N",
        ylabel="gap over bound",
        logx=True,
        ylim=(0, 1.1),
        alt="The measured gap over the bound rises towards one with the number of steps",
    )


@cache
def _scene() -> tuple[Tensor, Tensor, Tensor]:
    """(kernel, b, minimiser) of a corner of a validation photograph, 32×32, float64."""
    x = data.photographs("validation")["coins"][..., 40:72, 40:72].double()
    kernel = data.gaussian(dtype=torch.float64)
    b = data.observed(x, torch.Generator().manual_seed(0), kernel)
    return kernel, b, algorithm.iterates(b, 4000, kernel, tau=AT)[-1]


@fetch.cached(fetch.nowhere)
def distances(product: float) -> list[float]:
    """‖xᵏ − x̂‖/‖x̂‖ of 300 steps, by τσ‖D‖²."""
    kernel, b, best = _scene()
    xs = algorithm.iterates(b, STEPS, kernel, tau=AT, product=product)
    return [float((x - best).norm() / best.norm()) for x in xs]


def condition(product: float = 1.0) -> Curves:
    """The distance from the solution, step by step, for one τσ‖D‖²."""
    error = distances(product)
    safe = "the theorem holds" if product <= 1 else "the theorem promises nothing"
    return Curves(
        lines=(
            line(range(STEPS + 1), distances(1.0), "τσ‖D‖² = 1", 5, "dashed"),
            line(range(STEPS + 1), error, "yours", 0),
        ),
        xlabel="step k",
        ylabel="distance from the solution",
        xlim=(0, STEPS),
        ylim=(1e-5, 1),
        logy=True,
        fixed=1,
        alt="Distance from the solution against the step, for a product that you choose",
        note=f"τσ‖D‖² = {product:g}, {safe}; after {STEPS} steps {error[-1]:.1e}",
    )


def step_explorer() -> Explorer:
    """Slider over ``condition``, with a guess."""
    last = {p: distances(p)[-1] for p in PRODUCTS}
    answer = (
        f"After {STEPS} steps the distance is {last[1.0]:.0e} at 1 and {last[2.0]:.2f} at 2, "
        "where it stays: balls hold the dual, the data term the image; the iterates go round. "
        f"At 1.3 it is {last[1.3]:.0e}: beyond the theorem is not yet beyond convergence."
    )
    choices = ("it grows for ever", "it stays about where it is", "it goes to zero, only later")
    asked = "τσ‖D‖² is twice what the theorem allows. What becomes of the distance to the solution?"
    return Explorer(
        condition,
        {"product": Slider("τσ‖D‖²", PRODUCTS, 2, "{:g}")},
        f"Total-variation deblurring of 32×32 pixels with τ = {AT:g}; σ follows from the slider.",
        guess=Guess(asked, choices, choices[1], answer),
    )


def photographs(name: str = "camera") -> Frames:
    """A piece of a test photograph: seen, by the algorithm, by the recorded network."""
    x = data.photographs("test")[name]
    b, _ = data.seen({name: x}, 0)[name]
    net = experiment.load("deblurring/prox", "cpu", 0)
    with torch.no_grad():
        made = {"seen": b, "six steps": evaluation.six_steps(b)}
        made |= {"solved": evaluation.solved(b), "six layers": net(b)}
    shown = {f"{k}, {psnr(v.clamp(0, 1), x):.2f} dB": v for k, v in made.items()} | {"truth": x}
    cut = lambda v: array(v[0, 0, 30:126, 70:166].clamp(0, 1))
    alt = f"A piece of {name}: blurred, by total variation, by the network, and the truth"
    return Frames(tuple(map(cut, shown.values())), tuple(shown), alt, zoom=2)
