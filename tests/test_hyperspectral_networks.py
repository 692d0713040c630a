"""Of hyperspectral: networks."""

import pytest
import torch
from shared_hyperspectral import F64, NETWORKS_HERE, SMALL, count, network, units

from dunfold_lib.hyperspectral.fast import denoise
from dunfold_lib.hyperspectral.lowrank import expand, noise_level, project
from dunfold_lib.hyperspectral.model import (
    Noisy,
    SMDSNet,
    STARNet,
    STARNetPaper,
    STARNetS,
    as_sweeps,
    decibels,
    measured,
    squared,
)
from dunfold_lib.hyperspectral.patches import analysis, dct, mean, synthesis


def fresh(kind, **sizes):
    """An untrained one whose dictionaries are orthonormal to float64."""
    net = kind(**SMALL | sizes).double()
    with torch.no_grad():
        for matrices in (net.C, net.D, net.W):
            for p in matrices[:2]:
                p.copy_(dct(net.side, F64))
            if net.mixed:
                matrices[2].copy_(dct(net.r, F64))
    return net


# the networks


def test_parameter_counts():
    assert count(SMDSNet(K=6)) == 5_103
    assert count(STARNetPaper(K=9)) == 27_702
    assert count(STARNetPaper(K=6)) == 18_954
    assert count(SMDSNet(thresholds="layer")) == 735
    assert count(STARNet()) == 752
    assert count(STARNet(thresholds="atom")) == 5_120
    assert count(STARNetS()) == 758
    for kind in NETWORKS_HERE:
        storages = [p.untyped_storage().data_ptr() for p in kind().parameters()]
        assert len(set(storages)) == len(storages)


@pytest.mark.parametrize("kind", [STARNet, STARNetS])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("switches", [{}, {"mixed": True}, {"low_rank": False}, {"procrustes": 0}])
def test_an_untrained_network_is_its_algorithm_sweep_by_sweep(kind, stride, switches):
    Y, _ = units()
    net = fresh(kind, stride=stride, **{"procrustes": 2} | switches)
    b, _ = measured(Y, 1.0, 3)
    *states, last = list(net.states(b))[1:]
    models = as_sweeps(net)
    x = models[0].start(b.Y, b.A)
    for model, state in zip(models, [*states, last]):
        *_, (_, x) = model.sweep(b.Y, x)
        for name in ("G", "A", "S", "B") + (() if state is last else ("L",)):
            torch.testing.assert_close(getattr(state, name), getattr(x, name), rtol=0, atol=1e-11)


def test_an_untrained_smdsnet_is_soft_thresholding_and_one_average():
    Y, _ = units()
    net = fresh(SMDSNet, thresholds="layer")
    b, _ = measured(Y, 1.0, 3)
    G = project(b.Y, b.A)
    X = net.R(G)
    D = (dct(4, F64), dct(4, F64), torch.eye(3, dtype=F64))
    codes = analysis(X - mean(X), *D)
    kept = codes.sign() * (codes.abs() - 1).relu()
    added = net.R.T(synthesis(kept, *D) + mean(X), (14, 13)) / net.R.count((14, 13), G)
    torch.testing.assert_close(net(b), expand(added, b.A), rtol=0, atol=1e-7)
    assert torch.equal(net.iterates(b)[0], net.iterates(b)[-2])


def test_the_papers_layout_begins_like_the_networks_of_this_room():
    Y, _ = units()
    b, _ = measured(Y, 1.0, 3)
    paper, ours = fresh(STARNetPaper, procrustes=1), fresh(STARNet, procrustes=1)
    for k in range(3):
        n, m = paper.numbers(k), ours.numbers(k)
        for name in ("alpha", "w", "theta"):
            theirs = getattr(n, name)
            torch.testing.assert_close(theirs, getattr(m, name).expand(theirs.shape).to(F64))
        assert (n.tau is None) == (k == 2)
    assert paper(b).shape == Y.shape


@pytest.mark.parametrize("kind", NETWORKS_HERE)
def test_every_parameter_gets_a_gradient(kind):
    Y, X = units()
    net = network(kind)
    b, _ = measured(Y, 1.0, 3)
    decibels(net, b, X).backward()
    for name, p in net.named_parameters():
        rows = p.grad.reshape(len(p), -1) if name.startswith("free") else p.grad.reshape(1, -1)
        used = rows[:-1] if name == "free_gamma2" else rows  # the last one only counts
        assert (used.abs().sum(1) > 0).all(), name
        assert torch.isfinite(rows).all()


