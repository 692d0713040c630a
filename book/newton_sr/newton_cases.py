"""What holds of the functions in exercises.py, of the page newton_sr/newton."""

from itertools import pairwise

import torch

from dunfold_lib.newton_sr import L1
from dunfold_lib.newton_sr.jacobians import Groups
from dunfold_lib.newton_sr.lasso import Lasso

from . import exercises

F64 = torch.float64


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_from_the_kink_a_step_with_each_slope_solves_its_line():
    for V in (1.0, 1.3, 2.0, 3.0):
        xi, _ = exercises.from_the_kink(V)
        assert abs(2 + V * (xi + 1)) < 1e-12  # F(−1) = 2
        assert -3 - 1e-12 <= xi <= -5 / 3 + 1e-12


def test_from_the_kink_two_steps_are_enough_for_every_slope():
    for V in (1.0, 1.3, 2.0, 3.0):
        assert abs(exercises.from_the_kink(V)[1]) < 1e-12


def integral(x):
    """Φ(x), the integral of F from 0."""
    return x * x / 2 if abs(x) <= 1 else 0.5 + 0.75 * (abs(x) - 1) + (x * x - 1) / 8


def test_bent_is_the_derivative_of_its_integral_and_knows_its_slope():
    h = 1e-6
    for x in (-7.0, -2.0, -0.5, 0.0, 0.3, 1.5, 4.0):
        value, slope = exercises.bent(x)
        assert abs((integral(x + h) - integral(x - h)) / (2 * h) - value) < 1e-6
        moved = exercises.bent(x + h)[0] - exercises.bent(x - h)[0]
        assert abs(moved / (2 * h) - slope) < 1e-6


def test_bent_is_odd_and_continuous_at_its_kinks():
    for x in (0.4, 1.0, 2.5):
        (up, slope), (down, other) = exercises.bent(x), exercises.bent(-x)
        assert (up, slope) == (-down, other)
    assert abs(exercises.bent(1 + 1e-9)[0] - exercises.bent(1 - 1e-9)[0]) < 1e-8


def line(x):
    """(F, F′) of a smooth F with its zero at 2; F is the derivative of (x − 2)⁴/4 + (x − 2)²/2."""
    return (x - 2) ** 3 + (x - 2), 3 * (x - 2) ** 2 + 1


def kinked(x):
    """(F, F′): slope 1 up to |x| = 1, slope ¼ beyond."""
    side = 1.0 if x > 0 else -1.0
    return (x, 1.0) if abs(x) <= 1 else (side * (0.75 + abs(x) / 4), 0.25)


def test_newton_on_a_line_takes_full_steps_without_a_function_to_lower():
    xs = exercises.newton_on_a_line(line, None, 5.0, 8)
    assert len(xs) == 9
    assert xs[0] == 5.0
    for before, after in pairwise(xs):
        value, slope = line(before)
        assert abs(value + slope * (after - before)) < 1e-9
    assert abs(xs[-1] - 2) < 1e-6


def test_newton_on_a_line_goes_in_a_circle_where_armijo_ends_it():
    for start in (1.5, 3.0, -20.0):
        full = exercises.newton_on_a_line(kinked, None, start, 9)
        assert all(abs(abs(x) - 3) < 1e-12 for x in full[1:])
        assert all(x * y < 0 for x, y in pairwise(full))
        safe = exercises.newton_on_a_line(kinked, integral, start, 9)
        assert safe[-1] == 0
        assert all(integral(y) <= integral(x) for x, y in pairwise(safe))
    assert exercises.newton_on_a_line(kinked, integral, 3.0, 1)[1] == 0, "half of the step"


def test_newton_on_a_line_halves_only_as_often_as_it_must():
    Phi = lambda x: (x - 2) ** 4 / 4 + (x - 2) ** 2 / 2
    assert exercises.newton_on_a_line(line, Phi, 5.0, 8) == exercises.newton_on_a_line(
        line, None, 5.0, 8
    )


def test_by_support_solves_the_system_in_m_unknowns():
    A, F = normal(12, 30), normal(12, seed=1)
    for size, sigma in ((1, 7.0), (5, 0.3), (12, 100.0), (20, 1.0)):
        S = torch.zeros(30, dtype=torch.bool)
        S[torch.randperm(30, generator=torch.Generator().manual_seed(size))[:size]] = True
        d = exercises.by_support(Lasso(A, F, 1.0), sigma, S, F)
        left = d + sigma * A[:, S] @ (A[:, S].T @ d) + F
        assert float(left.abs().max()) < 1e-8


def test_by_support_is_a_step_of_gradient_where_nothing_is_active():
    A, F = normal(6, 9), normal(6, seed=1)
    none = torch.zeros(9, dtype=torch.bool)
    assert torch.allclose(exercises.by_support(Lasso(A, F, 1.0, L1()), 3.0, none, F), -F)


def onto(v, radius):
    """The projection of v onto the ball."""
    return v * min(1.0, radius / float(v.norm()))


