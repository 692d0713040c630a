"""The unrolled networks of chapter `sparse`: what they are before and after anything is learned."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call

from dunfold_lib.operators import Matrix
from dunfold_lib.prox import soft, soft_select
from dunfold_lib.sparse import (
    ALISTA,
    LISTA,
    LISTACP,
    SUPPORT,
    HyperLISTA,
    TiLISTA,
    ista,
    theory,
)
from dunfold_lib.sparse.data import SparseProblem

LAYERED = (LISTA, LISTACP, TiLISTA, ALISTA)
layered = pytest.mark.parametrize("Network", LAYERED)
supports = pytest.mark.parametrize("support", [(0.0, 0.0), (0.1, 0.25)], ids=["plain", "ss"])
ROUNDING = 1e-12  # of float64 iterates of size one


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shaken(net, by=0.02):
    """The network with every parameter moved a little: no two layers alike, no ties."""
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p += by * normal(*p.shape, seed=i)
            if p.ndim == 1 and len(p) == net.K:
                p.abs_()
    return net


def networks(A, K=3, lam=0.05):
    """Every network, learned-looking, with and without support selection."""
    yield from (shaken(N(A, K, lam)) for N in LAYERED)
    yield from (shaken(N(A, K, lam, support=(0.1, 0.25))) for N in LAYERED)
    yield HyperLISTA(A, K, (0.01, 0.02, 0.05))


def close(x, y, tolerance=ROUNDING):
    torch.testing.assert_close(x, y, rtol=0, atol=tolerance)


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


# what every network is


def test_parameter_counts_are_the_published_ones(tiny):
    A, m, n, K = tiny[0], 12, 20, 3
    count = lambda net: sum(p.numel() for p in net.parameters())
    assert count(LISTA(A, K)) == K * (m * n + n * n) + K
    assert count(LISTACP(A, K)) == K * m * n + K
    assert count(TiLISTA(A, K)) == m * n + 2 * K
    assert count(ALISTA(A, K)) == 2 * K
    assert count(HyperLISTA(A, K)) == 3


def test_parameter_counts_at_the_papers_size():
    A = SparseProblem().operator()
    nets = [*(N(A, 16) for N in LAYERED), HyperLISTA(A, 16)]
    counts = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert counts == [6_000_016, 2_000_016, 125_032, 32, 3]


def test_no_two_layers_share_memory_and_none_with_the_callers_matrix(tiny):
    A, W = tiny[0], theory.analytic_weights(tiny[0].A)
    for net in [*(N(A, 3, W=W) for N in LAYERED), HyperLISTA(A, 3, W=W)]:
        fixed = [t for t in net.buffers() if t is not A.A]
        pointers = [t.data_ptr() for t in [*net.parameters(), *fixed]] + [W.data_ptr()]
        assert len(set(pointers)) == len(pointers)
        assert A.A.data_ptr() not in pointers


@supports
@layered
def test_every_layer_gets_a_gradient_in_each_of_its_weights(Network, support, tiny):
    A, b, x = tiny
    net = Network(A, 4, 0.02, support=support)
    (net(b) - x).square().sum().backward()
    for name, p in net.named_parameters():
        if name == "W2.0":  # it multiplies x⁰ = 0
            assert not p.grad.any()
        elif p.ndim == 1:
            assert (p.grad != 0).all(), name
        else:
            assert p.grad.any(), name


@pytest.mark.parametrize("i", range(9))
def test_the_gradient_is_the_difference_quotient(i):
    A = Matrix(normal(3, 5))
    net = list(networks(A, 2))[i]
    names = [name for name, _ in net.named_parameters()]
    inputs = [normal(2, 3, seed=1), *(p.detach().clone() for p in net.parameters())]
    inputs = [t.requires_grad_() for t in inputs]
    run = lambda b, *values: functional_call(net, dict(zip(names, values, strict=True)), (b,))
    assert torch.autograd.gradcheck(run, inputs)


def test_a_row_alone_is_the_row_in_the_batch(tiny):
    A, b, _ = tiny
    for net in networks(A):
        close(torch.cat([net(b[i : i + 1]) for i in range(4)]), net(b))


def test_forward_is_the_last_of_the_iterates_and_the_first_is_zero(tiny):
    A, b, _ = tiny
    for net in networks(A):
        xs = net.iterates(b)
        assert len(xs) == net.K + 1
        assert torch.equal(xs[-1], net(b))
        assert not xs[0].any()
        assert all(x.shape == (4, 20) for x in xs)


def test_states_stop_at_the_depth_asked_for(tiny):
    A, b, _ = tiny
    for net in networks(A):
        xs = net.iterates(b)
        for depth in range(net.K + 1):
            states = [net.readout(s) for s in net.states(b, depth)]
            assert len(states) == depth + 1
            assert torch.equal(states[-1], xs[depth])


def test_weights_go_into_a_network_that_started_elsewhere(tiny):
    A, b, _ = tiny
    for net, other in zip(networks(A), networks(A, lam=0.3), strict=True):
        if isinstance(net, HyperLISTA):
            other = HyperLISTA(A, 3)
        assert not torch.equal(net(b), other(b))
        other.load_state_dict(net.state_dict())
        assert torch.equal(net(b), other(b))


def test_a_state_dict_holds_what_is_learned_and_no_fixed_matrix(tiny):
    for net in networks(tiny[0]):
        assert set(net.state_dict()) == {name for name, _ in net.named_parameters()}


def test_networks_keep_the_dtype_and_leave_their_arguments_alone(tiny):
    A, b = Matrix(tiny[0].A.float()), tiny[1].float()
    kept, given = A.A.clone(), b.clone()
    for N in (*LAYERED, HyperLISTA):
        net = N(A, 2)
        assert {t.dtype for t in (*net.parameters(), *net.buffers(), net(b))} == {torch.float32}
    assert torch.equal(A.A, kept)
    assert torch.equal(b, given)


@pytest.mark.parametrize("network", ["LISTA", "LISTACP", "TiLISTA", "ALISTA", "HyperLISTA"])
def test_an_empty_batch_gives_an_empty_estimate(network, tiny):
    from dunfold_lib import sparse

    assert getattr(sparse, network)(tiny[0], 2)(tiny[1][:0]).shape == (0, 20)


# how they are trained


def first_batches(seed, K=3):
    """What every stage of a grown run draws first."""
    from dunfold_lib.training import Context, Recipe, grow

    problem = SparseProblem(m=6, n=10, dtype=torch.float64)
    A, drawn = problem.operator(), []

    def sample(batch, g):
        drawn.append(problem.sample(A, batch, g))
        return drawn[-1]

    one = Recipe(steps=1, batch=4)
    loss = lambda depth: lambda net, b, truth: (net(b) - truth).square().mean()
    grow(ALISTA(A, K), sample, loss, one, one, Context(seed=seed))
    return [b.numpy().tobytes() for b, _ in drawn]


def test_no_stage_of_any_seed_trains_on_the_signals_of_another():
    """Seeds that are neighbours must not share stages: 0's second is not 1's first."""
    seen = [batch for seed in range(4) for batch in first_batches(seed)]
    assert len(seen) == 4 * 4
    assert len(set(seen)) == len(seen)
