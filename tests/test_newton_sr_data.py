"""Of newton sr: data."""

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused
from shared_newton_sr import F64, seeded, write_pair

from dunfold_lib import fetch
from dunfold_lib.newton_sr import baselines, data, evaluation, readers
from dunfold_lib.newton_sr import training as newton_sr_training

# data


def test_made_up_scenes_follow_their_generator_and_stay_in_range():
    for make in (data.planes, data.fusion):
        one, two, other = (make(seeded(s), side=24) for s in (1, 1, 2))
        assert torch.equal(one.truth, two.truth)
        assert torch.equal(one.Y, two.Y)
        assert not torch.equal(one.truth, other.truth)
        for t in one:
            assert t.min() >= 0
            assert t.max() <= 1
            assert t.shape[2:] == (24, 24)
    H = data.response(3, 8)
    torch.testing.assert_close(H.sum(1), torch.ones(3))


def test_the_motorcycle_has_no_holes_and_is_inside_the_range():
    s = data.motorcycle()
    assert s.truth.shape == s.Y.shape == (1, 1, 500, 741)
    assert s.truth.max() == 1
    assert s.truth.min() > 0
    holes = np.array([[np.inf, 2.0, np.inf, np.inf, 1.0], [3.0, np.inf, 5.0, 5.0, np.inf]])
    expected = [[2, 2, 1, 1, 1], [3, 3, 5, 5, 5]]
    np.testing.assert_array_equal(data.filled(holes), expected)


def test_a_folder_of_pairs_is_read_by_name(tmp_path, monkeypatch):
    write_pair(tmp_path, "one")
    write_pair(tmp_path, "two", ending="d")
    found = data.read_pairs(tmp_path)
    assert list(found) == ["one", "two"]
    assert found["one"].truth.shape == found["one"].Y.shape == (1, 1, 20, 24)
    assert list(data.read_pairs(tmp_path, ["two"])) == ["two"]
    half = data.halved(found["one"])
    torch.testing.assert_close(half.truth[0, 0, 0, 0], found["one"].truth[0, 0, :2, :2].mean())
    assert data.cropped(found["one"], 16).truth.shape == (1, 1, 16, 16)
    root = tmp_path / "root"
    for folder, names in (
        ("middlebury", data.MIDDLEBURY_TRAIN + data.MIDDLEBURY_TEST),
        ("sintel", ("05",)),
    ):
        (root / "multimodal" / folder).mkdir(parents=True)
        for name in names:
            write_pair(root / "multimodal" / folder, name, ending="d" if name == "05" else "gt")
    monkeypatch.setenv("DUNFOLD_DATA", str(root))
    data.middlebury.cache_clear()
    try:
        assert [*data.middlebury("train")] == [*data.MIDDLEBURY_TRAIN, "sintel 05"]
        assert data.middlebury("test")["art"].truth.shape == (1, 1, 10, 12)
    finally:
        data.middlebury.cache_clear()


def test_the_worldview_sample_is_read_by_walds_protocol(tmp_path, monkeypatch):
    from scipy.io import savemat

    (tmp_path / "multimodal" / "wv2").mkdir(parents=True)
    g = np.random.default_rng(0)
    bands, pan = (g.integers(0, 2048, s, dtype=np.uint16) for s in ((8, 8, 8), (32, 32)))
    savemat(tmp_path / "multimodal" / "wv2" / "imgWV2.mat", {"I_MS": bands, "I_PAN": pan})
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    data.worldview.cache_clear()
    try:
        truth, Y = data.worldview()
    finally:
        data.worldview.cache_clear()
    assert truth.shape == (1, 8, 8, 8)
    assert Y.shape == (1, 1, 8, 8)
    assert float(truth[0, 3, 1, 2]) == pytest.approx(bands[1, 2, 3] / 2047)
    assert float(Y[0, 0, 0, 0]) == pytest.approx(pan[:4, :4].mean() / 2047, rel=1e-5)


def write_nyu(folder, images=1002, size=(6, 4)):
    """A file of NYU v2's layout: colour and depth with rows last."""
    h5py = pytest.importorskip("h5py")
    g = np.random.default_rng(0)
    rgb = g.integers(0, 256, (images, 3, *size), dtype=np.uint8)
    depth = g.uniform(0.5, 9.9, (images, *size)).astype(np.float32)
    with h5py.File(folder / readers.NYU, "w") as file:
        file["images"], file["depths"] = rgb, depth
    return rgb, depth


