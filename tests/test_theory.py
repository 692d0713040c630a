"""Coherence, the weights that come from A alone, and the theorems of LISTA-CP and ALISTA."""

from functools import cache

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from dunfold_lib.prox import soft_select
from dunfold_lib.sparse import ALISTA, LISTA, LISTACP, theory
from dunfold_lib.sparse.data import SparseProblem

STEPS = (0.25, 0.5, 0.75, 1.0, 1.25)


@cache
def matrix(m, n, seed=0):
    """A Gaussian operator of unit columns in float64."""
    return SparseProblem(m=m, n=n, seed=seed, dtype=torch.float64).operator()


@cache
def certificate(m, n, gap=1e-2):
    return theory.generalised_coherence(matrix(m, n).A, gap)


def weights(kind, m, n):
    """W with w_iᵀa_i = 1 by linear programme, by quadratic programme, or A itself."""
    A = matrix(m, n).A
    if kind == "A":
        return A
    return certificate(m, n).W if kind == "LP" else theory.analytic_weights(A)


def off_diagonal(W, A):
    gram = W.T @ A
    return gram - torch.diag(gram.diag())


# the analytic weights


@pytest.mark.parametrize("m, n", [(25, 50), (60, 120), (250, 500), (20, 20)])
def test_analytic_weights_have_a_diagonal_of_ones_and_the_stated_objective(m, n):
    A = matrix(m, n).A
    W = theory.analytic_weights(A)
    assert ((W * A).sum(0) - 1).abs().max() < 1e-10
    leverage = (A * torch.linalg.solve(A @ A.T, A)).sum(0)
    assert float(leverage.sum()) == pytest.approx(m, rel=1e-9)
    objective = float((W.T @ A).square().sum())
    assert objective == pytest.approx(float((1 / leverage).sum()), rel=1e-9)


@given(st.integers(0, 10**6))
def test_no_change_that_keeps_the_diagonal_improves_the_analytic_weights(seed):
    g = torch.Generator().manual_seed(seed)
    A = matrix(12, 20, seed % 5).A
    W = theory.analytic_weights(A)
    D = torch.randn(12, 20, generator=g, dtype=torch.float64)
    D = D - A * (D * A).sum(0)  # unit columns: D has diag(DᵀA) = 0
    least, norm = (W.T @ A).square().sum(), (D.T @ A).square().sum()
    for size in (1e-3, 1.0):
        rise = ((W + size * D).T @ A).square().sum() - least
        torch.testing.assert_close(rise, size**2 * norm, rtol=1e-6, atol=1e-9)


def test_analytic_weights_are_what_cvxpy_finds():
    A = matrix(25, 50).A.numpy()
    V, L = cp.Variable((25, 50)), np.linalg.cholesky(A @ A.T)
    judge = cp.Problem(
        cp.Minimize(cp.sum_squares(L.T @ V)), [cp.sum(cp.multiply(A, V), axis=0) == 1]
    )
    judge.solve("CLARABEL")
    assert np.abs(theory.analytic_weights(torch.from_numpy(A)).numpy() - V.value).max() < 1e-6


def test_analytic_weights_keep_the_dtype_and_are_solved_in_float64():
    A = SparseProblem(m=50, n=100, condition=1000).operator().A
    W = theory.analytic_weights(A)
    assert W.dtype == torch.float32
    torch.testing.assert_close(W, theory.analytic_weights(A.double()).float(), rtol=0, atol=0)


def test_analytic_weights_refuse_dependent_rows():
    A = matrix(12, 20).A.clone()
    A[1] = A[0]
    with pytest.raises(ValueError, match=r"\(12, 20\) and rank 11 at the tolerance"):
        theory.analytic_weights(A)


# coherence


def test_coherence_of_a_matrix_written_out():
    A = torch.tensor([[1.0, 0.0, 0.6], [0.0, 1.0, 0.8]])
    assert theory.coherence(A, A) == pytest.approx(0.8)
    assert theory.rms_coherence(A, A) == pytest.approx(((0.36 + 0.64) * 2 / 6) ** 0.5)
    W = A * torch.tensor([2.0, -1.0, 5.0])  # columns are scaled to w_iᵀa_i = 1 first
    assert theory.coherence(W, A) == pytest.approx(0.8)
    assert theory.rms_coherence(W, A) == pytest.approx(theory.rms_coherence(A, A))


def test_the_certificate_encloses_the_exact_linear_programmes():
    A = matrix(15, 30).A
    exact = max(theory.column_coherence(A, i) for i in range(30))
    found = theory.generalised_coherence(A, 1e-7)
    assert found.upper - found.lower <= 1e-7 * found.upper
    assert found.lower <= exact * (1 + 1e-9)
    assert exact <= found.upper * (1 + 1e-9)
    assert ((found.W * A).sum(0) - 1).abs().max() < 1e-10
    assert float(off_diagonal(found.W, A).abs().max()) == pytest.approx(found.upper, rel=1e-9)


