"""Of rpca page: rpca sentences."""

import re

import numpy as np
import pages
import pytest
import torch
from shared_rpca_page import F64

from dunfold_lib import fetch, prox, records
from dunfold_lib.small_target import algorithm, baselines, data, evaluation, readers
from dunfold_lib.small_target import figures_rpca as figures
from dunfold_lib.small_target import figures_rpca_tables as tables
from dunfold_lib.small_target.published import PUBLISHED
from dunfold_lib.small_target.scores import NEAR, by_centroid, by_overlap, iou

SOLUTIONS = pages.solutions("small_target/rpca")


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def planted(n=30, rank=2, density=0.05):
    B = randn(n, rank) @ randn(rank, n, seed=1) / n**0.5
    where = torch.rand(n, n, generator=torch.Generator().manual_seed(2)) < density
    return B, randn(n, n, seed=3).sign() * where


# what the page says: each test is named after a sentence, and fails where it would be wrong


def test_the_page_uses_six_scenes_of_six_consecutive_seeds_with_eleven_targets():
    assert list(np.diff(figures.SEEDS)) == [1] * 5
    truth = figures.scenes().mask[:, 0]
    assert by_overlap(truth, truth).targets == 11


def test_our_targets_have_the_areas_of_real_ones_are_more_and_five_times_fainter():
    made = tables.made_up()
    ours = tables.statistics(made)
    assert (figures.AROUND, figures.GUARD, len(made.image)) == (12, 3, 64)
    assert 4.5 < tables.SIRST["contrast"][2] / ours["contrast"][2] < 6.5
    assert ours["targets"][0] < 0.35 < tables.SIRST["targets"][0]
    assert abs(tables.SIRST["area"][2] - ours["area"][2]) < 5
    assert 4 < ours["area"][2] ** 0.5 < 5
    assert made.mask.float().mean() < 0.001


@pytest.mark.skipif(not fetch.folder("istd/SIRSTv1"), reason="SIRST v1 is not in the data folder")
def test_the_numbers_of_SIRST_v1_are_those_of_its_427_images():
    read = [readers.frames("sirst", p) for p in readers.PARTS]
    image, mask = (torch.cat([getattr(f, key) for f in read]) for key in ("image", "mask"))
    assert len(image) == 427
    measured = tables.statistics(data.Frames(sum((f.names for f in read), ()), image, mask))
    assert measured["area"] == tables.SIRST["area"]
    assert measured["contrast"] == tables.SIRST["contrast"]
    np.testing.assert_allclose(measured["targets"], tables.SIRST["targets"], atol=6e-4)


def test_by_centroids_a_hit_is_nearer_than_three_pixels():
    assert NEAR == 3.0


def test_on_SIRST_v1_IPI_and_PSTNN_are_far_above_top_hat_and_MPCM():
    iou = tables.by_detector("iou")
    assert min(iou["pstnn"], iou["ipi"]) > max(iou["top-hat"], iou["mpcm"]) + 5


def test_all_four_hit_most_targets_and_what_sets_them_apart_is_false_alarms():
    assert min(tables.by_detector("pd").values()) > 85
    fa = tables.by_detector("fa_1e-5")
    assert fa.pop("top-hat") > 2 * max(fa.values())
    assert min(tables.lost().values()) > 0


def test_the_made_up_scenes_are_harder_every_IoU_is_far_lower():
    for name, real in tables.by_detector("iou").items():
        assert tables.mean(name, "iou_synthetic") < 0.6 * real


def test_of_the_three_on_three_draws_PSTNN_has_the_highest_IoU_and_top_hat_the_highest_Pd():
    for key, first, others in (
        ("iou_synthetic", "pstnn", ("top-hat", "mpcm")),
        ("pd_synthetic", "top-hat", ("mpcm", "pstnn")),
    ):
        for other in others:
            assert records.ranks(tables.of(first, key), tables.of(other, key))


def test_PSTNN_and_MPCM_gain_points_from_one_number_and_pay_with_false_alarms():
    assert min(tables.gain("mpcm"), tables.gain("pstnn")) > 5
    grew = lambda n: tables.mean(n, "fa_1e-5_chosen") / tables.mean(n, "fa_1e-5")
    assert grew("pstnn") > 2
    assert grew("mpcm") > 1


def test_the_best_cut_of_PSTNN_is_zero_and_it_is_ahead_of_MPCM_on_the_same_frames():
    assert tables.mean("pstnn", "cut") == 0
    assert tables.ahead()[0] > 0


def test_the_counts_of_the_frames_are_those_of_the_recorded_IoU():
    intersection, union = evaluation.pixels("mpcm-sirst")
    assert 100 * sum(intersection) / sum(union) == pytest.approx(tables.mean("mpcm", "iou"))


def test_the_printed_F1_differs_by_up_to_half_a_point_from_that_of_the_IoU():
    _, rows, _ = tables.published()
    assert 0.4 < max(abs(float(r[3]) - float(r[-1])) for r in rows) < 0.5


def test_the_printed_rows_of_MPCM_and_PSTNN_agree_within_051_in_every_column():
    pairs = [zip(PUBLISHED["MPCM"][s], PUBLISHED["PSTNN"][s], strict=True) for s in tables.SETS]
    assert max(abs(a - b) for pair in pairs for a, b in pair) <= 0.51


def test_by_the_papers_clock_IPI_takes_three_seconds_and_MPCM_a_sixteenth_of_one():
    mpcm, pstnn, ipi = (PUBLISHED[n]["seconds_cpu"] for n in ("MPCM", "PSTNN", "IPI"))
    assert mpcm * 16 == pytest.approx(1, abs=0.01)
    assert ipi == pytest.approx(3, abs=0.01)
    assert ipi > 10 * pstnn > 30 * mpcm


