"""Readers' own files: bit depths, masks, sizes, names, caches, cubes, damaged files.

The values of ``cv2.resize`` were recorded with opencv-python-headless 4.14.0; 5.0.0 gives the same.
"""

import hashlib
import importlib.util
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused
from scipy.io import savemat

from dunfold_lib import cubes, fetch, images
from dunfold_lib.__main__ import main
from dunfold_lib.hyperspectral import evaluation as hsi_evaluation
from dunfold_lib.hyperspectral import readers as hsi_folders
from dunfold_lib.imaging import data as imaging_data
from dunfold_lib.imaging import evaluation as imaging_evaluation
from dunfold_lib.newton_sr import data as sr_data
from dunfold_lib.small_target import LRPCANet, evaluation, readers, scores, training
from dunfold_lib.small_target import data as target_data

TOOLS = Path(__file__).parents[1] / "tools"
G = np.random.default_rng(0)
GREY = G.integers(0, 256, (12, 15), dtype=np.uint8)
DEEP = G.integers(0, 2**16, (12, 15, 4), dtype=np.uint16)


def save(path, a, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = a if isinstance(a, Image.Image) else Image.fromarray(a)
    picture.save(path, **options)
    return path


def png(path, a, colours):
    """A PNG of 16 bit, written by hand: Pillow writes no colour of 16 bit."""
    h, w = a.shape[:2]
    rows = a.astype(">u2").tobytes()
    n = len(rows) // h
    part = lambda kind, b: (
        struct.pack(">I", len(b)) + kind + b + struct.pack(">I", zlib.crc32(kind + b))
    )
    head = part(b"IHDR", struct.pack(">IIBBBBB", w, h, 16, colours, 0, 0, 0))
    body = part(b"IDAT", zlib.compress(b"".join(b"\0" + rows[i * n : i * n + n] for i in range(h))))
    path.write_bytes(images.PNG + head + body + part(b"IEND", b""))
    return path


# depths


@pytest.mark.parametrize("colours, channels", [(0, 1), (4, 2), (2, 3), (6, 4)])
def test_sixteen_bits_of_a_png_are_all_read_with_colour_or_alpha(tmp_path, colours, channels):
    path = png(tmp_path / "a.png", DEEP[..., :channels].squeeze(), colours)
    expected = DEEP[..., :3] if channels > 2 else DEEP[..., 0]
    assert np.array_equal(images.read(path).values, expected)


def test_whole_numbers_of_a_tiff_keep_their_order_sign_and_range(tmp_path):
    for dtype in ("<u2", ">u2"):
        raw = DEEP[..., 0].astype(dtype)
        mode = "I;16" if dtype[0] == "<" else "I;16B"
        picture = Image.frombytes(mode, raw.shape[::-1], raw.tobytes())
        path = save(tmp_path / f"{mode[-1]}.tif", picture)
        assert np.array_equal(images.read(path).values, raw)
    a = np.array([[-5, 70000]], dtype=np.int32)
    assert images.read(save(tmp_path / "i.tif", a)).values.tolist() == [[-5, 70000]]


def test_orientation_is_followed_and_several_images_are_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    path = save(tmp_path / "a.png", GREY, exif=exif)
    assert np.array_equal(images.read(path).values, np.rot90(GREY, -1))
    two = [Image.fromarray(GREY)] * 2
    two[0].save(tmp_path / "b.tif", save_all=True, append_images=two[1:])
    says = r".*b\.tif: cannot be read \(it holds 2 images; .*\)"
    refused(lambda: images.read(tmp_path / "b.tif"), ValueError, says)


@pytest.mark.parametrize(
    "a, depth",
    [
        (GREY.astype(np.uint16) * 257, "16 bit, over 65535"),
        (GREY.astype(np.uint16) * 16, "12 bit, over 4095"),
        (GREY.astype(np.uint16) * 64, "14 bit, over 16383"),
        (GREY.astype(np.uint16), "8 bit, over 255"),
        (GREY.astype(np.int32) * 257, "16 bit, over 65535"),
        (GREY.astype(np.float32), "8 bit, over 255"),
        (GREY / np.float32(255), "floating point in [0, 1]"),
    ],
    ids=["16", "12 in 16", "14 in 16", "8 in 16", "32 int", "whole float", "float"],
)
def test_a_frame_of_any_depth_is_its_twin_of_8_bit(tmp_path, a, depth):
    stored = images.read(save(tmp_path / "a.tif", a))
    scale = images.scale([stored], "a", stretch=True)
    assert depth in scale.said
    assert np.abs(images.as_bytes(stored, scale).astype(int) - GREY).max() <= 1


def test_what_has_no_white_is_stretched_for_frames_and_refused_for_photographs(tmp_path):
    kelvin = save(tmp_path / "k.tif", 290 + 20 * (GREY / np.float32(255)))
    centi = save(tmp_path / "c.tif", (29000 + 10 * GREY.astype(np.uint16)))
    for path in (kelvin, centi):
        stored = images.read(path)
        scale = images.scale([stored], "a", stretch=True)
        assert "stretched" in scale.said
        made = images.as_bytes(stored, scale)
        assert (made.min(), made.max()) == (0, 255)
    refused(lambda: imaging_data.read_image(kelvin), ValueError, r".*k\.tif holds values from .*")
    flat = [images.Stored(np.full((3, 3), 300.5), 0.0, "flat")]
    refused(lambda: images.scale(flat, "flat", stretch=True), ValueError, "flat holds values .*")


def test_one_scale_serves_a_folder(tmp_path):
    save(tmp_path / "dark.png", np.full((4, 4), 500, np.uint16))
    save(tmp_path / "light.png", np.full((4, 4), 4000, np.uint16))
    found = imaging_data.read_folder(tmp_path)
    assert found["dark"].unique().tolist() == pytest.approx([500 / 4095])
    assert "taken as 12 bit, over 4095" in found.said


# masks


TRUTH = np.zeros((12, 15), np.uint8)
TRUTH[2:4, 3:6] = 1


def in_colour(rgb):
    return TRUTH[..., None] * np.array(rgb, np.uint8)


@pytest.mark.parametrize(
    "a",
    [
        *(TRUTH * v for v in (1, 2, 100, 127, 255)),
        TRUTH.astype(np.uint16) * 257,
        in_colour((255, 0, 0)),
        in_colour((0, 0, 255)),
        TRUTH > 0,
    ],
    ids=["1", "2", "100", "127", "255", "16 bit", "red", "blue", "bool"],
)
def test_a_mask_keeps_its_targets_whatever_their_value(tmp_path, a):
    assert np.array_equal(images.mask(save(tmp_path / "a.png", a)), TRUTH > 0)


def test_labels_and_numbers_of_a_palette_are_targets_and_soft_edges_are_cut_at_half(tmp_path):
    both = TRUTH.copy()
    both[8:10, 9:11] = 2
    both[8:10, 2] = 3
    assert np.array_equal(images.mask(save(tmp_path / "l.png", both)), both > 0)
    picture = Image.frombytes("P", (15, 12), both.tobytes())
    picture.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    assert np.array_equal(images.mask(save(tmp_path / "p.png", picture)), both > 0)
    soft = np.array([[0, 60, 127, 128, 255]], np.uint8)
    assert images.mask(save(tmp_path / "s.png", soft)).tolist() == [[False] * 3 + [True] * 2]


def a_set(root, a, mask, count=3):
    for i in range(count):
        save(root / "images" / f"f{i}.png", a)
        save(root / "masks" / f"f{i}.png", mask)
    return root


def test_a_transposed_mask_is_refused_before_resizing(tmp_path):
    a_set(tmp_path, GREY, TRUTH.T * 255)
    says = r"f0: image and mask have sizes \(12, 15\) and \(15, 12\); .*"
    refused(lambda: readers.read_folder(tmp_path, side=8), ValueError, says)


# evaluate --data


def evaluated(capsys, *words):
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def speck(size=(512, 640)):
    """A frame with one bright target of 3×3, and its mask."""
    frame, mask = np.full(size, 80, np.uint8), np.zeros(size, np.uint8)
    frame[::2] += 3
    frame[101:104, 203:206], mask[101:104, 203:206] = 250, 255
    return frame, mask


def test_vanished_targets_are_counted_and_the_native_size_loses_none(tmp_path, capsys):
    frame, mask = speck()
    a_set(tmp_path, frame, mask)
    call = ("small_target/top-hat-sirst", "--data", tmp_path)
    made = evaluated(capsys, *call, "--side", 64)
    assert "3 of 3 targets vanished by resizing to 64×64" in made["notes"][0]
    assert {"pd", "iou"} <= set(made["absent"])
    made = evaluated(capsys, *call, "--side", "native")
    assert made["notes"] == []
    assert made["scores"]["pd"] == 100
    assert f"data: {tmp_path}; 3 frames, 512×640 pixels, 8 bit" in made["protocol"]
    assert "not resized" in made["protocol"]
    assert "SIRST v1" not in made["protocol"]
    for side in ("0", "-1", "x", ""):
        with pytest.raises(SystemExit):
            main(["evaluate", *map(str, call), "--side", side])
    assert main(["evaluate", "small_target/top-hat-sirst", "--side", "64"]) == 2


def test_frames_of_several_sizes_are_measured_at_their_own(tmp_path):
    for i, size in enumerate(((64, 80), (72, 60), (64, 80))):
        scene = target_data.synthetic(torch.Generator().manual_seed(i), 1, 96)
        cut = (slice(0, size[0]), slice(0, size[1]))
        save(tmp_path / "images" / f"{i}.png", scene.image[0, 0][cut].numpy())
        save(tmp_path / "masks" / f"{i}.png", scene.mask[0, 0][cut].numpy())
    found = evaluation.where("sirst", 0, tmp_path, 0)[""]
    assert sorted(f.image.shape for f in found.frames) == [(1, 1, 72, 60), (2, 1, 64, 80)]
    net = training.build(LRPCANet, training.Training(stages=1, width=4, neck=2, noise_layers=1))
    made = evaluation.measure("sirst", net, 0, tmp_path, 0)
    assert 0 <= made["auc"] <= 1


@pytest.mark.parametrize("deep", [np.uint16, np.float32])
def test_deep_frames_score_as_their_twins_of_8_bit(tmp_path, deep):
    frames = target_data.synthetic(torch.Generator().manual_seed(5), 4, 64)
    for name, image, mask in zip(frames.names, frames.image, frames.mask, strict=True):
        a = image[0].numpy()
        twin = a.astype(np.uint16) * 257 if deep is np.uint16 else a / np.float32(255)
        for kind, b in (("8", a), ("deep", twin)):
            save(tmp_path / kind / "images" / f"{name}.tif", b)
            save(tmp_path / kind / "masks" / f"{name}.png", mask[0].numpy())
    found = [
        evaluation.measure_method("sirst", "top-hat", None, 0, tmp_path / kind, 0)
        for kind in ("8", "deep")
    ]
    assert found[0]["iou"] == found[1]["iou"] > 0


def test_frames_without_a_target_have_false_alarms_alone(tmp_path):
    a_set(tmp_path, GREY.repeat(4, 0).repeat(4, 1), 0 * TRUTH.repeat(4, 0).repeat(4, 1))
    made = scores.scores_of([torch.zeros(4, 4, dtype=torch.bool)], [torch.zeros(4, 4) > 0], "")
    assert {k for k, v in made.items() if v is not None} == {"fa_1e-5", "fa_3px_1e-6"}
    net = training.build(LRPCANet, training.Training(stages=1, width=4, neck=2, noise_layers=1))
    made = evaluation.measure("sirst", net, 0, tmp_path)
    assert made["pd"] is made["auc"] is made["iou"] is None
    assert made["fa_1e-5"] >= 0


def test_one_item_without_a_score_is_named_and_the_others_are_scored(tmp_path):
    save(tmp_path / "photos/large.png", GREY.repeat(4, 0).repeat(4, 1))
    save(tmp_path / "photos/small.png", GREY[:3, :3])
    made = imaging_evaluation.mean_scores(
        lambda x: x, imaging_data.read_folder(tmp_path / "photos")
    )
    assert list(made["psnr_each"]) == ["large"]
    assert made["notes"][0] == "1 of 2 have no score"
    assert made["notes"][1].startswith("small is left out: image small: ")
    cube = G.uniform(0.1, 1, (16, 17, 4))
    (tmp_path / "cubes").mkdir()
    np.save(tmp_path / "cubes/large.npy", cube)
    np.save(tmp_path / "cubes/small.npy", cube[:8, :9])
    made = hsi_evaluation.white(lambda Y, sigma: Y, 0, tmp_path / "cubes")
    assert "psnr_10_large" in made
    assert not any("small" in k for k in made)
    assert "small is left out: " in made["notes"][1]
    assert "h × w, bands: 16 × 17, 4" in made["protocol"]


# names


def test_names_are_found_in_any_case_form_and_list(tmp_path):
    root = a_set(tmp_path / "a", GREY, TRUTH * 255, 2)
    (root / "images/f0.png").rename(root / "images/F0.PNG")
    (root / "images/f1.png").rename(root / "images/fu\u0308r.png")
    (root / "masks/f1.png").rename(root / "masks/f\u00fcr.png")
    for place in ("images", "masks"):
        (root / place / "._f0.png").write_bytes(b"macOS")
    text = "\ufefff0\r\nimages\\f\u00fcr.png\r\n"
    (root / "test.txt").write_bytes(text.encode())
    assert readers.read_folder(root, side=None).names == ("f0", "f\u00fcr")
    (root / "test.txt").unlink()
    assert readers.read_folder(root, side=None).names == ("F0", "f\u00fcr")
    assert list(imaging_data.read_folder(root / "images")) == ["F0", "fu\u0308r"]


def test_the_data_folder_may_be_quoted_and_must_be_there(tmp_path, monkeypatch):
    (tmp_path / "shelf/istd/SIRSTv1").mkdir(parents=True)
    right = tmp_path / "shelf"
    for text in (f" {right} ", f'"{right}"', f"'{right}'\n"):
        monkeypatch.setenv("DUNFOLD_DATA", text)
        assert fetch.folder("istd/SIRSTv1") == right / "istd/SIRSTv1"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DUNFOLD_DATA", "~/shelf")
    assert fetch.root() == right
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path / "gone"))
    refused(fetch.root, ValueError, "DUNFOLD_DATA is '.*gone'; there is no such folder")
    for wrong in (tmp_path, right / "istd"):
        monkeypatch.setenv("DUNFOLD_DATA", str(wrong))
        says = rf"DUNFOLD_DATA is .*; istd/SIRSTv1 lies in {right}: set it to that"
        refused(lambda: fetch.folder("istd/SIRSTv1"), ValueError, says)
    monkeypatch.setenv("DUNFOLD_DATA", "")
    assert fetch.folder("istd/SIRSTv1") is None


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


def test_a_tenth_below_zero_is_noise_and_more_is_no_data(tmp_path):
    a = np.full((4, 5, 3), 100.0, np.float32)
    for value, kind in ((-9.0, "noise"), (-20.0, "no data")):
        a[1, 2, 0] = value
        if kind == "noise":
            assert kept(tmp_path, "a.npy", a).values.min() == value
        else:
            refused(lambda: kept(tmp_path, "a.npy", a), ValueError, r".*no data: -20 and .*")


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
