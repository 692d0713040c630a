"""Of imaging: fast."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared_imaging import (
    PHI,
    close,
    constrained,
    kinds,
    measured,
    mri,
    normal,
    quiet,
    shaken,
    small,
    uniform,
)
from torch.nn.functional import conv2d, pad

from dunfold_lib.imaging import fast
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, phases, symmetric_loss
from dunfold_lib.operators import Blockwise
from dunfold_lib.prox import soft

# the fast twin


@kinds
@pytest.mark.parametrize("K", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 32, 33, 70])
def test_the_fast_estimate_is_the_networks(Network, K, n):
    net = shaken(small(Network, K))
    net.theta.data[0] = -0.03
    b = measured(net, n)
    with torch.no_grad():
        wanted = net(b)
        close(fast.estimate(net, b), wanted)
        single = net.float()
        largest = float(wanted.abs().max())
        found = fast.estimate(single, b.float())
    assert found.dtype == torch.float32
    close(found, single(b.float()).detach(), 1e-6 * max(largest, 1))


@kinds
def test_the_fast_estimate_of_slices_is_the_networks(Network):
    net = shaken(mri(Network))
    b = measured(net, fast.BLOCKS + 1)
    close(fast.estimate(net, b), net(b).detach())
    assert not fast.estimate(net, b).requires_grad


@pytest.mark.parametrize("theta", [-1.0, -0.0, 0.0, 0.3])
def test_the_fast_threshold_is_the_slow_one_and_so_are_its_gradients(theta):
    z = normal(3, 4)
    z[0] = torch.tensor([0.2, -0.2, 0.01, -0.01])
    both = []
    for shrink in (fast.shrunk, soft):
        u, t = z.clone().requires_grad_(), torch.tensor(theta).double().requires_grad_()
        kept = shrink(u, t)
        (kept * normal(3, 4, seed=1)).sum().backward()
        both.append((kept.detach(), u.grad, t.grad))
    for found, wanted in zip(*both, strict=True):
        close(found, wanted, 1e-14)


def with_gradients(f, *given):
    """f's value and the gradients of a random functional of it."""
    given = [t.clone().requires_grad_() for t in given]
    y = f(*given)
    (y * normal(*y.shape, seed=99)).sum().backward()
    return [y.detach(), *(t.grad for t in given)]


sizes = st.integers(1, 7)


widths = st.integers(1, 3)


slow = lambda x, first, second: conv2d(conv2d(x, first, padding=1), second, padding=1)


@given(sizes, sizes, widths, widths, st.integers(0, 10**6))
def test_two_convolutions_from_one_channel_are_one_with_the_same_gradients(h, w, c, o, seed):
    first, second = normal(c, 1, 3, 3, seed=seed), normal(o, c, 3, 3, seed=seed + 1)
    x = normal(2, 1, h, w, seed=seed + 2)
    found, wanted = (with_gradients(f, x, first, second) for f in (fast.into, slow))
    for u, v in zip(found, wanted, strict=True):
        close(u, v)


def test_the_fast_convolution_leaves_its_input_alone():
    x, first, second = normal(2, 1, 4, 5), normal(3, 1, 3, 3), normal(1, 3, 3, 3)
    fast.into(x, first, second)
    assert torch.equal(x, normal(2, 1, 4, 5))


@given(sizes, sizes, widths, widths, widths, st.integers(0, 10**6))
def test_the_one_filter_is_the_two_where_the_first_may_look_further_out(h, w, i, c, o, seed):
    first, second = normal(c, i, 3, 3, seed=seed), normal(o, c, 3, 3, seed=seed + 1)
    x, both = normal(2, i, h, w, seed=seed + 2), fast.composed(first, second)
    assert both.shape == (o, i, 5, 5)
    wide = conv2d(conv2d(pad(x, (2, 2, 2, 2)), first), second)
    close(conv2d(x, both, padding=2), wide)


