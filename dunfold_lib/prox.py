"""Proximal maps: prox(x, t) = argmin_p ½‖p − x‖² + t f(p). Functions without state."""

from torch import Tensor

from dunfold_lib import checks
from dunfold_lib.checks import AnyTensor


@checks.door
def soft(x: Tensor, t: Tensor | float) -> Tensor:
    """Soft threshold sign(x)·max(|x| − t, 0), the prox of t‖·‖₁ (Daubechies et al. 2004).

    x : any shape.  t : a number, or a tensor that broadcasts to x. For t ≥ 0 it is the prox; for a
    negative t, which trained networks may hold, the formula is applied as it stands.
    """
    checks.broadcasts("t", t, x.shape)
    return x.sign() * (x.abs() - t).relu()


@checks.door
def soft_select(x: Tensor, t: Tensor | float, count: int | AnyTensor) -> Tensor:
    """Soft threshold that leaves the ``count`` largest entries of each row as they are.

    Support selection (Chen et al. 2018, section 3.3): an entry with |x_i| > t among the largest of
    its row is trusted and not shrunk; the rest is ``soft(x, t)``. No gradient passes the choice.
    x : (batch, n).  count : 0, which is ``soft``, to n; or one count a row, (batch, 1).
    """
    if isinstance(count, int) and count == 0:
        return soft(x, t)
    size = x.detach().abs()
    if isinstance(count, int):
        smallest = size.topk(count, dim=-1).values[..., -1:]
    else:
        ordered = size.topk(max(int(count.max()), 1) if len(count) else 1, dim=-1).values
        smallest = ordered.gather(-1, (count - 1).clamp(min=0))
        smallest = smallest.masked_fill(count == 0, float("inf"))
    return x.where((size >= smallest) & (size > t), soft(x, t))
