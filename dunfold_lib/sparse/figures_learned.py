"""Explorers of the chapters on learned algorithms: weights, theorems, layers."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from dunfold_lib import experiment, fetch
from dunfold_lib.explore import Explorer, Guess, Slider
from dunfold_lib.metrics import nmse_db
from dunfold_lib.prox import soft
from dunfold_lib.show import Curves, array, line
from dunfold_lib.sparse import theory
from dunfold_lib.sparse.algorithm import ista
from dunfold_lib.sparse.data import SparseProblem

EXACT = SparseProblem(dtype=torch.float64)
DRAWS = 60  # signals of a theorem's figure, half of them the worst case ±largest


@fetch.cached(fetch.nowhere)
def weights(name: str) -> tuple[Tensor, Tensor, float]:
    """(A, W, μ_W) of the 250×500 problem for W "A", "QP" or "LP"; LP to a certified gap of 1 %."""
    A = EXACT.operator().A
    if name == "LP":
        certificate = theory.generalised_coherence(A)
        return A, certificate.W, certificate.upper
    W = A if name == "A" else theory.analytic_weights(A)
    return A, W, theory.coherence(W, A)


def sparse_signals(n: int, s: int, count: int) -> Tensor:
    """(count, n) signals with s non-zeros of size at most 1; the first half has all of size 1."""
    g = torch.Generator().manual_seed(s)
    x = torch.zeros(count, n, dtype=torch.float64)
    for row in range(count):
        signs = torch.randint(0, 2, (s,), generator=g).double() * 2 - 1
        size = torch.rand(s, generator=g, dtype=torch.float64) if row >= count // 2 else 1.0
        x[row, torch.randperm(n, generator=g)[:s]] = signs * size
    return x


def theorem_run(
    W: Tensor, A: Tensor, mu: float, s: int, gamma: float | list[float], K: int
) -> tuple[list[float], list[float], list[int]]:
    """ALISTA with the theorem's thresholds on ``DRAWS`` signals; one step gamma, or K of them.

    Returns, for k = 0…K, the bound Eᵏ, the largest ‖xᵏ − x*‖₁, and the largest number of entries
    outside the true support; it stops where the bound falls below 1e-10.
    """
    truth = sparse_signals(A.shape[1], s, DRAWS)
    b, x = truth @ A.T, torch.zeros_like(truth)
    steps = gamma if isinstance(gamma, list) else [gamma] * K
    E = theory.error_bounds(mu, s, steps, 1.0, K)
    error, false = [float((x - truth).abs().sum(1).max())], [0]
    for k in range(K):
        if E[k] < 1e-10:  # below this, rounding passes the threshold and the iteration is lost
            return E[: k + 1], error, false
        theta = steps[k] * mu * E[k] * (1 + 1e-9)
        x = soft(x - steps[k] * (x @ A.T - b) @ W, theta)
        error.append(float((x - truth).abs().sum(1).max()))
        false.append(int(((x != 0) & (truth == 0)).sum(1).max()))
    return E, error, false


def theorem(s: int = 4, gamma: float = 1.0, name: str = "LP") -> Curves:
    """The bound of ALISTA's theorem over the worst measured error, also outside its conditions."""
    K = 40
    A, W, mu = weights(name)
    E, error, false = theorem_run(W, A, mu, s, gamma, K)
    holds = s <= theory.certified_sparsity(mu) and gamma < theory.largest_step(mu, s)
    word = "holds" if holds else "promises nothing"
    rate = theory.contraction(mu, s, gamma)
    return Curves(
        lines=(
            line(range(len(E)), E, "bound Eᵏ", 5, "dashed"),
            line(range(len(E)), error, "largest ‖xᵏ − x*‖₁", 0),
        ),
        xlabel="layer k",
        ylabel="error in the ℓ1 norm",
        xlim=(0, K),
        ylim=(1e-12, 1e4),
        logy=True,
        alt="Bound of the theorem and the largest measured error, layer by layer",
        note=(
            f"μ = {mu:.3f}, factor a layer {rate:.2f}: the theorem {word}; "
            f"false positives: {max(false)}"
        ),
    )


