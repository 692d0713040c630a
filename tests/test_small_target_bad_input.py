"""Chapter `small_target`: every public door refuses what it cannot use, in one line."""

import numpy as np
import pytest
import torch
from refusals import INF, NAN, cases, ones, refused, spoilt
from shared_small_target_bad_input import BAD, g, tiny

from dunfold_lib.small_target import algorithm, baselines, data, scores
from dunfold_lib.small_target.fast import detect
from dunfold_lib.small_target.model import LRPCANet, RPCANet, TwoTerm
from dunfold_lib.small_target.weights import imitate, start_dark

WHOLE = r"has dtype torch\.int64; it must be a real floating-point tensor"


image = ones(60, 60)


# networks


@cases(
    ({"K": 0}, ValueError, "K is 0; it must be at least 1"),
    ({"K": 1.5}, TypeError, "K is 1.5; it must be a whole number"),
    ({"c": 0}, ValueError, "c is 0; it must be at least 1"),
    ({"b": -1}, ValueError, "b is -1; it must be at least 1"),
    ({"n_noise": -1}, ValueError, "n_noise is -1; it must be at least 0"),
    ({"d": -8}, ValueError, "d is -8; it must be at least 0"),
    ({"se": "BX"}, ValueError, "se is 'BX'; it must hold some of the letters BTND, each once"),
    ({"se": "BB"}, ValueError, "se is 'BB'; it must hold some of the letters BTND, each once"),
    ({"se": 3}, TypeError, "se is 3; it must be a text"),
)
def test_lrpcanet_refuses(given, error, says):
    refused(lambda: LRPCANet(**{"K": 1, "c": 2} | given), error, says)


def test_the_other_networks_refuse_their_sizes():
    refused(lambda: RPCANet(K=0), ValueError, "K is 0; it must be at least 1")
    refused(lambda: RPCANet(c=True), TypeError, "c is True; it must be a whole number")
    refused(
        lambda: TwoTerm(se="N"), ValueError, "se is 'N'; it must hold some of the letters BTD.*"
    )


@pytest.mark.parametrize("kind", [RPCANet, LRPCANet, TwoTerm])
@cases(
    (ones(4, 4), ValueError, r"b has shape \(4, 4\); it must be \(batch, 1, height, width\)"),
    (ones(1, 3, 4, 4), ValueError, r"b has shape \(1, 3, 4, 4\); it must be \(batch, 1, .*"),
    (ones(0, 1, 4, 4), ValueError, r"b has shape \(0, 1, 4, 4\); it must be \(batch, 1, .*"),
    (ones(1, 1, 0, 4), ValueError, r"b has shape \(1, 1, 0, 4\); it must be \(batch, 1, .*"),
    (ones(1, 1, 4, 4, dtype=torch.int64), TypeError, f"b {WHOLE}"),
    (np.ones((1, 1, 4, 4)), TypeError, "b is a ndarray; it must be a torch.Tensor"),
    (ones(1, 1, 4, 4), TypeError, "b has dtype torch.float64; the network's weights are .*32"),
)
def test_forward_refuses(given, error, says, kind):
    refused(lambda: tiny(kind)(given), error, says)


def test_detecting_looks_at_the_values():
    x = ones(1, 1, 8, 8, dtype=torch.float32)
    refused(lambda: detect(tiny(), spoilt(x)), ValueError, f"image {BAD}")
    refused(lambda: detect(tiny().train(), x), ValueError, "the network is in training mode; .*")
    refused(lambda: start_dark(tiny(), -1.0), ValueError, r"logit is -1; it must be finite and .*")
    one = LRPCANet(K=1, c=2, b=1)
    refused(lambda: imitate(one, 0.5, 0.1, 0.1), ValueError, "the network has one channel; .*")


# classical methods


@cases(
    ((ones(3, 3, 3),), ValueError, r"P has shape \(3, 3, 3\); it must be \(rows, columns\)"),
    ((ones(0, 3),), ValueError, r"P has shape \(0, 3\); it must not be empty"),
    ((spoilt(ones(3, 3)),), ValueError, f"P {BAD}"),
    ((ones(3, 3, dtype=torch.int64),), TypeError, f"P {WHOLE}"),
    ((ones(3, 3), -1.0), ValueError, r"lam is -1; it must be finite and in \(0, inf\]"),
    ((ones(3, 3), None, 0.0), ValueError, r"tol is 0; it must be finite and in \(0, inf\]"),
    ((ones(3, 3), None, 1e-7, 0), ValueError, "steps is 0; it must be at least 1"),
)
def test_rpca_refuses(given, error, says):
    refused(lambda: algorithm.rpca(*given), error, says)


def test_solvers_refuse_their_weights_and_say_when_they_do_not_arrive():
    P = torch.randn(8, 8, generator=g, dtype=torch.float64)
    apg = lambda *a: next(algorithm.rpca_apg(P, *a))
    refused(lambda: apg(0.0, 1.0, 1.0), ValueError, "lam is 0; .*")
    refused(lambda: apg(0.1, NAN, 1.0), ValueError, "mu is nan; .*")
    refused(lambda: apg(0.1, 1.0, -1.0), ValueError, "mu_end is -1; .*")
    refused(lambda: apg(0.1, 1.0, 1.0, 1.5), ValueError, "shrink is 1.5; .*")
    refused(lambda: next(algorithm.rpca_admm(P, mu=-1.0)), ValueError, "mu is -1; .*")
    says = "robust PCA did not reach 1e-12 in 2 steps; allow more of them"
    refused(lambda: algorithm.rpca(P, tol=1e-12, steps=2), RuntimeError, says)


