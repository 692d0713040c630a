"""Chapter `newton_sr`: semi-smooth Newton on the lasso and on guided super-resolution; networks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shared_newton_sr import F64, Orthonormal, network, pair, rand, randn

from dunfold_lib.newton_sr import jacobians
from dunfold_lib.newton_sr.algorithm import Problem
from dunfold_lib.newton_sr.downsampling import Downsample, Spectral, keys_matrix, up
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
from dunfold_lib.newton_sr.model import Filters, NewtonSR, Response
from dunfold_lib.operators import norm
from dunfold_lib.solvers import conjugate_gradients


def inner_problem(kind=NewtonSR, stage=1, side=12, **sizes):
    """(problem, U): the inner problem that a network meets in a stage, and the image there."""
    net, b = network(kind, **sizes), pair(1, side, sizes.get("ratio", 4), sizes.get("channels", 1))
    with torch.no_grad():
        x = list(net.states(b, stage))[-1]
        problem = net.requires_grad_(False).problem(stage, x, b)
    return problem, x.U


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
