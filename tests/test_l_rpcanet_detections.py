"""Of l rpcanet page: l rpcanet detections."""

import inspect

import numpy as np
import pytest
import torch
from shared_l_rpcanet_page import SOLUTIONS, settings

from dunfold_lib import fetch, records
from dunfold_lib.small_target import (
    LRPCANet,
    RPCANet,
    dead_maps,
    evaluation,
    experiments,
    figures_rpca,
    images,
    readers,
    scores,
)
from dunfold_lib.small_target import figures_l_rpcanet as figures
from dunfold_lib.small_target import figures_l_rpcanet_maps as maps
from dunfold_lib.small_target import figures_l_rpcanet_printed as printed
from dunfold_lib.small_target import figures_l_rpcanet_sets_studies as sets
from dunfold_lib.small_target import figures_l_rpcanet_studies as studies
from dunfold_lib.small_target import figures_l_rpcanet_tables as tables
from dunfold_lib.small_target.model import macs
from dunfold_lib.small_target.published import PUBLISHED, PUBLISHED_SE, PUBLISHED_STAGES
from dunfold_lib.tables import mean


def test_trained_on_made_up_scenes_it_finds_most_targets_among_a_flood_and_a_cut_mends_that():
    one = lambda score: tables.one("lrpcanet-sirst", score, "cpu")
    assert one("pd") > 80
    assert one("fa_1e-5") > 100
    assert one("iou_chosen") > one("iou") + 10


def test_on_made_up_scenes_PSTNN_gains_by_its_cut_and_top_hat_hits_most_with_most_false():
    chosen = tables.of("pstnn-sirst", "iou_chosen_synthetic")
    assert records.ranks(chosen, tables.of("pstnn-sirst", "iou_synthetic"))
    for score in ("pd_synthetic", "fa_1e-5_synthetic"):
        for name in ("mpcm-sirst", "pstnn-sirst"):
            assert records.ranks(tables.of("top-hat-sirst", score), tables.of(name, score))


def test_on_other_scenes_all_of_them_fail():
    assert sets.highest(tables.away(), "iou") < 15
    ends = ("iou", "iou_chosen")
    away = max(v for end in ends for v in tables.of("pstnn-elsewhere", end))
    assert min(tables.of("pstnn-sirst", "iou_synthetic")) > 3 * away


def test_on_other_scenes_MPCM_is_ahead_of_PSTNN_in_each_draw():
    mpcm, pstnn = (tables.of(f"{n}-elsewhere", "iou_chosen") for n in ("mpcm", "pstnn"))
    assert records.ranks(mpcm, pstnn)


DETECTORS = ("top-hat", "mpcm", "pstnn")
CUTS = ("iou", "iou_chosen")


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("cut", CUTS)
def test_with_SIRST_v1s_targets_each_detector_has_more_than_with_faint_ones(name, cut):
    assert records.ranks(*(tables.of(f"{name}-{place}", cut) for place in ("matched", "elsewhere")))


def test_with_SIRST_v1s_targets_MPCM_is_ahead_of_PSTNN_and_all_are_far_below_SIRST_v1():
    mpcm, pstnn = (tables.of(f"{n}-matched", "iou_chosen") for n in ("mpcm", "pstnn"))
    assert records.ranks(mpcm, pstnn)
    for name in sets.MATCHED.values():
        stem, end = name.split("-matched")
        recipe = "" if stem in DETECTORS else "gpu-short" if end else "cpu-sirst"
        home = tables.of(f"{stem}-sirst", "iou", recipe)
        assert max(tables.of(name, "iou")) < 0.6 * min(home), name


def test_on_crops_like_SIRST_Augs_PSTNN_is_ahead_of_MPCM_and_only_MPCM_is_near_what_is_printed():
    mpcm, pstnn = (tables.of(f"{n}-rebuilt", "iou_chosen") for n in ("mpcm", "pstnn"))
    assert records.ranks(pstnn, mpcm)
    off = lambda n: mean(tables.of(f"{n}-rebuilt", "iou")) - PUBLISHED[n.upper()]["sirst-aug"][0]
    assert abs(off("mpcm")) < 1 < 5 < off("pstnn")


