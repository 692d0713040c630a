"""What the proxes of two norms of a patch make of its singular values: nuclear, and Frobenius."""

import torch
from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.hyperspectral.lowrank import svt

NORMS = ("nuclear norm", "Frobenius norm")


def shrink(X: Tensor, tau: float, norm: str) -> Tensor:
    """The prox of τ times a norm of matrices (…, 9, 81)."""
    checks.one_of("norm", norm, NORMS)
    if norm == "nuclear norm":
        return svt(X, tau)
    length = X.flatten(-2).norm(dim=-1)[..., None, None]
    return X * (1 - tau / length).relu()


def passes(X: Tensor, tau: float, norm: str) -> Tensor:
    """⟨E, J E⟩ for the prox's Jacobian J at X and the 9 × 9 directions E = u_i v_jᵀ.

    By one backward pass of ``shrink`` over 81 copies of X, whose singular vectors u and v are.
    """
    U, _, Vt = torch.linalg.svd(X, full_matrices=False)
    E = torch.einsum("ai,jb->ijab", U, Vt).flatten(0, 1)
    many = X.expand(len(E), *X.shape).clone().requires_grad_()
    (J,) = torch.autograd.grad(shrink(many, tau, norm), many, E)
    return (E * J).sum((1, 2)).reshape(len(U), len(U)).detach()
