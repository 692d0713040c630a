"""The wheel alone: its size, its networks on a reader's files, its commands; and the sdist."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dunfold_lib as df
from dunfold_lib import ROOMS, download, exercises, records

ROOT = Path(__file__).resolve().parents[1]
MOST = 6_000_000  # bytes of the wheel
FILES: dict[str, tuple[str, dict[str, float]]] = {  # of a network: the reader's file, and what else
    "small_target/lrpcanet-sirst": ("grey.png", {}),
    "small_target/rpcanet-sirst": ("deep.png", {}),
    "imaging/istanet-plus-25": ("colour.png", {}),
    "imaging/istanet-25": ("deep.png", {}),
    "imaging/denoiser": ("grey.png", {"sigma": 0.1}),
    "deblurring/filters": ("grey.png", {}),
    "hyperspectral/star": ("cube.mat", {}),
    "newton_sr/newton-4": ("low.npy", {}),
    "phase/network-real": ("seen.mat", {}),
    "sparse/alista-ss": ("b.npy", {}),
    "sparse/hyperlista": ("b.npy", {}),
}
CODE = """
import json, os, sys
import numpy as np
import dunfold_lib as df
from dunfold_lib import records
from dunfold_lib.__main__ import main

print(df.__file__)
for name, (file, own) in json.loads(sys.argv[1]).items():
    given = [name, file, "made.npy"] + [str(x) for k, v in own.items() for x in (f"--{k}", v)]
    given += ["--guide", "guide.png"] if name.startswith("newton_sr") else []
    assert main(["run", *given]) == 0, name
    np.save("made-" + name.replace("/", "-") + ".npy", np.load("made.npy"))
    os.remove("made.npy")
for command in (["models"], ["list"], ["reproduce", "sparse/ista", "--run", "--seeds", "1"]):
    assert main(command) == 0, command
