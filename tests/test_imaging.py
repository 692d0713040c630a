"""Chapter `imaging`: its operators, images, networks, their fast twin, and how they are trained."""

import copy
import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import structural_similarity
from torch.func import functional_call
from torch.nn.functional import conv2d, pad
from torch.nn.utils import parametrize
from torch.testing import assert_close

from dunfold_lib import checkpoints, experiment, fetch, records, training
from dunfold_lib.__main__ import main
from dunfold_lib.imaging import data, evaluation, experiments, fast, model, published
from dunfold_lib.imaging import training as imaging_training
from dunfold_lib.imaging.baselines import wavelet_phase
from dunfold_lib.imaging.model import (
    ISTANet,
    ISTANetPlus,
    phases,
    start_quietly,
    symmetric_loss,
)
from dunfold_lib.metrics import psnr, ssim
from dunfold_lib.operators import Blockwise, Fourier, Mask, Sensing, norm
from dunfold_lib.prox import soft
from dunfold_lib.training import Context

SIDE = 5  # of the small blocks below
KINDS = (ISTANet, ISTANetPlus)
kinds = pytest.mark.parametrize("Network", KINDS)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(x, y, tolerance=1e-12):
    assert_close(x, y, rtol=0, atol=tolerance)


def bits(*shape, seed=0, share=0.5):
    """A mask of 0 and 1."""
    return (uniform(*shape, seed=seed) < share).double()


# operators: what holds for every one of them

BLOCK = normal(6, 16)
OPERATORS = {
    "sensing": lambda dtype: Sensing(normal(6, 25).to(dtype)),
    "sensing of one pixel": lambda dtype: Sensing(normal(1, 1).to(dtype)),
    "one block": lambda dtype: Blockwise(Sensing(BLOCK.to(dtype)), (4, 4)),
    "whole blocks": lambda dtype: Blockwise(Sensing(BLOCK.to(dtype)), (8, 12)),
    "cut blocks": lambda dtype: Blockwise(Sensing(BLOCK.to(dtype)), (6, 9)),
    "less than a block": lambda dtype: Blockwise(Sensing(BLOCK.to(dtype)), (3, 2)),
    "a strip": lambda dtype: Blockwise(Sensing(BLOCK.to(dtype)), (3, 9)),
    "radial frequencies": lambda dtype: Fourier(data.radial_mask(30, 8).to(dtype)),
    "any frequencies": lambda dtype: Fourier(bits(6, 7).to(dtype)),
    "half the frequencies": lambda dtype: Fourier(one_sided(5, 6).to(dtype)),
}
every = pytest.mark.parametrize("make", OPERATORS.values(), ids=OPERATORS.keys())


def one_sided(height, width):
    """A mask that holds no frequency together with its opposite, and none of its own opposite."""
    mask = torch.zeros(height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            opposite = (-y % height, -x % width)
            mask[y, x] = (y, x) != opposite and not mask[opposite]
    return mask


def dense(A):
    """The matrix of A, one column for each pixel."""
    units = torch.eye(math.prod(A.domain), dtype=torch.float64).reshape(-1, *A.domain)
    return A(units).flatten(1).T


@every
def test_T_is_the_adjoint(make):
    A = make(torch.float64)
    x, r = normal(5, *A.domain, seed=2), normal(5, *A.codomain, seed=3)
    Ax, Atr = A(x), A.T(r)
    left, right = (Ax * r).flatten(1).sum(1), (x * Atr).flatten(1).sum(1)
    size = Ax.flatten(1).norm(dim=1) * r.flatten(1).norm(dim=1)
    assert bool(((left - right).abs() <= 1e-12 * size).all())
    assert bool(Ax.any())


@every
def test_an_operator_is_linear(make):
    A = make(torch.float64)
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        x, y = normal(3, *shape, seed=2), normal(3, *shape, seed=3)
        close(f(2.5 * x - y), 2.5 * f(x) - f(y), 5e-14)


@every
def test_norm_is_the_largest_singular_value(make):
    A = make(torch.float64)
    assert norm(A) == pytest.approx(float(torch.linalg.svdvals(dense(A))[0]), rel=1e-12)


@every
def test_shapes_and_dtypes_are_those_of_the_operator(make):
    for dtype in (torch.float32, torch.float64):
        A = make(dtype)
        Ax, Atr = A(normal(3, *A.domain).to(dtype)), A.T(normal(3, *A.codomain).to(dtype))
        assert (Ax.shape, Atr.shape) == ((3, *A.codomain), (3, *A.domain))
        assert {Ax.dtype, Atr.dtype} == {dtype}


@every
def test_a_row_alone_is_the_row_in_a_batch(make):
    A = make(torch.float64)
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        x = normal(4, *shape, seed=2)
        close(f(x[2:3]), f(x)[2:3], 1e-14)


@every
def test_fixed_arrays_follow_to_double_and_are_not_saved(make):
    single = make(torch.float32)
    x = normal(2, *single.domain)
    before, after = single(x.float()), make(torch.float32).double()
    assert {b.dtype for b in after.buffers()} == {torch.float64}
    close(after(x), before.double(), 1e-5)
    assert after.state_dict() == {}
    assert list(after.parameters()) == []


@every
def test_a_deep_copy_is_the_same_operator_and_the_input_is_left_alone(make):
    A = make(torch.float64)
    for f, g, shape in (
        (A, copy.deepcopy(A), A.domain),
        (A.T, copy.deepcopy(A).T, A.codomain),
    ):
        x = normal(2, *shape)
        assert torch.equal(f(x), g(x))
        assert torch.equal(x, normal(2, *shape))


@every
def test_mixed_precision_leaves_an_operator_in_its_own(make):
    A = make(torch.float32)
    x, r = normal(3, *A.domain).float(), normal(3, *A.codomain).float()
    outside = A(x), A.T(r)
    with torch.autocast("cpu", torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16  # it is at work
        inside = A(x), A.T(r)
    for u, v in zip(outside, inside, strict=True):
        assert torch.equal(u, v)
        assert v.dtype == torch.float32


# operators: each against an independent source


def test_sensing_reads_the_pixels_row_by_row():
    Phi, x = normal(6, 9), normal(2, 1, 3, 3, seed=1)
    by_hand = [
        [sum(float(Phi[i, 3 * y + c] * x[s, 0, y, c]) for y in range(3) for c in range(3))]
        for s in range(2)
        for i in range(6)
    ]
    close(Sensing(Phi)(x), torch.tensor(by_hand, dtype=torch.float64).reshape(2, 6), 1e-14)


def test_sensing_keeps_its_own_copy():
    Phi = torch.ones(1, 4, dtype=torch.float64)
    A = Sensing(Phi)
    Phi.zero_()
    assert A(torch.ones(1, 1, 2, 2, dtype=torch.float64)).tolist() == [[4.0]]


@pytest.mark.parametrize("size", [(4, 4), (8, 12), (6, 9), (3, 2), (13, 4)])
def test_blocks_are_taken_row_by_row_from_an_image_padded_below_and_on_the_right(size):
    A, x = Blockwise(Sensing(BLOCK), size), normal(2, 1, *size, seed=1)
    down, across = math.ceil(size[0] / 4), math.ceil(size[1] / 4)
    whole = torch.zeros(2, 4 * down, 4 * across, dtype=torch.float64)
    whole[:, : size[0], : size[1]] = x[:, 0]
    b = A(x)
    assert b.shape == (2, down * across, 6)
    for s in range(2):
        for i in range(down):
            for j in range(across):
                block = whole[s, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
                close(b[s, i * across + j], BLOCK @ block.flatten(), 1e-14)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 6), st.integers(1, 3))
def test_join_undoes_split_for_every_size(height, width, side, batch):
    A = Blockwise(Sensing(normal(2, side * side)), (height, width))
    x = normal(batch, 1, height, width)
    blocks = A.split(x)
    assert torch.equal(A.join(blocks), x)
    assert blocks.shape == (batch * A.codomain[0], 1, side, side)
    assert int((blocks != 0).sum()) == x.numel()  # the padding is zero


def test_split_undoes_join_where_the_blocks_fill_the_image():
    A, blocks = Blockwise(Sensing(BLOCK), (8, 12)), normal(12, 1, 4, 4)
    assert torch.equal(A.split(A.join(blocks)), blocks)


def test_fourier_is_the_orthonormal_transform_of_numpy():
    mask, x, r = bits(6, 7), normal(3, 1, 6, 7), normal(3, 2, 6, 7, seed=1)
    A = Fourier(mask)
    spectrum = mask.numpy() * np.fft.fft2(x[:, 0].numpy(), norm="ortho")
    close(A(x), torch.from_numpy(np.stack([spectrum.real, spectrum.imag], 1)), 1e-14)
    back = np.fft.ifft2(mask.numpy() * (r[:, 0] + 1j * r[:, 1]).numpy(), norm="ortho")
    assert np.abs(back.imag).max() > 0.1  # the real part is a choice, not a formality
    close(A.T(r), torch.from_numpy(back.real[:, None].copy()), 1e-14)


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.1, 0.5, 1]))
def test_the_norm_of_fourier_is_one_or_the_root_of_a_half_or_zero(seed, height, width, share):
    A = Fourier(bits(height, width, seed=seed, share=share))
    known = A.known_norm()
    assert min(abs(known - v) for v in (0, 0.5**0.5, 1)) < 1e-15
    assert known == pytest.approx(float(torch.linalg.svdvals(dense(A))[0]), abs=1e-13)


