"""Of newton network page: newton network exercises."""

import pytest
import torch
from shared_newton_network_page import CLASSES, RECORDED, SOLUTIONS, cleared, small

from dunfold_lib.newton_sr import Pair, downsampling, scores
from dunfold_lib.newton_sr import figures_network as figures
from dunfold_lib.newton_sr.jacobians import dense

# exercises


@pytest.mark.parametrize("kind", list(CLASSES))
@pytest.mark.parametrize("K, c, f, C, Cy", [(3, 8, 12, 1, 1), (2, 3, 5, 4, 2)])
def test_the_formula_counts_the_parameters(kind, K, c, f, C, Cy):
    for alpha in (0.0, 1.0):
        net = CLASSES[kind](K=K, c=c, f=f, channels=C, guides=Cy, alpha=alpha)
        held = sum(p.numel() for p in net.parameters())
        assert SOLUTIONS.parameters(kind, K, c, f, (C, Cy), alpha > 0) == held
    assert SOLUTIONS.parameters("Newton") == 3_772
    assert SOLUTIONS.parameters("Newton", K=6) == 4_264


def little_pair(side=16):
    g = torch.Generator().manual_seed(2)
    scene = figures.data.planes(g, side)
    return Pair(*(t.double() for t in downsampling.degraded(*scene, 4)))


def test_the_bound_on_conjugate_gradients_holds_and_its_condition_is_one():
    net, b, steps = small().double(), little_pair(), (0, 1, 2, 4, 8, 16)
    for k in range(net.K):
        kappa, bound = SOLUTIONS.cg_bound(net, k, steps)
        error = SOLUTIONS.cg_error(net, k, b, steps)
        assert all(e <= limit for e, limit in zip(error, bound, strict=True))
        assert error[0] == pytest.approx(1)
        assert error[-1] < 0.05
        x = list(net.states(b, k))[-1]
        V = net.problem(k, x, b).V(x.U, net.log_eps[k].exp(), net.curvature)
        values = torch.linalg.eigvalsh(dense(V, x.U))
        assert float(values[-1] / values[0]) <= kappa


def test_to_the_end_is_a_minimiser():
    net, b = small().double(), little_pair()
    U, residuals = SOLUTIONS.to_the_end(net, b)
    x = list(net.states(b, net.K - 1))[-1]
    problem = net.problem(net.K - 1, x, b)
    assert residuals[-1] == pytest.approx(float(problem.F(U).norm()))
    assert residuals[-1] <= 1e-3 < residuals[0]
    assert float(problem.Phi(U)) < float(problem.Phi(x.U))


def test_a_transpose_that_is_none_breaks_the_symmetry_and_conjugate_gradients():
    net, b = small().double(), little_pair(32)
    with torch.no_grad():
        net.log_eps.fill_(-5)
    close, good = SOLUTIONS.with_another_adjoint(net, 0, b, (4, 64), align_corners=False)
    apart, bad = SOLUTIONS.with_another_adjoint(net, 0, b, (4, 64), align_corners=True)
    assert close < 0.1 * apart
    assert good[1] < 1e-3 * good[0]
    assert bad[1] > 10 * good[1]


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED, reason="the three networks are not recorded")
def test_what_the_solutions_say_of_the_recorded_network():
    cleared()
    recorded = figures.network("Newton")
    net = type(recorded)()
    net.load_state_dict(recorded.state_dict())
    net = net.double().requires_grad_(False)
    scene = lambda name: Pair(*(t.double() for t in figures.measured(name)))
    for k in range(net.K):
        kappa, bound = SOLUTIONS.cg_bound(net, k, (4,))
        assert 100 < kappa < 1000
        assert bound[0] > 0.9
        assert SOLUTIONS.cg_error(net, k, scene("rear"), (4,))[0] < 0.1
    for name, better in (("rear", True), ("planes", False), ("floor", False)):
        U, residuals = SOLUTIONS.to_the_end(net, scene(name))
        assert residuals[-1] <= 1e-3
        change = scores.rmse(U.float(), figures.scene(name).truth)
        change -= figures.run_of("Newton", name).rmse[-1]
        assert -0.6 < change < -0.1 if better else change > 0.3
    b, steps = scene("rear"), (4, 16, 64)
    close, good = SOLUTIONS.with_another_adjoint(net, 0, b, steps, align_corners=False)
    apart, bad = SOLUTIONS.with_another_adjoint(net, 0, b, steps, align_corners=True)
    assert close < 2e-4
    assert 1e-3 < apart < 4e-3
    assert good[0] > good[1] > good[2]
    assert good[2] < 1e-6
    assert bad[0] < 0.3 < bad[2]
    assert bad[0] < bad[1] < bad[2]
