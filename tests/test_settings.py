"""Settings, seeds, splits and default constants that every score rests on, by what they promise."""

import math
import re
from itertools import islice

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from dunfold_lib import records
from dunfold_lib.hyperspectral import data as cubes_data
from dunfold_lib.hyperspectral import evaluation as cube_evaluation
from dunfold_lib.hyperspectral import scores as cube_scores
from dunfold_lib.hyperspectral import training as cube_training
from dunfold_lib.hyperspectral.algorithm import star
from dunfold_lib.hyperspectral.experiments import EXPERIMENTS as CUBE_TABLE
from dunfold_lib.hyperspectral.model import STARNet, STARNetS
from dunfold_lib.imaging import baselines, denoisers
from dunfold_lib.imaging import data as image_data
from dunfold_lib.imaging import evaluation as image_evaluation
from dunfold_lib.imaging import experiments as image_experiments
from dunfold_lib.imaging import training as image_training
from dunfold_lib.newton_sr import algorithm as newton
from dunfold_lib.newton_sr import evaluation as sr_evaluation
from dunfold_lib.newton_sr import lasso as lassos
from dunfold_lib.newton_sr import ssnal
from dunfold_lib.newton_sr import training as sr_training
from dunfold_lib.newton_sr.jacobians import Shrink
from dunfold_lib.operators import Matrix
from dunfold_lib.small_target import data as target_data
from dunfold_lib.small_target import evaluation as target_evaluation
from dunfold_lib.small_target import experiments as target_experiments
from dunfold_lib.small_target import maps as target_maps
from dunfold_lib.small_target import published as target_published
from dunfold_lib.small_target import readers
from dunfold_lib.small_target import training as target_training
from dunfold_lib.small_target.model import LRPCANet
from dunfold_lib.sparse import duality_gap, fista, ista, lasso, nesterov
from dunfold_lib.sparse import evaluation as sparse_evaluation
from dunfold_lib.sparse.data import masked, photograph


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


# seeds and splits


@pytest.mark.parametrize(
    "room", [sparse_evaluation, image_evaluation, sr_evaluation, cube_evaluation, target_evaluation]
)
def test_tests_draw_from_seeds_that_no_training_has(room):
    """A training's seed, and 1000·seed + stage of a growth, lie below 2³¹; a test's do not."""
    assert all(room.TEST_SEED + seed >= 2**31 for seed in (0, 1, 99))


def test_a_masks_noise_is_drawn_apart_from_the_mask():
    """On the kept pixels noise has mean 0 and its deviation, whatever was drawn for the mask."""
    truth = photograph(256)
    A, b = masked(truth, 0.3, 0.1)
    kept = A.outer.mask.bool()
    noise = (b - truth)[0, 0][kept]
    assert abs(float(noise.mean())) < 4 * 0.1 / len(noise) ** 0.5
    assert float(noise.std()) == pytest.approx(0.1, rel=0.03)


def test_made_up_training_and_validation_scenes_have_seeds_of_their_own(monkeypatch):
    used = []
    frames = target_data.synthetic(seeded(), 1, 32)
    make = lambda g, count, side=256: used.append((g.initial_seed(), count)) or frames
    monkeypatch.setattr(target_data, "synthetic", make)
    target_training.part.cache_clear()
    for which in ("train", "val"):
        target_training.part("synthetic", which)
    target_training.part.cache_clear()
    assert len({seed for seed, _ in used}) == 2
    assert all(seed < target_evaluation.TEST_SEED for seed, _ in used)


def test_injected_scenes_are_split_four_fifths_to_one(monkeypatch):
    scenes = tuple(torch.full((40, 40), i / 10) for i in range(10))
    monkeypatch.setattr(readers, "backgrounds", lambda side=256: scenes)
    levels = lambda s: sorted(round(10 * float(x[0, 0])) for x in s)
    given = {}
    monkeypatch.setattr(target_data, "inject", lambda g, s, count: given.setdefault(which, s))
    for which in ("train", "val"):
        target_training.part.cache_clear()
        target_training.part("injected", which)
    target_training.part.cache_clear()
    assert levels(given["train"]) == [*range(8)]
    assert levels(given["val"]) == [8, 9]


def test_noise_for_robustness_differs_between_seeds(monkeypatch):
    seeds = []
    monkeypatch.setattr(target_data, "noisy", lambda x, g, **_: seeds.append(g.initial_seed()) or x)
    frames = target_data.synthetic(seeded(), 1, 32)
    for seed in (0, 1):
        target_evaluation.robustness(lambda x: torch.zeros_like(x, dtype=torch.bool), frames, seed)
    half = len(seeds) // 2
    assert set(seeds[:half]).isdisjoint(seeds[half:])


