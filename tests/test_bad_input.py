"""Every public door refuses what it cannot use, in one line: what was given, what is allowed."""

import builtins

import numpy as np
import pytest
import torch
from refusals import INF, NAN, cases, ones, refused, spoilt

from dunfold_lib import checks, metrics, show
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.operators import Blur, Compose, Linear, Mask, Matrix, norm
from dunfold_lib.show import Curves, Frames, line
from dunfold_lib.sparse import data, duality, model, theory
from dunfold_lib.wavelets import Wavelet

whole_numbers = ones(2, 2, dtype=torch.int64)
LIST = "is a list; it must be a torch.Tensor"
WHOLE = "has dtype torch.int64; it must be a real floating-point tensor"
SIZE = r"it must be \(height, width\), both from 1"
ONE_BAD = "holds 1 NaN or infinite entries; all must be finite"

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


# show


IMAGE = r"it must be \(height, width\) or \(height, width, 3\)"


def grey(*shape):
    return np.full(shape, 0.5)


def curves(**changes):
    settings = {"xlabel": "x", "ylabel": "y", "alt": "a", "xlim": (0, 1), "ylim": (0, 1)}
    return Curves((line([0, 1], [0, 1]),), **(settings | changes))


@cases(
    (([1, 2], [1]), ValueError, "x has 2 points and y 1; a line needs as many of each"),
    (([1], ["high"]), ValueError, ".*could not convert string to float: 'high'.*"),
    (
        ([1], [1], "", 0, "wavy"),
        ValueError,
        "style is 'wavy'; it must be one of solid, dashed, dots, path",
    ),
)
def test_line_refuses(given, error, says):
    refused(lambda: line(*given), error, says)


@cases(
    (((grey(2, 2),), ()), ValueError, "1 images have 0 captions"),
    (((), ()), ValueError, "frames were given no image; they need at least one"),
    (((grey(4),), ("a",)), ValueError, rf"an image has shape \(4,\); {IMAGE}"),
    (((grey(4, 4, 4),), ("a",)), ValueError, rf"an image has shape \(4, 4, 4\); {IMAGE}"),
)
def test_frames_refuse(given, error, says):
    refused(lambda: Frames(*given, alt="a"), error, says)


@cases(
    (0, ValueError, "zoom is 0; it must be at least 1"),
    (1.5, TypeError, "zoom is 1.5; it must be a whole number"),
)
def test_frames_refuse_a_zoom(given, error, says):
    refused(lambda: Frames((grey(2, 2),), ("a",), "a", zoom=given), error, says)


def test_page_refuses_to_show_nothing():
    says = "page was given no panel; it needs at least one Curves or Frames"
    refused(show.page, ValueError, says)


def test_table_refuses_a_row_of_another_length():
    says = "a row has 1 cells; the table has 2 columns"
    refused(lambda: show.table(["a", "b"], [[1, 2], [3]]), ValueError, says)


def test_twins_refuse_what_has_no_source():
    says = "<built-in function len> has no source to show"
    refused(lambda: show.twins(builtins.len, curves), TypeError, says)


# explore


def slider(*values, start=0):
    return {"v": Slider("v", values, start)}


@cases(
    ({}, ValueError, "an explorer was given no slider; it needs at least one"),
    (slider(1, 2, start=2), ValueError, "slider v starts at 2 of 2 values"),
    (slider(1, 2, start=-1), ValueError, "slider v starts at -1 of 2 values"),
    (slider(), ValueError, "slider v starts at 0 of 0 values"),
    (slider(*range(81)), ValueError, "81 states to precompute; a page holds at most 80"),
)
def test_an_explorer_refuses(given, error, says):
    refused(lambda: Explorer(lambda v: curves(), given, "c"), error, says)


@cases(
    ((("a",), "a"), ValueError, "choices are .*; a guess needs two or more, all different"),
    ((("a", "a"), "a"), ValueError, "choices are .*; a guess needs two or more, all different"),
    ((("a", "b"), "c"), ValueError, "right is 'c'; it must be one of .*"),
    ((("a", 1), "a"), TypeError, ".*choices.*"),
)
def test_a_guess_refuses(given, error, says):
    refused(lambda: Guess("?", *given, "because"), error, says)


@cases(
    (lambda w: curves(), TypeError, ".* got an unexpected keyword argument 'v'"),
    (lambda v: curves(xlim=None), ValueError, "a panel .* no limits; it needs xlim and ylim"),
    (lambda v: curves(ylim=None), ValueError, "a panel .* no limits; it needs xlim and ylim"),
)
def test_the_page_of_an_explorer_refuses_a_figure_function(given, error, says):
    refused(Explorer(given, slider(1, 2), "c").html, error, says)


