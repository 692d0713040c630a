"""Readers' own files: bit depths, masks, sizes, names, caches, cubes, damaged files: caches."""

import hashlib
import importlib.util
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused
from scipy.io import savemat
from shared_files import DEEP, GREY, TRUTH, G, a_set, save

from dunfold_lib import cubes, fetch, images
from dunfold_lib.hyperspectral import readers as hsi_folders
from dunfold_lib.imaging import data as imaging_data
from dunfold_lib.newton_sr import data as sr_data
from dunfold_lib.small_target import readers, training

TOOLS = Path(__file__).parents[1] / "tools"


# caches


def test_what_a_loader_hands_out_is_a_copy():
    for load in (
        lambda: imaging_data.wheel_images("test")["camera"],
        lambda: sr_data.motorcycle().truth,
        lambda: imaging_data.head_slices("test"),
    ):
        before = load().clone()
        x = load()
        x -= 1
        assert torch.equal(load(), before)


def test_a_mended_file_and_another_data_folder_are_seen(tmp_path, monkeypatch):
    root = a_set(tmp_path / "one/istd/SIRSTv1", GREY, TRUTH * 255)
    first = readers.read_folder(root, side=None)
    save(root / "masks/f0.png", 255 - TRUTH * 255)
    os.utime(root / "masks/f0.png", ns=(1, 1))
    second = readers.read_folder(root, side=None)
    assert torch.equal(second.mask[0], ~first.mask[0])
    other = a_set(tmp_path / "two/istd/SIRSTv1", 255 - GREY, TRUTH * 255)
    for place in (root, other):
        (place / "train.txt").write_text("f0\nf1\n")
    made = []
    for place in ("one", "two"):
        monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path / place))
        made.append(training.part("sirst", "train").image)
    assert not torch.equal(made[0], made[1])


# OpenCV's resize


RECORDED = [
    ((11, 7), (5, 4), "f9897d79a20785b4", "3fff8d58049c4a0a"),
    ((7, 11), (16, 16), "32286c9ff65224f9", "91ee4af33e6016a3"),
    ((512, 640), (256, 256), "9b2cc3bd264878ea", "11f6f196f2401d59"),
    ((220, 301), (256, 256), "496879a7adc0cfb5", "c6fcf43e16bd3db2"),
    ((1024, 1280), (256, 256), "676715166b07565b", "4754b8e02673caab"),
    ((480, 720), (256, 256), "94207e7036c554f2", "e0952db8f26ac7d2"),
]


@pytest.mark.parametrize("before, after, linear, nearest", RECORDED)
def test_images_are_resized_as_opencv_does_to_the_bit(before, after, linear, nearest):
    i, j = np.mgrid[: before[0], : before[1]]
    a = ((37 * i + 101 * j + i * j * j) % 256).astype(np.uint8)
    digest = lambda x: hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()[:16]
    assert digest(images.bilinear(a, after)) == linear
    assert digest(images.nearest(a, after)) == nearest
    if after == (16, 16):
        row = [6, 59, 129, 199, 117, 83, 153, 197, 180, 107, 151, 123, 62, 105, 168, 223]
        assert images.bilinear(a, after)[1].tolist() == row


# cubes


CUBE = G.integers(1, 4000, (20, 24, 5), dtype=np.uint16)


def kept(tmp_path, name, a, **more):
    if name.endswith(".npz"):
        np.savez(tmp_path / name, cube=a, **more)
    elif name.endswith(".mat"):
        savemat(tmp_path / name, {"cube": a, **more})
    else:
        np.save(tmp_path / name, a)
    return cubes.read(tmp_path / name)


def test_the_axis_of_the_bands_is_told_and_said(tmp_path):
    first = np.moveaxis(CUBE, 2, 0)
    for name, a in (("f.npy", first), ("l.npy", CUBE), ("f.mat", first), ("f.npz", first)):
        found = kept(tmp_path, name, a)
        assert np.array_equal(found.values, CUBE)
        assert found.said.startswith("h × w, bands: 20 × 24, 5 (bands ")
    square = G.integers(1, 9, (31, 12, 12), dtype=np.uint8)
    assert kept(tmp_path, "s.npy", square).values.shape == (12, 12, 31)
    assert kept(tmp_path, "p.npy", np.moveaxis(square, 0, 2)).values.shape == (12, 12, 31)
    waves = {"wavelengths": np.arange(24.0)}
    assert kept(tmp_path, "w.npz", CUBE, **waves).values.shape == (20, 5, 24)
    assert kept(tmp_path, "4.npy", first[None]).values.shape == (20, 24, 5)


