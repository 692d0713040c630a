"""Of imaging bad input: imaging bad data."""

import pytest
import torch
from refusals import INF, NAN, cases, ones, refused, spoilt
from shared_imaging_bad_input import COMPLEX, EMPTY, LIST, ONE_BAD, PHI, WHOLE, A

from dunfold_lib import training
from dunfold_lib.imaging import ISTANet, ISTANetPlus, data, evaluation, fast, symmetric_loss
from dunfold_lib.imaging import training as imaging_training
from dunfold_lib.operators import Fourier, Matrix

# data: sensing, masks, patches, covariance


@cases(
    (20, ValueError, "ratio is 20; it must be one of 1, 4, 10, 25, 30, 40, 50 per cent"),
    (0.25, TypeError, "ratio is 0.25; it must be a whole number"),
    (-1, ValueError, "ratio is -1; it must be one of .* per cent"),
    ("25", TypeError, "ratio is '25'; it must be a whole number"),
    (None, TypeError, "ratio is None; it must be a whole number"),
)
def test_sensing_matrix_refuses(given, error, says):
    refused(lambda: data.sensing_matrix(given), error, says)


@cases(
    ((0, 32), ValueError, r"ratio is 0; it must be finite and in \(0, .*\]"),
    ((-5, 32), ValueError, r"ratio is -5; it must be finite and in \(0, .*\]"),
    ((101, 32), ValueError, r"ratio is 101; it must be finite and in \(0, .*\]"),
    ((NAN, 32), ValueError, r"ratio is nan; it must be finite and in \(0, .*\]"),
    (("20", 32), TypeError, "ratio is '20'; it must be a number"),
    ((20, 7), ValueError, "side is 7; it must be at least 8"),
    ((20, 32.0), TypeError, "side is 32.0; it must be a whole number"),
)
def test_radial_mask_refuses(given, error, says):
    refused(lambda: data.radial_mask(*given), error, says)


def test_a_share_that_spokes_cannot_reach_is_refused():
    """They end at half a side: the corners, 1 − π/4 of the square, are never measured."""
    refused(
        lambda: data.radial_mask(90, 32), ValueError, "ratio is 90; it must be finite and in .*"
    )


IMAGE = ones(1, 1, 9, 9)


@cases(
    (([], 5), ValueError, "no image holds a patch of 5×5; give larger images"),
    (([ones(1, 1, 4, 9)], 5), ValueError, "no image holds a patch of 5×5; give larger images"),
    (([IMAGE], 0), ValueError, "side is 0; it must be at least 1"),
    (([IMAGE], 5, 0), ValueError, "stride is 0; it must be at least 1"),
    (([IMAGE], 5, 1.5), TypeError, "stride is 1.5; it must be a whole number"),
    (([IMAGE[0, 0]], 5), ValueError, r".*\(9, 9\).*"),
    (([IMAGE.expand(1, 3, 9, 9)], 5), ValueError, r".*\(1, 3, 9, 9\).*"),
    (([IMAGE, [1.0]], 5), TypeError, f".* {LIST}"),
)
def test_patches_refuse(given, error, says):
    refused(lambda: data.patches(*given), error, says)


@cases(
    ([1.0], TypeError, f"cut {LIST}"),
    (ones(3, 1, 4, 4, dtype=torch.int64), TypeError, f"cut {WHOLE}"),
    (spoilt(ones(3, 1, 4, 4)), ValueError, f"cut {ONE_BAD}"),
    (ones(0, 1, 4, 4), ValueError, rf"cut has shape \(0, 1, 4, 4\); {EMPTY}"),
    (ones(3, 1, 4, 5), ValueError, r"cut has shape \(3, 1, 4, 5\); it must be .*"),
    (ones(4, 4), ValueError, r"cut has shape \(4, 4\); it must be .*"),
)
def test_covariance_refuses(given, error, says):
    refused(lambda: data.covariance(given), error, says)


