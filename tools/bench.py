"""Each speed-up beside the plain form of the same computation, in one run: a ratio, not seconds.

The two forms take turns, so that a busy machine slows both; the ratio is the median of the turns',
of CPU-seconds on one thread and of seconds on the wall on more. Both must give the same answer
first. "steps" are the networks' steps of training, "peers" other packages, where they are
installed: pip install 'dunfold-lib[peers]'.
"""

import argparse
from typing import Any

import bench_hyperspectral
import bench_imaging
import bench_newton_sr
import bench_peers
import bench_small_target
import bench_sparse
import bench_steps
import torch
from bench_race import report

GROUPS: dict[str, Any] = {
    "sparse": bench_sparse.RACES,
    "imaging": bench_imaging.RACES,
    "newton_sr": bench_newton_sr.RACES,
    "hyperspectral": bench_hyperspectral.RACES,
    "small_target": bench_small_target.RACES,
    "steps": bench_steps.RACES,
    "peers": bench_peers.RACES,
}


def main(arguments: list[str] | None = None) -> None:
    """Run every race, or those of some groups; or record the table of the lassos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}; all without")
    save = f"time the lassos alone, and keep their table in {bench_peers.SAVED.name} for the page"
    parser.add_argument("--save", action="store_true", help=save)
    given = parser.parse_args(arguments)
    if strange := [name for name in given.groups if name not in GROUPS]:
        parser.error(f"no group {strange[0]!r}; there are {', '.join(GROUPS)}")
    if given.save and given.groups not in ([], ["peers"]):
        parser.error("--save keeps what peers measure, and goes with no other group")
    if given.save and (missing := bench_peers.missing()):
        parser.error(f"--save needs every package; not installed: {', '.join(missing)}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if given.save:
        bench_peers.save()
        return
    for make in [make for name in given.groups or GROUPS for make in GROUPS[name]]:
        if race := make():
            report(race)


if __name__ == "__main__":
    main()
