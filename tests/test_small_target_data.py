"""Of small target: data."""

import math

import numpy as np
import pytest
import torch
from shared_small_target import F64, close, has_sirst, rand, randn, seeded, tiny_set, write
from torch.nn import functional

from dunfold_lib import fetch
from dunfold_lib.small_target import data, maps, readers, scores, theory
from dunfold_lib.small_target.figures_rpca import contrast
from dunfold_lib.small_target.model import LRPCANet
from dunfold_lib.small_target.weights import imitate
from dunfold_lib.solvers import jacobian_norm

# data


def test_made_up_scenes_follow_their_generator():
    a, b = (data.synthetic(seeded(3), 6, 96) for _ in range(2))
    assert torch.equal(a.image, b.image)
    assert not torch.equal(a.image, data.synthetic(seeded(4), 6, 96).image)
    assert a.image.dtype == torch.uint8
    assert a.mask.dtype == torch.bool
    assert a.image.shape == a.mask.shape == (6, 1, 96, 96)
    assert len(set(a.names)) == 6
    x = data.images(a)
    assert 0 <= float(x.min()) <= float(x.max()) <= 1


def test_made_up_targets_are_as_many_as_sirst_has_small_and_away_from_the_border():
    many = data.synthetic(seeded(0), 60, 128)
    targets = [scores.by_overlap(m, m).targets for m in many.mask]
    assert 1 <= min(targets) <= max(targets) <= 3
    area = many.mask.flatten(1).sum(1)
    assert float(area.float().median()) < 150
    assert int(area.min()) >= 1
    y, x = (many.mask[:, 0].any(d).nonzero()[:, 1] for d in (2, 1))
    reach = math.ceil(4 * 3**0.5)  # the widest Gaussian's radius at e^−1.5
    for at in (y, x):
        assert data.BORDER - reach <= int(at.min())
        assert int(at.max()) <= 127 - data.BORDER + reach


def test_a_target_adds_its_height_where_its_mask_is_and_little_elsewhere():
    scene = torch.full((64, 64), 0.5)
    seen, mask = data.add_targets(seeded(1), scene)
    assert float(seen.max() - 0.5) <= 3 * data.AMPLITUDE[0] + 1e-6  # a flat scene: the least height
    assert float(seen[mask].min()) > 0.5 + data.AMPLITUDE[0] * data.EDGE - 1e-6
    assert torch.equal(scene, torch.full((64, 64), 0.5))


@pytest.mark.parametrize("beta", [2.0, 3.0])
def test_the_clutters_spectrum_has_its_slope(beta):
    noise = torch.stack([data.fractal(data.Draw(seeded(i)), 128, beta) for i in range(20)])
    power = torch.fft.rfft2(noise.double()).abs().square().mean(0)
    f = torch.fft.fftfreq(128)[:, None].hypot(torch.fft.rfftfreq(128))
    kept = (f > 0.02) & (f < 0.4)
    A = torch.stack([f[kept].log(), torch.ones(int(kept.sum()))], 1).double()
    slope = torch.linalg.lstsq(A, power[kept].log()[:, None]).solution[0, 0]
    assert float(slope) == pytest.approx(-beta, abs=0.1)
    assert float(noise[0].std()) == pytest.approx(1, abs=1e-5)


def test_injection_leaves_the_background_alone_where_no_target_is():
    scenes = [rand(80, 70, seed=i).float() for i in range(2)]
    made = data.inject(seeded(2), scenes, 3, 64)
    assert made.image.shape == (3, 1, 64, 64)
    for image, mask in zip(made.image, made.mask, strict=True):
        far = functional.max_pool2d(mask.float(), 41, 1, 20) == 0
        same = [
            torch.equal(
                (255 * s[t : t + 64, u : u + 64]).round().to(torch.uint8)[far[0]], image[0][far[0]]
            )
            for s in scenes
            for t in range(17)
            for u in range(7)
        ]
        assert any(same)


def test_the_generators_own_targets_stay_what_the_records_have():
    """Sums that were counted before there were matched ones; a seed's targets never change."""
    scenes = [0.3 + 0.2 * rand(90, 80, seed=i).float() for i in range(2)]
    made = [data.inject(seeded(2), scenes, 6, 64), data.synthetic(seeded(5), 4, 64)]
    assert [int(f.mask.sum()) for f in made] == [394, 137]
    assert [int(f.image.sum()) for f in made] == pytest.approx([2_540_527, 1_986_300], rel=1e-4)


def test_what_is_drawn_by_ranks_has_its_points_as_quantiles():
    draw = data.Draw(seeded())
    for points in (data.AREAS, data.CONTRASTS):
        assert len(points) == len(data.RANKS)
        found = np.quantile([draw.by_ranks(points) for _ in range(4000)], data.RANKS)
        np.testing.assert_allclose(found, points, rtol=0.12)


def calm(count, level=0.3):
    """Scenes whose noise is so faint that hardly a target is too bright for them."""
    return [(level + 0.006 * randn(96, 96, seed=i)).float() for i in range(count)]


