"""The score of depth: its root mean square error."""

from torch import Tensor

from dunfold_lib import checks

BORDER = 6  # pixels on every side that no score looks at


def rmse(estimate: Tensor, truth: Tensor) -> float:
    """Root mean square error in units of 0 … 255, without the outer 6 pixels; not clipped."""
    checks.finite("truth", truth)
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    checks.finite("estimate", estimate)
    if estimate.shape != truth.shape or min(truth.shape[-2:]) <= 2 * BORDER:
        given = f"{tuple(estimate.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"estimate and truth have shapes {given}; equal and above 12 pixels only")
    error = (estimate[inner] - truth[inner]).double()
    return float(255 * error.square().mean().sqrt())
