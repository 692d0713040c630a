"""Weights that authors released: the importer, the command around it, the papers' protocol.

No released file is here. The weights below are random and laid out as theirs; the networks are
written again from the equations, and so is the protocol of the tables.
"""

import json
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from skimage.metrics import structural_similarity
from torch.nn.functional import conv2d
from torch.testing import assert_close

from dunfold_lib.__main__ import main
from dunfold_lib.imaging import (
    ISTANet,
    ISTANetPlus,
    evaluation,
    load_operator,
    load_released,
    reconstruct,
    released,
)
from dunfold_lib.imaging.experiments import EXPERIMENTS
from dunfold_lib.operators import Fourier, Sensing

KINDS = ("plus", "plain")
kinds = pytest.mark.parametrize("kind", KINDS)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def weights(kind="plus", K=2, c=4, prefix="", dtype=np.float32, scalar=(1,)):
    """Random weights with the released names."""
    shapes = {"lambda_step": scalar, "soft_thr": scalar}
    if kind == "plus":
        shapes |= {"conv_D": (c, 1, 3, 3), "conv1_forward": (c, c, 3, 3)}
        shapes |= {"conv2_backward": (c, c, 3, 3), "conv_G": (1, c, 3, 3)}
    else:
        shapes |= {"conv1_forward": (c, 1, 3, 3), "conv2_backward": (1, c, 3, 3)}
    shapes |= {"conv2_forward": (c, c, 3, 3), "conv1_backward": (c, c, 3, 3)}
    made = {}
    for k in range(K):
        for i, (name, shape) in enumerate(shapes.items()):
            value = (0.3 if len(shape) == 4 else 0.05) * random(*shape, seed=10 * k + i)
            if name == "lambda_step":
                value = np.asarray(0.5 + 0.2 * k + value)
            made[f"{prefix}fcs.{k}.{name}"] = np.asarray(value, dtype=dtype)
    return made


def problem(m=272, n=1089, seed=0):
    """(phi, Qinit): orthonormal rows, and a start that is not quite their transpose."""
    phi = np.linalg.qr(random(n, m, seed=seed))[0].T
    return phi.astype(np.float32), (phi.T + 0.01 * random(n, m, seed=1)).astype(np.float32)


def mask(side, share=0.3):
    half = np.random.default_rng(3).random((side, side)) < share
    half[0, 0] = True
    return half.astype(np.float64)


SMALL = problem(12, 81)
WHOLE = problem()
TENSORS = lambda arrays: OrderedDict((k, torch.from_numpy(v.copy())) for k, v in arrays.items())


def operator(pair=SMALL):
    return Sensing(torch.from_numpy(pair[0])), torch.from_numpy(pair[1])


# the networks written again, from the equations


def shrink(v, t):
    return torch.sign(v) * torch.relu(torch.abs(v) - t)


def phase(w, k, x):
    """The proximal half of a phase on images (B, 1, h, w)."""
    at = lambda name: torch.as_tensor(w[f"fcs.{k}.{name}"]).float()
    c = lambda v, name: conv2d(v, at(name), padding=1)
    d = c(x, "conv_D") if f"fcs.{k}.conv_D" in w else x
    v = c(torch.relu(c(d, "conv1_forward")), "conv2_forward")
    v = c(torch.relu(c(shrink(v, at("soft_thr")), "conv1_backward")), "conv2_backward")
    return x + c(v, "conv_G") if f"fcs.{k}.conv_D" in w else v


def by_blocks(w, phi, Q, b):
    """x = x − λ ΦᵀΦ x + λ Φᵀ b on vectors, then the convolutions on blocks: (B, n)."""
    phi, Q = torch.from_numpy(phi), torch.from_numpy(Q)
    side = round(phi.shape[1] ** 0.5)
    x, gram, back = b @ Q.T, phi.T @ phi, b @ phi
    for k in range(len({key.split(".")[1] for key in w})):
        step = torch.as_tensor(w[f"fcs.{k}.lambda_step"]).float()
        x = x - step * (x @ gram) + step * back
        x = phase(w, k, x.reshape(-1, 1, side, side)).flatten(1)
    return x


