"""Of plug and play: runs."""

import pytest
import torch
from shared_plug_and_play import picture, problem, seeded

from dunfold_lib.imaging import data, evaluation, experiments, theory
from dunfold_lib.imaging.baselines import total_variation, wavelet_ista
from dunfold_lib.imaging.denoisers import CLASSICAL, Denoiser, LearnedProx, tv_chambolle
from dunfold_lib.imaging.plug_and_play import d_amp, data_prox, falling, pnp_admm, pnp_hqs, pnp_ista
from dunfold_lib.operators import norm
from dunfold_lib.solvers import jacobian_norm
from dunfold_lib.wavelets import Wavelet

# --- experiments ---


def test_the_chapters_protocol_and_its_starts():
    image = data.wheel_images("test")["camera"][..., :40, :70].contiguous()
    A, b = data.sensed(image, 25)
    assert A.domain == (1, 66, 99)
    assert b.shape == (1, 6, 272)
    v = torch.rand(1, 1, 66, 99, generator=seeded())
    assert torch.allclose(A(A.T(b)), b, atol=1e-5)  # whole blocks: A Aᵀ = I
    assert norm(A) == pytest.approx(1, abs=1e-5)
    assert v.shape == A.T(b).shape
    B, blurry = data.blurred(image, seeded())
    assert float((blurry - B(image)).std()) == pytest.approx(2 / 255, rel=0.1)


def test_a_classical_baseline_is_measured_on_a_readers_folder(tmp_path):
    from PIL import Image

    pixels = (picture(40)[0, 0] * 255).byte().numpy()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    e = experiments.EXPERIMENTS["tv-25"]
    assert e.build() is None
    assert e.published == {"psnr": 27.92}
    found = e.measure(None, 0, tmp_path)
    assert found["psnr"] > 28
    scores = experiments.EXPERIMENTS["denoise-tv"].measure(None, 0, tmp_path)
    assert scores["psnr_15"] > scores["psnr_25"] > 20


@pytest.mark.parametrize("name", ["cnn", "relaxed", "admm", "prox"])
def test_a_long_deblurring_records_what_the_chapter_says(name, monkeypatch):
    monkeypatch.setattr(evaluation, "small_camera", lambda: picture(16).float())
    monkeypatch.setattr(evaluation, "learned", lambda name="cnn": LearnedProx(4, 3))
    monkeypatch.setattr(evaluation, "LONG_SEEN", (1, 2, 60, 70, 1000))
    found = evaluation.measure_long(name, None, 0)
    assert len(found["moves"]) == len(found["psnr_seen"]) == 5
    assert found["psnr_seen"][2] == found["psnr_60"]
    assert found["psnr"] == found["psnr_1000"] == found["psnr_seen"][4]
    assert found["moves"][-1] < found["moves"][0]
    assert (name == "admm") == ("radius" not in found)
    assert name == "admm" or 0 < found["radius"] < 1 + 1e-4  # a prox: never above one


# --- bad input ---


def wrong(call, error, match):
    with pytest.raises(error, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("denoise", [*CLASSICAL.values(), Denoiser(), LearnedProx()])
def test_a_denoiser_says_what_is_wrong(denoise):
    v = torch.rand(1, 1, 16, 16)
    wrong(lambda: denoise(v[0], 0.1), ValueError, "shape")
    wrong(lambda: denoise(v.expand(1, 3, 16, 16), 0.1), ValueError, "shape")
    wrong(lambda: denoise(v.long(), 0.1), TypeError, "dtype")
    wrong(lambda: denoise(v, -0.1), ValueError, "sigma is -0.1")
    wrong(lambda: denoise(v, float("nan")), ValueError, "sigma is nan")
    if not isinstance(denoise, torch.nn.Module):
        wrong(lambda: denoise(v / 0, 0.1), ValueError, "NaN")
        wrong(lambda: denoise(v[:0], 0.1), ValueError, "empty")


def test_the_algorithms_say_what_is_wrong():
    A, b, truth = problem("whole blocks")
    D = tv_chambolle
    runs = {
        "ista": lambda b, K=2: pnp_ista(A, b, D, 0.1, K),
        "admm": lambda b, K=2: pnp_admm(A, b, D, 0.1, K),
        "hqs": lambda b, K=2: pnp_hqs(A, b, D, [0.1] * K, 0.1),
        "d-amp": lambda b, K=2: d_amp(A, b, D, K, seeded()),
        "tv": lambda b, K=2: total_variation(A, b, K),
        "wavelet": lambda b, K=2: wavelet_ista(A, Wavelet((16, 16), "haar"), b, 0.1, K),
        "prox": lambda b, K=2: data_prox(A, b, truth, 1.0, K),
    }
    for name, run in runs.items():
        wrong(lambda r=run: r(b[..., :3]), ValueError, "shape")
        wrong(lambda r=run: r(b / 0), ValueError, "NaN")
        wrong(lambda r=run: r(b.long()), TypeError, "dtype")
        wrong(lambda r=run: r(b[:0]), ValueError, "empty")
        if name != "hqs":
            wrong(lambda r=run: r(b, -1), ValueError, "at least")
    wrong(lambda: pnp_ista(A, b, D, -1.0, 2), ValueError, "sigma")
    wrong(lambda: pnp_ista(A, b, D, 0.1, 2, rho=0.0), ValueError, "rho")
    wrong(lambda: pnp_ista(A, b, D, 0.1, 2, start=truth[:1]), ValueError, "start")
    wrong(lambda: pnp_hqs(A, b, D, [0.0], 0.1), ValueError, "sigma")
    wrong(lambda: pnp_admm(A, b, D, 0.1, 2, c=-1.0), ValueError, "c is")
    wrong(lambda: d_amp(A, b, D, 2, seeded(), 0.0), ValueError, "damping")
    wrong(lambda: falling(0.1, 0.2, 3), ValueError, "high")
    wrong(lambda: total_variation(3, b), TypeError, "Linear")
    wrong(lambda: wavelet_ista(A, Wavelet((8, 8), "haar"), b, 0.1, 2), ValueError, "Wavelet")
    wild = lambda v, s: 5 * v
    wrong(lambda: d_amp(A, b, wild, 80, seeded()), ValueError, "lower damping")


def test_the_theory_says_what_is_wrong():
    M = torch.eye(3)
    wrong(lambda: theory.variance_factor(M, torch.ones(2, 4)), ValueError, "columns")
    wrong(lambda: theory.variance_factor(M[0], M), ValueError, "matrix")
    wrong(lambda: theory.is_prox(torch.ones(2, 3)), ValueError, "square")
    wrong(lambda: theory.spectral_radius(M, torch.ones(1, 2), 1.0), ValueError, "columns")
    wrong(lambda: theory.spectral_example(float("inf")), ValueError, "value")
    wrong(lambda: theory.contraction(0.1, 2.0, 1.0, 0.1), ValueError, "L is")
    wrong(lambda: jacobian_norm(lambda v: v, M / 0, 2, seeded()), ValueError, "NaN")
