"""Neurons of plastic networks: a threshold that finds its rate, and a conductance step that cannot overshoot."""

import naive_simulator as naive
import numpy as np
import pytest
import torch
from simulator_cases import MS, interpret, poisson

from snnkit.errors import UserError
from snnkit.liquid import Liquid, Projection, load, save
from snnkit.neurons import Refractory, use_reference
from snnkit.plasticity import ConductanceLIF, TargetRateLIF, diehl_cook_stdp


@pytest.mark.parametrize("gain", [0.2, 0.5])
def test_the_threshold_finds_the_target_rate(gain):
    cells = TargetRateLIF(tau=20 * MS, dt=MS, rate=20.0, eta=0.05)
    x = gain * torch.rand(20_000, 1, 8, generator=torch.Generator().manual_seed(0))
    spikes, state = cells.scan(x)
    assert spikes[10_000:].mean().item() / MS == pytest.approx(20.0, rel=0.05)
    assert state.theta.min() > 0.5 and (spikes[:500].mean() / MS - 20).abs() > 2
    with pytest.raises(UserError, match="0 < rate < 1/dt"):
        TargetRateLIF(tau=20 * MS, dt=MS, rate=2000.0)


def euler(v, g_e, g_i, dt, tau=100 * MS):
    return v + dt / tau * ((-0.065 - v) + g_e * (0.0 - v) + g_i * (-0.1 - v))


def test_the_exact_step_stays_between_the_potentials_where_euler_diverges():
    """Volleys of 40 inhibitory spikes, each of conductance 17, as lateral inhibition sends them."""
    dt, steps = 0.5 * MS, 200
    cells = ConductanceLIF(dt=dt)
    x = torch.zeros(steps, 1, 1, dtype=torch.float64)
    x[::4] = 17.0 * 40
    state, v, g, worst, exact = None, -0.065, 0.0, 0.0, []
    for t in range(steps):
        _, state = cells.step((torch.zeros_like(x[t]), x[t]), state)
        exact.append(state.v.item())
        g += x[t].item()
        v = euler(v, 0.0, g, dt)
        g *= np.exp(-dt / (2 * MS))
        worst = max(worst, abs(v))
    assert min(exact) >= -0.1 and max(exact) <= -0.065 and exact[-1] < -0.099
    assert worst > 1e6, "volts"


def test_the_exact_step_is_the_solution_for_held_conductances():
    cells = ConductanceLIF(dt=2 * MS, tau_e=1e9, tau_i=1e9, v_threshold=1.0)
    x = torch.zeros(50, 1, 1, dtype=torch.float64)
    first = x.clone()
    first[0] = 0.7
    second = x.clone()
    second[0] = 1.3
    _, state = cells.scan((first, second))
    goal = (-0.065 + 1.3 * -0.1) / 3.0
    expected = goal + (-0.065 - goal) * np.exp(-50 * 2 * MS * 3.0 / 0.1)
    assert state.v.item() == pytest.approx(expected, rel=1e-12)


def test_a_spike_raises_its_threshold_and_kernel_is_reference():
    cells = ConductanceLIF(dt=0.5 * MS, theta_plus=1e-3)
    x = tuple(torch.rand(2, 300, 2, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor(0.9))
    x = (x[0], 0.05 * x[1])
    spikes, state = cells.scan(x)
    with use_reference():
        expected, end = cells.scan(x)
    assert torch.equal(spikes, expected) and all(map(torch.equal, state, end))
    assert spikes.sum() > 20
    raised = 0.02 + 1e-3 * spikes.sum(0)
    torch.testing.assert_close(state.theta, raised, rtol=1e-3, atol=0)


def diehl_cook(n_in=20, n=10):
    """Excitatory and inhibitory neurons as one population: constants per neuron, two ports."""
    exc, both = np.arange(2 * n) < n, lambda e, i: np.where(np.arange(2 * n) < n, e, i)
    cells = ConductanceLIF(
        dt=0.5 * MS, tau=both(0.1, 0.01), v_rest=both(-0.065, -0.06), e_inh=both(-0.1, -0.085), v_reset=both(-0.065, -0.045),
        v_threshold=both(-0.072, -0.06), theta_plus=both(5e-5, 0.0),
    )  # fmt: skip
    one, all_but_own = np.eye(2 * n, k=n) * 10.4, np.zeros((2 * n, 2 * n))
    all_but_own[n:, :n] = 17.0 * (1 - np.eye(n))
    assert exc.sum() == n
    return Liquid(
        Refractory(cells, t_ref=both(5 * MS, 2 * MS)),
        Projection.dense(n_in, 2 * n, post=(0, n), w=(0.0, 0.3 * 784 / n_in / 4), rule=diehl_cook_stdp(), port="excite", seed=0),
        {"excite": Projection.from_matrix(one, port="excite"), "inhibit": Projection.from_matrix(all_but_own, port="inhibit")},
    )  # fmt: skip


def test_the_network_of_diehl_and_cook_is_its_twin(monkeypatch):
    interpret(monkeypatch)
    liquid, ev = diehl_cook(), poisson(400, 1, 20, 60.0, dt=0.5 * MS)
    run = liquid.run(ev, keep=["inputs.w"], threads=1)
    twin = naive.run(liquid, ev)
    assert torch.equal(run.spikes.dense(), twin.spikes)
    assert torch.equal(run.final["inputs.w"][0], twin.samples[0].weights("inputs"))
    counts = run.spikes.dense().sum(0)[0]
    assert counts[:10].sum() > 5 and counts[10:].sum() > 5
    assert liquid.learn(ev, carry=["theta"]).begin()["theta"][:10].max() > 0.02


def test_such_a_liquid_can_be_saved(tmp_path, monkeypatch):
    interpret(monkeypatch)
    liquid, ev = diehl_cook(), poisson(100, 1, 20, 60.0, dt=0.5 * MS)
    save(liquid, tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors")(ev).equal(liquid(ev))
