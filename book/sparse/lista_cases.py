"""What holds of the functions in exercises.py, of the page sparse/lista."""

import pytest
import torch

from dunfold_lib.operators import Matrix
from dunfold_lib.prox import soft
from dunfold_lib.sparse import LISTA, LISTACP, TiLISTA, ista, theory
from dunfold_lib.sparse.data import SparseProblem

from . import exercises

M, N = 12, 20
PROBLEM = SparseProblem(m=M, n=N, p=0.15, dtype=torch.float64)


def problem():
    """A matrix 12 × 20, and what it makes of four sparse signals."""
    A = PROBLEM.operator()
    b, _ = PROBLEM.sample(A, 4, torch.Generator().manual_seed(1))
    return A, b


def held(net):
    return sum(p.numel() for p in net.parameters())


def test_count_is_what_the_networks_hold():
    A, K = problem()[0], 3
    told = exercises.count(M, N, K)
    assert told["LISTA"] == held(LISTA(A, K))
    assert told["coupled"] == held(LISTACP(A, K))
    assert told["coupled, one matrix"] == held(TiLISTA(A, K))


def test_count_of_the_first_network_does_not_grow_with_its_depth():
    few, many = (exercises.count(M, N, K)["Gregor and LeCun"] for K in (2, 20))
    assert few == many


def test_encode_with_the_weights_of_ista_is_ista():
    A, b = problem()
    L = A.known_norm() ** 2
    We, S = A.A.T / L, torch.eye(N, dtype=torch.float64) - A.A.T @ A.A / L
    theta = torch.full((N,), 0.1 / L, dtype=torch.float64)
    for K in (1, 2, 7):
        x = exercises.encode(b, We, S, theta, K)
        torch.testing.assert_close(x, ista(A, b, 0.1, K)[-1], rtol=0, atol=1e-12)


def test_encode_has_a_threshold_for_each_entry():
    A, b = problem()
    theta = torch.zeros(N, dtype=torch.float64)
    theta[0] = 1e9
    x = exercises.encode(b, A.A.T, torch.eye(N, dtype=torch.float64), theta, 3)
    assert not x[:, 0].any()
    assert x[:, 1:].all()


def test_uncouple_keeps_every_iterate():
    A, b = problem()
    net = LISTACP(A, K=4, lam=0.1, W=theory.analytic_weights(A.A))
    free = exercises.uncouple(net)
    assert isinstance(free, LISTA)
    for x, y in zip(net.iterates(b), free.iterates(b), strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=1e-12)


def errors(D, thetas):
    """(the larger of the last two errors over signals of one entry 1, W2) of a network with D."""
    A = SparseProblem(m=60, n=120, dtype=torch.float64).operator().A
    W, eye = theory.analytic_weights(A), torch.eye(120, dtype=torch.float64)
    W2, x, made = eye - W.T @ A - D, 0 * eye, []
    for theta in thetas:
        x = soft(eye @ A.T @ W + x @ W2.T, theta)
        made.append(float((x - eye).norm(dim=1).max()))
    return max(made[-2:]), W2


def least(D, theta, W2):
    return exercises.least_error(D, theta, 1.0, float(torch.linalg.matrix_norm(W2, 2)))


def test_least_error_is_below_the_error_where_the_threshold_stays():
    D = torch.zeros(120, 120, dtype=torch.float64)
    found, W2 = errors(D, [max(0.5**k, 0.02) for k in range(1, 60)])
    assert 0 < least(D, 0.02, W2) <= found
    assert found < 5 * least(D, 0.02, W2), "the bound is true, and far too low"


def test_least_error_is_below_the_error_where_the_coupling_is_off():
    D = 0.03 * torch.eye(120, dtype=torch.float64)
    found, W2 = errors(D, [0.5**k for k in range(1, 60)])
    assert 0 < least(D, 0.5**59, W2) <= found


def test_least_error_is_at_most_that_of_answering_zero():
    D = torch.zeros(120, 120, dtype=torch.float64)
    found, W2 = errors(D, [50.0] * 3)  # a threshold that lets nothing pass
    assert least(D, 50.0, W2) == found == 1


def test_least_error_is_none_where_both_conditions_hold():
    D = torch.zeros(3, 3, dtype=torch.float64)
    assert exercises.least_error(D, 0.0, 1.0, 1.0) == 0


def error(x):
    """NMSE in dB over signals of one entry 1."""
    eye = torch.eye(len(x), dtype=torch.float64)
    return float(10 * ((x - eye).square().sum() / len(x)).log10())


def test_linear_limit_is_attained_by_its_matrix_and_passed_by_no_linear_network():
    g = torch.Generator().manual_seed(0)
    A = Matrix(torch.randn(20, 50, generator=g, dtype=torch.float64))
    limit, best = exercises.linear_limit(A.A)
    assert error((best @ A.A).T) == pytest.approx(limit, abs=1e-9)
    for K in (1, 3):
        net = LISTA(A, K)
        with torch.no_grad():
            net.theta.zero_()
            for p in (*net.W1, *net.W2):
                p += 0.02 * torch.randn(p.shape, generator=g, dtype=p.dtype)
            assert error(net(A(torch.eye(50, dtype=torch.float64)))) >= limit
    other = best + 0.01 * torch.randn(50, 20, generator=g, dtype=torch.float64)
    assert error((other @ A.A).T) > limit


def test_gap_closes_with_more_signals():
    problem = SparseProblem(m=10, n=20, p=0.1)
    few, many = (exercises.gap(problem, count, 2, 150, 0) for count in (20, 2000))
    assert few[0] < few[1] - 3
    assert many[1] - many[0] < 1
    assert many[1] < few[1]
    assert many[1] < -1, "the network must learn something"


def test_gap_comes_from_its_seed_and_begins_without_one():
    problem = SparseProblem(m=10, n=20, p=0.1)
    assert exercises.gap(problem, 30, 2, 5, 1) == exercises.gap(problem, 30, 2, 5, 1)
    assert exercises.gap(problem, 30, 2, 5, 1) != exercises.gap(problem, 30, 2, 5, 2)
    untrained = exercises.gap(problem, 2000, 2, 0, 1)
    assert abs(untrained[0] - untrained[1]) < 0.5