# solutions


@pytest.mark.parametrize("shape", [(9, 5), (6, 6), (4, 11)])
def test_the_certificates_of_both_ends(shape):
    P = randn(*shape)
    Y, Z = SOLUTIONS.certificates(P)
    norm = lambda M: float(torch.linalg.matrix_norm(M, 2))
    nuclear = float(torch.linalg.matrix_norm(P, "nuc"))
    assert norm(Y) == pytest.approx(1)
    assert float((Y * P).sum()) == pytest.approx(nuclear)
    assert float(Y.abs().max()) <= 1 + 1e-12
    lam = 1 / P.numel() ** 0.5
    assert norm(Z) <= 1 + 1e-12
    assert float((Z * P).sum()) == pytest.approx(lam * float(P.abs().sum()))
    assert float(Z.abs().max()) <= lam + 1e-12
    assert float(algorithm.rpca(P, 1.0, 1e-9, 5000).T.abs().max()) < 1e-6
    assert float(algorithm.rpca(P, lam, 1e-9, 5000).B.abs().max()) < 1e-6


def test_a_growing_penalty_mends_a_small_one_and_a_hasty_one_loses_the_solution():
    B, T = planted(60, 3, 0.05)
    P, lam = B + T, algorithm.default_lam(B)
    fixed, grown, hasty = (SOLUTIONS.growing(P, 0.02, f) for f in (1.0, 1.1, 5.0))
    assert 170 < fixed[2] < 210
    assert 4.5 < fixed[2] / grown[2] < 6.5
    assert 10 <= hasty[2] <= 13
    for found in (fixed, grown):
        torch.testing.assert_close(found[0], B, rtol=0, atol=1e-4)
    best = algorithm.objective(B, T, lam)
    assert algorithm.objective(*grown[:2], lam) == pytest.approx(best, rel=1e-6)
    assert algorithm.objective(*hasty[:2], lam) > 1.2 * best
    assert float((P - hasty[0] - hasty[1]).norm()) <= 1e-7 * float(P.norm())
    good = P.numel() / (4 * float(P.abs().sum()))
    assert SOLUTIONS.growing(P, good, 1.1)[2] >= SOLUTIONS.growing(P, good, 1.0)[2]


@pytest.mark.parametrize("t", [0.5, 3.0, 7.0])
def test_by_hand_any_other_threshold_misses_the_background_by_as_much_as_said(t):
    a, c, p = 2.0, 3.0, 2
    J, eye = torch.ones(p * p, p * p, dtype=F64), torch.eye(p * p, dtype=F64)
    off = algorithm.svt(a * J + c * eye, t) - a * J
    assert float(torch.linalg.norm(off)) == pytest.approx(SOLUTIONS.off_by(a, c, p, t), abs=1e-12)


@pytest.mark.parametrize("p, s", [(50, 10), (4, 2), (6, 6)])
def test_a_pixel_far_from_the_border_stands_in_that_many_columns(p, s):
    D = torch.zeros(6 * p // s * s, 6 * p // s * s, dtype=F64)
    D[3 * p + 1, 3 * p + 1] = 1
    held = (baselines.patch_matrix(D, p, s) != 0).any(0)
    assert int(held.sum()) == SOLUTIONS.columns_of(p, s)
    assert SOLUTIONS.columns_of(50, 10) == 25


def test_away_from_home_the_learned_thresholds_are_ahead_of_five_steps_and_not_of_eight():
    """The page's own cell, trained again; its matrices are those of the solution."""
    text = (pages.BOOK / "small_target/rpca.md").read_text("utf-8")
    (cell,) = re.findall(r"```{code-cell} python3\n(from torch import nn.*?)```", text, re.S)
    here = {"torch": torch, "soft": prox.soft}
    exec(cell, here)
    home, again = (
        make(here["seeded"](3))
        for make in (lambda g: here["draw"](4, g), lambda g: SOLUTIONS.away(24, 2, 0.05, 4, g))
    )
    assert all(torch.equal(a, b) for a, b in zip(home, again, strict=True))
    P, B = SOLUTIONS.away(24, 2, 0.1, 200, here["seeded"](5))
    size = 4 * float(P.abs().mean())
    admm = lambda k: here["LearnedADMM"](k, size, size / 24**0.5)
    with torch.no_grad():
        ours, five, eight = (
            10 * float(here["loss"](n, P, B).log10()) for n in (here["net"], admm(5), admm(8))
        )
    assert 3 < five - ours < 5
    assert eight < ours


def test_stripes_have_one_pattern_a_position():
    columns = randn(128)
    assert SOLUTIONS.stripes(columns) == 9
    assert SOLUTIONS.stripes(randn(70)) == 3
    stripy = (0.5 + 0.02 * columns).expand(128, -1)
    assert float(baselines.mpcm(stripy).max()) < 1e-12
    assert float(baselines.top_hat(stripy).max()) > 0.03


def test_squares_fool_the_one_family_and_not_the_other():
    mask = torch.zeros(60, 60, dtype=torch.bool)
    mask[20, 20] = mask[40:42, 41:43] = True
    made = SOLUTIONS.squares(mask, 7)[None]
    near, touch = by_centroid(made, mask[None]), by_overlap(made, mask[None])
    assert (near.pd, near.false) == (1.0, 0)
    assert (touch.pd, touch.false) == (1.0, 2 * 15**2 - 5)
    assert iou(made, mask[None]) < 0.05