def by_slices(w, mask, image):
    """The same with Φ = mask · FFT, unnormalised there and normalised back, on (B, 1, h, w)."""
    mask = torch.from_numpy(mask).float()
    back = lambda spectrum: torch.fft.ifft2(mask * spectrum).real
    x = given = back(torch.fft.fft2(image))
    for k in range(len({key.split(".")[1] for key in w})):
        step = torch.as_tensor(w[f"fcs.{k}.lambda_step"]).float()
        x = x - step * back(torch.fft.fft2(x)) + step * given
        x = phase(w, k, x)
    return x


def blocks_of(n, side=9, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, side, side, generator=g)


def close(x, y, tolerance=1e-5):
    assert_close(x, y, rtol=0, atol=tolerance)


# every layout of a released file


LAYOUTS = {
    "names without prefix": {},
    "names with prefix": {"prefix": "module."},
    "one phase": {"K": 1},
    "eleven phases": {"K": 11, "c": 2},
    "two channels": {"c": 2},
    "steps without shape": {"scalar": ()},
    "double precision": {"dtype": np.float64},
}


@kinds
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_an_imported_network_is_the_equations(kind, layout):
    A, Q = operator()
    w = weights(kind, **layout)
    net = load_released(w, A, Q)
    plain = {k.removeprefix("module."): v for k, v in w.items()}
    b = A(blocks_of(5))
    assert isinstance(net, ISTANetPlus if kind == "plus" else ISTANet)
    assert layout.get("K", 2) == net.K
    wanted = by_blocks(plain, *SMALL, b)
    largest = max(float(wanted.abs().max()), 1)
    close(net(b).detach().flatten(1), wanted, 1e-5 * largest)
    close(net.start(b).flatten(1), b @ Q.T)
    assert not net.training
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def write(path, arrays):
    """A file of the layout that its name asks for."""
    arrays = {k: np.array(v) for k, v in arrays.items()}
    if path.suffix == ".npz":
        (np.savez_compressed if "packed" in path.name else np.savez)(path, **arrays)
    elif "parameters" in path.name:
        held = OrderedDict((k, torch.nn.Parameter(v)) for k, v in TENSORS(arrays).items())
        torch.save(held, path)
    else:
        torch.save(TENSORS(arrays), path, _use_new_zipfile_serialization="old" not in path.name)
    return path


@kinds
@pytest.mark.parametrize(
    "name", ["a.npz", "packed.npz", "a.NPZ", "a.pkl", "old.pkl", "parameters.pkl", "a.pt", "a.pth"]
)
def test_every_kind_of_file_holds_the_same_network(kind, name, tmp_path):
    A, Q = operator()
    w = weights(kind)
    path = tmp_path / name
    if name == "a.NPZ":
        path.write_bytes(write(tmp_path / "a.npz", w).read_bytes())
    else:
        write(path, w)
    wanted = load_released(w, A, Q)
    for where in (path, str(path)):
        net = load_released(where, A, Q)
        for key, value in wanted.state_dict().items():
            assert torch.equal(net.state_dict()[key], value)


@kinds
def test_a_mapping_may_hold_tensors_parameters_or_arrays_and_is_not_kept(kind):
    A, Q = operator()
    w = weights(kind)
    wanted = load_released(w, A, Q).state_dict()
    tensors = TENSORS(w)
    parameters = OrderedDict((k, torch.nn.Parameter(v)) for k, v in TENSORS(w).items())
    for given in (tensors, parameters):
        net = load_released(given, A, Q)
        assert all(torch.equal(v, wanted[k]) for k, v in net.state_dict().items())
        with torch.no_grad():
            given["fcs.1.conv2_forward"].zero_()
        assert all(torch.equal(v, wanted[k]) for k, v in net.state_dict().items())


@kinds
def test_negative_thresholds_and_steps_are_kept(kind):
    A, Q = operator()
    w = weights(kind)
    w["fcs.0.soft_thr"][:] = -0.07
    w["fcs.1.lambda_step"][:] = -0.21
    net = load_released(w, A, Q)
    assert net.theta[0].item() == pytest.approx(-0.07)
    assert net.rho[1].item() == pytest.approx(-0.21)
    b = A(blocks_of(5))
    close(net(b).detach().flatten(1), by_blocks(w, *SMALL, b))


