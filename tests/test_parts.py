"""The parts that every room stands on: prox, operators, metrics."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared_parts import OPERATORS, dense, doubles, numbers
from torch.testing import assert_close

from dunfold_lib.operators import norm
from dunfold_lib.prox import soft

# Soft threshold

reals = st.floats(-10, 10)


thresholds = st.floats(0, 10)


vectors = st.lists(reals, min_size=4, max_size=4).map(doubles)


@given(x=reals, q=reals, t=thresholds)
def test_soft_minimises_its_objective_with_the_margin_of_a_strongly_convex_function(x, q, t):
    p = float(soft(doubles(x), t))
    value = lambda z: 0.5 * (z - x) ** 2 + t * abs(z)
    assert value(q) >= value(p) + 0.5 * (q - p) ** 2 - 1e-13 * (1 + value(q))


@given(x=vectors, d=vectors, t=thresholds, scale=st.sampled_from([1e-6, 1e-3, 1.0]))
def test_soft_is_better_than_every_perturbation_of_it(x, d, t, scale):
    p = soft(x, t)
    value = lambda z: float(0.5 * (z - x).square().sum() + t * z.abs().sum())
    assert value(p) <= value(p + scale * d) * (1 + 1e-14)


@given(x=vectors, y=vectors, t=thresholds)
def test_soft_is_firmly_nonexpansive(x, y, t):
    d = soft(x, t) - soft(y, t)
    assert float(d.square().sum()) <= float((d * (x - y)).sum()) + 1e-13


@given(x=vectors, t=thresholds)
def test_soft_and_the_projection_on_the_box_add_up_to_the_identity(x, t):
    assert_close(soft(x, t) + x.clamp(-t, t), x, rtol=0, atol=2e-15)


def test_soft_of_a_hand_computed_vector():
    x = doubles([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])
    assert soft(x, 1.0).tolist() == [-2, 0, 0, 0, 0, 0, 2]


def test_soft_with_a_negative_threshold_is_the_formula_as_it_stands():
    x = doubles([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert soft(x, -1.0).tolist() == [-4.0, -1.5, 0.0, 1.5, 4.0]


@pytest.mark.parametrize("shape", [(), (5,), (3, 1), (3, 5), (1, 1)])
def test_soft_broadcasts_its_threshold(shape):
    x, t = numbers(3, 5), numbers(*shape, seed=1).abs()
    full = t.expand(3, 5)
    each = [[float(soft(x[i, j], float(full[i, j]))) for j in range(5)] for i in range(3)]
    assert torch.equal(soft(x, t), doubles(each))


every = pytest.mark.parametrize("make", OPERATORS.values(), ids=OPERATORS.keys())


@every
def test_T_is_the_adjoint(make):
    A = make(torch.float64)
    x, r = numbers(5, *A.domain, seed=2), numbers(5, *A.codomain, seed=3)
    Ax, Atr = A(x), A.T(r)
    left, right = (Ax * r).flatten(1).sum(1), (x * Atr).flatten(1).sum(1)
    size = Ax.flatten(1).norm(dim=1) * r.flatten(1).norm(dim=1)
    assert bool(((left - right).abs() <= 1e-12 * size).all())


@every
def test_an_operator_is_linear(make):
    A = make(torch.float64)
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        x, y = numbers(3, *shape, seed=2), numbers(3, *shape, seed=3)
        assert_close(f(2.5 * x - y), 2.5 * f(x) - f(y), rtol=0, atol=2e-14)


@every
def test_shapes_are_those_of_domain_and_codomain(make):
    A = make(torch.float64)
    assert A(numbers(3, *A.domain)).shape == (3, *A.codomain)
    assert A.T(numbers(3, *A.codomain)).shape == (3, *A.domain)


@every
def test_norm_is_the_largest_singular_value(make):
    A = make(torch.float64)
    assert norm(A) == pytest.approx(float(torch.linalg.svdvals(dense(A))[0]), rel=1e-13)


@every
def test_norm_of_a_single_precision_operator_is_that_of_its_entries(make):
    A = make(torch.float32)
    assert norm(A) == pytest.approx(norm(make(torch.float64)), rel=1e-6)


@every
def test_a_row_alone_is_the_row_in_a_batch(make):
    A = make(torch.float64)
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        x = numbers(4, *shape, seed=2)
        assert_close(f(x[2:3]), f(x)[2:3], rtol=0, atol=1e-14)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(make, dtype):
    A = make(dtype)
    assert A(numbers(2, *A.domain).to(dtype)).dtype == dtype
    assert A.T(numbers(2, *A.codomain).to(dtype)).dtype == dtype


@every
@pytest.mark.parametrize(
    "move", [lambda A: A.double(), lambda A: A.to(torch.float64)], ids=["double", "to"]
)
def test_buffers_follow_to_double_precision(make, move):
    single = make(torch.float32)
    x = numbers(2, *single.domain)
    before, after = single(x.float()), move(make(torch.float32))
    assert {b.dtype for b in after.buffers()} <= {torch.float64, torch.complex128}
    assert after(x).dtype == torch.float64
    assert_close(after(x), before.double(), rtol=0, atol=1e-5)


@every
def test_fixed_arrays_are_buffers_and_not_saved_weights(make):
    A = make(torch.float64)
    assert A.state_dict() == {}
    assert list(A.parameters()) == []


@pytest.mark.parametrize("name, count", [("matrix", 1), ("mask", 1), ("blur", 1)])
def test_a_fixed_array_is_one_buffer(name, count):
    assert len(list(OPERATORS[name](torch.float64).buffers())) == count


@every
def test_a_deep_copy_is_the_same_operator(make):
    A = make(torch.float64)
    x = numbers(2, *A.domain)
    assert torch.equal(copy.deepcopy(A)(x), A(x))


@every
def test_an_operator_leaves_its_input_alone(make):
    A = make(torch.float64)
    for f, shape in ((A, A.domain), (A.T, A.codomain)):
        x = numbers(2, *shape)
        f(x)
        assert torch.equal(x, numbers(2, *shape))