assert main(["reproduce", "sparse/ista", "--run", "--record"]) == 2
assert main(["train", "sparse/alista", "--record"]) == 2
away = next(iter(records.elsewhere()))
assert main(["evaluate", away.rpartition("/")[0], "--recipe", away.rpartition("/")[2][:-3]]) == 2
"""


def built(target: str, source: Path, place: Path) -> Path:
    """The wheel or the source distribution of a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(place)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = place.glob("dunfold_lib-*")
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    place = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built("sdist", ROOT, place)) as made:
        made.extractall(place, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (folder,) = filter(Path.is_dir, place.iterdir())
    return folder


def write_files(place: Path) -> None:
    """What readers have: PNG of 8 and 16 bit and in colour, odd sizes, cubes, arrays."""
    from scipy.io import savemat

    g = np.random.default_rng(0)
    whole = lambda kind, *shape: g.integers(0, np.iinfo(kind).max, shape, dtype=kind)
    Image.fromarray(whole(np.uint8, 33, 41)).save(place / "grey.png")
    Image.fromarray(whole(np.uint16, 35, 29)).save(place / "deep.png")
    Image.fromarray(whole(np.uint8, 34, 37, 3)).save(place / "colour.png")
    Image.fromarray(whole(np.uint8, 28, 36, 3)).save(place / "guide.png")
    np.save(place / "low.npy", whole(np.uint16, 7, 9))
    savemat(place / "cube.mat", {"cube": g.uniform(0, 4000, (13, 11, 12))})
    A = g.normal(size=(60, 20))
    savemat(place / "seen.mat", {"A": A, "y": np.abs(A @ g.normal(size=20))})
    np.save(place / "b.npy", g.normal(size=(2, 250)))


def test_the_wheel_is_small_and_names_with_their_hash_the_weights_that_it_lacks(wheel):
    assert wheel.stat().st_size < MOST
    with zipfile.ZipFile(wheel) as packed:
        names = {*packed.namelist()}
        away = json.loads(packed.read("dunfold_lib/results/weights.json"))
    assert not {n for n in names if n.endswith(("loss.csv", ".pyc"))}
    assert "dunfold_lib/py.typed" in names
    root = records.results_root()
    runs = {p.parent.relative_to(root).as_posix(): p for p in root.glob("*/*/*/" + records.WEIGHTS)}
    here = {run for run in runs if f"dunfold_lib/results/{run}/{records.WEIGHTS}" in names}
    assert (here | {*away}, here & {*away}) == ({*runs}, set())
    for run, about in away.items():
        assert about == {"sha256": download.digest(runs[run]), "bytes": runs[run].stat().st_size}
        assert f"dunfold_lib/results/{run}/run.json" in names


def test_from_the_wheel_alone_every_rooms_networks_run_on_a_readers_files(wheel, tmp_path):
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    write_files(work)
    assert {name.split("/")[0] for name in FILES} == {*ROOMS}
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(FILES)],
        cwd=work,
        env=surroundings(site, tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(str(site))
    assert done.stderr.count("--record is for a checkout") == 2
    assert "its weights are not in this package and DUNFOLD_WEIGHTS is not set" in done.stderr
    for name in ("hyperspectral/star", "sparse/alista-ss"):  # as from the checkout
        made = np.load(work / f"made-{name.replace('/', '-')}.npy")
        # two processes may add floats in another order
        np.testing.assert_allclose(made, from_checkout(name, work), rtol=1e-5)


@pytest.mark.parametrize("page", ["sparse/alista", "small_target/l_rpcanet"])
def test_handed_out_exercises_need_the_wheel_and_plain_pytest_alone(wheel, page, tmp_path):
    site, out = tmp_path / "site", tmp_path / "out"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    exercises.hand_out(out, page)
    command = [str(Path(sys.executable).with_name("pytest")), "-q", "-p", "no:cacheprovider"]
    call = lambda where: subprocess.run(
        command, cwd=where, env=surroundings(site, tmp_path), capture_output=True, text=True
    )
    folder = out / page.replace("/", "_")
    empty = call(out)
    assert empty.returncode == 1
    assert " passed" not in empty.stdout
    assert str(ROOT) not in empty.stdout.replace(sys.prefix, "")
    solution = exercises.BOOK / f"{page}_solutions.py"
    (folder / "exercises.py").write_text(solution.read_text("utf-8"), "utf-8")
    for where in (out, folder):
        made = call(where)
        assert made.returncode == 0, made.stdout
        assert " passed" in made.stdout


def surroundings(site: Path, home: Path) -> dict[str, str]:
    """An environment that knows the wheel's files and nothing of the checkout."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DUNFOLD", "PYTHON", "COV"))}
    return kept | {"PYTHONPATH": str(site), "HOME": str(home)}


def from_checkout(name: str, work: Path) -> np.ndarray:
    from dunfold_lib import cubes

    path = work / FILES[name][0]
    given = cubes.read(path).values if path.suffix == ".mat" else np.load(path)
    return df.load(name)(given)


def files_of(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only git knows what is tracked")
def test_the_source_distribution_holds_all_that_git_tracks_and_nothing_that_it_ignores(sdist):
    kinds = ["--cached", "--others", "--exclude-per-directory=.gitignore"]
    command = ["git", "ls-files", "-z", *kinds]
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert files_of(sdist) == {*filter(None, said.stdout.split("\0")), "PKG-INFO"}


def test_the_files_of_the_source_distribution_are_those_of_this_folder(sdist):
    runs = lambda path: os.access(path, os.X_OK)
    for name in files_of(sdist) - {"PKG-INFO"}:  # written when it is packed
        assert (sdist / name).read_bytes() == (ROOT / name).read_bytes(), name
        assert runs(sdist / name) == runs(ROOT / name), name


def test_the_source_distribution_makes_the_same_wheel(wheel, sdist, tmp_path):
    with zipfile.ZipFile(wheel) as here, zipfile.ZipFile(built("wheel", sdist, tmp_path)) as there:
        sums = [{f.filename: f.CRC for f in made.infolist()} for made in (here, there)]
    assert sums[0] == sums[1]
