"""What holds of the functions in exercises.py, of the page hyperspectral/star."""

from unittest.mock import patch

import torch

from dunfold_lib.hyperspectral import data

from . import exercises

F64 = torch.float64


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=F64)


def rotation(r, seed=1):
    return torch.linalg.qr(normal(r, r, seed=seed)).Q


def test_svt_by_gram_shrinks_the_singular_values_and_keeps_their_vectors():
    for seed, tau in ((0, 0.0), (1, 0.7), (2, 3.0), (3, 100.0)):
        X = normal(9, 81, seed=seed)
        U, s, Vt = torch.linalg.svd(X, full_matrices=False)
        wanted = (U * (s - tau).clamp_min(0)) @ Vt
        assert torch.allclose(exercises.svt_by_gram(X, tau), wanted, atol=1e-9)


def test_svt_by_gram_has_the_least_value_of_its_proximal_problem():
    X, tau = 2 * normal(4, 11), 1.5
    value = lambda Z: float(0.5 * (Z - X).square().sum() + tau * torch.linalg.matrix_norm(Z, "nuc"))
    best = exercises.svt_by_gram(X, tau)
    assert all(value(best) < value(best + 0.05 * normal(4, 11, seed=s)) for s in range(1, 20))


def cubes():
    """(Y (2, 2, 2), A (2,) of length one), some of them."""
    for seed in range(4):
        A = normal(2, seed=seed + 10)
        yield 5 * normal(2, 2, 2, seed=seed) + 3, A / A.norm()


def test_hand_projects_onto_the_spectrum_and_takes_the_mean():
    for Y, A in cubes():
        G, m, _, _ = exercises.hand(Y, A, 0.5)
        assert torch.allclose(G, A[0] * Y[0] + A[1] * Y[1])
        assert abs(m - float(Y.mean((1, 2)) @ A)) < 1e-9


def test_hand_has_the_codes_that_half_sums_and_half_differences_are():
    for Y, A in cubes():
        G, m, codes, _ = exercises.hand(Y, A, 0.5)
        a, b, c, d = (G - m).flatten()
        assert torch.allclose(codes[0, 0], (a + b + c + d) / 2, atol=1e-9)
        assert torch.allclose(codes[1, 0], (a + b - c - d) / 2)
        assert torch.allclose(codes[0, 1], (a - b + c - d) / 2)
        assert torch.allclose(codes[1, 1], (a - b - c + d) / 2)


def test_hand_keeps_everything_without_a_threshold_and_the_mean_with_a_large_one():
    for Y, A in cubes():
        G, m, codes, made = exercises.hand(Y, A, 0.0)
        assert torch.allclose(made, G)
        assert torch.allclose(exercises.hand(Y, A, 1e3)[3], torch.full_like(G, m))
        theta = 0.5 * float(codes.abs().max())
        left = exercises.hand(Y, A, theta)[3] - m
        size = (codes.abs() - theta).clamp_min(0).norm()
        assert abs(float(left.norm() - size)) < 1e-9


def test_norms_of_rotated_keeps_the_nuclear_norm():
    for seed in range(3):
        G, Q = normal(5, 40, seed=seed), rotation(5, seed)
        wanted = float(torch.linalg.matrix_norm(G, "nuc"))
        assert abs(exercises.norms_of_rotated(G, Q)[1] - wanted) < 1e-8


def test_norms_of_rotated_undoes_the_rotation_that_spread_a_sparse_image():
    sparse, Q = torch.zeros(5, 40, dtype=F64), rotation(5)
    sparse[0] = 3 * normal(40)
    back, _ = exercises.norms_of_rotated(Q @ sparse, Q)
    assert abs(back - float(sparse.abs().sum())) < 1e-9
    assert exercises.norms_of_rotated(sparse, Q)[0] > 1.3 * back


def bands(seed=0):
    """(Y, deviations): one smooth signal in 24 bands, with noise that differs from band to band."""
    deviation = torch.logspace(-1.5, 0, 24, dtype=F64)
    y = torch.linspace(0, 3, 48, dtype=F64)
    spectrum = 1 + normal(24, seed=5).abs()
    Y = spectrum[:, None, None] * (y.sin()[:, None] * y.cos())
    return (Y + deviation[:, None, None] * normal(24, 48, 48, seed=seed))[None], deviation


