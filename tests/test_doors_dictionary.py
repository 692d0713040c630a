"""Records and the command line: dictionary."""

import json

import numpy as np
import pytest
import torch
from scipy.io import savemat

from dunfold_lib import download, records
from dunfold_lib.__main__ import main
from dunfold_lib.metrics import nmse_db
from dunfold_lib.operators import Matrix
from dunfold_lib.sparse import LISTA, fista
from dunfold_lib.sparse import evaluation as sparse_evaluation
from dunfold_lib.sparse.data import SparseProblem

# a dictionary of one's own


def dictionary(folder):
    """The files of one matrix 12 × 30, of every kind, and the matrix."""
    A = torch.randn(12, 30, generator=torch.Generator().manual_seed(5))
    A = A / A.norm(dim=0)
    np.save(folder / "a.npy", A.numpy())
    np.savez(folder / "a.npz", A=A.numpy(), seed=np.array([[3]]))
    savemat(folder / "a.mat", {"A": A.double().numpy(), "lam": 0.2})
    torch.save(A, folder / "a.pt")
    torch.save({"A": A, "theta": torch.ones(3)}, folder / "b.pt")
    return A


def test_a_solver_is_measured_on_a_dictionary_from_a_file_of_any_kind(tmp_path, capsys):
    A = dictionary(tmp_path)
    problem = SparseProblem(A=A)
    b, x = sparse_evaluation.test_signals(problem, 2)
    wanted = nmse_db(fista(Matrix(A), b, 0.2, 16)[-1], x)
    for name in ("a.npy", "a.npz", "a.mat", "a.pt", "b.pt"):
        call = ["evaluate", "sparse/fista-lam0.2", "--operator", str(tmp_path / name)]
        assert main([*call, "--seed", "2", "--json"]) == 0
        made = json.loads(capsys.readouterr().out)
        assert made["scores"]["nmse_db"] == pytest.approx(wanted, abs=1e-4)
        assert made["protocol"].startswith("A 12×30 as it was given; ")
        assert made["protocol"].endswith(name)


def test_a_network_on_a_dictionary_of_ones_own_needs_weights_for_it(tmp_path, capsys):
    A = dictionary(tmp_path)
    net = LISTA(Matrix(A), 16)
    with torch.no_grad():
        net.theta.mul_(0.5)
    records.save_weights(tmp_path, net)
    call = ["evaluate", "sparse/lista", "--operator", str(tmp_path / "a.npy")]
    assert main(call) == 2
    assert "sparse/lista has no weights for that matrix" in capsys.readouterr().err
    assert main([*call, "--weights", str(tmp_path / records.WEIGHTS), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    b, x = sparse_evaluation.test_signals(SparseProblem(A=A), 0)
    with torch.no_grad():
        assert made["scores"]["nmse_db"] == pytest.approx(nmse_db(net(b), x), abs=1e-4)
    records.save(tmp_path, {"scores": {}, "matrix": "0123456789abcdef"})
    assert main([*call, "--weights", str(tmp_path / records.WEIGHTS)]) == 2
    assert "was trained for the matrix 0123456789abcdef" in capsys.readouterr().err


def test_a_network_is_trained_on_a_dictionary_of_ones_own(tmp_path, capsys, monkeypatch):
    A = dictionary(tmp_path)
    file, out = str(tmp_path / "a.npy"), str(tmp_path / "runs")
    call = ["train", "sparse/alista", "stage_steps=2", "finish_steps=3", "--out", out]
    here = [*call, "--operator", file]
    assert main([*here, "--record"]) == 2
    assert "a run on --operator is not" in capsys.readouterr().err
    assert main(here) == 0
    on = download.digest(tmp_path / "a.npy")
    folder = tmp_path / "runs/sparse/alista" / f"cpu-on-{on[:8]}-s0"
    made = records.load(folder)
    assert made["experiment"] == f"sparse/alista on {on}"
    assert made["protocol"].startswith("A 12×30 as it was given; ")
    assert made["matrix"] == records.matrix_hash(A)
    weights = str(folder / records.WEIGHTS)
    capsys.readouterr()
    again = ["evaluate", "sparse/alista", "--operator", file, "--weights", weights, "--json"]
    assert main(again) == 0
    found = json.loads(capsys.readouterr().out)["scores"]
    assert found["nmse_db"] == pytest.approx(made["scores"]["nmse_db"], abs=1e-6)
    assert main(here) == 2  # it is there
    assert main([*here, "--resume"]) == 0  # and is that run
    assert main(call) == 0  # the book's own dictionary has a folder of its own
    assert main(["train", "imaging/istanet-25", "--operator", file, "--out", out]) == 2
    assert "takes no matrix" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("sparse/ista", ("two.npz",), "holds the matrices A, B; it must hold one"),
        ("sparse/ista", ("line.npy",), "holds the matrices none; it must hold one"),
        ("sparse/ista", ("gone.npy",), "gone.npy: cannot be read"),
        ("sparse/ista", ("zero.npy",), "a column of zeros; it must be (m, n)"),
        ("sparse/ista", ("nan.npy",), "1 NaN or infinite entries"),
        ("sparse/ista", ("a.npy", "a.mat"), "takes one matrix (m, n)"),
        ("sparse/ista-lam0.2-cond50", ("a.npy",), "one's own A has its condition"),
        ("imaging/tv-25", ("a.npy",), "imaging/tv-25 takes no matrix"),
    ],
)
def test_what_is_no_dictionary_is_refused_in_one_line(name, given, says, tmp_path, capsys):
    A = dictionary(tmp_path).numpy()
    np.savez(tmp_path / "two.npz", A=A, B=A)
    np.save(tmp_path / "line.npy", A[0])
    np.save(tmp_path / "zero.npy", A * (np.arange(30) > 0))
    np.save(tmp_path / "nan.npy", np.where(np.arange(360).reshape(12, 30) == 7, np.nan, A))
    assert main(["evaluate", name, "--operator", *(str(tmp_path / f) for f in given)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
