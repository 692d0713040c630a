"""Of released: broken."""

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import scipy.io
import torch
from refusals import Malicious
from shared_released import SMALL, held, matlab_73, operator, random, refused, weights, write
from torch.testing import assert_close

from dunfold_lib.imaging import load_operator, load_released


def spoil(w, name, value):
    return {**w, name: value}


NAN_LAYER = random(4, 4, 3, 3)


NAN_LAYER[1, 2, 0, 1] = np.nan


W = weights()


without = lambda name: {k: v for k, v in W.items() if k != name}


@pytest.mark.parametrize(
    "given, says",
    [
        (without("fcs.1.conv_G"), ("lacks fcs.1.conv_G", "ISTANetPlus of 2 phases")),
        (without("fcs.0.conv_D"), ("holds fcs.0.conv_G", "ISTANet of 2 phases")),
        (without("fcs.0.conv1_forward"), ("fcs.0.conv1_forward (out, in, 3, 3)",)),
        (without("fcs.1.soft_thr"), ("lacks fcs.1.soft_thr",)),
        ({k: v for k, v in W.items() if "fcs.0" not in k}, ("fcs.0.conv1_forward",)),
        ({}, ("fcs.0.conv1_forward",)),
        ({"layers.0.weight": np.ones((4, 1, 3, 3))}, ("fcs.0.conv1_forward",)),
        (spoil(W, "fcs.0.bias", np.ones(4)), ("fcs.0.bias",)),
        (spoil(W, "epoch", np.ones(1)), ("holds epoch",)),
        (spoil(W, "fcs.1.conv2_forward", np.ones((4, 4, 5, 5))), ("(4, 4, 5, 5)", "(4, 4, 3, 3)")),
        (spoil(W, "fcs.1.conv_D", np.ones((8, 1, 3, 3))), ("fcs.1.conv_D", "(8, 1, 3, 3)")),
        (spoil(W, "fcs.0.soft_thr", np.ones(2)), ("fcs.0.soft_thr has shape (2,)",)),
        (spoil(W, "fcs.0.conv1_forward", np.ones((1, 1, 3, 3))), ("fcs.0.conv1_forward",)),
        (spoil(W, "fcs.0.conv1_forward", np.ones(4)), ("fcs.0.conv1_forward",)),
        (spoil(W, "fcs.1.conv1_backward", NAN_LAYER), ("fcs.1.conv1_backward", "1 NaN")),
        (spoil(W, "fcs.1.soft_thr", np.array([np.inf])), ("fcs.1.soft_thr", "infinite")),
        (spoil(W, "fcs.1.soft_thr", np.zeros(0)), ("fcs.1.soft_thr", "must not be empty")),
        (spoil(W, "fcs.1.soft_thr", "thick"), ("fcs.1.soft_thr is a str; it must be an array",)),
        (spoil(W, "fcs.1.soft_thr", None), ("fcs.1.soft_thr", "NoneType")),
        (spoil(W, "fcs.1.soft_thr", [[1], [2, 3]]), ("fcs.1.soft_thr", "list")),
    ],
)
def test_weights_that_are_no_ista_net_are_refused(given, says, tmp_path):
    A, Q = operator()
    refused(lambda: load_released(given, A, Q), ValueError, "weights", *says)
    if all(isinstance(v, np.ndarray) for v in given.values()):
        path = write(tmp_path / "net.npz", given)
        refused(lambda: load_released(path, A, Q), ValueError, str(path), *says)


def test_one_channel_is_refused_with_what_is_allowed():
    A, Q = operator()
    says = ("fcs.0.conv1_forward has shape (1, 1, 3, 3)", "2")
    refused(lambda: load_released(weights(c=1), A, Q), ValueError, *says)


def test_complex_weights_are_refused():
    A, Q = operator()
    given = spoil(W, "fcs.1.soft_thr", np.array([1j]))
    refused(lambda: load_released(given, A, Q), TypeError, "fcs.1.soft_thr", "must be real")


def test_an_operator_and_a_start_that_do_not_fit_are_refused():
    A, Q = operator()
    refused(lambda: load_released(W, A, Q[:, :5]), ValueError, "Q has shape (81, 5)", "(81, 12)")
    refused(lambda: load_released(W, Q, Q), TypeError, "A is a Tensor")


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path):
    A, Q = operator()
    trace = tmp_path / "trace"
    held = OrderedDict(W | {"fcs.0.bias": Malicious(trace)})
    torch.save(held, tmp_path / "a.pkl")
    torch.save(held, tmp_path / "old.pkl", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(held))
    np.savez(tmp_path / "a.npz", **W, extra=np.array([Malicious(trace)], dtype=object))
    np.savez(tmp_path / "o.npz", phi=np.array([Malicious(trace)], dtype=object))
    for name in ("a.pkl", "old.pkl", "plain.pkl", "a.npz"):
        path = tmp_path / name
        refused(lambda path=path: load_released(path, A, Q), ValueError, str(path))
        assert not trace.exists()
    refused(lambda: load_operator(tmp_path / "o.npz"), ValueError, "o.npz")
    assert not trace.exists()
    pickle.loads((tmp_path / "plain.pkl").read_bytes())
    assert trace.exists()  # it would have been made


def test_a_file_that_holds_a_whole_network_or_a_list_is_refused(tmp_path):
    A, Q = operator()
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pkl")
    torch.save([torch.ones(2)], tmp_path / "list.pkl")
    refused(lambda: load_released(tmp_path / "net.pkl", A, Q), ValueError, "net.pkl", "state dict")
    refused(lambda: load_released(tmp_path / "list.pkl", A, Q), ValueError, "holds a list")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("name", ["a.pkl", "old.pkl", "a.npz", "packed.npz"])
