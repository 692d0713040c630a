"""The page on inpainting from measurements alone: its masks, its records, its solutions."""

from itertools import product

import pages
import pytest
import torch

from dunfold_lib import records
from dunfold_lib.imaging import figures_inpainting as figures
from dunfold_lib.imaging import masks, self_supervised, training
from dunfold_lib.imaging.experiments import BLIND, EXPERIMENTS, MASK_BAR
from dunfold_lib.operators import Sensing

SOLUTIONS = pages.solutions("beyond/no_ground_truth_inpainting")
STILL = [(0, 0)]


def stripes(side=9):
    kept = torch.zeros(side, side)
    kept[:, ::2] = 1
    return kept


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.5, 0.97])
def test_a_mask_drops_its_share_and_its_matrix_reads_what_it_keeps(missing):
    kept = masks.kept_pixels(missing)
    assert int((kept == 0).sum()) == int(missing * 33**2)
    A = Sensing(masks.mask_matrix(kept))
    x = torch.rand(2, 1, 33, 33)
    assert torch.equal(A.T(A(x)), x * kept)
    assert torch.equal(A(x), x[:, 0][:, kept == 1])
    assert torch.equal(A.Phi @ A.Phi.T, torch.eye(len(A.Phi)))  # orthonormal, as measure_blind asks


def test_masks_that_cannot_be_are_refused_in_a_line():
    for given, says in ((torch.zeros(3, 3), "zero everywhere"), (torch.ones(2, 3), "square")):
        with pytest.raises(ValueError, match=says):
            masks.mask_matrix(given)
    with pytest.raises(ValueError, match="square"):
        self_supervised.pairs_at(torch.ones(2, 3))
    with pytest.raises(ValueError, match="8 symmetries"):
        self_supervised.seen_pixels(torch.ones(3, 3), STILL, 9)
    with pytest.raises(ValueError, match="'transpose' with a mask"):
        training.Blind(missing=0.5, start="truths")


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_the_rank_counts_the_pixels_that_some_symmetry_sees(count):
    """{prf:ref}`prop-mask-seen`."""
    for missing in (0.5, 0.9):
        kept = masks.kept_pixels(missing, 7)
        union = self_supervised.seen_pixels(kept, STILL, count)
        assert self_supervised.seen(masks.mask_matrix(kept), count) == int(union.sum())


def test_one_kept_pixel_and_all_shifts_see_everything_and_turns_do_not():
    one = torch.zeros(6, 6)
    one[1, 2] = 1
    every = [*product(range(6), repeat=2)]
    assert self_supervised.seen_pixels(one, every).all()
    assert self_supervised.seen_pixels(one, every[:-1]).sum() == 35
    assert self_supervised.seen_pixels(one, STILL, 8).sum() == 8


def test_a_chessboard_of_odd_side_is_its_own_turn_and_a_shift_sees_its_other_half():
    board = 1.0 - (torch.arange(33)[:, None] + torch.arange(33)) % 2
    assert torch.equal(self_supervised.seen_pixels(board, STILL, 8), board)
    once = self_supervised.seen_pixels(board, [(0, 0), (0, 1)])
    assert once[:, 1:].all()
    assert not once[:, 0].all()  # the seam, where blocks of odd side meet
    assert self_supervised.seen_pixels(board, [(0, 0), (0, 1), (1, 0)]).all()


def test_pairs_are_counted_as_by_hand():
    kept = masks.kept_pixels(0.4, 5)
    at = [tuple(p) for p in kept.nonzero().tolist()]
    by_hand = torch.zeros(5, 5)
    for i, p in enumerate(at):
        for q in at[i:]:
            by_hand[abs(p[0] - q[0]), abs(p[1] - q[1])] += 1
    assert torch.equal(self_supervised.pairs_at(kept), by_hand.double())


