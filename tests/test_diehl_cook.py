"""The network of Diehl and Cook: its pieces, and a small run."""

from __future__ import annotations

import os

import numpy as np
import pytest

from snnkit import systems
from snnkit.systems import diehl_cook as experiment
from snnkit.systems import diehl_cook_network as dc


def test_poisson_input_has_its_rate():
    images = np.zeros((40, 28, 28), np.float32)
    images[:, 10] = 1.0
    images[:, 12] = 0.5
    x = dc.poisson(images, np.random.default_rng(0)).dense().numpy()
    assert x.shape == (700, 40, 784) and set(np.unique(x)) == {0.0, 1.0}
    rates = x.sum(0).mean(0).reshape(28, 28) / dc.SHOWN
    assert abs(rates[10].mean() - 63.75) < 2 and abs(rates[12].mean() - 31.9) < 1.5
    assert rates[11].sum() == 0
    brighter = (
        dc.poisson(images, np.random.default_rng(0), 4).dense().sum(0).mean(0).reshape(28, 28) / dc.SHOWN
    )
    assert abs(float(brighter[10].mean()) - 2 * 63.75) < 6  # two spikes of a step are one


def test_weights_are_normalised_before_each_image_and_learned_after():
    liquid = dc.network(5, 0)
    images = np.random.default_rng(1).random((3, 28, 28)).astype(np.float32)
    after, showings = dc.learn(liquid, images, np.random.default_rng(2))
    assert showings == 3
    w = after.projection("inputs").w.reshape(784, 5)
    before = liquid.projection("inputs").w.reshape(784, 5)
    scaled = before * 78 / before.sum(0)
    assert (w >= 0).all() and (w <= 1).all()
    assert not np.allclose(w, scaled, atol=1e-4)  # learned
    table = before.copy()
    dc.normalise(table.reshape(-1), 5)
    np.testing.assert_allclose(table, scaled, rtol=1e-12)
    assert (
        (after.begin()["a"][:5] > 0.0199).all()
        and (after.begin()["a"][:5] < 0.03).all()
        and (after.begin()["a"][5:] == 0).all()
    )
    assert (liquid.projection("inputs").w == before.reshape(-1)).all()  # the first liquid is as it was


