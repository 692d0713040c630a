"""Of released: protocol."""

import numpy as np
import pytest
import scipy.io
import shared_released
import torch
from PIL import Image
from shared_released import (
    SMALL,
    WHOLE,
    by_blocks,
    by_slices,
    evaluated,
    kinds,
    mask,
    operator,
    picture,
    weights,
    write,
)
from skimage.metrics import structural_similarity

from dunfold_lib.imaging import load_operator, load_released, reconstruct
from dunfold_lib.operators import Sensing

quick = shared_released.quick


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
