"""What a network is compared with: PCA, a subspace with a free denoiser, LRTDTV.

symbol     code     shape            meaning
Y          Y        (1, B, H, W)     noisy cube in [0, 1]
σ          sigma    number           deviation of its noise, in Y's units
A, G       A, G     as in classical  basis of the spectra, eigen-images
X, S, E    X, S, E  like Y           LRTDTV: low Tucker rank, sparse, and the rest
D(X)       D        3 like Y         differences down, across and along the bands, periodic

BM3D, BM4D and the codes of FastHyDe have licences that forbid their use here or are programs of
their own: the denoisers are scikit-image's, and weaker.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.hyperspectral.lowrank import expand, project, rank, subspace
from dunfold_lib.prox import soft

MOST = 12  # eigen-images that are denoised at most
TV_WEIGHT, NLM_H = 1.0, 1.0  # of σ; chosen on the validation part of Indian Pines
TUCKER, WEIGHTS, TAU, LAM = 0.8, (1.0, 1.0, 0.5), 1.0, 4.0  # LRTDTV, in units of σ; likewise

Image = np.ndarray
Denoise = Callable[[Image, float], Image]  # (image (H, W), σ) -> image


@checks.door
def tv(image: Image, sigma: float) -> Image:
    """Total variation (Chambolle 2004) of scikit-image; the image itself where σ = 0."""
    from skimage.restoration import denoise_tv_chambolle

    if _noiseless(image, sigma):
        return image.copy()
    return np.asarray(denoise_tv_chambolle(image, TV_WEIGHT * sigma, eps=1e-5, max_num_iter=300))


@checks.door
def nlm(image: Image, sigma: float) -> Image:
    """Non-local means (Buades, Coll & Morel 2005) of scikit-image; as ``tv`` for σ = 0."""
    from skimage.restoration import denoise_nl_means

    if _noiseless(image, sigma):
        return image.copy()
    how = {"patch_size": 5, "patch_distance": 9, "h": NLM_H * sigma, "sigma": sigma}
    return np.asarray(denoise_nl_means(image, fast_mode=True, **how))


@checks.door
def wavelet(image: Image, sigma: float) -> Image:
    """BayesShrink (Chang, Yu & Vetterli 2000) of scikit-image, averaged over 16 shifts.

    The image itself where σ = 0.
    """
    from skimage.restoration import denoise_wavelet

    if _noiseless(image, sigma):
        return image.copy()
    how = {"sigma": sigma, "wavelet": "db2", "mode": "soft", "rescale_sigma": False}
    total = np.zeros_like(image)
    for shift in np.ndindex(4, 4):
        try:
            made = denoise_wavelet(np.roll(image, shift, (0, 1)), **how)
        except ImportError:
            message = "wavelet denoising needs PyWavelets: pip install PyWavelets"
            raise ImportError(message) from None
        total += np.roll(made, [-s for s in shift], (0, 1))
    return total / 16


def _noiseless(image: Image, sigma: float) -> bool:
    """Whether σ is below what the image's own numbers resolve, after a look at both."""
    if image.ndim != 2 or image.dtype.kind != "f" or not np.isfinite(image).all() or not image.size:
        given = f"shape {image.shape} of {image.dtype}"
        raise ValueError(f"image has {given}; it must be (H, W), finite floating-point numbers")
    checks.number("sigma", sigma, 0)
    return bool(sigma <= np.finfo(image.dtype).eps * np.abs(image).max())


DENOISERS: dict[str, Denoise] = {"tv": tv, "nlm": nlm, "wavelet": wavelet}


@checks.door
def pca(Y: Tensor, sigma: float) -> Tensor:
    """The projection on as many spectra as hold more than the noise (``lowrank.rank``)."""
    _cube(Y)
    A = subspace(Y, int(rank(Y, sigma)))
    return expand(project(Y, A), A)


@checks.door
def subspace_denoiser(Y: Tensor, sigma: float, denoise: Denoise = tv, most: int = MOST) -> Tensor:
    """FastHyDe's scheme (Zhuang & Bioucas-Dias 2018): each eigen-image denoised on its own.

    White noise stays white in an orthonormal basis, so every eigen-image has the cube's σ.
    """
    _cube(Y)
    checks.whole("most", most, 1)
    A = subspace(Y, min(int(rank(Y, sigma)), most))
    G = project(Y, A)
    images = G[0].detach().cpu().numpy().astype(np.float64)
    made = [_in_range(image, sigma, denoise) for image in images]
    return expand(torch.from_numpy(np.stack(made))[None].to(G), A)


