"""Each speed-up beside the plain form of the same computation, in one run: a ratio, not seconds.

The two forms take turns, so that a busy machine slows both; the ratio is of their fastest runs, and
its spread that of the turns. Both must give the same answer first. Rooms may be named as arguments;
all of them run without.
"""

import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from dunfold_lib import experiment, hyperspectral
from dunfold_lib.hyperspectral import model as hsi_model
from dunfold_lib.hyperspectral.data import indian_pines
from dunfold_lib.hyperspectral.lowrank import basis
from dunfold_lib.hyperspectral.patches import dct, synthesis, synthesis_plain
from dunfold_lib.imaging import ISTANetPlus, data, estimate
from dunfold_lib.imaging.fast import plus_loss
from dunfold_lib.newton_sr import Lasso, NewtonSR, Pair
from dunfold_lib.newton_sr import fista as lasso_fista
from dunfold_lib.newton_sr import ista as lasso_ista
from dunfold_lib.newton_sr.runs import lasso_problem
from dunfold_lib.newton_sr.ssnal import ssnal
from dunfold_lib.operators import Sensing
from dunfold_lib.small_target import LRPCANet, RPCANet, compact, images, synthetic
from dunfold_lib.sparse import LISTACP, ista
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.theory import analytic_weights, generalised_coherence


@dataclass(frozen=True)
class Race:
    """Two forms of one computation; ``same`` raises if their answers differ.

    threads : how many to run it with, one number after the other; torch's own choice where empty.
    """

    name: str
    plain: Callable[[], Any]
    fast: Callable[[], Any]
    same: Callable[[Any, Any], None]
    turns: int = 7
    threads: tuple[int, ...] = ()


def seconds(run: Callable[[], Any]) -> float:
    """Wall-clock time of one run."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def report(race: Race) -> None:
    """Run a race and print its ratio."""
    print(race.name, flush=True)
    race.same(race.plain(), race.fast())
    before = torch.get_num_threads()
    for threads in race.threads or (before,):
        torch.set_num_threads(threads)
        pairs = [(seconds(race.plain), seconds(race.fast)) for _ in range(race.turns)]
        torch.set_num_threads(before)
        plain, fast = (min(p[i] for p in pairs) for i in (0, 1))
        ratios = sorted(p / f for p, f in pairs)
        spread = f"{ratios[0]:.1f}–{ratios[-1]:.1f} over {race.turns} turns"
        told = f"{threads} thread{'s' * (threads > 1)}: " if race.threads else ""
        print(
            f"  {told}{plain / fast:.1f} times faster ({spread}; {1e3 * fast:.1f} ms)", flush=True
        )


def batched_ista() -> Race:
    """ISTA on a batch of 1000 signals against a NumPy loop, one signal after the other."""
    problem = SparseProblem()
    operator = problem.operator()
    b, _ = problem.sample(operator, 1000, torch.Generator().manual_seed(0))
    A, signals = operator.A.numpy(), b.numpy()
    L, lam, K = float(np.linalg.norm(A.astype(float), 2) ** 2), 0.2, 16

    def loop() -> np.ndarray:
        out = np.zeros((len(signals), A.shape[1]), dtype=A.dtype)
        for i, signal in enumerate(signals):
            x = out[i]
            for _ in range(K):
                v = x - A.T @ (A @ x - signal) / np.float32(L)
                x = np.sign(v) * np.maximum(np.abs(v) - np.float32(lam / L), 0)
            out[i] = x
        return out

    same = lambda x, y: np.testing.assert_allclose(x, y[-1].numpy(), rtol=0, atol=1e-4)
    name = "ISTA, 1000 signals, 250×500, float32, K = 16: batched | NumPy loop over signals"
    return Race(name, loop, lambda: ista(operator, b, lam, K, L), same)


def batched_network() -> Race:
    """A trained-size LISTA-CP on 1000 signals at once against one signal after the other."""
    problem = SparseProblem()
    A = problem.operator()
    b, _ = problem.sample(A, 1000, torch.Generator().manual_seed(0))
    net = LISTACP(A, W=analytic_weights(A.A)).eval()

    @torch.inference_mode()
    def loop() -> torch.Tensor:
        return torch.cat([net(row[None]) for row in b])

    same = lambda x, y: torch.testing.assert_close(x, y, rtol=0, atol=1e-4)
    name = "LISTA-CP forward, 1000 signals, 250×500, K = 16: batched | signal after signal"
    return Race(name, loop, torch.inference_mode()(lambda: net(b)), same)


def closed_form() -> Race:
    """ALISTA's weights in closed form against cvxpy on the whole quadratic programme."""
    A = SparseProblem(dtype=torch.float64).operator().A

    def programme() -> np.ndarray:
        cp: Any = import_module("cvxpy")
        a = A.numpy()
        W = cp.Variable(a.shape)
        C = np.linalg.cholesky(a @ a.T)
        unit = cp.sum(cp.multiply(W, a), axis=0) == 1
        problem = cp.Problem(cp.Minimize(cp.sum_squares(C.T @ W)), [unit])
        problem.solve("CLARABEL")
        return np.asarray(W.value)

    same = lambda x, y: np.testing.assert_allclose(x, y.numpy(), rtol=0, atol=1e-6)
    name = "ALISTA's weights, 250×500, float64: closed form | cvxpy"
    return Race(name, programme, lambda: analytic_weights(A), same, turns=1)


