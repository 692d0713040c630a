"""The chapter on learning without ground truth: its losses, its records, its solutions."""

import pages
import pytest
import torch

from dunfold_lib import records
from dunfold_lib.imaging import ISTANetPlus, data, self_supervised, start_quietly, training
from dunfold_lib.imaging import figures_no_ground_truth as figures
from dunfold_lib.imaging.experiments import BLIND, BLIND_BAR, EXPERIMENTS
from dunfold_lib.operators import Sensing
from dunfold_lib.prox import soft

SOLUTIONS = pages.solutions("beyond/no_ground_truth")


def doubles(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def small(side=6, m=20):
    """A network for blocks of side × side, untrained but not quiet, and its operator."""
    Phi = torch.linalg.qr(doubles(side * side, m))[0].T.contiguous()
    return ISTANetPlus(Sensing(Phi), K=2, channels=3)


def drawn(net, crops=2, seed=1):
    side = net.A.side
    x = torch.rand(4 * crops, 1, side, side, generator=torch.Generator().manual_seed(seed)).double()
    b = net.A(x).unflatten(0, (crops, 4))
    g = torch.Generator().manual_seed(seed)
    place = torch.randint(side + 1, (crops, 4, 2), generator=g)
    turn = torch.randint(8, (crops, 4, 1), generator=g)
    probe = torch.randint(2, b.shape, generator=g).double() * 2 - 1
    fresh = torch.randn(b.shape, generator=g).double()
    return x, self_supervised.Drawn(b, torch.cat([place, turn], 2), probe, fresh)


def test_consistency_does_not_see_the_null_space_and_equivariance_does():
    """{prf:ref}`prop-blind`, and the sentence "A⁺b does not minimise it"."""
    net = small()
    _, d = drawn(net)
    pseudo = lambda b: net.A.T(b)
    hidden = doubles(8, 1, 6, 6)
    hidden = hidden - net.A.T(net.A(hidden))
    shifted = lambda b: net.A.T(b) + hidden[: len(b)]
    for f in (pseudo, shifted):
        assert self_supervised.consistency(net.A, f, d) < 1e-24
    b = d.b.flatten(0, 1)
    assert self_supervised.equivariance(net.A, pseudo, d, pseudo(b)) > 1e-3


def test_a_network_that_knows_every_image_has_no_equivariant_loss():
    net = small(6, 36)  # nothing is hidden: the inverse is equivariant
    _, d = drawn(net)
    f = net.A.T
    assert self_supervised.equivariance(net.A, f, d, f(d.b.flatten(0, 1))) < 1e-24


def test_windows_are_cut_from_the_joined_blocks_and_turned():
    blocks = torch.arange(4 * 9.0).reshape(4, 1, 3, 3)
    crop = self_supervised.joined(blocks)
    assert torch.equal(crop[0, 0, :3, 3:], blocks[1, 0])
    windows = torch.tensor([[[0, 3, 0], [3, 0, 0], [1, 1, 5], [0, 0, 1]]])
    found = self_supervised.cut(crop, windows)
    assert torch.equal(found[0], blocks[1])
    assert torch.equal(found[1], blocks[2])
    assert torch.equal(found[2], data.turned(crop[0, :, 1:4, 1:4], 5))


def test_the_supervised_loss_is_the_mean_square_error_block_by_block():
    net = small()
    x, d = drawn(net)
    with torch.no_grad():
        loss = self_supervised.supervised(net, d, self_supervised.joined(x))
        assert loss == pytest.approx(float((net(net.A(x)) - x).square().mean()))


def test_no_loss_but_the_supervised_one_looks_at_what_stands_for_a_truth():
    net = small()
    _, d = drawn(net)
    nothing = torch.full((2,), float("nan")).double()
    for loss in ("consistency", "equivariant", "sure"):
        recipe = training.Blind(loss=loss, noise=0.1)
        assert bool(training.blind_loss(recipe)(net, d, nothing).isfinite())


@pytest.mark.parametrize("t", [0.2, 0.6, 1.5])
def test_sure_is_unbiased_for_a_soft_threshold_and_a_wrong_divergence_is_not(t):
    u = torch.cat([torch.zeros(80), torch.full((20,), 2.0)]).double()
    v = u + 0.5 * doubles(4000, 100, seed=int(10 * t))
    true = (soft(v, t) - u).square().mean(1)
    errors = lambda guess: float((guess - true).mean() / (guess - true).std() * 4000**0.5)
    assert abs(errors(self_supervised.soft_sure(v, t, 0.5))) < 3
    g = torch.Generator().manual_seed(0)
    assert abs(errors(self_supervised.probed_sure(lambda v: soft(v, t), v, 0.5, g))) < 3
    wrong = self_supervised.soft_sure(v, t, 0.5) + 0.5 * (v.abs() <= t).double().mean(1)
    assert abs(errors(wrong)) > 10


def test_sure_of_a_network_has_the_mean_of_its_true_error_in_the_range():
    """For a linear f the divergence by a probe is eᵀA F e, whose mean is the trace."""
    net = small()
    F = 0.3 * doubles(36, 20)
    f = lambda b: (b @ F.T).unflatten(1, (1, 6, 6))
    x = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    clean, sigma, gaps = net.A(x), 0.2, []
    g = torch.Generator().manual_seed(3)
    for _ in range(3000):
        b = clean + sigma * torch.randn(clean.shape, generator=g).double()
        e = torch.randint(2, b.shape, generator=g).double() * 2 - 1
        d = self_supervised.Drawn(b[None], torch.zeros(1, 4, 3), e[None], b[None])
        guess = self_supervised.sure(net.A, f, d, f(b), sigma)
        gaps.append(guess - (net.A(f(b)) - clean).square().mean())
    gaps = torch.stack(gaps)
    assert abs(float(gaps.mean() / gaps.std() * 3000**0.5)) < 3


def test_the_covariance_of_stationary_blocks_follows_from_their_measurements():
    d = torch.arange(7).double()
    C = self_supervised.by_distance(0.3 + 0.1 * torch.exp(-0.4 * (d[:, None] + d)))
    M = torch.linalg.qr(doubles(49, 12))[0].T
    found = self_supervised.stationary_covariance(M, M @ C @ M.T)
    assert (found - C).abs().max() < 1e-8


def test_the_recorded_covariance_from_measurements_starts_like_that_from_truths():
    """Sentence: "The linear half of the problem needs no ground truth"."""
    for kind in ("psnr_start_wheels", "psnr_start"):
        known, truths = (figures.values(f"{n}-q", kind) for n in ("equivariant", "supervised"))
        assert abs(known[0] - truths[0]) < 0.15


def test_a_network_begins_where_its_recipe_says():
    for start, has in (("transpose", False), ("measurements", True), ("truths", True)):
        net = training.build_blind(25, training.Blind(start=start, channels=2, phases=1))
        assert (net.Q is not None) == has
        b = net.A(torch.ones(1, 1, 33, 33))
        assert (net(b) - net.start(b)).abs().max() < 1e-3


def test_two_steps_of_each_loss_change_the_weights_and_a_seed_names_them():
    for loss in ("supervised", "consistency", "equivariant", "sure"):
        recipe = training.Blind(
            loss=loss, steps=2, batch=1, channels=2, phases=1, noise=0.04, quiet=False
        )
        made = []
        for _ in range(2):
            net = training.build_blind(25, recipe)
            before = net.C1[0].detach().clone()
            made.append(training.train_blind(net, recipe))
            assert not torch.equal(net.C1[0], before)
        assert made[0] == made[1]


def test_a_quiet_network_has_no_consistency_loss_to_learn_from():
    """Sentence: "its loss is zero before the first step"."""
    net = small()
    start_quietly(net)
    _, d = drawn(net)
    loss = self_supervised.alone(net, d, d.b)
    loss.backward()
    assert loss < 1e-24
    assert max(float(p.grad.abs().max()) for p in net.parameters()) < 1e-10


def test_the_bar_was_1_5_dB_and_the_runs_differ_in_loss_and_start_alone():
    assert BLIND_BAR == 1.5
    for name in ("supervised", "equivariant", "consistency"):
        recipe = EXPERIMENTS[f"blind-{name}"].recipes["cpu"]
        assert (recipe.phases, recipe.channels, recipe.steps) == (3, 8, BLIND["supervised"].steps)
        assert recipe.start == "transpose"


def test_the_ranks_of_the_recorded_losses():
    """Sentences: "Consistency alone ends where the quiet network begins"; "In all three seeds the
    supervised network stands above those without truths"."""
    alone, equi, truths = (figures.values(n) for n in ("consistency", "equivariant", "supervised"))
    assert records.ranks(equi, alone)
    assert records.ranks(truths, equi)
    start = figures.values("equivariant", "psnr_start_wheels")
    assert max(alone) < start[0] + 0.1 < min(equi) - 10
    assert figures.verdict(figures.gap(), BLIND_BAR) == "missed"


def test_from_the_better_start_the_bar_is_met_by_the_start():
    """Sentence: "The network without truths ends a little *below* its own start, in every seed"."""
    ends, starts = (
        figures.values("equivariant-q", s) for s in ("psnr_wheels", "psnr_start_wheels")
    )
    assert len(ends) >= records.SEEDS
    assert records.ranks(starts, ends)
    assert max(starts) - min(ends) < 0.3
    assert figures.verdict(figures.gap("{}-q"), BLIND_BAR) == "met"
    assert figures.verdict(BLIND_BAR, BLIND_BAR) == "met"
    assert figures.verdict(BLIND_BAR + 0.01, BLIND_BAR) == "missed"


def test_with_noise_a_truth_is_worth_most_and_the_two_without_are_not_ranked():
    """Sentences: "gains over its start in all three seeds", "With a truth …", "Not decided …"."""
    ends, starts = (figures.values("sure-noisy", s) for s in ("psnr_wheels", "psnr_start_wheels"))
    assert records.ranks(ends, starts)
    blind = [figures.values(n) for n in ("equivariant-noisy", "sure-noisy")]
    assert all(records.ranks(figures.values("supervised-noisy"), scores) for scores in blind)
    assert records.undecided(*blind)
    assert min(map(len, blind)) >= records.SEEDS


def test_the_explorer_lies_within_its_axes_and_its_sliders_tell():
    explorer = figures.directions_explorer()
    pages.states_lie_inside(explorer)
    pages.ends_differ(explorer, pages.drawn)
    assert figures._ranks(5)[-1] < 36


def test_the_solutions():
    mask = torch.zeros(6, 6)
    mask[1:4, 1:4] = 1
    assert SOLUTIONS.unseen_pixels(mask) == 20  # the border, which no symmetry moves in
    corner = torch.ones(6, 6)
    for y in (0, 5):
        for x in (0, 5):
            corner[y, x] = 0
    assert SOLUTIONS.unseen_pixels(corner) == 4
    assert SOLUTIONS.unseen_pixels(torch.ones(6, 6)) == 0

    net = small()
    x, d = drawn(net)
    pull = SOLUTIONS.consistency_gradient(net.A, x * 0, d.b.flatten(0, 1))
    assert (pull - net.A.T(net.A(pull))).abs().max() < 1e-12

    v, sigma = 2 + doubles(3, 50), 1.0
    a = SOLUTIONS.best_shrinkage(v, sigma)[:, None]
    sure = lambda a: ((a - 1) * v).square().sum(1) + 2 * 50 * sigma**2 * a[:, 0]
    for other in (a + 0.01, a - 0.01):
        assert (sure(a) < sure(other)).all()

    for side in (3, 4, 5):
        rank, classes = SOLUTIONS.classes_seen(doubles(side, side * side))
        assert rank == classes == side * (side + 1) // 2
        assert SOLUTIONS.classes_seen(doubles(side - 1, side * side))[0] < classes

    A = doubles(4, 6)
    assert SOLUTIONS.seen_together([A, doubles(2, 6, seed=2)])
    assert not SOLUTIONS.seen_together([A, A])