def _in_range(image: Image, sigma: float, denoise: Denoise) -> Image:
    """The denoiser run on the image brought to [0, 1], where scikit-image expects it."""
    low, span = image.min(), max(np.ptp(image), 1e-12)
    return denoise((image - low) / span, sigma / span) * span + low


@checks.door
def lrtdtv(
    Y: Tensor, sigma: float, tau: float = TAU, lam: float = LAM, steps: int = 30, r: int = 9
) -> Tensor:
    """Low-rank Tucker with weighted spatial-spectral total variation and sparse noise, by ADMM.

    minimise τ Σ_d w_d ‖D_d Z‖₁ + λ‖S‖₁ + ½‖Y − X − S‖²  with X = Z of Tucker rank (0.8 H, 0.8 W, r)
    in units of σ: the model of Wang et al. 2018 with its rest E = Y − X − S taken out in closed
    form. The penalty grows by half a step; X by one sweep of higher-order orthogonal iteration.
    """
    checks.whole("r", r, 1)
    _cube(Y)
    for name, value in (("sigma", sigma), ("tau", tau), ("lam", lam)):
        checks.number(name, value, 0, open_low=True)
    checks.whole("steps", steps, 1)
    Y, w = Y[0] / sigma, torch.tensor(WEIGHTS)
    ranks = (r, *(max(int(TUCKER * n), 1) for n in Y.shape[1:]))
    power = _difference_power(Y.shape, w)
    X = Z = Y
    S, T = torch.zeros_like(Y), torch.zeros_like(Y)
    F = V = torch.zeros(3, *Y.shape).to(Y)
    rho = 0.1
    for _ in range(steps):
        X = tucker((Y - S + rho * (Z + T)) / (1 + rho), ranks)
        right = X - T + _differences_T(F + V, w)
        Z = torch.fft.irfftn(torch.fft.rfftn(right) / (1 + power), s=Y.shape)
        step = _differences(Z, w)
        F = soft(step - V, tau / rho)
        S = soft(Y - X, lam)
        T, V, rho = T + Z - X, V + F - step, min(1.2 * rho, 10.0)
    return sigma * X[None]


@checks.door
def tucker(X: Tensor, ranks: tuple[int, ...]) -> Tensor:
    """X (n₁, n₂, n₃) projected on the leading singular vectors of its three unfoldings."""
    for rank_ in ranks:
        checks.whole("one of ranks", rank_, 1)
    for axis, r in enumerate(ranks):
        unfolded = X.movedim(axis, 0).flatten(1)
        U = torch.linalg.eigh(unfolded @ unfolded.T).eigenvectors[:, -min(r, len(unfolded)) :]
        X = torch.tensordot(U @ U.T, X, dims=([1], [axis])).movedim(0, axis)
    return X


AXES = (1, 2, 0)  # down, across, along the bands, of (B, H, W)


def _differences(Z: Tensor, w: Tensor) -> Tensor:
    """w_d D_d Z for the three axes, periodic, (3, B, H, W)."""
    return torch.stack([c * (Z.roll(-1, a) - Z) for c, a in zip(w, AXES, strict=True)])


def _differences_T(F: Tensor, w: Tensor) -> Tensor:
    """The transpose of ``_differences``."""
    each = zip(w, AXES, F, strict=True)
    return torch.stack([c * (part.roll(1, a) - part) for c, a, part in each]).sum(0)


def _difference_power(shape: torch.Size, w: Tensor) -> Tensor:
    """The eigenvalues of the differences' DᵀD under ``rfftn``."""
    impulse = torch.zeros(shape)
    impulse[0, 0, 0] = 1
    return torch.fft.rfftn(_differences_T(_differences(impulse, w), w)).real


def _cube(Y: Tensor) -> None:
    checks.finite("Y", Y)
    if Y.ndim != 4 or len(Y) != 1:
        raise ValueError(f"Y has shape {tuple(Y.shape)}; it must be one cube (1, B, H, W)")


def noisy(Y: Tensor, sigma: float) -> Tensor:
    """No method: the noisy cube."""
    return Y
