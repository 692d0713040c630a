"""Chapter `hyperspectral`: patches, low rank, STAR and STAR-S by ADMM, and the networks."""

import csv
import math
import time
from dataclasses import fields, replace
from io import StringIO
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat
from skimage.metrics import structural_similarity

from dunfold_lib import fetch, metrics, training
from dunfold_lib.hyperspectral import (
    algorithm,
    baselines,
    data,
    evaluation,
    fast,
    published,
    readers,
    scores,
)
from dunfold_lib.hyperspectral import training as hyperspectral_training
from dunfold_lib.hyperspectral.algorithm import Star, history, star, star_s
from dunfold_lib.hyperspectral.classify import class_map, classify, discriminant, kappa
from dunfold_lib.hyperspectral.experiments import ABLATIONS, EXPERIMENTS, NETWORKS
from dunfold_lib.hyperspectral.fast import denoise, estimate
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
from dunfold_lib.hyperspectral.model import (
    Noisy,
    SMDSNet,
    STARNet,
    STARNetPaper,
    STARNetS,
    as_sweeps,
    decibels,
    measured,
    squared,
)
from dunfold_lib.hyperspectral.patches import (
    Patches,
    analysis,
    dct,
    mean,
    synthesis,
    synthesis_plain,
)

F64 = torch.float64
NETWORKS_HERE = (SMDSNet, STARNet, STARNetS, STARNetPaper)
SMALL = {"K": 3, "side": 4, "r": 3, "stride": 2}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def count(net):
    return sum(p.numel() for p in net.parameters())


def units(seed=0, size=(14, 13), bands=8, level=0.05):
    """A small noisy cube in units of σ, and the clean one."""
    truth = data.synthetic(seeded(seed), size, bands, 3).double()
    noise = torch.randn(truth.shape, generator=seeded(seed + 1), dtype=F64)
    return truth / level + noise, truth / level


def network(kind=STARNet, **sizes):
    """A small one in float64 whose weights are not the fresh ones, so that nothing is zero."""
    net = kind(**SMALL | sizes).double()
    g = seeded(5)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=g, dtype=F64))
    return net


def fresh(kind, **sizes):
    """An untrained one whose dictionaries are orthonormal to float64."""
    net = kind(**SMALL | sizes).double()
    with torch.no_grad():
        for matrices in (net.C, net.D, net.W):
            for p in matrices[:2]:
                p.copy_(dct(net.side, F64))
            if net.mixed:
                matrices[2].copy_(dct(net.r, F64))
    return net


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


# STAR


MODELS = [
    Star(lam=0.5, gamma1=1.0, gamma2=0.7, beta=0.8, mu=2.5, side=4, stride=3),
    Star(lam=0.02, gamma1=1.0, gamma2=0.7, beta=0.8, side=4, mixed=True),
    Star(lam=0.3, gamma1=0.5, mu=1.5, side=4, moving=False),
]


@pytest.mark.parametrize("model", MODELS)
def test_no_primal_block_raises_the_augmented_lagrangian(model):
    Y, _ = units()
    made = history(model, Y, 6, 4)
    for before, after in pairwise(made):
        rise = float(after.lagrangian - before.lagrangian)
        assert after.block == "U" or rise <= 1e-9 * float(before.lagrangian), after.block
    assert {r.block for r in made} >= {"B", "G"} | ({"L", "U"} if model.beta else set())
    assert ("S" in {r.block for r in made}) == (model.mu < math.inf)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_the_basis_is_orthonormal_after_every_sweep(dtype):
    made = history(Star(side=4), units()[0].to(dtype), 5, 4)
    assert max(float(r.orthonormal) for r in made) < 1e-6


@pytest.mark.parametrize("model", MODELS)
def test_every_block_is_at_its_minimum(model):
    """Perturbing the block that was just updated does not lower the augmented Lagrangian."""
    Y, _ = units()
    x = model.start(Y, subspace(Y, 4))
    for _ in range(2):
        *_, (_, x) = model.sweep(Y, x)
    for block, x in model.sweep(Y, x):  # noqa: B020
        if block == "U":
            continue
        best = model.lagrangian(Y, x)
        for seed, scale in enumerate((1e-3, 1e-1)):
            t = getattr(x, block)
            moved = t + scale * randn(*t.shape, seed=seed)
            moved = procrustes(moved) if block == "A" else moved
            assert float(model.lagrangian(Y, x._replace(**{block: moved})) - best) >= -1e-9


def test_sweeps_come_to_rest_at_the_objective_and_the_tie_closes():
    Y, _ = units()
    model = Star(lam=0.05, gamma1=1.0, gamma2=0.5, beta=0.1, side=4, moving=False)
    x = model.start(Y, subspace(Y, 3))
    seen = []
    for _ in range(200):
        *_, (_, x) = model.sweep(Y, x)
        seen.append(float(model.objective(Y, x)))
    assert float((x.L - x.B).abs().max()) < 1e-3 * float(x.B.abs().max())
    assert abs(seen[-1] - seen[-50]) < 1e-4 * seen[-1]
    assert seen[-1] < seen[0]
    lagrangian = float(model.lagrangian(Y, x))
    assert lagrangian == pytest.approx(seen[-1], rel=1e-3)


def test_without_the_nuclear_norm_L_is_B():
    Y, _ = units()
    model = Star(lam=0.5, beta=0.7, side=4)
    x = model.start(Y, subspace(Y, 3))
    for _ in range(3):
        *_, (_, x) = model.sweep(Y, x)
        torch.testing.assert_close(x.L, x.B, rtol=0, atol=1e-12)
        assert float(x.U.abs().max()) < 1e-12