@pytest.mark.parametrize("column", [0, 7, 41])
def test_the_linear_programme_of_a_column_equals_its_dual_basis_pursuit(column):
    """μ̃_i = 1/min{‖u‖₁ : A_{−i}u = a_i}, u split into its positive and negative part."""
    A = matrix(50, 100).A
    a = A.numpy()
    rest = np.delete(a, column, axis=1)
    dual = linprog(np.ones(198), A_eq=np.c_[rest, -rest], b_eq=a[:, column], method="highs")
    assert theory.column_coherence(A, column) == pytest.approx(1 / dual.fun, rel=1e-7)


@settings(max_examples=25)
@given(st.integers(4, 12), st.integers(2, 14), st.integers(0, 10**6))
def test_coherences_stand_in_their_order(m, more, seed):
    A = SparseProblem(m=m, n=m + more, seed=seed, dtype=torch.float64).operator().A
    found = theory.generalised_coherence(A, 1e-2)
    W, slack = theory.analytic_weights(A), 1 + 1e-9
    assert theory.welch_bound(m, m + more) <= found.upper * slack
    assert found.lower <= found.upper * slack
    assert found.lower <= theory.coherence(W, A) * slack
    assert found.lower <= theory.coherence(A, A) * slack
    least = theory.rms_coherence(W, A)
    assert least <= theory.rms_coherence(found.W, A) * slack
    assert least <= theory.rms_coherence(A, A) * slack


def test_a_regular_simplex_meets_the_welch_bound():
    Q = torch.linalg.qr(torch.ones(5, 1, dtype=torch.float64), mode="complete").Q[:, 1:]
    A = (Q / Q.norm(dim=1, keepdim=True)).T  # 4 × 5, all inner products −1/4
    assert theory.welch_bound(4, 5) == pytest.approx(0.25)
    assert theory.coherence(A, A) == pytest.approx(0.25)
    found = theory.generalised_coherence(A, 1e-9)
    assert found.lower == pytest.approx(0.25, rel=1e-8)
    assert found.upper == pytest.approx(0.25, rel=1e-8)


def test_a_gap_that_is_not_reached_says_how_far_it_got():
    with pytest.raises(RuntimeError, match=r"μ̃ is in \[0\.\d+, 0\.\d+\] after 50 steps; gap 1e-09"):
        theory.generalised_coherence(matrix(15, 30).A, 1e-9, limit=50)


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


def signals(n, s, rows, seed=0):
    """s-sparse rows with |x_i| ≤ 1: half at the extremes ±1, half anywhere between."""
    g = torch.Generator().manual_seed(seed)
    x = torch.zeros(rows, n, dtype=torch.float64)
    value = 2 * torch.rand(rows, s, generator=g, dtype=torch.float64) - 1
    value[::2] = value[::2].sign()
    on = torch.stack([torch.randperm(n, generator=g)[:s] for _ in range(rows)])
    return x.scatter(1, on, value)


def proven(Network, A, W, mu, s, gamma, K, noise=0.0):
    """A network with the thresholds of the theorem, and the bounds it promises."""
    E = theory.error_bounds(mu, s, gamma, 1.0, K, noise)
    net = Network(A, K, W=W)
    with torch.no_grad():
        if Network is ALISTA:
            net.gamma.fill_(gamma)
        net.theta.copy_(torch.tensor([gamma * (mu * e + noise) * (1 + 1e-9) for e in E[:K]]))
    return net, E


def errors(net, b, x):
    """‖xᵏ − x*‖₁ of every row (rows) for each layer."""
    with torch.no_grad():
        return [(y - x).abs().sum(1) for y in net.iterates(b)]


SIZE = (200, 240)  # certifies s = 2 with A, 4 with the quadratic, 10 with the linear programme


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


def test_beyond_the_certified_sparsity_the_bound_grows_and_the_error_stays():
    A, W = matrix(*SIZE), weights("QP", *SIZE)
    mu = theory.coherence(W, A.A)
    s = 5 * theory.certified_sparsity(mu)
    net, E = proven(ALISTA, A, W, mu, s, 1.0, 60)
    x = signals(SIZE[1], s, 20)
    assert E[-1] > 1e3 * E[0]
    assert (errors(net, A(x), x)[-1] > 1).all()


@pytest.mark.parametrize("kind", ["LP", "QP", "A"])
def test_past_the_largest_step_the_bound_grows_and_the_error_stays(kind):
    A, W = matrix(*SIZE), weights(kind, *SIZE)
    mu = theory.coherence(W, A.A)
    net, E = proven(ALISTA, A, W, mu, 2, 1.05 * theory.largest_step(mu, 2), 60)
    x = signals(SIZE[1], 2, 20)
    assert E[-1] > 2 * E[0]
    assert (errors(net, A(x), x)[-1] > 0.1).all()


