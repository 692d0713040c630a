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


def stamped(text: str, url: str) -> str:
    """The text with this address in every place that holds one."""
    owner = url.removeprefix("https://github.com/")
    text = re.sub(r'(REPOSITORY = \\?")[^"\\]+', rf"\g<1>{url}", text)
    text = re.sub(r"(mybinder\.org/v2/gh/)[\w.-]+/[\w.-]+", rf"\g<1>{owner}", text)
    text = re.sub(r"(colab\.research\.google\.com/github/)[\w.-]+/[\w.-]+", rf"\g<1>{owner}", text)
    return re.sub(r"https://github\.com/[\w.-]+/dunfold\b", url, text)


def main() -> None:
    """Stamp every file that carries the address."""
    url = address()
    for path in [
        ROOT / "README.md",
        ROOT / "CITATION.cff",
        *sorted(ROOT.glob("notebooks/*.ipynb")),
    ]:
        old = path.read_text(encoding="utf-8")
        new = stamped(old, url)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"stamped {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
