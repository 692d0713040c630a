"""The chapter on semi-smooth Newton: its explorers and the solutions of its exercises."""

import pages
import pytest
import torch
from shared_newton_page import F64, SOLUTIONS

from dunfold_lib.newton_sr import L1, guesses
from dunfold_lib.newton_sr import figures_newton as figures
from dunfold_lib.newton_sr import figures_newton_pictures as pictures
from dunfold_lib.newton_sr.algorithm import minimise
from dunfold_lib.newton_sr.jacobians import clarke, dense, filter_norm, majorised
from dunfold_lib.newton_sr.lasso import history, ista

# explorers


@pytest.mark.parametrize("condition", [figures.CONDITIONS[0], figures.CONDITIONS[-1]])
@pytest.mark.parametrize("share", figures.SHARES)
def test_the_race_lies_within_its_axes_and_ssnal_ends(condition, share):
    for panel in figures.conditioning(condition, share):
        pages.inside(panel)
        assert [c.label for c in panel.lines] == ["SSNAL", "ADMM", "FISTA", "ISTA"]
    ours = figures.race(condition, share)["SSNAL"]
    assert ours.error[-1] <= 1e-12
    assert ours.steps[-1] < 40
    assert all(p > s for s, p in zip(ours.steps, ours.products, strict=True))


@pytest.mark.parametrize("share", figures.SHARES)
def test_ssnal_needs_10_to_40_newton_steps_and_leads_by_less_in_products(share):
    """Sentences: "between 10 and 40 Newton steps in every position of the sliders"; "counted in
    those its lead is smaller"; ISTA pays for an ill-conditioned A."""
    easy, hard = figures.race(1e1, share), figures.race(1e7, share)
    assert easy["ISTA"].error[-1] < 1e-12
    assert hard["ISTA"].error[-1] > 5e-5
    for c in figures.CONDITIONS:
        ours, first = (figures.race(c, share)[name] for name in ("SSNAL", "FISTA"))
        assert 10 < ours.steps[-1] < 40
        assert ours.error[-1] <= 1e-12
        assert ours.products[-1] > 5 * ours.steps[-1]
        pairs = zip(first.steps, first.error, strict=True)
        then = next(error for step, error in pairs if step >= ours.steps[-1])
        assert then > 1e4 * ours.error[-1]


def test_a_first_order_curve_is_the_methods_own_history():
    trace = figures.race(1e3, 0.05)["ISTA"]
    problem = figures.small_lasso(1e3, 0.05)
    kkt = history(problem, ista(problem), figures.FIRST_ORDER_STEPS)
    assert trace.error == [kkt[int(k) - 1] for k in trace.steps]
    assert trace.steps == trace.products
    assert trace.steps[0] == 1
    assert trace.steps[-1] == figures.FIRST_ORDER_STEPS


@pytest.mark.parametrize("s", figures.PENALTIES)
def test_the_primal_explorers_curves_lie_within_their_axes(s):
    for cg in figures.CG_STEPS:
        for panel in figures.primal(s, cg):
            pages.inside(panel)


@pytest.mark.parametrize("M", [clarke, majorised])
def test_the_traced_newton_is_the_librarys(M):
    problem, start, *_ = figures.depth(0.3)
    trace = figures.newton_trace(problem, start, M, 8, 400)
    _, residuals, _, products = minimise(problem, start, 1e-13, 8, 400, M)
    assert trace.error == residuals
    assert trace.products[-1] >= products + 2 * (len(residuals) - 1)
    assert trace.steps == [*range(len(residuals))]


def test_the_depth_problem_keeps_the_priors_weights_and_its_filters_have_norm_1():
    low, high = figures.depth(0.1), figures.depth(10.0)
    for a, b in zip(low.problem.priors, high.problem.priors, strict=True):
        torch.testing.assert_close(0.1 * a.theta, 10 * b.theta)
        assert float(filter_norm(a.T.w)) == pytest.approx(1)
    assert torch.equal(low.truth, high.truth)
    bound = 1 + 2 * 0.1  # what the gradient method's step rests on
    V = dense(low.problem.V(low.start, 0.0, majorised), low.start)
    assert float(torch.linalg.eigvalsh(V).max()) <= bound + 1e-9


