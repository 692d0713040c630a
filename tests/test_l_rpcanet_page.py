"""The chapter on L-RPCANet: its explorers and the solutions of its exercises."""

import numpy as np
import pages
import pytest
import torch
from shared_l_rpcanet_page import small

from dunfold_lib import records
from dunfold_lib.small_target import by_overlap, data, images, iou, scores
from dunfold_lib.small_target import figures_l_rpcanet as figures
from dunfold_lib.small_target import figures_l_rpcanet_maps as maps
from dunfold_lib.small_target.experiments import EXPERIMENTS
from dunfold_lib.small_target.painting import (
    DARK,
    FALSE,
    HIT,
    MISSED,
    extremes,
    painted,
    stretched,
    up,
)

cleared = pages.clearing(figures)


EXPLORERS = (figures.stage_explorer, figures.threshold_explorer, figures.depth_explorer)


RECORDED = bool(figures.recorded())


DEEP = bool(figures.depths()[1])


@pytest.fixture
def unrecorded(tmp_path, monkeypatch):
    """Explorers over small networks and small scenes, whatever is recorded."""
    cleared()
    nets = {"lrpcanet-sirst": small()} | {f"stages-{K}": small(K, seed=K) for K in (1, 3)}
    monkeypatch.setattr(figures, "SIDE", 48)
    monkeypatch.setattr(figures, "MANY", 3)
    monkeypatch.setattr(figures, "FEW", 2)
    monkeypatch.setattr(figures, "NOISES", {"none": (0.0, 0.0), "both": (25.0, 0.02)})
    monkeypatch.setattr(figures, "network", lambda name="lrpcanet-sirst", recipe="": nets[name])
    monkeypatch.setattr(figures, "depths", lambda: ("cpu", (1, 3)))
    yield nets
    cleared()


def test_a_scene_has_a_target_and_the_noise_is_that_of_the_tables():
    cleared()
    for name in figures.SCENES:
        frames = figures.scene(name)
        assert frames.image.shape == frames.mask.shape == (1, 1, 128, 128)
        assert 5 < int(frames.mask.sum()) < 400
        clean = figures.disturbed(frames, "none")
        assert torch.equal(clean, images(frames))
        rough = figures.disturbed(frames, "σ = 25/255") - clean
        assert float(rough.std()) == pytest.approx(25 / 255, rel=0.1)
        pepper = figures.disturbed(frames, "1 % salt and pepper")
        assert float((pepper != clean).float().mean()) == pytest.approx(0.01, abs=0.004)
        assert torch.equal(pepper, figures.disturbed(frames, "1 % salt and pepper"))
    sigmas = {s for s, _ in figures.NOISES.values()}
    assert sigmas <= set(map(float, data.SIGMAS))
    assert {d for _, d in figures.NOISES.values()} <= set(data.DENSITIES)


def test_a_stage_shows_the_networks_own_maps(unrecorded):
    frames, curve = figures.stage(2, "both", "cloud")
    net, b = (unrecorded["lrpcanet-sirst"], figures.disturbed(figures.scene("cloud"), "both"))
    seen, truth = [*net.states(b)], figures.scene("cloud").mask
    for shown, own in zip(frames.images[1:], (seen[1].D, *seen[2][1:]), strict=False):
        low, high = own.min(), own.max()
        torch.testing.assert_close(
            torch.from_numpy(shown).float(), ((own - low) / (high - low))[0, 0]
        )
    assert np.array_equal(frames.images[0], b[0, 0].double().numpy())
    assert len(frames.images) == len(frames.captions) == 6
    heads = [c.split(",")[0].split(":")[0] for c in frames.captions]
    assert heads == ["image", "D¹", "B²", "T²", "N²", "T² > 0"]
    shares = [100 * iou(s.T > 0, truth) for s in seen[1:]]
    assert curve.lines[0].y.tolist() == pytest.approx(shares)
    assert curve.lines[1].y[0] == pytest.approx(shares[1])
    assert shares[0] != pytest.approx(shares[1])
    found = painted(seen[2].T[0, 0] > 0, truth[0, 0])
    assert np.array_equal(frames.images[5], found)
    assert not np.array_equal(found, painted(seen[2].B[0, 0] > 0, truth[0, 0]))


def test_a_flat_map_is_grey_and_its_caption_tells_its_value():
    flat = torch.full((1, 1, 4, 6), -3.0)
    assert (stretched(flat) == 0.5).all()
    assert stretched(flat).shape == (4, 6)
    assert extremes(flat) == "−3.00 to −3.00"
    assert extremes(100 * flat) == "−300 to −300"
    assert up(10) == "¹⁰"


def test_the_picture_of_a_detection_tells_hits_misses_and_false_alarms_apart():
    truth = torch.tensor([[True, True, False, False]])
    found = torch.tensor([[True, False, True, False]])
    shown = painted(found, truth)
    assert shown.shape == (1, 4, 3)
    colours = [HIT, MISSED, FALSE, (DARK, DARK, DARK)]
    assert [tuple(v) for v in shown[0]] == colours


def test_sizes_are_those_of_the_states(unrecorded):
    start, *seen = figures.states("cloud", "none")
    for x, s in zip(seen, figures.sizes("cloud"), strict=True):
        assert (s.low, s.high) == (float(x.T.min()), float(x.T.max()))
        assert float(x.N.abs().mean()) == pytest.approx(s.N)
        assert s.apart == pytest.approx(float((x.D - start.D).abs().mean()))
        assert s.level == pytest.approx(float(x.B.mean()))
    assert torch.equal(start.D, images(figures.scene("cloud")))


