"""Of small target: measuring."""

import json
from dataclasses import fields

import pytest
import shared_small_target
import torch
from shared_small_target import count, rand, seeded, tiny_recipe, tiny_set, write
from torch import nn

from dunfold_lib import experiment, records
from dunfold_lib.small_target import algorithm, baselines, data, evaluation, readers, scores
from dunfold_lib.small_target import training as small_target_training
from dunfold_lib.small_target.experiments import EXPERIMENTS
from dunfold_lib.small_target.layers import Excite
from dunfold_lib.small_target.model import LRPCANet
from dunfold_lib.small_target.published import (
    COLUMNS,
    PUBLISHED,
    PUBLISHED_AVERAGE,
    PUBLISHED_SE,
    PUBLISHED_STAGES,
)
from dunfold_lib.training import Context

few = shared_small_target.few


def test_the_measured_studies(few, monkeypatch):
    monkeypatch.setenv("DUNFOLD_DATA", "")
    monkeypatch.setattr(data, "SIGMAS", (0, 10))
    monkeypatch.setattr(data, "DENSITIES", (0.0, 0.1))
    net = small_target_training.build(LRPCANet, tiny_recipe())
    robust = evaluation.measure_robust("sirst", net, 0)
    assert len(robust["iou_sigma_synthetic"]) == 2
    found = evaluation.measure_lipschitz("sirst", net, 0)
    assert found["contractive"] in (0.0, 1.0)
    assert len(found["jacobian_FT"]) == 1
    assert len(found["rank_B"]) == 2
    json.dumps(robust | found, allow_nan=False)
    made = evaluation.measure_method("sirst", "top-hat", None, 0)
    assert 0 <= made["iou_synthetic"] <= 100


def test_the_cut_is_chosen_on_validation_for_networks_and_detectors_alike(few, monkeypatch):
    """Test frames whose own best cut is another one do not move it."""
    val, test = data.synthetic(seeded(1), 3), data.synthetic(seeded(2), 3)
    monkeypatch.setattr(evaluation, "part", lambda name, which: val)
    monkeypatch.setattr(evaluation, "measured_on", lambda *a: {"": test})
    half = torch.where(torch.arange(test.mask.shape[-1]) < 32, test.mask, False)
    monkeypatch.setattr(evaluation, "straight", lambda name, which: half)

    def detector(image):  # on the test frames a target is only a quarter as bright
        at = next(
            i
            for i, x in enumerate((*data.images(val), *data.images(test)))
            if torch.equal(x[0], image)
        )
        mask = (*val.mask, *test.mask)[at][0]
        score = 0.45 * mask if at < 3 else 0.1 * mask
        score[0, :4] = torch.tensor([1.0, 0.3, 0.3, 0.3])
        return score

    monkeypatch.setitem(baselines.DETECTORS, "toy", detector)
    made = evaluation.measure_method("sirst", "toy", None, 0)
    assert made["cut"] == 0.3
    assert made["iou_val_chosen"] > made["iou_val"] == 0
    assert made["iou_chosen"] == made["iou"] == 0
    assert len(made["union_chosen"]) == len(made["intersection"]) == 3

    class Net(nn.Module):
        eps = torch.zeros(1)

    monkeypatch.setattr(data, "images", lambda frames: frames.mask.float())
    monkeypatch.setattr(evaluation, "logits", lambda net, y: 5.0 * y + 2.2)  # a bias: 0 finds all
    monkeypatch.setattr(evaluation, "dead_maps", lambda *a: [])
    net = Net()
    net.maps = lambda: []
    made = evaluation.measure("sirst", net, 0)
    assert made["cut"] == 2.5
    assert made["iou"] < 5
    assert 0 < half.sum() < test.mask.sum()
    assert made["iou_straight"] == pytest.approx(100 * float(half.float().mean()))
    assert made["iou_chosen"] == made["iou_val_chosen"] == 100
    assert made["iou_train"] == made["iou_val"] < 5


def test_robustness_of_a_known_detector_by_hand(monkeypatch):
    """One that answers rightly on clean images only: the curve is 100, 0, 0 and its area a half."""
    monkeypatch.setattr(data, "SIGMAS", (0, 10, 20))
    monkeypatch.setattr(data, "DENSITIES", (0.0, 0.5))
    frames = data.synthetic(seeded(), 2, 48)
    clean = data.images(frames)
    run = lambda x: frames.mask if torch.equal(x, clean) else torch.zeros_like(frames.mask)
    made = evaluation.robustness(run, frames)
    assert made["iou_sigma"] == [100.0, 0.0, 0.0]
    assert made["area_sigma"] == pytest.approx(25.0)
    assert made["area_density"] == pytest.approx(50.0)


