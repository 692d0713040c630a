"""Installing: where torch comes from, and what one line says where it cannot be done."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import install  # noqa: E402


class Answer:
    status = 200

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    "system, driver, answers, wanted",
    [
        ("linux", None, True, install.CPU),
        ("linux", None, False, ""),
        ("linux", "nvidia-smi", True, ""),
        ("linux", "rocm-smi", True, ""),
        ("win32", None, True, ""),  # PyPI's torch is the CPU's there
        ("darwin", None, True, ""),
    ],
)
def test_torch_comes_without_cuda_where_linux_shows_no_gpu_and_the_index_answers(
    monkeypatch, system, driver, answers, wanted
):
    def ask(request, timeout):
        if not answers:
            raise URLError("no route")
        assert request.full_url == "https://download.pytorch.org/whl/cpu/torch/"
        return Answer()

    monkeypatch.setattr(install.sys, "platform", system)
    monkeypatch.setattr(install.shutil, "which", lambda name: name if name == driver else None)
    monkeypatch.setattr(install, "urlopen", ask)
    assert install.torch_index() == wanted


@pytest.fixture
def commands(monkeypatch, tmp_path) -> list[list[str]]:
    """The commands that an installation gives; those from an index of torch fail."""
    made: list[list[str]] = []

    def run(command, may_fail=False):
        made.append([word for word in command if word != "--no-compile"])
        failed = command[-1].startswith("https://")
        if failed and not may_fail:
            raise SystemExit(1)
        return int(failed)

    monkeypatch.setattr(install, "run", run)
    monkeypatch.setattr(install, "torch_index", lambda: install.CPU)
    (tmp_path / "venv").mkdir()
    return made


def ends(commands: list[list[str]]) -> list[str]:
    return [" ".join(c[c.index("-q") + 1 :]) for c in commands if "-q" in c]


def test_an_index_that_fails_is_replaced_by_pips_own(commands, tmp_path):
    install.install(tmp_path / "venv", None, False)
    assert ends(commands) == [
        f"-r requirements-torch.txt --index-url {install.CPU}",
        "-r requirements-torch.txt",
        "-r requirements.lock",
        "--no-deps -e .",
    ]
    assert {p.name for p in (tmp_path / "venv").iterdir()} == {".installed"}


def test_an_index_that_was_asked_for_is_not_replaced(commands, tmp_path):
    with pytest.raises(SystemExit):
        install.install(tmp_path / "venv", "https://other.org", False)
    assert len(ends(commands)) == 1
    assert not (tmp_path / "venv/.installed").exists()
    commands.clear()
    install.install(tmp_path / "venv", "", True)
    assert ends(commands)[0] == "-r requirements-torch.txt"
    assert "-r requirements-dev.lock" in ends(commands)


SET_BY_MAKE = ("TORCH_INDEX", "MAKEFLAGS", "MAKELEVEL")  # where a make runs these tests


@pytest.mark.parametrize(
    "given, says",
    [
        ([], "tools/install.py "),
        (["TORCH_INDEX=https://a.org"], 'tools/install.py --torch-index "https://a.org"'),
        (["TORCH_INDEX="], 'tools/install.py --torch-index ""'),
    ],
)
def test_make_hands_the_index_on_and_leaves_the_choice_where_none_is_named(given, says):
    free = {k: v for k, v in os.environ.items() if k not in SET_BY_MAKE}
    command = ["make", "-n", "-B", ".venv/.installed", *given]
    done = subprocess.run(command, cwd=ROOT, env=free, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(says.strip())


def test_an_old_python_is_told_so_in_one_line(monkeypatch):
    monkeypatch.setattr(install.sys, "version_info", (3, 9, 1))
    assert install.lacking().startswith("dunfold needs Python 3.11 or later; ")
    assert install.lacking().endswith(" is 3.9.1")


def test_both_locks_name_each_package_once_and_none_of_them_torch():
    from tools import lock

    run, dev = (
        lock.blocks((ROOT / name).read_text("utf-8"))
        for name in ("requirements.lock", "requirements-dev.lock")
    )
    names = lambda found: {line.partition("==")[0] for line in found}
    assert names(run) & names(dev) == set()
    assert {"jupyter-book", "nilearn", "torchmetrics"} & names(run) == {"jupyter-book", "nilearn"}
    assert {"pytest", "ruff", "playwright", "hatchling"} <= names(dev)
    assert "torch" not in names(run) | names(dev)
    assert all("--hash=sha256:" in text for text in (*run.values(), *dev.values()))


def test_colabs_versions_lie_within_the_bounds() -> None:
    """They stay as they are there, for the first cell installs with --no-deps."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["book"]]
    bounds = {r.name: r.specifier for r in map(Requirement, wanted)}
    bounds["python"] = Requirement(f"python{project['requires-python']}").specifier
    lines = (ROOT / "tests/colab.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    assert {"python", "torch", "numpy", "matplotlib", "ipywidgets"} <= pins.keys() <= bounds.keys()
    assert {name: v for name, v in pins.items() if v not in bounds[name]} == {}


# what Binder and conda install


def pins(lines: list[str], python: str) -> dict[str, str]:
    """{package: version} of the lines that are for this Python."""
    version = {"python_version": python, "python_full_version": f"{python}.9"}
    wanted = [Requirement(line.rstrip(" \\")) for line in lines if re.match(r"[\w.-]+==", line)]
    here = [r for r in wanted if r.marker is None or r.marker.evaluate(version)]
    return {canonicalize_name(r.name): str(r.specifier) for r in here}


def test_environment_yml_pins_what_the_lock_pins() -> None:
    needs = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (python,) = (need.removeprefix("python=") for need in needs if str(need).startswith("python="))
    (pip,) = (need["pip"] for need in needs if isinstance(need, dict))
    read = lambda name: pins((ROOT / name).read_text().splitlines(), python)
    torch, lock, pinned = (
        read("requirements-torch.txt"),
        read("requirements.lock"),
        pins(pip, python),
    )
    assert torch.keys() <= pinned.keys()
    assert pinned.items() <= (lock | torch).items()
    loose = [line for line in pip if "==" not in line and not line.startswith("--extra-index-url")]
    assert loose == [], "an -e or -r line builds Binder's image anew at each commit"
