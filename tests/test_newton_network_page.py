"""The chapter on the Newton networks: its explorers and the solutions of its exercises."""

import numpy as np
import pages
import pytest
import torch

from dunfold_lib import records
from dunfold_lib.newton_sr import (
    FirstOrderSR,
    LearnedInverseSR,
    NewtonSR,
    Pair,
    runs,
)
from dunfold_lib.newton_sr import (
    figures_network as figures,
)
from dunfold_lib.newton_sr.jacobians import dense

SOLUTIONS = pages.solutions("newton_sr/network")
cleared = pages.clearing(figures)
CLASSES = {"Newton": NewtonSR, "learned inverse": LearnedInverseSR, "first-order": FirstOrderSR}
EXPLORERS = (
    figures.stage_explorer,
    figures.products_explorer,
    figures.jacobian_explorer,
    figures.guide_explorer,
)
RECORDED = bool(figures.recorded())


def small(kind=NewtonSR, K=2, c=3, seed=0):
    """A network that does a little, without a record: thresholds that images feel."""
    net = kind(K=K, c=c, f=4, seed=seed)
    with torch.no_grad():
        net.t1.fill_(-3)
        net.t2.fill_(-3)
    return net.requires_grad_(False).eval()


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
    assert curve.lines[0].y[2] == curve.lines[3].y[0] == pytest.approx(runs.rmse(U, truth))
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
        (
            lambda: figures.stage("plain", 1, "rear"),
            "kind is 'plain'; it must be one of Newton",
        ),
        (lambda: figures.products(3), "cg is 3; it must be one of 1, 4, 16"),
        (lambda: figures.products(4, 0), "k is 0; it must be at least 1"),
        (
            lambda: figures.jacobian("mean", 4),
            "curvature is 'mean'; it must be one of majorised",
        ),
        (lambda: figures.newton(0), "cg is 0; it must be at least 1"),
        (lambda: figures.guide(0.3), "strength is 0.3; it must be one of 0.0, 1.0"),
        (lambda: figures.guided_by(2.0, "Newton", "rear"), "strength is 2; it must be"),
    ],
)
def test_a_bad_position_is_answered_in_one_line(unrecorded, call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


# exercises


@pytest.mark.parametrize("kind", list(CLASSES))
@pytest.mark.parametrize("K, c, f, C, Cy", [(3, 8, 12, 1, 1), (2, 3, 5, 4, 2)])
def test_the_formula_counts_the_parameters(kind, K, c, f, C, Cy):
    for alpha in (0.0, 1.0):
        net = CLASSES[kind](K=K, c=c, f=f, channels=C, guides=Cy, alpha=alpha)
        held = sum(p.numel() for p in net.parameters())
        assert SOLUTIONS.parameters(kind, K, c, f, C, Cy, spectral=alpha > 0) == held
    assert SOLUTIONS.parameters("Newton") == 3_772
    assert SOLUTIONS.parameters("Newton", K=6) == 4_264


def little_pair(side=16):
    g = torch.Generator().manual_seed(2)
    scene = figures.data.planes(g, side)
    return Pair(*(t.double() for t in runs.degraded(*scene, 4)))


def test_the_bound_on_conjugate_gradients_holds_and_its_condition_is_one():
    net, b, steps = small().double(), little_pair(), (0, 1, 2, 4, 8, 16)
    for k in range(net.K):
        kappa, bound = SOLUTIONS.cg_bound(net, k, steps)
        error = SOLUTIONS.cg_error(net, k, b, steps)
        assert all(e <= limit for e, limit in zip(error, bound, strict=True))
        assert error[0] == pytest.approx(1)
        assert error[-1] < 0.05
        x = list(net.states(b, k))[-1]
        V = net.problem(k, x, b).V(x.U, net.log_eps[k].exp(), net.curvature)
        values = torch.linalg.eigvalsh(dense(V, x.U))
        assert float(values[-1] / values[0]) <= kappa


def test_to_the_end_is_a_minimiser():
    net, b = small().double(), little_pair()
    U, residuals = SOLUTIONS.to_the_end(net, b)
    x = list(net.states(b, net.K - 1))[-1]
    problem = net.problem(net.K - 1, x, b)
    assert residuals[-1] == pytest.approx(float(problem.F(U).norm()))
    assert residuals[-1] <= 1e-3 < residuals[0]
    assert float(problem.Phi(U)) < float(problem.Phi(x.U))


def test_a_transpose_that_is_none_breaks_the_symmetry_and_conjugate_gradients():
    net, b = small().double(), little_pair(32)
    with torch.no_grad():
        net.log_eps.fill_(-5)
    close, good = SOLUTIONS.with_another_adjoint(net, 0, b, (4, 64), align_corners=False)
    apart, bad = SOLUTIONS.with_another_adjoint(net, 0, b, (4, 64), align_corners=True)
    assert close < 0.1 * apart
    assert good[1] < 1e-3 * good[0]
    assert bad[1] > 10 * good[1]


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED, reason="the three networks are not recorded")
def test_what_the_solutions_say_of_the_recorded_network():
    cleared()
    recorded = figures.network("Newton")
    net = type(recorded)()
    net.load_state_dict(recorded.state_dict())
    net = net.double().requires_grad_(False)
    scene = lambda name: Pair(*(t.double() for t in figures.measured(name)))
    for k in range(net.K):
        kappa, bound = SOLUTIONS.cg_bound(net, k, (4,))
        assert 100 < kappa < 1000
        assert bound[0] > 0.9
        assert SOLUTIONS.cg_error(net, k, scene("rear"), (4,))[0] < 0.1
    for name, better in (("rear", True), ("planes", False), ("floor", False)):
        U, residuals = SOLUTIONS.to_the_end(net, scene(name))
        assert residuals[-1] <= 1e-3
        change = runs.rmse(U.float(), figures.scene(name).truth)
        change -= figures.run_of("Newton", name).rmse[-1]
        assert -0.6 < change < -0.1 if better else change > 0.3
    b, steps = scene("rear"), (4, 16, 64)
    close, good = SOLUTIONS.with_another_adjoint(net, 0, b, steps, align_corners=False)
    apart, bad = SOLUTIONS.with_another_adjoint(net, 0, b, steps, align_corners=True)
    assert close < 2e-4
    assert 1e-3 < apart < 4e-3
    assert good[0] > good[1] > good[2]
    assert good[2] < 1e-6
    assert bad[0] < 0.3 < bad[2]
    assert bad[0] < bad[1] < bad[2]
