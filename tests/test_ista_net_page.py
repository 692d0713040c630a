"""The chapter on ISTA-Net: its explorers and the solutions of its exercises."""

from dataclasses import asdict

import numpy as np
import pages
import pytest
import torch

from dunfold_lib import records
from dunfold_lib.imaging import (
    ISTANet,
    ISTANetPlus,
    data,
    start_quietly,
)
from dunfold_lib.imaging import (
    figures_ista_net as figures,
)
from dunfold_lib.imaging import (
    figures_ista_net_tables as tables,
)
from dunfold_lib.imaging.evaluation import mean_scores
from dunfold_lib.imaging.experiments import EXPERIMENTS
from dunfold_lib.imaging.fast import reconstruct
from dunfold_lib.imaging.model import linear_estimate
from dunfold_lib.imaging.training import patch_covariance
from dunfold_lib.operators import Blockwise, Fourier, Sensing
from dunfold_lib.prox import soft

SOLUTIONS = pages.solutions("imaging/ista_net")
cleared = pages.clearing(figures)


def small(ratio=25, kind=ISTANetPlus, channels=4, K=2):
    """A network that does a little, without a record: fresh filters, made faint."""
    A = Sensing(data.sensing_matrix(ratio))
    net = kind(A, K, channels, Q=A.Phi.T.contiguous())
    start_quietly(net)
    g = torch.Generator().manual_seed(ratio)
    with torch.no_grad():
        for w in getattr(net, "G", ()):
            w.copy_(0.02 * torch.randn(w.shape, generator=g))
    return net.eval()


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
    made = [
        figures.phase_explorer(),
        figures.noise_explorer(),
        figures.features_explorer(),
    ]
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


@pytest.mark.parametrize("kind", [ISTANet, ISTANetPlus])
def test_across_blocks_is_block_by_block_where_no_filter_reaches_over(kind):
    net, image = small(kind=kind), figures.photograph("coffee")[..., :66, :66]
    apart, across = reconstruct(net, image), SOLUTIONS.across_blocks(net, image)
    if kind is ISTANet:  # δ filters see one pixel
        torch.testing.assert_close(across, apart, rtol=0, atol=1e-4)
    else:  # two phases of six convolutions reach 12 pixels at most
        far = (..., slice(0, 21), slice(0, 21))
        torch.testing.assert_close(across[far], apart[far], rtol=0, atol=2e-2)
        assert (across - apart).abs()[..., 32:34].max() > (across - apart).abs()[far].max()


def test_the_jump_is_one_for_noise_and_large_for_blocks():
    noise = torch.rand(1, 1, 99, 99, generator=torch.Generator().manual_seed(0))
    assert SOLUTIONS.jump(noise) == pytest.approx(1, abs=0.1)
    blocks = torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    tiles = blocks.repeat_interleave(33, 2).repeat_interleave(33, 3)
    assert SOLUTIONS.jump(tiles + 0.01 * noise) > 10


def test_a_quiet_phase_is_an_equilibrium_and_a_faint_one_moves():
    net = small()
    b = net.A(figures.photograph("coffee")[..., :33, :33])
    x, moved = SOLUTIONS.equilibrium(net, 0, b, 20)
    assert len(moved) == 20
    assert moved[0] > 0
    last = net.layer(0, x, b).detach()
    assert float((last - x).norm() / x.norm()) < 2 * moved[-1] + 1e-6
    start_quietly(net)
    assert max(SOLUTIONS.equilibrium(net, 0, b, 3)[1]) < 1e-5


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


# what the sentences say of records, settings and sizes


def recorded(name, score="psnr", recipe=""):
    found = records.values(f"imaging/{name}", score, recipe)
    assert found, f"imaging/{name} is not recorded"
    return found


def test_the_recorded_networks_are_of_the_size_that_the_page_says():
    """Sentences: "a network of five phases"; "5 phases of 16 channels (47,530 numbers for
    ISTA-Net+), at most a few thousand steps of 16 blocks. The paper's are 9 phases of 32 channels";
    the loss' factor 0.01."""
    small, large = (EXPERIMENTS["istanet-plus-25"].recipes[r] for r in ("cpu", "gpu"))
    assert (small.phases, small.channels, small.batch) == (5, 16, 16)
    assert small.steps <= 4000
    assert (large.phases, large.channels) == (9, 32)
    assert small.symmetry == large.symmetry == 0.01
    net = figures.network(25)
    assert net.K == 5
    assert sum(p.numel() for p in net.parameters()) == 47_530