def test_matched_targets_have_the_areas_and_the_contrasts_of_SIRST_v1():
    quantiles = lambda v: np.percentile(v, [25, 50, 75])
    own, matched = (data.inject(seeded(), calm(8), 90, 96, m) for m in (False, True))
    areas, ratios = (quantiles(v) for v in contrast(matched))
    np.testing.assert_allclose(areas, data.AREAS[3:6], rtol=0.25)
    np.testing.assert_allclose(ratios, data.CONTRASTS[3:6], rtol=0.3)
    faint = data.inject(seeded(), [10 * (s - 0.3) + 0.3 for s in calm(8)], 60, 96)
    assert np.median(contrast(faint)[1]) < data.CONTRASTS[4] / 2
    assert own.mask.sum() != matched.mask.sum()


def test_a_matched_target_goes_where_it_does_not_exceed_white():
    """Half of the scene is so rough that most targets would: they stand in the calm half."""
    rough = calm(1)[0]
    rough[:, 48:] += 0.3 * (rough[:, 48:] - 0.3) / 0.006
    share = lambda frames: float(frames.mask[..., 48:].sum() / frames.mask.sum())
    own, matched = (data.inject(seeded(), [rough.clamp(0, 1)], 40, 96, m) for m in (False, True))
    assert share(own) > 0.3
    assert share(matched) < 0.15
    white = data.inject(seeded(), [torch.ones(64, 64)], 3, 64, True)  # nowhere: the last resort
    assert bool(white.mask.flatten(1).any(1).all())


@has_sirst
def test_the_quantiles_are_those_of_SIRST_v1s_training_part():
    areas, ratios = contrast(readers.frames("sirst", "train"))
    assert len(areas) == 327
    at = [100 * rank for rank in data.RANKS]
    assert np.percentile(areas, at).round(1).tolist() == [*data.AREAS]
    assert np.percentile(ratios, at).round(1).tolist() == [*data.CONTRASTS]
    order = lambda v: np.argsort(np.argsort(v))
    assert np.corrcoef(order(areas), order(ratios))[0, 1] == pytest.approx(0.09, abs=0.01)


@has_sirst
def test_crops_like_SIRST_Augs_are_as_many_as_its_own():
    folder = fetch.required("istd/SIRSTv1")
    made = {p: readers.augmented(folder, p, seeded(), 32) for p in ("train", "test")}
    assert {p: len(f.names) for p, f in made.items()} == {"train": 8525, "test": 545}
    of = {p: {n.rsplit("-", 1)[0] for n in f.names} for p, f in made.items()}
    assert of["test"] == set(readers.frames("sirst", "test").names)
    assert not of["test"] & of["train"]


def test_noise_has_its_strength_and_its_share():
    x = torch.full((1, 1, 200, 200), 0.5)
    gauss = data.noisy(x, seeded(), sigma=25)
    assert float((gauss - x).std()) == pytest.approx(25 / 255, rel=0.03)
    pepper = data.noisy(x, seeded(), density=0.1)
    changed = pepper != 0.5
    assert float(changed.float().mean()) == pytest.approx(0.1, abs=0.01)
    assert set(pepper[changed].tolist()) == {0.0, 1.0}
    assert torch.equal(data.noisy(x, seeded()), x)


def test_crops_are_cut_with_their_masks_and_most_hold_a_target():
    frames = data.synthetic(seeded(0), 4, 64)
    image, mask = data.crops(frames, 40, 32, seeded(1))
    assert image.shape == mask.shape == (40, 1, 32, 32)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert int(mask.flatten(1).any(1).sum()) >= 28
    again, _ = data.crops(frames, 40, 32, seeded(1))
    assert torch.equal(image, again)
    marked = frames._replace(image=frames.mask.to(torch.uint8) * 255)
    image, mask = data.crops(marked, 20, 32, seeded(2))
    assert torch.equal(image, mask)


@pytest.mark.parametrize("layout", ["sirst", "sirst-raw", "nudt", "irstd1k-raw", "aug"])
def test_every_layout_is_read(layout, tmp_path):
    root = tiny_set(tmp_path / layout, layout)
    test = readers.read_folder(root, "test", 16)
    assert test.names == (("d",) if layout.startswith("sirst") else ("c", "d"))
    assert test.image.shape == test.mask.shape == (len(test.names), 1, 16, 16)
    assert bool(test.mask[0, 0, :8, :8].all())
    assert int(test.mask[0].sum()) == 64
    train, val = (readers.read_folder(root, p, 16).names for p in ("train", "val"))
    expected = (("a", "b"), ("c",)) if layout.startswith("sirst") else (("b",), ("a",))
    assert (train, val) == expected
    assert not set(train) & set(test.names)


