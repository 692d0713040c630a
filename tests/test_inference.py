"""Recorded networks on a reader's own arrays, files and folders."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dunfold_lib as df
from dunfold_lib import inference
from dunfold_lib.__main__ import main
from dunfold_lib.hyperspectral import data as cubes_of
from dunfold_lib.imaging.fast import reconstruct
from dunfold_lib.newton_sr import Pair
from dunfold_lib.small_target.fast import logits

DETECTOR, NET, DEPTH = (
    "small_target/lrpcanet-sirst",
    "imaging/istanet-plus-25",
    "newton_sr/newton-4",
)
CUBE, CODE = "hyperspectral/star", "sparse/alista"


@pytest.fixture
def g() -> np.random.Generator:
    return np.random.default_rng(0)


def test_measurements_give_sparse_vectors_of_one_and_of_many(g):
    net = df.load(CODE)
    A = net.net.A
    sparse = g.normal(size=(3, *A.domain)) * (g.uniform(size=(3, *A.domain)) < 0.1)
    b = A(torch.from_numpy(sparse).float()).double().numpy()
    x = net(b)
    assert x.shape == (3, A.domain[0])
    assert x.dtype == np.float32
    np.testing.assert_allclose(net(b[0]), x[0], atol=1e-4)
    with torch.no_grad():
        same = net.net(torch.from_numpy(b).float())
    assert torch.equal(net(torch.from_numpy(b)), same)


@pytest.mark.parametrize("recipe", ["cpu", "gpu-short"])
def test_an_image_of_any_type_gives_the_same_picture(recipe, g):
    net = df.load(NET, recipe)
    grey = g.integers(0, 256, (40, 66), dtype=np.uint8)
    made = net(grey)
    wanted = reconstruct(net.net, torch.from_numpy(grey).float()[None, None] / 255)[0, 0]
    assert made.shape == grey.shape
    np.testing.assert_allclose(made, wanted.clamp(0, 1).numpy(), atol=1e-6)
    np.testing.assert_allclose(net(grey / 255), made, atol=1e-5)
    np.testing.assert_allclose(net(np.stack([grey] * 3, 2)), made, atol=1e-4)
    assert torch.equal(net(torch.from_numpy(grey)), torch.from_numpy(made))
    with pytest.raises(ValueError, match="sigma is for denoisers alone"):
        net(grey, sigma=0.1)


def test_a_denoiser_needs_the_level_of_the_noise(g):
    net = df.load("imaging/denoiser")
    image = g.uniform(size=(20, 30))
    with pytest.raises(ValueError, match="a denoiser needs sigma"):
        net(image)
    assert net(image, sigma=0.1).shape == image.shape


def test_depth_comes_back_in_its_own_units(g):
    net = df.load(DEPTH)
    low, guide = g.integers(0, 256, (12, 10), dtype=np.uint8), g.uniform(size=(48, 40))
    made = net(low, guide)
    assert made.shape == (48, 40)
    metres = low.astype(np.float64)  # no 8 bit: over its largest value
    np.testing.assert_allclose(net(2 * metres, guide), 2 * net(metres, guide), rtol=1e-5)
    with torch.no_grad():
        as_tensor = lambda a: torch.from_numpy(a).float()[None, None]
        U = net.net(Pair(as_tensor(low / 255), as_tensor(guide)))[0, 0]
    np.testing.assert_allclose(made, 255 * U.clamp_min(0).numpy(), rtol=1e-4, atol=1e-2)
    with pytest.raises(ValueError, match="Y has shape"):
        net(low, guide[:40])


def test_a_cube_is_denoised_in_its_own_units():
    net = df.load(CUBE)
    cube = cubes_of.part("test")[:, :, :24, :20]
    Y = cube + 30 / 255 * torch.randn(cube.shape, generator=torch.Generator().manual_seed(0))
    counts = (1000 * Y[0].movedim(0, 2)).numpy()
    made = net(counts, sigma=30 / 255 * 1000)
    assert made.shape == counts.shape
    error = lambda a: float(np.square(a - 1000 * cube[0].movedim(0, 2).numpy()).mean())
    assert error(made) < error(counts) / 20
    blind = net(counts)
    assert error(blind) < error(counts) / 20


def test_frames_give_the_logits_of_the_network(g):
    net = df.load(DETECTOR)
    frame = g.integers(0, 256, (50, 70), dtype=np.uint8)
    wanted = logits(net.net, torch.from_numpy(frame).float()[None, None] / 255)[0, 0]
    np.testing.assert_array_equal(net(frame), wanted.numpy())
    assert isinstance(net(torch.from_numpy(frame)), torch.Tensor)


def frames(folder: Path, g: np.random.Generator, count: int = 3) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.fromarray(g.integers(0, 256, (40, 40), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


def test_a_folder_of_frames_becomes_a_folder_of_masks(tmp_path, g, capsys):
    folder, out = frames(tmp_path / "in", g), tmp_path / "out"
    assert main(["run", DETECTOR, str(folder), str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["0.png", "1.png", "2.png"]
    frame = np.asarray(Image.open(folder / "1.png"))
    mask = np.asarray(Image.open(out / "1.png"))
    np.testing.assert_array_equal(mask, np.where(df.load(DETECTOR)(frame) > 0, 255, 0))
    assert main(["run", DETECTOR, str(folder), str(out)]) == 2
    assert "0.png exists; name another" in capsys.readouterr().err


def test_a_picture_and_its_numbers(tmp_path, g):
    source = frames(tmp_path / "in", g, 1) / "0.png"
    for name in ("x.png", "x.npy"):
        assert main(["run", NET, str(source), str(tmp_path / name), "--recipe", "cpu"]) == 0
    numbers = np.load(tmp_path / "x.npy")
    picture = np.asarray(Image.open(tmp_path / "x.png"))
    np.testing.assert_array_equal(picture, np.rint(255 * numbers))


def test_a_guided_network_takes_its_guides_by_name(tmp_path, g):
    low, guides = tmp_path / "low", tmp_path / "guides"
    for folder, side in ((low, 10), (guides, 40)):
        folder.mkdir()
        for name in ("a", "b"):
            np.save(folder / f"{name}.npy", g.uniform(size=(side, side)))
    assert main(["run", DEPTH, str(low), str(tmp_path / "out"), "--guide", str(guides)]) == 0
    made = np.load(tmp_path / "out/b.npy")
    wanted = df.load(DEPTH)(np.load(low / "b.npy"), np.load(guides / "b.npy"))
    np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_cubes_and_measurements_from_files(tmp_path, g):
    np.save(tmp_path / "cube.npy", cubes_of.part("test")[0, :, :20, :20].movedim(0, 2).numpy())
    assert main(["run", CUBE, str(tmp_path / "cube.npy"), str(tmp_path / "c.npy")]) == 0
    assert np.load(tmp_path / "c.npy").shape == (20, 20, 200)
    m = df.load(CODE).net.A.codomain[0]
    np.save(tmp_path / "b.npy", g.normal(size=(m, 1)))  # a column, as MATLAB has it
    assert main(["run", CODE, str(tmp_path / "b.npy"), str(tmp_path / "x.npy")]) == 0
    assert np.load(tmp_path / "x.npy").ndim == 1


REFUSED = {
    "no such input": ([DETECTOR, "gone.png", "x.png"], "gone.png"),
    "no picture": ([CUBE, "c.npy", "x.png"], "must end in .npy"),
    "no guide": ([DEPTH, "a.png", "x.npy"], "needs a guide"),
    "a guide too many": ([DETECTOR, "a.png", "x.png", "--guide", "a.png"], "takes no guide"),
    "a guide that is not there": ([DEPTH, "folder", "out", "--guide", "empty"], "no guide for"),
    "an empty folder": ([DETECTOR, "empty", "out"], "holds no file that ends in"),
    "a network that is none": (["small_target/pstnn-sirst", "a.png", "x.png"], "no weights"),
    "a sigma too many": ([DETECTOR, "a.png", "x.png", "--sigma", "1"], "it takes image"),
    "a negative sigma": ([CUBE, "c.npy", "x.npy", "--sigma", "-1"], "sigma is -1"),
    "a sigma that is none": ([CUBE, "c.npy", "x.npy", "--sigma", "nan"], "sigma is nan"),
    "a cube that is none": ([CUBE, "flat.npy", "x.npy"], "flat.npy"),
    "measurements of another A": ([CODE, "flat.npy", "x.npy"], "b has shape"),
    "a damaged file": ([DETECTOR, "bad.png", "x.png"], "bad.png: cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_told_in_one_line(case, tmp_path, monkeypatch, capsys, g):
    monkeypatch.chdir(tmp_path)
    frames(tmp_path / "folder", g, 1)
    (tmp_path / "empty").mkdir()
    Image.fromarray(np.zeros((20, 20), np.uint8)).save("a.png")
    Path("bad.png").write_bytes(Path("a.png").read_bytes()[:40])
    np.save("c.npy", g.uniform(size=(10, 10, 12)))
    np.save("flat.npy", g.uniform(size=(10, 11)))
    given, says = REFUSED[case]
    assert main(["run", *given]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert says in last
    assert not {Path("x.png"), Path("x.npy")} & {*Path().iterdir()}


def test_one_bad_file_of_a_folder_is_named_and_the_others_are_done(tmp_path, g, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "c"):
        np.save(folder / f"{name}.npy", g.uniform(size=(20, 20, 12)))
    np.save(folder / "b.npy", np.full((20, 20, 12), np.nan))
    assert main(["run", CUBE, str(folder), str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "b.npy: left out" in told
    assert "1 files of" in told
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.npy", "c.npy"]


@pytest.mark.parametrize("given", [[1, 2], "a.png", None, {"b": 1}])
def test_what_is_no_array_is_refused(given):
    with pytest.raises(TypeError, match=r"it must be a NumPy array or a torch\.Tensor"):
        df.load(DETECTOR)(given)


def test_every_recorded_network_is_named_and_each_kind_is_ready():
    """One of each room and size of file is loaded: they are all read by one function."""
    kinds: dict[tuple[str, int], str] = {}
    for name, (path, _) in inference.loadable().items():
        kinds.setdefault((name.split("/")[0], path.stat().st_size), name)
    assert len(kinds) > 20
    for name in kinds.values():
        net = df.load(name)
        assert not net.net.training
        assert next(iter(inspect.signature(inference._room(name).apply).parameters)) == "net"


def test_the_table_of_networks_names_each_with_its_size_and_its_score(capsys):
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    head, rows, _ = inference.models()
    assert [row[0] for row in rows] == [*inference.loadable()]
    assert {len(row) for row in rows} == {len(head)}
    row = next(row for row in rows if row[0] == NET)
    assert row[1] == f"{sum(p.numel() for p in df.load(NET).net.parameters()):,}"
    assert row[4].startswith("psnr ")
    assert all(name in told for name in row)
