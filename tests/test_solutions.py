"""The solutions that the exercises show do what the page says."""

from itertools import pairwise

import pages
import pytest
import torch

from dunfold_lib.operators import Matrix
from dunfold_lib.prox import soft
from dunfold_lib.sparse import (
    LISTA,
    LISTACP,
    TiLISTA,
    extrapolated,
    lasso,
    nesterov,
    objective,
    theory,
)
from dunfold_lib.sparse.data import SparseProblem

ISTA = pages.solutions("sparse/ista")
LISTA_PAGE = pages.solutions("sparse/lista")


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_the_limit_with_momentum_is_the_formula_and_what_the_algorithm_does(beta):
    limit = (2 + 2 * beta) / (1 + 2 * beta)
    assert ISTA.largest_stable_step(beta) == pytest.approx(limit, abs=1e-9)
    A, b = Matrix(torch.eye(1, dtype=torch.float64)), torch.zeros(1, 1, dtype=torch.float64)
    ends = [
        float(extrapolated(A, b, 0.0, [beta] * 2000, L=1 / t, start=torch.ones_like(b))[-1].abs())
        for t in (0.97 * limit, 1.03 * limit)
    ]
    assert ends[0] < 1e-3
    assert ends[1] > 1e3


@pytest.mark.parametrize("a", [2, 3, 10])
def test_the_momentum_of_the_exercise_is_allowed_and_keeps_its_bound(a, tiny):
    betas = ISTA.momentum(a, 200)
    t = [(k + a) / a for k in range(200)]
    assert betas[1:] == pytest.approx([(u - 1) / v for u, v in pairwise(t)])
    assert all(v * (v - 1) <= u**2 + 1e-12 for u, v in pairwise(t))
    A, b, _ = tiny
    A, b, L = A, b[:1], A.known_norm() ** 2
    best = lasso(A, b, 0.1, gap=1e-13)
    low, size = float(objective(A, b, 0.1, best.x)), float(best.x.square().sum())
    for k, x in enumerate(extrapolated(A, b, 0.1, betas)[1:], 1):
        bound = L * size / (2 * t[k - 1] ** 2)
        assert float(objective(A, b, 0.1, x)) - low <= bound + 1e-12


def test_a_faster_momentum_breaks_the_condition_and_the_bound():
    """tᵏ = k + 1 grows too fast: its bound fails on the worst case of FISTA."""
    t = [k + 1.0 for k in range(100)]
    betas = [0.0] + [(u - 1) / v for u, v in pairwise(t)]
    assert 1 / (4 * ISTA.way(betas)) > 1 / (2 * t[-1] ** 2)
    assert 1 / (4 * ISTA.way(nesterov(100))) < 2 / 101**2


def test_the_elastic_net_contracts_by_the_stated_rate(tiny):
    A, b, _ = tiny
    mu, L = 0.3, A.known_norm() ** 2
    best = ISTA.elastic_net(A, b, 0.1, mu, 5000)
    error = [float((ISTA.elastic_net(A, b, 0.1, mu, k) - best).norm()) for k in range(30)]
    assert all(v <= u / (1 + mu / L) + 1e-12 for u, v in pairwise(error))


def test_the_refit_returns_the_truth_where_the_signs_were_right():
    problem = SparseProblem(m=60, n=120, p=0.05, dtype=torch.float64)
    A = problem.operator()
    b, x_star = problem.sample(A, 1, torch.Generator().manual_seed(1))
    d = theory.bias_direction(A.A, x_star[0])
    limit = float((x_star[0] / d)[x_star[0] != 0].abs().min())
    right, wrong = (lasso(A, b, f * limit, gap=1e-14).x for f in (0.9, 3.0))
    assert (ISTA.refit(A, b, right) - x_star).abs().max() < 1e-12
    assert (ISTA.refit(A, b, wrong) - x_star).abs().max() > 1e-2


def test_the_counts_are_those_of_the_networks(tiny):
    A, m, n, K = tiny[0], 12, 20, 3
    counts = LISTA_PAGE.count(m, n, K)
    size = lambda net: sum(p.numel() for p in net.parameters())
    assert counts["LISTA"] == size(LISTA(A, K))
    assert counts["coupled"] == size(LISTACP(A, K))
    assert counts["coupled, one matrix"] == size(TiLISTA(A, K))
    We, S, theta = torch.empty(n, m), torch.empty(n, n), torch.empty(n)
    assert counts["Gregor and LeCun"] == sum(t.numel() for t in (We, S, theta))
    assert LISTA_PAGE.count(250, 500, 16)["Gregor and LeCun"] == 375_500


