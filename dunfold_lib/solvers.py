"""What the algorithms of more than one room are made of."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.operators import Linear


@checks.door
def conjugate_gradients(
    V: Callable[[Tensor], Tensor],
    c: Tensor,
    steps: int,
    tol: float = 0.0,
    start: Tensor | None = None,
) -> Tensor:
    """x with V(x) = c for a symmetric positive semidefinite map, each row on its own.

    c : (batch, …).  V : the same shape to the same shape.  start : zero by default; then, if c lies
    in the range of a singular V, x tends to the solution of least norm.
    Exactly ``steps`` steps for tol = 0, without a look at the values: a fixed, differentiable
    computation, so a layer of a network can hold it. Otherwise a row stops at ‖V x − c‖ ≤ tol·‖c‖,
    and all of it when every row has. Hestenes & Stiefel 1952.
    """
    checks.whole("steps", steps)
    checks.number("tol", tol, 0)
    if start is not None:
        checks.like("start", start, "c", c)
    dot = lambda u, v: (u * v).flatten(1).sum(1).reshape(-1, *[1] * (c.ndim - 1))
    x = torch.zeros_like(c) if start is None else start
    r = c if start is None else c - V(x)
    d, rr, enough = r, dot(r, r), tol**2 * dot(c, c)
    for _ in range(steps):
        if tol and bool((rr <= enough).all()):
            break
        q = V(d)
        dq = dot(d, q)
        going = (rr > enough) & (dq > 0)
        alpha = torch.where(going, rr / dq.where(going, 1), 0)
        x, r = x + alpha * d, r - alpha * q
        rr, old = dot(r, r), rr
        d = r + torch.where(going, rr / old.where(going, 1), 0) * d
    return x


def momentum() -> Iterator[float]:
    """(t⁰ − 1)/t¹ = 0, (t¹ − 1)/t², … of t⁰ = 1, tᵏ⁺¹ = (1 + √(1 + 4 tᵏ²))/2 (Nesterov 1983)."""
    t = 1.0
    while True:
        t, past = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
        yield (past - 1) / t


@checks.door
def jacobian_norm(
    f: Callable[[Tensor], Tensor], x: Tensor, steps: int, generator: torch.Generator
) -> float:
    """‖J‖₂ of f's Jacobian at x by the power method on JᵀJ, from below; f must be differentiable.

    x : any shape; a batch counts as one point. The value grows with ``steps``. For a denoiser D,
    f = lambda v: D(v, sigma) − v gives the local Lipschitz constant of D − I.
    """
    checks.finite("x", x)
    checks.whole("steps", steps, 1)
    d = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    jvp, vjp = torch.autograd.functional.jvp, torch.autograd.functional.vjp
    largest = 0.0
    for _ in range(steps):
        pushed = jvp(f, x, d / d.norm())[1]
        largest = float(pushed.norm())
        d = vjp(f, x, pushed)[1]
        if not bool(d.any()):
            return 0.0
    return largest


def starting_point(A: Linear, b: Tensor, start: Tensor | None) -> Tensor:
    """x⁰: ``start``, which must have as many rows as b and its dtype, or zero."""
    if start is None:
        return b.new_zeros(len(b), *A.domain)
    checks.finite("start", start)
    checks.rows("start", start, A.domain)
    if len(start) != len(b) or start.dtype != b.dtype:
        given = f"{len(start)} rows of {start.dtype}"
        raise ValueError(f"start has {given}; b has {len(b)} rows of {b.dtype}")
    return start
