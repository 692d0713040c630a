"""Of star net page: star net exercises."""

import pytest
import torch
from shared_star_net_page import F64, SOLUTIONS, cleared

from dunfold_lib.hyperspectral import SMDSNet, STARNet, STARNetPaper, STARNetS, denoise, scores
from dunfold_lib.hyperspectral import figures_star_net as figures

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
