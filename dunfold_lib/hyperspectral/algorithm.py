"""STAR and STAR-S: a cube in a subspace, its patches sparse and of low rank, by ADMM.

    minimise over G, A, m, B, S with AᵀA = I:
      ½‖Y − G×₃A − S‖² + μ‖S‖₁ + λ Σᵢ (½‖Rᵢ G − mᵢ − Bᵢ×D‖² + γ₁‖Bᵢ‖₁ + γ₂‖Bᵢ‖_*)

symbol     code            shape             meaning
Y          Y               (N, B, H, W)      noisy cube in units of its noise's deviation
A          State.A         (N, B, r)         basis of the spectra; columns beyond the estimated rank
                                             are zero, and so are their images
G          State.G         (N, r, H, W)      eigen-images
S          State.S         like Y            sparse noise: impulses, stripes, dead lines; 0 in STAR
m          State.m         (N, r, 1, n)      mean of each patch and band: it is not penalised
B          State.B         (N, r, p², n)     codes; mode-3 unfolding of a patch: (r, p²)
L, U       State.L, .U     like B            copy of B for the nuclear norm; its multiplier over β
D          D1, D2, D3      (p, p), (r, r)    orthonormal, so the step in B is exact: D1 and D2 the
                                             DCT, D3 = I, for eigen-images are uncorrelated
λ, γ₁, γ₂  lam, gamma1, gamma2  numbers      weights; of Y/σ, so one set serves every σ
β, μ       beta, mu        numbers           penalty of L = B; threshold of S, ∞ for STAR

One sweep updates S, B (with m), L, U, G, A in this order. Every update but U's is the exact
minimiser of the augmented Lagrangian in its block, so none of them raises it.
Xiong et al. 2022 (SMDS) and Liu et al. 2026 (STAR) for the model; m, which they leave inside the
codes, is ours; so is D3 = I, where they take the DCT (``mixed``).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.hyperspectral.lowrank import basis, expand, nuclear, procrustes, project, svt
from dunfold_lib.hyperspectral.patches import Patches, analysis, dct, mean, synthesis
from dunfold_lib.prox import soft

AT_ONCE, CORE = 180**2, 128  # pixels that are swept at once; side of a tile of more


class State(NamedTuple):
    """What a sweep hands to the next."""

    G: Tensor
    A: Tensor
    S: Tensor
    m: Tensor
    B: Tensor
    L: Tensor
    U: Tensor


@checks.door
@dataclass(frozen=True)
class Star:
    """The model's numbers; ``mu`` finite makes it STAR-S.

    side, stride : of the patches.  moving : whether A is updated.  beta : 0 leaves L and U out,
    which then takes gamma2 = 0.  mixed : D3 is the DCT, as in the papers.
    """

    lam: float = 16.0
    gamma1: float = 0.9
    gamma2: float = 0.0
    beta: float = 0.0
    mu: float = inf
    side: int = 9
    stride: int = 1
    moving: bool = True
    mixed: bool = False

    def __post_init__(self) -> None:
        checks.number("lam", self.lam, 0, open_low=True)
        for name in ("gamma1", "gamma2", "beta"):
            checks.number(name, getattr(self, name), 0)
        if self.gamma2 and not self.beta:
            raise ValueError(f"gamma2 is {self.gamma2:g} and beta 0; it needs beta above 0")
        if self.mu != inf:
            checks.number("mu", self.mu, 0)
        Patches(self.side, self.stride)

    @property
    def R(self) -> Patches:
        return Patches(self.side, self.stride)

    @checks.door
    def dictionary(self, x: Any) -> tuple[Tensor, Tensor, Tensor]:
        """D1, D2, D3 for a state, of a sweep or of a network's layer, with eigen-images G."""
        G: Any = getattr(x, "G", None)
        checks.shaped("x.G", G, ("batch", "r", "H", "W"))
        D = dct(self.side, x.G.dtype).to(x.G.device)
        r = x.G.shape[1]
        return D, D, (dct(r, D.dtype) if self.mixed else torch.eye(r)).to(D)

    @checks.door
    def start(self, Y: Tensor, A: Tensor) -> State:
        """G⁰ = Y ×₃ Aᵀ and zeros."""
        G = project(Y, A)
        m = mean(self.R(G))
        B = torch.zeros_like(m).expand(-1, -1, self.side**2, -1)
        return State(G, A, torch.zeros_like(Y), m, B, B, B)

    @checks.door
    def sweep(self, Y: Tensor, x: State) -> Iterator[tuple[str, State]]:
        """(name of the block, state after its update), for S, B, L, U, G, A."""
        self._fits(Y, x)
        D, R, size = self.dictionary(x), self.R, (Y.shape[2], Y.shape[3])
        if self.mu != inf:
            x = x._replace(S=soft(Y - expand(x.G, x.A), self.mu))
            yield "S", x
        X = R(x.G)
        m, total = mean(X), self.lam + self.beta
        code = (self.lam * analysis(X - m, *D) + self.beta * (x.L + x.U)) / total
        x = x._replace(m=m, B=soft(code, self.lam * self.gamma1 / total))
        yield "B", x
        if self.beta:
            x = x._replace(L=low_rank(x.B - x.U, self.lam * self.gamma2 / self.beta))
            yield "L", x
            x = x._replace(U=x.U + x.L - x.B)
            yield "U", x
        added = R.T(synthesis(x.B, *D) + x.m, size)
        whole = project(Y - x.S, x.A) + self.lam * added
        x = x._replace(G=whole / (1 + self.lam * R.count(size, Y)))
        yield "G", x
        if self.moving:
            x = x._replace(A=moved(Y - x.S, x.G, x.A))
            yield "A", x

    @checks.door
    def objective(self, Y: Tensor, x: State) -> Tensor:
        """The objective of every row at (G, A, S, m, B), (N,)."""
        return self._shared(Y, x) + self.lam * self.gamma2 * _nuclear(x.B)

    @checks.door
    def lagrangian(self, Y: Tensor, x: State) -> Tensor:
        """The augmented Lagrangian of every row, (N,): L in the nuclear norm, and what ties it."""
        gap = x.L - x.B
        tie = self.beta * (x.U * gap + gap.square() / 2).flatten(1).sum(1)
        return self._shared(Y, x) + self.lam * self.gamma2 * _nuclear(x.L) + tie

    def _fits(self, Y: Tensor, x: State) -> None:
        """Refuse a state that is not of this cube."""
        checks.shaped("Y", Y, ("batch", "B", "H", "W"))
        checks.shaped("A", x.A, (len(Y), Y.shape[1], "r"))
        checks.shaped("G", x.G, (len(Y), x.A.shape[2], *Y.shape[2:]))
        checks.like("S", x.S, "Y", Y)
        n = self.R.number((Y.shape[2], Y.shape[3]))
        checks.shaped("m", x.m, (*x.G.shape[:2], 1, n))
        for name, held in (("B", x.B), ("L", x.L), ("U", x.U)):
            checks.shaped(name, held, (*x.G.shape[:2], self.side**2, n))

    def _shared(self, Y: Tensor, x: State) -> Tensor:
        self._fits(Y, x)
        total = lambda t: t.flatten(1).sum(1)
        fit = 0.5 * total((Y - expand(x.G, x.A) - x.S).square())
        sparse = self.mu * total(x.S.abs()) if self.mu != inf else 0.0
        phi = 0.5 * total((self.R(x.G) - x.m - synthesis(x.B, *self.dictionary(x))).square())
        return fit + sparse + self.lam * (phi + self.gamma1 * total(x.B.abs()))


