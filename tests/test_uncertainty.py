"""Chapter "How sure?": conformal intervals, spreads, Langevin steps, calibrated detections."""

import math

import pages
import pytest
import torch

from dunfold_lib import conformal, experiment, records
from dunfold_lib.imaging import data, langevin, uncertainty
from dunfold_lib.imaging import figures_uncertainty as figures
from dunfold_lib.small_target import figures_uncertainty as detector

SOLUTIONS = pages.solutions("beyond/uncertainty")


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# intervals


@pytest.mark.parametrize("n", [9, 20, 57])
@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_the_mean_coverage_over_calibrations_is_that_of_the_theorem(n, alpha):
    """Uniform scores, whose coverage is the radius: k/(n + 1), and no rank beside it passes."""
    g = torch.Generator().manual_seed(n)
    e = torch.rand(3000, n, generator=g, dtype=torch.float64)
    mean = sum(conformal.radius(row, alpha) for row in e) / len(e)
    k = conformal.rank(n, alpha)
    error = 4 * math.sqrt(mean * (1 - mean) / (n + 2) / 3000)
    assert abs(mean - k / (n + 1)) < error < 1 / (n + 1) / 2
    assert 1 - alpha <= k / (n + 1) <= 1 - alpha + 1 / (n + 1)


def test_too_few_scores_give_no_finite_radius():
    assert conformal.radius(normal(8).abs(), 0.1) == math.inf
    assert conformal.radius(normal(9).abs(), 0.1) == float(normal(9).abs().max())
    assert conformal.radius_of_images(normal(8, 5).abs(), 0.1) == math.inf


def test_with_one_pixel_an_image_both_radii_are_one():
    for n in (9, 19, 20, 33, 100):
        e = normal(n, seed=n).abs()
        for alpha in (0.1, 0.25, 0.5):
            assert conformal.radius(e, alpha) == conformal.radius_of_images(e[:, None], alpha)


def test_the_radius_of_images_is_the_least_that_keeps_the_bound():
    e, alpha = normal(19, 30).abs(), 0.2
    r = conformal.radius_of_images(e, alpha)
    bound = lambda r: float((e > r).double().mean(1).sum()) + 1 <= alpha * 20 + 1e-9
    assert bound(r)
    assert not bound(r * (1 - 1e-9))


def test_dropping_nothing_is_the_network_and_a_share_moves_it_around_it():
    net = uncertainty.build(members=1).members[0]
    with torch.no_grad():
        for i, G in enumerate(net.G):
            G += 0.05 * normal(*G.shape, seed=i).to(G)
        b = net.A(torch.rand(2, 1, 33, 33, generator=torch.Generator().manual_seed(0)))
        g = torch.Generator().manual_seed(1)
        assert torch.allclose(uncertainty.dropped(net, b, 0.0, g), net(b), atol=1e-5)
        moved = [float((uncertainty.dropped(net, b, s, g) - net(b)).norm()) for s in (0.01, 0.3)]
    assert 0 < moved[0] < moved[1]


def test_members_differ_and_no_training_photograph_is_held_out():
    net = uncertainty.build(members=2)
    assert not torch.equal(net.members[0].D[0], net.members[1].D[0])
    trained = {name.removesuffix(", half") for name in data.training_images("wheels-part")}
    assert trained
    assert not trained & {*data.HELD_OUT}
    x, which = uncertainty.crops()
    assert len(x) == len(which) == 180
    assert {*which.tolist()} == {*range(8)}


# samples


def test_the_walk_ends_with_the_variance_of_its_law_and_not_with_the_posteriors():
    h = figures.toy()["h"]
    exact = langevin.pixel_variance(1 / h, figures.SIDE)
    for eta in (0.02, 0.1):
        mean, variance = figures.walked(eta, seed=3)
        law = langevin.pixel_variance(langevin.stationary(h, eta), figures.SIDE)
        assert abs(float(variance.mean()) / law - 1) < 0.04
        assert float((mean - figures.toy()["mean"]).abs().max()) < 4.5 * (law / 600) ** 0.5
    assert float(variance.mean()) > 1.1 * exact
    with pytest.raises(ValueError, match="step is"):
        langevin.stationary(h, 2 / float(h.max()))


def test_the_posterior_of_the_toy_is_the_solution_of_its_linear_system():
    """The mean has no score, and the score's slope is minus the precision."""
    t = figures.toy()
    assert float(t["score"](t["mean"]).abs().max()) < 1e-10
    d = normal(1, 1, figures.SIDE, figures.SIDE)
    slope = t["score"](t["mean"] + d)
    want = torch.fft.irfft2(torch.fft.rfft2(d) * t["h"], s=d.shape[-2:])
    assert torch.allclose(slope, -want, atol=1e-10)


def test_moments_are_those_of_the_states_that_are_kept():
    states = [normal(3, seed=i) for i in range(9)]
    mean, variance = langevin.moments(iter(states), 4)
    kept = torch.stack(states[4:])
    assert torch.allclose(mean, kept.mean(0))
    assert torch.allclose(variance, kept.var(0))
    with pytest.raises(ValueError, match="1 states are left"):
        langevin.moments(iter(states), 8)


