"""Numbers that rounding would spoil: answered as float64 answers, or refused in one line."""

import pytest
import torch

from dunfold_lib.newton_sr import envelope, ssnal
from dunfold_lib.newton_sr import lasso as lassos
from dunfold_lib.operators import Matrix
from dunfold_lib.small_target import algorithm
from dunfold_lib.sparse import ALISTA, LISTACP, HyperLISTA, theory


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def patches(dtype):
    """A dictionary of atoms without a mean: its rows sum to 0, but for rounding."""
    A = normal(64, 256).float()
    A = A - A.mean(0)
    return (A / A.norm(dim=0)).to(dtype)


MADE = (
    theory.analytic_weights,
    lambda A: ALISTA(Matrix(A), 3),
    lambda A: HyperLISTA(Matrix(A), 3),
    lambda A: LISTACP(Matrix(A), 3, W=theory.analytic_weights(A)),
)


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_dictionary_of_atoms_without_mean_is_refused_with_its_rank(make, dtype):
    with pytest.raises(ValueError, match=r"^A has shape \(64, 256\) and rank 63 at the tol.*$"):
        make(patches(dtype))


def conditioned(cond):
    """A (12, 20) of this condition number."""
    U, V = torch.linalg.qr(normal(12, 12))[0], torch.linalg.qr(normal(20, 12, seed=1))[0]
    return U * torch.logspace(0, -torch.log10(torch.tensor(cond)).item(), 12).double() @ V.T, V


def test_analytic_weights_are_right_up_to_where_they_are_refused():
    A, V = conditioned(1e6)  # A Aᵀ has condition 1e12
    W = theory.analytic_weights(A)
    torch.testing.assert_close(A.T @ W, V @ V.T / V.square().sum(1), rtol=0, atol=1e-8)
    with pytest.raises(ValueError, match=r"rank 10 at the tolerance 1.0e-07"):
        theory.analytic_weights(conditioned(3e8)[0])


def test_hyperlistas_inverse_has_the_rank_of_the_dtype():
    A = patches(torch.float32)
    assert float(HyperLISTA(Matrix(A), 2, W=A).pinv.abs().max()) < 10


def test_robust_pca_reaches_its_default_tolerance_in_float32():
    P = normal(60, 3) @ normal(3, 50) + 5 * (normal(60, 50, seed=2) > 2)
    exact, found = algorithm.rpca(P), algorithm.rpca(P.float())
    assert found.B.dtype == found.T.dtype == torch.float32
    torch.testing.assert_close(found.B, exact.B.float(), rtol=0, atol=1e-4)


def lasso(rows="", dtype=torch.float64):
    A, b = normal(60, 200) / 60**0.5, normal(60, seed=3)
    if rows:
        A[1] = A[0] if rows == "equal" else -A[0]
    return lassos.Lasso(A.to(dtype), b.to(dtype), 0.1)


@pytest.mark.parametrize("rows", ["", "equal", "opposite"])
def test_ssnal_reaches_its_default_tolerance_with_dependent_rows(rows):
    problem = lasso(rows)
    assert problem.kkt(ssnal.ssnal(problem).x) <= 1e-12


def test_ssnal_of_float32_is_computed_in_float64():
    found = ssnal.ssnal(lasso(dtype=torch.float32))
    assert found.kkt[-1] <= 1e-12
    assert found.x.dtype == found.xi.dtype == torch.float32
    torch.testing.assert_close(found.x, ssnal.ssnal(lasso()).x.float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "solve",
    [
        ssnal.ssnal,
        envelope.envelope_newton,
        *(lambda p, f=f: next(f(p)) for f in (lassos.ista, lassos.fista, lassos.admm)),
    ],
)
def test_a_matrix_of_zeros_is_refused(solve):
    problem = lasso()._replace(A=torch.zeros(60, 200, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"^A has ‖A‖₂² = 0; the step 1/‖A‖₂² needs more .*$"):
        solve(problem)


def test_nan_in_a_list_of_maps_is_refused():
    from dunfold_lib.small_target import data, scores

    bad = torch.full((32, 32), torch.nan)
    with pytest.raises(ValueError, match=r"^scenes holds 1024 NaN"):
        data.inject(torch.Generator(), [bad], 1, 32)
    with pytest.raises(ValueError, match=r"^score holds 1024 NaN"):
        scores.detection_curve([bad], [bad > 0], [0.5])


def test_a_blur_of_half_precision_is_told_in_one_line():
    from dunfold_lib.operators import Blur

    blur = Blur(torch.ones(3, 3), (6, 6))
    for f in (blur, blur.T):
        with pytest.raises(
            ValueError,
            match=r"^Blur\.\w+ failed inside on x \(1, 1, 6, 6\)|^Blur\.\w+ failed inside on r .*",
        ):
            f(torch.ones(1, 1, 6, 6).half())


def stacked(seed):
    """A small lasso under a multiple of the identity: the dual is large beside λ."""
    g = torch.Generator().manual_seed(seed)
    A = torch.randn(8, 12, generator=g, dtype=torch.float64)
    x = 2 * torch.randn(12, generator=g, dtype=torch.float64)
    eye = torch.eye(12, dtype=torch.float64) / 0.05**0.5
    return lassos.Lasso(torch.cat([A, eye]), torch.cat([A[:, :2].sum(1), x / 0.05**0.5]), 1.0)


@pytest.mark.parametrize("seed", range(8))
def test_ssnal_reaches_its_default_tolerance_where_the_dual_is_large(seed):
    """A penalty that grows without end loses the last digits to rounding in σAᵀξ."""
    problem = stacked(seed)
    assert problem.kkt(ssnal.ssnal(problem).x) <= 1e-12


@pytest.mark.parametrize("unit", [1e-4, 255.0, 3e4])
def test_ssnal_solves_a_lasso_in_any_unit(unit):
    """A and b times a unit, λ times its square, is the same problem; only KKT has another scale."""
    plain = stacked(0)
    other = lassos.Lasso(plain.A * unit, plain.b * unit, plain.lam * unit**2)
    found = ssnal.ssnal(other, tol=max(1e-12, 1e-13 * unit**2))
    assert torch.allclose(found.x, ssnal.ssnal(plain).x, atol=1e-9)
    assert torch.allclose(found.xi, unit * ssnal.ssnal(plain).xi, atol=1e-8 * unit)


def test_ssnal_never_claims_what_rounding_forbids_and_says_what_it_attained():
    plain = stacked(0)
    large = lassos.Lasso(plain.A * 1e4, plain.b * 1e4, plain.lam * 1e8)
    with pytest.raises(RuntimeError, match=r"KKT is (\S+) at best in 50 steps") as found:
        ssnal.ssnal(large)
    attained = float(str(found.value).split()[2])
    assert 1e-12 < attained < 1e-6
    assert large.kkt(ssnal.ssnal(large, tol=10 * attained).x) <= 10 * attained
