"""CLIF against a loop written from the paper and against SpikingJelly."""

import doctest
import math

import pytest
from peer_runs import assert_same, drive, theirs

from snnkit.neurons import ComplementaryLIF, complementary, surrogate


def test_docstrings():
    found = doctest.testmod(complementary)
    assert found.attempted > 0 and found.failed == 0


def test_equals_the_papers_lines():
    def logistic(a):
        return 1 / (1 + math.exp(-a))

    x = drive(80, 1, 1, high=1.3)
    v = m = 0.0
    rows, tau = [], 2.0
    for value in x.flatten().tolist():
        u = (1 - 1 / tau) * v + value
        s = float(u >= 1.0)
        m = m * logistic(u / tau) + s
        v = u - s * (1.0 + logistic(m))
        rows.append(s)
    spikes, state = ComplementaryLIF(tau=2e-3, dt=1e-3).scan(x)
    assert spikes.flatten().tolist() == rows and 2 < sum(rows) < 60
    assert state.m.item() == pytest.approx(m, rel=1e-12) and state.v.item() == pytest.approx(v, rel=1e-12)


def test_complementary_lif_of_spikingjelly():
    neuron, slopes = theirs()
    peer = neuron.ComplementaryLIFNode(tau=2.0, surrogate_function=slopes.ATan())
    mine = ComplementaryLIF(tau=2e-3, dt=1e-3, surrogate=surrogate.ATan(alpha=2.0))
    assert_same(peer, mine, drive(60, 2, 5, high=1.3))
