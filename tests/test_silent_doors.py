"""What once gave a wrong number in silence: shapes that broadcast, NaN, values of no meaning."""

import pytest
import torch
from refusals import INF, NAN, ones, refused, spoilt

from dunfold_lib import metrics
from dunfold_lib.hyperspectral import baselines, classify
from dunfold_lib.hyperspectral import model as hyper
from dunfold_lib.imaging import baselines as imaging
from dunfold_lib.imaging import denoisers, evaluation, figures_ista_net
from dunfold_lib.newton_sr import Downsample, NewtonSR, Pair, charbonnier
from dunfold_lib.newton_sr import jacobians as newton_theory
from dunfold_lib.operators import Fourier, Matrix
from dunfold_lib.prox import soft
from dunfold_lib.small_target import LRPCANet, data, detect, soft_iou, total_loss
from dunfold_lib.small_target import baselines as detectors
from dunfold_lib.sparse import (
    HyperLISTA,
    duality_gap,
    extrapolated,
    ista,
    ista_step,
    lasso,
    objective,
    theory,
)
from dunfold_lib.wavelets import Wavelet

A = Matrix(torch.arange(6.0).reshape(2, 3) + 1)
b, x = torch.ones(4, 2), torch.ones(4, 3)
SHORT = [b[:, :1], b[:1], b[..., None]]  # each broadcasts against A x, (4, 2)
HAS_SHAPE = r"[bx] has (shape .*|\d rows; b has \d)"


@pytest.mark.parametrize("given", SHORT)
@pytest.mark.parametrize("f", [objective, duality_gap])
def test_a_measurement_that_broadcasts_is_refused(f, given):
    refused(lambda: f(A, given, 0.1, x), ValueError, HAS_SHAPE)
    refused(lambda: ista_step(A, given, 0.1, 90.0, x), ValueError, HAS_SHAPE)
    with pytest.raises(TypeError, match=r"^b is 0.5; it must be a torch.Tensor$"):
        f(A, 0.5, 0.1, x)


@pytest.mark.parametrize("given", [lambda b: b[:, :1], lambda b: b[:1], lambda b: b[..., :1]])
def test_wavelet_objective_takes_one_measurement_for_each_image(given):
    F, W = Fourier(torch.ones(8, 8)), Wavelet((8, 8), "haar", 1)
    image = torch.rand(3, 1, 8, 8)
    assert imaging.wavelet_objective(F, W, F(image), 0.1, image).shape == (3,)
    refused(
        lambda: imaging.wavelet_objective(F, W, given(F(image)), 0.1, image), ValueError, HAS_SHAPE
    )


NARROW = [lambda t: t[:1], lambda t: t[:, :1], lambda t: t[..., :1], lambda t: t[0]]


@pytest.mark.parametrize("narrow", [NARROW[0], NARROW[2], NARROW[3]])
def test_charbonnier_takes_a_truth_of_the_estimates_shape(narrow):
    net = NewtonSR(ratio=2, K=1, c=2, f=3)
    pair, truth = Pair(torch.rand(2, 1, 4, 4), torch.rand(2, 1, 8, 8)), torch.rand(2, 1, 8, 8)
    for more in ({}, {"residual": 0.1}, {"fourier": 0.1}):
        assert charbonnier(net, pair, truth, **more).ndim == 0
        says = r"truth has shape .*; it must be that of the estimate, \(2, 1, 8, 8\)"
        refused(lambda m=more: charbonnier(net, pair, narrow(truth), **m), ValueError, says)


@pytest.mark.parametrize("narrow", NARROW)
@pytest.mark.parametrize("loss", [hyper.decibels, hyper.squared])
def test_losses_of_cubes_take_a_truth_of_the_estimates_shape(loss, narrow):
    truth = 5 * torch.rand(2, 4, 6, 7)
    noisy = hyper.Noisy(truth, torch.linalg.qr(torch.rand(2, 4, 3))[0])
    net = hyper.STARNet(K=1, side=3, r=3)
    assert loss(net, noisy, truth).ndim == 0
    says = r"truth has shape .*; it must be that of the estimate, \(2, 4, 6, 7\)"
    refused(lambda: loss(net, noisy, narrow(truth)), ValueError, says)


