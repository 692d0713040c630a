"""What this book asks of Sphinx beyond its configuration."""

import math
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["DUNFOLD_FACE"] = "page"  # the pages' kernels inherit it: explorers show their HTML face


def own_folders(place: Path) -> None:
    """Give the pages' kernels folders of their own, and let matplotlib build its list of fonts now.

    Where a home cannot be written, or at a first start, packages say so on stderr, and a page that
    writes there fails the build.
    """
    for name in ("MPLCONFIGDIR", "IPYTHONDIR"):
        folder = place / name.lower()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(folder)
    quiet = place / "ipythondir" / "profile_default" / "ipython_kernel_config.py"
    quiet.parent.mkdir(exist_ok=True)
    quiet.write_text('c.IPKernelApp.log_level = "ERROR"\n', "utf-8")  # not a notice a page
    import_module("matplotlib.font_manager")


def no_thebe(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Thebe is off, yet its scripts raise an error on every page: leave them out."""
    kept = []
    for script in context["script_files"]:
        body = (getattr(script, "attributes", {}) or {}).get("body") or ""
        name = str(getattr(script, "filename", script) or "")
        if "THEBE_JS_URL" not in body and "thebe" not in name:
            kept.append(script)
    context["script_files"][:] = kept


# what Docutils, sphinxcontrib-bibtex and the toggle button write, and screen readers stumble over
STUMBLES = {
    ' role="doc-biblioentry"': "",
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    ' aria-label="Toggle hidden content"': "",
}


def no_stumbles(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Roles and labels that contradict what a page shows: leave them out."""
    for given, better in STUMBLES.items():
        if given in context.get("body", ""):
            context["body"] = context["body"].replace(given, better)


DRAWING = re.compile(r'<svg role="img"[^>]*? viewBox="0 0 ([\d.]+) [\d.]+"[^>]*>.*?</svg>', re.S)
SIZE = re.compile(r'<(?:svg|g|text)\b[^>]*? font-size="([\d.]+)"')
SPREAD = re.compile(r"(?<=\d) ± (?=\d)")
FORMULA = re.compile(
    r'(\(?)<span class="math notranslate nohighlight">[^<]*</span>([.,;:?!)’]*)(?!\w)'
)
DRAWN, LEAST = 10.5, 10  # the labels of show's drawings; the least of any drawing on a phone, px


def narrow_screens(
    app: Any, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Tell each drawing how wide it must be for labels of 10 px: a phone scrolls wider ones.

    A number stays on one line with its spread, a formula with the bracket and the mark around it.
    """

    def one(found: re.Match[str]) -> str:
        sizes = [float(size) for size in SIZE.findall(found[0])] or [DRAWN]
        least = math.ceil(float(found[1]) * LEAST / min(sizes))
        return found[0].replace("<svg ", f'<svg style="--least: {least}px" ', 1)

    body = SPREAD.sub("\u00a0±\u00a0", DRAWING.sub(one, context.get("body") or ""))
    tied = lambda m: f'<span class="df-tied">{m[0]}</span>' if m[1] or m[2] else m[0]
    context["body"] = FORMULA.sub(tied, body)


def named_folds(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The theme folds the pages below a page in the sidebar behind an arrow: give it a name."""
    given = context.get("generate_toctree_html")

    def named(*args: Any, **options: Any) -> Any:
        made = given(*args, **options)
        for fold in made.select("li.has-children"):
            link, arrow = fold.find("a"), fold.find("summary")
            arrow["aria-label"] = f"Pages below {link.get_text()}"
        return made

    if given:
        context["generate_toctree_html"] = named


def settle(app: Any, config: Any) -> None:
    """One search field; and until the repository has an address, no button that leads to it."""
    options = config.html_theme_options
    options["navbar_persistent"] = []
    if "/OWNER/" in options.get("repository_url", ""):
        options["launch_buttons"] = {}
        for button in ("repository", "issues", "edit_page", "source"):
            options[f"use_{button}_button"] = False
        options["repository_url"] = ""


def setup(app: Any) -> dict[str, Any]:
    """Register the hooks."""
    own_folders(Path(app.outdir).parent / ".kernels")
    app.connect("config-inited", settle, priority=900)
    app.connect("html-page-context", no_thebe, priority=900)
    app.connect("html-page-context", no_stumbles, priority=900)
    app.connect("html-page-context", narrow_screens, priority=900)
    app.connect("html-page-context", named_folds, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
