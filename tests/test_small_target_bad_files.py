"""Of small target bad input: small target bad files."""

from pathlib import Path

import numpy as np
import pytest
import refusals
import torch
from PIL import Image
from refusals import NAN, cases, ones, refused, spoilt
from shared_small_target_bad_input import BAD, g, tiny

from dunfold_lib.small_target import maps, readers, theory, training
from dunfold_lib.small_target.model import LRPCANet, RPCANet
from dunfold_lib.small_target.released import load_experiment, load_released
from dunfold_lib.small_target.training import Training
from dunfold_lib.solvers import jacobian_norm
from dunfold_lib.training import Context

# folders


def write(folder, name, array):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(folder / f"{name}.png")


@pytest.fixture
def shelf(tmp_path):
    """A right set, and what can be wrong with one."""
    grey = np.full((8, 9), 7, np.uint8)
    for name in ("right", "broken", "sizes", "maskless", "list", "empty list", "two", "binary"):
        write(tmp_path / name / "images", "a", grey)
        if name != "maskless":
            write(tmp_path / name / "masks", "a", grey[:5] if name == "sizes" else grey)
    (tmp_path / "broken/images/a.png").write_text("no picture")
    (tmp_path / "list/test.txt").write_text("a\nb\n")
    (tmp_path / "empty list/test.txt").write_text("\n")
    (tmp_path / "binary/test.txt").write_bytes(b"\xff\xfe\x00a")
    for kind in ("images", "masks"):
        write(tmp_path / "two" / kind, "b", np.full((5, 5), 7, np.uint8))
    (tmp_path / "empty/images").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    return tmp_path


@cases(
    (("gone",), ValueError, ".*gone is no folder; it must hold images/, masks/ and a split list"),
    (("file",), ValueError, ".*file is no folder; it must hold images/, masks/ and a split list"),
    (("empty",), ValueError, ".*images holds no image; allowed are .png, .*"),
    (("maskless",), ValueError, ".*maskless holds no folder masks/; it needs images/ and masks/"),
    (("broken",), ValueError, r".*a.png: cannot be read \(.*\)"),
    (
        ("sizes", "test", None),
        ValueError,
        r"a: image and mask have sizes \(8, 9\) and \(5, 9\); .*",
    ),
    (("two", "test", None), ValueError, r".*two holds images of sizes \(5, 5\) and \(8, 9\); .*"),
    (("list",), ValueError, ".*images holds no image b; allowed are .*"),
    (("empty list",), ValueError, ".*test.txt: names no image; it must hold one name a line"),
    (("binary",), ValueError, r".*test.txt: cannot be read \(.*\)"),
    (("right", "train"), ValueError, ".*right holds no list train.txt; it must name .*"),
    (("right", "exam"), ValueError, "part is 'exam'; it must be one of train, val, test"),
    (("right", "test", 0), ValueError, "side is 0; it must be at least 1"),
    (("right", "test", 8, "lanczos"), ValueError, "resampling is 'lanczos'; it must be one of .*"),
    (("right", "test", 8, "nearest", "x"), ValueError, "masks is 'x'; it must be one of .*"),
)
def test_folders_refuse(given, error, says, shelf):
    where, *rest = given
    refused(lambda: readers.read_folder(shelf / where, *rest), error, says)


def test_sets_that_are_not_there_say_where_they_belong(monkeypatch, tmp_path):
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    says = "NUDT-SIRST is not here: put it into istd/NUDT-SIRST of the folder DUNFOLD_DATA names"
    refused(lambda: readers.frames("nudt", "test"), ValueError, says)
    says = "data set is 'coco'; it must be one of sirst, nudt, irstd1k, sirst-aug"
    refused(lambda: readers.frames("coco", "test"), ValueError, says)
    readers.backgrounds.cache_clear()
    refused(lambda: readers.backgrounds(), ValueError, "SIRSTv2_backgrounds is not here: .*")
    says = "part is 'val'; it must be one of train, test"
    refused(lambda: readers.augmented(tmp_path, "val", g), ValueError, says)


# theory and runs


def test_theory_refuses():
    x = ones(2, 3)
    refused(lambda: theory.pairwise(abs, x, x), ValueError, "x and y have a row in common; .*")
    refused(lambda: theory.pairwise(abs, x, ones(3, 3)), ValueError, r"x and y have shapes .*")
    refused(lambda: theory.pairwise(abs, spoilt(x), x), ValueError, f"x {BAD}")
    refused(
        lambda: jacobian_norm(abs, x, 0, torch.Generator()), ValueError, "steps is 0; it must be .*"
    )
    refused(lambda: theory.effective_rank(ones(3)), ValueError, r"x has shape \(3,\); .*")
    one = lambda: maps.lipschitz(tiny(), ones(1, 1, 8, 8, dtype=torch.float32))
    refused(one, ValueError, "b has 1 image; pairs need two at least")


@cases(
    ({"data": "coco"}, ValueError, "data is 'coco'; it must be one of synthetic, injected, .*"),
    ({"crop": 0}, ValueError, "crop is 0; it must be at least 1"),
    ({"every": 0}, ValueError, "every is 0; it must be at least 1"),
    ({"sigma": -1.0}, ValueError, "sigma is -1; .*"),
    ({"density": 2.0}, ValueError, "density is 2; .*"),
    ({"bce": -1.0}, ValueError, "bce is -1; .*"),
    ({"dark": NAN}, ValueError, "dark is nan; .*"),
    ({"lr": 0.0}, ValueError, r"lr is 0; it must be finite and in \(0, inf\]"),
    ({"steps": -1}, ValueError, "steps is -1; it must be at least 0"),
)
def test_recipes_refuse(given, error, says):
    refused(lambda: Training(**given), error, says)