def test_the_norm_of_hand_made_masks():
    assert Fourier(one_sided(6, 6)).known_norm() == pytest.approx(0.5**0.5, rel=1e-15)
    assert Fourier(data.radial_mask(20, 16)).known_norm() == 1
    zero = torch.zeros(4, 4, dtype=torch.float64)
    assert Fourier(zero).known_norm() == 0
    zero[2, 2] = 1  # its own opposite
    assert Fourier(zero).known_norm() == 1


@pytest.mark.parametrize("ratio", [1, 25])
def test_the_fingerprint_of_a_sensing_matrix_survives_another_machines_rounding(ratio, monkeypatch):
    """Its factorisation differs in the last digits of float64, before it is rounded to float32."""
    here, qr = data.sensing_matrix(ratio), torch.linalg.qr
    for seed in range(2):
        noise = lambda M, seed=seed: M + 2e-13 * (uniform(*M.shape, seed=seed) - 0.5)
        monkeypatch.setattr(torch.linalg, "qr", lambda M, f=noise: (f(qr(M)[0]), qr(M)[1]))
        there = data.sensing_matrix(ratio)
        assert ratio == 1 or not torch.equal(there, here)
        assert torch.equal(Sensing(there).fingerprint(), Sensing(here).fingerprint())


def test_the_fingerprint_tells_other_matrices_apart():
    prints = [Sensing(data.sensing_matrix(1, seed)).fingerprint() for seed in range(3)]
    assert not any(torch.equal(u, v) for u, v in zip(prints, prints[1:] + prints[:1], strict=True))
    other = data.sensing_matrix(1)
    other[3, 500] += 0.05
    assert not torch.equal(Sensing(other).fingerprint(), prints[0])
    masks = [Fourier(data.radial_mask(ratio, 32)).fingerprint() for ratio in (20, 30)]
    assert not torch.equal(*masks)


# metrics


def structural(x, y, peak):
    """SSIM by its definition: means, variances and covariance in every 7×7 window."""
    c1, c2, values = (0.01 * peak) ** 2, (0.03 * peak) ** 2, []
    for i in range(x.shape[0] - 6):
        for j in range(x.shape[1] - 6):
            u, v = x[i : i + 7, j : j + 7], y[i : i + 7, j : j + 7]
            mu, mv = u.mean(), v.mean()
            uu, vv = ((u - mu) ** 2).sum() / 48, ((v - mv) ** 2).sum() / 48
            uv = ((u - mu) * (v - mv)).sum() / 48
            one = (2 * mu * mv + c1) / (mu**2 + mv**2 + c1)
            values.append(one * (2 * uv + c2) / (uu + vv + c2))
    return float(np.mean(values))


@pytest.mark.parametrize("size", [(7, 7), (7, 9), (16, 12)])
@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_ssim_is_its_definition_window_by_window(size, peak):
    x = uniform(*size)
    y = (x + 0.2 * normal(*size, seed=1)).clamp(0, 1)
    wanted = structural(peak * x.numpy(), peak * y.numpy(), peak)
    assert ssim(peak * y, peak * x, peak) == pytest.approx(wanted, abs=1e-12)
    assert 0.3 < wanted < 0.99


def test_ssim_of_two_flat_images_is_that_of_their_means():
    x, y = (torch.full((9, 9), v, dtype=torch.float64) for v in (0.5, 0.25))
    wanted = (2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4)
    assert ssim(x, y) == pytest.approx(wanted, abs=1e-13)
    assert ssim(y, x) == pytest.approx(wanted, abs=1e-13)


def test_ssim_of_an_image_with_itself_is_one_and_with_its_negative_below_zero():
    x = uniform(12, 9)
    assert ssim(x, x) == pytest.approx(1, abs=1e-15)
    assert ssim(1 - x, x) < 0


def test_scores_on_zero_to_one_are_those_on_zero_to_255():
    x, y = uniform(2, 1, 20, 15), uniform(2, 1, 20, 15, seed=1)
    assert psnr(255 * y, 255 * x, 255.0) == pytest.approx(psnr(y, x), abs=1e-12)
    ours = ssim(y[0, 0], x[0, 0])
    assert ssim(255 * y[0, 0], 255 * x[0, 0], 255.0) == pytest.approx(ours, abs=1e-13)


# data: luminance and files

GREY = np.array([[0, 51, 255], [102, 204, 153]], dtype=np.uint8)
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
    x = data.luminance(pixels)
    assert x.shape == (1, 1, 2, 3)
    assert x.dtype == torch.float32
    close(x[0, 0], SHADES, 1e-7)
    assert float(x.max()) <= 1