def test_star_s_with_a_high_threshold_is_star():
    Y, _ = units()
    plain = Star(lam=0.5, gamma2=0.3, beta=0.4, side=4)
    for mu in (1e6, math.inf):
        made = star(Y, 1.0, replace(plain, mu=mu), 4, 3)
        torch.testing.assert_close(made, star(Y, 1.0, plain, 4, 3), rtol=0, atol=1e-12)


def test_star_scales_with_its_input_and_treats_rows_alone():
    Y, _ = units()
    two = torch.cat([Y, units(3)[0]])
    model = Star(side=4)
    both = star(0.2 * two, 0.2, model, 2, 3)
    torch.testing.assert_close(both, 0.2 * star(two, 1.0, model, 2, 3), rtol=0, atol=1e-10)
    torch.testing.assert_close(both[1:], star(0.2 * two[1:], 0.2, model, 2, 3), rtol=0, atol=1e-10)
    levels = torch.tensor([0.2, 0.4], dtype=F64).reshape(2, 1, 1, 1)
    each = star(levels * two, levels, model, 2, 3)
    torch.testing.assert_close(each[1:], 0.4 * star(two[1:], 1.0, model, 2, 3), rtol=0, atol=1e-10)


def test_star_meets_its_bar_on_indian_pines_in_under_two_seconds():
    truth = data.part("test")
    Y = evaluation.noised(truth, data.Noise(50), 0)
    begun = time.process_time()
    made = star(Y, 50 / 255)
    assert time.process_time() - begun < 2
    assert scores.psnr(made, truth) > 38.0  # the bar is 36.3
    fixed = star(Y, 50 / 255, Star(moving=False))
    assert scores.psnr(made, truth) > scores.psnr(fixed, truth) + 0.2
    papers = star(Y, 50 / 255, Star(gamma1=1.2, mixed=True))
    assert (
        scores.psnr(made, truth) > scores.psnr(papers, truth) + 0.5
    )  # eigen-images need no mixing


def test_star_s_is_four_sweeps_of_the_settings_it_names():
    Y = data.NOISES["impulse"](data.synthetic(seeded(), (16, 18), 12, 3), seeded(1))
    named = star(Y, 10 / 255, Star(gamma1=1.1, mu=1.5), 4, window=5)
    assert torch.equal(star_s(Y, 10 / 255), named)


def test_star_s_is_three_decibels_above_star_at_five_per_cent_impulses():
    truth = data.part("test")[..., :48, :]
    Y = evaluation.noised(truth, data.NOISES["impulse"], 0)
    with_s = scores.psnr(star_s(Y, 10 / 255), truth)
    for window, sweeps in ((0, 6), (5, 4)):
        without = star(Y, 10 / 255, Star(gamma1=1.1), sweeps, window=window)
        assert with_s > scores.psnr(without, truth) + 3