def test_a_folder_without_lists_is_a_test_set_and_sizes_are_kept_where_asked(tmp_path):
    write(tmp_path / "images", "x", np.full((9, 12), 255, np.uint8))
    write(tmp_path / "masks", "x", np.eye(9, 12, dtype=np.uint8) * 255)
    frames = readers.read_folder(tmp_path, side=None)
    assert frames.image.shape == (1, 1, 9, 12)
    assert frames.mask[0, 0].equal(torch.eye(9, 12, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"holds no list train.txt; it must name"):
        readers.read_folder(tmp_path, "train")


def test_masks_take_the_pixel_that_opencv_takes_and_images_are_bilinear():
    x = torch.arange(36, dtype=torch.uint8).reshape(6, 6)
    assert readers.resized(x, 4, "nearest")[0].tolist() == [0, 1, 3, 4]  # ⌊1.5 i⌋
    assert readers.resized(x, 4, "nearest-exact")[0].tolist() == [0, 2, 3, 5]  # ⌊1.5 (i + ½)⌋
    # columns 0.25, 1.75, 3.25, 4.75 of row 0.25
    assert readers.resized(x, 4, "bilinear")[0].tolist() == [2, 3, 5, 6]
    assert readers.resized(x, 6, "bilinear") is x


def test_the_lists_of_sirst_v1_when_the_data_folder_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"^SIRSTv1 is not here: put it into istd/SIRSTv1"):
        readers.frames("sirst", "test")
    tiny_set(tmp_path / "istd/SIRSTv1", "sirst")
    assert readers.frames("sirst", "test", 16).names == ("d",)


@has_sirst
def test_sirst_v1_has_its_parts_and_109_test_targets():
    parts = {p: readers.frames("sirst", p) for p in ("train", "val", "test")}
    assert {p: len(f.names) for p, f in parts.items()} == {"train": 256, "val": 85, "test": 86}
    held = [set(f.names) for f in parts.values()]
    assert not held[0] & held[1]
    assert not (held[0] | held[1]) & held[2]
    test = parts["test"].mask
    assert scores.by_overlap(test, test).targets == 109


def test_backgrounds_are_enlarged_and_injected(tmp_path, monkeypatch):
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    for i in range(5):
        write(tmp_path / "istd/SIRSTv2_backgrounds/images", f"{i}", np.full((40, 90), 50, np.uint8))
    readers.backgrounds.cache_clear()
    scenes = readers.backgrounds(64)
    assert [tuple(s.shape) for s in scenes] == [(64, 144)] * 5
    assert float(scenes[0].std()) < 1e-6
    readers.backgrounds.cache_clear()


def test_a_set_like_sirst_aug_holds_a_target_in_every_crop(tmp_path):
    root = tmp_path / "s"
    tiny_set(root, "sirst", size=(40, 60))
    small_mask = np.zeros((40, 60), np.uint8)
    small_mask[30:32, 50:53] = 255
    small_mask[3, 4] = 255
    for name in "abcd":
        write(root / "masks", name, small_mask)
    train = readers.augmented(root, "train", seeded(), 24)
    test = readers.augmented(root, "test", seeded(), 24)
    assert len(train.names) == 3 * 25
    assert len(test.names) == 1 * 2 * 5
    for made in (train, test):
        assert made.image.shape[2:] == (24, 24)
        assert bool(made.mask.flatten(1).any(1).all())
    large = readers.augmented(root, "test", seeded(), 64)  # above the image's size: enlarged
    assert large.image.shape == (10, 1, 64, 64)
    assert len({m.numpy().tobytes() for m in large.mask}) > 5  # 64×96: not one crop ten times
    image = np.zeros((40, 60), np.uint8)
    assert readers._enlarged(image, small_mask, 64).shape == (2, 64, 96)  # not a square


# theory


def test_a_linear_maps_constants_are_its_norm():
    A = randn(6, 6)
    F = lambda x: x @ A.T
    exact = float(torch.linalg.matrix_norm(A, 2))
    assert jacobian_norm(F, randn(1, 6), 200, seeded()) == pytest.approx(exact, rel=1e-6)
    x, y = randn(5, 6), randn(5, 6, seed=1)
    assert float(theory.pairwise(F, x, y).max()) <= exact + 1e-12
    close(theory.pairwise(lambda x: 3 * x, x, y), torch.full((5,), 3.0, dtype=F64))


def test_the_effective_rank_of_known_matrices():
    assert theory.effective_rank(torch.eye(5)) == pytest.approx(5)
    assert theory.effective_rank(torch.outer(rand(7), rand(4))) == pytest.approx(1, abs=1e-5)
    assert 1 < theory.effective_rank(torch.diag(torch.tensor([1.0, 0.1]))) < 2


def test_the_lipschitz_figure_of_a_network_set_by_hand():
    """ε F_T is the clip, so its constant is 1 where anything is below the threshold."""
    net = LRPCANet(K=1, c=2, b=2).double().eval()
    imitate(net, 0.5, 10.0, 0.25)  # everything is below
    found = maps.lipschitz(net, rand(3, 1, 10, 10), steps=20)
    assert found["jacobian_FT"] == pytest.approx([1.0])
    assert found["pairs_FT"] == pytest.approx([1.0])
    assert found["step_jacobian_FN"] == pytest.approx([0.75])
    seen = maps.stage_inputs(net, rand(1, 1, 10, 10))
    assert set(seen[0]) == {"FT", "FN"}
