"""Total-variation deblurring by the primal-dual method of Chambolle & Pock 2011.

symbol   code         shape                  meaning
A        A            -                      ``operators.Blur``: k ∗ x, periodic
b        b            (batch, 1, h, w)       what was seen
x, x̄     x, ahead     (batch, 1, h, w)       image; and one step ahead of it
p        p            (batch, 2M, h, w)      dual of D x, in M pairs of channels
D        D            (2M, 1, s, s)          filters, periodic: the differences down, across
λ        lam          number or (M,)         weight of Σ ‖(D x)ᵢ‖₂, the radius of the balls
τ, σ     tau, sigma   numbers                steps, τσ‖D‖² ≤ 1
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from dunfold_lib import checks
from dunfold_lib.deblurring.data import gaussian
from dunfold_lib.operators import Blur

BOUND = 8.0  # ‖D‖² of the differences is at most this, and equal to it where both sides are even
LAM, TAU = 8e-4, 50.0  # of six steps, chosen on the validation photographs
LAM_SOLVED, TAU_SOLVED, SOLVED = 7e-4, 20.0, 400  # of the solved problem: λ likewise; step, steps
TINY = 1e-20


class State(NamedTuple):
    """What a step carries: the image, the image one step ahead, the dual."""

    x: Tensor
    ahead: Tensor
    p: Tensor


def differences(dtype: torch.dtype = torch.float32) -> Tensor:
    """The filters (2, 1, 3, 3) of forward differences, down and across."""
    D = torch.zeros(2, 1, 3, 3, dtype=dtype)
    D[:, 0, 1, 1] = -1
    D[0, 0, 2, 1] = D[1, 0, 1, 2] = 1
    return D


@checks.door
def analyse(D: Tensor, x: Tensor) -> Tensor:
    """D x, (batch, 1, h, w) to (batch, 2M, h, w): correlation with each filter, periodic."""
    checks.shaped("x", x, ("batch", 1, "h", "w"))
    return functional.conv2d(_around(x, _reach(D)), D)


@checks.door
def synthesise(D: Tensor, p: Tensor) -> Tensor:
    """Dᵀ p, (batch, 2M, h, w) to (batch, 1, h, w): the transpose of ``analyse``."""
    checks.shaped("p", p, ("batch", D.shape[0], "h", "w"))
    return functional.conv2d(_around(p, _reach(D)), D.transpose(0, 1).flip(2, 3))


def _reach(D: Tensor) -> int:
    if D.ndim != 4 or D.shape[1] != 1 or D.shape[0] % 2 or D.shape[2:] != (D.shape[2] | 1,) * 2:
        raise ValueError(f"D has shape {tuple(D.shape)}; it must be (2M, 1, s, s) with s odd")
    return D.shape[2] // 2


def _around(x: Tensor, reach: int) -> Tensor:
    """x with a rim from its opposite edges."""
    return functional.pad(x, (reach,) * 4, "circular")


@checks.door
def norm_squared(D: Tensor, size: tuple[int, int]) -> float:
    """‖D‖² on images of a size, exactly: the largest value of Σ |D̂|² over the frequencies."""
    checks.size("size", size)
    unit = D.new_zeros(1, 1, *size)
    unit[0, 0, 0, 0] = 1
    return float(torch.fft.rfft2(analyse(D, unit)).abs().square().sum(1).max())


@checks.door
def ball(p: Tensor, radius: Tensor | float) -> Tensor:
    """The projection of each pair of channels, in each pixel, onto a disc of this radius.

    radius : a number, or one a pair (M,). For a negative one, which a trained network may hold, the
    formula p · r/max(‖p‖, r) is applied as it stands.
    """
    checks.shaped("p", p, ("batch", "2M", "h", "w"))
    q = p.unflatten(1, (-1, 2))
    size = q.square().sum(2, keepdim=True).clamp_min(TINY).sqrt()
    r = torch.as_tensor(radius, dtype=p.dtype, device=p.device).reshape(-1, 1, 1, 1)
    return (q * (r / torch.maximum(size, r))).flatten(1, 2)


@checks.door
def data_prox(A: Blur, b: Tensor, v: Tensor, tau: Tensor | float) -> Tensor:
    """argmin_x ½‖x − v‖² + τ·½‖A x − b‖²: a division for each frequency, since A is periodic."""
    checks.rows("b", b, A.codomain)
    checks.rows("v", v, A.domain)
    h, fourier = A.spectrum, torch.fft.rfft2
    top = fourier(v) + tau * h.conj() * fourier(b)
    return torch.fft.irfft2(top / (1 + tau * h.abs().square()), s=A.size)


def step(
    A: Blur, D: Tensor, b: Tensor, lam: float, tau: float, sigma: float, state: State
) -> State:
    """One step: the dual forward and back into its balls, the image back, then ahead (θ = 1)."""
    p = ball(state.p + sigma * analyse(D, state.ahead), lam)
    x = data_prox(A, b, state.x - tau * synthesise(D, p), tau)
    return State(x, 2 * x - state.x, p)


def begin(D: Tensor, b: Tensor) -> State:
    """x⁰ = b, p⁰ = 0."""
    return State(b, b, b.new_zeros(len(b), len(D), *b.shape[2:]))


@checks.door
def iterates(
    b: Tensor,
    K: int,
    kernel: Tensor | None = None,
    lam: float = LAM,
    tau: float = TAU,
    product: float = 1.0,
    start: Tensor | None = None,
) -> list[Tensor]:
    """[x⁰, …, xᴷ] with x⁰ = b or ``start``; σ is product/(8τ), and product ≤ 1 is safe.

    kernel : of the blur, by default ``data.gaussian``.
    """
    checks.finite("b", b)
    checks.shaped("b", b, ("batch", 1, "h", "w"))
    checks.whole("K", K)
    checks.number("lam", lam, 0)
    checks.number("tau", tau, 0, open_low=True)
    checks.number("product", product, 0, open_low=True)
    A = Blur(gaussian(dtype=b.dtype) if kernel is None else kernel, (b.shape[2], b.shape[3]))
    D, sigma = differences(b.dtype).to(b.device), product / (BOUND * tau)
    state = begin(D, b)
    if start is not None:
        checks.rows("start", start, A.domain)
        state = State(start, start, state.p)
    xs = [state.x]
    for _ in range(K):
        state = step(A, D, b, lam, tau, sigma, state)
        xs.append(state.x)
    return xs


@checks.door
def objective(b: Tensor, lam: float, x: Tensor, kernel: Tensor | None = None) -> Tensor:
    """½‖k ∗ x − b‖² + λ Σ ‖(D x)ᵢ‖₂, one value per row: (batch,)."""
    checks.shaped("b", b, ("batch", 1, "h", "w"))
    checks.number("lam", lam, 0)
    A = Blur(gaussian(dtype=b.dtype) if kernel is None else kernel, (b.shape[2], b.shape[3]))
    fit = 0.5 * (A(x) - b).square().flatten(1).sum(1)
    return fit + lam * analyse(differences(b.dtype), x).norm(dim=1).flatten(1).sum(1)
