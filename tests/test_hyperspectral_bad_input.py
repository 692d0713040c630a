"""Every public door of `hyperspectral` refuses what it cannot use in one line."""

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import INF, NAN, cases, ones, refused, spoilt
from scipy.io import savemat

from dunfold_lib import fetch, metrics
from dunfold_lib.hyperspectral import baselines, data, readers, scores, training
from dunfold_lib.hyperspectral.algorithm import Star, star, star_s
from dunfold_lib.hyperspectral.classify import classify, discriminant
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

ONE_BAD = "holds 1 NaN or infinite entries; all must be finite"
CUBE = ones(1, 6, 12, 12)
NETWORKS = (SMDSNet, STARNet, STARNetS, STARNetPaper)


def seeded():
    return torch.Generator().manual_seed(0)


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


# noise and data


@cases(
    ({"sigma": -1.0}, ValueError, r"sigma is -1; it must be finite and in \[0, inf\]"),
    ({"sigma": NAN}, ValueError, r"sigma is nan; .*"),
    ({"varying": 1.0}, TypeError, "varying is 1.0; it must be True or False"),
    ({"impulse": 1.1}, ValueError, r"impulse is 1.1; it must be finite and in \[0, 1\]"),
    ({"stripes": -0.1}, ValueError, r"stripes is -0.1; it must be finite and in \[0, 1\]"),
    ({"dead": "all"}, TypeError, "dead is 'all'; it must be a number"),
    ({"bands": 2.0}, ValueError, r"bands is 2; it must be finite and in \[0, 1\]"),
)
def test_noise_refuses(given, error, says):
    refused(lambda: data.Noise(**given), error, says)


@cases(
    (lambda: data.Noise(1)(CUBE[0], seeded()), ValueError, r"truth has shape \(6, 12, 12\); .*"),
    (lambda: data.Noise(1)(spoilt(CUBE), seeded()), ValueError, f"truth {ONE_BAD}"),
    (lambda: data.part("all"), ValueError, "part is 'all'; it must be one of train, test, .*"),
    (lambda: data.synthetic(seeded(), (0, 3)), ValueError, r"size is \(0, 3\); it must be .*"),
    (lambda: data.synthetic(seeded(), bands=0), ValueError, "bands is 0; it must be at least 1"),
    (lambda: data.crops(CUBE, 1, 13, seeded()), ValueError, r"the cube .* holds no crop of 13×13"),
    (lambda: data.crops(CUBE, 1, 13, seeded()), ValueError, r"the cube .* holds no crop of 13×13"),
    (lambda: data.crops(CUBE, 0, 3, seeded()), ValueError, "batch is 0; it must be at least 1"),
    (
        lambda: data.scaled(np.ones((3, 3)), "mine"),
        ValueError,
        r"mine has shape \(3, 3\); it must be \(height, width, bands\)",
    ),
    (
        lambda: data.scaled(np.zeros((3, 3, 3)), "mine"),
        ValueError,
        "mine holds NaN, infinity or nothing above 0; it cannot be scaled",
    ),
    (
        lambda: data.scaled(np.full((3, 3, 3), NAN), "mine"),
        ValueError,
        "mine holds NaN, infinity or nothing above 0; it cannot be scaled",
    ),
    (
        lambda: data.scaled(np.ones((3, 3, 3), complex), "mine"),
        TypeError,
        "mine has dtype complex128; it must be whole or floating-point numbers",
    ),
)
def test_data_refuse(given, error, says):
    refused(given, error, says)


# files


def test_files_that_cannot_be_used_are_refused_in_one_line(tmp_path):
    read = readers.read_folder
    refused(lambda: read(tmp_path / "no"), ValueError, ".*no is no folder; it must hold cubes .*")
    refused(
        lambda: read(tmp_path),
        ValueError,
        r".* holds no cube; allowed are .mat, .npy, .npz, .h5, .hdf5",
    )
    refused(
        lambda: readers.read_cube(tmp_path / "a.png"), ValueError, ".*a.png is no cube; allowed .*"
    )
    for name in ("gone.mat", "gone.npy", "gone.npz"):
        says = rf".*{name}: cannot be read \(.*\)"
        refused(lambda name=name: readers.read_cube(tmp_path / name), ValueError, says)
    for name in ("bad.mat", "bad.npy", "bad.npz"):
        (tmp_path / name).write_bytes(b"nothing of the kind, but long enough to have a header" * 9)
        says = rf".*{name}: cannot be read \(.*\)"
        refused(lambda name=name: readers.read_cube(tmp_path / name), ValueError, says)
    (tmp_path / "cut.mat").write_bytes(b"MATLAB 7.3 MAT-file" + bytes(600))
    says = r".*cut.mat: cannot be read \(.*\)"
    refused(lambda: readers.read_cube(tmp_path / "cut.mat"), ValueError, says)


def test_files_without_one_cube_are_refused(tmp_path):
    savemat(tmp_path / "two.mat", {"a": np.ones((2, 3, 4)), "b": np.ones((2, 3, 4))})
    says = r".*two.mat holds the cubes a, b; it must hold one array \(h, w, bands\)"
    refused(lambda: readers.read_cube(tmp_path / "two.mat"), ValueError, says)
    np.save(tmp_path / "flat.npy", np.ones((2, 3)))
    says = ".*flat.npy holds the cubes none; .*"
    refused(lambda: readers.read_cube(tmp_path / "flat.npy"), ValueError, says)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    says = r".*objects.npy: cannot be read \(.*Python objects.*\)"
    refused(lambda: readers.read_cube(tmp_path / "objects.npy"), ValueError, says)