def test_nyu_is_read_from_its_matlab_file_and_split(tmp_path):
    rgb, depth = write_nyu(tmp_path)
    test, train = readers.nyu(tmp_path), readers.nyu(tmp_path, "train")
    assert list(test) == ["1001", "1002"]
    assert (len(train), next(iter(train))) == (1000, "0001")
    truth, Y = test["1002"]
    assert truth.shape == Y.shape == (1, 1, 4, 6)  # rows, columns
    assert np.allclose(truth[0, 0], depth[1001].T / 10)
    weights = np.array([0.299, 0.587, 0.114])
    assert np.allclose(Y[0, 0], np.einsum("c,cwh->hw", weights, rgb[1001] / 255), atol=1e-6)
    assert list(readers.read_folder(tmp_path)) == ["1001", "1002"]
    refused(lambda: readers.nyu(tmp_path, "all"), ValueError, "part is 'all'; it must be .*")
    (tmp_path / readers.NYU).write_bytes(b"nothing")
    refused(lambda: readers.nyu(tmp_path), ValueError, r".*labeled.mat: cannot be read \(.*\)")


def test_a_file_of_nyus_name_with_too_few_images_is_refused(tmp_path):
    write_nyu(tmp_path, 3)
    says = r".*labeled.mat: images and depths of part 'test' have shapes .*"
    refused(lambda: readers.nyu(tmp_path), ValueError, says)
    assert len(readers.nyu(tmp_path, "train")) == 3


def write_cave(folder, name="balloons", bands=31, size=8):
    inner = folder / f"{name}_ms" / f"{name}_ms"
    inner.mkdir(parents=True)
    g = np.random.default_rng(len(name))
    cube = g.integers(0, 2**16, (bands, size, size), dtype=np.uint16)
    for i, band in enumerate(cube):
        Image.fromarray(band).save(inner / f"{name}_ms_{i + 1:02d}.png")
    return cube


def test_cave_is_read_band_by_band_and_its_guide_is_the_response(tmp_path):
    cube = write_cave(tmp_path)
    write_cave(tmp_path, "beads")
    found = readers.read_folder(tmp_path, guides=3)
    assert list(found) == ["balloons", "beads"]
    truth, Y = found["balloons"]
    assert np.allclose(truth[0], cube / 65535)
    assert np.allclose(
        Y[0], np.einsum("gb,bhw->ghw", data.response(3, 31), cube / 65535), atol=1e-6
    )
    next(tmp_path.rglob("beads_ms_07.png")).unlink()
    refused(
        lambda: readers.cave(tmp_path), ValueError, ".*beads_ms holds 30 bands; it must hold 31"
    )
    (tmp_path / "empty").mkdir()
    refused(lambda: readers.cave(tmp_path / "empty"), ValueError, ".*empty holds no cube; .*")


def test_a_readers_cube_is_fused(tmp_path):
    write_cave(tmp_path, size=16)
    glp, bicubic = (
        evaluation.measure_method("cave", method, 4, None, 0, tmp_path)
        for method in (baselines.glp, baselines.bicubic)
    )
    assert {"psnr", "sam", "ergas", "protocol", "notes"} == set(glp)
    assert glp["protocol"].startswith(f"data: {tmp_path}; 1 cubes in CAVE's layout, over 65535; ")
    assert glp["psnr"] != bicubic["psnr"]


def test_cave_and_nyu_are_split_into_training_and_test(tmp_path, monkeypatch):
    for place in ("cave", "nyu"):
        (tmp_path / "multimodal" / place).mkdir(parents=True)
    for name in ("a", "b", "c"):
        write_cave(tmp_path / "multimodal" / "cave", name)
    write_nyu(tmp_path / "multimodal" / "nyu")
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    assert list(newton_sr_training.training_set("cave")) == ["a", "c"]
    assert list(evaluation.measured_on("cave", 0)[""]) == ["b"]
    assert len(newton_sr_training.training_set("nyu")) == 1000
    assert list(evaluation.measured_on("nyu", 0)["_nyu"]) == ["1001", "1002"]


