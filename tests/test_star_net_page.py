"""The chapter on STAR-Net: its explorers and the solutions of its exercises."""

import inspect
from itertools import pairwise

import pages
import pytest
import torch

from dunfold_lib import records
from dunfold_lib.hyperspectral import (
    Patches,
    SMDSNet,
    STARNet,
    STARNetPaper,
    STARNetS,
    as_sweeps,
    data,
    dct,
    denoise,
    evaluation,
    measured,
    noise_level,
    published,
    rank,
    scores,
    star,
)
from dunfold_lib.hyperspectral import figures_star_net as figures
from dunfold_lib.hyperspectral import figures_star_net_printed as printed
from dunfold_lib.hyperspectral import figures_star_net_studies as studies
from dunfold_lib.hyperspectral import figures_star_net_tables as tables
from dunfold_lib.hyperspectral.experiments import EXPERIMENTS
from dunfold_lib.hyperspectral.model import Sweeps
from dunfold_lib.tables import mean

SOLUTIONS = pages.solutions("hyperspectral/star_net")
cleared = pages.clearing(figures)
F64 = torch.float64
EXPLORERS = (
    figures.layer_explorer,
    figures.values_explorer,
    figures.blocks_explorer,
)


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
        (
            lambda: figures.shrink(torch.ones(9, 81), 1.0, "rank"),
            "norm is 'rank'; it must be",
        ),
        (
            lambda: figures.codes("water"),
            "place is 'water'; it must be one of field, edge",
        ),
        (lambda: figures.blocks(a="maybe"), "a is 'maybe'; it must be one of on, off"),
        (lambda: figures.switched("B"), "block is 'B'; it must be one of A, SVT, G"),
    ],
)
def test_a_bad_position_is_answered_in_one_line(little, call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


# exercises


@pytest.mark.parametrize("kind", [SMDSNet, STARNet, STARNetS])
@pytest.mark.parametrize("K, p, r", [(6, 9, 9), (3, 4, 5)])
@pytest.mark.parametrize("thresholds", ["layer", "atom"])
def test_the_formula_counts_the_parameters(kind, K, p, r, thresholds):
    held = sum(p.numel() for p in kind(K=K, side=p, r=r, thresholds=thresholds).parameters())
    assert SOLUTIONS.parameters(kind.__name__, K, p, r, thresholds) == held


@pytest.mark.parametrize("K, p, r", [(9, 9, 9), (6, 9, 9), (2, 3, 4)])
def test_the_formula_counts_the_papers_layout(K, p, r):
    held = sum(p.numel() for p in STARNetPaper(K=K, side=p, r=r).parameters())
    assert SOLUTIONS.parameters("STARNetPaper", K, p, r) == held


def test_the_garrote_and_its_backward_hold_at_equal_singular_values():
    g = torch.Generator().manual_seed(0)
    X = torch.randn(3, 4, 7, dtype=F64, generator=g)
    U, s, Vt = torch.linalg.svd(X, full_matrices=False)
    expected = (U * (s - 1.5**2 / s).relu()[..., None, :]) @ Vt
    torch.testing.assert_close(SOLUTIONS.garrote(X, 1.5), expected, rtol=0, atol=1e-11)
    run = lambda X: SOLUTIONS.garrote(X, 1.5)
    equal = 3 * torch.eye(4, 7, dtype=F64)
    empty = torch.cat([X[0, :2], torch.zeros(2, 7, dtype=F64)])
    for case in (X, equal, empty):
        assert torch.autograd.gradcheck(run, (case.clone().requires_grad_(),))
    near, far = (torch.diag(torch.tensor([v, 1.0], dtype=F64)) for v in (2.0, 2.1))
    moved = SOLUTIONS.garrote(far, 1.5) - SOLUTIONS.garrote(near, 1.5)
    assert float(moved.norm()) > 0.1  # further than its argument: no convex penalty has this prox


def test_what_the_solutions_say_of_the_shown_network():
    cleared()
    net, truth = figures.network(), figures.truth()
    for level in figures.LEVELS:
        Y, sigma = figures.noisy(level), level / 255
        factors = (0.5, 1.0, 1.1, 2.0)
        half, right, tenth, twice, blind = SOLUTIONS.told(net, Y, truth, sigma, factors)
        assert right == pytest.approx(figures.run_of(level).psnr[-1], abs=1e-4)
        assert blind == pytest.approx(scores.psnr(denoise(net, Y), truth))
        cost = {"half": right - half, "twice": right - twice, "a tenth": right - tenth}
        if level == 10:
            assert all(4 < cost[name] < 5 for name in ("half", "twice"))
        else:
            assert cost["twice"] < 6 < cost["half"]
        worse = {10: (0.35, 0.45), 30: (0.65, 0.75)}.get(level, (-0.1, 0.05))
        assert worse[0] < cost["a tenth"] < worse[1]
    found = SOLUTIONS.at_strides(net, figures.noisy(30), truth, 30 / 255, (1, 3, 9))
    (n1, one), (n3, three), (_, nine) = found
    assert 8 < n1 / n3 < 8.5
    assert abs(one - three) < 0.15
    assert nine < three - 0.2
    assert net.stride == figures.STRIDE


def test_a_share_that_lambda_makes_depends_on_the_stride():
    assert SOLUTIONS.share(0.05, 3, 1) == pytest.approx(0.32, abs=2e-3)
    assert SOLUTIONS.share(0.3, 2, 2) == pytest.approx(0.3)


# what the page says: each test is named after a sentence, and fails where it would be wrong


def settings(name, recipe="cpu"):
    return EXPERIMENTS[name].recipes[recipe]


def test_the_lines_of_the_parts_stand_in_the_layer_in_the_order_of_the_sweep():
    flat = " ".join(inspect.getsource(Sweeps.layer).split())
    assert all(row[-1] in flat for row in tables.PARTS)
    assert {row[0] for row in tables.PARTS} > {"ShrinkNet", "SvtNet", "Linear", "LargNet"}
    order = ("soft(F", "low_rank(", "U + L - B", "self.blend(", "moved(")
    at = [flat.index(part) for part in order]
    assert at == sorted(at)


def test_untrained_the_network_equals_the_librarys_sweeps():
    g = torch.Generator().manual_seed(0)
    Y = data.Noise(20)(data.synthetic(g, (16, 15), 12, 3).double(), g)
    net = STARNet(K=4, side=4, r=3, procrustes=4).double().requires_grad_(False)
    for D in (net.C, net.D, net.W):
        D[0].copy_(dct(4, F64))
        D[1].copy_(dct(4, F64))
    b, _ = measured(Y, 20 / 255, 3)
    models = as_sweeps(net)
    x, theirs = net.start(b), models[0].start(b.Y, b.A)
    for k, model in enumerate(models):
        *_, (_, theirs) = model.sweep(b.Y, theirs)
        x = net.layer(k, x, b)
        for name in "GAB":
            assert (getattr(x, name) - getattr(theirs, name)).abs().max() < 1e-9
    assert (x.G - net.start(b).G).abs().max() > 0.1


def test_a_fresh_network_has_the_numbers_that_the_page_names():
    fresh = STARNet().requires_grad_(False)
    found = [fresh.numbers(k) for k in range(6)]
    for n in found:
        assert float(n.theta) == pytest.approx(1, abs=1e-6)
        assert float(n.w) == pytest.approx(0.2, abs=1e-6)
    assert all(float(n.tau) == pytest.approx(1, abs=1e-6) for n in found[:-1])
    assert found[-1].tau is None
    assert [round(float(n.alpha), 6) for n in found] == [0.05] * 5 + [0.98]
    assert torch.equal(fresh.C[0].data, dct(9))
    assert torch.equal(fresh.C[2].data, torch.eye(9))
    assert fresh.C[0].shape == fresh.C[2].shape == (9, 9)
    assert fresh.procrustes == 1
    assert Sweeps.through is False


def test_a_crop_of_32_has_576_patches_of_81_and_they_are_added_by_the_adjoint():
    g = torch.Generator().manual_seed(0)
    R, image = Patches(9, 1), torch.randn(1, 9, 32, 32, generator=g).double()
    X = R(image)
    assert X.shape == (1, 9, 81, 576)
    Z = torch.randn(X.shape, generator=g).double()
    gap = (X * Z).sum() - (image * R.T(Z, (32, 32))).sum()
    assert abs(gap) < 1e-10 * X.norm() * Z.norm()


def test_at_sigma_50_at_least_five_of_nine_eigen_images_are_empty():
    b, _ = measured(figures.noisy(50), 50 / 255, 9)
    assert int(b.A.any(1).sum()) <= 4


def test_noise_alone_has_nine_singular_values_between_about_6_and_12():
    g = torch.Generator().manual_seed(0)
    found = torch.linalg.svdvals(torch.randn(200, 9, 81, generator=g).double())
    assert found.quantile(0.01) > 5.5
    assert found.quantile(0.99) < 12.5
    sizes = {p: torch.linalg.svdvals(figures.codes(p)) for p in figures.PLACES}
    assert sizes["edge"][0] > 100
    assert 12 < sizes["field"][0] < 60


def test_a_threshold_of_one_lets_nine_tenths_of_a_gradient_through_where_nothing_is_empty():
    small = figures.passes(figures.codes("edge"), 1.0, "nuclear norm")
    assert float(small.max()) > 0.9
    assert float(small.min()) < 1e-6  # some eigen-images are empty
    whole = figures.passes(figures.codes("edge"), 48.0, "Frobenius norm")
    assert 0.5 < float(whole.min()) < 0.75


def test_the_estimate_of_sigma_is_a_little_too_high():
    assert 50 / 255 < float(noise_level(figures.noisy(50))) < 1.1 * 50 / 255


def test_the_published_counts_split_up_as_the_page_says():
    P = published.PARAMETERS
    assert (P["SMDS-Net"], P["STAR-Net"], P["STAR-Net-S"]) == (5_103, 27_702, 28_487)
    assert P["STAR-Net-S"] - P["STAR-Net"] == 785
    assert P["STAR-Net"] == (4 * 9 + 2) * 9**3
    count = lambda net: sum(p.numel() for p in net.parameters())
    assert count(STARNet()) == 9**3 + 6 * 4 - 1
    assert count(STARNet(r=20)) == 3 * (2 * 81 + 400) + 23 == 1_686 + 23
    assert 81 * 20 == 1_620


def test_no_tau_comes_near_the_6_of_noise_and_alpha_stays_small_before_the_last_layer():
    net = figures.network()
    *first, last = (net.numbers(k) for k in range(net.K))
    assert max(float(n.tau) for n in first) < 4
    assert max(float(n.alpha) for n in first) < 0.2
    assert float(last.alpha) > 0.98


def test_the_training_was_what_the_page_says():
    recipe = settings("star")
    assert (recipe.data, recipe.low, recipe.high) == ("indian-pines-repaired", 5.0, 80.0)
    assert (recipe.layers, recipe.stride, recipe.patch, recipe.batch) == (6, 3, 32, 4)
    assert recipe.whole is False
    assert data.part("test").shape == (1, 200, 96, 64)
    assert data.TRAIN_COLUMNS == 80
    named = {n for n, _ in tables.ROWS.values()}
    spent = [
        r["cpu_seconds"] / 60
        for n in named
        for r in records.recorded(f"hyperspectral/{n}")
        if r.get("recipe_name") == "as-is" and "cpu_seconds" in r
    ]
    assert spent
    assert 2 < min(spent) <= max(spent) < 6


def test_PCA_keeps_two_spectra_at_sigma_70():
    assert int(rank(evaluation.noised(data.part("test"), data.Noise(70), 0), 70 / 255)) == 2


def below(found):
    """Every difference is negative, of as many seeds as rank."""
    return tables.above([-v for v in found])


def test_STARNet_is_ahead_of_the_sweeps_for_each_seed_from_30_on_and_at_10_they_disagree():
    lead = studies.lead()
    assert all(tables.above(lead[s]) for s in (30, 50, 70))
    assert not tables.above(lead[10])
    assert not below(lead[10])


def test_SMDSNet_is_behind_the_sweeps_at_10_30_and_50_and_ahead_at_70():
    behind = studies.behind()
    assert all(tables.above(behind[s]) for s in (10, 30, 50))
    assert below(behind[70])


def test_trained_on_repaired_columns_STARNet_is_worse_with_each_seed():
    assert all(map(tables.above, studies.repaired().values()))
    sound = studies.sound()
    assert all(below(sound[s]) for s in (10, 30))
    assert all(tables.above(sound[s]) for s in (50, 70))


def test_the_other_scores_of_STARNet_at_50():
    score = lambda name: mean(tables.scored("star", name, 50, "as-is"))
    assert score("ssim") > 0.9
    assert score("sam") < 0.052
    assert score("ergas") < 6.4


def test_estimating_sigma_changes_the_mean_little():
    assert min(studies.blind()) > -0.2


def test_on_Pavia_Centre_STARNet_is_ahead_of_the_classical_STAR_for_every_seed_and_level():
    found = tables.minus(studies.OURS, ("star-classical", ""), "pavia")
    assert all(map(tables.above, found.values()))


def test_on_Pavia_Centre_non_local_means_lead_at_10_the_network_at_70_and_between_they_disagree():
    found = tables.minus(studies.OURS, ("subspace-nlm", ""), "pavia")
    assert below(found[10])
    assert tables.above(found[70])
    assert not any(tables.above(found[s]) or below(found[s]) for s in (30, 50))


def test_on_Pavia_Centre_it_leads_total_variation_at_10_and_30_and_then_nothing_is_decided():
    found = tables.minus(studies.OURS, ("subspace-tv", ""), "pavia")
    assert all(tables.above(found[s]) for s in (10, 30))
    assert not any(tables.above(found[s]) or below(found[s]) for s in (50, 70))


def test_on_the_simulated_cube_total_variation_is_ahead_and_at_10_and_30_the_classical_STAR():
    assert all(map(below, tables.minus(studies.OURS, ("subspace-tv", ""), "simu").values()))
    found = tables.minus(studies.OURS, ("star-classical", ""), "simu")
    assert all(below(found[s]) for s in (10, 30))


@pytest.mark.parametrize("scene", ["pavia", "simu"])
def test_STARNet_stays_ahead_of_SMDSNet_on_both_scenes(scene):
    for s in figures.LEVELS:
        assert tables.above(tables.against("star", "smds", f"psnr_{s}_{scene}"))


def test_on_the_file_as_it_is_STARNet_led_the_sweeps_at_10():
    assert tables.above(studies.over_as_is())


def test_the_last_four_accuracies_are_close_and_non_local_means_above_them():
    four = studies.four_accuracies()
    assert max(max(v) - min(v) for v in four.values()) < 0.05
    assert min(studies.nlm_accuracy()) > 0
    for s, found in four.items():
        pca, noisy = (tables.of(n, f"accuracy_{s}_as_is") for n in ("pca", "noisy"))
        assert records.ranks([min(found)] * 3, pca)
        assert records.ranks(pca, noisy)


def test_A_never_updated_is_the_same_training_as_the_first_row():
    for s in figures.LEVELS:
        never = tables.of("star-no-a", f"psnr_{s}", "as-is")
        fixed = tables.of("star", f"psnr_fixed_{s}", "as-is")
        assert 1 <= len(never) <= len(fixed)
        assert never == pytest.approx(fixed[: len(never)], abs=0.02)


def test_the_rows_have_equal_steps_but_SMDSNet_more_than_twice_as_many():
    steps = {n: settings(n).steps for n in ("star", *studies.ABLATION)}
    assert steps.pop("smds") > 2 * steps["star"]
    assert len({*steps.values()}) == 1
    assert settings("star-every-a").whole


@pytest.mark.parametrize("name", ["star-no-svt", "star-no-blend", "smds"])
def test_three_seeds_are_recorded_of_each_block_that_the_page_ranks(name):
    for s in figures.LEVELS:
        assert len(tables.against(name, "star", f"psnr_{s}")) >= 3


def test_SVT_brings_most_at_low_noise_for_each_seed():
    brings = studies.svt_brings()
    assert all(map(tables.above, brings.values()))
    assert mean(brings[10]) > 5 * mean(brings[50])


def test_G_in_every_layer_brings_nothing():
    first, *rest = studies.blend_costs()
    assert tables.above(first)
    assert max(first) < 0.2
    assert max(abs(v) for row in rest for v in row) < 0.05


def test_one_Procrustes_step_at_the_end_brings_something_for_each_seed():
    assert all(map(tables.above, studies.procrustes_brings().values()))


@pytest.mark.parametrize("name", studies.LONE)
def test_what_the_page_does_not_decide_of_the_blocks_is_not_decided(name):
    found = tables.of(name, "psnr_50", "as-is")
    assert records.undecided(found, tables.of("star", "psnr_50", "as-is"))


def test_fewer_layers_were_trained_for_more_steps():
    assert [settings(n).layers for n in studies.DEPTHS.values()] == [*studies.DEPTHS]
    assert settings("star-k9").steps < settings("star-k3").steps


def depth(K, level):
    return tables.of(studies.DEPTHS[K], f"psnr_{level}", "as-is")


@pytest.mark.parametrize("level", [10, 30, 50])
def test_one_layer_is_behind_two_to_six(level):
    for K in range(2, 7):
        assert records.ranks(depth(K, level), depth(1, level))


def test_where_the_noise_is_low_three_layers_are_ahead():
    for K in (1, 2, 4, 5, 6, 9):
        assert records.ranks(depth(3, 10), depth(K, 10))


@pytest.mark.parametrize("level", [30, 50])
def test_whether_more_than_three_layers_are_worth_their_time_is_not_decided(level):
    assert records.undecided(*(depth(K, level) for K in range(3, 9)))


def test_at_the_highest_noise_no_depth_is_ahead():
    assert records.undecided(*(depth(K, 70) for K in studies.DEPTHS))


def test_the_sparse_noises_are_those_that_the_page_names():
    N = data.NOISES
    assert {N[k].sigma for k in studies.KINDS} == {10}
    assert (N["impulse"].impulse, N["mixed"].impulse) == (0.05, 0.02)
    assert N["mixed"].stripes < N["stripes"].stripes
    assert N["mixed"].dead < N["dead"].dead
    assert settings("star-s").whole
    assert (STARNetS().procrustes, STARNetS.window) == (6, 5)


def test_the_classical_S_is_ahead_of_its_sweeps_without_S_on_impulses():
    with_s, without = (
        mean(tables.of(n, "psnr_impulse_as_is"))
        for n in ("star-s-classical", "star-classical-sparse")
    )
    assert with_s > without + 3


def test_the_block_S_earns_its_place_and_training_pays():
    for found in (*studies.s_brings().values(), *studies.s_over_classical().values()):
        assert tables.above(found)
        assert min(found) > 1


EXACT = (28.13, 18.59, 14.15, 11.23)  # white noise on a scale of peak 1, dB
PRINTED = {n: {m: v["PSNR"] for m, v in cube.items()} for n, cube in printed.CUBES.items()}


def test_the_printed_noisy_rows_are_higher_than_white_noise_can_be():
    for cube in PRINTED.values():
        for i, e in enumerate(EXACT):
            assert cube["Noisy"][i] > e + 0.5
        assert cube["Noisy"][3] - EXACT[3] > 5
    assert PRINTED["ICVL"]["Noisy"][3] - EXACT[3] > 6.5


def test_one_printed_entry_is_a_misprint_and_the_average_says_which():
    assert "20.018" in published.MISPRINT
    *levels, average = PRINTED["ICVL"]["Noisy"]
    assert tuple(levels) == (29.018, 21.591, 18.402, 18.126)
    assert sum(levels) / 4 == pytest.approx(average, abs=0.01)


def test_by_the_averages_STAR_Net_S_leads_and_level_by_level_STAR_Net_is_not_always_first():
    icvl, pavia = PRINTED["ICVL"], PRINTED["PaviaU"]
    for cube in (icvl, pavia):
        assert max(cube, key=lambda m: cube[m][4]) == "STAR-Net-S"
    assert (icvl["Eigen-CNN"][0], icvl["STAR-Net"][0]) == (47.321, 47.286)
    assert (pavia["RCILD"][1], pavia["STAR-Net"][1]) == (35.947, 35.637)


def test_as_printed_the_gain_is_positive_at_every_level_from_a_tenth_to_more_than_five():
    gain = {name: printed.gain(name) for name in printed.CUBES}
    assert all(v > 0 for row in gain.values() for v in row)
    assert min(gain["ICVL"]) < 0.15
    assert max(gain["PaviaU"]) > 5


def test_our_gain_is_positive_for_every_seed_and_shrinks_as_the_noise_grows():
    gain = studies.net_gain()
    assert all(map(tables.above, gain.values()))
    assert mean(gain[10]) > 3 * mean(gain[70])


def test_what_the_page_computes_of_the_sweeps_is_what_is_recorded():
    truth = data.part("test")
    (first,) = (r for r in records.recorded("hyperspectral/star-classical") if r["seed"] == 0)
    for s, e in zip(figures.LEVELS, EXACT, strict=True):
        Y = evaluation.noised(truth, data.Noise(s), 0)
        assert scores.psnr(Y, truth) == pytest.approx(e, abs=0.02)
        here = scores.psnr(star(Y, s / 255), truth)
        assert here == pytest.approx(first["scores"][f"psnr_{s}"], abs=0.02)


@pytest.mark.parametrize("level", figures.LEVELS)
def test_the_picture_hardly_changes_before_the_last_layer_and_the_codes_know_early(level):
    cleared()
    assert figures.recorded()
    made = figures.run_of(level)
    assert len(made.codes) == 6
    assert made.codes[-1] == pytest.approx(made.psnr[-1], abs=1e-4)
    assert max(made.psnr[:-1]) - made.psnr[0] < 1
    assert made.psnr[-1] - max(made.psnr[:-1]) > 2
    assert 0.3 < made.codes[-1] - made.codes[0] < 2.5
    assert min(made.codes[3:5]) < max(made.codes[:3])


@pytest.mark.parametrize("level", figures.LEVELS)
def test_switched_off_after_training_SVT_is_missed_and_G_is_not(level):
    cleared()
    whole = figures.run_of(level).psnr[-1]
    lost = {o: whole - figures.run_of(level, o).psnr[-1] for o in ("A", "SVT", "G")}
    assert lost["G"] < 0.1
    assert lost["SVT"] > 1
    assert 0.1 < lost["A"] < 0.9


def test_a_fresh_layer_forgets_its_B_and_a_trained_one_does_not():
    b, _ = measured(figures.noisy(30), 30 / 255, 9)
    assert SOLUTIONS.remembers(STARNet(stride=3), b) < 1e-3
    cleared()
    assert SOLUTIONS.remembers(figures.network(), b) > 0.01


def test_the_guess_about_the_block_that_is_missed_is_right():
    cleared()
    guess = figures.blocks_explorer().guess
    whole = figures.run_of(50).psnr[-1]
    lost = {o: whole - figures.run_of(50, o).psnr[-1] for o in ("A", "SVT", "G")}
    assert max(lost, key=lost.get) == guess.right
    assert f"{lost['SVT']:.1f} dB" in guess.answer


@pytest.mark.parametrize("k", [0, 1, 4, 6])
def test_the_layers_that_are_still_to_come_are_not_drawn(k):
    cleared()
    *_, curve = figures.layer(k, 30)
    made = figures.run_of(30)
    cube, codes, shown = curve.lines
    assert [*cube.y] == made.psnr[: k + 1]
    assert [*codes.y] == made.codes[: max(k, 1)]
    assert (*shown.x, *shown.y) == (k, made.psnr[k])


@pytest.mark.parametrize("level", figures.LEVELS)
def test_the_guess_about_the_layer_where_the_noise_leaves_is_right(level):
    cleared()
    made = figures.run_of(level).psnr
    rises = [b - a for a, b in pairwise(made)]
    assert rises[-1] > 0.7 * (made[-1] - made[0])
    assert figures.layer_explorer().guess.right == "nearly all in the last"