def test_bands_by_pixels_are_folded_in_the_order_of_their_program(tmp_path):
    flat = CUBE.reshape(-1, 5, order="F").T  # MATLAB counts down the columns
    found = kept(tmp_path, "m.mat", flat, nRow=20, nCol=24)
    assert np.array_equal(found.values, CUBE)
    found = kept(tmp_path, "n.npz", CUBE.reshape(-1, 5), nRow=20, nCol=24)
    assert np.array_equal(found.values, CUBE)


@pytest.mark.parametrize("value", [-9999.0, float("nan"), -32768.0, float("inf"), 3.4e38])
def test_no_data_is_refused(tmp_path, value):
    a = CUBE.astype(np.float32)
    a[3, 4] = value
    says = r".*a\.npy holds NaN, infinity or no data: .*, 5 of 2400 values; .*"
    refused(lambda: kept(tmp_path, "a.npy", a), ValueError, says)
    refused(lambda: hsi_folders.read_folder(tmp_path), ValueError, says)


def test_full_scale_pixels_are_no_data_where_nothing_comes_near_them(tmp_path):
    a = CUBE.copy()
    a[0, 0] = 65535
    refused(lambda: kept(tmp_path, "a.npy", a), ValueError, r".*a\.npy holds .* 65535 and .*")
    a[1] = 60000
    assert kept(tmp_path, "a.npy", a).values.max() == 65535
    noisy = CUBE.astype(np.float32) - 30
    assert kept(tmp_path, "b.npy", noisy).values.min() < 0


