"""What a chapter's menu offers."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(ROOT / "tools")]
import chapters  # noqa: E402
import dunfold_offers as offers  # noqa: E402

ADDRESS = "https://github.com/we/book"


def offered(page: str, address: str) -> list[str]:
    """The addresses of the buttons that are added to the theme's menus."""
    options = {"repository_url": address, "repository_branch": "main"}
    app = SimpleNamespace(config=SimpleNamespace(html_theme_options=options))
    groups: list[Any] = [
        {"label": "download-buttons", "buttons": []},
        {"label": "launch-buttons", "buttons": []},
    ]
    context = {"header_buttons": groups, "pathto": lambda name, _: f"../../{name}.html"}
    offers.offer(app, page, "", context, object())
    return [button["url"] for group in groups for button in group["buttons"]]


LABS = {  # of the chapters whose folder is no room
    "your_own": "deblurring",
    "no_ground_truth": "imaging",
    "no_ground_truth_inpainting": "imaging",
    "equilibrium": "imaging",
    "uncertainty": "imaging",
    "generative": "imaging",
    "phase": "phase",
    "phase_experiments": "phase",
}


@pytest.mark.parametrize("page", chapters.chapters(), ids=lambda p: p.stem)
def test_every_chapter_offers_its_notebook_and_with_an_address_the_laboratory(page: Path) -> None:
    name = page.relative_to(ROOT).with_suffix("").as_posix()
    own = f"../../notebooks/{chapters.name_of(page)}"
    assert offered(name, "") == [own]
    lab = LABS.get(page.stem, page.parent.name)
    colab = f"{offers.COLAB}/we/book/blob/main/notebooks/{lab}.ipynb"
    assert offered(name, ADDRESS) == [own, *([colab] if page.parent != ROOT / "book" else [])]


def test_a_page_that_is_no_chapter_offers_neither() -> None:
    assert offered("book/notation", ADDRESS) == []


BUILT = ROOT / "_build" / "html"


@pytest.mark.skipif(not (BUILT / "notebooks").exists(), reason="the book is not built")
def test_the_built_page_links_to_a_notebook_that_is_there() -> None:
    for page in chapters.chapters():
        name = chapters.name_of(page)
        html = (BUILT / page.relative_to(ROOT).with_suffix(".html")).read_text("utf-8")
        up = "../" * len(page.relative_to(ROOT).parts[1:])
        assert f'href="{up}notebooks/{name}"' in html
        assert (BUILT / "notebooks" / name).is_file()
