"""The import contract on floors, in words that no new room changes (pyproject.toml, importlinter).

import-linter's contract on layers, with three things more: ``rooms`` stands for every room that
``dunfold_lib.ROOMS`` names, ``figures_*`` for every module whose name begins so, and a module of
a layer may be missing while one that stands in no layer breaks the contract.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from importlinter.contracts.layers import LayersContract

from dunfold_lib import ROOMS


class FloorsContract(LayersContract):
    """Layers of modules, or of every room's modules: those above import those below alone."""

    type_name = "floors"

    def __init__(
        self, name: str, session_options: dict[str, Any], contract_options: dict[str, Any]
    ) -> None:
        containers = [c for given in contract_options["containers"] for c in _containers(given)]
        layers = [_layer(line.split(" | "), containers) for line in contract_options["layers"]]
        meant = {"containers": containers, "layers": layers, "exhaustive": "true"}
        super().__init__(name, session_options, contract_options | meant)


def _containers(name: str) -> list[str]:
    package, _, last = name.rpartition(".")
    return [f"{package}.{room}" for room in ROOMS] if last == "rooms" else [name]


def _layer(names: list[str], containers: list[str]) -> str:
    """A layer as import-linter reads it, each module in parentheses: it may be missing."""
    known = sorted({module for package in containers for module in _modules(package)})
    found = [m for name in names for m in _meant(name, known)]
    return " | ".join(f"({module})" for module in dict.fromkeys(found))


def _meant(name: str, known: list[str]) -> list[str]:
    if name == "rooms":
        return [*ROOMS]
    if name.endswith("*"):
        return [m for m in known if m.startswith(name[:-1])]
    return [name]


def _modules(package: str) -> set[str]:
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return {path.stem for folder in folders or () for path in Path(folder).glob("*.py")}