def test_luminance_of_colours_is_weighted_and_alpha_left_out():
    close(data.luminance(COLOUR)[0, 0].double(), torch.from_numpy(WEIGHTED), 1e-7)
    alpha = np.concatenate([COLOUR, GREY[..., None]], axis=2)
    assert torch.equal(data.luminance(alpha), data.luminance(COLOUR))
    pure = np.eye(3, dtype=np.uint8)[None] * 255
    close(data.luminance(pure).flatten(), torch.tensor([0.299, 0.587, 0.114]), 1e-7)


def test_luminance_is_a_copy():
    pixels = SHADES.numpy().copy()
    pixels.setflags(write=False)
    x = data.luminance(pixels)
    x += 1
    assert pixels.max() == 1


def test_luminance_of_a_black_and_white_picture_is_0_and_1():
    assert data.luminance(GREY > 100).flatten().tolist() == [0, 0, 1, 1, 1, 1]


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


# networks


def orthonormal(m, n, seed=0):
    return torch.linalg.qr(normal(n, m, seed=seed))[0].T


PHI = orthonormal(8, SIDE * SIDE)
START = data.linear_start(PHI, data.covariance(uniform(40, 1, SIDE, SIDE, seed=5)))


def small(Network, K=3, channels=4, Q=START, A=None, seed=0):
    """A small network in float64, as it begins."""
    return Network(A if A is not None else Sensing(PHI), K, channels, Q, seed).double()


def shaken(net):
    """The network with steps and thresholds of its own in every phase."""
    with torch.no_grad():
        net.rho += 0.3 * uniform(net.K, seed=1)
        net.theta += 0.05 * uniform(net.K, seed=2)
        for i, name in enumerate(model.names(net)):
            for k, w in enumerate(getattr(net, name)):
                w *= 1.2
                w += 0.05 * normal(*w.shape, seed=10 * i + k)
    return net


def blocks(n=3, seed=7):
    return uniform(n, 1, SIDE, SIDE, seed=seed)


def measured(net, n=3, seed=7):
    return net.A(uniform(n, *net.A.domain, seed=seed))


def mri(Network, K=3, channels=4):
    """A small network for slices."""
    return small(Network, K, channels, Q=None, A=Fourier(bits(6, 9, share=0.6)))


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_parameter_counts_are_the_published_ones():
    A = Sensing(data.sensing_matrix(1))
    assert count(ISTANet(A)) == 171_090 == 9 * 19_010
    assert count(ISTANetPlus(A)) == 336_978 == 9 * 37_442
    assert count(ISTANet(A, K=1)) == 2 * 32 * 9 + 2 * 32 * 32 * 9 + 2 == 19_010
    assert count(ISTANetPlus(A, K=1)) == 2 * 32 * 9 + 4 * 32 * 32 * 9 + 2 == 37_442
    assert [count(ISTANetPlus(A, K, 16)) for K in (3, 5)] == [28_518, 47_530]


def test_a_fresh_network_has_the_papers_step_and_threshold_and_xavier_filters():
    net = ISTANetPlus(Sensing(data.sensing_matrix(1)), seed=3)
    assert net.rho.tolist() == pytest.approx([0.5] * 9)
    assert net.theta.tolist() == pytest.approx([0.01] * 9)
    for name in model.names(net):
        out, into = getattr(net, name)[0].shape[:2]
        spread = torch.cat([w.flatten() for w in getattr(net, name)]).std()
        assert spread.item() == pytest.approx((2 / (9 * (out + into))) ** 0.5, rel=0.1)


@kinds
def test_no_two_weights_share_memory_and_none_with_the_callers_arrays(Network):
    Q = START.clone()
    net = Network(Sensing(PHI), 3, 4, Q)
    pointers = [t.data_ptr() for t in (*net.parameters(), *net.buffers())]
    assert len(set(pointers)) == len(pointers)
    assert Q.data_ptr() not in pointers
    assert len({w.data_ptr() for name in model.names(net) for w in getattr(net, name)}) == (
        3 * len(model.names(net))
    )


@kinds
@pytest.mark.parametrize("make", [small, mri])
def test_every_phase_gets_a_gradient_in_each_of_its_weights(Network, make):
    net = make(Network)
    truth = uniform(3, *net.A.domain)
    (net(net.A(truth)) - truth).square().mean().backward()
    for name, p in net.named_parameters():
        assert (p.grad != 0).any(), name
        if p.ndim == 1:
            assert (p.grad != 0).all(), name


@kinds
@pytest.mark.parametrize("symmetry", [None, 0.1], ids=["estimate", "loss"])
def test_the_gradient_is_the_difference_quotient(Network, symmetry):
    A, truth = Sensing(orthonormal(3, 9)), uniform(2, 1, 3, 3)
    net = shaken(small(Network, 2, 2, Q=normal(9, 3), A=A))
    names = [name for name, _ in net.named_parameters()]
    inputs = [A(truth), *(p.detach().clone() for p in net.parameters())]

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, b):
            return net(b) if symmetry is None else symmetric_loss(net, b, truth, symmetry)

    def run(b, *values):
        given = {f"net.{n}": v for n, v in zip(names, values, strict=True)}
        return functional_call(Loss(), given, (b,))

    assert torch.autograd.gradcheck(run, [t.requires_grad_() for t in inputs])


@kinds
@pytest.mark.parametrize("make", [small, mri])
def test_a_row_alone_is_the_row_in_the_batch(Network, make):
    net = shaken(make(Network))
    b = measured(net, 4)
    close(torch.cat([net(b[i : i + 1]) for i in range(4)]), net(b))


@kinds
def test_an_empty_batch_gives_an_empty_estimate(Network):
    net = small(Network)
    b = measured(net)[:0]
    assert net(b).shape == fast.estimate(net, b).shape == (0, 1, SIDE, SIDE)


@kinds
@pytest.mark.parametrize("make", [small, mri])
def test_phases_iterates_and_forward_agree(Network, make):
    net = shaken(make(Network))
    b = measured(net)
    xs, seen = net.iterates(b), phases(net, b)
    assert len(xs) == net.K + 1
    assert len(seen) == net.K
    assert torch.equal(xs[0], net.start(b))
    assert torch.equal(xs[-1], net(b))
    for k, p in enumerate(seen):
        assert torch.equal(p.x, xs[k + 1])
        assert torch.equal(p.x, net.layer(k, xs[k], b))
        close(p.r, xs[k] - net.rho[k] * net.A.T(net.A(xs[k]) - b))
        assert torch.equal(p.z, net.transform(k, p.u))
        assert p.z.shape == (3, 4, *net.A.domain[1:])


def written_out(net, b):
    """The estimate by the paper's equations, with nothing of the network but its numbers."""
    x = b @ net.Q.T if net.Q is not None else net.A.T(b)
    x = x.reshape(-1, *net.A.domain)
    c = lambda v, w: conv2d(v, w, padding=1)
    for k in range(net.K):
        r = x - net.rho[k] * net.A.T(net.A(x) - b)
        plus = isinstance(net, ISTANetPlus)
        z = c(c(c(r, net.D[k]) if plus else r, net.C1[k]).clamp(min=0), net.C2[k])
        z = torch.where(z.abs() > net.theta[k], z - net.theta[k] * z.sign(), 0 * z)
        x = c(c(z, net.C3[k]).clamp(min=0), net.C4[k])
        x = r + c(x, net.G[k]) if plus else x
    return x


