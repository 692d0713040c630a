"""Races of ``hyperspectral``."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any
from unittest.mock import patch

import torch
from bench_race import ONE_TWO, Race, form, near
from torch import Tensor

from dunfold_lib import experiment, hyperspectral
from dunfold_lib.hyperspectral import model as hsi_model
from dunfold_lib.hyperspectral.data import indian_pines
from dunfold_lib.hyperspectral.lowrank import basis
from dunfold_lib.hyperspectral.patches import dct, synthesis, synthesis_plain

BLOCK, STEP = 56, 12  # pixels: what the released layout cuts a cube into
PATCHES = (BLOCK - 8) ** 2  # patches of 9×9 in a block


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


def one_matrix(**more: Any) -> Any:
    """Within it a network's layers compute their mode products with one 729×729 matrix."""
    back = lambda X, *D: synthesis_plain(X, *(M.T for M in D))
    return patch.multiple(hsi_model, synthesis=synthesis_plain, analysis=back, **more)


def as_released() -> Any:
    """Within it they do so, and take torch's SVD."""
    low_rank = lambda B, tau: svt_plain(B.permute(0, 3, 1, 2), tau).permute(0, 2, 3, 1)
    return one_matrix(low_rank=low_rank)


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
                return hyperspectral.estimate(net, b)
        return torch.autograd.grad(net(b).square().mean(), weights)

    def plain() -> Any:
        with as_released(), torch.set_grad_enabled(backward):
            x = net(b)
            return torch.autograd.grad(x.square().mean(), weights) if backward else x

    what = f"{type(net).__name__}{' with gradients' * backward}, K = {net.K}, a block 56×56×200"
    parts = "729×729" if name == "smds" else "729×729 and torch's SVD"
    same = partial(near, tol=1e-3)
    return Race(f"{what} | {parts}", plain, ours, same, turns=5, threads=ONE_TWO)


def whole_cube(name: str) -> Race:
    """A recorded network on the whole of Indian Pines against blocks, as released.

    Equal: weights, σ, patches at stride 1, the estimator of the subspace; and layer by layer the
    answers, which ``network_layers`` checks. Not equal: the released layout takes a subspace of
    every block and averages what overlaps, so its estimate is another. Checked here: given the
    whole cube's subspace, a block of SMDSNet has the whole cube's values wherever all patches of a
    pixel lie in the block. STARNet's G moves in every layer: its blocks have no such pixels.
    """
    net, b = recorded(name)
    sides = ([*range(0, n - BLOCK, STEP), n - BLOCK] for n in b.Y.shape[2:])
    places = [*product(*sides)]

    @torch.inference_mode()
    def blocks() -> Tensor:
        total, count = torch.zeros_like(b.Y), torch.zeros_like(b.Y[:, :1])
        with as_released():
            for top, left in places:
                here = (..., slice(top, top + BLOCK), slice(left, left + BLOCK))
                total[here] += net(cut(b, top, left))
                count[here] += 1
        return total / count

    @torch.inference_mode()
    def ours() -> Tensor:
        return hyperspectral.estimate(net, hyperspectral.Noisy(b.Y, basis(b.Y, net.r)))

    @torch.inference_mode()
    def same(x: Tensor, y: Tensor) -> None:
        if name == "smds":
            with as_released():
                inside = net(cut(b, 40, 40, b.A))[..., 8:-8, 8:-8]
            near(inside, y[..., 48:88, 48:88])
        truth = indian_pines() * (255 / 50)
        errors = [float((z - truth).square().mean().sqrt()) * 50 / 255 for z in (x, y)]
        print("  RMSE of the blocks {:.4f}, of the whole {:.4f}".format(*errors), flush=True)

    what = f"{type(net).__name__}, K = {net.K}, Indian Pines 145×145×200: ours"
    title = f"{what} | {len(places)} blocks 56×56 at stride 12, layers as released"
    return Race(title, blocks, ours, same, turns=3 if name == "smds" else 1)


RACES: list[Callable[[], Race]] = [
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
]
