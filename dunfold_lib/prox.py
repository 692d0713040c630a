"""Proximal maps: prox(x, t) = argmin_p ½‖p − x‖² + t f(p). Functions without state."""

from torch import Tensor


def soft(x: Tensor, t: Tensor | float) -> Tensor:
    """Soft threshold sign(x)·max(|x| − t, 0), the prox of t‖·‖₁ (Daubechies et al. 2004).

    x : any shape.  t : a number, or a tensor that broadcasts to x. For t ≥ 0 it is the prox; for a
    negative t, which trained networks may hold, the formula is applied as it stands.
    """
    return x.sign() * (x.abs() - t).relu()