WHITE = [
    (SMDSNet, {}, 0),
    (STARNet, {"procrustes": 1}, 0),
    (STARNet, {"procrustes": 0}, 0),
    (STARNet, {"procrustes": 2, "low_rank": False}, 0),
    (STARNet, {"procrustes": 1, "blend": False}, 0),
    (STARNetPaper, {}, 0),
    (STARNetS, {}, 5),
]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("kind", "switches", "window"), WHITE)
def test_a_cube_in_tiles_is_denoised_as_the_whole(kind, switches, window, stride):
    Y, _ = units(size=(61, 47), bands=10)
    Y = 0.05 * torch.cat([Y, units(4, size=(61, 47), bands=10)[0]])
    net = network(kind, **switches | {"stride": stride})
    assert net.window == window
    whole = denoise(net, Y, 0.05, core=0)
    b, level = measured(Y, 0.05, net.r, net.window)
    torch.testing.assert_close(whole, (level * net(b)).detach(), rtol=0, atol=1e-10)
    for core in (8, 21, 1000):
        made = denoise(net, Y, 0.05, core=core)
        torch.testing.assert_close(made, whole, rtol=0, atol=1e-9)
    single = denoise(net.float(), Y.float(), 0.05, core=16)  # to 1e-5 in single precision
    torch.testing.assert_close(single, denoise(net, Y.float(), 0.05, core=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("patches", [1, 60, 10**6])  # at once: a line, some lines, all
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("kind", "switches", "window"), WHITE)
def test_an_estimate_in_strips_is_the_networks(
    monkeypatch, kind, switches, window, stride, patches
):
    monkeypatch.setattr(fast, "PATCHES", patches)
    net = network(kind, **switches | {"stride": stride})
    for size in ((23, 17), (9, 30), (4, 5)):
        Y = torch.cat([units(i, size, bands=10)[0] for i in (0, 4)])
        b = Noisy(Y, basis(Y, net.r, net.window if min(size) > 4 else 0))
        found = estimate(net, b)
        assert not found.requires_grad
        torch.testing.assert_close(found, net(b).detach(), rtol=0, atol=1e-10)


def test_strips_hold_every_patch_once():
    for stride, size in ((1, (31, 20)), (2, (30, 21)), (3, (29, 29)), (4, (5, 9))):
        R = Patches(4, stride)
        parts = [part for _, part in fast._strips(R, size)]
        assert [i for p in parts for i in range(p.start, p.stop)] == [*range(R.number(size))]
        G = torch.randn(1, 2, *size, dtype=F64)
        cut = torch.cat([R(G[:, :, lines]) for lines, _ in fast._strips(R, size)], -1)
        assert torch.equal(cut, R(G))


@pytest.mark.parametrize("model", MODELS)
def test_star_in_tiles_is_star(model, monkeypatch):
    Y, _ = units(size=(61, 47), bands=10)
    whole = star(Y, 1.0, model, 3, 3)
    x = model.start(Y, basis(Y, 3))
    for _ in range(3):
        *_, (_, x) = model.sweep(Y, x)
    torch.testing.assert_close(whole, expand(x.G, x.A), rtol=0, atol=1e-10)
    monkeypatch.setattr(algorithm, "AT_ONCE", 1000)
    for core in (8, 30):
        monkeypatch.setattr(algorithm, "CORE", core)
        torch.testing.assert_close(star(Y, 1.0, model, 3, 3), whole, rtol=0, atol=1e-9)


def test_large_cubes_go_in_tiles_of_themselves(monkeypatch):
    Y, _ = units(size=(61, 47), bands=10)
    seen = []
    kept = Patches.tiles
    monkeypatch.setattr(Patches, "tiles", lambda *a: (t := list(kept(*a)), seen.append(len(t)))[0])
    star(Y, 1.0, Star(side=4), 2, 3)
    assert seen == [1, 1]  # once for every A
    monkeypatch.setattr(algorithm, "AT_ONCE", 1000)
    monkeypatch.setattr(algorithm, "CORE", 16)
    star(Y, 1.0, Star(side=4), 2, 3)
    denoise(network(STARNet), Y, 1.0)
    assert seen[2:] == [4 * 3, 4 * 3, 4 * 3]
    truth = data.part("test")
    assert truth[0, 0].numel() <= 145**2 < 180**2  # the book's own scenes are swept at once


# the networks


def test_parameter_counts():
    assert count(SMDSNet(K=6)) == 5_103
    assert count(STARNetPaper(K=9)) == 27_702
    assert count(STARNetPaper(K=6)) == 18_954
    assert count(SMDSNet(thresholds="layer")) == 735
    assert count(STARNet()) == 752
    assert count(STARNet(thresholds="atom")) == 5_120
    assert count(STARNetS()) == 758
    for kind in NETWORKS_HERE:
        storages = [p.untyped_storage().data_ptr() for p in kind().parameters()]
        assert len(set(storages)) == len(storages)


@pytest.mark.parametrize("kind", [STARNet, STARNetS])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("switches", [{}, {"mixed": True}, {"low_rank": False}, {"procrustes": 0}])
def test_an_untrained_network_is_its_algorithm_sweep_by_sweep(kind, stride, switches):
    Y, _ = units()
    net = fresh(kind, stride=stride, **{"procrustes": 2} | switches)
    b, _ = measured(Y, 1.0, 3)
    *states, last = list(net.states(b))[1:]
    models = as_sweeps(net)
    x = models[0].start(b.Y, b.A)
    for model, state in zip(models, [*states, last]):
        *_, (_, x) = model.sweep(b.Y, x)
        for name in ("G", "A", "S", "B") + (() if state is last else ("L",)):
            torch.testing.assert_close(getattr(state, name), getattr(x, name), rtol=0, atol=1e-11)


def test_an_untrained_smdsnet_is_soft_thresholding_and_one_average():
    Y, _ = units()
    net = fresh(SMDSNet, thresholds="layer")
    b, _ = measured(Y, 1.0, 3)
    G = project(b.Y, b.A)
    X = net.R(G)
    D = (dct(4, F64), dct(4, F64), torch.eye(3, dtype=F64))
    codes = analysis(X - mean(X), *D)
    kept = codes.sign() * (codes.abs() - 1).relu()
    added = net.R.T(synthesis(kept, *D) + mean(X), (14, 13)) / net.R.count((14, 13), G)
    torch.testing.assert_close(net(b), expand(added, b.A), rtol=0, atol=1e-7)
    assert torch.equal(net.iterates(b)[0], net.iterates(b)[-2])


def test_the_papers_layout_begins_like_the_networks_of_this_room():
    Y, _ = units()
    b, _ = measured(Y, 1.0, 3)
    paper, ours = fresh(STARNetPaper, procrustes=1), fresh(STARNet, procrustes=1)
    for k in range(3):
        n, m = paper.numbers(k), ours.numbers(k)
        for name in ("alpha", "w", "theta"):
            theirs = getattr(n, name)
            torch.testing.assert_close(theirs, getattr(m, name).expand(theirs.shape).to(F64))
        assert (n.tau is None) == (k == 2)
    assert paper(b).shape == Y.shape


@pytest.mark.parametrize("kind", NETWORKS_HERE)
def test_every_parameter_gets_a_gradient(kind):
    Y, X = units()
    net = network(kind)
    b, _ = measured(Y, 1.0, 3)
    decibels(net, b, X).backward()
    for name, p in net.named_parameters():
        rows = p.grad.reshape(len(p), -1) if name.startswith("free") else p.grad.reshape(1, -1)
        used = rows[:-1] if name == "free_gamma2" else rows  # the last one only counts
        assert (used.abs().sum(1) > 0).all(), name
        assert torch.isfinite(rows).all()


@pytest.mark.parametrize("kind", NETWORKS_HERE)
def test_a_row_alone_is_the_row_in_a_batch_dtype_is_kept_and_weights_come_back(kind):
    net = network(kind)
    b, _ = measured(torch.cat([units()[0], units(4)[0]]), 1.0, 3)
    both = net(b)
    alone = net(Noisy(b.Y[1:], b.A[1:]))
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-10)
    half = kind(**SMALL)
    half.load_state_dict({k: v.float() for k, v in net.state_dict().items()})
    made = half(Noisy(b.Y.float(), b.A.float()))
    assert made.dtype == torch.float32
    torch.testing.assert_close(made.double(), both, rtol=0, atol=2e-3)


