"""What holds of the functions in exercises.py, of the page beyond/your_own."""

import torch

from dunfold_lib.deblurring import iterates
from dunfold_lib.deblurring.data import gaussian
from dunfold_lib.operators import Blur

from . import exercises

F64 = torch.float64


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=F64)


def rolled(x):
    """The periodic differences of x (h, w), down and across."""
    return torch.stack([x.roll(-1, 0) - x, x.roll(-1, 1) - x])


def test_checkerboard_attains_eight_where_both_sides_are_even():
    for size in ((6, 8), (4, 4), (2, 10)):
        ratio, most = exercises.checkerboard(size)
        assert abs(ratio - 8) < 1e-9
        assert abs(most - 8) < 1e-9


def test_checkerboard_misses_eight_where_a_side_is_odd_and_no_image_passes_the_norm():
    for size in ((5, 8), (5, 7), (3, 4)):
        ratio, most = exercises.checkerboard(size)
        assert ratio <= most + 1e-9
        assert most < 8 - 1e-3
        x = normal(*size)
        for _ in range(500):  # the power method finds the largest value
            D = rolled(x)
            x = (D[0].roll(1, 0) - D[0]) + (D[1].roll(1, 1) - D[1])
            x = x / x.norm()
        assert abs(float(rolled(x).square().sum()) - most) < 1e-3


def test_block_soft_is_the_nearest_compromise_of_every_pair():
    v = 2 * normal(2, 2, 3, 4)
    p = exercises.block_soft(v, 0.7)
    value = lambda p: (0.5 * (p - v).square().sum(1) + 0.7 * p.norm(dim=1)).sum()
    assert all(value(p) <= value(p + 1e-3 * normal(2, 2, 3, 4, seed=i)) for i in range(20))


def test_block_soft_keeps_the_direction_and_takes_t_from_the_length():
    v = normal(2, 2, 3, 4)
    p = exercises.block_soft(v, 0.7)
    size = v.norm(dim=1, keepdim=True)
    assert torch.allclose(p.norm(dim=1, keepdim=True), (size - 0.7).clamp_min(0), atol=1e-9)
    assert torch.allclose(p * size, v * p.norm(dim=1, keepdim=True), atol=1e-9)


def problem():
    """A kernel that is not symmetric, and what was seen of an image of 6 × 8 pixels."""
    kernel = torch.tensor([[0.0, 0.1, 0.0], [0.2, 0.7, 0.0], [0.0, 0.0, 0.0]], dtype=F64)
    return kernel, normal(1, 1, 6, 8)


def test_dualised_ends_at_the_same_image_as_the_method_of_the_page():
    kernel, b = problem()
    for lam, tau in ((0.05, 0.5), (0.2, 0.3)):
        other = exercises.dualised(b, kernel, lam, 300, tau)
        best = iterates(b, 300, kernel, lam=lam, tau=1.0)[-1]
        assert float((best - other).abs().max()) < 1e-3


def test_dualised_without_a_prior_solves_the_least_squares():
    kernel, b = problem()
    x = exercises.dualised(b, kernel, 0.0, 200)
    A = Blur(kernel, (6, 8))
    assert float(A.T(A(x) - b).abs().max()) < 1e-3


def scene(side=96, rim=12):
    """A large smooth scene blurred, and cut: (what was seen, the truth)."""
    low = torch.nn.functional.interpolate(normal(1, 1, 7, 7), (side, side), mode="bicubic")
    large = (low + torch.linspace(0, 3, side, dtype=F64)).clamp(-2, 5) / 4
    seen = Blur(gaussian(dtype=F64), (side, side))(large)
    cut = (..., slice(rim, -rim), slice(rim, -rim))
    return seen[cut], large[cut]


def test_reflected_gains_on_an_image_that_was_cut_out_of_a_larger_one():
    b, truth = scene()
    made = exercises.reflected(b, 6, 24)
    assert made.shape == truth.shape
    error = lambda x: float((x - truth).square().mean())
    assert error(made) < 0.5 * error(iterates(b, 6)[-1])


def test_reflected_treats_both_axes_alike():
    b = scene()[0][..., :48]  # higher than wide
    made = exercises.reflected(b, 4, 16)
    assert torch.allclose(exercises.reflected(b.mT, 4, 16).mT, made, atol=1e-6)
    assert float(made.std()) > 0.01


def test_mean_square_is_the_mean_of_the_squared_errors():
    b, truth = normal(3, 1, 4, 5), normal(3, 1, 4, 5, seed=1)
    net = torch.nn.Conv2d(1, 1, 1, bias=False).double()
    with torch.no_grad():
        net.weight.fill_(2.0)
    loss = exercises.mean_square(net, b, truth)
    rows = [float((2 * b[i] - truth[i]).square().sum()) / 20 for i in range(3)]
    assert abs(loss.item() - sum(rows) / 3) < 1e-12
    loss.backward()
    assert abs(float(net.weight.grad) - float(2 * ((2 * b - truth) * b).mean())) < 1e-12


def test_mean_square_does_not_change_if_both_images_are_moved_alike():
    b, truth = normal(2, 1, 4, 5), normal(2, 1, 4, 5, seed=1)
    same = exercises.mean_square(lambda v: v + 3.0, b, truth + 3.0)
    assert torch.allclose(same, exercises.mean_square(lambda v: v, b, truth))