def test_each_row_on_other_frames_has_three_draws_and_its_networks_one_training():
    for name in (*tables.away().values(), *sets.MATCHED.values(), *sets.REBUILT.values()):
        runs = records.recorded(f"small_target/{name}")
        assert [r["seed"] for r in runs] == [0, 1, 2], name
        assert len({r["scores"]["cut"] for r in runs}) == 1, name
    assert "seed" not in inspect.signature(experiments._maps).parameters  # seed 0's weights


def test_the_tables_of_other_frames_hold_a_row_for_each_and_print_what_the_paper_has():
    for names, table in ((sets.MATCHED, sets.matched()), (sets.REBUILT, sets.rebuilt())):
        head, rows, told = table
        assert [row[0] for row in rows] == [*names]
        assert {len(row) for row in rows} == {len(head)}
        assert "draws" in told
    printed = {row[0]: row[-1] for row in sets.rebuilt()[1]}
    assert [*printed.values()] == ["", "19.5", "19.8", "", "", "74.6"]


@pytest.mark.skipif(
    not all(fetch.folder(f"istd/{n}") for n in ("SIRSTv1", readers.BACKGROUNDS)),
    reason="the data folder lacks SIRST v1 or the scenes",
)
def test_the_medians_of_area_and_contrast_are_those_of_the_frames():
    draws = lambda place: [evaluation.PLACES[place](seed) for seed in range(3)]
    frames = {"sirst": [readers.frames("sirst", "train")]}
    frames |= {place: draws(place) for place in ("elsewhere", "matched")}
    for name, sets_of in frames.items():
        found = [figures_rpca.contrast(f) for f in sets_of]
        merged = [[v for row in found for v in row[i]] for i in (0, 1)]
        median = tuple(round(float(np.median(v)), 1) for v in merged)
        assert median == sets.MEDIANS[name], name


def test_side_by_side_what_is_false_lies_within_two_pixels_of_a_target():
    wide = lambda m: torch.nn.functional.max_pool2d(m.float(), 5, 1, 2) > 0
    for scene in figures.SCENES:
        near = wide(figures.scene(scene).mask)
        assert not any(bool((m & ~near).any()) for m in tables.found_in(scene).values())


def test_side_by_side_MPCM_and_PSTNN_leave_more_of_the_first_scenes_targets_blank():
    truth = figures.scene("cloud").mask
    blank = {m: int((truth & ~found).sum()) for m, found in tables.found_in("cloud").items()}
    classical, networks = ("MPCM", "PSTNN"), ("RPCANet", "L-RPCANet")
    assert min(blank[m] for m in classical) > 4 * max(blank[m] for m in networks) > 0


def test_side_by_side_all_four_hit_a_part_of_the_same_one_of_the_last_scenes_two_targets():
    truth = figures.scene("horizon").mask
    parts, _ = scores.components(truth[0, 0].numpy())
    for found in tables.found_in("horizon").values():
        assert [bool((found[0, 0].numpy() & (parts == i)).any()) for i in (1, 2)] == [True, False]
        assert (found & truth).sum() < 0.3 * truth.sum()


def test_the_scales_have_stayed_near_a_half_and_hardly_depend_on_the_image():
    change = maps.scale_changes()
    assert max(change.values()) < 0.135
    still = {name for name, v in change.items() if v < 0.01}
    assert len(still) == 5
    assert len(change) == 12
    near = torch.cat([v.flatten() for v in maps.scales().values()])
    assert ((near - 0.5).abs() < 0.1).double().mean() > 0.8
    assert still >= {*dead_maps(figures.network(), figures.many())} - {"FT1"}


def test_the_row_without_any_SE_is_also_the_one_without_a_dead_map():
    dead = {letters: tables.one(name, "dead") for letters, name in studies.ABLATION.items()}
    assert dead.pop("") == 0 < min(dead.values())


def test_the_printed_F1_of_that_table_is_not_that_of_its_IoU():
    from_iou = lambda row: 200 * row[0] / (100 + row[0])
    nudt = {m: row["nudt"] for m, row in PUBLISHED_SE.items()}
    below = {(m, t): from_iou(v) - v[1] for m, row in PUBLISHED_SE.items() for t, v in row.items()}
    assert nudt["B"][1] == 81.39
    assert round(from_iou(nudt["B"]), 2) == 89.24
    assert below["B", "nudt"] == max(below.values()) == pytest.approx(7.85, abs=0.005)
    assert max(abs(below[m, "nudt"]) for m in ("BTN", "BTND")) < 1