@cases(
    ({"L": NAN}, ValueError, ".*not JSON compliant.*"),
    ({"A": np.ones(2)}, TypeError, "Object of type ndarray is not JSON serializable"),
)
def test_the_page_of_an_explorer_refuses_a_problem_that_json_cannot_hold(given, error, says):
    made = Explorer(lambda v: curves(), slider(1, 2), "c", script="go", problem=given)
    refused(made.html, error, says)


# sparse.data


@cases(
    ({"m": 0}, ValueError, "m is 0; it must be at least 2"),
    ({"m": 1}, ValueError, "m is 1; it must be at least 2"),
    ({"n": -1}, ValueError, "n is -1; it must be at least 1"),
    ({"n": 2.0}, TypeError, "n is 2.0; it must be a whole number"),
    ({"p": 1.5}, ValueError, r"p is 1.5; it must be finite and in \[0, 1\]"),
    ({"p": -0.1}, ValueError, r"p is -0.1; it must be finite and in \[0, 1\]"),
    ({"snr_db": NAN}, ValueError, "snr_db is nan; it must be finite .*"),
    ({"snr_db": -INF}, ValueError, "snr_db is -inf; it must be finite .*"),
    ({"snr_db": "40"}, TypeError, "snr_db is '40'; it must be a number"),
)
def test_a_sparse_problem_refuses(given, error, says):
    refused(lambda: data.SparseProblem(**given), error, says)


@cases(
    (0, ValueError, "batch is 0; it must be at least 1"),
    (2.0, TypeError, "batch is 2.0; it must be a whole number"),
)
def test_a_sample_refuses_a_batch(given, error, says):
    problem = data.SparseProblem(m=2, n=3, dtype=torch.float64)
    draw = lambda: problem.sample(Matrix(ones(2, 3)), given, torch.Generator())
    refused(draw, error, says)


def test_a_sample_refuses_the_operator_of_another_problem(tiny):
    problem = data.SparseProblem(m=2, n=3, dtype=torch.float64)
    says = r"x has shape \(5, 3\); it must be \(batch, 20\)"
    refused(lambda: problem.sample(tiny[0], 5, torch.Generator()), ValueError, says)


@cases(
    (100, ValueError, "side is 100; it must divide 512"),
    (1024, ValueError, "side is 1024; it must divide 512"),
    (8, ValueError, "side is 8; it must be at least 16"),
    (64.0, TypeError, "side is 64.0; it must be a whole number"),
)
def test_photograph_refuses_a_side(given, error, says):
    refused(lambda: data.photograph(given), error, says)


@cases(
    ((8, 1.0), ValueError, "side is 8; it must be odd"),
    ((0, 1.0), ValueError, "side is 0; it must be at least 1"),
    ((9.0, 1.0), TypeError, "side is 9.0; it must be a whole number"),
    ((9, 0.0), ValueError, r"sigma is 0; it must be finite and in \(0, inf\]"),
    ((9, NAN), ValueError, r"sigma is nan; it must be finite and in \(0, inf\]"),
)
def test_gaussian_kernel_refuses(given, error, says):
    refused(lambda: data.gaussian_kernel(*given), error, says)


def image(*shape):
    """An image large enough for the default wavelet."""
    return 0.5 * ones(*(shape or (1, 1, 128, 128)))


@pytest.mark.parametrize("observe", [data.blurred, data.masked])
@cases(
    (([1.0], 0.5, 0.1), TypeError, f"truth {LIST}"),
    ((image().long(), 0.5, 0.1), TypeError, f"truth {WHOLE}"),
    ((spoilt(image()), 0.5, 0.1), ValueError, f"truth {ONE_BAD}"),
    (
        (image(0, 1, 128, 128), 0.5, 0.1),
        ValueError,
        r"truth has shape \(0, .*; it must not be empty",
    ),
    ((image(128), 0.5, 0.1), ValueError, r"truth has shape \(128,\); it must be \(batch, 1, .*"),
    (
        (image(1, 3, 128, 128), 0.5, 0.1),
        ValueError,
        r"\w+ has shape \(1, 3, .*; it must be \(batch, .*",
    ),
    ((image(1, 1, 128, 121), 0.5, 0.1), ValueError, r"levels is 0; size \(128, 121\) and db4 .*"),
    ((image(), 0.5, -0.1), ValueError, r"noise is -0.1; it must be finite and in \[0, inf\]"),
    ((image(), 0.0, 0.1), ValueError, r"(sigma|kept) is 0; it must be finite and in \(0, .*"),
)
def test_an_observation_refuses(observe, given, error, says):
    refused(lambda: observe(*given), error, says)


