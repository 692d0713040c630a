"""What holds of the functions in exercises.py, of the page imaging/ista_net."""

import pytest
import torch

from dunfold_lib.imaging import ISTANet, ISTANetPlus, data, start_quietly
from dunfold_lib.imaging.fast import reconstruct
from dunfold_lib.operators import Fourier, Sensing
from dunfold_lib.prox import soft

from . import exercises

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(kind, quiet=True):
    """A network of two phases and four channels, its filters fresh and faint."""
    A = Sensing(data.sensing_matrix(25))
    net = kind(A, 2, 4, Q=A.Phi.T.contiguous())
    start_quietly(net)
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for w in () if quiet else net.G:
            w.copy_(0.02 * torch.randn(w.shape, generator=g))
    return net.eval()


def picture(side=66):
    """Smooth waves in [0, 1], (1, 1, side, side)."""
    t = torch.arange(side) / 9
    return (0.5 + 0.25 * (t[:, None].sin() + (2 * t).cos()))[None, None]


@pytest.mark.parametrize("K, c", [(9, 32), (5, 16), (2, 3)])
def test_parameters_are_what_the_networks_hold(K, c):
    A = Sensing(data.sensing_matrix(1))
    for kind, plus in ((ISTANet, False), (ISTANetPlus, True)):
        held = sum(p.numel() for p in kind(A, K, c).parameters())
        assert exercises.parameters(K, c, plus) == held


def test_parameters_of_shared_filters_grow_by_a_step_and_a_threshold_a_phase():
    one, two, nine = (exercises.parameters(K, 8, True, shared=True) for K in (1, 2, 9))
    assert one == exercises.parameters(1, 8, True)
    assert two - one == 2
    assert nine - one == 16


def frames():
    """A square orthonormal F, two copies of it, and three directions in the plane; 100 rows r."""
    g = torch.Generator().manual_seed(0)
    angle = torch.arange(3).double() * 2 * torch.pi / 3
    three = (2 / 3) ** 0.5 * torch.stack([angle.cos(), angle.sin()], 1)
    square = torch.linalg.qr(torch.randn(2, 2, generator=g).double())[0]
    return square, torch.cat([square, square]) / 2**0.5, three, torch.randn(100, 2, generator=g)


def prox(F, r, theta):
    """The prox of θ‖F·‖₁, by its dual problem."""
    p = 0 * r @ F.T
    for _ in range(3000):
        p = (p + (r - p @ F) @ F.T).clamp(-theta, theta)
    return r - p @ F


def test_in_range_is_true_exactly_where_the_threshold_is_the_prox():
    *some, r = frames()
    r = r.double()
    r[0] = torch.tensor([0.0, 2.0])
    for F in some:
        told = exercises.in_range(F, r, 0.3)
        apart = (soft(r @ F.T, 0.3) @ F - prox(F, r, 0.3)).norm(dim=1)
        assert told.shape == (100,)
        assert float(apart[told].max()) < 1e-6
        if not told.all():
            assert float(apart[~told].max()) > 0.05


@pytest.mark.parametrize("row", [(0.0, 2.0), (0.01, 0.01)])
def test_in_range_of_the_three_directions_has_exceptions(row):
    *_, three, r = frames()
    assert exercises.in_range(three, torch.tensor([row]).double(), 0.3).all()
    assert not exercises.in_range(three, r.double(), 0.3).all()


def test_across_blocks_changes_nothing_for_filters_of_one_pixel():
    net, image = small(ISTANet), picture()
    across = exercises.across_blocks(net, image)
    torch.testing.assert_close(across, reconstruct(net, image), rtol=0, atol=1e-4)


def test_across_blocks_changes_most_beside_the_borders():
    net, image = small(ISTANetPlus, quiet=False), picture()
    moved = (exercises.across_blocks(net, image) - reconstruct(net, image)).abs()
    assert moved[..., 32:34].max() > moved[..., :21, :21].max()


