"""What the wheel holds of the recorded runs: every score, and weights up to a budget.

Weights beyond it stay in the repository; the wheel names each with its sha256 in
``results/weights.json``, by which ``dunfold_lib.download`` fetches it.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WEIGHTS, LOSSES, REGISTRY = "weights.safetensors", "loss.csv", "weights.json"


def divided(results: Path, budget: int, first: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """(what is carried, what is not) of the results: ``first``, then the smallest weights."""
    files = sorted(p for p in results.rglob("*") if p.is_file() and p.name != LOSSES)
    always = [p for p in files if p.name != WEIGHTS]
    run = lambda p: p.parent.relative_to(results).as_posix()
    weights = [p for p in files if p.name == WEIGHTS]
    if lost := {*first} - {run(p) for p in weights}:
        raise ValueError(f"pyproject.toml: no recorded weights {', '.join(sorted(lost))}")
    left = budget - sum(p.stat().st_size for p in always if p.suffix == ".safetensors")
    carried, others = [*always], []
    for p in sorted(weights, key=lambda p: (run(p) not in first, p.stat().st_size, run(p))):
        left -= p.stat().st_size
        (carried if left >= 0 else others).append(p)
    return carried, others


def registry(results: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Of each run's weights that are not carried: sha256 and bytes, as its record has them."""
    about = lambda p: json.loads(p.with_name("run.json").read_text("utf-8"))["weights"]
    return {p.parent.relative_to(results).as_posix(): about(p) for p in files}


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Adds the results to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        results = Path(self.root) / "results"
        carried, others = divided(results, self.config["budget"], self.config["first"])
        place = lambda p: f"dunfold_lib/results/{p.relative_to(results).as_posix()}"
        included = build_data["force_include"]
        included.update({str(p): place(p) for p in carried})
        told = Path(tempfile.mkdtemp()) / REGISTRY
        told.write_text(json.dumps(registry(results, others), indent=1, sort_keys=True) + "\n")
        included[str(told)] = f"dunfold_lib/results/{REGISTRY}"