@kinds
@pytest.mark.parametrize("make", [small, mri])
def test_a_network_is_the_papers_equations(Network, make):
    net = shaken(make(Network))
    b = measured(net)
    close(net(b), written_out(net, b))


@kinds
def test_without_a_linear_start_the_first_image_is_the_transpose(Network):
    net = small(Network, Q=None)
    b = measured(net)
    assert torch.equal(net.start(b), net.A.T(b))
    with_start = small(Network)
    close(with_start.start(b), torch.stack([(START @ row).reshape(1, SIDE, SIDE) for row in b]))


@kinds
def test_a_seed_names_the_filters_and_the_global_generator_is_left_alone(Network):
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first, again, other = small(Network), small(Network), small(Network, seed=1)
    start_quietly(first)
    start_quietly(again)
    assert torch.equal(torch.random.get_rng_state(), before)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    assert not torch.equal(small(Network).C1[0], other.C1[0])
    filters = [w for name in model.names(other) for w in getattr(other, name)]
    same_shape = [w for w in filters if w.shape == filters[-2].shape]
    assert not any(torch.equal(u, v) for u, v in pairwise(same_shape))


@kinds
def test_weights_go_into_a_network_that_started_elsewhere(Network):
    net, other = shaken(small(Network)), small(Network, seed=1)
    b = measured(net)
    assert not torch.equal(net(b), other(b))
    assert set(net.state_dict()) == {name for name, _ in net.named_parameters()}
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(b), other(b))


@kinds
def test_a_network_keeps_the_dtype_and_leaves_its_arguments_alone(Network):
    for dtype in (torch.float32, torch.float64):
        net = small(Network).to(dtype)
        b = measured(net).to(dtype)
        given = b.clone()
        assert net(b).dtype == dtype
        assert {t.dtype for t in (*net.parameters(), *net.buffers())} == {dtype}
        assert torch.equal(b, given)
        assert torch.equal(net.Q, START.to(dtype))


# networks and their algorithm


@kinds
def test_a_quiet_network_gives_its_linear_start_in_every_phase(Network):
    net = small(Network, K=4)
    start_quietly(net)
    b = measured(net)
    close(PHI @ START, torch.eye(8, dtype=torch.float64))
    for x in net.iterates(b):
        close(x, (b @ START.T).reshape(-1, 1, SIDE, SIDE))


@kinds
def test_a_quiet_network_for_slices_gives_the_zero_filled_image_in_every_phase(Network):
    net = small(Network, Q=None, A=Fourier(data.radial_mask(40, 8).double()))
    start_quietly(net)
    b = measured(net)
    for x in net.iterates(b):
        close(x, net.A.T(b))


@kinds
def test_a_quiet_network_can_learn_in_every_phase(Network):
    net = small(Network)
    start_quietly(net)
    truth = blocks(4)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    first = symmetric_loss(net, net.A(truth), truth)
    for _ in range(20):
        adam.zero_grad()
        symmetric_loss(net, net.A(truth), truth).backward()
        adam.step()
    assert symmetric_loss(net, net.A(truth), truth).item() < first.item()
    for key, value in net.state_dict().items():
        assert not torch.equal(value, before[key]), key


def one_phase(transform, back):
    """ISTA-Net of one phase whose F is u ↦ (a_j u)_j and whose F̃ is z ↦ Σ_j c_j z_j.

    Paired ±δ filters carry a number through a ReLU: ReLU(v) − ReLU(−v) = v.
    """
    net = small(ISTANet, K=1)
    with torch.no_grad():
        for w in (net.C1[0], net.C2[0], net.C3[0], net.C4[0]):
            w.zero_()
        at = lambda w, out, into, v: w[out, into, 1, 1].fill_(v)
        for sign, i in ((1, 0), (-1, 1)):
            at(net.C1[0], i, 0, sign)
            at(net.C4[0], 0, i, sign)
            for j, (a, c) in enumerate(zip(transform, back, strict=True)):
                at(net.C2[0], j, i, sign * a)
                at(net.C3[0], i, j, sign * c)
        net.rho.fill_(0.7)
    return net


IDENTITY = Mask(torch.ones(SIDE, SIDE, dtype=torch.float64))


def test_with_the_identity_for_its_maps_and_no_threshold_ista_net_makes_a_gradient_step():
    net, b, x = one_phase([1], [1]), measured(small(ISTANet)), blocks(seed=9)
    net.theta.data.zero_()
    close(net.layer(0, x, b), x - 0.7 * net.A.T(net.A(x) - b))
    close(net.layer(0, x, b), wavelet_phase(net.A, IDENTITY, 0.7, 0.0, x, b).x)


def test_with_the_identity_for_its_maps_ista_net_is_ista():
    net, b, x = one_phase([1], [1]), measured(small(ISTANet)), blocks(seed=9) - 0.5
    net.theta.data.fill_(0.1)
    ours, classical = net.phase(0, x, b), wavelet_phase(net.A, IDENTITY, 0.7, 0.1, x, b)
    for part in ("r", "u", "x"):
        close(getattr(ours, part), getattr(classical, part))
    close(ours.z[:, :1], classical.z)
    assert 0 < int((ours.x == 0).sum()) < ours.x.numel()  # the threshold is at work


def test_with_an_isometry_for_its_transform_ista_net_thresholds_its_coefficients():
    net, b, x = one_phase([0.6, -0.8], [0.6, -0.8]), measured(small(ISTANet)), blocks(seed=9) - 0.5
    net.theta.data.fill_(0.1)
    r = x - 0.7 * net.A.T(net.A(x) - b)
    close(net.layer(0, x, b), 0.6 * soft(0.6 * r, 0.1) - 0.8 * soft(-0.8 * r, 0.1))


def test_ista_net_plus_that_takes_the_image_away_leaves_what_was_below_the_threshold():
    net = small(ISTANetPlus, K=1)
    with torch.no_grad():
        for name in model.names(net):
            getattr(net, name)[0].zero_()
        for w, out, into, v in (
            (net.D[0], 0, 0, 1.0),
            (net.C1[0], 0, 0, 1.0),
            (net.C1[0], 1, 0, -1.0),
            (net.C2[0], 2, 0, 1.0),
            (net.C2[0], 2, 1, -1.0),
            (net.C3[0], 0, 2, 1.0),
            (net.C3[0], 1, 2, -1.0),
            (net.C4[0], 3, 0, 1.0),
            (net.C4[0], 3, 1, -1.0),
            (net.G[0], 0, 3, -1.0),
        ):
            w[out, into, 1, 1] = v
        net.theta.fill_(0.1)
    b, x = measured(net), blocks(seed=9) - 0.5
    r = x - 0.5 * net.A.T(net.A(x) - b)
    close(net.layer(0, x, b), r.clamp(-0.1, 0.1), 1e-8)  # 0.1 is a float32's


@kinds
def test_a_negative_threshold_is_the_formula_as_it_stands(Network):
    net = shaken(small(Network))
    net.theta.data = torch.tensor([-0.2, 0.05, -0.01], dtype=torch.float64)
    b = measured(net)
    for k, p in enumerate(phases(net, b)):
        z = p.z.sign() * (p.z.abs() - net.theta[k]).clamp(min=0)
        back = net.inverse(k, z)
        wanted = p.r + conv2d(back, net.G[k], padding=1) if Network is ISTANetPlus else back
        close(p.x, wanted)
        assert bool((z.abs() > p.z.abs()).any()) == (k != 1)


