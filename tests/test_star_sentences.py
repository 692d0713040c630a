"""The chapter on STAR: its explorers and the solutions of its exercises: star sentences."""

import inspect
from functools import partial
from math import log10

import numpy as np
import pytest
import torch
from shared_star_page import F64, SOLUTIONS

from dunfold_lib import records
from dunfold_lib.hyperspectral import data, evaluation, published, scores
from dunfold_lib.hyperspectral import figures_star as figures
from dunfold_lib.hyperspectral import figures_star_pictures as pictures
from dunfold_lib.hyperspectral import figures_star_tables as tables
from dunfold_lib.hyperspectral.algorithm import Star, star_s
from dunfold_lib.hyperspectral.patches import Patches

# what the page says: each test is named after a sentence, and fails where it would be wrong


def test_at_sigma_70_the_noisy_crop_has_11_dB_and_the_denoised_one_more_than_36():
    seen = figures.denoised(70.0)
    assert 11.0 < scores.psnr(seen.noisy, seen.truth) < 11.5
    assert scores.psnr(seen.made, seen.truth) > 36
    assert torch.equal(seen.truth, data.part("test")[..., 24:72, 8:56])


def test_the_printed_noisy_rows_are_higher_than_white_noise_at_every_level():
    assert tuple(data.part("test").shape) == (1, 200, 96, 64)
    exact = [-20 * log10(level / 255) for level in evaluation.LEVELS]
    assert [round(v, 2) for v in exact] == [28.13, 18.59, 14.15, 11.23]
    for table in (published.ICVL, published.PAVIAU):
        noisy = table["PSNR"]["Noisy"][: len(exact)]
        assert all(p > e for p, e in zip(noisy, exact, strict=True))


def test_SVT_is_best_at_8_to_9_5_where_soft_thresholding_is_best_at_1_5():
    best = {}
    for kind in ("middling", "rich"):
        found = figures.errors(kind)
        at = {n: figures.THRESHOLDS[v.index(min(v))] for n, v in found.items()}
        assert at["soft"] == 1.5
        assert 8 <= at["SVT"] <= 9.5
        best[kind] = min(found["SVT"]) / min(found["soft"])
    assert 0.78 < best["middling"] < 0.85
    assert 1.04 < best["rich"] < 1.1


def test_the_singular_values_of_noise_reach_about_12():
    clean, noisy = figures.patch("flat")
    assert torch.linalg.svdvals(clean)[0] < 5
    assert 12 < float(torch.linalg.svdvals(noisy)[0]) < 13


def test_the_data_weigh_less_than_a_thousandth_in_G():
    assert (Star().lam, Patches().nominal) == (16, 81)
    assert 1 / (1 + 16 * 81) < 1e-3


def test_the_settings_of_STAR_S_are_those_that_the_page_names():
    assert "Star(gamma1=1.1, mu=1.5), 4, r, window=5" in inspect.getsource(star_s)
    assert Star().gamma1 == 0.9
    assert tables.MU == 1.5


def means(first, second, kinds):
    return [tables.mean(v) for v in tables.minus(first, second, kinds)]


def test_STAR_is_more_than_3_dB_above_the_projection_in_the_mean():
    over = means("star-classical", "pca", evaluation.LEVELS)
    assert 3 < min(over) <= max(over) < 6
    assert tables.mean(tables.of("star-classical", 50)) > 36.3


def test_of_total_variation_it_is_ahead_for_each_draw_up_to_50_and_at_70_they_do_not_agree():
    *ahead, last = tables.minus("star-classical", "subspace-tv", evaluation.LEVELS)
    for draws in ahead:
        assert records.ranks(draws, [0.0] * len(draws))
        assert tables.mean(draws) < 0.35
    assert min(last) < 0 < max(last) < 0.1


@pytest.mark.parametrize(
    ("level", "low", "high"), [(10, 2.2, 2.5), (30, 1.1, 1.4), (50, 0.9, 1.1), (70, 0.65, 0.8)]
)
def test_with_a_sound_truth_the_figure_of_STAR_rises(level, low, high):
    assert low < tables.floor()[evaluation.LEVELS.index(level)] < high


