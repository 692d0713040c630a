"""Chapter `deblurring`: the primal-dual algorithm, its network, and what the page says of them."""

import math

import numpy as np
import pages
import pytest
import torch
from torch.func import functional_call

from dunfold_lib import experiment, records
from dunfold_lib.deblurring import PrimalDualNet, algorithm, data, evaluation, iterates, objective
from dunfold_lib.deblurring import figures_your_own as figures
from dunfold_lib.deblurring import figures_your_own_tables as tables
from dunfold_lib.deblurring import training as deblurring_training
from dunfold_lib.deblurring.experiments import BARS, EXPERIMENTS
from dunfold_lib.deblurring.inference import apply
from dunfold_lib.metrics import psnr
from dunfold_lib.operators import Blur

SOLUTIONS = pages.solutions("beyond/your_own")
SIZES = ({}, {"pairs": 2}, {"pairs": 2, "width": 3})
sized = pytest.mark.parametrize("sizes", SIZES, ids=["steps", "filters", "prox"])
KERNEL = data.gaussian(0.8, 2, torch.float64)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shaken(net, by=0.05):
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p += by * normal(*p.shape, seed=i).to(p.dtype)
    return net


# the algorithm


@pytest.mark.parametrize("shape", [(2, 1, 3, 3), (4, 1, 5, 5)])
@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_synthesis_is_the_transpose_of_analysis_and_its_norm_is_exact(shape, size):
    D, x, p = normal(*shape), normal(2, 1, *size, seed=1), normal(2, shape[0], *size, seed=2)
    left, right = (algorithm.analyse(D, x) * p).sum(), (x * algorithm.synthesise(D, p)).sum()
    assert float((left - right).abs()) < 1e-10
    basis = torch.eye(math.prod(size), dtype=torch.float64).reshape(-1, 1, *size)
    matrix = algorithm.analyse(D, basis).flatten(1).T
    exact = float(torch.linalg.matrix_norm(matrix, 2)) ** 2
    assert math.isclose(algorithm.norm_squared(D, size), exact, rel_tol=1e-9)


def test_the_differences_are_those_of_the_pixels_below_and_to_the_right():
    x = normal(1, 1, 5, 6)
    down, across = algorithm.analyse(algorithm.differences(torch.float64), x)[0]
    assert torch.allclose(down, x[0, 0].roll(-1, 0) - x[0, 0], atol=1e-14)
    assert torch.allclose(across, x[0, 0].roll(-1, 1) - x[0, 0], atol=1e-14)


def test_the_ball_is_a_projection_pair_by_pair():
    p = normal(2, 4, 3, 5)
    q = algorithm.ball(p, torch.tensor([0.5, 2.0]).double())
    for m, radius in enumerate((0.5, 2.0)):
        pair, size = p[:, 2 * m : 2 * m + 2], p[:, 2 * m : 2 * m + 2].norm(dim=1, keepdim=True)
        assert torch.allclose(
            q[:, 2 * m : 2 * m + 2], pair.where(size <= radius, radius * pair / size)
        )
    assert not algorithm.ball(p, 0.0).any()
    assert not algorithm.ball(0 * p, 0.0).any()


def test_the_data_prox_solves_its_linear_system():
    A, b, v = Blur(KERNEL, (6, 7)), normal(2, 1, 6, 7), normal(2, 1, 6, 7, seed=1)
    x = algorithm.data_prox(A, b, v, 3.0)
    assert float((x - v + 3 * A.T(A(x) - b)).abs().max()) < 1e-12


def test_many_steps_end_where_no_neighbour_is_better():
    b = normal(1, 1, 6, 8)
    best = iterates(b, 1500, KERNEL, lam=0.05, tau=2.0)[-1]
    F = lambda x: float(objective(b, 0.05, x, KERNEL))
    assert all(F(best) <= F(best + 1e-3 * normal(1, 1, 6, 8, seed=i)) for i in range(20))
    other = SOLUTIONS.dualised(b, KERNEL, 0.05, 3000)
    assert float((best - other).abs().max()) < 1e-3  # another algorithm, the same minimiser


@pytest.mark.parametrize("N", [2, 8, 64])
def test_the_bound_holds_and_is_nearly_attained(N):
    gap, most = figures.nearly_worst(N)
    assert gap <= most * (1 + 1e-12)
    assert gap > (1 - 1.1 / N) / (1 + 1 / N**2) * most


