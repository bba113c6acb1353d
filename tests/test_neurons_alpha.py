"""Alpha: its kernel, the limit of equal time constants, its resets."""

import doctest
import math

import numpy as np
import pytest
import torch
from laws import interpret

from snnkit.neurons import Alpha, CubaLIF, alpha

MS = 1e-3


def response(cell, steps):
    """The membrane after each step of a unit pulse at step 0."""
    state, seen = None, []
    for t in range(steps):
        _, state = cell.step(torch.full((1, 1), float(t == 0), dtype=torch.float64), state)
        seen.append(state.v.item())
    return np.array(seen)


@pytest.mark.parametrize("tau, dt", [(5 * MS, 0.1 * MS), (5 * MS, MS), (20 * MS, 3 * MS)])
def test_alpha_function(tau, dt):
    """K(t) = t/τ·exp(1 - t/τ), to rounding."""
    t = np.arange(200) * dt
    np.testing.assert_allclose(
        response(Alpha(tau_mem=tau, dt=dt, threshold=9.0), 200), t / tau * np.exp(1 - t / tau), atol=4e-15
    )


@pytest.mark.parametrize("mem, syn", [(10, 5), (5, 10), (20, 2), (10, 9.99)])
def test_double_exponential(mem, syn):
    """Peak 1 at ln(τ_mem/τ_syn)·τ_mem·τ_syn/(τ_mem - τ_syn): 6.93 ms for 10 and 5 ms."""
    peak = math.log(mem / syn) * mem * syn / (mem - syn)
    c = 1 / (math.exp(-peak / mem) - math.exp(-peak / syn))
    t = np.arange(2000) * 0.01
    found = response(Alpha(tau_mem=mem * MS, tau_syn=syn * MS, dt=0.01 * MS, threshold=9.0), 2000)
    np.testing.assert_allclose(found, c * (np.exp(-t / mem) - np.exp(-t / syn)), atol=1e-10)
    assert found.max() == pytest.approx(1.0, abs=1e-5)
    assert t[found.argmax()] == pytest.approx(peak, abs=0.01)
    if (mem, syn) == (10, 5):
        assert peak == pytest.approx(6.93, abs=0.002)


def test_nearly_equal_time_constants_join_the_alpha_function():
    cells = [
        Alpha(tau_mem=5 * MS, tau_syn=5 * MS * (1 + e), dt=MS, threshold=9.0) for e in (0, 1e-9, 1e-5, 1e-4)
    ]
    expected = response(cells[0], 30)
    for cell, most in zip(cells[1:], (1e-8, 2e-5, 2e-4), strict=True):
        assert np.abs(response(cell, 30) - expected).max() < most


def test_gradients_at_equal_time_constants_are_finite(monkeypatch):
    interpret(monkeypatch)
    cell = Alpha(tau_mem=5 * MS, dt=MS, learn=("tau_mem", "tau_syn"))
    cell(torch.rand(20, 2, 3)).sum().backward()
    assert all(torch.isfinite(p.grad) and p.grad != 0 for p in cell.parameters())


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_it_is_cuba_lif_one_step_later_with_a_peak_of_one(reset, monkeypatch):
    interpret(monkeypatch)
    al, be = math.exp(-1 / 4), math.exp(-1 / 9)
    x = torch.rand(300, 1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.6 - 0.1
    x = x - 0.15 * (reset == "none")  # else it rises for ever
    cell = Alpha(tau_mem=9 * MS, tau_syn=4 * MS, dt=MS, reset=reset)
    gain = float(cell._gain())
    cuba = CubaLIF(tau_syn=4 * MS, tau_mem=9 * MS, dt=MS, reset=reset)
    spikes, later = cuba(x * gain), cell(x)
    assert torch.equal(spikes[:-1], later[1:]) and 0.01 < later.mean() < 0.9
    peak = math.log(9 / 4) * 36 / 5
    assert gain == pytest.approx((be - al) / (math.exp(-peak / 9) - math.exp(-peak / 4)))


def test_one_input_of_the_threshold_makes_one_spike():
    x = torch.zeros(100, 1, 2, dtype=torch.float64)
    x[0, 0] = torch.tensor([0.999, 1.001])
    assert Alpha(tau_mem=10 * MS, dt=0.1 * MS)(x).sum(0)[0].tolist() == [0, 1]


def test_docstring():
    found = doctest.testmod(alpha)
    assert found.attempted > 0 and found.failed == 0
