"""Of small target: the symmetries of stored images, and the half pixel between image and mask."""

import numpy as np
import pytest
import torch
from shared_small_target import seeded, tiny_set, write

from dunfold_lib import load
from dunfold_lib.datasets import turned
from dunfold_lib.small_target import data, evaluation, readers, scores


def test_crops_without_turns_are_parts_of_their_image_as_it_stands():
    frames = data.synthetic(seeded(0), 1, 64)
    found = lambda whole, cut: any(whole.eq(cut).all((-2, -1)).flatten())
    whole = (frames.image[0, 0].float() / 255).unfold(0, 32, 1).unfold(1, 32, 1)
    upright = lambda turns: [
        found(whole, c) for c in data.crops(frames, 30, 32, seeded(1), 0.75, turns)[0]
    ]
    assert all(upright(False))
    assert 0 < sum(upright(True)) < 15


def test_symmetries_turn_an_image_before_it_is_resized(tmp_path):
    """Each of the eight is what a folder of turned files gives; turning afterwards is not that."""
    g = np.random.default_rng(0)
    image, mask = (g.integers(0, 256, (40, 56), dtype=np.uint8) for _ in range(2))
    mask = np.kron(mask[::4, ::4], np.ones((4, 4), np.uint8)) // 200 * 255
    square = lambda a, k: np.ascontiguousarray(turned(torch.from_numpy(a.copy()), k).numpy())
    for k in range(8):
        write(tmp_path / f"{k}" / "images", "x", square(image, k))
        write(tmp_path / f"{k}" / "masks", "x", square(mask, k))
    one = lambda k: readers.read_folder(tmp_path / f"{k}", side=25)
    made = readers.read_folder(tmp_path / "0", side=25, symmetries=True)
    assert made.names == ("x",) * 8
    for k in range(8):
        assert torch.equal(made.image[k : k + 1], one(k).image)
        assert torch.equal(made.mask[k : k + 1], one(k).mask)
    afterwards = [torch.equal(turned(made.mask[0], k), made.mask[k]) for k in range(8)]
    assert afterwards == [True, *[False] * 6, True]  # a transposed shift is itself
    groups = readers.groups(tmp_path / "0", side=25, symmetries=True)
    assert groups.said.endswith("(bilinear, masks nearest), each in 8 symmetries")


def test_targets_that_vanish_are_counted_once_whatever_the_symmetries(tmp_path):
    mask = np.zeros((40, 40), np.uint8)
    mask[1, 1] = mask[20:30, 20:30] = 255
    write(tmp_path / "images", "x", mask)
    write(tmp_path / "masks", "x", mask)
    for symmetries in (False, True):
        groups = readers.groups(tmp_path, side=20, symmetries=symmetries)
        assert groups.notes == ("1 of 2 targets vanished by resizing to 20×20",)


def test_symmetries_of_images_that_keep_their_size_are_refused(tmp_path):
    """They would be those of crops, in eight times the memory."""
    for folder in ("images", "masks"):
        write(tmp_path / folder, "x", np.full((16, 16), 255, np.uint8))
    for side in (16, None):
        with pytest.raises(ValueError, match="no image changes its size; symmetries are of those"):
            readers.read_folder(tmp_path, side=side, symmetries=True)
    with pytest.raises(ValueError, match="symmetries is 'crop'; it must be one of"):
        readers.read_folder(tmp_path, side=8, symmetries="crop")
    assert len(readers.read_folder(tmp_path, side=8, symmetries=True).names) == 8


def test_the_masks_of_the_protocol_lie_half_a_pixel_below_and_right_of_their_images(tmp_path):
    """Docstring of ``read_folder``, in each of the eight symmetries."""
    y, x = np.mgrid[:400, :300]
    spots = np.where(np.hypot(y - 180, x - 130) < 70, 255, 0).astype(np.uint8)
    write(tmp_path / "images", "x", spots)
    write(tmp_path / "masks", "x", spots)
    frames = readers.read_folder(tmp_path, side=128, symmetries=True)
    at = torch.arange(128.0)
    for image, mask in zip(frames.image[:, 0].double(), frames.mask[:, 0].double(), strict=True):
        middle = lambda x: torch.stack([x.sum(1 - d) @ at.double() for d in (0, 1)]) / x.sum()
        assert (middle(mask) - middle(image)).tolist() == pytest.approx([0.5, 0.5], abs=0.15)


def test_masks_without_the_shift_are_measured_against_the_protocols(tmp_path, monkeypatch):
    folder = tmp_path / "istd" / "SIRSTv1"
    tiny_set(folder, "sirst", size=(400, 300))
    for i, name in enumerate("abcd"):
        mask = np.zeros((400, 300), np.uint8)
        mask[150 : 158 + i, 100 + 7 * i : 110 + 8 * i] = 255
        write(folder / "masks", name, mask)
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    found = evaluation.measure_shift(None, 0)
    for part, ending in (("test", ""), ("val", "_val"), ("train", "_train")):
        theirs, straight = (
            readers.read_folder(folder, part, masks=masks).mask
            for masks in ("nearest", "nearest-exact")
        )
        assert found.pop(f"iou{ending}") == 100 * scores.iou(straight, theirs) < 90
    assert not found


def test_a_reader_gets_a_detector_that_marks_a_target_where_it_is():
    """Trained on masks half a pixel beside their images it would mark others."""
    frame = np.random.default_rng(0).integers(90, 100, (128, 160), np.uint8)
    frame[60:63, 80:83] = 190
    marked = np.argwhere(load("small_target/lrpcanet-sirst")(frame) > 0)
    assert marked.mean(0).tolist() == pytest.approx([61, 81], abs=0.1)
