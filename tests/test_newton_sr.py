"""Chapter `newton_sr`: semi-smooth Newton on the lasso and on guided super-resolution; networks."""

import math
import re
from dataclasses import replace
from itertools import islice

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from refusals import refused

from dunfold_lib import fetch, metrics, records, training
from dunfold_lib.newton_sr import (
    algorithm,
    baselines,
    data,
    downsampling,
    evaluation,
    jacobians,
    readers,
    scores,
)
from dunfold_lib.newton_sr import training as newton_sr_training
from dunfold_lib.newton_sr.algorithm import Problem, accelerated, augmented_lagrangian
from dunfold_lib.newton_sr.downsampling import Downsample, Spectral, keys_matrix, up
from dunfold_lib.newton_sr.envelope import envelope, envelope_newton
from dunfold_lib.newton_sr.experiments import ABLATIONS, EXPERIMENTS
from dunfold_lib.newton_sr.jacobians import (
    L1,
    Groups,
    Shrink,
    clarke,
    dense,
    directional,
    filter_norm,
    majorised,
    orders,
)
from dunfold_lib.newton_sr.lasso import Lasso, admm, coordinate_descent, fista, history, ista
from dunfold_lib.newton_sr.model import (
    Filters,
    FirstOrderSR,
    LearnedInverseSR,
    NewtonSR,
    Pair,
    PlainSR,
    Response,
    charbonnier,
    steps,
)
from dunfold_lib.newton_sr.ssnal import ssnal
from dunfold_lib.operators import gradient as differences
from dunfold_lib.operators import gradient_T, norm
from dunfold_lib.solvers import conjugate_gradients

F64 = torch.float64
NETWORKS = (NewtonSR, LearnedInverseSR, FirstOrderSR)
CONDITIONS = (1e1, 1e3, 1e5, 1e7)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=seeded(seed), dtype=F64)


def pair(rows=2, side=12, ratio=4, channels=1, guides=1, seed=0):
    Z = rand(rows, channels, side // ratio, side // ratio, seed=seed)
    return Pair(Z, rand(rows, guides, side, side, seed=seed + 1))


def network(kind=NewtonSR, **sizes):
    """A small one in float64 whose weights are not the fresh ones, so that nothing is zero."""
    net = kind(c=3, f=4, **sizes).double()
    g = seeded(5)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=g, dtype=F64))
    return net


def inner_problem(kind=NewtonSR, stage=1, side=12, **sizes):
    """(problem, U): the inner problem that a network meets in a stage, and the image there."""
    net, b = network(kind, **sizes), pair(1, side, sizes.get("ratio", 4), sizes.get("channels", 1))
    with torch.no_grad():
        x = list(net.states(b, stage))[-1]
        problem = net.requires_grad_(False).problem(stage, x, b)
    return problem, x.U


class Orthonormal:
    """U ↦ M U Mᵀ for an orthonormal M."""

    def __init__(self, n, seed=0):
        self.M = torch.linalg.qr(randn(n, n, seed=seed))[0]

    def __call__(self, x):
        return self.M @ x @ self.M.T

    def T(self, r):
        return self.M.T @ r @ self.M


