"""The Legendre memory's experiment: its data, its arms, and a quick run of everything."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch

from snnkit import systems
from snnkit.layers import L2MU
from snnkit.systems import l2mu
from snnkit.systems.l2mu import data, network

needs_data = pytest.mark.skipif(
    "SNNKIT_DATA" not in os.environ, reason="needs har and braille in SNNKIT_DATA"
)


def config(**options):
    return network.Config(inputs=6, classes=5, dt=0.04, **options)


def test_resampling_takes_means_and_bridges_gaps():
    times = np.array([0.0, 0.01, 0.03, 0.05, 0.13, 0.14])  # steps 0 0 0 1 3 3 at 25 per second
    signal = np.array([1.0, 2.0, 6.0, 5.0, 10.0, 12.0])[:, None]
    x, y = data.resampled(signal, times, np.array([0, 0, 1, 1, 2, 3]))
    assert x[:, 0].tolist() == [3.0, 5.0, 8.0, 11.0] and y.tolist() == [1, 1, 1, 3]


def test_random_matrices_have_the_radius_of_the_legendre_ones_and_stay_fixed():
    nets = {
        arm: network.build(arm, config(hidden=16, memory=5, front=8), torch.Generator().manual_seed(0), 10)
        for arm in (network.L2MU_ARM, network.RANDOM, network.LEARNED)
    }
    cells = {arm: next(m for m in net.modules() if isinstance(m, L2MU)) for arm, net in nets.items()}
    legendre, drawn, learned = cells.values()
    assert float(network.radius(drawn.A)) == pytest.approx(float(network.radius(legendre.A)), rel=1e-5)
    assert float(drawn.B.norm()) == pytest.approx(float(legendre.B.norm()), rel=1e-5)
    assert not torch.allclose(drawn.A, legendre.A, atol=0.05)
    assert not legendre.A.requires_grad and not drawn.A.requires_grad and learned.A.requires_grad
    assert torch.equal(learned.A, legendre.A) and torch.equal(drawn.E_x.weight, legendre.E_x.weight)


def test_the_recurrent_network_has_as_many_weights():
    for options in ({}, {"hidden": 120, "memory": 70, "order": 7, "front": 0}):
        both = [
            network.build(arm, config(**options), torch.Generator().manual_seed(0), 10)
            for arm in (network.L2MU_ARM, network.LOOP)
        ]
        a, b = (sum(p.numel() for p in net.parameters()) for net in both)
        assert abs(a - b) < 0.02 * a


def test_training_learns_and_tells_the_best_epoch():
    g = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 2
    x = 0.3 * torch.randn(120, 12, 3, generator=g)
    x[:, :6] += (2.0 * y - 1.0).view(-1, 1, 1)  # the sign of the first half, asked over the whole window
    part = data.Part(x, y, np.array([]))
    c = network.Config(
        inputs=3,
        classes=2,
        dt=0.04,
        front=8,
        hidden=12,
        memory=4,
        order=3,
        theta=6,
        epochs=4,
        batch=20,
        rate=1e-2,
    )
    net = network.build(network.L2MU_ARM, c, g, 12)
    found = network.train(net, data.Data(part, part, part, 2, 0.04, ("a", "b")), c, g, lambda said: None)
    assert found["valid"] == max(found["curve"]) > 0.9
    assert network.accuracy(net, part) == pytest.approx(found["valid"])
    assert len(found["rates"]) == 4 and all(0 <= r <= 1 for r in found["rates"][-1].values())


def test_training_samples_are_moved_and_thinned():
    x = torch.arange(1.0, 7).view(6, 1, 1).expand(6, 50, 2)
    moved = network.varied(x, config(shift=2), torch.Generator().manual_seed(0))
    kinds = {tuple(moved[:, b, 0].int().tolist()) for b in range(50)}
    assert kinds == {
        (3, 4, 5, 6, 0, 0),
        (2, 3, 4, 5, 6, 0),
        (1, 2, 3, 4, 5, 6),
        (0, 1, 2, 3, 4, 5),
        (0, 0, 1, 2, 3, 4),
    }
    assert torch.equal(moved[..., 0], moved[..., 1])
    thin = network.varied(x, config(lost=0.25), torch.Generator().manual_seed(0))
    assert 0.6 < float((thin > 0).float().mean()) < 0.9 and torch.equal(thin[thin > 0], x[thin > 0])
    assert network.varied(x, config(), torch.Generator()) is x


@needs_data
def test_nobody_is_on_two_sides():
    motion = data.load("har", None, 0, None)
    people = [set(p.who.tolist()) for p in (motion.train, motion.valid, motion.test)]
    assert len(set.union(*people)) == sum(map(len, people)) == 23
    assert people[2] == set(data.load("har", None, 1, None).test.who.tolist())
    assert people[1] != set(data.load("har", None, 1, None).valid.who.tolist())
    assert motion.train.x.shape[1:] == (40, 6) and abs(float(motion.train.x.mean())) < 1e-3
    letters = data.load("braille", None, 0, None)
    rows = [p.x.flatten(1).numpy().astype(np.int8) for p in (letters.train, letters.valid, letters.test)]
    keys = [{r.tobytes() for r in part} for part in rows]
    assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]
    assert sum(len(p.y) for p in (letters.train, letters.valid, letters.test)) == 1158


@needs_data
@pytest.mark.parametrize("dataset", l2mu.CHOICES["dataset"])
def test_quick(dataset, tmp_path):
    setting = systems.Setting(quick=True, seeds=(0,), dataset=dataset, keep=tmp_path / "keep")
    result = systems.reproduce("l2mu", setting)
    whats = [row.what for row in result.rows]
    assert whats[0] == "L2MU: test accuracy" and sum("dynamic energy" in what for what in whats) >= 3
    arms = result.details["arms"]
    assert set(arms) == set(l2mu.ARMS[dataset]) and all(0 <= r[0]["test"] <= 1 for r in arms.values())
    assert arms[network.L2MU_ARM][0]["energy"]["activity"]["spikes"] > 0
    again = systems.reproduce("l2mu", setting)
    assert [r.values for r in again.rows] == [r.values for r in result.rows]
    (tmp_path / "out").mkdir()
    assert {p.name for p in result.write(tmp_path / "out")} >= {"accuracy.png", "rates.png", "table.md"}
    json.loads((tmp_path / "out" / "result.json").read_text())
