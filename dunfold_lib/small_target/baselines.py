"""Detectors that need no learning.

A detector takes an image (h, w) in [0, 1] and gives a map of the same size, at least 0, large where
a target may be; ``segment`` cuts it at half of its largest value. IPI is robust PCA of the image's
patches; PSTNN is that of a tensor of them.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.datasets import bell
from dunfold_lib.small_target.algorithm import rpca_apg

Detector = Callable[[Tensor], Tensor]
MPCM_SCALES = (3, 5, 7, 9)
IPI_PATCH, IPI_STEP = 50, 10
PSTNN_PATCH, PSTNN_STEP = 40, 40


@checks.door
def segment(score: Tensor, share: float = 0.5) -> Tensor:
    """Where a map (h, w) exceeds ``share`` of its largest value; nowhere in a map of zeros."""
    checks.finite("score", score)
    checks.number("share", share, 0, 1)
    return score > share * score.max().clamp(min=0)


def _grey(image: Tensor, least: int) -> None:
    checks.finite("image", image)
    if image.ndim != 2 or min(image.shape) < least:
        given = tuple(image.shape)
        raise ValueError(f"image has shape {given}; it must be (h, w), both from {least}")


@checks.door
def top_hat(image: Tensor, side: int = 5) -> Tensor:
    """The image minus its opening by a side × side square: what is bright and smaller than that."""
    checks.whole("side", side, 3)
    if side % 2 == 0:
        raise ValueError(f"side is {side}; it must be odd")
    _grey(image, side)
    widest = lambda x: functional.max_pool2d(x, side, 1, side // 2)
    x = image[None, None]
    return (x - widest(-widest(-x)))[0, 0]


@checks.door
def mpcm(image: Tensor, scales: tuple[int, ...] = MPCM_SCALES) -> Tensor:
    """Multiscale patch-based contrast measure (Wei, You & Li 2016).

    At each scale s: patch means m; d_i = (m − m_i)(m − m_{i+4}) with the patches at ±s in four
    directions; the least d_i, and of that the largest over scales. The border is repeated.
    """
    for s in scales:
        checks.whole("scale", s, 1)
    _grey(image, max(scales))
    return torch.stack([_contrast(image, s) for s in scales]).amax(0).relu()


def _contrast(image: Tensor, s: int) -> Tensor:
    """min_i (m − m_i)(m − m_{i+4}) at one scale."""
    (h, w), m = image.shape, _box(image, s)
    seen = functional.pad(m[None, None], (s,) * 4, mode="replicate")[0, 0]
    at = lambda dy, dx: seen[s + dy : s + dy + h, s + dx : s + dx + w]
    ways = [(-s, -s), (-s, 0), (-s, s), (0, s)]
    return torch.stack([(m - at(y, x)) * (m - at(-y, -x)) for y, x in ways]).amin(0)


def _box(x: Tensor, side: int) -> Tensor:
    """Means over side × side pixels, the border repeated."""
    padded = functional.pad(x[None, None], (side // 2,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, side, 1)[0, 0]


@checks.door
def starts(length: int, patch: int, step: int) -> list[int]:
    """Where patches begin along one side: every ``step``, and one that ends at the edge."""
    last = length - patch
    return [*range(0, last, step), last]


@checks.door
def patch_matrix(image: Tensor, patch: int, step: int) -> Tensor:
    """The patches of an image (h, w) as columns: (patch², patches)."""
    rows, columns = (starts(n, patch, step) for n in image.shape)
    cut = [image[y : y + patch, x : x + patch].flatten() for y in rows for x in columns]
    return torch.stack(cut, 1)


@checks.door
def from_patches(P: Tensor, size: tuple[int, int], patch: int, step: int) -> Tensor:
    """An image of this size: at each pixel the median over the patches (columns of P) there."""
    rows, columns = (starts(n, patch, step) for n in size)
    places = [(y, x) for y in rows for x in columns]
    most = -(-patch // step) + 1
    stack = P.new_full((most * most, *size), float("nan"))
    depth = torch.zeros(size, dtype=torch.long)
    for column, (y, x) in zip(P.T, places, strict=True):
        here = (slice(y, y + patch), slice(x, x + patch))
        stack[(slice(None), *here)].scatter_(0, depth[here][None], column.view(1, patch, patch))
        depth[here] += 1
    ordered = stack.sort(0).values  # NaN last
    pick = lambda at: ordered.gather(0, at[None])[0]
    return (pick((depth - 1) // 2) + pick(depth // 2)) / 2


@checks.door
def ipi(image: Tensor, lam: float | None = None, tol: float = 1e-6, steps: int = 300) -> Tensor:
    """Infrared patch image (Gao et al. 2013): relaxed robust PCA of overlapping patches.

    Patches 50×50 every 10 pixels. lam : default 1/√max(h, w), which the authors' code has; the
    paper takes the sides of the patch matrix. Stops at a residual of ``tol``, when the rank has
    stayed for more than 10 steps, or after ``steps``.
    """
    _grey(image, IPI_PATCH)
    size = (image.shape[0], image.shape[1])
    lam = 1 / max(size) ** 0.5 if lam is None else lam
    checks.number("tol", tol, 0)
    checks.whole("steps", steps, 1)
    P = patch_matrix(image.double(), IPI_PATCH, IPI_STEP)
    s = torch.linalg.eigvalsh(P.T @ P).clamp(min=0).sqrt().flip(0)
    if len(s) < 2 or float(s[1]) <= 1e-6 * float(s[0]):
        return torch.zeros_like(image)  # of rank one: a flat image is all background
    mu, mu_end = float(s[1]), max(0.005 * float(s[min(3, len(s) - 1)]), 1e-6 * float(s[1]))
    ranks: list[int] = []
    for _, x in zip(range(steps), rpca_apg(P, lam, mu, mu_end), strict=False):
        ranks.append(x.rank)
        same = len(ranks) > 11 and len(set(ranks[-12:])) == 1
        if x.residual <= tol or same:
            break
    return from_patches(x.T, size, IPI_PATCH, IPI_STEP).clamp(min=0).to(image)


@checks.door
def corners(image: Tensor) -> Tensor:
    """PSTNN's prior weight (h, w) in [0, 1]: large at corners and dots, small along edges.

    From the eigenvalues a ≥ b of the structure tensor: ab/(a + b) · a, scaled to [0, 1].
    """
    _grey(image, 3)
    fine = _gauss(image, 2.0)
    dy, dx = torch.gradient(fine)
    xx, xy, yy = (_gauss(v, 9.0) for v in (dx * dx, dx * dy, dy * dy))
    spread = ((xx - yy).square() + 4 * xy.square()).sqrt()
    a, b = (xx + yy + spread) / 2, (xx + yy - spread) / 2
    strength = (a * b / (a + b).clamp(min=torch.finfo(a.dtype).tiny)) * torch.maximum(a, b)
    low, high = strength.min(), strength.max()
    return (strength - low) / (high - low).clamp(min=torch.finfo(a.dtype).tiny)


def _gauss(x: Tensor, sigma: float) -> Tensor:
    """Gaussian filter with a 3×3 window, the border repeated."""
    line = bell(1, sigma, x.dtype)
    kernel = torch.outer(line, line)
    padded = functional.pad(x[None, None], (1,) * 4, mode="replicate")
    return functional.conv2d(padded, (kernel / kernel.sum())[None, None])[0, 0]


@checks.door
def pstnn(image: Tensor, tol: float = 1e-3, steps: int = 500) -> Tensor:
    """Partial sum of the tensor nuclear norm (Zhang & Peng 2019), on patches 40×40 every 40.

    ADMM with μ = 2e-3, growing by 1.05 a step; values 0 … 255. Stops at a relative residual of
    ``tol``, when the number of non-zeros in T repeats, or after ``steps``.
    """
    _grey(image, PSTNN_PATCH)
    checks.number("tol", tol, 0)
    checks.whole("steps", steps, 1)
    size, n = (image.shape[0], image.shape[1]), PSTNN_PATCH
    tensor = lambda x: patch_matrix(x, n, PSTNN_STEP).T.unflatten(1, (n, n))  # (patches, n, n)
    X, W = tensor(255 * image.double()), tensor(corners(255 * image.double()))
    lam = 0.7 / (n * len(X)) ** 0.5
    s = torch.linalg.svdvals(X.flatten(1))  # of the patches as rows
    kept = max(int((s >= 0.1 * s[0]).sum()), 1)  # that are at least a tenth of the largest
    T, Y, w, mu, count = torch.zeros_like(X), torch.zeros_like(X), torch.ones_like(X), 2e-3, -1
    for _ in range(steps):
        L = _partial_svt(X - T - Y / mu, kept, 1 / mu)
        T = (X - L - Y / mu - w * lam / mu).relu()
        w = kept / (T.abs() + 0.01) / W  # infinite where W is 0: no target there
        rest = L + T - X
        before, count = count, int(T.count_nonzero())
        if float(rest.norm()) < tol * float(X.norm()) or count == before:
            break
        Y, mu = Y + mu * rest, 1.05 * mu
    return (from_patches(T.flatten(1).T, size, n, PSTNN_STEP) / 255).to(image)


def _partial_svt(X: Tensor, kept: int, t: float) -> Tensor:
    """Along patches (n3, n, n): of every Fourier slice keep the leading values, shrink the rest."""
    U, s, V = torch.linalg.svd(torch.fft.rfft(X, dim=0), full_matrices=False)
    s = torch.cat([s[:, :kept], (s[:, kept:] - t).relu()], 1)
    return torch.fft.irfft((U * s[:, None].to(U.dtype)) @ V, n=len(X), dim=0)


DETECTORS: dict[str, Detector] = {"top-hat": top_hat, "mpcm": mpcm, "pstnn": pstnn, "ipi": ipi}
