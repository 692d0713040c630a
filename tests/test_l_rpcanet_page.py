"""The chapter on L-RPCANet: its explorers and the solutions of its exercises."""

import numpy as np
import pages
import pytest
import torch

from dunfold_lib import records
from dunfold_lib.small_target import (
    LRPCANet,
    RPCANet,
    data,
    images,
    iou,
    scores,
)
from dunfold_lib.small_target import (
    figures_l_rpcanet as figures,
)
from dunfold_lib.small_target.experiments import EXPERIMENTS
from dunfold_lib.small_target.pictures import DARK, FALSE, HIT, MISSED, painted

SOLUTIONS = pages.solutions("small_target/l_rpcanet")
cleared = pages.clearing(figures)
EXPLORERS = (
    figures.stage_explorer,
    figures.threshold_explorer,
    figures.depth_explorer,
)
RECORDED = bool(figures.recorded())
DEEP = bool(figures.depths()[1])


def small(K=2, seed=0, **changes):
    """A network that does something, without a record: large last layers, a working D."""
    net = LRPCANet(K=K, c=4, b=2, n_noise=1, seed=seed, **changes)
    with torch.no_grad():
        net.eps.fill_(0.5)
        net.sigma.fill_(0.5)
        for F in (*net.FB, *net.FT, *net.FN):
            F.last.weight.mul_(10)
    return net.requires_grad_(False).eval()


@pytest.fixture
def unrecorded(tmp_path, monkeypatch):
    """Explorers over small networks and small scenes, whatever is recorded."""
    cleared()
    nets = {"lrpcanet-sirst": small()} | {f"stages-{K}": small(K, seed=K) for K in (1, 3)}
    monkeypatch.setattr(figures, "SIDE", 48)
    monkeypatch.setattr(figures, "MANY", 3)
    monkeypatch.setattr(figures, "FEW", 2)
    monkeypatch.setattr(figures, "NOISES", {"none": (0.0, 0.0), "both": (25.0, 0.02)})
    monkeypatch.setattr(figures, "network", lambda name="lrpcanet-sirst", recipe="": nets[name])
    monkeypatch.setattr(figures, "depths", lambda: ("cpu", (1, 3)))
    yield nets
    cleared()


def test_a_scene_has_a_target_and_the_noise_is_that_of_the_tables():
    cleared()
    for name in figures.SCENES:
        frames = figures.scene(name)
        assert frames.image.shape == frames.mask.shape == (1, 1, 128, 128)
        assert 5 < int(frames.mask.sum()) < 400
        clean = figures.disturbed(frames, "none")
        assert torch.equal(clean, images(frames))
        rough = figures.disturbed(frames, "σ = 25/255") - clean
        assert float(rough.std()) == pytest.approx(25 / 255, rel=0.1)
        pepper = figures.disturbed(frames, "1 % salt and pepper")
        assert float((pepper != clean).float().mean()) == pytest.approx(0.01, abs=0.004)
        assert torch.equal(pepper, figures.disturbed(frames, "1 % salt and pepper"))
    sigmas = {s for s, _ in figures.NOISES.values()}
    assert sigmas <= set(map(float, data.SIGMAS))
    assert {d for _, d in figures.NOISES.values()} <= set(data.DENSITIES)


def test_a_stage_shows_the_networks_own_maps(unrecorded):
    frames, curve = figures.stage(2, "both", "cloud")
    net, b = (
        unrecorded["lrpcanet-sirst"],
        figures.disturbed(figures.scene("cloud"), "both"),
    )
    seen, truth = [*net.states(b)], figures.scene("cloud").mask
    for shown, own in zip(frames.images[1:], (seen[1].D, *seen[2][1:]), strict=False):
        low, high = own.min(), own.max()
        torch.testing.assert_close(
            torch.from_numpy(shown).float(), ((own - low) / (high - low))[0, 0]
        )
    assert np.array_equal(frames.images[0], b[0, 0].double().numpy())
    assert len(frames.images) == len(frames.captions) == 6
    heads = [c.split(",")[0].split(":")[0] for c in frames.captions]
    assert heads == ["image", "D¹", "B²", "T²", "N²", "T² > 0"]
    shares = [100 * iou(s.T > 0, truth) for s in seen[1:]]
    assert curve.lines[0].y.tolist() == pytest.approx(shares)
    assert curve.lines[1].y[0] == pytest.approx(shares[1])
    assert shares[0] != pytest.approx(shares[1])
    found = painted(seen[2].T[0, 0] > 0, truth[0, 0])
    assert np.array_equal(frames.images[5], found)
    assert not np.array_equal(found, painted(seen[2].B[0, 0] > 0, truth[0, 0]))


