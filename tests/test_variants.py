"""Variants of networks: switches in a recipe, and which experiment of the book they are."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from dunfold_lib import records
from dunfold_lib.hyperspectral import variants as cubes
from dunfold_lib.hyperspectral.experiments import EXPERIMENTS as OF_CUBES
from dunfold_lib.small_target import variants as frames
from dunfold_lib.small_target.experiments import EXPERIMENTS as OF_FRAMES


@pytest.mark.parametrize("name", cubes.KINDS)
def test_a_variant_without_changes_is_the_book_s_network(name: str) -> None:
    e = cubes.VARIANTS[name]
    shapes = lambda net: {n: p.shape for n, p in net.named_parameters()}
    assert cubes.like(name, e.recipes["cpu"])[0] == name
    net, book = e.build(e.recipes["cpu"]), OF_CUBES[name].build()
    assert shapes(net) == shapes(book)
    assert (net.procrustes, net.mixed) == (book.procrustes, book.mixed)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"low_rank": False}, "star-no-svt"),
        ({"blend": False}, "star-no-blend"),
        ({"procrustes": 0}, "star-no-a"),
        ({"mixed": True}, "star-mixed"),
        ({"loss": "squared"}, "star-squared"),
        ({"layers": 3}, "star-k3"),
        ({"side": 5}, "star"),
    ],
)
def test_switches_that_the_book_has_find_its_experiment(changes: dict, found: str) -> None:
    recipe = replace(cubes.VARIANTS["star"].recipes["cpu"], **changes)
    name, e = cubes.like("star", recipe)
    assert name == found
    assert ("switched" in e.title) is ("side" in changes)


def test_a_basis_moves_in_no_more_layers_than_there_are() -> None:
    recipe = replace(cubes.VARIANTS["star-s"].recipes["cpu"], layers=2)
    assert cubes.build("star-s", recipe).procrustes == 2


@pytest.mark.parametrize(
    ("kind", "changes", "found"),
    [
        ("lrpcanet", {}, "lrpcanet-sirst"),
        ("lrpcanet", {"se": "BT"}, "se-BT"),
        ("lrpcanet", {"se": ""}, "se-none"),
        ("lrpcanet", {"carry_noise": False}, "noise-not-carried"),
        ("lrpcanet", {"se": "ND"}, "lrpcanet-sirst-se-ND"),
        ("lrpcanet", {"data": "nudt"}, "lrpcanet-nudt"),
        ("rpcanet", {"se": ""}, "rpcanet-sirst"),
        ("two-term", {}, "two-term-sirst"),
        ("two-term", {"se": "BTD"}, "robust-two-term"),
    ],
)
def test_switches_of_a_detector_find_the_book_s_experiment(
    kind: str, changes: dict, found: str
) -> None:
    recipe = replace(frames.variant(kind).recipes["cpu"], **changes)
    name, e = frames.like(kind, recipe)
    assert name == found
    assert name not in OF_FRAMES or e.title == OF_FRAMES[name].title


@pytest.mark.parametrize("se", ["TB", "X", "btnd", "BB"])
def test_letters_that_name_no_map_are_refused(se: str) -> None:
    with pytest.raises(ValueError, match="letters of BTND"):
        replace(frames.variant("lrpcanet").recipes["cpu"], se=se)


def test_a_run_of_a_variant_is_built_again_and_another_is_left_to_records(tmp_path: Path) -> None:
    for room, module, name, change in (
        ("hyperspectral", cubes, "star", {"r": 4}),
        ("small_target", frames, "lrpcanet", {"se": "B"}),
    ):
        e = cubes.VARIANTS[name] if module is cubes else frames.variant(name)
        recipe = replace(e.recipes["cpu"], **change)
        known, _ = module.like(name, recipe)
        run = {"experiment": f"{room}/{known}", "recipe": asdict(recipe), "scores": {}}
        (tmp_path / room).mkdir()
        (tmp_path / room / "run.json").write_text(json.dumps(run))
        again, net = module.rebuilt(tmp_path / room), module.build(name, recipe)
        assert again is not None
        shapes = lambda net: {n: p.shape for n, p in net.named_parameters()}
        assert shapes(again) == shapes(net)
    recorded = records.results_root() / "hyperspectral/star/cpu-s0"
    assert cubes.rebuilt(recorded) is None
    assert cubes.rebuilt(tmp_path) is None