def test_no_network_without_thresholds_passes_the_linear_limit():
    """E‖M A x* − x*‖²/E‖x*‖² = ‖M A − I‖_F²/n; the matrix of a network is what it makes of I."""
    A = Matrix(torch.randn(20, 50, generator=torch.Generator().manual_seed(0)).double())
    limit, best = LISTA_PAGE.linear_limit(A.A)
    eye = torch.eye(50, dtype=torch.float64)
    error = lambda x: float(10 * ((x - eye).square().sum() / 50).log10())
    assert error((best @ A.A).T) == pytest.approx(limit, abs=1e-9)
    assert limit == pytest.approx(-2.218, abs=1e-3)
    for seed, K in ((0, 1), (1, 3), (2, 8)):
        net = LISTA(A, K)
        g = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            net.theta.zero_()
            for p in (*net.W1, *net.W2):
                p += 0.02 * torch.randn(p.shape, generator=g, dtype=p.dtype)
            assert error(net(A(eye))) >= limit
            net.W1[-1].copy_(best)
            net.W2[-1].zero_()
            assert error(net(A(eye))) == pytest.approx(limit, abs=1e-9)
            mu = theory.coherence(W := theory.analytic_weights(A.A), A.A)
            net.W1[-1].copy_(W.T / (1 - mu))  # with a threshold signals of one entry come back
            net.theta.fill_(mu / (1 - mu))
            assert error(net(A(eye))) < -200


def test_depth_is_spent_at_the_first_layer_near_the_floor():
    spent = pages.solutions("sparse/lista_cp").spent_after
    mu, s = 0.078, 4
    for noise in (1e-2, 1e-4, 1e-6):
        k = spent(mu, s, 1.0, noise)
        E = theory.error_bounds(mu, s, 1.0, 1.0, 400, noise)
        assert E[k] <= 1.01 * E[-1] < E[k - 1]
    more = spent(mu, s, 1.0, 1e-6) - spent(mu, s, 1.0, 1e-4)
    assert abs(more - torch.tensor(100.0).log() / -torch.tensor(7 * mu).log()) < 1.5
    assert spent(mu, s, 1.0, 5.0) == 0


def test_the_closed_form_attains_the_sum_of_inverse_leverage(tiny):
    A = tiny[0].A
    W = theory.analytic_weights(A)
    value = pages.solutions("sparse/alista").leverage_objective(A)
    assert float((W.T @ A).square().sum()) == pytest.approx(value, rel=1e-12)
    assert value >= A.shape[1] ** 2 / A.shape[0]


ALISTA_PAGE = pages.solutions("sparse/alista")


def test_the_bound_after_any_steps_is_a_product_in_any_order():
    assert theory.largest_step(0.078, 4) == pytest.approx(1.29, abs=0.005)
    steps = [1.0] * 7 + [1.5] * 3
    factors = [theory.contraction(0.078, 4, step) for step in steps]
    assert factors[-1] > 1 > factors[0]
    bound = ALISTA_PAGE.bound_after(0.078, 4, steps)
    assert bound == pytest.approx(4 * factors[0] ** 7 * factors[-1] ** 3)
    assert ALISTA_PAGE.bound_after(0.078, 4, steps[::-1]) == pytest.approx(bound)


def test_the_rms_follows_from_the_objective(tiny):
    A = tiny[0].A
    W = theory.analytic_weights(A)
    rms = ALISTA_PAGE.rms_from_objective(float((W.T @ A).square().sum()), 20)
    assert rms == pytest.approx(theory.rms_coherence(W, A))
    assert rms < theory.coherence(W, A)


CP = pages.solutions("sparse/lista_cp")


def test_a_diagonal_that_is_off_and_a_step_that_is_off_have_different_factors():
    """A W with a diagonal of 1 + δ keeps its bound, which a step of 1 + δ need not."""
    mu, s, delta = 0.1, 3, 0.2
    diagonal, step = CP.factor(mu, s, delta)
    assert diagonal == pytest.approx(0.7)
    assert step == pytest.approx(0.5 * 1.2 + 0.2)
    A = SparseProblem(m=200, n=240, dtype=torch.float64).operator().A
    W = theory.generalised_coherence(A).W
    mu = theory.coherence(W, A)
    W = W + 0.2 * A  # diagonal 1.2; the other entries of WᵀA grow too
    gram = W.T @ A
    most = float((gram - torch.diag(gram.diag())).abs().max())
    factor, _ = CP.factor(most, 2, 0.2)
    x = torch.zeros(40, 240, dtype=torch.float64)
    for row in range(40):
        x[row, row], x[row, 239 - row] = 1.0, -1.0
    y, E = 0 * x, 2.0
    for _ in range(30):
        y = soft(y - (y - x) @ A.T @ W, most * E * (1 + 1e-9))
        E *= factor
        assert not y[x == 0].any()
        assert (y - x).abs().sum(1).max() <= E * (1 + 1e-9)


def test_entries_are_safe_from_the_layer_at_which_twice_the_threshold_has_passed_them():
    mu, s = 0.078, 6
    k = CP.safe_from(mu, s, 1.0, 0.5)
    theta = [mu * e for e in theory.error_bounds(mu, s, 1.0, 1.0, k)]
    assert 2 * theta[k] <= 0.5 < 2 * theta[k - 1]
    E = theory.selected_bounds(mu, s, 1.0, 0.5, [s] * (k + 1))
    assert E[k] == pytest.approx(theory.error_bounds(mu, s, 1.0, 1.0, k)[k])
    assert E[k + 1] == pytest.approx(mu * (s - 1) * E[k])
    assert CP.safe_from(mu, s, 1.0, 2.0) == 0