def test_masked_refuses_a_share_above_one():
    says = r"kept is 1.5; it must be finite and in \(0, 1\]"
    refused(lambda: data.masked(image(), 1.5, 0.1), ValueError, says)


# sparse.model: what the solvers share


SOLVERS = {
    "ista": lambda A, b, lam=0.1, **other: model.ista(A, b, lam, **({"K": 2} | other)),
    "fista": lambda A, b, lam=0.1, **other: model.fista(A, b, lam, **({"K": 2} | other)),
    "extrapolated": lambda A, b, lam=0.1, **other: model.extrapolated(A, b, lam, [0.0], **other),
    "lasso": lambda A, b, lam=0.1, **other: duality.lasso(A, b, lam, **other),
}
every = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS.keys())


@every
@cases(
    ([1.0], TypeError, f"b {LIST}"),
    (np.ones((1, 12)), TypeError, "b is a ndarray; it must be a torch.Tensor"),
    (ones(1, 12).long(), TypeError, f"b {WHOLE}"),
    (ones(0, 12), ValueError, r"b has shape \(0, 12\); it must not be empty"),
    (ones(12), ValueError, r"b has shape \(12,\); it must be \(batch, 12\)"),
    (ones(4, 20), ValueError, r"b has shape \(4, 20\); it must be \(batch, 12\)"),
    (spoilt(ones(4, 12)), ValueError, f"b {ONE_BAD}"),
    (ones(4, 12).float(), TypeError, "b has dtype torch.float32; A has torch.float64: one for all"),
)
def test_a_solver_refuses_a_measurement(tiny, solve, given, error, says):
    refused(lambda: solve(tiny[0], given), error, says)


@every
@cases(
    (-1.0, ValueError, r"lam is -1; it must be finite and in \[0, inf\]"),
    (NAN, ValueError, r"lam is nan; it must be finite and in \[0, inf\]"),
    ("0.1", TypeError, "lam is '0.1'; it must be a torch.Tensor or a number"),
    ([0.1], TypeError, r"lam is \[0.1\]; it must be a torch.Tensor or a number"),
    (np.ones((2, 2)), TypeError, "lam is a ndarray; it must be a torch.Tensor or a number"),
    (spoilt(ones(20)), ValueError, f"lam {ONE_BAD}"),
    (whole_numbers, TypeError, f"lam {WHOLE}"),
    (-ones(20), ValueError, r"the smallest lam is -1; it must be finite and in \[0, inf\]"),
    (ones(3), ValueError, r"lam has shape \(3,\); it must broadcast to \(4, 20\)"),
    (ones(5, 1, 1), ValueError, r"lam has shape \(5, 1, 1\); it must broadcast to \(4, 20\)"),
)
def test_a_solver_refuses_a_weight(tiny, solve, given, error, says):
    A, b, _ = tiny
    refused(lambda: solve(A, b, given), error, says)


@every
def test_a_solver_refuses_a_weight_with_more_rows_than_the_measurement(tiny, solve):
    A, b, _ = tiny
    says = r"lam has shape \(5, 1\); it must broadcast to \(1, 20\)"
    refused(lambda: solve(A, b[:1], 0.1 * ones(5, 1)), ValueError, says)


@every
def test_a_solver_refuses_a_tensor_in_the_place_of_an_operator(tiny, solve):
    A, b, _ = tiny
    refused(
        lambda: solve(A.A, b),
        TypeError,
        r"A is a Tensor; it must be an operators.Linear",
    )


@every
@cases(
    ([1.0], TypeError, f"start {LIST}"),
    (ones(4, 12), ValueError, r"start has shape \(4, 12\); it must be \(batch, 20\)"),
    (spoilt(ones(4, 20)), ValueError, f"start {ONE_BAD}"),
    (ones(2, 20), ValueError, "start has 2 rows of torch.float64; b has 4 rows of torch.float64"),
    (ones(4, 20).float(), TypeError, "start has dtype torch.float32; A has torch.float64: .*"),
)
def test_a_solver_refuses_a_start(tiny, solve, given, error, says):
    A, b, _ = tiny
    refused(lambda: solve(A, b, start=given), error, says)


stepping = ("ista", "fista", "extrapolated")