def test_the_ends_of_every_slider_show_different_curves():
    c, s = figures.CONDITIONS, figures.SHARES
    at = figures.conditioning
    assert pages.drawn(at(c[0], s[0])) != pages.drawn(at(c[-1], s[0]))
    assert pages.drawn(at(c[0], s[0])) != pages.drawn(at(c[0], s[-1]))
    p, k = figures.PENALTIES, figures.CG_STEPS
    assert pages.drawn(figures.primal(p[0], k[-1])) != pages.drawn(figures.primal(p[-1], k[-1]))
    assert pages.drawn(figures.primal(p[2], k[0])) != pages.drawn(figures.primal(p[2], k[-1]))


def test_the_explorers_start_where_the_page_says():
    lasso, image = figures.conditioning_explorer(), figures.primal_explorer()
    for made in (lasso, image):
        start = [slider.start for slider in made.sliders.values()]
        for panel in made.panels(start):
            assert panel.xlim
            assert panel.ylim
            assert " " in panel.alt
    assert "1e+01" in lasso.panels([0, 0])[1].note
    assert image.sliders["cg"].values[image.sliders["cg"].start] == 400


def test_the_example_by_hand_is_newtons_method_and_its_pictures_lie_within_their_axes():
    """The steps of "By hand", and from every start Newton ends within one step a piece."""
    assert pictures.newton_on_a_line(2.0) == pytest.approx([2, -1 / 3, -3, -5 / 3])
    for start in (-4.0, -1.0, -0.2, 0.9, 1.0, 3.0):
        path = pictures.newton_on_a_line(start)
        assert path[-1] == pytest.approx(-5 / 3)
        assert len(path) <= 4
    A = torch.ones(1, 1, dtype=F64)
    for xi in (-3.0, -0.3, 2.0):  # F is the library's on that problem
        v = torch.tensor([-2 * xi], dtype=F64)
        value = xi + 3 - float(A @ L1().prox(v, 2.0))
        assert pictures.on_a_line(xi)[0] == pytest.approx(value)
    for panel in (pictures.kink(), pictures.newton_at_a_kink()):
        pages.inside(panel)
        assert len(panel.alt) > 40
    fan = [c for c in pictures.kink().lines if c.style == "dashed"]
    assert [(c.y[1] - c.y[0]) / (c.x[1] - c.x[0]) for c in fan] == pytest.approx(pictures.FAN)


def test_the_guesses_right_answers_are_what_the_figures_show():
    steps = {
        c: {
            n: next((k for k, e in zip(t.steps, t.error, strict=True) if e < 1e-6), None)
            for n, t in figures.race(c, 0.05).items()
        }
        for c in (1e1, 1e7)
    }
    assert guesses.CONDITIONING.right == "SSNAL"
    assert steps[1e7]["SSNAL"] < 1.5 * steps[1e1]["SSNAL"]
    for other in ("ISTA", "FISTA"):
        assert steps[1e7][other] is None or steps[1e7][other] > 2 * steps[1e1][other]
    problem, start, *_ = figures.depth(3.0)
    third = {
        M: figures.newton_trace(problem, start, M, 3, 400).error[-1] for M in (clarke, majorised)
    }
    assert guesses.PRIMAL.right == "the majorised one"
    assert third[majorised] < third[clarke]


@pytest.mark.parametrize("V", [1.0, 1.5, 2.0, 3.0])
def test_from_the_kink_two_steps_are_enough(V):
    first, end = SOLUTIONS.from_the_kink(V)
    assert end == pytest.approx(0, abs=1e-12)
    assert first == pytest.approx(-1 - pictures.on_a_line(-1)[0] / V)
    assert pictures.on_a_line(first)[0] == pytest.approx(3 * first + 5)


def test_a_bad_penalty_is_answered_in_one_line():
    for s in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"^s is ") as caught:
            figures.depth(s)
        assert "\n" not in str(caught.value)
