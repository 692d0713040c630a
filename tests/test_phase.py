"""Chapter `phase`: amplitude flow, its network, what is proven, and what the page says of them."""

import math
from itertools import pairwise

import numpy as np
import pages
import pytest
import torch
from torch.func import functional_call

from dunfold_lib import experiment, records
from dunfold_lib.phase import (
    HEAVY,
    REWEIGHTED,
    FlowNet,
    Seen,
    State,
    algorithm,
    data,
    evaluation,
    flow,
    objective,
    spectral,
    step,
    theory,
    training,
)
from dunfold_lib.phase import figures_phase as figures
from dunfold_lib.phase import figures_phase_tables as tables
from dunfold_lib.phase.experiments import BARS, EXPERIMENTS, RECIPES
from dunfold_lib.phase.inference import apply, read

SOLUTIONS = pages.solutions("beyond/phase")
both = pytest.mark.parametrize("width", [1, 2], ids=["real", "complex"])


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(width, batch=3, m=30, n=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    return data.draw(batch, m, g, width, n, dtype=torch.float64)


def shaken(net, by=0.1):
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p += by * normal(*p.shape, seed=i).to(p.dtype)
    return net


# data


def test_the_pairs_are_the_complex_product():
    A = torch.complex(normal(7, 4), normal(7, 4, seed=1))
    x = torch.complex(normal(4, seed=2), normal(4, seed=3))
    held = torch.cat([x.real, x.imag])[None]
    z = data.forward(SOLUTIONS.as_pairs(A), held)[0]
    assert torch.allclose(torch.complex(z[:, 0], z[:, 1]), A @ x, atol=1e-12)


@both
def test_the_adjoint_is_the_transpose_and_the_matrices_have_the_stated_size(width):
    (b, x), r = drawn(width), normal(3, 30, width, seed=5)
    left = (data.forward(b.A, x) * r).flatten(1).sum(1)
    assert torch.allclose(left, (x * data.adjoint(b.A, r)).sum(1), atol=1e-10)
    many, truth = drawn(width, 4, 4000, 16)
    ratio = many.y.square().mean(1) / truth.square().sum(1)
    assert float((ratio - 1).abs().max()) < 0.1


@both
def test_the_error_is_that_of_the_best_turn(width):
    x, truth = normal(3, 8), normal(3, 8, seed=1)
    found = data.relative_error(x, truth, width)
    if width == 1:
        wanted = torch.minimum((x - truth).norm(dim=1), (x + truth).norm(dim=1))
    else:
        wanted = SOLUTIONS.best_phase(x, truth)
    assert torch.allclose(found, wanted / truth.norm(dim=1), atol=1e-5)


@both
def test_amplitudes_do_not_see_a_turn(width):
    b, x = drawn(width)
    for angle in (0.5, 2.0, math.pi):
        turned = data.turned(x, angle, width)
        assert torch.allclose(data.seen(b.A, turned).y, b.y, atol=1e-12)
        assert float(data.relative_error(turned, x, width).max()) < 1e-12


# what is proven


@pytest.mark.parametrize(("width", "delta"), [(1, 0.5), (2, 1.0)])
def test_the_threshold_is_where_the_prediction_leaves_zero(width, delta):
    assert theory.threshold(width) == delta
    assert theory.predicted_overlap(0.99 * delta, width) == 0
    assert 0 < theory.predicted_overlap(1.01 * delta, width) < 0.2
    above = [theory.predicted_overlap(delta * k, width) for k in (1.5, 2, 4, 8, 40)]
    assert above == sorted(above)
    assert above[-1] > 0.95


@both
def test_the_start_has_the_predicted_overlap_and_no_other_preprocessing_has_it(width):
    n, delta = 200 // width, 3.0 * width
    b, x = data.draw(8, int(delta * n), torch.Generator().manual_seed(1), width, n)
    found = {k: float(theory.overlap(spectral(b, k), x, width).mean()) for k in algorithm.KINDS}
    assert abs(found["optimal"] - theory.predicted_overlap(delta, width)) < 0.06
    assert max(found["plain"], found["trimmed"]) < found["optimal"] - 0.1


@both
def test_the_majorant_lies_above_and_touches_and_a_step_goes_down(width):
    b, _ = drawn(width, 1)
    at = normal(1, 8 * width, seed=2)
    assert torch.allclose(theory.majorant(b, at, at), objective(b, at))
    for seed in range(20):
        x = normal(1, 8 * width, seed=seed)
        assert float(theory.majorant(b, x, at) - objective(b, x)) > -1e-12
    L = float(theory.lipschitz(b.A)[0])
    xs = flow(b, 30, algorithm.largest(b) / L, start=at)
    for x, after in pairwise(xs):
        fall = float(objective(b, x) - objective(b, after))
        assert fall >= L * float((x - after).square().sum()) / 2 - 1e-12


@both
def test_the_gradient_of_the_flow_is_that_of_the_loss(width):
    b, _ = drawn(width)
    x = normal(3, 8 * width).requires_grad_()
    objective(b, x).sum().backward()
    after = step(b, State(x.detach(), x.detach()), 1.0, 0.0, 0.0).x
    down = (x.detach() - after) * algorithm.largest(b)
    assert torch.allclose(down, x.grad, atol=1e-10)


@both
def test_the_reweighted_flow_recovers_what_it_should(width):
    b, x = data.draw(6, 400, torch.Generator().manual_seed(2), width, 64 // width)
    for constants in (algorithm.settled(REWEIGHTED[width]), HEAVY[width]):
        assert float(data.relative_error(flow(b, 150, *constants)[-1], x, width).max()) < 1e-3


# the network: what every network of the book passes


@both
def test_untrained_it_is_the_algorithm_iterate_by_iterate(width):
    b, _ = drawn(width)
    net = FlowNet(6, *HEAVY[width]).double()
    for x, y in zip(net.iterates(b), flow(b, 6, *HEAVY[width]), strict=True):
        assert float((x - y).detach().abs().max()) < 1e-6  # 0.6 in float32


@both
def test_the_gradient_is_the_difference_quotient_and_reaches_every_weight(width):
    net = shaken(FlowNet(3, *HEAVY[width]).double())
    names, (b, x) = [n for n, _ in net.named_parameters()], drawn(width)
    run = lambda *v: functional_call(net, dict(zip(names, v, strict=True)), (b,))
    assert torch.autograd.gradcheck(run, [*net.parameters()], fast_mode=True)
    (net(b) - x).square().sum().backward()
    late = [p.grad[1:] for p in net.parameters()]  # the first layer has no momentum to weigh
    assert all(g.all() for g in late)


@both
def test_a_layer_turns_with_its_input_to_machine_precision(width):
    net, (b, x) = shaken(FlowNet(4).double()), drawn(width)
    v, turn = normal(3, 8 * width), lambda u: data.turned(u, 2.3, width)
    with torch.no_grad():
        for k in range(4):
            first = net.layer(k, State(turn(x), turn(v)), b).x
            assert torch.allclose(first, turn(net.layer(k, State(x, v), b).x), rtol=0, atol=1e-12)


def test_rows_sizes_types_and_what_is_saved():
    net = shaken(FlowNet(4))
    with torch.no_grad():
        for width, m, n in ((1, 30, 8), (2, 50, 6)):
            b, _ = data.draw(3, m, torch.Generator().manual_seed(0), width, n)
            found, one = net(b), net(Seen(b.y[1:2], b.A[1:2]))
            assert found.dtype == torch.float32
            assert float(data.relative_error(found[1:2], one, width)) < 1e-3
    assert {*net.state_dict()} == {n for n, _ in net.named_parameters()}


def test_it_learns_and_no_gradient_passes_a_stretch():
    recipe = training.Training(layers=6, n=16, steps=25, batch=16, lr=0.03, average=0.0)
    net = training.build(recipe)
    b, truth = training.sample(recipe, 64, torch.Generator().manual_seed(99))
    value = training.loss(1, net, b, truth)
    first, last = torch.autograd.grad(value, [net.t, net.eta])[0][[0, 5]]
    assert float(first) != 0
    assert float(last) != 0
    training.train(net, recipe)
    assert float(training.loss(1, net, b, truth).detach()) < float(value.detach()) - 0.02


# what the page says


def test_where_a_share_is_reached_lies_between_the_points():
    shares = [0.0, 0.2, 0.6, 0.4, 0.8] + [1.0] * 6
    assert math.isclose(evaluation.reached(shares, 0.5), 2.0 + 0.25 * 0.25)  # after the last below
    assert math.isnan(evaluation.reached([0.0] * 11, 0.5))
    assert evaluation.reached([1.0] * 11, 0.5) == evaluation.DELTAS[0]


def test_what_the_page_ranks_is_recorded_for_three_seeds_and_its_network_opens():
    for name in ("reweighted-real", "heavy-real"):
        assert len(records.recorded(f"phase/{name}")) == 3, name
    for name, e in EXPERIMENTS.items():
        if e.recipes:
            runs = records.recorded(f"phase/{name}")
            assert len(runs) >= 2
            assert all(r["cpu_seconds"] < 180 for r in runs)
            assert isinstance(experiment.load(f"phase/{name}"), FlowNet)


def test_the_bars_are_reported_as_they_were_stated():
    _, rows, _ = tables.bars()
    assert [row[1] for row in rows] == [*BARS, *BARS]
    assert tables.said([1.0] * 3, [2.0] * 3) == "met"
    assert tables.said([1.0, 1.0, 2.0], [2.0, 2.0, 1.5]) == "missed"
    assert tables.said([1.0] * 2, [2.0] * 3).startswith("not decided")


def test_training_never_draws_a_test_set():
    b, x = evaluation.test_signals(2.0, 1, 0)[0]
    for seed in range(3):
        other, y = data.draw(16, 128, torch.Generator().manual_seed(seed))
        assert not torch.equal(x, y)
        assert not torch.equal(b.A, other.A)
    assert {r.width for r in RECIPES.values()} == {1, 2}


def test_the_landscape_has_its_minima_its_cusp_and_its_saddle_where_the_page_says():
    b, truth = figures.scene()
    at_zero = float(figures.values(torch.zeros(1, 2).double()))
    for turn in torch.arange(0, 6.3, 0.1):
        d = torch.stack([turn.cos(), turn.sin()])[None].double()
        slope = float(SOLUTIONS.slope_at_zero(b, d))
        assert slope < 0
        near = float(figures.values(1e-5 * d))
        assert math.isclose((near - at_zero) / 1e-5, slope, rel_tol=1e-3)
    assert float(figures.values(truth)) < 1e-25
    assert float(figures.values(-truth)) < 1e-25
    last = figures.line_of_saddles()
    before = figures.ANGLES[figures.ANGLES.index(last) - 1]
    ends = [figures.landscape(a).note for a in (before, last)]
    assert ("−x*" in ends[0]) != ("−x*" in ends[1])


def test_the_explorers_stay_within_their_axes_and_their_ends_differ():
    for explorer in (figures.landscape_explorer(), figures.course_explorer()):
        pages.states_lie_inside(explorer)
    pages.ends_differ(figures.course_explorer(), pages.drawn)


def test_error_reduction_never_raises_the_loss_and_its_majorant_falls_as_far_as_a_step():
    b, _ = drawn(2, 1)
    start = normal(1, 16)
    xs = SOLUTIONS.error_reduction(b, 20, start)
    f = [float(objective(b, x)) for x in xs]
    assert all(after <= before + 1e-12 for before, after in pairwise(f))
    L = float(theory.lipschitz(b.A)[0])
    one = flow(b, 1, algorithm.largest(b) / L, start=start)[-1]
    assert float(theory.majorant(b, xs[1], start)) <= float(theory.majorant(b, one, start)) + 1e-12


def test_the_error_is_proportional_to_the_noise():
    small, large = SOLUTIONS.noise_error(0.01), SOLUTIONS.noise_error(0.04)
    assert 3.2 < large / small < 4.8


def test_a_threshold_recovers_sparse_signals_below_one_amplitude_a_number():
    g = torch.Generator().manual_seed(0)
    x = torch.zeros(12, 64)
    x[:, :3] = torch.randn(12, 3, generator=g)
    b = data.seen(data.matrices(12, 100, 64, 1, g), x)
    plain = data.relative_error(flow(b, 150, *algorithm.settled(REWEIGHTED[1]))[-1], x)
    found = data.relative_error(SOLUTIONS.sparse_flow(b, 150, 3), x)
    assert float((found < 0.01).double().mean()) > float((plain < 0.01).double().mean()) + 0.3


# bad input, and data of one's own


@both
def test_amplitudes_of_ones_own_come_back_in_their_own_units(width, tmp_path):
    rng = np.random.default_rng(0)
    part = lambda *s: rng.normal(size=s)
    A, x = part(120, 16), part(16)
    if width == 2:
        A, x = A + 1j * part(120, 16), x + 1j * part(16)
    y, net = np.abs(7 * A @ x), FlowNet(40, *HEAVY[width])
    made = apply(net, y, 7 * A)
    inner = np.vdot(made, x)
    assert made.shape == (16,)
    assert made.dtype == (np.float32 if width == 1 else np.complex64)
    assert np.linalg.norm(made * inner / abs(inner) - x) < 1e-2 * np.linalg.norm(x)
    np.savez(tmp_path / "mine.npz", y=y, A=7 * A)
    np.testing.assert_allclose(apply(net, *read(tmp_path / "mine.npz")), made)
    np.savez(tmp_path / "half.npz", y=y)
    with pytest.raises(ValueError, match="it must hold y"):
        read(tmp_path / "half.npz")


SEEN = drawn(1)[0]
REFUSED = [
    (lambda: flow(Seen(SEEN.y[:, :-1], SEEN.A), 2), ValueError, "y has shape"),
    (lambda: flow(Seen(SEEN.y, SEEN.A[..., 0]), 2), ValueError, "A has shape"),
    (lambda: flow(SEEN, -1), ValueError, "K is -1"),
    (lambda: flow(SEEN, 2, 0.0), ValueError, "t is 0"),
    (lambda: flow(SEEN, 2, 1.0, -1.0), ValueError, "eta is -1"),
    (lambda: flow(SEEN, 2, 1.0, 0.0, 1.5), ValueError, "beta is 1.5"),
    (lambda: flow(SEEN, 2, start=normal(3, 9)), ValueError, "start has shape"),
    (lambda: spectral(SEEN, "best"), ValueError, "kind is 'best'"),
    (lambda: objective(SEEN, normal(3, 9)), ValueError, "x has shape"),
    (lambda: data.matrices(1, 4, 2, 3, torch.Generator()), ValueError, "width is 3"),
    (lambda: data.draw(0, 4, torch.Generator()), ValueError, "batch is 0"),
    (lambda: data.seen(SEEN.A, normal(3, 8), -0.1), ValueError, "noise is -0.1"),
    (lambda: theory.predicted_overlap(0.0), ValueError, "delta is 0"),
    (lambda: FlowNet(0), ValueError, "K is 0"),
    (lambda: FlowNet(2, eta=-1.0), ValueError, "eta is -1"),
    (lambda: FlowNet(2)(normal(3, 9)), TypeError, "b is"),
    (lambda: training.Training(width=3), ValueError, "width is 3"),
    (lambda: training.Training(least=3.0, most=2.0), ValueError, "most is 2"),
    (lambda: apply(FlowNet(2), np.ones(4), np.ones((3, 2))), ValueError, "y has shape"),
    (lambda: apply(FlowNet(2), np.ones(4), np.ones(4)), ValueError, "A has shape"),
    (lambda: apply(FlowNet(2), -np.ones(4), np.ones((4, 2))), ValueError, "entries below 0"),
    (lambda: apply(FlowNet(2), np.ones(4), np.zeros((4, 2))), ValueError, "A is zero"),
]


@pytest.mark.parametrize(("call", "kind", "says"), REFUSED)
def test_what_cannot_be_is_told_in_one_line(call, kind, says):
    with pytest.raises(kind, match=says) as told:
        call()
    assert "\n" not in str(told.value)
