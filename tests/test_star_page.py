"""The chapter on STAR: its explorers and the solutions of its exercises."""

from functools import partial
from itertools import pairwise, product

import numpy as np
import pages
import pytest
import torch
from shared_star_page import F64, SOLUTIONS

from dunfold_lib.hyperspectral import data, evaluation, scores
from dunfold_lib.hyperspectral import figures_star as figures
from dunfold_lib.hyperspectral.algorithm import Star, star
from dunfold_lib.hyperspectral.lowrank import (
    band_noise,
    expand,
    nuclear,
    project,
    rank,
    subspace,
    svt,
)
from dunfold_lib.hyperspectral.patches import Patches, mean
from dunfold_lib.show import Curves


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


MADE = {
    "viewer": figures.viewer_explorer,
    "sweeping": figures.sweeping_explorer,
    "shrinking": figures.shrinking_explorer,
}


@pytest.mark.parametrize("name", MADE)
def test_every_end_lies_within_the_axes_and_every_sliders_ends_differ(name):
    made = MADE[name]()
    corners = product(*({0, s.start, len(s.values) - 1} for s in made.sliders.values()))
    for index in corners:
        for panel in made.panels(index):
            assert " " in panel.alt
            pages.inside(panel)
    pages.ends_differ(made, pages.drawn)


def test_the_explorers_start_at_their_figures_defaults():
    for name, make in MADE.items():
        made = make()
        start = [s.start for s in made.sliders.values()]
        assert pages.drawn(made.panels(start)) == pages.drawn(getattr(figures, name)()), name


def test_the_viewer_shows_the_librarys_star_on_a_crop_of_the_test_part():
    truth, noisy, made = figures.denoised(50.0)
    assert truth.shape == (1, 200, figures.SIDE, figures.SIDE)
    top, left = figures.CORNER
    part = data.part("test")
    assert torch.equal(truth[..., 0, 0], part[..., top, left])
    assert torch.equal(made, star(noisy, 50 / 255))
    frames, curves = figures.viewer(25, 50.0)
    assert frames.captions == ("truth", "noisy", "STAR")
    for image, cube in zip(frames.images, (truth, noisy, made), strict=True):
        low, high = truth[0, 25].min(), truth[0, 25].max()
        expected = ((cube[0, 25] - low) / (high - low)).clip(0, 1)
        np.testing.assert_allclose(image, expected, atol=1e-6)
    assert [c.label for c in curves.lines] == ["noisy", "STAR", "truth", "shown"]
    i, j = figures.PIXEL
    np.testing.assert_array_equal(curves.lines[2].y, truth[0, :, i, j].double().numpy())


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("noise", figures.NOISES)
def test_sweep_by_sweep_is_the_librarys_star(noise, sparse):
    truth, Y = figures.small_cube(), figures.small_noisy(noise)
    model = Star(gamma1=0.9, mu=figures.MU) if sparse else Star(gamma1=0.9)
    window = figures.WINDOW if sparse else 0
    seen = figures.progress(0.9, noise, sparse)
    for K in (0, 2, 4):
        made = star(Y, figures.NOISES[noise].sigma / 255, model, K, window=window)
        assert seen.psnr[K] == pytest.approx(scores.psnr(made, truth), abs=1e-6)
        torch.testing.assert_close(seen.bands[K], made[0, figures.DRAWN])


def test_a_patch_is_one_of_the_test_part_without_its_means():
    energies = []
    for kind in figures.PATCHES:
        clean, noisy = figures.patch(kind)
        assert clean.shape == noisy.shape == (figures.EIGEN_IMAGES, figures.PATCH_SIDE**2)
        for X in (clean, noisy):
            assert float(X.mean(1).abs().max()) < 1e-4
        assert float((noisy - clean).std()) == pytest.approx(1, abs=0.15)  # units of σ
        energies.append(float(clean.square().sum()))
    assert all(a < b for a, b in pairwise(energies))
    n = len(figures.THRESHOLDS)
    assert all(len(e) == n for e in figures.errors("rich").values())


