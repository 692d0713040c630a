"""What the tests ``test_released*`` share."""

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

from dunfold_lib.__main__ import main
from dunfold_lib.imaging import evaluation
from dunfold_lib.operators import Sensing

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


# the protocol of the tables, from files on disk to decibels


def picture(height, width, seed):
    """A smooth grey picture."""
    g = np.random.default_rng(seed).random((height // 8 + 2, width // 8 + 2))
    smooth = np.kron(g, np.ones((8, 8)))[:height, :width]
    return (255 * smooth).astype(np.uint8)


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


def matlab_73(path):
    """The header of a MATLAB 7.3 file, which is HDF5 behind it."""
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2018"
    path.write_bytes(head.ljust(124) + b"\x00\x02IM" + b"\x00" * 384 + b"\x89HDF\r\n\x1a\n")
    return path


def held(tmp_path, **arrays):
    np.savez(tmp_path / "o.npz", **arrays)
    return tmp_path / "o.npz"