def test_the_recorded_network_of_the_papers_size_is_what_the_page_says():
    """Sentences: "9 phases of 32 channels (336,978 numbers), trained for 200 epochs, 278,000 steps
    of 64 blocks"; "8,000 such steps on T91, eleven minutes of a GPU"; "the paper prints 32.57"."""
    (run,) = (
        r for r in records.recorded("imaging/istanet-plus-25") if r["recipe_name"] == "gpu-short"
    )
    recipe, whole = run["recipe"], EXPERIMENTS["istanet-plus-25"].recipes["gpu"]
    assert (whole.steps, whole.batch) == (278_000, 64)
    assert [recipe[k] for k in ("steps", "batch", "data")] == [8000, 64, "T91"]
    assert [recipe[k] for k in ("phases", "channels")] == [whole.phases, whole.channels]
    assert recipe == asdict(EXPERIMENTS["istanet-plus-25"].recipes["gpu-short"])
    assert run["parameters"] == 336_978
    assert run["device"] != "cpu"
    assert 600 < run["seconds"] < 690
    assert tables.published()["ISTA-Net+"][3] == 32.57


def test_a_matrix_for_a_whole_image_would_hold_a_billion_numbers():
    """Sentence: "For a whole image of 256×256 at 25 % it would hold a billion numbers"."""
    assert 1e9 < 0.25 * (256 * 256) ** 2 < 1.1e9


def test_the_first_step_stays_and_the_constrained_ones_keep_to_their_intervals():
    """Sentences: "The first step stands where training began, at 1"; "The steps and thresholds stay
    in their intervals"."""
    assert recorded("istanet-plus-25", "rho", "cpu")[0][0] == pytest.approx(1, abs=0.01)
    constrained = tables.PAIR["constrained"]
    assert all(0 < r < 2 for r in recorded(constrained, "rho", "cpu")[0])
    assert all(t > 0 for t in recorded(constrained, "theta", "cpu")[0])


def test_our_own_training_leaves_the_intervals_too():
    """Sentence: "our own training leaves the intervals, too"."""
    rho = [tables.latest(n, "rho") for n in ("istanet-plus-25", "istanet-plus-10", "istanet-25")]
    theta = [tables.latest(n, "theta") for n in ("istanet-25", "istanet-10")]
    outside = [r for values in rho for r in values if not 0 < r < 2]
    assert outside or min(map(min, theta)) < 0


def test_a_negative_threshold_makes_values_larger():
    """Sentence: "A negative threshold makes values *larger* … adds |t|"."""
    larger = soft(torch.tensor([-1.0, 0.5]), -0.1)
    torch.testing.assert_close(larger, torch.tensor([-1.1, 0.6]))


def test_the_published_rows_are_the_experiments_figures_in_the_order_of_the_ratios():
    made = tables.published()
    for kind, title in (("istanet", "ISTA-Net"), ("istanet-plus", "ISTA-Net+"), ("tv", "TVAL3")):
        for ratio, value in zip(tables.RATIOS, made[title], strict=True):
            assert EXPERIMENTS[f"{kind}-{ratio}"].published["psnr"] == value
    for ratio in (10, 25):
        value = made["D-AMP"][tables.RATIOS.index(ratio)]
        assert EXPERIMENTS[f"d-amp-{ratio}"].published["psnr"] == value
    assert all(len(row) == len(tables.RATIOS) for row in made.values())
    rows = {row[0]: row[1:] for row in tables.mri()[1]}
    for ratio, value in zip(tables.MRI_RATIOS, rows["ISTA-Net+, published"], strict=True):
        one = EXPERIMENTS.get(f"mri-istanet-plus-{ratio}")
        assert value == (f"{one.published['psnr']:.2f}" if one else "–")


def test_the_offline_default_trains_on_14_photographs_and_the_head_is_tested_on_12_slices():
    """Sentences: "our offline default the 14 photographs of the scikit-image wheel"; "12 slices of
    the MNI152 template"."""
    assert len(data.wheel_images("train")) == 14
    assert len(data.head_slices("test")) == 12