def test_a_flat_map_is_grey_and_its_caption_tells_its_value():
    flat = torch.full((1, 1, 4, 6), -3.0)
    assert (figures._stretched(flat) == 0.5).all()
    assert figures._stretched(flat).shape == (4, 6)
    assert figures._extremes(flat) == "−3.00 to −3.00"
    assert figures._extremes(100 * flat) == "−300 to −300"
    assert figures._up(10) == "¹⁰"


def test_the_picture_of_a_detection_tells_hits_misses_and_false_alarms_apart():
    truth = torch.tensor([[True, True, False, False]])
    found = torch.tensor([[True, False, True, False]])
    shown = painted(found, truth)
    assert shown.shape == (1, 4, 3)
    colours = [HIT, MISSED, FALSE, (DARK, DARK, DARK)]
    assert [tuple(v) for v in shown[0]] == colours


def test_sizes_are_those_of_the_states(unrecorded):
    start, *seen = figures.states("cloud", "none")
    for x, s in zip(seen, figures.sizes("cloud"), strict=True):
        assert (s.low, s.high) == (float(x.T.min()), float(x.T.max()))
        assert float(x.N.abs().mean()) == pytest.approx(s.N)
        assert s.apart == pytest.approx(float((x.D - start.D).abs().mean()))
        assert s.level == pytest.approx(float(x.B.mean()))
    assert torch.equal(start.D, images(figures.scene("cloud")))


def test_thresholds_have_the_rates_that_they_are_made_for_and_one_is_zero(unrecorded):
    cuts, T, background = (
        figures.cuts(),
        figures.score("none"),
        ~figures.many().mask,
    )
    assert 0.0 in cuts
    assert list(cuts) == sorted(set(cuts))
    at = [float((T[background] > c).float().mean()) for c in cuts if c != 0]
    wanted = sorted(figures.RATES, reverse=True)
    for rate in wanted[:3]:
        assert min(abs(a - rate) for a in at) < 0.15 * rate + 0.005


def test_a_threshold_stands_on_the_roc_that_scikit_learn_draws(unrecorded):
    sklearn = pytest.importorskip("sklearn.metrics")
    cut = figures.cuts()[1]
    frames, curve = figures.threshold(cut, "both")
    logit, truth = figures.score("both"), figures.many().mask
    area = sklearn.roc_auc_score(truth.flatten(), logit.flatten())
    assert f"area under the ROC {area:.3f}" in curve.note
    full, dot = curve.lines
    found = logit > cut
    assert dot.y[0] == pytest.approx(float((found & truth).sum() / truth.sum()))
    assert dot.x[0] == pytest.approx(float((found & ~truth).sum() / (~truth).sum()))
    assert np.interp(dot.x[0], full.x, full.y) == pytest.approx(dot.y[0], abs=0.05)
    assert f"{cut:g}" in frames.captions[2]
    told = scores.by_overlap(found, truth)
    assert f"Pd {100 * told.pd:.0f} %, Fa {told.fa / 1e-5:.1f}e-5" in curve.note


def test_the_depth_figure_shows_the_networks_of_each_k(unrecorded):
    frames, curve = figures.depth(3, "both")
    T = unrecorded["stages-3"](figures.disturbed(figures.many(), "both")[:2])
    share = 100 * iou(T > 0, figures.many().mask[:2])
    assert curve.lines[-1].y[0] == pytest.approx(share)
    assert curve.lines[1].y[1] == pytest.approx(share)
    assert curve.lines[1].x.tolist() == [1, 3]
    assert curve.fixed == len(figures.NOISES) == len(curve.lines) - 1
    assert "K = 3" in frames.captions[2]


