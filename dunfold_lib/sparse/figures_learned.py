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
    return Curves(
        lines=(
            line(values.real, values.imag, "eigenvalues of WᵀA", 0, "dots"),
            line(*_circle(), "|1 − z| = 1", 5, "dashed"),
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


def _circle() -> tuple[np.ndarray, np.ndarray]:
    angle = np.linspace(0, 2 * np.pi, 121)
    return 1 + np.cos(angle), np.sin(angle)


COLUMNS = ((1.0, 0.0), (0.6, 0.8), (0.0, 1.0))
LOWEST = {"A": 0.0, "QP": -12 / 41, "LP": -1 / 3}  # w = (1, y) for the first of ``COLUMNS``


def three_columns() -> tuple[Curves, Curves]:
    """Where QP and LP touch the line wᵀa₁ = 1 of ``COLUMNS``, and what they make of the entries."""
    (_, (p, q), _), y = COLUMNS, np.linspace(-1.1, 0.6, 60)
    size = lambda v: (abs(p + q * v), abs(v))  # of wᵀa₂ and wᵀa₃
    t = max(size(LOWEST["LP"]))
    corner = lambda s, r: ((s * t - q * r * t) / p, r * t)  # wᵀa₂ = ±t, wᵀa₃ = ±t
    corners = [corner(s, r) for s, r in ((1, 1), (1, -1), (-1, -1), (-1, 1), (1, 1))]
    radius = np.hypot(*size(LOWEST["QP"]))
    angle = np.linspace(0, 2 * np.pi, 121)
    second, third = radius * np.cos(angle), radius * np.sin(angle)
    plane = Curves(
        lines=(
            line([1.0] * 60, y, "wᵀa₁ = 1", 5, "dashed"),
            line([x for x, _ in corners], [v for _, v in corners], "largest entry", 1),
            line((second - q * third) / p, third, "sum of squares", 2),
            line([1.0], [LOWEST["LP"]], "LP", 1, "dots"),
            line([1.0], [LOWEST["QP"]], "QP", 2, "dots"),
        ),
        xlabel="first entry of w",
        ylabel="second entry of w",
        xlim=(-1.3, 1.8),
        ylim=(-0.8, 0.6),
        size=(4.4, 3.3),
        alt="A parallelogram and an ellipse around zero, each touching a line at another point",
    )
    entries = Curves(
        lines=tuple(
            line([2, 3], size(LOWEST[name]), f"w of {name}", colour, "path")
            for name, colour in (("A", 0), ("QP", 2), ("LP", 1))
        ),
        xlabel="column j",
        ylabel="|wᵀa_j|",
        ylim=(-0.02, 0.65),
        size=(4.0, 3.3),
        alt="Sizes of the two other entries: the LP makes them equal, the QP keeps "
        "their squares low",
    )
    return plane, entries


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


SHARES = (2.0, 1.0, 0.7, 0.5, 0.35, 0.2)  # of the theorem's threshold
ORDINARY = 50  # a signal of ``sparse_signals(500, 4, 60)`` whose sizes were drawn


@cache
def thresholded(share: float, s: int = 4, K: int = 12) -> tuple[Tensor, Tensor, list[float]]:
    """LISTA-CP on one ordinary signal with ``share`` of the theorem's thresholds, LP's weights.

    Returns (K, n) sizes before the threshold, (K + 1, n) estimates, and the theorem's K + 1 bounds.
    """
    A, W, mu = weights("LP")
    truth = sparse_signals(A.shape[1], s, DRAWS)[ORDINARY]
    E, xs, sizes = theory.error_bounds(mu, s, 1.0, 1.0, K), [torch.zeros_like(truth)], []
    for k in range(K):
        v = xs[-1] - (A @ (xs[-1] - truth)) @ W
        sizes.append(v.abs())
        xs.append(soft(v, share * mu * E[k] * (1 + 1e-9)))
    return torch.stack(sizes), torch.stack(xs), list(E)


def ordinary() -> Tensor:
    """The signal of ``thresholded``."""
    return sparse_signals(EXACT.n, 4, DRAWS)[ORDINARY]


def false_entries(share: float) -> list[int]:
    """How many entries outside the support are non-zero after each layer of ``thresholded``."""
    _, xs, _ = thresholded(share)
    return (xs[1:, ordinary() == 0] != 0).sum(1).tolist()


def interference(k: int = 1, share: float = 1.0) -> tuple[Curves, Curves]:
    """Sizes before the threshold in layer k, true entries and others, and every layer's error."""
    sizes, xs, E = thresholded(share)
    truth, mu = ordinary(), weights("LP")[2]
    on, theta = truth != 0, share * mu * E[k - 1]
    seen = sizes[k - 1].clamp(1e-5, 1e2)
    others = seen[~on].sort(descending=True).values[:100]
    true = seen[on].sort(descending=True).values
    false = false_entries(share)[k - 1]
    entries = Curves(
        lines=(
            line([0, 106], [theta, theta], "threshold", 5, "dashed"),
            line(range(1, 5), true, "true entries", 0, "dots"),
            line(range(6, 106), others, "largest others: interference", 1, "dots"),
        ),
        xlabel="entry, sorted by size",
        ylabel="size before the threshold",
        xlim=(0, 106),
        ylim=(1e-5, 1e2),
        logy=True,
        alt="Sizes of the true entries and of the largest others, with the threshold between them",
        size=(4.2, 3.3),
        note=f"layer {k}: {false} false entries",
    )
    error = (xs - truth).abs().sum(1).clamp(1e-4, 1e4)
    layers = Curves(
        lines=(
            line(range(len(E)), E, "the theorem's bound", 5, "dashed"),
            line(range(len(E)), error, "error of this signal", 0, "path"),
            line([k], [float(error[k])], "this layer", 1, "dots"),
        ),
        xlabel="layer k",
        ylabel="error in the ℓ1 norm",
        xlim=(0, len(E) - 1),
        ylim=(1e-4, 1e4),
        logy=True,
        fixed=1,
        alt="The theorem's bound and the error of one signal, layer by layer, with this "
        "layer marked",
        size=(4.2, 3.3),
        note=f"error {float(error[k]):.2g}, bound {E[k]:.2g}",
    )
    return entries, layers


def interference_explorer() -> Explorer:
    """Sliders over ``interference``, with a guess."""
    half, third, fifth = (false_entries(share) for share in (0.5, 0.35, 0.2))
    guess = Guess(
        "The theorem's threshold is made for the worst signal. Here is an ordinary one with four "
        "non-zeros. Lower the threshold: when does the first false entry get through?",
        ("at once, below the whole", "below a half of it", "only below a tenth"),
        "below a half of it",
        f"At 0.5 no false entry passes, in any layer ({max(half)}), and the error is "
        "half as large. "
        f"At 0.35 there are {third[0]} after the first layer and {third[1]} after the second: the "
        f"threshold is too low at first, and recovers. At 0.2 they feed on each other, {fifth[-1]} "
        "after twelve layers, and the error grows. Training looks for the room in between.",
    )
    return Explorer(
        interference,
        {
            "k": Slider("layer k", tuple(range(1, 9)), 0, "{:d}"),
            "share": Slider("share of the threshold", SHARES, 1, "{:g}"),
        },
        "Orange above the dashed line is a false entry. The true entries need not be above it yet.",
        guess=guess,
    )


def _certified() -> Guess:
    """Whether the weights of the quadratic programme certify four non-zeros."""
    most = {name: theory.certified_sparsity(weights(name)[2]) for name in ("QP", "LP")}
    return Guess(
        "Four non-zeros and the step 1: with the weights of the LP the theorem holds. "
        "With the QP's, "
        "the ones that ALISTA takes?",
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
    A, radius = weights("A")[0], {}
    for name in ("QP", "LP"):
        radius[name] = theory.spectral_radius(weights(name)[1], A)
    guess = Guess(
        "Without its threshold a layer is the linear map with the matrix I − WᵀA. With "
        "which weights "
        "would that map alone converge?",
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
        {
            "k": Slider("layer k", LAYERS, 2, "{:d}"),
            "method": Slider("method", tuple(SHOWN), 2),
        },
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
        "selection): "
        "which is nearer to the truth?",
        names,
        names[at["ALISTA + ss"] < at["ISTA"]],
        f"ISTA ends at {at['ISTA']:.1f} dB, the network has {at['ALISTA + ss']:.1f} dB after four "
        "layers. Choose ISTA and layer 16, and look at the orange entries.",
    )