class PlainPhase(nn.Module):
    """A phase of ISTA-Net+ as one would first write it: a module a convolution, nothing fused."""

    def __init__(self, net: ISTANetPlus, k: int):
        super().__init__()
        self.rho, self.theta = (nn.Parameter(p[k].detach().clone()) for p in (net.rho, net.theta))
        self.D, self.C1, self.C2, self.C3, self.C4, self.G = (
            self.convolution(getattr(net, name)[k]) for name in ("D", "C1", "C2", "C3", "C4", "G")
        )

    @staticmethod
    def convolution(w: torch.Tensor) -> nn.Conv2d:
        """The module of a filter."""
        module = nn.Conv2d(w.shape[1], w.shape[0], 3, padding=1, bias=False)
        module.weight.data = w.detach().clone(memory_format=torch.contiguous_format)
        return module

    def forward(
        self, x: torch.Tensor, gram: torch.Tensor, back: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(x, asymmetry) from x, rows of pixels, with AᵀA and Aᵀb."""
        x = x - self.rho * (x @ gram) + self.rho * back
        r = x.reshape(-1, 1, 33, 33)
        u = self.D(r)
        z = self.C2(torch.relu(self.C1(u)))
        kept = torch.sign(z) * torch.relu(torch.abs(z) - self.theta)
        new = r + self.G(self.C4(torch.relu(self.C3(kept))))
        if not self.training:
            return new.flatten(1), u.new_zeros(())
        return new.flatten(1), (self.C4(torch.relu(self.C3(z))) - u).square().mean()


class Plain(nn.Module):
    """ISTA-Net+ of plain phases, with the weights of another."""

    def __init__(self, net: ISTANetPlus):
        super().__init__()
        self.phases = nn.ModuleList(PlainPhase(net, k) for k in range(net.K))
        self.Phi = nn.Parameter(torch.cat([*net.A.buffers()]), requires_grad=False)

    def forward(self, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(estimate, asymmetry)."""
        gram, back = self.Phi.T @ self.Phi, b @ self.Phi
        x, asymmetry = back, b.new_zeros(())
        for phase in self.phases:
            x, more = phase(x, gram, back)
            asymmetry = asymmetry + more
        return x.reshape(-1, 1, 33, 33), asymmetry


def _imaging() -> tuple[ISTANetPlus, Plain, torch.Tensor, torch.Tensor]:
    """The paper's network in two forms, and the 64 blocks of an image of 256×256."""
    net = ISTANetPlus(Sensing(data.sensing_matrix(25)), 9, 32)
    truth = torch.rand(64, 1, 33, 33, generator=torch.Generator().manual_seed(0))
    return net, Plain(net), net.A(truth), truth


FILTERS = ("D", "C1", "C2", "C3", "C4", "G")


def imaging_forward() -> Race:
    """ISTA-Net+ on one image of 256×256 against the plain form."""
    net, plain, b, _ = _imaging()
    net.eval(), plain.eval()
    same = lambda x, y: torch.testing.assert_close(x, y, rtol=0, atol=1e-5)
    name = "ISTA-Net+ (9 phases, 32 channels) on 256×256: ours | a module a convolution"
    slow = torch.inference_mode()(lambda: plain(b)[0])
    return Race(name, slow, torch.inference_mode()(lambda: estimate(net, b)), same)


def imaging_step() -> Race:
    """Loss and gradients of ISTA-Net+ on 64 blocks against the plain form."""
    net, plain, b, truth = _imaging()

    mine = [getattr(net, name)[k] for name in FILTERS for k in range(net.K)]
    their: Any = [phase.get_submodule(n).weight for n in FILTERS for phase in plain.phases]

    def ours() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(plus_loss(net, b, truth), [*mine, net.rho, net.theta])[:-2]

    def theirs() -> tuple[torch.Tensor, ...]:
        x, asymmetry = plain(b)
        loss = (x - truth).square().mean() + 0.01 * asymmetry
        scalars: Any = [p for phase in plain.phases for p in (phase.rho, phase.theta)]
        return torch.autograd.grad(loss, [*their, *scalars])[: len(their)]

    def same(x: list[torch.Tensor], y: list[torch.Tensor]) -> None:
        for p, q in zip(x, y, strict=True):
            assert float((p - q).norm() / p.norm()) < 1e-4

    name = "ISTA-Net+ training step, 64 blocks: ours | a module a convolution"
    return Race(name, theirs, ours, same, turns=5)


def newton_stage() -> Race:
    """A stage of NewtonSR on 16 patches at once against one patch after the other."""
    net = NewtonSR().eval()
    Z, Y = (torch.rand(16, 1, n, n, generator=torch.Generator().manual_seed(n)) for n in (10, 40))
    whole = Pair(Z, Y)

    @torch.inference_mode()
    def stage(b: Pair) -> torch.Tensor:
        return net.layer(0, net.start(b), b).U

    def loop() -> torch.Tensor:
        return torch.cat([stage(Pair(z[None], y[None])) for z, y in zip(Z, Y, strict=True)])

    same = lambda x, y: torch.testing.assert_close(x, y, rtol=0, atol=1e-5)
    name = "NewtonSR, a stage with 4 CG steps, 16 patches 40×40: batched | patch after patch"
    return Race(name, loop, lambda: stage(whole), same)


PATIENCE = 60.0  # seconds that a first-order method is given


def to_kkt(method: Any, problem: Lasso, tol: float) -> tuple[float, float]:
    """(seconds, KKT residual) of a first-order method; it is looked at every tenth step."""
    begun, gap = time.perf_counter(), float("inf")
    for k, x in enumerate(method(problem)):
        if k % 10 == 0:
            gap = problem.kkt(x)
            if gap <= tol or time.perf_counter() - begun > PATIENCE:
                break
    return time.perf_counter() - begun, gap


def newton_against_first_order() -> None:
    """SSNAL against ISTA and FISTA on an ill-conditioned lasso: the ratio of their times.

    On one thread: the matrices are small, and a busy machine then delays all of them alike.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    problem = lasso_problem(1e5, seed=0)
    ssnal(problem)  # warms up
    for tol in (1e-6, 1e-8):
        fast = min(seconds(lambda tol=tol: ssnal(problem, tol)) for _ in range(3))  # type: ignore[misc]
        for method in (lasso_ista, lasso_fista):
            spent, gap = to_kkt(method, problem, tol)
            least = "" if gap <= tol else f"at least, having stopped at {gap:.0e}: "
            name = method.__name__.upper()
            print(f"lasso 300×1200, cond(AAᵀ) 1e5, to KKT {tol:.0e}: SSNAL | {name}")
            print(f"  {least}{spent / fast:.1f} times faster ({1e3 * fast:.0f} ms)")
    torch.set_num_threads(threads)


def newton_against_coordinate_descent() -> None:
    """CPU-time of SSNAL and of the compiled coordinate descents that are installed."""
    for condition in (1e1, 1e3, 1e5, 1e7):
        problem = lasso_problem(condition, seed=0)
        m, A = len(problem.b), np.asfortranarray(problem.A.numpy())
        begun = time.process_time()
        gaps = {"SSNAL": ssnal(problem).kkt[-1]}
        spent = {"SSNAL": time.process_time() - begun}
        for module in ("sklearn.linear_model", "celer", "skglm"):
            try:
                Peer: Any = import_module(module).Lasso
            except ImportError:
                continue
            tol, many = (1e-12, 1000) if module != "sklearn.linear_model" else (1e-14, 10**6)
            peer = Peer(alpha=problem.lam / m, tol=tol, max_iter=many, fit_intercept=False)
            begun = time.process_time()
            peer.fit(A, problem.b.numpy())
            name = module.partition(".")[0]
            spent[name] = time.process_time() - begun
            gaps[name] = problem.kkt(torch.from_numpy(np.asarray(peer.coef_, dtype=float)))
        shown = ", ".join(f"{n} {1e3 * t:.0f} ms to KKT {gaps[n]:.0e}" for n, t in spent.items())
        print(f"lasso 300×1200, cond(AAᵀ) {condition:.0e}: {shown}")


def coherence_time() -> None:
    """How long the certificate of μ̃ takes; there is no plain form that ends within minutes."""
    A = SparseProblem(dtype=torch.float64).operator().A
    begun = time.process_time()
    found = generalised_coherence(A)
    spent = time.process_time() - begun
    print(f"μ̃ of 250×500 in [{found.lower:.4f}, {found.upper:.4f}]\n  {spent:.1f} CPU-seconds")


# ------------------------------------------------------------------ hyperspectral

BLOCK, STEP = 56, 12  # pixels: what the released layout cuts a cube into
PATCHES = (BLOCK - 8) ** 2  # patches of 9×9 in a block
ONE_TWO = (1, 2)


def near(x: Any, y: Any, tol: float = 1e-4) -> None:
    """Raise where two tensors, or two lists of them, differ by more than ``tol`` of the largest."""
    pairs = [(x, y)] if isinstance(x, Tensor) else [*zip(x, y, strict=True)]
    for p, q in pairs:
        gap = float((p - q).detach().abs().max() / p.detach().abs().max().clamp(min=1e-12))
        assert gap < tol, f"the answers differ by {gap:.1e}"


def gradients(f: Callable[..., Tensor], *inputs: Tensor) -> list[Tensor]:
    """Derivatives of f's sum of squares with respect to its inputs."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    return list(torch.autograd.grad(f(*leaves).square().sum(), leaves))


def separable(X: Tensor, D1: Tensor, D2: Tensor, D3: Tensor) -> Tensor:
    """X ×₁D1 ×₂D2 ×₃D3, one mode after the other; X (N, r, p², n)."""
    x = X.unflatten(2, (len(D1), len(D2)))
    x = torch.einsum("ai,nrijq->nrajq", D1, x)
    x = torch.einsum("bj,nrajq->nrabq", D2, x)
    return torch.einsum("cr,nrabq->ncabq", D3, x).flatten(2, 3)


def svt_plain(X: Tensor, tau: Tensor) -> Tensor:
    """Singular value thresholding of matrices (…, r, q) by torch's SVD."""
    U, s, Vh = torch.linalg.svd(X, full_matrices=False)
    return (U * (s - tau).relu()[..., None, :]) @ Vh


def form(f: Callable[..., Any], *x: Tensor, backward: bool = False) -> Callable[[], Any]:
    """A function on its tensors, ready to run; with gradients where asked for."""
    if backward:
        return partial(gradients, f, *x)
    return torch.inference_mode()(partial(f, *x))


def mode_products(name: str, plain: Callable[..., Tensor], backward: bool) -> Race:
    """Two matrix products against another form, on the patches of one block."""
    X = torch.randn(1, 9, 81, PATCHES, generator=torch.Generator().manual_seed(0))
    given = (X, dct(9), dct(9), dct(9))
    slow, fast = (form(f, *given, backward=backward) for f in (plain, synthesis))
    what = f"mode products{' with gradients' * backward}, {PATCHES} patches 9×9×9"
    return Race(f"{what}: 81×81 and 9×9 | {name}", slow, fast, near, threads=ONE_TWO)


def thresholding(backward: bool) -> Race:
    """SVT by eigenvalues of Gram matrices against torch's SVD, on as many patches."""
    X = torch.randn(PATCHES, 9, 81, generator=torch.Generator().manual_seed(0))
    tau = torch.tensor(8.0)  # about half of the singular values survive
    slow, fast = (form(f, X, tau, backward=backward) for f in (svt_plain, hyperspectral.svt))
    what = f"SVT{' with gradients' * backward}, {PATCHES} matrices 9×81"
    return Race(f"{what}: eigh of X Xᵀ | torch.linalg.svd", slow, fast, near, threads=ONE_TWO)


def as_released() -> Any:
    """Within it a network's layers compute with one 729×729 matrix and torch's SVD."""
    back = lambda X, *D: synthesis_plain(X, *(M.T for M in D))
    low_rank = lambda B, tau: svt_plain(B.permute(0, 3, 1, 2), tau).permute(0, 2, 3, 1)
    return patch.multiple(hsi_model, synthesis=synthesis_plain, analysis=back, low_rank=low_rank)


def recorded(name: str) -> tuple[Any, hyperspectral.Noisy]:
    """A recorded network, and Indian Pines with noise of σ = 50/255 over that."""
    net = experiment.load(f"hyperspectral/{name}", "cpu", 0)
    sigma, truth = 50 / 255, indian_pines()
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    Y = truth / sigma + noise
    return net, hyperspectral.Noisy(Y, basis(Y, net.r))


def cut(
    b: hyperspectral.Noisy, top: int, left: int, A: Tensor | None = None
) -> hyperspectral.Noisy:
    """One block; with its own subspace, or with ``A``."""
    Y = b.Y[..., top : top + BLOCK, left : left + BLOCK]
    return hyperspectral.Noisy(Y, basis(Y, b.A.shape[2]) if A is None else A)


def network_layers(name: str, backward: bool) -> Race:
    """A recorded network on one block: our layers against those as released. Equal answers.

    STARNet has no race with gradients: torch's are NaN where singular values are equal, as they are
    in a patch without codes.
    """
    net, b = recorded(name)
    b = cut(b, 40, 40, b.A)
    weights = list(net.parameters())

    def ours() -> Any:
        if not backward:
            with torch.inference_mode():
                return net(b)
        return torch.autograd.grad(net(b).square().mean(), weights)

    def plain() -> Any:
        with as_released():
            return ours()

    what = f"{type(net).__name__}{' with gradients' * backward}, K = {net.K}, a block 56×56×200"
    parts = "729×729" if name == "smds" else "729×729 and torch's SVD"
    same = partial(near, tol=1e-3)
    return Race(f"{what}: ours | {parts}", plain, ours, same, turns=5, threads=ONE_TWO)


def whole_cube(name: str) -> Race:
    """A recorded network on the whole of Indian Pines against blocks, as released.

    Equal: weights, σ, patches at stride 1, the estimator of the subspace; and layer by layer the
    answers, which ``network_layers`` checks. Not equal: the released layout takes a subspace of
    every block and averages what overlaps, so its estimate is another. Checked here: given the
    whole cube's subspace, a block of SMDSNet has the whole cube's values wherever all patches of a
    pixel lie in the block. STARNet's G moves in every layer, 8 pixels each, so that its blocks have
    no such pixels at K = 6.
    """
    net, b = recorded(name)
    places = [[*range(0, n - BLOCK, STEP), n - BLOCK] for n in b.Y.shape[2:]]

    @torch.inference_mode()
    def blocks() -> Tensor:
        total, count = torch.zeros_like(b.Y), torch.zeros_like(b.Y[:, :1])
        with as_released():
            for top in places[0]:
                for left in places[1]:
                    here = (..., slice(top, top + BLOCK), slice(left, left + BLOCK))
                    total[here] += net(cut(b, top, left))
                    count[here] += 1
        return total / count

    @torch.inference_mode()
    def ours() -> Tensor:
        return net(hyperspectral.Noisy(b.Y, basis(b.Y, net.r)))

    @torch.inference_mode()
    def same(x: Tensor, y: Tensor) -> None:
        if name == "smds":
            with as_released():
                inside = net(cut(b, 40, 40, b.A))[..., 8:-8, 8:-8]
            near(inside, y[..., 48:88, 48:88])
        truth = indian_pines() * (255 / 50)
        errors = [float((z - truth).square().mean().sqrt()) * 50 / 255 for z in (x, y)]
        print("  RMSE of the blocks {:.4f}, of the whole {:.4f}".format(*errors), flush=True)

    count = len(places[0]) * len(places[1])
    what = f"{type(net).__name__}, K = {net.K}, Indian Pines 145×145×200"
    title = f"{what}: ours | {count} blocks 56×56 at stride 12, layers as released"
    return Race(title, blocks, ours, same, turns=3 if name == "smds" else 1)


# ------------------------------------------------------------------ small targets

SIZES: dict[str, Callable[[], LRPCANet]] = {
    "K = 6, c = 32": LRPCANet,
    "K = 6, c = 32, d = 8": partial(LRPCANet, d=8),
    "K = 3, c = 8": partial(LRPCANet, K=3, c=8),
}


def settled(net: Any) -> Any:
    """A network as after a training: its batch norms have seen something."""
    g = torch.Generator().manual_seed(1)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1, generator=g)  # type: ignore[union-attr]
            m.running_var.uniform_(0.5, 2, generator=g)  # type: ignore[union-attr]
    return net.eval()


