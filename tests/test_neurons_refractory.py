"""Refractory time around any neuron: the interval it adds, what is held, and against a loop."""

import copy
import doctest
import io
import math

import pytest
import torch
from peer_runs import drive

from snnkit.activity import trace
from snnkit.errors import UserError
from snnkit.layers import Linear, Sequential
from snnkit.neurons import (
    IF,
    LIF,
    AdaptiveLIF,
    CubaLIF,
    LeakyIntegrator,
    MultiSpikeIF,
    Refractory,
    refractory,
)

DT = 1e-3


def test_docstrings():
    found = doctest.testmod(refractory)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("drive_level", [0.08, 0.12, 0.4])
def test_it_adds_its_steps_to_the_interval_of_the_closed_form(n, drive_level):
    """n_ref + ceil(ln((RI - θ)/(RI - v_reset))/ln a) steps, with RI = x/(1 - a)."""
    cell = Refractory(LIF(tau=20e-3, dt=DT, reset="zero"), n * DT)
    spikes = cell(torch.full((400, 1, 1), drive_level, dtype=torch.float64)).flatten()
    a = math.exp(-DT / 20e-3)
    level = drive_level / (1 - a)
    expected = n + math.ceil(math.log((level - 1.0) / level) / math.log(a))
    assert set(torch.nonzero(spikes).flatten().diff().tolist()) == {expected}


def test_equals_the_loop_with_the_membrane_held():
    x = drive(120, 1, 1, high=1.2)
    a, v, left, rows = math.exp(-DT / 9e-3), 0.0, 0, []
    for value in x.flatten().tolist():
        s = 0.0
        if left > 0:
            left -= 1
        else:
            u = a * v + value
            s = float(u >= 1.0)
            v = u - s
            left = 3 * int(s)
        rows.append(s)
    spikes, state = Refractory(LIF(tau=9e-3, dt=DT), 3 * DT).scan(x)
    assert spikes.flatten().tolist() == rows and 5 < sum(rows) < 60
    assert state.v.item() == pytest.approx(v, rel=1e-12) and state._fields == ("v", "left")


def test_synapse_and_adaptation_go_on_while_the_membrane_is_held():
    cell = Refractory(CubaLIF(tau_syn=5e-3, tau_mem=9e-3, dt=DT, reset="zero"), 3 * DT)
    x = torch.zeros(3, 1, 1)
    x[0] = 2.0
    _, first = cell.scan(x[:1])
    _, later = cell.scan(x[1:], first)
    assert first.v.item() == 0.0 == later.v.item() and first.left.item() == 3.0 and later.left.item() == 1.0
    assert later.i.item() == pytest.approx(2.0 * math.exp(-2 * DT / 5e-3), rel=1e-6)
    tired = Refractory(AdaptiveLIF(tau=9e-3, tau_adapt=0.1, dt=DT, threshold=0.1), 2 * DT)
    spikes, state = tired.scan(torch.full((3, 1, 1), 5.0))  # it would spike each time, but does once
    assert spikes.flatten().tolist() == [1.0, 0.0, 0.0]
    rho = math.exp(-DT / 0.1)
    assert state.b.item() == pytest.approx((1 - rho) * rho**2, rel=1e-5)


def test_zero_time_is_the_neuron_itself_and_each_may_have_its_own():
    x = drive(80, 2, 3)
    assert torch.equal(Refractory(LIF(tau=9e-3, dt=DT), 0.0)(x), LIF(tau=9e-3, dt=DT)(x))
    several = Refractory(LIF(tau=9e-3, dt=DT, reset="zero"), [0.0, 2 * DT, 6 * DT])
    x = torch.full((100, 1, 3), 2.0)
    assert several(x).sum(0).flatten().tolist() == [100.0, 34.0, 15.0]


def test_several_spikes_at_once_are_followed_by_one_rest():
    cell = Refractory(MultiSpikeIF(dt=DT), 2 * DT)
    assert cell(torch.full((5, 1, 1), 3.0)).flatten().tolist() == [3.0, 0.0, 0.0, 3.0, 0.0]


def test_learned_parameters_are_those_of_the_neuron():
    cell = Refractory(LIF(tau=9e-3, dt=DT, learn=("tau", "threshold")), 2 * DT)
    cell(drive(60, 2, 3).float()).sum().backward()
    assert {n for n, p in cell.named_parameters()} == {"neuron.log_tau", "neuron.threshold"}
    assert all(float(p.grad.abs()) > 0 for p in cell.parameters())


def test_copies_pickles_and_networks():
    cell, x = Refractory(LIF(tau=9e-3, dt=DT, reset="zero"), 2 * DT), drive(30, 2, 4)
    assert torch.equal(copy.deepcopy(cell)(x), cell(x))
    buffer = io.BytesIO()
    torch.save(cell, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=False)(x), cell(x))
    net = Sequential(Linear(4, 4), cell)
    with trace(net) as activity:
        y = net(x.float())
    assert activity.layers["1"].spikes == float(y.detach().sum()) / 2 and list(activity.layers) == ["0", "1"]


def test_mistakes_are_said():
    with pytest.raises(TypeError, match="spiking"):
        Refractory(LeakyIntegrator(tau=9e-3, dt=DT), 2 * DT)
    with pytest.raises(UserError, match="dt"):
        Refractory(IF(), 2 * DT)
    with pytest.raises(UserError, match="no state"):
        Refractory(LIF(tau=9e-3, dt=DT), 2 * DT, held="u")
    with pytest.raises(UserError, match="t_ref >= 0"):
        Refractory(LIF(tau=9e-3, dt=DT), -1.0)