@pytest.mark.parametrize("solve", [SOLVERS[name] for name in stepping], ids=stepping)
@cases(
    (0.0, ValueError, r"L is 0; it must be finite and in \(0, inf\]"),
    (-1.0, ValueError, r"L is -1; it must be finite and in \(0, inf\]"),
    (NAN, ValueError, r"L is nan; it must be finite and in \(0, inf\]"),
    (ones(2, 2), TypeError, "L is a Tensor; it must be a number"),
)
def test_a_solver_refuses_a_lipschitz_constant(tiny, solve, given, error, says):
    A, b, _ = tiny
    refused(lambda: solve(A, b, L=given), error, says)


@pytest.mark.parametrize(
    "count",
    [
        lambda A, b, K: model.ista(A, b, 0.1, K),
        lambda A, b, K: model.fista(A, b, 0.1, K),
        lambda A, b, K: model.nesterov(K),
    ],
    ids=["ista", "fista", "nesterov"],
)
@cases(
    (-1, ValueError, "K is -1; it must be at least 0"),
    (1.5, TypeError, "K is 1.5; it must be a whole number"),
    (True, TypeError, "K is True; it must be a whole number"),
    ("3", TypeError, "K is '3'; it must be a whole number"),
)
def test_a_number_of_steps_is_refused(tiny, count, given, error, says):
    A, b, _ = tiny
    refused(lambda: count(A, b, given), error, says)


@cases(
    ([2.0], ValueError, r"beta is 2; it must be finite and in \[0, 1\]"),
    ([0.5, -0.1], ValueError, r"beta is -0.1; it must be finite and in \[0, 1\]"),
    ([NAN], ValueError, r"beta is nan; it must be finite and in \[0, 1\]"),
    (["0"], TypeError, r"betas\[0\] is '0'; it must be a number"),
)
def test_extrapolated_refuses(tiny, given, error, says):
    A, b, _ = tiny
    refused(lambda: model.extrapolated(A, b, 0.1, given), error, says)


@cases(
    ({"gap": 0.0}, ValueError, r"gap is 0; it must be finite and in \(0, inf\]"),
    ({"gap": NAN}, ValueError, r"gap is nan; it must be finite and in \(0, inf\]"),
    ({"limit": -1}, ValueError, "limit is -1; it must be at least 0"),
    ({"limit": 1.5}, TypeError, "limit is 1.5; it must be a whole number"),
    ({"limit": 3}, RuntimeError, "gap is .* of ½‖b‖² after 3 steps; 1.0e-10 was asked for"),
    ({"lam": 0.0}, ValueError, "lam is 0; it must be positive for a duality gap"),
)
def test_lasso_refuses(tiny, given, error, says):
    A, b, _ = tiny
    refused(lambda: duality.lasso(A, b, **({"lam": 0.1} | given)), error, says)


@cases(
    (-1.0, ValueError, "lam is -1; it must be positive for a duality gap"),
    (NAN, ValueError, "lam is nan; it must be positive for a duality gap"),
    (spoilt(ones(20), -2), ValueError, "lam is -2; it must be positive for a duality gap"),
)
def test_duality_gap_refuses_a_weight(tiny, given, error, says):
    A, b, x = tiny
    refused(lambda: duality.duality_gap(A, b, given, x), error, says)


@cases(
    ([1.0], TypeError, f"b {LIST}"),
    (spoilt(ones(4, 12)), ValueError, f"b {ONE_BAD}"),
    (ones(4, 20), ValueError, r"[br] has shape \(4, 20\); it must be \(batch, 12\)"),
)
def test_lam_max_refuses(tiny, given, error, says):
    refused(lambda: duality.lam_max(tiny[0], given), error, says)


def test_path_refuses_a_negative_weight(tiny):
    A, b, _ = tiny
    says = r"lam is -0.1; it must be finite and in \[0, inf\]"
    refused(lambda: duality.path(A, b, [0.1, -0.1]), ValueError, says)


# sparse.model: the networks; sparse.theory


NETWORKS = {
    "LISTA": model.LISTA,
    "LISTACP": model.LISTACP,
    "TiLISTA": model.TiLISTA,
    "ALISTA": model.ALISTA,
    "HyperLISTA": model.HyperLISTA,
}
nets = pytest.mark.parametrize("Network", NETWORKS.values(), ids=NETWORKS.keys())
layered = pytest.mark.parametrize("Network", list(NETWORKS.values())[:4], ids=list(NETWORKS)[:4])


