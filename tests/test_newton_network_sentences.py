"""Of newton network page: newton network sentences."""

import inspect
from importlib import resources

import numpy as np
import pytest
import torch
from shared_newton_network_page import CLASSES, MADE, RECORDED, SOLUTIONS, UNROLLED, mean, of

from dunfold_lib import records
from dunfold_lib.newton_sr import (
    Downsample,
    LearnedInverseSR,
    NewtonSR,
    Problem,
    Shrink,
    data,
    guesses,
)
from dunfold_lib.newton_sr import figures_network as figures
from dunfold_lib.newton_sr import figures_network_tables as tables
from dunfold_lib.newton_sr.baselines import guided_tv
from dunfold_lib.newton_sr.experiments import EXPERIMENTS
from dunfold_lib.newton_sr.jacobians import clarke, clip, majorised


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
    """Sentences: "Clarke's curvature is behind when it is trained with, too"; "Not decided here:
    whether six stages … or the two terms in the loss help"."""
    for s in tables.TESTS:
        at = lambda name, s=s: of(name, f"rmse_{s}", tables.HOME)
        assert records.ranks(at("newton-clarke-4"), at("newton-4"))
    for name in [*tables.CHANGED][2:]:
        assert records.undecided(of(name, "rmse_art", "cpu"), of("newton-4", "rmse_art", "cpu"))


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


def test_which_seeds_share_their_initial_weights():
    """Sentences: "Those of `PlainSR` start from weights of their own, too"; "the other networks'
    share those of seed 0"."""
    for stem in tables.NETWORKS.values():
        for run in records.recorded(f"newton_sr/{stem}-4"):
            own = run["seed"] if stem == "plain" else 0
            assert not run["recipe_name"].startswith("cpu") or run.get("start_seed", 0) == own


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
    assert guesses.STAGES.right == "only for some of them, on some scenes"
    assert falls(made["Newton", "rear"])
    for kind in ("learned inverse", "first-order"):
        assert made[kind, "rear"][1] > made[kind, "rear"][0]
    assert all(made[k, "floor"][1] > 10 * made[k, "floor"][0] for k in CLASSES)
    last = lambda M: [figures.newton_run(c, M, "rear").rmse[-1] for c in (4, 8, 16)]
    assert guesses.JACOBIAN.right == "it gets worse"
    assert last("clarke") == sorted(last("clarke"))
    assert guesses.PRODUCTS.right == "it gets a little better"
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
