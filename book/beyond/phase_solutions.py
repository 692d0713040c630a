"""Solutions of the exercises of "Phase retrieval"."""

import torch

from dunfold_lib.phase import data
from dunfold_lib.phase.algorithm import flow, spectral
from dunfold_lib.phase.data import Seen
from dunfold_lib.prox import soft


def as_pairs(A):
    """A complex matrix (m, n) in the room's form (1, m, 2, 2n)."""
    p, q = A.real, A.imag
    rows = [torch.cat([p, -q], 1), torch.cat([q, p], 1)]
    return torch.stack(rows, 1)[None]


def slope_at_zero(b, direction):
    """The derivative of f at 0 along a direction (1, d): negative, whatever it is."""
    size = data.forward(b.A, direction).norm(dim=2)
    return -(size * b.y).mean(1)


def error_reduction(b, K, start=None):
    """[x⁰, …, xᴷ]: each minimises the majorant at the one before."""
    xs = [spectral(b) if start is None else start]
    rows = b.A.flatten(1, 2)
    for _ in range(K):
        z = data.forward(b.A, xs[-1])
        phase = z / z.norm(dim=2, keepdim=True).clamp_min(1e-12)
        target = (phase * b.y[..., None]).flatten(1)
        found = torch.linalg.lstsq(rows, target[..., None])
        xs.append(found.solution[..., 0])
    return xs


def best_phase(x, truth, count=3600):
    """The least ‖e^{iφ}x − x*‖ over a grid of angles, for complex rows."""
    angles = torch.arange(count) * (2 * torch.pi / count)
    turns = [data.turned(x, float(a), 2) for a in angles]
    return torch.stack([(t - truth).norm(dim=1) for t in turns]).min(0)[0]


def noise_error(noise, m=256, n=64, draws=16, seed=0):
    """Mean relative error of a long flow on amplitudes with noise."""
    g = torch.Generator().manual_seed(seed)
    b, truth = data.draw(draws, m, g, 1, n)
    b = data.seen(b.A, truth, noise, g)
    x = flow(b, 200, 2.0, 1.0)[-1]
    return float(data.relative_error(x, truth).mean())


def sparse_flow(b, K, s, t=2.0, eta=1.0):
    """xᴷ of a flow whose steps keep about s entries of each signal, by a soft threshold."""
    x, rows = spectral(b), b.y.shape[0]
    for _ in range(K):
        x = flow(Seen(b.y, b.A), 1, t, eta, start=x)[-1]
        theta = x.abs().sort(1, descending=True)[0][:, s : s + 1]
        x = soft(x, theta.expand(rows, x.shape[1]))
    return x
