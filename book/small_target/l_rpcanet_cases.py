"""What holds of the functions in exercises.py, of the page small_target/l_rpcanet."""

from itertools import pairwise

import torch
from torch import nn

from dunfold_lib.small_target import LRPCANet, iou

from . import exercises

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*size, seed=0):
    return torch.randn(*size, generator=seeded(seed), dtype=F64)


def small(K=2, seed=0):
    """A network whose steps are large enough to be seen."""
    net = LRPCANet(K=K, c=4, b=2, n_noise=1, seed=seed)
    with torch.no_grad():
        net.eps.fill_(0.5)
        net.sigma.fill_(0.5)
        for F in (*net.FB, *net.FT, *net.FN):
            F.last.weight.mul_(10)
    return net.requires_grad_(False).eval()


def test_parameters_are_those_of_the_network():
    for K, c, b, n, d in ((6, 32, 4, 6, 0), (1, 32, 16, 3, 0), (2, 8, 4, 6, 0), (3, 32, 4, 6, 8)):
        held = sum(p.numel() for p in LRPCANet(K=K, c=c, b=b, n_noise=n, d=d).parameters())
        assert exercises.parameters(K, c, b, n, d) == held


def test_absorbed_is_the_step_that_was_derived():
    slope = lambda T: T / (T * T + 0.05**2).sqrt()
    old, r = normal(50), normal(50, seed=1)
    v = old + r
    for eps in (0.025, 0.5):
        F = exercises.absorbed(slope, eps)
        assert torch.allclose(v - eps * F(v), (old + r) / 2 - eps * slope((old + r) / 2))


def test_absorbed_is_steep_where_the_step_is_small():
    v = normal(50)
    for eps in (0.01, 0.1):
        F = exercises.absorbed(lambda T: 0 * T, eps)
        rise = (F(v + 1e-3) - F(v)) / 1e-3
        assert torch.allclose(rise, torch.full_like(v, 1 / (2 * eps)), rtol=1e-6)


def test_reach_is_how_far_an_impulse_is_felt():
    for K, n_noise in ((1, 6), (2, 6), (2, 2)):
        net = LRPCANet(K=K, c=4, b=4, n_noise=n_noise, se="", seed=2).double().eval()
        net.requires_grad_(False)
        for F in (*net.FB, *net.FT, *net.FN, *net.FD):
            for i, part in enumerate(F.body):  # without bends an impulse is never lost
                F.body[i] = nn.Identity() if isinstance(part, nn.ReLU) else part
        told = exercises.reach(K, n_noise)
        side = 2 * told + 9
        x = torch.zeros(1, 1, side, side, dtype=F64)
        x[..., side // 2, side // 2] = 1
        felt = (net(x) != net(0 * x))[0, 0].nonzero()
        assert int((felt - side // 2).abs().max()) == told


def test_reach_grows_by_the_same_number_with_every_stage():
    found = [exercises.reach(K, 4) for K in range(1, 6)]
    assert len({b - a for a, b in pairwise(found)}) == 1
    assert exercises.reach(3, 7) - exercises.reach(3, 6) == 2


class Nothing(nn.Module):
    """v ↦ v/σ, so that N = v − σF(v) = 0."""

    def __init__(self, sigma):
        super().__init__()
        self.sigma = sigma

    def forward(self, v):
        return v / self.sigma


def test_without_noise_is_a_network_whose_noise_maps_give_nothing():
    for K in (1, 3):
        net = small(K)
        b = torch.rand(2, 1, 24, 30, generator=seeded(1))
        silenced = exercises.without_noise(net, b)
        if K > 1:
            assert not torch.allclose(silenced, net(b), atol=1e-3)
        for k in range(K):
            net.FN[k] = Nothing(net.sigma[k])
        assert torch.allclose(silenced, net(b), rtol=1e-3, atol=1e-3)


def test_best_cut_has_the_largest_iou():
    for seed in range(4):
        truth = torch.rand(2, 1, 8, 8, generator=seeded(seed)) > 0.7
        logit = torch.randn(2, 1, 8, 8, generator=seeded(seed + 9)) + 2 * truth + 1
        cuts = (-3.0, 0.0, 1.5, 2.0, 4.0)
        best = exercises.best_cut(logit, truth, cuts)
        assert all(iou(logit > best, truth) >= iou(logit > cut, truth) for cut in cuts)
        assert best in cuts


def test_best_cut_moves_with_the_map():
    truth = torch.rand(1, 1, 12, 12, generator=seeded(3)) > 0.6
    logit = torch.randn(1, 1, 12, 12, generator=seeded(4)) + 3 * truth
    cuts = [c / 4 for c in range(-8, 16)]
    best = exercises.best_cut(logit, truth, cuts)
    assert exercises.best_cut(logit + 10, truth, [c + 10 for c in cuts]) == best + 10


def stack(*biases):
    """A map whose body is one layer of weight 1 and a ReLU for each bias."""
    body = nn.Sequential()
    for bias in biases:
        conv = nn.Conv2d(1, 1, 1)
        nn.init.ones_(conv.weight)
        nn.init.constant_(conv.bias, bias)
        body.extend([conv, nn.ReLU()])
    return type("Map", (), {"body": body})


def test_silent_layer_is_the_first_that_is_zero_everywhere():
    x = torch.rand(2, 1, 9, 9, generator=seeded(0))
    for biases, first in (((0.0, 0.0), 0), ((0.0, -2.0), 2), ((-2.0, -2.0), 1), ((0, 0, -9), 3)):
        assert exercises.silent_layer(stack(*biases), x, 2) == first


def test_silent_layer_looks_away_from_the_border_and_at_all_images():
    x = torch.zeros(2, 1, 9, 9)
    x[..., 0, :] = x[..., -1] = 5.0  # loud at the border alone
    assert exercises.silent_layer(stack(-1.0), x, 2) == 1
    x[1] = 5.0  # one image that is not silent
    assert exercises.silent_layer(stack(-1.0), x, 2) == 0


def blobs():
    """Frames (2, 1, 40, 40) with one bright square, and its mask."""
    mask = torch.zeros(2, 1, 40, 40, dtype=torch.bool)
    mask[0, :, 8:16, 12:20] = mask[1, :, 24:32, 4:16] = True
    return 0.1 + 0.8 * mask.float(), mask


def test_at_scales_sees_the_same_squares_at_every_size():
    b, mask = blobs()
    whole = lambda x: x - 0.5
    for found in exercises.at_scales(whole, b, mask, (0.5, 1.0, 1.5, 2.0)):
        assert found > 0.9
    assert exercises.at_scales(whole, b, ~mask, (1.0, 2.0)) == [0.0, 0.0]


def test_at_scales_shows_the_network_frames_of_that_size_within_their_range():
    b, mask = blobs()
    shown = []

    def look(x):
        shown.append(x)
        return x - 0.5

    (one,) = exercises.at_scales(look, b, mask, (1.0,))
    assert one == iou(b > 0.5, mask)
    exercises.at_scales(look, b + 0.1, mask, (0.5, 2.0))
    assert [tuple(x.shape[2:]) for x in shown] == [(40, 40), (20, 20), (80, 80)]
    assert all(0 <= float(x.min()) <= float(x.max()) <= 1 for x in shown)
