"""Of theory: bounds."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared_theory import SIZE, errors, matrix, proven, signals, weights

from dunfold_lib.prox import soft_select
from dunfold_lib.sparse import ALISTA, theory

STEPS = (0.25, 0.5, 0.75, 1.0, 1.25)


# what the theorems ask for


def test_the_certified_sparsity_is_the_largest_below_its_edge():
    for s in range(1, 25):
        edge = 1 / (2 * s - 1)  # s = (1 + 1/μ)/2: a strict inequality, so s itself is out
        assert theory.certified_sparsity(edge) == s - 1
        assert theory.certified_sparsity(edge * (1 + 1e-12)) == s - 1
        assert theory.certified_sparsity(edge * (1 - 1e-12)) == s
    assert theory.certified_sparsity(0.5) == 1
    assert theory.certified_sparsity(2.0) == 0


@given(st.floats(0.01, 1), st.integers(1, 60), st.floats(0.01, 2.5))
def test_a_layer_contracts_exactly_inside_the_theorems_limits(mu, s, gamma):
    factor, limit = theory.contraction(mu, s, gamma), theory.largest_step(mu, s)
    if s <= theory.certified_sparsity(mu) and gamma < limit * (1 - 1e-9):
        assert factor < 1
    if gamma > limit * (1 + 1e-9) or s > theory.certified_sparsity(mu) + 1:
        assert factor >= 1


@given(st.floats(0.01, 0.3), st.integers(1, 60))
def test_at_the_largest_step_a_layer_gains_nothing(mu, s):
    limit = theory.largest_step(mu, s)
    if s <= theory.certified_sparsity(mu):  # then the limit is above 1
        assert theory.contraction(mu, s, limit) == pytest.approx(1, abs=1e-12)


def test_error_bounds_are_their_recursion_and_end_at_the_noise_floor():
    mu, s, sigma = 0.1, 3, 0.01
    E = theory.error_bounds(mu, s, 0.8, 2.0, 2, sigma)
    factor = (2 * mu * s - mu) * 0.8 + 0.2
    first = factor * 6.0 + 2 * 3 * 0.8 * sigma
    assert pytest.approx([6.0, first, factor * first + 4.8 * sigma]) == E
    floor = 2 * s * sigma / (1 + mu - 2 * mu * s)  # C σ of Chen et al. 2018, theorem 2
    assert theory.error_bounds(mu, s, 1.0, 2.0, 500, sigma)[-1] == pytest.approx(floor)


@pytest.mark.parametrize("gamma", STEPS)
@pytest.mark.parametrize("kind", ["LP", "QP", "A"])
def test_alista_stays_in_the_support_and_below_the_proven_error_at_every_layer(kind, gamma):
    """Liu et al. 2019, theorem 1, in each certified sparsity from 2."""
    A, W = matrix(*SIZE), weights(kind, *SIZE)
    mu = theory.coherence(W, A.A)
    most = theory.certified_sparsity(mu)
    assert most >= 2
    for s in range(2, most + 1):
        step = min(gamma, 0.99 * theory.largest_step(mu, s))
        net, E = proven(ALISTA, A, W, mu, s, step, 60)
        x = signals(SIZE[1], s, 40, seed=s)
        with torch.no_grad():
            for y, bound in zip(net.iterates(A(x)), E, strict=True):
                if bound < 1e-10:
                    break
                assert not (y[x == 0]).any()
                assert ((y - x).abs().sum(1) <= bound * (1 + 1e-12)).all()


@pytest.mark.parametrize("s", [2, 4, 6])
def test_the_theorem_holds_with_another_random_step_in_each_layer(s):
    """γᵏ anywhere in (0, γ_max), as ALISTA learns them; ‖xᵏ − x*‖₂ ≤ sB exp(−c⁰ − … − cᵏ⁻¹)."""
    A, W = matrix(*SIZE), weights("LP", *SIZE)
    mu, K = theory.coherence(W, A.A), 40
    g, most = np.random.default_rng(s), theory.largest_step(mu, s)
    steps = list(g.uniform(0.02, 0.98, K) * most)
    E = theory.error_bounds(mu, s, steps, 1.0, K)
    c = theory.exponents(E)
    assert all(v > 0 for v in c)
    assert E[K] == pytest.approx(s * np.exp(-np.sum(c)), rel=1e-12)
    factors = [(2 * mu * s - mu) * step + abs(1 - step) for step in steps]
    assert np.exp(-np.array(c)) == pytest.approx(factors)
    net = ALISTA(A, K, W=W)
    with torch.no_grad():
        net.gamma.copy_(torch.tensor(steps))
        theta = [step * mu * e * (1 + 1e-9) for step, e in zip(steps, E, strict=False)]
        net.theta.copy_(torch.tensor(theta))
    x, worst = signals(SIZE[1], s, 200, seed=s), 0.0
    with torch.no_grad():
        for y, bound in zip(net.iterates(A(x)), E, strict=True):
            if bound < 1e-10:
                break
            assert not y[x == 0].any()
            error = (y - x).abs().sum(1).max()
            assert error <= bound * (1 + 1e-12)
            worst = max(worst, float(error / bound))
    assert worst > 0.99  # at k = 0 the bound is attained


def test_steps_are_one_for_all_layers_or_one_for_each():
    one = theory.error_bounds(0.1, 3, 0.8, 2.0, 3, 0.01)
    assert theory.error_bounds(0.1, 3, [0.8, 0.8, 0.8], 2.0, 3, 0.01) == one
    with pytest.raises(ValueError, match="gamma has 2 numbers; there are 3 layers"):
        theory.error_bounds(0.1, 3, [0.8, 0.8], 2.0, 3)


@pytest.mark.parametrize("trusted", [1, 3, 9])
@pytest.mark.parametrize("sigma", [0.0, 1e-3])
def test_support_selection_keeps_the_better_bound_that_it_is_promised(trusted, sigma):
    """After Chen et al. 2018, theorem 3: entries above twice the threshold are not shrunk."""
    A, W, s, K = matrix(*SIZE), weights("LP", *SIZE), 4, 40
    mu = theory.coherence(W, A.A)
    x = signals(SIZE[1], s, 60, seed=1)
    x = x.sign() * (0.6 + 0.4 * x.abs())
    e = sigma * torch.randn(60, SIZE[0], generator=torch.Generator().manual_seed(0)).double()
    noise = float((e @ W).abs().max())
    E = theory.selected_bounds(mu, s, 1.0, 0.6, [trusted] * K, noise)
    plain = theory.error_bounds(mu, s, 1.0, 1.0, K, noise)
    assert all(a <= b for a, b in zip(E, plain, strict=True))
    y = torch.zeros_like(x)
    for k in range(K):
        if E[k] < 1e-10:
            break
        assert not y[x == 0].any()
        assert (y - x).abs().sum(1).max() <= E[k] * (1 + 1e-12)
        theta = (mu * E[k] + noise) * (1 + 1e-9)
        y = soft_select(y - (y @ A.A.T - x @ A.A.T - e) @ W, theta, trusted)
    q = min(trusted, s)
    if sigma:
        floor = (2 * s - q) * noise / (1 + mu - 2 * mu * s + q * mu)
        assert E[-1] == pytest.approx(floor, rel=1e-6)
        assert E[-1] < plain[-1]
    else:
        assert E[-1] / E[-2] == pytest.approx(2 * mu * s - mu - q * mu)


def test_selection_helps_only_once_the_thresholds_have_passed_half_the_smallest_entry():
    mu, s = 0.1, 3
    plain = theory.error_bounds(mu, s, 1.0, 1.0, 4)  # 3, 1.5, .75, ...: 2θ is .6, .3, .15
    assert theory.selected_bounds(mu, s, 1.0, 0.29, [3] * 2)[2] == pytest.approx(plain[2])
    assert theory.selected_bounds(mu, s, 1.0, 0.31, [3] * 2)[2] == pytest.approx(0.2 * plain[1])
    assert theory.selected_bounds(mu, s, 1.0, 0.0, [3] * 4) == pytest.approx(plain)


def rare_signals(s=2, n=120, draws=2000):
    """Signals of s non-zeros, uniform in [−1, 1]."""
    g = torch.Generator().manual_seed(0)
    on = torch.stack([torch.randperm(n, generator=g)[:s] for _ in range(draws)])
    values = 2 * torch.rand(draws, s, generator=g, dtype=torch.float64) - 1
    return torch.zeros(draws, n, dtype=torch.float64).scatter(1, on, values)


def test_the_lower_bound_holds_on_the_share_of_signals_that_it_promises():
    """No entry returns, so ‖xᵏ − x*‖ ≥ ε‖x*‖exp(−c̄k) with probability 1 − v_s(ε√s)^s; v₂ = π."""
    A, W, s, gamma, K = matrix(60, 120), weights("LP", 60, 120), 2, 0.9, 6
    mu = theory.coherence(W, A.A)
    gain = min(theory.smallest_gain(W, A.A, gamma), 1 - gamma)
    c, epsilon = theory.steepest(gain), 0.1
    net, _ = proven(ALISTA, A, W, mu, s, gamma, K)
    x, before = rare_signals(s), torch.zeros(1, dtype=torch.bool)
    with torch.no_grad():
        for k, y in enumerate(net.iterates(A(x))):
            size = np.exp(-c * k) * epsilon * x.norm(dim=1)
            share = float(((y - x).norm(dim=1) >= size).double().mean())
            assert share >= 1 - np.pi * (epsilon * s**0.5) ** s
            assert not bool((before & (y == 0)).any())
            before = y != 0


def test_the_lower_bounds_slope_is_nearly_attained():
    """One entry, orthonormal columns, no threshold: the error is σ̄ᵏ|x*|, above (σ̄/2)ᵏ|x*|."""
    error = 0.1 ** np.arange(9)
    line = lambda slope: 0.99 * np.exp(-slope * np.arange(9))
    assert (error >= line(theory.steepest(0.1))).all()
    assert not (error >= line(theory.steepest(0.1) / 1.5)).all()
    assert theory.steepest(0.5) == pytest.approx(np.log(4))


def test_the_errors_map_has_the_determinant_of_the_lower_bounds_proof():
    """|det Mₖ| is the product of the determinants of I − γW_NᵀA_N on the non-zeros N of a layer."""
    A, W, gamma, K = matrix(60, 120), weights("LP", 60, 120), 0.9, 4
    net, _ = proven(ALISTA, A, W, theory.coherence(W, A.A), 2, gamma, K)
    B = torch.eye(120, dtype=torch.float64) - gamma * W.T @ A.A
    late = 0
    for x in rare_signals(draws=40):
        on = x.nonzero()[:, 0]
        error = lambda v, x=x, on=on: net(A(x.scatter(0, on, v)[None]))[0, on] - v
        M = torch.autograd.functional.jacobian(error, x[on])
        product = 1.0
        for y in net.iterates(A(x[None]))[1:]:
            N = y[0].nonzero()[:, 0]
            product *= float(torch.linalg.det(B[N][:, N])) if len(N) else 1.0
            late += len(N) == 1
        assert abs(float(torch.linalg.det(M))) == pytest.approx(abs(product), rel=1e-8)
    assert late >= 5  # layers in which one of the two is still zero


def test_the_smallest_gain_is_that_of_the_worst_pair_of_columns():
    A, W = matrix(12, 20).A, weights("QP", 12, 20)
    B = torch.eye(20, dtype=torch.float64) - 0.9 * W.T @ A
    pairs = [(i, j) for i in range(20) for j in range(i)]
    least = min(float(torch.linalg.svdvals(B[[i, j]][:, [i, j]])[-1]) for i, j in pairs)
    assert theory.smallest_gain(W, A, 0.9) == pytest.approx(least, rel=1e-6)


def test_the_promise_of_the_theorem_is_not_loose():
    """With s = 2 the worst of many signals comes within a third of the bound, layer by layer."""
    A, W = matrix(*SIZE), weights("LP", *SIZE)
    mu = theory.coherence(W, A.A)
    net, E = proven(ALISTA, A, W, mu, 2, 1.0, 6)
    x = signals(SIZE[1], 2, 400)
    for error, bound in zip(errors(net, A(x), x), E, strict=True):
        assert error.max() >= 0.67 * bound
