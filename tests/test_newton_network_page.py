"""The chapter on the Newton networks: its explorers and the solutions of its exercises."""

import numpy as np
import pages
import pytest
import torch
from shared_newton_network_page import CLASSES, RECORDED, cleared, small

from dunfold_lib import records
from dunfold_lib.newton_sr import figures_network as figures
from dunfold_lib.newton_sr import scores

EXPLORERS = (
    figures.stage_explorer,
    figures.products_explorer,
    figures.jacobian_explorer,
    figures.guide_explorer,
)


@pytest.fixture
def unrecorded(monkeypatch):
    """Explorers over small networks and few positions, whatever is recorded."""
    cleared()
    nets = {kind: small(cls) for kind, cls in CLASSES.items()}
    monkeypatch.setattr(figures, "network", lambda kind, prefer=(): nets[kind])
    monkeypatch.setattr(figures, "CG", (1, 4, 16))
    monkeypatch.setattr(figures, "STRENGTHS", (0.0, 1.0))
    monkeypatch.setattr(figures, "SCENES", ("rear", "planes"))
    yield nets
    cleared()


def test_a_scene_is_a_crop_with_its_guide_and_its_measurement():
    for name in figures.SCENES:
        truth, Y = figures.scene(name)
        assert truth.shape == Y.shape == (1, 1, 96, 96)
        assert figures.measured(name).Z.shape == (1, 1, 24, 24)
        assert torch.equal(figures.measured(name).Y, Y)
    floor, rear = (float(figures.scene(n).truth.diff(dim=3).abs().max()) for n in ("floor", "rear"))
    assert floor < 0.1 < rear


def test_a_stage_shows_the_networks_own_iterate(unrecorded):
    frames, curve = figures.stage("Newton", 2, "planes")
    net, truth = unrecorded["Newton"], figures.scene("planes").truth
    U = net(figures.measured("planes"))
    shown = torch.from_numpy(frames.images[2]).float()[None, None]
    torch.testing.assert_close(shown, U.clamp(0, 1), rtol=0, atol=1e-6)
    assert [c.label for c in curve.lines] == [*CLASSES, "shown"]
    assert curve.lines[0].y[2] == curve.lines[3].y[0] == pytest.approx(scores.rmse(U, truth))
    start = [c.y[0] for c in curve.lines[:3]]
    assert start == pytest.approx([start[0]] * 3)  # all three start from the same interpolation


def test_more_products_solve_the_systems_better_and_leave_the_network_as_it_was(unrecorded):
    left = [max(figures.left_over(cg, "rear")) for cg in figures.CG]
    assert left[0] > left[1] > left[2]
    assert unrecorded["Newton"].cg == 4
    assert figures.newton(16).T1[0] is unrecorded["Newton"].T1[0]
    frames, curve = figures.products(4, 2, "rear")
    assert curve.lines[-1].y[0] == curve.lines[1].y[1] == figures.left_over(4, "rear")[1]
    rmse = figures.newton_run(4, "majorised", "rear").rmse[2]
    assert f"{rmse:.2f}" in frames.captions[1]
    own = unrecorded["Newton"](figures.measured("rear"))
    assert torch.equal(figures.newton_run(4, "majorised", "rear").U[-1], own)


def test_the_curvatures_shown_are_clarkes_and_the_majorised(unrecorded):
    white = figures.weight(figures.newton(4, "majorised"), 1)
    holes = figures.weight(figures.newton(4, "clarke"), 1)
    assert (holes <= white).all()
    assert float((white - holes).max()) > 0.05
    counts = 3 * holes  # of three filters
    torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-5)
    frames, curve = figures.jacobian("clarke", 16)
    assert curve.lines[2].y[0] == curve.lines[1].y[2]
    assert curve.fixed == 2
    assert not np.array_equal(frames.images[1], figures.jacobian("majorised", 16)[0].images[1])


