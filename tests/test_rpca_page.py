"""The chapter on robust PCA and small targets: explorers, solutions, and what the page names."""

import re
from itertools import islice

import numpy as np
import pages
import pytest
import torch
from matplotlib.colors import to_rgb
from shared_rpca_page import F64

from dunfold_lib.explore import MOST_FRAMES
from dunfold_lib.show import COLOURS, Curves
from dunfold_lib.small_target import algorithm, baselines, data
from dunfold_lib.small_target import figures_rpca as figures
from dunfold_lib.small_target import figures_rpca_pictures as pictures
from dunfold_lib.small_target.experiments import EXPERIMENTS
from dunfold_lib.small_target.painting import FALSE, HIT, MISSED, painted
from dunfold_lib.small_target.scores import by_overlap

FIRST, LAST = figures.SHARES[0], figures.SHARES[-1]


# scenes


def test_the_scenes_are_the_generators_and_nothing_is_chosen():
    made = figures.scenes()
    first = figures.SEEDS[0]
    assert list(figures.SEEDS) == list(range(first, first + 6))
    for i, seed in enumerate(figures.SEEDS):
        alone = data.synthetic(torch.Generator().manual_seed(seed), 1, figures.SIDE)
        assert torch.equal(made.image[i], alone.image[0])
        assert torch.equal(made.mask[i], alone.mask[0])
    image, mask = figures.scene(2)
    assert torch.equal((255 * image).round().to(torch.uint8), made.image[2, 0])
    assert torch.equal(mask, made.mask[2, 0])


def test_the_contrast_of_a_known_target():
    """Noise of deviation 8, a square of 3 × 3 that stands 80 above it."""
    g = torch.Generator().manual_seed(0)
    image = 100 + 8 * torch.randn(1, 1, 64, 64, generator=g)
    mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    mask[0, 0, 30:33, 40:43] = True
    image = (image + 80 * mask).round().to(torch.uint8)
    (area,), (ratio,) = figures.contrast(data.Frames(("x",), image, mask))
    assert area == 9
    assert ratio == pytest.approx(10, rel=0.1)
    wide = mask.clone()  # what is next to a target is left out
    wide[0, 0, 28:35, 38:45] = True
    halo = torch.where(wide & ~mask, 250, image.int()).to(torch.uint8)
    assert figures.contrast(data.Frames(("x",), halo, mask))[1] == pytest.approx([ratio])


def test_paint_is_green_orange_and_blue():
    found = torch.tensor([[True, True, False, False]])
    mask = torch.tensor([[True, False, True, False]])
    made = painted(found, mask, torch.full((1, 4), 0.5))
    expected = [HIT, FALSE, MISSED, (0.4, 0.4, 0.4)]
    np.testing.assert_allclose(made[0], expected)


# the explorer over λ


def test_the_parts_are_the_librarys_iterates():
    image, _ = figures.scene()
    P = baselines.patch_matrix(image, baselines.IPI_PATCH, baselines.IPI_STEP)
    k = figures.STEPS[1]
    run = algorithm.rpca_apg(P, FIRST / figures.SIDE**0.5, *figures.weights(P))
    *_, x = islice(run, k)
    made = figures.taken_apart(FIRST)[k]
    assert made.rank == x.rank
    assert made.share == pytest.approx(float((x.T != 0).double().mean()))
    there = baselines.from_patches(x.T, image.shape, baselines.IPI_PATCH, baselines.IPI_STEP)
    torch.testing.assert_close(made.T, there)
    assert algorithm.default_lam(P) * figures.SIDE**0.5 == pytest.approx(figures.THEORY)


def test_the_ends_of_its_sliders_show_different_images():
    early, late = figures.STEPS[0], figures.STEPS[-1]
    start = pages.pictures([figures.parts(FIRST, late)])
    for other in (figures.parts(LAST, late), figures.parts(FIRST, early)):
        assert all(a != b for a, b in zip(start, pages.pictures([other]), strict=True))
    low, high = (figures.taken_apart(s)[late] for s in (FIRST, LAST))
    assert low.share > 0.9 > 0.01 > high.share
    assert low.rank < 10 < high.rank
    assert "3 of 3 targets hit" in figures.parts(FIRST, late).note


# the explorer over thresholds


def test_maps_are_the_detectors_over_their_largest_value():
    for name in ("top-hat", "mpcm", "pstnn"):
        raw = baselines.DETECTORS[name](figures.scene(1)[0])
        torch.testing.assert_close(figures.maps(name)[1], raw / raw.max())
    assert set(figures.TITLES) == set(baselines.DETECTORS)


