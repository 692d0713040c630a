"""Chapter `sparse`: the lasso, its algorithms, and what the chapter proves about them."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dunfold_lib.operators import Matrix
from dunfold_lib.sparse import (
    duality_gap,
    extrapolated,
    figures_ista,
    fista,
    ista,
    lam_max,
    lasso,
    nesterov,
    objective,
    path,
    theory,
)
from dunfold_lib.sparse.data import SparseProblem, masked, photograph

ROUNDING = 1e-12  # of sums of a few hundred float64 terms of size one


def draw(seed, m=None, n=None):
    """A random lasso: sizes, scale, sparsity, noise and λ all differ."""
    g = np.random.default_rng(seed)
    m, n = m or int(g.integers(5, 40)), n or int(g.integers(5, 60))
    A = torch.from_numpy(g.normal(size=(m, n)) * 10 ** g.uniform(-1, 1))
    x = torch.from_numpy(g.normal(size=(1, n)) * (g.random((1, n)) < 0.3))
    A = Matrix(A)
    b = A(x) + 0.1 * torch.from_numpy(g.normal(size=(1, m)))
    return A, b, float(lam_max(A, b)) * 10 ** g.uniform(-2, -0.3)


@pytest.mark.slow
def test_the_bounds_hold_at_every_step_of_40_random_problems():
    for seed in range(40):
        A, b, lam = draw(seed)
        L, K = A.known_norm() ** 2, 600
        best = lasso(A, b, lam, gap=1e-13)
        low, distance = objective(A, b, lam, best.x) - best.gap, float(best.x.norm())
        slack = 1e-13 * float(objective(A, b, lam, 0 * best.x))  # rounding of F itself
        for solver, bound in ((ista, theory.ista_bound_lasso), (fista, theory.fista_bound)):
            xs = torch.cat(solver(A, b, lam, K))
            gap = (objective(A, b.expand(K + 1, -1), lam, xs) - low - best.gap).numpy()
            limit = np.array([bound(L, distance, k) for k in range(1, K + 1)])
            assert (gap[1:] <= limit + slack).all(), (seed, solver.__name__)
            if solver is ista:
                assert (np.diff(gap) <= slack).all(), seed


def worst(solver, k):
    """F(xᵏ) − F* of the lasso that is worst for k steps: λ|x₂|, which A = (1 0) does not see."""
    A, b = Matrix(torch.tensor([[1.0, 0.0]]).double()), torch.zeros(1, 1).double()
    start = torch.tensor([[0.0, 1.0]]).double()
    way = 1e6 - float(solver(A, b, 1.0, k, start=1e6 * start)[-1][0, 1])
    lam = 1 / (2 * way)
    return float(objective(A, b, lam, solver(A, b, lam, k, start=start)[-1]))


@pytest.mark.parametrize("k", [1, 2, 7, 30, 100])
def test_some_lasso_attains_the_bound_of_ista_and_comes_near_that_of_fista(k):
    """L = ‖x⁰ − x̂‖ = 1. The general bound is exactly twice what a lasso can reach."""
    assert worst(ista, k) == pytest.approx(theory.ista_bound_lasso(1.0, 1.0, k), rel=1e-9)
    assert theory.ista_bound(1.0, 1.0, k) == pytest.approx(2 * worst(ista, k), rel=1e-9)
    reached = worst(fista, k) / theory.fista_bound(1.0, 1.0, k)
    assert {1: 0.49, 2: 0.56, 7: 0.7, 30: 0.87, 100: 0.94}[k] < reached <= 1


@given(st.integers(0, 10**6), st.floats(1, 1.99))
def test_with_a_step_beyond_1_over_l_the_longer_bound_holds_and_f_falls(seed, share):
    A, b, lam = draw(seed)
    L, K = A.known_norm() ** 2, 60
    best = lasso(A, b, lam, gap=1e-12)
    xs = torch.cat(ista(A, b, lam, K, L=L / share))
    gap = (objective(A, b.expand(K + 1, -1), lam, xs) - objective(A, b, lam, best.x)).numpy()
    slack = 1e-12 * gap[0] + float(best.gap)
    assert (np.diff(gap) <= slack).all()
    size = float(best.x.norm())
    for k in range(1, K + 1):
        bound = theory.ista_bound_longer(share / L, L, size, float(gap[0]), k)
        assert gap[k] <= bound * (1 + 1e-9) + slack


def test_beyond_1_over_l_the_simple_bound_breaks_and_the_longer_one_has_no_value_from_2_on():
    """f = x²/2, t = 1.9, one step: x¹ = −0.9."""
    A, b = Matrix(torch.ones(1, 1).double()), torch.zeros(1, 1).double()
    x = ista(A, b, 0.0, 1, L=1 / 1.9, start=torch.ones_like(b))[-1]
    gap = float(objective(A, b, 0.0, x))
    assert gap == pytest.approx(0.405)
    assert theory.ista_bound(1 / 1.9, 1.0, 1) < gap < theory.ista_bound_longer(1.9, 1, 1, 0.5, 1)
    assert theory.ista_bound_longer(1.0, 1, 1, 0.5, 4) == theory.ista_bound(1, 1, 4)
    with pytest.raises(ValueError, match="t L is 2; it must be below 2"):
        theory.ista_bound_longer(2.0, 1, 1, 0.5, 1)


@pytest.mark.parametrize("momentum", ["none", "FISTA", "0.6"])
def test_every_bound_that_the_plane_draws_holds(momentum):
    for step in (0.1, 0.7, 1.0, 1.2, 1.9, 2.0, 2.2):
        for lam in (0.0, 0.2, 1.2):
            bound, gap = figures_ista.lasso_plane(step, lam, momentum)[1].lines
            drawn = bound.y[0] < figures_ista.NO_BOUND
            assert drawn == {"none": step < 2, "FISTA": step <= 1}.get(momentum, False)
            assert not drawn or (gap.y[1:] <= bound.y + 1e-12).all()


@given(st.integers(0, 10**6))
def test_one_step_of_ista_obeys_its_lemma(seed):
    """F(T(x)) ≤ F(z) + L/2‖z − x‖² − L/2‖z − T(x)‖², for any x and z."""
    A, b, lam = draw(seed)
    L = A.known_norm() ** 2
    g = torch.Generator().manual_seed(seed)
    x, z = torch.randn(2, 1, A.domain[0], generator=g, dtype=torch.float64)
    _, new = ista(A, b, lam, 1, start=x)
    left = objective(A, b, lam, new)
    right = objective(A, b, lam, z) + L / 2 * ((z - x).square() - (z - new).square()).sum()
    assert left <= right + ROUNDING * (1 + right.abs())


@pytest.mark.parametrize("solver", [ista, fista])
@pytest.mark.parametrize("m, n, lam", [(25, 50, 0.1), (60, 40, 0.05), (20, 20, 0.3)])
def test_ista_and_fista_end_where_cvxpy_does(solver, m, n, lam):
    problem = SparseProblem(m=m, n=n, snr_db=20, dtype=torch.float64)
    A = problem.operator()
    b, _ = problem.sample(A, 2, torch.Generator().manual_seed(3))
    x = solver(A, b, lam, 20_000)[-1]
    for row in range(2):
        v = cp.Variable(n)
        fit = 0.5 * cp.sum_squares(A.A.numpy() @ v - b[row].numpy())
        judge = cp.Problem(cp.Minimize(fit + lam * cp.norm1(v)))
        judge.solve("CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
        assert np.abs(x[row].numpy() - v.value).max() < 1e-6


@given(st.integers(0, 10**6))
def test_lasso_stops_at_a_point_that_satisfies_the_optimality_conditions(seed):
    A, b, lam = draw(seed)
    x = lasso(A, b, lam, gap=1e-14).x
    r, tolerance = A.T(b - A(x)), 1e-5 * lam
    on = x.abs() > 1e-7 * x.abs().max()
    assert ((r - lam * x.sign())[on].abs() <= tolerance).all()
    assert (r.abs() <= lam + tolerance).all()


@given(st.integers(0, 10**6))
def test_the_duality_gap_bounds_the_error_from_above_and_closes(seed):
    A, b, lam = draw(seed)
    best = lasso(A, b, lam, gap=1e-13)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(1, A.domain[0], generator=g, dtype=torch.float64)
    error = objective(A, b, lam, x) - objective(A, b, lam, best.x)
    assert duality_gap(A, b, lam, x) >= error * (1 - ROUNDING)
    r = b - A(x)  # the textbook form F(x) − D(ν), with its cancellation
    nu = r / max(1.0, float(A.T(r).abs().max()) / lam)
    dual = 0.5 * b.square().sum() - 0.5 * (b - nu).square().sum()
    torch.testing.assert_close(
        duality_gap(A, b, lam, x)[0], objective(A, b, lam, x)[0] - dual, rtol=1e-9, atol=1e-9
    )


@given(st.integers(0, 10**6))
def test_after_identification_the_error_shrinks_by_the_proven_rate(seed):
    A, b, lam = draw(seed, m=40, n=60)
    rough = lasso(A, b, lam, gap=1e-8).x
    on = rough[0] != 0
    if int(on.sum()) > 40:  # more non-zeros than rows: the theorem asks for full column rank
        return
    S = A.A[:, on]
    exact = torch.zeros_like(rough)  # the optimality conditions on the support, solved
    exact[0, on] = torch.linalg.solve(S.T @ S, S.T @ b[0] - lam * rough[0, on].sign())
    xs = ista(A, b, lam, 300, start=rough)
    rate = theory.local_rate(A.A, on, A.known_norm() ** 2)
    scale = float(exact.norm())
    error = [float((x - exact).norm()) / scale for x in xs]
    right = [bool((x.sign() == exact.sign()).all()) for x in xs]
    for k in range(300):
        if all(right[k:]) and error[k] > 1e-11:
            assert error[k + 1] <= rate * error[k] + 1e-14


def test_identification_is_the_last_change_of_signs():
    signs = [[1.0, 0.0], [1.0, -1.0], [0.0, -1.0], [1.0, -1.0], [2.0, -3.0]]
    assert theory.identification([torch.tensor([s]) for s in signs]) == 3
    assert theory.identification([torch.ones(1, 2)]) == 0


@given(st.integers(0, 10**6))
def test_small_lam_moves_the_truth_by_exactly_lam_d(seed):
    g = torch.Generator().manual_seed(seed)
    A = SparseProblem(m=60, n=90, seed=seed, dtype=torch.float64).operator()
    x = torch.zeros(1, 90, dtype=torch.float64)
    x[0, torch.randperm(90, generator=g)[:4]] = torch.tensor([1.0, -2.0, 1.5, -1.0]).double()
    if theory.sharpness(A.A, x[0]) >= 0.95:
        return
    d = theory.bias_direction(A.A, x[0])
    lam = 0.5 * float((x[0] / d)[x[0] != 0].abs().min())
    estimate = lasso(A, A(x), lam, gap=1e-15).x
    torch.testing.assert_close(estimate, x - lam * d, rtol=0, atol=1e-6)


def test_the_rate_of_an_empty_support_is_zero_and_of_a_dependent_one_is_one():
    A = torch.eye(2, 3, dtype=torch.float64)
    A[:, 2] = 1
    assert theory.local_rate(A, torch.zeros(3, dtype=torch.bool), 1.0) == 0
    assert theory.local_rate(A, torch.ones(3, dtype=torch.bool), 3.0) == 1


def test_lam_max_is_where_the_solution_leaves_zero(tiny):
    A, b, _ = tiny
    top = lam_max(A, b)[:, None]
    assert not lasso(A, b, top).x.any()
    assert (lasso(A, b, 0.999 * top, gap=1e-14).x != 0).any(1).all()


def test_a_warm_path_gives_the_cold_solutions_in_fewer_steps(tiny):
    A, b, _ = tiny
    lams = [float(lam_max(A, b).max()) * 0.8**i for i in range(15)]
    warm, cold = path(A, b, lams, 1e-13), path(A, b, lams, 1e-13, warm=False)
    for u, v in zip(warm, cold, strict=True):
        torch.testing.assert_close(u.x, v.x, rtol=0, atol=1e-5)
    assert sum(s.iterations for s in warm) < sum(s.iterations for s in cold)


def test_momentum_follows_beck_and_teboulle():
    """y¹ = x⁰ and yᵏ⁺¹ = xᵏ + (tᵏ − 1)/tᵏ⁺¹ (xᵏ − xᵏ⁻¹) with t¹ = 1, written out."""
    t, betas = 1.0, [0.0]
    for _ in range(9):
        after = (1 + (1 + 4 * t * t) ** 0.5) / 2
        betas.append((t - 1) / after)
        t = after
    assert nesterov(10) == pytest.approx(betas, abs=1e-15)
    assert nesterov(0) == []
    assert nesterov(1) == [0.0]


def test_without_momentum_extrapolated_is_ista(tiny):
    A, b, _ = tiny
    for x, y in zip(ista(A, b, 0.1, 9), extrapolated(A, b, 0.1, [0.0] * 9), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("solver", [ista, fista])
def test_rows_do_not_talk_to_each_other(solver, tiny):
    A, b, _ = tiny
    alone = torch.cat([solver(A, b[i : i + 1], 0.1, 30)[-1] for i in range(len(b))])
    torch.testing.assert_close(solver(A, b, 0.1, 30)[-1], alone, rtol=0, atol=1e-12)


def test_one_lam_a_row_is_one_problem_a_row(tiny):
    A, b, _ = tiny
    lams = torch.tensor([[0.05], [0.1], [0.2], [0.4]], dtype=torch.float64)
    together = ista(A, b, lams, 30)[-1]
    alone = [ista(A, b[i : i + 1], float(lams[i]), 30)[-1] for i in range(4)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        objective(A, b, lams, together),
        torch.cat([objective(A, b[i : i + 1], float(lams[i]), alone[i]) for i in range(4)]),
    )


def test_solvers_keep_dtype_and_leave_their_arguments_alone(tiny):
    A, b, _ = tiny
    start = torch.ones(4, 20, dtype=torch.float64)
    before = b.clone()
    assert ista(A, b, 0.1, 5, start=start)[0] is start
    assert torch.equal(start, torch.ones_like(start))
    assert torch.equal(b, before)
    assert fista(Matrix(A.A.float()), b.float(), 0.1, 5)[-1].dtype == torch.float32


def test_zero_steps_give_the_start_alone(tiny):
    A, b, _ = tiny
    assert len(ista(A, b, 0.1, 0)) == len(fista(A, b, 0.1, 0)) == 1


def test_a_measurement_of_zero_is_solved_by_zero(tiny):
    A, b, _ = tiny
    assert lasso(A, 0 * b, 0.1).iterations == 0


def test_a_solver_that_cannot_reach_its_gap_says_how_far_it_got(tiny):
    A, b, _ = tiny
    with pytest.raises(RuntimeError, match=r"gap is .* after 20 steps; 3.0e-16 was asked for"):
        lasso(A, b, 0.01, gap=3e-16, limit=20)


def test_the_problem_is_the_papers():
    """Unit columns, one entry in ten, N(0, 1) values, the noise level asked for, in each row."""
    problem = SparseProblem(snr_db=20, dtype=torch.float64)
    A = problem.operator()
    torch.testing.assert_close(A.A.norm(dim=0), torch.ones(500, dtype=torch.float64))
    b, x = problem.sample(A, 400, torch.Generator().manual_seed(0))
    assert (x != 0).double().mean().item() == pytest.approx(0.1, abs=0.003)
    assert x[x != 0].std().item() == pytest.approx(1, abs=0.02)
    snr = 20 * (A(x).std(dim=1) / (b - A(x)).std(dim=1)).log10()
    assert snr.mean().item() == pytest.approx(20, abs=0.1)
    assert snr.std().item() < 0.5  # 250 samples of noise a row
    clean, same = SparseProblem(dtype=torch.float64).sample(
        A, 400, torch.Generator().manual_seed(0)
    )
    assert torch.equal(x, same)
    assert torch.equal(clean, A(x))


def test_a_seed_names_one_matrix_in_both_precisions():
    wide = SparseProblem(seed=5, dtype=torch.float64).operator().A
    assert torch.equal(SparseProblem(seed=5).operator().A, wide.float())
    assert not torch.equal(SparseProblem(seed=6).operator().A, wide.float())


def test_a_photograph_comes_back_better_than_it_was_measured():
    """FISTA in wavelets gains at least 2 dB over the measurement, half of the pixels."""
    truth = photograph(256)
    A, b = masked(truth, 0.5, 0)
    before = (b - truth).square().mean()
    after = (A.inner(fista(A, b, 0.003, 60)[-1]) - truth).square().mean()
    assert 10 * (before / after).log10() > 2


def test_a_dictionary_of_ones_own_is_used_as_it_is():
    A = torch.randn(6, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    problem = SparseProblem(A=A, dtype=torch.float64)
    before = A.clone()
    A += 1
    assert (problem.m, problem.n) == (6, 9)
    assert torch.equal(problem.operator().A, before)
    b, x = problem.sample(problem.operator(), 4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(b, x @ before.T)
    assert problem == SparseProblem(A=before, dtype=torch.float64)
    assert problem != SparseProblem(A=before + 1, dtype=torch.float64)
    assert problem != SparseProblem(m=6, n=9, dtype=torch.float64)
    for wrong, says in (
        (before * torch.tensor([0.0] + [1.0] * 8), "A has a column of zeros; .*"),
        (before[0], r"A has shape \(9,\); .*"),
        (before * float("nan"), "A holds 54 NaN or infinite entries; .*"),
    ):
        with pytest.raises(ValueError, match=f"^{says}$"):
            SparseProblem(A=wrong)
    with pytest.raises(ValueError, match=r"^condition is 5; one's own A has its condition$"):
        SparseProblem(A=before, condition=5)