@cases(
    (([1.0], ones(4, 4)), TypeError, f"Phi {LIST}"),
    ((ones(2, 4), [1.0]), TypeError, f"C {LIST}"),
    ((ones(2, 4, dtype=torch.int64), ones(4, 4)), TypeError, f"Phi {WHOLE}"),
    ((spoilt(ones(2, 4)), ones(4, 4)), ValueError, f"Phi {ONE_BAD}"),
    ((ones(2, 4), spoilt(ones(4, 4), INF)), ValueError, f"C {ONE_BAD}"),
    ((ones(2, 4), ones(4, 5)), ValueError, r"Phi and C have shapes \(2, 4\) and \(4, 5\); they .*"),
    ((ones(2, 4), ones(2, 2)), ValueError, r"Phi and C .* they must be \(m, n\) and \(n, n\)"),
    ((ones(4), ones(4, 4)), ValueError, r"Phi and C have shapes \(4,\) and \(4, 4\); they .*"),
    ((ones(), ones()), ValueError, r"Phi and C have shapes \(\) and \(\); they .*"),
)
def test_linear_start_refuses(given, error, says):
    refused(lambda: data.linear_start(*given), error, says)


@cases(
    ([1.0], TypeError, f"C {LIST}"),
    (ones(9, 8), ValueError, r"C has shape \(9, 8\); it must be .*"),
    (ones(8, 8), ValueError, r"C has shape \(8, 8\); it must be .*"),
    (ones(9), ValueError, r"C has shape \(9,\); it must be .*"),
    (spoilt(ones(9, 9)), ValueError, f"C {ONE_BAD}"),
)
def test_packed_refuses(given, error, says):
    refused(lambda: data.packed(given), error, says)


@cases(
    ((ones(7), 3), ValueError, r"numbers have shape \(7,\); it must be \(11,\)"),
    ((ones(11, 1), 3), ValueError, r"numbers have shape \(11, 1\); it must be \(11,\)"),
    ((ones(11), 4), ValueError, r"numbers have shape \(11,\); it must be .*"),
    (([1.0], 3), TypeError, f"numbers {LIST}"),
)
def test_unpacked_refuses(given, error, says):
    refused(lambda: data.unpacked(*given), error, says)


Q = PHI.T.contiguous()


KINDS = (ISTANet, ISTANetPlus)


kinds = pytest.mark.parametrize("Network", KINDS)


def net(Network=ISTANetPlus, A=A, Q=Q):
    return Network(A, 2, 2, Q).double()


@kinds
@cases(
    ((ones(5, 9),), TypeError, "A is a Tensor; it must be an operators.Linear"),
    ((Matrix(ones(3, 4)),), ValueError, r"A takes \(4,\); a network needs .* images \(1, h, w\)"),
    ((A, 0), ValueError, "K is 0; it must be at least 1"),
    ((A, 2.0), TypeError, "K is 2.0; it must be a whole number"),
    ((A, 2, 1), ValueError, "channels is 1; it must be at least 2"),
    ((A, 2, -3), ValueError, "channels is -3; it must be at least 2"),
    ((A, 2, "4"), TypeError, "channels is '4'; it must be a whole number"),
    ((A, 2, 4, [1.0]), TypeError, f"Q {LIST}"),
    ((A, 2, 4, spoilt(Q)), ValueError, f"Q {ONE_BAD}"),
    ((A, 2, 4, Q.long()), TypeError, f"Q {WHOLE}"),
    ((A, 2, 4, Q.T), ValueError, r"Q has shape \(5, 9\); it must be \(9, 5\), .*"),
    ((A, 2, 4, Q[:, :4]), ValueError, r"Q has shape \(9, 4\); it must be \(9, 5\), .*"),
)
def test_a_network_refuses(Network, given, error, says):
    refused(lambda: Network(*given), error, says)


