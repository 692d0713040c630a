"""Low rank: singular value thresholding, the nearest orthonormal matrix, subspace and noise level.

symbol   code       shape            meaning
X        X          (…, r, q)        a batch of matrices, few rows: Gram matrices are (r, r)
τ        tau        broadcasts to …  threshold, at least 0
s, U     s, U       (…, r), (…, r, r)  singular values and left singular vectors, from X Xᵀ
f        f          (…, r)           max(1 − τ/s, 0): SVT(X) = U f Uᵀ X
Y        Y          (N, B, H, W)     a noisy cube
A        A          (N, B, r)        orthonormal basis of its spectra, AᵀA = I
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from dunfold_lib import checks

EXACT = 1e-3  # τ/s_max below which the Gram matrix is decomposed in float64


class _SVT(torch.autograd.Function):
    """U f(s) Uᵀ X with a backward that holds for equal singular values, too.

    With Γᵢⱼ = (fᵢ − fⱼ)/(sᵢ² − sⱼ²) (Daleckii & Krein 1965), which here has a closed form without
    a difference of close numbers: τ/(sᵢ sⱼ (sᵢ + sⱼ)) where both survive, 0 where none does, and
    (sᵢ − τ)/(sᵢ (sᵢ² − sⱼ²)) where only the i-th does.
    """

    @staticmethod
    def forward(ctx: Any, X: Tensor, tau: Tensor) -> Tensor:
        U, s = _left(X, tau)
        f = (s - tau[..., None]).relu() / s
        M = (U * f[..., None, :]) @ U.mT
        ctx.save_for_backward(X, tau, U, s, M)
        return M @ X

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dY: Tensor) -> tuple[Tensor, Tensor]:
        X, tau, U, s, M = ctx.saved_tensors
        dY = dY.contiguous()
        inner = U.mT @ (dY @ X.mT) @ U
        dM = U @ (inner * _gamma(s, tau[..., None, None])) @ U.mT
        dX = M @ dY + (dM + dM.mT) @ X
        alive = s > tau[..., None]
        dtau = -(inner.diagonal(dim1=-2, dim2=-1) / s).where(alive, 0).sum(-1)
        return dX, dtau


def _left(X: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """(U, s) from the Gram matrix; in float64 for those matrices whose τ is small beside s_max."""
    gram = X @ X.mT
    squares, U = torch.linalg.eigh(gram)
    largest = gram.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()  # at least s_max
    close = tau < EXACT * largest
    if X.dtype != torch.float64 and bool(close.any()):
        wide = X[close].double()
        exact, left = torch.linalg.eigh(wide @ wide.mT)
        squares[close], U[close] = exact.to(X.dtype), left.to(X.dtype)
    return U, squares.clamp(min=torch.finfo(X.dtype).tiny).sqrt()


def _gamma(s: Tensor, tau: Tensor) -> Tensor:
    """Γ (…, r, r); both triangles."""
    i, j = s[..., :, None], s[..., None, :]
    both = tau / i / j / (i + j)
    high, low = torch.maximum(i, j), torch.minimum(i, j)
    one = (high - tau) / high / (high - low) / (high + low)
    return both.where(low > tau, one.where(high > tau, 0))


@checks.door
def svt(X: Tensor, tau: Tensor | float) -> Tensor:
    """Singular value thresholding of matrices X (…, r, q): the prox of τ times the nuclear norm.

    tau : a number, or a tensor that broadcasts to the batch (…). By r × r eigenproblems; passes
    gradients to X and tau, finite at equal singular values. Cai, Candès & Shen 2010.
    """
    checks.real("X", X)
    if X.ndim < 2:
        raise ValueError(f"X has shape {tuple(X.shape)}; it must be (…, r, q)")
    if not isinstance(tau, Tensor):
        checks.number("tau", tau, 0)
    each = torch.as_tensor(tau, dtype=X.dtype, device=X.device).expand(X.shape[:-2])
    return _SVT.apply(X.contiguous(), each)  # else each product copies matrix after matrix


@checks.door
def nuclear(X: Tensor) -> Tensor:
    """The sum of singular values of every matrix (…, r, q), from Gram matrices in float64."""
    gram = X.double() @ X.double().mT
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().sum(-1).to(X.dtype)


class _Polar(torch.autograd.Function):
    """U Vᵀ of M = U Σ Vᵀ, with the derivative of the polar factor (Higham 2008, section 8)."""

    @staticmethod
    def forward(ctx: Any, M: Tensor) -> Tensor:
        U, s, Vt = torch.linalg.svd(M.double(), full_matrices=False)
        A = U @ Vt
        ctx.save_for_backward(A, s, Vt)
        return A.to(M.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dA: Tensor) -> Tensor:
        A, s, Vt = ctx.saved_tensors
        s = s.clamp(min=1e-12 * float(s.max()))
        wide = dA.double()
        inside = A.mT @ wide
        outside = (wide - A @ inside) @ (Vt.mT / s[..., None, :]) @ Vt
        turn = Vt @ (inside - inside.mT) @ Vt.mT / (s[..., :, None] + s[..., None, :])
        return (outside + A @ Vt.mT @ turn @ Vt).to(dA.dtype)


@checks.door
def procrustes(M: Tensor) -> Tensor:
    """The matrix with orthonormal columns that is nearest to M (…, B, r), r ≤ B: U Vᵀ.

    It maximises ⟨A, M⟩ over AᵀA = I. By an SVD in float64, since M's condition is squared in MᵀM;
    passes gradients where M has full rank. Schönemann 1966.
    """
    checks.real("M", M)
    if M.ndim < 2 or M.shape[-1] > M.shape[-2]:
        raise ValueError(f"M has shape {tuple(M.shape)}; it must be (…, B, r) with r at most B")
    return _Polar.apply(M)


@checks.door
def project(Y: Tensor, A: Tensor) -> Tensor:
    """Y ×₃ Aᵀ: from spectra (N, B, H, W) to coordinates (N, r, H, W)."""
    checks.shaped("Y", Y, (len(A), A.shape[1], "H", "W"))
    return torch.einsum("nbr,nbhw->nrhw", A, Y)


@checks.door
def expand(G: Tensor, A: Tensor) -> Tensor:
    """G ×₃ A: from coordinates (N, r, H, W) to spectra (N, B, H, W)."""
    checks.shaped("G", G, (len(A), A.shape[2], "H", "W"))
    return torch.einsum("nbr,nrhw->nbhw", A, G)


@checks.door
def correlation(Y: Tensor) -> Tensor:
    """Y₍₃₎Y₍₃₎ᵀ over the number of pixels, (N, B, B), in float64."""
    checks.finite("Y", Y)
    checks.shaped("Y", Y, ("batch", "B", "H", "W"))
    spectra = Y.flatten(2).double()
    return spectra @ spectra.mT / spectra.shape[2]


@checks.door
def subspace(Y: Tensor, r: int, window: int = 0) -> Tensor:
    """A (N, B, r): the directions in which the spectra of a cube are largest, the first ones first.

    Without taking a mean out; a component's sign is chosen so that its entries sum to ≥ 0.
    window : odd; above 1 the spectra are those of ``medians``, which sparse noise does not turn.
    """
    checks.whole("r", r, 1)
    checks.whole("window", window)
    C = correlation(medians(Y, window) if window > 1 else Y)
    if r > Y.shape[1]:
        raise ValueError(f"r is {r}; the cube has {Y.shape[1]} bands")
    A = torch.linalg.eigh(C).eigenvectors[..., -r:].flip(-1)
    return (A * torch.where(A.sum(-2, keepdim=True) < 0, -1.0, 1.0)).to(Y.dtype)


@checks.door
def medians(Y: Tensor, window: int) -> Tensor:
    """The median in a square window around every pixel of each band; reflected at the border."""
    checks.finite("Y", Y)
    if window % 2 == 0 or Y.ndim != 4 or min(Y.shape[2:]) <= window // 2:
        given = f"{window} and Y has shape {tuple(Y.shape)}"
        raise ValueError(f"window is {given}; it must be odd, and its half less than H and W")
    wide = functional.pad(Y, [window // 2] * 4, mode="reflect")
    each = [  # a band at a time: window² copies of a cube would be large
        functional.unfold(band, window).median(1).values for band in wide.split(1, dim=1)
    ]
    return torch.stack(each, 1).reshape(Y.shape)


@checks.door
def rank(Y: Tensor, sigma: float | Tensor) -> Tensor:
    """How many directions of each cube hold more than white noise of this deviation, (N,).

    Counts eigenvalues of the correlation above σ²(1 + √(B/pixels))², the largest that noise alone
    has in the limit (Marchenko & Pastur 1967); at least 1.  sigma : a number, or (N, 1, 1, 1).
    """
    C = correlation(Y)
    level = torch.as_tensor(sigma, dtype=C.dtype, device=C.device).expand(len(Y), 1, 1, 1).flatten()
    if not bool((level > 0).all()):
        raise ValueError("sigma must be above 0; without noise every direction counts")
    edge = level**2 * (1 + (Y.shape[1] / Y[0, 0].numel()) ** 0.5) ** 2
    return (torch.linalg.eigvalsh(C) > edge[:, None]).sum(1).clamp(min=1)


@checks.door
def basis(Y: Tensor, r: int, window: int = 0) -> Tensor:
    """``subspace`` of cubes in units of σ; columns beyond the estimated rank are zero."""
    A = subspace(Y, r, window)
    return A * (torch.arange(r).to(A) < rank(Y, 1.0)[:, None])[:, None]


@checks.door
def band_noise(Y: Tensor) -> Tensor:
    """The noise's deviation in every band, (N, B): what the other bands do not predict.

    1/(C⁻¹)_bb is the residual of the linear regression of band b on all others (Roger & Arnold
    1996), corrected for the number of regressors. Signal that the other bands, noisy themselves, do
    not predict counts as noise: the fewer bands, the more. Needs more pixels than bands.
    """
    C = correlation(Y)
    B, pixels = Y.shape[1], Y.shape[2] * Y.shape[3]
    if pixels <= B:
        raise ValueError(f"Y has {pixels} pixels and {B} bands; it must have more pixels")
    if not bool(Y.any()):
        return Y.new_zeros(Y.shape[:2])
    ridge = 1e-12 * C.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-300)
    inverse = torch.linalg.inv(C + ridge[:, None, None] * torch.eye(B).to(C))
    left = 1 / inverse.diagonal(dim1=1, dim2=2) * pixels / (pixels - B + 1)
    return left.clamp(min=0).sqrt().to(Y.dtype)


@checks.door
def noise_level(Y: Tensor) -> Tensor:
    """σ of white noise in each cube, (N, 1, 1, 1): the median of ``band_noise``."""
    return band_noise(Y).median(1).values[:, None, None, None]
