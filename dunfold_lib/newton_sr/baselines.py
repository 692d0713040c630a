"""What guided super-resolution did before learning: filters, guide-weighted TV, detail injection.

symbol   code     shape                  meaning
Z        Z        (batch, C, H, W)       low-resolution image in [0, 1]
Y        Y        (batch, Cy, rH, rW)    guide in [0, 1]; the first three methods take Cy = 1
r        ratio    whole                  from Y's size and Z's; defaults were chosen for 4
U        -        (batch, C, rH, rW)     the estimate
w        -        (batch, 2, rH, rW)     weights of the differences down and across

Default constants were chosen on crops of the training scenes (Middlebury and Sintel).
"""

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.newton_sr.downsampling import Downsample, up
from dunfold_lib.operators import gradient, gradient_T


@checks.door
def ratio_of(Z: Tensor, Y: Tensor) -> int:
    """r, after a look at both images."""
    checks.finite("Z", Z)
    checks.finite("Y", Y)
    if Z.ndim != 4 or Y.ndim != 4 or len(Z) != len(Y):
        given = f"{tuple(Z.shape)} and {tuple(Y.shape)}"
        raise ValueError(f"Z and Y have shapes {given}; they must be (batch, channels, …, …)")
    r = Y.shape[2] // Z.shape[2]
    if r < 1 or Y.shape[2:] != (r * Z.shape[2], r * Z.shape[3]):
        given = f"{tuple(Z.shape[2:])} and {tuple(Y.shape[2:])}"
        raise ValueError(f"Z and Y have sizes {given}; Y's must be a whole multiple of Z's")
    return r


@checks.door
def bicubic(Z: Tensor, Y: Tensor) -> Tensor:
    """Keys interpolation; the guide is not looked at."""
    return up(Z, ratio_of(Z, Y))


@checks.door
def box(x: Tensor, radius: int) -> Tensor:
    """Means over windows of side 2·radius + 1; at the border over what lies inside."""
    return functional.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)


@checks.door
def guided_filter(Z: Tensor, Y: Tensor, radius: int = 1, eps: float = 1e-4) -> Tensor:
    """Bicubic, then in every window the line a Y + b that fits it best (He, Sun & Tang 2013).

    radius : of the windows, at most the smaller side less one.  eps : ridge on a, in grey levels².
    """
    U = bicubic(Z, Y)
    _one_channel(Y)
    checks.whole("radius", radius, 1)
    checks.number("eps", eps, 0, open_low=True)
    mean_Y, mean_U = box(Y, radius), box(U, radius)
    covariance = box(Y * U, radius) - mean_Y * mean_U
    a = covariance / (box(Y * Y, radius) - mean_Y**2 + eps)
    return box(a, radius) * Y + box(mean_U - a * mean_Y, radius)


@checks.door
def joint_bilateral(
    Z: Tensor, Y: Tensor, radius: int = 4, sigma: float = 1.5, contrast: float = 0.02
) -> Tensor:
    """Bicubic, then means with weights that fall with distance and with the guide's difference.

    sigma : in pixels.  contrast : in grey levels of Y (Petschnigg et al. 2004, Kopf et al. 2007).
    """
    U = bicubic(Z, Y)
    _one_channel(Y)
    checks.whole("radius", radius, 1)
    checks.number("sigma", sigma, 0, open_low=True)
    checks.number("contrast", contrast, 0, open_low=True)
    if radius >= min(Y.shape[2:]):
        raise ValueError(f"radius is {radius}; the image {tuple(Y.shape[2:])} allows less")
    h, w = Y.shape[2:]
    around = lambda x: functional.pad(x, (radius,) * 4, mode="reflect")
    far_Y, far_U, total, weights = around(Y), around(U), torch.zeros_like(U), torch.zeros_like(Y)
    for i in range(2 * radius + 1):
        for j in range(2 * radius + 1):
            here = (..., slice(i, i + h), slice(j, j + w))
            distance = ((i - radius) ** 2 + (j - radius) ** 2) / (2 * sigma**2)
            weight = (-distance - (far_Y[here] - Y).square() / (2 * contrast**2)).exp()
            total, weights = total + weight * far_U[here], weights + weight
    return total / weights


@checks.door
def guided_tv(
    Z: Tensor,
    Y: Tensor,
    lam: float = 2e-3,
    contrast: float = 0.1,
    K: int = 200,
    start: Tensor | None = None,
) -> Tensor:
    """min ½‖D U − r z‖² + λ Σ w|∇U|, w = exp(−|∇Y|/contrast): edges are cheap where Y has one.

    contrast : in grey levels; a large one leaves plain total variation.  K : few steps from bicubic
    score better than the minimiser on depth without noise.
    K steps of the primal-dual algorithm of Condat and Vũ (2013) from bicubic; anisotropic TV, as in
    Ferstl et al. 2013 with a first-order prior.
    """
    r = ratio_of(Z, Y)
    _one_channel(Y)
    checks.number("lam", lam, 0, open_low=True)
    checks.number("contrast", contrast, 0, open_low=True)
    checks.whole("K", K)
    D = Downsample((Y.shape[2], Y.shape[3]), r, Z.shape[1], Z.dtype).to(Z.device)
    bound = lam * (-gradient(Y).abs() / contrast).exp()
    sigma = 0.05  # dual step; τ(½‖D‖² + 8σ) ≤ 1 with ‖D‖ = 1
    tau = 1 / (0.5 + 8 * sigma)
    U = up(Z, r)
    if start is not None:
        checks.like("start", start, "up(Z)", U)
        U = start
    p = torch.zeros_like(gradient(U))
    for _ in range(K):
        before, U = U, U - tau * (D.T(D(U) - r * Z) + gradient_T(p))
        p = torch.clamp(p + sigma * gradient(2 * U - before), -bound, bound)
    return U


@checks.door
def glp(Z: Tensor, Y: Tensor) -> Tensor:
    """Detail injection: up(Z) + G (Y − up(down(Y))), G each band's regression on the guide.

    The generalised Laplacian pyramid with regression-based gains (Aiazzi et al. 2006), its low-pass
    filter being ours: Keys down and up. Y with one channel (panchromatic) or more, which are
    regressed together.
    """
    r = ratio_of(Z, Y)
    D = Downsample((Y.shape[2], Y.shape[3]), r, Y.shape[1], Y.dtype).to(Y.device)
    low = up(D.down(Y), r)
    wide = up(Z, r)
    centred = lambda x: (x - x.mean((2, 3), keepdim=True)).flatten(2)  # (batch, C, pixels)
    a, u = centred(low), centred(wide)
    gram = a @ a.mT
    ridge = 1e-8 * gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + 1e-12
    eye = torch.eye(gram.shape[1], dtype=Z.dtype, device=Z.device)
    G = torch.linalg.solve(gram + ridge * eye, a @ u.mT).mT  # (batch, C, Cy)
    return wide + torch.einsum("bcg,bghw->bchw", G, Y - low)


def _one_channel(Y: Tensor) -> None:
    if Y.shape[1] != 1:
        raise ValueError(f"Y has {Y.shape[1]} channels; this method takes a grey guide, one")
