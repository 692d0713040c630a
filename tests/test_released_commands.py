"""Of released: commands."""

import numpy as np
import pytest
import refusals
import shared_released
import torch
from PIL import Image
from shared_released import (
    KINDS,
    WHOLE,
    evaluated,
    mask,
    matlab_73,
    picture,
    refused,
    weights,
    write,
)

from dunfold_lib.__main__ import main
from dunfold_lib.imaging import ISTANet, ISTANetPlus, released
from dunfold_lib.imaging.experiments import EXPERIMENTS
from dunfold_lib.operators import Fourier

quick = shared_released.quick


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
    refusals.evaluated_in_one_line(command.format(shelf), says, capsys)


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