def test_experiments_are_complete_and_build_their_networks():
    for name, e in EXPERIMENTS.items():
        assert e.title, name
        assert e.protocol, name
        net = e.build()
        assert (net is None) == (not e.recipes), name
        assert set(e.published) <= set(COLUMNS), name
        for recipe in e.recipes.values():
            assert isinstance(recipe, small_target_training.Training)
    assert set(EXPERIMENTS["lrpcanet-sirst"].recipes) == {
        "cpu",
        "cpu-sirst",
        "cpu-awake",
        "sirst-awake",
        "gpu-short",
        "gpu-long",
        "gpu-continued",
        "whole-frames",
        "aligned",
        "full",
        "gpu",
    }
    assert [*EXPERIMENTS["lrpcanet-sirst"].recipes][-8:] == [
        "cpu-sirst",
        "full",
        "gpu-short",
        "gpu-long",
        "gpu-continued",
        "whole-frames",
        "aligned",
        "gpu",
    ]  # the last recorded is shown
    whole = EXPERIMENTS["lrpcanet-sirst"]
    assert count(whole.build(whole.recipes["gpu"])) == 215_916
    control = EXPERIMENTS["rpcanet-sirst"]
    assert count(control.build(control.recipes["gpu"])) == 679_896
    narrow = EXPERIMENTS["narrow-merge"]
    assert count(narrow.build(narrow.recipes["gpu"])) == 55_356
    for recipe in narrow.recipes.values():  # a quarter of the channels, whatever the width
        assert 4 * recipe.merge == recipe.width
    assert whole.recipes["cpu"].data == "synthetic"  # needs no data folder


def test_other_scenes_are_measured_at_the_cut_of_the_recorded_run(monkeypatch):
    frames = data.synthetic(seeded(), 2, 48)
    monkeypatch.setitem(evaluation.PLACES, "elsewhere", lambda seed: {7: frames}[seed])
    cuts = {("small_target/mpcm-sirst", "cut", ""): [0.26]}
    monkeypatch.setattr(records, "values", lambda *a: cuts.get(a, []))
    score = 0.3 * frames.mask.float() + 0.25 * (~frames.mask).float()
    score[:, :, 0, 0] = 0.6
    judged = lambda name: evaluation.Judged(name, "", 0.5, lambda f: score)
    found = lambda name: evaluation.measure_elsewhere("elsewhere", judged(name), None, 7)
    made = found("mpcm-sirst")
    assert (made["cut"], made["pd"], made["pd_chosen"]) == (0.26, 0.0, 100.0)
    assert made["union_chosen"] == [int(m.sum()) + 1 for m in frames.mask]
    with pytest.raises(ValueError, match="small_target/pstnn-sirst has no recorded cut"):
        found("pstnn-sirst")


def test_each_place_is_of_its_seed_and_its_own_kind_of_frames(tmp_path, monkeypatch):
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    monkeypatch.setattr(evaluation, "ELSEWHERE", 2)
    noise = (20 * rand(300, 300) + 100).to(torch.uint8).numpy()
    write(tmp_path / "istd/SIRSTv2_backgrounds/images", "a", noise)
    tiny_set(tmp_path / "istd/SIRSTv1", "sirst", size=(400, 450))  # one test image, of one target
    readers.backgrounds.cache_clear()
    found = {name: [place(seed) for seed in (0, 1)] for name, place in evaluation.PLACES.items()}
    readers.backgrounds.cache_clear()
    assert {n: len(f.names) for n, (f, _) in found.items()} == {
        "elsewhere": 2,
        "matched": 2,
        "rebuilt": 5,
    }
    for first, second in found.values():
        assert not torch.equal(first.mask, second.mask)
    plain, matched = found["elsewhere"][0], found["matched"][0]
    assert not torch.equal(plain.mask, matched.mask)


def test_a_recorded_run_is_measured_in_each_place_at_the_cut_of_its_own_recipe():
    for place in evaluation.PLACES:
        full = EXPERIMENTS[f"lrpcanet-{place}-full"].measure.args
        assert full[0] == place
        assert (full[1].name, full[1].recipe, full[1].usual) == ("lrpcanet-sirst", "gpu-short", 0.0)
        assert EXPERIMENTS[f"pstnn-{place}"].measure.args[1].usual == 0.5
        assert f"rpcanet-{place}-full" not in EXPERIMENTS  # no weights of it are kept
    assert "our rebuilding" in EXPERIMENTS["mpcm-rebuilt"].protocol
    assert "not the published crops" in EXPERIMENTS["mpcm-rebuilt"].protocol