@kinds
@pytest.mark.parametrize("weight", [0.0, 0.01, 2.0])
def test_the_loss_is_the_papers(Network, weight):
    """Mean square error plus the symmetry of every phase."""
    net = shaken(small(Network))
    truth = blocks(5)
    b = net.A(truth)
    c = lambda v, w: conv2d(v, w, padding=1)
    wanted = (written_out(net, b) - truth).square().sum().item() / truth.numel()
    for k, p in enumerate(phases(net, b)):
        u = c(p.r, net.D[k]) if Network is ISTANetPlus else p.r
        z = c(c(u, net.C1[k]).relu(), net.C2[k])
        undone = c(c(z, net.C3[k]).relu(), net.C4[k])
        wanted += weight * (undone - u).square().sum().item() / u.numel()
    assert symmetric_loss(net, b, truth, weight).item() == pytest.approx(wanted, rel=1e-12)
    if weight == 0.01:
        assert torch.equal(symmetric_loss(net, b, truth), symmetric_loss(net, b, truth, weight))


# the fast twin


@kinds
@pytest.mark.parametrize("K", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 32, 33, 70])
def test_the_fast_estimate_is_the_networks(Network, K, n):
    net = shaken(small(Network, K))
    net.theta.data[0] = -0.03
    b = measured(net, n)
    with torch.no_grad():
        wanted = net(b)
        close(fast.estimate(net, b), wanted)
        single = net.float()
        largest = float(wanted.abs().max())
        found = fast.estimate(single, b.float())
    assert found.dtype == torch.float32
    close(found, single(b.float()).detach(), 1e-6 * max(largest, 1))


@kinds
def test_the_fast_estimate_of_slices_is_the_networks(Network):
    net = shaken(mri(Network))
    b = measured(net, fast.BLOCKS + 1)
    close(fast.estimate(net, b), net(b).detach())
    assert not fast.estimate(net, b).requires_grad


@pytest.mark.parametrize("theta", [-1.0, -0.0, 0.0, 0.3])
def test_the_fast_threshold_is_the_slow_one_and_so_are_its_gradients(theta):
    z = normal(3, 4)
    z[0] = torch.tensor([0.2, -0.2, 0.01, -0.01])
    both = []
    for shrink in (fast.shrunk, soft):
        u, t = z.clone().requires_grad_(), torch.tensor(theta).double().requires_grad_()
        kept = shrink(u, t)
        (kept * normal(3, 4, seed=1)).sum().backward()
        both.append((kept.detach(), u.grad, t.grad))
    for found, wanted in zip(*both, strict=True):
        close(found, wanted, 1e-14)


def with_gradients(f, *given):
    """f's value and the gradients of a random functional of it."""
    given = [t.clone().requires_grad_() for t in given]
    y = f(*given)
    (y * normal(*y.shape, seed=99)).sum().backward()
    return [y.detach(), *(t.grad for t in given)]


sizes = st.integers(1, 7)
widths = st.integers(1, 3)
slow = lambda x, first, second: conv2d(conv2d(x, first, padding=1), second, padding=1)


@given(sizes, sizes, widths, widths, st.integers(0, 10**6))
def test_two_convolutions_from_one_channel_are_one_with_the_same_gradients(h, w, c, o, seed):
    first, second = normal(c, 1, 3, 3, seed=seed), normal(o, c, 3, 3, seed=seed + 1)
    x = normal(2, 1, h, w, seed=seed + 2)
    found, wanted = (with_gradients(f, x, first, second) for f in (fast.into, slow))
    for u, v in zip(found, wanted, strict=True):
        close(u, v)


def test_the_fast_convolution_leaves_its_input_alone():
    x, first, second = normal(2, 1, 4, 5), normal(3, 1, 3, 3), normal(1, 3, 3, 3)
    fast.into(x, first, second)
    assert torch.equal(x, normal(2, 1, 4, 5))


@given(sizes, sizes, widths, widths, widths, st.integers(0, 10**6))
def test_the_one_filter_is_the_two_where_the_first_may_look_further_out(h, w, i, c, o, seed):
    first, second = normal(c, i, 3, 3, seed=seed), normal(o, c, 3, 3, seed=seed + 1)
    x, both = normal(2, i, h, w, seed=seed + 2), fast.composed(first, second)
    assert both.shape == (o, i, 5, 5)
    wide = conv2d(conv2d(pad(x, (2, 2, 2, 2)), first), second)
    close(conv2d(x, both, padding=2), wide)


def test_the_edges_are_what_the_one_filter_sees_too_much():
    first, second, x = normal(3, 2, 3, 3), normal(2, 3, 3, 3, seed=1), normal(1, 2, 5, 6, seed=2)
    rest = conv2d(x, fast.composed(first, second), padding=2) - slow(x, first, second)
    close(rest[:, :, 1:-1, 1:-1], 0 * rest[:, :, 1:-1, 1:-1])
    top, bottom, left, right = (e.transpose(1, 2) for e in fast.edges(x, first, second))
    close(rest[:, :, 0, 1:-1], top[..., 1:-1])
    close(rest[:, :, -1, 1:-1], bottom[..., 1:-1])
    close(rest[:, :, 1:-1, 0], left[..., 1:-1])
    close(rest[:, :, 1:-1, -1], right[..., 1:-1])
    close(rest[:, :, 0, 0], top[..., 0] + left[..., 0])


def quiet(net):
    start_quietly(net)
    return net


def negative(net):
    shaken(net).theta.data = torch.tensor([-0.2, 0.1, -0.0], dtype=torch.float64)
    return net


def constrained(net):
    parametrize.register_parametrization(shaken(net), "rho", imaging_training.Within(0.0, 2.0))
    parametrize.register_parametrization(net, "theta", imaging_training.Within(0.0))
    return net


STARTS = {"fresh": lambda net: net, "shaken": shaken} | {
    f.__name__: f for f in (quiet, negative, constrained)
}


@pytest.mark.parametrize("begun", STARTS.values(), ids=STARTS.keys())
@pytest.mark.parametrize("make", [small, mri])
@pytest.mark.parametrize("weight", [0.0, 0.01, 2.0])
def test_the_fast_loss_is_the_papers_and_so_are_its_gradients(begun, make, weight):
    both = []
    for loss in (fast.plus_loss, symmetric_loss):
        net = begun(make(ISTANetPlus))
        truth = uniform(5, *net.A.domain, seed=3)
        value = loss(net, net.A(truth), truth, weight)
        value.backward()
        both.append([value.detach(), *(p.grad for p in net.parameters())])
    for found, wanted in zip(*both, strict=True):
        if wanted is not None:
            close(found, wanted)
        else:
            assert found is None
    if weight == 0.01:
        assert torch.equal(fast.plus_loss(net, net.A(truth), truth).detach(), both[0][0])