def test_the_solved_problem_is_solved():
    """Four hundred steps: twice as many change no PSNR by a hundredth of a decibel."""
    b, x = next(iter(data.seen(data.photographs("validation"), 0).values()))
    b, x = b[..., :64, :64], x[..., :64, :64]
    lam, tau, steps = algorithm.LAM_SOLVED, algorithm.TAU_SOLVED, algorithm.SOLVED
    xs = iterates(b, 2 * steps, lam=lam, tau=tau)
    assert abs(psnr(xs[steps], x) - psnr(xs[-1], x)) < 0.01


# the network: what every network of the book passes


@sized
def test_untrained_it_is_the_algorithm_iterate_by_iterate(sizes):
    b = normal(2, 1, 8, 10)
    net = PrimalDualNet(4, **sizes, kernel=KERNEL, lam=0.03, tau=2.0)
    for x, y in zip(net.iterates(b), iterates(b, 4, KERNEL, 0.03, 2.0), strict=True):
        assert float((x - y).detach().abs().max()) < 1e-12


@sized
def test_the_gradient_is_the_difference_quotient_and_reaches_every_weight(sizes):
    net = shaken(PrimalDualNet(2, **sizes, kernel=KERNEL, lam=0.3, tau=2.0))
    names, b = [n for n, _ in net.named_parameters()], normal(1, 1, 5, 6)
    run = lambda *v: functional_call(net, dict(zip(names, v, strict=True)), (b,))
    assert torch.autograd.gradcheck(run, [*net.parameters()], fast_mode=True)
    net(b).square().sum().backward()
    assert all(p.grad.any() for p in net.parameters())


def test_a_silent_pair_has_a_gradient_in_its_radius_first():
    net = PrimalDualNet(2, pairs=1, kernel=KERNEL, lam=0.3, tau=2.0)
    net(normal(1, 1, 6, 6)).square().sum().backward()
    assert net.lam.grad[:, 1].all()
    assert not net.D[0].grad[2:].any()


@sized
def test_rows_sizes_types_and_what_is_saved(sizes):
    net = shaken(PrimalDualNet(2, **sizes))
    with torch.no_grad():
        for size in ((16, 18), (21, 15)):
            b = normal(3, 1, *size).float()
            both = net(b)
            assert both.dtype == torch.float32
            assert float((both[1:2] - net(b[1:2])).abs().max()) < 1e-5
        assert net.double()(b.double()).dtype == torch.float64
    assert {*net.state_dict()} == {n for n, _ in net.named_parameters()}


def test_it_learns():
    recipe = deblurring_training.Training(steps=40, batch=2, lr=0.1, average=0.0)
    net = PrimalDualNet(3, tau=2.0)
    b, truth = data.draw(8, torch.Generator().manual_seed(99))
    before = float(deblurring_training.loss(net, b, truth).detach())
    deblurring_training.train(net, recipe)
    assert float(deblurring_training.loss(net, b, truth).detach()) < before - 0.2


# data


def test_no_photograph_is_in_two_parts_and_all_are_grey_in_range():
    names = [name for part in data.PARTS.values() for name in part]
    assert len({*names}) == len(names)
    for x in data.photographs("test").values():
        assert x.shape[:2] == (1, 1)
        assert 0 <= float(x.min()) < float(x.max()) <= 1


def test_what_is_cut_off_is_blurred_by_its_true_surroundings():
    x = data.photographs("test")["camera"]
    b, truth = data.cropped(x, torch.Generator().manual_seed(0))
    assert b.shape == truth.shape
    whole = data.observed(x, torch.Generator().manual_seed(0))
    assert torch.equal(b, whole[..., 7:-7, 7:-7])


# what the page says


def test_the_chosen_constants_are_the_best_of_their_neighbours_on_validation():
    """λ and τ of six steps: no factor 1.6 of either is better by more than a rounding."""
    pairs = data.seen(data.photographs("validation"), 0)
    run = lambda lam, tau: lambda b: iterates(b, 6, lam=lam, tau=tau)[-1]
    at = lambda lam, tau: np.mean([*evaluation.score(run(lam, tau), pairs).values()])
    lam, tau = algorithm.LAM, algorithm.TAU
    best = at(lam, tau)
    around = [(1.6 * lam, tau), (lam / 1.6, tau), (lam, 1.6 * tau), (lam, tau / 1.6)]
    assert all(at(*near) < best for near in around)