@pytest.mark.parametrize("kind", [STARNet, STARNetS, STARNetPaper])
def test_a_small_network_passes_gradcheck(kind):
    net = network(kind, K=2, side=3, r=2, stride=3, procrustes=2)
    net.through = True
    b, _ = measured(units(size=(7, 8), bands=5)[0], 1.0, 2)
    Y = b.Y.requires_grad_()
    numbers = [p for n, p in net.named_parameters() if n.startswith("free")]
    run = lambda Y, *_: net(Noisy(Y, b.A))
    assert torch.autograd.gradcheck(run, (Y, *numbers), fast_mode=True)


def test_switches_take_their_blocks_out():
    b, _ = measured(units()[0], 1.0, 3)
    *states, last = network(STARNet, procrustes=0, blend=False, low_rank=False).states(b)
    assert all(torch.equal(x.G, states[0].G) for x in states)
    assert not torch.equal(last.G, states[0].G)
    assert torch.equal(last.A, b.A)
    assert not last.L.any()
    assert not last.S.any()
    *_, last = network(STARNetS).states(b)
    assert last.S.any()
    assert not torch.equal(last.A, b.A)
    torch.testing.assert_close(
        last.A.mT @ last.A, torch.eye(3, dtype=F64)[None], rtol=0, atol=1e-10
    )


def test_columns_beyond_the_rank_stay_zero():
    Y, _ = units(level=0.3)
    b, _ = measured(Y, 1.0, 3)
    kept = b.A.any(1)
    assert not kept.all()
    for x in network(STARNet, procrustes=3).states(b):
        assert torch.equal(x.A.any(1), kept)
    for x in fresh(STARNet, procrustes=3).states(b):
        assert torch.equal(x.A.any(1), kept)
        assert not x.G.transpose(0, 1)[~kept[0]].any()


def test_one_network_serves_every_level_and_every_stride():
    Y, X = units(size=(20, 21))
    net = network(procrustes=1)
    torch.testing.assert_close(denoise(net, 0.1 * Y, 0.1), 0.1 * denoise(net, Y, 1.0))
    blind = denoise(net, Y)
    near = denoise(net, Y, float(noise_level(Y)))
    torch.testing.assert_close(blind, near)
    errors = {}
    for stride in (1, 2):
        net.stride = stride
        errors[stride] = float((denoise(net, Y, 1.0) - X).square().mean())
    assert errors[1] < 1.1 * errors[2] < 1.1 * float((Y - X).square().mean())


def test_the_losses_by_hand():
    net, (Y, X) = network().requires_grad_(False), units()
    b, _ = measured(torch.cat([Y, Y]), 1.0, 3)
    truth = torch.cat([X, X + 1])
    error = (net(b) - truth).square()
    assert float(squared(net, b, truth)) == pytest.approx(float(error.mean()))
    rows = 10 * error.flatten(1).mean(1).log10()
    assert float(decibels(net, b, truth)) == pytest.approx(float(rows.mean()))


def test_in_the_subspace_the_loss_is_that_of_the_cube_up_to_what_the_subspace_leaves():
    Y, X = units()
    net = network(procrustes=0).requires_grad_(False)
    b, _ = measured(Y, 1.0, 3)
    inside = Noisy(project(Y, b.A), torch.eye(3, dtype=F64)[None])
    whole = (net(b) - X).square().sum()
    part = (net(inside) - project(X, b.A)).square().sum()
    rest = (X - expand(project(X, b.A), b.A)).square().sum()
    assert float(whole) == pytest.approx(float(part + rest), rel=1e-10)


# the methods it is compared with


def test_the_baselines_take_noise_away():
    truth = data.synthetic(seeded(2), (32, 30), 24, 4)
    Y = data.Noise(30)(truth, seeded(3))
    before = scores.psnr(Y, truth)
    by_pca = scores.psnr(baselines.pca(Y, 30 / 255), truth)
    assert by_pca > before + 5
    for name, f in baselines.DENOISERS.items():
        made = baselines.subspace_denoiser(Y, 30 / 255, f)
        assert scores.psnr(made, truth) > by_pca, name
    assert scores.psnr(baselines.lrtdtv(Y, 30 / 255), truth) > before + 5


def test_lrtdtvs_parts():
    X = randn(4, 5, 6)
    w = torch.tensor([1.0, 0.5, 2.0], dtype=F64)
    F = randn(3, 4, 5, 6, seed=1)
    D, T = baselines._differences, baselines._differences_T
    torch.testing.assert_close((D(X, w) * F).sum(), (X * T(F, w)).sum(), rtol=1e-12, atol=1e-12)
    power = baselines._difference_power(X.shape, w.float()).to(F64)
    by_fourier = torch.fft.irfftn(torch.fft.rfftn(X) * power, s=X.shape)
    torch.testing.assert_close(T(D(X, w), w), by_fourier, rtol=0, atol=1e-6)
    low = torch.einsum("ai,bi,ci->abc", randn(4, 2), randn(5, 2, seed=2), randn(6, 2, seed=3))
    torch.testing.assert_close(baselines.tucker(low, (2, 2, 2)), low, rtol=0, atol=1e-10)


# data


