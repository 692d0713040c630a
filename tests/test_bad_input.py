"""Every public door refuses what it cannot use, in one line: what was given, what is allowed."""

import numpy as np
import pytest
import torch
from refusals import INF, NAN, cases, ones, refused, spoilt
from shared_bad_input import LIST, ONE_BAD, WHOLE, whole_numbers

from dunfold_lib import checks, metrics
from dunfold_lib.operators import Blur, Compose, Linear, Mask, Matrix, norm
from dunfold_lib.wavelets import Wavelet

SIZE = r"it must be \(height, width\), both from 1"


# checks


@cases(
    ([1.0], TypeError, f"x {LIST}"),
    (np.ones(2), TypeError, "x is a ndarray; it must be a torch.Tensor"),
    (whole_numbers, TypeError, f"x {WHOLE}"),
    (ones(2) > 0, TypeError, "x has dtype torch.bool; it must be a real floating-point tensor"),
    (ones(2) * 1j, TypeError, "x has dtype torch.complex128; it must be a real floating-.*"),
    (ones(0, 3), ValueError, r"x has shape \(0, 3\); it must not be empty"),
    (torch.tensor([1.0, NAN, -INF]), ValueError, "x holds 2 NaN or infinite entries; all must .*"),
)
def test_finite_refuses(given, error, says):
    refused(lambda: checks.finite("x", given), error, says)


def test_finite_refuses_another_shape():
    x = torch.ones(2, 3)
    checks.finite("x", x, ("m", 3))
    says = r"x has shape \(2, 3\); it must be \(m, 4\)"
    refused(lambda: checks.finite("x", x, ("m", 4)), ValueError, says)


@cases(
    (ones(3), ValueError, r"x has shape \(3,\); it must be \(batch, 2, 3\)"),
    (ones(2, 3), ValueError, r"x has shape \(2, 3\); it must be \(batch, 2, 3\)"),
    (ones(1, 3, 2), ValueError, r"x has shape \(1, 3, 2\); it must be \(batch, 2, 3\)"),
    (ones(1, 1, 2, 3), ValueError, r"x has shape \(1, 1, 2, 3\); it must be \(batch, 2, 3\)"),
    ([[1.0]], TypeError, f"x {LIST}"),
)
def test_rows_refuses(given, error, says):
    refused(lambda: checks.rows("x", given, (2, 3)), error, says)


@cases(
    ((NAN,), ValueError, r"t is nan; it must be finite and in \(-inf, inf\]"),
    ((INF, 0), ValueError, r"t is inf; it must be finite and in \[0, inf\]"),
    ((-0.5, 0), ValueError, r"t is -0.5; it must be finite and in \[0, inf\]"),
    ((2, 0, 1), ValueError, r"t is 2; it must be finite and in \[0, 1\]"),
    ((True,), TypeError, "t is True; it must be a number"),
    (("1",), TypeError, "t is '1'; it must be a number"),
    ((1j,), TypeError, "t is 1j; it must be a number"),
    ((ones(2, 2),), TypeError, "t is a Tensor; it must be a number"),
)
def test_number_refuses(given, error, says):
    refused(lambda: checks.number("t", *given), error, says)


def test_number_refuses_the_end_of_an_open_interval():
    says = r"t is 0; it must be finite and in \(0, inf\]"
    refused(lambda: checks.number("t", 0, 0, open_low=True), ValueError, says)
    checks.number("t", 0, 0)


@cases(
    (-1, ValueError, "k is -1; it must be at least 0"),
    (1.5, TypeError, "k is 1.5; it must be a whole number"),
    (2.0, TypeError, "k is 2.0; it must be a whole number"),
    (True, TypeError, "k is True; it must be a whole number"),
    ("3", TypeError, "k is '3'; it must be a whole number"),
    (ones(2, 2), TypeError, "k is a Tensor; it must be a whole number"),
)
def test_whole_refuses(given, error, says):
    refused(lambda: checks.whole("k", given), error, says)


def test_a_layer_is_one_of_the_networks():
    checks.layer(0, 3, "layers")
    checks.layer(3, 3, "stages", 1)
    refused(lambda: checks.layer(4, 3, "layers"), ValueError, "k is 4; the network has 3 layers")
    refused(lambda: checks.layer(0, 3, "stages", 1), ValueError, "k is 0; it must be at least 1")
    refused(
        lambda: checks.layer(1.0, 3, "layers"), TypeError, "k is 1.0; it must be a whole number"
    )


