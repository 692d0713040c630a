"""Of hyperspectral bad input: hyperspectral bad data."""

import numpy as np
import torch
from PIL import Image
from refusals import NAN, cases, ones, refused, spoilt
from scipy.io import savemat
from shared_hyperspectral_bad_input import CUBE, ONE_BAD

from dunfold_lib import fetch, metrics
from dunfold_lib.hyperspectral import baselines, data, readers, scores, training
from dunfold_lib.hyperspectral.classify import classify, discriminant


def seeded():
    return torch.Generator().manual_seed(0)


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
