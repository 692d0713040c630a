"""The chapter on infinite depth and guarantees: its mathematics, its records, its solutions."""

from itertools import pairwise

import pages
import pytest
import torch

from dunfold_lib import records
from dunfold_lib.imaging import beyond, equilibrium, training
from dunfold_lib.imaging import figures_equilibrium as figures
from dunfold_lib.imaging.denoisers import BoundedDenoiser
from dunfold_lib.imaging.experiments import BOUNDED
from dunfold_lib.operators import Sensing

SOLUTIONS = pages.solutions("beyond/equilibrium")


def doubles(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def problem(gamma=0.8):
    """A small equilibrium, its measurements and their truths."""
    Phi = torch.linalg.qr(doubles(64, 16))[0].T.contiguous()
    net = equilibrium.Equilibrium(Sensing(Phi), channels=3, side=3, gamma=gamma)
    truth = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    return net, net.A(truth), truth


def test_the_layer_is_a_contraction_by_gamma():
    net, b, _ = problem()
    for scale in (1e-3, 1.0, 100.0):
        x, y = scale * doubles(2, 2, 1, 8, 8)
        moved = (net.step(x, b) - net.step(y, b)).norm()
        assert moved <= net.gamma * (x - y).norm() + 1e-12


def test_the_certificate_holds_at_every_step_and_anderson_finds_the_same_point():
    net, b, _ = problem()
    f = lambda x: net.step(x, b)
    with torch.no_grad():
        exact, plain = equilibrium.fixed_point(f, net.start(b), 1e-13, 500, memory=0)
        mixed, fewer = equilibrium.fixed_point(f, net.start(b), 1e-13, 500)
        assert (exact - mixed).abs().max() < 1e-11
        assert fewer < plain
        x = net.start(b)
        for _ in range(20):
            assert (x - exact).norm() <= (f(x) - x).norm() / (1 - net.gamma) + 1e-12
            x = f(x)


def test_the_implicit_gradient_is_that_of_unrolled_differentiation():
    """To 1e-6; the unrolled one of five layers is another one."""
    net, b, truth = problem()

    def gradients(run):
        net.zero_grad()
        (run() - truth).square().mean().backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()])

    def unrolled(K):
        x = net.start(b)
        for _ in range(K):
            x = net.step(x, b)
        return x

    ours = gradients(lambda: net(b, tol=1e-13, most=500))
    far, near = (gradients(lambda K=K: unrolled(K)) for K in (5, 200))
    assert (near - ours).norm() < 1e-6 * ours.norm()
    assert (far - ours).norm() > 1e-4 * ours.norm()


def test_what_is_kept_does_not_grow_with_the_steps_of_the_solver():
    net, b, _ = problem()
    kept = [equilibrium.kept_bytes(lambda m=m: net(b, tol=0.0, most=m)) for m in (3, 30)]
    assert kept[0] == kept[1] > 0
    with torch.no_grad():
        assert equilibrium.kept_bytes(lambda: net(b)) == 0


def test_kept_bytes_counts_a_known_case():
    w = torch.ones(100, requires_grad=True)
    assert equilibrium.kept_bytes(lambda: (w * w).sum()) == 400
    assert equilibrium.kept_bytes(lambda: w.sum()) == 0


@pytest.mark.parametrize("kind", ["explodes", "nan", "random", "longer"])
def test_safeguarded_steps_end_at_the_fixed_point_whatever_is_learned(kind):
    net, b, _ = problem()
    f = lambda x: net.step(x, b)
    g = torch.Generator().manual_seed(0)
    learned = {
        "explodes": lambda k, x: 10 * x,
        "nan": lambda k, x: x * torch.nan,
        "random": lambda k, x: x + torch.randn(x.shape, generator=g).double(),
        "longer": lambda k, x: x + 1.5 * (f(x) - x),
    }[kind]
    with torch.no_grad():
        exact, _ = equilibrium.fixed_point(f, net.start(b), 1e-14, 500)
        *_, (x, size, _) = equilibrium.safeguarded(f, learned, net.start(b), 150)
    assert (x - exact).norm() < 1e-8
    assert size < 1e-8


def test_without_the_safeguard_the_same_steps_explode():
    x = torch.ones(1)
    for _ in range(150):
        x = 10 * x
    assert not bool(x.isfinite())


def test_a_taken_step_has_a_certificate_smaller_by_the_share():
    T = lambda x: 0.5 * x
    rows = [*equilibrium.safeguarded(T, lambda k, x: 0.1 * x, torch.ones(1).double(), 5)]
    assert all(taken for *_, taken in rows)
    shrinking = [*equilibrium.safeguarded(T, lambda k, x: 0.95 * x, torch.ones(1).double(), 3)]
    assert not shrinking[0][2]  # 0.95 of it is more than the share 0.9