def test_weights_cut_short_are_refused(tmp_path, name, share):
    A, Q = operator()
    path = write(tmp_path / name, W)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(lambda: load_released(path, A, Q), ValueError, str(path))


@pytest.mark.parametrize("name", ["a.npz", "packed.npz", "a.mat", "packed.mat"])
def test_operator_files_cut_short_are_refused(tmp_path, name):
    path, held = tmp_path / name, {"phi": SMALL[0], "Qinit": SMALL[1]}
    if path.suffix == ".npz":
        write(path, held)
    else:
        scipy.io.savemat(path, held, do_compression="packed" in name)
    whole = path.read_bytes()
    for cut in sorted({0, 1, 100, 127, 128, 130, *range(0, len(whole), len(whole) // 25)}):
        path.write_bytes(whole[:cut])
        refused(lambda: load_operator(path), ValueError, str(path))


def test_compressed_operator_files_with_wrong_bytes_are_refused(tmp_path):
    path = write(tmp_path / "packed.npz", {"phi": SMALL[0], "Qinit": SMALL[1]})
    whole = path.read_bytes()
    for at in range(100, 1500, 100):
        path.write_bytes(whole[:at] + bytes(255 - v for v in whole[at : at + 9]) + whole[at + 9 :])
        refused(lambda: load_operator(path), ValueError, str(path))
    scipy.io.savemat(tmp_path / "packed.mat", {"phi": SMALL[0]}, do_compression=True)
    path = tmp_path / "packed.mat"
    whole = path.read_bytes()
    for at in (200, 600, 1000):
        path.write_bytes(whole[:at] + bytes(255 - v for v in whole[at : at + 9]) + whole[at + 9 :])
        refused(lambda: load_operator(path), ValueError, str(path))


def test_files_that_are_no_weights_and_no_operator_are_refused(tmp_path):
    A, Q = operator()
    for name in ("a.pkl", "a.npz", "a.mat", "a.txt"):
        (tmp_path / name).write_text("These are words.\nMany words.\n" * 20)
    for name in ("a.pkl", "a.npz", "a.txt", "none.pkl", "none.npz", ""):
        path = tmp_path / name
        refused(lambda path=path: load_released(path, A, Q), ValueError, str(path))
    for name in ("a.npz", "a.mat", "none.mat"):
        path = tmp_path / name
        refused(lambda path=path: load_operator(path), ValueError, str(path))
    for name in ("a.txt", "a.pkl", ""):
        path = tmp_path / name
        refused(lambda path=path: load_operator(path), ValueError, "must be a .npz or .mat file")
    np.save(tmp_path / "array.npy", np.ones(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    refused(lambda: load_operator(tmp_path / "array.npz"), ValueError, "array.npz")
    refused(lambda: load_operator(matlab_73(tmp_path / "b.mat")), ValueError, "cannot be read")


def test_a_matlab_73_operator_is_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "o.mat", "w") as file:
        for key, value in zip(("phi", "Qinit"), SMALL, strict=True):
            file[key] = value.T  # MATLAB writes axes in reverse order
            file[key].attrs["MATLAB_class"] = b"single"
    A, Q = load_operator(tmp_path / "o.mat")
    assert_close(A.Phi, torch.from_numpy(SMALL[0]))
    assert_close(Q, torch.from_numpy(SMALL[1]))


@pytest.mark.parametrize(
    "arrays, says",
    [
        ({"phi": SMALL[0]}, ("must hold phi and Qinit, or mask_matrix", "there is phi")),
        ({"Qinit": SMALL[1]}, ("there is Qinit",)),
        ({"matrix": SMALL[0]}, ("there is none of them",)),
        ({"phi": SMALL[0], "Qinit": SMALL[1].T}, ("Qinit has shape (12, 81)", "(81, 12)")),
        ({"phi": SMALL[0], "Qinit": SMALL[1][:, :7]}, ("(81, 7)", "(81, 12)")),
        ({"phi": SMALL[0][:, :80], "Qinit": SMALL[1]}, ("(12, 80)", "a square number")),
        ({"phi": SMALL[0][0], "Qinit": SMALL[1]}, ("(81,)",)),
        ({"phi": np.full((2, 4), np.nan), "Qinit": np.ones((4, 2))}, ("phi", "8 NaN")),
        ({"phi": np.ones((2, 4)), "Qinit": np.full((4, 2), np.inf)}, ("Qinit", "8 NaN")),
        ({"phi": np.ones((0, 4)), "Qinit": np.ones((4, 0))}, ("phi", "empty")),
        ({"phi": np.float32(2), "Qinit": np.ones((1, 1))}, ("()",)),
        ({"phi": np.array("big"), "Qinit": np.ones((1, 1))}, ("phi", "must be an array")),
        ({"mask_matrix": 0.5 * np.ones((4, 4))}, ("must be 2-D and hold 0 and 1",)),
        ({"mask_matrix": np.ones(16)}, ("(16,)", "must be 2-D")),
        ({"mask_matrix": np.full((4, 4), np.nan)}, ("mask_matrix", "16 NaN")),
    ],
)
def test_operators_that_are_none_are_refused(arrays, says, tmp_path):
    path = held(tmp_path, **arrays)
    refused(lambda: load_operator(path), ValueError, *says)


def test_a_complex_operator_is_refused_and_no_file_is_none(tmp_path):
    path = held(tmp_path, phi=1j * SMALL[0], Qinit=SMALL[1])
    refused(lambda: load_operator(path), TypeError, "phi", "must be real")
    refused(load_operator, ValueError, "no file", "phi and Qinit")
