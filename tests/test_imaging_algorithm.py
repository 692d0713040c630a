"""Of imaging: algorithm."""

import pytest
import torch
from shared_imaging import (
    PHI,
    SIDE,
    START,
    blocks,
    close,
    kinds,
    measured,
    shaken,
    small,
    written_out,
)
from torch.nn.functional import conv2d

from dunfold_lib.imaging import data, model
from dunfold_lib.imaging.baselines import wavelet_phase
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, phases, start_quietly, symmetric_loss
from dunfold_lib.operators import Fourier, Mask
from dunfold_lib.prox import soft

# networks and their algorithm


@kinds
def test_a_quiet_network_gives_its_linear_start_in_every_phase(Network):
    net = small(Network, K=4)
    start_quietly(net)
    b = measured(net)
    close(PHI @ START, torch.eye(8, dtype=torch.float64))
    for x in net.iterates(b):
        close(x, (b @ START.T).reshape(-1, 1, SIDE, SIDE))


@kinds
def test_a_quiet_network_for_slices_gives_the_zero_filled_image_in_every_phase(Network):
    net = small(Network, Q=None, A=Fourier(data.radial_mask(40, 8).double()))
    start_quietly(net)
    b = measured(net)
    for x in net.iterates(b):
        close(x, net.A.T(b))


@kinds
def test_a_quiet_network_can_learn_in_every_phase(Network):
    net = small(Network)
    start_quietly(net)
    truth = blocks(4)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    first = symmetric_loss(net, net.A(truth), truth)
    for _ in range(20):
        adam.zero_grad()
        symmetric_loss(net, net.A(truth), truth).backward()
        adam.step()
    assert symmetric_loss(net, net.A(truth), truth).item() < first.item()
    for key, value in net.state_dict().items():
        assert not torch.equal(value, before[key]), key


def one_phase(transform, back):
    """ISTA-Net of one phase whose F is u ↦ (a_j u)_j and whose F̃ is z ↦ Σ_j c_j z_j.

    Paired ±δ filters carry a number through a ReLU: ReLU(v) − ReLU(−v) = v.
    """
    net = small(ISTANet, K=1)
    with torch.no_grad():
        for w in (net.C1[0], net.C2[0], net.C3[0], net.C4[0]):
            w.zero_()
        at = lambda w, out, into, v: w[out, into, 1, 1].fill_(v)
        for sign, i in ((1, 0), (-1, 1)):
            at(net.C1[0], i, 0, sign)
            at(net.C4[0], 0, i, sign)
            for j, (a, c) in enumerate(zip(transform, back, strict=True)):
                at(net.C2[0], j, i, sign * a)
                at(net.C3[0], i, j, sign * c)
        net.rho.fill_(0.7)
    return net


IDENTITY = Mask(torch.ones(SIDE, SIDE, dtype=torch.float64))


def test_with_the_identity_for_its_maps_and_no_threshold_ista_net_makes_a_gradient_step():
    net, b, x = one_phase([1], [1]), measured(small(ISTANet)), blocks(seed=9)
    net.theta.data.zero_()
    close(net.layer(0, x, b), x - 0.7 * net.A.T(net.A(x) - b))
    close(net.layer(0, x, b), wavelet_phase(net.A, IDENTITY, 0.7, 0.0, x, b).x)


def test_with_the_identity_for_its_maps_ista_net_is_ista():
    net, b, x = one_phase([1], [1]), measured(small(ISTANet)), blocks(seed=9) - 0.5
    net.theta.data.fill_(0.1)
    ours, classical = net.phase(0, x, b), wavelet_phase(net.A, IDENTITY, 0.7, 0.1, x, b)
    for part in ("r", "u", "x"):
        close(getattr(ours, part), getattr(classical, part))
    close(ours.z[:, :1], classical.z)
    assert 0 < int((ours.x == 0).sum()) < ours.x.numel()  # the threshold is at work


def test_with_an_isometry_for_its_transform_ista_net_thresholds_its_coefficients():
    net, b, x = one_phase([0.6, -0.8], [0.6, -0.8]), measured(small(ISTANet)), blocks(seed=9) - 0.5
    net.theta.data.fill_(0.1)
    r = x - 0.7 * net.A.T(net.A(x) - b)
    close(net.layer(0, x, b), 0.6 * soft(0.6 * r, 0.1) - 0.8 * soft(-0.8 * r, 0.1))


def test_ista_net_plus_that_takes_the_image_away_leaves_what_was_below_the_threshold():
    net = small(ISTANetPlus, K=1)
    with torch.no_grad():
        for name in model.names(net):
            getattr(net, name)[0].zero_()
        for w, out, into, v in (
            (net.D[0], 0, 0, 1.0),
            (net.C1[0], 0, 0, 1.0),
            (net.C1[0], 1, 0, -1.0),
            (net.C2[0], 2, 0, 1.0),
            (net.C2[0], 2, 1, -1.0),
            (net.C3[0], 0, 2, 1.0),
            (net.C3[0], 1, 2, -1.0),
            (net.C4[0], 3, 0, 1.0),
            (net.C4[0], 3, 1, -1.0),
            (net.G[0], 0, 3, -1.0),
        ):
            w[out, into, 1, 1] = v
        net.theta.fill_(0.1)
    b, x = measured(net), blocks(seed=9) - 0.5
    r = x - 0.5 * net.A.T(net.A(x) - b)
    close(net.layer(0, x, b), r.clamp(-0.1, 0.1), 1e-8)  # 0.1 is a float32's


@kinds
def test_a_negative_threshold_is_the_formula_as_it_stands(Network):
    net = shaken(small(Network))
    net.theta.data = torch.tensor([-0.2, 0.05, -0.01], dtype=torch.float64)
    b = measured(net)
    for k, p in enumerate(phases(net, b)):
        z = p.z.sign() * (p.z.abs() - net.theta[k]).clamp(min=0)
        back = net.inverse(k, z)
        wanted = p.r + conv2d(back, net.G[k], padding=1) if Network is ISTANetPlus else back
        close(p.x, wanted)
        assert bool((z.abs() > p.z.abs()).any()) == (k != 1)


@kinds
@pytest.mark.parametrize("weight", [0.0, 0.01, 2.0])
def test_the_loss_is_the_papers(Network, weight):
    """Mean square error plus the symmetry of every phase."""
    net = shaken(small(Network))
    truth = blocks(5)
    b = net.A(truth)
    c = lambda v, w: conv2d(v, w, padding=1)
    wanted = (written_out(net, b) - truth).square().sum().item() / truth.numel()
    for k, p in enumerate(phases(net, b)):
        u = c(p.r, net.D[k]) if Network is ISTANetPlus else p.r
        z = c(c(u, net.C1[k]).relu(), net.C2[k])
        undone = c(c(z, net.C3[k]).relu(), net.C4[k])
        wanted += weight * (undone - u).square().sum().item() / u.numel()
    assert symmetric_loss(net, b, truth, weight).item() == pytest.approx(wanted, rel=1e-12)
    if weight == 0.01:
        assert torch.equal(symmetric_loss(net, b, truth), symmetric_loss(net, b, truth, weight))
