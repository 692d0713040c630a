"""The chapter on STAR-Net: its explorers and the solutions of its exercises: star net blocks."""

from itertools import pairwise

import pytest
from shared_star_net_page import SOLUTIONS, above, cleared, settings

from dunfold_lib import records
from dunfold_lib.hyperspectral import (
    STARNet,
    STARNetS,
    data,
    evaluation,
    measured,
    published,
    scores,
    star,
)
from dunfold_lib.hyperspectral import figures_star_net as figures
from dunfold_lib.hyperspectral import figures_star_net_printed as printed
from dunfold_lib.hyperspectral import figures_star_net_studies as studies
from dunfold_lib.hyperspectral import figures_star_net_tables as tables
from dunfold_lib.tables import mean


def test_A_never_updated_is_the_same_training_as_the_first_row():
    for s in figures.LEVELS:
        never = tables.of("star-no-a", f"psnr_{s}", "as-is")
        fixed = tables.of("star", f"psnr_fixed_{s}", "as-is")
        assert 1 <= len(never) <= len(fixed)
        assert never == pytest.approx(fixed[: len(never)], abs=0.02)


def test_the_rows_have_equal_steps_but_SMDSNet_more_than_twice_as_many():
    steps = {n: settings(n).steps for n in ("star", *studies.ABLATION)}
    assert steps.pop("smds") > 2 * steps["star"]
    assert len({*steps.values()}) == 1
    assert settings("star-every-a").whole


@pytest.mark.parametrize("name", ["star-no-svt", "star-no-blend", "smds"])
def test_three_seeds_are_recorded_of_each_block_that_the_page_ranks(name):
    for s in figures.LEVELS:
        assert len(tables.against(name, "star", f"psnr_{s}")) >= 3


def test_SVT_brings_most_at_low_noise_for_each_seed():
    brings = tables.over("star", "star-no-svt")
    assert all(map(above, brings.values()))
    assert mean(brings[10]) > 5 * mean(brings[50])


def test_G_in_every_layer_brings_nothing():
    first, *rest = tables.over("star-no-blend", "star").values()
    assert above(first)
    assert max(first) < 0.2
    assert max(abs(v) for row in rest for v in row) < 0.05


def test_one_Procrustes_step_at_the_end_brings_something_for_each_seed():
    assert all(map(above, studies.procrustes_brings().values()))


@pytest.mark.parametrize("name", studies.LONE)
def test_what_the_page_does_not_decide_of_the_blocks_is_not_decided(name):
    found = tables.of(name, "psnr_50", "as-is")
    assert records.undecided(found, tables.of("star", "psnr_50", "as-is"))


def test_fewer_layers_were_trained_for_more_steps():
    assert [settings(n).layers for n in studies.DEPTHS.values()] == [*studies.DEPTHS]
    assert settings("star-k9").steps < settings("star-k3").steps


def depth(K, level):
    return tables.of(studies.DEPTHS[K], f"psnr_{level}", "as-is")


@pytest.mark.parametrize("level", [10, 30, 50])
def test_one_layer_is_behind_two_to_six(level):
    for K in range(2, 7):
        assert records.ranks(depth(K, level), depth(1, level))


def test_where_the_noise_is_low_three_layers_are_ahead():
    for K in (1, 2, 4, 5, 6, 7, 8, 9):
        assert records.ranks(depth(3, 10), depth(K, 10))


@pytest.mark.parametrize(("level", "most"), [(30, 7), (50, 9)])
def test_whether_more_than_three_layers_are_worth_their_time_is_not_decided(level, most):
    assert records.undecided(*(depth(K, level) for K in range(3, most + 1)))


@pytest.mark.parametrize("K", [8, 9])
def test_at_30_three_layers_are_ahead_of_eight_and_nine(K):
    assert records.ranks(depth(3, 30), depth(K, 30))


def test_at_the_highest_noise_no_depth_is_ahead():
    assert records.undecided(*(depth(K, 70) for K in studies.DEPTHS))


def test_the_sparse_noises_are_those_that_the_page_names():
    N = data.NOISES
    assert {N[k].sigma for k in studies.KINDS} == {10}
    assert (N["impulse"].impulse, N["mixed"].impulse) == (0.05, 0.02)
    assert N["mixed"].stripes < N["stripes"].stripes
    assert N["mixed"].dead < N["dead"].dead
    assert settings("star-s").whole
    assert (STARNetS().procrustes, STARNetS.window) == (6, 5)


def test_the_classical_S_is_ahead_of_its_sweeps_without_S_on_impulses():
    with_s, without = (
        mean(tables.of(n, "psnr_impulse_as_is"))
        for n in ("star-s-classical", "star-classical-sparse")
    )
    assert with_s > without + 3


def test_the_block_S_earns_its_place_and_training_pays():
    for found in (*studies.s_brings().values(), *studies.s_over_classical().values()):
        assert above(found)
        assert min(found) > 1


EXACT = (28.13, 18.59, 14.15, 11.23)  # white noise on a scale of peak 1, dB


PRINTED = {name: cube["PSNR"] for name, cube in printed.CUBES.items()}