def model_problem(side=8, s=1.0, seed=0):
    """The convex model on a small image: two ℓ1 priors in orthonormal bases, the second guided."""
    truth = torch.full((1, 1, side, side), 0.2, dtype=F64)
    truth[..., 2:6, 3:7] = 0.8
    D = Downsample((side, side), 2, 1, F64)
    T1, T2 = Orthonormal(side, seed), Orthonormal(side, seed + 1)
    theta = 0.02 / (1 + (T2(truth) / 0.1) ** 2)
    zero = torch.zeros((), dtype=F64)
    priors = (Shrink(T1, zero + 0.01 / s, zero), Shrink(T2, theta / s, 0.5 * T2(truth)))
    Z = D(truth) + 0.02 * randn(1, 1, side // 2, side // 2, seed=seed)
    return Problem(D, Z, priors, (s, s), (0 * truth, 0 * truth)), up(Z / 2, 2)


# the instrument


@pytest.mark.parametrize("ratio", [2, 4, 8, 16])
def test_downsampling_has_its_transpose_unit_norm_and_keeps_means(ratio):
    D = Downsample((2 * ratio, 3 * ratio), ratio, 2, F64)
    p, q = randn(3, *D.domain), randn(3, *D.codomain, seed=1)
    there, back = (D(p) * q).sum(), (p * D.T(q)).sum()
    assert float((there - back).abs()) <= 1e-12 * float(D(p).norm() * q.norm())
    assert D.known_norm() == pytest.approx(1, abs=1e-12)
    assert norm(Downsample((ratio, ratio), ratio, 1, F64)) <= 1 + 1e-12
    power = D.T(D(torch.ones(1, *D.domain, dtype=F64)))
    torch.testing.assert_close(power, torch.ones_like(power), rtol=0, atol=1e-12)
    torch.testing.assert_close(D.down(p).mean(), p.mean(), rtol=0, atol=1e-12)


def test_the_rows_are_keys_kernel_by_hand_and_up_keeps_lines():
    at = torch.tensor([0.25, 0.75, 1.25, 1.75], dtype=F64)  # r = 2: pixels at ±½, ±3/2, … over 2
    weight = torch.tensor([1.5, 1.5, -0.5, -0.5], dtype=F64) * at**3
    weight += torch.tensor([-2.5, -2.5, 2.5, 2.5], dtype=F64) * at**2
    weight += torch.tensor([1.0, 1.0, 2 - 4 * 1.25, 2 - 4 * 1.75], dtype=F64)
    row = torch.cat([weight.flip(0), weight]) / (2 * weight.sum())
    torch.testing.assert_close(keys_matrix(16, 2)[4, 5:13], row, rtol=0, atol=1e-12)
    line = torch.arange(8, dtype=F64).reshape(1, 1, 1, 8).expand(1, 1, 8, 8)
    fine = up(line, 4)[0, 0, 10, 8:24]  # away from the mirrored border
    expected = (torch.arange(8, 24, dtype=F64) + 0.5) / 4 - 0.5
    torch.testing.assert_close(fine, expected, rtol=0, atol=1e-12)


def test_pillow_agrees_about_bicubic_away_from_the_border():
    x = rand(48, 40).float()
    theirs = np.asarray(Image.fromarray(x.numpy()).resize((10, 12), Image.Resampling.BICUBIC))
    ours = Downsample((48, 40), 4).down(x[None, None])[0, 0]
    np.testing.assert_allclose(ours[2:-2, 2:-2], theirs[2:-2, 2:-2], atol=1e-5)


def test_the_spectral_response_has_its_transpose():
    H = Spectral(randn(3, 5), (4, 6))
    p, q = randn(2, *H.domain), randn(2, *H.codomain, seed=1)
    torch.testing.assert_close((H(p) * q).sum(), (p * H.T(q)).sum(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(H(p)[0, :, 1, 2], H.H @ p[0, :, 1, 2])
    assert H.known_norm() == pytest.approx(norm(Spectral(H.H, (1, 1))))


@pytest.mark.parametrize("T", [Filters(randn(4, 2, 3, 3)), Response(randn(3, 2))])
def test_a_networks_maps_have_their_transposes(T):
    p = randn(2, 2, 7, 9, seed=1)
    q = randn(*T(p).shape, seed=2)
    torch.testing.assert_close((T(p) * q).sum(), (p * T.T(q)).sum(), rtol=1e-12, atol=1e-12)


def test_a_patch_away_from_the_border_sees_what_the_whole_image_sees():
    w = randn(3, 1, 3, 3)
    U, cut = rand(1, 1, 96, 96), slice(16, 80)

    def F(U, Z):
        D = Downsample(tuple(U.shape[2:]), 4, 1, F64)
        prior = Shrink(Filters(w), torch.tensor(0.1, dtype=F64), torch.zeros((), dtype=F64))
        return Problem(D, Z, (prior, prior), (0.5, 0.5), (0 * U, 0 * U)).F(U)

    Z, low = rand(1, 1, 24, 24, seed=1), slice(4, 20)
    whole, part = F(U, Z)[..., cut, cut], F(U[..., cut, cut], Z[..., low, low])
    inside = (..., slice(20, -20), slice(20, -20))
    torch.testing.assert_close(part[inside], whole[inside], rtol=0, atol=1e-12)
    whole, part = up(Z, 4)[..., cut, cut], up(Z[..., low, low], 4)
    torch.testing.assert_close(part[inside], whole[inside], rtol=0, atol=1e-12)


# proximal maps and their Jacobians


@given(st.integers(0, 10**6))
def test_the_penalties_prox_is_optimal_and_its_jacobian_is_its_derivative(seed):
    v, p, t = randn(12, seed=seed), randn(12, seed=seed + 1), 0.7
    for penalty in (L1(), Groups(3), Groups(4)):
        x = penalty.prox(v, t)
        best = 0.5 * (x - v).square().sum() + t * penalty.value(x)
        for scale in (1e-3, 1e-1, 1.0):
            other = x + scale * p
            assert best <= 0.5 * (other - v).square().sum() + t * penalty.value(other) + 1e-12
        J = penalty.jacobian(v, t)
        moved = directional(lambda v, f=penalty: f.prox(v, t), v, p)
        torch.testing.assert_close(J(p), moved, rtol=0, atol=1e-12)
        q = randn(12, seed=seed + 2)
        torch.testing.assert_close(J(p) @ q, p @ J(q), rtol=0, atol=1e-12)
        assert -1e-12 <= J(p) @ p <= p @ p + 1e-12


@given(st.integers(0, 10**6))
def test_a_prior_with_norm_at_most_1_has_a_firmly_non_expansive_prox(seed):
    w = randn(3, 1, 3, 3, seed=seed)
    w = w / filter_norm(w)
    a, b = randn(2, 1, 6, 6, seed=seed + 1), randn(2, 1, 6, 6, seed=seed + 2)
    prior = Shrink(Filters(w), 0.3 * rand(3, 1, 1, seed=seed), 0.1 * randn(3, 1, 1, seed=seed))
    moved = prior.prox(a) - prior.prox(b)
    assert float(moved.square().sum()) <= float((moved * (a - b)).sum()) + 1e-12
    gradient = torch.func.grad(lambda v: prior.envelope(v).sum())(a)
    torch.testing.assert_close(prior.residual(a), gradient, rtol=0, atol=1e-12)


def test_in_an_orthonormal_basis_the_prior_is_an_l1_norm_and_the_envelope_its_own():
    prior = Shrink(Orthonormal(6), torch.tensor(0.4, dtype=F64), randn(6, 6, seed=3))
    v = randn(1, 1, 6, 6, seed=1)
    x = prior.prox(v)
    at = lambda x: prior.penalty(x) + 0.5 * (x - v).square().flatten(1).sum(1)
    torch.testing.assert_close(prior.envelope(v), at(x), rtol=0, atol=1e-12)
    for seed in range(5):
        assert at(x + 1e-2 * randn(1, 1, 6, 6, seed=seed)) > at(x)


@given(st.integers(0, 10**6))
def test_the_majoriser_touches_huber_and_lies_above_it(seed):
    a, z, theta = randn(20, seed=seed), 3 * randn(20, seed=seed + 1), rand(20, seed=seed + 2)
    huber = lambda a: jacobians.clip(a, theta) * (a - jacobians.clip(a, theta) / 2)
    M = majorised(a, theta)
    parabola = huber(a) + jacobians.clip(a, theta) * (z - a) + 0.5 * M * (z - a) ** 2
    assert (parabola >= huber(z) - 1e-12).all()
    assert (clarke(a, theta) <= M).all()
    assert (M <= 1 + 1e-15).all()


def test_orders_of_known_sequences():
    quadratic = [0.5 ** (2**k) for k in range(5)]
    assert orders(quadratic) == pytest.approx([2, 2, 2])
    assert orders([0.1**k for k in range(6)]) == pytest.approx([1] * 4)
    assert orders([1e-1, 1e-2, 1e-13]) == []


def test_the_filters_norm_bounds_the_convolution():
    w = randn(4, 2, 3, 3)
    T = dense(lambda x: Filters(w).T(Filters(w)(x)), torch.zeros(1, 2, 6, 6, dtype=F64))
    largest = float(torch.linalg.matrix_norm(T, 2)) ** 0.5
    assert 0.8 * float(filter_norm(w)) < largest <= float(filter_norm(w)) + 1e-9


# the linear system


@pytest.mark.parametrize("M", [clarke, majorised])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_V_is_symmetric_and_at_least_epsilon(M, alpha):
    problem, U = inner_problem(channels=2, alpha=alpha)
    V, eps = problem.V(U, 0.01, M), 0.01
    p, q = randn(*U.shape, seed=1), randn(*U.shape, seed=2)
    scale = float(p.norm() * q.norm())
    assert float(((V(p) * q).sum() - (p * V(q)).sum()).abs()) <= 1e-14 * scale
    matrix = dense(V, U)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-14)
    assert float(torch.linalg.eigvalsh(matrix).min()) >= eps * (1 - 1e-12)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_with_clarkes_curvature_V_is_the_derivative_of_F_and_F_that_of_Phi(alpha):
    problem, U = inner_problem(channels=2, alpha=alpha)
    p, eps = randn(*U.shape, seed=1), 0.05
    moved = directional(problem.F, U, p)
    torch.testing.assert_close(problem.V(U, eps, clarke)(p) - eps * p, moved, rtol=0, atol=1e-12)
    slope = torch.func.grad(lambda U: problem.Phi(U).sum())(U)
    torch.testing.assert_close(problem.F(U), slope, rtol=0, atol=1e-12)
    saturated = problem.V(U, 0.0, clarke)(p) - problem.V(U, 0.0, majorised)(p)
    assert float(saturated.norm()) > 1e-6  # some clip is saturated: the two differ


def test_conjugate_gradients_solve_the_newton_system_and_count_their_steps():
    problem, U = inner_problem()
    V, F = problem.V(U, 0.05, majorised), problem.F(U)
    d = conjugate_gradients(V, -F, 400)
    assert float((V(d) + F).norm() / F.norm()) < 1e-10
    exact = torch.linalg.solve(dense(V, U), -F.flatten()).reshape(U.shape)
    torch.testing.assert_close(d, exact, rtol=0, atol=1e-9)
    loose = conjugate_gradients(V, -F, 400, tol=1e-2)
    assert 1e-4 < float((V(loose) + F).norm() / F.norm()) <= 1e-2


def test_conjugate_gradients_treat_each_row_alone_and_pass_gradients():
    A = randn(6, 6)
    A = A @ A.T + torch.eye(6, dtype=F64)
    V = lambda x: x @ A
    c = torch.cat([randn(1, 6, seed=1), 1e3 * randn(1, 6, seed=2), torch.zeros(1, 6, dtype=F64)])
    for tol in (0.0, 1e-3):
        both = conjugate_gradients(V, c, 4, tol)
        alone = torch.cat([conjugate_gradients(V, row[None], 4, tol) for row in c])
        torch.testing.assert_close(both, alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(conjugate_gradients(V, c, 6) @ A, c, rtol=1e-9, atol=1e-9)
    warm = conjugate_gradients(V, c, 3, 0.0, torch.linalg.solve(A, c.T).T)
    torch.testing.assert_close(warm @ A, c, rtol=1e-9, atol=1e-9)
    small = c[:1].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: conjugate_gradients(V, c, 3), (small,))
    zero = torch.zeros(1, 6, dtype=F64, requires_grad=True)
    conjugate_gradients(V, zero, 3).sum().backward()
    assert torch.isfinite(zero.grad).all()


# the lasso


@pytest.mark.slow
@pytest.mark.parametrize("condition", CONDITIONS)
def test_ssnal_needs_few_newton_steps_at_every_conditioning(condition):
    problem = evaluation.lasso_problem(condition, 0)
    found = ssnal(problem)
    assert sum(found.newton) <= 80
    assert found.kkt[-1] <= 1e-10
    assert problem.kkt(found.x) == found.kkt[-1]
    torch.testing.assert_close(found.xi, problem.A @ found.x - problem.b, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_newtons_residuals_fall_quadratically_on_the_group_lasso():
    problem = evaluation.lasso_problem(1e3, 0, 4)
    found = ssnal(problem, inner=1e-12)
    assert found.kkt[-1] <= 1e-10
    for residuals in found.residuals[:2]:
        assert orders(residuals)[-1] >= 1.5
    assert sum(ssnal(problem).newton) <= 80


@pytest.mark.slow
def test_first_order_methods_slow_down_with_the_conditioning_and_ssnal_does_not():
    counts = {}
    for condition in (1e1, 1e3):
        problem = evaluation.lasso_problem(condition, 0)
        for method in (ista, fista, admm):
            kkt = history(problem, method(problem), 1500, 1e-6)
            counts[method.__name__, condition] = len(kkt)
            assert method is ista or kkt[-1] <= 1e-6
    assert counts["ista", 1e3] > 2 * counts["ista", 1e1]
    assert counts["fista", 1e3] > 2 * counts["fista", 1e1]


@pytest.mark.parametrize("group", [1, 3])
def test_all_solvers_agree_with_cvxpy(group):
    A, b, _ = data.ill_conditioned(seeded(3), 1e2, 15, 30, 6, group)
    p = L1() if group == 1 else Groups(group)
    problem = Lasso(A, b, 0.05, p)
    x = cp.Variable(30)
    norms = cp.norm1(x) if group == 1 else sum(cp.norm2(x[i : i + 3]) for i in range(0, 30, 3))
    fit = 0.5 * cp.sum_squares(A.numpy() @ x - b.numpy())
    cp.Problem(cp.Minimize(fit + 0.05 * norms)).solve(
        solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10
    )
    found = ssnal(problem).x
    np.testing.assert_allclose(found, x.value, atol=1e-5)
    assert float(problem.objective(found)) <= float(problem.objective(torch.from_numpy(x.value)))
    for method in (ista, fista, admm):
        *_, last = islice(method(problem), 3000)
        np.testing.assert_allclose(last, found, atol=1e-6)


def test_ista_never_raises_the_lasso():
    problem = Lasso(*data.ill_conditioned(seeded(1), 1e3, 20, 40, 5)[:2], 0.01)
    values = [float(problem.objective(x)) for x in islice(ista(problem), 200)]
    assert (np.diff(values) <= 1e-14).all()


def test_the_package_leads_to_the_module_of_the_solvers_and_to_its_function():
    import dunfold_lib.newton_sr.ssnal as module

    assert module.Lasso is Lasso
    assert module.ssnal is ssnal
    assert callable(ssnal)


@pytest.mark.parametrize("condition", [1e1, 1e5])
def test_every_evaluation_of_psi_is_counted_and_armijo_makes_several_a_step(condition):
    A, b, _ = data.ill_conditioned(seeded(), condition, 40, 160, 6)
    calls = [0]

    class Shrinking(L1):
        def prox(self, v, t):
            calls[0] += 1
            return super().prox(v, t)

    found = ssnal(Lasso(A, b, 0.05 * float((A.T @ b).abs().max()), Shrinking()))
    assert sum(found.psi) == calls[0] - 2 * len(found.kkt)  # its end and its KKT take one each
    assert sum(found.psi) > sum(found.newton) + len(found.kkt)


def test_with_a_growing_penalty_the_outer_steps_factors_fall_and_with_a_fixed_one_they_do_not():
    A, b, _ = data.ill_conditioned(seeded(), 1e2, 40, 160, 6)
    problem = Lasso(A, b, 0.05 * float((A.T @ b).abs().max()))
    factor = {}
    for growth in (3.0, 1.0):
        kkt = ssnal(problem, tol=1e-11, sigma=10.0, outer=300, inner=1e-4, growth=growth).kkt
        factor[growth] = kkt[-1] / kkt[-2]
    assert factor[3.0] < 0.05 < 0.3 < factor[1.0]


def test_coordinate_descent_agrees_with_ssnal_and_never_raises_the_lasso():
    A, b, _ = data.ill_conditioned(seeded(3), 1e2, 15, 30, 6)
    A[:, 4] = 0  # an empty column keeps its entry at 0
    problem = Lasso(A, b, 0.05)
    xs = list(islice(coordinate_descent(problem), 400))
    torch.testing.assert_close(xs[-1], ssnal(problem).x, rtol=0, atol=1e-10)
    assert (np.diff([float(problem.objective(x)) for x in xs]) <= 1e-14).all()
    refused(lambda: next(coordinate_descent(problem._replace(p=Groups(3)))), ValueError, "p is .*")


@pytest.mark.parametrize("condition", [1e1, 1e3])
@pytest.mark.parametrize("group", [1, 4])
def test_newton_on_the_envelope_arrives_from_zero(condition, group):
    A, b, _ = data.ill_conditioned(seeded(), condition, 20, 40, 4, group)
    problem = Lasso(A, b, 0.05, L1() if group == 1 else Groups(group))
    found = envelope_newton(problem)
    assert found.residuals[-1] <= 1e-15
    assert found.trials >= len(found.residuals) - 1
    torch.testing.assert_close(found.x, ssnal(problem).x, rtol=0, atol=1e-9)
    assert (np.diff(found.values) <= 1e-13).all()
    assert found.values[-1] == pytest.approx(float(problem.objective(found.x)), abs=1e-13)
    x = randn(40, seed=1).requires_grad_()
    at = envelope(problem, x, 0.5)
    slope = torch.autograd.grad(at.value, x)[0]
    torch.testing.assert_close(at.gradient, slope, rtol=0, atol=1e-12)
    assert float(at.value.detach()) <= float(problem.objective(x.detach()))  # it lies below


def test_at_the_longest_step_the_envelopes_gradient_vanishes_away_from_the_solution():
    problem = Lasso(torch.eye(1, dtype=F64), torch.full((1,), 2.0, dtype=F64), 1.0)
    x = torch.full((1,), 5.0, dtype=F64)
    at = envelope(problem, x, 1.0)
    assert float(at.gradient) == 0
    assert float(at.F) == 4
    assert float(envelope(problem, x, 0.9).gradient) != 0
    refused(lambda: envelope_newton(problem, 1.0), ValueError, "share is 1; it must be below: .*")


# the multi-modal model


@pytest.fixture(scope="module")
def solved():
    problem, start = model_problem()
    return problem, augmented_lagrangian(problem, start, tol=1e-8)


def test_the_augmented_lagrangian_finds_the_models_minimiser(solved):
    problem, found = solved
    U = cp.Variable((8, 8))
    high, wide = problem.D.high.numpy(), problem.D.wide.numpy()
    value = 0.5 * cp.sum_squares(2 * high @ U @ wide.T - problem.Z[0, 0].numpy())
    for s, prior in zip(problem.s, problem.priors, strict=True):
        weight = s * np.broadcast_to(prior.theta.numpy(), (1, 1, 8, 8))[0, 0]
        centre = np.broadcast_to(prior.g.numpy(), (1, 1, 8, 8))[0, 0]
        M = prior.T.M.numpy()
        value += cp.sum(cp.multiply(weight, cp.abs(M @ U @ M.T - centre)))
    cp.Problem(cp.Minimize(value)).solve(solver=cp.CLARABEL)
    assert float(problem.objective(found.U)) == pytest.approx(value.value, abs=1e-7)
    np.testing.assert_allclose(found.U[0, 0], U.value, atol=1e-4)


def test_newton_steps_never_raise_the_inner_function_and_its_minimum_is_the_gradients_zero(solved):
    problem, found = solved
    for phi in found.phi:
        assert (np.diff(phi) <= 1e-13 * (1 + abs(phi[0]))).all()
    _, start = model_problem()
    _, residuals, phi, products = algorithm.minimise(problem, start, 1e-10, 100, 500)
    assert residuals[-1] <= 1e-10
    assert products > len(residuals)
    assert orders(residuals)[-1] >= 1.5  # piecewise affine: Newton ends
    slow = accelerated(problem, start, 500, 1 / (1 + sum(problem.s)))
    assert phi[-1] - 1e-12 <= float(problem.Phi(slow[-1])) <= phi[-1] + 1e-4
    _, tail, _, _ = algorithm.minimise(problem, start, 1e-10, 100, 500, majorised)
    assert tail[-1] > 1e-7  # the majoriser only converges linearly


@pytest.mark.parametrize("worst", [0, 1, 2])
def test_the_residual_is_the_largest_of_three(worst):
    problem, U = model_problem()
    L = [0.01 * randn(*U.shape, seed=i) for i in range(2)]
    centres = [9.0 if worst == i + 1 else 0.0 for i in range(2)]
    priors = tuple(
        p._replace(theta=p.theta + c, g=p.g + c)
        for p, c in zip(problem.priors, centres, strict=True)
    )
    problem = problem._replace(L=tuple(L), priors=priors)
    if worst == 0:
        problem = problem._replace(Z=problem.Z + 9)
    terms = [problem.gradient(U) + L[0] + L[1]]
    terms += [U - p.prox(U + m / s) for p, m, s in zip(priors, L, problem.s, strict=True)]
    sizes = [float(t.norm() / (1 + U.norm())) for t in terms]
    assert max(sizes) == sizes[worst]
    assert problem.kkt(U) == pytest.approx(sizes[worst])


def test_armijo_takes_the_first_step_that_lowers_enough():
    problem, U = model_problem()
    F = problem.F(U)
    d, phi = -100 * F, float(problem.Phi(U).sum())
    slope = float((F * d).sum())
    t = algorithm.armijo(problem, U, d, phi, slope)
    enough = lambda t: float(problem.Phi(U + t * d).sum()) <= phi + 1e-4 * t * slope
    assert 0 < t < 1
    assert enough(t)
    assert not enough(2 * t)


def test_the_spectral_term_enters_the_models_solution():
    problem, start = model_problem()
    H, Y = Response(torch.ones(1, 1, dtype=F64)), start + 0.1
    pulled = problem._replace(H=H, Y=Y, alpha=100.0)
    found = augmented_lagrangian(pulled, start, tol=1e-6)
    assert float((found.U - Y).norm()) < 0.1 * float((start - Y).norm())


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
    ours = float(baselines.weighted_tv(U, Z, Y, lam, contrast))
    X = cp.Variable((12, 12))
    R = keys_matrix(12, 4).numpy()
    w = (-differences(Y).abs() / contrast).exp()[0, :, 0].numpy()
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


# data


def test_made_up_scenes_follow_their_generator_and_stay_in_range():
    for make in (data.planes, data.fusion):
        one, two, other = (make(seeded(s), side=24) for s in (1, 1, 2))
        assert torch.equal(one.truth, two.truth)
        assert torch.equal(one.Y, two.Y)
        assert not torch.equal(one.truth, other.truth)
        for t in one:
            assert t.min() >= 0
            assert t.max() <= 1
            assert t.shape[2:] == (24, 24)
    H = data.response(3, 8)
    torch.testing.assert_close(H.sum(1), torch.ones(3))


def test_the_motorcycle_has_no_holes_and_is_inside_the_range():
    s = data.motorcycle()
    assert s.truth.shape == s.Y.shape == (1, 1, 500, 741)
    assert s.truth.max() == 1
    assert s.truth.min() > 0
    holes = np.array([[np.inf, 2.0, np.inf, np.inf, 1.0], [3.0, np.inf, 5.0, 5.0, np.inf]])
    expected = [[2, 2, 1, 1, 1], [3, 3, 5, 5, 5]]
    np.testing.assert_array_equal(data.filled(holes), expected)


def write_pair(folder, name, size=(20, 24), ending="gt"):
    g = np.random.default_rng(len(name))
    for tail, shape in (("rgb.png", (*size, 3)), (f"{ending}.bmp", size)):
        pixels = g.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}_{tail}")


def test_a_folder_of_pairs_is_read_by_name(tmp_path, monkeypatch):
    write_pair(tmp_path, "one")
    write_pair(tmp_path, "two", ending="d")
    found = data.read_pairs(tmp_path)
    assert list(found) == ["one", "two"]
    assert found["one"].truth.shape == found["one"].Y.shape == (1, 1, 20, 24)
    assert list(data.read_pairs(tmp_path, ["two"])) == ["two"]
    half = data.halved(found["one"])
    torch.testing.assert_close(half.truth[0, 0, 0, 0], found["one"].truth[0, 0, :2, :2].mean())
    assert data.cropped(found["one"], 16).truth.shape == (1, 1, 16, 16)
    root = tmp_path / "root"
    for folder, names in (
        ("middlebury", data.MIDDLEBURY_TRAIN + data.MIDDLEBURY_TEST),
        ("sintel", ("05",)),
    ):
        (root / "multimodal" / folder).mkdir(parents=True)
        for name in names:
            write_pair(root / "multimodal" / folder, name, ending="d" if name == "05" else "gt")
    monkeypatch.setenv("DUNFOLD_DATA", str(root))
    data.middlebury.cache_clear()
    try:
        assert [*data.middlebury("train")] == [*data.MIDDLEBURY_TRAIN, "sintel 05"]
        assert data.middlebury("test")["art"].truth.shape == (1, 1, 10, 12)
    finally:
        data.middlebury.cache_clear()


def test_the_worldview_sample_is_read_by_walds_protocol(tmp_path, monkeypatch):
    from scipy.io import savemat

    (tmp_path / "multimodal" / "wv2").mkdir(parents=True)
    g = np.random.default_rng(0)
    bands, pan = (g.integers(0, 2048, s, dtype=np.uint16) for s in ((8, 8, 8), (32, 32)))
    savemat(tmp_path / "multimodal" / "wv2" / "imgWV2.mat", {"I_MS": bands, "I_PAN": pan})
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    data.worldview.cache_clear()
    try:
        truth, Y = data.worldview()
    finally:
        data.worldview.cache_clear()
    assert truth.shape == (1, 8, 8, 8)
    assert Y.shape == (1, 1, 8, 8)
    assert float(truth[0, 3, 1, 2]) == pytest.approx(bands[1, 2, 3] / 2047)
    assert float(Y[0, 0, 0, 0]) == pytest.approx(pan[:4, :4].mean() / 2047, rel=1e-5)


def write_nyu(folder, images=1002, size=(6, 4)):
    """A file of NYU v2's layout: colour and depth with rows last."""
    h5py = pytest.importorskip("h5py")
    g = np.random.default_rng(0)
    rgb = g.integers(0, 256, (images, 3, *size), dtype=np.uint8)
    depth = g.uniform(0.5, 9.9, (images, *size)).astype(np.float32)
    with h5py.File(folder / readers.NYU, "w") as file:
        file["images"], file["depths"] = rgb, depth
    return rgb, depth


def test_nyu_is_read_from_its_matlab_file_and_split(tmp_path):
    rgb, depth = write_nyu(tmp_path)
    test, train = readers.nyu(tmp_path), readers.nyu(tmp_path, "train")
    assert list(test) == ["1001", "1002"]
    assert (len(train), next(iter(train))) == (1000, "0001")
    truth, Y = test["1002"]
    assert truth.shape == Y.shape == (1, 1, 4, 6)  # rows, columns
    assert np.allclose(truth[0, 0], depth[1001].T / 10)
    weights = np.array([0.299, 0.587, 0.114])
    assert np.allclose(Y[0, 0], np.einsum("c,cwh->hw", weights, rgb[1001] / 255), atol=1e-6)
    assert list(readers.read_folder(tmp_path)) == ["1001", "1002"]
    refused(lambda: readers.nyu(tmp_path, "all"), ValueError, "part is 'all'; it must be .*")
    (tmp_path / readers.NYU).write_bytes(b"nothing")
    refused(lambda: readers.nyu(tmp_path), ValueError, r".*labeled.mat: cannot be read \(.*\)")


def test_a_file_of_nyus_name_with_too_few_images_is_refused(tmp_path):
    write_nyu(tmp_path, 3)
    says = r".*labeled.mat: images and depths of part 'test' have shapes .*"
    refused(lambda: readers.nyu(tmp_path), ValueError, says)
    assert len(readers.nyu(tmp_path, "train")) == 3


def write_cave(folder, name="balloons", bands=31, size=8):
    inner = folder / f"{name}_ms" / f"{name}_ms"
    inner.mkdir(parents=True)
    g = np.random.default_rng(len(name))
    cube = g.integers(0, 2**16, (bands, size, size), dtype=np.uint16)
    for i, band in enumerate(cube):
        Image.fromarray(band).save(inner / f"{name}_ms_{i + 1:02d}.png")
    return cube


def test_cave_is_read_band_by_band_and_its_guide_is_the_response(tmp_path):
    cube = write_cave(tmp_path)
    write_cave(tmp_path, "beads")
    found = readers.read_folder(tmp_path, guides=3)
    assert list(found) == ["balloons", "beads"]
    truth, Y = found["balloons"]
    assert np.allclose(truth[0], cube / 65535)
    assert np.allclose(
        Y[0], np.einsum("gb,bhw->ghw", data.response(3, 31), cube / 65535), atol=1e-6
    )
    next(tmp_path.rglob("beads_ms_07.png")).unlink()
    refused(
        lambda: readers.cave(tmp_path), ValueError, ".*beads_ms holds 30 bands; it must hold 31"
    )
    (tmp_path / "empty").mkdir()
    refused(lambda: readers.cave(tmp_path / "empty"), ValueError, ".*empty holds no cube; .*")


def test_a_readers_cube_is_fused(tmp_path):
    write_cave(tmp_path, size=16)
    glp, bicubic = (
        evaluation.measure_method("cave", method, 4, None, 0, tmp_path)
        for method in (baselines.glp, baselines.bicubic)
    )
    assert {"psnr", "sam", "ergas", "protocol", "notes"} == set(glp)
    assert glp["protocol"].startswith(f"data: {tmp_path}; 1 cubes in CAVE's layout, over 65535; ")
    assert glp["psnr"] != bicubic["psnr"]


def test_cave_and_nyu_are_split_into_training_and_test(tmp_path, monkeypatch):
    for place in ("cave", "nyu"):
        (tmp_path / "multimodal" / place).mkdir(parents=True)
    for name in ("a", "b", "c"):
        write_cave(tmp_path / "multimodal" / "cave", name)
    write_nyu(tmp_path / "multimodal" / "nyu")
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    assert list(newton_sr_training.training_set("cave")) == ["a", "c"]
    assert list(evaluation.measured_on("cave", 0)[""]) == ["b"]
    assert len(newton_sr_training.training_set("nyu")) == 1000
    assert list(evaluation.measured_on("nyu", 0)["_nyu"]) == ["1001", "1002"]


def test_indian_pines_comes_from_tensorlys_wheel_or_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    readers.indian_pines.cache_clear()
    if fetch.find_spec("tensorly"):
        truth, Y = readers.indian_pines()
        assert (truth.shape, Y.shape) == ((1, 20, 145, 145), (1, 4, 145, 145))
        assert float(truth.max()) == 1
        assert float(truth.min()) > 0.05  # radiance: no band is dark
        test = evaluation.measured_on("indian-pines", 0)[""]["indian-pines"]
        assert torch.equal(test.truth, truth[:, :, 96:])
        (train,) = newton_sr_training.training_set("indian-pines").values()
        assert torch.equal(train.Y, Y[:, :, :96])
    place = tmp_path / "hsi"
    place.mkdir()
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    held = np.arange(4 * 5 * 200, dtype=np.uint16).reshape(4, 5, 200)
    np.save(place / fetch.PINES, held)
    readers.indian_pines.cache_clear()
    truth, _ = readers.indian_pines()
    assert truth[0, 1, 0, 0] == pytest.approx(held[0, 0, 10:20].mean() / held[3, 4, 190:].mean())
    (place / fetch.PINES).write_bytes(b"nothing")
    readers.indian_pines.cache_clear()
    refused(readers.indian_pines, ValueError, r".*corrected.npy: cannot be read \(.*\)")
    (place / fetch.PINES).unlink()
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    says = r"Indian Pines needs tensorly: pip install 'dunfold-lib\[data\]'"
    refused(readers.indian_pines, ImportError, says)
    readers.indian_pines.cache_clear()


def test_training_and_test_share_no_row_and_no_seed():
    whole = readers.indian_pines().truth
    upper = newton_sr_training.training_set("indian-pines")["indian-pines"]
    lower = evaluation.measured_on("indian-pines", 0)[""]["indian-pines"]
    for i in range(2):
        assert upper[i].shape[2] + lower[i].shape[2] == whole.shape[2]
    assert torch.equal(torch.cat([upper.truth, lower.truth], 2), whole)
    first = evaluation.measured_on("fusion", 0)[""]["0"].truth
    assert torch.equal(first, data.fusion(seeded(2**31)).truth)
    trained = newton_sr_training.training_set("fusion").values()
    assert not any(torch.equal(first, s.truth) for s in trained)


def test_a_made_up_guide_has_six_levels_that_neighbours_may_share():
    scenes = [data.planes(seeded(i), 32, texture=0) for i in range(8)]
    levels = torch.cat([s.Y.flatten() for s in scenes]).unique()
    steps = (levels - 0.1) / 0.8 * 6
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-5)
    assert len(levels) <= 6
    assert all(len(s.truth.unique()) > 50 for s in scenes)


@pytest.mark.parametrize("group", [1, 4])
def test_lambda_is_a_fiftieth_of_the_least_that_leaves_nothing(group):
    problem = evaluation.lasso_problem(1e1, 0, group)
    least = problem.lam / 0.02
    zero = torch.zeros(problem.A.shape[1], dtype=F64)
    assert problem._replace(lam=1.0001 * least).kkt(zero) == 0
    assert problem._replace(lam=0.999 * least).kkt(zero) > 0


def test_patches_are_cut_from_the_scenes_with_their_guides():
    made = data.planes(seeded(), side=24)
    both = {"a": data.Scene(made.truth, made.truth)}
    truth, Y = data.patches(both, 5, 8, seeded(1))
    assert truth.shape == (5, 1, 8, 8)
    assert torch.equal(truth, Y)
    again, _ = data.patches(both, 5, 8, seeded(1))
    assert torch.equal(truth, again)


def test_the_designs_matrix_has_its_condition_and_its_groups():
    A, b, x = data.ill_conditioned(seeded(), 1e4, 10, 24, 6, 3)
    s = torch.linalg.svdvals(A)
    assert float(s[0] / s[-1]) ** 2 == pytest.approx(1e4)
    assert 0.004 < float((b - A @ x).norm() / (A @ x).norm()) < 0.02  # DESIGN_NOISE, of 10 draws
    assert int((x.reshape(-1, 3).norm(dim=1) > 0).sum()) == 2


# training and scores


def test_scores_by_hand():
    truth = torch.full((1, 1, 20, 20), 0.5, dtype=F64)
    estimate = truth + 0.1
    for border in (np.s_[..., :6, :], np.s_[..., -6:, :], np.s_[..., :6], np.s_[..., -6:]):
        estimate[border] = 9.0  # the border is not looked at, on any side
    assert scores.rmse(estimate, truth) == pytest.approx(25.5)
    for inside in ((6, 10), (13, 10), (10, 6), (10, 13)):  # and what lies just within it is
        changed = estimate.clone()
        changed[0, 0, inside[0], inside[1]] = 9.0
        assert scores.rmse(changed, truth) > 26
    a, b = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
    a[0, 0], b[0, :] = 1.0, 1.0
    assert metrics.sam(a, b) == pytest.approx(math.pi / 4)
    assert metrics.sam(3 * b, b) == pytest.approx(0, abs=1e-6)
    assert metrics.ergas(b + torch.tensor([0.1, 0.3])[:, None, None], b, 4) == pytest.approx(
        25 * math.sqrt((0.01 + 0.09) / 2), rel=1e-5
    )


@pytest.mark.parametrize("kind", [*NETWORKS, PlainSR])
def test_two_steps_of_training_and_the_measuring(kind, monkeypatch):
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    monkeypatch.setattr(data, "motorcycle", lambda: data.planes(seeded(3), 32))
    monkeypatch.setattr(newton_sr_training, "TRAIN_SCENES", 2)
    recipe = newton_sr_training.Training(steps=2, batch=2, patch=16, stages=2, filters=2, width=3)
    net = newton_sr_training.build(kind, 4, recipe)
    losses = newton_sr_training.train(net, recipe)
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    made = evaluation.measure("planes", net, 0)
    assert set(made) >= {"rmse_planes", "rmse_motorcycle"}
    if kind is PlainSR:
        return
    assert len(made["stages_planes"]) == 3
    assert len(made["solved_planes"]) == 2


def test_training_lowers_the_loss():
    recipe = newton_sr_training.Training(steps=60, batch=2, patch=16, stages=2, filters=4, width=4)
    net = newton_sr_training.build(NewtonSR, 4, recipe)
    truth, Y = data.patches(newton_sr_training.training_set("planes"), 32, 16, seeded(9))
    b = downsampling.degraded(truth, Y, 4)
    before = float(charbonnier(net, b, truth).detach())
    newton_sr_training.train(net, recipe)
    assert float(charbonnier(net, b, truth).detach()) < 0.9 * before


def test_several_bands_are_built_trained_and_measured():
    recipe = newton_sr_training.Training(
        data="fusion", steps=1, batch=1, patch=16, stages=1, filters=2, width=3
    )
    net = newton_sr_training.build(NewtonSR, 4, recipe, alpha=1.0)
    assert net.H.shape == (3, 8)
    assert len(newton_sr_training.train(net, recipe)) == 1
    made = evaluation.measure("fusion", net, 0)
    assert {"psnr", "sam", "ergas"} <= set(made)


def test_a_readers_folder_is_measured(tmp_path):
    write_pair(tmp_path, "mine", (32, 36))
    made = evaluation.measure_method("planes", baselines.bicubic, 4, None, 0, tmp_path)
    assert set(made) == {"rmse", "protocol", "notes"}
    assert made["protocol"].startswith(f"data: {tmp_path}; 1 pairs; depth: 8 bit over 255; guide: ")


def test_experiments_are_complete_and_build_their_networks():
    for name, e in EXPERIMENTS.items():
        assert all((e.title, e.protocol, e.source)), name
        for recipe in e.recipes.values():
            assert isinstance(recipe, newton_sr_training.Training)
            assert isinstance(recipe, training.Recipe)
            ratio = int(name.rpartition("-")[2]) if name[-1].isdigit() else 4
            assert recipe.patch % ratio == 0, name
    for name in ("newton-4", "learned-inverse-8", "first-order-16", "newton-fusion"):
        net = EXPERIMENTS[name].build()
        assert net.K == 3
        assert getattr(net, "curvature", majorised) is majorised
        assert name != "newton-4" or net.ratio == 4


def test_the_ablations_change_one_thing():
    plain = EXPERIMENTS["newton-4"]
    for name, (_, fields) in ABLATIONS.items():
        e = EXPERIMENTS[name]
        for recipe, used in e.recipes.items():
            assert used == replace(plain.recipes[recipe], **fields)
    assert EXPERIMENTS["newton-clarke-4"].build().curvature is clarke


def test_the_lasso_experiments_scores(monkeypatch):
    small = Lasso(*data.ill_conditioned(seeded(), 1e1, 20, 40, 4)[:2], 0.05)
    monkeypatch.setattr(evaluation, "lasso_problem", lambda *a: small)
    made = evaluation.measure_lasso(1e1, 1, None, 0)
    assert made["kkt"] <= 1e-12
    assert made["newton"] >= made["outer"]
    assert made["ista_1e-08"] >= made["ista_1e-06"] >= 1


# bad input


def with_A(A, b=None, lam=0.1):
    return lambda: ssnal(Lasso(A, torch.ones(2, dtype=F64) if b is None else b, lam))


OK = torch.ones(2, 3, dtype=F64)
BAD = [
    (with_A(OK * math.nan), ValueError, "A holds 6 NaN or infinite entries; all must be finite"),
    (with_A(OK[0]), ValueError, r"A and b have shapes \(3,\) and \(2,\); .*"),
    (with_A(OK, torch.ones(3, dtype=F64)), ValueError, r"A and b have shapes \(2, 3\) and .*"),
    (
        with_A(OK, torch.ones(2)),
        TypeError,
        "b has dtype torch.float32; A has torch.float64: one for all",
    ),
    (with_A(OK, lam=0.0), ValueError, r"lam is 0; it must be finite and in \(0, inf\]"),
    (lambda: ssnal(Lasso(OK, OK[:, 0], 0.1), tol=-1.0), ValueError, "tol is -1; .*"),
    (lambda: ssnal(Lasso(OK, OK[:, 0], 0.1, Groups(2))), ValueError, "x has 3 entries; groups .*"),
    (lambda: Groups(0), ValueError, "size is 0; it must be at least 1"),
    (lambda: next(admm(Lasso(OK, OK[:, 0], 0.1), 0.0)), ValueError, "rho is 0; .*"),
    (lambda: Downsample((10, 8), 4), ValueError, r"size is \(10, 8\); both must be multiples .*"),
    (lambda: Downsample((8, 8), 0), ValueError, "ratio is 0; it must be at least 1"),
    (lambda: keys_matrix(9, 2), ValueError, "n is 9; it must be a multiple of the ratio 2"),
    (lambda: up([1.0], 2), TypeError, "Z is a list; it must be a torch.Tensor"),
    (lambda: Spectral(OK[0], (2, 2)), ValueError, r"H has shape \(3,\); it must be a matrix .*"),
    (lambda: NewtonSR(K=0), ValueError, "K is 0; it must be at least 1"),
    (lambda: NewtonSR(ratio=1), ValueError, "ratio is 1; it must be at least 2"),
    (lambda: NewtonSR(cg=0), ValueError, "cg is 0; it must be at least 1"),
    (lambda: NewtonSR(alpha=-1.0), ValueError, r"alpha is -1; it must be finite and in \[0, inf\]"),
    (lambda: LearnedInverseSR(width=0), ValueError, "width is 0; it must be at least 1"),
    (lambda: network()(OK), TypeError, r"b is a Tensor; it must be a newton_sr.Pair\(Z, Y\)"),
    (lambda: network()(Pair(OK, OK)), ValueError, r"Z has shape \(2, 3\); it must be .*"),
    (
        lambda: network()(Pair(rand(1, 1, 3, 3), rand(1, 1, 8, 12))),
        ValueError,
        r"Y has shape \(1, 1, 8, 12\); it must be \(batch, 1, 12, 12\)",
    ),
    (
        lambda: network()(Pair(rand(2, 1, 3, 3), rand(1, 1, 12, 12))),
        ValueError,
        "Y has 1 rows of torch.float64; Z has 2 rows of torch.float64",
    ),
    (lambda: baselines.bicubic(OK, OK), ValueError, r"Z and Y have shapes .*"),
    (
        lambda: baselines.guided_tv(rand(1, 1, 3, 3), rand(1, 1, 8, 12)),
        ValueError,
        r"Z and Y have sizes \(3, 3\) and \(8, 12\); Y's must be a whole multiple of Z's",
    ),
    (
        lambda: baselines.guided_filter(rand(1, 1, 4, 4), rand(1, 3, 16, 16)),
        ValueError,
        "Y has 3 channels; this method takes a grey guide, one",
    ),
    (
        lambda: baselines.joint_bilateral(rand(1, 1, 1, 1), rand(1, 1, 4, 4)),
        ValueError,
        r"radius is 4; the image \(4, 4\) allows less",
    ),
    (lambda: conjugate_gradients(lambda x: x, OK, -1), ValueError, "steps is -1; it must be .*"),
    (
        lambda: newton_sr_training.Training(data="moon"),
        ValueError,
        "data is 'moon'; it must be one of planes, .*",
    ),
    (
        lambda: newton_sr_training.Training(curvature="hessian"),
        ValueError,
        "curvature is 'hessian'; it must be 'majorised' or 'clarke'",
    ),
    (
        lambda: newton_sr_training.Training(residual=-1.0),
        ValueError,
        r"residual is -1; it must be finite .*",
    ),
    (
        lambda: newton_sr_training.Training(fourier=math.nan),
        ValueError,
        "fourier is nan; it must be finite .*",
    ),
    (
        lambda: newton_sr_training.build(NewtonSR, 4, newton_sr_training.Training(cg=0)),
        ValueError,
        "cg is 0; it must be .*",
    ),
    (lambda: PlainSR(f=0), ValueError, "f is 0; it must be at least 1"),
    (lambda: PlainSR(ratio=1), ValueError, "ratio is 1; it must be at least 2"),
    (lambda: metrics.sam(OK, OK), ValueError, r"truth has shape \(2, 3\); it must be .*"),
    (
        lambda: metrics.ergas(rand(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)),
        ValueError,
        "truth has a band whose mean is 0; ERGAS divides by it",
    ),
    (lambda: scores.rmse(OK, OK), ValueError, "estimate and truth have shapes .*"),
    (lambda: data.planes(seeded(), side=1), ValueError, "side is 1; it must be at least 2"),
    (lambda: data.middlebury("all"), ValueError, "part is 'all'; it must be 'train' or 'test'"),
    (lambda: data.patches({}, 1, 8, seeded()), ValueError, r"scene \(none\) holds no patch .*"),
    (
        lambda: data.ill_conditioned(seeded(), 0.5),
        ValueError,
        r"condition is 0.5; it must be finite and in \[1, inf\]",
    ),
    (
        lambda: data.ill_conditioned(seeded(), 10, 4, 9, 3, 2),
        ValueError,
        "nonzeros is 3, n 9; both must be multiples of group 2",
    ),
]


@pytest.mark.parametrize(
    "call, error, says", BAD, ids=[re.sub(r"[\\.*]", "", s)[:40] for *_, s in BAD]
)
def test_bad_input_is_refused_in_one_line(call, error, says):
    refused(call, error, says)


def test_files_that_cannot_be_used_are_refused_in_one_line(tmp_path, monkeypatch):
    refused(lambda: data.read_pairs(tmp_path / "no"), ValueError, ".*no is no folder; it must .*")
    refused(lambda: data.read_pairs(tmp_path), ValueError, ".* holds no pair <name>_rgb, .*")
    write_pair(tmp_path, "one")
    refused(
        lambda: data.read_pairs(tmp_path, ["two"]), ValueError, ".* no pair two_rgb, two_gt; .*"
    )
    (tmp_path / "one_gt.bmp").write_bytes(b"nothing")
    refused(lambda: data.read_pairs(tmp_path), ValueError, r".*one_gt.bmp: cannot be read \(.*\)")
    np.save(tmp_path / "far.npy", np.full((4, 4), 7.5))
    says = ".* holds values from 7.5 to 7.5; .*"
    refused(lambda: data.read(tmp_path / "far.npy"), ValueError, says)
    np.save(tmp_path / "complex.npy", np.ones((4, 4), complex))
    refused(lambda: data.read(tmp_path / "complex.npy"), TypeError, ".* has dtype complex128; .*")
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    says = "wv2 is not here: put it into multimodal/wv2 of the folder DUNFOLD_DATA names"
    refused(lambda: data.required("wv2"), ValueError, says)


def test_solvers_that_do_not_arrive_say_so():
    problem = evaluation.lasso_problem(1e3, 0, 4)
    refused(
        lambda: ssnal(problem, outer=1), RuntimeError, r"KKT is \S+ at best in 1 steps; 1.0e-12 .*"
    )
    model, start = model_problem()
    refused(lambda: augmented_lagrangian(model, start, outer=1), RuntimeError, "KKT is .* asked .*")


def test_the_degradation_module_is_the_same_for_every_size():
    net = NewtonSR(ratio=4)
    like = torch.zeros(1, 1, 24, 32)
    assert torch.equal(net.A.at(like).high, downsampling.keys_matrix(24, 4).float())
    assert net.A.at(like) is net.A.at(like)


@pytest.mark.parametrize("shape", [(), (8, 8), (2, 1, 8, 8), (1, 1, 4, 8)])
def test_a_guide_of_another_size_than_the_truth_is_refused(shape):
    with pytest.raises(ValueError, match=r"Y has shape .*; it must be \(1, Cy, 8, 8\)"):
        downsampling.degraded(torch.zeros(1, 1, 8, 8), torch.zeros(shape), 4)
