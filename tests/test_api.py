"""API pages: every public name is on one, and its example runs; chapters and names are linked."""

import doctest
import re
import sys
from pathlib import Path

import pytest

from dunfold_lib import ROOMS

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import dunfold_api as api  # noqa: E402

# public names whose example is still to be written; the list only shrinks
WITHOUT = {
    "operators": "fits is_linear Linear",
    "unroll": "Unrolled",
    "inference": "Recorded",
    "sparse": "Solution",
    "imaging": "load_operator load_released Phase wavelet_phase",
    "newton_sr": "augmented_lagrangian charbonnier clarke FirstOrderSR Groups history "
    "LearnedInverseSR majorised Pair Problem Shrink Spectral State steps",
    "hyperspectral": "as_sweeps basis estimate history measured Noisy SMDSNet Star star_s "
    "STARNetPaper STARNetS",
    "deblurring": "State step",
    "small_target": "compact dead_maps Frames imitate inject ipi load_released mpcm pstnn roc "
    "State total_loss",
}


def test_every_room_and_what_they_share_has_its_page() -> None:
    assert {*api.modules()} == {*ROOMS, *api.SHARED.split()}
    assert len(api.shown()) > 130


def test_every_public_name_has_an_example_or_is_named_as_being_without() -> None:
    named = {f"{module}.{name}" for module, names in WITHOUT.items() for name in names.split()}
    assert {*api.examples()} | named == {*api.shown()}
    assert {*api.examples()} & named == set()
    assert len(named) <= 50


@pytest.mark.parametrize("name", api.examples())
def test_an_example_runs_and_gives_what_it_shows(name: str) -> None:
    found = doctest.DocTestParser().get_doctest(api.examples()[name], {}, name, None, 0)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(found, out=told.append).failed == 0, "".join(told)
    assert any(name.rpartition(".")[2] in example.source for example in found.examples[1:])
    assert len([e for e in found.examples if e.want]) > 0 or name == "imaging.start_quietly"


def test_a_name_knows_the_pages_that_import_it() -> None:
    assert "book/sparse/ista" in api.chapters_of("sparse.ista")
    assert "sparse.ista" in api.used("book/sparse/ista")
    assert api.used("book/glossary") == []
    used = {
        name
        for p in ROOT.glob("book/*/*.md")
        for name in api.used(f"book/{p.parent.name}/{p.stem}")
    }
    assert len(used) > 60


def test_a_docstring_becomes_paragraphs_and_a_list() -> None:
    lines = ["One *odd* sentence_", "of two lines.", "", "x : (m, n).  t : ``a|b`` or |c|."]
    assert api.as_rst(lines) == [
        r"One \*odd\* sentence\_ of two lines.",
        "",
        "* ``x``: (m, n).",
        "",
        r"* ``t``: ``a|b`` or \|c\|.",
        "",
    ]


def test_every_public_name_has_types_and_a_docstring() -> None:
    import inspect
    from importlib import import_module

    for name in api.shown():
        module, _, last = name.rpartition(".")
        thing = getattr(import_module(f"dunfold_lib.{module}"), last)
        assert inspect.getdoc(thing), name
        if inspect.isfunction(thing):
            empty = inspect.Parameter.empty
            signature = inspect.signature(thing)
            assert signature.return_annotation is not empty, name
            assert all(p.annotation is not empty for p in signature.parameters.values()), name


BUILT = ROOT / "_build" / "html"


@pytest.mark.skipif(not (BUILT / "book/api.html").exists(), reason="the book is not built")
def test_links_between_chapters_and_names_lead_somewhere_both_ways() -> None:
    pages = {
        page: (BUILT / f"book/{page}.html").read_text("utf-8") for page in {*api.modules().values()}
    }
    index = (BUILT / "genindex.html").read_text("utf-8")
    for name, page in api.shown().items():
        assert f'id="dunfold_lib.{name}"' in pages[page], name
        assert f"#dunfold_lib.{name}" in index, name
    for path in ROOT.glob("book/*/*.md"):
        room_page = f"book/{path.parent.name}/{path.stem}"
        for name in api.used(room_page):
            html = (BUILT / f"{room_page}.html").read_text("utf-8")
            assert f'href="../{api.shown()[name]}.html#dunfold_lib.{name}"' in html
            assert re.search(
                rf'href="{path.parent.name}/{path.stem}\.html"', pages[api.shown()[name]]
            )
