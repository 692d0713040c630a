"""The room's networks on amplitudes of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import checks, cubes, fetch
from dunfold_lib.phase.data import Seen
from dunfold_lib.phase.model import FlowNet

SUFFIXES = cubes.SUFFIXES
NAMES = ("y", "A")  # of the arrays in a file


@torch.no_grad()
@checks.door
def apply(net: FlowNet, y: np.ndarray, A: np.ndarray) -> Any:
    """The x with |A x| = y, up to a sign; for a complex A up to a phase.

    y : (m,), not below 0.  A : (m, n), real or complex.  Gives (n,), float32 or complex64.
    """
    if A.ndim != 2 or 0 in A.shape:
        raise ValueError(f"A has shape {A.shape}; it must be (m, n)")
    if y.shape != A.shape[:1]:
        raise ValueError(f"y has shape {y.shape}; A {A.shape} needs ({A.shape[0]},)")
    amplitudes = fetch.tensor(y, "y")
    if bool((amplitudes < 0).any()):
        raise ValueError(f"y has {int((amplitudes < 0).sum())} entries below 0; it holds lengths")
    scale = float(np.sqrt(np.square(np.abs(A)).mean()))
    if not np.isfinite(scale) or scale == 0:
        raise ValueError("A is zero or holds NaN or infinity; it must be finite and not zero")
    x = net(Seen(amplitudes[None], _pairs(A / scale)[None]))[0].numpy() / scale
    if not np.iscomplexobj(A):
        return x
    re, im = np.split(x, 2)
    return (re + 1j * im).astype(np.complex64)


def _pairs(A: np.ndarray) -> Tensor:
    """A as the room holds it, (m, c, cn)."""
    re = fetch.tensor(A.real, "A")
    if not np.iscomplexobj(A):
        return re[:, None]
    im = fetch.tensor(A.imag, "A")
    return torch.stack([torch.cat([re, -im], 1), torch.cat([im, re], 1)], 1)


def read(path: Path) -> tuple[Any, ...]:
    """A file's arrays y (m,) and A (m, n)."""
    found = cubes.arrays(path)
    lacking = [name for name in NAMES if name not in found]
    if lacking:
        names = ", ".join(filter(None, found)) or "none"
        raise ValueError(f"{path} holds the arrays {names}; it must hold y (m,) and A (m, n)")
    return np.asarray(found["y"]).ravel(), np.asarray(found["A"])
