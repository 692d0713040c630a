"""The networks' steps of training beside their plain float32 form, and beside their floor.

Ours is what ``training.fit`` does: merged convolutions, bfloat16 where the processor has units for
it. Plain is module after module in float32, torch's own order in memory, and Adam. The floor is the
time that ours' operations would take at the rate of a large convolution.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from bench_hyperspectral import one_matrix
from bench_imaging import Plain
from bench_race import as_written, near, on_threads, seconds
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dunfold_lib.engine import Convolutions, has_units, order
from dunfold_lib.hyperspectral import SMDSNet, STARNet, STARNetS
from dunfold_lib.hyperspectral.data import part
from dunfold_lib.hyperspectral.lowrank import basis
from dunfold_lib.hyperspectral.model import Noisy, decibels
from dunfold_lib.imaging import ISTANet, ISTANetPlus, data, symmetric_loss
from dunfold_lib.imaging.fast import plus_loss
from dunfold_lib.newton_sr import NewtonSR
from dunfold_lib.newton_sr.downsampling import degraded
from dunfold_lib.newton_sr.model import charbonnier
from dunfold_lib.operators import Sensing
from dunfold_lib.small_target import LRPCANet, RPCANet, images, synthetic
from dunfold_lib.small_target.fast import merged
from dunfold_lib.small_target.model import total_loss
from dunfold_lib.sparse import ALISTA, LISTA, LISTACP, TiLISTA
from dunfold_lib.sparse.coherence import analytic_weights
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.training import batch_db
from dunfold_lib.training import Context, Recipe, fit

Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class Case:
    """A network and a batch; its plain form, where that has other modules or lines.

    within : a context in which a plain step runs.
    """

    name: str
    net: nn.Module
    loss: Loss
    b: Any
    truth: Tensor
    plain: nn.Module | None = None
    plain_loss: Loss | None = None
    within: Callable[[], Any] = nullcontext
    turns: int = 5


class PlainStep:
    """The plain form of a case; a call is one step of training."""

    def __init__(self, case: Case):
        self.case, self.loss = case, case.plain_loss or case.loss
        self.net = as_written(case.plain or case.net).train()
        self.weights = [p for p in self.net.parameters() if p.requires_grad]
        self.adam = torch.optim.Adam(self.weights)

    def __call__(self) -> Tensor:
        """The loss, and the norm of its gradient: (2,)."""
        self.adam.zero_grad()
        with self.case.within():
            value = self.loss(self.net, self.case.b, self.case.truth)
            value.backward()
        norm = nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.adam.step()
        return torch.stack([value.detach(), norm.detach()])


def ours(case: Case) -> Tensor:
    """The loss of ours in float32, and the norm of its gradient: (2,)."""
    net = deepcopy(case.net).train()
    value = case.loss(net, case.b, case.truth)
    value.backward()
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    return torch.stack([value.detach(), torch.stack([g.norm() for g in grads]).norm()])


def in_turns(case: Case) -> list[tuple[float, float]]:
    """CPU-seconds of a plain step and of one by ``fit``, turn by turn; the first steps warm up."""
    plain, marks = PlainStep(case), list[float]()

    def watch(step: int, loss: float) -> None:
        marks.append(time.process_time())
        plain()
        marks.append(time.process_time())

    recipe = Recipe(steps=case.turns + 1, batch=len(case.truth), precision="bf16")
    sample = lambda batch, g: (case.b, case.truth)
    fit(deepcopy(case.net), sample, case.loss, recipe, Context(watch=watch))
    spans = [end - begun for begun, end in pairwise(marks)]  # plain, ours, plain, …
    return [*zip(spans[2::2], spans[1::2], strict=True)]


def floor(case: Case, mixed: bool) -> tuple[int, float]:
    """Operations of a step of ours by torch's count, and the seconds that they take at least.

    Convolutions at the rate of a large one; products of matrices at its rate in float32. Torch does
    not count transforms, eigenvalues and what is done entry by entry.
    """
    net = deepcopy(case.net).train()
    with FlopCounterMode(display=False) as counter:
        case.loss(net, case.b, case.truth).backward()
    counts = counter.get_flop_counts()["Global"]
    convolved = sum(n for kind, n in counts.items() if "convolution" in str(kind))
    count = sum(counts.values())
    return count, convolved / rate(mixed) + (count - convolved) / rate(False)


def rate(mixed: bool) -> float:
    """Operations a second of a large convolution: 64 to 64 channels, 3×3, on 8 images of 128²."""
    g, last = torch.Generator().manual_seed(0), torch.channels_last
    x = torch.randn(8, 64, 128, 128, generator=g).to(memory_format=last)
    w = torch.randn(64, 64, 3, 3, generator=g).to(memory_format=last)
    run = partial(nn.functional.conv2d, x, w, padding=1)
    with Convolutions() if mixed else nullcontext():
        run()
        spent = min(seconds(run, time.process_time) for _ in range(3))
    return 2 * 9 * 64 * 64 * 8 * 128**2 / spent


def step(make: Callable[[], Case]) -> None:
    """Print a case's ratio and its share of the floor, on one thread."""
    case, mixed = make(), has_units("cpu")
    print(f"{case.name}, a step of training: ours | plain float32", flush=True)
    with on_threads(1):
        near(PlainStep(case)(), ours(case))
        pairs = in_turns(case)
        count, least = floor(case, mixed)
    ratios = sorted(plain / fast for plain, fast in pairs)
    spent = median(fast for _, fast in pairs)
    spread = f"{ratios[0]:.2f}–{ratios[-1]:.2f} over {case.turns} turns"
    print(
        f"  {median(ratios):.2f} times as fast ({spread}; {1e3 * spent:.0f} CPU-ms); "
        f"{count / 1e9:.1f} G operations: floor {1e3 * least:.0f} ms, {least / spent:.0%} of ours",
        flush=True,
    )