def as_written(net: Any) -> Any:
    """The plain form: module after module, filters in torch's own order."""
    return deepcopy(net).to(memory_format=torch.contiguous_format)


def masks(x: Tensor, y: Tensor) -> None:
    """Refuse unequal logits, and unequal masks."""
    near(x, y)
    assert torch.equal(x > 0, y > 0), "the masks differ"


def detecting(size: str) -> Race:
    """L-RPCANet's fast form on one image of 256×256 against its plain form."""
    net = settled(SIZES[size]())
    image = images(synthetic(torch.Generator().manual_seed(0), 1))
    slow, fast = form(as_written(net), image), form(compact(net), image)
    name = f"L-RPCANet, {size}, 256×256: fast form | plain form"
    return Race(name, slow, fast, masks, turns=5, threads=ONE_TWO)


def against_rpcanet(rivals: str) -> Race:
    """L-RPCANet's fast form against RPCANet's plain or fast one: two networks, two answers."""
    image = images(synthetic(torch.Generator().manual_seed(0), 1))
    ours, rival = compact(settled(LRPCANet())), settled(RPCANet())
    plain = as_written(rival) if rivals == "plain" else compact(rival)
    slow, fast = form(plain, image), form(ours, image)
    same = lambda x, _: masks(torch.inference_mode()(rival)(image), x)
    name = f"L-RPCANet, fast form | RPCANet, {rivals} form; K = 6, c = 32, 256×256"
    return Race(name, slow, fast, same, turns=5, threads=ONE_TWO)


