"""Each speed-up beside the plain form of the same computation, in one run: a ratio, not seconds.

The two forms take turns, so that a busy machine slows both; the ratio is of their fastest runs, and
its spread that of the turns. Both must give the same answer first.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import nn

from dunfold_lib.imaging import ISTANetPlus, data, estimate
from dunfold_lib.imaging.fast import plus_loss
from dunfold_lib.newton_sr import Lasso, NewtonSR, Pair, ssnal
from dunfold_lib.newton_sr import fista as lasso_fista
from dunfold_lib.newton_sr import ista as lasso_ista
from dunfold_lib.newton_sr.runs import lasso_problem
from dunfold_lib.operators import Sensing
from dunfold_lib.sparse import LISTACP, ista
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.theory import analytic_weights, generalised_coherence


@dataclass(frozen=True)
class Race:
    """Two forms of one computation; ``same`` raises if their answers differ."""

    name: str
    plain: Callable[[], Any]
    fast: Callable[[], Any]
    same: Callable[[Any, Any], None]
    turns: int = 7


def seconds(run: Callable[[], Any]) -> float:
    """Wall-clock time of one run."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def report(race: Race) -> None:
    """Run a race and print its ratio."""
    race.same(race.plain(), race.fast())
    pairs = [(seconds(race.plain), seconds(race.fast)) for _ in range(race.turns)]
    plain, fast = (min(p[i] for p in pairs) for i in (0, 1))
    ratios = sorted(p / f for p, f in pairs)
    spread = f"{ratios[0]:.1f}–{ratios[-1]:.1f} over {race.turns} turns"
    print(f"{race.name}\n  {plain / fast:.1f} times faster ({spread}; {1e3 * fast:.1f} ms)")


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


def coherence_time() -> None:
    """How long the certificate of μ̃ takes; there is no plain form that ends within minutes."""
    A = SparseProblem(dtype=torch.float64).operator().A
    begun = time.process_time()
    found = generalised_coherence(A)
    spent = time.process_time() - begun
    print(f"μ̃ of 250×500 in [{found.lower:.4f}, {found.upper:.4f}]\n  {spent:.1f} CPU-seconds")


def main() -> None:
    """Run every race."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for make in (batched_ista, batched_network, closed_form, imaging_forward, imaging_step):
        report(make())
    report(newton_stage())
    newton_against_first_order()
    coherence_time()


if __name__ == "__main__":
    main()
