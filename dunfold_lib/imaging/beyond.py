"""How the last part measures: networks trained without truths, and those that iterate for ever."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import experiment, metrics
from dunfold_lib.imaging import evaluation
from dunfold_lib.imaging.data import blurred, small_camera, wheel_images
from dunfold_lib.imaging.denoisers import relaxed
from dunfold_lib.imaging.evaluation import DEBLUR_SIGMA, LONG_SEEN, RADIUS_AT, TEST_SEED
from dunfold_lib.imaging.model import ISTANetPlus
from dunfold_lib.imaging.theory import contraction, local_radius
from dunfold_lib.operators import Blockwise, Sensing
from dunfold_lib.solvers import jacobian_norm

DEEP_SEEN = (0, 1, 2, 3, 5, 8, 12, 20, 35, 60, 100, 200)  # applications of the layer

POWER_STEPS = 60  # of the measured constants


@torch.no_grad()
def measure_blind(
    noise: float, net: ISTANetPlus, seed: int, folder: Path | None = None
) -> dict[str, Any]:
    """Scores of a network and of its start from blocks measured with noise of this deviation.

    ``misfit``: ‖A x − b‖²/‖b‖² over all test blocks; ``seen`` and ``unseen``: the mean square error
    of the estimates in the range of Aᵀ and in the null space, per pixel.
    """
    net.cpu().eval()
    made: dict[str, Any] = {}
    for ending, images in evaluation.block_tests(folder).items():
        tally: list[Tensor] = []
        for kind, run in (("", net), ("_start", net.start)):
            g = torch.Generator().manual_seed(TEST_SEED + seed)
            told = tally if not kind else []
            one = lambda x, g=g, run=run, told=told: estimated(net, run, x, noise, g, told)
            made |= evaluation.mean_scores(one, images, f"{kind}{ending}")
        misfit, energy, seen, unseen = torch.stack(tally).sum(0).tolist()
        pixels = sum(x.numel() for x in images.values())
        made |= {f"misfit{ending}": misfit / energy}
        made |= {f"seen{ending}": seen / pixels, f"unseen{ending}": unseen / pixels}
    return {k: v for k, v in made.items() if not k.startswith("psnr_each")}


def estimated(
    net: ISTANetPlus,
    run: Any,
    image: Tensor,
    noise: float,
    generator: torch.Generator,
    told: list[Tensor],
) -> Tensor:
    """An image (1, 1, h, w) from its measurement with noise; appends what it misses to ``told``."""
    assert isinstance(net.A, Sensing)
    whole = Blockwise(net.A, (image.shape[2], image.shape[3]))
    x, b = whole.split(image), whole(image).flatten(0, 1)
    b = b + noise * torch.randn(b.shape, generator=generator)
    made = run(b)
    error = made - x
    seen = net.A.T(net.A(error))  # the rows of A are orthonormal
    sizes = (net.A(made) - b, b, seen, error - seen)
    told.append(torch.stack([t.double().square().sum() for t in sizes]))
    return whole.join(made)


@torch.no_grad()
def measure_deep(net: Any, seed: int) -> dict[str, Any]:
    """PSNR after ``DEEP_SEEN`` applications of one layer, and the sizes of its moves.

    ``psnr`` is that of the network's own estimate, which it was trained for. On the wheel's two
    test photographs at half their size, by the block.
    """
    net.cpu().eval()
    each: list[dict[str, Any]] = [_long_run(net, x) for x in wheel_images("test").values()]
    mean = lambda values: sum(values) / len(values)
    made = {k: mean([e[k] for e in each]) for k in ("psnr", "psnr_start")}
    curves = ("psnr_seen", "moves")
    return made | {k: [mean(v) for v in zip(*(e[k] for e in each), strict=True)] for k in curves}


def _long_run(net: Any, image: Tensor) -> dict[str, Any]:
    """What ``measure_deep`` says of one photograph."""
    image = functional.avg_pool2d(image, 2)
    whole = Blockwise(net.A, (image.shape[2], image.shape[3]))
    b = whole(image).flatten(0, 1)
    db = lambda x: metrics.psnr(whole.join(x).clamp(0, 1), image)
    x = net.start(b)
    made: dict[str, Any] = {"psnr": db(net(b)), "psnr_start": db(x), "psnr_seen": [db(x)]}
    made["moves"] = [0.0]
    for k in range(1, max(DEEP_SEEN) + 1):
        x, old = net.step(x, b).nan_to_num().clamp(-1e3, 1e3), x
        if k in DEEP_SEEN:
            made["psnr_seen"].append(db(x))
            made["moves"].append(float((x - old).norm()))
    return made


@torch.no_grad()
def measure_bounded(share: float, weight: float, net: None, seed: int) -> dict[str, Any]:
    """A deblurring by PnP-ISTA with the bounded denoiser, to the last step of ``LONG_SEEN``.

    share : of the denoiser against the identity, so that D − I has the constant share·eps.
    weight : of ½‖x − b‖² in the data term, which it makes that strongly convex.
    ``factor``: what one step multiplies distances by at most; ``constant`` of D − I and ``radius``
    of the step: at an iterate, by the power method.
    """
    truth, g = small_camera(), torch.Generator().manual_seed(seed)
    A, b = blurred(truth, g)
    bounded = experiment.load("imaging/denoiser-bounded", "cpu", 0)
    D, sigma = relaxed(bounded, share), DEBLUR_SIGMA["cnn"]
    power = A.spectrum.abs().square()
    mu, L = float(power.min()) + weight, float(power.max()) + weight
    step = lambda x: D(x - (A.T(A(x) - b) + weight * (x - b)) / L, sigma)
    xs = [b]
    for _ in range(max(LONG_SEEN)):
        xs.append(step(xs[-1]))
    db = [metrics.psnr(xs[k].clamp(0, 1), truth) for k in LONG_SEEN]
    made: dict[str, Any] = {"psnr": db[-1], "psnr_seen": db, "start": metrics.psnr(b, truth)}
    made["moves"] = [float((xs[k] - xs[k - 1]).norm()) for k in LONG_SEEN]
    made["factor"] = contraction(1 / L, mu, L, share * bounded.eps)
    x, probe = xs[RADIUS_AT], lambda: torch.Generator().manual_seed(0)
    made["constant"] = jacobian_norm(lambda v: D(v, sigma) - v, x, POWER_STEPS, probe())
    return made | {"radius": local_radius(step, x, POWER_STEPS, probe())}
