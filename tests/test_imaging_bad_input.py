"""Every public door of chapter `imaging` refuses what it cannot use, in one line."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import INF, NAN, cases, ones, refused, spoilt
from shared_imaging import luminance
from shared_imaging_bad_input import COMPLEX, EMPTY, LIST, ONE_BAD, WHOLE

from dunfold_lib import fetch, metrics
from dunfold_lib.imaging import data
from dunfold_lib.operators import Blockwise, Fourier, Matrix, Sensing

SIZE = r"it must be \(height, width\), both from 1"


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


DOORS = {"sensing": BLOCK, "blockwise": Blockwise(BLOCK, (3, 5)), "fourier": Fourier(ones(3, 5))}


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
    refused(lambda: luminance(given), error, says)


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
    says = "data is 'T92'; it must be 'wheels', 'wheels-part' or 'T91'"
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
    monkeypatch.setattr(fetch, "import_module", missing)
    refused(data._head, ImportError, says)
