"""Samples from a posterior by noisy gradient steps: the unadjusted Langevin algorithm.

symbol   code     shape                meaning
U        –        –                    −log of the posterior's density; its score is −∇U
η        step     > 0                  x⁺ = x + η score(x) + √(2η) ξ, ξ standard normal
σ        sigma    > 0                  noise that the prior's denoiser D removes
s        noise    > 0                  deviation of the measurement's noise
h        –        (h, w//2 + 1)        precision of the posterior at a frequency, for ``Wiener``
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.imaging.baselines import measured
from dunfold_lib.imaging.denoisers import Denoise
from dunfold_lib.operators import Blur, Linear

Score = Callable[[Tensor], Tensor]


@checks.door
def walk(
    score: Score, start: Tensor, step: float, K: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """x¹, …, xᴷ of the unadjusted Langevin algorithm (Roberts & Tweedie 1996), one by one."""
    checks.finite("start", start)
    checks.number("step", step, 0, open_low=True)
    checks.whole("K", K, 1)
    x = start
    for _ in range(K):
        xi = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = x + step * score(x) + (2 * step) ** 0.5 * xi
        yield x


@checks.door
def posterior_score(A: Linear, b: Tensor, denoise: Denoise, sigma: float, noise: float) -> Score:
    """x -> Aᵀ(b − A x)/s² + (D(x, σ) − x)/σ²: PnP-ULA's step (Laumont et al. 2022).

    The second part is the score of the prior blurred by noise of deviation σ, by Tweedie's formula,
    where D gives the mean of the image. b is one measurement, x any batch.
    """
    measured(A, b)
    checks.number("sigma", sigma, 0, open_low=True)
    checks.number("noise", noise, 0, open_low=True)
    return lambda x: A.T(b - A(x)) / noise**2 + (denoise(x, sigma) - x) / sigma**2


@checks.door
def moments(states: Iterable[Tensor], burn: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of the states after the first ``burn``, element by element (Welford)."""
    checks.whole("burn", burn)
    count, mean, total = 0, torch.zeros(()), torch.zeros(())
    for k, x in enumerate(states):
        if k >= burn:
            count += 1
            gap = x - mean
            mean = mean + gap / count
            total = total + gap * (x - mean)
    if count < 2:
        raise ValueError(f"{count} states are left after burn {burn}; at least 2 are needed")
    return mean, total / (count - 1)


@dataclass(frozen=True)
class Wiener:
    """A Gaussian prior of images h × w that every shift leaves alone, and its exact denoiser.

    power : variance at each frequency (h, w//2 + 1), of the orthonormal Fourier transform.
    """

    power: Tensor

    def __post_init__(self) -> None:
        checks.finite("power", self.power, ("h", "w//2 + 1"))
        if float(self.power.min()) < 0:
            raise ValueError(f"power holds {float(self.power.min()):g}; a variance is 0 or more")

    def _fits(self, name: str, size: tuple[int, ...]) -> None:
        h, half = self.power.shape
        if len(size) < 2 or (size[-2], size[-1] // 2 + 1) != (h, half):
            allowed = f"(…, {h}, {2 * half - 2}) or (…, {h}, {2 * half - 1})"
            raise ValueError(f"{name} has shape {tuple(size)}; it must be {allowed}")

    @checks.door
    def __call__(self, v: Tensor, sigma: float) -> Tensor:
        """The mean of the image behind v = x + σ noise: S/(S + σ²) at each frequency.

        v (…, h, w).  sigma : above 0.
        """
        checks.number("sigma", sigma, 0, open_low=True)
        self._fits("v", v.shape)
        kept = self.power / (self.power + sigma**2)
        return torch.fft.irfft2(torch.fft.rfft2(v) * kept, s=v.shape[-2:])

    @checks.door
    def precision(self, A: Blur, sigma: float, noise: float) -> Tensor:
        """h = |a|²/s² + 1/(S + σ²): of the posterior that ``posterior_score`` belongs to."""
        self._fits("A.size", A.size)
        checks.number("sigma", sigma, 0, open_low=True)
        checks.number("noise", noise, 0, open_low=True)
        made = A.spectrum.abs().square() / noise**2 + 1 / (self.power + sigma**2)
        if not bool(made.isfinite().all()):
            raise ValueError(f"noise is {noise:g}, sigma {sigma:g}; their squares must not vanish")
        return made

    @checks.door
    def mean(self, A: Blur, b: Tensor, sigma: float, noise: float) -> Tensor:
        """That posterior's mean."""
        measured(A, b)
        h = self.precision(A, sigma, noise)
        back = A.spectrum.conj() * torch.fft.rfft2(b) / noise**2
        return torch.fft.irfft2(back / h, s=A.size)


@checks.door
def stationary(h: Tensor, step: float) -> Tensor:
    """1/(h(1 − ηh/2)): the variance that the walk ends with at precision h; the target's is 1/h."""
    checks.finite("h", h)
    checks.number("step", step, 0)
    if float(h.min()) <= 0:
        raise ValueError(f"h holds {float(h.min()):g}; a precision is above 0")
    if step * float(h.max()) >= 2:
        raise ValueError(f"step is {step:g}; it must be below 2/h, {2 / float(h.max()):g}")
    return 1 / (h * (1 - step * h / 2))


@checks.door
def pixel_variance(variances: Tensor, width: int) -> float:
    """The variance of each pixel of a shift-invariant Gaussian image: the mean over frequencies.

    variances : (h, width//2 + 1), of the half spectrum.
    """
    checks.shaped("variances", variances, ("h", width // 2 + 1))
    weight = torch.full((variances.shape[1],), 2.0, dtype=variances.dtype)
    weight[0] = 1
    if width % 2 == 0:
        weight[-1] = 1
    return float((variances * weight).sum() / (variances.shape[0] * width))