@kinds
@pytest.mark.parametrize("size", [(5, 5), (10, 15), (7, 12), (3, 4), (1, 1), (30, 31)])
def test_an_image_of_any_size_is_reconstructed_block_by_block(Network, size):
    net = shaken(small(Network, 2))
    image = uniform(1, 1, *size, seed=3)
    down, across = -(-size[0] // 5), -(-size[1] // 5)
    whole = torch.zeros(5 * down, 5 * across, dtype=torch.float64)
    wanted = whole.clone()
    whole[: size[0], : size[1]] = image
    for i in range(0, 5 * down, 5):
        for j in range(0, 5 * across, 5):
            b = PHI @ whole[i : i + 5, j : j + 5].flatten()
            wanted[i : i + 5, j : j + 5] = net(b[None])[0, 0].detach()
    found = fast.reconstruct(net, image)
    close(found, wanted[None, None, : size[0], : size[1]])
    assert fast.reconstruct(net, image.float()).dtype == torch.float64  # the network's


@kinds
@pytest.mark.parametrize("make", [small, mri])
def test_the_last_of_the_images_phases_is_the_reconstruction(Network, make):
    net = shaken(make(Network))
    image = uniform(1, 1, *((7, 12) if make is small else (6, 9)), seed=3)
    seen = list(fast.image_phases(net, image))
    assert len(seen) == net.K + 1
    assert set(seen[0]) == {"x"}
    close(seen[-1]["x"], fast.reconstruct(net, image))
    for k, p in enumerate(seen[1:]):
        assert {key: v.shape[1] for key, v in p.items()} == {"r": 1, "z": 4, "kept": 4, "x": 1}
        assert all(v.shape[2:] == image.shape[2:] for v in p.values())
        close(p["kept"], soft(p["z"], net.theta[k]).detach())
    if make is mri:  # whole slices: the phases are those of the network
        for p, q in zip(seen[1:], phases(net, net.A(image)), strict=True):
            close(p["r"], q.r.detach())
            close(p["z"], q.z.detach())


def test_features_of_blocks_are_joined_channel_by_channel():
    net = shaken(small(ISTANet, 1))
    image = uniform(1, 1, 5, 10)
    z = list(fast.image_phases(net, image))[1]["z"]
    b = Blockwise(net.A, (5, 10))(image)[0]
    for j in range(2):
        close(z[0, :, :, 5 * j : 5 * j + 5], phases(net, b[j : j + 1])[0].z[0].detach())


# training


@pytest.fixture
def scraps(monkeypatch):
    """A few blocks 33×33 in the place of the training images, and tiny recipes."""
    smooth = torch.nn.functional.avg_pool2d(uniform(12, 1, 35, 35).float(), 3, 1)
    cut = (smooth * 2 - 0.5).clamp(0, 1)
    monkeypatch.setattr(imaging_training, "training_set", lambda name: cut)
    monkeypatch.setattr(imaging_training, "patch_covariance", lambda name: data.covariance(cut))
    return cut


TINY = imaging_training.Training(phases=2, channels=2, steps=4, batch=3, lr=1e-2)


def state(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def same(u, v):
    return all(torch.equal(a, b) for a, b in zip(state(u).values(), state(v).values(), strict=True))


@kinds
def test_two_steps_of_training_are_two_steps_of_adam_by_hand(scraps, Network):
    recipe = replace(TINY, steps=2, symmetry=0.3, clip=0.5)
    trained, hand = (imaging_training.build(Network, 1, recipe) for _ in range(2))
    history = imaging_training.train(trained, recipe, Context(seed=5))
    draw, g = imaging_training.sampler(recipe), torch.Generator().manual_seed(5)
    adam = torch.optim.Adam(hand.parameters())
    for step in range(2):
        truth = draw(3, g)
        by = fast.plus_loss if Network is ISTANetPlus else symmetric_loss  # the same, tested above
        loss = by(hand, hand.A(truth), truth, 0.3)
        assert history[step] == pytest.approx(loss.item(), rel=1e-6)
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(hand.parameters(), 0.5)
        adam.param_groups[0]["lr"] = 1e-2 * (1 + math.cos(math.pi * step / 2)) / 2
        adam.step()
    for u, v in zip(trained.parameters(), hand.parameters(), strict=True):
        close(u, v, 1e-7)


class Killed(BaseException):
    """What ends a run from outside."""


@pytest.mark.parametrize("constrained", [False, True], ids=["free", "constrained"])
def test_a_killed_run_goes_on_to_the_same_numbers(scraps, constrained, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 2)
    build = imaging_training.build_constrained if constrained else imaging_training.build
    made = lambda: build(ISTANetPlus, 1, TINY)
    whole = made()
    losses = imaging_training.train(whole, TINY, Context(tmp_path / "whole", 3))

    def killer(step, loss):
        if step == 2:
            raise Killed

    with pytest.raises(Killed):
        imaging_training.train(made(), TINY, Context(tmp_path / "cut", 3, watch=killer))
    resumed = made()
    assert imaging_training.train(resumed, TINY, Context(tmp_path / "cut", 3)) == losses
    assert same(whole, resumed)
    assert not same(whole, made())


def test_batches_are_training_blocks_in_some_symmetry_and_a_seed_names_them(scraps):
    draw = imaging_training.sampler(TINY)
    at = lambda seed: draw(200, torch.Generator().manual_seed(seed))
    first = at(0)
    assert first.shape == (200, 1, 33, 33)
    assert torch.equal(first, at(0))
    assert not torch.equal(first, at(1))
    all_of_them = torch.stack([data.turned(scraps, k) for k in range(8)], 1)  # block, symmetry
    seen = set()
    for x in first[:100]:
        hit = (all_of_them == x).flatten(2).all(2).nonzero()
        assert len(hit) == 1
        seen.add(tuple(hit[0].tolist()))
    assert {block for block, _ in seen} == set(range(12))
    assert {turn for _, turn in seen} == set(range(8))


def test_batches_for_slices_are_slices_of_the_head(monkeypatch):
    slices = uniform(5, 1, 8, 8).float()
    monkeypatch.setattr(data, "head_slices", lambda part: {"train": slices}[part])
    draw = imaging_training.sampler(imaging_training.Training(data="head"))
    x = draw(6, torch.Generator().manual_seed(0))
    assert x.shape == (6, 1, 8, 8)
    away = (x.sum((1, 2, 3))[:, None] - slices.sum((1, 2, 3))).abs()
    assert float(away.min(1).values.max()) < 1e-4 < float(away.median())


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_network_for_slices_trains(precision, monkeypatch):
    slices = uniform(5, 1, 12, 12).float()
    monkeypatch.setattr(data, "head_slices", lambda part: slices)
    recipe = replace(TINY, data="head", quiet=False, precision=precision)
    net = ISTANetPlus(Fourier(data.radial_mask(40, 12)), 2, 2)
    before = state(net)
    losses = imaging_training.train(net, recipe)
    assert len(losses) == 4
    assert all(map(math.isfinite, losses))
    assert not any(torch.equal(v, before[k]) for k, v in net.state_dict().items())


@kinds
@pytest.mark.parametrize("quiet", [True, False])
def test_a_built_network_has_the_recipes_size_and_its_start(scraps, Network, quiet):
    net = imaging_training.build(Network, 1, replace(TINY, quiet=quiet))
    assert (net.K, net.C1[0].shape[0]) == (2, 2)
    assert torch.equal(net.A.Phi, data.sensing_matrix(1))
    close(net.Q, data.linear_start(net.A.Phi, data.covariance(scraps)), 1e-7)
    b = net.A(scraps)
    moved = (net(b) - net.start(b)).abs().max().item()
    assert moved < 1e-5 if quiet else moved > 1e-2


def test_a_built_network_for_slices_measures_by_its_mask():
    net = imaging_training.build_mri(ISTANetPlus, 20, replace(TINY, phases=1))
    assert torch.equal(net.A.mask, data.radial_mask(20))
    assert net.Q is None
    assert net.rho.tolist() == [1.0]


@kinds
def test_a_constrained_network_starts_as_the_free_one_and_cannot_leave_its_bounds(scraps, Network):
    free, held = (
        f(Network, 1, TINY) for f in (imaging_training.build, imaging_training.build_constrained)
    )
    close(held.rho, free.rho, 1e-6)
    close(held.theta, free.theta, 2e-6)
    assert count(held) == count(free)
    b = held.A(scraps)
    close(held(b), free(b), 1e-4)
    imaging_training.train(held, replace(TINY, lr=3.0, steps=6))
    for push in (0.0, -30.0, 30.0):
        with torch.no_grad():
            for name in ("rho", "theta"):
                held.parametrizations[name].original += push
        assert bool(((held.rho >= 0) & (held.rho <= 2)).all())
        assert bool((held.theta >= 0).all())
        if push == 0:
            assert bool(((held.rho > 0) & (held.rho < 2) & (held.theta > 0)).all())
    other = imaging_training.build_constrained(Network, 1, TINY)
    other.load_state_dict(held.state_dict())
    assert same(held, other)


@given(st.floats(0.05, 1.95), st.floats(1e-4, 20))
def test_a_bound_and_its_right_inverse_undo_each_other(rho, theta):
    for bound, value in (
        (imaging_training.Within(0.0, 2.0), rho),
        (imaging_training.Within(0.0), theta),
    ):
        x = torch.tensor([value], dtype=torch.float64)
        assert_close(bound(bound.right_inverse(x)), x, rtol=1e-10, atol=0)


def test_a_shorter_recipe_has_its_share_of_the_steps_and_nothing_else_changes():
    recipe = imaging_training.Training(steps=1000)
    assert training.shorter(recipe, 0.25) == replace(recipe, steps=250)
    assert training.shorter(recipe, 0.0).steps == 1
    assert training.shorter(recipe, 1) == recipe


def test_the_covariance_is_read_from_its_record_and_else_computed(scraps, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(imaging_training, "training_set", lambda name: scraps)
    monkeypatch.setattr(records, "results_root", lambda: tmp_path)
    fresh = imaging_training.patch_covariance.__wrapped__
    computed = fresh("mine")
    assert torch.equal(computed, data.covariance(scraps))
    path = imaging_training.record_covariance("mine")
    assert path == tmp_path / "imaging/covariance-mine.safetensors"
    monkeypatch.setattr(imaging_training, "training_set", None)  # not asked any more
    found = fresh("mine")
    assert found.dtype == torch.float64
    assert_close(found, computed, rtol=1e-6, atol=0)
    Phi = data.sensing_matrix(1)
    close(data.linear_start(Phi, found), data.linear_start(Phi, computed), 1e-4)


def test_the_linear_start_from_the_wheels_images_reaches_its_bar():
    """Set11 at 25 %: at least 26.6 dB, from T91 26.7 to 27.2 (the shared bars of the chapter)."""
    folder = data.data_folder("Set11")
    if folder is None:
        pytest.skip("Set11 is not here: DUNFOLD_DATA names no folder with images/Set11")
    Phi = data.sensing_matrix(25)
    for name, low, high in (("wheels", 26.6, 27.2), ("T91", 26.7, 27.2)):
        if name == "T91" and data.data_folder(name) is None:
            continue
        Q = data.linear_start(Phi, imaging_training.patch_covariance(name))
        net = ISTANet(Sensing(Phi), 1, 2, Q)
        made = evaluation.mean_scores(
            lambda x, net=net: evaluation.started(net, x), data.read_folder(folder)
        )
        assert low <= made["psnr"] <= high


# measuring


def test_a_score_is_clipped_and_not_rounded():
    truth, estimate = uniform(1, 1, 12, 9), 1.4 * uniform(1, 1, 12, 9, seed=1) - 0.2
    u, v = truth[0, 0].numpy(), estimate[0, 0].clamp(0, 1).numpy()
    found = evaluation.score(estimate, truth)
    assert found[0] == pytest.approx(-10 * math.log10(((u - v) ** 2).mean()), abs=1e-12)
    assert found[1] == pytest.approx(structural(u, v, 1.0), abs=1e-12)
    assert found[1] == pytest.approx(
        structural_similarity(255 * u, 255 * v, data_range=255), abs=1e-12
    )


def test_scores_are_means_over_images_of_their_own_scores():
    images = {"a": uniform(1, 1, 9, 9), "b": uniform(1, 1, 12, 10, seed=1)}
    run = lambda x: 0.9 * x
    made = evaluation.mean_scores(run, images, "_mine")
    each = [evaluation.score(run(x), x) for x in images.values()]
    assert set(made) == {"psnr_mine", "ssim_mine", "psnr_each_mine"}
    assert made["psnr_mine"] == pytest.approx((each[0][0] + each[1][0]) / 2, abs=1e-12)
    assert made["ssim_mine"] == pytest.approx((each[0][1] + each[1][1]) / 2, abs=1e-12)
    assert made["psnr_each_mine"] == {
        k: pytest.approx(s[0], abs=1e-4) for k, s in zip(images, each, strict=True)
    }


def test_an_images_start_is_what_the_first_phase_begins_from():
    net = small(ISTANet)
    image = uniform(1, 1, 7, 12)
    close(evaluation.started(net, image), next(fast.image_phases(net, image))["x"])
    slices = mri(ISTANet)
    image = uniform(1, 1, 6, 9)
    close(evaluation.started(slices, image), slices.A.T(slices.A(image)))


def test_a_measurement_holds_scores_of_the_network_and_of_its_start(scraps, tmp_path):
    for name, size in (("a", (40, 33)), ("b", (66, 20))):
        picture = (255 * uniform(*size)).byte().numpy()
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    net = imaging_training.build(ISTANetPlus, 1, TINY)
    net.rho.data[1] = 0.5
    made = evaluation.measure(evaluation.block_tests, net, 0, tmp_path)
    images = data.read_folder(tmp_path)
    each = [evaluation.score(fast.reconstruct(net, x), x) for x in images.values()]
    assert made["psnr"] == pytest.approx(sum(s[0] for s in each) / 2, abs=1e-12)
    assert made["ssim"] == pytest.approx(sum(s[1] for s in each) / 2, abs=1e-12)
    starts = [evaluation.score(evaluation.started(net, x), x)[0] for x in images.values()]
    assert made["psnr_start"] == pytest.approx(sum(starts) / 2, abs=1e-12)
    assert list(made["psnr_each"]) == ["a", "b"]
    assert made["rho"] == [1.0, 0.5]
    assert made["theta"] == pytest.approx([0.01, 0.01])
    assert made["image_seconds"]["cpu"] > 0
    json.dumps(made, allow_nan=False)


def test_methods_are_measured_on_the_wheels_images_and_where_there_is_one_the_data_folder(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    assert list(evaluation.block_tests()) == ["_wheels"]
    assert list(evaluation.block_tests()["_wheels"]) == ["camera", "coffee"]
    for name in ("Set11", "Brain50"):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        Image.fromarray(GREY).save(folder / "one.png")
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    assert list(evaluation.block_tests()) == ["", "_wheels"]
    assert list(evaluation.block_tests()[""]) == ["one"]
    assert list(evaluation.block_tests(tmp_path / "images/Set11")) == [""]
    assert list(evaluation.mri_tests(tmp_path / "images/Brain50")) == [""]
    pytest.importorskip("nilearn")
    both = evaluation.mri_tests()
    assert list(both) == ["", "_head"]
    assert len(both["_head"]) == 12
    assert {x.shape for x in both["_head"].values()} == {(1, 1, 256, 256)}


# experiments

# Zhang & Ghanem 2018, tables 1 and 4: PSNR in dB, by CS ratio and by share of the frequencies
TABLE_1 = {
    "istanet": "50: 37.43, 40: 35.36, 30: 32.91, 25: 31.53, 10: 25.80, 4: 21.23, 1: 17.30",
    "istanet-plus": "50: 38.07, 40: 36.06, 30: 33.82, 25: 32.57, 10: 26.64, 4: 21.31, 1: 17.34",
}
TABLE_4 = {"mri-istanet-plus": "20: 38.73, 30: 40.89, 40: 42.52, 50: 44.09"}
PAPER = {
    f"{kind}-{ratio}": float(figure)
    for kind, row in (TABLE_1 | TABLE_4).items()
    for ratio, figure in (cell.split(": ") for cell in row.split(", "))
}
networks = pytest.mark.parametrize("name", PAPER)


@networks
def test_every_network_of_the_papers_tables_is_an_experiment_with_its_published_figure(name):
    e = experiments.EXPERIMENTS[name]
    assert e.published == {"psnr": PAPER[name]}
    assert f"{name.split('-')[-1]} %" in e.title
    assert ("ISTA-Net+" in e.title) == ("plus" in name)


def test_the_paper_has_14_networks_for_blocks_and_4_for_slices():
    assert len(PAPER) == 14 + 4
    assert published.BRAIN50["ISTA-Net"] == {20: 38.30, 30: 40.52, 40: 42.12, 50: 43.60}


def test_every_experiment_says_what_it_is_and_titles_differ():
    for name, e in experiments.EXPERIMENTS.items():
        assert min(len(e.title), len(e.source), len(e.protocol)) > 8, name
        for text in (e.title, e.source, e.protocol):
            assert "\n" not in text
    titles = [e.title for e in experiments.EXPERIMENTS.values()]
    assert len(set(titles)) == len(titles)
    assert {f"imaging/{name}" for name in experiments.EXPERIMENTS} <= set(experiment.experiments())


@networks
def test_every_network_of_the_tables_has_a_gpu_recipe_of_the_papers_size(name):
    e = experiments.EXPERIMENTS[name]
    recipe = e.recipes["gpu"]
    assert (recipe.phases, recipe.channels) == (9, 32)
    assert next(iter(e.recipes)) == "cpu"
    assert list(e.recipes)[-1] == "gpu"
    assert not recipe.compile
    assert e.released is not None
    if name.startswith("mri"):
        assert recipe.batch == 4
    else:
        assert (recipe.data, recipe.batch) == ("T91", 64)
        assert recipe.steps == pytest.approx(200 * 88_912 / 64, rel=0.01)


def test_an_experiment_builds_its_own_network_of_a_recipes_size(scraps):
    for name, Network in (("istanet-1", ISTANet), ("istanet-plus-1", ISTANetPlus)):
        net = experiments.EXPERIMENTS[name].build(TINY)
        assert isinstance(net, Network)
        assert (net.K, net.A.codomain) == (2, (10,))
    held = experiments.EXPERIMENTS["istanet-plus-25-constrained"].build(TINY)
    assert "parametrizations.rho.original" in held.state_dict()
    slices = experiments.EXPERIMENTS["mri-istanet-plus-30"].build(TINY)
    assert torch.equal(slices.A.mask, data.radial_mask(30))


@pytest.mark.parametrize("name", ["istanet-plus-1", "istanet-4", "istanet-plus-25-constrained"])
def test_the_command_line_trains_records_and_evaluates(name, scraps, tmp_path, monkeypatch, capsys):
    """With a recipe of another size, which the record brings to the network that is evaluated."""
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    monkeypatch.setattr(data, "wheel_images", lambda part: {"one": uniform(1, 1, 40, 40)})
    changes = ["phases=2", "channels=2", "steps=2", "batch=2"]
    where = f"imaging/{name}"
    assert main(["train", where, "--out", str(tmp_path), *changes]) == 0
    folder = tmp_path / where / "cpu-s0"
    run = records.load(folder)
    assert run["recipe"]["channels"] == 2
    out = capsys.readouterr().out
    assert f"{where}  psnr_wheels {run['scores']['psnr_wheels']:.3f}" in out
    weights = folder / "weights.safetensors"
    assert main(["evaluate", where, "--weights", str(weights), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["scores"]["psnr_wheels"] == pytest.approx(run["scores"]["psnr_wheels"], abs=1e-4)
    assert again["parameters"] == run["parameters"] < 1000


def test_a_machine_without_nilearn_reads_the_head_from_the_data_folder(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    volume = np.arange(10 * 12 * 160, dtype=np.float32).reshape(10, 12, 160)
    np.save(tmp_path / "images" / "mni152.npy", volume)
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    slices = data.head_slices.__wrapped__("test")
    assert slices.shape == (12, 1, 256, 256)
    assert slices.max() <= 1
    np.save(tmp_path / "images" / "mni152.npy", volume[0])
    with pytest.raises(ValueError, match=r"mni152.npy: has shape \(12, 160\); it must be a volume"):
        data.head_slices.__wrapped__("test")


def test_a_constrained_networks_steps_fill_0_to_2_and_its_thresholds_all_above_zero():
    net = imaging_training.build_constrained(
        ISTANetPlus, 1, imaging_training.Training(phases=3, channels=2)
    )
    free = {n: getattr(net.parametrizations, n).original for n in ("rho", "theta")}
    with torch.no_grad():
        free["rho"].copy_(torch.tensor([-20.0, 0.0, 20.0]))
        free["theta"].copy_(torch.tensor([-20.0, 0.0, 20.0]))
    torch.testing.assert_close(net.rho, torch.tensor([0.0, 1.0, 2.0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(net.theta[2], torch.tensor(20.0))
    assert 0 < float(net.theta.detach()[0]) < 1e-6
    net.rho = torch.tensor([0.3, 1.0, 1.7])  # what training may start from
    torch.testing.assert_close(net.rho, torch.tensor([0.3, 1.0, 1.7]))
