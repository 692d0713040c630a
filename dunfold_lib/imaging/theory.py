"""What the chapters prove: the variance identity behind ISTA-Net, and when plug-and-play converges.

symbol   code       shape      meaning
A, B     A, B       (p, n), (q, p)   the two matrices of Y = B ReLU(A X)
α        alpha      number     E‖Y − EY‖² = α E‖X − EX‖²
D        D          (n, n)     a linear denoiser
Φ        Phi        (m, n)     measurement matrix
ρ        rho        number     step of the gradient
μ, L     mu, L      numbers    strong convexity of the data term, Lipschitz constant of its gradient
ε        eps        number     Lipschitz constant of D − I
"""

from collections.abc import Callable
from math import pi

import torch
from torch import Tensor

from dunfold_lib import checks


@checks.door
def relu_covariance(C: Tensor) -> Tensor:
    """Covariance of ReLU(u) for u normal with mean zero and covariance C, both (p, p).

    E ReLU(uᵢ)ReLU(uⱼ) = sᵢsⱼ(sin t + (π − t) cos t)/2π with the angle t, cos t = Cᵢⱼ/sᵢsⱼ (Cho &
    Saul 2009), and E ReLU(uᵢ) = sᵢ/√(2π).
    """
    _matrix("C", C)
    s = C.diagonal().clamp(min=0).sqrt()
    scale = s[:, None] * s
    cosine = torch.where(scale > 0, C / scale.where(scale > 0, scale + 1), 0 * C).clamp(-1, 1)
    t = cosine.arccos()
    return scale * (t.sin() + (pi - t) * cosine - 1) / (2 * pi)


@checks.door
def variance_factor(A: Tensor, B: Tensor) -> float:
    """α with E‖Y − EY‖² = α E‖X − EX‖² for Y = B ReLU(A X), X independent N(0, σ²), any σ.

    A (p, n), B (q, p). Zhang & Ghanem 2018, theorem 1, which says that α depends on A and B alone;
    here in closed form, tr(B K Bᵀ)/n with K the covariance of ReLU(A X) for σ = 1.
    """
    _matrix("A", A)
    _matrix("B", B)
    if B.shape[1] != A.shape[0]:
        raise ValueError(f"B has {B.shape[1]} columns; it must have A's {A.shape[0]} rows")
    K = relu_covariance(A @ A.T)
    return float(((B @ K) * B).sum() / A.shape[1])


@checks.door
def sampled_factor(
    A: Tensor, B: Tensor, sigma: float, draws: int, generator: torch.Generator
) -> float:
    """``variance_factor`` from random draws of X."""
    _matrix("A", A)
    _matrix("B", B)
    checks.number("sigma", sigma, 0, open_low=True)
    checks.whole("draws", draws, 2)
    X = sigma * torch.randn(draws, A.shape[1], generator=generator, dtype=A.dtype)
    Y = (X @ A.T).relu() @ B.T
    return float(Y.var(0).sum() / (A.shape[1] * sigma**2))


@checks.door
def contraction(rho: float, mu: float, L: float, eps: float) -> float:
    """max(|1 − ρμ|, |1 − ρL|)(1 + ε): how much PnP-ISTA shrinks distances (Ryu et al. 2019).

    For a data term that is μ-strongly convex with an L-Lipschitz gradient and a denoiser whose
    D − I is ε-Lipschitz. Below 1 PnP-ISTA converges linearly; with μ = 0 it never is, unless ε = 0
    and then only 1.
    """
    checks.number("rho", rho, 0, open_low=True)
    checks.number("mu", mu, 0)
    checks.number("L", L, mu)
    checks.number("eps", eps, 0)
    return max(abs(1 - rho * mu), abs(1 - rho * L)) * (1 + eps)


