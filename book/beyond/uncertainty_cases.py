"""What holds of the functions in exercises.py, of the page beyond/uncertainty."""

from math import inf, isfinite

import torch
from scipy.stats import binom

from dunfold_lib import conformal

from . import exercises

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*size, seed=0):
    return torch.randn(*size, generator=seeded(seed), dtype=F64)


def test_least_is_the_first_number_with_a_finite_radius():
    for alpha in (0.5, 0.2, 0.1, 0.05, 0.03, 0.01):
        n = exercises.least(alpha)
        scores = normal(n).abs()
        assert isfinite(conformal.radius(scores, alpha))
        assert n == 1 or conformal.radius(scores[1:], alpha) == inf


def surely(n, alpha, within):
    """How often n scores cover more than 1 − alpha − within: so many of n uniform ones below."""
    k = conformal.rank(n, alpha)
    return float(binom.cdf(k - 1, n, 1 - alpha - within)) if k <= n else 0.0


def test_enough_is_the_first_multiple_of_ten_that_is_sure():
    for alpha, within, sure in ((0.1, 0.05, 0.9), (0.1, 0.02, 0.95), (0.2, 0.1, 0.99)):
        n = exercises.enough(alpha, within, sure)
        assert n % 10 == 0
        assert surely(n, alpha, within) >= sure
        assert all(surely(m, alpha, within) < sure for m in range(10, n, 10))


def test_two_sided_covers_errors_that_are_not_symmetric():
    found = []
    for seed in range(2000):
        e = -torch.rand(60, generator=seeded(seed), dtype=F64).log()
        low, high = exercises.two_sided(e[:-1], 0.2)
        found.append(low <= float(e[-1]) <= high)
    share = sum(found) / 2000
    assert 0.8 - 0.03 < share < 0.9


def test_two_sided_leaves_half_of_alpha_on_each_side():
    e = normal(999).exp()
    low, high = exercises.two_sided(e, 0.1)
    assert 0 < low < high
    assert abs(float((e < low).double().mean()) - 0.05) < 0.003
    assert abs(float((e > high).double().mean()) - 0.05) < 0.003
    mirrored = exercises.two_sided(-e, 0.1)
    assert mirrored == (-high, -low)


def test_adjusted_has_no_bias_where_a_step_of_langevin_has_one():
    half, slope, n = (lambda x: x.square() / 2), (lambda x: x), 20_000
    x = exercises.adjusted(half, slope, 3 * normal(n), 0.8, 60, seeded(1))
    assert abs(float(x.var()) - 1) < 0.05  # without accepting it is 1/(1 − 0.4)
    assert abs(float(x.mean())) < 0.05


def test_adjusted_leaves_a_law_that_is_not_symmetric_where_it_is():
    U = lambda x: x.exp() - x  # e^x has the exponential law: mean −γ, variance π²/6
    slope = lambda x: x.exp() - 1
    start = (-torch.rand(40_000, generator=seeded(3), dtype=F64).log()).log()
    x = exercises.adjusted(U, slope, start, 0.5, 20, seeded(4))
    assert float((x != start).double().mean()) > 0.5, "chains must move"
    assert abs(float(x.mean()) + 0.5772) < 0.03
    assert abs(float(x.var()) - 1.6449) < 0.06


def test_weighted_with_equal_weights_is_the_radius_of_the_page():
    for n, alpha in ((40, 0.1), (59, 0.2), (5, 0.1)):
        scores = normal(n, seed=n).abs()
        same = exercises.weighted(scores, torch.ones(n, dtype=F64), 1.0, alpha)
        assert same == conformal.radius(scores, alpha)
        assert exercises.weighted(scores, torch.full((n,), 3.0), 3.0, alpha) == same


def test_weighted_does_not_ask_for_an_order_and_is_infinite_for_a_heavy_test_point():
    scores, w = normal(50).abs(), torch.rand(50, generator=seeded(1), dtype=F64)
    turned = torch.randperm(50, generator=seeded(2))
    r = exercises.weighted(scores, w, 0.5, 0.2)
    assert r == exercises.weighted(scores[turned], w[turned], 0.5, 0.2)
    assert exercises.weighted(scores, w, 100.0, 0.2) == inf


def test_weighted_wins_the_coverage_back_under_a_known_shift():
    plain, mended = [], []
    for seed in range(800):  # scale 1 + 3z; z has density 1 in calibration and 2z in the test
        g = seeded(seed)
        z, own = torch.rand(60, generator=g), float(torch.rand(1, generator=g).sqrt())
        e = (1 + 3 * z) * torch.randn(60, generator=g).abs()
        new = (1 + 3 * own) * abs(float(torch.randn(1, generator=g)))
        plain.append(new <= conformal.radius(e, 0.2))
        mended.append(new <= exercises.weighted(e, 2 * z, 2 * own, 0.2))
    assert sum(plain) / 800 < 0.77 < sum(mended) / 800 < 0.86