FORWARDS = {
    "network": lambda b: net()(b),
    "iterates": lambda b: net(ISTANet).iterates(b),
    "transpose": lambda b: net(Q=None)(b),
    "loss": lambda b: symmetric_loss(net(), b, ones(2, 1, 3, 3)),
    "fast": lambda b: fast.estimate(net(), b),
    "fast, plain": lambda b: fast.estimate(net(ISTANet), b),
}


@pytest.mark.parametrize("run", FORWARDS.values(), ids=FORWARDS.keys())
@cases(
    (ones(5), ValueError, r"[br] has shape \(5,\); it must be \(batch, 5\)"),
    (ones(), ValueError, r"[br] has shape \(\); it must be \(batch, 5\)"),
    (ones(2, 4), ValueError, r"[br] has shape \(2, 4\); it must be \(batch, 5\)"),
    (ones(2, 1, 3, 3), ValueError, r"[br] has shape \(2, 1, 3, 3\); it must be \(batch, 5\)"),
    ([1.0], TypeError, f"[br] {LIST}"),
    (ones(2, 5, dtype=torch.int64), TypeError, f"[br] {WHOLE}"),
    (ones(2, 5) * 1j, TypeError, f"[br] {COMPLEX}"),
)
def test_a_measurement_that_is_none_is_refused(run, given, error, says):
    refused(lambda: run(given), error, says)


@kinds
def test_a_measurement_of_another_precision_is_refused(Network):
    says = r"b has dtype torch.float32; .*torch.float64.*"
    refused(lambda: net(Network)(ones(2, 5).float()), TypeError, says)
    slices = net(Network, Fourier(ones(3, 4)), None)
    refused(lambda: slices(ones(2, 2, 3, 4).float()), TypeError, says)


@kinds
def test_a_network_takes_the_precision_of_its_operator(Network):
    b = A(ones(2, 1, 3, 3))
    assert Network(A, 2, 2, Q)(b).dtype == torch.float64


@kinds
def test_a_truth_of_another_shape_is_refused(Network):
    b = A(ones(2, 1, 3, 3))
    for shape in ((2, 3, 3), (1, 1, 3, 3), (2, 9)):
        has = ", ".join(map(str, shape))
        says = rf"truth has shape \({has}\); it must be .*"
        refused(lambda shape=shape: symmetric_loss(net(Network), b, ones(*shape)), ValueError, says)


# images through a network

IMAGES = {
    "reconstruct": lambda x, A=A, Q=Q: fast.reconstruct(net(A=A, Q=Q), x),
    "image_phases": lambda x, A=A, Q=Q: list(fast.image_phases(net(A=A, Q=Q), x)),
}


through = pytest.mark.parametrize("run", IMAGES.values(), ids=IMAGES.keys())


@through
@cases(
    (ones(7, 7), ValueError, r"image has shape \(7, 7\); it must be \(batch, 1, height, width\)"),
    (ones(1, 3, 7, 7), ValueError, r"image has shape \(1, 3, 7, 7\); it must be .*"),
    (ones(1, 1, 0, 7), ValueError, r"image has shape \(1, 1, 0, 7\); .*"),
    (spoilt(ones(1, 1, 7, 7)), ValueError, f"image {ONE_BAD}"),
    (ones(1, 1, 7, 7, dtype=torch.int64), TypeError, f"image {WHOLE}"),
    ([[1.0]], TypeError, f"image {LIST}"),
)
def test_an_image_that_is_none_is_refused(run, given, error, says):
    refused(lambda: run(given), error, says)


@through
def test_a_slice_of_another_size_than_the_mask_is_refused(run):
    says = r"x has shape \(1, 1, 5, 4\); it must be \(batch, 1, 4, 5\)"
    refused(lambda: run(ones(1, 1, 5, 4), Fourier(ones(4, 5)), None), ValueError, says)


# runs