def test_softening_by_nothing_gives_the_patch_and_by_much_gives_zero():
    X = randn(9, 81)
    torch.testing.assert_close(figures.softened(X, 0.0), X, rtol=0, atol=1e-12)
    assert not figures.softened(X, 1e3).any()
    by_svt, by_soft = (figures.errors("rich")[n][0] for n in ("SVT", "soft"))
    assert by_svt == pytest.approx(by_soft, rel=1e-4)


def test_curves_have_axes_and_the_note_names_the_state():
    for make in MADE.values():
        made = make()
        panels = made.panels([s.start for s in made.sliders.values()])
        assert all(p.xlim and p.ylim for p in panels if isinstance(p, Curves))
        assert any(p.note for p in panels)


# solutions


@pytest.mark.parametrize("tau", [0.0, 0.7, 3.0, 100.0])
def test_svt_from_the_gram_matrix_is_the_librarys(tau):
    X = randn(9, 81)
    torch.testing.assert_close(SOLUTIONS.svt_by_gram(X, tau), svt(X, tau), rtol=0, atol=1e-11)


def test_a_rotation_keeps_the_nuclear_norm_and_not_the_l1_norm():
    truth = data.part("test").double()
    G = project(truth, subspace(truth, 9))
    patches = Patches(9, 9)(G)
    X = (patches - mean(patches))[0].flatten(1)
    Q = torch.linalg.qr(randn(9, 9)).Q
    for H in (G[0].flatten(1), X):
        turned, norm = SOLUTIONS.norms_of_rotated(H, Q)
        before = float(H.abs().sum())
        assert norm == pytest.approx(float(nuclear(H)), rel=1e-9)
        assert turned > 1.05 * before
    for seed in range(5):  # as the page says
        Q = torch.linalg.qr(randn(9, 9, seed=seed)).Q
        turned, _ = SOLUTIONS.norms_of_rotated(G[0].flatten(1), Q)
        assert 0.4 < float(G.abs().sum()) / turned < 0.55


def test_whitening_gains_five_decibels_where_bands_differ():
    truth = data.part("test")
    Y = evaluation.noised(truth, data.NOISES["bands"], 0)
    one = float(band_noise(Y).square().mean().sqrt())
    gain = scores.psnr(SOLUTIONS.whitened(star, Y), truth) - scores.psnr(star(Y, one), truth)
    assert gain > 5
    same = SOLUTIONS.whitened(lambda Y, sigma: Y, Y)
    torch.testing.assert_close(same, Y)


@pytest.mark.parametrize(("level", "gain"), [(30, 1.83), (50, 2.3)])
def test_rows_with_more_noise_than_signal_are_left_out(level, gain):
    truth = data.part("test")
    Y = evaluation.noised(truth, data.Noise(level), 0)
    A = subspace(Y, int(rank(Y, level / 255)))
    G = project(Y, A)
    kept = SOLUTIONS.truncated(G[0].flatten(1), level / 255)
    assert int(kept.any(1).sum()) == 2
    score = partial(scores.psnr, truth=truth)
    rise = score(expand(kept.reshape(G.shape), A)) - score(expand(G, A))
    assert rise == pytest.approx(gain, abs=0.05)


def test_no_setting_of_svt_reaches_the_best_one_without_it():
    best = max(SOLUTIONS.with_svt(gamma1) for gamma1 in (0.8, 0.9, 1.0, 1.1))
    tried = {
        s: SOLUTIONS.with_svt(*s)
        for s in product((0.7, 0.8, 0.9, 1.0), (0.5, 2.0), (0.25, 0.5, 1.0))
    }
    assert len(tried) == 24
    assert 0.03 < best - max(tried.values()) < 0.05
    assert max(tried, key=tried.get)[1:] == (0.5, 0.25)
