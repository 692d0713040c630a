"""The import contract on floors, in words that no new room changes (pyproject.toml, importlinter).

import-linter's contract on layers, with three things more: ``rooms`` stands for every room that
``dunfold_lib.ROOMS`` names, ``figures_*`` for every module whose name begins so and that no layer
above has named, and a module of a layer may be missing while one that stands in no layer breaks
the contract.
"""

from collections.abc import Sequence
from fnmatch import fnmatch
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
        layers = _layers(contract_options["layers"], containers)
        meant = {"containers": containers, "layers": layers, "exhaustive": "true"}
        super().__init__(name, session_options, contract_options | meant)


def _containers(name: str) -> list[str]:
    package, _, last = name.rpartition(".")
    return [f"{package}.{room}" for room in ROOMS] if last == "rooms" else [name]


def _layers(lines: Sequence[str], containers: list[str]) -> list[str]:
    """Layers as import-linter reads them, each module in parentheses: it may be missing."""
    free = sorted({module for package in containers for module in _modules(package)})
    made = []
    for line in lines:
        found = dict.fromkeys(m for name in line.split(" | ") for m in _meant(name, free))
        made.append(" | ".join(f"({module})" for module in found))
        free = [module for module in free if module not in found]
    return [layer for layer in made if layer]


def _meant(name: str, free: list[str]) -> list[str]:
    if name == "rooms":
        return [*ROOMS]
    return [m for m in free if fnmatch(m, name)] if "*" in name else [name]


def _modules(package: str) -> set[str]:
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return {path.stem for folder in folders or () for path in Path(folder).glob("*.py")}
