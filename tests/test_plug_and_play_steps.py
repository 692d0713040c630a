"""Of plug and play: steps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_plug_and_play import F64, OPERATORS, picture, problem, seeded, sensing, steep

from dunfold_lib.imaging import denoisers, theory
from dunfold_lib.imaging.baselines import wavelet_ista, wavelet_objective
from dunfold_lib.imaging.denoisers import tv_chambolle
from dunfold_lib.imaging.plug_and_play import (
    d_amp,
    data_prox,
    divergence,
    falling,
    pnp_admm,
    pnp_hqs,
    pnp_ista,
)
from dunfold_lib.operators import Blockwise, Blur, Sensing
from dunfold_lib.prox import soft
from dunfold_lib.solvers import conjugate_gradients, jacobian_norm
from dunfold_lib.wavelets import Wavelet

# --- plug and play ---


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("c", [0.05, 1.0])
def test_the_data_step_is_where_its_gradient_vanishes(name, c):
    A, b, truth = problem(name)
    v = torch.rand(truth.shape, generator=seeded(2), dtype=F64)
    x = data_prox(A, b, v, c)
    assert float((A.T(A(x) - b) + c * (x - v)).abs().max()) < 1e-9
    if name == "whole blocks":  # orthonormal rows: a formula
        assert torch.allclose(x, v + A.T(b - A(v)) / (1 + c), atol=1e-12)


@pytest.mark.parametrize("c", [0.0, 1e-3, 0.3])
def test_the_data_step_of_a_blur_agrees_with_conjugate_gradients(c):
    A = Blur(torch.tensor([[1.0, 4, 2]], dtype=F64).T / 7, (16, 16))  # loses no frequency
    b = A(picture(16, 2)) + 0.01
    v = torch.rand(b.shape, generator=seeded(2), dtype=F64)
    solver = conjugate_gradients(lambda d: A.T(A(d)) + c * d, A.T(b - A(v)), 500, 1e-14)
    torch.testing.assert_close(data_prox(A, b, v, c), v + solver, rtol=0, atol=1e-8)


def test_a_frequency_that_the_blur_loses_stays_where_it_was():
    A, b, truth = problem("blur")  # (1, 2, 1)/4 has a zero at the highest frequency
    v = torch.rand(truth.shape, generator=seeded(2), dtype=F64)
    x = data_prox(A, b, v, 0.0)
    sign = torch.tensor([1.0, -1], dtype=F64).repeat(8)[:, None]
    torch.testing.assert_close((x * sign).sum((2, 3)), (v * sign).sum((2, 3)))
    assert float((A(x) - b).abs().max()) < 1e-9


def test_plug_and_play_admm_is_half_the_identity_half_two_reflections():
    A, b, truth = problem("whole blocks")
    D, c = denoisers.quietly(steep()), 0.3
    zs = pnp_admm(A, b, D, 0.1, 4, c, start=truth)
    s = data_prox(A, b, zs[0], c)
    P, reflect = lambda v: data_prox(A, b, v, c), lambda f, v: 2 * f(v) - v
    for z in zs[1:]:
        torch.testing.assert_close(z, D(s, 0.1))
        s = 0.5 * s + 0.5 * reflect(P, reflect(lambda v: D(v, 0.1), s))


def test_with_an_exact_prox_plug_and_play_is_the_classical_algorithm():
    A, b, _ = problem("whole blocks")
    W, lam = Wavelet((16, 16), "haar"), 0.02
    prox = lambda v, t: W(soft(W.T(v), t))
    for ours, theirs in zip(
        pnp_ista(A, b, prox, lam, 20), wavelet_ista(A, W, b, lam, 20), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-12)
    z = pnp_admm(A, b, prox, lam / 0.1, 150, c=0.1)[-1]
    F = lambda x: float(wavelet_objective(A, W, b, lam, x).sum())
    better = F(wavelet_ista(A, W, b, lam, 200, start=z)[-1])
    assert F(z) - better < 1e-6 * F(z)  # already a minimiser
    x = pnp_ista(A, b, prox, lam, 1, rho=0.5, start=z)[-1]
    assert torch.allclose(x, prox(z - 0.5 * A.T(A(z) - b), lam), atol=1e-12)


def test_hqs_alternates_the_data_step_and_the_denoiser():
    A, b, truth = problem("whole blocks")
    levels = falling(0.2, 0.05, 3)
    assert levels == pytest.approx([0.2, 0.1, 0.05])
    xs = pnp_hqs(A, b, tv_chambolle, levels, 0.02, A.T(b))
    x = A.T(b)
    for k, sigma in enumerate(levels):
        x = tv_chambolle(data_prox(A, b, x, (0.02 / sigma) ** 2), sigma)
        assert torch.equal(x, xs[k + 1])
    assert float((x - truth).norm()) < float((A.T(b) - truth).norm())


def test_the_divergence_estimate_is_the_trace_of_a_linear_denoiser():
    M = torch.randn(64, 64, generator=seeded(), dtype=F64) / 8
    linear = lambda v, s: (v.flatten(1) @ M.T).reshape(v.shape)
    v = torch.rand(4000, 1, 8, 8, generator=seeded(1), dtype=F64)
    found = divergence(linear, v, 0.1, seeded(2))
    error = float(found.std()) / 4000**0.5
    assert float(found.mean()) == pytest.approx(float(M.trace()), abs=4 * error)
    shrink = lambda v, s: 0.5 * v  # here every probe is exact
    assert torch.allclose(divergence(shrink, v[:2], 0.1, seeded()), torch.full((2,), 32.0).double())


def test_d_amp_recovers_is_repeatable_and_does_not_mind_the_scale():
    A = Blockwise(sensing(32), (32, 32))
    truth = picture(32)
    run = lambda op, b: d_amp(op, b, tv_chambolle, 20, seeded(), 0.5)[-1]
    x = run(A, A(truth))
    assert float((x - truth).norm()) < 0.1 * float(truth.norm())
    assert torch.equal(x, run(A, A(truth)))
    scaled = Blockwise(Sensing(10 * A.block.Phi), (32, 32))
    assert torch.allclose(run(scaled, scaled(truth)), x, atol=1e-5)


def test_d_amp_is_the_step_of_the_paper_by_hand():
    """A linear denoiser, whose divergence every probe finds in a mean; here D = ½I: exactly n/2."""
    g = seeded(4)
    Phi = torch.randn(20, 64, generator=g, dtype=F64)
    Phi = Phi / (Phi.square().sum() / 64).sqrt()  # columns of length one on average
    A, truth = Sensing(Phi), picture(8)
    b, half = A(truth), lambda v, sigma: 0.5 * v
    probe = torch.randint(2, (1, 1, 8, 8), generator=seeded()) * 2.0 - 1
    length = float(A(probe.double()).norm()) / 8  # d_amp scales by one probe's length
    Phi, b = Phi / length, b / length
    x, z = torch.zeros(1, 64, dtype=F64), b
    for k, found in enumerate(d_amp(A, A(truth), half, 4, seeded())[1:]):
        x = 0.5 * (x + z @ Phi)
        torch.testing.assert_close(found.flatten(1), x, msg=f"step {k}")
        z = b - x @ Phi.T + z * (0.5 * 64) / 20


def test_d_amp_tells_the_denoiser_the_residuals_level():
    A, seen = sensing(20), []
    spy = lambda v, sigma: seen.append(sigma) or 0 * v
    d_amp(A, A(picture(8)), spy, 1, seeded())
    b = A(picture(8))
    probe = (torch.randint(2, (1, 1, 8, 8), generator=seeded()) * 2 - 1).to(F64)
    length = float(A(probe).norm()) / 8
    assert seen[0] == pytest.approx(float(b.norm()) / length / 20**0.5)


@pytest.mark.parametrize("orthonormal", [True, False])
def test_d_amp_needs_one_matrix_for_the_whole_image_not_gaussian_entries(orthonormal):
    """Undamped, one matrix for the whole image at 25 %: both kinds arrive."""
    truth, side = picture(32), 32

    def matrix(n, seed):
        Phi = torch.randn(n // 4, n, generator=seeded(seed), dtype=F64)
        return torch.linalg.qr(Phi.T)[0].T.contiguous() if orthonormal else Phi / (n // 4) ** 0.5

    whole = Sensing(matrix(side * side, 0))
    x = d_amp(whole, whole(truth), tv_chambolle, 20, seeded())[-1]
    assert float((x - truth).norm()) < 0.1 * float(truth.norm())


# --- theory ---


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_the_variance_factor_is_what_random_draws_show(seed):
    g = seeded(seed)
    p, q, n = (int(torch.randint(2, 8, (1,), generator=g)) for _ in range(3))
    A, B = torch.randn(p, n, generator=g, dtype=F64), torch.randn(q, p, generator=g, dtype=F64)
    exact = theory.variance_factor(A, B)
    for sigma in (0.1, 3.0):
        assert theory.sampled_factor(A, B, sigma, 40_000, g) == pytest.approx(exact, rel=0.06)


def test_the_variance_factor_by_hand():
    eye = torch.eye(3, dtype=F64)
    assert theory.variance_factor(eye, eye) == pytest.approx(0.5 - 0.5 / np.pi)
    both = torch.cat([eye, -eye])  # ReLU(u) − ReLU(−u) = u
    assert theory.variance_factor(both, torch.cat([eye, -eye], 1)) == pytest.approx(1)


@pytest.mark.parametrize("value", [-1.2, -0.5, 0.0, 0.95, 1.05, 1.3])
def test_the_spectral_radius_decides_whether_the_iteration_diverges(value):
    D, Phi = theory.spectral_example(value)
    radius = theory.spectral_radius(D, Phi, 1.0)
    if abs(value) > 0.9:
        assert radius == pytest.approx(abs(value))
    assert theory.is_prox(D) == (0 <= value <= 1)
    start = torch.randn(1, 12, generator=seeded(), dtype=F64)
    xs = theory.linear_iterates(D, Phi, torch.zeros(1, 6, dtype=F64), 1.0, 400, start)
    grew = float(xs[400].norm()) ** (1 / 400) if radius else 0.0
    assert (float(xs[400].norm()) > float(start.norm())) == (radius > 1)
    assert grew == pytest.approx(radius, rel=0.02)


def test_the_contraction_holds_for_a_strongly_convex_data_term():
    g = seeded(4)
    M = torch.randn(10, 10, generator=g, dtype=F64)
    gram = M @ M.T / 10 + 0.5 * torch.eye(10)
    mu, L = (float(v) for v in torch.linalg.eigvalsh(gram)[[0, -1]])
    R = torch.randn(10, 10, generator=g, dtype=F64)
    D = torch.eye(10) + 0.1 * R / torch.linalg.matrix_norm(R, 2)
    for rho in (0.1 / L, 1 / L, 2 / (mu + L)):
        T = D @ (torch.eye(10) - rho * gram)
        bound = theory.contraction(rho, mu, L, 0.1)
        assert float(torch.linalg.matrix_norm(T, 2)) <= bound + 1e-12


def test_the_local_lipschitz_constant_of_a_linear_map_is_its_norm():
    M = torch.randn(9, 9, generator=seeded(), dtype=F64)
    f = lambda v: v @ M.T
    v = torch.zeros(1, 9, dtype=F64)
    found = jacobian_norm(f, v, 500, seeded(1))
    assert found == pytest.approx(float(torch.linalg.matrix_norm(M, 2)), rel=1e-6)
    assert jacobian_norm(lambda v: 0 * v, v, 3, seeded()) == 0


def test_the_local_radius_of_a_linear_map_is_its_largest_eigenvalue_not_its_norm():
    M = torch.tensor([[0.5, 10.0], [0.0, -1.2]], dtype=F64)
    v = torch.zeros(1, 2, dtype=F64)
    assert theory.local_radius(lambda x: x @ M.T, v, 200, seeded()) == pytest.approx(1.2, rel=1e-3)
    turn = torch.tensor([[0.0, -0.9], [0.9, 0.0]], dtype=F64)  # a complex pair
    assert theory.local_radius(lambda x: x @ turn.T, v, 60, seeded()) == pytest.approx(0.9)
    assert theory.local_radius(lambda x: 0 * x, v, 4, seeded()) == 0


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_tweedies_formula_gives_the_posterior_mean(sigma):
    means, spread = torch.tensor([-1.0, 0.5, 2.0], dtype=F64), 0.1
    v = torch.linspace(-3, 4, 50, dtype=F64, requires_grad=True)
    density = theory.mixture_density(v, means, spread, sigma)
    (score,) = torch.autograd.grad(density.log().sum(), v)
    found = theory.mixture_mean(v.detach(), means, spread, sigma)
    torch.testing.assert_close(v.detach() + sigma**2 * score, found)
    grid = torch.linspace(-8, 9, 20001, dtype=F64)  # Bayes's rule as an integral
    prior = theory.mixture_density(grid, means, 1e-9, spread)
    weight = prior * (-(v.detach()[:, None] - grid).square() / (2 * sigma**2)).exp()
    torch.testing.assert_close((weight * grid).sum(1) / weight.sum(1), found, rtol=0, atol=1e-6)


def test_minus_the_identity_on_the_null_space_oscillates():
    D = lambda v, s: -v
    A, b, _ = problem("whole blocks")
    v = torch.rand(2, 1, 16, 16, generator=seeded(), dtype=F64)
    hidden = v - A.T(A(v))
    xs = pnp_ista(A, 0 * b, D, 0.1, 4, start=hidden)
    assert torch.allclose(xs[1], -hidden)
    assert torch.allclose(xs[4], hidden)