def sparse(Network: Any) -> Case:
    """A network of the sparse room at batch 512."""
    problem, g = SparseProblem(), torch.Generator().manual_seed(0)
    A = problem.operator()
    b, truth = problem.sample(A, 512, g)
    net = Network(A) if Network is LISTA else Network(A, W=analytic_weights(A.A))
    name = f"{Network.__name__}, K = {net.K}, batch 512"
    return Case(name, net, partial(batch_db, net.K), b, truth, turns=15)


def blocks(net: ISTANet | ISTANetPlus) -> tuple[Tensor, Tensor]:
    """32 blocks of 33² and their measurements: (b, truth)."""
    truth = torch.rand(32, 1, 33, 33, generator=torch.Generator().manual_seed(0))
    return net.A(truth).detach(), truth


def istanet() -> Case:
    """The paper's network on 32 blocks."""
    net = ISTANet(Sensing(data.sensing_matrix(25)), 9, 32)
    return Case("ISTA-Net 9×32, batch 32", net, symmetric_loss, *blocks(net))


def istanet_plus() -> Case:
    """The paper's network on 32 blocks."""
    net = ISTANetPlus(Sensing(data.sensing_matrix(25)), 9, 32)

    def plain_loss(plain: nn.Module, b: Tensor, truth: Tensor) -> Tensor:
        x, asymmetry = plain(b)
        return (x - truth).square().mean() + 0.01 * asymmetry

    name = "ISTA-Net+ 9×32, batch 32"
    return Case(name, net, plus_loss, *blocks(net), plain=Plain(net), plain_loss=plain_loss)


def small_target(Network: Any) -> Case:
    """The paper's network on eight crops of 128²."""
    frames = synthetic(torch.Generator().manual_seed(0), 8, 128)
    b, truth = images(frames), frames.mask.float()
    net = Network().to(memory_format=order("cpu", 32))
    fast = lambda net, b, truth: total_loss(merged(net), b, truth)
    name = f"{Network.__name__} 6×32, 8×128²"
    return Case(name, net, fast, b, truth, plain_loss=total_loss, turns=3)


def newton() -> Case:
    """NewtonSR on six patches of 64²."""
    g = torch.Generator().manual_seed(0)
    truth, Y = torch.rand(6, 1, 64, 64, generator=g), torch.rand(6, 1, 64, 64, generator=g)
    net = NewtonSR()
    return Case("NewtonSR, 6×64²", net, charbonnier, degraded(truth, Y, net.ratio), truth)


def cube(Network: Any) -> Case:
    """A network on four pieces of Indian Pines; plain: mode products by one 729×729 matrix."""
    X = part("train")[..., :32, :32].repeat(4, 1, 1, 1) / (30 / 255)
    Y = X + torch.randn(X.shape, generator=torch.Generator().manual_seed(0))
    b = Noisy(Y, basis(Y, 9))
    net = Network()
    name = f"{Network.__name__}, K = {net.K}, 4×32²"
    return Case(name, net, decibels, b, X, within=one_matrix, turns=3)


MAKERS: list[Callable[[], Case]] = [
    *(partial(sparse, Network) for Network in (LISTA, LISTACP, TiLISTA, ALISTA)),
    istanet,
    istanet_plus,
    *(partial(small_target, Network) for Network in (RPCANet, LRPCANet)),
    newton,
    *(partial(cube, Network) for Network in (SMDSNet, STARNet, STARNetS)),
]
RACES = [partial(step, make) for make in MAKERS]
