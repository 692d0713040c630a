"""Weights that the authors of ISTA-Net released, read into the networks of this book.

Files are opened by ``fetch.weights``, which runs nothing that they hold. They are not part of
this book; a reader who has them says where they are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from dunfold_lib import checks, cubes, fetch
from dunfold_lib.imaging.data import SIDE
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, names
from dunfold_lib.operators import Fourier, Linear, Sensing

SHARE_OFF = 0.01  # a mask of 20 % measures 19 to 21 %
PLUS = {
    "D": "conv_D",
    "C1": "conv1_forward",
    "C2": "conv2_forward",
    "C3": "conv1_backward",
    "C4": "conv2_backward",
    "G": "conv_G",
}


@checks.door
def load_released(
    weights: Path | str | Mapping[str, Any], A: Linear | Path | str, Q: Tensor | None = None
) -> ISTANet | ISTANetPlus:
    """The network of released weights: ISTA-Net+ where they hold ``conv_D``, else ISTA-Net.

    weights : a mapping of arrays, an ``.npz``, or a ``.pkl`` or ``.pt`` state dict, with the names
    ``fcs.{k}.lambda_step, soft_thr, conv1_forward, …`` and an optional ``module.`` before them.
    A, Q : operator and linear start they were trained with, or as A the file that holds both
    (``load_operator`` reads it, and several).
    """
    if isinstance(A, Path | str):
        A, held_Q = load_operator(A)
        Q = held_Q if Q is None else Q
    source = "weights" if isinstance(weights, Mapping) else str(weights)
    held = fetch.weights(weights)
    K = len({k.split(".")[1] for k in held if k.startswith("fcs.") and k.count(".") == 2})
    kind = ISTANetPlus if "fcs.0.conv_D" in held else ISTANet
    first = held.get("fcs.0.conv1_forward")
    if first is None or first.ndim != 4:
        raise ValueError(f"{source}: holds no fcs.0.conv1_forward (out, in, 3, 3): no ISTA-Net")
    if len(first) < 2:
        given = tuple(first.shape)
        raise ValueError(f"{source}: fcs.0.conv1_forward has shape {given}; it needs 2 channels")
    net = kind(A, K, len(first), Q)
    wanted = {"lambda_step": net.rho, "soft_thr": net.theta}
    wanted |= {PLUS[name]: getattr(net, name) for name in names(net)}
    places = {f"fcs.{k}.{name}": ours[k] for k in range(K) for name, ours in wanted.items()}
    fetch.fill(places, held, source, f"{kind.__name__} of {K} phases")
    return net.eval()


def load_operator(*paths: Path | str) -> tuple[Linear, Tensor | None]:
    """(A, Q) from ``.npz`` or ``.mat`` files with phi and Qinit, or with mask_matrix (then no Q).

    The keys may be spread over several files.
    """
    found: dict[str, Tensor] = {}
    for path in map(Path, paths):
        for key, value in _arrays(path).items():
            if key in ("phi", "Qinit", "mask_matrix"):
                found[key] = fetch.tensor(value, f"{path}: {key}")
    source = ", ".join(map(str, paths)) or "no file"
    if "mask_matrix" in found and "phi" not in found:
        return Fourier(found["mask_matrix"]), None
    if "phi" not in found or "Qinit" not in found:
        held = ", ".join(found) or "none of them"
        raise ValueError(f"{source}: must hold phi and Qinit, or mask_matrix; there is {held}")
    A, Q = Sensing(found["phi"]), found["Qinit"]
    if tuple(Q.shape) != (A.Phi.shape[1], A.Phi.shape[0]):
        given, allowed = tuple(Q.shape), tuple(A.Phi.shape)[::-1]
        raise ValueError(f"{source}: Qinit has shape {given}; with this phi it must be {allowed}")
    return A, Q


def _arrays(path: Path) -> dict[str, Any]:
    kind = path.suffix.lower()
    if kind not in (".npz", ".mat"):
        raise ValueError(f"{path}: ends in {kind!r}; it must be a .npz or .mat file")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    return cubes.arrays(path)


def load_experiment(
    kind: type[ISTANet] | type[ISTANetPlus],
    m: int | None,
    weights: Path,
    operators: Sequence[Path],
    share: float = 0.0,
) -> ISTANet | ISTANetPlus:
    """Released weights for one experiment: of this class, and for m measurements, or None: MRI.

    share : of the frequencies that the mask must measure, within a hundredth; 0: any.
    """
    if not operators:
        raise ValueError(f"{weights}: released weights need --operator, a .npz or .mat file")
    A, Q = load_operator(*operators)
    given, needed = _named(A), f"phi ({m}, {SIDE**2})" if m else "mask_matrix (256, 256)"
    if given != needed:
        raise ValueError(f"{operators[0]}: holds {given}; this experiment needs {needed}")
    measured = float(A.mask.double().mean()) if isinstance(A, Fourier) else 0.0
    if share and isinstance(A, Fourier) and abs(measured - share) > SHARE_OFF:
        said = f"measures {measured:.1%} of the frequencies; this experiment measures {share:.0%}"
        raise ValueError(f"{operators[0]}: {said}")
    net = load_released(weights, A, Q)
    if not isinstance(net, kind):
        raise ValueError(
            f"{weights}: holds {type(net).__name__} weights; asked for {kind.__name__}"
        )
    return net


def _named(A: Linear) -> str:
    """An operator as its file has it: the key and the shape."""
    if isinstance(A, Sensing):
        return f"phi {tuple(A.Phi.shape)}"
    return f"mask_matrix {A.domain[1:]}"
