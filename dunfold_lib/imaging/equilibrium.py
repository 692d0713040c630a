"""One layer for ever: its fixed point, the gradient through it, and what keeps an iteration safe.

symbol   code         shape              meaning
f        step         x, b -> x          one layer, a contraction in x
x̄        fixed_point  (batch, 1, h, w)   x̄ = f(x̄, b)
γ        gamma        number             f moves two points together by this factor at least
P        prior        v -> v             learned prox, v − Wᵀclip(W v, θ), ‖W‖₂ ≤ 1
ρ        rho          number             step of the gradient, in (0, 1] of 1/‖A‖²
T        classical    x -> x             a step with a proof, averaged
S        certificate  number             ‖x − T x‖

equilibrium   x = (1 − γ)x⁰ + γ P(x − ρ Aᵀ(A x − b)),  for ever
unrolled      the same layer K times, W and ρ free, γ = 1

Gilton, Ongie & Willett 2021 (equilibria); Walker & Ni 2011 (Anderson's acceleration); Heaton et al.
2023 (safeguard).
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor
from dunfold_lib.imaging.denoisers import LearnedProx
from dunfold_lib.imaging.model import linear_estimate, precision
from dunfold_lib.operators import Linear, fits, is_linear
from dunfold_lib.unroll import Unrolled

Step = Callable[[Tensor], Tensor]
LEVEL = 0.02  # noise level told to the learned prox: a unit for its thresholds
MEMORY, RIDGE = 4, 1e-8  # differences that Anderson keeps; its least squares' ridge, relative


@checks.door
def fixed_point(
    f: Step, x: Tensor, tol: float = 1e-4, most: int = 100, memory: int = MEMORY
) -> tuple[Tensor, int]:
    """(x̄, steps) with ‖f(x̄) − x̄‖ ≤ tol·‖x̄‖ over the whole batch, or after ``most`` steps.

    memory : of Anderson's acceleration, which mixes the last steps so that the residual is least;
    0: plain iteration.
    """
    checks.number("tol", tol, 0)
    checks.whole("most", most, 1)
    checks.whole("memory", memory)
    past: list[tuple[Tensor, Tensor]] = []
    for k in range(1, most + 1):
        made = f(x)
        rest = made - x
        if float(rest.norm()) <= tol * float(made.norm()):
            return made, k
        past = [*past, (made, rest)][-memory - 1 :] if memory else []
        x = _mixed(past) if len(past) > 1 else made
    return x, most


def _mixed(past: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Anderson's next point: the mixture of steps whose mixed residual is least."""
    made, rest = past[-1]
    dR = torch.stack([(rest - r).flatten() for _, r in past[:-1]])
    dF = torch.stack([(made - m).flatten() for m, _ in past[:-1]])
    G = dR @ dR.T
    ridge = RIDGE * G.diagonal().max() * torch.eye(len(G)).to(G)
    weights = torch.linalg.solve(G + ridge, dR @ rest.flatten())
    return made - (weights @ dF).reshape(made.shape)


@checks.door
def implicit(
    f: Step, x: Tensor, tol: float = 1e-4, most: int = 100, memory: int = MEMORY
) -> Tensor:
    """The fixed point of f from x, with the implicit gradient to what f holds.

    Backward it solves v = Jᵀv + g by the same iteration, J the Jacobian of f at x̄: no step on the
    way to x̄ is kept.
    """
    with torch.no_grad():
        found, _ = fixed_point(f, x, tol, most, memory)
    if not torch.is_grad_enabled():
        return found
    here = found.detach().requires_grad_()
    made, again = f(found.detach()), f(here)

    def solved(g: Tensor) -> Tensor:
        pulled = lambda v: torch.autograd.grad(again, here, v, retain_graph=True)[0] + g
        return fixed_point(pulled, g, tol, most, memory)[0]

    if made.requires_grad:
        made.register_hook(solved)
    return made


