"""Of newton sr: networks."""

import cvxpy as cp
import pytest
import torch
from refusals import refused
from shared_newton_sr import F64, NETWORKS, network, pair, rand, randn

from dunfold_lib import records
from dunfold_lib.newton_sr import baselines
from dunfold_lib.newton_sr.downsampling import Downsample, keys_matrix, up
from dunfold_lib.newton_sr.jacobians import clarke, dense, majorised
from dunfold_lib.newton_sr.model import (
    FirstOrderSR,
    LearnedInverseSR,
    NewtonSR,
    Pair,
    PlainSR,
    charbonnier,
    steps,
)
from dunfold_lib.operators import gradient as differences
from dunfold_lib.operators import gradient_T

# the networks


def test_parameter_counts():
    count = lambda net: sum(p.numel() for p in net.parameters())
    assert count(NewtonSR()) == 3772  # the prototype's
    assert count(FirstOrderSR()) == 3769  # no ε a stage
    assert count(LearnedInverseSR()) == 3769 + 3 * 737
    assert count(NewtonSR(channels=4, guides=2, alpha=1.0)) == count(
        NewtonSR(channels=4, guides=2)
    ) + (2 * 4 + 1)


def test_a_silent_plain_network_is_bicubic_and_a_fresh_one_looks_at_the_guide():
    net, b = PlainSR().double(), pair(2, 16)
    assert sum(p.numel() for p in net.parameters()) == 4181
    assert not torch.equal(net(b), net(b._replace(Y=b.Y.flip(3))))
    assert torch.equal(PlainSR(seed=3).C2.weight, PlainSR(seed=3).C2.weight)
    refused(lambda: net(b.Z), TypeError, "b is a Tensor; it must be .*")
    torch.nn.init.zeros_(net.C3.weight)
    assert torch.equal(net(b), up(b.Z, 4))


def test_fresh_filters_have_no_mean_and_the_encoder_sees_no_mean_of_the_depth():
    net = NewtonSR(c=8).double()
    for w in (*net.T1, *net.T2):
        assert float(w.detach().mean((2, 3)).abs().max()) < 1e-6
        size = w.detach().flatten(1).norm(dim=1)
        torch.testing.assert_close(size, torch.full_like(size, 1.5 / 8**0.5))
    b, net = pair(), network()
    here, there = net.start(b), net.start(b._replace(Z=b.Z + 0.1))
    torch.testing.assert_close(here.g, there.g)
    torch.testing.assert_close(here.tau, there.tau)


def test_the_losss_terms_by_hand():
    net, b = network(), pair(2, 12)
    truth = rand(2, 1, 12, 12, seed=9)
    xs = list(net.states(b))
    error = xs[-1].U - truth
    base = (error.square() + 1e-6).sqrt().mean()
    F = sum(net.problem(k, xs[k], b).F(xs[k].U).abs().mean() for k in range(net.K)) / net.K
    spectrum = torch.fft.rfft2(error).abs().mean() / 12  # orthonormal: divided by √(12·12)
    loss = lambda **weights: float(charbonnier(net, b, truth, **weights).detach())
    assert loss() == pytest.approx(float(base.detach()), rel=1e-12)
    assert loss(residual=0.5) == pytest.approx(float((base + 0.5 * F).detach()), rel=1e-12)
    assert loss(fourier=0.5) == pytest.approx(float((base + 0.5 * spectrum).detach()), rel=1e-12)
    plain = PlainSR().double()
    assert torch.equal(charbonnier(plain, b, truth, residual=0.5), charbonnier(plain, b, truth))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("ratio, channels, guides, alpha", [(4, 1, 1, 0.0), (2, 3, 2, 1.0)])
def test_untrained_networks_are_finite_and_every_parameter_gets_a_gradient(
    kind, ratio, channels, guides, alpha
):
    net = kind(ratio=ratio, channels=channels, guides=guides, alpha=alpha)
    b = Pair(*(t.float() for t in pair(2, 16, ratio, channels, guides)))
    truth = rand(2, channels, 16, 16, seed=9).float()
    charbonnier(net, b, truth, residual=0.01).backward()
    for name, p in net.named_parameters():
        assert torch.isfinite(p.grad).all(), name
        assert p.grad.any(), name
        rows = p.grad.flatten(1).any(1) if p.ndim == 4 and len(p) == net.K else p.grad.any()
        assert rows.all(), name
    U = net(b)
    assert U.shape == truth.shape
    assert torch.isfinite(U).all()
    assert len({p.data_ptr() for p in net.parameters()}) == len(list(net.parameters()))