@pytest.mark.parametrize("kind", ["LP", "QP", "A"])
@pytest.mark.parametrize("sigma", [1e-2, 1e-5])
def test_lista_cp_with_noise_has_no_false_positives_and_keeps_its_bound(kind, sigma):
    """Chen et al. 2018, theorem 2, noise measured in ℓ1: ‖Wᵀε‖_∞ ≤ max|W| ‖ε‖₁."""
    A, W = matrix(*SIZE), weights(kind, *SIZE)
    mu = theory.coherence(W, A.A)
    for s in range(2, theory.certified_sparsity(mu) + 1):
        x = signals(SIZE[1], s, 40, seed=s)
        e = torch.randn(40, SIZE[0], generator=torch.Generator().manual_seed(s)).double()
        e *= sigma / e.abs().sum(1, keepdim=True)
        noise = float(W.abs().max()) * sigma
        net, E = proven(LISTACP, A, W, mu, s, 1.0, 60, noise)
        with torch.no_grad():
            for y, bound in zip(net.iterates(A(x) + e), E, strict=True):
                assert not (y[x == 0]).any()
                assert ((y - x).abs().sum(1) <= bound * (1 + 1e-9)).all()
        assert E[-1] < E[0]


def test_thresholds_that_forget_the_noise_let_false_positives_through():
    A, W = matrix(*SIZE), weights("LP", *SIZE)
    mu = theory.coherence(W, A.A)
    net, _ = proven(LISTACP, A, W, mu, 2, 1.0, 40)
    x, sigma = signals(SIZE[1], 2, 40), 1e-2
    e = torch.randn(40, SIZE[0], generator=torch.Generator().manual_seed(0)).double()
    y = net(A(x) + sigma * e / e.abs().sum(1, keepdim=True)).detach()
    assert y[x == 0].any()


@pytest.mark.parametrize("kind", ["LP", "QP", "A"])
def test_without_a_threshold_the_iteration_diverges(kind):
    """Since I − WᵀA has a spectral radius above 1; a norm above 1 would not prove it."""
    A, W = matrix(60, 120), weights(kind, 60, 120)
    radius = theory.spectral_radius(W, A.A)
    assert radius > 1.05
    x = signals(120, 2, 10)
    error = errors(ALISTA(A, 200, 0.0, W), A(x), x)
    assert (error[-1] > 1e3 * error[0]).all()
    growth = (error[-1] / error[-41]).log().mean() / 40  # the radius is what it grows by
    assert float(growth) == pytest.approx(np.log(radius), rel=0.05)


def test_a_norm_above_1_alone_does_not_make_an_iteration_diverge():
    """I − WᵀA = [[0, 2], [0, 0]]: norm 2, radius 0, zero after two steps."""
    A, W = torch.eye(2).double(), torch.tensor([[1.0, 0.0], [-2.0, 1.0]]).double()
    expands = torch.eye(2).double() - W.T @ A
    assert torch.linalg.matrix_norm(expands, 2) == pytest.approx(2)
    assert theory.spectral_radius(W, A) == 0
    assert not (expands @ expands).any()


def test_once_the_thresholds_fall_below_rounding_the_proven_network_diverges():
    """The theorem holds in exact arithmetic; the bound promises 1e-50 where round-off has grown."""
    A, W = matrix(60, 120), weights("LP", 60, 120)
    mu = theory.coherence(W, A.A)
    net, E = proven(ALISTA, A, W, mu, 2, 1.0, 250)
    x = signals(120, 2, 20)
    error = torch.stack(errors(net, A(x), x)).amax(1)
    assert E[-1] < 1e-50
    assert error[:60].min() < 1e-14
    assert error[-1] > 1


def test_off_the_coupling_the_error_does_not_go_to_zero():
    """Contrapositive of Chen et al. 2018, theorem 1: W2 must tend to I − W1 A, also where θ → 0."""
    A, W = matrix(*SIZE), weights("LP", *SIZE)
    mu = theory.coherence(W, A.A)
    coupled, E = proven(LISTA, A, W, mu, 2, 1.0, 40)
    x = signals(SIZE[1], 2, 20)
    D = torch.randn(240, 240, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    D *= 0.05 / torch.linalg.matrix_norm(D, 2)
    assert errors(coupled, A(x), x)[-1].max() < 1e-12
    with torch.no_grad():
        for W2 in coupled.W2:
            W2 += D
    after = errors(coupled, A(x), x)
    assert E[20] < 1e-10
    assert (after[20] > 1e-3).all()
    assert (after[40] > 1e-3).all()


def test_a_lista_starts_from_the_coupling_exactly():
    A, W = matrix(50, 100), weights("QP", 50, 100)
    net = LISTA(A, 2, W=W)
    for W1, W2 in zip(net.W1, net.W2, strict=True):
        eye = torch.eye(100, dtype=torch.float64)
        assert (W2 - eye + W1 @ A.A).abs().max() < 1e-14