def test_a_sets_protocol_names_the_size_that_it_is_measured_at():
    for name, (_, said) in target_experiments.SPLITS.items():
        named = {int(side) for side in re.findall(r"(\d+)×", said)} or {256}
        assert named == {target_training.SIDES.get(name, 256)}, name
    assert "256×256 where nothing else" in target_experiments.PROTOCOL


def test_every_seventh_name_is_for_validation_and_no_other():
    names = [f"{i:02d}" for i in range(50)]
    val, train = (readers._held_out(names, part) for part in ("val", "train"))
    assert val == names[::7]
    assert sorted(val + train) == names


def test_indian_pines_is_split_at_the_row_that_the_protocol_names():
    top = sr_training.training_set("indian-pines")["indian-pines"].truth
    test = sr_evaluation.measured_on("indian-pines", 0)[""]["indian-pines"].truth
    assert (top.shape[2], test.shape[2]) == (96, 145 - 96)


# symmetries


def eight(patch):
    """The bytes of a patch in each of the eight symmetries of the square."""
    both = (patch, np.fliplr(patch))
    return {np.ascontiguousarray(np.rot90(a, k)).tobytes() for a in both for k in range(4)}


def test_blocks_and_patches_to_train_on_come_in_all_eight_symmetries(monkeypatch):
    patch = torch.rand(1, 1, 5, 5, generator=seeded())
    wanted = eight(patch[0, 0].numpy())
    monkeypatch.setattr(image_training, "training_set", lambda name: patch)
    blocks = image_training.sampler(image_training.Training())(200, seeded(1))
    assert {x[0].contiguous().numpy().tobytes() for x in blocks} == wanted
    monkeypatch.setattr(image_training, "_cut", lambda: patch)
    g = seeded(2)
    seen = {
        image_training.noisy_patches(1, g)[1][0, 0].contiguous().numpy().tobytes()
        for _ in range(99)
    }
    assert seen == wanted


def test_a_photograph_has_a_half_only_where_a_hundred_pixels_are_left():
    images = image_data.training_images("wheels")
    halves = {name for name in images if name.endswith(", half")}
    assert all(min(images[name].shape[2:]) >= 100 for name in halves)
    large = {f"{n}, half" for n, x in images.items() if min(x.shape[2:]) >= 200}
    assert {n for n in large if not n.endswith("half, half")} == halves


# noise, blur and weights


def test_the_blurred_camera_has_the_blur_and_the_noise_that_its_protocol_names():
    """Deviation 1.6 pixels of the kernel along each axis, 2/255 of the noise."""
    truth = image_data.small_camera()
    A, b = image_data.blurred(truth, seeded())
    assert 255 * float((b - A(truth)).std()) == pytest.approx(2, rel=0.02)
    point = torch.zeros_like(truth)
    point[0, 0, 64, 64] = 1
    spread = A(point)[0, 0].sum(1)
    at = torch.arange(128) - 64.0
    assert float((spread * at**2).sum() / spread.sum()) ** 0.5 == pytest.approx(1.6, rel=0.01)
    said = image_experiments.EXPERIMENTS["deblur-hqs-tv"].protocol
    assert "1.6" in said
    assert "noise 2/255" in said


def test_the_denoisers_loss_weighs_an_error_by_its_noises_variance():
    """Error 1 everywhere: the mean over images of 1/(σ² + (5/255)²)."""
    sigma = torch.tensor([0.0, 0.1]).reshape(2, 1, 1, 1)
    v = torch.cat([torch.ones(2, 1, 4, 4), sigma.expand(2, 1, 4, 4)], 1)
    loss = image_training.denoising_loss(lambda x, s: x, v, torch.zeros(2, 1, 4, 4))
    floor = (5 / 255) ** 2
    assert float(loss) == pytest.approx((1 / floor + 1 / (0.01 + floor)) / 2)


def test_total_variation_denoising_minimises_with_the_weight_that_it_names():
    """At the minimum of ½‖x − v‖² + λ TV(x) the product ⟨v − x, x⟩ is λ TV(x)."""
    sigma, v = 20 / 255, image_data.small_camera().double()
    v = v + sigma * normal(*v.shape)
    x = denoisers.tv_chambolle(v, sigma)
    lam = float(((v - x) * x).sum() / baselines.tv(x))
    assert lam / sigma == pytest.approx(0.85, rel=0.05)


