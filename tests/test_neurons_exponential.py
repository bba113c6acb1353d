"""EIF and AdEx: rheobases, the limit of a sharp threshold, firing patterns, limits on dt."""

import doctest
import math

import numpy as np
import pytest
import torch
from laws import interpret

from snnkit.errors import UserError
from snnkit.neurons import EIF, LIF, AdEx, exponential


def times(spikes, dt):
    """Spike times in ms of a run with one neuron."""
    return torch.nonzero(spikes.flatten()).flatten().numpy() * dt * 1e3


def constant(value, seconds, dt):
    return torch.full((round(seconds / dt), 1, 1), value, dtype=torch.float64)


def ramp(low, high, seconds, dt):
    return torch.linspace(low, high, round(seconds / dt), dtype=torch.float64).view(-1, 1, 1)


def test_eif_rheobase():
    """R·I = v_T - v_rest - Δ = 13 mV: silent at 12.99 mV, firing at 13.01 mV."""
    cell = EIF(tau=10e-3, dt=1e-4, resistance=100e6)
    x = torch.tensor([12.99, 13.01], dtype=torch.float64) * 1e-3 / 100e6
    assert [n > 0 for n in cell(x.expand(20_000, 1, 2)).sum(0)[0].tolist()] == [False, True]
    slow = ramp(125e-12, 135e-12, 5.0, 1e-4)
    first = int(torch.nonzero(cell(slow).flatten())[0])
    assert slow[first].item() == pytest.approx(130e-12, rel=5e-3)


def test_a_sharp_eif_is_a_lif():
    """Δ → 0: the threshold is v_T."""
    current, dt = 250e-12, 1e-5
    found = times(EIF(tau=10e-3, dt=dt, delta=1e-5, v_peak=-49e-3)(constant(current, 0.1, dt)), dt)
    lif = LIF(tau=10e-3, dt=dt, threshold=15e-3, reset="zero", scale_input=True)
    expected = times(lif(constant(current * 100e6, 0.1, dt)), dt)
    np.testing.assert_allclose(np.diff(found), np.diff(expected)[: len(found) - 1], rtol=1e-2)
    assert len(found) > 5


def test_adex_rheobase():
    """The constants of 2005 have a Hopf bifurcation at 627.18 pA; a slow ramp fires there, a step earlier."""
    cell = AdEx(dt=2e-5)
    assert cell.rheobase().item() == pytest.approx(627.18e-12, rel=1e-5)
    slow = ramp(560e-12, 640e-12, 10.0, 2e-5)
    first = int(torch.nonzero(cell(slow).flatten())[0])
    assert slow[first].item() == pytest.approx(627.18e-12, rel=5e-3)
    assert cell(constant(570e-12, 1.0, 2e-5)).sum() == 0
    assert cell(constant(585e-12, 1.0, 2e-5)).sum() > 0


def test_adex_rheobase_of_a_saddle_node():
    cell = AdEx(dt=5e-5, a=1e-9, tau_w=20e-3)  # a/g = 0.033 < τ/τ_w = 0.47
    g, a, delta = 30e-9, 1e-9, 2e-3
    expected = (g + a) * (-50.4e-3 + 70.6e-3 - delta + delta * math.log1p(a / g))
    assert cell.rheobase().item() == pytest.approx(expected)
    slow = ramp(0.98 * expected, 1.02 * expected, 4.0, 5e-5)
    first = int(torch.nonzero(cell(slow).flatten())[0])
    assert slow[first].item() == pytest.approx(expected, rel=5e-3)


def pattern(kind, picoamperes, seconds=0.4, dt=1e-5):
    return times(AdEx.of(kind, dt=dt)(constant(picoamperes * 1e-12, seconds, dt)), dt)


def test_adex_patterns():
    assert np.diff(pattern("tonic", 65))[2:] == pytest.approx(59.2, abs=0.1)
    assert np.diff(pattern("initial burst", 65))[:6] == pytest.approx(
        [2.7, 3.6, 5.7, 14.5, 36.5, 36.6], abs=0.15
    )
    bursts = np.diff(pattern("bursting", 65))
    assert (bursts[:7] < 5).all() and bursts[7] == pytest.approx(65, abs=0.5)
    assert len(pattern("transient", 45)) == 1 and len(pattern("transient", 65)) > 3
    assert pattern("delayed", 25)[0] == pytest.approx(148, abs=0.5)
    adapting = np.diff(pattern("adapting", 130))
    assert len(adapting) > 4 and (np.diff(adapting) > 0).all()  # weakly, but without end


def test_a_spike_adds_b_after_it_was_sent():
    cell = AdEx(dt=1e-4)
    _, state = cell.scan(torch.full((1, 1, 1), 1e-6, dtype=torch.float64))
    assert state.v.item() == pytest.approx(-70.6e-3) and state.w.item() == pytest.approx(80.5e-12)


def test_nothing_overflows_in_single_precision(monkeypatch):
    interpret(monkeypatch)
    for cell in (EIF(tau=10e-3, dt=5e-3, learn=("delta",)), AdEx(dt=5e-3, learn=("delta", "b"))):
        x = (torch.randn(100, 4, 3, generator=torch.Generator().manual_seed(0)) * 1e-6).requires_grad_()
        spikes, state = cell.scan(x)
        (spikes.sum() + sum(s.sum() for s in state)).backward()
        assert spikes.sum() > 0 and all(torch.isfinite(s).all() for s in state)
        assert torch.isfinite(x.grad).all() and all(torch.isfinite(p.grad).all() for p in cell.parameters())


def test_a_step_too_long_is_refused_with_the_limit():
    with pytest.raises(UserError, match="0 < dt < tau"):
        EIF(tau=10e-3, dt=10e-3)
    with pytest.raises(UserError, match=r"AdEx: dt=0.01 is too large.*capacitance/leak = 0.00937 s"):
        AdEx(dt=10e-3)
    with pytest.raises(UserError, match=r"AdEx has no pattern 'burst'.*bursting"):
        AdEx.of("burst", dt=1e-5)
    with pytest.raises(UserError, match="positive delta"):
        AdEx(dt=1e-5, delta=0.0)


def test_docstrings():
    found = doctest.testmod(exponential)
    assert found.attempted > 0 and found.failed == 0
