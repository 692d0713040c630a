"""Learning from measurements alone: what symmetry and the noise's level give in place of truths.

symbol   code         shape                       meaning
b        b            (crops, 4, m)               measurements of the four blocks of a crop 66×66
f        net          (4·crops, m) -> blocks      network, its estimates f(b) of single blocks
T        windows      (crops, 4, 3)               row, column and turn of windows in the estimate
e        probe        (crops, 4, m)               random signs
n        fresh        (crops, 4, m)               new noise of deviation one
σ        sigma        number                      deviation of the noise in b
α        weight       number                      of the equivariance term

consistency       mean (A f(b) − b)²
equivariance      mean (f(A T f(b) + σ n) − T f(b))²              T: another window, turned
SURE              mean (A f(b) − b)² − σ² + 2σ²·eᵀ(A f(b + h e) − A f(b))/(h·count)

Chen, Tachella & Davies 2021 (equivariance); Stein 1981, Ramani, Blu & Unser 2008 (SURE and its
random probe); Chen, Davies, Ehrhardt et al. 2023 on both. A photograph cut at another place is a
photograph: T moves the window by whole pixels and turns it, so no border is wrapped around.
"""

from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.imaging.data import turned
from dunfold_lib.imaging.masks import is_mask
from dunfold_lib.operators import Linear

Net = Callable[[Tensor], Tensor]
PROBE = 0.1  # length of a probe's entry, in deviations of the noise


class Drawn(NamedTuple):
    """What one step of training sees: measurements, and what is drawn at random beside them."""

    b: Tensor
    windows: Tensor
    probe: Tensor
    fresh: Tensor


@checks.door
def soft_sure(v: Tensor, t: float, sigma: float) -> Tensor:
    """SURE of the soft threshold at v = x + noise, a row each: ‖Dv − v‖²/n − σ² + 2σ²·#{|v| > t}/n.

    v (batch, n). Its mean over the noise is that of ‖Dv − x‖²/n (Donoho & Johnstone 1995).
    """
    checks.shaped("v", v, ("batch", "n"))
    checks.number("t", t, 0)
    checks.number("sigma", sigma, 0)
    kept = (v.abs() > t).to(v)
    moved = v.abs().clamp(max=t).square().mean(1)
    return moved - sigma**2 + 2 * sigma**2 * kept.mean(1)


