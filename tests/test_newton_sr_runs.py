"""Of newton sr: runs."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import refused
from shared_newton_sr import F64, NETWORKS, model_problem, network, rand, seeded, write_pair

from dunfold_lib import metrics, training
from dunfold_lib.newton_sr import baselines, data, downsampling, evaluation, scores
from dunfold_lib.newton_sr import training as newton_sr_training
from dunfold_lib.newton_sr.algorithm import augmented_lagrangian
from dunfold_lib.newton_sr.downsampling import Downsample, Spectral, keys_matrix, up
from dunfold_lib.newton_sr.experiments import ABLATIONS, EXPERIMENTS
from dunfold_lib.newton_sr.jacobians import Groups, clarke, majorised
from dunfold_lib.newton_sr.lasso import Lasso, admm
from dunfold_lib.newton_sr.model import LearnedInverseSR, NewtonSR, Pair, PlainSR, charbonnier
from dunfold_lib.newton_sr.ssnal import ssnal
from dunfold_lib.solvers import conjugate_gradients

# training and scores


def test_scores_by_hand():
    truth = torch.full((1, 1, 20, 20), 0.5, dtype=F64)
    estimate = truth + 0.1
    for border in (np.s_[..., :6, :], np.s_[..., -6:, :], np.s_[..., :6], np.s_[..., -6:]):
        estimate[border] = 9.0  # the border is not looked at, on any side
    assert scores.rmse(estimate, truth) == pytest.approx(25.5)
    for inside in ((6, 10), (13, 10), (10, 6), (10, 13)):  # and what lies just within it is
        changed = estimate.clone()
        changed[0, 0, inside[0], inside[1]] = 9.0
        assert scores.rmse(changed, truth) > 26
    a, b = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
    a[0, 0], b[0, :] = 1.0, 1.0
    assert metrics.sam(a, b) == pytest.approx(math.pi / 4)
    assert metrics.sam(3 * b, b) == pytest.approx(0, abs=1e-6)
    assert metrics.ergas(b + torch.tensor([0.1, 0.3])[:, None, None], b, 4) == pytest.approx(
        25 * math.sqrt((0.01 + 0.09) / 2), rel=1e-5
    )


@pytest.mark.parametrize("kind", [*NETWORKS, PlainSR])
def test_two_steps_of_training_and_the_measuring(kind, monkeypatch):
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    monkeypatch.setattr(data, "motorcycle", lambda: data.planes(seeded(3), 32))
    monkeypatch.setattr(newton_sr_training, "TRAIN_SCENES", 2)
    recipe = newton_sr_training.Training(steps=2, batch=2, patch=16, stages=2, filters=2, width=3)
    net = newton_sr_training.build(kind, 4, recipe)
    losses = newton_sr_training.train(net, recipe)
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    made = evaluation.measure("planes", net, 0)
    assert set(made) >= {"rmse_planes", "rmse_motorcycle"}
    if kind is PlainSR:
        return
    assert len(made["stages_planes"]) == 3
    assert len(made["solved_planes"]) == 2


def test_training_lowers_the_loss():
    recipe = newton_sr_training.Training(steps=60, batch=2, patch=16, stages=2, filters=4, width=4)
    net = newton_sr_training.build(NewtonSR, 4, recipe)
    truth, Y = data.patches(newton_sr_training.training_set("planes"), 32, 16, seeded(9))
    b = downsampling.degraded(truth, Y, 4)
    before = float(charbonnier(net, b, truth).detach())
    newton_sr_training.train(net, recipe)
    assert float(charbonnier(net, b, truth).detach()) < 0.9 * before


def test_several_bands_are_built_trained_and_measured():
    recipe = newton_sr_training.Training(
        data="fusion", steps=1, batch=1, patch=16, stages=1, filters=2, width=3
    )
    net = newton_sr_training.build(NewtonSR, 4, recipe, alpha=1.0)
    assert net.H.shape == (3, 8)
    assert len(newton_sr_training.train(net, recipe)) == 1
    made = evaluation.measure("fusion", net, 0)
    assert {"psnr", "sam", "ergas"} <= set(made)


def test_a_readers_folder_is_measured(tmp_path):
    write_pair(tmp_path, "mine", (32, 36))
    made = evaluation.measure_method("planes", baselines.bicubic, 4, None, 0, tmp_path)
    assert set(made) == {"rmse", "protocol", "notes"}
    assert made["protocol"].startswith(f"data: {tmp_path}; 1 pairs; depth: 8 bit over 255; guide: ")


def test_experiments_are_complete_and_build_their_networks():
    for name, e in EXPERIMENTS.items():
        assert all((e.title, e.protocol, e.source)), name
        for recipe in e.recipes.values():
            assert isinstance(recipe, newton_sr_training.Training)
            assert isinstance(recipe, training.Recipe)
            ratio = int(name.rpartition("-")[2]) if name[-1].isdigit() else 4
            assert recipe.patch % ratio == 0, name
    for name in ("newton-4", "learned-inverse-8", "first-order-16", "newton-fusion"):
        net = EXPERIMENTS[name].build()
        assert net.K == 3
        assert getattr(net, "curvature", majorised) is majorised
        assert name != "newton-4" or net.ratio == 4


def test_the_ablations_change_one_thing():
    plain = EXPERIMENTS["newton-4"]
    for name, (_, fields) in ABLATIONS.items():
        e = EXPERIMENTS[name]
        for recipe, used in e.recipes.items():
            assert used == replace(plain.recipes[recipe], **fields)
    assert EXPERIMENTS["newton-clarke-4"].build().curvature is clarke


def test_the_lasso_experiments_scores(monkeypatch):
    small = Lasso(*data.ill_conditioned(seeded(), 1e1, 20, 40, 4)[:2], 0.05)
    monkeypatch.setattr(evaluation, "lasso_problem", lambda *a: small)
    made = evaluation.measure_lasso(1e1, 1, None, 0)
    assert made["kkt"] <= 1e-12
    assert made["newton"] >= made["outer"]
    assert made["ista_1e-08"] >= made["ista_1e-06"] >= 1


# bad input


def with_A(A, b=None, lam=0.1):
    return lambda: ssnal(Lasso(A, torch.ones(2, dtype=F64) if b is None else b, lam))


OK = torch.ones(2, 3, dtype=F64)


BAD = [
    (with_A(OK * math.nan), ValueError, "A holds 6 NaN or infinite entries; all must be finite"),
    (with_A(OK[0]), ValueError, r"A and b have shapes \(3,\) and \(2,\); .*"),
    (with_A(OK, torch.ones(3, dtype=F64)), ValueError, r"A and b have shapes \(2, 3\) and .*"),
    (
        with_A(OK, torch.ones(2)),
        TypeError,
        "b has dtype torch.float32; A has torch.float64: one for all",
    ),
    (with_A(OK, lam=0.0), ValueError, r"lam is 0; it must be finite and in \(0, inf\]"),
    (lambda: ssnal(Lasso(OK, OK[:, 0], 0.1), tol=-1.0), ValueError, "tol is -1; .*"),
    (lambda: ssnal(Lasso(OK, OK[:, 0], 0.1, Groups(2))), ValueError, "x has 3 entries; groups .*"),
    (lambda: Groups(0), ValueError, "size is 0; it must be at least 1"),
    (lambda: next(admm(Lasso(OK, OK[:, 0], 0.1), 0.0)), ValueError, "rho is 0; .*"),
    (lambda: Downsample((10, 8), 4), ValueError, r"size is \(10, 8\); both must be multiples .*"),
    (lambda: Downsample((8, 8), 0), ValueError, "ratio is 0; it must be at least 1"),
    (lambda: keys_matrix(9, 2), ValueError, "n is 9; it must be a multiple of the ratio 2"),
    (lambda: up([1.0], 2), TypeError, "Z is a list; it must be a torch.Tensor"),
    (lambda: Spectral(OK[0], (2, 2)), ValueError, r"H has shape \(3,\); it must be a matrix .*"),
    (lambda: NewtonSR(K=0), ValueError, "K is 0; it must be at least 1"),
    (lambda: NewtonSR(ratio=1), ValueError, "ratio is 1; it must be at least 2"),
    (lambda: NewtonSR(cg=0), ValueError, "cg is 0; it must be at least 1"),
    (lambda: NewtonSR(alpha=-1.0), ValueError, r"alpha is -1; it must be finite and in \[0, inf\]"),
    (lambda: LearnedInverseSR(width=0), ValueError, "width is 0; it must be at least 1"),
    (lambda: network()(OK), TypeError, r"b is a Tensor; it must be a newton_sr.Pair\(Z, Y\)"),
    (lambda: network()(Pair(OK, OK)), ValueError, r"Z has shape \(2, 3\); it must be .*"),
    (
        lambda: network()(Pair(rand(1, 1, 3, 3), rand(1, 1, 8, 12))),
        ValueError,
        r"Y has shape \(1, 1, 8, 12\); it must be \(batch, 1, 12, 12\)",
    ),
    (
        lambda: network()(Pair(rand(2, 1, 3, 3), rand(1, 1, 12, 12))),
        ValueError,
        "Y has 1 rows of torch.float64; Z has 2 rows of torch.float64",
    ),
    (lambda: baselines.bicubic(OK, OK), ValueError, r"Z and Y have shapes .*"),
    (
        lambda: baselines.guided_tv(rand(1, 1, 3, 3), rand(1, 1, 8, 12)),
        ValueError,
        r"Z and Y have sizes \(3, 3\) and \(8, 12\); Y's must be a whole multiple of Z's",
    ),
    (
        lambda: baselines.guided_filter(rand(1, 1, 4, 4), rand(1, 3, 16, 16)),
        ValueError,
        "Y has 3 channels; this method takes a grey guide, one",
    ),
    (
        lambda: baselines.joint_bilateral(rand(1, 1, 1, 1), rand(1, 1, 4, 4)),
        ValueError,
        r"radius is 4; the image \(4, 4\) allows less",
    ),
    (lambda: conjugate_gradients(lambda x: x, OK, -1), ValueError, "steps is -1; it must be .*"),
    (
        lambda: newton_sr_training.Training(data="moon"),
        ValueError,
        "data is 'moon'; it must be one of planes, .*",
    ),
    (
        lambda: newton_sr_training.Training(curvature="hessian"),
        ValueError,
        "curvature is 'hessian'; it must be one of majorised, clarke",
    ),
    (
        lambda: newton_sr_training.Training(residual=-1.0),
        ValueError,
        r"residual is -1; it must be finite .*",
    ),
    (
        lambda: newton_sr_training.Training(fourier=math.nan),
        ValueError,
        "fourier is nan; it must be finite .*",
    ),
    (
        lambda: newton_sr_training.build(NewtonSR, 4, newton_sr_training.Training(cg=0)),
        ValueError,
        "cg is 0; it must be .*",
    ),
    (lambda: PlainSR(f=0), ValueError, "f is 0; it must be at least 1"),
    (lambda: PlainSR(ratio=1), ValueError, "ratio is 1; it must be at least 2"),
    (lambda: metrics.sam(OK, OK), ValueError, r"truth has shape \(2, 3\); it must be .*"),
    (
        lambda: metrics.ergas(rand(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)),
        ValueError,
        "truth has a band whose mean is 0; ERGAS divides by it",
    ),
    (lambda: scores.rmse(OK, OK), ValueError, "estimate and truth have shapes .*"),
    (lambda: data.planes(seeded(), side=1), ValueError, "side is 1; it must be at least 2"),
    (lambda: data.middlebury("all"), ValueError, "part is 'all'; it must be one of train, test"),
    (lambda: data.patches({}, 1, 8, seeded()), ValueError, r"scene \(none\) holds no patch .*"),
    (
        lambda: data.ill_conditioned(seeded(), 0.5),
        ValueError,
        r"condition is 0.5; it must be finite and in \[1, inf\]",
    ),
    (
        lambda: data.ill_conditioned(seeded(), 10, 4, 9, 3, 2),
        ValueError,
        "nonzeros is 3, n 9; both must be multiples of group 2",
    ),
]


@pytest.mark.parametrize(
    "call, error, says", BAD, ids=[re.sub(r"[\\.*]", "", s)[:40] for *_, s in BAD]
)
def test_bad_input_is_refused_in_one_line(call, error, says):
    refused(call, error, says)


def test_files_that_cannot_be_used_are_refused_in_one_line(tmp_path, monkeypatch):
    refused(lambda: data.read_pairs(tmp_path / "no"), ValueError, ".*no is no folder; it must .*")
    refused(lambda: data.read_pairs(tmp_path), ValueError, ".* holds no pair <name>_rgb, .*")
    write_pair(tmp_path, "one")
    refused(
        lambda: data.read_pairs(tmp_path, ["two"]), ValueError, ".* no pair two_rgb, two_gt; .*"
    )
    (tmp_path / "one_gt.bmp").write_bytes(b"nothing")
    refused(lambda: data.read_pairs(tmp_path), ValueError, r".*one_gt.bmp: cannot be read \(.*\)")
    np.save(tmp_path / "far.npy", np.full((4, 4), 7.5))
    says = ".* holds values from 7.5 to 7.5; .*"
    refused(lambda: data.read(tmp_path / "far.npy"), ValueError, says)
    np.save(tmp_path / "complex.npy", np.ones((4, 4), complex))
    refused(lambda: data.read(tmp_path / "complex.npy"), TypeError, ".* has dtype complex128; .*")
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    says = "wv2 is not here: put it into multimodal/wv2 of the folder DUNFOLD_DATA names"
    refused(lambda: data.required("wv2"), ValueError, says)


def test_solvers_that_do_not_arrive_say_so():
    problem = evaluation.lasso_problem(1e3, 0, 4)
    refused(
        lambda: ssnal(problem, outer=1), RuntimeError, r"KKT is \S+ at best in 1 steps; 1.0e-12 .*"
    )
    model, start = model_problem()
    refused(lambda: augmented_lagrangian(model, start, outer=1), RuntimeError, "KKT is .* asked .*")


def test_the_degradation_module_is_the_same_for_every_size():
    net = NewtonSR(ratio=4)
    like = torch.zeros(1, 1, 24, 32)
    assert torch.equal(net.A.at(like).high, downsampling.keys_matrix(24, 4).float())
    assert net.A.at(like) is net.A.at(like)


@pytest.mark.parametrize("shape", [(), (8, 8), (2, 1, 8, 8), (1, 1, 4, 8)])
def test_a_guide_of_another_size_than_the_truth_is_refused(shape):
    with pytest.raises(ValueError, match=r"Y has shape .*; it must be \(1, Cy, 8, 8\)"):
        downsampling.degraded(torch.zeros(1, 1, 8, 8), torch.zeros(shape), 4)
