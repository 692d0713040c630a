"""Of newton sr: lasso."""

from itertools import islice

import cvxpy as cp
import numpy as np
import pytest
import torch
from refusals import refused
from shared_newton_sr import F64, model_problem, randn, seeded

from dunfold_lib.newton_sr import algorithm, data, evaluation
from dunfold_lib.newton_sr.algorithm import accelerated, augmented_lagrangian
from dunfold_lib.newton_sr.envelope import envelope, envelope_newton
from dunfold_lib.newton_sr.jacobians import L1, Groups, majorised, orders
from dunfold_lib.newton_sr.lasso import Lasso, admm, coordinate_descent, fista, history, ista
from dunfold_lib.newton_sr.model import Response
from dunfold_lib.newton_sr.ssnal import ssnal

CONDITIONS = (1e1, 1e3, 1e5, 1e7)


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
