"""The chapter on ISTA-Net: its explorers and the solutions of its exercises."""

import numpy as np
import pages
import pytest
import torch
from shared_ista_net_page import small

from dunfold_lib import records
from dunfold_lib.imaging import ISTANet, ISTANetPlus, data
from dunfold_lib.imaging import figures_ista_net as figures
from dunfold_lib.imaging.fast import reconstruct
from dunfold_lib.operators import Fourier, Sensing
from dunfold_lib.prox import soft

SOLUTIONS = pages.solutions("imaging/ista_net")


cleared = pages.clearing(figures)


@pytest.fixture
def unrecorded(monkeypatch):
    """Explorers over small networks, whatever is recorded; their caches are emptied around it."""
    cleared()
    nets = {r: small(r) for r in (10, 25)}
    monkeypatch.setattr(figures, "network", nets.__getitem__)
    monkeypatch.setattr(figures, "recorded_ratios", lambda: (10, 25))
    monkeypatch.setattr(figures, "NOISE", (0, 20))
    monkeypatch.setattr(figures, "TV_STEPS", 20)
    yield nets
    cleared()


def test_a_phase_shows_the_networks_own_estimate(unrecorded):
    frames, curve = figures.phase(25, 2, "coffee")
    truth = figures.photograph("coffee")
    estimate = reconstruct(unrecorded[25], truth)
    shown = torch.from_numpy(frames.images[1]).float()[None, None]
    torch.testing.assert_close(shown, estimate.clamp(0, 1), rtol=0, atol=1e-5)
    assert curve.lines[0].y[2] == pytest.approx(figures.score(estimate, truth), abs=1e-3)
    assert f"{curve.lines[0].y[2]:.1f} dB" in frames.captions[1]
    assert curve.lines[1].y[0] == curve.lines[0].y[2]


def test_without_noise_the_noise_explorer_agrees_with_the_phase_explorer(unrecorded):
    clean = figures.noisy_scores()
    for k in range(3):
        alone = figures.phase(25, k, "camera")[1].lines[0].y[k]
        assert clean["network"][k][0] == pytest.approx(alone, abs=1e-3)
    assert clean["tv"][0][0] == pytest.approx(clean["weighted"][0][0], abs=0.05)
    assert clean["tv"][0][1] < clean["tv"][0][0]
    frames, curve = figures.noise(20, 1)
    assert curve.lines[4].y[0] == curve.lines[3].y[1] == clean["network"][1][1]
    assert frames.captions[2].startswith("TV, weighted fit")


def test_a_feature_is_shown_before_and_after_its_threshold(unrecorded):
    with torch.no_grad():
        unrecorded[25].theta.fill_(1e6)
    gone = figures.features(1, 1)
    assert gone.captions[2] == "after soft, 100% are 0"
    assert (gone.images[2] == 0.5).all()
    assert not (gone.images[1] == 0.5).all()
    figures.run.cache_clear()
    with torch.no_grad():
        unrecorded[25].theta.zero_()
    kept = figures.features(1, 1)
    np.testing.assert_array_equal(kept.images[1], kept.images[2])


def test_features_come_strongest_first(unrecorded):
    z = figures.run(25, "camera")[1]["z"][0]
    largest = [float(figures.features(1, c).note.split()[-1]) for c in range(1, 5)]
    order = z.square().mean((1, 2)).argsort(descending=True)
    assert largest == pytest.approx([float(z[c].abs().max()) for c in order], abs=1e-3)


def test_the_explorers_fit_a_page_and_show_what_is_recorded(unrecorded):
    made = [figures.phase_explorer(), figures.noise_explorer(), figures.features_explorer()]
    assert [s.values for s in made[0].sliders.values()] == [
        (10, 25),
        (0, 1, 2),
        ("camera", "coffee"),
    ]
    assert [len(s.values) for s in made[1].sliders.values()] == [2, 3]
    assert [len(s.values) for s in made[2].sliders.values()] == [2, 4]
    for explorer in made:
        assert explorer.html().count("<img") == 3


def test_without_a_record_the_explorer_says_so_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "results_root", lambda: tmp_path)
    assert figures.recorded_ratios() == ()
    with pytest.raises(ValueError, match="no ISTA-Net\\+ is recorded"):
        figures.phase_explorer()


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: figures.photograph("barbara"), "must be one of camera, coffee"),
        (lambda: figures.phase(25, 3), "k is 3; the network has 2 phases"),
        (lambda: figures.noise(3, 1), "level is 3; it must be one of"),
        (lambda: figures.features(0, 1), "k"),
        (lambda: figures.features(1, 5), "channel is 5; the network has 4"),
    ],
)
def test_a_bad_position_is_answered_in_one_line(unrecorded, call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not figures.recorded_ratios(), reason="no ISTA-Net+ is recorded")
def test_every_state_over_the_recorded_networks_lies_within_its_axes():
    for ratio in figures.recorded_ratios():
        for name in figures.CROPS:
            pages.inside(figures.phase(ratio, figures.network(ratio).K, name)[1])


