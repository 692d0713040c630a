"""What makes a training step cheaper, or its result better, the same for every network.

Both leave the networks' lines as the chapters show them: convolutions are computed in bfloat16
wherever they stand, and the average of the weights over the steps takes the place of the last.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = {
    torch.conv1d,
    torch.conv2d,
    torch.conv3d,
    torch.conv_transpose1d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
}
UNITS = ("amx_bf16", "avx512_bf16")  # what a processor calls its instructions for bfloat16
WIDE = 32  # channels
UNTIL = 10  # steps: while there are few the average forgets sooner


class Convolutions(TorchFunctionMode):
    """Inside it convolutions of float32 are computed in bfloat16 and give float32.

    Sums, data steps, thresholds, norms and losses stay as they are; so do other dtypes.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        more = dict(kwargs or {})
        given = args[0] if args else more.get("input")
        if function not in CONVOLUTIONS or given is None or given.dtype != torch.float32:
            return function(*args, **more)
        return function(*map(_half, args), **{k: _half(v) for k, v in more.items()}).float()


def _half(value: Any) -> Any:
    return value.bfloat16() if isinstance(value, Tensor) else value


def has_units(device: str) -> bool:
    """Whether bfloat16 is sooner than float32 on a kind of device: "cpu", "cuda" or "mps".

    On a CPU only with instructions for it, which Linux names in /proc/cpuinfo; elsewhere no.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    if device != "cpu":
        return False
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return any(unit in flags.split() for unit in UNITS)


def order(device: str, channels: int) -> torch.memory_format:
    """How filters of so many channels lie in memory for the soonest step of training on a device.

    Channels last, and features follow; for ``WIDE`` ones on a CPU without units torch's own, whose
    gradients take less time there. Answers are the same up to rounding.
    """
    slow = channels >= WIDE and device == "cpu" and not has_units(device)
    return torch.contiguous_format if slow else torch.channels_last


class Average:
    """The average of a network's weights over the steps, with weights that fall as decay^age.

    The t-th step's decay is min(decay, (1 + t)/(10 + t)), so that the start is forgotten. Running
    statistics are averaged, too; whole numbers are those of the last step.
    """

    def __init__(self, net: nn.Module, decay: float):
        self.decay = decay
        named = [*net.named_parameters(), *net.named_buffers()]
        self.live = {name: t for name, t in named if t.is_floating_point()}
        self.kept = {name: t.detach().clone() for name, t in self.live.items()} if decay else {}

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        if self.kept:
            share = 1 - min(self.decay, (1 + step) / (UNTIL + step))
            torch._foreach_lerp_(
                [*self.kept.values()], [t.detach() for t in self.live.values()], share
            )

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Inside it the network has the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def take(self) -> None:
        """Give the network the average for good."""
        with torch.no_grad():
            for name, t in self.kept.items():
                self.live[name].copy_(t)

    def _swap(self) -> None:
        for name, t in self.kept.items():
            live = self.live[name]
            live.data, self.kept[name] = t, live.data