@checks.door
def probed_sure(D: Net, v: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """SURE of any D at v = x + noise, a row each, its divergence by one probe of random signs.

    v (batch, n), of deviation ``sigma``; D need not be differentiable by autograd.
    """
    checks.shaped("v", v, ("batch", "n"))
    checks.number("sigma", sigma, 0, open_low=True)
    e = (torch.randint(2, v.shape, generator=generator) * 2 - 1).to(v)
    return _sure(v, D(v), D(v + PROBE * sigma * e), e, sigma).mean(1)


def _sure(v: Tensor, made: Tensor, moved: Tensor, e: Tensor, sigma: float) -> Tensor:
    """The terms of SURE, entry by entry; their mean is the estimate."""
    slope = e * (moved - made) / (PROBE * sigma)
    return (made - v).square() - sigma**2 + 2 * sigma**2 * slope


@checks.door
def seen(A: Tensor, count: int) -> int:
    """Rank of A T_g stacked over the first ``count`` symmetries of a square: directions that are
    seen where turned images are images. A (m, n), n a square number; count from 1 to 8.
    """
    checks.finite("A", A, ("m", "n"))
    checks.whole("count", count, 1)
    side = isqrt(A.shape[1])
    if side * side != A.shape[1] or count > 8:
        given = f"A has {A.shape[1]} columns, count is {count}"
        raise ValueError(f"{given}; they must be a square number and at most 8")
    images = A.unflatten(1, (side, side))
    rows = [turned(images, k).flatten(1) for k in range(count)]
    return int(torch.linalg.matrix_rank(torch.cat(rows)))


@checks.door
def seen_pixels(kept: Tensor, moves: Sequence[tuple[int, int]], count: int = 1) -> Tensor:
    """Which pixels some symmetry moves into a mask that repeats over the plane: 0 or 1 (s, s).

    kept : the mask (s, s), zero where a pixel is missing.  moves : shifts, down and across.
    count : how many symmetries of the square go before each shift, from 1 to 8.
    """
    is_mask(kept)
    if not moves:
        raise ValueError("moves are none; they must hold a shift, of (0, 0) perhaps")
    checks.whole("count", count, 1)
    if count > 8:
        raise ValueError(f"count is {count}; a square has 8 symmetries")
    masks = [turned((kept != 0).to(kept), k) for k in range(count)]
    rolled = [m.roll(d, (0, 1)) for m in masks for d in moves]
    return torch.stack(rolled).amax(0)


@checks.door
def pairs_at(kept: Tensor) -> Tensor:
    """How many pairs of kept pixels of one block lie i down and ±j across, i and j < s: (s, s).

    kept : the mask (s, s), zero where a pixel is missing.
    """
    is_mask(kept)
    return _folded((kept != 0).double()[None]).round()


@checks.door
def masked_covariance(kept: Tensor, blocks: Tensor) -> Tensor:
    """E[x xᵀ] (s², s²) of stationary blocks, from the blocks with zeros where ``kept`` is zero.

    kept (s, s), blocks (count, 1, s, s). Each entry is the mean of b_p b_q over the kept pairs at
    its distance, down and across exchanged too; a distance that no kept pair has stays at zero.
    """
    is_mask(kept)
    checks.shaped("blocks", blocks, ("count", 1, *kept.shape))
    both = lambda t: t + t.T
    pairs = both(pairs_at(kept)) * len(blocks)
    table = both(_folded((blocks * (kept != 0))[:, 0].double())) / pairs.clamp(min=1)
    return _positive(by_distance(table))


def _folded(images: Tensor) -> Tensor:
    """Σ x_p x_q over pairs of pixels i down and ±j across in one of the images: (s, s)."""
    side = images.shape[-1]
    power = torch.fft.fft2(images, (2 * side, 2 * side)).abs().square().sum(0)
    each = torch.fft.ifft2(power).real
    table = each[:side, :side].clone()
    table[1:, 1:] += each[1:side, side + 1 :].flip(1)
    return table


@checks.door
def stationary_covariance(Phi: Tensor, S: Tensor) -> Tensor:
    """The covariance E[x xᵀ] of blocks (n, n), n = side², from that of their measurements alone.

    Phi (m, n); S (m, m), the mean of b bᵀ. Blocks cut anywhere and turned anyhow have a covariance
    that depends on the distances down and across alone, exchanged or not: side·(side + 1)/2 numbers
    c, found from the m(m + 1)/2 equations Φ C(c) Φᵀ = S by least squares, with S made white.
    """
    checks.shaped("Phi", Phi, ("m", "n"))
    checks.finite("S", S, (len(Phi), len(Phi)))
    side = isqrt(Phi.shape[1])
    if side * side != Phi.shape[1]:
        raise ValueError(f"Phi has {Phi.shape[1]} columns; it must be a square number")
    white = torch.linalg.inv(torch.linalg.cholesky(S))
    P = (white @ Phi).T.unflatten(0, (side, side))
    classes = [(i, j) for i in range(side) for j in range(i + 1)]
    design = torch.stack([_pairs(P, *c).flatten() for c in classes])
    wanted = torch.eye(len(Phi), dtype=Phi.dtype).flatten()
    c = torch.linalg.solve(design @ design.T, design @ wanted)
    table = torch.zeros(side, side, dtype=Phi.dtype)
    for (i, j), value in zip(classes, c, strict=True):
        table[i, j] = table[j, i] = value
    return _positive(by_distance(table))


def _pairs(P: Tensor, i: int, j: int) -> Tensor:
    """Σ P_p P_qᵀ over all pixels p, q at the distances i and j, in whichever order: (m, m)."""
    side, m = P.shape[0], P.shape[2]
    moves = {(r * a, s * b) for a, b in {(i, j), (j, i)} for r in (1, -1) for s in (1, -1)}
    total = P.new_zeros(m, m)
    for move in moves:
        first = tuple(slice(max(0, -d), side - max(0, d)) for d in move)
        second = tuple(slice(max(0, d), side - max(0, -d)) for d in move)
        total = total + P[first].reshape(-1, m).T @ P[second].reshape(-1, m)
    return total


def by_distance(table: Tensor) -> Tensor:
    """C (side², side²) whose entries are those of ``table`` at the pixels' distances."""
    place = torch.arange(len(table))
    y, x = (p.flatten() for p in torch.meshgrid(place, place, indexing="ij"))
    return table[(y[:, None] - y).abs(), (x[:, None] - x).abs()]


def _positive(C: Tensor) -> Tensor:
    """The nearest covariance: negative eigenvalues, errors of the estimate, become tiny ones."""
    values, vectors = torch.linalg.eigh(C)
    return (vectors * values.clamp(min=1e-6 * float(values[-1]))) @ vectors.T


def joined(blocks: Tensor) -> Tensor:
    """Four blocks a crop, (4·crops, 1, s, s) row by row, as crops (crops, 1, 2s, 2s)."""
    side = blocks.shape[-1]
    four = blocks.reshape(-1, 2, 2, side, side).permute(0, 1, 3, 2, 4)
    return four.reshape(-1, 1, 2 * side, 2 * side)


def cut(crops: Tensor, windows: Tensor) -> Tensor:
    """Windows of half a crop's side, turned: (crops · windows, 1, s, s)."""
    side = crops.shape[-1] // 2
    found = [
        turned(crop[:, y : y + side, x : x + side], k)
        for crop, four in zip(crops, windows.tolist(), strict=True)
        for y, x, k in four
    ]
    return torch.stack(found)


def consistency(A: Linear, net: Net, drawn: Drawn) -> Tensor:
    """Mean (A f(b) − b)²."""
    b = drawn.b.flatten(0, 1)
    return (A(net(b)) - b).square().mean()


def equivariance(A: Linear, net: Net, drawn: Drawn, x: Tensor, sigma: float = 0.0) -> Tensor:
    """Mean (f(A T x + σ n) − T x)² for the estimates x of the crops' blocks."""
    moved = cut(joined(x), drawn.windows)
    again = net(A(moved) + sigma * drawn.fresh.flatten(0, 1))
    return (again - moved).square().mean()


def sure(A: Linear, net: Net, drawn: Drawn, x: Tensor, sigma: float) -> Tensor:
    """SURE of A f at the crops' blocks, whose estimates are x."""
    b, e = drawn.b.flatten(0, 1), drawn.probe.flatten(0, 1)
    return _sure(b, A(x), A(net(b + PROBE * sigma * e)), e, sigma).mean()


def supervised(net: Any, drawn: Drawn, truth: Tensor) -> Tensor:
    """Mean (f(b) − x*)²; truth (crops, 1, 66, 66)."""
    return (joined(net(drawn.b.flatten(0, 1))) - truth).square().mean()


def alone(net: Any, drawn: Drawn, truth: Tensor) -> Tensor:
    """The loss that asks for the measurements and nothing else; what stands for a truth is none."""
    return consistency(net.A, net, drawn)


def equivariant(
    net: Any,
    drawn: Drawn,
    truth: Tensor,
    weight: float = 1.0,
    sigma: float = 0.0,
    stein: bool = False,
) -> Tensor:
    """Consistency, or SURE where ``stein``, and ``weight`` times equivariance."""
    b = drawn.b.flatten(0, 1)
    x = net(b)
    fit = sure(net.A, net, drawn, x, sigma) if stein else (net.A(x) - b).square().mean()
    return fit + weight * equivariance(net.A, net, drawn, x, sigma)
