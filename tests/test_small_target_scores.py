"""Of small target: scores."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_small_target import F64, close, masks, rand, randn, seeded

from dunfold_lib.small_target import scores


def test_scores_by_hand():
    """Two images of 4×6: three targets; one exact, one touched, one missed; one false component."""
    truth = masks("##....  ##....  ....#.  ......", "......  .#....  ......  ......")
    found = masks("##....  ##....  ....##  ......", "#.....  ......  ......  .....#")
    # pixels: 4 + 1 hit of 4 + 1 + 1; predicted 4 + 2 + 2
    assert scores.iou(found, truth) == pytest.approx(5 / 9)
    assert scores.niou(found, truth) == pytest.approx((5 / 6 + 0) / 2)
    assert scores.f1(5 / 9) == pytest.approx(10 / 14)
    overlap = scores.by_overlap(found, truth)
    assert overlap == (2, 3, 3, 48 - 6)
    assert overlap.pd == pytest.approx(2 / 3)
    assert overlap.fa == pytest.approx(3 / 42)
    centroid = scores.by_centroid(found, truth)
    assert centroid == (3, 3, 1, 48)  # (0, 0) is √2 from (1, 1); the far pixel is a false alarm
    made = scores.scores(found, truth, "_x")
    assert made["fa_1e-5_x"] == pytest.approx(1e5 * 3 / 42)
    assert made["fa_3px_1e-6_x"] == pytest.approx(1e6 / 48)
    assert made["f1_x"] == pytest.approx(100 * 10 / 14)
    assert set(made) == {
        f"{n}_x" for n in ("iou", "niou", "f1", "pd", "fa_1e-5", "pd_3px", "fa_3px_1e-6")
    }


def test_components_are_eight_connected():
    truth = masks("#....  .#...  ..#..  ....#")
    assert scores.by_overlap(truth, truth).targets == 2


def test_three_pixels_are_too_far_and_partners_are_one_to_one():
    truth, at = masks("#........."), lambda text: scores.by_centroid(masks(text), truth)
    assert at("..#.......").hits == 1
    assert at("...#......").hits == 0
    both = at("#.#.......")  # both are near; one is left over
    assert (both.hits, both.false) == (1, 1)
    two = masks("#.#.......")
    assert scores.by_centroid(masks(".#........"), two).hits == 1


def test_false_alarms_are_counted_by_their_pixels_not_by_their_area():
    """A matched and an unmatched component of one area: matching by area would lose the second."""
    truth = masks("##......  ........  ........")
    found = masks("##......  ........  ......##")
    assert scores.by_centroid(found, truth) == (1, 1, 2, 24)


def test_nearest_pairs_come_first():
    truth = masks("..#..#....")
    found = masks("...##.....")  # one component at 3.5, between targets at 2 and 5
    assert scores.by_centroid(found, truth).hits == 1
    found = masks("..#.#.....")
    assert scores.by_centroid(found, truth) == (2, 2, 0, 10)


def test_empty_images_and_forms_of_masks():
    none, some = masks("....  ...."), masks("#...  ....")
    assert scores.iou(none, none) == 1.0
    assert scores.niou(torch.cat([none, some]), torch.cat([none, some])) == 1.0
    assert scores.by_overlap(none, none) == (0, 0, 0, 8)
    assert scores.by_overlap(none, none).pd == 0.0
    assert scores.by_centroid(some, none).false == 1
    assert scores.iou([some[0], none[0]], some.expand(2, 2, 4)[:, None]) == 0.5


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_pooled_scores_against_scikit_learn(seed):
    sk = pytest.importorskip("sklearn.metrics")
    p, y = rand(2, 5, 6, seed=seed) > 0.6, rand(2, 5, 6, seed=seed + 1) > 0.6
    flat = (y.flatten().numpy(), p.flatten().numpy())
    assert scores.iou(p, y) == pytest.approx(sk.jaccard_score(*flat))
    assert scores.f1(scores.iou(p, y)) == pytest.approx(sk.f1_score(*flat))
    s = randn(2, 5, 6, seed=seed).round(decimals=1)  # with ties
    curve = scores.roc(s, y)
    assert curve.area == pytest.approx(sk.roc_auc_score(flat[0], s.flatten().numpy()))


def test_the_bootstraps_interval_is_the_normal_one_where_images_are_many():
    """Equal unions: the IoU is a mean, its deviation that of the images over √n."""
    g = seeded(4)
    both = torch.randint(0, 101, (400,), generator=g)
    found = scores.Counts(both.tolist(), [100] * 400)
    low, high = scores.interval(found)
    mean, spread = float(both.double().mean()), float(both.double().std()) / 20
    assert (low, high) == pytest.approx((mean - 1.96 * spread, mean + 1.96 * spread), abs=0.25)
    assert scores.interval(found, 0.5)[1] - scores.interval(found, 0.5)[0] < 0.4 * (high - low)
    assert scores.interval(scores.Counts([3], [4])) == (75.0, 75.0)  # one image: it cannot tell


def test_the_bootstrap_sums_over_images_before_it_divides():
    """One large target, many small: only sums weigh it so."""
    found = scores.Counts([900] + [0] * 9, [1000] + [10] * 9)
    low, high = scores.interval(found)
    assert low == 0
    assert 85 < high < 90  # never above the large one's own 90


def test_pairs_of_images_tell_apart_what_single_intervals_do_not():
    g = seeded(5)
    union = torch.randint(50, 150, (80,), generator=g)
    both = (union * torch.rand(80, generator=g)).long()
    worse = scores.Counts((0.9 * both).long().tolist(), union.tolist())
    first = scores.Counts(both.tolist(), union.tolist())
    low, high = scores.difference(first, worse)
    assert 0 < low < high < 10
    assert scores.interval(worse)[1] > scores.interval(first)[0]  # which overlap
    assert scores.difference(first, first) == (0, 0)
    with pytest.raises(ValueError, match="80 and 1 images"):
        scores.difference(first, scores.Counts([1], [1]))


def test_counts_make_the_pooled_iou():
    truth = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    truth[0, 0, 2:4, 2:4], truth[1, 0, 0, :3] = True, True
    found = truth.roll(1, 3)
    made = scores.counts(found, truth)
    assert made == ([2, 2], [6, 4])
    assert scores.iou(found, truth) == sum(made.intersection) / sum(made.union)


def test_the_best_cut_has_the_highest_pooled_iou_and_is_the_lowest_of_equals():
    truth = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    truth[..., 2:4, 2:4] = True
    score = 2.0 * truth + 0.3
    score[..., 7, 7] = 1.0  # a false one, that a cut from 1 on leaves out
    assert scores.best_cut(score, truth, [2.5, 1.5, 1.0, 0.5, -1.0]) == 1.0
    with pytest.raises(ValueError, match="cuts is empty"):
        scores.best_cut(score, truth, [])


def test_the_roc_by_hand():
    score = torch.tensor([0.9, 0.8, 0.7, 0.7, 0.1])
    truth = torch.tensor([True, False, True, False, False])
    curve = scores.roc(score, truth)
    close(curve.threshold, torch.tensor([0.9, 0.8, 0.7, 0.1], dtype=F64), 1e-6)
    close(curve.tpr, torch.tensor([0.5, 0.5, 1, 1]), 1e-6)
    close(curve.fpr, torch.tensor([0, 1, 2, 3]) / 3, 1e-6)
    assert curve.area == pytest.approx(0.5 / 3 + 0.75 / 3 + 1 / 3)
    assert len(scores.roc(rand(500), rand(500, seed=1) > 0.5, points=20).threshold) == 20


def test_the_detection_curve_falls_with_the_threshold():
    s, y = randn(3, 16, 16), randn(3, 16, 16, seed=1) > 2
    curve = scores.detection_curve(s, y, scores.thresholds(s, 9))
    assert all(a.hits >= b.hits and a.false >= b.false for a, b in pairwise(curve))
    assert curve[0].hits == curve[0].targets  # below the least score all but one pixel is predicted