def test_total_variation_on_the_whole_image_stands_above_the_published_row():
    """Sentence: "has … dB at 25 % where the published row of TVAL3 has 27.92"."""
    assert tables.published()["TVAL3"][3] == 27.92
    assert recorded("tv-25")[0] > 27.92 + 0.5


def test_how_our_small_networks_stand_beside_total_variation_is_not_decided():
    """Sentence: "Not decided here: how our small networks stand beside it and beside PnP-ADMM"."""
    ours = recorded("istanet-plus-25", recipe="cpu-t91")
    assert records.undecided(ours, recorded("pnp-admm-cnn-25"))
    assert records.undecided(ours, recorded("tv-25") * records.SEEDS)


def test_at_one_per_cent_the_published_network_is_hardly_above_the_linear_start():
    """Sentences: "at 1 % the published ISTA-Net+ is 0.06 dB above the linear start"; "ten numbers a
    block"."""
    gain = tables.published()["ISTA-Net+"][0] - tables.RELEASED["linear start"][0]
    assert gain == pytest.approx(0.06, abs=0.005)
    assert data.ROWS[1] == 10


@pytest.mark.slow
@pytest.mark.skipif(not data.data_folder("Set11"), reason="no Set11 in the data folder")
def test_the_linear_start_at_one_per_cent_differs_between_draws_of_phi():
    """Sentence: "Over eight seeds of Φ the linear start from T91 lies at 1 % between 16.0 and 17.6
    dB on Set11; our seed 0 drew the lowest"."""
    covariance, images = patch_covariance("T91"), data.read_folder(data.data_folder("Set11"))

    def start(seed):
        A = Sensing(data.sensing_matrix(1, seed))
        Q = data.linear_start(A.Phi, covariance)

        def estimate(image):
            height, width = image.shape[2:]
            grid = [-(-n // data.SIDE) * data.SIDE for n in (height, width)]
            whole = Blockwise(A, tuple(grid))
            padded = torch.nn.functional.pad(image, (0, grid[1] - width, 0, grid[0] - height))
            x = linear_estimate(A, Q, whole(padded).flatten(0, 1))
            return whole.join(x)[..., :height, :width]

        return mean_scores(estimate, images, "")["psnr"]

    found = [start(seed) for seed in range(8)]
    assert (round(min(found), 1), round(max(found), 1)) == (16.0, 17.6)
    assert found[0] == min(found)


def test_what_the_page_says_of_the_released_weights_stands_in_its_table():
    """Sentences: "reaches 32.44 dB on Set11 with the PyTorch weights … the paper prints 32.57";
    "17.45 dB against 17.28"."""
    at = dict(zip(tables.RATIOS, tables.RELEASED["ISTA-Net+"], strict=False))
    assert (at[25], tables.published()["ISTA-Net+"][3]) == (32.44, 32.57)
    assert (at[1], tables.RELEASED["linear start"][0]) == (17.45, 17.28)


def test_the_mri_networks_are_small_and_few():
    """Sentences: "trained on the slices of one average head"; "Three phases"; "Not decided here:
    whether a network of the paper's size is ahead"."""
    recipe = EXPERIMENTS["mri-istanet-plus-20"].recipes["cpu"]
    assert (recipe.phases, recipe.data) == (3, "head")
    counts = [len(recorded(f"mri-istanet-plus-{r}", recipe="cpu")) for r in tables.MRI_RATIOS[1:]]
    assert max(counts) < records.SEEDS
    assert min(tables.below_total_variation()) > 0


def test_the_papers_network_needs_about_48_billion_operations():
    """Sentences: "about 48 billion operations for one image of 256×256"; "800 products a pixel in
    place of 9,504"."""
    per_phase = 9 * (4 * 32**2 + 2 * 32)
    pixels = 264 * 264  # 64 blocks of 33×33
    assert 47e9 < 2 * 9 * (per_phase * pixels + 64 * 2 * 272 * 1089) < 49e9
    assert 25 * 32 == 800
    assert 9 * 32 + 9 * 32 * 32 == 9_504


def test_a_row_without_a_number_is_left_out_and_a_dash_stands_for_one_score():
    assert tables._measured([["a", "–"], ["b", "–", "1.00"]]) == [["b", "–", "1.00"]]
    for table in (tables.set11, tables.photographs, tables.mri, tables.seconds):
        head, rows, _ = table()
        assert rows
        assert all(len(row) == len(head) for row in rows)
