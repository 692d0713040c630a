"""Of settings: solvers."""

import math
from itertools import islice

import numpy as np
import pytest
import torch
from shared_settings import normal, seeded
from torch.testing import assert_close

from dunfold_lib import records
from dunfold_lib.hyperspectral import data as cubes_data
from dunfold_lib.hyperspectral import evaluation as cube_evaluation
from dunfold_lib.hyperspectral import scores as cube_scores
from dunfold_lib.hyperspectral.algorithm import star
from dunfold_lib.hyperspectral.experiments import EXPERIMENTS as CUBE_TABLE
from dunfold_lib.newton_sr import algorithm as newton
from dunfold_lib.newton_sr import lasso as lassos
from dunfold_lib.newton_sr import ssnal
from dunfold_lib.newton_sr.jacobians import Shrink
from dunfold_lib.operators import Matrix
from dunfold_lib.small_target import data as target_data
from dunfold_lib.small_target import evaluation as target_evaluation
from dunfold_lib.small_target import maps as target_maps
from dunfold_lib.small_target import published as target_published
from dunfold_lib.small_target.model import LRPCANet
from dunfold_lib.sparse import duality_gap, fista, ista, lasso, nesterov

# solvers


def test_the_lassos_certificate_is_below_the_gap_that_was_asked_for():
    A, b = Matrix(normal(20, 60)), normal(5, 20, seed=1)
    found = lasso(A, b, 0.3, gap=1e-3)
    goal = 1e-3 * 0.5 * b.square().sum(1)
    assert bool((duality_gap(A, b, 0.3, found.x) <= goal).all())
    assert bool((duality_gap(A, b, 0.3, found.x) > goal / 100).any())


def test_dropping_the_momentum_saves_steps_where_the_lasso_is_curved():
    A, b = Matrix(normal(40, 30)), normal(1, 40, seed=1)
    found = lasso(A, b, 0.1, gap=1e-12)
    goal = 1e-12 * 0.5 * float(b.square().sum())
    gaps = [float(duality_gap(A, b, 0.1, x)) for x in fista(A, b, 0.1, 3 * found.iterations)]
    assert next((k for k, v in enumerate(gaps) if v <= goal), len(gaps)) > found.iterations


def test_two_rooms_have_one_ista_and_one_fista():
    A, b = normal(15, 40), normal(15, seed=1)
    problem = lassos.Lasso(A, b, 0.5)
    for mine, theirs in ((lassos.ista, ista), (lassos.fista, fista)):
        xs = torch.stack([*islice(mine(problem), 25)])
        wanted = torch.cat(theirs(Matrix(A), b[None], 0.5, 25)[1:])
        assert_close(xs, wanted, rtol=0, atol=1e-10)


def test_admms_penalty_is_a_hundredth_of_the_largest_eigenvalue():
    problem = lassos.Lasso(normal(15, 40), normal(15, seed=1), 0.5)
    rho = float(torch.linalg.svdvals(problem.A)[0]) ** 2 / 100
    mine, theirs = (torch.stack([*islice(lassos.admm(problem, r), 9)]) for r in (None, rho))
    assert_close(mine, theirs)


def test_newtons_systems_are_solved_as_far_as_the_rule_of_quadratic_convergence(monkeypatch):
    """‖V d + F‖ ≤ min(η, ‖F‖²), up to rounding, in both rooms' Newton methods."""
    asked = []

    def spy(V, c, steps, tol=0.0, start=None):
        asked.append((float(c.norm()), tol))
        return kept(V, c, steps, tol, start)

    kept = ssnal.conjugate_gradients
    monkeypatch.setattr(ssnal, "conjugate_gradients", spy)
    ssnal.ssnal(lassos.Lasso(normal(20, 50), normal(20, seed=1), 1.0))
    monkeypatch.setattr(newton, "conjugate_gradients", spy)
    identity = type("I", (), {"__call__": lambda self, x: x, "T": lambda self, x: x})()
    t, zero = torch.tensor(0.3, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    prior, Z = Shrink(identity, t, zero), normal(1, 1, 6, 6)
    problem = newton.Problem(identity, Z, (prior, prior), (1.0, 1.0), (0 * Z, 0 * Z))
    newton.augmented_lagrangian(problem, 0 * Z, tol=1e-8)
    small = [(size, tol) for size, tol in asked if 1e-6 < size < 0.05]
    assert len(small) >= 4
    assert all(tol * size <= 1.001 * size**2 for size, tol in small)


def test_nesterovs_method_on_the_inner_problem_has_the_momentum_of_the_first_chapter():
    Z, start = normal(1, 1, 5, 5), normal(1, 1, 5, 5, seed=1)
    scale = torch.linspace(0.1, 1, 25, dtype=torch.float64).reshape(5, 5)
    D = type("D", (), {"__call__": lambda self, x: scale * x, "T": lambda self, x: scale * x})()
    none = Shrink(D, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64))
    problem = newton.Problem(D, Z, (none, none), (1.0, 1.0), (0 * Z, 0 * Z))
    xs = [start, start]
    for beta in nesterov(12):
        y = xs[-1] + beta * (xs[-1] - xs[-2])
        xs.append(y - 0.9 * scale * (scale * y - Z))
    assert_close(torch.cat(newton.accelerated(problem, start, 12, 0.9)), torch.cat(xs[1:]))


