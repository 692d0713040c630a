"""Every public door of `hyperspectral` refuses what it cannot use in one line."""

import pytest
from refusals import INF, NAN, cases, ones, refused, spoilt
from shared_hyperspectral_bad_input import CUBE, ONE_BAD

from dunfold_lib.hyperspectral import baselines
from dunfold_lib.hyperspectral.algorithm import Star, star, star_s
from dunfold_lib.hyperspectral.fast import denoise
from dunfold_lib.hyperspectral.lowrank import (
    band_noise,
    basis,
    medians,
    noise_level,
    procrustes,
    rank,
    subspace,
    svt,
)
from dunfold_lib.hyperspectral.model import (
    Noisy,
    SMDSNet,
    STARNet,
    STARNetPaper,
    STARNetS,
    as_sweeps,
    measured,
)
from dunfold_lib.hyperspectral.patches import Patches, dct

NETWORKS = (SMDSNet, STARNet, STARNetS, STARNetPaper)


# cubes

DOORS = {
    "star": lambda Y: star(Y, 0.1),
    "star_s": lambda Y: star_s(Y, 0.1),
    "denoise": lambda Y: denoise(STARNet(), Y, 0.1),
    "blind": lambda Y: denoise(STARNet(), Y),
    "measured": lambda Y: measured(Y, 0.1, 3),
    "subspace": lambda Y: subspace(Y, 3),
    "medians": lambda Y: medians(Y, 3),
    "basis": lambda Y: basis(Y, 3),
    "rank": lambda Y: rank(Y, 0.1),
    "band_noise": band_noise,
    "noise_level": noise_level,
    "pca": lambda Y: baselines.pca(Y, 0.1),
    "subspace_denoiser": lambda Y: baselines.subspace_denoiser(Y, 0.1),
    "lrtdtv": lambda Y: baselines.lrtdtv(Y, 0.1),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
@cases(
    (spoilt(CUBE), ValueError, f"Y {ONE_BAD}"),
    (spoilt(CUBE, INF), ValueError, f"Y {ONE_BAD}"),
    (CUBE.long(), TypeError, "Y has dtype torch.int64; it must be a real floating-point tensor"),
    (CUBE.numpy(), TypeError, "Y is a ndarray; it must be a torch.Tensor"),
    (CUBE[..., :0], ValueError, r"Y has shape \(1, 6, 12, 0\); it must not be empty"),
)
def test_a_cube_that_is_none_is_refused(door, given, error, says):
    refused(lambda: door(given), error, says)


@pytest.mark.parametrize("name", [n for n in DOORS if n != "medians"])
def test_a_cube_of_three_axes_is_refused(name):
    says = r"Y has shape \(6, 12, 12\); it must be (\(batch, B, H, W\)|one cube .*)"
    refused(lambda: DOORS[name](CUBE[0]), ValueError, says)


@cases(
    (0.0, ValueError, "sigma must be finite and above 0; .*"),
    (-1.0, ValueError, "sigma must be finite and above 0; .*"),
    (NAN, ValueError, "sigma must be finite and above 0; .*"),
    (ones(2, 1, 1, 1), ValueError, r"sigma has shape \(2, 1, 1, 1\); it must be \(1, 1, 1, 1\)"),
)
def test_a_noise_level_that_is_none_is_refused(given, error, says):
    for door in (lambda: star(CUBE, given), lambda: denoise(STARNet(), CUBE, given)):
        refused(door, error, says)


@cases(
    (lambda: subspace(CUBE, 7), ValueError, "r is 7; the cube has 6 bands"),
    (lambda: subspace(CUBE, 0), ValueError, "r is 0; it must be at least 1"),
    (lambda: subspace(CUBE, 3, -1), ValueError, "window is -1; it must be at least 0"),
    (lambda: medians(CUBE, 4), ValueError, r"window is 4 and Y has shape .*; it must be odd, .*"),
    (lambda: medians(CUBE, 25), ValueError, r"window is 25 and Y has shape .*"),
    (lambda: rank(CUBE, 0.0), ValueError, "sigma must be above 0; .*"),
    (
        lambda: band_noise(ones(1, 9, 3, 3)),
        ValueError,
        "Y has 9 pixels and 9 bands; it must have more pixels",
    ),
    (lambda: star(CUBE, 1.0, sweeps=-1), ValueError, "sweeps is -1; it must be at least 0"),
    (
        lambda: star(ones(1, 6, 12, 5), 1.0, r=3),
        ValueError,
        r"the image is \(12, 5\); both sides must be at least 9",
    ),
    (lambda: Patches(0), ValueError, "side is 0; it must be at least 1"),
    (lambda: Patches(9, 0), ValueError, "stride is 0; it must be at least 1"),
    (lambda: Patches(4, 5), ValueError, "stride is 5; patches of 4 allow 4"),
    (lambda: Patches(3)(ones(2, 2)), ValueError, r"G has shape \(2, 2\); it must be .*"),
    (lambda: dct(0), ValueError, "n is 0; it must be at least 1"),
    (lambda: svt(ones(3), 1.0), ValueError, r"X has shape \(3,\); it must be \(…, r, q\)"),
    (lambda: svt(ones(2, 3), -1.0), ValueError, r"tau is -1; it must be finite and in \[0, inf\]"),
    (lambda: svt([1.0], 1.0), TypeError, "X is a list; it must be a torch.Tensor"),
    (
        lambda: procrustes(ones(2, 3)),
        ValueError,
        r"M has shape \(2, 3\); it must be \(…, B, r\) with r at most B",
    ),
    (lambda: Star(lam=0.0), ValueError, r"lam is 0; it must be finite and in \(0, inf\]"),
    (lambda: Star(gamma1=-1.0), ValueError, r"gamma1 is -1; it must be finite and in \[0, inf\]"),
    (lambda: Star(gamma2=1.0), ValueError, "gamma2 is 1 and beta 0; it needs beta above 0"),
    (lambda: Star(mu=NAN), ValueError, r"mu is nan; it must be finite and in \[0, inf\]"),
    (lambda: Star(stride=10), ValueError, "stride is 10; patches of 9 allow 9"),
)
def test_a_method_refuses(given, error, says):
    refused(given, error, says)


# networks


@pytest.mark.parametrize("kind", NETWORKS)
@cases(
    (CUBE, TypeError, r"b is a Tensor; it must be a hyperspectral.Noisy\(Y, A\)"),
    (Noisy(CUBE[0], CUBE), ValueError, r"Y has shape \(6, 12, 12\); it must be .*"),
    (Noisy(CUBE.long(), CUBE), TypeError, "Y has dtype torch.int64; .*"),
    (
        Noisy(CUBE, ones(1, 6, 4)),
        ValueError,
        r"A has shape \(1, 6, 4\); it must be \(batch, 6, 9\)",
    ),
    (
        Noisy(CUBE, ones(2, 6, 9)),
        ValueError,
        "A has 2 rows of torch.float64; Y has 1 rows of torch.float64",
    ),
    (
        Noisy(CUBE, ones(1, 6, 9).float()),
        TypeError,
        "A has dtype torch.float32; Y has torch.float64: one for all",
    ),
)
def test_a_network_refuses_what_is_no_measurement(kind, given, error, says):
    refused(lambda: kind()(given), error, says)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_that_cannot_be_built_is_refused(kind):
    refused(lambda: kind(K=0), ValueError, "K is 0; it must be at least 1")
    refused(lambda: kind(side=0), ValueError, "side is 0; it must be at least 1")
    refused(lambda: kind(r=1.5), TypeError, "r is 1.5; it must be a whole number")
    refused(lambda: kind(stride=10), ValueError, "stride is 10; patches of 9 allow 9")
    if kind is not SMDSNet:
        says = "procrustes is 7; the network has 6 layers"
        refused(lambda: kind(K=6, procrustes=7), ValueError, says)
        refused(lambda: kind(procrustes=-1), ValueError, "procrustes is -1; it must be at least 0")


def test_thresholds_are_of_a_layer_or_an_atom():
    says = "thresholds is 'band'; it must be 'layer' or 'atom'"
    for kind in (SMDSNet, STARNet, STARNetS):
        refused(lambda kind=kind: kind(thresholds="band"), ValueError, says)


def test_networks_that_are_no_sweeps_say_so():
    says = "the network has no sweep: it needs one θ a layer and a share α < 1"
    for net in (SMDSNet(thresholds="layer"), STARNet(thresholds="atom"), STARNet(blend=False)):
        refused(lambda net=net: as_sweeps(net), ValueError, says)
