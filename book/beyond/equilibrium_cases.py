"""What holds of the functions in exercises.py, of the page beyond/equilibrium."""

from itertools import pairwise

import torch

from . import exercises

F64 = torch.float64


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=F64)


def contraction(gamma, n, seed=0):
    """A matrix (n, n) of norm gamma that is not symmetric."""
    J = normal(n, n, seed=seed)
    return gamma * J / torch.linalg.matrix_norm(J, 2)


def test_steps_enough_is_the_first_number_whose_bound_is_small_enough():
    for gamma, first, epsilon in ((0.8, 3.0, 1e-3), (0.5, 0.2, 1e-6), (0.99, 1.0, 0.1)):
        k = exercises.steps_enough(gamma, first, epsilon)
        bound = lambda k, q=gamma, d=first: q**k / (1 - q) * d
        assert bound(k) <= epsilon * (1 + 1e-9)
        assert bound(k - 1) > epsilon


def test_steps_enough_is_none_where_the_start_is_near_enough():
    assert exercises.steps_enough(0.5, 1.0, 2.0) == 0
    assert exercises.steps_enough(0.5, 1.0, 50.0) == 0


def test_steps_enough_holds_of_a_contraction_that_attains_it():
    gamma, x, fixed = 0.7, 0.0, 5.0
    first = (1 - gamma) * fixed  # x ← γ x + (1 − γ)·5
    k = exercises.steps_enough(gamma, first, 1e-2)
    for _ in range(k):
        x = gamma * x + first
    assert abs(x - fixed) <= 1e-2 * (1 + 1e-9) < abs(x - fixed) / gamma


def test_adjoint_state_solves_the_transposed_system():
    J, c = contraction(0.9, 6), normal(2, 3, seed=1)
    f = lambda x: (J @ x.flatten()).sin().reshape(2, 3) + c
    for seed in (2, 3):
        x, g = normal(2, 3, seed=seed), normal(2, 3, seed=seed + 10)
        v = exercises.adjoint_state(f, x, g)
        assert v.shape == g.shape
        pulled = torch.autograd.functional.vjp(f, x, v)[1]
        assert float((v - pulled - g).abs().max()) < 1e-10


def test_adjoint_state_is_where_the_iteration_of_the_page_ends():
    J = contraction(0.6, 5)
    f = lambda x: torch.tanh(J @ x)
    x, g, v = normal(5, seed=1), normal(5, seed=2), 0 * normal(5)
    for _ in range(200):
        v = g + torch.autograd.functional.vjp(f, x, v)[1]
    assert torch.allclose(exercises.adjoint_state(f, x, g), v, atol=1e-10)


def test_free_agreement_is_the_inner_product_of_both_directions():
    for seed in range(4):
        J, g = contraction(0.7, 6, seed), normal(6, seed=seed + 20)
        exact, term = 0.0, g
        for _ in range(200):  # (I − Jᵀ)⁻¹ g = g + Jᵀ g + …
            exact, term = exact + float(term @ g), J.T @ term
        assert abs(exercises.free_agreement(J, g) - exact) < 1e-9


def test_free_agreement_is_above_zero_for_a_contraction_and_not_for_every_matrix():
    for seed in range(20):
        J, g = contraction(0.95, 6, seed), normal(6, seed=seed + 20)
        assert exercises.free_agreement(J, g) > 0
    assert exercises.free_agreement(2 * torch.eye(3, dtype=F64), normal(3)) < 0


def test_creeping_falls_for_ever_and_not_to_zero():
    sizes = exercises.creeping(40)
    assert len(sizes) == 40
    assert sizes[0] < 1  # the certificate of the start, 2
    assert all(after < before for before, after in pairwise(sizes))
    assert 0.5 < sizes[-1] < 0.5 + 1e-9


def test_creeping_halves_the_way_to_its_limit_in_each_step():
    sizes = exercises.creeping(20)
    for before, after in pairwise(sizes):
        assert abs((after - 0.5) - (before - 0.5) / 2) < 1e-12


def test_weight_enough_makes_the_factor_exactly():
    for epsilon, factor in ((0.225, 0.98), (0.5, 0.9), (2.0, 0.5)):
        w = exercises.weight_enough(epsilon, factor)
        assert abs((1 + epsilon) / (1 + w) - factor) < 1e-12


def test_weight_enough_makes_a_contraction_of_a_map_that_is_none():
    epsilon, factor = 0.3, 0.95
    w = exercises.weight_enough(epsilon, factor)
    D = (1 + epsilon) * torch.linalg.qr(normal(5, 5)).Q  # Lipschitz constant 1 + ε
    x, y = normal(5, seed=1), normal(5, seed=2)
    moved = (D @ x - D @ y) / (1 + w)
    assert abs(float(moved.norm() / (x - y).norm()) - factor) < 1e-9


def test_rate_is_the_largest_eigenvalue_and_not_the_norm():
    for eigenvalues in ((0.9, 0.3, 0.1), (-0.8, 0.5, 0.2)):
        J = torch.diag(torch.tensor(eigenvalues, dtype=F64)) + 5 * normal(3, 3).triu(1)
        f = lambda x, J=J: J @ x + 1.0
        found = exercises.rate(f, normal(3), normal(3, seed=1), 200)
        assert abs(found - max(map(abs, eigenvalues))) < 1e-3


def test_rate_is_that_of_the_place_and_of_a_pair_that_turns():
    f = lambda x: 0.5 * x.sin()
    for place in (0.0, 1.0, 2.0):
        at = torch.full((2, 3), place, dtype=F64)
        wanted = abs(0.5 * torch.tensor(place).cos().item())
        assert abs(exercises.rate(f, at, normal(2, 3), 20) - wanted) < 1e-5
    turn = 0.7 * torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=F64)
    assert abs(exercises.rate(lambda x: turn @ x, normal(2), normal(2, seed=3), 50) - 0.7) < 1e-9
