"""Wavelets as a linear map."""

from typing import Any

import torch
from torch import Tensor

from dunfold_lib import checks, fetch
from dunfold_lib.operators import Linear


class Wavelet(Linear):
    """Synthesis of images (1, *size) from the coefficients of an orthonormal wavelet transform.

    Periodic boundaries, so the transform is orthogonal and ``T`` is the analysis. Coefficients lie
    in an array of the image's own shape, the coarse ones in the top left corner. Needs PyWavelets
    (extra ``book``); runs on the CPU and passes no gradient.

    levels : both sides must be multiples of 2^levels and long enough for the filter; by default as
    many as that allows, at most 4.
    """

    orthogonal = True

    @checks.door
    def __init__(self, size: tuple[int, int], name: str = "db4", levels: int | None = None):
        super().__init__()
        pywt = _pywt()
        checks.size("size", size)
        if name not in pywt.wavelist(kind="discrete") or not _orthonormal(pywt.Wavelet(name)):
            raise ValueError(f"name is {name!r}; it must be an orthogonal wavelet of PyWavelets")
        longest = pywt.dwt_max_level(max(min(size), 1), name)
        fitting = [k for k in range(1, longest + 1) if not any(s % 2**k for s in size)]
        if levels is None:
            levels = min(max(fitting, default=0), 4)
        checks.whole("levels", levels)
        if levels not in fitting:
            most = f"allow 1 to {max(fitting)}" if fitting else "allow none"
            raise ValueError(f"levels is {levels}; size {size} and {name} {most}")
        self.name, self.levels = name, levels
        self.domain = self.codomain = (1, *size)
        _, (coarse, *details) = pywt.coeffs_to_array(self._analyse(torch.zeros(size)))
        self._bands = [(..., *coarse), *({k: (..., *v) for k, v in d.items()} for d in details)]

    def _analyse(self, image: Tensor) -> Any:
        x, how = image.detach().cpu().numpy(), {"mode": "periodization", "axes": (-2, -1)}
        return _pywt().wavedec2(x, self.name, level=self.levels, **how)

    @checks.door
    def forward(self, x: Tensor) -> Tensor:  # (batch, 1, height, width), both sides
        checks.rows("x", x, self.domain)
        bands = _pywt().array_to_coeffs(x.detach().cpu().numpy(), self._bands, "wavedec2")
        image = _pywt().waverec2(bands, self.name, mode="periodization", axes=(-2, -1))
        return torch.from_numpy(image).to(x)

    @checks.door
    def T(self, r: Tensor) -> Tensor:
        checks.rows("r", r, self.codomain)
        array, _ = _pywt().coeffs_to_array(self._analyse(r), axes=(-2, -1))
        return torch.from_numpy(array).to(r)

    def known_norm(self) -> float:
        return 1.0


def _orthonormal(wavelet: Any) -> bool:
    """Whether the filter is orthogonal to its own even shifts; ``dmey`` is so only nearly."""
    h = torch.tensor(wavelet.dec_lo, dtype=torch.float64)
    shifts = [float(h[: len(h) - s] @ h[s:]) for s in range(0, len(h), 2)]
    return bool(wavelet.orthogonal) and max(abs(v - (s == 0)) for s, v in enumerate(shifts)) < 1e-9


def _pywt() -> Any:
    return fetch.module("pywt", "the wavelet operator needs PyWavelets: pip install PyWavelets")
