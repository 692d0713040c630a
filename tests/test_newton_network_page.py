"""The chapter on the Newton networks: its explorers and the solutions of its exercises."""

import inspect
from importlib import resources

import numpy as np
import pages
import pytest
import torch

from dunfold_lib import fetch, records
from dunfold_lib.newton_sr import (
    Downsample,
    FirstOrderSR,
    LearnedInverseSR,
    NewtonSR,
    Pair,
    Problem,
    Shrink,
    data,
    downsampling,
    pictures,
    readers,
    scores,
    training,
)
from dunfold_lib.newton_sr import (
    figures_network as figures,
)
from dunfold_lib.newton_sr import (
    figures_network_tables as tables,
)
from dunfold_lib.newton_sr.baselines import guided_tv
from dunfold_lib.newton_sr.experiments import EXPERIMENTS
from dunfold_lib.newton_sr.jacobians import clarke, clip, dense, majorised

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
    return Pair(*(t.double() for t in downsampling.degraded(*scene, 4)))


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
        change = scores.rmse(U.float(), figures.scene(name).truth)
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


# what the sentences say of records, settings and sizes


UNROLLED = ("newton-4", "learned-inverse-4", "first-order-4")
MADE = ("cpu", tables.HOME)


def of(name, score, recipe=""):
    found = tables.of(name, score, recipe)
    assert found, f"newton_sr/{name} has no {score} by {recipe or 'any recipe'}"
    return found


def mean(values):
    return sum(values) / len(values)


def fixed(name, score):
    """The score of a method without seeds, as often as a rank asks for."""
    return of(name, score)[:1] * records.SEEDS


def seconds(name):
    runs_of = records.recorded(f"newton_sr/{name}")
    return [r["cpu_seconds"] for r in runs_of if r["recipe_name"] in MADE and "cpu_seconds" in r]


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.skipif(not RECORDED, reason="the three networks are not recorded")
def test_the_recorded_networks_have_three_stages_and_one_value_for_sixteen_pixels():
    """Sentences: "one depth value for every sixteen pixels"; "It has three stages"; the guide's
    figure "shows the networks that were trained on the planes"."""
    for kind in figures.KINDS:
        net = figures.network(kind)
        assert (net.K, net.ratio**2) == (3, 16)
    assert figures.recorded(figures.GUIDED) == "cpu"


def test_the_motorcycles_disparity_and_its_holes():
    """Caption: "here at half size; 7 % of its disparity is unknown"."""
    with np.load(str(resources.files("skimage") / "data/motorcycle_disp.npz")) as file:
        assert 0.065 < 1 - np.isfinite(file["arr_0"]).mean() < 0.08
    assert data.motorcycle().truth.shape == (1, 1, 500, 741)
    assert tables.examples(figures.scene("planes"))[0].images[0].shape == (250, 371)


class Same:
    """T = I."""

    __call__ = T = staticmethod(lambda x: x)


def test_the_conditions_of_the_augmented_lagrangian_lead_to_f():
    """Sentences: "the second one says A = P₁(v₁) … and the third B = P₂(v₂). Put both into the
    first"; Φ is the Lagrangian less a constant; φ an ℓ₁ norm, ψ = w₂|U − g|."""
    g = torch.Generator().manual_seed(0)
    rnd = lambda *n: torch.randn(1, 1, *n, generator=g, dtype=torch.float64)
    s, weights, centre = (0.7, 1.3), (0.2, 0.4), rnd(8, 8)
    L, U, low, zero = (rnd(8, 8) / 3, rnd(8, 8) / 3), rnd(8, 8), rnd(2, 2), torch.zeros(()).double()
    D = Downsample((8, 8), 4, dtype=torch.float64)
    theta = [zero + w / si for w, si in zip(weights, s, strict=True)]
    priors = (Shrink(Same(), theta[0], zero), Shrink(Same(), theta[1], centre))
    problem = Problem(D, 4 * low, priors, s, L)

    def lagrangian(copies):
        fit = 0.5 * (D(U) - 4 * low).square().sum()
        fit += weights[0] * copies[0].abs().sum() + weights[1] * (copies[1] - centre).abs().sum()
        for Li, si, copy in zip(L, s, copies, strict=True):
            fit += (Li * (U - copy)).sum() + si / 2 * (U - copy).square().sum()
        return fit

    copies = [p.prox(U + Li / si) for p, Li, si in zip(priors, L, s, strict=True)]
    best = lagrangian(copies)
    for scale in (1e-3, 0.1, 1.0):
        for _ in range(5):
            assert lagrangian([c + scale * rnd(8, 8) for c in copies]) > best
    first = D.T(D(U) - 4 * low)
    for Li, si, copy in zip(L, s, copies, strict=True):
        first = first + Li + si * (U - copy)
    torch.testing.assert_close(first, problem.F(U), rtol=0, atol=1e-12)
    constant = sum(Li.square().sum() / si for Li, si in zip(L, s, strict=True)) / 2
    assert float(best - problem.Phi(U) + constant) == pytest.approx(0, abs=1e-12)


