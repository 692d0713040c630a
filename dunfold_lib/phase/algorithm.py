"""Phase retrieval: a spectral start, then amplitude flow, plain or reweighted.

    minimise over x:   f(x) = 1/(2m) Σ (|a_iᵀx| − y_i)²

symbol   code     shape           meaning
n, d     n, d     whole           numbers of a signal; real numbers of it: d = cn
c        width    1 or 2          real or complex (``data``)
m, δ     m, delta whole, number   amplitudes; oversampling m/n
A, a_i   A        (batch, m, c, d)
y        y        (batch, m)      amplitudes |A x*|
x, x*    x        (batch, d)      estimate; the truth
T        kind     -               preprocessing of y² by the spectral start
L        L        number          ‖A‖²/m, near (1 + √(1/δ))²
t        t        number          step as a multiple of 1/L
η        eta      number          reweighting: w_i = |a_iᵀx|/(|a_iᵀx| + η y_i); 0: plain
β        beta     number          momentum: β(xᵏ − xᵏ⁻¹)
ρ        -        number          overlap |⟨x, x*⟩|/(‖x‖‖x*‖)

Amplitude flow: Wang, Giannakis & Eldar 2018. Reweighted: Wang, Giannakis, Saad & Chen 2018.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.phase.data import Seen, adjoint, forward

KINDS = ("optimal", "trimmed", "plain")
FLOOR, TRIM = 30.0, 9.0  # of T where an amplitude is near 0; of what "trimmed" keeps


class Constants(NamedTuple):
    """t, η and β of a flow; without a name of their own: plain amplitude flow."""

    t: float = 1.0
    eta: float = 0.0
    beta: float = 0.0


PLAIN = Constants()
# By width: the best for 20 steps on validation draws (``evaluation.tune``), still and with momentum
REWEIGHTED = {1: Constants(4.0, 1.0), 2: Constants(9.0, 2.0)}
HEAVY = {1: Constants(5.0, 1.0, 0.6), 2: Constants(8.0, 1.0, 0.6)}


def settled(c: Constants) -> Constants:
    """The constants with which to go on to the end.

    At a solution every weight is 1/(1 + η), so without momentum t above 2(1 + η) is not stable
    there. The best for few steps is near that: t becomes 1 + η.
    """
    return c if c.beta else c._replace(t=min(c.t, 1 + c.eta))


class State(NamedTuple):
    x: Tensor  # (batch, d)
    before: Tensor  # (batch, d), the iterate before


@checks.door
def preprocessed(y: Tensor, kind: str = "optimal") -> Tensor:
    """T(y_i²) of amplitudes (batch, m), once they have mean square 1.

    "optimal": 1 − 1/y², not below −FLOOR.  "trimmed": y² up to TRIM, then 0.  "plain": y².
    """
    checks.one_of("kind", kind, KINDS)
    checks.shaped("y", y, ("batch", "m"))
    power = y.square() / _power(y)
    if kind == "plain":
        return power
    if kind == "trimmed":
        return power * (power <= TRIM)
    return 1 - 1 / power.clamp_min(1 / (1 + FLOOR))


def _power(y: Tensor) -> Tensor:
    """The mean square of each row, (batch, 1): about ‖x*‖²."""
    return y.square().mean(1, keepdim=True).clamp_min(torch.finfo(y.dtype).tiny)


@torch.no_grad()
@checks.door
def spectral(b: Seen, kind: str = "optimal") -> Tensor:
    """x⁰ (batch, d): the leading eigenvector of Σ T(y_i²) a_i a_iᵀ, as long as y says x* is."""
    measured(b)
    rows, T = b.A.flatten(1, 2), preprocessed(b.y, kind)
    D = rows.mT @ (T.repeat_interleave(b.A.shape[2], 1)[..., None] * rows)
    return torch.linalg.eigh(D)[1][..., -1] * _power(b.y).sqrt()


def measured(b: Seen) -> None:
    """Refuse amplitudes and matrices that do not belong together."""
    checks.shaped("A", b.A, ("batch", "m", "c", "d"))
    checks.shaped("y", b.y, b.A.shape[:2])


def largest(b: Seen) -> float:
    """(1 + √(d/(cm)))², what ‖A‖²/m is near for a Gaussian A."""
    _, m, c, d = b.A.shape
    return (1 + (d / (c * m)) ** 0.5) ** 2


@checks.door
def objective(b: Seen, x: Tensor) -> Tensor:
    """f(x), one value a row: (batch,)."""
    measured(b)
    return 0.5 * (forward(b.A, x).norm(dim=2) - b.y).square().mean(1)


@checks.door
def step(b: Seen, s: State, t: float, eta: float, beta: float) -> State:
    """One step of the flow."""
    z = forward(b.A, s.x)
    size = z.norm(dim=2).clamp_min(1e-12)
    w = size / (size + eta * b.y)
    pull = (w * (1 - b.y / size))[..., None] * z
    down = adjoint(b.A, pull) / (b.y.shape[1] * largest(b))
    return State(s.x - t * down + beta * (s.x - s.before), s.x)


@checks.door
def flow(
    b: Seen,
    K: int,
    t: float = 1.0,
    eta: float = 0.0,
    beta: float = 0.0,
    start: Tensor | None = None,
) -> list[Tensor]:
    """[x⁰, …, xᴷ] of the flow from ``start``, the spectral one by default.

    By default plain amplitude flow; others: ``flow(b, K, *REWEIGHTED[width])``, ``*HEAVY[width]``.
    """
    measured(b)
    checks.whole("K", K)
    checks.number("t", t, 0, open_low=True)
    checks.number("eta", eta, 0)
    checks.number("beta", beta, 0, 1)
    x = spectral(b) if start is None else start
    checks.shaped("start", x, (len(b.y), b.A.shape[3]))
    s, xs, once = State(x, x), [x], checks.inside(step)
    for _ in range(K):
        s = once(b, s, t, eta, beta)
        xs.append(s.x)
    return xs
