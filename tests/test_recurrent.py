"""Recurrence by composition: against loops by hand, finite differences, and time cut anywhere."""

import copy
import io

import pytest
import torch
from torch import nn

from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.layers import Conv2d, DelayedLinear, Feedback, Linear, Recurrent, Sequential, checkpoint
from snnkit.neurons import LIF, AdaptiveLIF, LeakyIntegrator, surrogate


def drive(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def network(n=4, dtype=torch.float64, **options):
    w = (drive(n, n, seed=1) - 0.4).to(dtype)
    return Recurrent(LIF(tau=8e-3, dt=1e-3, learn=("tau", "threshold"), **options), w).to(dtype)


def test_equals_the_equation_written_as_a_loop():
    net, x = network(), 0.5 * drive(30, 2, 4)
    v, s, rows = torch.zeros(2, 4, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64), []
    decay = torch.exp(-1e-3 / net.neuron.tau.double())
    for x_t in x:
        u = decay * v + (x_t + s @ net.weight.weight.T)
        s = (u >= net.neuron.threshold).double()
        v = u - s * net.neuron.threshold
        rows.append(s)
    spikes = net(x)
    assert torch.equal(spikes, torch.stack(rows)) and 0.05 < spikes.mean() < 0.95


def test_cutting_time_anywhere_changes_no_bit():
    net, x = network(dtype=torch.float32), 0.5 * drive(20, 3, 4).float()
    whole, end = net.scan(x)
    for cut in (0, 1, 7, 19, 20):
        head, middle = net.scan(x[:cut])
        tail, last = net.scan(x[cut:], middle)
        assert torch.equal(whole, torch.cat([head, tail]))
        assert torch.equal(end.spikes, last.spikes) and torch.equal(end.neuron.v, last.neuron.v)
    state, rows = None, []
    for x_t in x:
        row, state = net.step(x_t, state)
        rows.append(row)
    assert torch.equal(whole, torch.stack(rows)) and torch.equal(state.spikes, whole[-1])


def test_gradients_agree_with_finite_differences():
    """A readout that sends its membrane, fed back: a smooth network."""
    net = Recurrent(LeakyIntegrator(tau=5e-3, dt=1e-3, learn="tau"), drive(3, 3) - 0.6).double()
    x = drive(6, 2, 3).requires_grad_()

    def run(x, w, log_tau):
        parameters = {"weight.weight": w, "neuron.log_tau": log_tau}
        return torch.func.functional_call(net, parameters, (x,))

    w, log_tau = net.weight.weight.detach().clone(), net.neuron.log_tau.detach().clone()
    assert torch.autograd.gradcheck(run, (x, w.requires_grad_(), log_tau.requires_grad_()))


def test_gradients_through_spikes_agree_with_a_recursion_by_hand():
    net = network(surrogate=surrogate.ATan(alpha=2.0))
    x = (0.5 * drive(25, 2, 4)).requires_grad_()
    spikes, weights = net(x), drive(25, 2, 4, seed=3)
    (spikes * weights).sum().backward()
    with torch.no_grad():
        decay, theta, w = torch.exp(-1e-3 / net.neuron.tau), net.neuron.threshold, net.weight.weight
        v, s, charged = torch.zeros(2, 4).double(), torch.zeros(2, 4).double(), []
        for x_t in x:
            u = decay * v + (x_t + s @ w.T)
            s = (u >= theta).double()
            v = u - s * theta
            charged.append(u)
        vbar, xbar, wbar = torch.zeros_like(v), torch.zeros_like(v), torch.zeros_like(w)
        for t in range(24, -1, -1):
            sbar = weights[t] + xbar @ w - theta * vbar  # xbar is still that of t + 1
            xbar = vbar + sbar / (1 + (torch.pi * (charged[t] - theta)) ** 2)
            vbar = decay * xbar
            if t > 0:
                wbar += xbar.T @ spikes[t - 1]
            assert torch.allclose(x.grad[t], xbar, rtol=1e-10, atol=1e-12)
        assert torch.allclose(net.weight.weight.grad, wbar, rtol=1e-10)


def test_any_neuron_and_any_layer():
    picture = Recurrent(AdaptiveLIF(tau=9e-3, tau_adapt=0.1, dt=1e-3), Conv2d(2, 2, 3, padding=1))
    assert picture(drive(5, 2, 2, 6, 6).float()).shape == (5, 2, 2, 6, 6)
    plain = Recurrent(LIF(tau=9e-3, dt=1e-3), nn.Identity())
    assert plain(drive(5, 2, 3).float()).shape == (5, 2, 3)


def test_stands_in_a_sequential_and_under_checkpoint():
    net = Sequential(Linear(6, 4), network(dtype=torch.float32), Linear(4, 2))
    x = (drive(12, 2, 6) < 0.5).float()
    y = net(x)
    head, middle = net.scan(x[:5])
    assert torch.allclose(torch.cat([head, net.scan(x[5:], middle)[0]]), y, atol=1e-6)
    y.sum().backward()
    expected = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    checkpoint(net, x, chunk=5).sum().backward()
    assert all(torch.allclose(p.grad, e, atol=1e-5) for p, e in zip(net.parameters(), expected, strict=True))
    assert all(float(e.abs().max()) > 0 for e in expected)


def test_compiles_as_one_graph():
    net = Recurrent(LIF(tau=9e-3, dt=1e-3), drive(4, 4) - 0.4).double()
    x = drive(6, 2, 4).requires_grad_()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    (found,) = torch.autograd.grad(compiled(x).sum(), x)
    (expected,) = torch.autograd.grad(net(x).sum(), x)
    assert torch.equal(compiled(x), net(x)) and torch.allclose(found, expected, rtol=1e-12)


def test_copies_and_state_dict():
    net, x = network(), drive(9, 1, 4)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    again = copy.deepcopy(net)
    assert torch.equal(again(x), net(x))
    assert {"neuron.log_tau", "weight.weight"} <= set(net.state_dict())


def test_mistakes_are_said():
    with pytest.raises(UserError, match="N N"):
        Recurrent(LIF(tau=9e-3, dt=1e-3), torch.zeros(3, 4))
    with pytest.raises(TypeError, match="neuron"):
        Recurrent(nn.ReLU(), torch.zeros(3, 3))
    net = network()
    with pytest.raises(UserError, match="T B"):
        net(drive(4, 4))
    with pytest.raises(UserError, match="neuron, spikes"):
        net.scan(drive(4, 1, 4), (1, 2, 3))
    with pytest.raises(UserError, match="maps spikes"):
        Recurrent(LIF(tau=9e-3, dt=1e-3), Linear(4, 3).double())(drive(4, 1, 4))
    assert net(drive(0, 2, 4)).shape == (0, 2, 4)
    assert net(drive(3, 0, 4)).shape == (3, 0, 4)


def test_events_run_in_a_loop_and_other_things_are_refused():
    loop = Recurrent(LIF(tau=5e-3, dt=1e-3, threshold=0.3), torch.eye(3))
    x = (torch.rand(6, 2, 3, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    assert torch.equal(loop(EventTensor.from_dense(x, 1e-3)), loop(x)) and bool(loop(x).any())
    with pytest.raises(TypeError, match="EventTensor, got ndarray"):
        loop(x.numpy())


def test_parts_made_for_steps_of_different_lengths_are_refused():
    fast, slow = LIF(tau=5e-3, dt=1e-3), LIF(tau=50e-3, dt=10e-3)
    delays = DelayedLinear(3, 3, max_delay=20e-3, dt=10e-3)
    for make in (
        lambda: Recurrent(fast, delays),
        lambda: Feedback(Linear(3, 3), fast, back=delays),
        lambda: Sequential(delays, fast),
        lambda: Sequential(Linear(3, 3), fast, Sequential(Linear(3, 3), slow)),
    ):
        with pytest.raises(UserError, match=r"dt=0\.01 s.*make both alike"):
            make()
    net = Sequential(delays, slow, Recurrent(slow, delays))
    assert len(net[:2]) == 2
