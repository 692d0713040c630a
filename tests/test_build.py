"""How the book is built: which pages run again, and in which surroundings."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools")]

import first  # noqa: E402
import stale  # noqa: E402


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout of two rooms with a page each, a page on neither, and a data folder."""
    texts = {
        "dunfold_lib/show.py": "x = 1",
        "dunfold_lib/red/__init__.py": "",
        "dunfold_lib/blue/__init__.py": "",
        "results/red/a/cpu-s0/run.json": "{}",
        "results/red/a/cpu-s0/weights.safetensors": "w",
        "book/red/page.md": "from dunfold_lib.red import *",
        "book/red/page_solutions.py": "",
        "book/blue/page.md": "from dunfold_lib import show, blue\nThis page speaks of red.",
        "book/both.md": "from dunfold_lib import red, blue",
        "book/index.md": "no code",
        "data/images/a.png": "a",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(stale, "ROOT", tmp_path)
    monkeypatch.setattr(stale, "ROOMS", ["blue", "red"])
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path / "data"))
    return tmp_path


RED, BLUE, BOTH, INDEX = "book/red/page.md", "book/blue/page.md", "book/both.md", "book/index.md"


@pytest.mark.parametrize(
    ("changed", "pages"),
    [
        ("dunfold_lib/show.py", {RED, BLUE, BOTH, INDEX}),
        ("dunfold_lib/red/model.py", {RED, BOTH}),
        ("dunfold_lib/blue/deep/er.py", {BLUE, BOTH}),
        ("results/red/a/cpu-s0/run.json", {RED, BOTH}),
        ("results/red/a/cpu-s0/weights.safetensors", {RED, BOTH}),
        ("book/red/page_solutions.py", {RED, BOTH}),
        ("data/images/b.png", {RED, BLUE, BOTH, INDEX}),
        ("book/red/page.md", set()),  # the cache knows a page's own cells
        ("tests/test_x.py", set()),
    ],
)
def test_a_change_makes_exactly_those_pages_run_again_that_hang_on_it(
    checkout: Path, changed: str, pages: set[str]
) -> None:
    before = stale.keys()
    path = checkout / changed
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + "\n")
    now = stale.keys()
    assert {page for page in before if now[page] != before[page]} == pages


def test_another_data_folder_makes_every_page_run_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stale.keys()
    monkeypatch.delenv("DUNFOLD_DATA")
    now = stale.keys()
    assert all(now[page] != before[page] for page in before)


def test_the_rooms_of_the_real_book_are_found() -> None:
    assert stale.rooms(ROOT / "book" / "sparse" / "lista.md") == ["sparse"]
    assert {*stale.ROOMS} >= {"sparse", "imaging"}


def test_a_page_writes_no_notice_where_the_home_cannot_be_written(tmp_path: Path) -> None:
    """matplotlib and IPython say on stderr that they use a temporary folder, or build a cache."""
    place = tmp_path / "kernels"
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'book' / '_ext')!r}]\n"
        "import pathlib, subprocess, dunfold_site\n"
        f"dunfold_site.own_folders(pathlib.Path({str(place)!r}))\n"
        "code = 'import matplotlib.pyplot, IPython.paths; IPython.paths.get_ipython_dir()'\n"
        "done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)\n"
        "assert (done.returncode, done.stderr) == (0, ''), done.stderr\n"
    )
    nowhere = {"HOME": "/proc/none", "MPLCONFIGDIR": "/proc/none", "IPYTHONDIR": "/proc/none"}
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | nowhere)
    assert [*place.rglob("fontlist*.json")]


IDLE = {"wait": lambda: None, "terminate": lambda: None}


def test_a_first_build_runs_every_page_once_in_two_processes_into_the_books_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[list[str]] = []

    class Run:
        def __init__(self, command: list[str], **_: object) -> None:
            started.append(command)

        def wait(self) -> None: ...

        def terminate(self) -> None: ...

    pages = first.pages()
    assert {"book/sparse/ista", "book/small_target/l_rpcanet"} <= {*pages}
    assert {"book/newton_sr/newton", "book/newton_sr/newton_experiments"} <= {*pages}  # a section
    for name in ("_config.yml", "_toc.yml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in re.findall(r"file: (\S+)", (ROOT / "_toc.yml").read_text("utf-8")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.md").write_bytes((ROOT / f"{name}.md").read_bytes())
    monkeypatch.setattr(first, "ROOT", tmp_path)
    monkeypatch.setattr(first, "CACHE", tmp_path / "_build" / ".jupyter_cache")
    monkeypatch.setattr(first.subprocess, "Popen", Run)
    first.main()
    shares = []
    for command in started:
        value = lambda name, command=command: Path(command[command.index(name) + 1])
        config = yaml.safe_load(value("--config").read_text("utf-8"))
        assert config["execute"]["cache"] == str(first.CACHE)
        toc = yaml.safe_load(value("--toc").read_text("utf-8"))
        shares.append([chapter["file"] for chapter in toc["chapters"]])
    assert sorted(shares[0] + shares[1]) == sorted(pages)
    assert abs(len(shares[0]) - len(shares[1])) <= 1


@pytest.mark.parametrize(("lacking", "runs"), [(0, 0), (first.MANY - 1, 0), (first.MANY + 1, 2)])
def test_a_later_build_runs_what_is_missing_in_two_processes_where_it_is_much(
    monkeypatch: pytest.MonkeyPatch, lacking: int, runs: int
) -> None:
    pages, ran = first.pages(), []
    held = [SimpleNamespace(uri=str(first.ROOT / f"{page}.md")) for page in pages[lacking:]]
    monkeypatch.setattr(
        first, "get_cache", lambda _: SimpleNamespace(list_cache_records=lambda: held)
    )
    monkeypatch.setattr(first, "command", lambda _, some: [*map(str, some)])
    monkeypatch.setattr(
        first.subprocess, "Popen", lambda some, **_: ran.append(some) or SimpleNamespace(**IDLE)
    )
    first.main()
    assert len(ran) == runs
    assert sorted(page for some in ran for page in some) == sorted(pages[:lacking] if runs else [])


def paragraphs(page: Path) -> list[str]:
    """A page's paragraphs outside its cells."""
    prose = re.sub(r"```\{code-cell\}.*?\n```", "", page.read_text("utf-8"), flags=re.S)
    return [" ".join(block.split()) for block in prose.split("\n\n")]


PAGES = sorted(ROOT.glob("book/*/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_what_is_not_decided_says_what_is_recorded(page: Path) -> None:
    marked = [p for p in paragraphs(page) if "**Not decided here:**" in p]
    for text in marked:
        said = text.partition("**Not decided here:**")[2]
        assert re.search(r"\(.*?(recorded|one training).*?\)", said), text


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_number_that_a_sentence_quotes_is_given_by_a_cell(page: Path) -> None:
    text = page.read_text("utf-8")
    quoted = set(re.findall(r"\{glue:text\}`(\w+)`", text))
    assert not quoted or "show.quote(" in text
    assert not re.search(r"\{glue:text\}`[^`]*[^\w`][^`]*`", text)  # names alone: cells format
