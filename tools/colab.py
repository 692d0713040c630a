"""Write notebooks that carry the library: one file each, for Colab, Kaggle or any Jupyter.

`make colab` puts them into _build/colab/. The first cell unpacks ``dunfold_lib`` with the recorded
runs of the notebook's room where the library is missing, and installs what Colab lacks.
"""

import base64
import io
import json
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "_build" / "colab"
LEFT_OUT = ("__pycache__", "loss.csv")
WEIGHTS = 2_800_000  # bytes of weights, the smallest first: the rest stay in the repository
FIRST = """\
# The library of this book, packed by `make colab`, is unpacked where it is missing
import base64
import io
import sys
import tarfile
from importlib.util import find_spec

CARRIED = "{carried}"
if find_spec("dunfold_lib") is None:
    with tarfile.open(fileobj=io.BytesIO(base64.b85decode(CARRIED)), mode="r:xz") as packed:
        safe = {{"filter": "data"}} if hasattr(tarfile, "data_filter") else {{}}
        packed.extractall("dunfold_carried", **safe)
    sys.path.insert(0, "dunfold_carried")
    needs = ["PyWavelets", "accelerate", "safetensors", "tensorly", "nilearn", "nibabel"]
    modules = {{"PyWavelets": "pywt"}}
    lacking = " ".join(name for name in needs if find_spec(modules.get(name, name)) is None)
    if lacking:
        %pip install -q --no-deps {{lacking}}
"""


def carried(runs: list[Path]) -> list[Path]:
    """The files of runs that are packed: all but weights that the budget has no room for."""
    kept, left = [p for p in runs if p.name != "weights.safetensors"], WEIGHTS
    for path in sorted({*runs} - {*kept}, key=lambda p: (p.stat().st_size, p)):
        left -= path.stat().st_size
        kept += [path] if left >= 0 else []
    return kept


def packed(room: str) -> bytes:
    """The library and a room's recorded runs as a tar.xz, the same bytes for the same files."""
    kept = lambda p: p.is_file() and not {*LEFT_OUT} & {*p.parts}
    library = [p for p in ROOT.glob("dunfold_lib/**/*") if "results" not in p.parts]
    runs = carried([*filter(kept, ROOT.glob(f"results/{room}/**/*"))])
    files = sorted([*filter(kept, library), *runs])
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:xz", preset=9) as tar:
        for path in files:
            info = tarfile.TarInfo(path.relative_to(ROOT).as_posix())
            data = path.read_bytes()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def carrying(notebook: Path) -> str:
    """A notebook as text, its set-up cell replaced by one that carries the library."""
    made = json.loads(notebook.read_text(encoding="utf-8"))
    setup = next(cell for cell in made["cells"] if cell["id"] == "setup")
    text = FIRST.format(carried=base64.b85encode(packed(notebook.stem)).decode())
    setup["source"] = text.splitlines(keepends=True)
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def main(names: list[str]) -> None:
    """Write the notebooks of these rooms, or all."""
    OUT.mkdir(parents=True, exist_ok=True)
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        if not names or path.stem in names:
            text = carrying(path)
            (OUT / path.name).write_text(text, encoding="utf-8")
            print(f"{OUT / path.name}: {len(text) / 1e6:.1f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
