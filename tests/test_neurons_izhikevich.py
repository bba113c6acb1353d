"""Izhikevich's neuron: schemes, rest, onset of firing, and the patterns of the paper of 2004."""

import doctest
import math

import numpy as np
import pytest
import torch

from snnkit.errors import UserError
from snnkit.neurons import Izhikevich, izhikevich


def constant(value, ms, dt):
    return torch.full((round(ms / dt), 1, 1), float(value), dtype=torch.float64)


RATES = [  # spikes in one second at x = 10
    ("RS", "halves", 1.0, 20),
    ("RS", "halves", 0.5, 22),
    ("RS", "euler", 0.25, 23),
    ("RS", "euler", 0.05, 23),
    ("FS", "halves", 1.0, 63),
    ("FS", "halves", 0.5, 93),
    ("FS", "euler", 0.25, 123),
    ("FS", "euler", 0.05, 134),
]


@pytest.mark.parametrize("kind, scheme, dt, count", RATES)
def test_the_rate_is_that_of_the_scheme(kind, scheme, dt, count):
    cell = Izhikevich.of(kind, dt=dt * 1e-3, scheme=scheme)
    assert cell(constant(10.0, 1000, dt)).sum() == count


@pytest.mark.parametrize("kind, rest", [("RS", -70.0), ("LTS", -64.41), ("RZ", -62.5)])
def test_rest(kind, rest):
    cell = Izhikevich.of(kind, dt=0.25e-3, scheme="euler", initial_v=rest + 0.5)
    spikes, state = cell.scan(constant(0.0, 3000, 0.25))
    b = float(cell.b)
    assert spikes.sum() == 0
    assert state.v.item() == pytest.approx((b - 5 - math.sqrt((5 - b) ** 2 - 22.4)) / 0.08, abs=1e-3)
    assert state.v.item() == pytest.approx(rest, abs=5e-3)
    assert state.u.item() == pytest.approx(b * state.v.item(), abs=1e-3)


@pytest.mark.parametrize("kind, hopf", [("RS", 3.7975), ("FS", 3.9375), ("LTS", 0.685), ("RZ", 0.2625)])
def test_rest_loses_its_stability_at_the_hopf_bifurcation(kind, hopf):
    """A deviation of a microvolt dies out 0.01 below, and ends in spikes 0.01 above."""
    a, b, _, _ = izhikevich.CELLS[kind]
    h = (a - 5) / 0.08
    assert -(0.04 * h * h + (5 - b) * h + 140) == pytest.approx(hopf, abs=1e-4)
    assert hopf < (5 - b) ** 2 / 0.16 - 140  # the saddle node comes later
    x = hopf + torch.tensor([-0.01, 0.01], dtype=torch.float64)
    v = (b - 5 - ((5 - b) ** 2 - 0.16 * (140 + x)).sqrt()) / 0.08
    cell = Izhikevich.of(kind, dt=0.02e-3, scheme="sequential", initial_v=v + 1e-3, initial_u=b * v)
    spikes, state = cell.scan(x.expand(300_000, 1, 2))
    silent, firing = spikes.sum(0)[0].tolist()
    assert silent == 0 and abs(float(state.v[0, 0] - v[0])) < 0.8e-3
    assert firing > 10


# The patterns of 2004: a, b, c, d; v at the start; dt [ms]; how long [ms]; input as a function of time [ms]


def on(level, since):
    return lambda t: np.where(t > since, level, 0.0)


def pulse(level, since, width):
    return lambda t: np.where((t > since) & (t < since + width), level, 0.0)


def two_pulses(t):
    return 0.24 + pulse(1.0, 37.5, 5.0)(t) + pulse(1.0, 216.0, 5.0)(t)


PATTERNS = {
    "tonic spiking": ((0.02, 0.2, -65, 6), -70, 0.25, 100, on(14, 10)),
    "phasic spiking": ((0.02, 0.25, -65, 6), -64, 0.25, 200, on(0.5, 20)),
    "tonic bursting": ((0.02, 0.2, -50, 2), -70, 0.25, 220, on(15, 22)),
    "phasic bursting": ((0.02, 0.25, -55, 0.05), -64, 0.2, 200, on(0.6, 20)),
    "mixed mode": ((0.02, 0.2, -55, 4), -70, 0.25, 160, on(10, 16)),
    "adaptation": ((0.01, 0.2, -65, 8), -70, 0.25, 85, on(30, 8.5)),
    "latency": ((0.02, 0.2, -65, 6), -70, 0.2, 100, pulse(7.04, 10, 3)),
    "rebound spike": ((0.03, 0.25, -60, 4), -64, 0.2, 200, pulse(-15, 20, 5)),
    "rebound burst": ((0.03, 0.25, -52, 0), -64, 0.2, 200, pulse(-15, 20, 5)),
    "bistability": ((0.1, 0.26, -60, 0), -61, 0.25, 300, two_pulses),
}


