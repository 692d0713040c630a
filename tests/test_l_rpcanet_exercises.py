"""Of l rpcanet page: l rpcanet exercises."""

import pytest
import torch
from shared_l_rpcanet_page import SOLUTIONS, small

from dunfold_lib.small_target import LRPCANet, data, images, iou

# exercises


@pytest.mark.parametrize(
    "K, c, b, n, d", [(6, 32, 4, 6, 0), (1, 32, 16, 3, 0), (2, 8, 4, 6, 0), (3, 32, 4, 6, 8)]
)
def test_the_formula_counts_the_parameters(K, c, b, n, d):
    net = LRPCANet(K=K, c=c, b=b, n_noise=n, d=d)
    assert SOLUTIONS.parameters(K, c, b, n, d) == sum(p.numel() for p in net.parameters())
    assert SOLUTIONS.parameters() == 215_916


def test_the_absorbed_half_is_the_derived_step_halfway():
    delta, eps = 0.05, 0.025
    dS = lambda T: T / (T * T + delta**2).sqrt()
    F = SOLUTIONS.absorbed(dS, eps)
    g = torch.Generator().manual_seed(3)
    old, r = (torch.randn(50, generator=g).double() for _ in range(2))
    v = old + r
    step = (old + r) / 2 - eps * dS((old + r) / 2)
    torch.testing.assert_close(v - eps * F(v), step, rtol=0, atol=1e-12)
    at_old = (old + r) / 2 - eps * dS(old)
    assert float((v - eps * F(v) - at_old).abs().max()) > 0.01
    x, y = v, v + 1e-3
    assert float(((F(x) - F(y)) / (x - y)).min()) >= 1 / (2 * eps) - 1e-9


@pytest.mark.parametrize("K", [1, 2])
def test_a_pixel_reaches_as_far_as_said_and_no_further(K):
    net = LRPCANet(K=K, c=4, b=4, se="", seed=2).double().eval().requires_grad_(False)
    for F in (*net.FB, *net.FT, *net.FN, *net.FD):
        for i, m in enumerate(F.body):  # without bends and biases an impulse is never lost
            if isinstance(m, torch.nn.ReLU):
                F.body[i] = torch.nn.Identity()
    side = 2 * SOLUTIONS.reach(K) + 9
    two = torch.zeros(1, 1, side, side, dtype=torch.float64)
    assert not net(two).any()
    two[..., side // 2, side // 2] = 1
    felt = (net(two) != 0)[0, 0].nonzero()
    assert int((felt - side // 2).abs().max()) == SOLUTIONS.reach(K)
    one = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(5)).double()
    excited = LRPCANet(K=1, c=4, seed=2).double().eval()
    felt = (excited(one + two) != excited(one))[0, 0]
    assert felt[0, 0]
    assert felt[-1, -1]


def test_without_noise_is_a_network_whose_noise_map_gives_nothing():
    net = small(K=3)
    b = images(data.synthetic(torch.Generator().manual_seed(1), 1, 48))
    silenced = SOLUTIONS.without_noise(net, b)
    assert not torch.allclose(silenced, net(b), atol=1e-3)

    class Nothing(torch.nn.Module):
        """v ↦ v/σ, so that N = v − σF(v) = 0."""

        def __init__(self, sigma):
            super().__init__()
            self.sigma = sigma

        def forward(self, v):
            return v / self.sigma

    for k in range(net.K):
        net.FN[k] = Nothing(net.sigma[k])
    torch.testing.assert_close(net(b), silenced, rtol=1e-4, atol=1e-4)


def test_the_best_cut_is_the_best():
    g = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 1, 8, 8, generator=g) > 0.7
    logit = torch.randn(2, 1, 8, 8, generator=g) + 2 * truth + 1
    cuts = (-3.0, 0.0, 1.5, 2.0, 4.0)
    best = SOLUTIONS.best_cut(logit, truth, cuts)
    scores = {c: iou(logit > c, truth) for c in cuts}
    assert scores[best] == max(scores.values())
    assert best in (1.5, 2.0)
    assert scores[best] > scores[0.0] + 0.05


def test_a_map_dies_at_the_first_relu_that_is_silent():
    one = torch.nn.Conv2d(1, 1, 1)
    body = [one, torch.nn.ReLU(), torch.nn.Conv2d(1, 1, 1), torch.nn.ReLU()]
    F = type("Map", (), {"body": torch.nn.Sequential(*body)})
    x = torch.rand(2, 1, 8, 8)
    for conv, bias in ((body[0], 0.0), (body[2], 0.0)):
        torch.nn.init.ones_(conv.weight)
        torch.nn.init.constant_(conv.bias, bias)
    assert SOLUTIONS.silent_layer(F, x, 2) == 0
    torch.nn.init.constant_(body[2].bias, -2.0)
    assert SOLUTIONS.silent_layer(F, x, 2) == 2
    torch.nn.init.constant_(body[0].bias, -2.0)
    assert SOLUTIONS.silent_layer(F, x, 2) == 1
    torch.nn.init.constant_(body[0].bias, -0.5)  # silent in one image alone is not silent
    x[0] = 0.0
    x[1] = 0.9
    torch.nn.init.constant_(body[2].bias, 0.0)
    assert SOLUTIONS.silent_layer(F, x, 2) == 0
