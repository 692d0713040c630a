"""Coherence, the weights that come from A alone, and the theorems of LISTA-CP and ALISTA."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from shared_theory import matrix

from dunfold_lib.sparse import theory
from dunfold_lib.sparse.data import SparseProblem


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
