"""Resonators: which frequency they hear, what input held over a step means, limits."""

import doctest
import math

import numpy as np
import pytest
import torch
from laws import interpret

from snnkit.errors import UserError
from snnkit.neurons import BalancedResonateAndFire, ResonateAndFire, resonate


def amplitudes(cell, frequencies, state, seconds):
    """Largest |state| under a unit sine of each frequency [rad/s], once the transient is over."""
    t = torch.arange(round(seconds / cell.dt), dtype=torch.float64) * cell.dt
    x = torch.sin(t[:, None, None] * frequencies)
    half = len(t) // 2
    _, middle = cell.scan(x[:half])
    largest = torch.zeros_like(x[0])
    for x_t in x[half:]:
        _, middle = cell.step(x_t, middle)
        largest = torch.maximum(largest, getattr(middle, state).abs())
    return largest[0].numpy()


def test_preferred_frequencies():
    """q resonates at √(ω² - d²) = 49.75 rad/s, p at √(ω·√(ω² + 4·d²) - d²) = 50.24 rad/s."""
    cell = ResonateAndFire(
        omega=50.0, damping=5.0, dt=2e-3, threshold=1e9, after_spike=None, scale_input=True
    )
    frequencies = torch.arange(48.0, 52.01, 0.1, dtype=torch.float64)
    best = {s: float(frequencies[amplitudes(cell, frequencies, s, 6.0).argmax()]) for s in ("p", "q")}
    assert best["q"] == pytest.approx(math.sqrt(50.0**2 - 5.0**2), abs=0.11)
    assert best["p"] == pytest.approx(math.sqrt(50 * math.sqrt(50.0**2 + 100) - 25), abs=0.11)


@pytest.mark.parametrize("dt", [1e-3, 4e-3, 0.05])
def test_the_step_is_exact_at_any_dt(dt):
    """z = z0·exp((-d + i·ω)·t), and for input held from t = 0 on (exp(λ·t) - 1)/λ, also where Euler diverges."""
    steps = round(0.2 / dt)
    rate = complex(-5.0, 50.0)
    cell = ResonateAndFire(omega=50.0, damping=5.0, dt=dt, threshold=1e9, scale_input=True)
    start = tuple(torch.full((1, 1), s, dtype=torch.float64) for s in (0.3, 0.4))
    _, state = cell.scan(torch.full((steps, 1, 1), 2.0, dtype=torch.float64), start)
    end = np.exp(rate * 0.2)
    expected = complex(0.3, 0.4) * end + 2.0 * (end - 1) / rate
    assert complex(state.p.item(), state.q.item()) == pytest.approx(expected, rel=1e-10)


def test_after_a_spike():
    x = torch.tensor([5.0, 0.0], dtype=torch.float64).view(2, 1, 1)
    for after, expected in [((0.0, 1.0), (0.0, 2.0)), ((0.0, 0.0), (0.0, 0.0)), (None, None)]:
        cell = ResonateAndFire(omega=100.0, dt=10e-3, threshold=2.0, after_spike=after)
        spikes, state = cell.scan(x)
        assert spikes.flatten().tolist() == [0.0, 1.0]
        if expected is None:
            assert state.q.item() == pytest.approx(5 * math.exp(-0.1) * math.sin(1.0))
        else:
            assert (state.p.item(), state.q.item()) == expected


def test_doublets_count_when_they_come_a_turn_apart(monkeypatch):
    interpret(monkeypatch)
    x = torch.zeros(80, 1, 5, dtype=torch.float64)
    gaps = [8, 16, 24, 31, 40]  # a turn is 31.4 steps
    x[0] = 0.7
    for k, gap in enumerate(gaps):
        x[gap, 0, k] += 0.7
    spikes = ResonateAndFire(omega=200.0, damping=10.0, dt=1e-3)(x).sum(0)[0]
    assert spikes.tolist() == [0, 0, 0, 1, 0]


def test_balanced_selects_its_frequency():
    """124 spikes in 40 s at 20 rad/s, none at 10, 18, 22 and 30."""
    t = torch.arange(4000, dtype=torch.float64)[:, None, None] * 0.01
    x = 3.0 * torch.sin(t * torch.tensor([10.0, 18.0, 20.0, 22.0, 30.0], dtype=torch.float64))
    assert BalancedResonateAndFire(omega=20.0, damping=1.0, dt=0.01)(x).sum(0)[0].tolist() == [
        0,
        0,
        124,
        0,
        0,
    ]


@pytest.mark.parametrize("omega", [10.0, 50.0, 99.0])
def test_balanced_without_damping_neither_grows_nor_shrinks(omega):
    cell = BalancedResonateAndFire(omega=omega, damping=0.0, dt=0.01, threshold=1e9)
    x = torch.zeros(5000, 1, 1, dtype=torch.float64)
    x[0] = 100.0
    _, state = cell.scan(x)
    assert math.hypot(state.u.item(), state.v.item()) == pytest.approx(1.0, rel=1e-9)


def test_balanced_uses_the_refractoriness_of_earlier_steps(monkeypatch):
    """The spike of a step enters q at its end; the next step uses that q in its damping and in its threshold."""
    interpret(monkeypatch)
    omega, dt, gamma = 20.0, 0.01, 0.9
    cell = BalancedResonateAndFire(omega=omega, damping=1.0, dt=dt, gamma=gamma)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 60, 200)
    u = v = q = 0.0
    expected = []
    for x_t in x:
        b = (-1 + math.sqrt(1 - (dt * omega) ** 2)) / dt - 1.0 - q
        u, v = u + dt * (b * u - omega * v + x_t), v + dt * (omega * u + b * v)
        s = float(u - 1.0 - q >= 0)
        q = gamma * q + s
        expected.append(s)
    spikes, state = cell.scan(torch.tensor(x).view(-1, 1, 1))
    assert spikes.flatten().tolist() == expected and 5 < sum(expected) < 150
    assert (state.u.item(), state.v.item(), state.q.item()) == pytest.approx((u, v, q))


def test_frequencies_too_high_for_dt_are_refused_with_the_limit():
    with pytest.raises(
        UserError, match=r"0 < omega\*dt < 3.142: at dt=0.01 s the limit is omega=314.2 rad/s"
    ):
        ResonateAndFire(omega=400.0, dt=0.01)
    with pytest.raises(UserError, match=r"omega\*dt <= 1: at dt=0.01 s the limit is omega=100 rad/s"):
        BalancedResonateAndFire(omega=[10.0, 101.0], dt=0.01)
    BalancedResonateAndFire(omega=100.0, dt=0.01)
    with pytest.raises(UserError, match="needs dt"):
        ResonateAndFire(omega=1.0, dt=None)


def test_a_learned_frequency_may_pass_the_limit_without_nan(monkeypatch):
    interpret(monkeypatch)
    cell = BalancedResonateAndFire(omega=100.0, dt=0.01, learn=("omega", "damping"))
    with torch.no_grad():
        cell.omega += 5.0
    cell(torch.rand(20, 1, 2)).sum().backward()
    assert torch.isfinite(cell.omega.grad) and torch.isfinite(cell.damping.grad)


def test_docstrings():
    found = doctest.testmod(resonate)
    assert found.attempted > 0 and found.failed == 0
