"""Solutions of the exercises in lista.md, which shows them; tests/test_solutions.py checks them."""

import torch

from dunfold_lib.sparse import LISTA, LISTACP


def uncouple(net: LISTACP) -> LISTA:
    """A LISTA with the same iterates: W1 = Wᵀ and W2 = I − WᵀA in every layer."""
    free = LISTA(net.A, net.K)
    eye = torch.eye(net.A.domain[0], dtype=net.A.A.dtype)
    with torch.no_grad():
        free.theta.copy_(net.theta)
        for k, W in enumerate(net.W):
            free.W1[k].copy_(W.T)
            free.W2[k].copy_(eye - W.T @ net.A.A)
    return free
