"""Layers of HOTS: the clustering against its naive twin, and what the layer does to events."""

import json

import numpy as np
import pytest
from event_cases import check_sound, recording, same

from snnkit import datasets
from snnkit.datasets import Events
from snnkit.datasets.transforms import HOTS, HOTSLayer, end_to_end, learn_hots
from snnkit.errors import UserError


def naive_learn(surfaces, n):
    prototypes, counts = surfaces[:n].astype(float), np.ones(n)
    for s in surfaces[n:]:
        k = int(np.argmin(((prototypes - s) ** 2).sum(1)))
        c = prototypes[k]
        cosine = s @ c / np.sqrt((s @ s) * (c @ c))
        prototypes[k] = c + 0.01 / (1 + counts[k] / 20000) * (s - cosine * c)
        counts[k] += 1
    return prototypes


@pytest.mark.parametrize("cut", [2, 150, 400])
def test_prototypes_agree_with_the_naive_twin_wherever_recordings_end(cut):
    events = recording(400, sensor=(2, 9, 9))
    parts = [
        Events(*(getattr(events, c)[part] for c in "txyp"), sensor=events.sensor)
        for part in (slice(0, cut), slice(cut, None))
    ]
    surfaces = np.concatenate([HOTS(1)(part) for part in parts])
    layer = learn_hots(parts, HOTS(1), prototypes=4)
    assert layer.prototypes.shape == (4, 2, 3, 3)
    want = naive_learn(surfaces.reshape(400, -1), 4)
    np.testing.assert_allclose(layer.prototypes.reshape(4, -1), want, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(learn_hots(end_to_end(parts), HOTS(1), 4).prototypes, layer.prototypes)


def test_an_event_gets_the_number_of_its_nearest_prototype():
    packed = end_to_end([recording(n, sensor=(2, 9, 9), seed=n) for n in (300, 0, 120)])
    layer = learn_hots(packed, HOTS(2, 50e-3), prototypes=5)
    changed = layer(packed)
    check_sound(changed)
    assert (
        changed.sensor == (5, 9, 9)
        and np.array_equal(changed.t, packed.t)
        and np.array_equal(changed.x, packed.x)
    )
    flat = layer.prototypes.reshape(5, -1)
    for i in (0, 2):
        surfaces = HOTS(2, 50e-3)(packed[i]).reshape(len(packed[i]), -1)
        want = ((surfaces[:, None] - flat) ** 2).sum(2).argmin(1)
        np.testing.assert_array_equal(changed[i].p, want)
        assert same(changed[i], layer(packed[i]))


def test_layers_stack_and_tell_digits_apart():
    """Two layers, and how often each prototype is nearest: enough to tell 0 from 1 with the nearest mean."""
    ds = datasets.load("digits")
    ids = np.concatenate([np.flatnonzero(ds.labels == label)[:12] for label in (0, 1)])
    ds = ds.subset(ids)
    packed = ds.packed.gather(ds.ids)
    first = learn_hots(packed, HOTS(2, 20e-3), prototypes=4)
    second = learn_hots(first(packed), HOTS(3, 100e-3), prototypes=8)
    deep = second(first(packed))
    shares = np.array([np.bincount(deep[i].p, minlength=8) / len(deep[i]) for i in range(24)])
    train = np.arange(24) % 12 < 6
    means = np.array([shares[train & (ds.labels == label)].mean(0) for label in (0, 1)])
    found = ((shares[~train][:, None] - means) ** 2).sum(2).argmin(1)
    assert (found == ds.labels[~train]).mean() >= 0.75


def test_parameters_tell_prototypes_apart():
    events = recording(100, sensor=(2, 9, 9))
    one, two = learn_hots([events], HOTS(1), 3), learn_hots([events], HOTS(1), 4)
    texts = {
        json.dumps(layer.parameters(), sort_keys=True)
        for layer in (one, two, learn_hots([events], HOTS(1), 3))
    }
    assert len(texts) == 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: learn_hots([recording(3)], HOTS(1), 4), "at least 4 events"),
        (lambda: learn_hots([], HOTS(1), 4), "at least 4 events"),
        (lambda: learn_hots([recording(9), recording(9, sensor=(1, 12, 16))], HOTS(1), 4), "polarities"),
        (lambda: HOTSLayer(np.zeros((4, 2, 3, 4), np.float32), 1e-3), "2R"),
        (lambda: learn_hots([recording(9)], HOTS(1), 4)(recording(9, sensor=(1, 12, 16))), "learnt on 2"),
    ],
)
def test_what_cannot_be_learnt(make, words):
    with pytest.raises(UserError, match=words):
        make()