def test_one_neuron_silences_the_others():
    liquid = dc.tested(dc.network(6, 3))
    images = np.zeros((1, 28, 28), np.float32)
    images[0, 4:24, 4:24] = 1.0
    counts = dc.responses(liquid, np.repeat(images, 10, 0), np.random.default_rng(0))
    assert counts.sum() > 10
    spikes = liquid(dc.poisson(images, np.random.default_rng(0))).dense()[:, 0]
    excitatory, inhibitory = spikes[:, :6], spikes[:, 6:]
    steps = excitatory.sum(1).nonzero().flatten()
    assert (inhibitory[steps.clamp(max=690) + 4 :].sum() if len(steps) == 1 else inhibitory.sum()) > 0
    many = excitatory.sum(1)
    assert (many > 3).sum() <= max(1, (many > 0).sum() // 4)  # they hardly ever fire together


def test_frozen_networks_do_not_change():
    liquid = dc.tested(dc.network(5, 0))
    spikes = dc.poisson(np.full((2, 28, 28), 0.5, np.float32), np.random.default_rng(0))
    run = liquid.run(spikes, keep=("a",))
    np.testing.assert_allclose(run.final["a"][:, :5], 0.02, rtol=1e-5)


def test_assignment_and_vote():
    counts = np.array([[4, 0, 0, 1], [5, 1, 0, 0], [0, 3, 0, 2], [1, 4, 0, 3]])
    labels = np.array([7, 7, 2, 2])
    classes = dc.assign(counts, labels)
    assert classes.tolist() == [7, 2, -1, 2]
    assert dc.vote(counts, classes).tolist() == [7, 7, 2, 2]


def test_images_with_few_spikes_are_shown_again_brighter(monkeypatch):
    images = np.zeros((3, 28, 28), np.float32)
    images[0, 4:24, 4:24] = 1.0  # many spikes at once
    images[1, 10:14, 10:17] = 1.0  # too few at first
    asked = []
    poisson = dc.poisson
    monkeypatch.setattr(dc, "poisson", lambda x, rng, k: asked.append((len(x), k)) or poisson(x, rng, k))
    liquid, showings = dc.learn(dc.network(6, 3), images, np.random.default_rng(0))
    levels = [k for _, k in asked]
    again = showings - 3
    assert again >= 2 and levels == [2, *range(2, 3 + again), 2]  # the blank image once
    w = dc.weights(liquid)
    np.testing.assert_allclose(w.sum(0), 78, atol=0.5)  # as the last showing began, blank or not

    asked.clear()
    counts = dc.responses(dc.tested(liquid), images, np.random.default_rng(0))
    assert counts[0].sum() >= 5 and counts[1].sum() >= 5 and counts[2].sum() == 0
    assert asked[0] == (3, 2) and [k for _, k in asked] == list(range(2, 2 + len(asked)))
    assert len(asked) >= 3 and all(n == 1 for n, _ in asked[1:])


def test_what_learning_tells_of_spikes_is_what_a_frozen_network_fires():
    liquid = dc.network(5, 1, a_plus=0.0, a_minus=0.0, adapting=False)
    images = np.random.default_rng(1).random((1, 28, 28)).astype(np.float32)
    spikes, seen = dc.poisson(images, np.random.default_rng(2)), []
    liquid.learn(spikes, after_each=lambda b, counts: seen.append(counts))
    expected = liquid(spikes).dense()[:, 0].sum(0).numpy()
    assert expected[:5].sum() > 5 and np.array_equal(seen[0], expected)


def test_receptive_fields_lie_side_by_side():
    fields = np.arange(3 * 4).reshape(3, 4).T  # three neurons of 2 x 2 pixels
    sheet = experiment._sheet(fields, 2)
    assert sheet.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 0, 0], [10, 11, 0, 0]]


@pytest.mark.skipif("SNNKIT_DATA" not in os.environ, reason="needs MNIST in SNNKIT_DATA")
def test_quick_run(tmp_path):
    setting = systems.Setting(quick=True, seeds=(0,), keep=tmp_path)
    result = systems.reproduce("diehl-cook", setting)
    rows = {row.what: row for row in result.rows}
    trained = rows["50 neurons, 200 images: accuracy on 200 test images"].mean
    assert trained > 0.3 and trained > rows["untrained weights: accuracy on 200 test images"].mean
    still = rows["thresholds that do not adapt, 200 images: accuracy on 200 test images"].mean
    assert still < trained < rows["logistic regression, 200 images: accuracy"].mean
    assert set(result.pictures) == {"weights", "growing"}
    for picture in result.pictures.values():
        from matplotlib.figure import Figure

        picture(Figure())
    again = systems.reproduce("diehl-cook", setting)  # from the folder
    assert [row.values for row in again.rows] == [row.values for row in result.rows]


def test_thresholds_decay_between_showings_and_rise_with_spikes():
    liquid = dc.network(5, 0)
    blank = np.zeros((4, 28, 28), np.float32)
    after, showings = dc.learn(liquid, blank, np.random.default_rng(0))
    assert showings == 4
    theta = after.begin()["a"][:5].double().numpy()
    np.testing.assert_allclose(theta, 0.02 * np.exp(-4 * 0.5 / 1e4), rtol=3e-7)
    image = np.ones((1, 28, 28), np.float32)
    spikes = dc.poisson(image, np.random.default_rng(1))
    counts = []
    raised = liquid.learn(spikes, carry=("a",), after_each=lambda _, c: counts.append(c))
    rise = (raised.begin()["a"] - liquid.begin()["a"]).numpy()[:5]
    np.testing.assert_allclose(rise, 0.05e-3 * counts[0][:5], rtol=1e-3)
