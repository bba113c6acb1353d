"""Hodgkin-Huxley: rest, onset, rates at several dt, the holes of its rates, crossings."""

import doctest
import math

import numpy as np
import pytest
import torch
from laws import interpret

from snnkit.errors import UserError
from snnkit.neurons import HodgkinHuxley, hodgkin_huxley, use_reference


def run(x, seconds, dt, **options):
    """Spikes of neurons under constant currents [µA/cm²]."""
    x = torch.tensor(x, dtype=torch.float64)
    return HodgkinHuxley(dt=dt, **options)(x.expand(round(seconds / dt), 1, len(x)))[:, 0]


def test_rest():
    """-65.00 mV, m 0.0529, h 0.5961, n 0.3177."""
    cell = HodgkinHuxley(dt=1e-4)
    begin = cell.initial_state(torch.zeros(1, 1, dtype=torch.float64))
    _, end = cell.scan(torch.zeros(5000, 1, 1, dtype=torch.float64))
    assert [s.item() for s in begin[1:]] == pytest.approx([0.0529, 0.5961, 0.3177], abs=5e-5)
    assert end.v.item() == pytest.approx(-65.0, abs=5e-3)
    assert [s.item() for s in end[1:]] == pytest.approx([0.0529, 0.5961, 0.3177], abs=2e-4)


def test_onset():
    """A step from rest: a single spike from 2.3, lasting firing above 6.26 µA/cm²."""
    counts = run([2.2, 2.4, 6.1, 6.4], 1.0, 2e-5).sum(0).tolist()
    assert counts[:2] == [0, 1] and counts[2] < 10 and counts[3] > 40


@pytest.mark.parametrize("dt, count", [(0.02, 103), (0.05, 103), (0.1, 102), (0.2, 101), (0.5, 95)])
def test_rate_at_10(dt, count):
    """68.7, 68.0, 67.3, 63.3 Hz: spikes in a second and a half."""
    assert run([10.0], 1.5, dt * 1e-3).sum() == count


def test_warmth_speeds_up():
    counts = [run([10.0], 0.5, 5e-5, temperature=t).sum().item() for t in (6.3, 16.3)]
    assert counts[1] > 1.5 * counts[0]


def test_every_upward_crossing_is_one_spike():
    cell, state, v, spikes = HodgkinHuxley(dt=1e-4), None, [-65.0], []
    x = torch.full((1, 1), 10.0, dtype=torch.float64)
    for _ in range(600):
        s, state = cell.step(x, state)
        spikes.append(s.item())
        v.append(state.v.item())
    v = np.array(v)
    assert spikes == ((v[1:] >= 0) & (v[:-1] < 0)).astype(float).tolist() and sum(spikes) == 4
    assert v.max() > 30 and v.min() < -70


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_holes_of_the_rates_are_filled(dtype, monkeypatch):
    """α_m(-40) = 1 and α_n(-55) = 0.1, with slopes 0.05 and 0.005, and no NaN from 0/0 in value or gradient."""
    for hole, gate, rate, slope in [(-40.0, 0, 1.0, 0.05), (-55.0, 2, 0.1, 0.005)]:
        v = torch.tensor([hole, hole + 1e-6, hole - 0.9999, hole - 1.0001], dtype=dtype, requires_grad=True)
        opening = hodgkin_huxley._rates(v)[gate][0]
        assert opening[0].item() == pytest.approx(rate, rel=1e-6)
        opening.sum().backward()
        assert v.grad[0].item() == pytest.approx(slope, rel=1e-4)
        assert v.grad[2].item() == pytest.approx(
            v.grad[3].item(), rel=1e-3 if dtype is torch.float32 else 1e-4
        )
    interpret(monkeypatch)
    for start in (-40.0, -55.0):
        cell = HodgkinHuxley(dt=1e-4, initial_v=start, learn=("g_na", "g_k", "g_leak"))
        x = torch.full((5, 1, 1), 3.0, dtype=dtype, requires_grad=True)
        _, end = cell.scan(x)
        end.v.sum().backward()
        assert torch.isfinite(x.grad).all() and (x.grad != 0).all()
        assert all(torch.isfinite(p.grad) for p in cell.parameters())


def test_the_series_meets_the_quotient():
    z = torch.tensor([0.09999999, -0.09999999, 0.1, -0.1, 3.0], dtype=torch.float64)
    expected = [float(a) / -math.expm1(-float(a)) for a in z]
    np.testing.assert_allclose(hodgkin_huxley._linoid(z, torch.exp(-z)).numpy(), expected, rtol=3e-15)


def test_strong_input_overflows_nothing():
    x = torch.tensor([-1e6, 1e6], dtype=torch.float32).expand(50, 1, 2).clone().requires_grad_()
    with use_reference():
        spikes, end = HodgkinHuxley(dt=0.5e-3).scan(x)
    (spikes.sum() + sum(e.sum() for e in end)).backward()
    assert all(torch.isfinite(e).all() for e in end) and torch.isfinite(x.grad).all()


def test_a_step_too_long_is_refused_with_the_limit():
    with pytest.raises(UserError, match=r"dt=0.001 s is too large.*at 6.3 degrees is 0.0005 s"):
        HodgkinHuxley(dt=1e-3)
    with pytest.raises(UserError, match=r"at 26.3 degrees is 5.56e-05 s"):
        HodgkinHuxley(dt=1e-4, temperature=26.3)


def test_docstring():
    found = doctest.testmod(hodgkin_huxley)
    assert found.attempted > 0 and found.failed == 0
