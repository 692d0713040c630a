"""Of networks: alike."""

import pytest
import torch
from shared_networks import LAYERED, close, layered, normal, shaken, supports
from torch.func import functional_call

from dunfold_lib.operators import Matrix
from dunfold_lib.sparse import ALISTA, LISTA, LISTACP, HyperLISTA, TiLISTA, theory
from dunfold_lib.sparse.data import SparseProblem


def networks(A, K=3, lam=0.05):
    """Every network, learned-looking, with and without support selection."""
    yield from (shaken(N(A, K, lam)) for N in LAYERED)
    yield from (shaken(N(A, K, lam, support=(0.1, 0.25))) for N in LAYERED)
    yield HyperLISTA(A, K, (0.01, 0.02, 0.05))


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
