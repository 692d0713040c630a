"""Notebooks as a reader runs them: JupyterLab, every cell, a slider by keyboard, a new figure.

One is a laboratory, one a chapter, of which JupyterLab must understand all that is written.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from conftest import PATIENCE, ROOT, watched
from playwright.sync_api import Browser, Page, expect

sys.path.insert(0, str(ROOT / "tools"))
import chapters

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LABORATORY = ROOT / "notebooks" / "sparse.ipynb"
# cheap to run, and it has each thing that a chapter is written in
CHAPTER = ROOT / "book" / "hyperspectral" / "star_net_gradients.md"
FOLDERS = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
SETTINGS = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--ServerApp.password=",
    "--ServerApp.disable_check_xsrf=True",
    "--IdentityProvider.token=",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def until(what: str, ready: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The first true answer of ``ready``; an answer that cannot be had yet counts as false."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(URLError, ConnectionError, TimeoutError, json.JSONDecodeError):
            if answer := ready():
                return answer
        time.sleep(0.1)
    pytest.fail(f"{what}: not within {seconds:.0f} s")


def get(address: str) -> Any:
    """JSON from the server; an error (a 500 while something starts) is an URLError."""
    with urlopen(address, timeout=60) as answer:
        return json.load(answer)


def surroundings(home: Path) -> dict[str, str]:
    """This environment with Jupyter's folders inside ``home``, whatever this computer has set."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON"))}
    own = {f"JUPYTER_{name}": str(home / name.lower()) for name in FOLDERS}
    lab = {f"JUPYTERLAB_{name}_DIR": str(home / name) for name in ("SETTINGS", "WORKSPACES")}
    rest = {"IPYTHONDIR": str(home / "ipython"), "JUPYTER_PREFER_ENV_PATH": "1"}
    # on loaded cores more threads are far slower
    return kept | own | lab | rest | {"OMP_NUM_THREADS": "1", "DUNFOLD_SMOKE": "1"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the two notebooks."""
    folder = tmp_path_factory.mktemp("root")
    shutil.copy(LABORATORY, folder)
    text = json.dumps(chapters.notebook(CHAPTER), ensure_ascii=False)
    (folder / chapters.name_of(CHAPTER)).write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module")
def lab(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab of this environment on ``root``, ended after the tests."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    address, log = f"http://127.0.0.1:{port}", home / "lab.log"
    where = (f"--ServerApp.port={port}", f"--ServerApp.root_dir={root}")
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *SETTINGS, *where],
            env=surroundings(home),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until("JupyterLab answers", lambda: answers(server, address, log))
        yield address
    finally:
        stop(server)


def answers(server: "subprocess.Popen[bytes]", address: str, log: Path) -> Any:
    assert server.poll() is None, f"JupyterLab ended: {log.read_text()[-2000:]}"
    return get(f"{address}/api/status")


def stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server and its kernels, which share its process group."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(5)


def settle(page: Page, lab: str, name: str) -> None:
    """Until the kernel is idle, for the server and for the page.

    Before that, Run All opens a dialog that asks for a kernel and runs nothing.
    """

    def idle() -> bool:
        kernels = [s["kernel"] for s in get(f"{lab}/api/sessions") if s["path"] == name]
        return any(k["execution_state"] == "idle" and k["connections"] > 0 for k in kernels)

    until("the kernel is idle and connected", idle)
    status = page.locator(".jp-StatusBar-Widget").filter(has_text="| Idle")
    expect(status).to_be_visible()


def menu(page: Page, name: str, item: str) -> None:
    page.get_by_role("menuitem", name=name, exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()


def saved(page: Page, notebook: Path) -> list[dict[str, Any]]:
    """The notebook's code cells, as JupyterLab writes them."""
    old = notebook.stat().st_mtime_ns
    menu(page, "File", "Save Notebook")
    until("the notebook is saved", lambda: notebook.stat().st_mtime_ns != old)
    cells = until("the notebook is whole", lambda: json.loads(notebook.read_text())["cells"])
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run_all(page: Page, notebook: Path) -> list[dict[str, Any]]:
    """Run every cell through the menu, as a reader does, and wait for the last one."""
    menu(page, "Run", "Run All Cells")
    last = page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt")
    count = len([c for c in json.loads(notebook.read_text())["cells"] if c["cell_type"] == "code"])
    expect(last).to_have_text(f"[{count}]:")
    return saved(page, notebook)


def complaints(cells: list[dict[str, Any]]) -> list[Any]:
    """What the cells wrote to stderr, and their errors."""
    outputs = [output for cell in cells for output in cell["outputs"]]
    return [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]


def texts(cells: list[dict[str, Any]]) -> list[str]:
    """What the cells of text are written as."""
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


@contextmanager
def opened(browser: Browser, lab: str, notebook: Path) -> Iterator[Page]:
    """A notebook that was opened and run from its first cell to its last, without a complaint."""
    context = browser.new_context(viewport=VIEW)
    with context, watched(context, lab) as visit:
        page = visit.page
        page.goto(f"{lab}/lab/workspaces/{notebook.stem}/tree/{notebook.name}")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        settle(page, lab, notebook.name)
        cells = run_all(page, notebook)
        assert all(cell["execution_count"] for cell in cells), "a cell did not run"
        assert complaints(cells) == []
        yield page
        assert complaints(saved(page, notebook)) == []
        assert visit.foreign == []


def move(page: Page) -> None:
    """Move the first explorer's slider by keyboard, and see its value and its picture change."""
    explorer = page.locator(".jp-OutputArea .widget-vbox").first
    handle, value = explorer.get_by_role("slider").first, explorer.locator(".widget-readout").first
    picture = explorer.locator(".widget-html-content").filter(has=page.locator("svg, img"))
    before, text = picture.evaluate(DRAWN), value.inner_text()
    handle.focus()
    handle.press("ArrowRight")
    expect(value).not_to_have_text(text)
    changed = f"([picture, before]) => ![before, ''].includes(({DRAWN})(picture))"
    page.wait_for_function(changed, arg=[picture.element_handle(), before])


def test_a_slider_moves_a_figure_in_a_laboratory(browser: Browser, lab: str, root: Path) -> None:
    with opened(browser, lab, root / LABORATORY.name) as page:
        move(page)


def test_a_chapter_reads_and_moves_in_jupyterlab(browser: Browser, lab: str, root: Path) -> None:
    notebook = root / chapters.name_of(CHAPTER)
    with opened(browser, lab, notebook) as page:
        cells = json.loads(notebook.read_text())["cells"]
        page.wait_for_function(f"({SEEN})().unset.length === 0")
        seen = page.evaluate(SEEN)
        assert seen.pop("cells") == len(cells), "a cell is not on the page"
        assert seen.pop("below") <= 0, "a cell is out of view: make the window higher"
        assert seen.pop("formulas") > sum("$" in text for text in texts(cells))
        assert seen == {"fences": [], "red": [], "unset": []}
        move(page)


VIEW: Any = {"width": 1280, "height": 12_000}  # JupyterLab draws only the cells in view
# without the words, and without the ids, which are new in each drawing
DRAWN = """(e) => [...e.querySelectorAll('svg, img')]
  .map((drawing) => drawing.innerHTML + drawing.getAttribute('src'))
  .join().replace(/ (id|clip-path)="[^"]*"| (xlink:)?href="#[^"]*"/g, '')"""
# red is a formula that MathJax could not read, or a macro that it does not know
SEEN = """() => {
  const all = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
  const within = (what) => all.flatMap((cell) => [...cell.querySelectorAll(what)]);
  const plain = (e) => {
    const copy = e.cloneNode(true);
    copy.querySelectorAll('code, pre, mjx-container').forEach((part) => part.remove());
    return copy.textContent;
  };
  const red = (e) => e.matches('mjx-merror') || getComputedStyle(e).color === 'rgb(255, 0, 0)';
  const formula = (e) => e.closest('mjx-container').textContent;
  return {
    cells: all.length,
    below: Math.max(...all.map((e) => e.getBoundingClientRect().bottom)) - window.innerHeight,
    formulas: within('mjx-container').length,
    fences: all.map((e) => e.textContent).filter((text) => text.includes(':::')),
    unset: within('.jp-RenderedMarkdown').map(plain).filter((text) => /[$]|\\\\begin/.test(text)),
    red: [...new Set(within('mjx-container *').filter(red).map(formula))],
  };
}"""
