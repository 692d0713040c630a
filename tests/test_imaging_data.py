"""Of imaging: data."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from shared_imaging import GREY, close, luminance, normal, uniform

from dunfold_lib.imaging import data
from dunfold_lib.imaging import training as imaging_training

SHADES = torch.tensor([[0.0, 0.2, 1.0], [0.4, 0.8, 0.6]])


COLOUR = np.stack([GREY, GREY[:, ::-1], GREY[::-1]], axis=2)


WEIGHTED = (COLOUR / 255.0) @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize(
    "pixels",
    [
        GREY,
        GREY.astype(np.uint16) * 257,
        SHADES.numpy(),
        SHADES.double().numpy(),
        SHADES.numpy()[..., None],
        np.stack([GREY] * 3, axis=2),
        np.stack([GREY, GREY, GREY, 0 * GREY], axis=2),
        SHADES.tolist(),
    ],
    ids=["uint8", "uint16", "float32", "float64", "one channel", "RGB", "RGBA", "list"],
)
def test_luminance_of_grey_pixels_is_their_share_of_white(pixels):
    x = luminance(pixels)
    assert x.shape == (1, 1, 2, 3)
    assert x.dtype == torch.float32
    close(x[0, 0], SHADES, 1e-7)
    assert float(x.max()) <= 1


def test_luminance_of_colours_is_weighted_and_alpha_left_out():
    close(luminance(COLOUR)[0, 0].double(), torch.from_numpy(WEIGHTED), 1e-7)
    alpha = np.concatenate([COLOUR, GREY[..., None]], axis=2)
    assert torch.equal(luminance(alpha), luminance(COLOUR))
    pure = np.eye(3, dtype=np.uint8)[None] * 255
    close(luminance(pure).flatten(), torch.tensor([0.299, 0.587, 0.114]), 1e-7)


def test_luminance_is_a_copy():
    pixels = SHADES.numpy().copy()
    pixels.setflags(write=False)
    x = luminance(pixels)
    x += 1
    assert pixels.max() == 1


def test_luminance_of_a_black_and_white_picture_is_0_and_1():
    assert luminance(GREY > 100).flatten().tolist() == [0, 0, 1, 1, 1, 1]


def palette(pixels, colours):
    """A picture whose pixels are numbers of colours."""
    picture = Image.frombytes("P", pixels.shape[::-1], pixels.tobytes())
    picture.putpalette(np.asarray(colours, dtype=np.uint8).flatten().tolist())
    return picture


RAMP = [[255 - i] * 3 for i in range(256)]  # grey, in reversed order


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".PNG", ".tiff"])
def test_a_grey_file_is_read_as_it_is(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(GREY).save(path)
    close(data.read_image(path)[0, 0], SHADES, 1e-7)


def test_a_palette_is_resolved(tmp_path):
    for name in ("grey.png", "grey.tif"):
        palette(255 - GREY, RAMP).save(tmp_path / name)
        close(data.read_image(tmp_path / name)[0, 0], SHADES, 1e-7)
    index = np.arange(6, dtype=np.uint8).reshape(2, 3)
    palette(index, COLOUR.reshape(6, 3)).save(tmp_path / "colour.png")
    found = data.read_image(tmp_path / "colour.png")[0, 0].double()
    close(found, torch.from_numpy(WEIGHTED), 1e-7)


def test_a_palette_with_transparent_colours_is_resolved_in_silence(tmp_path):
    palette(255 - GREY, RAMP).save(tmp_path / "a.png", transparency=bytes(range(256)))
    close(data.read_image(tmp_path / "a.png")[0, 0], SHADES, 1e-7)


def test_sixteen_bits_one_bit_and_floating_point_files_are_read(tmp_path):
    deep = GREY.astype(np.uint16) * 257 - (GREY > 0)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    Image.fromarray(deep.astype(np.int32)).save(tmp_path / "int.tif")
    for name in ("deep.png", "deep.tif", "int.tif"):
        found = data.read_image(tmp_path / name)[0, 0].double()
        close(found, torch.from_numpy(deep / 65535), 1e-7)
    Image.fromarray(GREY > 100).save(tmp_path / "bit.png")
    assert data.read_image(tmp_path / "bit.png").flatten().tolist() == [0, 0, 1, 1, 1, 1]
    Image.fromarray(SHADES.numpy()).save(tmp_path / "float.tif")
    assert torch.equal(data.read_image(tmp_path / "float.tif")[0, 0], SHADES)


def test_grey_with_alpha_loses_its_alpha(tmp_path):
    Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY)]).save(tmp_path / "a.png")
    close(data.read_image(tmp_path / "a.png")[0, 0], SHADES, 1e-7)


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    for name in ("c.png", "a.tif", "b.BMP"):
        Image.fromarray(GREY).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "more").mkdir()
    assert list(data.read_folder(tmp_path)) == ["a", "b", "c"]


def test_two_images_of_one_stem_are_two_images(tmp_path):
    for name in ("a.png", "a.tif"):
        Image.fromarray(GREY).save(tmp_path / name)
    assert len(data.read_folder(tmp_path)) == 2


def test_the_wheels_images_are_grey_in_0_to_1_and_no_test_image_is_trained_on():
    train, test = data.wheel_images("train"), data.wheel_images("test")
    assert tuple(train) == data.WHEEL_TRAIN
    assert tuple(test) == data.WHEEL_TEST == ("camera", "coffee")
    assert len(train) == 14
    assert not set(train) & set(test)
    for x in (*train.values(), *test.values()):
        assert x.shape[:2] == (1, 1)
        assert 0 <= float(x.min()) < float(x.max()) <= 1


def test_the_data_folder_is_the_one_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    assert data.data_folder("Set11") is None
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    assert data.data_folder("Set11") is None
    (tmp_path / "images/Set11").mkdir(parents=True)
    assert data.data_folder("Set11") == tmp_path / "images/Set11"


def test_head_slices_are_256_and_no_training_slice_touches_a_test_slice():
    pytest.importorskip("nilearn")
    train, test = data.head_slices("train"), data.head_slices("test")
    assert train.shape == (84, 1, 256, 256)
    assert test.shape == (12, 1, 256, 256)
    for x in (train, test):
        assert 0 <= float(x.min()) < float(x.max()) <= 1
        assert bool(x.flatten(1).any(1).all())
    sums = data._head().double().sum((0, 1))  # of each height: it tells which slice is which
    heights = [
        [int((sums - v).abs().argmin()) for v in x.double().sum((1, 2, 3))] for x in (train, test)
    ]
    assert len({*heights[0], *heights[1]}) == 96
    assert min(abs(u - v) for u in heights[0] for v in heights[1]) >= 2


# data: sensing, masks, patches, covariance


@pytest.mark.parametrize(
    "ratio, rows", [(1, 10), (4, 43), (10, 109), (25, 272), (30, 327), (40, 436), (50, 545)]
)
def test_a_sensing_matrix_has_the_papers_rows_and_they_are_orthonormal(ratio, rows):
    Phi = data.sensing_matrix(ratio)
    assert Phi.shape == (rows, 1089)
    assert Phi.dtype == torch.float32
    assert Phi.is_contiguous()
    close(Phi.double() @ Phi.double().T, torch.eye(rows, dtype=torch.float64), 2e-7)


def test_a_sensing_matrix_is_gram_and_schmidts_of_its_gaussian():
    rows = normal(1089, 545, seed=3).T[:10].clone()
    for i in range(10):
        for j in range(i):
            rows[i] -= (rows[j] @ rows[i]) * rows[j]
        rows[i] /= rows[i].norm()
    close(data.sensing_matrix(1, seed=3).double(), rows, 1e-8)


def test_a_lower_ratios_matrix_is_the_top_of_a_higher_ones_and_a_seed_names_it():
    low, high = data.sensing_matrix(4), data.sensing_matrix(30)
    assert torch.equal(low, high[:43])
    assert torch.equal(low, data.sensing_matrix(4, seed=0))
    assert not torch.equal(low, data.sensing_matrix(4, seed=1))
    assert 0.9 < float(low.square().mean() * 1089) < 1.1  # no row or pixel stands out
    assert float(low.abs().max()) < 6 / 33


@pytest.mark.parametrize("ratio", [5, 20, 30, 50.5, 75])
@pytest.mark.parametrize("side", [32, 33, 64])
def test_a_radial_mask_measures_its_share_and_the_zero_frequency(ratio, side):
    mask = data.radial_mask(ratio, side)
    assert mask.shape == (side, side)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert ratio / 100 <= float(mask.mean()) <= ratio / 100 + 2 / side
    assert mask[0, 0] == 1
    assert torch.equal(mask, mask.flip((0, 1)).roll((1, 1), (0, 1)))  # each with its opposite


def test_a_larger_radial_mask_holds_the_smaller():
    masks = [data.radial_mask(ratio, 32) for ratio in (1, 10, 20, 40)]
    for small, large in pairwise(masks):
        assert bool((small <= large).all())
    assert data.radial_mask(20).shape == (256, 256)


def test_the_first_spoke_of_a_radial_mask_lies_across_and_low_frequencies_come_first():
    assert bool(data.radial_mask(1e-6, 16)[0, :8].all())
    near = data.radial_mask(20, 64)
    assert near[:4, :4].mean() > 0.7 > 0.3 > near[20:30, 20:30].mean()


def test_patches_are_a_grid_over_each_image():
    big, small = uniform(1, 1, 12, 9), uniform(1, 1, 4, 30, seed=1)
    cut = data.patches([big, small], side=5, stride=3)
    grid = [big[0, 0, i : i + 5, j : j + 5] for i in (0, 3, 6) for j in (0, 3)]
    assert torch.equal(cut, torch.stack(grid)[:, None])  # none fits into the low image


def test_patches_of_the_papers_size_are_counted():
    rows, columns = (180 - 33) // 20 + 1, (264 - 33) // 20 + 1
    assert len(data.patches([torch.zeros(1, 1, 180, 264)])) == rows * columns == 8 * 12


def test_T91_gives_the_papers_88912_patches():
    if data.data_folder("T91") is None:
        pytest.skip("T91 is not here: DUNFOLD_DATA names no folder with images/T91")
    images = data.training_images("T91")
    assert len(images) == 91
    cut = data.patches([*images.values()], stride=imaging_training.STRIDE)
    assert len(cut) == 11_114
    assert 8 * len(cut) == 88_912


def test_turned_gives_the_eight_symmetries_of_the_square_and_they_form_a_group():
    x = torch.arange(9).reshape(3, 3)
    eight = [turn.flatten().tolist() for turn in (data.turned(x, k) for k in range(8))]
    assert len({tuple(v) for v in eight}) == 8
    assert eight[0] == x.flatten().tolist()
    for j in range(8):
        for k in range(8):
            assert data.turned(data.turned(x, j), k).flatten().tolist() in eight
    assert {tuple(v) for v in eight} == {
        tuple(np.rot90(m, k).flatten().tolist()) for m in (x.numpy(), x.numpy().T) for k in range(4)
    }
    many = uniform(2, 1, 3, 3)
    assert torch.equal(data.turned(many, 5)[1, 0], data.turned(many[1, 0], 5))


def augmented(cut):
    """Patches in all their 8 symmetries, as rows."""
    return torch.cat([data.turned(cut, k) for k in range(8)]).flatten(1).double()


def test_the_covariance_is_the_mean_over_patches_and_their_symmetries():
    cut = uniform(7, 1, 4, 4)
    X = augmented(cut)
    close(data.covariance(cut), X.T @ X / len(X), 1e-14)


def test_the_linear_start_is_explicit_least_squares_over_all_symmetries():
    cut, Phi = uniform(9, 1, 4, 4), normal(5, 16)
    X = augmented(cut).T
    Y = Phi @ X
    Q = data.linear_start(Phi, data.covariance(cut))
    assert Q.shape == (16, 5)
    close(Q, X @ Y.T @ torch.linalg.inv(Y @ Y.T), 1e-11)
    lost = lambda Q: float((X - Q @ Y).square().mean())
    for seed in range(5):
        assert lost(Q + 1e-3 * normal(16, 5, seed=seed)) > lost(Q)
    close(Phi @ Q, torch.eye(5, dtype=torch.float64), 1e-11)  # A Q b = b
    assert data.linear_start(Phi.float(), data.covariance(cut)).dtype == torch.float32


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
def test_a_covariance_survives_packing_and_only_its_different_numbers_are_kept(side):
    C = data.covariance(uniform(6, 1, side, side))
    numbers = data.packed(C)
    close(data.unpacked(numbers, side), C, 1e-15)
    classes, index = set(), torch.arange(side * side).reshape(side, side)
    turns = [data.turned(index, k).flatten().tolist() for k in range(8)]
    for i in range(side * side):
        for j in range(side * side):
            classes.add(frozenset(frozenset((t[i], t[j])) for t in turns))
    assert numbers.shape == (len(classes),)
    assert torch.equal(data.packed(data.unpacked(numbers, side)), numbers) or side > 1
