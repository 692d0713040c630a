"""The lasso, its algorithms, and the networks that they become when their constants are learned.

    minimise over x:   F(x) = ½‖A x − b‖² + λ‖x‖₁ = f(x) + λ‖x‖₁

symbol    code      shape             meaning
A         A         m × n             linear map (``operators.Linear``): dictionary, mask ∘ wavelets
b         b         (batch, m)        measurements, b = A x* + ε
x, x*     x         (batch, n)        code; x* the truth
λ         lam       number            weight of the ℓ1 norm, or a tensor that broadcasts to x
L         L         number            ‖A‖₂², Lipschitz constant of ∇f; the step is 1/L
K, k      K, k      whole             number of steps or layers, index of one
βᵏ        betas     K numbers         momentum: step k starts from xᵏ + βᵏ(xᵏ − xᵏ⁻¹)
W1, W2    W1, W2    (n, m), (n, n)    matrices of a LISTA layer
Wᵏ        W         (m, n)            matrix that carries the residual back
θᵏ, γᵏ    theta, gamma   (K,)         threshold and step of layer k
          trust     K whole numbers   how many entries layer k leaves un-shrunk (support selection)
c         c         (3,)              HyperLISTA's numbers: threshold, momentum, support

One signal per row. In the algorithms m and n stand for any shape (``A.codomain``, ``A.domain``), in
the networks for numbers.

                                                                  learned
ISTA        soft(x − Aᵀ(A x − b)/L,           λ/L)                nothing           Daubechies 2004
FISTA       the same step from the extrapolated point             nothing           Beck 2009
LISTA       soft(W1ᵏ b + W2ᵏ x,               θᵏ)                 K(mn + n²) + K    Gregor 2010 *
LISTA-CP    soft(x − (Wᵏ)ᵀ(A x − b),          θᵏ)                 K mn + K          Chen 2018
TiLISTA     soft(x − γᵏ Wᵀ(A x − b),          θᵏ)                 mn + 2K           Liu 2019
ALISTA      soft(x − γᵏ Wᵀ(A x − b),          θᵏ), W from A       2K                Liu 2019
HyperLISTA  the same with momentum; θ, β, support from x, γ = 1   3                 Chen 2021

* with one W1, one W2 and one vector θ for all layers, trained towards the lasso's solution. What
stands here, matrices and a threshold for each layer, trained towards x*, is of Chen et al. 2018.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dunfold_lib import checks
from dunfold_lib.operators import Matrix, fits, norm
from dunfold_lib.prox import soft_select
from dunfold_lib.sparse.coherence import analytic_weights, rank_tolerance
from dunfold_lib.unroll import Unrolled

Support = tuple[float, float]  # share of the entries trusted more with each layer, largest share
NO_SUPPORT = (0.0, 0.0)
SUPPORT = (0.012, 0.13)  # of Chen et al. 2018 and Liu et al. 2019, for p = 0.1


class Layers(Unrolled):
    """The skeleton of the four networks below: everything but what a layer learns and does."""

    ANALYTIC = False  # where no W is given: whether it is the analytic one, or as in ISTA

    def __init__(
        self,
        A: Matrix,
        K: int = 16,
        lam: float = 0.4,
        W: Tensor | None = None,
        support: Support = NO_SUPPORT,
    ):
        super().__init__()
        W, step = _weights(A, K, lam, analytic_weights if W is None and self.ANALYTIC else W)
        self.A, self.K, self.trust = A, K, _trust(A, K, support)
        self._learn(W)
        self.theta = nn.Parameter(W.new_full((K,), lam * step))

    def _learn(self, W: Tensor) -> None:
        """Make all that is learned but θ."""
        raise NotImplementedError

    def start(self, b: Tensor) -> Tensor:
        return _zero(self.A, b)


class LISTA(Layers):
    """ISTA as a feed-forward network, every layer's matrices and threshold learned (Chen 2018).

    Gregor & LeCun 2010 share one W1, one W2 and one vector of thresholds between the layers.

    W : None starts as ISTA with weight lam, W1 = Aᵀ/L and W2 = I − AᵀA/L. A matrix (m, n) starts
    with W1 = Wᵀ and W2 = I − WᵀA, for instance the analytic weights.
    """

    def _learn(self, W: Tensor) -> None:
        eye = torch.eye(W.shape[1], dtype=W.dtype, device=W.device)
        self.W1 = nn.ParameterList(W.T.clone() for _ in range(self.K))
        self.W2 = nn.ParameterList(eye - W.T @ self.A.A for _ in range(self.K))

    def layer(self, k: int, x: Tensor, b: Tensor) -> Tensor:
        fits(self.A, b, x)
        return soft_select(b @ self.W1[k].T + x @ self.W2[k].T, self.theta[k], self.trust[k])


class LISTACP(Layers):
    """LISTA with the weights coupled, W2 = I − W1 A (Chen et al. 2018). W : as in LISTA."""

    def _learn(self, W: Tensor) -> None:
        self.W = nn.ParameterList(W.clone() for _ in range(self.K))

    def layer(self, k: int, x: Tensor, b: Tensor) -> Tensor:
        fits(self.A, b, x)
        return soft_select(x - (self.A(x) - b) @ self.W[k], self.theta[k], self.trust[k])


class TiLISTA(Layers):
    """One learned matrix for all layers, a step and a threshold for each (Liu et al. 2019)."""

    def _learn(self, W: Tensor) -> None:
        self.W = nn.Parameter(W.clone())
        self.gamma = nn.Parameter(W.new_ones(self.K))

    def layer(self, k: int, x: Tensor, b: Tensor) -> Tensor:
        fits(self.A, b, x)
        step = self.gamma[k]
        return soft_select(x - step * (self.A(x) - b) @ self.W, self.theta[k], self.trust[k])


class ALISTA(Layers):
    """W computed from A; a step and a threshold for each layer are all that is learned (Liu 2019).

    W : None takes the analytic weights, the minimiser of ‖WᵀA‖_F with w_iᵀa_i = 1.
    """

    W: Tensor
    ANALYTIC = True

    def _learn(self, W: Tensor) -> None:
        self.register_buffer("W", W.clone(), persistent=False)
        self.gamma = nn.Parameter(W.new_ones(self.K))

    def layer(self, k: int, x: Tensor, b: Tensor) -> Tensor:
        fits(self.A, b, x)
        step = self.gamma[k]
        return soft_select(x - step * (self.A(x) - b) @ self.W, self.theta[k], self.trust[k])


class Momentum(NamedTuple):
    x: Tensor  # (batch, n)
    before: Tensor  # (batch, n), the iterate before
    whole: Tensor  # (batch, 1), ‖A⁺b‖₁, the same in every layer


class HyperLISTA(Unrolled):
    """ALISTA with momentum, whose threshold, momentum and support follow from the iterate itself.

    After Chen et al. 2021: θ = c₁‖A⁺(A x − b)‖₁, β = c₂‖x‖₀, trusted share
    c₃ log(‖A⁺b‖₁/‖A⁺(A x − b)‖₁) within [0, 1], γ = 1. Their μ̃ is absorbed into our c₁, c₂, their
    count into a share, so these c are not the paper's. Three numbers, found without gradients.
    """

    W: Tensor
    pinv: Tensor

    def __init__(
        self,
        A: Matrix,
        K: int = 16,
        c: tuple[float, float, float] = (0.0, 0.0, 0.0),
        W: Tensor | None = None,
    ):
        super().__init__()
        W, _ = _weights(A, K, 0.0, analytic_weights if W is None else W)
        self.A, self.K = A, K
        self.register_buffer("W", W.clone(), persistent=False)
        pinv = torch.linalg.pinv(A.A.double(), rtol=rank_tolerance(A.A)).to(A.A)  # of its rank
        self.register_buffer("pinv", pinv, persistent=False)
        if len(c) != 3:
            raise ValueError(
                f"c has {len(c)} numbers; it must have 3: threshold, momentum, support"
            )
        self.c = nn.Parameter(W.new_tensor(c), requires_grad=False)

    def start(self, b: Tensor) -> Momentum:
        zero = _zero(self.A, b)
        return Momentum(zero, zero, (b @ self.pinv.T).abs().sum(1, keepdim=True))

    def layer(self, k: int, s: Momentum, b: Tensor) -> Momentum:
        fits(self.A, b, s.x)
        checks.like("before", s.before, "x", s.x)
        checks.shaped("whole", s.whole, (len(b), 1))
        n, residual = s.x.shape[1], self.A(s.x) - b
        size = (residual @ self.pinv.T).abs().sum(1, keepdim=True)
        beta = self.c[1] * (s.x != 0).sum(1, keepdim=True)
        share = (self.c[2] * (s.whole / size.clamp(min=1e-30)).log()).clamp(0, 1).nan_to_num()
        v = s.x - residual @ self.W + beta * (s.x - s.before)
        return Momentum(soft_select(v, self.c[0] * size, (share * n).long()), s.x, s.whole)

    def readout(self, s: Momentum) -> Tensor:
        return s.x


def _zero(A: Matrix, b: Tensor) -> Tensor:
    """x⁰ = 0, after a look at the measurement's shape and dtype."""
    checks.rows("b", b, A.codomain)
    if b.dtype != A.A.dtype:
        raise TypeError(f"b has dtype {b.dtype}; the network's matrix has {A.A.dtype}")
    return b.new_zeros(len(b), *A.domain)


