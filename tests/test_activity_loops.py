"""Counts inside loops and memory cells, held against loops by hand."""

import pytest
import torch
from torch import nn

from snnkit.activity import trace
from snnkit.errors import UserError
from snnkit.interop import to_nir
from snnkit.layers import L2MU, LMU, Conv2d, DelayedLinear, Linear, Recurrent, Sequential
from snnkit.neurons import LIF, LeakyIntegrator

MS = 1e-3


def spikes(*shape, density=0.4, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density).float()


def traced(net, *inputs):
    with torch.no_grad(), trace(net) as activity:
        for x in inputs:
            net(x)
    return activity


@torch.no_grad()
def test_a_loop_by_hand():
    g = torch.Generator().manual_seed(0)
    loop = Recurrent(LIF(tau=9 * MS, dt=MS), Linear(5, 5, generator=g))
    net, x = Sequential(Linear(4, 5, generator=g), loop), spikes(12, 3, 4)
    seen = traced(net, x)
    sent, back, state = 0.0, 0.0, None
    for t in range(12):
        back += 0.0 if state is None else float(state.spikes.sum()) * 5
        s, state = loop.step(net[0].step(x[t])[0], state)
        sent += float(s.sum())
    assert list(seen.layers) == ["0", "1_neuron", "1_weight"]
    assert seen.layers["1_neuron"].spikes == pytest.approx(sent / 3) and sent > 10
    assert seen.layers["1_weight"].synops == pytest.approx(back / 3)
    assert (seen.layers["1_neuron"].neurons, seen.layers["1_neuron"].updates) == (5, 60)
    assert not seen.uncounted and seen.dt == MS


@pytest.mark.parametrize(
    "weight, fan_out",
    [
        (lambda: DelayedLinear(5, 5, max_delay=3 * MS, dt=MS), 5),
        (lambda: nn.Linear(5, 5, bias=False), 5),
        (lambda: Sequential(Linear(5, 2), Linear(2, 5)), 2),
    ],
    ids=["delays", "torch", "two"],
)
@torch.no_grad()
def test_any_synapses_in_a_loop(weight, fan_out):
    torch.manual_seed(0)
    net, x = Recurrent(LIF(tau=9 * MS, dt=MS, threshold=0.8), weight()), spikes(12, 3, 5)
    y, seen = net(x), traced(net, x)
    first = seen.layers["weight_0" if fan_out == 2 else "weight"]
    assert first.synops == pytest.approx(float(y[:-1].sum()) * fan_out / 3) and first.synops > 0
    assert seen.total("spikes") == pytest.approx(float(y.sum()) / 3) and not seen.uncounted


@torch.no_grad()
def test_a_loop_of_pictures_and_an_analog_loop():
    net, x = Recurrent(LIF(tau=9 * MS, dt=MS, threshold=0.5), Conv2d(2, 2, 1)), spikes(8, 1, 2, 4, 4)
    assert traced(net, x).layers["weight"].synops == float(net(x)[:-1].sum()) * 2
    net = Recurrent(LeakyIntegrator(tau=9 * MS, dt=MS), Linear(3, 3))
    assert traced(net, spikes(8, 2, 3)).layers["weight"].macs == 8 * 9


@torch.no_grad()
def test_the_spiking_memory_by_hand():
    g = torch.Generator().manual_seed(1)
    cell = L2MU(
        4, 6, order=5, theta=9 * MS, dt=MS, memory=3, u=(0.7, 0.1), m=(0.15, 0.3), h=(0.4, 0.5), generator=g
    )
    x = spikes(15, 2, 4)
    seen = traced(Sequential(nn.Identity(), cell), x)
    count = dict.fromkeys(["x", "u", "m", "h", "m before", "h before"], 0.0)
    state = cell.initial_state(x[0])
    for x_t in x:
        count["m before"] += float(state.m.sum())
        count["h before"] += float(state.h.sum())
        _, state = cell.reference_step(x_t, state)
        u = (state.u.v >= cell.neuron_u.threshold).float()
        for name, s in (("x", x_t), ("u", u), ("m", state.m), ("h", state.h)):
            count[name] += float(s.sum())
    assert all(n > 5 for n in count.values())
    expected = {
        "E_x": count["x"] * 3, "E_h": count["h before"] * 3, "E_m": count["m before"] * 3,
        "A": count["m before"] * 5, "B": count["u"] * 5,
        "W_x": count["x"] * 6, "W_h": count["h before"] * 6, "W_m": count["m"] * 6,
    }  # fmt: skip
    for name, synops in expected.items():
        assert seen.layers[f"1_{name}"].synops == pytest.approx(synops / 2), name
    assert seen.total("synops") == pytest.approx(sum(expected.values()) / 2) and seen.total("macs") == 0
    for name, neurons in (("u", 3), ("m", 15), ("h", 6)):
        layer = seen.layers[f"1_neuron_{name}"]
        assert (layer.neurons, layer.updates) == (neurons, neurons * 15)
        assert layer.spikes == pytest.approx(count[name] / 2)
    assert seen.layers["1_A"].dense_macs == 3 * 25 and seen.layers["1_B"].dense_macs == 15
    assert not seen.uncounted and seen.dt == MS


@torch.no_grad()
def test_the_analog_memory_costs_multiplications():
    cell, x = LMU(4, 6, order=5, theta=9 * MS, dt=MS, memory=3), torch.rand(7, 2, 4)
    seen = traced(cell, x)
    weights = {"E_x": 12, "E_h": 18, "E_m": 45, "A": 75, "B": 15, "W_x": 24, "W_h": 36, "W_m": 90}
    assert {k: v.macs for k, v in seen.layers.items()} == {k: 7.0 * n for k, n in weights.items()}
    assert seen.total("synops") == 0


@torch.no_grad()
def test_a_loop_in_a_loop():
    inner = Recurrent(LIF(tau=9 * MS, dt=MS), Linear(5, 5))
    net, x = Recurrent(inner, Linear(5, 5)), spikes(10, 2, 5)
    y, seen = net(x), traced(net, x)
    assert set(seen.layers) == {"neuron_neuron", "neuron_weight", "weight"}
    assert seen.layers["neuron_weight"].synops == float(y[:-1].sum()) * 5 / 2
    assert seen.layers["weight"].synops == seen.layers["neuron_weight"].synops > 0


def test_nir_refuses_loops_by_name():
    cell = L2MU(4, 6, order=5, theta=9 * MS, dt=MS)
    with pytest.raises(UserError, match="layer 1 is a L2MU; layer 2 is a Recurrent: layers with loops"):
        to_nir(Sequential(Linear(3, 4), cell, Recurrent(LIF(tau=9 * MS, dt=MS), Linear(6, 6))))
    with pytest.raises(UserError, match="layer 0 is a LMU"):
        to_nir(LMU(4, 6, order=5, theta=9 * MS, dt=MS))