@pytest.mark.parametrize("share", [figures.CUTS[0], 0.5, figures.CUTS[-1]])
def test_the_moving_point_lies_on_the_fixed_curves_and_within_the_axes(share):
    for name in figures.TITLES:
        frames, pixel, target = figures.cut(name, share)
        assert len(frames.images) == 3
        for panel in (pixel, target):
            assert panel.fixed == len(figures.TITLES) == len(panel.lines) - 1
            pages.inside(panel)
        here = [*figures.TITLES].index(name)
        dot, curve = target.lines[-1], target.lines[here]
        assert (dot.x[0], dot.y[0]) in zip(curve.x, curve.y, strict=True)
        found, truth = figures.maps(name) > share, figures.scenes().mask[:, 0]
        tpr = 100 * float((found & truth).sum() / truth.sum())
        assert pixel.lines[-1].y[0] == pytest.approx(tpr)
        assert f"{by_overlap(found, truth).hits} of 11 targets" in target.note


def test_the_ends_of_the_threshold_show_different_points():
    for name in ("top-hat", "mpcm", "pstnn"):
        ends = [figures.cut(name, s) for s in (figures.CUTS[0], figures.CUTS[-1])]
        assert pages.pictures(ends[0][:1])[2] != pages.pictures(ends[1][:1])[2]
        for a, b in zip(ends[0][1:], ends[1][1:], strict=True):
            assert a.lines[-1].x[0] > b.lines[-1].x[0]


def test_a_curve_stops_where_a_map_is_zero():
    whole = figures.pixel_curve("pstnn")
    drawn = figures.above_zero(whole)
    assert float(whole.fpr[-1]) == 1.0
    assert float(drawn.fpr[-1]) < 0.01
    assert bool((drawn.threshold > 0).all())


# both


def test_the_explorers_fit_a_page_and_start_where_it_says():
    parts, cut = figures.parts_explorer(), figures.cut_explorer()
    for made in (parts, cut):
        states = np.prod([len(s.values) for s in made.sliders.values()])
        assert states <= MOST_FRAMES
    assert parts.sliders["share"].values[parts.sliders["share"].start] == FIRST
    assert parts.sliders["steps"].values[parts.sliders["steps"].start] == figures.STEPS[-1]
    assert cut.sliders["share"].values[cut.sliders["share"].start] == 0.5
    for panel in (*parts.panels([0, 4]), *cut.panels([0, 7])):
        assert " " in panel.alt
        assert not isinstance(panel, Curves) or panel.xlim


def test_a_bad_position_is_answered_in_one_line():
    for call, message in (
        (lambda: figures.parts(1.0, 7), "steps is 7; it must be one of"),
        (lambda: figures.cut("lcm", 0.5), "detector is 'lcm'; it must be one of"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            call()
        assert "\n" not in str(caught.value)


# patches as columns, by hand, and the small training


def test_the_patches_that_are_outlined_are_the_columns_that_are_shown():
    outlined, *patches, tall = pictures.columns().images
    image, _ = figures.scene()
    at = baselines.starts(figures.SIDE, baselines.IPI_PATCH, baselines.IPI_STEP)
    for colour, (i, patch) in enumerate(zip(pictures.SHOWN, patches, strict=True)):
        y, x = at[i // len(at)], at[i % len(at)]
        np.testing.assert_allclose(patch, image[y : y + 50, x : x + 50])
        np.testing.assert_allclose(outlined[y, x], to_rgb(COLOURS[colour]))
        np.testing.assert_allclose(tall[-1, i], to_rgb(COLOURS[colour]))
    np.testing.assert_allclose(outlined[64, 64], float(image[64, 64]))
    assert tall.shape == (100, 81, 3)


def test_by_hand_a_threshold_of_three_gives_back_the_background_and_the_target():
    D, P = pictures.by_hand()
    assert torch.linalg.matrix_rank(D) == 2
    B = algorithm.svt(P, 3.0)
    torch.testing.assert_close(B, torch.full((4, 4), 2.0, dtype=F64))
    assert sorted((P - B).round().sum(0).tolist()) == [3.0] * 4
    assert len(pictures.toy(B).images) == 4


def test_the_learned_point_lies_where_it_was_measured():
    error = pictures.errors({3: -10.0, 5: -20.0}, 5, -25.0)
    assert [c.y.tolist() for c in error.lines] == [[-10.0, -20.0], [-25.0]]


# the page


def chapter():
    """The text of the chapter's pages."""
    names = ("rpca", "rpca_noise", "rpca_experiments")
    return "".join((pages.BOOK / f"small_target/{n}.md").read_text("utf-8") for n in names)


def test_every_experiment_that_the_page_names_exists():
    text = chapter()
    names = set(re.findall(r'`"([a-z0-9-]+)"`', text))
    assert names == {f"{name}-sirst" for name in baselines.DETECTORS}
    for name in names:
        for ending in ("sirst", "nudt", "sirst-aug", "irstd1k"):
            assert name.replace("sirst", ending) in EXPERIMENTS


def test_every_solution_is_shown_and_tested():
    text = chapter()
    shown = re.findall(r":pyobject: (\w+)", text)
    assert shown == [
        *("off_by", "columns_of", "growing", "away"),
        *("certificates", "stripes", "squares"),
    ]
    assert text.count(":::{exercise}") == len(shown) == text.count(":::{solution}")