def test_best_weights_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / training.BEST).write_text("no weights")
    says = r".*best.safetensors: holds no best weights \(.*\); remove it"
    refused(lambda: training.Best(tiny(), Training(), Context(tmp_path)), ValueError, says)


# released weights


def state(K=1, c=2):
    """The released names of a small RPCANet."""
    net, made = RPCANet(K=K, c=c), {}
    names = {"FB": "lowrank.convs", "FT": "sparse.convs", "FD": "merge.mapping"}
    for k in range(K):
        for ours, theirs in names.items():
            F = getattr(net, ours)[k]
            for j, m in enumerate([*F.body, F.last]):
                made |= {f"decos.{k}.{theirs}.{j}.{n}": v for n, v in m.state_dict().items()}
        made[f"decos.{k}.sparse.epsilon"] = torch.tensor([0.01])
    return made


def changed(**entries):
    made = state()
    for name, value in entries.items():
        name = name.replace("__", ".")
        made.pop(name) if value is None else made.update({name: value})
    return made


FIRST = "decos__0__lowrank__convs__0__weight"


@cases(
    ({}, ValueError, "weights: holds no name decos.0.…; it must hold decos.0, decos.1, … in a row"),
    ({"decos.1.x": ones(1)}, ValueError, r"weights: holds stages \[1\]; it must hold decos.0, .*"),
    (changed(**{FIRST: None}), ValueError, "weights: holds no decos.0.lowrank.convs.0.weight; .*"),
    (changed(**{FIRST: ones(2)}), ValueError, r"weights: holds .* of shape \(2,\); .*"),
    (
        changed(decos__0__sparse__epsilon=None),
        ValueError,
        "weights: lacks decos.0.sparse.epsilon; a RPCANet of 1 stages has 69 names: decos.*, …",
    ),
    (changed(other=ones(1)), ValueError, "weights: holds other; a RPCANet of 1 stages has .*"),
    (
        changed(decos__0__sparse__convs__2__weight=ones(2, 5, 3, 3)),
        ValueError,
        r"weights: .*convs.2.weight has shape \(2, 5, 3, 3\), not \(2, 2, 3, 3\)",
    ),
    (changed(**{FIRST: ones(2, 1, 3, 3) * NAN}), ValueError, "weights: decos.* holds 18 NaN .*"),
    (
        changed(**{FIRST: ones(2, 1, 3, 3) * 1j}),
        TypeError,
        "weights: .*complex128; it must be real",
    ),
    (changed(**{FIRST: "words"}), ValueError, "weights: .* is a str; it must be an array"),
    (
        changed(decos__0__merge__mapping__1__running_var=-ones(2)),
        ValueError,
        "weights: .*running_var holds a negative variance; it must be at least 0",
    ),
)
def test_released_weights_refuse(given, error, says):
    refused(lambda: load_released(given), error, says)


@pytest.mark.parametrize("name", ["a.pkl", "a.npz"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.98])
def test_files_cut_short_are_refused(name, share, tmp_path):
    path = tmp_path / name
    if name == "a.pkl":
        torch.save(state(), path)
    else:
        np.savez(path, **{k: v.numpy() for k, v in state().items()})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(lambda: load_released(path), ValueError, rf".*{name}: holds no state dict that can .*")


def test_files_that_are_no_weights_are_refused(tmp_path):
    (tmp_path / "words.pkl").write_text("many words")
    torch.save([torch.ones(2)], tmp_path / "list.pkl")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pkl")
    take = lambda name: lambda: load_released(tmp_path / name)
    refused(take("words.pkl"), ValueError, ".*words.pkl: holds no state dict .*")
    refused(take("list.pkl"), ValueError, ".*list.pkl: holds a list; it must be a state dict")
    refused(take("net.pkl"), ValueError, ".*net.pkl: holds no state dict .*")
    refused(take("gone.pkl"), ValueError, ".*gone.pkl: there is no such file")
    refused(take(""), ValueError, ".*: there is no such file")


def test_released_weights_of_another_experiment_are_refused(tmp_path):
    torch.save(state(), tmp_path / "r.pkl")
    says = ".*r.pkl: holds RPCANet weights; asked for LRPCANet"
    refused(lambda: load_experiment(LRPCANet, tmp_path / "r.pkl", []), ValueError, says)
    says = "o.npz: a detector sees the image itself; leave --operator out"
    refused(lambda: load_experiment(RPCANet, tmp_path / "r.pkl", [Path("o.npz")]), ValueError, says)


@pytest.mark.parametrize(
    "command, says",
    [
        ("small_target/lrpcanet-sirst --released {0}/gone.pkl", "there is no such file"),
        ("small_target/lrpcanet-sirst --released {0}/file", "holds no state dict"),
        ("small_target/lrpcanet-sirst --released {0}/r.pkl --data {0}/right", "asked for LRPCANet"),
        ("small_target/rpcanet-sirst --released {0}/r.pkl --data {0}/gone", "is no folder"),
        ("small_target/rpcanet-sirst --released {0}/r.pkl --data {0}/empty", "holds no image"),
        ("small_target/rpcanet-sirst --released {0}/r.pkl --operator {0}/file", "leave --operator"),
        ("small_target/mpcm-sirst --released {0}/r.pkl", "has no importer of released weights"),
        ("small_target/mpcm-nudt", "NUDT-SIRST is not here"),
        ("small_target/mpcm-sirst --data {0}/broken", "cannot be read"),
    ],
)
def test_commands_answer_in_one_line(command, says, shelf, capsys, monkeypatch):
    (shelf / "nowhere").mkdir()
    monkeypatch.setenv("DUNFOLD_DATA", str(shelf / "nowhere"))
    torch.save(state(), shelf / "r.pkl")
    refusals.evaluated_in_one_line(command.format(shelf), says, capsys)
