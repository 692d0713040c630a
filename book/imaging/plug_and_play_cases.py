"""What holds of the functions in exercises.py, of the page imaging/plug_and_play."""

import torch

from dunfold_lib.imaging import theory
from dunfold_lib.imaging.plug_and_play import data_prox, pnp_ista
from dunfold_lib.operators import Blockwise, Sensing

from . import exercises

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def problem():
    """(A with A Aᵀ = I, b, the truth b = A x): 20 of 64 numbers of each block of 8 × 8 pixels."""
    Q, _ = torch.linalg.qr(torch.randn(64, 20, generator=seeded(), dtype=F64))
    A = Blockwise(Sensing(Q.T.contiguous()), (16, 16))
    truth = torch.rand(2, 1, 16, 16, generator=seeded(1), dtype=F64)
    return A, A(truth), truth


def test_averaged_stops_the_oscillation_at_once():
    A, b, _ = problem()
    start = torch.rand(2, 1, 16, 16, generator=seeded(), dtype=F64)
    xs = pnp_ista(A, 0 * b, exercises.averaged(lambda v, s: -v), 0.1, 4, start=start)
    assert float(xs[1].norm()) < 1e-12


def test_averaged_keeps_the_points_that_the_denoiser_keeps():
    v = torch.rand(2, 1, 4, 4, generator=seeded(), dtype=F64)
    mean = lambda v, s: v.mean((2, 3), keepdim=True).expand_as(v)
    flat = mean(v, 0.1)
    assert torch.allclose(exercises.averaged(mean)(flat, 0.1), flat)
    assert not torch.allclose(exercises.averaged(mean)(v, 0.1), v), "it must do something"


def test_data_step_is_what_conjugate_gradients_find():
    A, b, truth = problem()
    for c in (0.1, 0.3, 5.0):
        x = exercises.data_step(A, b, truth / 2, c)
        assert torch.allclose(x, data_prox(A, b, truth / 2, c))


def test_data_step_leaves_no_gradient():
    A, b, truth = problem()
    x = exercises.data_step(A, b, truth / 2, 0.3)
    assert torch.allclose(A.T(A(x) - b) + 0.3 * (x - truth / 2), 0 * x, atol=1e-10)


def test_prior_has_the_denoiser_as_its_prox():
    D, _ = theory.spectral_example(0.95)
    v = torch.randn(1, 12, generator=seeded(), dtype=F64)
    value = lambda x: float(exercises.prior(D, x) + 0.5 * (x - v).square().sum())
    best = v @ D
    for s in range(20):
        step = 0.1 * torch.randn(1, 12, generator=seeded(s), dtype=F64)
        assert value(best) < value(best + step)


def test_prior_costs_nothing_along_what_the_denoiser_keeps():
    D = torch.diag(torch.tensor([1.0, 0.01], dtype=F64))
    kept, lost = exercises.prior(D, torch.eye(2, dtype=F64))
    assert abs(float(kept)) < 1e-12
    assert float(lost) > 10


def test_first_that_fits_is_the_first_within_the_noise():
    A, b, truth = problem()
    noisy = A(truth) + 0.1 * torch.randn(b.shape, generator=seeded(), dtype=F64)
    xs = [truth - A.T(A(truth)) * share for share in (1.0, 0.5, 0.0, 0.0)]  # from bad to exact
    assert exercises.first_that_fits(A, noisy, xs, 0.1) == 2


def test_first_that_fits_says_so_where_none_does():
    A, b, truth = problem()
    assert exercises.first_that_fits(A, b + 1.0, [truth, truth], 1e-6) is None


def test_by_discrepancy_finds_the_parameter_whose_residual_is_the_noise():
    A, b, _ = problem()
    shrink, sigmas = (lambda v, sigma: (v + sigma / 3) / (1 + sigma)), (0.01, 0.1, 0.5, 2.0)
    for sigma in sigmas:
        x = pnp_ista(A, b, shrink, sigma, 15)[-1]
        noise = float((A(x) - b).norm()) / b.numel() ** 0.5
        assert exercises.by_discrepancy(A, b, shrink, sigmas, noise, 15) == sigma


def test_by_discrepancy_grows_with_the_noise():
    A, b, _ = problem()
    shrink, sigmas = (lambda v, sigma: (v + sigma / 3) / (1 + sigma)), (0.5, 0.01, 2.0, 0.1)
    found = [exercises.by_discrepancy(A, b, shrink, sigmas, n, 15) for n in (0.0, 0.1, 0.3, 9.0)]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0.01, 2.0)
