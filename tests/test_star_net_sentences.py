"""Of star net page: star net sentences."""

import inspect

import pytest
import torch
from shared_star_net_page import F64, above, settings

from dunfold_lib import records
from dunfold_lib.hyperspectral import (
    Patches,
    STARNet,
    as_sweeps,
    data,
    dct,
    evaluation,
    measured,
    noise_level,
    published,
    rank,
)
from dunfold_lib.hyperspectral import figures_star_net as figures
from dunfold_lib.hyperspectral import figures_star_net_studies as studies
from dunfold_lib.hyperspectral import figures_star_net_tables as tables
from dunfold_lib.hyperspectral.model import Sweeps
from dunfold_lib.tables import mean


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
    return above([-v for v in found])


def test_STARNet_is_ahead_of_the_sweeps_for_each_seed_from_30_on_and_at_10_they_disagree():
    lead = tables.minus(*studies.PAIRS["lead"])
    assert all(above(lead[s]) for s in (30, 50, 70))
    assert not above(lead[10])
    assert not below(lead[10])


def test_SMDSNet_is_behind_the_sweeps_at_10_30_and_50_and_ahead_at_70():
    behind = tables.minus(*studies.PAIRS["behind"])
    assert all(above(behind[s]) for s in (10, 30, 50))
    assert below(behind[70])


def test_trained_on_repaired_columns_STARNet_is_worse_with_each_seed():
    repaired, sound = (tables.minus(*studies.PAIRS[n]) for n in ("repaired", "sound"))
    assert all(map(above, repaired.values()))
    assert all(below(sound[s]) for s in (10, 30))
    assert all(above(sound[s]) for s in (50, 70))


def test_the_other_scores_of_STARNet_at_50():
    score = lambda name: mean(tables.scored("star", name, 50, "as-is"))
    assert score("ssim") > 0.9
    assert score("sam") < 0.052
    assert score("ergas") < 6.4


def test_estimating_sigma_changes_the_mean_little():
    assert min(studies.blind()) > -0.2


def test_on_Pavia_Centre_STARNet_is_ahead_of_the_classical_STAR_for_every_seed_and_level():
    found = tables.minus(studies.OURS, ("star-classical", ""), "pavia")
    assert all(map(above, found.values()))


def test_on_Pavia_Centre_non_local_means_lead_at_10_the_network_at_70_and_between_they_disagree():
    found = tables.minus(studies.OURS, ("subspace-nlm", ""), "pavia")
    assert below(found[10])
    assert above(found[70])
    assert not any(above(found[s]) or below(found[s]) for s in (30, 50))


def test_on_Pavia_Centre_it_leads_total_variation_at_10_and_30_and_then_nothing_is_decided():
    found = tables.minus(studies.OURS, ("subspace-tv", ""), "pavia")
    assert all(above(found[s]) for s in (10, 30))
    assert not any(above(found[s]) or below(found[s]) for s in (50, 70))


def test_on_the_simulated_cube_total_variation_is_ahead_and_at_10_and_30_the_classical_STAR():
    assert all(map(below, tables.minus(studies.OURS, ("subspace-tv", ""), "simu").values()))
    found = tables.minus(studies.OURS, ("star-classical", ""), "simu")
    assert all(below(found[s]) for s in (10, 30))


@pytest.mark.parametrize("scene", ["pavia", "simu"])
def test_STARNet_stays_ahead_of_SMDSNet_on_both_scenes(scene):
    for s in figures.LEVELS:
        assert above(tables.against("star", "smds", f"psnr_{s}_{scene}"))


def test_on_the_file_as_it_is_STARNet_led_the_sweeps_at_10():
    assert above(tables.minus(studies.OURS, studies.CLASSICAL, "as_is")[10])


def test_the_last_four_accuracies_are_close_and_non_local_means_above_them():
    four = studies.four_accuracies()
    assert max(max(v) - min(v) for v in four.values()) < 0.05
    assert min(studies.nlm_accuracy()) > 0
    for s, found in four.items():
        pca, noisy = (tables.of(n, f"accuracy_{s}_as_is") for n in ("pca", "noisy"))
        assert records.ranks([min(found)] * 3, pca)
        assert records.ranks(pca, noisy)
