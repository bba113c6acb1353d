"""The conductance-based neuron: its exact step, why Euler will not do, refractory time and adaptation."""

from __future__ import annotations

import math

import pytest
import torch

from snnkit.errors import UserError
from snnkit.neurons import ConductanceLIF, Refractory

MS = 1e-3


def constant(value: float, steps: int) -> torch.Tensor:
    return torch.full((steps, 1, 1), value, dtype=torch.float64)


def silent(**options) -> ConductanceLIF:
    return ConductanceLIF(dt=0.5 * MS, threshold=1.0, **options).double()


def test_the_membrane_is_the_solution_between_samples():
    """With conductances that hardly decay, v(t) = v∞ + (E_l - v∞) exp(-t (1 + ge + gi) / τ)."""
    steps, ge, gi = 400, 0.7, 2.5
    first = torch.zeros(steps, 1, 1, dtype=torch.float64)
    first[0] = 1.0
    cell = silent(tau_e=1e6, tau_i=1e6)
    state = None
    for t in range(steps):
        _, state = cell.step((first[t] * ge, first[t] * gi), state)
        target = (-65 * MS - 100 * MS * gi) / (1 + ge + gi)
        exact = target + (-65 * MS - target) * math.exp(-(t + 1) * 0.5 * MS * (1 + ge + gi) / (100 * MS))
        assert abs(float(state.v) - exact) < 1e-6


def test_euler_diverges_where_this_does_not():
    """Thirteen inhibitory spikes of weight 17 at once, as when that many neurons fire together (τ = 10 ms, dt = 0.5 ms)."""
    dt, tau, gi = 0.5 * MS, 10 * MS, 13 * 17.0
    v, decay = -60 * MS, math.exp(-dt / (2 * MS))
    worst = 0.0
    for k in range(8):
        g = gi * decay**k
        v = v + dt / tau * ((-60 * MS - v) + g * (-85 * MS - v))
        worst = max(worst, abs(v))
    assert worst > 1.0  # a thousand millivolts and more
    x = torch.zeros(8, 1, 1, dtype=torch.float64)
    x[0] = gi
    cell = silent(tau=tau, e_l=-60 * MS, e_i=-85 * MS)
    state, seen = None, []
    for x_t in x:
        _, state = cell.step((0 * x_t, x_t), state)
        seen.append(float(state.v))
    assert all(-85 * MS <= v <= -60 * MS for v in seen) and seen[0] < -84.8 * MS


def test_conductances_decay_and_add_up():
    cell = silent()
    x = torch.zeros(3, 1, 1, dtype=torch.float64)
    x[0], x[2] = 2.0, 1.0
    _, state = cell.scan((x, 3 * x))
    decays = math.exp(-0.5), math.exp(-0.25)
    for g, factor, decay in ((state.ge, 1.0, decays[0]), (state.gi, 3.0, decays[1])):
        assert math.isclose(float(g), factor * (2 * decay**3 + decay), rel_tol=1e-9)


def test_refractory_time_and_rising_threshold():
    cell = Refractory(ConductanceLIF(dt=0.5 * MS, jump=1 * MS), 5 * MS).double()
    spikes, state = cell.scan((constant(5.0, 400), constant(0.0, 400)))
    times = spikes.flatten().nonzero().flatten()
    gaps = times.diff()
    assert len(times) > 3
    assert gaps.min() > 10  # 5 ms at v_reset, and the step that charges it again
    assert (gaps.diff() >= 0).all() and gaps[-1] > gaps[0]  # slower and slower
    expected = 20 * MS * math.exp(-0.2 / 1e4)
    assert abs(float(state.a) - expected - len(times) * MS) < 1e-6
    waiting = cell.scan((constant(5.0, int(times[0]) + 3), constant(0.0, int(times[0]) + 3)))[1]
    assert float(waiting.v) == -65 * MS


def test_mistakes_are_named():
    with pytest.raises(UserError, match="above e_l"):
        ConductanceLIF(dt=0.5 * MS, threshold=-90 * MS)
    with pytest.raises(UserError, match="0 < dt < tau_e"):
        ConductanceLIF(dt=1 * MS)
