"""Of hyperspectral: data."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from shared_hyperspectral import F64, randn, seeded

from dunfold_lib import datasets, fetch
from dunfold_lib.hyperspectral import baselines, data, evaluation, readers, scores
from dunfold_lib.hyperspectral.lowrank import band_noise

# the methods it is compared with


def test_the_baselines_take_noise_away():
    truth = data.synthetic(seeded(2), (32, 30), 24, 4)
    Y = data.Noise(30)(truth, seeded(3))
    before = scores.psnr(Y, truth)
    by_pca = scores.psnr(baselines.pca(Y, 30 / 255), truth)
    assert by_pca > before + 5
    for name, f in baselines.DENOISERS.items():
        made = baselines.subspace_denoiser(Y, 30 / 255, f)
        assert scores.psnr(made, truth) > by_pca, name
    assert scores.psnr(baselines.lrtdtv(Y, 30 / 255), truth) > before + 5


def test_lrtdtvs_parts():
    X = randn(4, 5, 6)
    w = torch.tensor([1.0, 0.5, 2.0], dtype=F64)
    F = randn(3, 4, 5, 6, seed=1)
    D, T = baselines._differences, baselines._differences_T
    torch.testing.assert_close((D(X, w) * F).sum(), (X * T(F, w)).sum(), rtol=1e-12, atol=1e-12)
    power = baselines._difference_power(X.shape, w.float()).to(F64)
    by_fourier = torch.fft.irfftn(torch.fft.rfftn(X) * power, s=X.shape)
    torch.testing.assert_close(T(D(X, w), w), by_fourier, rtol=0, atol=1e-6)
    low = torch.einsum("ai,bi,ci->abc", randn(4, 2), randn(5, 2, seed=2), randn(6, 2, seed=3))
    torch.testing.assert_close(baselines.tucker(low, (2, 2, 2)), low, rtol=0, atol=1e-10)


# data


def test_indian_pines_and_its_parts_share_no_pixel():
    cube, labels = data.indian_pines(), data.labels()
    assert cube.shape == (1, 200, 145, 145)
    assert float(cube.max()) == 1
    assert labels.shape == (145, 145)
    assert sorted(labels.unique().tolist()) == list(range(17))
    train, test, validation = (data.part(n) for n in ("train", "test", "validation"))
    assert train.shape == (1, 200, 145, 80)
    assert test.shape == (1, 200, 96, 64)
    assert validation.shape == (1, 200, 49, 64)
    assert torch.equal(test, cube[:, :, 16:112, 81:145])
    assert torch.equal(validation[:, :, 16:], cube[:, :, 112:, 81:])
    assert torch.equal(train, cube[..., :80])


def test_the_repair_undoes_what_a_treatment_as_text_did():
    cube = data.synthetic(seeded(3), (40, 50), 60, 4)[0].movedim(0, 2)
    whole = (6500 * cube + 20 * torch.randn(cube.shape, generator=seeded())).numpy()
    whole = whole.clip(1).astype(np.uint16)
    harmed = np.frombuffer(whole.tobytes().replace(b"\r", b"\n"), whole.dtype).reshape(whole.shape)
    made = data.repaired(harmed)
    hit = (whole // 256 == 13) & ((whole & 255) != 13)
    assert hit.sum() > 500
    assert ((made.values == whole) | made.lower)[hit].mean() > 0.99
    assert (made.raised == (whole // 256 == 13)).mean() > 0.998
    assert np.array_equal(made.doubtful, np.isin(whole // 256, (10, 13)))
    left = made.values.astype(int) - whole  # what no band can tell: a lower byte 13 that is now 10
    assert set(np.unique(left[made.raised == (whole // 256 == 13)])) == {-3, 0}
    assert ((left == -3) <= made.lower).all()
    assert np.array_equal(made.values[~made.doubtful], harmed[~made.doubtful])


def test_a_sound_file_and_one_without_the_byte_are_left_alone():
    whole = np.arange(4000, dtype=np.uint16).reshape(10, 20, 20)  # has every byte
    for sound in (whole, whole // 8, whole + np.uint16(4000), whole.astype(np.int32)):
        made = data.repaired(sound)
        assert np.array_equal(made.values, sound)
        assert not made.doubtful.any()
        assert not made.lower.any()
    wide = np.full((3, 3, 5), 2600, np.uint16)  # nothing but doubt: nothing to decide by
    assert np.array_equal(data.repaired(wide).values, wide)


def test_indian_pines_is_repaired_where_its_bytes_say_so():
    stored = fetch.array(fetch.indian_pines())
    made = data.repaired(stored)
    assert 0.0272 < made.raised.mean() < 0.0283  # 2.77 % of the values
    count = np.bincount(made.values.ravel() // 256)  # of upper bytes
    assert abs(count[13] / (count[12] + count[14]) - 0.5) < 0.1  # the gap is filled
    assert abs(count[10] / (count[9] + count[11]) - 0.5) < 0.11  # and the heap is gone
    assert 0.008 < made.lower.mean() < 0.02
    fine = np.where(made.values // 256 == 14, made.values - 768, made.values)
    doubtful = fine // 256 == 11  # the same harm where the answer is known: 14 becomes 11
    back = fine + 768 * data.too_low(fine, doubtful)
    assert (back == made.values)[doubtful].mean() > 0.998
    cube = data.indian_pines()
    assert torch.equal(cube[0], torch.from_numpy(np.moveaxis(made.values / 9604, 2, 0)).float())
    assert torch.equal(data.part("test"), cube[:, :, 16:112, 81:])
    as_is = data.indian_pines(True)
    assert torch.equal(as_is != cube, torch.from_numpy(np.moveaxis(made.raised, 2, 0))[None])
    worst = 255 * band_noise(as_is)[0]
    assert float(worst[60]) > 7 > 0.6 > float(255 * band_noise(cube)[0][60])
    cube.zero_()
    assert float(data.indian_pines().max()) == 1  # a copy: nobody else sees the change


@pytest.mark.parametrize("level, expected", [(10, 28.13), (30, 18.59), (50, 14.15), (70, 11.23)])
def test_white_noise_has_the_psnr_that_its_level_gives(level, expected):
    truth = data.part("test")
    assert scores.psnr(evaluation.noised(truth, data.Noise(level), 0), truth) == pytest.approx(
        expected, abs=0.02
    )


def test_every_kind_of_noise_by_its_statistics():
    truth = torch.full((1, 40, 50, 60), 0.5)
    white = data.Noise(51)(truth, seeded()) - truth
    assert float(white.std()) == pytest.approx(0.2, rel=0.01)
    varying = (data.Noise(51, varying=True)(truth, seeded()) - truth).std((2, 3))[0]
    assert float(varying.min()) < 0.05
    assert 0.15 < float(varying.max()) < 0.21
    impulse = data.Noise(impulse=0.1)(truth, seeded())
    assert float((impulse == 0).double().mean()) == pytest.approx(0.05, abs=3e-3)
    assert float((impulse == 1).double().mean()) == pytest.approx(0.05, abs=3e-3)
    stripes = data.Noise(stripes=0.5, bands=0.5)(truth, seeded()) - truth
    assert float((stripes[:, :, :1] - stripes).abs().max()) == 0  # whole columns
    size = stripes[stripes != 0].abs()
    assert 0.1 - 1e-6 <= float(size.min()) < 0.11
    assert 0.29 < float(size.max()) <= 0.3 + 1e-6
    assert 0.4 < float((stripes[stripes != 0] > 0).double().mean()) < 0.6
    assert 0.3 < float(stripes.any(3).any(2).double().mean()) < 0.7
    dead = data.Noise(dead=0.5, bands=1.0)(truth, seeded())
    assert set(dead.unique().tolist()) == {0.0, 0.5}
    assert torch.equal(dead.amax(2), dead.amin(2))
    assert torch.equal(data.Noise()(truth, seeded()), truth)
    again = data.NOISES["mixed"]
    assert torch.equal(again(truth, seeded(4)), again(truth, seeded(4)))


def test_made_up_cubes_have_their_rank_and_range():
    cube = data.synthetic(seeded(), (20, 24), 30, 4)
    assert cube.shape == (1, 30, 20, 24)
    assert float(cube.max()) == 1
    assert float(cube.min()) > 0
    s = torch.linalg.svdvals(cube[0].flatten(1).double())
    assert float(s[3] / s[0]) > 1e-3
    assert float(s[4] / s[0]) < 1e-6


def test_crops_are_cut_from_the_cube():
    cube, g = torch.arange(35.0).reshape(1, 1, 5, 7), seeded()
    for crop in (datasets.crop(cube, 3, g) for _ in range(8)):
        values = crop.flatten().sort().values
        inside = [cube[0, 0, i : i + 3, j : j + 3].flatten() for i in range(3) for j in range(5)]
        assert any(torch.equal(values, v) for v in inside)


# files


def small(dtype=np.uint16):
    return (np.arange(5 * 6 * 4).reshape(5, 6, 4) * 3).astype(dtype)


def write_hdf5(path, name, a):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = a.transpose()
        file["wavelengths"] = np.arange(4.0)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


def test_of_a_file_of_icvl_the_radiance_is_read_and_files_of_classes_are_left_out(tmp_path):
    rad = np.arange(60.0).reshape(3, 4, 5)
    savemat(tmp_path / "scene.mat", {"rad": rad, "rgb": np.ones((3, 4, 3))})
    savemat(tmp_path / "scene_gt.mat", {"classes": np.ones((3, 4))})
    (cube,) = readers.read_folder(tmp_path).values()
    assert torch.equal(cube, data.scaled(rad, "rad"))


def test_cubes_are_read_from_every_kind_of_file(tmp_path):
    a = small()
    savemat(tmp_path / "PaviaU.mat", {"paviaU": a, "wavelengths": np.arange(4.0)})
    write_hdf5(tmp_path / "icvl.mat", "rad", a)
    np.save(tmp_path / "plain.npy", a.astype(np.float32))
    np.savez(tmp_path / "packed.npz", cube=a, note=np.arange(3))
    found = readers.read_folder(tmp_path)
    assert set(found) == {"PaviaU", "icvl", "plain", "packed"}
    expected = torch.from_numpy(np.moveaxis(a / a.max(), 2, 0)).float()[None]
    for cube in found.values():
        assert torch.equal(cube, expected)


def test_cave_is_read_band_by_band(tmp_path):
    inner = tmp_path / "toy_ms" / "toy_ms"
    inner.mkdir(parents=True)
    for band in range(31):
        value = np.full((6, 7), 100 * (band + 1), np.uint16)
        Image.fromarray(value).save(inner / f"toy_ms_{band + 1:02d}.png")
    (cube,) = readers.read_folder(tmp_path).values()
    assert cube.shape == (1, 31, 6, 7)
    torch.testing.assert_close(cube[0, :, 2, 3], torch.arange(1, 32) / 31)


def test_extra_scenes_come_from_the_data_folder_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    assert readers.extra_scenes() == {}
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    (tmp_path / "hsi").mkdir()
    assert readers.extra_scenes() == {}
    np.savez(tmp_path / "hsi" / f"{readers.EXTRA['pavia']}.npz", cube=small())
    assert set(readers.extra_scenes()) == {"pavia"}


def test_indian_pines_in_the_data_folder_comes_first(tmp_path, monkeypatch):
    (tmp_path / "hsi").mkdir()
    np.save(tmp_path / "hsi" / "Indian_pines_corrected.npy", small())
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    assert data.indian_pines().shape == (1, 4, 5, 6)
    assert data.labels().shape == (145, 145)  # from the wheel
    np.save(tmp_path / "hsi" / "Indian_pines_corrected.npy", small()[1:])  # a changed file is seen
    assert data.indian_pines().shape == (1, 4, 4, 6)
    monkeypatch.delenv("DUNFOLD_DATA")
    assert data.indian_pines().shape == (1, 200, 145, 145)
