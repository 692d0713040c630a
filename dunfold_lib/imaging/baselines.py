"""What was there before learning: total variation, and thresholding in a wavelet basis.

symbol   code      shape                    meaning
A        A         -                        ``operators.Linear`` of images (1, height, width)
b        b         (batch, …)               measurements, b = A x*
x        x         (batch, 1, h, w)         image
∇        gradient  (batch, 2, 1, h, w)      forward differences, down and across, 0 at the far edge
p        p         (batch, 2, 1, h, w)      dual of ∇x: at most 1 long in every pixel
W        W         -                        orthonormal synthesis; Wᵀx are x's coefficients
ρ, θ     rho, theta   numbers               step and threshold
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.operators import Linear, fits, gradient, gradient_T, is_linear, norm
from dunfold_lib.prox import soft
from dunfold_lib.solvers import conjugate_gradients, starting_point
from dunfold_lib.wavelets import Wavelet

TV_STEPS = 400  # of the chapter's tables
RATIO = 0.01  # τ/σ of the primal and the dual step, for pixels in [0, 1]


class Phase(NamedTuple):
    """What one phase computes: after the gradient step, transformed, its features, the estimate."""

    r: Tensor  # (batch, 1, h, w), after the gradient step
    u: Tensor  # what is transformed
    z: Tensor  # features, before the threshold
    x: Tensor  # (batch, 1, h, w), the new estimate


@checks.door
def wavelet_phase(
    A: Linear, W: Linear, rho: float, theta: Tensor | float, x: Tensor, b: Tensor
) -> Phase:
    """One step of ISTA in the image domain: W orthonormal, so W soft(Wᵀr, θ) is a prox."""
    fits(A, b, x)
    checks.broadcasts("theta", theta, x.shape)
    r = x - rho * A.T(A(x) - b)
    u = r
    z = W.T(u)
    return Phase(r, u, z, W(soft(z, theta)))


@checks.door
def wavelet_ista(
    A: Linear, W: Wavelet, b: Tensor, lam: float, K: int, start: Tensor | None = None
) -> list[Tensor]:
    """[x⁰, …, xᴷ] of ISTA on ``wavelet_objective`` with the step 1/‖A‖²; x⁰ = 0 by default."""
    measured(A, b)
    if not isinstance(W, Wavelet) or W.domain != A.domain:
        given = f"of images {W.domain}" if isinstance(W, Wavelet) else f"a {type(W).__name__}"
        raise ValueError(f"W is {given}; it must be a wavelets.Wavelet of images {A.domain}")
    checks.number("lam", lam, 0)
    checks.whole("K", K)
    rho = 1 / norm(A) ** 2
    xs = [begin(A, b, start)]
    for _ in range(K):
        xs.append(wavelet_phase(A, W, rho, lam * rho, xs[-1], b).x)
    return xs


@checks.door
def wavelet_objective(A: Linear, W: Wavelet, b: Tensor, lam: float, x: Tensor) -> Tensor:
    """½‖A x − b‖² + λ‖Wᵀx‖₁, one value per row: (batch,)."""
    fits(A, b, x)
    checks.number("lam", lam, 0)
    fit = 0.5 * (A(x) - b).square().flatten(1).sum(1)
    return fit + lam * W.T(x).abs().flatten(1).sum(1)


@checks.door
def tv(x: Tensor) -> Tensor:
    """Isotropic total variation Σ ‖(∇x)ᵢ‖₂, one value per row (Rudin, Osher & Fatemi 1992)."""
    checks.shaped("x", x, ("batch", 1, "h", "w"))
    return gradient(x).norm(dim=1).flatten(1).sum(1)


@checks.door
def total_variation(A: Linear, b: Tensor, K: int = TV_STEPS) -> Tensor:
    """The image of least total variation among those with A x = b, after K steps: (batch, 1, …)."""
    checks.whole("K", K)
    return next(islice(tv_iterates(A, b), K, None))


@checks.door
def tv_iterates(A: Linear, b: Tensor, ratio: float = RATIO) -> Iterator[Tensor]:
    """x⁰, x¹, … of the primal-dual algorithm (Chambolle & Pock 2011) for min TV(x), A x = b.

    x⁰ is the least-squares image A⁺b; every xᵏ satisfies A x = b. The steps have τσ = 1/8 = 1/‖∇‖²;
    ``ratio`` is τ/σ.
    """
    measured(A, b)
    checks.number("ratio", ratio, 0, open_low=True)
    tau, sigma = (ratio / 8) ** 0.5, (1 / 8 / ratio) ** 0.5
    project = projection(A, b)
    x = project(b.new_zeros(len(b), *A.domain))
    ahead, p = x, torch.zeros_like(gradient(x))
    while True:
        yield x
        p = p + sigma * gradient(ahead)
        p = p / torch.hypot(p[:, :1], p[:, 1:]).clamp(min=1)
        before, x = x, project(x - tau * gradient_T(p))
        ahead = 2 * x - before


@checks.door
def projection(A: Linear, b: Tensor, steps: int = 100) -> Callable[[Tensor], Tensor]:
    """The projection onto {x : A x = b}: x + Aᵀ(A Aᵀ)⁺(b − A x).

    Where A Aᵀ is the identity on A's range, which a random probe tells, that is x + Aᵀ(b − A x);
    elsewhere (A Aᵀ)⁺ is applied by at most ``steps`` conjugate gradients.
    """
    measured(A, b)
    checks.whole("steps", steps)
    g = torch.Generator().manual_seed(0)
    probe = A(torch.randn(1, *A.domain, generator=g, dtype=b.dtype).to(b.device))
    if bool((A(A.T(probe)) - probe).norm() <= 1e-5 * probe.norm()):
        return lambda x: x + A.T(b - A(x))
    gram = lambda y: A(A.T(y))
    return lambda x: x + A.T(conjugate_gradients(gram, b - A(x), steps, rounding(b)))


def rounding(b: Tensor) -> float:
    """Ten rounding errors of a tensor's dtype: where conjugate gradients may stop."""
    return 10 * torch.finfo(b.dtype).eps


@checks.door
def measured(A: Linear, b: Tensor) -> None:
    """Refuse what is no operator of grey images, or no finite measurement of it."""
    is_linear("A", A)
    if len(A.domain) != 3 or A.domain[0] != 1:
        raise ValueError(f"A takes {A.domain}; it must take images (1, height, width)")
    checks.finite("b", b)
    checks.rows("b", b, A.codomain)


@checks.door
def begin(A: Linear, b: Tensor, start: Tensor | None) -> Tensor:
    """x⁰: ``start``, or zero."""
    measured(A, b)
    return starting_point(A, b, start)
