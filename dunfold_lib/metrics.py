"""Scores: (estimate, truth) to one number. Each says what it measures and in which unit."""

from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor


def _pair(estimate: Tensor, truth: Tensor) -> None:
    checks.finite("estimate", estimate)
    checks.finite("truth", truth)
    if estimate.shape != truth.shape:
        given = f"{tuple(estimate.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"estimate and truth have shapes {given}; they must be equal")


@checks.door
def nmse_db(estimate: AnyTensor, truth: AnyTensor) -> float:
    """10 log₁₀(Σ‖x − x*‖² / Σ‖x*‖²) over the whole batch, in dB; lower is better.

    The ratio of sums of Chen et al. 2018, section 4: a few badly recovered rows dominate it. A
    truth that is zero everywhere has no dB and is refused.
    """
    _pair(estimate, truth)
    if not bool(truth.any()):
        raise ValueError("truth is zero everywhere; its NMSE has no value in dB")
    ratio = (estimate - truth).double().square().sum() / truth.double().square().sum()
    return float(10 * ratio.log10())


@checks.door
def nmse_db_median(estimate: AnyTensor, truth: AnyTensor) -> float:
    """Median over the rows of 10 log₁₀(‖x − x*‖²/‖x*‖²), in dB; rows with x* = 0 are left out."""
    _pair(estimate, truth)
    if truth.ndim < 2:
        raise ValueError(f"truth has shape {tuple(truth.shape)}; it must be (batch, …)")
    error = (estimate - truth).double().flatten(1).square().sum(1)
    power = truth.double().flatten(1).square().sum(1)
    if not bool(power.any()):
        raise ValueError("truth is zero everywhere; its NMSE has no value in dB")
    kept = power > 0
    db = (10 * (error[kept] / power[kept]).log10()).sort().values
    return float((db[(len(db) - 1) // 2] + db[len(db) // 2]) / 2)


@checks.door
def psnr(estimate: AnyTensor, truth: AnyTensor, peak: float = 1.0) -> float:
    """10 log₁₀(peak²/MSE) in dB over all entries together, by scikit-image; higher is better."""
    from skimage.metrics import peak_signal_noise_ratio

    _pair(estimate, truth)
    checks.number("peak", peak, 0, open_low=True)
    a, b = (t.detach().double().cpu().numpy() for t in (truth, estimate))
    if (a == b).all():
        return float("inf")
    return float(peak_signal_noise_ratio(a, b, data_range=peak))


@checks.door
def ssim(estimate: AnyTensor, truth: AnyTensor, peak: float = 1.0) -> float:
    """Mean structural similarity of two grey images (height, width); higher is better, 1 at most.

    By scikit-image with its defaults: a uniform 7×7 window, data range ``peak``.
    """
    from skimage.metrics import structural_similarity

    _pair(estimate, truth)
    checks.number("peak", peak, 0, open_low=True)
    if truth.ndim != 2 or min(truth.shape) < 7:
        given = tuple(truth.shape)
        raise ValueError(f"truth has shape {given}; it must be (height, width), both from 7")
    a, b = (t.detach().double().cpu().numpy() for t in (truth, estimate))
    return float(structural_similarity(a, b, data_range=peak))


@checks.door
def sam(estimate: AnyTensor, truth: AnyTensor) -> float:
    """Spectral angle mapper: mean angle between spectra of images (batch, C, h, w), in radians.

    A pixel that is zero in every band counts as a right angle (Kruse et al. 1993).
    """
    _pair(estimate, truth)
    checks.shaped("truth", truth, ("batch", "C", "h", "w"))
    a, b = estimate.double(), truth.double()
    cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-12)
    return float(cosine.clamp(-1, 1).arccos().mean())


@checks.door
def ergas(estimate: AnyTensor, truth: AnyTensor, ratio: float = 1.0) -> float:
    """100/ratio · √(mean over bands of MSE/μ²), μ the band's mean (Wald 2000); lower is better.

    Images (batch, C, h, w).  ratio : pixel size of the low-resolution image over the other's; 1 for
    denoising.
    """
    checks.number("ratio", ratio, 0, open_low=True)
    mse, mean = _by_band(estimate, truth)
    if not bool(mean.all()):
        raise ValueError("truth has a band whose mean is 0; ERGAS divides by it")
    return float(100 / ratio * (mse / mean.square()).mean().sqrt())


@checks.door
def ergas_mse_over_mean(estimate: AnyTensor, truth: AnyTensor) -> float:
    """100 · √(mean over bands of MSE/μ): μ is not squared, so the scale of values counts.

    What released codes of denoising networks compute, with values from 0 to 255, and what their
    papers print as ERGAS. Images (batch, C, h, w) whose bands have means above 0.
    """
    mse, mean = _by_band(estimate, truth)
    if not bool((mean > 0).all()):
        raise ValueError("truth has a band whose mean is not above 0; MSE/μ needs that")
    return float(100 * (mse / mean).mean().sqrt())


def _by_band(estimate: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """(the mean square error, the truth's mean) of every band."""
    _pair(estimate, truth)
    checks.shaped("truth", truth, ("batch", "C", "h", "w"))
    mse = (estimate - truth).double().square().mean((0, 2, 3))
    return mse, truth.double().mean((0, 2, 3))
