"""The reading page on generative priors: the formula, the walk, what is recorded."""

import pytest
import torch

from dunfold_lib import experiment, records
from dunfold_lib.imaging import data, generative, langevin
from dunfold_lib.imaging import figures_generative as figures
from dunfold_lib.imaging.plug_and_play import falling, pnp_hqs


@pytest.mark.parametrize("sigma", [0.2, 1.0, 3.0])
def test_the_best_denoiser_of_the_mixture_is_tweedies(sigma):
    v = torch.linspace(-5, 6, 50, dtype=torch.float64).requires_grad_()
    (score,) = torch.autograd.grad(figures.mixture(sigma).log_prob(v).sum(), v)
    best = figures.mean_behind(v.detach(), sigma)
    assert torch.allclose(best, v.detach() + sigma**2 * score, atol=1e-9)
    assert not torch.allclose(best, v.detach() + 1.1 * sigma**2 * score, atol=1e-3)


def test_a_walk_without_noise_is_half_quadratic_splitting(monkeypatch):
    """Its halves in the other order: denoised once more, and HQS started from what is denoised."""
    x = data.small_camera()[..., :32, :32]
    A, b = data.blurred(x, torch.Generator().manual_seed(0))
    prior = langevin.Wiener(torch.full((32, 17), 0.1))
    sigmas = 5 * [0.1]
    monkeypatch.setattr(torch, "randn", lambda *a, **k: torch.zeros(()))
    walked = generative.annealed(A, b, prior, sigmas, 0.02, torch.Generator())
    plain = pnp_hqs(A, b, prior, sigmas, 0.02, prior(A.T(b), 0.1))
    assert torch.allclose(prior(walked[-1], 0.1), plain[-1], atol=1e-5)


def test_walks_differ_and_stay_with_the_data():
    x = data.small_camera()[..., :32, :32]
    A, b = data.blurred(x, torch.Generator().manual_seed(0))
    prior, g = langevin.Wiener(torch.full((32, 17), 0.1)), torch.Generator().manual_seed(1)
    many = b.expand(3, -1, -1, -1)
    xs = generative.annealed(A, many, prior, falling(0.5, 2 / 255, 10), data.BLUR_NOISE, g)
    assert float(xs[-1].std(0).mean()) > 1e-4
    assert float((A(xs[-1]) - many).square().mean().sqrt()) < 3 * data.BLUR_NOISE


def test_training_pairs_have_every_noise_level():
    v, truth = generative.noisy(64, torch.Generator().manual_seed(0))
    sigma = v[:, 1, 0, 0]
    assert float(sigma.min()) >= generative.LOW * 0.999
    assert float(sigma.max()) <= generative.HIGH * 1.001
    assert float(sigma.median()) < 0.15
    found = (v[:, :1] - truth).flatten(1).std(1)
    assert torch.allclose(found, sigma, rtol=0.15)


def test_three_runs_are_recorded_and_the_network_opens():
    runs = records.recorded("imaging/generative")
    assert len(runs) == 3
    assert all(r["cpu_seconds"] < 240 for r in runs)
    assert experiment.load("imaging/generative") is not None
    assert len(figures.restorations()[1]) == len(figures.TITLES)