@nets
@cases(
    ([1.0], TypeError, f"b {LIST}"),
    (ones(1, 12).long(), TypeError, "b has dtype torch.int64; it must be .*"),
    (ones(12), ValueError, r"b has shape \(12,\); it must be \(batch, 12\)"),
    (ones(4, 20), ValueError, r"b has shape \(4, 20\); it must be \(batch, 12\)"),
    (ones(1, 4, 12), ValueError, r"b has shape \(1, 4, 12\); it must be \(batch, 12\)"),
    (
        ones(4, 12).float(),
        TypeError,
        "b has dtype torch.float32; the network's matrix has torch.float64",
    ),
)
def test_a_network_refuses_a_measurement(tiny, Network, given, error, says):
    refused(lambda: Network(tiny[0], 2)(given), error, says)


@nets
@cases(
    ({"A": ones(12, 20)}, TypeError, "A is a Tensor; it must be an operators.Matrix"),
    ({"A": Mask(ones(4, 4))}, TypeError, "A is a Mask; it must be an operators.Matrix"),
    ({"K": 0}, ValueError, "K is 0; it must be at least 1"),
    ({"K": 2.0}, TypeError, "K is 2.0; it must be a whole number"),
    ({"W": [1.0]}, TypeError, f"W {LIST}"),
    ({"W": spoilt(ones(12, 20))}, ValueError, f"W {ONE_BAD}"),
    (
        {"W": ones(20, 12)},
        ValueError,
        r"W has shape \(20, 12\) of torch.float64; .* that of A, \(12, 20\) of torch.float64",
    ),
    (
        {"W": ones(12, 20).float()},
        TypeError,
        "W has dtype torch.float32; A has torch.float64: one for all",
    ),
)
def test_a_network_refuses_to_be_built(tiny, Network, given, error, says):
    refused(lambda: Network(**({"A": tiny[0], "K": 2} | given)), error, says)


@layered
@cases(
    ({"lam": -0.1}, ValueError, r"lam is -0.1; it must be finite and in \[0, inf\]"),
    ({"lam": NAN}, ValueError, r"lam is nan; it must be finite and in \[0, inf\]"),
    ({"support": (-0.1, 0.1)}, ValueError, r"support's share is -0.1; .* in \[0, 1\]"),
    ({"support": (0.1, 1.5)}, ValueError, r"support's largest share is 1.5; .* in \[0, 1\]"),
    ({"support": (NAN, 0.1)}, ValueError, r"support's share is nan; .* in \[0, 1\]"),
)
def test_a_layered_network_refuses(tiny, Network, given, error, says):
    refused(lambda: Network(tiny[0], 2, **given), error, says)


@cases(
    ([1.0], TypeError, f"A {LIST}"),
    (spoilt(ones(2, 3)), ValueError, f"A {ONE_BAD}"),
    (ones(3, 3), ValueError, r"A has shape \(3, 3\); it must be \(m, n\) with m < n"),
    (ones(3), ValueError, r"A has shape \(3,\); it must be \(m, n\) with m < n"),
)
def test_generalised_coherence_refuses(given, error, says):
    refused(lambda: theory.generalised_coherence(given), error, says)


@cases(
    (0.0, ValueError, r"mu is 0; it must be finite and in \(0, inf\]"),
    (NAN, ValueError, r"mu is nan; it must be finite and in \(0, inf\]"),
)
def test_certified_sparsity_refuses(given, error, says):
    refused(lambda: theory.certified_sparsity(given), error, says)


def test_coherence_refuses_weights_that_are_orthogonal_to_their_column():
    says = "a column has w_iᵀa_i = 0; it cannot be scaled to 1"
    A = torch.eye(2, 3, dtype=torch.float64) + 1
    W = A.clone()
    W[:, 0] = torch.tensor([1.0, -2.0])
    refused(lambda: theory.coherence(W, A), ValueError, says)


@pytest.mark.parametrize("low, high", [(-0.5, 0.5), (0.5, 1.5), (-0.5, 1.5)])
def test_values_must_lie_between_both_ends(low, high):
    says = r"x holds values from \S+ to \S+; it must lie in \[0, 1\]"
    refused(lambda: checks.within("x", torch.tensor([low, high]), 0, 1), ValueError, says)


def test_a_signal_of_another_precision_than_its_operator_is_refused_by_name():
    A = Matrix(torch.ones(2, 3, dtype=torch.float64))
    says = "x has dtype torch.float32; the operator has torch.float64"
    refused(lambda: A(torch.ones(1, 3)), TypeError, says)