def test_the_printed_noisy_rows_are_higher_than_white_noise_can_be():
    for cube in PRINTED.values():
        for i, e in enumerate(EXACT):
            assert cube["Noisy"][i] > e + 0.5
        assert cube["Noisy"][3] - EXACT[3] > 5
    assert PRINTED["ICVL"]["Noisy"][3] - EXACT[3] > 6.5


def test_one_printed_entry_is_a_misprint_and_the_average_says_which():
    assert "20.018" in published.MISPRINT
    *levels, average = PRINTED["ICVL"]["Noisy"]
    assert tuple(levels) == (29.018, 21.591, 18.402, 18.126)
    assert sum(levels) / 4 == pytest.approx(average, abs=0.01)


def test_by_the_averages_STAR_Net_S_leads_and_level_by_level_STAR_Net_is_not_always_first():
    icvl, pavia = PRINTED["ICVL"], PRINTED["PaviaU"]
    for cube in (icvl, pavia):
        assert max(cube, key=lambda m: cube[m][4]) == "STAR-Net-S"
    assert (icvl["Eigen-CNN"][0], icvl["STAR-Net"][0]) == (47.321, 47.286)
    assert (pavia["RCILD"][1], pavia["STAR-Net"][1]) == (35.947, 35.637)


def test_as_printed_the_gain_is_positive_at_every_level_from_a_tenth_to_more_than_five():
    gain = {name: printed.gain(name) for name in printed.CUBES}
    assert all(v > 0 for row in gain.values() for v in row)
    assert min(gain["ICVL"]) < 0.15
    assert max(gain["PaviaU"]) > 5


def test_our_gain_is_positive_for_every_seed_and_shrinks_as_the_noise_grows():
    gain = tables.over("star", "smds")
    assert all(map(above, gain.values()))
    assert mean(gain[10]) > 3 * mean(gain[70])


def test_what_the_page_computes_of_the_sweeps_is_what_is_recorded():
    truth = data.part("test")
    (first,) = (r for r in records.recorded("hyperspectral/star-classical") if r["seed"] == 0)
    for s, e in zip(figures.LEVELS, EXACT, strict=True):
        Y = evaluation.noised(truth, data.Noise(s), 0)
        assert scores.psnr(Y, truth) == pytest.approx(e, abs=0.02)
        here = scores.psnr(star(Y, s / 255), truth)
        assert here == pytest.approx(first["scores"][f"psnr_{s}"], abs=0.02)


@pytest.mark.parametrize("level", figures.LEVELS)
def test_the_picture_hardly_changes_before_the_last_layer_and_the_codes_know_early(level):
    cleared()
    assert figures.recorded()
    made = figures.run_of(level)
    assert len(made.codes) == 6
    assert made.codes[-1] == pytest.approx(made.psnr[-1], abs=1e-4)
    assert max(made.psnr[:-1]) - made.psnr[0] < 1
    assert made.psnr[-1] - max(made.psnr[:-1]) > 2
    assert 0.3 < made.codes[-1] - made.codes[0] < 2.5
    assert min(made.codes[3:5]) < max(made.codes[:3])


@pytest.mark.parametrize("level", figures.LEVELS)
def test_switched_off_after_training_SVT_is_missed_and_G_is_not(level):
    cleared()
    whole = figures.run_of(level).psnr[-1]
    lost = {o: whole - figures.run_of(level, o).psnr[-1] for o in ("A", "SVT", "G")}
    assert lost["G"] < 0.1
    assert lost["SVT"] > 1
    assert 0.1 < lost["A"] < 0.9


def test_a_fresh_layer_forgets_its_B_and_a_trained_one_does_not():
    b, _ = measured(figures.noisy(30), 30 / 255, 9)
    assert SOLUTIONS.remembers(STARNet(stride=3), b) < 1e-3
    cleared()
    assert SOLUTIONS.remembers(figures.network(), b) > 0.01


def test_the_guess_about_the_block_that_is_missed_is_right():
    cleared()
    guess = figures.blocks_explorer().guess
    whole = figures.run_of(50).psnr[-1]
    lost = {o: whole - figures.run_of(50, o).psnr[-1] for o in ("A", "SVT", "G")}
    assert max(lost, key=lost.get) == guess.right
    assert f"{lost['SVT']:.1f} dB" in guess.answer


@pytest.mark.parametrize("k", [0, 1, 4, 6])
def test_the_layers_that_are_still_to_come_are_not_drawn(k):
    cleared()
    *_, curve = figures.layer(k, 30)
    made = figures.run_of(30)
    cube, codes, shown = curve.lines
    assert [*cube.y] == made.psnr[: k + 1]
    assert [*codes.y] == made.codes[: max(k, 1)]
    assert (*shown.x, *shown.y) == (k, made.psnr[k])


@pytest.mark.parametrize("level", figures.LEVELS)
def test_the_guess_about_the_layer_where_the_noise_leaves_is_right(level):
    cleared()
    made = figures.run_of(level).psnr
    rises = [b - a for a, b in pairwise(made)]
    assert rises[-1] > 0.7 * (made[-1] - made[0])
    assert figures.layer_explorer().guess.right == "nearly all in the last"