RACES: dict[str, list[Callable[[], Race | None]]] = {
    "sparse": [batched_ista, batched_network, closed_form, coherence_time],
    "imaging": [imaging_forward, imaging_step],
    "newton_sr": [
        newton_stage,
        newton_against_first_order,
        newton_against_coordinate_descent,
    ],
    "hyperspectral": [
        *(
            partial(mode_products, name, plain, backward)
            for backward in (False, True)
            for name, plain in (("729×729", synthesis_plain), ("three products", separable))
        ),
        partial(thresholding, False),
        partial(thresholding, True),
        partial(network_layers, "smds", False),
        partial(network_layers, "smds", True),
        partial(network_layers, "star", False),
        partial(whole_cube, "smds"),
        partial(whole_cube, "star"),
    ],
    "small_target": [
        *(partial(detecting, size) for size in SIZES),
        partial(against_rpcanet, "plain"),
        partial(against_rpcanet, "fast"),
    ],
}


def main(rooms: list[str]) -> None:
    """Run every race, or those of some rooms."""
    if strange := [room for room in rooms if room not in RACES]:
        sys.exit(f"no room {strange[0]!r}; there are {', '.join(RACES)}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for room in rooms or RACES:
        for make in RACES[room]:
            if race := make():
                report(race)


if __name__ == "__main__":
    main(sys.argv[1:])