@checks.door
def local_radius(
    step: Callable[[Tensor], Tensor], x: Tensor, steps: int, generator: torch.Generator
) -> float:
    """The largest modulus of an eigenvalue of a step's Jacobian at x, by the power method.

    On the transpose, which has the same eigenvalues and costs one backward pass a step; the growth
    of the last half of the steps, its geometric mean. Above 1 the iteration x ← step(x) leaves a
    fixed point at x.
    """
    checks.finite("x", x)
    checks.whole("steps", steps, 2)
    d, grown = torch.randn(x.shape, generator=generator, dtype=x.dtype), []
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = step(x)
    for _ in range(steps):
        (d,) = torch.autograd.grad(y, x, d / d.norm(), retain_graph=True)
        grown.append(d.norm())
        if not bool(d.any()):
            return 0.0
    return float(torch.stack(grown[steps // 2 :]).log().mean().exp())


@checks.door
def is_prox(D: Tensor, slack: float = 1e-10) -> bool:
    """Whether a linear denoiser is the prox of some convex function (Moreau 1965): D symmetric
    with its spectrum in [0, 1].
    """
    _square("D", D)
    if float((D - D.T).abs().max()) > slack:
        return False
    values = torch.linalg.eigvalsh(D)
    return bool(values.min() >= -slack and values.max() <= 1 + slack)


@checks.door
def spectral_radius(D: Tensor, Phi: Tensor, rho: float) -> float:
    """The largest modulus of an eigenvalue of D(I − ρΦᵀΦ), the map of PnP-ISTA with a linear D.

    Below 1 the iteration converges from every start, above 1 it diverges from almost every one.
    """
    _square("D", D)
    _matrix("Phi", Phi)
    if Phi.shape[1] != len(D):
        raise ValueError(f"Phi has {Phi.shape[1]} columns; it must have D's {len(D)}")
    checks.number("rho", rho, 0, open_low=True)
    eye = torch.eye(len(D), dtype=D.dtype, device=D.device)
    return float(torch.linalg.eigvals(D @ (eye - rho * Phi.T @ Phi)).abs().max())


@checks.door
def spectral_example(
    value: float, n: int = 12, m: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """(D, Φ): Φ (m, n) with orthonormal rows, and a symmetric D with one chosen eigenvalue.

    One eigenvector of D, with the eigenvalue ``value``, lies in Φ's null space, where no
    measurement corrects it; the others have eigenvalues from 0.1 to 0.9. So the spectral radius
    with ρ = 1 is |value| where that is above 0.9.
    """
    checks.number("value", value)
    checks.whole("m", m, 1)
    checks.whole("n", n, m + 1)
    g = torch.Generator().manual_seed(seed)
    Q, _ = torch.linalg.qr(torch.randn(n, n, generator=g, dtype=dtype))
    hidden = Q[:, m:] @ torch.randn(n - m, 1, generator=g, dtype=dtype)  # in the null space
    basis, _ = torch.linalg.qr(torch.cat([hidden, torch.randn(n, n - 1, generator=g).to(Q)], 1))
    spectrum = torch.cat([Q.new_tensor([value]), torch.linspace(0.1, 0.9, n - 1, dtype=dtype)])
    return (basis * spectrum) @ basis.T, Q[:, :m].T.contiguous()


@checks.door
def linear_iterates(
    D: Tensor, Phi: Tensor, b: Tensor, rho: float, K: int, start: Tensor
) -> list[Tensor]:
    """[x⁰, …, xᴷ] of x ← D(x − ρΦᵀ(Φx − b)), one signal per row."""
    checks.rows("b", b, (len(Phi),))
    checks.rows("start", start, (len(D),))
    checks.whole("K", K)
    xs = [start]
    for _ in range(K):
        xs.append((xs[-1] - rho * (xs[-1] @ Phi.T - b) @ Phi) @ D.T)
    return xs


@checks.door
def mixture_density(v: Tensor, means: Tensor, deviation: float, sigma: float) -> Tensor:
    """The density at v of x + noise, x from equal normals at ``means``, noise of deviation sigma.

    v (n,), means (k,), ``deviation`` of each normal; n densities.
    """
    checks.shaped("v", v, ("n",))
    width = _widths(means, deviation, sigma)
    bell = (-(v[:, None] - means).square() / (2 * width**2)).exp()
    return bell.mean(1) / ((2 * pi) ** 0.5 * width)


@checks.door
def mixture_mean(v: Tensor, means: Tensor, deviation: float, sigma: float) -> Tensor:
    """E[x | x + noise = v] for the same x and noise, by Bayes's rule: the least mean square error.

    Each normal answers with its own posterior mean, weighted with its posterior probability.
    """
    checks.shaped("v", v, ("n",))
    width = _widths(means, deviation, sigma)
    share = torch.softmax(-(v[:, None] - means).square() / (2 * width**2), 1)
    each = (deviation**2 * v[:, None] + sigma**2 * means) / width**2
    return (share * each).sum(1)


def _widths(means: Tensor, deviation: float, sigma: float) -> float:
    checks.finite("means", means, ("k",))
    checks.number("deviation", deviation, 0)
    checks.number("sigma", sigma, 0, open_low=True)
    return (deviation**2 + sigma**2) ** 0.5


def _matrix(name: str, M: Tensor) -> None:
    checks.finite(name, M)
    if M.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(M.shape)}; it must be a matrix")


def _square(name: str, M: Tensor) -> None:
    _matrix(name, M)
    if M.shape[0] != M.shape[1]:
        raise ValueError(f"{name} has shape {tuple(M.shape)}; it must be square")