@kinds
def test_a_network_for_slices_is_the_equations_with_the_unnormalised_transform(kind, tmp_path):
    m = mask(16)
    np.savez(tmp_path / "mask.npz", mask_matrix=m)
    A, Q = load_operator(tmp_path / "mask.npz")
    assert isinstance(A, Fourier)
    assert Q is None
    w = weights(kind, K=3)
    image = blocks_of(4, 16)
    net = load_released(w, A)
    wanted = by_slices(w, m, image)
    close(net(A(image)).detach(), wanted, 1e-5 * max(float(wanted.abs().max()), 1))
    close(net.start(A(image)), torch.fft.ifft2(A.mask * torch.fft.fft2(image)).real, 1e-6)


# operator files


def same_operator(found, pair):
    A, Q = found
    assert isinstance(A, Sensing)
    assert torch.equal(A.Phi, torch.from_numpy(pair[0]).float())
    assert torch.equal(Q, torch.from_numpy(pair[1]).float())
    assert A.Phi.dtype == Q.dtype == torch.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operator_files_are_npz_or_mat(tmp_path, dtype):
    phi, Q = (v.astype(dtype) for v in SMALL)
    held = {"phi": phi, "Qinit": Q, "something_else": np.arange(3)}
    np.savez(tmp_path / "a.npz", **held)
    scipy.io.savemat(tmp_path / "a.mat", held)
    scipy.io.savemat(tmp_path / "packed.MAT", held, do_compression=True, appendmat=False)
    scipy.io.savemat(tmp_path / "four.mat", held, format="4")
    for name in ("a.npz", "a.mat", "packed.MAT", "four.mat"):
        same_operator(load_operator(tmp_path / name), SMALL)
        same_operator(load_operator(str(tmp_path / name)), SMALL)


def test_the_keys_of_an_operator_may_be_spread_over_two_files(tmp_path):
    scipy.io.savemat(tmp_path / "phi.mat", {"phi": SMALL[0]})
    np.savez(tmp_path / "start.npz", Qinit=SMALL[1])
    files = [tmp_path / "phi.mat", tmp_path / "start.npz"]
    same_operator(load_operator(*files), SMALL)
    same_operator(load_operator(*files[::-1]), SMALL)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, bool])
def test_a_mask_may_be_of_any_kind_of_number(tmp_path, dtype):
    scipy.io.savemat(tmp_path / "mask.mat", {"mask_matrix": mask(16).astype(dtype)})
    A, Q = load_operator(tmp_path / "mask.mat")
    assert Q is None
    assert torch.equal(A.mask, torch.from_numpy(mask(16)).float())


# the protocol of the tables, from files on disk to decibels


