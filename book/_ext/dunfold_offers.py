"""What a chapter's menu offers: the chapter as a plain notebook, and, where the repository has an
address, the room's laboratory on Colab (Binder's button is the theme's)."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COLAB = "https://colab.research.google.com/github"
Button = dict[str, Any]


def chapter(page: str) -> str | None:
    """The file name of a chapter's plain notebook (tools/chapters.py); None for other pages."""
    found = re.fullmatch(r"book/(\w+/\w+|tools)", page)
    return found and f"{found[1].replace('/', '_')}.ipynb"


def notebook(page: str, top: str) -> Button | None:
    """The button that downloads a chapter's notebook; None for other pages."""
    name = chapter(page)
    return name and {
        "type": "link",
        "url": f"{top}notebooks/{name}",
        "text": ".ipynb",
        "icon": "fas fa-code",
        "tooltip": "Download this chapter as a notebook",
        "label": "download-notebook-button",
    }


def room_of(page: str) -> str | None:
    """The room of a chapter that has a laboratory: of its folder, or the first that it imports."""
    if page.count("/") != 2:
        return None
    imported = re.findall(
        r"^from dunfold_lib\.(\w+)", (ROOT / f"{page}.md").read_text("utf-8"), re.M
    )
    rooms = (page.split("/")[1], *imported)
    return next((r for r in rooms if (ROOT / f"notebooks/{r}.ipynb").is_file()), None)


def laboratory(page: str, address: str, branch: str) -> Button | None:
    """The button that opens the room's laboratory on Colab; None without an address or one."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", address)
    room = room_of(page)
    if not found or not room:
        return None
    return {
        "type": "link",
        "url": f"{COLAB}/{found[1]}/blob/{branch}/notebooks/{room}.ipynb",
        "text": "Colab: laboratory",
        "icon": "fas fa-flask",
        "tooltip": "Open this room's laboratory on Colab",
        "label": "colab-laboratory-button",
    }


def offer(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put both into the page's menus."""
    options, groups = app.config.html_theme_options, context.get("header_buttons", [])
    colab = laboratory(
        page, options.get("repository_url", ""), options.get("repository_branch", "")
    )
    for group in groups:
        buttons = group.get("buttons", [])
        if group.get("label") == "download-buttons" and doctree is not None:
            own = notebook(page, context["pathto"]("index", 0).removesuffix("index.html"))
            buttons[:0] = [own] if own else []
        if group.get("label") == "launch-buttons" and colab:
            buttons.append(colab)


def setup(app: Any) -> dict[str, Any]:
    """Register the hook, after the theme's."""
    app.connect("html-page-context", offer, priority=600)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