def gram(mix: float = 0.0) -> tuple[Curves, Curves]:
    """How |w_iᵀa_j| is distributed, from the QP's weights (mix 0) to the LP's (mix 1)."""
    A, QP, _ = weights("QP")
    W = (1 - mix) * QP + mix * weights("LP")[1]
    entries = (W.T @ A)[~torch.eye(A.shape[1], dtype=torch.bool)].abs()
    mu, rms = float(entries.max()), float(entries.square().mean().sqrt())
    edges = np.linspace(0, 0.22, 56)
    count, _ = np.histogram(array(entries), edges)
    share = np.maximum(count / len(entries), 1e-7)
    shape = Curves(
        lines=(
            line(np.repeat(edges, 2)[1:-1], np.repeat(share, 2), "share of the entries", 0),
            line([mu, mu], [1e-6, 1], "μ, the largest", 1, "dashed"),
            line([rms, rms], [1e-6, 1], "root mean square", 2, "dashed"),
        ),
        xlabel="|w_iᵀa_j|, i ≠ j",
        ylabel="share",
        xlim=(0, 0.22),
        ylim=(1e-6, 1),
        logy=True,
        alt="Histogram of the off-diagonal entries of WᵀA with their largest and their mean square",
        size=(4.0, 3.3),
        note=f"μ = {mu:.3f} certifies s ≤ {theory.certified_sparsity(mu)}; rms {rms:.4f}",
    )
    return shape, _spectrum(W.T @ A)


def _spectrum(G: Tensor) -> Curves:
    """The eigenvalues of G = WᵀA in the complex plane, with those of I − G told."""
    values = torch.linalg.eigvals(G)
    values = values[values.abs() > 1e-9]  # n − m of them are zero
    size = float(torch.linalg.matrix_norm(torch.eye(len(G)).double() - G, 2))
    radius = max(1.0, float((1 - values).abs().max()))  # 1 − 0 = 1 is an eigenvalue
    angle = np.linspace(0, 2 * np.pi, 121)
    return Curves(
        lines=(
            line(values.real, values.imag, "eigenvalues of WᵀA", 0, "dots"),
            line(1 + np.cos(angle), np.sin(angle), "|1 − z| = 1", 5, "dashed"),
        ),
        xlabel="real part",
        ylabel="imaginary part",
        xlim=(-0.6, 3.2),
        ylim=(-1.7, 1.7),
        equal=True,
        alt="Eigenvalues of WᵀA in the complex plane",
        size=(4.0, 3.6),
        note=f"spectral radius of I − WᵀA {radius:.2f}, its norm {size:.2f}",
    )


LAYERS = (1, 2, 4, 6, 8, 10, 12, 14, 16)
SHOWN = {"ISTA": "", "ALISTA": "alista", "ALISTA + ss": "alista-ss", "HyperLISTA": "hyperlista"}


@cache
def _iterates(method: str) -> tuple[Tensor, list[Tensor]]:
    """One test signal and the iterates of a method on it."""
    problem = SparseProblem()
    A = problem.operator()
    b, truth = problem.sample(A, 1, torch.Generator().manual_seed(2**31 + 77))
    if not SHOWN[method]:
        return truth, ista(A, b, 0.2, 16)
    name = SHOWN[method]
    with torch.no_grad():
        return truth, experiment.load(f"sparse/{name}", "cpu", 0).iterates(b)


def microscope(k: int = 4, method: str = "ALISTA + ss") -> tuple[Curves, Curves]:
    """Every entry of xᵏ against the truth, and the error of all layers."""
    truth, xs = _iterates(method)
    x, on = xs[k][0], truth[0] != 0
    wrong = (x != 0) & ~on
    diagonal = [-3.2, 3.2]
    entries = Curves(
        lines=(
            line(diagonal, diagonal, "recovered", 5, "dashed"),
            line(truth[0][on], x[on], "in the support", 0, "dots"),
            line(truth[0][wrong], x[wrong], "not in it", 1, "dots"),
        ),
        xlabel="truth x*_i",
        ylabel="estimate after k layers",
        xlim=(-3.2, 3.2),
        ylim=(-3.2, 3.2),
        fixed=1,
        alt="Each non-zero entry of the estimate against its true value",
        size=(4.0, 3.6),
        note=f"{method}, layer {k}: {int((x != 0).sum())} non-zeros, {int(wrong.sum())} false",
    )
    db = [nmse_db(v, truth) for v in xs]
    error = Curves(
        lines=(
            line(range(len(db)), db, "error on this signal", 0, "path"),
            line([k], [db[k]], "this layer", 1, "dots"),
        ),
        xlabel="layer k",
        ylabel="NMSE, dB",
        xlim=(0, 16),
        ylim=(-90, 5),
        alt="Error of every layer in dB with this layer marked",
        size=(4.0, 3.6),
        note=f"{db[k]:.1f} dB",
    )
    return entries, error


