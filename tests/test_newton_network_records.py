"""Of newton network page: newton network records."""

import pytest
from shared_newton_network_page import MADE, UNROLLED, mean, of

from dunfold_lib import fetch, records
from dunfold_lib.newton_sr import data, readers, scores, training
from dunfold_lib.newton_sr import figures_network as figures
from dunfold_lib.newton_sr import figures_network_tables as tables
from dunfold_lib.newton_sr.experiments import EXPERIMENTS


def fixed(name, score):
    """The score of a method without seeds, as often as a rank asks for."""
    return of(name, score)[:1] * records.SEEDS


def test_plain_total_variation_is_ahead_of_every_training_on_middlebury():
    """Sentence: "Plain total variation wins against three stages"; errors: smaller is ahead."""
    for s in tables.TESTS:
        for name in UNROLLED:
            home = of(name, f"rmse_{s}", tables.HOME)
            assert records.ranks(home, fixed("tv-4", f"rmse_{s}")), (name, s)


@pytest.mark.parametrize("recipe", MADE)
def test_plain_total_variation_beats_every_network_of_three_stages(recipe):
    """The notebook's sentence: "beats the networks of three stages on depth ×4 of *art* and
    *moebius*"; every recorded training, on Middlebury or on planes."""
    for s in tables.TESTS:
        for name in UNROLLED:
            assert min(of(name, f"rmse_{s}", recipe)) > max(of("tv-4", f"rmse_{s}"))


def test_newton_is_ahead_on_moebius_and_art_is_not_decided():
    """Sentences: "Newton is ahead on Moebius … for every recorded seed"; "`PlainSR` … is behind
    Newton on both scenes"; "Not decided here: Art"."""
    at = lambda name, s: of(name, f"rmse_{s}", tables.HOME)
    for other in UNROLLED[1:]:
        assert records.ranks(at(other, "moebius"), at("newton-4", "moebius"))
    assert records.undecided(at("newton-4", "art"), at("learned-inverse-4", "art"))
    assert all(records.ranks(at("plain-4", s), at("newton-4", s)) for s in tables.TESTS)


def test_whether_planes_teach_the_other_networks_more_is_not_decided():
    """Sentence: "Not decided here: whether that holds for the other networks"."""
    for name in UNROLLED[1:]:
        at = lambda recipe, name=name: of(name, "rmse_art", recipe)
        assert records.undecided(at(tables.HOME), at("cpu"))


def test_the_planes_teach_newton_more_than_the_real_scenes():
    """Sentences: "every seed of NewtonSR is better on Art than any that was trained on Middlebury";
    "Its error on Art then falls at every stage, for every recorded seed; on Moebius it does for
    some, and no stage is worse than the start"."""
    made = of("newton-4", "rmse_art", "cpu")
    assert records.ranks(of("newton-4", "rmse_art", tables.HOME), made)
    assert mean(of("tv-4", "rmse_art")) < min(made)
    falls = lambda run: run == sorted(run, reverse=True)
    on_art, on_moebius = (of("newton-4", f"stages_{s}", "cpu") for s in tables.TESTS)
    assert len(on_art) >= records.SEEDS
    assert all(map(falls, on_art))
    assert all(max(run) == run[0] and min(run) == run[-1] for run in on_moebius)
    assert 1 <= sum(map(falls, on_moebius)) < len(on_moebius)


def test_filters_that_average_along_the_guide_gain_little_over_bicubic():
    """Sentence: "Filters that only average along the guide gain little over bicubic"."""
    tv, bicubic = (mean(of(name, "rmse_art")) for name in ("tv-4", "bicubic-4"))
    for name in ("guided-filter-4", "joint-bilateral-4"):
        assert tv + 1.5 < mean(of(name, "rmse_art")) < bicubic


def test_the_protocol_of_the_tables():
    """Sentences: "six pixels at the border left out"; "four other scenes of Middlebury"; "24
    made-up scenes of planes"."""
    assert (len(data.MIDDLEBURY_TRAIN), training.TRAIN_SCENES, scores.BORDER) == (4, 24, 6)


