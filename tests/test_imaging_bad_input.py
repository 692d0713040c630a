"""Every public door of chapter `imaging` refuses what it cannot use, in one line."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import INF, NAN, cases, ones, refused, spoilt

from dunfold_lib import fetch, metrics, training
from dunfold_lib.imaging import ISTANet, ISTANetPlus, data, evaluation, fast, symmetric_loss
from dunfold_lib.imaging import training as imaging_training
from dunfold_lib.operators import Blockwise, Fourier, Matrix, Sensing

LIST = "is a list; it must be a torch.Tensor"
WHOLE = "has dtype torch.int64; it must be a real floating-point tensor"
COMPLEX = "has dtype torch.complex128; it must be a real floating-point tensor"
SIZE = r"it must be \(height, width\), both from 1"
ONE_BAD = "holds 1 NaN or infinite entries; all must be finite"
EMPTY = "it must not be empty"

# operators


@cases(
    ([[1.0]], TypeError, f"Phi {LIST}"),
    (ones(2, 4, dtype=torch.int64), TypeError, f"Phi {WHOLE}"),
    (ones(2, 4) * 1j, TypeError, f"Phi {COMPLEX}"),
    (spoilt(ones(2, 4)), ValueError, f"Phi {ONE_BAD}"),
    (ones(0, 4), ValueError, rf"Phi has shape \(0, 4\); {EMPTY}"),
    (ones(2, 5), ValueError, r"Phi has shape \(2, 5\); it must be \(m, n\) with n a square .*"),
    (ones(4), ValueError, r"Phi has shape \(4,\); it must be \(m, n\) with n a square number"),
    (ones(), ValueError, r"Phi has shape \(\); it must be \(m, n\) with n a square number"),
    (ones(2, 2, 4), ValueError, r"Phi has shape \(2, 2, 4\); it must be \(m, n\) .*"),
)
def test_sensing_refuses(given, error, says):
    refused(lambda: Sensing(given), error, says)


BLOCK = Sensing(ones(3, 4))


@cases(
    ((Matrix(ones(3, 4)), (4, 4)), TypeError, "block is a Matrix; it must be an operators.Sensing"),
    ((ones(3, 4), (4, 4)), TypeError, "block is a Tensor; it must be an operators.Sensing"),
    ((BLOCK, (4,)), ValueError, "size has 1 items; it must have 2"),
    ((BLOCK, (4, 0)), ValueError, rf"size is \(4, 0\); {SIZE}"),
    ((BLOCK, (-4, 4)), ValueError, rf"size is \(-4, 4\); {SIZE}"),
    ((BLOCK, (4.0, 4.0)), TypeError, r"size\[0\] is 4.0; it must be a whole number"),
    ((BLOCK, 4), TypeError, "size is 4; it must be a sequence of 2 items, .*"),
)
def test_blockwise_refuses(given, error, says):
    refused(lambda: Blockwise(*given), error, says)


@cases(
    ([[1.0]], TypeError, f"mask {LIST}"),
    (ones(2, 2, dtype=torch.int64), TypeError, f"mask {WHOLE}"),
    (spoilt(ones(2, 2)), ValueError, f"mask {ONE_BAD}"),
    (ones(2, 0), ValueError, rf"mask has shape \(2, 0\); {EMPTY}"),
    (ones(4), ValueError, r"mask has shape \(4,\); it must be 2-D and hold 0 and 1"),
    (spoilt(ones(2, 3), 0.5), ValueError, r"mask has .*\(2, 3\); it must be 2-D and hold 0 and 1"),
    (-ones(2, 3), ValueError, r"mask has .*\(2, 3\); it must be 2-D and hold 0 and 1"),
)
def test_fourier_refuses(given, error, says):
    refused(lambda: Fourier(given), error, says)


DOORS = {
    "sensing": BLOCK,
    "blockwise": Blockwise(BLOCK, (3, 5)),
    "fourier": Fourier(ones(3, 5)),
}
doors = pytest.mark.parametrize("A", DOORS.values(), ids=DOORS.keys())


@doors
def test_an_operator_refuses_rows_that_are_not_its_own(A):
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        wanted = ", ".join(map(str, shape))
        for given in ((7,), (1, 7), shape, (1, *shape, 1), (2, *shape[:-1], shape[-1] + 1)):
            has = ", ".join(map(str, given)) + ("," if len(given) == 1 else "")
            says = rf"[xr] has shape \({has}\); it must be \(batch, {wanted}\)"
            refused(lambda f=f, given=given: f(ones(*given)), ValueError, says)


@doors
def test_an_operator_refuses_a_list_and_numbers_that_are_not_real(A):
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        refused(lambda f=f: f([1.0]), TypeError, f"[xr] {LIST}")
        for dtype, says in ((torch.int64, WHOLE), (torch.complex128, COMPLEX)):
            given = ones(1, *shape, dtype=dtype)
            refused(lambda f=f, given=given: f(given), TypeError, f"[xr] {says}")


def test_split_and_join_refuse_what_is_no_image_and_no_whole_number_of_images():
    A = Blockwise(BLOCK, (3, 5))
    says = r"x has shape \(1, 1, 5, 3\); it must be \(batch, 1, 3, 5\)"
    refused(lambda: A.split(ones(1, 1, 5, 3)), ValueError, says)
    says = r"blocks has shape \(6, 1, 3, 2\); it must be \(batch, 1, 2, 2\)"
    refused(lambda: A.join(ones(6, 1, 3, 2)), ValueError, says)
    refused(lambda: A.join(ones(5, 1, 2, 2)), ValueError, r".*5.*6.*")


# metrics


@cases(
    (([1.0], ones(8, 8)), TypeError, f"estimate {LIST}"),
    ((ones(8, 8), ones(8, 8, dtype=torch.int64)), TypeError, f"truth {WHOLE}"),
    ((spoilt(ones(8, 8)), ones(8, 8)), ValueError, f"estimate {ONE_BAD}"),
    ((ones(8, 8), spoilt(ones(8, 8), INF)), ValueError, f"truth {ONE_BAD}"),
    (
        (ones(8, 8), ones(8, 9)),
        ValueError,
        r"estimate and truth have shapes \(8, 8\) and \(8, 9\).*",
    ),
    ((ones(0, 8), ones(0, 8)), ValueError, rf"estimate has shape \(0, 8\); {EMPTY}"),
    ((ones(6, 8), ones(6, 8)), ValueError, r"truth has shape \(6, 8\); it must be .* both from 7"),
    ((ones(1, 8, 8), ones(1, 8, 8)), ValueError, r"truth has shape \(1, 8, 8\); it must be .*"),
    ((ones(8, 8), ones(8, 8), 0), ValueError, r"peak is 0; it must be finite and in \(0, inf\]"),
    ((ones(8, 8), ones(8, 8), NAN), ValueError, "peak is nan; it must be finite .*"),
    ((ones(8, 8), ones(8, 8), "1"), TypeError, "peak is '1'; it must be a number"),
)
def test_ssim_refuses(given, error, says):
    refused(lambda: metrics.ssim(*given), error, says)


# data: images

CHANNELS = r"it must be \(height, width\), or with 1, 3 or 4 channels last"
DEPTH = "it must be 8 or 16 bit, or floating point"


@cases(
    (np.ones(4), ValueError, rf"image has shape \(4,\); {CHANNELS}"),
    (np.float32(1), ValueError, rf"image has shape \(\); {CHANNELS}"),
    (np.ones((4, 0)), ValueError, rf"image has shape \(4, 0\); {CHANNELS}"),
    (np.ones((4, 4, 2)), ValueError, rf"image has shape \(4, 4, 2\); {CHANNELS}"),
    (np.ones((1, 4, 4, 3)), ValueError, rf"image has shape \(1, 4, 4, 3\); {CHANNELS}"),
    (np.full((4, 4), 65536), ValueError, "image holds values from 65536 .* whole numbers .*"),
    (np.ones((4, 4)) * 1j, TypeError, f"image has dtype complex128; {DEPTH}"),
    (np.full((4, 4), "a"), TypeError, f"image has dtype <U1; {DEPTH}"),
    (np.full((4, 4), 25.5), ValueError, r"image holds values from 25.5 to 25.5; allowed: \[0, 1\]"),
    (np.full((4, 4), -0.1), ValueError, r"image holds values from -0.1 to -0.1; allowed: .*"),
    (np.full((4, 4), NAN), ValueError, r"image holds values from nan to nan; allowed: \[0, 1\]"),
    (np.array([[0.5, INF]]), ValueError, r"image holds values from 0.5 to inf; allowed: \[0, 1\]"),
)
def test_luminance_refuses(given, error, says):
    refused(lambda: data.luminance(given), error, says)


def unreadable(path):
    """The file is refused in one line that names it."""
    refused(lambda: data.read_image(path), ValueError, rf"{re.escape(str(path))}: .*")


def test_files_that_are_no_images_are_refused_by_name(tmp_path):
    for name, text in (("words.png", "no picture"), ("empty.tif", "")):
        (tmp_path / name).write_text(text)
        unreadable(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    unreadable(tmp_path / "folder.png")
    unreadable(tmp_path / "gone.png")
    unreadable(tmp_path / "no" / "where.png")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jpg"])
def test_images_cut_short_are_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    whole = path.read_bytes()
    for share in (0.01, 0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        unreadable(path)


def test_an_image_too_large_to_be_one_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "a.png")
    unreadable(tmp_path / "a.png")


def test_an_image_with_values_outside_is_refused_by_name(tmp_path):
    Image.fromarray(np.full((4, 4), 7.5, dtype=np.float32)).save(tmp_path / "a.tif")
    says = r".*a\.tif holds values from 7\.5 to 7\.5; allowed: \[0, 1\]"
    refused(lambda: data.read_image(tmp_path / "a.tif"), ValueError, says)


def test_a_folder_that_is_none_or_holds_none_or_something_else_is_refused(tmp_path):
    says = ".*gone is no folder; it must be a folder of images"
    refused(lambda: data.read_folder(tmp_path / "gone"), ValueError, says)
    (tmp_path / "notes.txt").write_text("words")
    says = r".* holds no image; allowed are \.png, \.bmp, \.tif, \.tiff, \.jpg, \.jpeg, \.pgm"
    refused(lambda: data.read_folder(tmp_path), ValueError, says)
    refused(lambda: data.read_folder(tmp_path / "notes.txt"), ValueError, ".*is no folder.*")
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("words")
    says = r".*b\.png: cannot be read \(.*"
    refused(lambda: data.read_folder(tmp_path), ValueError, says)


def test_images_that_are_not_here_are_refused(monkeypatch, tmp_path):
    for f in (data.wheel_images, data.head_slices):
        says = "part is 'all'; it must be 'train' or 'test'"
        refused(lambda f=f: f("all"), ValueError, says)
    says = "data is 'T92'; it must be 'wheels' or 'T91'"
    refused(lambda: data.training_images("T92"), ValueError, says)
    fresh = data.training_images.__wrapped__
    says = "T91 is not here: put it into images/T91 of the folder DUNFOLD_DATA names"
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv("DUNFOLD_DATA", folder)
        refused(lambda: fresh("T91"), ValueError, says)
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path / "gone"))
    refused(lambda: fresh("T91"), ValueError, "DUNFOLD_DATA is '.*gone'; there is no such folder")


def test_the_head_without_its_packages_is_refused(monkeypatch):
    says = r"the head volume needs nilearn: pip install 'dunfold-lib\[data\]'"
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    refused(data._head, ImportError, says)

    def missing(name):
        raise ImportError(name)

    monkeypatch.undo()
    monkeypatch.setattr(data, "import_module", missing)
    refused(data._head, ImportError, says)


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


# networks

PHI = torch.linalg.qr(torch.arange(45.0, dtype=torch.float64).reshape(9, 5).sin())[0].T  # (5, 9)
A = Sensing(PHI.contiguous())
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
