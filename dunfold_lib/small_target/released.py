"""Weights that the authors of RPCANet and L-RPCANet released, read into the networks of this book.

Files are opened by ``fetch.weights``, which runs nothing that they hold. They are not part of this
book: RPCANet's repository is under the MIT licence. A reader who has files says where they are.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dunfold_lib import checks, fetch
from dunfold_lib.small_target.layers import Excite, Learned
from dunfold_lib.small_target.model import LRPCANet, Network, RPCANet

PARTS = {"FB": "lowrank", "FT": "sparse", "FN": "residual", "FD": "merge"}
SCALARS = {"eps": "sparse.epsilon", "sigma": "residual.sigma"}


@checks.door
def load_released(weights: Path | str | Mapping[str, Any]) -> RPCANet | LRPCANet:
    """The network of released weights: L-RPCANet where they hold ``residual``, else RPCANet.

    weights : a mapping of arrays, an ``.npz``, or a state dict that torch saved, with the names
    ``decos.{k}.{lowrank, sparse, residual, merge}.…`` and an optional ``module.`` before them; a
    wrapper with the key ``state_dict`` is opened. Stages, channels and layers are read from the
    shapes. An L-RPCANet comes back with ``carry_noise=False``, which is what its code does.
    """
    source = "weights" if isinstance(weights, Mapping) else str(weights)
    held = fetch.weights(weights)
    net = _build(held, source)
    what = f"{type(net).__name__} of {net.K} stages"
    fetch.fill(_places(net, held), held, source, what)
    return net.eval()


def load_experiment(
    kind: type[Network], weights: Path, operators: Sequence[Path]
) -> RPCANet | LRPCANet:
    """Released weights for one experiment: they must be of its class, and need no operator."""
    if operators:
        raise ValueError(f"{operators[0]}: a detector sees the image itself; leave --operator out")
    net = load_released(weights)
    if not isinstance(net, kind):
        given = type(net).__name__
        raise ValueError(f"{weights}: holds {given} weights; asked for {kind.__name__}")
    return net


def _build(held: Mapping[str, Tensor], source: str) -> RPCANet | LRPCANet:
    """A fresh network of the size that the shapes tell."""
    stages = {int(m[1]) for k in held if (m := re.match(r"decos\.(\d+)\.", k))}
    if not stages or stages != set(range(len(stages))):
        given = f"stages {sorted(stages)}" if stages else "no name decos.0.…"
        raise ValueError(f"{source}: holds {given}; it must hold decos.0, decos.1, … in a row")
    light = any(".residual." in k for k in held)
    first = _filter(held, "decos.0.lowrank.convs.0.weight", source)
    merged = _filter(held, "decos.0.merge.mapping.0.weight", source)
    if not light:
        return RPCANet(K=len(stages), c=len(first))
    noise = [k for k in held if re.fullmatch(r"decos\.0\.residual\.convs\.\d+\.weight", k)]
    wide = _filter(held, "decos.0.lowrank.convs.12.weight", source)
    excited = lambda theirs: f"decos.0.{theirs}.channel_attention.excitation.0.weight" in held
    se = "".join(part[1] for part, theirs in PARTS.items() if excited(theirs))  # FB is B
    return LRPCANet(
        K=len(stages),
        c=len(wide),
        b=len(first),
        n_noise=max(len(noise) - 2, 0),  # but the first and the widening one
        se=se,
        carry_noise=False,
        d=len(merged),
    )


def _filter(held: Mapping[str, Tensor], name: str, source: str) -> Tensor:
    found = held.get(name)
    if found is None or found.ndim != 4 or 0 in found.shape:
        given = f"{name} of shape {tuple(found.shape)}" if found is not None else f"no {name}"
        raise ValueError(f"{source}: holds {given}; it must be (out, in, k, k)")
    return found


def _places(net: Network, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their name -> our tensor, for every tensor of the network."""
    made: dict[str, Tensor] = {}
    for part, theirs in PARTS.items():
        for k, F in enumerate(getattr(net, part, ())):
            made |= _places_in(F, f"decos.{k}.{theirs}", held)
    for ours, theirs in SCALARS.items():
        if hasattr(net, ours):
            made |= {f"decos.{k}.{theirs}": getattr(net, ours).data[k] for k in range(net.K)}
    return made


def _places_in(F: Learned, prefix: str, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Theirs -> ours in one map. The last layer is ``final_conv``, or the last of the body."""
    body = "mapping" if prefix.endswith("merge") else "convs"
    behind = f"{body}.{len(F.body)}"
    final = "final_conv" if f"{prefix}.final_conv.weight" in held else behind
    modules: dict[str, nn.Module] = {f"{body}.{j}": m for j, m in enumerate(F.body)}
    modules[final] = F.last
    if isinstance(F.excite, Excite):
        modules["channel_attention.excitation.0"] = F.excite.squeeze
        modules["channel_attention.excitation.2"] = F.excite.widen
    return {
        f"{prefix}.{name}.{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
        if key != "num_batches_tracked"
    }
