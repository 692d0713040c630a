"""Chapter `imaging`, the classical half: total variation, wavelets, plug-and-play, its theory."""

from itertools import islice, pairwise

import cvxpy as cp
import numpy as np
import pages
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dunfold_lib.imaging import data, denoisers, evaluation, experiments, theory, training
from dunfold_lib.imaging.baselines import (
    projection,
    total_variation,
    tv,
    tv_iterates,
    wavelet_ista,
    wavelet_objective,
    wavelet_phase,
)
from dunfold_lib.imaging.denoisers import CLASSICAL, Denoiser, LearnedProx, tv_chambolle
from dunfold_lib.imaging.plug_and_play import (
    d_amp,
    data_prox,
    divergence,
    falling,
    pnp_admm,
    pnp_hqs,
    pnp_ista,
)
from dunfold_lib.operators import (
    Blockwise,
    Blur,
    Fourier,
    Mask,
    Sensing,
    gradient,
    gradient_T,
    norm,
)
from dunfold_lib.prox import soft
from dunfold_lib.solvers import conjugate_gradients, jacobian_norm
from dunfold_lib.training import Recipe
from dunfold_lib.wavelets import Wavelet

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def picture(side=32, rows=1, seed=0):
    """Two flat regions with a little texture, in [0, 1]: (rows, 1, side, side)."""
    x = torch.full((rows, 1, side, side), 0.3, dtype=F64)
    x[..., side // 4 : side // 2 + 3, side // 3 :] = 0.8
    return x + 0.02 * torch.rand(x.shape, generator=seeded(seed), dtype=F64)


def sensing(m, side=8, seed=0):
    Q, _ = torch.linalg.qr(torch.randn(side**2, m, generator=seeded(seed), dtype=F64))
    return Sensing(Q.T.contiguous())


def lopsided(side=16):
    """A Fourier mask with frequencies that are measured without their opposites."""
    mask = (torch.rand(side, side, generator=seeded(3)) < 0.4).double()
    mask[0, 0] = 1
    return Fourier(mask)


OPERATORS = {
    "whole blocks": lambda: Blockwise(sensing(20), (16, 16)),
    "cut blocks": lambda: Blockwise(sensing(20), (13, 15)),
    "mask": lambda: Mask((torch.rand(16, 16, generator=seeded(1)) < 0.5).double()),
    "Fourier, symmetric": lambda: Fourier(data.radial_mask(30, 16).double()),
    "Fourier, lopsided": lopsided,
    "blur": lambda: Blur(torch.tensor([[1.0, 2, 1]], dtype=F64).T / 4, (16, 16)),
}


def problem(name):
    A = OPERATORS[name]()
    truth = picture(16, 2)[..., : A.domain[1], : A.domain[2]].contiguous()
    return A, A(truth), truth


# --- classical ---


def test_the_gradients_transpose_is_its_transpose():
    x = torch.randn(2, 1, 5, 7, generator=seeded(), dtype=F64)
    p = torch.randn(2, 2, 1, 5, 7, generator=seeded(1), dtype=F64)
    assert float((gradient(x) * p).sum()) == pytest.approx(float((x * gradient_T(p)).sum()))
    assert float(tv(torch.ones_like(x)).max()) == 0


@pytest.mark.parametrize("name", OPERATORS)
def test_the_projection_lands_on_the_data_and_is_the_nearest(name):
    A, b, truth = problem(name)
    v = torch.rand(truth.shape, generator=seeded(2), dtype=F64)
    x = projection(A, b, 400)(v)
    tol = 1e-6 if name in ("blur", "cut blocks") else 1e-10
    assert float((A(x) - b).abs().max()) < tol
    # v − x is orthogonal to every other solution's difference
    assert float(((v - x) * (truth - x)).sum().abs()) < 1e-6


@pytest.mark.parametrize("name", [n for n in OPERATORS if n != "blur"])
def test_every_iterate_of_total_variation_satisfies_the_data(name):
    A, b, truth = problem(name)
    for x in islice(tv_iterates(A, b), 0, 40, 8):
        assert float((A(x) - b).abs().max()) < 1e-6
    x = total_variation(A, b, 60 if name == "cut blocks" else 300)
    assert bool((tv(x) <= tv(truth) + 1e-3).all())


def test_total_variation_agrees_with_a_convex_solver():
    A = Blockwise(sensing(24), (8, 8))
    b = A(picture(8))
    z = cp.Variable((8, 8))
    zero = np.zeros
    down = cp.vstack([z[1:] - z[:-1], zero((1, 8))])
    across = cp.hstack([z[:, 1:] - z[:, :-1], zero((8, 1))])
    parts = cp.vstack([cp.vec(down, order="C"), cp.vec(across, order="C")])
    fits = A.block.Phi.numpy() @ cp.vec(z, order="C") == b.numpy()[0, 0]
    best = cp.Problem(cp.Minimize(cp.sum(cp.norm(parts, 2, axis=0))), [fits])
    best.solve(solver=cp.CLARABEL)
    assert float(tv(total_variation(A, b, 3000))) == pytest.approx(best.value, rel=1e-4)


def test_conjugate_gradients_solve_each_row_on_its_own():
    M = torch.randn(6, 6, generator=seeded(), dtype=F64)
    M, c = M @ M.T + torch.eye(6), torch.randn(3, 6, generator=seeded(1), dtype=F64)
    c[1] = 0
    y = conjugate_gradients(lambda v: v @ M, c, 60, 1e-14)
    assert torch.allclose(y @ M, c, atol=1e-9)
    alone = conjugate_gradients(lambda v: v @ M, c[2:], 60, 1e-14)
    assert torch.allclose(y[2:], alone, atol=1e-12)
    assert not y[1].any()


def test_wavelet_istas_objective_never_rises_and_its_phase_is_its_step():
    A, b, _ = problem("whole blocks")
    W = Wavelet((16, 16), "haar")
    xs = wavelet_ista(A, W, b, 0.02, 60)
    values = torch.stack([wavelet_objective(A, W, b, 0.02, x) for x in xs])
    assert bool((values.diff(dim=0) <= 1e-12).all())
    assert float(values[-1].sum()) < 0.7 * float(values[0].sum())
    phase = wavelet_phase(A, W, 1.0, 0.02, xs[4], b)
    assert torch.allclose(phase.x, xs[5], atol=1e-12)
    assert torch.allclose(W(phase.z), phase.r)


# --- denoisers ---


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_denoiser_lowers_the_error_and_keeps_shape_and_dtype(name, dtype):
    truth = picture(32, 2).to(dtype)
    v = truth + 0.1 * torch.randn(truth.shape, generator=seeded(), dtype=dtype)
    before = v.clone()
    x = CLASSICAL[name](v, 0.1)
    assert x.shape == v.shape
    assert x.dtype == dtype
    assert torch.equal(v, before)
    assert float((x - truth).square().mean()) < 0.5 * float((v - truth).square().mean())
    assert torch.equal(CLASSICAL[name](v, 0.0), v)
    assert torch.allclose(CLASSICAL[name](v[1:], 0.1), x[1:])  # a row alone


def test_the_learned_denoiser_starts_as_the_identity_with_the_stated_count():
    net = Denoiser()
    assert sum(p.numel() for p in net.parameters()) == 28_641
    v = torch.rand(2, 1, 9, 9, generator=seeded())
    assert torch.equal(net(v, 0.1), v)


def test_a_few_steps_of_its_recipe_lower_the_loss():
    net = Denoiser(channels=4)
    losses = training.train_denoiser(net, Recipe(steps=8, batch=4, lr=1e-2))
    assert sum(losses[-3:]) < sum(losses[:3])
    v, truth = training.noisy_patches(3, seeded())
    assert v.shape == (3, 2, 40, 40)
    assert truth.shape == (3, 1, 40, 40)
    each = torch.tensor([0.0, 0.1, 0.2]).reshape(3, 1, 1, 1)
    with torch.no_grad():
        alone = torch.cat([net(truth[i : i + 1], float(each[i])) for i in range(3)])
        assert torch.allclose(net(truth, each), alone, atol=1e-6)


def test_total_variation_denoising_is_nearly_firmly_nonexpansive():
    x, y = (torch.rand(1, 1, 16, 16, generator=seeded(s), dtype=F64) for s in (0, 1))
    p, q = tv_chambolle(x, 0.1), tv_chambolle(y, 0.1)
    assert float((p - q).square().sum()) <= float(((p - q) * (x - y)).sum()) * (1 + 1e-2)


def steep(side=7, seed=0):
    """A learned prox in double precision, with thresholds of different sizes."""
    net = LearnedProx(channels=5, side=side, seed=seed).double()
    with torch.no_grad():
        net.free.copy_(torch.linspace(-3, 1, 5))
    return net


@pytest.mark.parametrize("side", [3, 7])
def test_the_learned_proxs_jacobian_is_symmetric_with_its_spectrum_in_0_1(side):
    net = steep(side)
    v = torch.rand(1, 1, 9, 8, generator=seeded(), dtype=F64)
    J = torch.autograd.functional.jacobian(lambda u: net(u, 0.1), v).reshape(72, 72)
    values = torch.linalg.eigvalsh((J + J.T) / 2)
    assert float((J - J.T).abs().max()) < 1e-12
    assert -1e-12 < float(values.min()) < 0.8
    assert 0.9 < float(values.max()) < 1 + 1e-12


def test_the_learned_prox_is_its_formula_with_a_matrix():
    net, v = steep(3), torch.randn(1, 1, 6, 5, generator=seeded(), dtype=F64)
    apply = lambda u: torch.nn.functional.conv2d(u, net.filters(), padding=1).flatten(1)
    W = apply(torch.eye(30, dtype=F64).reshape(30, 1, 6, 5)).T  # (5·30, 30)
    most = 0.4 * net.theta.repeat_interleave(30)
    clipped = torch.maximum(torch.minimum(W @ v.flatten(), most), -most)
    expected = v.flatten() - W.T @ clipped
    assert 20 < int((clipped.abs() == most).sum()) < 130
    torch.testing.assert_close(net(v, 0.4).flatten(), expected)
    torch.testing.assert_close(net(-v, 0.4), -net(v, 0.4))


@pytest.mark.parametrize("side", [3, 7, 15])
def test_the_learned_proxs_filters_have_a_norm_just_below_one(side):
    w = steep(side).filters()[:, 0].detach()
    top = float(torch.fft.rfft2(w, s=(1021, 1021)).abs().square().sum(0).max())  # off the grid
    assert 0.6 < top <= 1


def test_the_learned_prox_takes_a_noise_level_for_each_image_and_gives_v_back_for_none():
    net, v = steep(), torch.rand(2, 1, 12, 12, generator=seeded(), dtype=F64)
    levels = v.new_tensor([0.05, 0.2]).reshape(2, 1, 1, 1)
    alone = torch.cat([net(v[i : i + 1], float(levels[i])) for i in range(2)])
    torch.testing.assert_close(net(v, levels), alone)
    torch.testing.assert_close(net(v, 0.0), v)
    inside = (..., slice(6, -6), slice(6, -6))  # flat regions stay
    flat = torch.full((1, 1, 20, 20), 0.4, dtype=F64)
    torch.testing.assert_close(net(flat, 0.5)[inside], flat[inside])


def test_plug_and_play_with_the_learned_prox_never_raises_its_objective_and_settles():
    A, b, _ = problem("blur")
    net = denoisers.quietly(steep())
    xs = pnp_ista(A, b, net, 0.05, 600)
    moves = [float((x - y).norm()) for y, x in pairwise(xs)]
    assert all(n <= m * (1 + 1e-9) for m, n in pairwise(moves))
    assert moves[-1] < 1e-2 * moves[0]


def test_relaxing_a_denoiser_mixes_it_with_the_identity():
    v = torch.rand(1, 1, 4, 4, generator=seeded())
    D = denoisers.relaxed(lambda v, s: 3 * v, 0.25)
    torch.testing.assert_close(D(v, 0.1), 1.5 * v)


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


# --- experiments ---


def test_the_chapters_protocol_and_its_starts():
    image = data.wheel_images("test")["camera"][..., :40, :70].contiguous()
    A, b = data.sensed(image, 25)
    assert A.domain == (1, 66, 99)
    assert b.shape == (1, 6, 272)
    v = torch.rand(1, 1, 66, 99, generator=seeded())
    assert torch.allclose(A(A.T(b)), b, atol=1e-5)  # whole blocks: A Aᵀ = I
    assert norm(A) == pytest.approx(1, abs=1e-5)
    assert v.shape == A.T(b).shape
    B, blurry = data.blurred(image, seeded())
    assert float((blurry - B(image)).std()) == pytest.approx(2 / 255, rel=0.1)


def test_a_classical_baseline_is_measured_on_a_readers_folder(tmp_path):
    from PIL import Image

    pixels = (picture(40)[0, 0] * 255).byte().numpy()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    e = experiments.EXPERIMENTS["tv-25"]
    assert e.build() is None
    assert e.published == {"psnr": 27.92}
    found = e.measure(None, 0, tmp_path)
    assert found["psnr"] > 28
    scores = experiments.EXPERIMENTS["denoise-tv"].measure(None, 0, tmp_path)
    assert scores["psnr_15"] > scores["psnr_25"] > 20


@pytest.mark.parametrize("name", ["cnn", "relaxed", "admm", "prox"])
def test_a_long_deblurring_records_what_the_chapter_says(name, monkeypatch):
    monkeypatch.setattr(evaluation, "small_camera", lambda: picture(16).float())
    monkeypatch.setattr(evaluation, "learned", lambda name="cnn": LearnedProx(4, 3))
    monkeypatch.setattr(evaluation, "LONG_SEEN", (1, 2, 60, 70, 1000))
    found = evaluation.measure_long(name, None, 0)
    assert len(found["moves"]) == len(found["psnr_seen"]) == 5
    assert found["psnr_seen"][2] == found["psnr_60"]
    assert found["psnr"] == found["psnr_1000"] == found["psnr_seen"][4]
    assert found["moves"][-1] < found["moves"][0]
    assert (name == "admm") == ("radius" not in found)
    assert name == "admm" or 0 < found["radius"] < 1 + 1e-4  # a prox: never above one


# --- bad input ---


def wrong(call, error, match):
    with pytest.raises(error, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("denoise", [*CLASSICAL.values(), Denoiser(), LearnedProx()])
def test_a_denoiser_says_what_is_wrong(denoise):
    v = torch.rand(1, 1, 16, 16)
    wrong(lambda: denoise(v[0], 0.1), ValueError, "shape")
    wrong(lambda: denoise(v.expand(1, 3, 16, 16), 0.1), ValueError, "shape")
    wrong(lambda: denoise(v.long(), 0.1), TypeError, "dtype")
    wrong(lambda: denoise(v, -0.1), ValueError, "sigma is -0.1")
    wrong(lambda: denoise(v, float("nan")), ValueError, "sigma is nan")
    if not isinstance(denoise, torch.nn.Module):
        wrong(lambda: denoise(v / 0, 0.1), ValueError, "NaN")
        wrong(lambda: denoise(v[:0], 0.1), ValueError, "empty")


def test_the_algorithms_say_what_is_wrong():
    A, b, truth = problem("whole blocks")
    D = tv_chambolle
    runs = {
        "ista": lambda b, K=2: pnp_ista(A, b, D, 0.1, K),
        "admm": lambda b, K=2: pnp_admm(A, b, D, 0.1, K),
        "hqs": lambda b, K=2: pnp_hqs(A, b, D, [0.1] * K, 0.1),
        "d-amp": lambda b, K=2: d_amp(A, b, D, K, seeded()),
        "tv": lambda b, K=2: total_variation(A, b, K),
        "wavelet": lambda b, K=2: wavelet_ista(A, Wavelet((16, 16), "haar"), b, 0.1, K),
        "prox": lambda b, K=2: data_prox(A, b, truth, 1.0, K),
    }
    for name, run in runs.items():
        wrong(lambda r=run: r(b[..., :3]), ValueError, "shape")
        wrong(lambda r=run: r(b / 0), ValueError, "NaN")
        wrong(lambda r=run: r(b.long()), TypeError, "dtype")
        wrong(lambda r=run: r(b[:0]), ValueError, "empty")
        if name != "hqs":
            wrong(lambda r=run: r(b, -1), ValueError, "at least")
    wrong(lambda: pnp_ista(A, b, D, -1.0, 2), ValueError, "sigma")
    wrong(lambda: pnp_ista(A, b, D, 0.1, 2, rho=0.0), ValueError, "rho")
    wrong(lambda: pnp_ista(A, b, D, 0.1, 2, start=truth[:1]), ValueError, "start")
    wrong(lambda: pnp_hqs(A, b, D, [0.0], 0.1), ValueError, "sigma")
    wrong(lambda: pnp_admm(A, b, D, 0.1, 2, c=-1.0), ValueError, "c is")
    wrong(lambda: d_amp(A, b, D, 2, seeded(), 0.0), ValueError, "damping")
    wrong(lambda: falling(0.1, 0.2, 3), ValueError, "high")
    wrong(lambda: total_variation(3, b), TypeError, "Linear")
    wrong(lambda: wavelet_ista(A, Wavelet((8, 8), "haar"), b, 0.1, 2), ValueError, "Wavelet")
    wild = lambda v, s: 5 * v
    wrong(lambda: d_amp(A, b, wild, 80, seeded()), ValueError, "lower damping")


def test_the_theory_says_what_is_wrong():
    M = torch.eye(3)
    wrong(lambda: theory.variance_factor(M, torch.ones(2, 4)), ValueError, "columns")
    wrong(lambda: theory.variance_factor(M[0], M), ValueError, "matrix")
    wrong(lambda: theory.is_prox(torch.ones(2, 3)), ValueError, "square")
    wrong(lambda: theory.spectral_radius(M, torch.ones(1, 2), 1.0), ValueError, "columns")
    wrong(lambda: theory.spectral_example(float("inf")), ValueError, "value")
    wrong(lambda: theory.contraction(0.1, 2.0, 1.0, 0.1), ValueError, "L is")
    wrong(lambda: jacobian_norm(lambda v: v, M / 0, 2, seeded()), ValueError, "NaN")


# --- the page's solutions ---


SOLUTIONS = pages.solutions("imaging/plug_and_play")


def test_averaging_makes_the_oscillation_stop():
    A, b, _ = problem("whole blocks")
    v = torch.rand(2, 1, 16, 16, generator=seeded(), dtype=F64)
    xs = pnp_ista(A, 0 * b, SOLUTIONS.averaged(lambda v, s: -v), 0.1, 4, start=v)
    assert float(xs[1].norm()) < 1e-12


def test_the_data_step_by_hand_is_the_solver():
    A, b, truth = problem("whole blocks")
    assert torch.allclose(
        SOLUTIONS.data_step(A, b, truth / 2, 0.3), data_prox(A, b, truth / 2, 0.3)
    )


def test_the_prior_of_a_linear_denoiser_has_it_as_its_prox():
    D, _ = theory.spectral_example(0.95)
    v = torch.randn(1, 12, generator=seeded(), dtype=F64)
    value = lambda x: float(SOLUTIONS.prior(D, x) + 0.5 * (x - v).square().sum())
    best = v @ D
    for s in range(20):
        step = 0.1 * torch.randn(1, 12, generator=seeded(s), dtype=F64)
        assert value(best) < value(best + step)


def test_the_first_iterate_that_fits_is_found_and_none_where_none_does():
    A, b, truth = problem("whole blocks")
    noisy = A(truth) + 0.1 * torch.randn(b.shape, generator=seeded(), dtype=F64)
    xs = [truth - A.T(A(truth)) * share for share in (1.0, 0.5, 0.0)]  # from bad to exact
    assert SOLUTIONS.first_that_fits(A, noisy, xs, 0.1) == 2
    assert SOLUTIONS.first_that_fits(A, noisy, xs, 1e-6) is None