@checks.door
def moved(Y: Tensor, G: Tensor, A: Tensor) -> Tensor:
    """The A that minimises ‖Y − G×₃A‖ over AᵀA = I; columns that are zero stay so."""
    checks.shaped("A", A, ("N", "B", "r"))
    checks.shaped("Y", Y, (len(A), A.shape[1], "H", "W"))
    checks.shaped("G", G, (len(A), A.shape[2], *Y.shape[2:]))
    kept = A.any(1, keepdim=True)
    return procrustes(torch.einsum("nbhw,nrhw->nbr", Y, G) * kept) * kept


@checks.door
def low_rank(B: Tensor, tau: Tensor | float) -> Tensor:
    """SVT on the mode-3 unfolding (r, p²) of every patch of B (N, r, p², n)."""
    if isinstance(tau, float) and tau == 0:
        return B
    return svt(B.permute(0, 3, 1, 2), tau).permute(0, 2, 3, 1)


def _nuclear(B: Tensor) -> Tensor:
    return nuclear(B.permute(0, 3, 1, 2)).sum(1)


class Record(NamedTuple):
    """One block's update, seen from outside: one value per row."""

    sweep: int
    block: str
    objective: Tensor
    lagrangian: Tensor
    orthonormal: Tensor  # largest entry of |AᵀA − I| over the columns that are not zero


@checks.door
def history(model: Star, Y: Tensor, sweeps: int, r: int = 9) -> list[Record]:
    """What every block's update does to the two functions; Y in units of σ."""
    checks.whole("sweeps", sweeps)
    x = model.start(Y, basis(Y, r))
    made = [_record(model, Y, x, 0, "start")]
    for k in range(sweeps):
        for block, after in model.sweep(Y, x):
            made.append(_record(model, Y, after, k + 1, block))
        x = after
    return made


def _record(model: Star, Y: Tensor, x: State, k: int, block: str) -> Record:
    off = (x.A.mT @ x.A - torch.diag_embed(x.A.any(1).to(x.A))).abs().flatten(1).amax(1)
    return Record(k, block, model.objective(Y, x), model.lagrangian(Y, x), off)


