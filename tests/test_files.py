"""Readers' own files: bit depths, masks, sizes, names, caches, cubes, damaged files.

The values of ``cv2.resize`` were recorded with opencv-python-headless 4.14.0; 5.0.0 agrees.
"""

import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused
from shared_files import DEEP, GREY, TRUTH, G, a_set, save

from dunfold_lib import fetch, images
from dunfold_lib.__main__ import main
from dunfold_lib.hyperspectral import evaluation as hsi_evaluation
from dunfold_lib.imaging import data as imaging_data
from dunfold_lib.imaging import evaluation as imaging_evaluation
from dunfold_lib.small_target import LRPCANet, evaluation, readers, scores, training
from dunfold_lib.small_target import data as target_data


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
