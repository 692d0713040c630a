"""Of theory: limits."""

import numpy as np
import pytest
import torch
from shared_theory import SIZE, errors, matrix, proven, signals, weights

from dunfold_lib.sparse import ALISTA, LISTA, LISTACP, theory


def test_beyond_the_certified_sparsity_the_bound_grows_and_the_error_stays():
    A, W = matrix(*SIZE), weights("QP", *SIZE)
    mu = theory.coherence(W, A.A)
    s = 5 * theory.certified_sparsity(mu)
    net, E = proven(ALISTA, A, W, mu, s, 1.0, 60)
    x = signals(SIZE[1], s, 20)
    assert E[-1] > 1e3 * E[0]
    assert (errors(net, A(x), x)[-1] > 1).all()


@pytest.mark.parametrize("kind", ["LP", "QP", "A"])
def test_past_the_largest_step_the_bound_grows_and_the_error_stays(kind):
    A, W = matrix(*SIZE), weights(kind, *SIZE)
    mu = theory.coherence(W, A.A)
    net, E = proven(ALISTA, A, W, mu, 2, 1.05 * theory.largest_step(mu, 2), 60)
    x = signals(SIZE[1], 2, 20)
    assert E[-1] > 2 * E[0]
    assert (errors(net, A(x), x)[-1] > 0.1).all()


@pytest.mark.parametrize("kind", ["LP", "QP", "A"])
@pytest.mark.parametrize("sigma", [1e-2, 1e-5])
def test_lista_cp_with_noise_has_no_false_positives_and_keeps_its_bound(kind, sigma):
    """Chen et al. 2018, theorem 2, noise measured in ℓ1: ‖Wᵀε‖_∞ ≤ max|W| ‖ε‖₁."""
    A, W = matrix(*SIZE), weights(kind, *SIZE)
    mu = theory.coherence(W, A.A)
    for s in range(2, theory.certified_sparsity(mu) + 1):
        x = signals(SIZE[1], s, 40, seed=s)
        e = torch.randn(40, SIZE[0], generator=torch.Generator().manual_seed(s)).double()
        e *= sigma / e.abs().sum(1, keepdim=True)
        noise = float(W.abs().max()) * sigma
        net, E = proven(LISTACP, A, W, mu, s, 1.0, 60, noise)
        with torch.no_grad():
            for y, bound in zip(net.iterates(A(x) + e), E, strict=True):
                assert not (y[x == 0]).any()
                assert ((y - x).abs().sum(1) <= bound * (1 + 1e-9)).all()
        assert E[-1] < E[0]


def test_thresholds_that_forget_the_noise_let_false_positives_through():
    A, W = matrix(*SIZE), weights("LP", *SIZE)
    mu = theory.coherence(W, A.A)
    net, _ = proven(LISTACP, A, W, mu, 2, 1.0, 40)
    x, sigma = signals(SIZE[1], 2, 40), 1e-2
    e = torch.randn(40, SIZE[0], generator=torch.Generator().manual_seed(0)).double()
    y = net(A(x) + sigma * e / e.abs().sum(1, keepdim=True)).detach()
    assert y[x == 0].any()


@pytest.mark.parametrize("kind", ["LP", "QP", "A"])
def test_without_a_threshold_the_iteration_diverges(kind):
    """Since I − WᵀA has a spectral radius above 1; a norm above 1 would not prove it."""
    A, W = matrix(60, 120), weights(kind, 60, 120)
    radius = theory.spectral_radius(W, A.A)
    assert radius > 1.05
    x = signals(120, 2, 10)
    error = errors(ALISTA(A, 200, 0.0, W), A(x), x)
    assert (error[-1] > 1e3 * error[0]).all()
    growth = (error[-1] / error[-41]).log().mean() / 40  # the radius is what it grows by
    assert float(growth) == pytest.approx(np.log(radius), rel=0.05)


def test_a_norm_above_1_alone_does_not_make_an_iteration_diverge():
    """I − WᵀA = [[0, 2], [0, 0]]: norm 2, radius 0, zero after two steps."""
    A, W = torch.eye(2).double(), torch.tensor([[1.0, 0.0], [-2.0, 1.0]]).double()
    expands = torch.eye(2).double() - W.T @ A
    assert torch.linalg.matrix_norm(expands, 2) == pytest.approx(2)
    assert theory.spectral_radius(W, A) == 0
    assert not (expands @ expands).any()


def test_once_the_thresholds_fall_below_rounding_the_proven_network_diverges():
    """The theorem holds in exact arithmetic; the bound promises 1e-50 where round-off has grown."""
    A, W = matrix(60, 120), weights("LP", 60, 120)
    mu = theory.coherence(W, A.A)
    net, E = proven(ALISTA, A, W, mu, 2, 1.0, 250)
    x = signals(120, 2, 20)
    error = torch.stack(errors(net, A(x), x)).amax(1)
    assert E[-1] < 1e-50
    assert error[:60].min() < 1e-14
    assert error[-1] > 1


def test_off_the_coupling_the_error_does_not_go_to_zero():
    """Contrapositive of Chen et al. 2018, theorem 1: W2 must tend to I − W1 A, also where θ → 0."""
    A, W = matrix(*SIZE), weights("LP", *SIZE)
    mu = theory.coherence(W, A.A)
    coupled, E = proven(LISTA, A, W, mu, 2, 1.0, 40)
    x = signals(SIZE[1], 2, 20)
    D = torch.randn(240, 240, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    D *= 0.05 / torch.linalg.matrix_norm(D, 2)
    assert errors(coupled, A(x), x)[-1].max() < 1e-12
    with torch.no_grad():
        for W2 in coupled.W2:
            W2 += D
    after = errors(coupled, A(x), x)
    assert E[20] < 1e-10
    assert (after[20] > 1e-3).all()
    assert (after[40] > 1e-3).all()


def test_a_lista_starts_from_the_coupling_exactly():
    A, W = matrix(50, 100), weights("QP", 50, 100)
    net = LISTA(A, 2, W=W)
    for W1, W2 in zip(net.W1, net.W2, strict=True):
        eye = torch.eye(100, dtype=torch.float64)
        assert (W2 - eye + W1 @ A.A).abs().max() < 1e-14
