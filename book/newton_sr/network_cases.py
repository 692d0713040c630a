"""What holds of the functions in exercises.py, of the page newton_sr/network."""

from itertools import pairwise

import torch

from dunfold_lib.newton_sr import FirstOrderSR, LearnedInverseSR, NewtonSR, Pair, downsampling
from dunfold_lib.newton_sr.jacobians import dense

from . import exercises

F64 = torch.float64
CLASSES = {"Newton": NewtonSR, "learned inverse": LearnedInverseSR, "first-order": FirstOrderSR}
STEPS = (0, 1, 2, 4, 8, 16)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def little_pair(side=16):
    """A scene of two planes and its guide, seen at a quarter of the resolution."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    depth = torch.where(x + y < side, 3.0 + 0.05 * x, 5.0 - 0.03 * y)[None, None]
    guide = (depth > 4).float() * 0.5 + 0.02 * torch.randn(depth.shape, generator=seeded(2))
    return Pair(*(t.double() for t in downsampling.degraded(depth, guide, 4)))


def small(K=2, c=3, seed=0):
    """A network whose thresholds images feel, in double precision."""
    net = NewtonSR(K=K, c=c, f=4, seed=seed).double()
    with torch.no_grad():
        net.t1.fill_(-3)
        net.t2.fill_(-3)
    return net.requires_grad_(False).eval()


def system(net, k, b):
    """(V (n, n), F (n,)) of a stage."""
    x = list(net.states(b, k))[-1]
    problem = net.problem(k, x, b)
    V = problem.V(x.U, net.log_eps[k].exp(), net.curvature)
    return dense(V, x.U), problem.F(x.U).flatten()


def huber(x, theta):
    return x * x / 2 if abs(x) <= theta else theta * abs(x) - theta * theta / 2


def test_on_a_line_the_majorised_step_is_the_minimum_from_everywhere():
    for a in (2.5, -7.0, 0.4, 1.0, 30.0):
        assert abs(exercises.on_a_line(a, 1.0, 0.0, clarke=False)) < 1e-12


def test_on_a_line_the_majorising_parabola_lies_above_and_touches():
    theta, eps = 0.8, 0.1
    for a in (2.5, -3.0, 0.3):
        d = exercises.on_a_line(a, theta, eps, clarke=False) - a
        slope = (huber(a + 1e-6, theta) - huber(a - 1e-6, theta)) / 2e-6
        M = -slope / d - eps
        above = lambda x, a=a, slope=slope, M=M: (
            huber(a, theta) + slope * (x - a) + M / 2 * (x - a) ** 2 - huber(x, theta)
        )
        assert min(above(i / 50) for i in range(-500, 501)) > -1e-6
        assert abs(above(-a)) < 1e-6, "it touches on the other side as well: none is smaller"


def test_on_a_line_clarkes_step_has_the_curvature_of_the_piece():
    theta, eps, h = 0.8, 0.05, 1e-4
    for a in (2.5, -3.0, 0.3, -0.5):
        value = lambda x: huber(x, theta)
        slope = (value(a + h) - value(a - h)) / (2 * h)
        bend = (value(a + h) - 2 * value(a) + value(a - h)) / h**2
        wanted = a - slope / (bend + eps)
        assert abs(exercises.on_a_line(a, theta, eps, clarke=True) - wanted) < 1e-3


def test_parameters_are_those_of_the_networks():
    for kind, net in CLASSES.items():
        for K, c, f, C, Cy in ((3, 8, 12, 1, 1), (2, 3, 5, 4, 2), (1, 1, 1, 2, 3)):
            for alpha in (0.0, 1.0):
                made = net(K=K, c=c, f=f, channels=C, guides=Cy, alpha=alpha)
                held = sum(p.numel() for p in made.parameters())
                assert exercises.parameters(kind, K, c, f, (C, Cy), alpha > 0) == held


def test_cg_bound_has_a_condition_number_that_no_system_passes():
    net, b = small(), little_pair()
    for k in range(net.K):
        values = torch.linalg.eigvalsh(system(net, k, b)[0])
        kappa, bounds = exercises.cg_bound(net, k, STEPS)
        assert float(values[-1] / values[0]) <= kappa
        q = (kappa**0.5 - 1) / (kappa**0.5 + 1)
        assert all(abs(v - 2 * q**j) < 1e-9 for j, v in zip(STEPS, bounds, strict=True))


def test_cg_bound_is_near_the_condition_where_nothing_saturates():
    net, b = small(), little_pair()
    for one, two in ((3.0, -20.0), (-20.0, 3.0), (-20.0, -20.0)):  # log s₁, log s₂
        net.t1.fill_(9.0)  # thresholds far above: every curvature is 1
        net.t2.fill_(9.0)
        net.log_s1.fill_(one)
        net.log_s2.fill_(two)
        values = torch.linalg.eigvalsh(system(net, 0, b)[0])
        kappa, _ = exercises.cg_bound(net, 0, STEPS)
        top, eps = float(values[-1]), float(net.log_eps[0].exp())
        assert top <= kappa * eps * (1 + 1e-9)
        assert kappa * eps < 1.3 * top + 1.1


def test_cg_error_begins_at_one_falls_and_stays_below_the_bound():
    net, b = small(), little_pair()
    for k in range(net.K):
        error = exercises.cg_error(net, k, b, STEPS)
        _, bounds = exercises.cg_bound(net, k, STEPS)
        assert abs(error[0] - 1) < 1e-9
        assert all(after < before for before, after in pairwise(error))
        assert all(e <= limit for e, limit in zip(error, bounds, strict=True))
        assert error[-1] < 0.05


def test_cg_error_is_the_least_that_the_same_products_can_reach():
    net, b = small(), little_pair()
    V, F = system(net, 1, b)
    d = torch.linalg.solve(V, -F)
    roots, axes = torch.linalg.eigh(V)
    half = axes * roots.sqrt() @ axes.T  # ‖half x‖ is the norm of V
    for j, found in zip((1, 2, 3), exercises.cg_error(net, 1, b, (1, 2, 3)), strict=True):
        space = [F]
        for _ in range(j - 1):
            space.append(V @ space[-1])
        S = half @ torch.linalg.qr(torch.stack(space, 1)).Q
        best = torch.linalg.lstsq(S, (half @ d)[:, None]).solution
        left = (S @ best)[:, 0] - half @ d
        assert abs(float(left.norm() / (half @ d).norm()) - found) < 1e-6


def test_to_the_end_is_a_minimiser_of_the_last_stage():
    net, b = small(), little_pair()
    U, residuals = exercises.to_the_end(net, b)
    x = list(net.states(b, net.K - 1))[-1]
    problem = net.problem(net.K - 1, x, b)
    assert abs(residuals[0] - float(problem.F(x.U).norm())) < 1e-9
    assert float(problem.F(U).norm()) <= 1e-3 < residuals[0]
    value = float(problem.Phi(U))
    assert value < float(problem.Phi(x.U))
    for seed in range(5):
        d = torch.randn(U.shape, generator=seeded(seed), dtype=F64)
        assert value < float(problem.Phi(U + 0.1 * d))


def test_with_another_adjoint_tells_a_transpose_from_one_that_is_none():
    net, b = small(), little_pair(32)
    net.log_eps.fill_(-5)
    close, good = exercises.with_another_adjoint(net, 0, b, (4, 64), align_corners=False)
    apart, bad = exercises.with_another_adjoint(net, 0, b, (4, 64), align_corners=True)
    assert 0 < close < 0.1 * apart
    assert good[1] < 1e-3 * good[0]
    assert bad[1] > 10 * good[1]
    assert good[0] < 1


def test_misplaced_moves_the_guide_alone():
    net, b = small(), little_pair()
    truth = net(b)  # as if it were the truth: no shift, no error
    found = exercises.misplaced(net, b, truth, (0, 1, 3, 16))
    assert found[0] == 0
    assert 0 < found[1] < 10
    assert found[2] > 0
    assert found[3] < 1e-9, "a whole turn of 16 pixels"
    back = b._replace(Y=b.Y.roll(-3, -1))
    assert exercises.misplaced(net, back, truth, (3,))[0] < 1e-9


def test_misplaced_is_a_root_mean_square():
    net, b = small(), little_pair()
    (off,) = exercises.misplaced(net, b, net(b) + 0.5, (0,))
    assert abs(off - 0.5) < 1e-9
