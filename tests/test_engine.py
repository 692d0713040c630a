"""Convolutions in bfloat16, the average of the weights, phases, and the queue of runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from dunfold_lib import __main__ as command
from dunfold_lib import checkpoints, engine, experiment, records, reproduce, training
from dunfold_lib.engine import Average, Convolutions
from dunfold_lib.small_target.fast import merged
from dunfold_lib.small_target.model import LRPCANet, RPCANet, TwoTerm, total_loss
from dunfold_lib.small_target.training import MADE_UP, Training, train
from dunfold_lib.training import Context, Recipe, fit


def test_only_convolutions_are_computed_in_bfloat16() -> None:
    g = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 3, 8, 8, generator=g), torch.randn(4, 3, 3, 3, generator=g)
    M = torch.randn(5, 5, generator=g)
    exact, product = functional.conv2d(x, w), M @ M
    with Convolutions():
        made, same = functional.conv2d(x, w), M @ M
        layer = nn.Conv2d(3, 4, 3)
        assert layer(x).dtype == torch.float32
        double = functional.conv2d(x.double(), w.double())
    rounded = functional.conv2d(x.bfloat16(), w.bfloat16()).float()
    assert torch.equal(made, rounded)
    assert not torch.equal(made, exact)
    assert torch.equal(same, product)
    assert torch.equal(double, functional.conv2d(x.double(), w.double()))


def test_a_recipe_in_bfloat16_takes_float32_where_there_are_no_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(precision: str, units: bool, compiled: bool = False) -> float:
        monkeypatch.setattr(training, "has_units", lambda device: units)
        monkeypatch.setattr(torch, "compile", lambda loss, dynamic: loss)
        torch.manual_seed(0)
        net = nn.Conv2d(1, 1, 3)
        sample = lambda n, g: (torch.randn(n, 1, 5, 5, generator=g), torch.zeros(n, 1, 3, 3))
        loss = lambda net, b, truth: (net(b) - truth).square().mean()
        recipe = Recipe(steps=3, batch=2, precision=precision, compile=compiled)
        return fit(net, sample, loss, recipe)[-1]

    plain = run("no", units=True)
    assert run("bf16", units=False) == plain
    assert run("bf16", units=True) != plain
    assert run("bf16", units=True, compiled=True) == plain
    assert run("bf16", units=True) == pytest.approx(plain, rel=0.05)


def test_the_average_is_that_of_its_formula() -> None:
    net = nn.BatchNorm1d(1)
    average, kept = Average(net, 0.9), 1.0
    for t, value in enumerate((3.0, -1.0, 5.0)):
        with torch.no_grad():
            net.weight.fill_(value)
        average.after(t)
        decay = min(0.9, (1 + t) / (10 + t))
        kept = decay * kept + (1 - decay) * value
    with average.shown():
        assert net.weight.item() == pytest.approx(kept)
    assert net.weight.item() == 5.0
    average.take()
    assert net.weight.item() == pytest.approx(kept)


def _line(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(n, 2, generator=g)
    return x, x @ torch.tensor([[1.0], [2.0]])


def test_a_run_with_an_average_resumes_to_the_same_numbers(tmp_path: Path) -> None:
    loss = lambda net, b, truth: (net(b) - truth).square().mean()
    recipe = Recipe(steps=30, batch=4, lr=0.1, average=0.9, warmup=5)

    def run(folder: Path | None, stop: int) -> nn.Linear:
        torch.manual_seed(0)
        net = nn.Linear(2, 1)

        def watch(step: int, _: float) -> None:
            if step == stop:
                raise KeyboardInterrupt

        fit(net, _line, loss, recipe, Context(folder, watch=watch))
        return net

    whole = run(None, -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "SAVE_EVERY", 10)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, 17)
        again = run(tmp_path, -1)
    finished = run(tmp_path, -1)
    for net in (again, finished):
        assert torch.equal(net.weight, whole.weight)
        assert torch.equal(net.bias, whole.bias)


def test_the_rate_rises_and_then_falls() -> None:
    recipe = Recipe(steps=100, lr=1.0, warmup=9)
    assert [round(recipe.rate(t), 2) for t in (0, 4, 9)] == [0.1, 0.5, 0.98]
    assert Recipe(steps=100, lr=1.0).rate(0) == 1.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("se", ["BTND", "", "BN"])
def test_merged_maps_give_the_same_output_and_gradients(se: str, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    net = LRPCANet(2, 6, 3, 2, se, seed=seed).double().train()
    with torch.no_grad():
        for p in net.parameters():
            p += 0.1 * torch.randn(p.shape, generator=g, dtype=p.dtype)
    b = torch.rand(3, 1, 14 + seed, 11, generator=g, dtype=torch.float64)
    truth = (torch.rand(b.shape, generator=g) > 0.9).double()
    found = []
    for model in (net, merged(net)):
        net.zero_grad()
        T = model(b).detach()
        total_loss(model, b, truth, pooled=True, bce=1.0).backward()
        found.append([T, *(p.grad for p in net.parameters())])
    for plain, fast in zip(*found, strict=True):
        assert plain is not None
        assert torch.allclose(plain, fast, rtol=1e-8, atol=1e-12 * (1 + plain.abs().max().item()))


def test_merged_shares_the_parameters_and_leaves_wide_networks_alone() -> None:
    for net in (LRPCANet(1, 4, 2, 1), TwoTerm(1, 4, 2), RPCANet(1, 4)):
        twin = merged(net)
        assert {id(p) for p in twin.parameters()} == {id(p) for p in net.parameters()}
        assert type(twin) is type(net)
        assert net.FB[0] is not twin.FB[0] or isinstance(net, RPCANet)


def test_phases_share_the_steps_and_hand_on_the_rate() -> None:
    recipe = Training(phases="16:4:0.5:1 24:2:0.3:0.5 32:1:0.2:0.25", steps=10, lr=1.0, end=0.1)
    parts = recipe.in_turn()
    assert [(p.crop, p.batch, p.steps) for p in parts] == [(16, 4, 5), (24, 2, 3), (32, 1, 2)]
    assert [p.lr for p in parts] == [1.0, 0.5, 0.25]
    assert [p.lr * p.end for p in parts] == [0.5, 0.25, 0.025]
    assert Training().in_turn() == [Training()]


@pytest.mark.parametrize(
    "text", ["16:4:0.5", "16:4:0.5:1", "a:4:1:1", "0:4:1:1", "16:0:1:1", "16:4:1:0", "16:4:-1:1"]
)
def test_phases_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"phases|crop|batch|lr|steps"):
        Training(phases=text)


def test_training_in_phases_resumes_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, made in {"train": (8, 1), "val": (4, 2)}.items():
        monkeypatch.setitem(MADE_UP, part, made)
    recipe = Training(
        phases="16:2:0.5:1 32:1:0.5:0.5", steps=6, stages=1, width=2, neck=2, every=2, average=0.5
    )
    net = LRPCANet(1, 2, 2, 1)

    def run(folder: Path | None, stop: int) -> tuple[list[float], LRPCANet]:
        fresh = LRPCANet(1, 2, 2, 1)
        fresh.load_state_dict(net.state_dict())

        def watch(step: int, _: float) -> None:
            if step == stop:
                raise KeyboardInterrupt

        return train(fresh, recipe, Context(folder, watch=watch)), fresh

    losses, whole = run(None, -1)
    assert len(losses) == 6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "SAVE_EVERY", 1)
        for stop in (1, 4):
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path, stop)
        again, resumed = run(tmp_path, -1)
    assert again == losses
    for u, v in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(u, v)
    assert checkpoints.spent(tmp_path)[0] > 0


# the queue


@pytest.fixture
def tiny_queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two experiments with a recipe "tiny" that takes no time, and results of their own."""
    from dataclasses import replace

    from dunfold_lib.sparse.experiments import EXPERIMENTS
    from dunfold_lib.sparse.training import EndToEnd

    small = EndToEnd(steps=4, batch=2)
    made = {
        f"sparse/{name}": replace(EXPERIMENTS[name], recipes={"tiny": small}, measure=_score)
        for name in ("lista", "alista")
    }
    monkeypatch.setattr(experiment, "experiments", lambda rooms=(): made)
    monkeypatch.setattr(records, "results_root", lambda: tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _score(net: nn.Module, seed: int) -> dict[str, float]:
    return {"score": 1.0}


QUEUE = ("reproduce", "--run", "--recipe", "tiny", "--seeds", "2")


def test_the_queue_makes_what_is_not_recorded_first_seeds_first(
    tiny_queue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*QUEUE, "--record"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("made")]
    assert [line.split(" in ")[0] for line in told] == [
        f"made: sparse/{name} seed {seed}" for seed in (0, 1) for name in ("lista", "alista")
    ]
    assert len(list((tiny_queue / "results").glob("sparse/*/tiny-s*/run.json"))) == 4
    assert command.main([*QUEUE, "--record"]) == 0
    assert "made" not in capsys.readouterr().out


class Clock:
    """A timer that rings when it is told to."""

    made: "Clock"

    def __init__(self, seconds: float, ring: Callable[[], None]):
        self.seconds, self.ring, self.daemon = seconds, ring, False
        Clock.made = self

    def start(self) -> None: ...

    def cancel(self) -> None: ...


def test_the_queue_stops_in_time_says_what_is_left_and_goes_on(
    tiny_queue: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, steps = checkpoints.Checkpoint.after, []

    def after(self: checkpoints.Checkpoint, history: list[float], **more: bool) -> None:
        steps.append(len(history))
        if steps == [1, 2]:
            Clock.made.ring()
        plain(self, history, **more)

    monkeypatch.setattr(reproduce.threading, "Timer", Clock)
    monkeypatch.setattr(checkpoints.Checkpoint, "after", after)
    assert command.main([*QUEUE, "--hours", "2.5"]) == 0
    assert Clock.made.seconds == 9000
    assert "left: sparse/lista seed 0" in capsys.readouterr().out
    assert steps == [1, 2, 3]
    assert command.main([*QUEUE, "--record"]) == 0
    run = json.loads((tiny_queue / "results/sparse/lista/tiny-s0/run.json").read_text("utf-8"))
    assert run["recipe"]["steps"] == 4
    assert steps[3:5] == [4, 1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--recipe", "tiny"], "--run"),
        (["--run", "--hours", "1"], "--recipe"),
        (["--run", "--recipe", "none"], "no experiment here has a recipe 'none'"),
    ],
)
def test_the_queue_refuses(
    tiny_queue: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert command.main(["reproduce", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "soon"])
def test_hours_are_a_time(capsys: pytest.CaptureFixture[str], hours: str) -> None:
    with pytest.raises(SystemExit):
        command.main([*QUEUE, "--hours", hours])
    (line,) = capsys.readouterr().err.splitlines()
    assert "hours above 0" in line


@pytest.mark.parametrize(("units", "width"), [(True, 32), (False, 32), (False, 8)])
def test_filters_are_trained_in_the_order_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, units: bool, width: int
) -> None:
    monkeypatch.setattr(engine, "has_units", lambda device: units)
    net = RPCANet(K=1, c=width)
    recipe = Training(stages=1, width=width, steps=1, batch=1, crop=32, data="synthetic")
    train(net, recipe)
    last = units or width < engine.WIDE
    wide = [p for p in net.parameters() if p.ndim == 4 and min(p.shape) > 1]
    assert wide
    for w in wide:
        assert w.is_contiguous(memory_format=torch.channels_last) is last
        assert w.is_contiguous() is not last


def test_units_are_looked_for_where_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine.has_units("mps") is False
    assert isinstance(engine.has_units("cpu"), bool)
