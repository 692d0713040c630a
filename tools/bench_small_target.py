"""Races of ``small_target``."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from bench_race import ONE_TWO, Race, as_written, form, near
from torch import Tensor, nn

from dunfold_lib.small_target import LRPCANet, RPCANet, compact, images, synthetic

SIZES: dict[str, Callable[[], LRPCANet]] = {
    "K = 6, c = 32": LRPCANet,
    "K = 6, c = 32, d = 8": partial(LRPCANet, d=8),
    "K = 3, c = 8": partial(LRPCANet, K=3, c=8),
}


def settled(net: Any) -> Any:
    """A network as after a training: its batch norms have seen something."""
    g = torch.Generator().manual_seed(1)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1, generator=g)  # type: ignore[union-attr]
            m.running_var.uniform_(0.5, 2, generator=g)  # type: ignore[union-attr]
    return net.eval()


def masks(x: Tensor, y: Tensor) -> None:
    """Refuse unequal logits, and unequal masks."""
    near(x, y)
    assert torch.equal(x > 0, y > 0), "the masks differ"


def detecting(size: str) -> Race:
    """L-RPCANet's fast form on one image of 256×256 against its plain form."""
    net = settled(SIZES[size]())
    image = images(synthetic(torch.Generator().manual_seed(0), 1))
    slow, fast = form(as_written(net), image), form(compact(net), image)
    name = f"L-RPCANet, {size}, 256×256: fast form | plain form"
    return Race(name, slow, fast, masks, turns=5, threads=ONE_TWO)


def against_rpcanet(rivals: str) -> Race:
    """L-RPCANet's fast form against RPCANet's plain or fast one: two networks, two answers."""
    image = images(synthetic(torch.Generator().manual_seed(0), 1))
    ours, rival = compact(settled(LRPCANet())), settled(RPCANet())
    plain = as_written(rival) if rivals == "plain" else compact(rival)
    slow, fast = form(plain, image), form(ours, image)
    same = lambda x, _: masks(torch.inference_mode()(rival)(image), x)
    name = f"L-RPCANet, fast form | RPCANet, {rivals} form; K = 6, c = 32, 256×256"
    return Race(name, slow, fast, same, turns=5, threads=ONE_TWO)


RACES: list[Callable[[], Race]] = [
    *(partial(detecting, size) for size in SIZES),
    partial(against_rpcanet, "plain"),
    partial(against_rpcanet, "fast"),
]
