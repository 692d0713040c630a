"""What holds of the functions in exercises.py, of the pages sparse/ista and sparse/ista_bounds."""

from itertools import pairwise

import pytest
import torch

from dunfold_lib.operators import Matrix
from dunfold_lib.sparse import extrapolated, fista, lasso, nesterov, objective, theory
from dunfold_lib.sparse.data import SparseProblem

from . import exercises


def problem(m=12, n=20, p=0.15, rows=4):
    """(A, b, x*): a matrix, and what it makes of sparse signals."""
    problem = SparseProblem(m=m, n=n, p=p, dtype=torch.float64)
    A = problem.operator()
    return A, *problem.sample(A, rows, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_largest_stable_step_is_where_the_algorithm_begins_to_leave(beta):
    limit = exercises.largest_stable_step(beta)
    A, b = Matrix(torch.eye(1, dtype=torch.float64)), torch.zeros(1, 1, dtype=torch.float64)
    ends = [
        float(extrapolated(A, b, 0.0, [beta] * 2000, L=1 / t, start=torch.ones_like(b))[-1].abs())
        for t in (0.97 * limit, 1.03 * limit)
    ]
    assert ends[0] < 1e-3, "a step 3 % below it does not converge"
    assert ends[1] > 1e3, "a step 3 % above it converges"


@pytest.mark.parametrize("a", [2, 3, 10])
def test_momentum_begins_with_none_and_rises_towards_one(a):
    betas = exercises.momentum(a, 400)
    assert len(betas) == 400
    assert betas[0] == 0
    assert all(u <= v < 1 for u, v in pairwise(betas[1:]))
    assert betas[-1] > 0.9


def test_momentum_keeps_the_bound_of_the_exercise():
    A, b, _ = problem()
    b, L = b[:1], A.known_norm() ** 2
    best = lasso(A, b, 0.1, gap=1e-13)
    low, size = float(objective(A, b, 0.1, best.x)), float(best.x.square().sum())
    for a in (2, 3, 10):
        t = [(k + a) / a for k in range(100)]
        for k, x in enumerate(extrapolated(A, b, 0.1, exercises.momentum(a, 100))[1:], 1):
            bound = L * size / (2 * t[k - 1] ** 2)
            assert float(objective(A, b, 0.1, x)) - low <= bound + 1e-12


def test_way_is_that_of_the_solver_on_the_entry_that_the_matrix_does_not_see():
    A, b = Matrix(torch.tensor([[1.0, 0.0]]).double()), torch.zeros(1, 1).double()
    start = torch.tensor([[0.0, 1e4]]).double()
    for betas in ([0.0] * 30, [0.5] * 30, nesterov(30)):
        x = extrapolated(A, b, 1.0, betas, start=start)[-1]
        assert exercises.way(betas) == pytest.approx(1e4 - float(x[0, 1]))


def test_elastic_net_ends_where_its_optimality_holds():
    A, b, _ = problem()
    lam, mu = 0.1, 0.3
    x = exercises.elastic_net(A, b, lam, mu, 5000)
    r = A.T(b - A(x)) - mu * x
    torch.testing.assert_close(r[x != 0], lam * x[x != 0].sign(), rtol=0, atol=1e-10)
    assert (r[x == 0].abs() <= lam + 1e-10).all()


def test_elastic_net_gets_nearer_by_one_factor_from_the_first_step_on():
    A, b, _ = problem()
    best = exercises.elastic_net(A, b, 0.1, 0.3, 5000)
    error = [float((exercises.elastic_net(A, b, 0.1, 0.3, k) - best).norm()) for k in range(20)]
    assert all(v < u for u, v in pairwise(error))


def test_refit_returns_the_truth_where_the_support_was_right():
    A, b, x_star = problem(60, 120, 0.05, 1)
    d = theory.bias_direction(A.A, x_star[0])
    limit = float((x_star[0] / d)[x_star[0] != 0].abs().min())
    shrunk = lasso(A, b, 0.9 * limit, gap=1e-14).x
    assert (shrunk - x_star).abs().max() > 1e-3
    assert (exercises.refit(A, b, shrunk) - x_star).abs().max() < 1e-12


def test_refit_keeps_the_zeros_and_fits_the_rest_as_well_as_it_can():
    A, b, _ = problem()
    x = lasso(A, b, 0.3, gap=1e-10).x
    refitted = exercises.refit(A, b, x)
    assert not refitted[x == 0].any()
    slope = A.T(A(refitted) - b)
    assert (slope[x != 0].abs() < 1e-9).all()


def lassos():
    """(A, b of two signals, λ)."""
    A = SparseProblem(m=30, n=60, p=0.08, dtype=torch.float64)
    op = A.operator()
    return op, A.sample(op, 2, torch.Generator().manual_seed(3))[0], 0.1


def test_restarted_begins_like_fista_and_ends_nearer():
    A, b, lam = lassos()
    xs, plain = exercises.restarted(A, b, lam, 150), fista(A, b, lam, 150)
    assert len(xs) == 151
    assert all(torch.allclose(x, y) for x, y in zip(xs[:4], plain[:4], strict=True))
    best = objective(A, b, lam, lasso(A, b, lam, gap=1e-14).x)
    off = lambda x: objective(A, b, lam, x) - best
    assert (off(xs[100]) < 0.01 * off(plain[100])).all()
    assert (off(xs[-1]) > -1e-12).all()


def test_restarted_treats_every_signal_as_if_it_were_alone():
    A, b, lam = lassos()
    together = exercises.restarted(A, b, lam, 60)
    for row in range(2):
        alone = exercises.restarted(A, b[row : row + 1], lam, 60)
        assert all(torch.allclose(x[row], y[0]) for x, y in zip(together, alone, strict=True))