@cases(
    ((8,), ValueError, rf"side is \(8,\); {SIZE}"),
    (8, ValueError, f"side is 8; {SIZE}"),
    ((8.0, 8.0), ValueError, rf"side is \(8.0, 8.0\); {SIZE}"),
    ((8, 0), ValueError, rf"side is \(8, 0\); {SIZE}"),
)
def test_size_refuses(given, error, says):
    refused(lambda: checks.size("side", given), error, says)


# operators


@cases(
    ([[1.0]], TypeError, f"A {LIST}"),
    (whole_numbers, TypeError, f"A {WHOLE}"),
    (spoilt(ones(2, 2)), ValueError, f"A {ONE_BAD}"),
    (ones(0, 2), ValueError, r"A has shape \(0, 2\); it must not be empty"),
    (ones(2), ValueError, r"A has shape \(2,\); it must be a matrix \(m, n\)"),
    (ones(2, 2, 2), ValueError, r"A has shape \(2, 2, 2\); it must be a matrix \(m, n\)"),
)
def test_matrix_refuses(given, error, says):
    refused(lambda: Matrix(given), error, says)


@cases(
    ([[1.0]], TypeError, f"mask {LIST}"),
    (whole_numbers, TypeError, f"mask {WHOLE}"),
    (spoilt(ones(2, 2)), ValueError, f"mask {ONE_BAD}"),
    (ones(2, 0), ValueError, r"mask has shape \(2, 0\); it must not be empty"),
    (ones(4), ValueError, r"mask has shape \(4,\); it must be 2-D and hold 0 and 1"),
    (
        spoilt(ones(2, 3), 0.5),
        ValueError,
        r"mask has .*\(2, 3\).*; it must be 2-D and hold 0 and 1",
    ),
    (-ones(2, 3), ValueError, r"mask has .*\(2, 3\).*; it must be 2-D and hold 0 and 1"),
)
def test_mask_refuses(given, error, says):
    refused(lambda: Mask(given), error, says)


@cases(
    (([[1.0]], (8, 8)), TypeError, f"kernel {LIST}"),
    ((whole_numbers, (8, 8)), TypeError, f"kernel {WHOLE}"),
    ((spoilt(ones(3, 3)), (8, 8)), ValueError, f"kernel {ONE_BAD}"),
    ((ones(0, 3), (8, 8)), ValueError, r"kernel has shape \(0, 3\); it must not be empty"),
    ((ones(4, 3), (8, 8)), ValueError, r"kernel has shape \(4, 3\); its sides must be odd and .*"),
    ((ones(3, 2), (8, 8)), ValueError, r"kernel has shape \(3, 2\); its sides must be odd and .*"),
    ((ones(3, 5), (8, 4)), ValueError, r"kernel has shape \(3, 5\); .* at most \(8, 4\)"),
    ((ones(3), (8, 8)), ValueError, r"kernel has shape \(3,\); its sides must be odd and .*"),
    ((ones(3, 3), (8,)), ValueError, "size has 1 items; it must have 2"),
    ((ones(3, 3), (8, 8, 8)), ValueError, "size has 3 items; it must have 2"),
)
def test_blur_refuses(given, error, says):
    refused(lambda: Blur(*given), error, says)


@cases(
    (
        ((8, 8), "nonsense", 1),
        ValueError,
        "name is 'nonsense'; it must be an orthogonal wavelet .*",
    ),
    (((8, 8), "bior2.2", 1), ValueError, "name is 'bior2.2'; it must be an orthogonal wavelet .*"),
    (((128, 128), "dmey", 1), ValueError, "name is 'dmey'; it must be an orthogonal wavelet .*"),
    (((8, 8), None, 1), TypeError, "name is None; it must be a text"),
    (((8, 12), "haar", 3), ValueError, r"levels is 3; size \(8, 12\) and haar allow 1 to 2"),
    (((9, 8), "haar", 1), ValueError, r"levels is 1; size \(9, 8\) and haar allow none"),
    (((0, 8), "haar", 1), ValueError, rf"size is \(0, 8\); {SIZE}"),
    (((-8, 8), "haar", 1), ValueError, rf"size is \(-8, 8\); {SIZE}"),
    (((16, 16), "db4", 2), ValueError, r"levels is 2; size \(16, 16\) and db4 allow 1 to 1"),
    (((8,), "haar", 1), ValueError, "size has 1 items; it must have 2"),
    (((8, 8, 8), "haar", 1), ValueError, "size has 3 items; it must have 2"),
    (((8, 8), "haar", 0), ValueError, r"levels is 0; size \(8, 8\) and haar allow 1 to 3"),
    (((8, 8), "haar", 1.0), TypeError, "levels is 1.0; it must be a whole number"),
    (((8, 8), "haar", True), TypeError, "levels is True; it must be a whole number"),
)
def test_wavelet_refuses(given, error, says):
    refused(lambda: Wavelet(*given), error, says)