def test_with_many_cg_steps_an_untrained_stage_is_the_newton_step():
    """U + V⁻¹(−F) and the multiplier step, by dense algebra, stage after stage."""
    net, b = NewtonSR(c=3, f=4, cg=200).double(), pair(1, 8)
    x = net.start(b)
    U = [x.U]
    with torch.no_grad():
        for k in range(net.K):
            problem = net.problem(k, x._replace(U=U[-1]), b)
            V = dense(problem.V(U[-1], net.log_eps[k].exp(), majorised), U[-1])
            d = torch.linalg.solve(V, -problem.F(U[-1]).flatten()).reshape(U[-1].shape)
            U.append(U[-1] + d)
            x = x._replace(L1=problem.multipliers(U[-1])[0], L2=problem.multipliers(U[-1])[1])
        for ours, theirs in zip(net.iterates(b), U, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
        assert max(float(s.relative) for s in steps(net, b)) < 1e-9


def test_the_control_takes_gradient_steps_and_a_silent_inverse_is_the_control():
    b = pair()
    control, learned = FirstOrderSR(c=3, f=4).double(), LearnedInverseSR(c=3, f=4).double()
    with torch.no_grad():
        for layer in learned.N3:
            layer.weight.zero_()
        x = control.start(b)
        moved = x.U - control.problem(0, x, b).F(x.U)
    torch.testing.assert_close(control.iterates(b)[1], moved, rtol=0, atol=1e-12)
    torch.testing.assert_close(learned(b), control(b), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_row_alone_is_the_row_in_a_batch_and_dtype_is_kept(kind):
    net, b = network(kind), pair(3)
    both = net(b)
    for i in range(3):
        alone = net(Pair(b.Z[i : i + 1], b.Y[i : i + 1]))
        torch.testing.assert_close(alone[0], both[i], rtol=0, atol=1e-12)
    assert both.dtype == F64
    assert net.float()(Pair(*(t.float() for t in b))).dtype == torch.float32


def test_a_small_network_passes_gradcheck_and_its_state_dict_comes_back():
    net, b = network(K=2), pair(1, 8)
    U = lambda Z: net(Pair(Z, b.Y))
    assert torch.autograd.gradcheck(U, (b.Z.clone().requires_grad_(),), atol=1e-6)
    other = NewtonSR(c=3, f=4, K=2, seed=7).double()
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(b), net(b))
    assert records.problem_hash(net) != records.problem_hash(NewtonSR(ratio=8))


def test_clarkes_curvature_passes_no_gradient_to_the_thresholds_and_the_majorised_one_does():
    theta = torch.tensor(0.3, dtype=F64, requires_grad=True)
    assert not clarke(randn(9), theta).requires_grad
    majorised(randn(9), theta).sum().backward()
    assert theta.grad > 0
    b = pair()
    with torch.no_grad():
        made = [NewtonSR(c=3, f=4, curvature=M).double()(b) for M in (clarke, majorised)]
    assert float((made[0] - made[1]).norm()) > 1e-6


def test_more_cg_steps_solve_the_stages_systems_better():
    net, b = network(), pair()
    worst = []
    for cg in (1, 4, 16):
        net.cg = cg
        worst.append(max(float(s.relative.max()) for s in steps(net, b)))
    assert worst[0] > worst[1] > worst[2]


# baselines


def scene(side=32):
    truth = torch.full((1, 1, side, side), 0.3, dtype=F64)
    truth[..., side // 3 :, side // 2 - 3 :] = 0.7
    Z = Downsample((side, side), 4, 1, F64).down(truth)
    return Z, 1 - 0.5 * truth, truth


def test_guided_methods_beat_bicubic_where_guide_and_depth_share_their_edges():
    Z, Y, truth = scene()
    error = lambda f, **how: float((f(Z, Y, **how) - truth).norm())
    plain = error(baselines.bicubic)
    assert error(baselines.guided_filter, radius=2) < plain
    assert error(baselines.joint_bilateral) < 0.9 * plain
    assert error(baselines.guided_tv) < 0.3 * plain
    assert error(baselines.glp) < plain


def test_the_guided_filter_is_exact_on_a_line_of_the_guide_and_constants_stay():
    Z, Y = torch.full((1, 1, 4, 4), 0.4, dtype=F64), rand(1, 1, 16, 16)
    for f in (baselines.guided_filter, baselines.joint_bilateral, baselines.guided_tv):
        torch.testing.assert_close(f(Z, Y), torch.full_like(Y, 0.4), rtol=0, atol=1e-9)
    glp = baselines.glp(Z, Y)
    torch.testing.assert_close(glp, torch.full_like(Y, 0.4), rtol=0, atol=1e-9)


def test_guided_tv_minimises_its_objective():
    Z, Y, _ = scene(12)
    Z = Z + 0.05 * randn(*Z.shape)
    lam, contrast = 0.01, 0.05
    U = baselines.guided_tv(Z, Y, lam, contrast, 3000)
    weights = (-differences(Y).abs() / contrast).exp()
    apart = Downsample((12, 12), 4, 1, F64)(U) - 4 * Z
    ours = float(0.5 * apart.square().sum() + lam * (weights * differences(U).abs()).sum())
    X = cp.Variable((12, 12))
    R = keys_matrix(12, 4).numpy()
    w = weights[0, :, 0].numpy()
    tv = cp.sum(cp.multiply(w[0][:-1], cp.abs(X[1:] - X[:-1])))
    tv += cp.sum(cp.multiply(w[1][:, :-1], cp.abs(X[:, 1:] - X[:, :-1])))
    fit = 0.5 * cp.sum_squares(4 * R @ X @ R.T - 4 * Z[0, 0].numpy())
    best = cp.Problem(cp.Minimize(fit + lam * tv)).solve(solver=cp.CLARABEL)
    assert ours == pytest.approx(best, rel=1e-4)
    p, q = randn(2, 1, 5, 6), randn(2, 2, 1, 5, 6, seed=1)
    there, back = differences(p) * q, p * gradient_T(q)
    assert float(there.sum()) == pytest.approx(float(back.sum()), abs=1e-12)


def test_glp_recovers_bands_that_are_multiples_of_the_guide():
    Y = 0.2 + 0.5 * rand(1, 1, 32, 32)
    truth = torch.cat([0.5 * Y, 0.8 * Y + 0.1], 1)
    Z = Downsample((32, 32), 4, 2, F64).down(truth)
    torch.testing.assert_close(baselines.glp(Z, Y), truth, rtol=0, atol=1e-4)