def test_a_study_changes_one_thing():
    whole = EXPERIMENTS["lrpcanet-sirst"]
    allowed = {"se": set(), "stages": {"stages"}, "robust": {"sigma", "density"}}
    allowed |= {"lipschitz": set(), "noise": set(), "narrow": {"merge"}}
    for name, e in EXPERIMENTS.items():
        if name.split("-")[0] not in allowed:
            continue
        for key, recipe in e.recipes.items():
            base = whole.recipes[key]
            changed = {
                f.name for f in fields(base) if getattr(base, f.name) != getattr(recipe, f.name)
            }
            assert changed <= allowed[name.split("-")[0]] | {"steps"}, (name, key)
            plain = EXPERIMENTS["lipschitz"].recipes[key]  # as long as every other study
            assert recipe.steps == plain.steps <= base.steps, (name, key)
    net = EXPERIMENTS["se-BT"].build()
    assert [isinstance(getattr(net, m)[0].excite, Excite) for m in ("FB", "FT", "FN", "FD")] == [
        True,
        True,
        False,
        False,
    ]
    assert not EXPERIMENTS["noise-not-carried"].build().carry_noise
    assert not hasattr(EXPERIMENTS["robust-two-term"].build(), "FN")


def test_published_figures_are_consistent_with_each_other():
    """What the tables print of one network twice; the two figures that differ are known."""
    whole, six = PUBLISHED["L-RPCANet"], PUBLISHED_STAGES[6]
    assert whole["irstd1k"] == six["irstd1k"]
    assert whole["nudt"][1] == 96.54
    assert six["nudt"][1] == 96.04
    assert whole["sirst-aug"][2] == 90.17
    assert six["sirst-aug"][2] == 99.17
    for name, average in PUBLISHED_AVERAGE.items():
        table = dict(PUBLISHED[name])
        if name == "L-RPCANet":
            table |= {s: six[s] for s in ("nudt", "sirst-aug", "irstd1k")}
        means = [sum(table[s][i] for s in ("nudt", "sirst-aug", "irstd1k")) / 3 for i in range(4)]
        assert means == pytest.approx(average, abs=0.5), name
    assert max(PUBLISHED_AVERAGE, key=lambda n: PUBLISHED_AVERAGE[n][3]) == "L-RPCANet"
    assert PUBLISHED_SE["BTND"]["nudt"][0] == max(t["nudt"][0] for t in PUBLISHED_SE.values())


def test_a_recorded_run_builds_the_network_of_its_recipe(tmp_path):
    e, recipe = EXPERIMENTS["lrpcanet-sirst"], tiny_recipe()
    net = e.build(recipe)
    told = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
    records.save(tmp_path, {"scores": {}, "recipe_name": "cpu", "recipe": told})
    records.save_weights(tmp_path, net)
    again = experiment.build(e, tmp_path)
    records.load_weights(tmp_path / "weights.safetensors", again)
    b = rand(1, 1, 9, 9).float()
    assert torch.equal(again.eval()(b), net.eval()(b))


def test_three_crops_of_four_are_placed_at_a_target():
    mask = torch.zeros(1, 1, 256, 256, dtype=torch.bool)
    mask[0, 0, 128, 128] = True
    frames = data.Frames(("one",), torch.zeros(1, 1, 256, 256, dtype=torch.uint8), mask)
    _, cut = data.crops(frames, 1000, 16, seeded(8))
    share = float(cut.flatten(1).any(1).float().mean())
    assert 0.71 < share < 0.80  # .75, and one of the others in 250


def test_ipi_stops_when_the_rank_has_stayed_for_twelve_steps(monkeypatch):
    taken = []

    def steps(P, lam, mu, mu_end):
        for rank in [1, 2, 3, *[4] * 50]:
            taken.append(rank)
            yield algorithm.Step(P, P, mu, rank, 1.0)

    monkeypatch.setattr(baselines, "rpca_apg", steps)
    baselines.ipi(torch.rand(60, 60, generator=seeded()), steps=300)
    assert len(taken) == 3 + 12


def test_of_two_looks_as_good_the_first_is_kept(few, monkeypatch):
    net, recipe = LRPCANet(1, 4, 2, n_noise=1), tiny_recipe(steps=9, every=1)
    best = small_target_training.Best(net, recipe, Context())
    shares = iter([0.2, 0.5, 0.5, 0.1])
    monkeypatch.setattr(scores, "iou", lambda *a: next(shares))
    for step in range(1, 5):
        best.look(step)
    assert (best.step, best.score) == (2, 0.5)