def test_compose_refuses_maps_that_do_not_meet():
    A = Matrix(ones(3, 4))
    refused(lambda: Compose(A, A), ValueError, r"outer takes \(4,\) but inner gives \(3,\)")


DOORS = {
    "matrix": Matrix(ones(2, 3)),
    "mask": Mask(ones(8, 4)),
    "blur": Blur(ones(3, 3), (8, 4)),
    "wavelet": Wavelet((8, 4), "haar", 1),
    "compose": Compose(Mask(ones(8, 4)), Wavelet((8, 4), "haar", 1)),
}


@pytest.mark.parametrize("A", DOORS.values(), ids=DOORS.keys())
def test_an_operator_refuses_rows_that_are_not_its_own(A):
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        wanted = ", ".join(map(str, shape))
        for given in ((5,), (1, 5), shape, (1, *shape, 1), (2, *shape[:-1], shape[-1] + 1)):
            has = ", ".join(map(str, given)) + ("," if len(given) == 1 else "")
            says = rf"[xr] has shape \({has}\); it must be \(batch, {wanted}\)"
            refused(lambda f=f, given=given: f(ones(*given)), ValueError, says)


@pytest.mark.parametrize("A", DOORS.values(), ids=DOORS.keys())
def test_an_operator_refuses_a_list_and_whole_numbers(A):
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        given = ones(1, *shape, dtype=torch.int64)
        refused(lambda f=f: f([1.0]), TypeError, f"[xr] {LIST}")
        refused(lambda f=f, given=given: f(given), TypeError, f"[xr] {WHOLE}")


class Doubling(Linear):
    """x ↦ 2 x, which does not know its norm."""

    domain = codomain = (3,)

    def forward(self, x):
        return 2 * x

    T = forward


@cases(
    (0, ValueError, "iterations is 0; it must be at least 1"),
    (-1, ValueError, "iterations is -1; it must be at least 1"),
    (1.5, TypeError, "iterations is 1.5; it must be a whole number"),
)
def test_norm_refuses(given, error, says):
    assert norm(Doubling()) == pytest.approx(2, rel=1e-14)
    refused(lambda: norm(Doubling(), given), error, says)


# metrics


@pytest.mark.parametrize("score", [metrics.nmse_db, metrics.nmse_db_median, metrics.psnr])
@cases(
    (([1.0], ones(2)), TypeError, f"estimate {LIST}"),
    ((ones(2), [1.0]), TypeError, f"truth {LIST}"),
    ((ones(2, 2), whole_numbers), TypeError, f"truth {WHOLE}"),
    ((spoilt(ones(2, 2)), ones(2, 2)), ValueError, f"estimate {ONE_BAD}"),
    ((ones(2, 2), spoilt(ones(2, 2), INF)), ValueError, f"truth {ONE_BAD}"),
    ((ones(0, 2), ones(0, 2)), ValueError, r"estimate has shape \(0, 2\); it must not be empty"),
    (
        (ones(1, 2), ones(2, 2)),
        ValueError,
        r"estimate and truth have shapes \(1, 2\) and \(2, 2\).*",
    ),
)
def test_a_metric_refuses(score, given, error, says):
    refused(lambda: score(*given), error, says)


@pytest.mark.parametrize("score", [metrics.nmse_db, metrics.nmse_db_median])
def test_nmse_refuses_a_truth_of_zeros(score):
    says = "truth is zero everywhere; its NMSE has no value in dB"
    refused(lambda: score(ones(2, 2), 0 * ones(2, 2)), ValueError, says)


def test_the_median_over_rows_refuses_a_tensor_without_rows():
    says = r"truth has shape \(4,\); it must be \(batch, …\)"
    refused(lambda: metrics.nmse_db_median(ones(4), ones(4)), ValueError, says)


@cases(
    (0, ValueError, r"peak is 0; it must be finite and in \(0, inf\]"),
    (-1.0, ValueError, r"peak is -1; it must be finite and in \(0, inf\]"),
    (NAN, ValueError, r"peak is nan; it must be finite and in \(0, inf\]"),
    ("1", TypeError, "peak is '1'; it must be a number"),
)
def test_psnr_refuses(given, error, says):
    refused(lambda: metrics.psnr(ones(2), 0 * ones(2), given), error, says)