def test_the_sizes_that_the_page_names():
    """Sentences: "eight 3×3 filters"; "twelve products with V"; "Three stages of eight filters";
    "200 iterations"; 1.6 times the parameters; "at 1,500 times the size of ours"."""
    recipe = EXPERIMENTS["newton-4"].recipes["cpu-middlebury"]
    assert (recipe.stages, recipe.cg, recipe.filters) == (3, 4, 8)
    assert recipe.stages * recipe.cg == 12
    assert EXPERIMENTS["newton-4"].recipes["gpu"].stages == 6
    assert len(NewtonSR().T1[0]) == 8
    assert len(NewtonSR(c=2).T1[0]) == 2
    assert inspect.signature(guided_tv).parameters["K"].default == 200
    assert 1.55 < count(LearnedInverseSR()) / count(NewtonSR()) < 1.65
    assert 1_500 < 9_240_356 / count(LearnedInverseSR()) < 1_600


def test_the_encoder_has_87_per_cent_and_a_stage_164_numbers():
    """Sentence of the solution: "The encoder has 3,280 of the 3,772 numbers, 87 %; a stage has
    164. Six stages make 4,264"."""
    net = NewtonSR()
    encoder = sum(count(m) for m in (net.E1, net.E2, net.E3))
    assert (encoder, count(net), count(NewtonSR(K=6))) == (3_280, 3_772, 4_264)
    assert round(100 * encoder / 3_772) == 87
    assert 4_264 - 3_772 == 3 * 164


def test_six_stages_had_twice_the_time_and_every_network_five_minutes():
    """Sentences: "six stages (which had twice the time)"; "Every network had about five minutes of
    one processor core"."""
    assert 1.5 < mean(seconds("newton-deep-4")) / mean(seconds("newton-4")) < 2.6
    spent = [s / 60 for name in UNROLLED for s in seconds(name)]
    assert 3.5 < min(spent) <= max(spent) < 6.5


def test_what_the_variants_of_newtons_network_do_is_not_decided():
    """Sentences: "Not decided here: whether Clarke's curvature is worse when it is trained with …";
    "In the recorded ones Clarke's errors are larger"."""
    at = lambda name, recipe: of(name, "rmse_art", recipe)
    assert min(at("newton-clarke-4", tables.HOME)) > max(at("newton-4", tables.HOME))
    assert records.undecided(at("newton-clarke-4", tables.HOME), at("newton-4", tables.HOME))
    for name in [*tables.CHANGED][1:]:
        assert records.undecided(at(name, "cpu"), at("newton-4", "cpu"))


def test_newtons_stages_solve_their_system_and_a_learned_inverse_does_not():
    """Sentences: "Newton's stages leave a few per cent. The first two stages of the learned inverse
    leave more than doing nothing would"."""
    left = lambda name: [run for s in tables.TESTS for run in of(name, f"solved_{s}", tables.HOME)]
    assert max(v for run in left("newton-4") for v in run) < 0.1
    assert min(v for run in left("learned-inverse-4") for v in run[:2]) > 0.9


def test_the_intermediate_images_of_newton_are_the_best_and_moebius_gets_worse_first():
    """Sentences: "their largest error is below that of both others for every seed, on both scenes";
    "on Moebius, the first stage makes things worse"."""
    worst = lambda n, s: [max(run[1:-1]) for run in of(n, f"stages_{s}", tables.HOME)]
    for s in tables.TESTS:
        others = worst("learned-inverse-4", s) + worst("first-order-4", s)
        assert max(worst("newton-4", s)) < min(others)
    assert all(run[0] < max(run) for run in of("newton-4", "stages_moebius", tables.HOME))


def test_the_seeds_share_their_initial_weights():
    """Sentence: "share the initial weights of seed 0"."""
    for name in (f"{stem}-4" for stem in tables.NETWORKS.values()):
        for run in records.recorded(f"newton_sr/{name}"):
            assert not run["recipe_name"].startswith("cpu") or not run.get("start_seed", 0)


