"""What holds of the functions in exercises.py, of the page beyond/no_ground_truth_inpainting."""

from itertools import combinations, product

import pytest
import torch

from . import exercises


def test_unseen_share_is_the_mean_over_every_mask():
    for N, k in ((5, 2), (6, 4)):
        masks = [set(holes) for holes in combinations(range(N), k)]
        for D in range(1, N + 1):  # pixel 0 is unseen if all its D places are holes
            missed = sum({*range(D)} <= holes for holes in masks) / len(masks)
            assert abs(exercises.unseen_share(N, k, D) - missed) < 1e-12


def test_unseen_share_is_below_that_of_independent_masks_and_near_it_in_a_large_block():
    for N, k, D in ((30, 15, 4), (30, 20, 8)):
        q = k / N
        assert exercises.unseen_share(N, k, D) < q**D
        assert abs(exercises.unseen_share(1000 * N, 1000 * k, D) / q**D - 1) < 0.01
    assert exercises.unseen_share(30, 15, 1) == pytest.approx(0.5)


def shows(marks, n):
    """Whether every distance from 1 to n − 1 is that of two marks."""
    return {abs(a - b) for a in marks for b in marks} >= {*range(1, n)}


def test_smallest_ruler_shows_every_distance_with_as_few_marks_as_can_be():
    for n in range(2, 12):
        marks = exercises.smallest_ruler(n)
        assert len({*marks}) == len(marks)
        assert all(0 <= m < n for m in marks)
        assert shows(marks, n)
        assert not any(shows(few, n) for few in combinations(range(n), len(marks) - 1))


def never(kept, i, j, turns):
    """Whether no two kept pixels are i rows and j columns apart (or j and i, with turns)."""
    on = kept.nonzero().tolist()
    apart = {(abs(a - c), abs(b - d)) for a, b in on for c, d in on}
    return not ((i, j) in apart or (turns and (j, i) in apart))


def test_never_seen_are_the_distances_of_no_kept_pair():
    g = torch.Generator().manual_seed(0)
    for share, turns in product((0.2, 0.4), (False, True)):
        kept = (torch.rand(6, 6, generator=g) < share).double()
        found = exercises.never_seen(kept, turns)
        assert found.shape == (6, 6)
        for i, j in product(range(6), range(6)):
            assert bool(found[i, j]) == never(kept, i, j, turns)


def test_never_seen_of_stripes_and_of_everything():
    stripes = torch.zeros(6, 6, dtype=torch.float64)
    stripes[::2] = 1  # two rows apart at least
    alone = exercises.never_seen(stripes, False)
    assert alone[1::2].all()
    assert not alone[::2].any()
    turned = exercises.never_seen(stripes)
    assert turned.sum() < alone.sum()
    assert torch.equal(turned, turned.T)
    assert not exercises.never_seen(torch.ones(6, 6, dtype=torch.float64)).any()