class Equilibrium(nn.Module):
    """The fixed point of one contractive proximal-gradient layer with a learned prox.

    A : operator on images.  Q : linear start, or None for x⁰ = Aᵀb.  gamma : below 1.
    """

    A: Linear
    Q: Tensor | None

    @checks.door
    def __init__(
        self,
        A: Linear,
        channels: int = 16,
        side: int = 5,
        Q: AnyTensor | None = None,
        seed: int = 0,
        gamma: float = 0.95,
    ):
        super().__init__()
        is_linear("A", A)
        checks.number("gamma", gamma, 0, 1 - 1e-9)
        self.A, self.gamma = A, gamma
        self.register_buffer("Q", Q, persistent=False)
        self.prior = LearnedProx(channels, side, seed).to(precision(A))
        self.free = nn.Parameter(torch.zeros((), dtype=precision(A)))

    @property
    def rho(self) -> Tensor:
        """ρ in (0, 2), 1 at the start: for orthonormal rows no such step moves points apart."""
        return 2 * self.free.sigmoid()

    @checks.door
    def start(self, b: Tensor) -> Tensor:
        """x⁰."""
        return linear_estimate(self.A, self.Q, b)

    @checks.door
    def step(self, x: Tensor, b: Tensor) -> Tensor:
        """One layer."""
        fits(self.A, b, x)
        r = x - self.rho * self.A.T(self.A(x) - b)
        return (1 - self.gamma) * self.start(b) + self.gamma * self.prior(r, LEVEL)

    @checks.door
    def forward(self, b: Tensor, tol: float = 1e-4, most: int = 100) -> Tensor:
        """The fixed point, with its implicit gradient."""
        return implicit(lambda x: self.step(x, b), self.start(b), tol, most)


class Tied(Unrolled):
    """K times one proximal-gradient layer v − Wᵀclip(W v, θ) with W and ρ free; no γ."""

    A: Linear
    Q: Tensor | None

    def __init__(
        self,
        A: Linear,
        K: int = 5,
        channels: int = 16,
        side: int = 5,
        Q: AnyTensor | None = None,
        seed: int = 0,
    ):
        super().__init__()
        is_linear("A", A)
        self.A, self.K = A, K
        self.register_buffer("Q", Q, persistent=False)
        prior = LearnedProx(channels, side, seed).to(precision(A))
        self.weight = nn.Parameter(prior.filters().detach().clone())  # it starts as the other one
        self.thresholds = prior.free
        self.rho = nn.Parameter(torch.ones((), dtype=precision(A)))

    def start(self, b: Tensor) -> Tensor:
        return linear_estimate(self.A, self.Q, b)

    @checks.door
    def step(self, x: Tensor, b: Tensor) -> Tensor:
        """One layer."""
        fits(self.A, b, x)
        r = x - self.rho * self.A.T(self.A(x) - b)
        most = nn.functional.softplus(self.thresholds)[:, None, None] * LEVEL
        half = self.weight.shape[-1] // 2
        z = nn.functional.conv2d(r, self.weight, padding=half).clamp(-most, most)
        return r - nn.functional.conv_transpose2d(z, self.weight, padding=half)

    def layer(self, k: int, x: Tensor, b: Tensor) -> Tensor:
        return self.step(x, b)


@checks.door
def square_loss(net: nn.Module, b: Tensor, truth: Tensor) -> Tensor:
    """Mean (x̄ − x*)²."""
    return (net(b) - truth).square().mean()


@checks.door
def safeguarded(
    classical: Step, learned: Callable[[int, Tensor], Tensor], x: Tensor, K: int, share: float = 0.9
) -> Iterator[tuple[Tensor, float, bool]]:
    """(xᵏ, its certificate, whether the learned step was taken) for k = 1, …, K.

    The learned step y is taken if ‖y − T y‖ ≤ share·μ with μ that of the last one taken (at first
    of x⁰); else the step is T xᵏ. share : below 1.
    """
    checks.whole("K", K, 1)
    checks.number("share", share, 0, 1 - 1e-9)
    size = lambda y: float((y - classical(y)).norm())
    mark = size(x)
    for k in range(K):
        y = learned(k, x)
        found = size(y)
        taken = found <= share * mark  # False for NaN, too
        x, mark = (y, found) if taken else (classical(x), mark)
        yield x, size(x), taken


@checks.door
def kept_bytes(run: Callable[[], Tensor]) -> int:
    """Bytes of the tensors that autograd keeps for the backward pass of ``run()``, each once."""
    held: dict[int, int] = {}

    def keep(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        kept.append(t)  # alive, so that no other tensor takes its place
        return t

    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        run()
    return sum(held.values())