def test_the_edges_are_what_the_one_filter_sees_too_much():
    first, second, x = normal(3, 2, 3, 3), normal(2, 3, 3, 3, seed=1), normal(1, 2, 5, 6, seed=2)
    rest = conv2d(x, fast.composed(first, second), padding=2) - slow(x, first, second)
    close(rest[:, :, 1:-1, 1:-1], 0 * rest[:, :, 1:-1, 1:-1])
    top, bottom, left, right = (e.transpose(1, 2) for e in fast.edges(x, first, second))
    close(rest[:, :, 0, 1:-1], top[..., 1:-1])
    close(rest[:, :, -1, 1:-1], bottom[..., 1:-1])
    close(rest[:, :, 1:-1, 0], left[..., 1:-1])
    close(rest[:, :, 1:-1, -1], right[..., 1:-1])
    close(rest[:, :, 0, 0], top[..., 0] + left[..., 0])


def negative(net):
    shaken(net).theta.data = torch.tensor([-0.2, 0.1, -0.0], dtype=torch.float64)
    return net


STARTS = {"fresh": lambda net: net, "shaken": shaken} | {
    f.__name__: f for f in (quiet, negative, constrained)
}


@pytest.mark.parametrize("begun", STARTS.values(), ids=STARTS.keys())
@pytest.mark.parametrize("make", [small, mri])
@pytest.mark.parametrize("weight", [0.0, 0.01, 2.0])
def test_the_fast_loss_is_the_papers_and_so_are_its_gradients(begun, make, weight):
    both = []
    for loss in (fast.plus_loss, symmetric_loss):
        net = begun(make(ISTANetPlus))
        truth = uniform(5, *net.A.domain, seed=3)
        value = loss(net, net.A(truth), truth, weight)
        value.backward()
        both.append([value.detach(), *(p.grad for p in net.parameters())])
    for found, wanted in zip(*both, strict=True):
        if wanted is not None:
            close(found, wanted)
        else:
            assert found is None
    if weight == 0.01:
        assert torch.equal(fast.plus_loss(net, net.A(truth), truth).detach(), both[0][0])


@kinds
@pytest.mark.parametrize("size", [(5, 5), (10, 15), (7, 12), (3, 4), (1, 1), (30, 31)])
def test_an_image_of_any_size_is_reconstructed_block_by_block(Network, size):
    net = shaken(small(Network, 2))
    image = uniform(1, 1, *size, seed=3)
    down, across = -(-size[0] // 5), -(-size[1] // 5)
    whole = torch.zeros(5 * down, 5 * across, dtype=torch.float64)
    wanted = whole.clone()
    whole[: size[0], : size[1]] = image
    for i in range(0, 5 * down, 5):
        for j in range(0, 5 * across, 5):
            b = PHI @ whole[i : i + 5, j : j + 5].flatten()
            wanted[i : i + 5, j : j + 5] = net(b[None])[0, 0].detach()
    found = fast.reconstruct(net, image)
    close(found, wanted[None, None, : size[0], : size[1]])
    assert fast.reconstruct(net, image.float()).dtype == torch.float64  # the network's


@kinds
@pytest.mark.parametrize("make", [small, mri])
def test_the_last_of_the_images_phases_is_the_reconstruction(Network, make):
    net = shaken(make(Network))
    image = uniform(1, 1, *((7, 12) if make is small else (6, 9)), seed=3)
    seen = list(fast.image_phases(net, image))
    assert len(seen) == net.K + 1
    assert set(seen[0]) == {"x"}
    close(seen[-1]["x"], fast.reconstruct(net, image))
    for k, p in enumerate(seen[1:]):
        assert {key: v.shape[1] for key, v in p.items()} == {"r": 1, "z": 4, "kept": 4, "x": 1}
        assert all(v.shape[2:] == image.shape[2:] for v in p.values())
        close(p["kept"], soft(p["z"], net.theta[k]).detach())
    if make is mri:  # whole slices: the phases are those of the network
        for p, q in zip(seen[1:], phases(net, net.A(image)), strict=True):
            close(p["r"], q.r.detach())
            close(p["z"], q.z.detach())


def test_features_of_blocks_are_joined_channel_by_channel():
    net = shaken(small(ISTANet, 1))
    image = uniform(1, 1, 5, 10)
    z = list(fast.image_phases(net, image))[1]["z"]
    b = Blockwise(net.A, (5, 10))(image)[0]
    for j in range(2):
        close(z[0, :, :, 5 * j : 5 * j + 5], phases(net, b[j : j + 1])[0].z[0].detach())
