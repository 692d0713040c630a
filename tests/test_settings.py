"""Settings, seeds, splits and default constants that every score rests on, by what they promise."""

import re

import numpy as np
import pytest
import torch
from shared_settings import normal, seeded

from dunfold_lib.hyperspectral import data as cubes_data
from dunfold_lib.hyperspectral import evaluation as cube_evaluation
from dunfold_lib.hyperspectral import training as cube_training
from dunfold_lib.hyperspectral.model import STARNet, STARNetS
from dunfold_lib.imaging import baselines, denoisers
from dunfold_lib.imaging import data as image_data
from dunfold_lib.imaging import evaluation as image_evaluation
from dunfold_lib.imaging import experiments as image_experiments
from dunfold_lib.imaging import training as image_training
from dunfold_lib.newton_sr import evaluation as sr_evaluation
from dunfold_lib.newton_sr import training as sr_training
from dunfold_lib.small_target import data as target_data
from dunfold_lib.small_target import evaluation as target_evaluation
from dunfold_lib.small_target import experiments as target_experiments
from dunfold_lib.small_target import maps as target_maps
from dunfold_lib.small_target import readers
from dunfold_lib.small_target import training as target_training
from dunfold_lib.small_target.model import LRPCANet
from dunfold_lib.sparse import evaluation as sparse_evaluation
from dunfold_lib.sparse.data import masked, photograph

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
    monkeypatch.setattr(image_training, "_cut", lambda side: patch)
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