@pytest.mark.parametrize("kind", NETWORKS_HERE)
def test_a_row_alone_is_the_row_in_a_batch_dtype_is_kept_and_weights_come_back(kind):
    net = network(kind)
    b, _ = measured(torch.cat([units()[0], units(4)[0]]), 1.0, 3)
    both = net(b)
    alone = net(Noisy(b.Y[1:], b.A[1:]))
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-10)
    half = kind(**SMALL)
    half.load_state_dict({k: v.float() for k, v in net.state_dict().items()})
    made = half(Noisy(b.Y.float(), b.A.float()))
    assert made.dtype == torch.float32
    torch.testing.assert_close(made.double(), both, rtol=0, atol=2e-3)


@pytest.mark.parametrize("kind", [STARNet, STARNetS, STARNetPaper])
def test_a_small_network_passes_gradcheck(kind):
    net = network(kind, K=2, side=3, r=2, stride=3, procrustes=2)
    net.through = True
    b, _ = measured(units(size=(7, 8), bands=5)[0], 1.0, 2)
    Y = b.Y.requires_grad_()
    numbers = [p for n, p in net.named_parameters() if n.startswith("free")]
    run = lambda Y, *_: net(Noisy(Y, b.A))
    assert torch.autograd.gradcheck(run, (Y, *numbers), fast_mode=True)


def test_switches_take_their_blocks_out():
    b, _ = measured(units()[0], 1.0, 3)
    *states, last = network(STARNet, procrustes=0, blend=False, low_rank=False).states(b)
    assert all(torch.equal(x.G, states[0].G) for x in states)
    assert not torch.equal(last.G, states[0].G)
    assert torch.equal(last.A, b.A)
    assert not last.L.any()
    assert not last.S.any()
    *_, last = network(STARNetS).states(b)
    assert last.S.any()
    assert not torch.equal(last.A, b.A)
    torch.testing.assert_close(
        last.A.mT @ last.A, torch.eye(3, dtype=F64)[None], rtol=0, atol=1e-10
    )


def test_columns_beyond_the_rank_stay_zero():
    Y, _ = units(level=0.3)
    b, _ = measured(Y, 1.0, 3)
    kept = b.A.any(1)
    assert not kept.all()
    for x in network(STARNet, procrustes=3).states(b):
        assert torch.equal(x.A.any(1), kept)
    for x in fresh(STARNet, procrustes=3).states(b):
        assert torch.equal(x.A.any(1), kept)
        assert not x.G.transpose(0, 1)[~kept[0]].any()


def test_one_network_serves_every_level_and_every_stride():
    Y, X = units(size=(20, 21))
    net = network(procrustes=1)
    torch.testing.assert_close(denoise(net, 0.1 * Y, 0.1), 0.1 * denoise(net, Y, 1.0))
    blind = denoise(net, Y)
    near = denoise(net, Y, float(noise_level(Y)))
    torch.testing.assert_close(blind, near)
    errors = {}
    for stride in (1, 2):
        net.stride = stride
        errors[stride] = float((denoise(net, Y, 1.0) - X).square().mean())
    assert errors[1] < 1.1 * errors[2] < 1.1 * float((Y - X).square().mean())


def test_the_losses_by_hand():
    net, (Y, X) = network().requires_grad_(False), units()
    b, _ = measured(torch.cat([Y, Y]), 1.0, 3)
    truth = torch.cat([X, X + 1])
    error = (net(b) - truth).square()
    assert float(squared(net, b, truth)) == pytest.approx(float(error.mean()))
    rows = 10 * error.flatten(1).mean(1).log10()
    assert float(decibels(net, b, truth)) == pytest.approx(float(rows.mean()))


def test_in_the_subspace_the_loss_is_that_of_the_cube_up_to_what_the_subspace_leaves():
    Y, X = units()
    net = network(procrustes=0).requires_grad_(False)
    b, _ = measured(Y, 1.0, 3)
    inside = Noisy(project(Y, b.A), torch.eye(3, dtype=F64)[None])
    whole = (net(b) - X).square().sum()
    part = (net(inside) - project(X, b.A)).square().sum()
    rest = (X - expand(project(X, b.A), b.A)).square().sum()
    assert float(whole) == pytest.approx(float(part + rest), rel=1e-10)
