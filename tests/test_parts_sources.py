"""The parts that every room stands on: prox, operators, metrics: sources."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from shared_parts import OPERATORS, dense, doubles, numbers
from skimage.metrics import peak_signal_noise_ratio
from torch.testing import assert_close

from dunfold_lib.metrics import ergas, ergas_mse_over_mean, nmse_db, nmse_db_median, psnr, sam
from dunfold_lib.operators import Blur, Compose, Linear, Mask, Matrix, Sensing, norm
from dunfold_lib.solvers import conjugate_gradients
from dunfold_lib.wavelets import Wavelet

# Operators: each against an independent source


def test_a_matrix_multiplies_every_row(tiny):
    A, _, x = tiny
    assert_close(A(x)[3], A.A @ x[3], rtol=0, atol=1e-15)


def test_a_matrix_keeps_its_own_copy():
    M = torch.ones(2, 2, dtype=torch.float64)
    A = Matrix(M)
    M.zero_()
    assert A(doubles([[1.0, 1.0]])).tolist() == [[2.0, 2.0]]


def test_a_mask_keeps_some_pixels_and_zeroes_the_others():
    A = Mask(doubles([[1.0, 0.0], [0.0, 1.0]]))
    assert A(doubles([[[[1.0, 2.0], [3.0, 4.0]]]])).tolist() == [[[[1.0, 0.0], [0.0, 4.0]]]]


@pytest.mark.parametrize("sides", [(3, 5), (5, 3), (1, 3), (5, 7)])
@pytest.mark.parametrize("size", [(6, 7), (5, 8)])
def test_blur_is_circular_convolution(sides, size):
    if sides[1] > size[1]:
        sides = (sides[0], size[1])
    kernel, x = numbers(*sides), numbers(2, 1, *size, seed=1)
    wanted = [ndimage.convolve(i[0].numpy(), kernel.numpy(), mode="wrap") for i in x]
    found = Blur(kernel, size)(x)[:, 0]
    assert_close(found, torch.from_numpy(np.stack(wanted)), rtol=0, atol=2e-14)


@pytest.mark.parametrize(
    "size, name, levels", [((16, 24), "db2", 2), ((8, 4), "haar", 2), ((128, 112), "db4", 4)]
)
def test_wavelet_synthesis_and_analysis_invert_each_other(size, name, levels):
    A = Wavelet(size, name, levels)
    x = numbers(2, 1, *size)
    assert_close(A.T(A(x)), x, rtol=0, atol=5e-15)
    assert_close(A(A.T(x)), x, rtol=0, atol=5e-15)


def test_wavelet_is_an_orthogonal_matrix():
    M = dense(OPERATORS["wavelet"](torch.float64))
    assert_close(M.T @ M, torch.eye(384, dtype=torch.float64), rtol=0, atol=5e-15)


def test_haar_analysis_of_a_hand_computed_image():
    image = doubles([[[[1.0, 2.0], [3.0, 5.0]]]])
    # halves of: all added, rows subtracted | columns subtracted, both subtracted
    wanted = [[[[5.5, -1.5], [-2.5, 0.5]]]]
    assert_close(Wavelet((2, 2), "haar", 1).T(image), doubles(wanted), rtol=0, atol=2e-15)


def test_wavelet_coefficients_of_a_constant_image_lie_in_the_top_left_corner():
    coefficients = Wavelet((16, 24), "db2", 2).T(torch.ones(1, 1, 16, 24, dtype=torch.float64))[
        0, 0
    ]
    wanted = torch.zeros(16, 24, dtype=torch.float64)
    wanted[:4, :6] = 4.0  # 2 for each level
    assert_close(coefficients, wanted, rtol=0, atol=1e-14)


def test_wavelet_takes_the_smallest_image_it_allows_in_silence():
    x = numbers(1, 1, 16, 16)
    A = Wavelet((16, 16))
    assert_close(A(A.T(x)), x, rtol=0, atol=5e-15)


def test_compose_applies_the_inner_map_first():
    outer, inner = Matrix(numbers(2, 3)), Matrix(numbers(3, 4, seed=1))
    assert_close(dense(Compose(outer, inner)), outer.A @ inner.A, rtol=0, atol=1e-15)


class Differences(Linear):
    """x ↦ x − x shifted by one, circular; its largest singular value on an even length is 2."""

    domain = codomain = (6,)

    def forward(self, x):
        return x - x.roll(1, -1)

    def T(self, r):
        return r - r.roll(-1, -1)


def test_norm_of_an_operator_that_does_not_know_it_is_found_by_the_power_method():
    A = Differences()
    assert A.known_norm() is None
    assert norm(A) == pytest.approx(2, rel=1e-14)
    assert float(torch.linalg.svdvals(dense(A))[0]) == pytest.approx(2, rel=1e-14)


def test_the_power_method_approaches_the_norm_from_below():
    found = [norm(Differences(), iterations=k, seed=3) for k in (1, 3, 9, 27)]
    assert found == sorted(found)
    assert found[0] < 2 - 1e-2


def test_norm_of_a_zero_map_is_zero():
    A = Compose(Matrix(torch.zeros(2, 3, dtype=torch.float64)), Matrix(numbers(3, 4)))
    assert norm(A) == 0


# Metrics


def test_psnr_of_a_hand_computed_case():
    truth = torch.zeros(2, 5, dtype=torch.float64)
    assert psnr(truth + 0.1, truth) == pytest.approx(20, abs=1e-13)  # MSE 0.01
    assert psnr(truth + 0.1, truth, peak=10.0) == pytest.approx(40, abs=1e-13)


def test_psnr_agrees_with_scikit_image():
    truth, estimate = numbers(3, 1, 8, 8), numbers(3, 1, 8, 8, seed=1)
    wanted = peak_signal_noise_ratio(truth.numpy(), estimate.numpy(), data_range=0.7)
    assert psnr(estimate, truth, peak=0.7) == pytest.approx(wanted, rel=1e-15)


def test_psnr_of_identical_images_is_infinite():
    assert psnr(numbers(2, 3), numbers(2, 3)) == math.inf


def test_nmse_is_the_ratio_of_the_sums_over_the_batch():
    truth, estimate = doubles([[6.0, 8.0], [0.0, 0.0]]), doubles([[6.0, 9.0], [0.0, 3.0]])
    # errors 1 and 9, powers 100 and 0: 10/100 = −10 dB
    assert nmse_db(estimate, truth) == pytest.approx(-10, abs=1e-14)


def test_nmse_of_the_zero_estimate_is_zero_decibel():
    assert nmse_db(torch.zeros(3, 4, dtype=torch.float64), numbers(3, 4)) == 0


def test_median_nmse_leaves_out_the_rows_whose_truth_is_zero():
    truth = doubles([[10.0, 0.0], [0.0, 0.0], [0.0, 10.0], [6.0, 8.0]])
    estimate = truth + doubles([[1.0, 0.0], [7.0, 7.0], [0.0, 0.1], [6.0, 8.0]])
    # −20, left out, −40, 0 dB
    assert nmse_db_median(estimate, truth) == pytest.approx(-20, abs=1e-12)


def test_median_nmse_of_an_even_number_of_rows_is_midway_between_the_middle_two():
    truth = doubles([[10.0], [10.0], [10.0], [10.0]])
    estimate = truth + doubles([[1.0], [0.1], [10.0], [0.01]])
    # −20, −40, 0, −60 dB
    assert nmse_db_median(estimate, truth) == pytest.approx(-30, abs=1e-11)


def test_median_nmse_of_rows_without_error_is_minus_infinity():
    truth = doubles([[1.0], [2.0], [3.0], [4.0]])
    estimate = truth + doubles([[0.0], [0.0], [0.0], [1.0]])
    assert nmse_db_median(estimate, truth) == -math.inf


def test_the_spectral_angle_is_a_mean_of_angles():
    """Two pixels, at 0 and at 90 degrees: 45, where the angle of the mean cosine is 60."""
    truth = doubles([[1.0, 1.0], [0.0, 0.0]]).reshape(1, 2, 1, 2)
    estimate = doubles([[2.0, 0.0], [0.0, 3.0]]).reshape(1, 2, 1, 2)
    assert sam(estimate, truth) == pytest.approx(math.pi / 4)


def test_ergas_falls_with_the_ratio_of_the_pixels_and_the_other_has_none():
    """Bands with means 2 and 5, errors 1 and 2: MSE/μ² is 1/4 and 4/25, MSE/μ 1/2 and 4/5."""
    truth = doubles([2.0, 5.0]).reshape(1, 2, 1, 1).expand(1, 2, 3, 3)
    estimate = truth + doubles([1.0, 2.0]).reshape(1, 2, 1, 1)
    assert ergas(estimate, truth, 4.0) == pytest.approx(25 * math.sqrt((0.25 + 0.16) / 2))
    found = ergas_mse_over_mean(estimate, truth)
    assert found == pytest.approx(100 * math.sqrt((0.5 + 0.8) / 2))


# Operators' defaults, and when a row is done


def test_a_wavelet_has_as_many_levels_as_the_shorter_side_allows_but_four_at_most():
    """A level needs 7 · 2^k pixels for the 8 taps of db4, and sides that 2^k divides."""
    pytest.importorskip("pywt")
    sizes = {(256, 256): 4, (112, 112): 4, (64, 64): 3, (16, 256): 1, (256, 16): 1, (96, 40): 2}
    assert {size: Wavelet(size).levels for size in sizes} == sizes


def test_a_sensing_matrix_is_told_by_its_fourth_digit():
    Phi = numbers(3, 16).float() / 4
    other = Phi.clone()
    other[1, 5] += 1e-3
    assert not torch.equal(Sensing(Phi).fingerprint(), Sensing(other).fingerprint())
    other[1, 5] -= 1e-3
    assert torch.equal(Sensing(Phi).fingerprint(), Sensing(other).fingerprint())


def test_a_row_that_is_solved_well_enough_moves_no_more():
    """The row alone stops at its tolerance; beside one that needs more steps it stays there."""
    M = torch.diag(doubles([1.0, 1.0, 1.0, 1.0, 7.0, 50.0]))
    easy = doubles([[1.0, 1.0, 1.0, 1.0, 0.01, 0.0]])
    both = torch.cat([easy, doubles([[1.0, -2.0, 1.0, 1.0, 3.0, 1.0]])])
    V = lambda v: v @ M
    alone = conjugate_gradients(V, easy, 40, 0.05)
    assert 1e-4 < (V(alone) - easy).norm() <= 0.05 * easy.norm()
    assert torch.equal(conjugate_gradients(V, both, 40, 0.05)[:1], alone)
