"""Training: the loop, its checkpoints, stage-wise growth, and the command line around them."""

import math
from itertools import pairwise

import pytest
import torch
from shared_training import SHORT, net, one_line, same, sample

from dunfold_lib.sparse.training import mean_square
from dunfold_lib.training import Context, Recipe, fit

# the loop


def test_the_rate_falls_along_half_a_cosine_from_lr_to_its_end():
    recipe = Recipe(steps=10, lr=0.2, end=0.25)
    assert recipe.rate(0) == pytest.approx(0.2)
    assert recipe.rate(5) == pytest.approx(0.2 * 0.625)
    assert recipe.rate(10) == pytest.approx(0.05)
    rates = [recipe.rate(k) for k in range(11)]
    assert all(u > v for u, v in pairwise(rates))


@pytest.mark.parametrize("clip", [1e9, 1e-3], ids=["unclipped", "clipped"])
def test_two_steps_of_fit_are_two_steps_of_adam_by_hand(clip):
    """m ← .9m + .1g, v ← .999v + .001g², p ← p − η m̂/(√v̂ + 1e-8), g scaled to norm ≤ clip."""
    recipe = Recipe(steps=2, batch=6, lr=0.01, end=0.1, clip=clip)
    trained, hand, g = net(), net(), torch.Generator().manual_seed(7)
    history = fit(trained, sample, mean_square, recipe, Context(seed=7))
    weights = list(hand.parameters())
    m, v = ([torch.zeros_like(p) for p in weights] for _ in range(2))
    for step in (1, 2):
        b, x = sample(6, g)
        loss = (hand(b) - x).square().mean()
        assert history[step - 1] == pytest.approx(loss.item(), rel=1e-14)
        gradients = torch.autograd.grad(loss, weights)
        norm = sum(float(d.square().sum()) for d in gradients) ** 0.5
        assert (norm > clip) == (clip < 1)
        rate = 0.01 * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - 1) / 2)) / 2)
        with torch.no_grad():
            for i, d in enumerate(gradients):
                d = d * min(1, clip / (norm + 1e-6))
                m[i] = 0.9 * m[i] + 0.1 * d
                v[i] = 0.999 * v[i] + 0.001 * d * d
                down = (v[i] / (1 - 0.999**step)).sqrt() + 1e-8
                weights[i] -= rate * m[i] / (1 - 0.9**step) / down
    for p, q in zip(trained.parameters(), weights, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-13)
    assert len(history) == 2
    assert not trained.training


def test_a_seed_names_a_run():
    first, again, other = net(), net(), net()
    losses = [
        fit(n, sample, mean_square, SHORT, Context(seed=s)) for n, s in ((first, 1), (again, 1))
    ]
    fit(other, sample, mean_square, SHORT, Context(seed=2))
    assert losses[0] == losses[1]
    assert same(first, again)
    assert not same(first, other)


def test_frozen_weights_stay_and_zero_steps_change_nothing():
    trained = net()
    trained.theta.requires_grad_(False)
    fit(trained, sample, mean_square, SHORT)
    assert torch.equal(trained.theta, net().theta)
    assert not torch.equal(trained.W[0], net().W[0])
    untouched = net()
    assert fit(untouched, sample, mean_square, Recipe(steps=0)) == []
    assert same(untouched, net())


def test_a_loss_that_is_not_a_number_ends_the_run_in_one_line(tmp_path):
    spoilt = lambda net, b, truth: mean_square(net, b, truth) * math.nan
    with pytest.raises(RuntimeError, match="the loss is nan at step 0; try a smaller lr") as error:
        fit(net(), sample, spoilt, SHORT, Context(tmp_path))
    one_line(error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given, says",
    [
        ({"steps": -1}, "steps is -1; it must be at least 0"),
        ({"steps": 1.5}, "steps is 1.5; it must be a whole number"),
        ({"batch": 0}, "batch is 0; it must be at least 1"),
        ({"lr": 0.0}, r"lr is 0; it must be finite and in \(0, inf\]"),
        ({"lr": math.nan}, "lr is nan; it must be finite"),
        ({"end": 1.5}, r"end is 1.5; it must be finite and in \[0, 1\]"),
        ({"clip": 0.0}, r"clip is 0; it must be finite and in \(0, inf\]"),
    ],
)
def test_a_recipe_refuses(given, says):
    with pytest.raises((ValueError, TypeError), match=says) as error:
        Recipe(**given)
    one_line(error)