def test_sparse_noise_is_drawn_up_to_its_own_largest_shares():
    recipe, g = cube_training.Training(sparse=True), seeded()
    drawn = [cube_training.drawn_noise(recipe, g) for _ in range(3000)]
    for name, most in {"impulse": 0.08, "stripes": 0.25, "dead": 0.12}.items():
        assert 0.95 * most < max(getattr(n, name) for n in drawn) <= most


def test_stripes_are_from_a_tenth_to_three_tenths():
    noise = cubes_data.Noise(0, stripes=1.0, bands=1.0)
    added = noise(torch.zeros(1, 9, 2, 500), seeded())[0, :, 0].abs()
    assert float(added.min()) == pytest.approx(0.1, abs=1e-3)
    assert float(added.max()) == pytest.approx(0.3, abs=1e-3)
    assert float(added.mean()) == pytest.approx(0.2, abs=2e-3)


def test_fresh_cube_networks_begin_at_the_numbers_that_the_room_names():
    """θ and τ of one σ, μ of 2.5, w of 0.2."""
    with torch.no_grad():
        n, s = STARNet().numbers(0), STARNetS().numbers(0)
    assert [round(float(v), 5) for v in (n.theta, n.tau, n.w, s.mu)] == [1.0, 1.0, 0.2, 2.5]


def test_a_constant_map_is_dead_in_a_small_image_too():
    """Nearer to the border than a third of the side, zeros around it make it vary."""
    image = torch.full((1, 1, 60, 60), 90, dtype=torch.uint8)
    frames = target_data.Frames(("flat",), image, torch.zeros(1, 1, 60, 60, dtype=torch.bool))
    assert "FB1" in target_maps.dead_maps(LRPCANet(1, 8), frames)


# solvers


def test_the_lassos_certificate_is_below_the_gap_that_was_asked_for():
    A, b = Matrix(normal(20, 60)), normal(5, 20, seed=1)
    found = lasso(A, b, 0.3, gap=1e-3)
    goal = 1e-3 * 0.5 * b.square().sum(1)
    assert bool((duality_gap(A, b, 0.3, found.x) <= goal).all())
    assert bool((duality_gap(A, b, 0.3, found.x) > goal / 100).any())


def test_dropping_the_momentum_saves_steps_where_the_lasso_is_curved():
    A, b = Matrix(normal(40, 30)), normal(1, 40, seed=1)
    found = lasso(A, b, 0.1, gap=1e-12)
    goal = 1e-12 * 0.5 * float(b.square().sum())
    gaps = [float(duality_gap(A, b, 0.1, x)) for x in fista(A, b, 0.1, 3 * found.iterations)]
    assert next((k for k, v in enumerate(gaps) if v <= goal), len(gaps)) > found.iterations


def test_two_rooms_have_one_ista_and_one_fista():
    A, b = normal(15, 40), normal(15, seed=1)
    problem = lassos.Lasso(A, b, 0.5)
    for mine, theirs in ((lassos.ista, ista), (lassos.fista, fista)):
        xs = torch.stack([*islice(mine(problem), 25)])
        wanted = torch.cat(theirs(Matrix(A), b[None], 0.5, 25)[1:])
        assert_close(xs, wanted, rtol=0, atol=1e-10)


def test_admms_penalty_is_a_hundredth_of_the_largest_eigenvalue():
    problem = lassos.Lasso(normal(15, 40), normal(15, seed=1), 0.5)
    rho = float(torch.linalg.svdvals(problem.A)[0]) ** 2 / 100
    mine, theirs = (torch.stack([*islice(lassos.admm(problem, r), 9)]) for r in (None, rho))
    assert_close(mine, theirs)