@cases(
    ({"steps": -1}, ValueError, "steps is -1; it must be at least 0"),
    ({"steps": 1.5}, TypeError, "steps is 1.5; it must be a whole number"),
    ({"batch": 0}, ValueError, "batch is 0; it must be at least 1"),
    ({"lr": 0.0}, ValueError, r"lr is 0; it must be finite and in \(0, inf\]"),
    ({"lr": NAN}, ValueError, "lr is nan; it must be finite .*"),
    ({"end": 2.0}, ValueError, r"end is 2; it must be finite and in \[0, 1\]"),
    ({"clip": -1.0}, ValueError, r"clip is -1; it must be finite and in \(0, inf\]"),
    ({"precision": "fp16"}, ValueError, "precision is 'fp16'; it must be 'no' or 'bf16'"),
    ({"symmetry": -1.0}, ValueError, r"symmetry is -1; it must be finite and in \[0, inf\]"),
    ({"symmetry": NAN}, ValueError, "symmetry is nan; it must be finite .*"),
)
def test_a_recipe_refuses(given, error, says):
    refused(lambda: imaging_training.Training(**given), error, says)


@cases(
    (
        (ISTANet, 25, imaging_training.Training(data="T92")),
        ValueError,
        "data is 'T92'; it must be .*",
    ),
    ((ISTANet, 26, imaging_training.Training()), ValueError, "ratio is 26; it must be one of .*"),
    (
        (ISTANet, 1, imaging_training.Training(phases=0)),
        ValueError,
        "K is 0; it must be at least 1",
    ),
    (
        (ISTANet, 1, imaging_training.Training(channels=1)),
        ValueError,
        "channels is 1; it must be at least 2",
    ),
)
def test_a_network_that_cannot_be_built_is_refused(given, error, says, monkeypatch):
    monkeypatch.setattr(data, "patches", lambda images, stride: ones(1, 1, 33, 33).float())
    imaging_training.training_set.cache_clear()
    monkeypatch.setattr(imaging_training, "patch_covariance", covariance)
    for build in (imaging_training.build, imaging_training.build_constrained):
        refused(lambda build=build: build(*given), error, says)
    imaging_training.training_set.cache_clear()


def covariance(name):
    """A covariance without images."""
    if name != "wheels":
        return data.covariance(imaging_training.training_set(name))
    return torch.eye(1089, dtype=torch.float64)


def test_a_mask_that_cannot_be_built_is_refused():
    says = r"ratio is 0; it must be finite and in \(0, .*\]"
    refused(
        lambda: imaging_training.build_mri(ISTANet, 0, imaging_training.Training()),
        ValueError,
        says,
    )


def test_batches_of_images_that_do_not_exist_are_refused():
    says = "data is 'tail'; it must be .*"
    refused(
        lambda: imaging_training.sampler(imaging_training.Training(data="tail")), ValueError, says
    )


@cases(
    (-0.1, ValueError, r"share is -0.1; it must be finite and in \[0, 1\]"),
    (1.5, ValueError, r"share is 1.5; it must be finite and in \[0, 1\]"),
    (NAN, ValueError, r"share is nan; it must be finite and in \[0, 1\]"),
    ("half", TypeError, "share is 'half'; it must be a number"),
)
def test_shorter_refuses(given, error, says):
    refused(lambda: training.shorter(imaging_training.Training(), given), error, says)


@cases(
    ((ones(1, 1, 8, 8), ones(1, 1, 8, 9)), ValueError, "estimate and truth have shapes .*"),
    ((spoilt(ones(1, 1, 8, 8)), ones(1, 1, 8, 8)), ValueError, f"estimate {ONE_BAD}"),
    ((ones(1, 1, 5, 8), 0 * ones(1, 1, 5, 8)), ValueError, r"truth has shape \(5, 8\); .* from 7"),
)
def test_a_score_refuses(given, error, says):
    refused(lambda: evaluation.score(*given), error, says)


def test_tests_on_a_folder_that_is_none_are_refused(tmp_path):
    for tests in (evaluation.block_tests, evaluation.mri_tests):
        says = ".*gone is no folder; it must be a folder of images"
        refused(lambda tests=tests: tests(tmp_path / "gone"), ValueError, says)
