"""Open a chapter's notebook in JupyterLab and look at it as a reader does; run by hand.

    python tools/open_in_lab.py [sparse_ista]

It runs every cell in a headless Chromium and says what it finds: text that only the book's builder
understands (``:::``), mathematics in red, and whether an explorer moves with its slider.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

sys.path[:0] = [str(Path(__file__).parent)]
import chapters  # noqa: E402

PORT = 8931
ERRORS = "[data-mime-type*='stderr'], .jp-RenderedText[data-mime-type*='error']"


def main(name: str = "sparse_ista") -> int:
    """0 where nothing is amiss."""
    with tempfile.TemporaryDirectory() as folder:
        page = next(p for p in chapters.chapters() if chapters.name_of(p) == f"{name}.ipynb")
        text = json.dumps(chapters.notebook(page), ensure_ascii=False)
        Path(folder, f"{name}.ipynb").write_text(text, encoding="utf-8")
        token = secrets.token_hex(8)
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={PORT}"]
        command += [f"--ServerApp.token={token}", f"--ServerApp.root_dir={folder}", "--allow-root"]
        environment = os.environ | {"PYTHONPATH": str(chapters.ROOT)}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:
            try:
                wait(f"http://127.0.0.1:{PORT}/api?token={token}")
                found = look(f"http://127.0.0.1:{PORT}/lab/tree/{name}.ipynb?token={token}")
            finally:
                server.terminate()
    print("\n".join(f"{what}: {told}" for what, told in found.items()))
    return int(bool(found["fences"] or found["red"] or found["errors"] or not found["moves"]))


def wait(address: str) -> None:
    """Until the server answers, at most two minutes."""
    for _ in range(240):
        try:
            with urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("JupyterLab did not start")


def look(address: str) -> dict[str, Any]:
    """What the opened notebook shows after all its cells have run."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        here = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = play.chromium.launch(
            executable_path=here if Path(here).exists() else None, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(240_000)
        page.goto(address)
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_selector(".jp-Notebook mjx-container")
        page.click("text=Run >> nth=0")
        page.click("text=Run All Cells >> nth=0")
        slider = page.wait_for_selector(
            ".jp-OutputArea .widget-slider, .jp-OutputArea .widget-hslider"
        )
        seen = {
            "fences": page.evaluate(
                "document.querySelector('.jp-Notebook').innerText.includes(':::')"
            ),
            "red": page.locator("mjx-merror, [data-mjx-error]").count(),
            "mathematics": page.locator(".jp-Notebook mjx-container").count(),
            "moves": moves(page, slider),
            "errors": page.locator(ERRORS).count(),
        }
        browser.close()
    return seen


def moves(page: Any, slider: Any) -> bool:
    """Whether the pictures of the slider's output change when it moves."""
    pictures = "[...document.querySelectorAll('.jp-OutputArea svg')].map(s => s.outerHTML).join()"
    slider.scroll_into_view_if_needed()
    before = page.evaluate(pictures)
    slider.query_selector("[role=slider], .noUi-handle").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(3000)
    return bool(page.evaluate(pictures) != before)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
