"""Weights that authors released: the importer, the command around it, the papers' protocol.

No released file is here. The weights below are random and laid out as theirs; the networks are
written again from the equations, and so is the protocol of the tables."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from shared_released import (
    SMALL,
    TENSORS,
    by_blocks,
    by_slices,
    kinds,
    mask,
    operator,
    weights,
    write,
)
from torch.testing import assert_close

from dunfold_lib.imaging import ISTANet, ISTANetPlus, load_operator, load_released
from dunfold_lib.operators import Fourier


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
