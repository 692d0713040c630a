"""Write the repository's address into the first cells of the notebooks and the README's badges.

The address stands once, as ``repository.url`` in _config.yml. Publishing begins there: set it, then
`make stamp`, then commit.
"""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def address() -> str:
    """The address in _config.yml; SystemExit with one line if it is none of GitHub's."""
    url = str(
        yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    )
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise SystemExit(
            f"_config.yml: repository.url is {url!r}; it must be https://github.com/OWNER/NAME"
        )
    return url


def former(citation: str) -> str:
    """The address that was stamped last, as CITATION.cff has it."""
    return re.findall(r"^repository-code: (\S+)$", citation, re.M)[0]


def stamped(text: str, old: str, new: str) -> str:
    """The text with the new address in every place that holds the old one."""
    owner = lambda url: url.removeprefix("https://github.com/")
    for place in ("https://github.com/", "mybinder.org/v2/gh/", "research.google.com/github/"):
        text = re.sub(re.escape(place + owner(old)) + r"(?![\w.-])", place + owner(new), text)
    return text


def main() -> None:
    """Stamp every file that carries the address."""
    url, before = address(), former((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    for path in [
        ROOT / "README.md",
        ROOT / "pyproject.toml",
        *sorted(ROOT.glob(".github/**/*.yml")),
        *sorted(ROOT.glob("notebooks/*.ipynb")),
        ROOT / "CITATION.cff",  # last: it tells what is to be replaced
    ]:
        old = path.read_text(encoding="utf-8")
        new = stamped(old, before, url)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"stamped {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
