"""The chapter on STAR-Net: its explorers and the solutions of its exercises."""

import pages
import pytest
import torch
from shared_star_net_page import F64, cleared

from dunfold_lib import records
from dunfold_lib.hyperspectral import STARNet, data, denoise, measured, scores
from dunfold_lib.hyperspectral import figures_star_net as figures
from dunfold_lib.hyperspectral.experiments import EXPERIMENTS

EXPLORERS = (figures.layer_explorer, figures.values_explorer, figures.blocks_explorer)


@pytest.fixture
def unrecorded(tmp_path, monkeypatch):
    """Explorers over the fresh network, whatever is recorded."""
    cleared()
    monkeypatch.setattr(records, "results_root", lambda: tmp_path)
    yield
    cleared()


@pytest.fixture
def little(unrecorded, monkeypatch):
    """A made-up crop and two layers, so that every state takes no time."""
    cube = data.synthetic(torch.Generator().manual_seed(1), (24, 26), 16, 3)
    net = STARNet(K=2, stride=3).requires_grad_(False)
    monkeypatch.setattr(figures, "truth", lambda: cube)
    monkeypatch.setattr(figures, "network", lambda: net)
    monkeypatch.setattr(figures, "BANDS", (2, 7))
    yield net
    cleared()


def test_the_crop_is_of_the_test_part_and_its_noise_of_the_level():
    assert torch.equal(figures.truth(), data.part("test")[..., 48:, :48])
    deviation = (figures.noisy(50) - figures.truth()).std()
    assert float(deviation) == pytest.approx(50 / 255, rel=0.01)
    assert torch.equal(figures.noisy(10), figures.noisy(10))


def test_the_network_is_fresh_where_none_is_recorded_and_the_recorded_one_where_there_is(
    unrecorded, tmp_path
):
    assert not figures.recorded()
    net, fresh = figures.network(), STARNet()
    for p, q in zip(net.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(p, q)
    assert net.stride == figures.STRIDE == EXPERIMENTS[figures.SHOWN].recipes["cpu"].stride
    cleared()
    with torch.no_grad():
        fresh.free_tau.fill_(3)
    folder = tmp_path / "hyperspectral" / figures.SHOWN / "as-is-s0"
    made = records.save_weights(folder, fresh)
    records.save(folder, {"scores": {}, "weights": made, "recipe_name": "as-is"})
    assert figures.recorded()
    assert (figures.network().free_tau == 3).all()


def test_a_run_is_the_networks_own_and_its_last_codes_are_its_estimate(little):
    made = figures.run(little, 30)
    Y = figures.noisy(30)
    torch.testing.assert_close(made.cubes[-1], denoise(little, Y, 30 / 255))
    assert len(made.cubes) == len(made.psnr) == 3
    assert made.codes[-1] == pytest.approx(made.psnr[-1], abs=1e-5)
    assert made.psnr[-1] == pytest.approx(scores.psnr(made.cubes[-1], figures.truth()))
    # the codes of layer 1 alone: a network of one layer with the same numbers
    one = STARNet(K=1, stride=3, procrustes=0)
    b, sigma = measured(Y, 30 / 255, 9)
    with torch.no_grad():
        first = scores.psnr(sigma * one(b), figures.truth())
    assert made.codes[0] == pytest.approx(first, abs=1e-4)


def test_switched_blocks_do_nothing_and_the_network_stays_as_it_was(little):
    b, _ = measured(figures.noisy(30), 30 / 255, 9)
    whole = little(b)
    start, *states = figures.switched("G").states(b)
    assert torch.equal(states[0].G, start.G)
    assert not torch.equal(states[-1].G, start.G)
    *states, last = figures.switched("A").states(b)
    assert torch.equal(last.A, b.A)
    states = list(figures.switched("SVT").states(b))
    torch.testing.assert_close(states[1].L, states[1].B, rtol=0, atol=1e-4)
    assert float(states[1].U.abs().max()) < 1e-4
    assert torch.equal(figures.switched()(b), whole)
    assert torch.equal(little(b), whole)
    assert type(little) is STARNet
    outcomes = [figures.switched(name)(b) for name in ("A", "SVT", "G")]
    assert all(not torch.allclose(x, whole, atol=1e-4) for x in outcomes)


@pytest.mark.parametrize("tau", [0.5, 4.0, 14.0])
def test_what_passes_of_a_gradient_is_the_closed_form(tau):
    X = torch.randn(9, 81, dtype=F64, generator=torch.Generator().manual_seed(3))
    s = torch.linalg.svdvals(X)
    for norm in figures.NORMS:
        found = figures.passes(X, tau, norm)
        if norm == "nuclear norm":
            out = (s - tau).relu()
            rise = (s * out)[:, None] - (s * out)
            run = (s**2)[:, None] - s**2 + torch.eye(9)
            expected = torch.where(torch.eye(9) > 0, (s > tau).to(F64), rise / run)
        else:
            length = X.norm()
            keep = max(1 - tau / float(length), 0)
            expected = keep + torch.diag(tau * s**2 / length**3)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def value(size_of, X, L):
    return 0.5 * (X - L).square().sum() + 5 * size_of(L)


def test_shrinking_is_the_prox_of_the_norm():
    X = torch.randn(9, 81, dtype=F64, generator=torch.Generator().manual_seed(4))
    sizes = (lambda L: torch.linalg.matrix_norm(L, "nuc"), torch.linalg.matrix_norm)
    for norm, size_of in zip(figures.NORMS, sizes, strict=True):
        L = figures.shrink(X, 5.0, norm)
        g = torch.Generator().manual_seed(5)
        for size in (0.01, 0.1, 1.0):
            other = L + size * torch.randn(L.shape, dtype=F64, generator=g)
            assert value(size_of, X, L) <= value(size_of, X, other)
        assert value(size_of, X, L) <= value(size_of, X, 0.99 * L)
        assert not figures.shrink(X, 1e3, norm).any()


def test_the_patches_shown_are_those_of_least_and_most_energy():
    field, edge = (figures.codes(p) for p in figures.PLACES)
    assert field.shape == edge.shape == (9, 81)
    assert float(edge.norm()) > 2 * float(field.norm())
    assert float(edge[:, 0].abs().max()) < 1e-3  # the mean is out


@pytest.mark.slow
def test_every_state_lies_within_its_axes_and_the_ends_of_every_slider_differ(unrecorded):
    states(EXPLORERS)


@pytest.mark.slow
@pytest.mark.skipif(not figures.recorded(), reason="the network is not recorded")
def test_every_state_over_the_recorded_network_lies_within_its_axes():
    cleared()
    states(EXPLORERS)


def states(makers):
    for make in makers:
        explorer = make()
        pages.states_lie_inside(explorer)
        pages.ends_differ(explorer)
        assert explorer.html().count("<img") >= 2


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: figures.noisy(20), "level is 20; it must be one of 10, 30, 50, 70"),
        (lambda: figures.layer(7, 30), "k is 7; the network has 2 layers"),
        (lambda: figures.layer(-1, 30), "k is -1; it must be at least 0"),
        (lambda: figures.values(3.0), "tau is 3.0; it must be one of 0.0, 1.0"),
        (lambda: figures.shrink(torch.ones(9, 81), 1.0, "rank"), "norm is 'rank'; it must be"),
        (lambda: figures.codes("water"), "place is 'water'; it must be one of field, edge"),
        (lambda: figures.blocks(a="maybe"), "a is 'maybe'; it must be one of on, off"),
        (lambda: figures.switched("B"), "block is 'B'; it must be one of A, SVT, G"),
    ],
)
def test_a_bad_position_is_answered_in_one_line(little, call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
