"""Neurons of plastic networks: a threshold that finds its rate, and conductances in a liquid."""

import naive_simulator as naive
import numpy as np
import pytest
import torch
from simulator_cases import MS, interpret, poisson

from snnkit.errors import UserError
from snnkit.liquid import Liquid, Projection, load, save
from snnkit.neurons import ConductanceLIF, Refractory, use_reference
from snnkit.plasticity import TargetRateLIF, diehl_cook_stdp


@pytest.mark.parametrize("gain", [0.2, 0.5])
def test_the_threshold_finds_the_target_rate(gain):
    cells = TargetRateLIF(tau=20 * MS, dt=MS, rate=20.0, eta=0.05)
    x = gain * torch.rand(20_000, 1, 8, generator=torch.Generator().manual_seed(0))
    spikes, state = cells.scan(x)
    assert spikes[10_000:].mean().item() / MS == pytest.approx(20.0, rel=0.05)
    assert state.theta.min() > 0.5 and (spikes[:500].mean() / MS - 20).abs() > 2
    with pytest.raises(UserError, match="0 < rate < 1/dt"):
        TargetRateLIF(tau=20 * MS, dt=MS, rate=2000.0)


def test_a_spike_raises_its_threshold_and_kernel_is_reference():
    cells = ConductanceLIF(dt=0.5 * MS, jump=1e-3)
    x = tuple(torch.rand(2, 300, 2, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor(0.9))
    x = (x[0], 0.05 * x[1])
    spikes, state = cells.scan(x)
    with use_reference():
        expected, end = cells.scan(x)
    assert torch.equal(spikes, expected) and all(map(torch.equal, state, end))
    assert spikes.sum() > 20
    raised = 0.02 + 1e-3 * spikes.sum(0)
    torch.testing.assert_close(state.a, raised, rtol=1e-3, atol=0)


def diehl_cook(n_in=20, n=10):
    """Excitatory and inhibitory neurons as one population: constants per neuron, two ports."""
    exc, both = np.arange(2 * n) < n, lambda e, i: np.where(np.arange(2 * n) < n, e, i)
    cells = ConductanceLIF(
        dt=0.5 * MS, tau=both(0.1, 0.01), e_l=both(-0.065, -0.06), e_i=both(-0.1, -0.085), v_reset=both(-0.065, -0.045),
        threshold=both(-0.072, -0.06), jump=both(5e-5, 0.0),
    )  # fmt: skip
    one, all_but_own = np.eye(2 * n, k=n) * 10.4, np.zeros((2 * n, 2 * n))
    all_but_own[n:, :n] = 17.0 * (1 - np.eye(n))
    assert exc.sum() == n
    return Liquid(
        Refractory(cells, t_ref=both(5 * MS, 2 * MS)),
        Projection.dense(n_in, 2 * n, post=(0, n), w=(0.0, 0.3 * 784 / n_in / 4), rule=diehl_cook_stdp(), port="excitatory", seed=0),
        {"excite": Projection.from_matrix(one, port="excitatory"), "inhibit": Projection.from_matrix(all_but_own, port="inhibitory")},
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
    assert liquid.learn(ev, carry=["a"]).begin()["a"][:10].max() > 0.02


def test_such_a_liquid_can_be_saved(tmp_path, monkeypatch):
    interpret(monkeypatch)
    liquid, ev = diehl_cook(), poisson(100, 1, 20, 60.0, dt=0.5 * MS)
    save(liquid, tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors")(ev).equal(liquid(ev))
