"""Chapter `hyperspectral`: patches, low rank, STAR and STAR-S by ADMM, and the networks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared_hyperspectral import F64, randn, seeded, units

from dunfold_lib.hyperspectral import data
from dunfold_lib.hyperspectral.lowrank import (
    band_noise,
    basis,
    expand,
    medians,
    noise_level,
    nuclear,
    procrustes,
    project,
    rank,
    subspace,
    svt,
)
from dunfold_lib.hyperspectral.patches import Patches, analysis, dct, synthesis, synthesis_plain

# patches


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("size", [(9, 10), (11, 13), (20, 17)])
def test_the_patch_operator_has_its_transpose_and_a_diagonal_gram_matrix(stride, size):
    R = Patches(9, stride)
    if min(size) <= stride:
        return
    G = randn(2, 3, *size)
    X = randn(*R(G).shape, seed=1)
    there, back = (R(G) * X).sum(), (G * R.T(X, size)).sum()
    assert float((there - back).abs()) < 1e-10
    torch.testing.assert_close(R.T(R(G), size), R.count(size, G) * G, rtol=0, atol=1e-10)
    assert (R.count(size, G) >= 1).all()  # every pixel is in a patch


def test_patches_are_those_of_the_image_and_the_count_inside_is_nominal():
    R = Patches(3, 1)
    G = randn(1, 2, 7, 8)
    X = R(G).unflatten(3, (5, 6)).unflatten(2, (3, 3))
    torch.testing.assert_close(X[0, 1, :, :, 2, 4], G[0, 1, 2:5, 4:7])
    assert (R.count((7, 8), G)[..., 2:-2, 2:-2] == R.nominal).all()
    assert Patches(9, 3).nominal == 9


@given(st.integers(0, 10**6))
def test_the_fast_mode_products_are_the_kronecker_product(seed):
    X = randn(2, 3, 16, 5, seed=seed)
    D = [randn(4, 4, seed=seed + 1), randn(4, 4, seed=seed + 2), randn(3, 3, seed=seed + 3)]
    torch.testing.assert_close(synthesis(X, *D), synthesis_plain(X, *D), rtol=0, atol=1e-11)
    Y = randn(2, 3, 16, 5, seed=seed + 4)
    there, back = (synthesis(X, *D) * Y).sum(), (X * analysis(Y, *D)).sum()
    torch.testing.assert_close(there, back, rtol=1e-11, atol=1e-11)
    one = X[0, :, :, 0].reshape(3, 4, 4)  # (band, row, column): the definition
    by_hand = torch.einsum("rs,ia,jb,sab->rij", D[2], D[0], D[1], one)
    torch.testing.assert_close(synthesis(X, *D)[0, :, :, 0], by_hand.flatten(1))


def test_the_cosines_are_orthonormal_and_only_the_first_has_a_mean():
    D = dct(9, F64)
    torch.testing.assert_close(D.T @ D, torch.eye(9, dtype=F64), rtol=0, atol=1e-14)
    torch.testing.assert_close(D.sum(0)[1:], torch.zeros(8, dtype=F64), rtol=0, atol=1e-13)
    i = torch.arange(9)
    torch.testing.assert_close(
        D[:, 2], (2 / 9) ** 0.5 * (2 * math.pi / 9 * (i + 0.5)).cos().to(F64)
    )


@pytest.mark.parametrize(("side", "stride"), [(9, 1), (9, 2), (4, 3), (4, 4), (1, 1), (5, 5)])
@pytest.mark.parametrize("size", [(31, 12), (13, 40), (10, 10)])
@pytest.mark.parametrize(("core", "halo"), [(7, 8), (1, 0), (16, 3), (100, 5)])
def test_tiles_cover_the_image_once_and_lie_on_the_grid(side, stride, size, core, halo):
    R = Patches(side, stride)
    seen = torch.zeros(size)
    whole = randn(1, 1, *size)
    for window, part, place in R.tiles(size, core, halo):
        seen[place] += 1
        cut = whole[..., *window]
        assert torch.equal(cut[..., *part], whole[..., *place])
        R.more(tuple(cut.shape[2:]))  # no window is too small
        for w, p, n in zip(window, place, size, strict=True):
            assert w.start % stride == 0
            assert w.start <= max(p.start - halo, 0)
            assert w.stop >= min(p.stop + halo, n)
            assert w.stop == n or (w.stop - w.start - side) % stride == 0
    assert (seen == 1).all()


# low rank


@given(st.integers(0, 10**6), st.floats(0, 3))
def test_svt_is_that_of_the_svd_and_the_prox_of_the_nuclear_norm(seed, tau):
    X = randn(4, 3, 7, seed=seed)
    U, s, Vt = torch.linalg.svd(X, full_matrices=False)
    by_svd = U @ torch.diag_embed((s - tau).relu()) @ Vt
    L = svt(X, tau)
    torch.testing.assert_close(L, by_svd, rtol=0, atol=1e-12)
    at = lambda L: 0.5 * (L - X).square().sum((1, 2)) + tau * nuclear(L)
    for scale in (1e-2, 1.0):
        assert (at(L) <= at(L + scale * randn(4, 3, 7, seed=seed + 1)) + 1e-9).all()
    other = randn(4, 3, 7, seed=seed + 2)  # firm non-expansiveness
    moved = L - svt(other, tau)
    assert (moved.square().sum((1, 2)) <= (moved * (X - other)).sum((1, 2)) + 1e-12).all()


def test_svts_own_backward_is_the_derivative():
    X = randn(5, 3, 6).requires_grad_()
    tau = torch.tensor([0.1, 1.0, 2.0, 0.5, 9.0], dtype=F64, requires_grad=True)
    assert float((torch.linalg.svdvals(X.detach())[:4] - tau[:4, None].detach()).abs().min()) > 1e-3
    assert torch.autograd.gradcheck(svt, (X, tau))


def test_svt_passes_finite_gradients_at_equal_zero_and_no_singular_values():
    twice = torch.eye(3, 5, dtype=F64)
    one = torch.ones(3, 5, dtype=F64)
    X = torch.stack([2 * twice, one, 0 * one]).requires_grad_()
    svt(X, 0.5).square().sum().backward()
    assert torch.isfinite(X.grad).all()
    # at c·I with c > τ: SVT(X) moves with the symmetric part of dX whole, by 1 − τ/c with the rest
    torch.testing.assert_close(X.grad[0], 2 * 1.5 * twice, rtol=0, atol=1e-12)
    same = randn(2, 3, 5).requires_grad_()
    svt(same, 0.0).sum().backward()
    torch.testing.assert_close(same.grad, torch.ones_like(same), rtol=0, atol=1e-10)


def test_svt_in_float32_keeps_small_singular_values():
    U, _, Vt = torch.linalg.svd(randn(1, 3, 8), full_matrices=False)
    s = torch.tensor([1e3, 1.0, 0.3], dtype=F64)
    X = (U * s) @ Vt
    exact = (U * (s - 0.2)) @ Vt
    torch.testing.assert_close(svt(X.float(), 0.2).double(), exact, rtol=0, atol=5e-4)


@given(st.integers(0, 10**6))
def test_procrustes_is_the_nearest_orthonormal_matrix(seed):
    M = randn(1, 7, 3, seed=seed)
    A = procrustes(M)
    torch.testing.assert_close(A.mT @ A, torch.eye(3, dtype=F64)[None], rtol=0, atol=1e-12)
    other = procrustes(randn(1, 7, 3, seed=seed + 1))
    assert float((A * M).sum()) >= float((other * M).sum()) - 1e-12


def test_procrustes_passes_gradients_and_stands_badly_conditioned_float32():
    assert torch.autograd.gradcheck(procrustes, (randn(2, 6, 3).requires_grad_(),))
    Q = procrustes(randn(1, 50, 4))
    M = (Q * torch.tensor([1e6, 1e3, 1.0, 1e-1], dtype=F64)).float()
    A = procrustes(M)
    assert float((A.mT @ A - torch.eye(4)).abs().max()) < 1e-6
    without = M * torch.tensor([1.0, 1.0, 1.0, 0.0])
    without.requires_grad_()
    procrustes(without)[..., :3].sum().backward()
    assert torch.isfinite(without.grad).all()


def test_the_subspace_is_that_of_the_svd_and_the_basis_ends_at_the_rank():
    Y, X = units(level=0.01)
    U = torch.linalg.svd(Y[0].flatten(1), full_matrices=False).U[:, :3]
    A = subspace(Y, 3)[0]
    torch.testing.assert_close(A @ A.T, U @ U.T, rtol=0, atol=1e-10)
    assert (A.sum(0) >= 0).all()
    torch.testing.assert_close(expand(project(X, A[None]), A[None]), X, rtol=0, atol=1.0)
    assert rank(Y, 1.0).tolist() == [3]
    assert basis(Y, 5)[0].any(0).tolist() == [True] * 3 + [False] * 2
    assert rank(torch.cat([Y, 0 * Y + randn(*Y.shape, seed=8)]), 1.0).tolist() == [3, 1]


def test_the_noise_level_is_found_in_every_band():
    truth = data.synthetic(seeded(1), (64, 64), 30, 4).double()
    deviation = torch.linspace(0.01, 0.1, 30).double()
    Y = truth + deviation[:, None, None] * randn(*truth.shape, seed=2)
    found = band_noise(Y)[0]
    assert float((found / deviation - 1).abs().median()) < 0.1
    assert float((found / deviation).min()) > 0.95  # what the others predict badly looks like noise
    white = truth + 0.05 * randn(*truth.shape, seed=3)
    assert 0.05 < float(noise_level(white)) < 0.055  # from above: 30 bands are few
    crop = data.Noise(50)(data.part("test"), seeded())
    assert float(noise_level(crop)) * 255 == pytest.approx(50, rel=0.02)


def test_few_pixels_spoil_neither_the_noise_level_nor_the_rank():
    Y = randn(100, 40, 10, 10, seed=4)  # the edge is 1.6² of the variance, the regressors 40 %
    assert float(band_noise(Y).square().mean()) == pytest.approx(1, abs=0.02)
    assert float(rank(Y, 1.0).double().mean()) < 1.5


def test_medians_leave_edges_and_take_impulses_away():
    Y = torch.zeros(1, 2, 9, 9)
    Y[..., 4:] = 1.0
    spoilt = Y.clone()
    spoilt[0, 0, 2, 2], spoilt[0, 1, 5, 7] = 1.0, 0.0
    assert torch.equal(medians(spoilt, 3), Y)