@pytest.mark.parametrize("name", [*baselines.DETECTORS])
@cases(
    (ones(1, 60, 60), ValueError, r"image has shape \(1, 60, 60\); it must be \(h, w\), both .*"),
    (ones(2, 60), ValueError, r"image has shape \(2, 60\); it must be \(h, w\), both from \d+"),
    (ones(0, 60), ValueError, r"image has shape \(0, 60\); it must not be empty"),
    (spoilt(image, INF), ValueError, f"image {BAD}"),
    (ones(60, 60, dtype=torch.int64), TypeError, f"image {WHOLE}"),
    (image.numpy(), TypeError, "image is a ndarray; it must be a torch.Tensor"),
)
def test_detectors_refuse(given, error, says, name):
    refused(lambda: baselines.DETECTORS[name](given), error, says)


def test_detectors_refuse_their_settings():
    refused(lambda: baselines.top_hat(image, 4), ValueError, "side is 4; it must be odd")
    refused(lambda: baselines.top_hat(image, 1), ValueError, "side is 1; it must be at least 3")
    refused(lambda: baselines.mpcm(image, (0,)), ValueError, "scale is 0; it must be at least 1")
    refused(lambda: baselines.ipi(image, tol=-1.0), ValueError, "tol is -1; .*")
    refused(lambda: baselines.pstnn(image, steps=0), ValueError, "steps is 0; .*")
    refused(lambda: baselines.segment(image, 1.5), ValueError, r"share is 1.5; .* \[0, 1\]")


# scores

mask = torch.zeros(2, 4, 4, dtype=torch.bool)


@pytest.mark.parametrize("score", [scores.iou, scores.niou, scores.by_overlap, scores.by_centroid])
@cases(
    ((mask[:1], mask), ValueError, "predicted and truth hold 1 and 2 images; they must be equal.*"),
    ((mask[:0], mask[:0]), ValueError, "predicted and truth hold 0 and 0 images; .*"),
    ((mask.float(), mask), TypeError, "predicted holds torch.float32; it must hold torch.bool .*"),
    (
        (mask, [np.zeros((4, 4), bool)] * 2),
        TypeError,
        r"truth\[0\] is a ndarray; it must be a torch.Tensor",
    ),
    ((mask, mask[:, :3]), ValueError, r"predicted and truth hold shapes \(4, 4\) and \(3, 4\); .*"),
    ((mask[None], mask[None]), ValueError, r"predicted holds an image of shape \(2, 4, 4\); .*"),
)
def test_scores_refuse(given, error, says, score):
    refused(lambda: score(*given), error, says)


def test_curves_refuse():
    s, y = ones(4, 4), mask[0].clone()
    one_class = "truth is all target or all background; a ROC needs pixels of both"
    refused(lambda: scores.roc(s, y), ValueError, one_class)
    y[0, 0] = True
    refused(lambda: scores.roc(spoilt(s), y), ValueError, f"score {BAD}")
    refused(
        lambda: scores.roc(s, y[:3]), ValueError, r"score and truth have shapes \(4, 4\) and .*"
    )
    refused(lambda: scores.roc(s, y.double()), ValueError, "score and truth have shapes .*")
    refused(lambda: scores.roc(s, y, -1), ValueError, "points is -1; it must be at least 0")
    refused(lambda: scores.f1(1.2), ValueError, "share is 1.2; .*")
    wrong = lambda: scores.detection_curve([s], y[None], [NAN])
    refused(wrong, ValueError, "threshold is nan; .*")


# data


@cases(
    (lambda: data.synthetic(g, 0), ValueError, "count is 0; it must be at least 1"),
    (lambda: data.synthetic(g, 1, 16), ValueError, "side is 16; it must be at least 32"),
    (lambda: data.inject(g, [], 1), ValueError, r"backgrounds: no scene; each must be \(h, w\).*"),
    (lambda: data.inject(g, [ones(9, 300)], 1), ValueError, r"backgrounds: shape \(9, 300\); .*"),
    (lambda: data.add_targets(g, ones(16, 40)), ValueError, r"scene has shape \(16, 40\); .* 16"),
    (lambda: data.add_targets(g, spoilt(ones(40, 40))), ValueError, f"scene {BAD}"),
    (lambda: data.noisy(ones(1), g, -1.0), ValueError, "sigma is -1; .*"),
    (lambda: data.noisy(ones(1), g, 0.0, 1.1), ValueError, "density is 1.1; .*"),
)
def test_data_refuse(given, error, says):
    refused(given, error, says)


def test_crops_refuse():
    frames = data.synthetic(g, 1, 40)
    says = "side is 41; the images are 40×40: it must be 1 to 40"
    refused(lambda: data.crops(frames, 1, 41, g), ValueError, says)
    refused(lambda: data.crops(frames, 0, 8, g), ValueError, "batch is 0; it must be at least 1")
