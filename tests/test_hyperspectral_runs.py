"""Of hyperspectral: runs."""

import csv
import math
from dataclasses import fields
from io import StringIO

import numpy as np
import pytest
import torch
from shared_hyperspectral import NETWORKS_HERE, count, randn, seeded
from skimage.metrics import structural_similarity

from dunfold_lib import metrics, training
from dunfold_lib.hyperspectral import algorithm, baselines, data, evaluation, published, scores
from dunfold_lib.hyperspectral import training as hyperspectral_training
from dunfold_lib.hyperspectral.algorithm import star
from dunfold_lib.hyperspectral.classify import class_map, classify, discriminant, kappa
from dunfold_lib.hyperspectral.experiments import ABLATIONS, EXPERIMENTS, NETWORKS
from dunfold_lib.hyperspectral.fast import denoise
from dunfold_lib.hyperspectral.lowrank import svt
from dunfold_lib.hyperspectral.model import SMDSNet, STARNet, STARNetPaper, STARNetS

# scores


def test_scores_by_hand_and_against_scikit_image():
    truth = torch.full((1, 2, 12, 13), 0.5)
    off = truth + torch.tensor([0.1, 0.01])[:, None, None]
    assert scores.psnr(off, truth) == pytest.approx((20 + 40) / 2, abs=1e-4)
    assert metrics.ergas_mse_over_mean(255 * off, 255 * truth) == pytest.approx(
        100 * math.sqrt((25.5**2 + 2.55**2) / 2 / 127.5), rel=1e-5
    )
    a, b = (
        torch.rand(1, 3, 16, 15, generator=seeded()),
        torch.rand(1, 3, 16, 15, generator=seeded(1)),
    )
    each = [
        structural_similarity(
            x.double().numpy(),
            y.double().numpy(),
            data_range=1.0,
            win_size=11,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for x, y in zip(a[0], b[0])
    ]
    assert scores.ssim(a, b) == pytest.approx(sum(each) / 3, abs=1e-10)


def test_the_discriminant_is_scikit_learns():
    sklearn = pytest.importorskip("sklearn.discriminant_analysis")
    x = torch.cat([randn(40, 4) + 2 * i * torch.eye(4)[i] for i in range(3)])
    y = torch.arange(3).repeat_interleave(40) + 1
    new = randn(200, 4, seed=2) + 1
    theirs = sklearn.LinearDiscriminantAnalysis(solver="lsqr").fit(x.numpy(), y.numpy())
    ours = discriminant(x, y, new, ridge=1e-9)
    assert float((ours == torch.from_numpy(theirs.predict(new.numpy()))).double().mean()) == 1


def test_kappa_by_hand():
    y = torch.tensor([1, 1, 1, 2, 2, 2, 2, 2])
    found = torch.tensor([1, 1, 2, 2, 2, 2, 2, 1])
    chance = (3 * 3 + 5 * 5) / 64
    assert kappa(found, y) == pytest.approx((0.75 - chance) / (1 - chance))
    assert kappa(y, y) == 1


def test_classes_are_told_apart_in_a_clean_cube_and_hardly_in_noise():
    truth = data.synthetic(seeded(), (40, 40), 20, 4)
    labels = 1 + truth[0].argmax(0) // 5  # by the band of the largest value
    labels[:3] = 0
    clean = classify(truth, labels, 0.2, seeded())
    noisy = classify(data.Noise(255)(truth, seeded(1)), labels, 0.2, seeded())
    assert clean.accuracy > 0.85
    assert clean.kappa > noisy.kappa + 0.3


def test_a_map_of_classes_is_what_the_score_counts():
    truth = data.synthetic(seeded(), (30, 20), 20, 4)
    labels = 1 + truth[0].argmax(0) // 5
    labels[:3] = 0
    made, drawn = class_map(truth, labels, 0.2, seeded()), seeded()
    learned = torch.zeros(30 * 20, dtype=torch.bool)
    for c in labels.unique()[1:]:
        here = (labels.flatten() == c).nonzero()[:, 0]
        learned[here[torch.randperm(len(here), generator=drawn)[: round(0.2 * len(here))]]] = True
    scored = (labels > 0) & ~learned.reshape(30, 20)
    right = float((made == labels)[scored].double().mean())
    assert right == pytest.approx(classify(truth, labels, 0.2, seeded()).accuracy)
    assert made.shape == labels.shape
    assert set(made[:3].unique().tolist()) <= {1, 2, 3, 4}  # unknown pixels have a class too


# runs and experiments


@pytest.mark.parametrize("kind", NETWORKS_HERE)
@pytest.mark.parametrize("whole", [False, True])
def test_two_steps_of_training(kind, whole):
    recipe = hyperspectral_training.Training(
        data="synthetic", steps=2, batch=2, patch=12, layers=2, draws=2, whole=whole, sparse=whole
    )
    net = hyperspectral_training.build(kind, recipe)
    before = [p.detach().clone() for p in net.parameters()]
    procrustes = net.procrustes
    losses = hyperspectral_training.train(net, recipe)
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    assert any(not torch.equal(p, q) for p, q in zip(before, net.parameters()))
    assert (net.stride, net.procrustes) == (1, procrustes)


def test_training_lowers_the_loss_on_cubes_that_were_not_seen():
    recipe = hyperspectral_training.Training(
        data="synthetic", steps=25, patch=18, layers=2, draws=8
    )
    net = hyperspectral_training.build(STARNet, recipe)
    truth = data.synthetic(seeded(99))
    Y = data.Noise(40)(truth, seeded(98))
    before = scores.psnr(denoise(net, Y, 40 / 255), truth)
    hyperspectral_training.train(net, recipe)
    assert scores.psnr(denoise(net, Y, 40 / 255), truth) > before + 0.5


def test_training_takes_the_recipes_noise():
    recipe = hyperspectral_training.Training(low=20, high=21, sparse=True)
    drawn = [hyperspectral_training.drawn_noise(recipe, seeded(i)) for i in range(40)]
    assert all(20 <= n.sigma <= 21 for n in drawn)
    assert any(n.impulse and not n.stripes for n in drawn)
    assert any(n.impulse and n.stripes and n.dead for n in drawn)
    plain = hyperspectral_training.drawn_noise(hyperspectral_training.Training(), seeded())
    assert (plain.impulse, plain.stripes, plain.dead) == (0, 0, 0)


def test_levels_are_drawn_by_their_logarithm():
    drawn = [
        hyperspectral_training.drawn_noise(hyperspectral_training.Training(), seeded(i)).sigma
        for i in range(300)
    ]
    assert 5 <= min(drawn) <= max(drawn) <= 80
    assert np.median(drawn) == pytest.approx(20, rel=0.2)  # √(5·80), and not (5 + 80)/2


def test_the_tests_noise_is_none_that_a_seed_of_training_draws():
    cube = data.synthetic(seeded(), (8, 8), 5, 2)
    Y = evaluation.noised(cube, data.Noise(30), 5)
    assert torch.equal(Y, data.Noise(30)(cube, seeded(2**31 + 5)))
    assert not torch.equal(Y, data.Noise(30)(cube, seeded(5)))


@pytest.mark.parametrize("kind", [STARNet, STARNetS])
def test_a_fresh_network_blends_little_and_all_but_the_noise_in_the_end(kind):
    net = kind(3)
    alphas = [float(net.numbers(k).alpha.detach()) for k in range(3)]
    assert alphas == pytest.approx([0.05, 0.05, 0.98])
    assert (STARNet.window, STARNetS.window) == (0, 5)


def test_networks_are_measured_at_stride_one_and_classes_right_of_the_training_part(
    little, monkeypatch
):
    seen = []
    found = evaluation.classify
    monkeypatch.setattr(evaluation, "classify", lambda X, *a: seen.append(X.shape) or found(X, *a))
    coarse, fine = (STARNet(2, stride=s) for s in (3, 1))
    assert evaluation.measure(coarse, 0) == evaluation.measure(fine, 0)
    assert {shape[3] for shape in seen} == {100 - 81}
    one, other = (evaluation.measure_sparse(STARNetS(2, stride=s), 0) for s in (3, 1))
    assert one == other


@pytest.fixture
def little(monkeypatch):
    """Small scenes in the place of Indian Pines, so that measuring takes no time."""
    cube = data.synthetic(seeded(7), (24, 100), 12, 3)
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    monkeypatch.setattr(data, "part", lambda name, as_is=False: cube[..., :20])
    monkeypatch.setattr(data, "indian_pines", lambda as_is=False: cube)
    monkeypatch.setattr(data, "labels", lambda: 1 + cube[0].argmax(0) // 4)
    monkeypatch.setattr(evaluation, "LEVELS", (10, 50))


def test_what_is_measured(little):
    net = hyperspectral_training.build(STARNet, hyperspectral_training.Training(layers=2))
    made = evaluation.measure(net, 0)
    for level in (10, 50):
        names = ("psnr", "ssim", "sam", "ergas", "ergas_mse_over_mean", "psnr_blind", "psnr_fixed")
        assert {f"{n}_{level}" for n in (*names, "accuracy", "kappa")} <= set(made)
        assert len(made[f"layers_{level}"]) == 3
        assert made[f"layers_{level}"][-1] == pytest.approx(made[f"psnr_{level}"], abs=1e-3)
    assert made["psnr_10"] > made["psnr_50"]
    spoilt = evaluation.measure_sparse(
        hyperspectral_training.build(STARNetS, hyperspectral_training.Training(layers=2)), 0
    )
    assert {f"psnr_{k}" for k in ("impulse", "stripes", "dead", "mixed")} <= set(spoilt)
    plain = evaluation.measure_method(baselines.noisy, None, 0)
    assert made["psnr_50"] > plain["psnr_50"] + 3
    assert "accuracy_50" in plain
    assert "psnr_mixed" in evaluation.measure_method_sparse(baselines.noisy, None, 0)


def test_a_readers_cubes_are_measured(tmp_path):
    cube = data.synthetic(seeded(), (20, 22), 10, 3)[0].permute(1, 2, 0)
    np.save(tmp_path / "mine.npy", cube.numpy())
    made = evaluation.measure_method(star, None, 0, tmp_path)
    assert {"psnr_10_mine", "ergas_70_mine"} <= set(made)
    net = hyperspectral_training.build(SMDSNet, hyperspectral_training.Training(layers=1))
    assert "psnr_50_mine" in evaluation.measure(net, 0, tmp_path)


def test_experiments_are_complete_and_build_their_networks():
    for name, e in EXPERIMENTS.items():
        assert all((e.title, e.protocol, e.source)), name
        assert (e.train is None) == (not e.recipes)
        for recipe in e.recipes.values():
            assert isinstance(recipe, hyperspectral_training.Training)
            assert isinstance(recipe, training.Recipe)
        net = e.build()
        assert (net is None) == (e.train is None)
        assert net is None or e.recipes["cpu"].layers == net.K
    assert count(EXPERIMENTS["star-paper"].build()) == 27_702
    assert count(EXPERIMENTS["smds-atoms"].build()) == 5_103
    assert [EXPERIMENTS[f"star-k{K}"].build().K for K in (1, 5, 9)] == [1, 5, 9]


def test_the_ablations_change_one_thing():
    plain = NETWORKS["star"].recipes["cpu"]
    for name, e in ABLATIONS.items():
        differ = {f.name for f in fields(plain)}
        differ = {f for f in differ if getattr(plain, f) != getattr(e.recipes["cpu"], f)}
        allowed = {"star-every-a": {"whole"}, "star-squared": {"loss"}}
        if name == "star-no-s":
            other = NETWORKS["star-s"].recipes["cpu"]
            assert e.recipes["cpu"] == other
            continue
        assert differ == allowed.get(name, set()), name
    assert not hasattr(ABLATIONS["star-no-svt"].build(), "free_tau")
    assert len(ABLATIONS["star-no-blend"].build().free_alpha) == 1
    assert ABLATIONS["star-no-a"].build().procrustes == 0
    assert ABLATIONS["star-mixed"].build().mixed


def test_published_averages_are_those_of_their_rows():
    rows = list(csv.reader(StringIO("ICVL\nPAVIAU")))
    for (name,) in rows:
        for score, table in getattr(published, name).items():
            for method, values in table.items():
                assert len(values) == len(published.SIGMAS) + 1
                average = sum(values[:4]) / 4
                assert values[4] == pytest.approx(average, rel=0.02), (name, method, score)
    icvl = {method: values[0] for method, values in published.ICVL["PSNR"].items()}
    assert max(icvl.values()) == icvl["STAR-Net-S"]
    assert icvl["Eigen-CNN"] > icvl["STAR-Net"]
    assert published.PARAMETERS["STAR-Net"] == count(STARNetPaper())


def test_the_rank_of_the_low_rank_step_is_that_of_the_bands():
    B = randn(1, 3, 16, 5)
    L = algorithm.low_rank(B, 0.5)
    one = svt(B[0, :, :, 2], 0.5)
    torch.testing.assert_close(L[0, :, :, 2], one)
    assert torch.equal(algorithm.low_rank(B, 0.0), B)