@pytest.mark.parametrize("K, c", [(9, 32), (5, 16), (2, 3)])
def test_the_formula_counts_the_parameters(K, c):
    A = Sensing(data.sensing_matrix(1))
    for kind, plus in ((ISTANet, False), (ISTANetPlus, True)):
        held = sum(p.numel() for p in kind(A, K, c).parameters())
        assert SOLUTIONS.parameters(K, c, plus) == held
    assert SOLUTIONS.parameters(9, 32, False) == 171_090
    assert SOLUTIONS.parameters(9, 32, True) == 336_978
    one = SOLUTIONS.parameters(1, c, True)
    assert SOLUTIONS.parameters(K, c, True, shared=True) == one + 2 * (K - 1)


def test_where_the_threshold_is_in_range_the_phase_is_the_prox_and_elsewhere_not():
    g = torch.Generator().manual_seed(0)
    angle = torch.arange(3).double() * 2 * torch.pi / 3
    tight = (2 / 3) ** 0.5 * torch.stack([angle.cos(), angle.sin()], 1)
    square = torch.linalg.qr(torch.randn(2, 2, generator=g).double())[0]
    doubled = torch.cat([square, square]) / 2**0.5
    r = torch.randn(100, 2, generator=g).double()
    r[0] = torch.tensor([0.0, 2.0])  # orthogonal to the first direction
    r[1] = 0.01
    for F in (square, doubled, tight):
        held = SOLUTIONS.in_range(F, r, 0.3)
        x, p = soft(r @ F.T, 0.3) @ F, 0 * r @ F.T
        for _ in range(3000):
            p = (p + (r - p @ F) @ F.T).clamp(-0.3, 0.3)
        apart = (x - (r - p @ F)).norm(dim=1)
        assert float(apart[held].max()) < 1e-6
        assert held.all() == (F is not tight)
    assert held[:2].all()
    assert float(apart[~held].max()) > 0.05


@pytest.mark.slow
@pytest.mark.skipif(25 not in figures.recorded_ratios(), reason="no ISTA-Net+ at 25 %")
def test_what_the_solutions_say_of_the_recorded_networks():
    for ratio, better in ((25, True), (10, False)):
        net, gain = figures.network(ratio), []
        for image in data.wheel_images("test").values():
            apart, across = reconstruct(net, image), SOLUTIONS.across_blocks(net, image)
            gain.append(figures.score(across, image) - figures.score(apart, image))
            assert (SOLUTIONS.jump(across) < SOLUTIONS.jump(apart)) == better
        assert (sum(gain) > 0) == better
        assert max(map(abs, gain)) < 1
    net, blocks = figures.network(25), data.patches([*data.wheel_images("test").values()])
    b = net.A(blocks[::200])
    assert not any(SOLUTIONS.equilibrium(net, k, b)[1][-1] < 1e-3 for k in range(net.K))


@pytest.mark.parametrize("norm, L", [("ortho", 1), ("backward", 64), ("forward", 1 / 64)])
def test_the_scanners_adjoint_is_one_for_every_scaling_of_the_fft(norm, L):
    g = torch.Generator().manual_seed(0)
    mask = (torch.rand(8, 8, generator=g) > 0.4).double()
    x = torch.randn(3, 1, 8, 8, generator=g, dtype=torch.float64)
    r = torch.randn(3, 2, 8, 8, generator=g, dtype=torch.float64)
    forward = lambda v, m: m * torch.view_as_real(torch.fft.fft2(v[:, 0], norm=norm)).movedim(-1, 1)
    left, right = (forward(x, mask) * r).sum(), (x * SOLUTIONS.fourier_adjoint(mask, r, norm)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-12)
    ones = torch.ones_like(mask)
    round_trip = SOLUTIONS.fourier_adjoint(ones, forward(x, ones), norm)
    torch.testing.assert_close(round_trip, L * x, rtol=1e-10, atol=1e-12)
    if norm == "ortho":
        torch.testing.assert_close(SOLUTIONS.fourier_adjoint(mask, r), Fourier(mask).T(r))
