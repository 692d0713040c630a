"""Of bad input: solvers."""

import numpy as np
import pytest
import torch
from refusals import INF, NAN, cases, ones, refused, spoilt
from shared_bad_input import LIST, ONE_BAD, WHOLE, whole_numbers

from dunfold_lib.operators import Matrix
from dunfold_lib.sparse import algorithm, data, duality

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


def image(*shape):
    """An image large enough for the default wavelet."""
    return 0.5 * ones(*(shape or (1, 1, 128, 128)))


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
    ((image(), 0.0, 0.1), ValueError, r"kept is 0; it must be finite and in \(0, .*"),
)
def test_an_observation_refuses(given, error, says):
    refused(lambda: data.masked(*given), error, says)


def test_masked_refuses_a_share_above_one():
    says = r"kept is 1.5; it must be finite and in \(0, 1\]"
    refused(lambda: data.masked(image(), 1.5, 0.1), ValueError, says)


# sparse.model: what the solvers share


SOLVERS = {
    "ista": lambda A, b, lam=0.1, **other: algorithm.ista(A, b, lam, **({"K": 2} | other)),
    "fista": lambda A, b, lam=0.1, **other: algorithm.fista(A, b, lam, **({"K": 2} | other)),
    "extrapolated": lambda A, b, lam=0.1, **other: algorithm.extrapolated(
        A, b, lam, [0.0], **other
    ),
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
    refused(lambda: solve(A.A, b), TypeError, r"A is a Tensor; it must be an operators.Linear")


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
        lambda A, b, K: algorithm.ista(A, b, 0.1, K),
        lambda A, b, K: algorithm.fista(A, b, 0.1, K),
        lambda A, b, K: algorithm.nesterov(K),
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
    refused(lambda: algorithm.extrapolated(A, b, 0.1, given), error, says)


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