def test_cave_folders_that_cannot_be_used_are_refused(tmp_path):
    refused(lambda: readers.cave(tmp_path), ValueError, ".* holds no cube; it must hold .*")
    inner = tmp_path / "toy_ms"
    inner.mkdir()
    Image.fromarray(np.ones((4, 4), np.uint16)).save(inner / "toy_ms_01.png")
    says = ".*toy_ms holds 1 bands; it must hold 31"
    refused(lambda: readers.read_folder(tmp_path), ValueError, says)
    for band in range(1, 32):
        size = (4, 5) if band == 7 else (4, 4)
        Image.fromarray(np.ones(size, np.uint16)).save(inner / f"toy_ms_{band:02d}.png")
    says = ".*toy_ms: its bands have different sizes; they must be equal"
    refused(lambda: readers.read_folder(tmp_path), ValueError, says)
    (inner / "toy_ms_07.png").write_bytes(b"nothing")
    says = r".*toy_ms_07.png: cannot be read \(.*\)"
    refused(lambda: readers.read_folder(tmp_path), ValueError, says)


def test_a_matlab_file_without_h5py_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file" + bytes(600))

    def none(name):
        raise ImportError(name)

    monkeypatch.setattr(fetch, "import_module", none)
    says = r".*new.mat needs h5py: pip install 'dunfold-lib\[data\]'"
    refused(lambda: readers.read_cube(tmp_path / "new.mat"), ImportError, says)


def test_training_data_that_are_not_here_say_where_they_belong(monkeypatch):
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    says = "icvl is not here: put it into hsi/icvl of the folder DUNFOLD_DATA names"
    refused(lambda: training.training_set("icvl"), ValueError, says)


# runs


@cases(
    ({"data": "moon"}, ValueError, "data is 'moon'; it must be one of indian-pines-repaired, .*"),
    ({"loss": "l1"}, ValueError, "loss is 'l1'; it must be one of decibels, squared"),
    ({"thresholds": "x"}, ValueError, "thresholds is 'x'; it must be one of layer, atom"),
    ({"precision": "bf16"}, ValueError, "precision is 'bf16'; it must be one of no"),
    ({"low": 0.0}, ValueError, r"low is 0; it must be finite and in \(0, inf\]"),
    ({"high": 1.0}, ValueError, r"high is 1; it must be finite and in \[5, inf\]"),
    ({"draws": 0}, ValueError, "draws is 0; it must be at least 1"),
    ({"patch": 0}, ValueError, "patch is 0; it must be at least 1"),
    ({"layers": 0}, ValueError, "layers is 0; it must be at least 1"),
    ({"stride": 0}, ValueError, "stride is 0; it must be at least 1"),
    ({"steps": -1}, ValueError, "steps is -1; it must be at least 0"),
    ({"lr": 0.0}, ValueError, r"lr is 0; .*"),
)
def test_a_recipe_refuses(given, error, says):
    refused(lambda: training.Training(**given), error, says)


@cases(
    (lambda: scores.psnr(CUBE, CUBE[0]), ValueError, "estimate and truth have shapes .*"),
    (lambda: scores.psnr(spoilt(CUBE), CUBE), ValueError, f"estimate {ONE_BAD}"),
    (lambda: scores.ssim(CUBE[..., :9], CUBE[..., :9]), ValueError, r"truth is \(12, 9\); .* 11"),
    (
        lambda: metrics.ergas_mse_over_mean(CUBE, 0 * CUBE),
        ValueError,
        "truth has a band whose mean is not above 0; MSE/μ needs that",
    ),
    (lambda: metrics.ergas(CUBE, CUBE, 0.0), ValueError, "ratio is 0; .*"),
    (
        lambda: training.build(dict, training.Training()),
        TypeError,
        "kind is .*; it must be a network .*",
    ),
    (
        lambda: classify(CUBE, torch.ones(3, 3).long(), 0.1, seeded()),
        ValueError,
        r"cube and labels have shapes .*; they must be \(1, B, H, W\), \(H, W\)",
    ),
    (
        lambda: classify(CUBE, torch.zeros(12, 12).long(), 0.1, seeded()),
        ValueError,
        "labels leave no pixel to test on; .*",
    ),
    (
        lambda: classify(CUBE, torch.ones(12, 12).long(), 0.0, seeded()),
        ValueError,
        r"share is 0; it must be finite and in \(0, 1\]",
    ),
    (
        lambda: discriminant(ones(3, 2), torch.ones(3).long(), ones(3, 2), 0.0),
        ValueError,
        "ridge is 0; .*",
    ),
    (lambda: baselines.lrtdtv(CUBE, 0.1, steps=0), ValueError, "steps is 0; .*"),
    (lambda: baselines.lrtdtv(CUBE, -1.0), ValueError, "sigma is -1; .*"),
    (lambda: baselines.subspace_denoiser(CUBE, 0.1, most=0), ValueError, "most is 0; .*"),
)
def test_a_run_refuses(given, error, says):
    refused(given, error, says)