def test_soft_iou_takes_one_mask_of_zeros_and_ones_for_each_image():
    T, mask = torch.randn(2, 1, 5, 5), torch.ones(2, 1, 5, 5)
    for narrow in (NARROW[0], NARROW[2], NARROW[3]):
        says = r"truth has shape .*; it must be that of T, \(2, 1, 5, 5\)"
        refused(lambda n=narrow: soft_iou(T, n(mask)), ValueError, says)
    says = r"truth holds values from 255 to 255; it must lie in \[0, 1\]"
    refused(lambda: soft_iou(T, 255 * mask), ValueError, says)
    refused(lambda: soft_iou(T, spoilt(mask)), ValueError, "truth holds values from nan .*")
    net = LRPCANet(K=1, c=4, b=2)
    refused(lambda: total_loss(net, mask, 255 * mask), ValueError, says)


@pytest.mark.parametrize("r", [0, -1, -3])
def test_lrtdtv_takes_a_rank_from_one(r):
    refused(
        lambda: baselines.lrtdtv(torch.rand(1, 4, 6, 6), 0.1, r=r),
        ValueError,
        f"r is {r}; it must be at least 1",
    )


ONE_BAD = "holds 1 NaN or infinite entries; all must be finite"


@pytest.mark.parametrize("bad", [NAN, INF])
def test_no_map_spectrum_or_scene_with_nan_is_answered(bad):
    refused(lambda: detectors.segment(spoilt(ones(5, 5), bad)), ValueError, f"score {ONE_BAD}")
    scene = spoilt(torch.ones(5, 5), bad)
    refused(lambda: data.sensed(torch.Generator(), scene), ValueError, f"scene {ONE_BAD}")
    y = torch.tensor([1, 1, 2, 2])
    spectra, new = torch.rand(4, 3), torch.rand(2, 3)
    for given in ((spoilt(spectra, bad), y, new), (spectra, y, spoilt(new, bad))):
        refused(lambda g=given: classify.discriminant(*g), ValueError, rf"(x|new) {ONE_BAD}")


@pytest.mark.parametrize("score", [evaluation.score, figures_ista_net.score])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_reconstruction_with_infinity_has_no_score(score, bad):
    truth = torch.rand(1, 1, 16, 16)
    refused(lambda: score(spoilt(truth, bad), truth), ValueError, f"estimate {ONE_BAD}")


@pytest.mark.parametrize("shift", [lambda v: 255 * v, lambda v: -v, lambda v: v + 1e-3])
def test_detect_takes_an_image_in_zero_to_one(shift):
    image = torch.ones(1, 1, 8, 8)
    net = LRPCANet(K=1, c=4, b=2).eval()
    assert detect(net, image).shape == image.shape
    says = r"image holds values from .*; it must lie in \[0, 1\]"
    refused(lambda: detect(net, shift(image)), ValueError, says)


GOOD = {
    theory.ista_bound: {"L": 2.0, "distance": 1.0, "k": 3},
    theory.ista_bound_lasso: {"L": 2.0, "distance": 1.0, "k": 3},
    theory.ista_bound_longer: {"t": 0.5, "L": 2.0, "distance": 1.0, "first": 1.0, "k": 3},
    theory.fista_bound: {"L": 2.0, "distance": 1.0, "k": 3},
    theory.welch_bound: {"m": 3, "n": 5},
    theory.certified_sparsity: {"mu": 0.1},
    theory.largest_step: {"mu": 0.1, "s": 2},
    theory.contraction: {"mu": 0.1, "s": 2, "gamma": 0.9},
    theory.error_bounds: {"mu": 0.1, "s": 2, "gamma": 0.9, "largest": 1.0, "K": 2, "noise": 0.1},
    theory.selected_bounds: {
        **{"mu": 0.1, "s": 2, "largest": 1.0, "smallest": 0.5, "trusted": [1, 2], "noise": 0.1}
    },
    theory.steepest: {"gain": 0.5},
    theory.exponents: {"E": [2.0, 1.0, 0.5]},
    newton_theory.orders: {"residuals": [1.0, 0.1, 0.001], "floor": 1e-12},
}
SIGNS = [(f, name) for f, made in GOOD.items() for name in made]


def refuse(name, value):
    return rf"(one of )?{name}.* is {value}.*"


