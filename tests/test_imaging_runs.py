"""Of imaging: runs."""

import json
import math

import numpy as np
import pytest
import shared_imaging
import torch
from PIL import Image
from shared_imaging import GREY, TINY, close, mri, small, structural, uniform
from skimage.metrics import structural_similarity

from dunfold_lib import experiment, fetch, records
from dunfold_lib.__main__ import main
from dunfold_lib.imaging import data, evaluation, experiments, fast, published
from dunfold_lib.imaging import training as imaging_training
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus

scraps = shared_imaging.scraps


# measuring


def test_a_score_is_clipped_and_not_rounded():
    truth, estimate = uniform(1, 1, 12, 9), 1.4 * uniform(1, 1, 12, 9, seed=1) - 0.2
    u, v = truth[0, 0].numpy(), estimate[0, 0].clamp(0, 1).numpy()
    found = evaluation.score(estimate, truth)
    assert found[0] == pytest.approx(-10 * math.log10(((u - v) ** 2).mean()), abs=1e-12)
    assert found[1] == pytest.approx(structural(u, v, 1.0), abs=1e-12)
    assert found[1] == pytest.approx(
        structural_similarity(255 * u, 255 * v, data_range=255), abs=1e-12
    )


def test_scores_are_means_over_images_of_their_own_scores():
    images = {"a": uniform(1, 1, 9, 9), "b": uniform(1, 1, 12, 10, seed=1)}
    run = lambda x: 0.9 * x
    made = evaluation.mean_scores(run, images, "_mine")
    each = [evaluation.score(run(x), x) for x in images.values()]
    assert set(made) == {"psnr_mine", "ssim_mine", "psnr_each_mine"}
    assert made["psnr_mine"] == pytest.approx((each[0][0] + each[1][0]) / 2, abs=1e-12)
    assert made["ssim_mine"] == pytest.approx((each[0][1] + each[1][1]) / 2, abs=1e-12)
    assert made["psnr_each_mine"] == {
        k: pytest.approx(s[0], abs=1e-4) for k, s in zip(images, each, strict=True)
    }


def test_an_images_start_is_what_the_first_phase_begins_from():
    net = small(ISTANet)
    image = uniform(1, 1, 7, 12)
    close(evaluation.started(net, image), next(fast.image_phases(net, image))["x"])
    slices = mri(ISTANet)
    image = uniform(1, 1, 6, 9)
    close(evaluation.started(slices, image), slices.A.T(slices.A(image)))


def test_a_measurement_holds_scores_of_the_network_and_of_its_start(scraps, tmp_path):
    for name, size in (("a", (40, 33)), ("b", (66, 20))):
        picture = (255 * uniform(*size)).byte().numpy()
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    net = imaging_training.build(ISTANetPlus, 1, TINY)
    net.rho.data[1] = 0.5
    made = evaluation.measure(evaluation.block_tests, net, 0, tmp_path)
    images = data.read_folder(tmp_path)
    each = [evaluation.score(fast.reconstruct(net, x), x) for x in images.values()]
    assert made["psnr"] == pytest.approx(sum(s[0] for s in each) / 2, abs=1e-12)
    assert made["ssim"] == pytest.approx(sum(s[1] for s in each) / 2, abs=1e-12)
    starts = [evaluation.score(evaluation.started(net, x), x)[0] for x in images.values()]
    assert made["psnr_start"] == pytest.approx(sum(starts) / 2, abs=1e-12)
    assert list(made["psnr_each"]) == ["a", "b"]
    assert made["rho"] == [1.0, 0.5]
    assert made["theta"] == pytest.approx([0.01, 0.01])
    assert made["image_seconds"]["cpu"] > 0
    json.dumps(made, allow_nan=False)


