"""What each neuron must do, from its closed form, and from a naive twin."""

import math

import naive
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import interpret

from snnkit.neurons import IF, LIF, AdaptiveLIF, CubaLIF, LeakyIntegrator, surrogate

MS = 1e-3


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    """The generated text is run by Python: that the compiler changes no bit is a law of its own."""
    interpret(monkeypatch)


def constant(value, steps):
    return torch.full((steps, 1, 1), value, dtype=torch.float64)


def times(spikes):
    return torch.nonzero(spikes.flatten()).flatten().tolist()


@pytest.mark.parametrize("rate", [0.137, 0.5, 0.99])
def test_if_fires_input_over_threshold(rate):
    spikes = IF(threshold=2.0)(constant(2.0 * rate, 1000))
    assert abs(spikes.mean().item() - rate) <= 1.5e-3


def test_if_begins_at_initial_v():
    assert IF()(constant(0.25, 8)).flatten().tolist() == [0, 0, 0, 1, 0, 0, 0, 1]
    assert IF(initial_v=0.5)(constant(0.25, 8)).flatten().tolist() == [0, 1, 0, 0, 0, 1, 0, 0]
    per_channel = IF(initial_v=torch.tensor([[0.0], [0.75]]))
    spikes, state = per_channel.scan(torch.full((1, 3, 2, 4), 0.25))
    assert spikes[0, 0].tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]] and state.v.shape == (3, 2, 4)


@pytest.mark.parametrize("compare, spikes", [(">=", 5.0), (">", 4.0)])
def test_comparison_matters_at_the_threshold(compare, spikes):
    assert IF(compare=compare)(constant(0.5, 10)).sum() == spikes


@pytest.mark.parametrize("x, tau", [(0.1, 20 * MS), (0.3, 20 * MS), (0.07, 50 * MS), (0.9, 5 * MS)])
def test_lif_interval_under_constant_input(x, tau):
    """Reset to zero: n = ceil(ln((RI - θ)/RI) / ln a) steps, RI = x/(1 - a)."""
    a = math.exp(-MS / tau)
    expected = math.ceil(math.log((x / (1 - a) - 1) / (x / (1 - a))) / math.log(a))
    found = times(LIF(tau=tau, dt=MS, reset="zero")(constant(x, 400)))
    assert set(np.diff(found)) == {expected} and found[0] == expected - 1


def test_lif_stays_silent_below_its_rheobase():
    a = math.exp(-MS / (20 * MS))
    assert LIF(tau=20 * MS, dt=MS)(constant(0.999 * (1 - a), 2000)).sum() == 0
    assert LIF(tau=20 * MS, dt=MS)(constant(1.001 * (1 - a), 2000)).sum() > 0


def test_scaled_input_has_gain_one():
    for cell in (LIF, LeakyIntegrator):
        _, state = cell(tau=5 * MS, dt=MS, scale_input=True).scan(constant(0.75, 500))
        assert state.v.item() == pytest.approx(0.75)
    _, state = CubaLIF(tau_syn=3 * MS, tau_mem=5 * MS, dt=MS, scale_input=True).scan(constant(0.75, 500))
    assert state.v.item() == pytest.approx(0.75) and state.i.item() == pytest.approx(0.75)


def test_cuba_lif_answers_a_pulse_with_its_kernel():
    """v[n] = (βⁿ⁺¹ - αⁿ⁺¹)/(β - α)."""
    al, be = math.exp(-1 / 5), math.exp(-1 / 10)
    cell, x = CubaLIF(tau_syn=5 * MS, tau_mem=10 * MS, dt=MS, threshold=100.0), constant(0.0, 40)
    x[0] = 1.0
    state, found = None, []
    for x_t in x:
        _, state = cell.step(x_t, state)
        found.append(state.v.item())
    n = np.arange(1, 41)
    np.testing.assert_allclose(found, (be**n - al**n) / (be - al), rtol=1e-12)
    assert np.argmax(found) in (5, 6, 7)  # the continuous peak is at 6.93 ms, one step later


