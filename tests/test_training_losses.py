"""Losses against their equations, written out anew with numpy."""

import math

import numpy as np
import pytest
import torch

from snnkit.errors import UserError
from snnkit.layers import Linear, Sequential
from snnkit.neurons import LIF, LeakyIntegrator
from snnkit.training import (
    RateBounds,
    class_scores,
    membrane_cross_entropy,
    membrane_scores,
    rate_cross_entropy,
    rate_penalty,
    rate_scores,
    spikes_of,
)


def naive_cross_entropy(z, target):
    total = 0.0
    for row, label in zip(z, target, strict=True):
        total -= row[label] - math.log(sum(math.exp(v) for v in row))
    return total / len(target)


def some_spikes(t=7, b=4, c=3, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((t, b, c)) < 0.4).astype(np.float64), rng.integers(0, c, b)


def test_rate_cross_entropy_is_its_equation():
    spikes, target = some_spikes()
    expected = naive_cross_entropy(6.5 * spikes.mean(0), target)
    found = rate_cross_entropy(torch.tensor(spikes), torch.tensor(target), scale=6.5)
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "reduce, twin", [("mean", lambda v: v.mean(0)), ("max", lambda v: v.max(0)), ("last", lambda v: v[-1])]
)
def test_membrane_cross_entropy_is_its_equation(reduce, twin):
    v, target = np.random.default_rng(1).normal(size=(5, 4, 3)), np.array([0, 2, 1, 1])
    found = membrane_cross_entropy(torch.tensor(v), torch.tensor(target), reduce=reduce, scale=2.0)
    assert found.item() == pytest.approx(naive_cross_entropy(2.0 * twin(v), target), rel=1e-12)


def test_documented_floor_of_the_rate_loss():
    spikes = torch.zeros(6, 1, 10, dtype=torch.float64)
    spikes[:, 0, 4] = 1  # as certain as spikes can be
    for scale in (1.0, 10.0):
        loss = rate_cross_entropy(spikes, torch.tensor([4]), scale=scale).item()
        assert loss == pytest.approx(math.log(1 + 9 * math.exp(-scale)), rel=1e-12)


def test_gradient_raises_the_right_rate():
    spikes = torch.full((5, 1, 3), 0.5, requires_grad=True)
    rate_cross_entropy(spikes, torch.tensor([1])).backward()
    assert (spikes.grad[:, 0, 1] < 0).all() and (spikes.grad[:, 0, [0, 2]] > 0).all()


def test_class_scores_take_sequences_and_logits():
    v = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(class_scores(v), v.mean(0)) and torch.equal(class_scores(v[0]), v[0])


def test_shapes_and_names_are_checked():
    with pytest.raises(ValueError, match=r"T B C.*\(4, 2, 3, 1\)"):
        rate_scores(torch.zeros(4, 2, 3, 1))
    with pytest.raises(ValueError, match="'mean', 'max' or 'last'; got 'sum'"):
        membrane_scores(torch.zeros(4, 2, 3), reduce="sum")


def test_rate_penalty_is_its_equation_and_only_outside_the_bounds():
    spikes = torch.zeros(10, 2, 3)
    spikes[:2, :, 1] = 1  # rates 0, 0.2, 1
    spikes[..., 2] = 1
    assert rate_penalty(spikes, low=0.1, high=0.5).item() == pytest.approx((0.1**2 + 0 + 0.5**2) / 3)
    assert rate_penalty(spikes).item() == 0


def test_rate_bounds_see_every_spiking_layer_and_only_those():
    net = Sequential(Linear(3, 4), LIF(tau=20e-3, dt=1e-3), Linear(4, 2), LeakyIntegrator(tau=20e-3, dt=1e-3))
    with spikes_of(net) as found:
        net(torch.ones(5, 2, 3))
    net(torch.ones(5, 2, 3))  # outside: not collected
    assert [tuple(s.shape) for s in found] == [(5, 2, 4)] and found[0].requires_grad
    bounds = RateBounds(weight=3.0, low=0.2, high=0.3)
    two = [torch.zeros(5, 2, 4), torch.ones(5, 2, 6)]
    assert bounds.penalty(two).item() == pytest.approx(3 * (0.2**2 + 0.7**2) / 2)


def test_bad_rate_bounds():
    for wrong in ({"low": 0.5, "high": 0.1}, {"weight": -1.0}, {"low": -0.1}):
        with pytest.raises(UserError, match="low <= high"):
            RateBounds(**wrong)
    with pytest.raises(UserError, match="no spiking layer"):
        RateBounds().penalty([])