def test_the_covariance_from_holes_is_the_mean_over_kept_pairs():
    kept, g = masks.kept_pixels(0.4, 4).double(), torch.Generator().manual_seed(0)
    d = torch.arange(4).double()
    C = self_supervised.by_distance(torch.exp(-0.3 * (d[:, None] + d)))
    x = torch.randn(60_000, 16, generator=g).double() @ torch.linalg.cholesky(C).T
    holes = x.reshape(-1, 1, 4, 4)
    found = self_supervised.masked_covariance(kept, holes)
    assert (found - C).abs().max() < 0.03
    spoilt = torch.where(kept == 1, holes, torch.full_like(holes, 1e6))
    assert torch.equal(self_supervised.masked_covariance(kept, spoilt), found)


def test_the_recorded_networks_meet_the_bar_and_are_not_ranked():
    """Sentences: "Consistency alone stays …", "Not decided here …", the bar's verdict."""
    alone, blind, truths = (figures.values(f"mask-{n}") for n in figures.SAID)
    (start,) = {round(v, 6) for v in figures.values("mask-equivariant", "psnr_start_wheels")}
    assert max(abs(v - start) for v in alone) < 0.1
    assert records.ranks(blind, alone)
    assert records.ranks(truths, alone)
    assert records.undecided(blind, truths)
    assert figures.verdict(figures.gap("mask-{}"), MASK_BAR) == "met"


def test_second_moments_without_truths_stand_above_every_seed_of_the_networks():
    """Sentence: "Both stand above every seed of both networks"."""
    blind, truths = figures.linear(), figures.linear(truths=True)
    best = max(figures.values("mask-equivariant") + figures.values("mask-supervised"))
    assert best + 0.5 < blind < truths


def test_the_bar_was_1_5_dB_and_the_runs_differ_in_their_loss_alone():
    assert MASK_BAR == 1.5
    for name in figures.SAID:
        recipe = EXPERIMENTS[f"blind-mask-{name}"].recipes["cpu"]
        assert recipe == BLIND[f"mask-{name}"]
        assert (recipe.phases, recipe.channels, recipe.missing) == (3, 8, 0.5)
        assert (recipe.steps, recipe.batch) == (300, 2)
        assert recipe.start == "transpose"
        assert len(figures.values(f"mask-{name}")) == records.SEEDS
    assert figures.verdict(MASK_BAR, MASK_BAR) == "met"
    assert figures.verdict(MASK_BAR + 0.01, MASK_BAR) == "missed"


def test_a_network_for_a_mask_begins_with_zeros_in_the_holes():
    net = training.build_blind(25, training.Blind(missing=0.5, channels=2, phases=1))
    x = torch.rand(1, 1, 33, 33)
    holes = x * masks.kept_pixels(0.5)
    assert (net(net.A(x)) - holes).abs().max() < 1e-3


def test_the_explorer_lies_within_its_axes_and_its_controls_tell():
    explorer = figures.pixels_explorer()
    pages.states_lie_inside(explorer)
    pages.ends_differ(explorer)
    _, seen = figures._seen(0.9, "8 turns and mirrors")
    assert 0.5 < float(seen.mean()) < 0.65  # the guess: "a little over half"


def test_the_solutions():
    share = SOLUTIONS.unseen_share
    assert share(1089, 544, 1) == 544 / 1089
    assert share(20, 3, 4) == 0
    found = [
        float(
            (self_supervised.seen_pixels(masks.kept_pixels(0.5, 6, s), figures.shifts(3, 6)) == 0)
            .double()
            .mean()
        )
        for s in range(400)
    ]
    assert abs(sum(found) / 400 - share(36, 18, 3)) < 0.015
    assert share(36, 18, 3) < 0.5**3

    assert SOLUTIONS.smallest_ruler(7) == (0, 1, 4, 6)
    assert [len(SOLUTIONS.smallest_ruler(n)) for n in (1, 2, 3, 4, 5, 8)] == [1, 2, 3, 3, 4, 5]

    i, j = torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij")
    assert torch.equal(SOLUTIONS.never_seen(stripes(), turns=False), j % 2 == 1)
    assert torch.equal(SOLUTIONS.never_seen(stripes()), (i % 2 == 1) & (j % 2 == 1))
    assert not SOLUTIONS.never_seen(masks.kept_pixels(0.5))[:17, :17].any()
