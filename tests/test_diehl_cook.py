"""The network of Diehl and Cook: its pieces, and a small run."""

from __future__ import annotations

import os

import numpy as np
import pytest

from snnkit import systems
from snnkit.systems import diehl_cook as dc


def test_poisson_input_has_its_rate():
    images = np.zeros((40, 28, 28), np.float32)
    images[:, 10] = 1.0
    images[:, 12] = 0.5
    x = dc.poisson(images, np.random.default_rng(0)).dense().numpy()
    assert x.shape == (700, 40, 784) and set(np.unique(x)) == {0.0, 1.0}
    rates = x.sum(0).mean(0).reshape(28, 28) / dc.SHOWN
    assert abs(rates[10].mean() - 63.75) < 2 and abs(rates[12].mean() - 31.9) < 1.5
    assert rates[11].sum() == 0


def test_weights_are_normalised_before_each_image_and_learned_after():
    liquid = dc.network(5, 0)
    plan = dc.Plan(5, 3, 3, 3)
    images = np.random.default_rng(1).random((3, 28, 28)).astype(np.float32)
    after = dc.learn(liquid, images, plan, np.random.default_rng(2))
    w = after.projection("inputs").w.reshape(784, 5)
    before = liquid.projection("inputs").w.reshape(784, 5)
    scaled = before * 78 / before.sum(0)
    assert (w >= 0).all() and (w <= 1).all()
    assert not np.allclose(w, scaled, atol=1e-4)  # learned
    table = before.copy()
    dc.normalise(table.reshape(-1), 5)
    np.testing.assert_allclose(table, scaled, rtol=1e-12)
    assert (after.begin()["a"][:5] > 0.0199).all() and (after.begin()["a"][5:] == 0).all()
    assert (liquid.projection("inputs").w == before.reshape(-1)).all()  # the first liquid is as it was


def test_one_neuron_silences_the_others():
    liquid = dc.tested(dc.network(6, 3), 6)
    images = np.zeros((1, 28, 28), np.float32)
    images[0, 4:24, 4:24] = 1.0
    counts = dc.responses(liquid, np.repeat(images, 10, 0), 6, np.random.default_rng(0))
    assert counts.sum() > 10
    spikes = liquid(dc.poisson(images, np.random.default_rng(0))).dense()[:, 0]
    excitatory, inhibitory = spikes[:, :6], spikes[:, 6:]
    steps = excitatory.sum(1).nonzero().flatten()
    assert (inhibitory[steps.clamp(max=690) + 4 :].sum() if len(steps) == 1 else inhibitory.sum()) > 0
    many = excitatory.sum(1)
    assert (many > 3).sum() <= max(1, (many > 0).sum() // 4)  # they hardly ever fire together


def test_frozen_networks_do_not_change():
    liquid = dc.tested(dc.network(5, 0), 5)
    spikes = dc.poisson(np.full((2, 28, 28), 0.5, np.float32), np.random.default_rng(0))
    run = liquid.run(spikes, keep=("a",))
    np.testing.assert_allclose(run.final["a"][:, :5], 0.02, rtol=1e-5)


def test_assignment_and_vote():
    counts = np.array([[4, 0, 0, 1], [5, 1, 0, 0], [0, 3, 0, 2], [1, 4, 0, 3]])
    labels = np.array([7, 7, 2, 2])
    classes = dc.assign(counts, labels)
    assert classes.tolist() == [7, 2, -1, 2]
    assert dc.vote(counts, classes).tolist() == [7, 7, 2, 2]


@pytest.mark.skipif("SNNKIT_DATA" not in os.environ, reason="needs MNIST in SNNKIT_DATA")
def test_quick_run():
    result = systems.reproduce("diehl-cook", systems.Setting(quick=True, seeds=(0,)))
    rows = {row.what: row for row in result.rows}
    trained = rows["50 neurons: accuracy on 200 test images"].mean
    assert trained > 0.3 and trained > rows["untrained weights: accuracy on 200 test images"].mean