@pytest.mark.parametrize("eps", [0.3, 0.9])
def test_a_bounded_denoiser_moves_its_noise_by_less_than_its_constant(eps):
    """With weights far above the bound, and on the direction of the power method."""
    net = BoundedDenoiser(4, 3, eps=eps).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(5 * doubles(*p.shape, seed=p.numel()))
    v, d = doubles(2, 1, 1, 20, 20)
    N = lambda v: net(v, 0.1) - v
    for _ in range(10):
        pushed = torch.autograd.functional.jvp(N, v, d / d.norm())[1]
        assert pushed.norm() <= eps + 1e-9
        d = torch.autograd.functional.vjp(N, v, pushed)[1]
        d = d if bool(d.any()) else doubles(1, 1, 20, 20, seed=9)


def test_the_two_layers_have_as_many_weights_and_begin_alike():
    recipe = training.Deep(channels=4, side=3, steps=2, batch=2)
    nets = [training.build_deep(k, recipe) for k in (equilibrium.Equilibrium, equilibrium.Tied)]
    counts = [sum(p.numel() for p in n.parameters()) for n in nets]
    assert counts[0] == counts[1] == 4 * 9 + 4 + 1
    b = nets[0].A(torch.rand(2, 1, 33, 33, generator=torch.Generator().manual_seed(0)))
    x = nets[0].start(b)
    free = nets[1].step(x, b)
    pulled = (1 - recipe.gamma) * x + recipe.gamma * free
    assert (nets[0].step(x, b) - pulled).abs().max() < 1e-5
    for net in nets:
        assert len(training.train_deep(net, recipe)) == 2


def test_the_trained_equilibrium_stands_above_its_twin():
    """Sentences below the table: it ends above whatever the unrolled one reaches; the unrolled one
    loses after its best, and does not collapse."""
    ours, twin = (figures.values(k, "psnr_seen") for k in ("equilibrium", "tied"))
    at = lambda found, k: [s[beyond.DEEP_SEEN.index(k)] for s in found]
    assert records.ranks(at(ours, 200), [max(s) for s in twin])
    assert all(abs(s[-1] - s[-3]) < 0.02 for s in ours)
    assert all(0 < max(s) - s[-1] < 1 for s in twin)
    assert records.ranks(at(twin, 200), at(twin, 5))


def test_its_training_took_two_to_three_times_the_processor_time_of_its_twin():
    """Sentence: "took two to three times the processor time of the unrolled one"."""
    spent = lambda name: [r["cpu_seconds"] for r in records.recorded(f"imaging/{name}")]
    ratios = [a / b for a, b in zip(spent("equilibrium"), spent("tied"), strict=True)]
    assert len(ratios) == records.SEEDS
    assert all(2 < r < 3 for r in ratios)


def test_the_bounded_denoiser_settles_on_the_diverging_example_and_the_proof_costs():
    """Sentences below the table of the diverging example."""
    found = {n: figures.values(f"deblur-bounded-{n}") for n in BOUNDED}
    for n in BOUNDED:
        assert max(m[-1] for m in figures.values(f"deblur-bounded-{n}", "moves")) < 1e-3
        assert max(figures.values(f"deblur-bounded-{n}", "radius")) < 1
    assert min(figures.values("deblur-bounded-whole", "factor")) > 1
    assert max(figures.values("deblur-bounded-proven", "factor")) < 1
    assert records.ranks(found["whole"], found["proven"])
    assert records.ranks(found["half"], found["proven"])
    assert records.ranks(found["proven"], figures.values("deblur-long-cnn"))


def test_the_explorer_answers_its_question():
    (frames, curves), (_, late) = figures.applied(5), figures.applied(200)
    gain = lambda i: curves.lines[i].y[-1] - curves.lines[i].y[beyond.DEEP_SEEN.index(5)]
    assert gain(0) > 0.3
    pages.inside(curves)
    pages.inside(late)
    pages.inside(frames)


def test_the_solutions():
    assert SOLUTIONS.steps_enough(0.5, 1.0, 2.0) == 0
    k = SOLUTIONS.steps_enough(0.8, 3.0, 1e-3)
    assert 0.8**k / 0.2 * 3 <= 1e-3 < 0.8 ** (k - 1) / 0.2 * 3

    net, b, _ = problem()
    f = lambda x: net.step(x, b)
    with torch.no_grad():
        x, _ = equilibrium.fixed_point(f, net.start(b), 1e-13, 500)
    grad = doubles(*x.shape, seed=4)
    v = SOLUTIONS.adjoint_state(f, x, grad)
    pulled = torch.autograd.functional.vjp(f, x, v)[1]
    assert (v - pulled - grad).norm() < 1e-10

    J = doubles(6, 6)
    J = 0.9 * J / torch.linalg.matrix_norm(J, 2)
    assert SOLUTIONS.free_agreement(J, doubles(6, seed=2)) > 0

    sizes = SOLUTIONS.creeping(40)
    assert all(b < a for a, b in pairwise(sizes))
    assert sizes[-1] >= 0.5
    assert SOLUTIONS.weight_enough(0.225, 0.98) == pytest.approx(0.25)