def _weights(
    A: Matrix, K: int, lam: float, W: Tensor | Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, float]:
    """The matrix that carries the residual back and its step: (A/L, 1/L) for None, else (W, 1).

    W may be a function of the matrix A.
    """
    if not isinstance(A, Matrix):
        raise TypeError(f"A is a {type(A).__name__}; a network needs an operators.Matrix")
    checks.whole("K", K, 1)
    checks.number("lam", lam, 0)
    if W is None:
        if not bool(A.A.any()):
            raise ValueError("A is zero everywhere; the step 1/‖A‖₂² needs more")
        step = 1 / norm(A) ** 2
        return A.A * step, step
    W = W if isinstance(W, Tensor) or not callable(W) else W(A.A)
    checks.finite("W", W)
    if W.shape != A.A.shape or W.dtype != A.A.dtype:
        given, allowed = f"{tuple(W.shape)} of {W.dtype}", f"{tuple(A.A.shape)} of {A.A.dtype}"
        raise ValueError(f"W has shape {given}; it must be that of A, {allowed}")
    return W, 1.0


def _trust(A: Matrix, K: int, support: Support) -> list[int]:
    """How many entries each layer leaves un-shrunk: min(share · (k + 1), most) of n."""
    share, most = support
    checks.number("support's share", share, 0, 1)
    checks.number("support's largest share", most, 0, 1)
    return [int(min(share * (k + 1), most) * A.domain[0]) for k in range(K)]
