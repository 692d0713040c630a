"""Chapter `imaging`, the classical half: total variation, wavelets, plug-and-play, its theory."""

from itertools import islice, pairwise

import cvxpy as cp
import numpy as np
import pytest
import torch
from shared_plug_and_play import F64, OPERATORS, picture, problem, seeded, sensing, steep

from dunfold_lib.imaging import denoisers, training
from dunfold_lib.imaging.baselines import (
    projection,
    total_variation,
    tv,
    tv_iterates,
    wavelet_ista,
    wavelet_objective,
    wavelet_phase,
)
from dunfold_lib.imaging.denoisers import CLASSICAL, Denoiser, tv_chambolle
from dunfold_lib.imaging.plug_and_play import pnp_ista
from dunfold_lib.operators import Blockwise, gradient, gradient_T
from dunfold_lib.solvers import conjugate_gradients
from dunfold_lib.training import Recipe
from dunfold_lib.wavelets import Wavelet

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