@pytest.mark.parametrize("a", [-7.0, -0.4, 0.9, 2.5, 40.0])
def test_on_a_line_the_majorised_step_finds_the_minimum_and_clarkes_is_thrown_across(a):
    """The exercise: a step of the library's curvatures; 2.5 goes to 0, and to −17.5 by Clarke's."""
    number = lambda v: torch.tensor(v, dtype=torch.float64)
    for M, eps in ((majorised, 0.0), (clarke, 0.05)):
        step = clip(number(a), number(1.0)) / (M(number(a), number(1.0)) + eps)
        assert SOLUTIONS.on_a_line(a, 1.0, eps, M is clarke) == pytest.approx(a - float(step))
    assert SOLUTIONS.on_a_line(a, 1.0, 0.0, False) == pytest.approx(0, abs=1e-12)
    assert SOLUTIONS.on_a_line(2.5, 1.0, 0.05, True) == pytest.approx(-17.5)


@pytest.mark.skipif(not RECORDED, reason="no recorded networks")
def test_the_guesses_right_answers_are_what_the_recorded_networks_do():
    """Better on some scenes; worse and worse by Clarke; a little better with more CG."""
    falls = lambda r: r == sorted(r, reverse=True)
    made = {(k, n): figures.run_of(k, n).rmse for k in CLASSES for n in ("rear", "floor")}
    assert pictures.STAGES.right == "only for some of them, on some scenes"
    assert falls(made["Newton", "rear"])
    for kind in ("learned inverse", "first-order"):
        assert made[kind, "rear"][1] > made[kind, "rear"][0]
    assert all(made[k, "floor"][1] > 10 * made[k, "floor"][0] for k in CLASSES)
    last = lambda M: [figures.newton_run(c, M, "rear").rmse[-1] for c in (4, 8, 16)]
    assert pictures.JACOBIAN.right == "it gets worse"
    assert last("clarke") == sorted(last("clarke"))
    assert pictures.PRODUCTS.right == "it gets a little better"
    before, _, after = last("majorised")
    assert 0.05 < before - after < 0.5
    assert max(figures.left_over(16, "rear")) < 0.01 * max(figures.left_over(4, "rear"))


@pytest.mark.skipif(not RECORDED, reason="no recorded networks")
def test_before_and_after_are_the_scene_and_the_recorded_networks_first_and_last_image():
    seen = tables.before_and_after()
    rmse = figures.run_of("Newton", "rear").rmse
    assert len(seen.images) == 4
    assert seen.images[0].shape == (figures.SIDE, figures.SIDE)
    assert [c.split()[-1] for c in seen.captions[2:]] == [f"{v:.1f}" for v in (rmse[0], rmse[-1])]
    assert rmse[-1] < 0.9 * rmse[0]


def test_the_errors_that_the_method_quotes_are_the_tables():
    """Sentences of "On real scenes": bicubic, NewtonSR by both trainings, plain TV, on Art."""
    rows = {row[0]: row[1] for row in tables.depth()[1]}
    labels = {
        "bicubic_art": "bicubic",
        "newton_art": "NewtonSR, Middlebury",
        "made_art": "NewtonSR, planes",
        "tv_art": "plain TV",
    }
    for name, label in labels.items():
        assert rows[label].split()[0] == tables.quotes()[name]


def test_plain_total_variation_is_ahead_of_every_training_on_middlebury():
    """Sentence: "Plain total variation wins against three stages"; errors: smaller is ahead."""
    for s in tables.TESTS:
        for name in UNROLLED:
            home = of(name, f"rmse_{s}", tables.HOME)
            assert records.ranks(home, fixed("tv-4", f"rmse_{s}")), (name, s)


@pytest.mark.parametrize("recipe", MADE)
def test_plain_total_variation_beats_every_network_of_three_stages(recipe):
    """The notebook's sentence: "beats the networks of three stages on depth ×4 of *art* and
    *moebius*"; every recorded training, on Middlebury or on planes."""
    for s in tables.TESTS:
        for name in UNROLLED:
            assert min(of(name, f"rmse_{s}", recipe)) > max(of("tv-4", f"rmse_{s}"))


def test_newton_is_ahead_on_moebius_and_art_is_not_decided():
    """Sentences: "Newton is ahead on Moebius … for every recorded seed"; "Not decided here: Art …
    and PlainSR"; nor the other networks on planes."""
    at = lambda name, s: of(name, f"rmse_{s}", tables.HOME)
    for other in UNROLLED[1:]:
        assert records.ranks(at(other, "moebius"), at("newton-4", "moebius"))
    assert records.undecided(at("newton-4", "art"), at("learned-inverse-4", "art"))
    assert max(tables.few()) < records.SEEDS