def test_Procrustes_brings_a_little_at_10_and_more_at_30_and_50():
    for draws in tables.minus("star-classical", "star-classical-no-a", tables.AT_PARTS):
        assert records.ranks(draws, [0.0] * len(draws))
    first, *others = means("star-classical", "star-classical-no-a", tables.AT_PARTS)
    assert 0.08 < first < 0.15
    assert 0.3 < min(others) <= max(others) < 0.4


def test_cosines_along_the_eigen_images_lose():
    lost = means("star-classical", "star-classical-mixed", tables.AT_PARTS)
    assert 1.1 < min(lost) <= max(lost) < 2.6


def test_the_copy_costs_something_by_itself():
    cost = means("star-classical", "star-classical-beta", tables.AT_PARTS)
    assert 0.1 < min(cost) <= max(cost) < 0.95
    assert cost[0] > 0.85


def test_in_the_classical_method_the_low_rank_term_brings_nothing():
    for draws in tables.minus("star-classical-beta", "star-classical-svt", tables.AT_PARTS):
        assert records.ranks(draws, [0.0] * len(draws))
        assert 0.1 < tables.mean(draws) < 0.22


@pytest.mark.parametrize(("kind", "least"), [("impulse", 6), ("stripes", 0.3)])
def test_of_the_file_as_it_is_three_draws_say_the_same_of_impulses_and_stripes(kind, least):
    names = ("star-s-classical", "star-classical-medians", "star-classical-sparse")
    by_seed = [tables.of(n, f"{kind}_as_is") for n in names]
    S = [a - b for a, b in zip(*by_seed[:2], strict=True)]
    medians = [a - b for a, b in zip(*by_seed[1:], strict=True)]
    assert records.ranks(S, [least] * len(S))
    assert records.ranks(medians, [1.0] * len(medians))
    assert (min(medians) > max(S)) == (kind == "stripes")  # where most of the gain comes from


def test_on_dead_lines_three_draws_do_not_agree_on_the_sign_of_what_S_adds():
    S, medians = (
        tables.of(n, "dead_as_is") for n in ("star-s-classical", "star-classical-medians")
    )
    gain = [a - b for a, b in zip(S, medians, strict=True)]
    assert len(gain) >= records.SEEDS
    assert min(gain) < 0 < max(gain)


def test_at_50_STAR_is_ahead_in_two_columns_and_total_variation_barely_in_the_other_two():
    four = tables.four()
    ours, total = four["star-classical"], four["subspace-tv"]
    assert ours["psnr_50"] > total["psnr_50"]
    assert ours["ergas_50"] < total["ergas_50"]
    assert 0 < total["ssim_50"] - ours["ssim_50"] < 0.01
    assert 0 < ours["sam_50"] - total["sam_50"] < 0.001


@pytest.mark.parametrize("name", tables.LIVE)
def test_what_is_computed_with_the_page_is_what_is_recorded(name):
    found = records.recorded(f"hyperspectral/{name}")
    seen = [r["scores"]["psnr_50"] for r in found if r.get("seed") == 0]
    assert seen
    assert seen[0] == pytest.approx(tables.four()[name]["psnr_50"], abs=0.02)


def test_S_is_for_impulses_and_on_stripes_most_comes_from_the_medians():
    gain, medians = (tables.of_means(*tables.BRINGS[n]) for n in ("S", "medians"))
    assert 6.1 < gain["impulse"] < 6.8
    assert gain["impulse"] + medians["impulse"] > 3
    assert 0.2 < gain["stripes"] < 0.55
    assert 1.2 < medians["stripes"] < 2.2
    assert 0.1 < gain["dead"] < 0.45
    assert 0.4 < medians["dead"] < 1.1
    assert 2 < gain["mixed"] < 3


def test_the_large_entries_of_S_are_the_impulses():
    dirty, S = tables.sparse_part()
    size, large = (dirty - data.part("test")).abs(), S.abs() > 0.1
    assert (size > 0.2).double().mean() > 0.03
    assert large[size > 0.2].double().mean() > 0.99
    assert large[size < 0.1].double().mean() < 0.005