SETS = ("nudt", "sirst-aug", "irstd1k")


ODD = {("MSHNet", name) for name in SETS} | {("RPCANet++", "irstd1k")}  # as printed


def test_published_iou_and_f1_of_one_row_belong_together():
    """F1 = 2 IoU/(1 + IoU) of pooled pixels, as near as the tables have it but for four rows."""
    rows = {(n, s): row[s][:2] for n, row in target_published.PUBLISHED.items() for s in SETS}
    off = {key: abs(200 * iou / (100 + iou) - f1) for key, (iou, f1) in rows.items()}
    assert {key for key, gap in off.items() if gap > 0.55} == ODD
    for name, printed in target_published.PUBLISHED_AVERAGE.items():
        mean = np.mean([rows[name, s][0] for s in SETS])
        assert mean == pytest.approx(printed[0], abs=0.02), name


# small targets


def test_a_made_up_targets_mask_is_where_its_gaussian_is_above_its_edge():
    """On a flat scene a target has the least height, 0.04; its mask ends at exp(−3/2) of that."""
    wrong = marked = 0
    for seed in range(30):
        seen, mask = target_data.add_targets(seeded(seed), torch.full((96, 96), 0.5))
        above = (seen - 0.5) / 0.04 > math.exp(-1.5)
        wrong, marked = wrong + int((above != mask).sum()), marked + int(mask.sum())
    assert marked > 300
    assert wrong < 0.02 * marked  # where the flanks of two targets add up


def test_a_chosen_cut_is_applied_as_it_was_chosen(monkeypatch):
    """Maps of 0, 1 and 2 where 2 alone is target: the cut 1 finds it, the pixels of 1 not."""
    levels = torch.tensor([[0, 1, 1, 2], [0, 0, 1, 2]])[None, None]
    frames = target_data.Frames(("a",), levels.to(torch.uint8), levels == 2)
    monkeypatch.setattr(target_evaluation, "part", lambda name, which: frames)
    run = lambda f: f.image.float()
    cuts = target_evaluation.Cuts(0.0, (0.0, 1.0, 1.5))
    made = target_evaluation._chosen("nudt", "", run, cuts, run(frames), frames)
    assert made["cut"] == 1.0
    assert made["iou_chosen"] == made["iou_val_chosen"] == 100


def test_a_step_is_contractive_by_its_jacobian():
    net = LRPCANet(1, 8)
    with torch.no_grad():
        net.eps.fill_(0.3)
    found = target_maps.lipschitz(net.eval(), torch.rand(3, 1, 24, 24, generator=seeded()), 10)
    jacobian, pairs, step = (found[f"{k}_FT"][0] for k in ("jacobian", "pairs", "step_jacobian"))
    assert step == pytest.approx(0.3 * jacobian, abs=2e-4)
    assert abs(jacobian - pairs) > 1e-3


# cubes


def test_the_classifiers_share_is_the_one_that_the_protocol_names():
    assert (
        f"{100 * cube_evaluation.SHARE:g} % of the labelled pixels" in CUBE_TABLE["star"].protocol
    )


def test_classical_stars_defaults_are_those_of_its_recorded_scores():
    test, recorded = (
        cubes_data.part("test"),
        records.values("hyperspectral/star-classical", "psnr_50"),
    )
    Y = cube_evaluation.noised(test, cubes_data.Noise(50), 0)
    assert cube_scores.psnr(star(Y, 50 / 255), test) == pytest.approx(recorded[0], abs=1e-3)