def ends_and_axes(every):
    for make in every:
        pages.states_lie_inside(make())
        pages.ends_differ(make())


def test_every_state_lies_within_its_axes_and_the_ends_of_every_slider_differ(unrecorded):
    ends_and_axes(EXPLORERS)
    for make in EXPLORERS:
        assert make().html().count("<img") >= 3


@pytest.mark.slow
@pytest.mark.skipif(not RECORDED, reason="no L-RPCANet is recorded")
def test_every_state_over_the_recorded_networks_lies_within_its_axes():
    cleared()
    ends_and_axes(EXPLORERS if DEEP else EXPLORERS[:2])


def test_the_shown_recipe_is_the_best_that_has_weights(tmp_path, monkeypatch):
    cleared()
    monkeypatch.setattr(records, "results_root", lambda: tmp_path)
    assert figures.recorded() == ""
    assert figures.depths() == ("cpu", ())
    with pytest.raises(ValueError, match="no lrpcanet-sirst is recorded; make one by") as caught:
        figures.network()
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no stages-K is recorded; make one by"):
        figures.depth_explorer()

    def put(name, recipe):
        folder = tmp_path / "small_target" / name / f"{recipe}-s0"
        folder.mkdir(parents=True)
        recorded = EXPERIMENTS[name].recipes[recipe]
        net = EXPERIMENTS[name].build(recorded)
        run = {"recipe_name": recipe, "recipe": vars(recorded), "seed": 0, "scores": {}}
        records.save(folder, run | {"weights": records.save_weights(folder, net)})
        return net

    put("lrpcanet-sirst", "gpu")
    assert figures.recorded() == "gpu"
    assert figures.network().K == 6
    cleared()
    cpu = put("lrpcanet-sirst", "cpu")
    assert figures.recorded() == "cpu"  # made-up scenes are shown: who trained on them comes first
    x = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(figures.network()(x), cpu.eval()(x))
    for K in (2, 5):
        put(f"stages-{K}", "cpu")
    put("stages-4", "gpu")
    cleared()
    assert figures.depths() == ("cpu", (2, 5))
    assert figures.network("stages-5", "cpu").K == 5
    cleared()


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: figures.scene("garage"), "name is 'garage'; it must be one of cloud, "),
        (lambda: figures.stage(3, "none", "cloud"), "k is 3; the network has 2 stages"),
        (lambda: figures.stage(0, "none", "cloud"), "k is 0; it must be at least 1"),
        (
            lambda: figures.stage(1, "rain", "cloud"),
            "noise is 'rain'; it must be one of none",
        ),
        (lambda: figures.threshold(float("nan")), "cut is nan; it must be finite"),
        (
            lambda: figures.threshold(0.0, "rain"),
            "noise is 'rain'; it must be one of none",
        ),
        (lambda: figures.depth(2), "K is 2; it must be one of 1, 3"),
        (lambda: figures.depth(3, "rain"), "noise is 'rain'; it must be one of none"),
    ],
)
def test_a_bad_position_is_answered_in_one_line(unrecorded, call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_unknown_experiment_has_no_network():
    with pytest.raises(ValueError, match="name is 'lrpcanet'; it must be one of"):
        figures.network("lrpcanet")


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


# what the page says


def test_the_names_of_every_recorded_experiment_stand_on_the_page():
    page = (pages.BOOK / "small_target/l_rpcanet.md").read_text(encoding="utf-8")
    measured = [name for name in EXPERIMENTS if records.recorded(f"small_target/{name}")]
    assert measured
    for name in measured:
        assert f'"{name}"' in page, name


def test_the_sizes_that_the_page_names_are_the_papers():
    sizes = [sum(p.numel() for p in n.parameters()) for n in (LRPCANet(), RPCANet())]
    assert sizes == [215_916, 679_896]