def test_methods_are_measured_on_the_wheels_images_and_where_there_is_one_the_data_folder(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    assert list(evaluation.block_tests()) == ["_wheels"]
    assert list(evaluation.block_tests()["_wheels"]) == ["camera", "coffee"]
    for name in ("Set11", "Brain50"):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        Image.fromarray(GREY).save(folder / "one.png")
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    assert list(evaluation.block_tests()) == ["", "_wheels"]
    assert list(evaluation.block_tests()[""]) == ["one"]
    assert list(evaluation.block_tests(tmp_path / "images/Set11")) == [""]
    assert list(evaluation.mri_tests(tmp_path / "images/Brain50")) == [""]
    pytest.importorskip("nilearn")
    both = evaluation.mri_tests()
    assert list(both) == ["", "_head"]
    assert len(both["_head"]) == 12
    assert {x.shape for x in both["_head"].values()} == {(1, 1, 256, 256)}


# experiments

# Zhang & Ghanem 2018, tables 1 and 4: PSNR in dB, by CS ratio and by share of the frequencies
TABLE_1 = {
    "istanet": "50: 37.43, 40: 35.36, 30: 32.91, 25: 31.53, 10: 25.80, 4: 21.23, 1: 17.30",
    "istanet-plus": "50: 38.07, 40: 36.06, 30: 33.82, 25: 32.57, 10: 26.64, 4: 21.31, 1: 17.34",
}


TABLE_4 = {"mri-istanet-plus": "20: 38.73, 30: 40.89, 40: 42.52, 50: 44.09"}


PAPER = {
    f"{kind}-{ratio}": float(figure)
    for kind, row in (TABLE_1 | TABLE_4).items()
    for ratio, figure in (cell.split(": ") for cell in row.split(", "))
}


networks = pytest.mark.parametrize("name", PAPER)


@networks
def test_every_network_of_the_papers_tables_is_an_experiment_with_its_published_figure(name):
    e = experiments.EXPERIMENTS[name]
    assert e.published == {"psnr": PAPER[name]}
    assert f"{name.split('-')[-1]} %" in e.title
    assert ("ISTA-Net+" in e.title) == ("plus" in name)


def test_the_paper_has_14_networks_for_blocks_and_4_for_slices():
    assert len(PAPER) == 14 + 4
    assert published.BRAIN50["ISTA-Net"] == {20: 38.30, 30: 40.52, 40: 42.12, 50: 43.60}


def test_every_experiment_says_what_it_is_and_titles_differ():
    for name, e in experiments.EXPERIMENTS.items():
        assert min(len(e.title), len(e.source), len(e.protocol)) > 8, name
        for text in (e.title, e.source, e.protocol):
            assert "\n" not in text
    titles = [e.title for e in experiments.EXPERIMENTS.values()]
    assert len(set(titles)) == len(titles)
    assert {f"imaging/{name}" for name in experiments.EXPERIMENTS} <= set(experiment.experiments())


@networks
def test_every_network_of_the_tables_has_a_gpu_recipe_of_the_papers_size(name):
    e = experiments.EXPERIMENTS[name]
    recipe = e.recipes["gpu"]
    assert (recipe.phases, recipe.channels) == (9, 32)
    assert next(iter(e.recipes)) == "cpu"
    assert list(e.recipes)[-1] == "gpu"
    assert not recipe.compile
    assert e.released is not None
    if name.startswith("mri"):
        assert recipe.batch == 4
    else:
        assert (recipe.data, recipe.batch) == ("T91", 64)
        assert recipe.steps == pytest.approx(200 * 88_912 / 64, rel=0.01)


def test_an_experiment_builds_its_own_network_of_a_recipes_size(scraps):
    for name, Network in (("istanet-1", ISTANet), ("istanet-plus-1", ISTANetPlus)):
        net = experiments.EXPERIMENTS[name].build(TINY)
        assert isinstance(net, Network)
        assert (net.K, net.A.codomain) == (2, (10,))
    held = experiments.EXPERIMENTS["istanet-plus-25-constrained"].build(TINY)
    assert "parametrizations.rho.original" in held.state_dict()
    slices = experiments.EXPERIMENTS["mri-istanet-plus-30"].build(TINY)
    assert torch.equal(slices.A.mask, data.radial_mask(30))


@pytest.mark.parametrize("name", ["istanet-plus-1", "istanet-4", "istanet-plus-25-constrained"])
def test_the_command_line_trains_records_and_evaluates(name, scraps, tmp_path, monkeypatch, capsys):
    """With a recipe of another size, which the record brings to the network that is evaluated."""
    monkeypatch.delenv("DUNFOLD_DATA", raising=False)
    monkeypatch.setattr(data, "wheel_images", lambda part: {"one": uniform(1, 1, 40, 40)})
    changes = ["phases=2", "channels=2", "steps=2", "batch=2"]
    where = f"imaging/{name}"
    assert main(["train", where, "--out", str(tmp_path), *changes]) == 0
    folder = tmp_path / where / "cpu-s0"
    run = records.load(folder)
    assert run["recipe"]["channels"] == 2
    out = capsys.readouterr().out
    assert f"{where}  psnr_wheels {run['scores']['psnr_wheels']:.3f}" in out
    weights = folder / "weights.safetensors"
    assert main(["evaluate", where, "--weights", str(weights), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["scores"]["psnr_wheels"] == pytest.approx(run["scores"]["psnr_wheels"], abs=1e-4)
    assert again["parameters"] == run["parameters"] < 1000


def test_a_machine_without_nilearn_reads_the_head_from_the_data_folder(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    volume = np.arange(10 * 12 * 160, dtype=np.float32).reshape(10, 12, 160)
    np.save(tmp_path / "images" / "mni152.npy", volume)
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    slices = data.head_slices.__wrapped__("test")
    assert slices.shape == (12, 1, 256, 256)
    assert slices.max() <= 1
    np.save(tmp_path / "images" / "mni152.npy", volume[0])
    with pytest.raises(ValueError, match=r"mni152.npy: has shape \(12, 160\); it must be a volume"):
        data.head_slices.__wrapped__("test")


def test_a_constrained_networks_steps_fill_0_to_2_and_its_thresholds_all_above_zero():
    net = imaging_training.build_constrained(
        ISTANetPlus, 1, imaging_training.Training(phases=3, channels=2)
    )
    free = {n: getattr(net.parametrizations, n).original for n in ("rho", "theta")}
    with torch.no_grad():
        free["rho"].copy_(torch.tensor([-20.0, 0.0, 20.0]))
        free["theta"].copy_(torch.tensor([-20.0, 0.0, 20.0]))
    torch.testing.assert_close(net.rho, torch.tensor([0.0, 1.0, 2.0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(net.theta[2], torch.tensor(20.0))
    assert 0 < float(net.theta.detach()[0]) < 1e-6
    net.rho = torch.tensor([0.3, 1.0, 1.7])  # what training may start from
    torch.testing.assert_close(net.rho, torch.tensor([0.3, 1.0, 1.7]))
