"""The chapter's networks on measurements of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from dunfold_lib import checks, cubes, fetch
from dunfold_lib.unroll import Unrolled

SUFFIXES = cubes.SUFFIXES


@torch.no_grad()
@checks.door
def apply(net: Unrolled, b: np.ndarray) -> Any:
    """The sparse x behind measurements b = Ax + noise, A the network's own.

    b : (m,) or (batch, m).  Gives (n,) or (batch, n), float32.
    """
    if b.ndim not in (1, 2) or 0 in b.shape:
        raise ValueError(f"b has shape {b.shape}; it must be (m,) or (batch, m)")
    rows = fetch.tensor(np.atleast_2d(b), "b")
    x = net(rows).numpy()
    return x[0] if b.ndim == 1 else x


def read(path: Path) -> tuple[Any, ...]:
    """A file's one array (m,) or (batch, m)."""
    found = {k: a for k, a in cubes.arrays(path).items() if a.size > 1}
    if len(found) != 1:
        names = ", ".join(found) or "none"
        raise ValueError(f"{path} holds the arrays {names}; it must hold one")
    ((_, b),) = found.items()
    return (b[:, 0] if b.ndim == 2 and b.shape[1] == 1 else b,)