def test_jump_is_one_for_noise_and_large_for_blocks():
    g = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 1, 99, 99, generator=g)
    assert exercises.jump(noise) == pytest.approx(1, abs=0.1)
    tiles = torch.rand(1, 1, 3, 3, generator=g).repeat_interleave(33, 2).repeat_interleave(33, 3)
    assert exercises.jump(tiles + 0.01 * noise) > 10
    assert exercises.jump(0.01 * noise + tiles, side=40) < 1, "the border is where side says"


def test_equilibrium_repeats_the_phase_and_says_how_far_it_moved():
    net = small(ISTANetPlus, quiet=False)
    b = net.A(picture(33))
    x, moved = exercises.equilibrium(net, 0, b, 20)
    assert len(moved) == 20
    assert moved[0] > 0
    again = net.start(b)
    with torch.no_grad():
        for _ in range(20):
            again = net.layer(0, again, b)
    torch.testing.assert_close(x, again)


def test_equilibrium_of_a_phase_that_does_nothing_stays():
    net = small(ISTANetPlus)
    assert max(exercises.equilibrium(net, 0, net.A(picture(33)), 3)[1]) < 1e-5


@pytest.mark.parametrize("norm", ["ortho", "backward", "forward"])
def test_fourier_adjoint_is_one_for_every_scaling(norm):
    g = torch.Generator().manual_seed(0)
    mask = (torch.rand(8, 8, generator=g) > 0.4).double()
    x = torch.randn(3, 1, 8, 8, generator=g, dtype=torch.float64)
    r = torch.randn(3, 2, 8, 8, generator=g, dtype=torch.float64)
    forward = mask * torch.view_as_real(torch.fft.fft2(x[:, 0], norm=norm)).movedim(-1, 1)
    left, right = (forward * r).sum(), (x * exercises.fourier_adjoint(mask, r, norm)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-12)
    if norm == "ortho":
        torch.testing.assert_close(exercises.fourier_adjoint(mask, r), Fourier(mask).T(r))


def covariance(n=12):
    """A covariance (n, n) whose eigenvalues fall."""
    Q = torch.linalg.qr(torch.randn(n, n, generator=seeded(8), dtype=F64)).Q
    return Q @ torch.diag(2.0 ** -torch.arange(n, dtype=F64)) @ Q.T


def test_leading_are_orthonormal_and_hold_the_most_energy():
    C = covariance()
    for m in (1, 4):
        rows = exercises.leading(C, m)
        assert torch.allclose(rows @ rows.T, torch.eye(m, dtype=F64), atol=1e-10)
        wanted = 2.0 ** -torch.arange(m, dtype=F64)
        assert torch.allclose(rows @ C @ rows.T, torch.diag(wanted), atol=1e-10)


def test_linear_error_is_what_a_regression_on_many_signals_leaves():
    C, Phi = covariance(), torch.randn(4, 12, generator=seeded(1), dtype=F64)
    x = torch.randn(60_000, 12, generator=seeded(2), dtype=F64) @ torch.linalg.cholesky(C).T
    b = x @ Phi.T
    left = x - b @ torch.linalg.lstsq(b, x).solution
    assert abs(exercises.linear_error(C, Phi) - float(left.square().sum() / x.square().sum())) < (
        0.01
    )


def test_linear_error_knows_the_span_alone_and_is_least_for_the_leading_rows():
    C, g = covariance(), seeded(3)
    for m in (2, 5):
        Phi = torch.randn(m, 12, generator=g, dtype=F64)
        mixed = torch.randn(m, m, generator=g, dtype=F64) @ Phi
        assert abs(exercises.linear_error(C, Phi) - exercises.linear_error(C, mixed)) < 1e-8
        axes = torch.linalg.eigh(C)[1].T
        least = exercises.linear_error(C, axes[-m:])
        assert least < exercises.linear_error(C, Phi)
        share = 2.0 ** -torch.arange(12, dtype=F64)
        assert abs(least - float(share[m:].sum() / share.sum())) < 1e-9
