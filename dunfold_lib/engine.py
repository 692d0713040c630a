"""What makes a training step cheaper, or its result better, the same for every network.

All leave the networks' lines as the chapters show them: convolutions are computed in bfloat16
wherever they stand, a GPU is given a whole step at once, and the average of the weights over the
steps takes the place of the last.
"""

import threading
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
WARM = 3  # steps on a GPU before one is captured: in them libraries choose their kernels
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


class Graphed:
    """A training step on a GPU, captured once as a CUDA graph and from then on launched as one.

    A small network's step is a thousand kernels, which Python launches slower than the GPU runs
    them. step : (b, truth) -> the loss, of tensors on the GPU; what Python decides in it is
    decided once, so it must do the same every time, with a ``capturable`` optimiser. Threads
    capture one after the other.
    """

    CAPTURING = threading.Lock()

    def __init__(self, step: Callable[[Any, Tensor], Tensor]):
        self.step, self.warm = step, 0
        here = torch.cuda.current_stream()  # of a thread that has its own: streams are few
        self.stream = torch.cuda.Stream() if here == torch.cuda.default_stream() else here
        self.graph, self.given = torch.cuda.CUDAGraph(), list[Tensor]()
        self.loss: Tensor | None = None

    def __call__(self, b: Any, truth: Tensor) -> Tensor:
        """The loss of a step; RuntimeError where it cannot be captured."""
        if self.warm < WARM:
            self.warm += 1
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                loss = self.step(b, truth)
            torch.cuda.current_stream().wait_stream(self.stream)
            return loss
        if self.loss is None:
            self.loss = self._capture(_clone(b), truth.clone())
        for held, new in zip(self.given, _parts((b, truth)), strict=True):
            if held.shape != new.shape:
                shapes = f"{tuple(new.shape)}; captured was a step of {tuple(held.shape)}"
                raise ValueError(f"the batch has shape {shapes}: every batch must be alike")
            held.copy_(new)
        self.graph.replay()
        return self.loss

    def _capture(self, b: Any, truth: Tensor) -> Tensor:
        self.given = _parts((b, truth))
        alone = torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local")
        try:
            with self.CAPTURING, alone:
                return self.step(b, truth)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            says = "it must do the same every time, without asking for a value"
            raise RuntimeError(f"the step cannot be captured ({reason}); {says}") from error


def _parts(x: Any) -> list[Tensor]:
    """The tensors of a tensor, or of tuples of tensors."""
    return [x] if isinstance(x, Tensor) else [t for part in x for t in _parts(part)]


def _clone(x: Any) -> Any:
    """A copy of a tensor, or of a named tuple of tensors."""
    return x.clone() if isinstance(x, Tensor) else type(x)(*map(_clone, x))


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
