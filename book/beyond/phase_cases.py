"""What holds of the functions in exercises.py, of the page beyond/phase."""

from itertools import pairwise

import torch

from dunfold_lib.phase import data, theory
from dunfold_lib.phase.algorithm import PLAIN, flow, objective, spectral

from . import exercises

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*size, seed=0):
    return torch.randn(*size, generator=seeded(seed), dtype=F64)


def drawn(width, batch=2, m=40, n=8, seed=0):
    return data.draw(batch, m, seeded(seed), width, n, dtype=F64)


def test_as_pairs_is_the_complex_product():
    for seed in range(3):
        A = torch.complex(normal(7, 4, seed=seed), normal(7, 4, seed=seed + 10))
        x = torch.complex(normal(4, seed=seed + 20), normal(4, seed=seed + 30))
        z = data.forward(exercises.as_pairs(A), torch.cat([x.real, x.imag])[None])[0]
        assert torch.allclose(torch.complex(z[:, 0], z[:, 1]), A @ x, atol=1e-12)


def test_slope_at_zero_is_the_limit_of_the_difference_quotient():
    for width in (1, 2):
        b, _ = drawn(width, batch=1)
        zero = float(objective(b, torch.zeros(1, 8 * width, dtype=F64)))
        for seed in range(5):
            d = normal(1, 8 * width, seed=seed)
            found = float(exercises.slope_at_zero(b, d))
            assert found < 0
            assert abs((float(objective(b, 1e-6 * d)) - zero) / 1e-6 - found) < 1e-4


def test_error_reduction_starts_at_the_start_and_never_raises_the_loss():
    for width in (1, 2):
        b, _ = drawn(width)
        start = normal(2, 8 * width)
        xs = exercises.error_reduction(b, 12, start)
        assert len(xs) == 13
        assert torch.equal(xs[0], start)
        f = [objective(b, x) for x in xs]
        assert all((after <= before + 1e-12).all() for before, after in pairwise(f))
        assert torch.allclose(exercises.error_reduction(b, 0)[0], spectral(b))


def test_error_reduction_stands_at_the_minimum_of_each_majorant():
    b, _ = drawn(2)
    xs = exercises.error_reduction(b, 3, normal(2, 16))
    for before, after in pairwise(xs):
        least = theory.majorant(b, after, before)
        for seed in range(10):
            near = after + 1e-2 * normal(2, 16, seed=seed + 1)
            assert (least < theory.majorant(b, near, before)).all()


def test_best_phase_is_the_distance_that_the_library_measures():
    x, truth = normal(4, 12), normal(4, 12, seed=1)
    found = exercises.best_phase(x, truth)
    assert torch.allclose(found, data.relative_error(x, truth, 2) * truth.norm(dim=1), atol=1e-4)


def test_best_phase_does_not_see_a_turn():
    truth = normal(3, 10)
    assert float(exercises.best_phase(data.turned(truth, 1.3, 2), truth).max()) < 1e-2
    other = normal(3, 10, seed=2)
    turned = exercises.best_phase(data.turned(other, 2.1, 2), truth)
    assert torch.allclose(turned, exercises.best_phase(other, truth), atol=1e-3)


def test_noise_error_is_proportional_to_the_noise():
    at = lambda noise, seed=0: exercises.noise_error(noise, 96, 16, 16, seed)
    assert at(0.0) < 1e-3
    assert 3.2 < at(0.04) / at(0.01) < 4.8
    assert at(0.02) != at(0.02, 1)


def test_noise_error_falls_with_the_root_of_the_number_of_amplitudes():
    few, many = (exercises.noise_error(0.02, m, 16, 16) for m in (128, 512))
    assert 1.6 < few / many < 2.6


def test_sparse_flow_recovers_sparse_signals_where_a_flow_without_a_prior_fails():
    x = torch.zeros(10, 32)
    x[:, :2] = torch.randn(10, 2, generator=seeded(1)).sign() * 2
    b = data.seen(data.matrices(10, 48, 32, 1, seeded(2)), x)
    good = lambda y: int((data.relative_error(y, x) < 0.01).sum())
    plain = good(flow(b, 100, *PLAIN)[-1])
    found = exercises.sparse_flow(b, 100, 2)
    assert good(found) >= plain + 3
    assert int((found != 0).sum(1).max()) <= 3
