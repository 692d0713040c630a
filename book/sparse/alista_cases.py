"""What holds of the functions in exercises.py, of the page sparse/alista."""

import pytest
import torch

from dunfold_lib.sparse import ALISTA, HyperLISTA, theory
from dunfold_lib.sparse.data import SparseProblem

from . import exercises

MU = 0.078
PROBLEM = SparseProblem(m=12, n=20, p=0.15, dtype=torch.float64)


def test_best_step_beats_every_other_step_inside_the_theorem():
    for s in (1, 4, 6):
        best = exercises.best_step(MU, s)
        others = [theory.contraction(MU, s, g / 100) for g in range(1, 200)]
        assert theory.contraction(MU, s, best) <= min(others) + 1e-12


def test_leverage_objective_is_what_the_closed_form_has():
    for seed in (0, 1):
        g = torch.Generator().manual_seed(seed)
        A = torch.randn(12, 20, generator=g, dtype=torch.float64)
        W = theory.analytic_weights(A)
        value = exercises.leverage_objective(A)
        assert float((W.T @ A).square().sum()) == pytest.approx(value, rel=1e-9)


def test_bound_after_is_that_of_the_theorem_where_it_holds():
    E = theory.error_bounds(MU, 4, [0.9] * 6, 1.0, 6)
    assert exercises.bound_after(MU, 4, [0.9] * 6) == pytest.approx(E[-1])


def test_bound_after_does_not_ask_for_the_order_of_the_layers():
    steps = [1.0] * 7 + [1.5] * 3
    bound = exercises.bound_after(MU, 4, steps)
    assert exercises.bound_after(MU, 4, steps[::-1]) == pytest.approx(bound)
    assert bound > exercises.bound_after(MU, 4, [1.0] * 7)


def test_rms_from_objective_is_the_mean_over_the_entries_off_the_diagonal():
    A = PROBLEM.operator().A
    W = theory.analytic_weights(A)
    objective = float((W.T @ A).square().sum())
    assert exercises.rms_from_objective(objective, 20) == pytest.approx(theory.rms_coherence(W, A))


def test_scales_is_zero_for_hyperlista_and_not_for_thresholds_that_are_fixed():
    A = PROBLEM.operator()
    b, _ = PROBLEM.sample(A, 4, torch.Generator().manual_seed(1))
    assert exercises.scales(HyperLISTA(A, 6, (0.01, 0.02, 0.1)), b, 10.0) < 1e-12
    assert exercises.scales(ALISTA(A, 6, 0.1), b, 10.0) > 1e-3


def coherence(A):
    return float((A.T @ A).fill_diagonal_(0.0).abs().max())


def test_designed_lowers_the_coherence_round_by_round():
    A = SparseProblem(m=20, n=40, dtype=torch.float64).operator().A
    found = [coherence(exercises.designed(A, rounds)) for rounds in (0, 10, 100)]
    assert found[0] == pytest.approx(coherence(A))
    assert found[0] > 1.5 * found[1] > 1.5 * found[2]
    assert found[2] >= ((40 - 20) / (20 * 39)) ** 0.5


def test_designed_stays_a_matrix_of_this_shape_with_columns_of_length_one():
    A = SparseProblem(m=20, n=40, dtype=torch.float64).operator().A
    D = exercises.designed(A, 5)
    assert D.shape == A.shape
    assert torch.allclose(D.norm(dim=0), torch.ones(40, dtype=torch.float64))
    assert int(torch.linalg.matrix_rank(D)) == 20
