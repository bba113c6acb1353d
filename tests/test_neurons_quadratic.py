"""QIF: period, rheobase, limit on dt."""

import doctest
import math

import pytest
import torch
from laws import interpret

from snnkit.errors import UserError
from snnkit.neurons import QIF, quadratic


@pytest.mark.parametrize("current", [0.05, 0.5, 2.0])
def test_the_period_of_the_normal_form(current):
    """T = τ/√I·(atan(v_peak/√I) - atan(v_reset/√I)), at dt = τ/10000 to 5e-5 but for the grid of one step."""
    tau, peak = 0.02, 30.0
    cell = QIF(tau=tau, dt=tau / 1e4, v_rest=0.0, v_critical=0.0, v_peak=peak, v_reset=-peak, initial_v=-peak)
    root = math.sqrt(current)
    expected = 1e4 * 2 * math.atan(peak / root) / root  # in steps
    steps = int(2.2 * expected)
    times = torch.nonzero(cell(torch.full((steps, 1, 1), current, dtype=torch.float64)).flatten()).flatten()
    assert abs(float(times[1] - times[0]) - expected) <= 5e-5 * expected + 1.5


@pytest.mark.parametrize("resistance", [1.0, 4.0])
def test_rheobase(resistance):
    """a·(v_c - v_rest)²/(4·R)."""
    cell = QIF(tau=0.02, dt=1e-3, curvature=1.5, v_rest=-0.1, v_critical=0.9, resistance=resistance)
    rheobase = 1.5 * 1.0**2 / 4 / resistance
    x = torch.tensor([0.999, 1.001], dtype=torch.float64) * rheobase
    assert [n > 0 for n in cell(x.expand(4000, 1, 2)).sum(0)[0].tolist()] == [False, True]


def test_one_step_is_the_equation(monkeypatch):
    interpret(monkeypatch)
    cell = QIF(tau=4e-3, dt=1e-3, curvature=2.0, v_rest=0.0, v_critical=0.5, resistance=3.0)
    _, state = cell.step(
        torch.full((1, 1), 0.1, dtype=torch.float64), (torch.full((1, 1), 0.25, dtype=torch.float64),)
    )
    assert state[0].item() == pytest.approx(0.25 + 0.25 * (2.0 * 0.25 * -0.25 + 0.3))


def test_it_restarts_at_v_reset_whatever_the_overshoot(monkeypatch):
    interpret(monkeypatch)
    cell = QIF(tau=4e-3, dt=1e-3, v_reset=-0.1)
    spikes, state = cell.scan(torch.full((1, 1, 1), 1e6))
    assert spikes.item() == 1.0 and state.v.item() == pytest.approx(-0.1)


def test_a_step_too_long_is_refused_with_the_limit():
    with pytest.raises(UserError, match=r"dt=0.001 is too large.*= 0.00025 s"):
        QIF(tau=5e-3, dt=1e-3, v_rest=0.0, v_critical=0.0, v_peak=10.0, v_reset=-10.0)
    with pytest.raises(UserError, match=r"v_peak=-1.0 and v_reset=0.0"):
        QIF(tau=5e-3, dt=1e-3, v_peak=-1.0, v_reset=0.0)


def test_docstring():
    found = doctest.testmod(quadratic)
    assert found.attempted > 0 and found.failed == 0