def test_ball_jacobian_is_the_derivative_of_the_projection():
    for seed in range(4):
        v, p = normal(5, seed=seed), normal(5, seed=seed + 10)
        for radius in (0.5, 1.0, 10.0):
            moved = (onto(v + 1e-6 * p, radius) - onto(v - 1e-6 * p, radius)) / 2e-6
            J = exercises.ball_jacobian(v, radius)
            assert torch.allclose(J @ p, moved, atol=1e-6)


def test_ball_jacobian_is_symmetric_between_zero_and_one_and_blind_along_v():
    v = 3 * normal(4)
    J = exercises.ball_jacobian(v, 1.0)
    values = torch.linalg.eigvalsh(J)
    assert torch.allclose(J, J.T)
    assert float(values[0]) > -1e-12
    assert float(values[-1]) < 1 + 1e-12
    assert float((J @ v).norm()) < 1e-9


def system():
    """F and V of a lasso with the group norm, and a start."""
    A, b, p = normal(6, 8), normal(6, seed=1), Groups(4)
    F = lambda xi: xi + b - A @ p.prox(-(A.T @ xi), 0.5)
    slopes = lambda xi: torch.stack([p.jacobian(-(A.T @ xi), 0.5)(row) for row in A], 1)
    return F, lambda xi: torch.eye(6, dtype=F64) + A @ slopes(xi), -b


def test_slack_falls_by_the_tolerance_in_the_end():
    F, V, start = system()
    for eta in (0.1, 0.3):
        sizes = exercises.slack(F, V, start, eta, 40)
        assert len(sizes) == 41
        assert abs(sizes[0] - float(F(start).norm())) < 1e-12
        fine = [after / before for before, after in pairwise(sizes) if 1e-11 < after < 1e-4]
        assert len(fine) > 3
        assert all(abs(factor - eta) < 0.02 * eta for factor in fine)


def test_slack_without_a_tolerance_is_newtons_method():
    F, V, start = system()
    sizes = exercises.slack(F, V, start, 0.0, 12)
    assert sizes[-1] < 1e-12
    plane = exercises.slack(lambda x: 2 * x - 1, lambda x: 2 * torch.eye(3), torch.ones(3), 0.0, 1)
    assert plane[1] < 1e-6


def least(x, t, b, lam):
    """min over z of f(x) + f′(x)(z − x) + (z − x)²/(2t) + λ|z| for f = ½(x − b)², by a grid."""
    z = torch.linspace(-12, 12, 240_001, dtype=F64)
    g = x - b
    return float((0.5 * g * g + g * (z - x) + (z - x).square() / (2 * t) + lam * z.abs()).min())


def test_envelope_on_a_line_is_the_least_value_of_the_model():
    for t in (0.3, 0.95, 1.0):
        for x in (-3.0, 0.2, 1.0, 5.0):
            for b, lam in ((2.0, 1.0), (-1.0, 0.5)):
                value, _ = exercises.envelope_on_a_line(x, t, b, lam)
                assert abs(value - least(x, t, b, lam)) < 1e-6


def test_envelope_on_a_line_knows_its_slope_and_has_none_at_the_longest_step():
    h = 1e-6
    for x in (-3.0, 0.2, 1.7, 5.0):
        for t in (0.3, 0.95):
            up, down = (exercises.envelope_on_a_line(x + s, t)[0] for s in (h, -h))
            assert abs((up - down) / (2 * h) - exercises.envelope_on_a_line(x, t)[1]) < 1e-6
        assert exercises.envelope_on_a_line(x, 1.0)[1] == 0


def ill_conditioned(seed=0):
    """A lasso with a few non-zeros, whose matrix has a condition number of 100."""
    U, _, Vt = torch.linalg.svd(normal(15, 40, seed=seed), full_matrices=False)
    A = (U * torch.logspace(0, -2, 15, dtype=F64)) @ Vt
    b = A[:, :3].sum(1) + 1e-3 * normal(15, seed=seed + 1)
    return Lasso(A, b, 0.05 * float((A.T @ b).abs().max()))


def test_spent_needs_fewer_outer_steps_from_a_larger_start_and_with_growth():
    for seed in (0, 1):
        problem = ill_conditioned(seed)
        outer = [exercises.spent(problem, sigma, 3.0, 1e-8)[0] for sigma in (1.0, 100.0, 1e4)]
        assert outer == sorted(outer, reverse=True)
        assert outer[0] > outer[-1]
        still, fast = (exercises.spent(problem, 100.0, growth, 1e-8)[0] for growth in (1.0, 30.0))
        assert still > outer[1] >= fast


def test_spent_counts_newton_steps_and_more_of_them_for_more_digits():
    problem = ill_conditioned()
    rough, fine = (exercises.spent(problem, 1.0, 3.0, tol) for tol in (1e-2, 1e-10))
    assert rough[0] < fine[0]
    assert rough[1] < fine[1]
    assert fine[1] > fine[0]