def test_the_planes_teach_newton_more_than_the_real_scenes():
    """Sentences: "every seed of NewtonSR is better on Art than any that was trained on Middlebury";
    "Its error on Art then falls at every stage, for every recorded seed; on Moebius it does for
    some, and no stage is worse than the start"."""
    made = of("newton-4", "rmse_art", "cpu")
    assert records.ranks(of("newton-4", "rmse_art", tables.HOME), made)
    assert mean(of("tv-4", "rmse_art")) < min(made)
    falls = lambda run: run == sorted(run, reverse=True)
    on_art, on_moebius = (of("newton-4", f"stages_{s}", "cpu") for s in tables.TESTS)
    assert len(on_art) >= records.SEEDS
    assert all(map(falls, on_art))
    assert all(max(run) == run[0] and min(run) == run[-1] for run in on_moebius)
    assert 1 <= sum(map(falls, on_moebius)) < len(on_moebius)


def test_filters_that_average_along_the_guide_gain_little_over_bicubic():
    """Sentence: "Filters that only average along the guide gain little over bicubic"."""
    tv, bicubic = (mean(of(name, "rmse_art")) for name in ("tv-4", "bicubic-4"))
    for name in ("guided-filter-4", "joint-bilateral-4"):
        assert tv + 1.5 < mean(of(name, "rmse_art")) < bicubic


def test_the_protocol_of_the_tables():
    """Sentences: "six pixels at the border left out"; "four other scenes of Middlebury"; "24
    made-up scenes of planes"."""
    assert (len(data.MIDDLEBURY_TRAIN), training.TRAIN_SCENES, scores.BORDER) == (4, 24, 6)


@pytest.mark.parametrize("score", [f"rmse_{s}" for s in tables.TESTS])
def test_weights_from_the_guide_cost_at_4_and_help_more_and_more(score):
    """Sentence: "At ×4 they cost total variation a little; at ×8 they help, and at ×16 they help
    more"."""
    at = lambda stem, r: mean(of(f"{stem}-{r}", score))
    gains = [at("tv", r) - at("guided-tv", r) for r in (4, 8, 16)]
    assert gains == sorted(gains)
    assert gains[0] < 0
    for r in (8, 16):
        assert at("guided-tv", r) + 0.05 < at("tv", r) < at("bicubic", r)


@pytest.mark.parametrize("ratio", [8, 16])
def test_the_order_of_the_networks_on_coarse_data_is_not_decided(ratio):
    """Sentence: "Not decided here: their order at ×8 and ×16"."""
    names = [f"{stem}-{ratio}" for stem in tables.NETWORKS.values()]
    assert records.undecided(*(of(n, "rmse_art", "cpu") for n in names))


@pytest.mark.parametrize("problem", list(tables.BANDS.values()))
def test_the_order_of_the_networks_on_several_bands_is_not_decided(problem):
    """Sentence: "Not decided here: any order of the networks, or of networks and GLP"."""
    names = [f"{stem}-{problem}" for stem in tables.NETWORKS.values()]
    assert records.undecided(*(of(n, "psnr") for n in names))


def test_the_problems_with_several_bands():
    """Sentences: "8 bands with 3 wide ones"; "20 bands with 4 wide ones"; H is learned, with α."""
    net = EXPERIMENTS["newton-fusion"].build()
    assert net.H.shape == (3, 8)
    assert net.free_alpha.numel() == 1
    assert (readers.PINES_BANDS, readers.PINES_GUIDES) == (20, 4)


def test_in_indian_pines_every_byte_13_has_become_a_10():
    """Sentence: "every byte 13 has become a byte 10, so that values from 3328 to 3583 are stored
    768 too low"."""
    place = (f"datasets/data/{fetch.PINES}", "Indian Pines", "book")
    stored = fetch.array(fetch.in_package("tensorly", *place))
    assert 13 not in stored >> 8
    assert 13 not in stored & 255
    assert (13 << 8, (13 << 8) + 255, (13 - 10) << 8) == (3328, 3583, 768)


def test_every_table_has_a_cell_for_every_column():
    seen = {("Newton", "cpu"): [figures.Inside(0.5, 0.0, 2.0, 1.0), figures.Inside(0.7, 0.0, 3, 1)]}
    made = [tables.variants(), tables.solved(), tables.depth(), tables.coarse(), tables.several()]
    for head, rows, caption in (*made, tables.priors(seen)):
        assert rows
        assert all(len(row) == len(head) for row in rows)
        assert caption
    assert tables.priors(seen)[1] == [["Newton, planes", "50 to 70", "0.0", "2.0 to 3.0", "1.0"]]