def test_every_experiment_is_recorded_for_three_seeds_and_its_network_opens():
    for name, e in EXPERIMENTS.items():
        runs = records.recorded(f"deblurring/{name}")
        assert len(runs) == 3, name
        if e.recipes:
            assert all(r["cpu_seconds"] < 180 for r in runs)
            assert isinstance(experiment.load(f"deblurring/{name}"), PrimalDualNet)


def test_the_bars_are_reported_as_they_were_stated():
    _, rows, _ = tables.bars()
    assert [row[0] for row in rows] == [*BARS]
    assert [row[3] for row in rows] == ["missed", "met", "met"]


def test_the_explorer_stays_within_its_axes_and_its_ends_differ():
    explorer = figures.step_explorer()
    pages.states_lie_inside(explorer)
    pages.ends_differ(explorer, pages.drawn)


def test_the_solutions():
    ratio, most = SOLUTIONS.checkerboard()
    assert math.isclose(ratio, 8)
    assert math.isclose(most, 8)
    v = normal(1, 2, 3, 4)
    p = SOLUTIONS.block_soft(v, 0.7)
    F = lambda p: float((0.5 * (p - v).square().sum(1) + 0.7 * p.norm(dim=1)).sum())
    assert all(F(p) <= F(p + 1e-3 * normal(1, 2, 3, 4, seed=i)) for i in range(20))
    g, gained = torch.Generator().manual_seed(0), []
    for x in data.photographs("validation").values():
        b, truth = data.cropped(x, g)
        gained.append(psnr(SOLUTIONS.reflected(b), truth) - psnr(iterates(b, 6)[-1], truth))
    assert min(gained) > 1
    net = PrimalDualNet(1)
    b, truth = data.draw(1, g)
    assert SOLUTIONS.mean_square(net, b, truth).ndim == 0


# bad input


def test_an_image_of_ones_own_comes_back_grey_and_in_range():
    net, image = PrimalDualNet(), np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    made = apply(net, image)
    assert made.shape == (20, 30)
    assert made.dtype == np.float32
    assert 0 <= made.min() <= made.max() <= 1
    with pytest.raises(ValueError, match="both sides must be at least 15"):
        apply(net, image[:10])


REFUSED = [
    (lambda: iterates(normal(1, 8, 8), 2), ValueError, "b has shape"),
    (lambda: iterates(normal(1, 1, 8, 8) * math.nan, 2), ValueError, "b "),
    (lambda: iterates(normal(1, 1, 8, 8), -1, KERNEL), ValueError, "K is -1"),
    (lambda: iterates(normal(1, 1, 8, 8), 2, KERNEL, lam=-1.0), ValueError, "lam is -1"),
    (lambda: iterates(normal(1, 1, 8, 8), 2, KERNEL, tau=0.0), ValueError, "tau is 0"),
    (
        lambda: iterates(normal(1, 1, 8, 8), 2, KERNEL, start=normal(1, 1, 4, 4)),
        ValueError,
        "start",
    ),
    (lambda: algorithm.analyse(normal(3, 1, 3, 3), normal(1, 1, 8, 8)), ValueError, "D has shape"),
    (lambda: algorithm.ball(normal(1, 2, 3), 1.0), ValueError, "p has shape"),
    (lambda: data.photographs("all"), ValueError, "part is 'all'"),
    (lambda: data.observed(normal(8, 8), torch.Generator()), ValueError, "x has shape"),
    (lambda: PrimalDualNet(0), ValueError, "K is 0"),
    (lambda: PrimalDualNet(pairs=-1), ValueError, "pairs is -1"),
    (lambda: PrimalDualNet(lam=0.0), ValueError, "lam is 0"),
    (lambda: PrimalDualNet()(normal(1, 8, 8)), ValueError, "b has shape"),
    (lambda: deblurring_training.Training(data="moon"), ValueError, "data is 'moon'"),
    (lambda: deblurring_training.Training(layers=0), ValueError, "layers is 0"),
]


@pytest.mark.parametrize(("call", "kind", "says"), REFUSED)
def test_what_cannot_be_is_told_in_one_line(call, kind, says):
    with pytest.raises(kind, match=says) as told:
        call()
    assert "\n" not in str(told.value)
