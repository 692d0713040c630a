"""What holds of the functions in exercises.py, of the page beyond/no_ground_truth."""

import torch

from dunfold_lib.operators import Matrix

from . import exercises

F64 = torch.float64


def normal(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=F64)


def masks(side=6):
    """Masks (side, side) of ones and zeros, from few pixels to many."""
    g = torch.Generator().manual_seed(1)
    return [(torch.rand(side, side, generator=g) < share).float() for share in (0.1, 0.25, 0.6)]


def orbit(y, x, side):
    """Which pixels the symmetries of a square move to each other: a name for each class."""
    return tuple(sorted((min(y, side - 1 - y), min(x, side - 1 - x))))


def test_unseen_pixels_counts_the_orbits_that_the_mask_misses():
    for side in (5, 6):
        names = [orbit(y, x, side) for y in range(side) for x in range(side)]
        for mask in masks(side):
            met = {n for n, m in zip(names, mask.flatten().tolist(), strict=True) if m}
            assert exercises.unseen_pixels(mask) == sum(n not in met for n in names)


def test_unseen_pixels_of_the_first_symmetry_are_the_zeros_and_more_symmetries_see_more():
    for mask in masks():
        counts = [exercises.unseen_pixels(mask, count) for count in (1, 2, 4, 8)]
        assert counts[0] == int((mask == 0).sum())
        assert counts == sorted(counts, reverse=True)
    assert exercises.unseen_pixels(torch.ones(6, 6)) == 0


def problem():
    """A wide A, estimates x (rows) and measurements b that they do not fit."""
    return Matrix(normal(4, 9)), normal(3, 9, seed=1), normal(3, 4, seed=2)


def test_consistency_gradient_is_the_derivative_of_the_loss():
    A, x, b = problem()
    loss = lambda x: float((A(x) - b).square().sum())
    pull = exercises.consistency_gradient(A, x, b)
    for seed in range(5):
        d = normal(3, 9, seed=10 + seed)
        slope = (loss(x + 1e-5 * d) - loss(x - 1e-5 * d)) / 2e-5
        assert abs(slope - float((pull * d).sum())) < 1e-6 * max(1, abs(slope))


def test_consistency_gradient_lies_in_the_range_of_the_transpose():
    A, x, b = problem()
    pull = exercises.consistency_gradient(A, x, b)
    unseen = torch.eye(9, dtype=F64) - torch.linalg.pinv(A.A) @ A.A
    assert float((pull @ unseen).abs().max()) < 1e-10 < float(pull.abs().max())


def test_best_shrinkage_has_the_least_sure_of_every_row():
    m = 50
    v = normal(4, m) * torch.tensor([[0.5], [1.0], [2.0], [9.0]], dtype=F64)
    for sigma in (0.3, 1.0):
        a = exercises.best_shrinkage(v, sigma)
        price = 2 * m * sigma**2
        sure = lambda a, price=price: ((a[:, None] - 1) * v).square().sum(1) + price * a
        for other in (a + 0.01, a - 0.01, torch.zeros_like(a), torch.ones_like(a)):
            assert (sure(a) <= sure(other) + 1e-12).all()


def test_best_shrinkage_is_near_the_best_for_the_truth_where_there_are_many_numbers():
    m, sigma = 20_000, 0.7
    u = torch.tensor([[0.3], [1.0], [2.0]], dtype=F64) * normal(3, m, seed=1)
    v = u + sigma * normal(3, m, seed=2)
    best = (u * v).sum(1) / v.square().sum(1)  # of the squared error, with the truth known
    assert torch.allclose(exercises.best_shrinkage(v, sigma), best, atol=0.02)


def test_classes_seen_of_random_rows_is_everything_from_as_many_rows_as_a_side():
    for side in (2, 3, 4, 5):
        rank, classes = exercises.classes_seen(normal(side, side * side, seed=side))
        assert rank == classes == side * (side + 1) // 2


def test_classes_seen_is_not_everything_with_fewer_rows_or_with_blind_ones():
    for side in (3, 4):
        few = exercises.classes_seen(normal(side - 1, side * side))[0]
        assert few == side * (side - 1) // 2
        one = torch.zeros(side * side, side * side, dtype=F64)
        one[0] = 1.0  # a full matrix in shape, that sees one number
        assert exercises.classes_seen(one)[0] == 1


def test_classes_seen_does_not_tell_down_from_across():
    for first, second in ((0, 1), (0, 4), (0, 2), (0, 8)):  # pixels of a 4 × 4 square
        two = torch.zeros(2, 16, dtype=F64)
        two[0, first] = two[1, second] = 1.0
        assert exercises.classes_seen(two) == (2, 10)


def test_seen_together_asks_for_the_span_of_all_operators():
    A = normal(4, 6)
    assert exercises.seen_together([A, normal(2, 6, seed=2)])
    assert not exercises.seen_together([A, A])
    assert not exercises.seen_together([A, normal(3, 4, seed=3) @ A])
    assert exercises.seen_together([A, normal(1, 6, seed=4), normal(1, 6, seed=5)])


def test_seen_together_is_false_where_one_direction_is_seen_by_none():
    for seed in range(3):
        v = normal(7, seed=seed)
        v = v / v.norm()
        blind = lambda s, v=v: (M := normal(5, 7, seed=s)) - torch.outer(M @ v, v)
        assert not exercises.seen_together([blind(1), blind(2), blind(3)])
        assert exercises.seen_together([blind(1), blind(2), v[None]])


def test_condition_is_one_where_everything_is_seen():
    for side in (2, 3, 5):
        eye = torch.eye(side * side, dtype=F64)
        assert abs(exercises.condition(eye) - 1) < 1e-9
        turned = torch.linalg.qr(normal(side * side, side * side)).Q
        assert abs(exercises.condition(turned) - 1) < 1e-9


def test_condition_is_lost_below_as_many_rows_as_a_side_and_better_with_more():
    rows = lambda m, seed: torch.linalg.qr(normal(25, m, seed=seed)).Q.T
    assert exercises.condition(rows(4, 0)) > 1e8
    for seed in range(3):
        few, many = exercises.condition(rows(5, seed)), exercises.condition(rows(15, seed))
        assert 1e6 > few > 2 * many > 2


def test_condition_does_not_ask_how_the_rows_are_mixed_by_a_rotation():
    Phi, Q = normal(8, 16), torch.linalg.qr(normal(8, 8, seed=1)).Q
    assert abs(exercises.condition(Q @ Phi) / exercises.condition(Phi) - 1) < 1e-6
    assert abs(exercises.condition(3 * Phi) / exercises.condition(Phi) - 1) < 1e-6