def test_newtons_systems_are_solved_as_far_as_the_rule_of_quadratic_convergence(monkeypatch):
    """‖V d + F‖ ≤ min(η, ‖F‖²), up to rounding, in both rooms' Newton methods."""
    asked = []

    def spy(V, c, steps, tol=0.0, start=None):
        asked.append((float(c.norm()), tol))
        return kept(V, c, steps, tol, start)

    kept = ssnal.conjugate_gradients
    monkeypatch.setattr(ssnal, "conjugate_gradients", spy)
    ssnal.ssnal(lassos.Lasso(normal(20, 50), normal(20, seed=1), 1.0))
    monkeypatch.setattr(newton, "conjugate_gradients", spy)
    identity = type("I", (), {"__call__": lambda self, x: x, "T": lambda self, x: x})()
    t, zero = torch.tensor(0.3, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    prior, Z = Shrink(identity, t, zero), normal(1, 1, 6, 6)
    problem = newton.Problem(identity, Z, (prior, prior), (1.0, 1.0), (0 * Z, 0 * Z))
    newton.augmented_lagrangian(problem, 0 * Z, tol=1e-8)
    small = [(size, tol) for size, tol in asked if 1e-6 < size < 0.05]
    assert len(small) >= 4
    assert all(tol * size <= 1.001 * size**2 for size, tol in small)


def test_nesterovs_method_on_the_inner_problem_has_the_momentum_of_the_first_chapter():
    Z, start = normal(1, 1, 5, 5), normal(1, 1, 5, 5, seed=1)
    scale = torch.linspace(0.1, 1, 25, dtype=torch.float64).reshape(5, 5)
    D = type("D", (), {"__call__": lambda self, x: scale * x, "T": lambda self, x: scale * x})()
    none = Shrink(D, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64))
    problem = newton.Problem(D, Z, (none, none), (1.0, 1.0), (0 * Z, 0 * Z))
    xs = [start, start]
    for beta in nesterov(12):
        y = xs[-1] + beta * (xs[-1] - xs[-2])
        xs.append(y - 0.9 * scale * (scale * y - Z))
    assert_close(torch.cat(newton.accelerated(problem, start, 12, 0.9)), torch.cat(xs[1:]))


SETS = ("nudt", "sirst-aug", "irstd1k")
ODD = {("MSHNet", name) for name in SETS} | {("RPCANet++", "irstd1k")}  # as printed


def test_published_iou_and_f1_of_one_row_belong_together():
    """F1 = 2 IoU/(1 + IoU) of pooled pixels, as near as the tables have it but for four rows."""
    rows = {(n, s): row[s][:2] for n, row in target_published.PUBLISHED.items() for s in SETS}
    off = {key: abs(200 * iou / (100 + iou) - f1) for key, (iou, f1) in rows.items()}
    assert {key for key, gap in off.items() if gap > 0.55} == ODD
    for name, printed in target_published.PUBLISHED_AVERAGE.items():
        mean = np.mean([rows[name, s][0] for s in SETS])
        assert mean == pytest.approx(printed[0], abs=0.02), name


# small targets


def test_a_made_up_targets_mask_is_where_its_gaussian_is_above_its_edge():
    """On a flat scene a target has the least height, 0.04; its mask ends at exp(−3/2) of that."""
    wrong = marked = 0
    for seed in range(30):
        seen, mask = target_data.add_targets(seeded(seed), torch.full((96, 96), 0.5))
        above = (seen - 0.5) / 0.04 > math.exp(-1.5)
        wrong, marked = wrong + int((above != mask).sum()), marked + int(mask.sum())
    assert marked > 300
    assert wrong < 0.02 * marked  # where the flanks of two targets add up


def test_a_chosen_cut_is_applied_as_it_was_chosen(monkeypatch):
    """Maps of 0, 1 and 2 where 2 alone is target: the cut 1 finds it, the pixels of 1 not."""
    levels = torch.tensor([[0, 1, 1, 2], [0, 0, 1, 2]])[None, None]
    frames = target_data.Frames(("a",), levels.to(torch.uint8), levels == 2)
    monkeypatch.setattr(target_evaluation, "part", lambda name, which: frames)
    run = lambda f: f.image.float()
    cuts = target_evaluation.Cuts(0.0, (0.0, 1.0, 1.5))
    made = target_evaluation._chosen("nudt", "", run, cuts, run(frames), frames)
    assert made["cut"] == 1.0
    assert made["iou_chosen"] == made["iou_val_chosen"] == 100


def test_a_step_is_contractive_by_its_jacobian():
    net = LRPCANet(1, 8)
    with torch.no_grad():
        net.eps.fill_(0.3)
    found = target_maps.lipschitz(net.eval(), torch.rand(3, 1, 24, 24, generator=seeded()), 10)
    jacobian, pairs, step = (found[f"{k}_FT"][0] for k in ("jacobian", "pairs", "step_jacobian"))
    assert step == pytest.approx(0.3 * jacobian, abs=2e-4)
    assert abs(jacobian - pairs) > 1e-3


# cubes


def test_the_classifiers_share_is_the_one_that_the_protocol_names():
    assert (
        f"{100 * cube_evaluation.SHARE:g} % of the labelled pixels" in CUBE_TABLE["star"].protocol
    )


def test_classical_stars_defaults_are_those_of_its_recorded_scores():
    test, recorded = (
        cubes_data.part("test"),
        records.values("hyperspectral/star-classical", "psnr_50"),
    )
    Y = cube_evaluation.noised(test, cubes_data.Noise(50), 0)
    assert cube_scores.psnr(star(Y, 50 / 255), test) == pytest.approx(recorded[0], abs=1e-3)
