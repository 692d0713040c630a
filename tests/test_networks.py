"""The unrolled networks of chapter `sparse`: what they are before and after anything is learned."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared_networks import close, layered, normal, shaken, supports

from dunfold_lib.prox import soft, soft_select
from dunfold_lib.sparse import ALISTA, LISTA, LISTACP, SUPPORT, HyperLISTA, TiLISTA, ista, theory
from dunfold_lib.sparse.data import SparseProblem

# soft_select


def test_soft_select_of_none_is_soft():
    x = normal(5, 9)
    assert torch.equal(soft_select(x, 0.3, 0), soft(x, 0.3))
    none = torch.zeros(5, 1, dtype=torch.long)
    assert torch.equal(soft_select(x, 0.3, none), soft(x, 0.3))


def test_soft_select_of_all_leaves_what_exceeds_the_threshold():
    x = normal(5, 9)
    hard = x.where(x.abs() > 0.3, torch.zeros_like(x))
    assert torch.equal(soft_select(x, 0.3, 9), hard)
    assert torch.equal(soft_select(x, 0.3, torch.full((5, 1), 9)), hard)


def test_soft_select_leaves_the_largest_alone_and_shrinks_the_rest():
    x = torch.tensor([[3.0, -0.5, -2.0, 1.0, 0.1]])
    assert soft_select(x, 0.25, 2).tolist() == [[3.0, -0.25, -2.0, 0.75, 0.0]]
    assert soft_select(x, 2.5, 2).tolist() == [[3.0, 0.0, 0.0, 0.0, 0.0]]  # below t: not trusted


@given(st.integers(0, 10**6), st.lists(st.integers(0, 7), min_size=4, max_size=4))
def test_counts_by_row_are_the_counts_of_the_rows(seed, counts):
    x, t = normal(4, 7, seed=seed), 0.4
    together = soft_select(x, t, torch.tensor(counts)[:, None])
    alone = [soft_select(row[None], t, count) for row, count in zip(x, counts, strict=True)]
    assert torch.equal(together, torch.cat(alone))


def test_entries_that_tie_for_the_last_place_are_all_trusted():
    x = torch.tensor([[1.0, -2.0, 2.0, 2.0]])
    assert soft_select(x, 0.5, 1).tolist() == [[0.5, -2.0, 2.0, 2.0]]
    assert soft_select(x, 0.5, torch.tensor([[1]])).tolist() == [[0.5, -2.0, 2.0, 2.0]]


def test_an_entry_exactly_at_the_threshold_becomes_zero():
    x = torch.tensor([[0.5, -0.5]])
    assert not soft_select(x, 0.5, 2).any()


@pytest.mark.parametrize("count", [2, torch.tensor([[2]])], ids=["number", "tensor"])
def test_the_gradient_passes_trusted_entries_whole_and_their_threshold_not_at_all(count):
    x = torch.tensor([[3.0, -0.5, -2.0, 1.0, 0.1]], requires_grad=True)
    t = torch.full((1, 5), 0.25, requires_grad=True)
    soft_select(x, t, count).sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0, 1.0, 1.0, 0.0]]
    assert t.grad.tolist() == [[0.0, 1.0, 0.0, -1.0, 0.0]]  # d/dt of −sign(x)·t off the trusted


# twins


@supports
@pytest.mark.parametrize("Network", [LISTA, LISTACP, TiLISTA])
def test_an_untrained_network_is_ista_iterate_by_iterate(Network, support, tiny):
    A, b, _ = tiny
    K = 9
    if any(support):  # trusts nobody while its share is below one entry
        support = (0.04 / K, 1.0)
    net = Network(A, K, 0.1, support=support)
    xs, twin = net.iterates(b), ista(A, b, 0.1, K)
    assert len(xs) == len(twin) == K + 1
    for x, y in zip(xs, twin, strict=True):
        close(x, y)


def test_alista_with_the_weights_of_ista_is_ista(tiny):
    A, b, _ = tiny
    L = A.known_norm() ** 2
    net = ALISTA(A, 9, 0.1 / L, W=A.A / L)
    for x, y in zip(net.iterates(b), ista(A, b, 0.1, 9), strict=True):
        close(x, y)


@supports
@layered
def test_from_given_weights_a_network_is_the_analytic_iteration(Network, support, tiny):
    A, b, _ = tiny
    W = theory.analytic_weights(A.A)
    net = Network(A, 6, 0.1, W=W, support=support)
    x = torch.zeros_like(net(b))
    for k, y in enumerate(net.iterates(b)[1:]):
        v = x + (b - x @ A.A.T) @ W
        trusted = int(min(support[0] * (k + 1), support[1]) * 20 + 1e-9)
        x = v.sign() * (v.abs() - 0.1).clamp(min=0)
        for row in range(len(b)):
            for i in v[row].abs().argsort(descending=True)[:trusted]:
                x[row, i] = v[row, i] if v[row, i].abs() > 0.1 else 0
        close(y, x)


def test_alista_takes_the_analytic_weights_where_none_are_given(tiny):
    A = tiny[0]
    assert torch.equal(ALISTA(A, 2).W, theory.analytic_weights(A.A))
    assert torch.equal(HyperLISTA(A, 2).W, theory.analytic_weights(A.A))


def test_lista_cp_written_as_lista_has_the_same_iterates(tiny):
    A, b, _ = tiny
    coupled, free = shaken(LISTACP(A, 7, 0.1)), LISTA(A, 7)
    with torch.no_grad():
        for k in range(7):
            free.W1[k].copy_(coupled.W[k].T)
            free.W2[k].copy_(torch.eye(20) - coupled.W[k].T @ A.A)
        free.theta.copy_(coupled.theta)
    for x, y in zip(coupled.iterates(b), free.iterates(b), strict=True):
        close(x, y)


def test_tilista_and_alista_are_lista_cp_with_w_scaled_by_gamma(tiny):
    A, b, _ = tiny
    for net in (shaken(TiLISTA(A, 5, 0.1)), shaken(ALISTA(A, 5, 0.1))):
        coupled = LISTACP(A, 5)
        with torch.no_grad():
            coupled.theta.copy_(net.theta)
            for k in range(5):
                coupled.W[k].copy_(net.gamma[k] * net.W)
        for x, y in zip(net.iterates(b), coupled.iterates(b), strict=True):
            close(x, y)


# the selected support


def test_the_trusted_entries_follow_the_papers_percentages():
    """min(1.2 k, 13) percent of 500 for layer k = 1…16, in whole numbers."""
    A = SparseProblem().operator()
    exact = [int(min(Fraction(12, 1000) * k, Fraction(13, 100)) * 500) for k in range(1, 17)]
    assert ALISTA(A, 16, support=SUPPORT).trust == exact
    assert exact[0] == 6
    assert exact[-1] == 65


# HyperLISTA


def by_hand(A, b, c, K):
    """HyperLISTA of one signal, entry by entry."""
    W, pinv = theory.analytic_weights(A.A), torch.linalg.pinv(A.A)
    x = before = torch.zeros(A.domain[0], dtype=torch.float64)
    xs = [x]
    for _ in range(K):
        r = A.A @ x - b
        size, whole = float((pinv @ r).abs().sum()), float((pinv @ b).abs().sum())
        share = min(max(c[2] * float(torch.tensor(whole / size).log()), 0.0), 1.0)
        v = x - W.T @ r + c[1] * int((x != 0).sum()) * (x - before)
        order = v.abs().argsort(descending=True)
        new = v.sign() * (v.abs() - c[0] * size).clamp(min=0)
        for i in order[: int(share * len(x))]:
            new[i] = v[i] if v[i].abs() > c[0] * size else 0
        before, x = x, new
        xs.append(x)
    return torch.stack(xs)


def test_hyperlista_is_its_formulas_written_out_for_each_signal(tiny):
    A, b, _ = tiny
    c = (0.01, 0.02, 0.1)
    xs = torch.stack(HyperLISTA(A, 6, c).iterates(b))
    for row in range(4):
        close(xs[:, row], by_hand(A, b[row], c, 6))
    # each number matters, otherwise the test above says nothing about it
    for i in range(3):
        other = torch.stack(
            HyperLISTA(A, 6, tuple(v * (i != j) for j, v in enumerate(c))).iterates(b)
        )
        assert (other[-1] - xs[-1]).abs().max() > 1e-6


def test_the_first_step_of_hyperlista_knows_neither_momentum_nor_support(tiny):
    A, b, _ = tiny
    first = HyperLISTA(A, 1, (0.01, 5.0, 5.0))(b)
    size = (b @ torch.linalg.pinv(A.A).T).abs().sum(1, keepdim=True)
    close(first, soft(b @ theory.analytic_weights(A.A), 0.01 * size))


def test_hyperlista_of_zeros_is_the_analytic_iteration_without_threshold(tiny):
    A, b, _ = tiny
    for x, y in pairwise(HyperLISTA(A, 4).iterates(b)):
        close(y, x + (b - A(x)) @ theory.analytic_weights(A.A))


def test_hyperlista_scales_with_its_signal(tiny):
    A, b, _ = tiny
    net = HyperLISTA(A, 6, (0.01, 0.02, 0.1))
    for x, y in zip(net.iterates(b), net.iterates(8 * b), strict=True):
        assert torch.equal(8 * x, y)  # a power of two: no rounding differs


def test_hyperlista_takes_a_signal_of_zeros(tiny):
    A, b, _ = tiny
    assert not HyperLISTA(A, 3, (0.01, 0.02, 0.1))(0 * b).any()
