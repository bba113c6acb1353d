"""Hebbian subspaces: what they learn, and that shielded weights leave past responses alone."""

from __future__ import annotations

import os

import pytest
import torch

from snnkit import systems
from snnkit.errors import UserError
from snnkit.plasticity.hebbian import HebbianSubspace, ShieldedLinear
from snnkit.systems import hlop


def activity(rank: int, count: int, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors in a subspace, and its orthonormal basis."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(size, rank, generator=generator)).Q.t()
    return torch.randn(count, rank, generator=generator) @ basis, basis


def test_the_rows_learn_what_activity_spans():
    x, basis = activity(5, 2000, 40, 0)
    subspace = HebbianSubspace(40)
    subspace.grow(5, torch.Generator().manual_seed(1))
    for batch in x.repeat(4, 1).split(50):
        subspace.learn(batch)
    rows = subspace.rows
    torch.testing.assert_close(rows @ rows.t(), torch.eye(5), atol=0.02, rtol=0)
    outside = x - (x @ rows.t()) @ rows
    assert outside.square().sum() < 1e-3 * x.square().sum()
    assert (rows - (rows @ basis.t()) @ basis).norm() < 0.05


def test_new_rows_stay_orthogonal_to_frozen_ones():
    first, _ = activity(4, 1000, 30, 2)
    second, _ = activity(6, 1000, 30, 3)
    subspace = HebbianSubspace(30)
    for x, rows in ((first, 4), (second, 6)):
        subspace.grow(rows, torch.Generator().manual_seed(rows))
        for batch in x.repeat(6, 1).split(50):
            subspace.learn(batch)
    rows = subspace.rows
    assert rows.shape == (10, 30)
    torch.testing.assert_close(rows @ rows.t(), torch.eye(10), atol=0.03, rtol=0)
    both = torch.cat([first, second])
    assert (both - (both @ rows.t()) @ rows).square().sum() < 5e-3 * both.square().sum()


def test_an_update_leaves_responses_to_past_input_alone():
    past, _ = activity(8, 500, 50, 4)
    layer = ShieldedLinear(50, 20, generator=torch.Generator().manual_seed(5))
    free = ShieldedLinear(50, 20, generator=torch.Generator().manual_seed(5))
    layer.subspace.grow(8, torch.Generator().manual_seed(6))
    for batch in past.repeat(20, 1).split(50):
        layer.subspace.learn(batch)
    layer.subspace.grow(1, torch.Generator().manual_seed(7))  # freezes
    new = torch.randn(3, 64, 50, generator=torch.Generator().manual_seed(8))
    changes = []
    for net in (layer, free):
        before = net(past).detach()
        net(new).square().sum().backward()
        with torch.no_grad():
            net.weight -= 1e-3 * net.weight.grad
        changes.append(float((net(past) - before).detach().norm()))
    assert changes[0] < changes[1] / 20


def test_forward_and_the_gradient_of_the_input_are_those_of_a_linear_layer():
    layer = ShieldedLinear(6, 4, generator=torch.Generator().manual_seed(0))
    layer.subspace.grow(2)
    layer.subspace.grow(1)
    x = torch.randn(3, 5, 6, requires_grad=True)
    y = layer(x)
    torch.testing.assert_close(y, x @ layer.weight.t())
    g = torch.randn(y.shape)
    dx, dw = torch.autograd.grad(y, (x, layer.weight), g)
    torch.testing.assert_close(dx, g @ layer.weight.detach())
    frozen = layer.subspace.frozen
    whole = g.flatten(0, 1).t() @ x.detach().flatten(0, 1)
    torch.testing.assert_close(dw, whole - whole @ frozen.t() @ frozen)
    assert (dw @ frozen.t()).abs().max() < 1e-5


def test_mistakes_are_named():
    with pytest.raises(UserError, match="size"):
        HebbianSubspace(0)
    subspace = HebbianSubspace(4)
    subspace.grow(3)
    with pytest.raises(UserError, match="do not fit"):
        subspace.grow(2)
    with pytest.raises(UserError, match="expected activity B 4"):
        subspace.learn(torch.zeros(3, 2, 4))
    with pytest.raises(UserError, match="T B 6"):
        ShieldedLinear(6, 4)(torch.zeros(2, 3, 5))


@pytest.mark.skipif("SNNKIT_DATA" not in os.environ, reason="needs MNIST in SNNKIT_DATA")
def test_hlop_quick():
    result = systems.reproduce("hlop", systems.Setting(quick=True, seeds=(0,)))
    rows = {row.what: row for row in result.rows}
    assert rows["an update moves the logits of task 1 so many times less"].mean > 2
    assert abs(rows["accuracy on a task just learned: sequential above hlop"].mean) < 0.3
    assert rows["hlop: mean accuracy"].mean > 0.4 and rows["hlop: backward transfer"].mean > -0.05
    assert {
        "sequential: mean accuracy",
        "random subspace: mean accuracy",
        "subspace by SVD: mean accuracy",
    } < rows.keys()


def test_protection_is_the_ratio_of_two_updates():
    generator = torch.Generator().manual_seed(0)
    net = hlop.Network(generator)
    x = torch.randn(128, 784, generator=generator)
    labels = torch.randint(10, (128,), generator=generator)
    assert hlop.protection(net, x, labels, x, batches=2) == pytest.approx(1.0)  # nothing is shielded yet
    weights = [layer.weight.clone() for layer in net.synapses]
    for layer in net.synapses:  # all of the input is: no update is left
        layer.subspace.frozen = torch.eye(layer.subspace.size)
    assert hlop.protection(net, x, labels, x, batches=2) > 1e3
    assert all(torch.equal(a, layer.weight) for a, layer in zip(weights, net.synapses, strict=True))


def test_measures_of_continual_learning():
    result = {"accuracy": [[0.9], [0.8, 0.7], [0.7, 0.6, 0.5]]}
    assert hlop.mean_accuracy(result) == pytest.approx(0.6)
    assert hlop.backward_transfer(result) == pytest.approx((-0.2 - 0.1) / 2)
    assert hlop.newly_learned(result) == pytest.approx(0.7)