def test_adaptive_lif_reaches_its_self_consistent_rate():
    """r solves r = rate of a LIF with threshold b0 + β·r (about 2 % off, by the grid)."""
    cell = AdaptiveLIF(
        tau=20 * MS, tau_adapt=0.5, dt=MS, threshold=1.0, beta=1.8, scale_input=True, reset="subtract"
    )
    spikes = cell(constant(1.6, 20_000))
    assert spikes[10_000:].mean().item() == pytest.approx(0.0435, rel=0.03)


def test_leaky_integrator_gain():
    a = math.exp(-1 / 20)
    _, state = LeakyIntegrator(tau=20 * MS, dt=MS).scan(constant(0.3, 2000))
    assert state.v.item() == pytest.approx(0.3 / (1 - a))


def test_resets():
    x = torch.tensor([1.5, 0.0], dtype=torch.float64).view(2, 1, 1)
    after = {
        r: LIF(tau=20 * MS, dt=MS, reset=r).scan(x[:1])[1].v.item() for r in ("subtract", "zero", "none")
    }
    assert after == {"subtract": 0.5, "zero": 0.0, "none": 1.5}


drives = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).normal(0.15, 0.4, (60, 4)))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drives, st.sampled_from(["subtract", "zero", "none"]))
def test_neurons_match_their_naive_twins(x, reset):
    a, b = math.exp(-1 / 8), math.exp(-1 / 15)
    pairs = [
        (IF(threshold=0.9, reset=reset), lambda x: naive.naive_if(x, 0.9, reset)),
        (LIF(tau=8 * MS, dt=MS, threshold=0.9, reset=reset), lambda x: naive.naive_lif(x, a, 0.9, reset)),
        (
            CubaLIF(tau_syn=8 * MS, tau_mem=15 * MS, dt=MS, reset=reset),
            lambda x: naive.naive_cuba_lif(x, a, b, 1.0, reset),
        ),
        (
            AdaptiveLIF(tau=8 * MS, tau_adapt=15 * MS, dt=MS, beta=0.7, reset=reset),
            lambda x: naive.naive_adaptive_lif(x, a, b, 1.0, 0.7, reset),
        ),
        (LeakyIntegrator(tau=8 * MS, dt=MS), lambda x: naive.naive_leaky_integrator(x, a)),
    ]
    for cell, twin in pairs:
        found = cell(torch.tensor(x).view(60, 2, 2)).view(60, 4).numpy()
        expected = np.stack([twin(column) for column in x.T], 1)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("detached", [False, True])
def test_gradient_matches_the_chain_rule_by_hand(detached):
    rng = np.random.default_rng(0)
    x, bars = rng.normal(0.2, 0.5, 80), rng.normal(size=80)
    a, alpha = math.exp(-1 / 8), 3.0
    psi = lambda u: alpha / 2 / (1 + (math.pi / 2 * alpha * u) ** 2)
    cell = LIF(tau=8 * MS, dt=MS, surrogate=surrogate.ATan(alpha=alpha), detach_reset=detached)
    tensor = torch.tensor(x).view(80, 1, 1).requires_grad_()
    cell(tensor).backward(torch.tensor(bars).view(80, 1, 1))
    expected = naive.naive_lif_gradient(x, a, 1.0, psi, bars, detached)
    np.testing.assert_allclose(tensor.grad.flatten().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_surrogates_have_the_stated_shape():
    u = torch.linspace(-60, 60, 1_200_001, dtype=torch.float64)

    def area(s):
        return torch.trapezoid(s.derivative(u, *s.hyper), u).item()

    for s, peak, whole in [
        (surrogate.ATan(alpha=2.0), 1.0, 1.0),
        (surrogate.ATan(alpha=5.0), 2.5, 1.0),
        (surrogate.FastSigmoid(slope=25.0), 1.0, 2 / 25),
        (surrogate.Triangle(height=0.3), 0.3, 0.3),
        (surrogate.Triangle(height=1.0, width=2.0), 1.0, 2.0),
    ]:
        assert s.derivative(0.0, *s.hyper) == pytest.approx(peak)
        assert area(s) == pytest.approx(whole, rel=0.01)