@pytest.mark.parametrize("f, name", SIGNS, ids=[f"{f.__name__}-{name}" for f, name in SIGNS])
def test_bounds_refuse_negative_numbers_and_nan(f, name):
    made = GOOD[f]
    f(**made)
    good = made[name]
    negate = (lambda v: [-v[0], *v[1:]]) if isinstance(good, list) else (lambda v: -v)
    refused(lambda: f(**made | {name: negate(good)}), ValueError, refuse(name, "-.*"))
    whole = isinstance(good[0] if isinstance(good, list) else good, int)
    spoil = [NAN, *good[1:]] if isinstance(good, list) else NAN
    kind = TypeError if whole else ValueError
    refused(lambda: f(**made | {name: spoil}), kind, refuse(name, "nan"))


def test_scores_refuse_shapes_that_broadcast():
    estimate, truth = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    for f in (metrics.nmse_db, metrics.nmse_db_median, metrics.psnr, metrics.sam, metrics.ergas):
        for narrow in NARROW:
            says = "estimate and truth have shapes .*; they must be equal"
            refused(lambda f=f, n=narrow: f(n(estimate), truth), ValueError, says)


def test_a_gap_that_rounding_hides_is_refused_before_work_is_done():
    for dtype, least in ((torch.float64, "2.2e-16"), (torch.float32, "1.2e-07")):
        A = Matrix(torch.eye(2, dtype=dtype))
        b = torch.ones(1, 2, dtype=dtype)
        says = rf"gap is 1e-16; {dtype} allows {least} at least"
        refused(lambda A=A, b=b: lasso(A, b, 0.1, gap=1e-16), ValueError, says)


@pytest.mark.parametrize("value, becomes", [(1e-300, "0"), (1e300, "infinite")])
def test_a_number_that_float32_cannot_hold_is_refused(value, becomes):
    says = rf"t is 1e[-+]300; it would be {becomes} in the torch.float32 of x"
    refused(lambda: soft(torch.ones(2, 2), value), ValueError, says)
    assert soft(ones(2, 2), value).isfinite().all()  # float64 can


def test_half_precision_is_refused_outside_autocast_and_taken_inside():
    D, x = Downsample((4, 4), 2), torch.ones(1, 1, 4, 4)
    says = r"x has dtype torch.bfloat16; the operator has torch.float32"
    refused(lambda: D(x.bfloat16()), TypeError, says)
    with torch.autocast("cpu", torch.bfloat16):
        assert D(x.bfloat16()).shape == (1, 1, 2, 2)


def test_a_denoiser_gives_the_image_back_below_its_rounding():
    v = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    for f in denoisers.CLASSICAL.values():
        for sigma in (0.0, 1e-300, 1e-17):
            assert torch.equal(f(v, sigma), v)
    for denoise in baselines.DENOISERS.values():
        for sigma in (0.0, 1e-300):
            assert (denoise(v[0, 0].numpy(), sigma) == v[0, 0].numpy()).all()


def test_steps_that_overflow_are_refused():
    for f in (lambda L: ista(A, b, 0.1, 3, L), lambda L: extrapolated(A, b, 0.1, [0.0] * 3, L)):
        refused(lambda f=f: f(1e-30), ValueError, "L is 1e-30; with steps 1/L the iterates .*")


def test_states_that_broadcast_are_refused():
    net, image = LRPCANet(K=1, c=4, b=2), torch.rand(2, 1, 8, 8)
    x = net.start(image)
    for field in x._fields:
        for bad in (getattr(x, field)[..., None], getattr(x, field)[..., :1], x.T.new_zeros(2)):
            with pytest.raises(ValueError, match="has shape"):
                net.layer(0, x._replace(**{field: bad}), image)
    hyper_net = HyperLISTA(Matrix(torch.randn(5, 8)), 2)
    b = torch.rand(3, 5)
    s = hyper_net.start(b)
    for given in ((s, b[:, :1]), (s._replace(before=s.before[:, :1]), b)):
        with pytest.raises(ValueError, match="has shape"):
            hyper_net.layer(0, *given)


def test_the_divergence_of_a_denoiser_needs_a_step():
    from dunfold_lib.imaging.plug_and_play import divergence

    v, g = torch.zeros(1, 1, 4, 4), torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="share is 0"):
        divergence(lambda x, sigma: x, v, 0.1, g, share=0.0)