def test_without_strength_the_guide_is_a_constant_and_with_all_of_it_the_networks_own(unrecorded):
    Y, U = figures.guided_by(0.0, "Newton", "rear")
    assert float(Y.std()) < 1e-6
    mean = figures.measured("rear").Y.mean()
    assert float((Y - mean).abs().max()) < 1e-6
    _, whole = figures.guided_by(1.0, "Newton", "rear")
    torch.testing.assert_close(whole, unrecorded["Newton"](figures.measured("rear")))
    assert not torch.equal(U, whole)
    frames, curve = figures.guide(0.0, "learned inverse", "rear")
    assert curve.lines[3].y[0] == curve.lines[1].y[0]
    assert f"{curve.lines[3].y[0]:.2f}" in frames.captions[1]


def test_shares_inside_the_thresholds_are_one_for_wide_and_zero_for_far_centres(unrecorded):
    net = small()
    with torch.no_grad():
        net.t1.fill_(50)
        net.E3.bias[: len(net.T1[0])].fill_(1e3)
    for i in figures.inside(net, "planes"):
        assert i.phi == 1
        assert i.psi == 0
        assert i.g == pytest.approx(1e3, rel=0.1)
    assert len(figures.inside(net, "rear")) == net.K


@pytest.mark.slow
def test_every_state_lies_within_its_axes_and_the_ends_of_every_slider_differ(unrecorded):
    for make in EXPLORERS:
        explorer = make()
        pages.states_lie_inside(explorer)
        pages.ends_differ(explorer)
        assert explorer.html().count("<img") >= 3


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED, reason="the three networks are not recorded")
def test_every_state_over_the_recorded_networks_lies_within_its_axes():
    cleared()
    for make in EXPLORERS:
        pages.states_lie_inside(make())


def test_a_recipe_is_shown_only_where_all_three_networks_are_recorded(tmp_path, monkeypatch):
    cleared()
    monkeypatch.setattr(records, "results_root", lambda: tmp_path)
    assert figures.recorded() == ""
    with pytest.raises(ValueError, match="no newton-4 is recorded; make one by") as caught:
        figures.network("Newton")
    assert "\n" not in str(caught.value)
    recipes = {"newton-4": ("cpu", "cpu-middlebury"), "learned-inverse-4": ("cpu",)}
    recipes["first-order-4"] = ("cpu", "cpu-middlebury")
    for name, made in recipes.items():
        for recipe in made:
            folder = tmp_path / "newton_sr" / name / f"{recipe}-s0"
            folder.mkdir(parents=True)
            (folder / "weights.safetensors").touch()
    assert figures.recorded() == "cpu"
    folder = tmp_path / "newton_sr/learned-inverse-4/cpu-middlebury-s0"
    folder.mkdir()
    (folder / "weights.safetensors").touch()
    assert figures.recorded() == "cpu-middlebury"
    assert figures.recorded(figures.GUIDED) == "cpu"
    cleared()


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: figures.scene("garage"), "name is 'garage'; it must be one of rear, "),
        (lambda: figures.stage("Newton", 3, "rear"), "k is 3; the network has 2 stages"),
        (lambda: figures.stage("plain", 1, "rear"), "kind is 'plain'; it must be one of Newton"),
        (lambda: figures.products(3), "cg is 3; it must be one of 1, 4, 16"),
        (lambda: figures.products(4, 0), "k is 0; it must be at least 1"),
        (lambda: figures.jacobian("mean", 4), "curvature is 'mean'; it must be one of majorised"),
        (lambda: figures.newton(0), "cg is 0; it must be at least 1"),
        (lambda: figures.guide(0.3), "strength is 0.3; it must be one of 0.0, 1.0"),
        (lambda: figures.guided_by(2.0, "Newton", "rear"), "strength is 2; it must be"),
    ],
)
def test_a_bad_position_is_answered_in_one_line(unrecorded, call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
