"""Drop executed pages when what they import or read has changed.

The book's cache knows a page by its own cells only, so a change of the library, of a recorded run
or of a pinned version would leave old outputs on the page.
"""

import hashlib
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WATCHED = ("dunfold_lib/**/*.py", "results/**/*.json", "book/**/*.py", "requirements*")


def key() -> str:
    """A hash of every file that a page's cells may depend on."""
    digest = hashlib.sha256()
    for path in sorted(p for pattern in WATCHED for p in ROOT.glob(pattern) if p.is_file()):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    """Compare the key with the last build's and clear the caches if it differs."""
    build, now = ROOT / "_build", key()
    stamp = build / ".library-key"
    if stamp.exists() and stamp.read_text() == now:
        return
    for folder in (".jupyter_cache", ".doctrees", "jupyter_execute", "html"):
        shutil.rmtree(build / folder, ignore_errors=True)
    build.mkdir(exist_ok=True)
    stamp.write_text(now)
    print("library, records or pins are new: every page will be executed")


if __name__ == "__main__":
    main()
