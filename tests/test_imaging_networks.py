"""Of imaging: networks."""

from itertools import pairwise

import pytest
import torch
from shared_imaging import (
    PHI,
    SIDE,
    START,
    close,
    count,
    kinds,
    measured,
    mri,
    normal,
    orthonormal,
    shaken,
    small,
    uniform,
    written_out,
)
from torch.func import functional_call

from dunfold_lib.imaging import data, fast, model
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, phases, start_quietly, symmetric_loss
from dunfold_lib.operators import Sensing


def test_parameter_counts_are_the_published_ones():
    A = Sensing(data.sensing_matrix(1))
    assert count(ISTANet(A)) == 171_090 == 9 * 19_010
    assert count(ISTANetPlus(A)) == 336_978 == 9 * 37_442
    assert count(ISTANet(A, K=1)) == 2 * 32 * 9 + 2 * 32 * 32 * 9 + 2 == 19_010
    assert count(ISTANetPlus(A, K=1)) == 2 * 32 * 9 + 4 * 32 * 32 * 9 + 2 == 37_442
    assert [count(ISTANetPlus(A, K, 16)) for K in (3, 5)] == [28_518, 47_530]


def test_a_fresh_network_has_the_papers_step_and_threshold_and_xavier_filters():
    net = ISTANetPlus(Sensing(data.sensing_matrix(1)), seed=3)
    assert net.rho.tolist() == pytest.approx([0.5] * 9)
    assert net.theta.tolist() == pytest.approx([0.01] * 9)
    for name in model.names(net):
        out, into = getattr(net, name)[0].shape[:2]
        spread = torch.cat([w.flatten() for w in getattr(net, name)]).std()
        assert spread.item() == pytest.approx((2 / (9 * (out + into))) ** 0.5, rel=0.1)


@kinds
def test_no_two_weights_share_memory_and_none_with_the_callers_arrays(Network):
    Q = START.clone()
    net = Network(Sensing(PHI), 3, 4, Q)
    pointers = [t.data_ptr() for t in (*net.parameters(), *net.buffers())]
    assert len(set(pointers)) == len(pointers)
    assert Q.data_ptr() not in pointers
    assert len({w.data_ptr() for name in model.names(net) for w in getattr(net, name)}) == (
        3 * len(model.names(net))
    )


@kinds
@pytest.mark.parametrize("make", [small, mri])
def test_every_phase_gets_a_gradient_in_each_of_its_weights(Network, make):
    net = make(Network)
    truth = uniform(3, *net.A.domain)
    (net(net.A(truth)) - truth).square().mean().backward()
    for name, p in net.named_parameters():
        assert (p.grad != 0).any(), name
        if p.ndim == 1:
            assert (p.grad != 0).all(), name


@kinds
@pytest.mark.parametrize("symmetry", [None, 0.1], ids=["estimate", "loss"])
def test_the_gradient_is_the_difference_quotient(Network, symmetry):
    A, truth = Sensing(orthonormal(3, 9)), uniform(2, 1, 3, 3)
    net = shaken(small(Network, 2, 2, Q=normal(9, 3), A=A))
    names = [name for name, _ in net.named_parameters()]
    inputs = [A(truth), *(p.detach().clone() for p in net.parameters())]

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, b):
            return net(b) if symmetry is None else symmetric_loss(net, b, truth, symmetry)

    def run(b, *values):
        given = {f"net.{n}": v for n, v in zip(names, values, strict=True)}
        return functional_call(Loss(), given, (b,))

    assert torch.autograd.gradcheck(run, [t.requires_grad_() for t in inputs])


@kinds
@pytest.mark.parametrize("make", [small, mri])
def test_a_row_alone_is_the_row_in_the_batch(Network, make):
    net = shaken(make(Network))
    b = measured(net, 4)
    close(torch.cat([net(b[i : i + 1]) for i in range(4)]), net(b))


@kinds
def test_an_empty_batch_gives_an_empty_estimate(Network):
    net = small(Network)
    b = measured(net)[:0]
    assert net(b).shape == fast.estimate(net, b).shape == (0, 1, SIDE, SIDE)


@kinds
@pytest.mark.parametrize("make", [small, mri])
def test_phases_iterates_and_forward_agree(Network, make):
    net = shaken(make(Network))
    b = measured(net)
    xs, seen = net.iterates(b), phases(net, b)
    assert len(xs) == net.K + 1
    assert len(seen) == net.K
    assert torch.equal(xs[0], net.start(b))
    assert torch.equal(xs[-1], net(b))
    for k, p in enumerate(seen):
        assert torch.equal(p.x, xs[k + 1])
        assert torch.equal(p.x, net.layer(k, xs[k], b))
        close(p.r, xs[k] - net.rho[k] * net.A.T(net.A(xs[k]) - b))
        assert torch.equal(p.z, net.transform(k, p.u))
        assert p.z.shape == (3, 4, *net.A.domain[1:])


@kinds
@pytest.mark.parametrize("make", [small, mri])
def test_a_network_is_the_papers_equations(Network, make):
    net = shaken(make(Network))
    b = measured(net)
    close(net(b), written_out(net, b))


@kinds
def test_without_a_linear_start_the_first_image_is_the_transpose(Network):
    net = small(Network, Q=None)
    b = measured(net)
    assert torch.equal(net.start(b), net.A.T(b))
    with_start = small(Network)
    close(with_start.start(b), torch.stack([(START @ row).reshape(1, SIDE, SIDE) for row in b]))


@kinds
def test_a_seed_names_the_filters_and_the_global_generator_is_left_alone(Network):
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first, again, other = small(Network), small(Network), small(Network, seed=1)
    start_quietly(first)
    start_quietly(again)
    assert torch.equal(torch.random.get_rng_state(), before)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    assert not torch.equal(small(Network).C1[0], other.C1[0])
    filters = [w for name in model.names(other) for w in getattr(other, name)]
    same_shape = [w for w in filters if w.shape == filters[-2].shape]
    assert not any(torch.equal(u, v) for u, v in pairwise(same_shape))


@kinds
def test_weights_go_into_a_network_that_started_elsewhere(Network):
    net, other = shaken(small(Network)), small(Network, seed=1)
    b = measured(net)
    assert not torch.equal(net(b), other(b))
    assert set(net.state_dict()) == {name for name, _ in net.named_parameters()}
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(b), other(b))


@kinds
def test_a_network_keeps_the_dtype_and_leaves_its_arguments_alone(Network):
    for dtype in (torch.float32, torch.float64):
        net = small(Network).to(dtype)
        b = measured(net).to(dtype)
        given = b.clone()
        assert net(b).dtype == dtype
        assert {t.dtype for t in (*net.parameters(), *net.buffers())} == {dtype}
        assert torch.equal(b, given)
        assert torch.equal(net.Q, START.to(dtype))
