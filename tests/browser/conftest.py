"""A browser, the built book on loopback, and pages opened in it with every complaint written down.

The book is read from ``_build/html``, or from the folder that DUNFOLD_HTML names.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import pytest
import yaml
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

ROOT = Path(__file__).resolve().parents[2]
HTML = Path(os.environ.get("DUNFOLD_HTML") or ROOT / "_build" / "html")
# Tests wait for a condition, never for a time. This is only when they give up, so that a machine
# ten times slower than ours passes too.
PATIENCE = 300.0  # seconds
expect.set_options(timeout=1000 * PATIENCE)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves this computer
)
READY = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
}"""
AWAKE = "() => [...document.querySelectorAll('.df-explorer')].every((e) => e.dataset.awake)"


def listed(node: Any) -> Iterator[str]:
    """Every file that the table of contents names, without its ending."""
    if isinstance(node, dict):
        yield from (node[key] for key in ("root", "file") if key in node)
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from listed(child)


TOC = [*listed(yaml.safe_load((ROOT / "_toc.yml").read_text()))]
BUILT = {p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts}
SOURCES = {p.relative_to(ROOT).with_suffix("").as_posix(): p for p in ROOT.glob("book/**/*.md")}
# index.html only leads on to the first page of the table of contents
PAGES = sorted({f"{name}.html" for name in TOC} | BUILT - {"index.html"})


def holding(mark: str) -> list[str]:
    """The pages whose source holds ``mark``."""
    return sorted(f"{name}.html" for name, p in SOURCES.items() if mark in p.read_text("utf-8"))


WITH_EXPLORERS = holding("_explorer()")
KINDS: dict[str, dict[str, Any]] = {  # of readers: how a page of theirs is opened
    "desk": {"width": 1400},
    "phone": {"width": 390, "touch": True},
    "asleep": {"script": False},
}


class Visit(NamedTuple):
    """An open page, its requests to other servers, and what went wrong on it."""

    page: Page
    foreign: list[str]
    complaints: list[str]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing: the tests report what matters."""


def _find(playwright: Playwright) -> str:
    """The path of a Chromium; skips, and says how to install one, where there is none."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    own = Path(playwright.chromium.executable_path)
    path = next(filter(None, found), None) or (str(own) if own.exists() else None)
    if path is None:
        pytest.skip(
            "no browser, so no page was tested. Install one: `apt-get install chromium`, or "
            "`.venv/bin/playwright install --with-deps chromium`"
        )
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_find(playwright), args=[*FLAGS])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The address of the built book on loopback, without the last slash."""
    if not (HTML / "index.html").exists():
        pytest.fail(f"no book in {HTML}: run `make book` first", pytrace=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(HTML))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def watched(context: BrowserContext, origin: str) -> Iterator[Visit]:
    """An empty page; its complaints are kept, and its requests to anything but ``origin``."""
    context.set_default_timeout(1000 * PATIENCE)
    visit = Visit(context.new_page(), [], [])

    def ask(url: str) -> None:
        if not url.startswith((origin, "data:", "blob:")):
            visit.foreign.append(url)

    def hear(message: Any) -> None:
        if message.type == "error":
            visit.complaints.append(f"console: {message.text} ({message.location.get('url', '')})")

    visit.page.on("request", lambda request: ask(request.url))
    visit.page.on("websocket", lambda socket: ask(socket.url.replace("ws", "http", 1)))
    visit.page.on("console", hear)
    visit.page.on("pageerror", lambda error: visit.complaints.append(f"page: {error}"))
    try:
        yield visit
    finally:
        visit.page.close()


@contextmanager
def _opened(
    contexts: Callable[..., BrowserContext],
    site: str,
    path: str,
    width: int = 1280,
    scheme: str = "light",
    touch: bool = False,
    script: bool = True,
) -> Iterator[Visit]:
    with watched(contexts(width, scheme, touch, script), site) as visit:
        _go(visit, site, path, script)
        yield visit


def _go(visit: Visit, site: str, path: str, script: bool = True) -> None:
    """Open another page of the book, and wait until formulas are set and explorers are awake."""
    visit.foreign.clear()
    visit.complaints.clear()
    answer = visit.page.goto(f"{site}/{path}")
    assert answer
    assert answer.ok, f"{path} is not in the built book: run `make book` first"
    if not script:
        return
    try:
        visit.page.evaluate(READY)
        visit.page.wait_for_function(AWAKE)
    except Error as error:
        pytest.fail(f"{path} did not come to rest: {error.message}; {visit.complaints}")


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> Callable[..., BrowserContext]:
    """``contexts(width, scheme, touch, script)``: one for each kind of reader.

    Its pages share what is kept of scripts and fonts, so that the second page costs half.
    """

    @cache
    def made(width: int, scheme: Any, touch: bool, script: bool) -> BrowserContext:
        return browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            has_touch=touch,
            java_script_enabled=script,
        )

    return made


@pytest.fixture(scope="session")
def opened(contexts: Callable[..., BrowserContext], site: str) -> Callable[..., Any]:
    """``with opened(path, width=1280, scheme="light", touch=False, script=True) as visit``."""
    return partial(_opened, contexts, site)


@pytest.fixture
def visit(opened: Callable[..., Any]) -> Iterator[Callable[..., Visit]]:
    """``visit(path, …)`` opens a page of the book that is closed when the test ends."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(opened(*args, **options))