def picture(height, width, seed):
    """A smooth grey picture."""
    g = np.random.default_rng(seed).random((height // 8 + 2, width // 8 + 2))
    smooth = np.kron(g, np.ones((8, 8)))[:height, :width]
    return (255 * smooth).astype(np.uint8)


def palette_file(path, pixels):
    """The pixels as numbers of greys, lightest first."""
    image = Image.frombytes("P", pixels.shape[::-1], (255 - pixels).tobytes())
    image.putpalette([255 - i for i in range(256) for _ in range(3)])
    image.save(path)


@pytest.fixture
def folder(tmp_path):
    """Three pictures: sides that 33 divides, sides that it does not, and a palette."""
    made = tmp_path / "pictures"
    made.mkdir()
    Image.fromarray(picture(66, 66, 1)).save(made / "a.png")
    Image.fromarray(picture(100, 70, 2)).save(made / "b.tif")
    palette_file(made / "c.tif", picture(40, 33, 3))
    return made


PICTURES = ((66, 66, 1), (100, 70, 2), (40, 33, 3))


def protocol(w, pair, pixels):
    """(PSNR, SSIM) as the released evaluation makes them: 0 to 255, not rounded."""
    phi, Q = pair
    height, width = pixels.shape
    down, across = height + 33 - height % 33, width + 33 - width % 33  # the next multiple, always
    padded = np.zeros((down, across))
    padded[:height, :width] = pixels
    corners = [(i, j) for i in range(0, down, 33) for j in range(0, across, 33)]
    columns = np.stack([padded[i : i + 33, j : j + 33].reshape(-1) for i, j in corners])
    x = torch.from_numpy(columns / 255).float()
    out = by_blocks(w, phi, Q, x @ torch.from_numpy(phi).T).numpy()
    image = np.zeros((down, across))
    for (i, j), column in zip(corners, out, strict=True):
        image[i : i + 33, j : j + 33] = column.reshape(33, 33)
    shown = np.clip(image[:height, :width], 0, 1) * 255
    return scored(shown, pixels)


def scored(shown, pixels):
    error = ((shown - pixels.astype(np.float64)) ** 2).mean()
    similar = structural_similarity(shown, pixels.astype(np.float64), data_range=255)
    return 20 * np.log10(255 / np.sqrt(error)), similar


@pytest.fixture
def quick(monkeypatch):
    """Measurements without the seconds of an image."""
    monkeypatch.setattr(evaluation, "image_seconds", lambda net: {"cpu": 1.0})
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)


def evaluated(capsys, *arguments):
    """What ``evaluate`` prints as JSON."""
    capsys.readouterr()
    code = main(["evaluate", *map(str, arguments), "--json"])
    out, error = capsys.readouterr()
    assert code == 0, error
    assert error == ""
    return json.loads(out)


@kinds
def test_evaluate_gives_the_scores_of_the_released_protocol(kind, folder, tmp_path, quick, capsys):
    w = weights(kind, prefix="module.")
    plain = {k.removeprefix("module."): 0.7 * v for k, v in w.items()}
    path = write(tmp_path / "net.pkl", {k: 0.7 * v for k, v in w.items()})
    scipy.io.savemat(tmp_path / "phi.mat", {"phi": WHOLE[0]})
    scipy.io.savemat(tmp_path / "start.mat", {"Qinit": WHOLE[1]})
    name = "imaging/istanet-plus-25" if kind == "plus" else "imaging/istanet-25"
    files = ("--operator", tmp_path / "phi.mat", tmp_path / "start.mat")
    made = evaluated(capsys, name, "--released", path, *files, "--data", folder)
    each = [protocol(plain, WHOLE, picture(*size)) for size in PICTURES]
    assert list(made["scores"]["psnr_each"]) == ["a", "b", "c"]
    for found, (wanted, _) in zip(made["scores"]["psnr_each"].values(), each, strict=True):
        assert found == pytest.approx(wanted, abs=0.005)
    assert made["scores"]["psnr"] == pytest.approx(np.mean([p for p, _ in each]), abs=0.005)
    assert made["scores"]["ssim"] == pytest.approx(np.mean([s for _, s in each]), abs=5e-4)
    assert made["parameters"] == sum(v.size for v in w.values())
    assert f"data: {folder}" in made["protocol"]
    assert 5 < made["scores"]["psnr"] < 60


def test_evaluate_says_that_the_operator_is_the_readers(folder, tmp_path, quick, capsys):
    """The experiment's own Phi is not what a released network measured with."""
    np.savez(tmp_path / "o.npz", phi=WHOLE[0], Qinit=WHOLE[1])
    path = write(tmp_path / "net.npz", weights())
    files = ("--operator", tmp_path / "o.npz", "--data", folder)
    made = evaluated(capsys, "imaging/istanet-plus-25", "--released", path, *files)
    for said in ("released weights", str(path), str(tmp_path / "o.npz"), "in the place of ours"):
        assert said in made["protocol"]


@kinds
def test_a_reconstruction_by_released_weights_is_that_of_the_protocol(kind):
    w, pixels = weights(kind), picture(70, 99, 4)
    net = load_released(w, *operator(WHOLE))
    shown = reconstruct(net, torch.from_numpy(pixels / 255).float()[None, None])
    found = scored(255 * shown[0, 0].clamp(0, 1).double().numpy(), pixels)
    wanted = protocol(w, WHOLE, pixels)
    assert found[0] == pytest.approx(wanted[0], abs=1e-3)
    assert found[1] == pytest.approx(wanted[1], abs=1e-4)


def test_evaluate_measures_slices_with_a_released_mask(tmp_path, quick, capsys):
    m, pixels = mask(256, 0.4), picture(256, 256, 5)
    slices = tmp_path / "slices"
    slices.mkdir()
    Image.fromarray(pixels).save(slices / "one.png")
    scipy.io.savemat(tmp_path / "mask.mat", {"mask_matrix": m})
    w = {k: 0.7 * v for k, v in weights("plus", K=1).items()}
    path = write(tmp_path / "net.pkl", w)
    call = ("--released", path, "--operator", tmp_path / "mask.mat", "--data", slices)
    made = evaluated(capsys, "imaging/mri-istanet-plus-40", *call)
    image = torch.from_numpy(pixels / 255).float()[None, None]
    shown = by_slices(w, m, image)[0, 0].clamp(0, 1).double().numpy() * 255
    wanted = scored(shown, pixels)
    assert made["scores"]["psnr"] == pytest.approx(wanted[0], abs=0.005)
    assert made["scores"]["ssim"] == pytest.approx(wanted[1], abs=5e-4)


# what cannot be read


def refused(call, error, *says):
    """``call`` raises exactly ``error``, in one line that holds all of ``says``."""
    with pytest.raises(error) as caught:
        call()
    assert caught.type is error
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 400
    for text in says:
        assert text in said
    return said


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


class Malicious:
    """A pickle that, loaded without care, makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


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


def matlab_73(path):
    """The header of a MATLAB 7.3 file, which is HDF5 behind it."""
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2018"
    path.write_bytes(head.ljust(124) + b"\x00\x02IM" + b"\x00" * 384 + b"\x89HDF\r\n\x1a\n")
    return path


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


def held(tmp_path, **arrays):
    np.savez(tmp_path / "o.npz", **arrays)
    return tmp_path / "o.npz"


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


# the command line


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Files of every kind, right and wrong."""
    root = tmp_path_factory.mktemp("shelf")
    np.savez(root / "o25.npz", phi=WHOLE[0], Qinit=WHOLE[1])
    np.savez(root / "o10.npz", phi=WHOLE[0][:109], Qinit=WHOLE[1][:, :109])
    np.savez(root / "o25-of-32.npz", phi=WHOLE[0][:, :1024], Qinit=WHOLE[1][:1024])
    np.savez(root / "mask.npz", mask_matrix=mask(256, 0.4))
    np.savez(root / "mask-64.npz", mask_matrix=mask(64, 0.4))
    for kind in KINDS:
        write(root / f"{kind}.npz", weights(kind, K=1, c=2))
    (root / "words.pkl").write_text("no weights")
    (root / "empty").mkdir()
    (root / "broken").mkdir()
    (root / "broken/a.png").write_text("no picture")
    (root / "pictures").mkdir()
    Image.fromarray(picture(40, 40, 1)).save(root / "pictures/a.png")
    (root / "slices").mkdir()
    Image.fromarray(picture(64, 64, 1)).save(root / "slices/a.png")
    matlab_73(root / "new.mat")
    return root


PLUS25 = "imaging/istanet-plus-25 --released {0}/plus.npz --operator {0}/o25.npz"


@pytest.mark.parametrize(
    "command, says",
    [
        ("imaging/istanet-plus-25 --released {0}/plus.npz", "need --operator, a .npz or .mat"),
        ("imaging/istanet-plus-25 --released {0}/gone.pkl --operator {0}/o25.npz", "no such file"),
        ("imaging/istanet-plus-25 --released {0}/words.pkl --operator {0}/o25.npz", "words.pkl"),
        ("imaging/istanet-plus-25 --released {0}/plus.npz --operator {0}/gone.mat", "no such file"),
        (
            "imaging/istanet-plus-25 --released {0}/plus.npz --operator {0}/new.mat",
            "cannot be read",
        ),
        ("imaging/istanet-plus-25 --released {0}/plus.npz --operator {0}/words.pkl", ".mat file"),
        (
            "imaging/istanet-plus-25 --released {0}/plus.npz --operator {0}/o10.npz",
            "o10.npz: holds phi",
        ),
        ("imaging/istanet-plus-25 --released {0}/plus.npz --operator {0}/mask.npz", "mask_matrix"),
        ("imaging/istanet-plus-25 --released {0}/plain.npz --operator {0}/o25.npz", "ISTANet "),
        ("imaging/istanet-25 --released {0}/plus.npz --operator {0}/o25.npz", "ISTANetPlus "),
        (
            "imaging/istanet-plus-10 --released {0}/plus.npz --operator {0}/o25.npz",
            "o25.npz: holds phi",
        ),
        (
            "imaging/mri-istanet-plus-40 --released {0}/plus.npz --operator {0}/o25.npz",
            "o25.npz: holds phi",
        ),
        ("imaging/mri-istanet-plus-40 --released {0}/plain.npz --operator {0}/mask.npz", "ISTANet"),
        ("imaging/istanet-plus-25 --operator {0}/o25.npz", "takes no matrix"),
        ("sparse/alista --released {0}/plus.npz --operator {0}/o25.npz", "no importer of released"),
        ("imaging/istanet-plus-25-constrained --released {0}/plus.npz", "no importer of released"),
        (PLUS25 + " --data {0}/empty", "holds no image; allowed are .png"),
        (PLUS25 + " --data {0}/gone", "is no folder"),
        (PLUS25 + " --data {0}/plus.npz", "is no folder"),
        (PLUS25 + " --data {0}/broken", "a.png: cannot be read"),
    ],
)
def test_what_cannot_be_evaluated_is_answered_in_one_line(command, says, shelf, quick, capsys):
    capsys.readouterr()
    assert main(["evaluate", *command.format(shelf).split()]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert error.startswith("python -m dunfold_lib: ")
    assert says in error


@pytest.mark.parametrize(
    "command, says",
    [
        (
            "imaging/istanet-plus-25 --released {0}/plus.npz --operator {0}/o25-of-32.npz "
            "--data {0}/pictures",
            "1089",
        ),
        (
            "imaging/mri-istanet-plus-40 --released {0}/plus.npz --operator {0}/mask-64.npz "
            "--data {0}/slices",
            "256",
        ),
        (PLUS25 + " --weights {0}/plus.npz --data {0}/pictures", "--weights"),
    ],
    ids=["blocks of 32", "mask of 64", "weights twice"],
)
def test_what_would_be_measured_by_another_protocol_is_refused(command, says, shelf, quick, capsys):
    capsys.readouterr()
    assert main(["evaluate", *command.format(shelf).split()]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error


def test_the_command_that_is_refused_above_works_without_its_mistake(shelf, quick, capsys):
    call = (PLUS25 + " --data {0}/pictures").format(shelf).split()
    made = evaluated(capsys, *call)
    assert list(made["scores"]["psnr_each"]) == ["a"]
    assert main(["evaluate", *call]) == 0
    assert "imaging/istanet-plus-25  psnr " in capsys.readouterr().out


def test_an_importer_of_one_experiment_takes_only_its_own(shelf):
    take = lambda kind, m, name, *files: released.load_experiment(
        kind, m, shelf / name, [shelf / f for f in files]
    )
    assert isinstance(take(ISTANetPlus, 272, "plus.npz", "o25.npz"), ISTANetPlus)
    assert isinstance(take(ISTANet, 109, "plain.npz", "o10.npz"), ISTANet)
    assert isinstance(take(ISTANet, None, "plain.npz", "mask.npz").A, Fourier)
    refused(lambda: take(ISTANet, 272, "plain.npz"), ValueError, "plain.npz", "--operator")


def test_the_operator_may_be_given_by_its_file(shelf):
    from_file = released.load_released(shelf / "plus.npz", shelf / "o25.npz")
    A, Q = released.load_operator(shelf / "o25.npz")
    b = A(torch.rand(2, 1, 33, 33, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(from_file(b), released.load_released(shelf / "plus.npz", A, Q)(b))


def test_a_mask_of_another_share_is_refused_for_the_experiment_that_names_one(tmp_path):
    np.savez(tmp_path / "m.npz", mask_matrix=mask(256, 0.1))
    w = write(tmp_path / "net.npz", weights())
    load = EXPERIMENTS["mri-istanet-plus-20"].released
    said = refused(
        lambda: load(w, [tmp_path / "m.npz"]), ValueError, "measures 10.", "measures 20%"
    )
    assert str(tmp_path / "m.npz") in said
    np.savez(tmp_path / "m.npz", mask_matrix=mask(256, 0.2))
    assert isinstance(load(w, [tmp_path / "m.npz"]), ISTANetPlus)
