"""What holds of the functions in exercises.py, of the page sparse/lista_cp."""

import pytest
import torch

from dunfold_lib.prox import soft
from dunfold_lib.sparse import theory
from dunfold_lib.sparse.data import SparseProblem

from . import exercises

MU = 0.078


def pairs():
    """(A, matrices W by name, signals with two entries of size one)."""
    A = SparseProblem(m=200, n=240, dtype=torch.float64).operator().A
    x = torch.zeros(30, 240, dtype=torch.float64)
    for row in range(30):
        x[row, row], x[row, 239 - row] = 1.0, -1.0
    return A, {"A": A, "QP": theory.analytic_weights(A)}, x


def test_layers_needed_is_the_first_number_that_reaches_the_target():
    for s, target in ((2, 1e-3), (4, 1e-6)):
        K = exercises.layers_needed(MU, s, 1.0, target)
        E = theory.error_bounds(MU, s, 1.0, 1.0, K)
        assert E[K] <= target < E[K - 1]


def test_layers_needed_is_none_where_the_start_is_good_enough():
    assert exercises.layers_needed(MU, 4, 1.0, 10.0) == 0


def test_layers_needed_refuses_what_the_theorem_does_not_hold_for():
    with pytest.raises(ValueError):
        exercises.layers_needed(MU, 8, 1.0, 1e-6)


def test_factor_without_an_error_is_that_of_the_theorem():
    right = theory.contraction(MU, 3, 1.0)
    assert exercises.factor(MU, 3, 0.0) == pytest.approx((right, right))


def test_factor_of_a_step_is_that_of_the_theorem_with_a_step():
    for delta in (-0.2, 0.1, 0.3):
        assert exercises.factor(MU, 3, delta)[1] == pytest.approx(
            theory.contraction(MU, 3, 1 + delta)
        )


def test_factor_of_a_diagonal_bounds_every_layer_and_a_smaller_one_would_not():
    A, W, x = pairs()
    W = W["QP"] + 0.2 * A  # its diagonal with A is 1.2
    gram = W.T @ A
    most = float((gram - torch.diag(gram.diag())).abs().max())
    one, _ = exercises.factor(most, 2, 0.2)
    y, E = 0 * x, 2.0
    for _ in range(30):
        y = soft(y - (y - x) @ A.T @ W, most * E * (1 + 1e-9))
        E *= one
        assert not y[x == 0].any()
        assert (y - x).abs().sum(1).max() <= E * (1 + 1e-9)
    # one entry alone, far from its value, with a diagonal of 1 − δ and the thresholds of the proof
    alone = exercises.factor(0.0, 1, -0.2)[0]
    assert alone == pytest.approx(0.2), "with μ = 0 what is left of one entry is known exactly"


def test_layerwise_bounds_with_the_same_matrix_in_every_layer_are_those_of_the_theorem():
    same = exercises.layerwise_bounds([0.1] * 9, 3, 2.0, [0.01] * 9)
    assert same == pytest.approx(theory.error_bounds(0.1, 3, 1.0, 2.0, 9, 0.01))


def test_layerwise_bounds_hold_of_a_network_that_changes_its_matrix():
    A, choice, x = pairs()
    g = torch.Generator().manual_seed(0)
    e = 1e-4 * torch.randn(30, 200, generator=g, dtype=torch.float64)
    names = ["QP", "A", "A", "QP"] * 5
    mus = [theory.coherence(choice[n], A) for n in names]
    noises = [float((e @ choice[n]).abs().max()) for n in names]
    E, y = exercises.layerwise_bounds(mus, 2, 1.0, noises), 0 * x
    assert len(E) == len(names) + 1
    for k, name in enumerate(names):
        theta = (mus[k] * E[k] + noises[k]) * (1 + 1e-9)
        y = soft(y - (y @ A.T - x @ A.T - e) @ choice[name], theta)
        assert (y - x).abs().sum(1).max() <= E[k + 1] * (1 + 1e-9)


def test_layerwise_bounds_know_which_layer_comes_first():
    early = exercises.layerwise_bounds([0.05, 0.1], 3, 1.0, [0.01, 0.0])
    late = exercises.layerwise_bounds([0.1, 0.05], 3, 1.0, [0.0, 0.01])
    assert early[-1] != pytest.approx(late[-1])


def test_safe_from_is_the_first_layer_whose_threshold_trusts_the_entry():
    s, smallest = 6, 0.5
    k = exercises.safe_from(MU, s, 1.0, smallest)
    theta = [MU * e for e in theory.error_bounds(MU, s, 1.0, 1.0, k)]
    assert 2 * theta[k] <= smallest < 2 * theta[k - 1]
    assert exercises.safe_from(MU, s, 1.0, 2.0) == 0


def test_spent_after_is_the_first_layer_near_the_floor():
    for noise in (1e-2, 1e-4):
        k = exercises.spent_after(MU, 4, 1.0, noise)
        E = theory.error_bounds(MU, 4, 1.0, 1.0, 400, noise)
        assert E[k] <= 1.01 * E[-1] < E[k - 1]
    assert exercises.spent_after(MU, 4, 1.0, 5.0) == 0


def test_keeps_the_factor_of_the_theorem_and_not_every_factor():
    A, choice, x = pairs()
    for W in choice.values():
        mu = theory.coherence(W, A)
        assert exercises.keeps(A, W, x, theory.contraction(mu, 2, 1.0), 15)
        assert not exercises.keeps(A, W, x, 0.02, 15)


def test_keeps_says_the_same_of_larger_factors_and_of_larger_signals():
    A, choice, x = pairs()
    found = [exercises.keeps(A, choice["QP"], x, q / 20, 10) for q in range(1, 20)]
    assert found == sorted(found)
    assert [exercises.keeps(A, choice["QP"], 7 * x, q / 20, 10) for q in range(1, 20)] == found


def test_keeps_looks_at_every_row_and_every_layer():
    A, choice, x = pairs()
    least = next(q / 100 for q in range(1, 100) if exercises.keeps(A, choice["QP"], x, q / 100, 8))
    dense = x.clone()
    dense[0] = 0.0
    dense[0, :40] = 2 / 40  # as large in the ℓ₁ norm, and not sparse
    assert not exercises.keeps(A, choice["QP"], dense, least, 8)
    assert exercises.keeps(A, choice["QP"], x, least - 0.02, 0)