def test_indian_pines_comes_from_tensorlys_wheel_or_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    readers.indian_pines.cache_clear()
    if fetch.find_spec("tensorly"):
        truth, Y = readers.indian_pines()
        assert (truth.shape, Y.shape) == ((1, 20, 145, 145), (1, 4, 145, 145))
        assert float(truth.max()) == 1
        assert float(truth.min()) > 0.05  # radiance: no band is dark
        test = evaluation.measured_on("indian-pines", 0)[""]["indian-pines"]
        assert torch.equal(test.truth, truth[:, :, 96:])
        (train,) = newton_sr_training.training_set("indian-pines").values()
        assert torch.equal(train.Y, Y[:, :, :96])
    place = tmp_path / "hsi"
    place.mkdir()
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    held = np.arange(4 * 5 * 200, dtype=np.uint16).reshape(4, 5, 200)
    np.save(place / fetch.PINES, held)
    readers.indian_pines.cache_clear()
    truth, _ = readers.indian_pines()
    assert truth[0, 1, 0, 0] == pytest.approx(held[0, 0, 10:20].mean() / held[3, 4, 190:].mean())
    (place / fetch.PINES).write_bytes(b"nothing")
    readers.indian_pines.cache_clear()
    refused(readers.indian_pines, ValueError, r".*corrected.npy: cannot be read \(.*\)")
    (place / fetch.PINES).unlink()
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    says = r"Indian Pines needs tensorly: pip install 'dunfold-lib\[data\]'"
    refused(readers.indian_pines, ImportError, says)
    readers.indian_pines.cache_clear()


def test_training_and_test_share_no_row_and_no_seed():
    whole = readers.indian_pines().truth
    upper = newton_sr_training.training_set("indian-pines")["indian-pines"]
    lower = evaluation.measured_on("indian-pines", 0)[""]["indian-pines"]
    for i in range(2):
        assert upper[i].shape[2] + lower[i].shape[2] == whole.shape[2]
    assert torch.equal(torch.cat([upper.truth, lower.truth], 2), whole)
    first = evaluation.measured_on("fusion", 0)[""]["0"].truth
    assert torch.equal(first, data.fusion(seeded(2**31)).truth)
    trained = newton_sr_training.training_set("fusion").values()
    assert not any(torch.equal(first, s.truth) for s in trained)


def test_a_made_up_guide_has_six_levels_that_neighbours_may_share():
    scenes = [data.planes(seeded(i), 32, texture=0) for i in range(8)]
    levels = torch.cat([s.Y.flatten() for s in scenes]).unique()
    steps = (levels - 0.1) / 0.8 * 6
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-5)
    assert len(levels) <= 6
    assert all(len(s.truth.unique()) > 50 for s in scenes)


@pytest.mark.parametrize("group", [1, 4])
def test_lambda_is_a_fiftieth_of_the_least_that_leaves_nothing(group):
    problem = evaluation.lasso_problem(1e1, 0, group)
    least = problem.lam / 0.02
    zero = torch.zeros(problem.A.shape[1], dtype=F64)
    assert problem._replace(lam=1.0001 * least).kkt(zero) == 0
    assert problem._replace(lam=0.999 * least).kkt(zero) > 0


def test_patches_are_cut_from_the_scenes_with_their_guides():
    made = data.planes(seeded(), side=24)
    both = {"a": data.Scene(made.truth, made.truth)}
    truth, Y = data.patches(both, 5, 8, seeded(1))
    assert truth.shape == (5, 1, 8, 8)
    assert torch.equal(truth, Y)
    again, _ = data.patches(both, 5, 8, seeded(1))
    assert torch.equal(truth, again)


def test_the_designs_matrix_has_its_condition_and_its_groups():
    A, b, x = data.ill_conditioned(seeded(), 1e4, 10, 24, 6, 3)
    s = torch.linalg.svdvals(A)
    assert float(s[0] / s[-1]) ** 2 == pytest.approx(1e4)
    assert 0.004 < float((b - A @ x).norm() / (A @ x).norm()) < 0.02  # DESIGN_NOISE, of 10 draws
    assert int((x.reshape(-1, 3).norm(dim=1) > 0).sum()) == 2