def test_thresholds_have_the_rates_that_they_are_made_for_and_one_is_zero(unrecorded):
    cuts, T, background = (figures.cuts(), figures.score("none"), ~figures.many().mask)
    assert 0.0 in cuts
    assert list(cuts) == sorted(set(cuts))
    at = [float((T[background] > c).float().mean()) for c in cuts if c != 0]
    wanted = sorted(figures.RATES, reverse=True)
    for rate in wanted[:3]:
        assert min(abs(a - rate) for a in at) < 0.15 * rate + 0.005


def test_a_threshold_stands_on_the_roc_that_scikit_learn_draws(unrecorded):
    sklearn = pytest.importorskip("sklearn.metrics")
    cut = figures.cuts()[1]
    frames, curve = figures.threshold(cut, "both")
    logit, truth = figures.score("both"), figures.many().mask
    area = sklearn.roc_auc_score(truth.flatten(), logit.flatten())
    assert f"area under the ROC {area:.3f}" in curve.note
    full, dot = curve.lines
    found = logit > cut
    assert dot.y[0] == pytest.approx(float((found & truth).sum() / truth.sum()))
    assert dot.x[0] == pytest.approx(float((found & ~truth).sum() / (~truth).sum()))
    assert np.interp(dot.x[0], full.x, full.y) == pytest.approx(dot.y[0], abs=0.05)
    assert f"{cut:g}" in frames.captions[2]
    told = scores.by_overlap(found, truth)
    assert f"Pd {100 * told.pd:.0f} %, Fa {told.fa / 1e-5:.1f}e-5" in curve.note


def test_the_depth_figure_shows_the_networks_of_each_k(unrecorded):
    frames, curve = figures.depth(3, "both")
    T = unrecorded["stages-3"](figures.disturbed(figures.many(), "both")[:2])
    share = 100 * iou(T > 0, figures.many().mask[:2])
    assert curve.lines[-1].y[0] == pytest.approx(share)
    assert curve.lines[1].y[1] == pytest.approx(share)
    assert curve.lines[1].x.tolist() == [1, 3]
    assert curve.fixed == len(figures.NOISES) == len(curve.lines) - 1
    assert "K = 3" in frames.captions[2]


def ends_and_axes(every):
    for make in every:
        pages.states_lie_inside(make())
        pages.ends_differ(make())


def test_every_state_lies_within_its_axes_and_the_ends_of_every_slider_differ(unrecorded):
    ends_and_axes(EXPLORERS)
    for make in EXPLORERS:
        assert make().html().count("<img") >= 3


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED, reason="no L-RPCANet is recorded")
def test_every_state_over_the_recorded_networks_lies_within_its_axes():
    cleared()
    ends_and_axes(EXPLORERS if DEEP else EXPLORERS[:2])


def test_the_shown_recipe_is_the_best_that_has_weights(tmp_path, monkeypatch):
    cleared()
    monkeypatch.setattr(records, "results_root", lambda: tmp_path)
    assert figures.recorded() == ""
    assert figures.depths() == ("cpu", ())
    with pytest.raises(ValueError, match="no lrpcanet-sirst is recorded; make one by") as caught:
        figures.network()
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no stages-K is recorded; make one by"):
        figures.depth_explorer()

    def put(name, recipe):
        folder = tmp_path / "small_target" / name / f"{recipe}-s0"
        folder.mkdir(parents=True)
        recorded = EXPERIMENTS[name].recipes[recipe]
        net = EXPERIMENTS[name].build(recorded)
        run = {"recipe_name": recipe, "recipe": vars(recorded), "seed": 0, "scores": {}}
        records.save(folder, run | {"weights": records.save_weights(folder, net)})
        return net

    put("lrpcanet-sirst", "gpu")
    assert figures.recorded() == "gpu"
    assert figures.network().K == 6
    cleared()
    cpu = put("lrpcanet-sirst", "cpu")
    assert figures.recorded() == "cpu"  # made-up scenes are shown: who trained on them comes first
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(figures.network()(x), cpu.eval()(x))
    for K in (2, 5):
        put(f"stages-{K}", "cpu")
    put("stages-4", "gpu")
    cleared()
    assert figures.depths() == ("cpu", (2, 5))
    assert figures.network("stages-5", "cpu").K == 5
    cleared()


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: figures.scene("garage"), "name is 'garage'; it must be one of cloud, "),
        (lambda: figures.stage(3, "none", "cloud"), "k is 3; the network has 2 stages"),
        (lambda: figures.stage(0, "none", "cloud"), "k is 0; it must be at least 1"),
        (lambda: figures.stage(1, "rain", "cloud"), "noise is 'rain'; it must be one of none"),
        (lambda: figures.threshold(float("nan")), "cut is nan; it must be finite"),
        (lambda: figures.threshold(0.0, "rain"), "noise is 'rain'; it must be one of none"),
        (lambda: figures.depth(2), "K is 2; it must be one of 1, 3"),
        (lambda: figures.depth(3, "rain"), "noise is 'rain'; it must be one of none"),
    ],
)
def test_a_bad_position_is_answered_in_one_line(unrecorded, call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_unknown_experiment_has_no_network():
    with pytest.raises(ValueError, match="name is 'lrpcanet'; it must be one of"):
        figures.network("lrpcanet")


def test_the_small_training_shows_its_loss_and_counts_what_each_found():
    frames = figures.many().part(range(1))
    nothing, all_of_it = torch.zeros_like(frames.mask), frames.mask
    shown = maps.found(frames, nothing, all_of_it)
    number = by_overlap(all_of_it, frames.mask).targets
    assert shown.captions[1] == f"classical sweeps: 0 of {number} hit, 0 false"
    assert shown.captions[2] == f"learned: {number} of {number} hit, 0 false"
