"""Problems to solve: synthetic sparse recovery, and a photograph that a wheel ships."""

from dataclasses import dataclass, field
from hashlib import sha256
from math import log10

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.operators import Compose, Linear, Mask, Matrix
from dunfold_lib.wavelets import Wavelet


@checks.door
@dataclass(frozen=True)
class SparseProblem:
    """b = A x* + ε with A Gaussian of unit columns and x* Bernoulli(p) × N(0, 1), fresh each draw.

    The protocol of Chen et al. 2018, section 4. Noise is white, its level set for each row:
    std(ε) = std of that row's A x* times 10^(−snr_db/20); ``snr_db`` infinite means none.

    condition : 0 leaves A as drawn; κ ≥ 1 spaces its singular values evenly in logarithm from 1 to
    1/κ before the columns are scaled.  amplitude : standard deviation of the non-zeros.
    A : a dictionary of one's own (m, n) in the place of the drawn one, used as it is, without a
    zero column; it sets m and n.
    """

    m: int = 250
    n: int = 500
    p: float = 0.1
    snr_db: float = float("inf")
    seed: int = 0
    dtype: torch.dtype = torch.float32
    condition: float = 0.0
    amplitude: float = 1.0
    A: Tensor | None = field(default=None, compare=False, repr=False)
    own: str = field(default="", init=False, repr=False)  # what A is, for comparing problems

    def __post_init__(self) -> None:
        if self.A is not None:
            self._take(self.A)
        checks.whole("m", self.m, 2)  # a row's noise level is a standard deviation
        checks.whole("n", self.n, 1)
        checks.number("p", self.p, 0, 1)
        if self.condition:
            checks.number("condition", self.condition, 1)
        checks.number("amplitude", self.amplitude, 0, open_low=True)
        if self.snr_db != float("inf"):
            checks.number("snr_db", self.snr_db)

    def _take(self, A: Tensor) -> None:
        """Keep a copy of one's own dictionary, looked at, and its shape."""
        checks.finite("A", A)
        if A.ndim != 2 or bool((A == 0).all(0).any()):
            given = f"shape {tuple(A.shape)}" if A.ndim != 2 else "a column of zeros"
            raise ValueError(f"A has {given}; it must be (m, n), each column with a non-zero")
        if self.condition:
            raise ValueError(f"condition is {self.condition:g}; one's own A has its condition")
        kept = A.detach().cpu().to(self.dtype, copy=True)
        digest = sha256(kept.contiguous().numpy().tobytes()).hexdigest()
        for name, value in {"A": kept, "m": len(A), "n": A.shape[1], "own": digest}.items():
            object.__setattr__(self, name, value)

    @checks.door
    def operator(self) -> Matrix:
        """A (m, n), drawn in float64 on the CPU, so that a seed names one matrix everywhere.

        Or one's own.
        """
        if self.A is not None:
            return Matrix(self.A.clone())
        g = torch.Generator().manual_seed(self.seed)
        A = torch.randn(self.m, self.n, generator=g, dtype=torch.float64)
        if self.condition:
            U, values, V = torch.linalg.svd(A, full_matrices=False)
            spread = torch.logspace(0, -log10(self.condition), len(values), dtype=A.dtype)
            A = U * spread @ V
        return Matrix((A / A.norm(dim=0)).to(self.dtype))

    @checks.door
    def sample(self, A: Linear, batch: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """(b, x*), of shapes (batch, m) and (batch, n)."""
        checks.whole("batch", batch, 1)
        x = torch.randn(batch, self.n, generator=g, dtype=self.dtype)
        x = self.amplitude * x * (torch.rand(batch, self.n, generator=g) < self.p)
        b = A(x)
        noise = torch.randn(b.shape, generator=g, dtype=self.dtype)
        level = b.std(dim=1, keepdim=True) * 10 ** (-self.snr_db / 20)
        return b + level * noise, x


@checks.door
def photograph(side: int = 256, dtype: torch.dtype = torch.float32) -> Tensor:
    """The cameraman-like test photograph of scikit-image, (1, 1, side, side), values in [0, 1].

    ``skimage.data.camera`` (512×512, CC0, by Lav Varshney) comes inside the scikit-image wheel; it
    is reduced by averaging, so ``side`` must divide 512.
    """
    from skimage.data import camera

    checks.whole("side", side, 16)
    if 512 % side:
        raise ValueError(f"side is {side}; it must divide 512")
    image = torch.from_numpy(camera()).to(dtype) / 255
    return torch.nn.functional.avg_pool2d(image[None, None], 512 // side)


@checks.door
def masked(truth: Tensor, kept: float, noise: float, seed: int = 0) -> tuple[Compose, Tensor]:
    """(A, b): A is a random mask after wavelet synthesis, which keeps this share of the pixels."""
    size = _size(truth)
    checks.number("kept", kept, 0, 1, open_low=True)
    g = torch.Generator().manual_seed(seed + 1)
    mask = torch.rand(size, generator=g) < kept
    A, b = _observed(Mask(mask.to(truth.dtype)), truth, noise, seed)
    return A, b * mask


def _size(truth: Tensor) -> tuple[int, int]:
    """(height, width) of images (batch, 1, height, width)."""
    checks.finite("truth", truth, ("batch", 1, "height", "width"))
    return truth.shape[-2], truth.shape[-1]


def _observed(H: Linear, truth: Tensor, noise: float, seed: int) -> tuple[Compose, Tensor]:
    checks.number("noise", noise, 0)
    e = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed), dtype=truth.dtype)
    return Compose(H, Wavelet(_size(truth))), H(truth) + noise * e