# probabilities


def test_the_temperature_is_the_least_of_its_neighbours_and_undoes_a_factor():
    v = 2 * normal(4000)
    y = torch.rand(4000, generator=torch.Generator().manual_seed(1)).double() < v.sigmoid()
    T = conformal.temperature(3 * v, y)
    loss = lambda T: conformal.cross_entropy(3 * v / T, y)
    assert loss(T) < min(loss(1.02 * T), loss(T / 1.02))
    assert abs(T - 3 * conformal.temperature(v, y)) < 1e-3


def test_the_calibration_error_of_two_bins_by_hand():
    p, y = torch.tensor([0.1, 0.3, 0.8, 1.0]), torch.tensor([False, True, True, True])
    bins = conformal.reliability(p, y, 2)
    assert torch.allclose(bins.said, torch.tensor([0.2, 0.9]).double())
    assert bins.found.tolist() == [0.5, 1.0]
    assert math.isclose(bins.ece, (0.3 + 0.1) / 2, rel_tol=1e-6)


# what the page says


def test_everything_is_recorded_three_times_and_the_ensemble_opens():
    runs = records.recorded("imaging/ensemble-25")
    assert len(runs) == 3
    assert all(r["cpu_seconds"] < 180 for r in runs)
    assert len(experiment.load("imaging/ensemble-25").members) == uncertainty.MEMBERS
    for name in detector.TRAINED:
        assert len(records.recorded(f"small_target/{name}")) == 3


def test_the_bars_are_reported_as_they_were_stated():
    _, rows, _ = figures.bars()
    assert len(rows) == len(uncertainty.BARS)
    for row, (name, (low, high)) in zip(rows, uncertainty.BARS.items(), strict=True):
        found = sum(figures.each(name)) / 3
        assert row[3] == ("met" if low <= found <= high else "missed")


def test_the_explorer_stays_within_its_axes_and_its_ends_differ():
    explorer = figures.coverage_explorer()
    pages.states_lie_inside(explorer)
    pages.ends_differ(explorer, pages.drawn)


def test_the_solutions():
    for alpha in (0.1, 0.05, 0.01):
        n = SOLUTIONS.least(alpha)
        e = normal(n).abs()
        assert conformal.radius(e, alpha) < math.inf == conformal.radius(e[1:], alpha)
    n = SOLUTIONS.enough()
    k = conformal.rank(n, 0.1)
    u = torch.distributions.Beta(torch.tensor(float(k)), torch.tensor(float(n + 1 - k)))
    torch.manual_seed(0)
    assert abs(float((u.sample((20000,)) > 0.88).double().mean()) - 0.95) < 0.01
    found = []
    for i in range(600):
        e = -normal(101, seed=i).abs().log()
        low, high = SOLUTIONS.two_sided(e[:-1], 0.2)
        found.append(low <= float(e[-1]) <= high)
    assert sum(found) / 600 > 0.76
    g = torch.Generator().manual_seed(0)
    half = lambda x: x.square() / 2
    x = SOLUTIONS.adjusted(half, lambda x: x, normal(20000), 0.8, 30, g)
    assert abs(float(x.var()) - 1) < 0.04 < abs(1 / (1 - 0.4) - 1)


def test_known_weights_win_the_coverage_back():
    """Scale 1 + z: z uniform on [0, 1] in calibration, of density 2z in the test."""
    g, plain, mended = torch.Generator().manual_seed(0), [], []
    draw = lambda *s: torch.rand(s, generator=g, dtype=torch.float64)
    for i in range(800):
        z, own = draw(60), draw(1).sqrt()
        e = (1 + 3 * z) * normal(60, seed=i).abs()
        new = float((1 + 3 * own) * normal(1, seed=10_000 + i).abs())
        plain.append(new <= conformal.radius(e, 0.2))
        mended.append(new <= SOLUTIONS.weighted(e, 2 * z, float(2 * own), 0.2))
    assert sum(plain) / 800 < 0.77 < 0.78 < sum(mended) / 800 < 0.84


REFUSED = [
    (lambda: conformal.rank(0, 0.1), "n is 0"),
    (lambda: conformal.radius(normal(5), 1.5), "alpha is 1.5"),
    (lambda: conformal.radius(normal(5, 2), 0.1), "scores has shape"),
    (lambda: conformal.radius(normal(5) * math.nan, 0.1), "scores"),
    (lambda: conformal.reliability(normal(5), normal(5) > 0), "within \\[0, 1\\]"),
    (lambda: conformal.reliability(normal(5).sigmoid(), normal(4) > 0), "p and y have shapes"),
    (lambda: conformal.temperature(normal(5), normal(4) > 0), "logits and y have shapes"),
    (lambda: next(langevin.walk(lambda x: -x, normal(3), 0.0, 5, torch.Generator())), "step is 0"),
]


@pytest.mark.parametrize(("call", "says"), REFUSED)
def test_what_cannot_be_is_told_in_one_line(call, says):
    with pytest.raises(ValueError, match=says) as told:
        call()
    assert "\n" not in str(told.value)
