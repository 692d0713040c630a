"""The chapter on plug-and-play: what its sentences say of records, settings and sizes."""

import pytest
import torch

from dunfold_lib import records
from dunfold_lib.imaging import data, evaluation
from dunfold_lib.imaging import figures_plug_and_play as figures
from dunfold_lib.imaging.denoisers import Denoiser, LearnedProx
from dunfold_lib.imaging.experiments import EXPERIMENTS


def values(name, score="psnr"):
    found = records.values(f"imaging/{name}", score)
    assert found, f"imaging/{name} is not recorded"
    return found


def best(name, score="psnr"):
    found = values(name, score)
    return sum(found) / len(found)


def first(name, score):
    found = figures.first(name, score)
    assert found is not None, f"imaging/{name} is not recorded"
    return found


def test_the_learned_denoiser_has_28641_numbers_and_the_learned_prox_1600():
    """Sentences: "It has 28,641 numbers"; "The *learned prox* has 1,600 numbers"."""
    count = lambda net: sum(p.numel() for p in net.parameters())
    assert count(Denoiser()) == 28_641
    assert count(LearnedProx()) == 1600


def test_the_learned_denoiser_trains_in_two_minutes():
    """Sentence: "trains in two minutes on photographs", as recorded on a CPU."""
    spent = [r["seconds"] for r in records.recorded("imaging/denoiser")]
    assert spent
    assert all(90 < s < 150 for s in spent)


def test_on_two_photographs_non_local_means_stand_above_tv_and_tv_above_wavelets():
    """Sentence: "non-local means have a higher score than total variation, and that than the
    wavelets"; where learned denoisers stand is not decided on so few trainings."""
    score = "psnr_15_wheels"
    assert best("denoise-nlm", score) >= best("denoise-tv", score) + 0.3
    assert best("denoise-tv", score) >= best("denoise-wavelet", score) + 0.3
    assert len(values("denoiser", score)) < records.SEEDS


def test_eight_steps_of_hqs_end_above_fifty_of_ista_for_both_denoisers():
    """Sentences: "eight steps of HQS with a falling noise level end above fifty of ISTA"; "which
    denoiser is ahead depends on the schedule"."""
    assert best("deblur-ista-tv") > best("deblur-ista-cnn") + 0.1
    assert best("deblur-hqs-cnn") > best("deblur-hqs-tv") + 0.1
    assert evaluation.DEBLUR_STEPS == 8
    assert evaluation.DEBLUR_ISTA_STEPS == 50
    assert best("deblur-hqs-cnn") >= best("deblur-ista-cnn") + 0.2
    assert best("deblur-hqs-tv") >= best("deblur-ista-tv") + 0.1


def test_the_learned_denoiser_diverges_on_three_draws_of_the_noise():
    """Sentences: "the iteration diverges"; "three draws of the noise all end so"; "its pixels leave
    [0,1] by far"."""
    early, late = (values("deblur-long-cnn", s) for s in ("psnr_60", "psnr_1000"))
    assert len(early) == 3
    assert all(b < a - 3 for a, b in zip(early, late, strict=True))
    assert min(values("deblur-long-cnn", "radius")) > 1.02
    assert min(values("deblur-long-cnn", "high")) > 3


def test_admm_and_the_relaxed_one_diverge_too_and_tv_and_the_learned_prox_settle():
    """Sentences: "so does PnP-ADMM with the same denoiser"; "The relaxed run only diverges later";
    "Total variation and the learned prox settle"."""
    assert first("deblur-long-admm", "psnr") < first("deblur-long-admm", "psnr_60") - 3
    relaxed = "deblur-long-relaxed"
    assert first(relaxed, "radius") > 1 > first("deblur-long-prox", "radius")
    assert first(relaxed, "psnr") < max(first(relaxed, "psnr_seen")) - 2
    assert first("deblur-long-prox", "moves")[-1] < 1e-4
    assert first("deblur-long-tv", "moves")[-1] < 1e-4
    assert first("deblur-long-prox", "low") > -0.2


def test_the_figures_with_1500_steps_draw_five_iterations():
    """The figure and the table below "Go on": five iterations, to 1,500 steps."""
    image, moves = figures.long()
    assert len(image.lines) == len(moves.lines) == len(figures.LONG) == 5
    assert max(evaluation.LONG_SEEN) == 1500
    assert len(figures.long_ends()[1]) == 5


def test_total_variation_here_stands_above_the_papers_figure():
    """Sentences: "The papers' tables print 27.92 dB at 25 % and 22.99 dB at 10 % for TVAL3"; total
    variation, solved well, is better than that."""
    for name, printed in (("tv-25", 27.92), ("tv-10", 22.99)):
        assert EXPERIMENTS[name].published["psnr"] == printed
        assert best(name) > printed + 0.5


def test_whether_plug_and_play_beats_total_variation_is_not_decided():
    """Sentence: "Not decided here: whether it beats total variation"."""
    learned = values("pnp-admm-cnn-25")
    assert records.undecided(learned, [best("tv-25")] * records.SEEDS)


def test_the_step_of_the_exercise_without_the_onsager_term():
    """Sentences of the solution: "At 25 % that is 4"; "since ‖Φ‖ = 1"."""
    assert round(data.SIDE**2 / data.ROWS[25]) == 4
    norm = torch.linalg.matrix_norm(data.sensing_matrix(25), 2)
    assert float(norm) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "error, step", [("z exploded at step 7; use a damping", 7), (0.05, None), (float("inf"), None)]
)
def test_the_step_of_an_explosion_is_read_from_what_d_amp_says(error, step):
    assert figures.exploded(error) == step
