"""What the tests ``test_small_target*`` share."""

import os
from pathlib import Path

import numpy as np
import pytest
import shared_random
import torch
from PIL import Image
from torch.testing import assert_close

from dunfold_lib.small_target import data, evaluation
from dunfold_lib.small_target import training as small_target_training

seeded = shared_random.seeded
randn = shared_random.randn
rand = shared_random.rand
count = shared_random.count


F64 = torch.float64

SYNTHETIC = data.synthetic

DATA = os.environ.get("DUNFOLD_DATA", "")

has_sirst = pytest.mark.skipif(
    not (DATA and (Path(DATA) / "istd/SIRSTv1").is_dir()), reason="the data folder lacks SIRST v1"
)


def close(x, y, tolerance=1e-12):
    assert_close(x, y, rtol=0, atol=tolerance)


# scores


def masks(*rows):
    return torch.tensor([[[c == "#" for c in line] for line in image.split()] for image in rows])


# folders


def write(folder, name, array):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(folder / f"{name}.png")


def tiny_set(root, layout, names=("a", "b", "c", "d"), size=(20, 30)):
    """A set of the layout, of a few tiny images whose upper left quarter is the target."""
    pictures = "IRSTD1k_Img" if layout == "irstd1k-raw" else "images"
    labels = "IRSTD1k_Label" if layout == "irstd1k-raw" else "masks"
    end = "_pixels0" if layout == "sirst-raw" else ""
    lists = {"sirst-raw": ("idx_427", "{}.txt"), "nudt": ("img_idx", "{}_NUDT-SIRST.txt")}
    place, pattern = lists.get(layout, (".", "{}.txt"))
    halves = {"train": names[:2], "test": names[2:]}
    if layout in ("sirst", "sirst-raw"):
        halves = {"train": names[:2], "val": names[2:3], "test": names[3:]}
    for part, held in halves.items():
        base = root / ("trainval" if part == "train" else part) if layout == "aug" else root
        for i, name in enumerate(held):
            mask = np.zeros(size, np.uint8)
            mask[: size[0] // 2, : size[1] // 2] = 1 if layout == "nudt" else 255
            write(base / pictures, name, np.full(size, 40 * i + 10, np.uint8))
            write(base / labels, name + end, mask)
        if layout != "aug":
            end_of = ".png" if layout == "nudt" else ""
            path = root / place / pattern.format(part)
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(n + end_of for n in held) + "\n")
    return root


# training and measuring


def tiny_recipe(**changes):
    small_one = {"stages": 1, "width": 4, "neck": 2, "noise_layers": 1, "crop": 32, "batch": 2}
    return small_target_training.Training(**small_one | {"steps": 3, "every": 2} | changes)


@pytest.fixture
def few(monkeypatch):
    """Made-up scenes, fewer and smaller than the recipes have."""
    monkeypatch.setattr(small_target_training, "MADE_UP", {"train": (4, 1), "val": (2, 2)})
    monkeypatch.setattr(evaluation, "TEST_SCENES", 2)
    monkeypatch.setattr(data, "synthetic", lambda g, n, side=64: SYNTHETIC(g, n, 64))
    forget = small_target_training.part.cache_clear
    forget()
    yield
    forget()


SYNTHETIC = data.synthetic
