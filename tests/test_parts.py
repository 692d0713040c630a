"""The parts that every room stands on: prox, operators, metrics."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio
from torch.testing import assert_close

from dunfold_lib.metrics import ergas, ergas_mse_over_mean, nmse_db, nmse_db_median, psnr, sam
from dunfold_lib.operators import Blur, Compose, Linear, Mask, Matrix, Sensing, norm
from dunfold_lib.prox import soft
from dunfold_lib.solvers import conjugate_gradients
from dunfold_lib.wavelets import Wavelet


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def doubles(values):
    return torch.tensor(values, dtype=torch.float64)


# Soft threshold

reals = st.floats(-10, 10)
thresholds = st.floats(0, 10)
vectors = st.lists(reals, min_size=4, max_size=4).map(doubles)


@given(x=reals, q=reals, t=thresholds)
def test_soft_minimises_its_objective_with_the_margin_of_a_strongly_convex_function(x, q, t):
    p = float(soft(doubles(x), t))
    value = lambda z: 0.5 * (z - x) ** 2 + t * abs(z)
    assert value(q) >= value(p) + 0.5 * (q - p) ** 2 - 1e-13 * (1 + value(q))


@given(x=vectors, d=vectors, t=thresholds, scale=st.sampled_from([1e-6, 1e-3, 1.0]))
def test_soft_is_better_than_every_perturbation_of_it(x, d, t, scale):
    p = soft(x, t)
    value = lambda z: float(0.5 * (z - x).square().sum() + t * z.abs().sum())
    assert value(p) <= value(p + scale * d) * (1 + 1e-14)


@given(x=vectors, y=vectors, t=thresholds)
def test_soft_is_firmly_nonexpansive(x, y, t):
    d = soft(x, t) - soft(y, t)
    assert float(d.square().sum()) <= float((d * (x - y)).sum()) + 1e-13


@given(x=vectors, t=thresholds)
def test_soft_and_the_projection_on_the_box_add_up_to_the_identity(x, t):
    assert_close(soft(x, t) + x.clamp(-t, t), x, rtol=0, atol=2e-15)


def test_soft_of_a_hand_computed_vector():
    x = doubles([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])
    assert soft(x, 1.0).tolist() == [-2, 0, 0, 0, 0, 0, 2]


def test_soft_with_a_negative_threshold_is_the_formula_as_it_stands():
    x = doubles([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert soft(x, -1.0).tolist() == [-4.0, -1.5, 0.0, 1.5, 4.0]


@pytest.mark.parametrize("shape", [(), (5,), (3, 1), (3, 5), (1, 1)])
def test_soft_broadcasts_its_threshold(shape):
    x, t = numbers(3, 5), numbers(*shape, seed=1).abs()
    full = t.expand(3, 5)
    each = [[float(soft(x[i, j], float(full[i, j]))) for j in range(5)] for i in range(3)]
    assert torch.equal(soft(x, t), doubles(each))


# Operators: what holds for every one of them

OPERATORS = {
    "matrix": lambda dtype: Matrix(numbers(5, 7).to(dtype)),
    "mask": lambda dtype: Mask((numbers(4, 7) > 0).to(dtype)),
    "blur": lambda dtype: Blur(numbers(3, 5).to(dtype), (6, 7)),
    "wavelet": lambda dtype: Wavelet((16, 24), "db2", 2),
    "composed with wavelet": lambda dtype: Compose(
        Blur(numbers(5, 3).to(dtype), (12, 8)), Wavelet((12, 8), "haar", 2)
    ),
    "composed matrices": lambda dtype: Compose(
        Matrix(numbers(4, 5).to(dtype)), Matrix(numbers(5, 6, seed=1).to(dtype))
    ),
}
every = pytest.mark.parametrize("make", OPERATORS.values(), ids=OPERATORS.keys())


def dense(A):
    """The matrix of A, one column for each unit vector."""
    n = math.prod(A.domain)
    units = torch.eye(n, dtype=torch.float64).reshape(n, *A.domain)
    return torch.stack([A(u[None]).flatten() for u in units], dim=1)


@every
def test_T_is_the_adjoint(make):
    A = make(torch.float64)
    x, r = numbers(5, *A.domain, seed=2), numbers(5, *A.codomain, seed=3)
    Ax, Atr = A(x), A.T(r)
    left, right = (Ax * r).flatten(1).sum(1), (x * Atr).flatten(1).sum(1)
    size = Ax.flatten(1).norm(dim=1) * r.flatten(1).norm(dim=1)
    assert bool(((left - right).abs() <= 1e-12 * size).all())


@every
def test_an_operator_is_linear(make):
    A = make(torch.float64)
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        x, y = numbers(3, *shape, seed=2), numbers(3, *shape, seed=3)
        assert_close(f(2.5 * x - y), 2.5 * f(x) - f(y), rtol=0, atol=2e-14)


@every
def test_shapes_are_those_of_domain_and_codomain(make):
    A = make(torch.float64)
    assert A(numbers(3, *A.domain)).shape == (3, *A.codomain)
    assert A.T(numbers(3, *A.codomain)).shape == (3, *A.domain)


@every
def test_norm_is_the_largest_singular_value(make):
    A = make(torch.float64)
    assert norm(A) == pytest.approx(float(torch.linalg.svdvals(dense(A))[0]), rel=1e-13)


@every
def test_norm_of_a_single_precision_operator_is_that_of_its_entries(make):
    A = make(torch.float32)
    assert norm(A) == pytest.approx(norm(make(torch.float64)), rel=1e-6)


@every
def test_a_row_alone_is_the_row_in_a_batch(make):
    A = make(torch.float64)
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        x = numbers(4, *shape, seed=2)
        assert_close(f(x[2:3]), f(x)[2:3], rtol=0, atol=1e-14)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(make, dtype):
    A = make(dtype)
    assert A(numbers(2, *A.domain).to(dtype)).dtype == dtype
    assert A.T(numbers(2, *A.codomain).to(dtype)).dtype == dtype


@every
@pytest.mark.parametrize(
    "move", [lambda A: A.double(), lambda A: A.to(torch.float64)], ids=["double", "to"]
)
def test_buffers_follow_to_double_precision(make, move):
    single = make(torch.float32)
    x = numbers(2, *single.domain)
    before, after = single(x.float()), move(make(torch.float32))
    assert {b.dtype for b in after.buffers()} <= {torch.float64, torch.complex128}
    assert after(x).dtype == torch.float64
    assert_close(after(x), before.double(), rtol=0, atol=1e-5)


@every
def test_fixed_arrays_are_buffers_and_not_saved_weights(make):
    A = make(torch.float64)
    assert A.state_dict() == {}
    assert list(A.parameters()) == []


@pytest.mark.parametrize("name, count", [("matrix", 1), ("mask", 1), ("blur", 1)])
def test_a_fixed_array_is_one_buffer(name, count):
    assert len(list(OPERATORS[name](torch.float64).buffers())) == count


@every
def test_a_deep_copy_is_the_same_operator(make):
    A = make(torch.float64)
    x = numbers(2, *A.domain)
    assert torch.equal(copy.deepcopy(A)(x), A(x))


@every
def test_an_operator_leaves_its_input_alone(make):
    A = make(torch.float64)
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        x = numbers(2, *shape)
        f(x)
        assert torch.equal(x, numbers(2, *shape))


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
