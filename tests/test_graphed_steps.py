"""A training step that a GPU launches as one; what of it can be seen without a GPU."""

from contextlib import nullcontext
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from dunfold_lib import engine, values
from dunfold_lib.training import Context, Recipe, fit


class Pair(NamedTuple):
    image: Tensor
    noise: Tensor


class Graph:
    """Stands for torch.cuda.CUDAGraph: counts how often it is launched."""

    def __init__(self):
        self.replays = 0

    def replay(self):
        self.replays += 1


@pytest.fixture
def no_gpu(monkeypatch):
    """Streams and graphs that do nothing, in the place of a GPU's."""

    class Stream:
        def wait_stream(self, other):
            pass

    default = Stream()
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: default)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda: default)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", lambda *args, **named: nullcontext())


def test_after_the_warm_steps_one_is_captured_and_given_each_new_batch(no_gpu):
    asked = []

    def step(b, truth):
        asked.append((b, truth))
        return (b.image - truth).sum()

    graphed = engine.Graphed(step)
    batches = [(Pair(torch.full((2,), i), torch.zeros(2)), torch.ones(2)) for i in range(6)]
    for b, truth in batches:
        graphed(b, truth)
    assert len(asked) == engine.WARM + 1  # and then the graph alone
    assert graphed.graph.replays == 3
    held, _ = asked[-1]
    assert held is not batches[engine.WARM][0]  # a copy: the caller's batch stays as it is
    assert torch.equal(held.image, batches[-1][0].image)
    assert torch.equal(batches[engine.WARM][0].image, torch.full((2,), engine.WARM))


def test_a_batch_of_another_size_is_no_batch_of_a_captured_step(no_gpu):
    graphed = engine.Graphed(lambda b, truth: b.sum())
    for _ in range(engine.WARM + 1):
        graphed(torch.zeros(4), torch.zeros(4))
    for rows in (3, 1):
        with pytest.raises(ValueError, match="every batch must be alike"):
            graphed(torch.zeros(rows), torch.zeros(4))


def test_a_step_that_cannot_be_captured_is_told_in_one_line(no_gpu):
    seen = []

    def step(b, truth):
        seen.append(b)
        if len(seen) > engine.WARM:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        return b.sum()

    graphed = engine.Graphed(step)
    for _ in range(engine.WARM):
        graphed(torch.zeros(1), torch.zeros(1))
    with pytest.raises(RuntimeError, match=r"cannot be captured \(operation not permitted\)"):
        graphed(torch.zeros(1), torch.zeros(1))


def trained(device, **fields):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3))
    sample = lambda n, g: (torch.randn(n, 1, 9, 9, generator=g), torch.zeros(n, 1, 5, 5))
    loss = lambda net, b, truth: (net(b) - truth).square().mean()
    return fit(net, sample, loss, Recipe(steps=9, batch=2, **fields), Context(device=device))


def test_without_a_gpu_a_recipe_that_asks_for_it_trains_as_before():
    assert trained("cpu", cuda_graph=True) == trained("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_captured_step_is_a_step():
    plain, graphed = trained("cuda"), trained("cuda", cuda_graph=True)
    assert graphed == pytest.approx(plain, rel=1e-3)
    assert plain[-1] < plain[0]


def test_values_are_not_asked_for_while_a_step_is_captured(monkeypatch):
    monkeypatch.setattr(values, "_capturing", lambda x: True)
    values.within("x", torch.tensor([7.0]), 0, 1)
    values.finite("x", torch.tensor([float("nan")]))
    monkeypatch.undo()
    with pytest.raises(ValueError, match="must lie in"):
        values.within("x", torch.tensor([7.0]), 0, 1)
