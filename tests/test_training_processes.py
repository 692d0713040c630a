"""Of training: processes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from shared_training import PROBLEM, SHORT, TINY, A, net, one_line, sample

from dunfold_lib import experiment, processes, records
from dunfold_lib.sparse import training as sparse_training
from dunfold_lib.sparse.training import Growth, mean_square
from dunfold_lib.training import Context, fit

# several processes


SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import nn
torch.set_num_threads(1)
from accelerate import Accelerator
from dunfold_lib import records, training
from dunfold_lib.small_target import LRPCANet, training as small_target_training
from dunfold_lib.sparse import LISTACP, evaluation, training as sparse_training
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.training import EndToEnd, Growth, Search, batch_db, mean_square
from dunfold_lib.training import Recipe, Context, fit
out = Path(sys.argv[1])
problem = SparseProblem(m=12, n=20, p=0.15, dtype=torch.float64)
A = problem.operator()
machine = Accelerator(cpu=True)
assert machine.num_processes == 2, machine.num_processes
rank = machine.process_index
sample = lambda n, g: problem.sample(A, n, g)
recipe = Recipe(steps=8, batch=5, lr=1e-2)
net = LISTACP(A, 3, 0.1)
with torch.no_grad():
    net.theta += rank  # the first process has the state that counts
losses = fit(net, sample, mean_square, recipe, Context(seed=3))
records.save_weights(out / f"fit-{rank}", net)
if machine.is_main_process:
    records.save_losses(out / "fit-0", losses)
net = LISTACP(A, 3, 0.1)
grown = Growth(stage_steps=4, finish_steps=4, batch=5)
growing = Context(out / "grown" if rank == 0 else out / "elsewhere")
sparse_training.train(problem, net, grown, growing)
sparse_training.train(problem, net, grown, growing)  # resumed
records.save_weights(out / f"grow-{rank}", net)
net = nn.Sequential(nn.Linear(12, 20), nn.BatchNorm1d(20)).double()
fit(net, sample, mean_square, recipe, Context(seed=3))
records.save_weights(out / f"norm-{rank}", net)
small_target_training.MADE_UP.update(train=(8, 1), val=(4, 2))
sizes = {"stages": 1, "width": 2, "neck": 2, "noise_layers": 1, "crop": 32}
tiny = small_target_training.Training(steps=4, every=1, batch=3, lr=0.05, **sizes)
net = small_target_training.build(LRPCANet, tiny)
small_target_training.train(net, tiny, Context(out / "small" if rank == 0 else out / "elsewhere"))
records.save_weights(out / f"small-{rank}", net)
try:
    fit(net, sample, mean_square, Recipe(batch=1))
except ValueError as error:
    (out / f"refused-{rank}").write_text(str(error))
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder that two processes have written."""
    out = tmp_path_factory.mktemp("two")
    (out / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    launch += [str(out / "script.py"), str(out)]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def close_weights(network, folder):
    loaded = type(network)(A, 3, 0.1)
    records.load_weights(folder / "weights.safetensors", loaded)
    for p, q in zip(network.parameters(), loaded.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_two_processes_train_as_one_does(two):
    """Rows are weighted: five are three and two. The first process's state counts."""
    whole = net()
    losses = fit(whole, sample, mean_square, replace(SHORT, batch=5), Context(seed=3))
    for rank in (0, 1):
        close_weights(whole, two / f"fit-{rank}")
    lines = (two / "fit-0/loss.csv").read_text().splitlines()[1:]
    assert [float(line.split(",")[1]) for line in lines] == pytest.approx(losses, rel=1e-5)


@pytest.mark.slow
def test_two_processes_grow_as_one_does_though_its_loss_is_no_mean_over_rows(two):
    whole = net()
    sparse_training.train(PROBLEM, whole, Growth(stage_steps=4, finish_steps=4, batch=5))
    for rank in (0, 1):
        close_weights(whole, two / f"grow-{rank}")
    assert (two / "grown/finish/checkpoint.safetensors").exists()
    assert not (two / "elsewhere").exists()  # the first process alone writes


@pytest.mark.slow
def test_two_processes_are_one_network_to_the_last_bit(two):
    """Running statistics of batch norms too, and what validation chose in the first process."""
    assert (two / "small/best.safetensors").exists()
    for name in ("fit", "grow", "norm", "small"):
        first, second = ((two / f"{name}-{r}/weights.safetensors").read_bytes() for r in (0, 1))
        assert first == second


@pytest.mark.slow
def test_a_batch_of_fewer_rows_than_processes_is_refused(two):
    for rank in (0, 1):
        says = (two / f"refused-{rank}").read_text()
        assert says == "batch is 1; with 2 processes it must be at least 2"


@pytest.mark.slow
def test_the_command_in_two_processes_measures_prints_and_writes_once(tmp_path):
    call = ["-m", "dunfold_lib", "train", "sparse/lista-50x100", *TINY, "--out", str(tmp_path)]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [sys.executable, *launch, *call], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("protocol: ") == 1
    assert done.stdout.count("nmse_db ") == 1
    assert len(list(tmp_path.rglob("run.json"))) == 1


@pytest.mark.slow
def test_accelerate_launch_says_that_it_starts_one_process(tmp_path):
    call = ["-m", "dunfold_lib", "train", "sparse/lista-50x100", *TINY, "--out", str(tmp_path)]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes=2"]
    done = subprocess.run(
        [sys.executable, *launch, *call], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count(experiment.ONE_PROCESS) == 1


def test_a_device_that_is_not_here_is_refused_and_never_replaced(monkeypatch):
    fit(net(), sample, mean_square, replace(SHORT, steps=1))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device is 'cuda'; this machine has") as error:
            fit(net(), sample, mean_square, SHORT, Context(device="cuda"))
        one_line(error)
        monkeypatch.setattr(processes, "available", lambda device: True)
        with pytest.raises(ValueError, match="device is 'cuda'; these processes began on cpu"):
            fit(net(), sample, mean_square, SHORT, Context(device="cuda"))
    with pytest.raises(ValueError, match="device is 'gpu'; it must be"):
        fit(net(), sample, mean_square, SHORT, Context(device="gpu"))


def test_a_device_is_not_that_of_an_earlier_fit_in_this_process():
    """Accelerate keeps the first one that it was asked for."""
    from accelerate.state import PartialState

    processes.processes("cpu")
    PartialState._shared_state["device"] = torch.device("meta")
    assert processes.processes("cpu").device.type == "cpu"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_processes_share_the_rows_of_a_batch_without_loss(n):
    b = torch.arange(7.0)[:, None]
    parts = [
        processes.share(b, SimpleNamespace(num_processes=n, process_index=i, device="cpu"))
        for i in range(n)
    ]
    assert torch.equal(torch.cat(parts), b)


KILLS = [sys.executable, str(Path(__file__).parents[1] / "tools" / "kills.py"), "--kills"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_runs_killed_at_random_moments_end_as_the_untouched_ones():
    """A few of what `make kills` does."""
    cases = ["sparse/lista-50x100", "sparse/hyperlista", "small_target/lrpcanet-sirst"]
    done = subprocess.run([*KILLS, "6", "--only", *cases], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("6 kills (")