def test_indian_pines_and_its_parts_share_no_pixel():
    cube, labels = data.indian_pines(), data.labels()
    assert cube.shape == (1, 200, 145, 145)
    assert float(cube.max()) == 1
    assert labels.shape == (145, 145)
    assert sorted(labels.unique().tolist()) == list(range(17))
    train, test, validation = (data.part(n) for n in ("train", "test", "validation"))
    assert train.shape == (1, 200, 145, 80)
    assert test.shape == (1, 200, 96, 64)
    assert validation.shape == (1, 200, 49, 64)
    assert torch.equal(test, cube[:, :, 16:112, 81:145])
    assert torch.equal(validation[:, :, 16:], cube[:, :, 112:, 81:])
    assert torch.equal(train, cube[..., :80])


def test_the_repair_undoes_what_a_treatment_as_text_did():
    cube = data.synthetic(seeded(3), (40, 50), 60, 4)[0].movedim(0, 2)
    whole = (6500 * cube + 20 * torch.randn(cube.shape, generator=seeded())).numpy()
    whole = whole.clip(1).astype(np.uint16)
    harmed = np.frombuffer(whole.tobytes().replace(b"\r", b"\n"), whole.dtype).reshape(whole.shape)
    made = data.repaired(harmed)
    hit = (whole // 256 == 13) & ((whole & 255) != 13)
    assert hit.sum() > 500
    assert ((made.values == whole) | made.lower)[hit].mean() > 0.99
    assert (made.raised == (whole // 256 == 13)).mean() > 0.998
    assert np.array_equal(made.doubtful, np.isin(whole // 256, (10, 13)))
    left = made.values.astype(int) - whole  # what no band can tell: a lower byte 13 that is now 10
    assert set(np.unique(left[made.raised == (whole // 256 == 13)])) == {-3, 0}
    assert ((left == -3) <= made.lower).all()
    assert np.array_equal(made.values[~made.doubtful], harmed[~made.doubtful])


def test_a_sound_file_and_one_without_the_byte_are_left_alone():
    whole = np.arange(4000, dtype=np.uint16).reshape(10, 20, 20)  # has every byte
    for sound in (whole, whole // 8, whole + np.uint16(4000), whole.astype(np.int32)):
        made = data.repaired(sound)
        assert np.array_equal(made.values, sound)
        assert not made.doubtful.any()
        assert not made.lower.any()
    wide = np.full((3, 3, 5), 2600, np.uint16)  # nothing but doubt: nothing to decide by
    assert np.array_equal(data.repaired(wide).values, wide)


def test_indian_pines_is_repaired_where_its_bytes_say_so():
    stored = fetch.array(fetch.indian_pines())
    made = data.repaired(stored)
    assert 0.0272 < made.raised.mean() < 0.0283  # 2.77 % of the values
    count = np.bincount(made.values.ravel() // 256)  # of upper bytes
    assert abs(count[13] / (count[12] + count[14]) - 0.5) < 0.1  # the gap is filled
    assert abs(count[10] / (count[9] + count[11]) - 0.5) < 0.11  # and the heap is gone
    assert 0.008 < made.lower.mean() < 0.02
    fine = np.where(made.values // 256 == 14, made.values - 768, made.values)
    doubtful = fine // 256 == 11  # the same harm where the answer is known: 14 becomes 11
    back = fine + 768 * data.too_low(fine, doubtful)
    assert (back == made.values)[doubtful].mean() > 0.998
    cube = data.indian_pines()
    assert torch.equal(cube[0], torch.from_numpy(np.moveaxis(made.values / 9604, 2, 0)).float())
    assert torch.equal(data.part("test"), cube[:, :, 16:112, 81:])
    as_is = data.indian_pines(True)
    assert torch.equal(as_is != cube, torch.from_numpy(np.moveaxis(made.raised, 2, 0))[None])
    worst = 255 * band_noise(as_is)[0]
    assert float(worst[60]) > 7 > 0.6 > float(255 * band_noise(cube)[0][60])
    cube.zero_()
    assert float(data.indian_pines().max()) == 1  # a copy: nobody else sees the change


@pytest.mark.parametrize("level, expected", [(10, 28.13), (30, 18.59), (50, 14.15), (70, 11.23)])
def test_white_noise_has_the_psnr_that_its_level_gives(level, expected):
    truth = data.part("test")
    assert scores.psnr(evaluation.noised(truth, data.Noise(level), 0), truth) == pytest.approx(
        expected, abs=0.02
    )


def test_every_kind_of_noise_by_its_statistics():
    truth = torch.full((1, 40, 50, 60), 0.5)
    white = data.Noise(51)(truth, seeded()) - truth
    assert float(white.std()) == pytest.approx(0.2, rel=0.01)
    varying = (data.Noise(51, varying=True)(truth, seeded()) - truth).std((2, 3))[0]
    assert float(varying.min()) < 0.05
    assert 0.15 < float(varying.max()) < 0.21
    impulse = data.Noise(impulse=0.1)(truth, seeded())
    assert float((impulse == 0).double().mean()) == pytest.approx(0.05, abs=3e-3)
    assert float((impulse == 1).double().mean()) == pytest.approx(0.05, abs=3e-3)
    stripes = data.Noise(stripes=0.5, bands=0.5)(truth, seeded()) - truth
    assert float((stripes[:, :, :1] - stripes).abs().max()) == 0  # whole columns
    size = stripes[stripes != 0].abs()
    assert 0.1 - 1e-6 <= float(size.min()) < 0.11
    assert 0.29 < float(size.max()) <= 0.3 + 1e-6
    assert 0.4 < float((stripes[stripes != 0] > 0).double().mean()) < 0.6
    assert 0.3 < float(stripes.any(3).any(2).double().mean()) < 0.7
    dead = data.Noise(dead=0.5, bands=1.0)(truth, seeded())
    assert set(dead.unique().tolist()) == {0.0, 0.5}
    assert torch.equal(dead.amax(2), dead.amin(2))
    assert torch.equal(data.Noise()(truth, seeded()), truth)
    again = data.NOISES["mixed"]
    assert torch.equal(again(truth, seeded(4)), again(truth, seeded(4)))


def test_made_up_cubes_have_their_rank_and_range():
    cube = data.synthetic(seeded(), (20, 24), 30, 4)
    assert cube.shape == (1, 30, 20, 24)
    assert float(cube.max()) == 1
    assert float(cube.min()) > 0
    s = torch.linalg.svdvals(cube[0].flatten(1).double())
    assert float(s[3] / s[0]) > 1e-3
    assert float(s[4] / s[0]) < 1e-6


def test_crops_are_cut_from_the_cube():
    cube = torch.arange(35.0).reshape(1, 1, 5, 7)
    for crop in data.crops(cube, 8, 3, seeded()):
        values = crop.flatten().sort().values
        inside = [cube[0, 0, i : i + 3, j : j + 3].flatten() for i in range(3) for j in range(5)]
        assert any(torch.equal(values, v) for v in inside)


# files


def small(dtype=np.uint16):
    return (np.arange(5 * 6 * 4).reshape(5, 6, 4) * 3).astype(dtype)


def write_hdf5(path, name, a):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = a.transpose()
        file["wavelengths"] = np.arange(4.0)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


def test_of_a_file_of_icvl_the_radiance_is_read_and_files_of_classes_are_left_out(tmp_path):
    rad = np.arange(60.0).reshape(3, 4, 5)
    savemat(tmp_path / "scene.mat", {"rad": rad, "rgb": np.ones((3, 4, 3))})
    savemat(tmp_path / "scene_gt.mat", {"classes": np.ones((3, 4))})
    (cube,) = readers.read_folder(tmp_path).values()
    assert torch.equal(cube, data.scaled(rad, "rad"))


def test_cubes_are_read_from_every_kind_of_file(tmp_path):
    a = small()
    savemat(tmp_path / "PaviaU.mat", {"paviaU": a, "wavelengths": np.arange(4.0)})
    write_hdf5(tmp_path / "icvl.mat", "rad", a)
    np.save(tmp_path / "plain.npy", a.astype(np.float32))
    np.savez(tmp_path / "packed.npz", cube=a, note=np.arange(3))
    found = readers.read_folder(tmp_path)
    assert set(found) == {"PaviaU", "icvl", "plain", "packed"}
    expected = torch.from_numpy(np.moveaxis(a / a.max(), 2, 0)).float()[None]
    for cube in found.values():
        assert torch.equal(cube, expected)


def test_cave_is_read_band_by_band(tmp_path):
    inner = tmp_path / "toy_ms" / "toy_ms"
    inner.mkdir(parents=True)
    for band in range(31):
        value = np.full((6, 7), 100 * (band + 1), np.uint16)
        Image.fromarray(value).save(inner / f"toy_ms_{band + 1:02d}.png")
    (cube,) = readers.read_folder(tmp_path).values()
    assert cube.shape == (1, 31, 6, 7)
    torch.testing.assert_close(cube[0, :, 2, 3], torch.arange(1, 32) / 31)


def test_extra_scenes_come_from_the_data_folder_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    assert readers.extra_scenes() == {}
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    (tmp_path / "hsi").mkdir()
    assert readers.extra_scenes() == {}
    np.savez(tmp_path / "hsi" / f"{readers.EXTRA['pavia']}.npz", cube=small())
    assert set(readers.extra_scenes()) == {"pavia"}


def test_indian_pines_in_the_data_folder_comes_first(tmp_path, monkeypatch):
    (tmp_path / "hsi").mkdir()
    np.save(tmp_path / "hsi" / "Indian_pines_corrected.npy", small())
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    assert data.indian_pines().shape == (1, 4, 5, 6)
    assert data.labels().shape == (145, 145)  # from the wheel
    np.save(tmp_path / "hsi" / "Indian_pines_corrected.npy", small()[1:])  # a changed file is seen
    assert data.indian_pines().shape == (1, 4, 4, 6)
    monkeypatch.delenv("DUNFOLD_DATA")
    assert data.indian_pines().shape == (1, 200, 145, 145)


# scores


def test_scores_by_hand_and_against_scikit_image():
    truth = torch.full((1, 2, 12, 13), 0.5)
    off = truth + torch.tensor([0.1, 0.01])[:, None, None]
    assert scores.psnr(off, truth) == pytest.approx((20 + 40) / 2, abs=1e-4)
    assert metrics.ergas_mse_over_mean(255 * off, 255 * truth) == pytest.approx(
        100 * math.sqrt((25.5**2 + 2.55**2) / 2 / 127.5), rel=1e-5
    )
    a, b = (
        torch.rand(1, 3, 16, 15, generator=seeded()),
        torch.rand(1, 3, 16, 15, generator=seeded(1)),
    )
    each = [
        structural_similarity(
            x.double().numpy(),
            y.double().numpy(),
            data_range=1.0,
            win_size=11,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for x, y in zip(a[0], b[0])
    ]
    assert scores.ssim(a, b) == pytest.approx(sum(each) / 3, abs=1e-10)


def test_the_discriminant_is_scikit_learns():
    sklearn = pytest.importorskip("sklearn.discriminant_analysis")
    x = torch.cat([randn(40, 4) + 2 * i * torch.eye(4)[i] for i in range(3)])
    y = torch.arange(3).repeat_interleave(40) + 1
    new = randn(200, 4, seed=2) + 1
    theirs = sklearn.LinearDiscriminantAnalysis(solver="lsqr").fit(x.numpy(), y.numpy())
    ours = discriminant(x, y, new, ridge=1e-9)
    assert float((ours == torch.from_numpy(theirs.predict(new.numpy()))).double().mean()) == 1


def test_kappa_by_hand():
    y = torch.tensor([1, 1, 1, 2, 2, 2, 2, 2])
    found = torch.tensor([1, 1, 2, 2, 2, 2, 2, 1])
    chance = (3 * 3 + 5 * 5) / 64
    assert kappa(found, y) == pytest.approx((0.75 - chance) / (1 - chance))
    assert kappa(y, y) == 1


def test_classes_are_told_apart_in_a_clean_cube_and_hardly_in_noise():
    truth = data.synthetic(seeded(), (40, 40), 20, 4)
    labels = 1 + truth[0].argmax(0) // 5  # by the band of the largest value
    labels[:3] = 0
    clean = classify(truth, labels, 0.2, seeded())
    noisy = classify(data.Noise(255)(truth, seeded(1)), labels, 0.2, seeded())
    assert clean.accuracy > 0.85
    assert clean.kappa > noisy.kappa + 0.3


def test_a_map_of_classes_is_what_the_score_counts():
    truth = data.synthetic(seeded(), (30, 20), 20, 4)
    labels = 1 + truth[0].argmax(0) // 5
    labels[:3] = 0
    made, drawn = class_map(truth, labels, 0.2, seeded()), seeded()
    learned = torch.zeros(30 * 20, dtype=torch.bool)
    for c in labels.unique()[1:]:
        here = (labels.flatten() == c).nonzero()[:, 0]
        learned[here[torch.randperm(len(here), generator=drawn)[: round(0.2 * len(here))]]] = True
    scored = (labels > 0) & ~learned.reshape(30, 20)
    right = float((made == labels)[scored].double().mean())
    assert right == pytest.approx(classify(truth, labels, 0.2, seeded()).accuracy)
    assert made.shape == labels.shape
    assert set(made[:3].unique().tolist()) <= {1, 2, 3, 4}  # unknown pixels have a class too


# runs and experiments


@pytest.mark.parametrize("kind", NETWORKS_HERE)
@pytest.mark.parametrize("whole", [False, True])
def test_two_steps_of_training(kind, whole):
    recipe = hyperspectral_training.Training(
        data="synthetic", steps=2, batch=2, patch=12, layers=2, draws=2, whole=whole, sparse=whole
    )
    net = hyperspectral_training.build(kind, recipe)
    before = [p.detach().clone() for p in net.parameters()]
    procrustes = net.procrustes
    losses = hyperspectral_training.train(net, recipe)
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    assert any(not torch.equal(p, q) for p, q in zip(before, net.parameters()))
    assert (net.stride, net.procrustes) == (1, procrustes)


def test_training_lowers_the_loss_on_cubes_that_were_not_seen():
    recipe = hyperspectral_training.Training(
        data="synthetic", steps=25, patch=18, layers=2, draws=8
    )
    net = hyperspectral_training.build(STARNet, recipe)
    truth = data.synthetic(seeded(99))
    Y = data.Noise(40)(truth, seeded(98))
    before = scores.psnr(denoise(net, Y, 40 / 255), truth)
    hyperspectral_training.train(net, recipe)
    assert scores.psnr(denoise(net, Y, 40 / 255), truth) > before + 0.5


def test_training_takes_the_recipes_noise():
    recipe = hyperspectral_training.Training(low=20, high=21, sparse=True)
    drawn = [hyperspectral_training.drawn_noise(recipe, seeded(i)) for i in range(40)]
    assert all(20 <= n.sigma <= 21 for n in drawn)
    assert any(n.impulse and not n.stripes for n in drawn)
    assert any(n.impulse and n.stripes and n.dead for n in drawn)
    plain = hyperspectral_training.drawn_noise(hyperspectral_training.Training(), seeded())
    assert (plain.impulse, plain.stripes, plain.dead) == (0, 0, 0)


def test_levels_are_drawn_by_their_logarithm():
    drawn = [
        hyperspectral_training.drawn_noise(hyperspectral_training.Training(), seeded(i)).sigma
        for i in range(300)
    ]
    assert 5 <= min(drawn) <= max(drawn) <= 80
    assert np.median(drawn) == pytest.approx(20, rel=0.2)  # √(5·80), and not (5 + 80)/2


def test_the_tests_noise_is_none_that_a_seed_of_training_draws():
    cube = data.synthetic(seeded(), (8, 8), 5, 2)
    Y = evaluation.noised(cube, data.Noise(30), 5)
    assert torch.equal(Y, data.Noise(30)(cube, seeded(2**31 + 5)))
    assert not torch.equal(Y, data.Noise(30)(cube, seeded(5)))


@pytest.mark.parametrize("kind", [STARNet, STARNetS])
def test_a_fresh_network_blends_little_and_all_but_the_noise_in_the_end(kind):
    net = kind(3)
    alphas = [float(net.numbers(k).alpha.detach()) for k in range(3)]
    assert alphas == pytest.approx([0.05, 0.05, 0.98])
    assert (STARNet.window, STARNetS.window) == (0, 5)


def test_networks_are_measured_at_stride_one_and_classes_right_of_the_training_part(
    little, monkeypatch
):
    seen = []
    found = evaluation.classify
    monkeypatch.setattr(evaluation, "classify", lambda X, *a: seen.append(X.shape) or found(X, *a))
    coarse, fine = (STARNet(2, stride=s) for s in (3, 1))
    assert evaluation.measure(coarse, 0) == evaluation.measure(fine, 0)
    assert {shape[3] for shape in seen} == {100 - 81}
    one, other = (evaluation.measure_sparse(STARNetS(2, stride=s), 0) for s in (3, 1))
    assert one == other


@pytest.fixture
def little(monkeypatch):
    """Small scenes in the place of Indian Pines, so that measuring takes no time."""
    cube = data.synthetic(seeded(7), (24, 100), 12, 3)
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    monkeypatch.setattr(data, "part", lambda name, as_is=False: cube[..., :20])
    monkeypatch.setattr(data, "indian_pines", lambda as_is=False: cube)
    monkeypatch.setattr(data, "labels", lambda: 1 + cube[0].argmax(0) // 4)
    monkeypatch.setattr(evaluation, "LEVELS", (10, 50))


def test_what_is_measured(little):
    net = hyperspectral_training.build(STARNet, hyperspectral_training.Training(layers=2))
    made = evaluation.measure(net, 0)
    for level in (10, 50):
        names = ("psnr", "ssim", "sam", "ergas", "ergas_mse_over_mean", "psnr_blind", "psnr_fixed")
        assert {f"{n}_{level}" for n in (*names, "accuracy", "kappa")} <= set(made)
        assert len(made[f"layers_{level}"]) == 3
        assert made[f"layers_{level}"][-1] == pytest.approx(made[f"psnr_{level}"], abs=1e-3)
    assert made["psnr_10"] > made["psnr_50"]
    spoilt = evaluation.measure_sparse(
        hyperspectral_training.build(STARNetS, hyperspectral_training.Training(layers=2)), 0
    )
    assert {f"psnr_{k}" for k in ("impulse", "stripes", "dead", "mixed")} <= set(spoilt)
    plain = evaluation.measure_method(baselines.noisy, None, 0)
    assert made["psnr_50"] > plain["psnr_50"] + 3
    assert "accuracy_50" in plain
    assert "psnr_mixed" in evaluation.measure_method_sparse(baselines.noisy, None, 0)


def test_a_readers_cubes_are_measured(tmp_path):
    cube = data.synthetic(seeded(), (20, 22), 10, 3)[0].permute(1, 2, 0)
    np.save(tmp_path / "mine.npy", cube.numpy())
    made = evaluation.measure_method(star, None, 0, tmp_path)
    assert {"psnr_10_mine", "ergas_70_mine"} <= set(made)
    net = hyperspectral_training.build(SMDSNet, hyperspectral_training.Training(layers=1))
    assert "psnr_50_mine" in evaluation.measure(net, 0, tmp_path)


def test_experiments_are_complete_and_build_their_networks():
    for name, e in EXPERIMENTS.items():
        assert all((e.title, e.protocol, e.source)), name
        assert (e.train is None) == (not e.recipes)
        for recipe in e.recipes.values():
            assert isinstance(recipe, hyperspectral_training.Training)
            assert isinstance(recipe, training.Recipe)
        net = e.build()
        assert (net is None) == (e.train is None)
        assert net is None or e.recipes["cpu"].layers == net.K
    assert count(EXPERIMENTS["star-paper"].build()) == 27_702
    assert count(EXPERIMENTS["smds-atoms"].build()) == 5_103
    assert [EXPERIMENTS[f"star-k{K}"].build().K for K in (1, 5, 9)] == [1, 5, 9]


def test_the_ablations_change_one_thing():
    plain = NETWORKS["star"].recipes["cpu"]
    for name, e in ABLATIONS.items():
        differ = {f.name for f in fields(plain)}
        differ = {f for f in differ if getattr(plain, f) != getattr(e.recipes["cpu"], f)}
        allowed = {"star-every-a": {"whole"}, "star-squared": {"loss"}}
        if name == "star-no-s":
            other = NETWORKS["star-s"].recipes["cpu"]
            assert e.recipes["cpu"] == other
            continue
        assert differ == allowed.get(name, set()), name
    assert not hasattr(ABLATIONS["star-no-svt"].build(), "free_tau")
    assert len(ABLATIONS["star-no-blend"].build().free_alpha) == 1
    assert ABLATIONS["star-no-a"].build().procrustes == 0
    assert ABLATIONS["star-mixed"].build().mixed


def test_published_averages_are_those_of_their_rows():
    rows = list(csv.reader(StringIO("ICVL\nPAVIAU")))
    for (name,) in rows:
        for method, table in getattr(published, name).items():
            for score, values in table.items():
                assert len(values) == len(published.SIGMAS) + 1
                average = sum(values[:4]) / 4
                assert values[4] == pytest.approx(average, rel=0.02), (name, method, score)
    best = {n: max(s["PSNR"][0] for s in published.ICVL.values()) for n in ("ICVL",)}
    assert best["ICVL"] == published.ICVL["STAR-Net-S"]["PSNR"][0]
    assert published.ICVL["Eigen-CNN"]["PSNR"][0] > published.ICVL["STAR-Net"]["PSNR"][0]
    assert published.PARAMETERS["STAR-Net"] == count(STARNetPaper())


def test_the_rank_of_the_low_rank_step_is_that_of_the_bands():
    B = randn(1, 3, 16, 5)
    L = algorithm.low_rank(B, 0.5)
    one = svt(B[0, :, :, 2], 0.5)
    torch.testing.assert_close(L[0, :, :, 2], one)
    assert torch.equal(algorithm.low_rank(B, 0.0), B)