def test_whitened_shows_the_denoiser_one_level_of_noise():
    Y, deviation = bands()
    shown = []

    def look(Z, sigma):
        shown.append((Z, sigma))
        return torch.zeros_like(Z)

    assert not exercises.whitened(look, Y).any()
    ((Z, sigma),) = shown
    assert sigma == 1
    ratio = (Y / Z)[0].flatten(1).mean(1)
    assert torch.allclose(ratio / deviation, torch.ones(24, dtype=F64), atol=0.25)


def test_whitened_gives_back_what_a_denoiser_keeps_in_the_units_it_had():
    Y, _ = bands(1)
    assert torch.allclose(exercises.whitened(lambda Z, sigma: Z, Y), Y)
    assert torch.allclose(exercises.whitened(lambda Z, sigma: Z / 2, Y), Y / 2)


def test_truncated_keeps_the_rows_with_more_signal_than_noise():
    sigma, pixels = 0.5, 20_000
    energies = (8.0, 1.5, 0.6, 0.0)  # of the signals, over that of the noise
    rows = [sigma * e**0.5 * normal(pixels, seed=i) for i, e in enumerate(energies)]
    G = torch.stack(rows) + sigma * normal(4, pixels, seed=9)
    kept = exercises.truncated(G, sigma)
    assert kept.any(1).tolist() == [True, True, False, False]
    assert torch.equal(kept[:2], G[:2])


def test_truncated_does_not_ask_for_the_units():
    G = normal(6, 500) * torch.tensor([3.0, 2.0, 1.5, 1.3, 1.0, 0.1], dtype=F64)[:, None]
    kept = exercises.truncated(G, 1.0)
    assert torch.allclose(exercises.truncated(10 * G, 10.0), 10 * kept)
    assert 0 < int(kept.any(1).sum()) < 6


def small_cube():
    """A cube (1, 12, 27, 27) of three smooth materials, in place of the validation part."""
    axis = torch.linspace(0, 4, 27)
    shapes = torch.stack([axis[:, None].sin() * axis.cos(), axis.cos() + 0 * axis[:, None]])
    images = torch.cat([shapes.abs(), (shapes[:1] > 0.2).float()])
    mix = torch.rand(12, 3, generator=torch.Generator().manual_seed(0)) / 3
    return torch.einsum("br,rhw->bhw", mix, images)[None]


def test_with_svt_is_a_mean_in_decibels_that_a_sensible_threshold_makes_large():
    with patch.object(data, "part", lambda *a, **k: small_cube()):
        none, some, much = (exercises.with_svt(gamma1) for gamma1 in (1e-6, 1.0, 60.0))
    noisy = 20.3  # the mean PSNR of noise of 10, 30 and 50 of 255
    assert noisy < none < some < 60
    assert much < some


def test_with_svt_uses_the_weights_of_the_copy():
    with patch.object(data, "part", lambda *a, **k: small_cube()):
        found = [exercises.with_svt(0.9, *rest) for rest in ((), (0.5, 0.25), (2.0, 0.25), (2, 1))]
    assert len({round(v, 6) for v in found}) == 4
    assert max(found) - min(found) < 10


def patchwork(noise=0.05):
    """A cube (1, 20, 34, 50) whose left 32 columns have rank 1 and whose right ones have rank 3."""
    spectra = normal(3, 20, seed=2)
    images = normal(3, 34, 50, seed=3)
    images[1:, :, :32] = 0
    signal = torch.einsum("rb,rhw->bhw", spectra, images)
    return (signal + noise * normal(20, 34, 50, seed=4))[None]


def test_tile_ranks_are_those_of_the_places():
    ranks = exercises.tile_ranks(patchwork(), 0.05, 16)
    assert sorted(ranks.tolist()) == [1, 1, 1, 1, 3, 3]
    low = exercises.tile_ranks(patchwork(), 0.025, 16)
    assert int(low.min()) > 3, "a level that is too low takes noise for signal"


def test_tile_ranks_of_one_tile_is_the_rank_of_the_cube_cut_to_it():
    Y = patchwork()
    for side in (34, 17):
        ranks = exercises.tile_ranks(Y, 0.05, side)
        assert len(ranks) == (34 // side) * (50 // side)
    same = exercises.tile_ranks(Y.mT, 0.05, 17)
    assert sorted(same.tolist()) == sorted(exercises.tile_ranks(Y, 0.05, 17).tolist())