def _certified() -> Guess:
    """Whether the weights of the quadratic programme certify four non-zeros."""
    most = {name: theory.certified_sparsity(weights(name)[2]) for name in ("QP", "LP")}
    return Guess(
        "Four non-zeros and the step 1: with the weights of the LP the theorem holds. With the "
        "QP's, the ones that ALISTA takes?",
        ("it holds too", "it promises nothing"),
        "it holds too" if most["QP"] >= 4 else "it promises nothing",
        f"The QP's weights certify {most['QP']} non-zeros, the LP's {most['LP']}. Choose QP: the "
        "bound rises from layer to layer, and the thresholds with it.",
    )


def theorem_explorer() -> Explorer:
    """Sliders over ``theorem``."""
    return Explorer(
        theorem,
        {
            "s": Slider("non-zeros s", (2, 4, 6, 8, 16), 1, "{:d}"),
            "gamma": Slider("step γ", (0.5, 0.75, 1.0, 1.25, 1.7), 2, "{:g}"),
            "name": Slider("weights W", ("A", "QP", "LP"), 2),
        },
        "Drag s across the edge of the certified range; then change the weights.",
        guess=_certified(),
    )


def gram_explorer() -> Explorer:
    """Slider over ``gram``."""
    mixes = tuple(round(0.1 * i, 1) for i in range(11))
    caption = "Left: the sizes of the entries of WᵀA off its diagonal. Right: its eigenvalues."
    slider = Slider("from QP (0) to LP (1)", mixes, 0, "{:g}")
    radius = {n: theory.spectral_radius(weights(n)[1], weights("A")[0]) for n in ("QP", "LP")}
    guess = Guess(
        "Without its threshold a layer is the linear map with the matrix I − WᵀA. With which "
        "weights would that map alone converge?",
        ("the QP's", "the LP's", "neither"),
        next((f"the {n}'s" for n, r in radius.items() if r < 1), "neither"),
        f"The spectral radius is {radius['QP']:.2f} with the QP's and {radius['LP']:.2f} with the "
        "LP's. An eigenvalue of WᵀA outside the dashed circle says so. The "
        "threshold is what makes the network converge.",
    )
    return Explorer(gram, {"mix": slider}, caption, guess=guess)


def microscope_explorer() -> Explorer:
    """Sliders over ``microscope``."""
    return Explorer(
        microscope,
        {"k": Slider("layer k", LAYERS, 2, "{:d}"), "method": Slider("method", tuple(SHOWN), 2)},
        "Watch the support appear, then the values settle.",
        guess=_four_layers(),
    )


def _four_layers() -> Guess:
    """Sixteen steps of ISTA against four layers of a network, on the signal of ``microscope``."""
    at = {}
    for method, k in (("ISTA", 16), ("ALISTA + ss", 4)):
        truth, xs = _iterates(method)
        at[method] = nmse_db(xs[k], truth)
    names = ("sixteen steps of ISTA", "four layers of the network")
    return Guess(
        "Sixteen steps of ISTA, or four layers of a trained network (ALISTA with support "
        "selection): which is nearer to the truth?",
        names,
        names[at["ALISTA + ss"] < at["ISTA"]],
        f"ISTA ends at {at['ISTA']:.1f} dB, the network has {at['ALISTA + ss']:.1f} dB after four "
        "layers. Choose ISTA and layer 16, and look at the orange entries.",
    )
