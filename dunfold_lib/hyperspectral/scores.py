"""Scores of a cube as its papers take them: means over bands."""

from typing import Any

from torch import Tensor

from dunfold_lib import checks, metrics


def psnr(estimate: Tensor, truth: Tensor) -> float:
    """Mean over bands of 10 log₁₀(1/MSE) of each, in dB, for cubes (1, B, H, W); not clipped."""
    _cubes(estimate, truth)
    mse = (estimate - truth).double().square().mean((2, 3)).clamp(min=1e-30)
    return float((-10 * mse.log10()).mean())


def ssim(estimate: Tensor, truth: Tensor) -> float:
    """Mean over bands of SSIM in a Gaussian window 11×11 of σ = 1.5, peak 1 (Wang et al. 2004)."""
    from skimage.metrics import structural_similarity

    _cubes(estimate, truth)
    if min(truth.shape[2:]) < 11:
        raise ValueError(f"truth is {tuple(truth.shape[2:])}; both sides must be at least 11")
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    a, b = (t[0].double().cpu().numpy() for t in (truth, estimate))
    return float(structural_similarity(a, b, data_range=1.0, channel_axis=0, **window))


def _cubes(estimate: Tensor, truth: Tensor) -> None:
    checks.finite("estimate", estimate)
    checks.finite("truth", truth)
    if estimate.shape != truth.shape or truth.ndim != 4 or len(truth) != 1:
        given = f"{tuple(estimate.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"estimate and truth have shapes {given}; both must be (1, B, H, W)")


def scores(estimate: Tensor, truth: Tensor, ending: str) -> dict[str, Any]:
    """PSNR in dB, SSIM, SAM in radians, ERGAS (Wald's) and ERGAS of MSE/μ on the scale of 255."""
    found = {"psnr": psnr(estimate, truth), "ssim": ssim(estimate, truth)}
    found |= {"sam": metrics.sam(estimate, truth), "ergas": metrics.ergas(estimate, truth)}
    found["ergas_mse_over_mean"] = metrics.ergas_mse_over_mean(255 * estimate, 255 * truth)
    return {f"{name}_{ending}": value for name, value in found.items()}
