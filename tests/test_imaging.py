"""Chapter `imaging`: its operators, images, networks, their fast twin, and how they are trained."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared_imaging import bits, close, normal, structural, uniform

from dunfold_lib.imaging import data
from dunfold_lib.metrics import psnr, ssim
from dunfold_lib.operators import Blockwise, Fourier, Sensing, norm

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
    for f, g, shape in ((A, copy.deepcopy(A), A.domain), (A.T, copy.deepcopy(A).T, A.codomain)):
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
