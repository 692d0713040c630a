"""What holds of the functions in exercises.py, of the page hyperspectral/star_net."""

from itertools import pairwise

import torch

from dunfold_lib.hyperspectral import SMDSNet, STARNet, STARNetPaper, STARNetS, denoise, measured
from dunfold_lib.hyperspectral.scores import psnr

from . import exercises

F64 = torch.float64


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=F64)


def scene(sigma=0.1):
    """(Y, truth): a small cube of three smooth materials, with noise and without."""
    axis = torch.linspace(0, 4, 30)
    shapes = torch.stack([axis[:, None].sin() * axis.cos(), axis.cos() + 0 * axis[:, None]])
    images = torch.cat([shapes.abs(), (shapes[:1] > 0.2).float()])
    mix = torch.rand(8, 3, generator=torch.Generator().manual_seed(0)) / 2
    truth = torch.einsum("br,rhw->bhw", mix, images)[None]
    return truth + sigma * normal(*truth.shape).float(), truth


def network(K=2):
    return STARNet(K=K, side=5, r=3, stride=2).requires_grad_(False).eval()


def test_parameters_are_those_of_the_networks():
    for K, p, r in ((6, 9, 9), (3, 4, 5), (2, 3, 4)):
        for kind in (SMDSNet, STARNet, STARNetS):
            for thresholds in ("layer", "atom"):
                held = sum(
                    x.numel() for x in kind(K=K, side=p, r=r, thresholds=thresholds).parameters()
                )
                assert exercises.parameters(kind.__name__, K, p, r, thresholds) == held


def test_parameters_of_the_papers_layout():
    for K, p, r in ((9, 9, 9), (6, 9, 9), (2, 3, 4)):
        held = sum(x.numel() for x in STARNetPaper(K=K, side=p, r=r).parameters())
        assert exercises.parameters("STARNetPaper", K, p, r) == held


def test_garrote_takes_little_from_large_singular_values_and_small_ones_vanish():
    for seed, tau in ((0, 1.5), (1, 0.4), (2, 3.0)):
        X = normal(3, 4, 7, seed=seed)
        before = torch.linalg.svdvals(X)
        after = torch.linalg.svdvals(made := exercises.garrote(X, tau))
        assert torch.allclose(after, (before - tau**2 / before).clamp_min(0), atol=1e-9)
        assert torch.allclose(made @ X.mT, X @ made.mT, atol=1e-9), "the vectors stay"


def test_garrote_has_a_backward_that_holds_at_equal_and_at_empty_singular_values():
    X = 2 * normal(3, 5)
    equal = 3 * torch.eye(3, 5, dtype=F64)
    empty = torch.cat([X[:2], torch.zeros(1, 5, dtype=F64)])
    run = lambda X: exercises.garrote(X, 1.5)
    for case in (X, equal, empty):
        assert torch.autograd.gradcheck(run, (case.clone().requires_grad_(),))


def test_told_gives_a_score_for_each_level_and_a_blind_one():
    net, (Y, truth) = network(), scene()
    made = exercises.told(net, Y, truth, 0.1, (0.5, 1.0, 2.0))
    assert len(made) == 4
    assert abs(made[1] - psnr(denoise(net, Y, 0.1), truth)) < 1e-4
    assert made[1] > psnr(Y, truth)
    assert len({round(v, 3) for v in made[:3]}) == 3


def test_told_multiplies_the_level_and_leaves_the_blind_score_alone():
    net, (Y, truth) = network(), scene()
    one = exercises.told(net, Y, truth, 0.1, (2.0,))
    two = exercises.told(net, Y, truth, 0.2, (1.0,))
    assert abs(one[0] - two[0]) < 1e-4
    assert abs(one[-1] - two[-1]) < 1e-6
    assert abs(one[-1] - psnr(denoise(net, Y), truth)) < 1e-4


def test_share_stays_where_the_stride_does_and_follows_a_chain():
    for alpha in (0.05, 0.3, 0.9):
        assert abs(exercises.share(alpha, 3, 3) - alpha) < 1e-12
        chained = exercises.share(exercises.share(alpha, 4, 2), 2, 3)
        assert abs(chained - exercises.share(alpha, 4, 3)) < 1e-12


def test_share_has_odds_that_grow_with_the_number_of_patches_over_a_pixel():
    odds = lambda v: v / (1 - v)
    for alpha, trained, used in ((0.05, 3, 1), (0.2, 2, 6), (0.5, 1, 3)):
        grown = odds(exercises.share(alpha, trained, used)) / odds(alpha)
        assert abs(grown - (trained / used) ** 2) < 1e-9


def test_at_strides_counts_the_patches_and_scores_what_the_network_makes():
    net, (Y, truth) = network(), scene()
    found = exercises.at_strides(net, Y, truth, 0.1, (1, 5, 2))
    assert [n for n, _ in found] == [26 * 26, 6 * 6, 14 * 14]
    assert abs(found[2][1] - psnr(denoise(net, Y, 0.1), truth)) < 1e-3
    assert found[0][1] != found[1][1]


def test_at_strides_leaves_the_network_as_it_was():
    net, (Y, truth) = network(), scene()
    exercises.at_strides(net, Y, truth, 0.1, (1, 3))
    assert net.stride == 2


def test_remembers_nothing_of_a_fresh_layer_and_something_of_another_one():
    b, _ = measured(scene()[0], 0.1, 3)
    net = network()
    assert exercises.remembers(net, b) < 1e-3
    sizes = []
    for by in (0.01, 0.1):
        with torch.no_grad():
            net.C[0].mul_(1 + by)
        sizes.append(exercises.remembers(net, b))
    assert 1e-3 < sizes[0] < sizes[1]
    assert all(before < after for before, after in pairwise(sizes))


def test_smeared_has_deviation_one_and_neighbours_that_go_together_along_a_row():
    for width in (1, 2, 4):
        n = exercises.smeared((1, 4, 200, 300), width, torch.Generator().manual_seed(width))
        assert n.shape == (1, 4, 200, 300)
        assert abs(float(n.std()) - 1) < 0.02
        for lag in (1, 2, 5):
            along = float((n[..., lag:] * n[..., :-lag]).mean())
            assert abs(along - max(0.0, 1 - lag / width)) < 0.03


def test_smeared_does_not_join_rows_or_bands():
    n = exercises.smeared((1, 4, 200, 300), 3, torch.Generator().manual_seed(0))
    assert abs(float((n[..., 1:, :] * n[..., :-1, :]).mean())) < 0.03
    assert abs(float((n[:, 1:] * n[:, :-1]).mean())) < 0.03
    again = exercises.smeared((1, 4, 200, 300), 3, torch.Generator().manual_seed(0))
    assert torch.equal(n, again)