def test_the_published_curves_are_flat_and_fall_at_seven_stages():
    for s in printed.SETS:
        one, six, seven = (PUBLISHED_STAGES[K][s][0] for K in (1, 6, 7))
        assert abs(one - six) < 3.5
        assert seven < six


def test_the_plain_network_of_every_study_is_one_and_the_same_training():
    base = tables.one("lipschitz", "iou")
    assert {tables.one(n, "iou") for n in ("se-BTND", "stages-3", "robust-lrpcanet")} == {base}


def test_at_this_width_the_narrower_merge_leaves_two_thirds_of_the_work_and_a_quarter_at_full():
    merge = {r: settings("narrow-merge", r).merge for r in ("cpu-sirst", "gpu")}
    assert merge == {"cpu-sirst": 2, "gpu": 8}
    assert 0.65 < macs(LRPCANet(3, 8, d=2)) / macs(LRPCANet(3, 8)) < 0.68
    work = [round(macs(n) / 1e9, 1) for n in (LRPCANet(), LRPCANet(d=8), RPCANet())]
    assert work == [13.7, 3.3, 44.2]


def test_trained_on_clean_crops_next_to_nothing_is_kept_on_salt_and_pepper():
    assert max(studies.area(label, "density", "") for label in studies.ROBUST) < 5


@pytest.mark.parametrize("K, share", [(6, 0.145), (3, 0.29)])
def test_of_the_work_of_K_stages_a_share_of_about_087_over_K_is_gone(K, share):
    net = LRPCANet(K=K)
    saved = 1 - maps.skipped(net) / (macs(net) / 1e9)
    assert saved == pytest.approx(share, abs=0.004 if K == 3 else 0.002)
    assert K * saved == pytest.approx(0.87, abs=0.01)


def test_a_wide_neck_costs_more_than_twice_and_a_narrow_merge_leaves_a_quarter():
    counted = {n: maps.count(net) for n, net in (("b", LRPCANet(b=16)), ("d", LRPCANet(d=8)))}
    assert counted == {"b": 475_188, "d": 55_356}
    assert 475_188 > 2 * 215_916
    assert 0.25 < 55_356 / 215_916 < 0.26


def test_a_pixel_reaches_13_pixels_in_a_stage_and_148_in_six():
    assert SOLUTIONS.reach(1) == 13
    assert SOLUTIONS.reach(6) == 148
    assert 2 * SOLUTIONS.reach(6) + 1 == 297


def test_silencing_SENRM_costs_three_points_and_with_salt_and_pepper_it_gains_eight():
    truth, net = figures.many().mask, figures.network()
    for noise, whole in {"none": [50, 47], "1 % salt and pepper": [21, 29]}.items():
        silenced = SOLUTIONS.without_noise(net, figures.disturbed(figures.many(), noise))
        found = (figures.score(noise), silenced)
        assert [round(figures.share(T > 0, truth)) for T in found] == whole


def test_the_best_cut_of_six_scenes_brings_one_point_there_and_nothing_on_the_others():
    T, truth = figures.score("none"), figures.many().mask
    cut = SOLUTIONS.best_cut(T[:6], truth[:6], [c / 4 for c in range(-40, 41)])
    halves = (slice(6), slice(6, None))
    chosen, other = ([figures.share(T[i] > c, truth[i]) for c in (0, cut)] for i in halves)
    assert [round(v) for v in chosen] == [65, 66]
    assert [round(v, 1) for v in other] == [38.7, 38.4]


@pytest.mark.parametrize("awake, layers", [(False, [1, 5, 5, 5, 6]), (True, [])])
def test_five_of_36_fresh_maps_are_constant_and_exactly_those_have_a_silent_relu(awake, layers):
    D = images(figures.many().part(range(2)))
    nets = [LRPCANet(3, 8, seed=seed, awake=awake) for seed in range(6)]
    fresh = [F for net in nets for name, F in net.maps() if name[:2] in ("FT", "FN")]
    with torch.no_grad():
        inside = [F(D)[..., 30:-30, 30:-30] for F in fresh]
    still = [float(x.std((-1, -2)).max()) < 1e-6 for x in inside]
    at = [SOLUTIONS.silent_layer(F, D) for F in fresh]
    assert len(at) == 36
    assert still == [k > 0 for k in at]
    assert sorted(k for k in at if k) == layers