def test_hdf5_without_matlabs_header_is_read_and_its_fill_value_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    for name in ("a.mat", "a.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["deep/cube"] = CUBE
        assert np.array_equal(cubes.read(tmp_path / name).values, CUBE)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["cube"] = CUBE
        file["cube"].attrs["_FillValue"] = CUBE[0, 0, 0]
    says = r".*b\.h5 holds NaN, infinity or no data: .*"
    refused(lambda: cubes.read(tmp_path / "b.h5"), ValueError, says)


def test_depth_in_millimetres_is_over_the_largest_of_its_folder(tmp_path):
    for i, most in enumerate((4000, 8000)):
        save(tmp_path / f"{i}_rgb.png", GREY)
        depth = np.full((12, 15), most, np.uint16)
        depth[0] = most // 2
        save(tmp_path / f"{i}_gt.png", depth)
    found = sr_data.read_pairs(tmp_path)
    assert found["1"].truth.unique().tolist() == [0.5, 1]
    assert found["0"].truth.unique().tolist() == [0.25, 0.5]
    assert "over its largest value in the folder, 8000" in found.said


# damaged files


def test_damaged_files_are_refused_in_one_line_that_names_them(tmp_path):
    spec = importlib.util.spec_from_file_location("fuzz_files", TOOLS / "fuzz_files.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.main(60) == []
    np.savez(tmp_path / "a.npz", x=CUBE)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    says = r".*a\.npy: cannot be read \(it is an archive of arrays; .*\)"
    refused(lambda: fetch.array(tmp_path / "a.npy"), ValueError, says)
    wrong = lambda path: (_ for _ in ()).throw(KeyError(path))
    assert tool.answer(wrong, Path("a")).startswith("KeyError")


# boundaries


def scaled(a, stretch=False):
    stored = [images.of_array(np.asarray(a), "a")]
    return images.scale(stored, "a", stretch=stretch)


def test_a_range_from_a_sixteenth_of_its_depth_on_is_left_as_it_is():
    deep = lambda low, high: np.array([[low, high]], np.uint16)
    assert "14 bit" in scaled(deep(15000, 16300), True).said  # 1300 of 16384 is above 1/16
    assert "stretched" in scaled(deep(15300, 16300), True).said  # 1000 is below


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_a_power_of_two_needs_one_bit_more_than_the_number_below_it(bits):
    below, at = (scaled(np.array([[1, 2**bits - k]], np.uint16)) for k in (1, 0))
    assert below.high == 2**bits - 1
    assert at.high == 2 ** (bits + 2) - 1


def test_deep_grey_is_rounded_to_bytes_and_colour_of_8_bit_is_pillows():
    deep = np.arange(0, 65536, 13, dtype=np.uint16)[None]
    stored = images.of_array(deep, "a")
    wanted = np.floor(deep / 257 + 0.5)  # 65535 = 255 · 257
    assert np.array_equal(images.as_bytes(stored, images.scale([stored], "a")), wanted)
    colour = G.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    stored = images.of_array(colour, "a")
    found = images.as_bytes(stored, images.scale([stored], "a"))
    assert np.array_equal(found, np.asarray(Image.fromarray(colour).convert("L")))


def test_a_mask_begins_at_half_and_labels_end_at_32(tmp_path):
    mask = lambda a: images.mask(save(tmp_path / "m.png", np.array([a], np.uint8)))[0].tolist()
    assert mask([0, 126, 127, 254]) == [False, False, True, True]
    assert all(mask(range(1, 33)))
    assert mask(range(1, 35)) == [2 * v >= 34 for v in range(1, 35)]


def test_white_at_zero_is_refused_where_pillow_would_not_turn_it(tmp_path):
    path = save(tmp_path / "a.tif", DEEP[..., 0])
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHI", 262, 3, 1))
    data[at + 8 : at + 10] = struct.pack("<H", 0)
    path.write_bytes(bytes(data))
    refused(lambda: images.read(path), ValueError, r".*a\.tif: .*white at 0; save it .*")


def test_the_first_axis_is_the_bands_only_where_it_is_at_most_half_of_the_others(tmp_path):
    a = G.integers(1, 9, (10, 15, 16), dtype=np.uint8)
    assert np.array_equal(kept(tmp_path, "a.npy", a).values, a)
    assert kept(tmp_path, "b.npy", a[:7]).values.shape == (15, 16, 7)


def test_a_tenth_below_zero_is_noise_and_more_by_itself_is_no_data(tmp_path):
    a = np.full((4, 5, 3), 100.0, np.float32)
    for value, kind in ((-9.0, "noise"), (-20.0, "no data")):
        a[1, 2, 0] = value
        if kind == "noise":
            assert kept(tmp_path, "a.npy", a).values.min() == value
        else:
            refused(lambda: kept(tmp_path, "a.npy", a), ValueError, r".*no data: -20 and .*")


def test_strong_noise_is_read_and_a_fill_value_under_it_is_not(tmp_path):
    a = 0.5 + 0.3 * np.random.default_rng(0).standard_normal((20, 24, 5))
    assert a.min() < -0.2 * a.max()
    assert np.array_equal(kept(tmp_path, "a.npy", a).values, a)
    a[3:5] = -1.0
    refused(lambda: kept(tmp_path, "a.npy", a), ValueError, r".*no data: -1 and .*, 240 of 2400 .*")


@pytest.mark.parametrize("value", [-99.0, -999.0, -9999.0, -32768.0])
def test_numbers_that_stand_for_nothing_are_refused_among_large_ones(tmp_path, value):
    a = np.full((4, 5, 3), 1e6, np.float32)
    a[1, 2, 0] = value
    refused(lambda: kept(tmp_path, "a.npy", a), ValueError, rf".*no data: {value:g} and .*")


def test_an_array_that_matlab_wrote_is_turned_whatever_heads_its_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = CUBE.T
        file["cube"].attrs["MATLAB_class"] = np.bytes_(b"uint16")
    assert np.array_equal(cubes.arrays(tmp_path / "a.h5")["cube"], CUBE)


def test_a_scene_beside_its_abundances_is_the_scene(tmp_path):
    flat = CUBE.reshape(-1, 5, order="F").T
    found = kept(tmp_path, "m.mat", flat, nRow=20, nCol=24, M=G.random((5, 3)))
    assert np.array_equal(found.values, CUBE)
    held = {"Y": flat, "A": G.random((5, 480)), "nRow": 20, "nCol": 24}
    savemat(tmp_path / "s.mat", held)
    assert np.array_equal(cubes.read(tmp_path / "s.mat").values, CUBE)


def test_a_file_of_the_same_size_written_later_is_another(tmp_path):
    path = tmp_path / "a.txt"
    load = fetch.cached(lambda p: [p])(lambda p: p.read_text())
    path.write_text("one")
    assert load(path) == "one"
    path.write_text("two")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    assert load(path) == "two"
