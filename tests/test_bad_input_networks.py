"""Of bad input: networks."""

import pytest
import torch
from refusals import NAN, cases, ones, refused, spoilt
from shared_bad_input import LIST, ONE_BAD

from dunfold_lib import checks
from dunfold_lib.operators import Mask, Matrix
from dunfold_lib.sparse import model, theory

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
