"""What holds of the functions in exercises.py, of the page small_target/rpca."""

import torch

from dunfold_lib.small_target import algorithm, baselines
from dunfold_lib.small_target.scores import by_centroid, by_overlap

from . import exercises

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*size, seed=0):
    return torch.randn(*size, generator=seeded(seed), dtype=F64)


def planted(n=30, rank=2, density=0.05):
    """(B, T): a matrix of low rank, and errors of ±1 in some of its entries."""
    B = normal(n, rank) @ normal(rank, n, seed=1) / n**0.5
    where = torch.rand(n, n, generator=seeded(2)) < density
    return B, normal(n, n, seed=3).sign() * where


def test_off_by_is_what_singular_value_thresholding_does():
    for p in (2, 3):
        J, eye = torch.ones(p * p, p * p, dtype=F64), torch.eye(p * p, dtype=F64)
        for a, c, t in ((2.0, 3.0, 0.5), (2.0, 3.0, 3.0), (2.0, 3.0, 7.0), (0.5, 0.2, 1.0)):
            U, s, Vt = torch.linalg.svd(a * J + c * eye)
            off = (U * (s - t).clamp_min(0)) @ Vt - a * J
            assert abs(float(off.norm()) - exercises.off_by(a, c, p, t)) < 1e-9


def test_off_by_is_nothing_at_one_threshold_alone():
    found = [exercises.off_by(1.0, 2.0, 4, t / 10) for t in range(1, 60)]
    assert found.count(min(found)) == 1
    assert min(found) == 0


def test_columns_of_counts_the_patches_that_hold_a_pixel():
    for p, s in ((50, 10), (4, 2), (6, 6), (9, 3), (5, 1)):
        length = 6 * p
        D = torch.zeros(length, length)
        D[3 * p + 1, 3 * p + 1] = 1
        held = (baselines.patch_matrix(D, p, s) != 0).any(0)
        assert exercises.columns_of(p, s) == int(held.sum())


def test_growing_splits_into_low_rank_and_sparse():
    B, T = planted()
    for factor in (1.02, 1.05):
        found = exercises.growing(B + T, 0.1, factor)
        assert float((found[0] - B).abs().max()) < 1e-3
        assert float((found[1] - T).abs().max()) < 1e-3
        assert float((B + T - found[0] - found[1]).norm()) <= 1e-7 * float((B + T).norm())


def test_growing_stops_at_the_tolerance_and_a_hasty_penalty_loses_the_optimum():
    B, T = planted()
    P, lam = B + T, algorithm.default_lam(B)
    rough, fine = (exercises.growing(P, 0.05, 1.1, tol)[2] for tol in (1e-3, 1e-8))
    assert rough < fine
    slow, hasty = (exercises.growing(P, 0.02, f) for f in (1.1, 5.0))
    assert hasty[2] < slow[2]
    best = algorithm.objective(B, T, lam)
    assert abs(algorithm.objective(slow[0], slow[1], lam) / best - 1) < 1e-3
    assert algorithm.objective(hasty[0], hasty[1], lam) > 1.05 * best


def test_growing_with_the_factor_one_is_admm():
    B, T = planted()
    P = B + T
    _, _, steps = exercises.growing(P, 0.5, 1.0, 1e-4)
    for k, (x, _) in enumerate(zip(algorithm.rpca_admm(P, mu=0.5), range(steps), strict=False), 1):
        left = float((P - x.B - x.T).norm() / P.norm())
        assert (left <= 1e-4) == (k == steps)


def test_away_plants_the_rank_and_the_errors_that_are_asked_for():
    for n, rank, density in ((24, 2, 0.1), (40, 5, 0.3)):
        P, B = exercises.away(n, rank, density, 60, seeded(5))
        assert P.shape == B.shape == (60, n, n)
        ranks = torch.linalg.matrix_rank(B, rtol=1e-4)
        assert (ranks == rank).all()
        errors = P - B
        share = float((errors.abs() > 1e-3).double().mean())
        assert abs(share - density) < 0.02
        sizes = errors[errors.abs() > 1e-3].abs()
        assert torch.allclose(sizes, torch.ones_like(sizes), atol=1e-4)
        assert abs(float((errors > 0.5).double().mean() / share) - 0.5) < 0.05
        assert abs(float(B.square().mean()) - rank / n) < 0.2 * rank / n


def test_away_comes_from_its_generator():
    one, same, other = (exercises.away(8, 1, 0.2, 3, seeded(s))[0] for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_stripes_have_one_pattern_a_place_of_a_patch():
    for n in (130, 70, 60):
        places = len(range(0, n - 50 + 1, 10))
        assert exercises.stripes(normal(n)) == places
    assert exercises.stripes(torch.ones(128, dtype=F64)) == 1


def test_stripes_that_repeat_with_the_step_are_one_pattern():
    assert exercises.stripes(normal(10).repeat(12)) == 1
    assert exercises.stripes(normal(20).repeat(6)) == 2


def targets(sizes=((20, 20, 1), (40, 41, 2))):
    """A mask of square targets (y, x, side)."""
    mask = torch.zeros(60, 70, dtype=torch.bool)
    for y, x, side in sizes:
        mask[y : y + side, x : x + side] = True
    return mask


def test_squares_are_perfect_by_centroids_and_nothing_by_overlap():
    mask = targets()
    for reach in (3, 7):
        made = exercises.squares(mask, reach)[None]
        near, touch = by_centroid(made, mask[None]), by_overlap(made, mask[None])
        assert (near.pd, near.false) == (1.0, 0)
        assert (touch.pd, touch.false) == (1.0, 2 * (2 * reach + 1) ** 2 - 5)


def test_squares_are_cut_at_the_border_and_empty_without_targets():
    corner = exercises.squares(targets(((0, 0, 1), (59, 69, 1))), 4)
    assert int(corner.sum()) == 2 * 25
    assert corner[0, 0]
    assert corner[59, 69]
    assert not exercises.squares(targets(()), 4).any()


def test_certificates_prove_both_ends_of_the_weight():
    norm = lambda M: float(torch.linalg.matrix_norm(M, 2))
    for shape in ((9, 5), (6, 6), (4, 11)):
        P = normal(*shape)
        Y, Z = exercises.certificates(P)
        nuclear = float(torch.linalg.matrix_norm(P, "nuc"))
        assert norm(Y) < 1 + 1e-9
        assert abs(float((Y * P).sum()) - nuclear) < 1e-9
        assert float(Y.abs().max()) <= 1 + 1e-9
        lam = 1 / P.numel() ** 0.5
        assert norm(Z) <= 1 + 1e-9
        assert abs(float((Z * P).sum()) - lam * float(P.abs().sum())) < 1e-9
        assert float(Z.abs().max()) <= lam + 1e-9