# the pictures of both chapters


def test_by_hand_each_number_is_that_of_the_text():
    x = pictures.by_hand()
    expected = torch.tensor([[10.6, 10.4], [-1.2, 0.2]], dtype=F64)
    torch.testing.assert_close(x.G[0, 0], expected, rtol=0, atol=1e-12)
    assert x.m == pytest.approx(5)
    codes = torch.tensor([[0.0, -0.6], [11.0, 0.8]], dtype=F64)
    torch.testing.assert_close(x.codes, codes, rtol=0, atol=1e-12)
    torch.testing.assert_close(x.made, torch.tensor(pictures.TRUE, dtype=F64))
    spoilt = pictures.by_hand(theta=0.7)  # the diagonal code stays
    assert float((spoilt.made - x.made).abs().max()) > 0.1
    assert pictures.small().captions[3] == "made of its code: 10.0 10.0 / 0.0 0.0"


def test_a_large_lambda_makes_what_the_patch_says_the_new_G():
    x = pictures.by_hand()
    model = Star(lam=1e9, gamma1=1.0, side=2)
    *_, (_, after) = model.sweep(x.Y, model.start(x.Y, x.A))
    torch.testing.assert_close(after.G[0, 0], x.made, rtol=0, atol=1e-6)


@pytest.mark.parametrize("diagram", [pictures.SWEEP, pictures.LAYER])
def test_a_diagram_says_in_words_what_its_boxes_say(diagram):
    made = pictures.flow(diagram)
    assert made.text.count("<rect") == len(diagram.boxes)
    for box in diagram.boxes:
        assert box.says in made.alt
        assert made.text.count(box.says) == 2  # in its box, and for screen readers
    assert ("rotate(-90" in made.text) == bool(diagram.again)
    assert made.text != pictures.flow(diagram).text  # ids are never used twice


def test_the_diagram_of_a_sweep_names_its_updates_in_their_order():
    x = pictures.by_hand()
    model = Star(gamma2=0.5, beta=1.0, mu=1.0, side=2)
    blocks = [name for name, _ in model.sweep(x.Y, model.start(x.Y, x.A))]
    assert [b.says[0] for b in pictures.SWEEP.boxes] == blocks


def test_the_curves_beside_a_training_are_what_is_above_the_base():
    found = {"a": [1.0, 2, 3, 4], "b": [0.0, 0, 0, 0]}
    right = pictures.above(found, [1.0] * 4, "base")
    assert [c.label for c in right.lines] == ["a", "b", "base"]
    np.testing.assert_array_equal(right.lines[0].y, [0, 1, 2, 3])
    np.testing.assert_array_equal(right.lines[1].y, [-1] * 4)
    np.testing.assert_array_equal(right.lines[2].y, [0] * 4)


def test_the_exercise_by_hand_has_the_numbers_of_its_solution():
    Y = torch.tensor([[[7.0, -1], [5, 1]], [[9, 2], [9, -2]]], dtype=F64)
    G, m, codes, made = SOLUTIONS.hand(Y, torch.tensor(pictures.SPECTRUM, dtype=F64), 1.0)
    same = partial(torch.testing.assert_close, rtol=0, atol=1e-12)
    same(G, torch.tensor([[11.4, 1], [10.2, -1]], dtype=F64))
    assert m == pytest.approx(5.4)
    same(codes, torch.tensor([[0, 10.8], [1.6, -0.4]], dtype=F64))
    same(made, torch.tensor([[10.6, 0.8], [10, 0.2]], dtype=F64))


def test_the_guess_about_seven_times_the_noise_is_right():
    at = [scores.psnr(figures.denoised(s).made, figures.crop()) for s in (10.0, 70.0)]
    noise = 20 * log10(7)
    assert 0.4 * noise < at[0] - at[1] < 0.75 * noise
    guess = figures.viewer_explorer().guess
    assert guess.right == "about half as much"
    assert f"{at[0]:.1f} dB" in guess.answer
    assert f"{at[1]:.1f} dB" in guess.answer
    assert f"{at[1]:.1f}" not in figures.viewer_explorer().caption