def spike_times(name):
    """Spike times [ms] of a pattern, in the scheme of its paper."""
    (a, b, c, d), v, dt, until, drive = PATTERNS[name]
    cell = Izhikevich(a=a, b=b, c=c, d=d, dt=dt * 1e-3, scheme="sequential", initial_v=v, compare=">")
    t = np.arange(round(until / dt) + 1) * dt
    return t[torch.nonzero(cell(torch.tensor(drive(t)).view(-1, 1, 1)).flatten()).flatten().numpy()]


COUNTS = {
    "tonic spiking": 5,
    "phasic spiking": 1,
    "phasic bursting": 6,
    "latency": 1,
    "rebound spike": 1,
    "rebound burst": 7,
}


@pytest.mark.parametrize("name", COUNTS)
def test_pattern_has_its_number_of_spikes(name):
    assert len(spike_times(name)) == COUNTS[name]


def test_patterns_in_time():
    assert np.diff(spike_times("tonic spiking")) == pytest.approx([4, 14.5, 27.8, 27.5], abs=0.3)
    assert spike_times("latency") == pytest.approx([26.6], abs=0.3)
    assert spike_times("rebound spike") == pytest.approx([68], abs=0.5)
    mixed = np.diff(spike_times("mixed mode"))
    assert mixed[0] < 6 and mixed[-1] == pytest.approx(32, abs=0.5)
    slowing = np.diff(spike_times("adaptation"))
    assert slowing[0] == pytest.approx(2, abs=0.5) and slowing[-1] > 5 * slowing[0]


def test_tonic_bursting():
    times = spike_times("tonic bursting")
    pauses = np.flatnonzero(np.diff(times) > 10)
    assert pauses[0] + 1 == 10  # spikes of the first burst
    assert set(np.diff(pauses).tolist()) == {6}
    assert np.diff(times)[pauses] == pytest.approx(34.5, abs=0.6)


def test_bistability_is_switched_on_and_off_by_pulses():
    times = spike_times("bistability")
    assert times[0] == pytest.approx(45, abs=0.5)
    assert len(times) == 5 and times[-1] < 216  # the second pulse
    assert np.diff(times) == pytest.approx(40.7, abs=0.3)


def test_class_one_and_integrators_have_their_own_parabola():
    """4.1 and 108 in place of 5 and 140; firing begins at low rates."""
    cell = Izhikevich(
        a=0.02,
        b=-0.1,
        c=-55.0,
        d=6.0,
        dt=0.25e-3,
        scheme="sequential",
        quadratic=(0.04, 4.1, 108.0),
        initial_v=-60.0,
    )
    t = np.arange(1201) * 0.25
    spikes = cell(torch.tensor(np.where(t > 30, 0.075 * (t - 30), 0.0)).view(-1, 1, 1)).flatten()
    gaps = np.diff(t[spikes.numpy() > 0])
    assert len(gaps) > 5 and gaps[0] > 2 * gaps[-1]


def test_one_step_of_each_scheme_is_its_equation():
    v, u, x, h = -60.0, -12.0, 7.0, 0.5

    def slope(v, u):
        return 0.04 * v * v + 5 * v + 140 - u + x

    half = v + h / 2 * slope(v, u)
    half = half + h / 2 * slope(half, u)
    full = v + h * slope(v, u)
    expected = {
        "halves": (half, u + h * 0.02 * (0.2 * half - u)),
        "sequential": (full, u + h * 0.02 * (0.2 * full - u)),
        "euler": (full, u + h * 0.02 * (0.2 * v - u)),
    }
    for scheme, values in expected.items():
        cell = Izhikevich(dt=h * 1e-3, scheme=scheme)
        state = tuple(torch.full((1, 1), s, dtype=torch.float64) for s in (v, u))
        _, state = cell.step(torch.full((1, 1), x, dtype=torch.float64), state)
        assert (state.v.item(), state.u.item()) == pytest.approx(values)


def test_wrong_choices_are_refused():
    with pytest.raises(
        UserError, match=r'dt=0.001 s is too large for the scheme "euler", whose limit is 0.0005 s'
    ):
        Izhikevich(dt=1e-3, scheme="euler")
    with pytest.raises(UserError, match=r"unknown scheme 'half'.*halves"):
        Izhikevich(dt=1e-3, scheme="half")
    with pytest.raises(UserError, match=r"no cell 'RSS'.*RS"):
        Izhikevich.of("RSS", dt=1e-3)


def test_docstring():
    found = doctest.testmod(izhikevich)
    assert found.attempted > 0 and found.failed == 0
