"""Several processes that train one network: who they are, their shares of a batch, their sums."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dunfold_lib import checks, records


def processes(device: str = "cpu") -> Any:
    """Accelerate's view of this process among all, on a device: "cpu", "cuda" or "mps".

    What an earlier call in this process chose does not count; ValueError where there is none.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState

    checks.one_of("device", device, ("cpu", "cuda", "mps"))
    if not available(device):
        raise ValueError(f"device is {device!r}; this machine has {', '.join(devices())}")
    kept = PartialState._shared_state  # by accelerate, of an earlier call in this process
    if kept and kept["device"].type != device and kept["num_processes"] == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    machine = Accelerator(cpu=device == "cpu")
    if machine.device.type != device:
        raise ValueError(f"device is {device!r}; these processes began on {machine.device.type}")
    return machine


def available(device: str) -> bool:
    """Whether this machine has a device of this kind."""
    has = {"cpu": lambda: True, "cuda": torch.cuda.is_available}
    return bool((has | {"mps": torch.backends.mps.is_available})[device]())


def devices() -> list[str]:
    """The kinds of device that this machine has, the fastest first."""
    return [name for name in ("cuda", "mps", "cpu") if available(name)]


def total(x: Tensor) -> Tensor:
    """The sum of a number over all processes, with its gradient; with one process the number.

    A loss that is no mean over rows is made of such sums: its gradient is then that of one process.
    """
    import torch.distributed as several

    if not (several.is_available() and several.is_initialized()) or several.get_world_size() == 1:
        return x
    from torch.distributed.nn.functional import all_reduce

    return cast(Tensor, all_reduce(x))


def shares(batch: int, machine: Any) -> list[float]:
    """The part of a batch's rows that each process has."""
    n = machine.num_processes
    if batch < n:
        raise ValueError(f"batch is {batch}; with {n} processes it must be at least {n}")
    return [((i + 1) * batch // n - i * batch // n) / batch for i in range(n)]


def share(x: Any, machine: Any) -> Any:
    """This process's rows, on its device; tuples of tensors keep their type."""
    if not isinstance(x, Tensor):
        return type(x)(*(share(part, machine) for part in x))
    n, i = machine.num_processes, machine.process_index
    return x[i * len(x) // n : (i + 1) * len(x) // n].to(machine.device)


def sum_gradients(weights: Sequence[Tensor], machine: Any) -> None:
    """The sum over processes of every gradient, in one message."""
    known = [p for p in weights if p.grad is not None]
    if machine.num_processes == 1 or not known:
        return
    flat = machine.reduce(torch.cat([p.grad.flatten() for p in known if p.grad is not None]), "sum")
    for p, part in zip(known, flat.split([p.numel() for p in known]), strict=True):
        p.grad = part.view_as(p)


def same_buffers(net: nn.Module, shares: Sequence[float], machine: Any) -> None:
    """The running statistics of batch norms: their mean over processes, by rows."""
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [t for m in norms for t in (m.running_mean, m.running_var) if t is not None]
    if machine.num_processes == 1 or not kept:
        return
    flat = torch.cat([t.flatten() for t in kept]) * shares[machine.process_index]
    parts = machine.reduce(flat, "sum").split([t.numel() for t in kept])
    for buffer, part in zip(kept, parts, strict=True):
        buffer.copy_(part.view_as(buffer))


def as_first(net: nn.Module, device: str = "cpu") -> None:
    """Give the network in every process the weights that it has in the first."""
    machine = processes(device)
    if machine.num_processes > 1:
        data = records.tensor_bytes(net.state_dict(), {}) if machine.is_main_process else b""
        net.load_state_dict(records.tensors_of(Path(), from_first(data, machine))[0])


def from_first(data: bytes, machine: Any) -> bytes:
    """The bytes that the first process has, in every process."""
    if machine.num_processes == 1:
        return data
    from accelerate.utils import broadcast

    size = broadcast(torch.tensor([len(data)], device=machine.device))
    mine = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0)
    first = machine.is_main_process
    text = mine if first else torch.empty(int(size))
    return bytes(broadcast(text.to(torch.uint8).to(machine.device)).cpu().numpy().tobytes())