@pytest.fixture(scope="session")
def kept(
    opened: Callable[..., Any], site: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Visit]]:
    """``kept(kind, path)``: a page that stays open until another of its kind is asked for.

    tests/conftest.py sorts the tests by pages, so each page is opened once for each kind, and each
    kind has one tab, since a new one costs a third of a visit. A test leaves a page as it found it,
    but for its theme.
    """
    last: dict[str, tuple[str, Visit]] = {}
    worker, run = (os.environ.get(f"PYTEST_XDIST_{n}") for n in ("WORKER", "TESTRUNUID"))
    seen = tmp_path_factory.getbasetemp().parent / f"pages-{run}"

    def mine(path: str) -> None:
        """That no other process of this run opens the page: that cost minutes once."""
        seen.mkdir(exist_ok=True)
        by = seen / path.replace("/", "-")
        with suppress(FileExistsError), by.open("x") as file:
            file.write(str(worker))
        assert by.read_text() == worker, f"two processes open {path}: see group in tests/conftest"

    with ExitStack() as tabs:

        def visit(kind: str, path: str) -> Visit:
            if worker:
                mine(path)
            if kind not in last:
                last[kind] = path, tabs.enter_context(opened(path, **KINDS[kind]))
            elif last[kind][0] != path:
                tab = last.pop(kind)[1]  # where this fails the next test gets a tab of its own
                tab.page.goto("about:blank")  # not to paint the old page by day
                tab.page.emulate_media(color_scheme="light")
                _go(tab, site, path, KINDS[kind].get("script", True))
                last[kind] = path, tab
            return last[kind][1]

        yield visit


AT_REST = """(theme) => document.documentElement.dataset.theme === theme
  && document.getAnimations().every((a) => a.playState !== 'running')"""
THEME = "document.documentElement.dataset.theme"
STILL = "*, *::before, *::after { transition: none !important; }"  # they cost more than the colours


def turned(page: Page, theme: str) -> Page:
    """The page while the reader's system is light or dark, its colours at rest."""
    if page.evaluate(THEME) != theme:
        page.add_style_tag(content=STILL)
        page.emulate_media(color_scheme=cast(Literal["light", "dark"], theme))
        page.wait_for_function(AT_REST, arg=theme)
    return page


@pytest.fixture(params=PAGES)
def desk(request: Any, kept: Callable[[str, str], Visit]) -> Visit:
    """A page on a screen 1400 px wide, light."""
    visit = kept("desk", request.param)
    turned(visit.page, "light")
    return visit


@pytest.fixture(params=PAGES)
def phone(request: Any, kept: Callable[[str, str], Visit]) -> Visit:
    """A page on a narrow screen that is touched. The tests that share it only move sliders."""
    return kept("phone", request.param)


@pytest.fixture
def path(request: Any, desk: Visit) -> str:
    """The path of the page of ``desk``."""
    return str(request.node.callspec.params["desk"])


@pytest.fixture
def asleep(path: str, kept: Callable[[str, str], Visit]) -> Page:
    """The page of ``desk`` for a reader without JavaScript."""
    return kept("asleep", path).page


@pytest.fixture(params=PAGES)
def night(request: Any, kept: Callable[[str, str], Visit]) -> Page:
    """A page on the same screen, dark."""
    return turned(kept("desk", request.param).page, "dark")


def on_explorers(kind: str) -> pytest.MarkDecorator:
    """``@on_explorers("desk")``: only the pages with explorers."""
    return pytest.mark.parametrize(kind, WITH_EXPLORERS, indirect=True)