@checks.door
@torch.no_grad()
def star(
    Y: Tensor,
    sigma: float | Tensor,
    model: Star | None = None,
    sweeps: int = 2,
    r: int = 9,
    window: int = 0,
) -> Tensor:
    """A denoised cube (N, B, H, W) from a noisy one: some sweeps from the subspace of Y.

    sigma : deviation of the noise, in Y's units: a number, or (N, 1, 1, 1).  r : eigen-images,
    or fewer where the noise hides some (``lowrank.basis``).
    window : of the medians that the first A is estimated from; 0 for none.  model : its weights are
    in units of σ; the defaults, with two sweeps, were chosen on the validation part of Indian
    Pines. More sweeps come nearer to the minimum, which is smoother.
    """
    units, level = in_units(Y, sigma)
    checks.whole("sweeps", sweeps)
    model = Star() if model is None else model
    A = basis(units, r, window)

    def step(Y: Tensor, x: State) -> State:
        *_, (_, x) = model.sweep(Y, x)
        return x

    every = Steps(model.R, model.start, [step] * sweeps, [model.moving] * sweeps, [True] * sweeps)
    return level * expand(*swept(units, A, every))


class Steps(NamedTuple):
    """An iteration over states with G, A and S, each step local but for its update of A.

    start : (Y, A) -> state.  steps : (Y, state) -> state.  moves : which steps update A.
    blends : which update G, from patches, and so widen what a pixel depends on by side − 1.
    """

    R: Patches
    start: Callable[[Tensor, Tensor], Any]
    steps: Sequence[Callable[[Tensor, Any], Any]]
    moves: Sequence[bool]
    blends: Sequence[bool]


@checks.door
def swept(Y: Tensor, A: Tensor, s: Steps, core: int | None = None) -> tuple[Tensor, Tensor]:
    """(G, A) after all steps, in overlapping tiles where a cube is larger than ``AT_ONCE`` pixels.

    core : side of a tile without what it overlaps; 0 takes the whole cube at once. The result is
    the whole's, up to rounding: a tile overlaps by as many pixels as G depends on, and A is made of
    all tiles. Each step that moves A runs the steps before it again, since their states are not
    kept.
    """
    size, r = (Y.shape[2], Y.shape[3]), A.shape[2]
    if core is None:
        core = CORE if len(Y) * size[0] * size[1] > AT_ONCE else 0
    n, kept = len(s.steps), A.any(1, keepdim=True)
    known, G = [A], project(Y, A)
    for end in [k + 1 for k in range(n) if s.moves[k] or k == n - 1]:
        known += [known[-1]] * (end - len(known))  # what the steps before ``end`` see
        M = Y.new_zeros(len(Y), Y.shape[1], r)
        halo = (s.R.side - 1) * sum(s.blends[:end])
        for window, part, place in s.R.tiles(size, core or max(size), halo):
            cut = Y[..., window[0], window[1]]
            x = _state("start", s.start(cut, A))
            for k in range(end):
                x = _state(f"steps[{k}]", s.steps[k](cut, x._replace(A=known[k])))
            found, clean = (t[..., part[0], part[1]] for t in (x.G, cut - x.S))
            G[..., place[0], place[1]] = found
            M += torch.einsum("nbhw,nrhw->nbr", clean, found)
        if s.moves[end - 1]:
            known.append(procrustes(M * kept) * kept)
    return G, known[-1]


def _state(name: str, x: Any) -> Any:
    """Refuse what is no state with images, a basis and sparse noise."""
    if not all(isinstance(getattr(x, field, None), Tensor) for field in "GAS"):
        raise TypeError(f"{name} gave a {type(x).__name__}; it must give a state with G, A and S")
    return x


@checks.door
def star_s(Y: Tensor, sigma: float | Tensor, r: int = 9) -> Tensor:
    """``star`` with S: four sweeps of μ = 1.5 from a basis of medians, chosen like its defaults."""
    return star(Y, sigma, Star(gamma1=1.1, mu=1.5), 4, r, window=5)


@checks.door
def in_units(Y: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """(Y/σ, σ), after a look at both."""
    checks.finite("Y", Y)
    checks.shaped("Y", Y, ("batch", "B", "H", "W"))
    level = torch.as_tensor(sigma, dtype=Y.dtype, device=Y.device)
    if not bool(torch.isfinite(level).all()) or not bool((level > 0).all()):
        raise ValueError("sigma must be finite and above 0; every threshold is in its units")
    if level.ndim and level.shape != (len(Y), 1, 1, 1):
        raise ValueError(f"sigma has shape {tuple(level.shape)}; it must be ({len(Y)}, 1, 1, 1)")
    return Y / level, level