@pytest.mark.parametrize("score", [f"rmse_{s}" for s in tables.TESTS])
def test_weights_from_the_guide_cost_at_4_and_help_more_and_more(score):
    """Sentence: "At ×4 they cost total variation a little; at ×8 they help, and at ×16 they help
    more"."""
    at = lambda stem, r: mean(of(f"{stem}-{r}", score))
    gains = [at("tv", r) - at("guided-tv", r) for r in (4, 8, 16)]
    assert gains == sorted(gains)
    assert gains[0] < 0
    for r in (8, 16):
        assert at("guided-tv", r) + 0.05 < at("tv", r) < at("bicubic", r)


def test_the_order_of_the_networks_on_coarse_data_is_not_decided():
    """Sentence: "Not decided here: the order of those three at ×8, any order at ×16, and whether
    one network is ahead of guide-weighted TV there"."""
    stems = [*tables.NETWORKS.values()]
    for s in tables.TESTS:
        at = lambda stem, r, s=s: of(f"{stem}-{r}", f"rmse_{s}", "cpu")
        assert records.undecided(*(at(stem, 8) for stem in stems if stem != "plain"))
        everything = [at(stem, 16) for stem in stems]
        assert records.undecided(*everything, fixed("guided-tv-16", f"rmse_{s}"))


def test_at_8_the_guides_weights_are_ahead_of_all_networks_and_unrolled_ones_of_plain():
    """Sentences: "At ×8 guide-weighted TV is ahead of every recorded training of theirs, on both
    scenes"; "on Moebius `PlainSR` is behind the three unrolled ones"."""
    stems = [*tables.NETWORKS.values()]
    for s in tables.TESTS:
        for stem in stems:
            errors = of(f"{stem}-8", f"rmse_{s}", "cpu")
            assert records.ranks(errors, fixed("guided-tv-8", f"rmse_{s}")), (stem, s)
    plain = of("plain-8", "rmse_moebius", "cpu")
    for stem in {*stems} - {"plain"}:
        assert records.ranks(plain, of(f"{stem}-8", "rmse_moebius", "cpu"))


@pytest.mark.parametrize("problem", list(tables.BANDS.values()))
def test_the_order_of_the_networks_on_several_bands_is_not_decided(problem):
    """Sentence: "Not decided here: any order of the networks, or of networks and GLP"."""
    names = [f"{stem}-{problem}" for stem in tables.NETWORKS.values()]
    assert records.undecided(*(of(n, "psnr") for n in names))


def test_the_problems_with_several_bands():
    """Sentences: "8 bands with 3 wide ones"; "20 bands with 4 wide ones"; H is learned, with α."""
    net = EXPERIMENTS["newton-fusion"].build()
    assert net.H.shape == (3, 8)
    assert net.free_alpha.numel() == 1
    assert (readers.PINES_BANDS, readers.PINES_GUIDES) == (20, 4)


def test_in_indian_pines_every_byte_13_has_become_a_10():
    """Sentence: "every byte 13 has become a byte 10, so that values from 3328 to 3583 are stored
    768 too low"."""
    place = (f"datasets/data/{fetch.PINES}", "Indian Pines", "book")
    stored = fetch.array(fetch.in_package("tensorly", *place))
    assert 13 not in stored >> 8
    assert 13 not in stored & 255
    assert (13 << 8, (13 << 8) + 255, (13 - 10) << 8) == (3328, 3583, 768)


def test_every_table_has_a_cell_for_every_column():
    seen = {("Newton", "cpu"): [figures.Inside(0.5, 0.0, 2.0, 1.0), figures.Inside(0.7, 0.0, 3, 1)]}
    made = [tables.variants(), tables.solved(), tables.depth(), tables.coarse(), tables.several()]
    for head, rows, caption in (*made, tables.priors(seen)):
        assert rows
        assert all(len(row) == len(head) for row in rows)
        assert caption
    assert tables.priors(seen)[1] == [["Newton, planes", "50 to 70", "0.0", "2.0 to 3.0", "1.0"]]
