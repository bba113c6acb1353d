"""EventProp: the rule beside the network in continuous time, on every back-end, over chunks, and on a task."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from exact_events import Net, differences

from snnkit.errors import UserError
from snnkit.layers import BatchNorm, DelayedLinear, Linear, Recurrent, Sequential, check_gradients
from snnkit.neurons import LIF, CubaLIF, LeakyIntegrator, use_reference

MS = 1e-3
ARRAYS = ("w_in", "d_in", "w_rec", "d_rec", "w_out", "d_out")


def exact_network(seed):
    """A small recurrent network with delays on whole milliseconds, and its input spikes."""
    draw, inputs, n, readouts = np.random.default_rng(seed), 4, 3, 2
    net = Net(
        w_in=draw.uniform(1, 3, (inputs, n)),
        d_in=draw.integers(0, 6, (inputs, n)) * MS,
        w_rec=draw.uniform(-0.7, 0.7, (n, n)),
        d_rec=draw.integers(1, 6, (n, n)) * MS,
        w_out=draw.normal(size=(n, readouts)),
        d_out=draw.integers(0, 6, (n, readouts)) * MS,
    )
    at = zip(draw.integers(0, 18, 8), draw.integers(0, inputs, 8), strict=True)
    return net, sorted((t * MS, int(k)) for t, k in at)


def on_grid(net, times, dt):
    """The same network of layers: number of spikes, and gradients of the same loss by EventProp."""
    tm, ts = net.tau_mem, net.tau_syn
    unit = ts / (tm - ts) * (math.exp(-dt / tm) - math.exp(-dt / ts))  # of the membrane, per unit of current
    given = {k: torch.tensor(getattr(net, k)).requires_grad_() for k in ARRAYS}
    steps = round(net.end / dt)

    def layer(which, gain=1.0, less=0):
        made = DelayedLinear(*given[f"w_{which}"].shape, max_delay=6 * MS, dt=dt, form="integer").double()
        return made, {"weight": given[f"w_{which}"] * gain, "delay": given[f"d_{which}"] / dt - less}

    x = torch.zeros(steps, 1, len(net.w_in), dtype=torch.float64)
    for t, k in times:
        x[round(t / dt), 0, k] += 1
    call = torch.func.functional_call
    first, first_p = layer("in", unit)
    back, back_p = layer("rec", unit, less=1)  # a loop takes a step by itself
    last, last_p = layer("out")
    cell = CubaLIF(tau_syn=ts, tau_mem=tm, dt=dt, order="membrane_first", reset="zero", gradient="eventprop")
    s = call(
        Recurrent(cell, back), {f"weight.{k}": v for k, v in back_p.items()}, (call(first, first_p, (x,)),)
    )
    phi = torch.tensor(net.readout(net.end - np.arange(steps) * dt)) * 1e3
    y = (phi[:, None, None] * call(last, last_p, (s,))).sum((0, 1))
    found = torch.autograd.grad((y + 0.5 * y**2).sum(), list(given.values()))
    return int(s.sum()), dict(zip(ARRAYS, [g.numpy() for g in found], strict=True))


def errors(found, exact):
    out = {}
    for k, want in exact.items():
        known = np.isfinite(want)
        out[k] = np.linalg.norm((found[k] - want)[known]) / np.linalg.norm(want[known])
    return out


def test_the_gradient_approaches_that_of_continuous_time():
    coarse, fine, used = [], [], 0
    for seed in (0, 1, 3, 6, 8):
        net, times = exact_network(seed)
        spikes = net.run(times)
        assert len(spikes) >= 5
        if min(slope for _, _, slope in spikes) < 0.1:
            continue
        exact = {k: differences(net, times, k, 1e-6 if k[0] == "w" else 1e-8) for k in ARRAYS}
        results = [on_grid(net, times, dt) for dt in (0.4 * MS, 0.1 * MS)]
        if any(count != len(spikes) for count, _ in results):
            continue
        used += 1
        coarse.append(errors(results[0][1], exact))
        fine.append(errors(results[1][1], exact))
    assert used >= 3
    for k in ARRAYS:
        ratio = np.median([a[k] / b[k] for a, b in zip(coarse, fine, strict=True)])
        assert ratio > 1.5**2, k  # first order in dt would be 4 for two halvings
        assert np.median([b[k] for b in fine]) < 0.12, k


def drive(T=60, B=3, n=5, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(T, B, n, generator=g, dtype=torch.float64) * 0.08).to(dtype).requires_grad_()


def cell(**options):
    settings = {"tau_syn": 4 * MS, "tau_mem": 9 * MS, "dt": MS, "threshold": 1.1, "gradient": "eventprop"}
    return CubaLIF(**{**settings, **options})


def gradient_of(neuron, x, weight=None):
    x.grad = None
    s, end = neuron.scan(x)
    weight = torch.arange(s.numel(), dtype=x.dtype).view(s.shape).cos() if weight is None else weight
    (s * weight).sum().backward()
    return s.detach(), x.grad.clone(), end


def test_the_rule_word_for_word():
    """p_V += s·(θ·p_V - τ_mem·τ)/max(I - θ, floor), with τ[n] = (g[n + 1] - g[n])/dt, against a loop that says just that."""
    x = drive()
    for order, reset in (("synapse_first", "zero"), ("membrane_first", "subtract")):
        neuron = cell(order=order, reset=reset, slope_floor=0.05)
        g = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        s, found, _ = gradient_of(neuron, x, g)
        assert 20 < int(s.sum()) < 0.5 * s.numel()
        ts, tm, dt, theta = 4 * MS, 9 * MS, MS, 1.1
        alpha, beta = math.exp(-dt / ts), math.exp(-dt / tm)
        kappa = ts / (tm - ts) * (beta - alpha)
        i, v, currents = torch.zeros(3, 5).double(), torch.zeros(3, 5).double(), []
        for n in range(len(x)):
            seen = i if order == "membrane_first" else alpha * i + x[n].detach()
            i = alpha * i + x[n].detach()
            u = beta * v + seen
            assert torch.equal(s[n], (u >= theta).double())
            v = u - s[n] * theta if reset == "subtract" else u * (1 - s[n])
            currents.append(alpha * seen / kappa)
        p_v, p_i, later = (torch.zeros(3, 5).double() for _ in range(3))
        for n in reversed(range(len(x))):
            tau = (later - g[n]) / dt
            slope = (currents[n] - theta).clamp(min=0.05 * theta)
            p_v = p_v + s[n] * (theta * p_v - tm * tau) / slope
            if order == "synapse_first":
                p_i = p_i + p_v
                assert torch.allclose(found[n], p_i, rtol=1e-9)
                p_i = alpha * p_i
            else:
                assert torch.allclose(found[n], p_i, rtol=1e-9)
                p_i = alpha * p_i + p_v
            p_v, later = beta * p_v, g[n]


def test_forward_is_that_of_any_other_gradient():
    x = drive(dtype=torch.float32)
    for reset in ("zero", "subtract"):
        a, b = cell(reset=reset), cell(reset=reset, gradient="surrogate")
        (s, end), (t, last) = a.scan(x), b.scan(x)
        assert torch.equal(s, t) and torch.equal(end.i, last.i) and torch.equal(end.v, last.v)
        assert not end.later.any() and type(last)._fields == ("i", "v")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernels_and_reference_agree(dtype):
    x, neuron = drive(dtype=dtype), cell(tau_mem=[5 * MS, 9 * MS, 4 * MS, 4.0001 * MS, 30 * MS])
    s, found, _ = gradient_of(neuron, x)
    with use_reference():
        t, want, _ = gradient_of(neuron, x)
    assert torch.equal(s, t) and int(s.sum()) > 20
    assert torch.allclose(found, want, rtol=1e-4 if dtype == torch.float32 else 1e-10)


def test_chunks_hand_the_time_gradient_over():
    x, neuron = drive(), cell()
    g = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    s, want, _ = gradient_of(neuron, x, g)
    assert bool(s[29].any()) or bool(s[30].any())
    x.grad = None
    head, state = neuron.scan(x[:30])
    tail, _ = neuron.scan(x[30:], state)
    (torch.cat([head, tail]) * g).sum().backward()
    assert torch.allclose(x.grad, want, rtol=1e-10)
    x.grad, rows, state = None, [], None
    for x_t in x:
        row, state = neuron.step(x_t, state)
        rows.append(row)
    (torch.stack(rows) * g).sum().backward()
    assert torch.allclose(x.grad, want, rtol=1e-10)


def test_the_drive_has_a_limit_for_equal_time_constants():
    apart, alike = cell(tau_mem=4.00001 * MS), cell(tau_mem=4 * MS)
    assert torch.allclose(apart.constants()["drive"], alike.constants()["drive"], rtol=1e-5)
    kappa = MS / (4 * MS) * math.exp(-0.25)
    assert float(alike.constants()["drive"]) == pytest.approx(math.exp(-0.25) / kappa)


def test_a_silent_network_has_gradient_zero_and_a_spiking_one_has_not():
    for gain, silent in ((1e-3, True), (1.0, False)):
        net = Sequential(DelayedLinear(5, 6, max_delay=5 * MS, dt=MS), cell(), Linear(6, 2))
        net[0].weight.data = net[0].weight.data.abs() * gain
        x = (torch.rand(50, 2, 5, generator=torch.Generator().manual_seed(0)) < 0.4).float()
        s = net[1](net[0](x))
        net(x).pow(2).sum().backward() if not silent else net(x).sum().backward()
        found = [net[0].weight.grad, net[0].delay.grad]
        assert all(bool(torch.isfinite(f).all()) for f in found)
        assert bool(s.any()) is not silent and all(bool(f.any()) is not silent for f in found)


def test_the_rule_can_be_changed_and_what_it_does_not_cover_is_said():
    neuron = cell(gradient="surrogate", detach_reset=True)
    x = drive()
    soft = gradient_of(neuron, x)[1]
    neuron.gradient = "eventprop"
    exact = gradient_of(neuron, x)[1]
    assert not torch.allclose(soft, exact) and "eventprop" in repr(neuron)
    neuron.gradient = "surrogate"
    assert torch.equal(gradient_of(neuron, x)[1], soft)
    with pytest.raises(UserError, match="unknown gradient 'event'"):
        cell(gradient="event")
    with pytest.raises(UserError, match="slope_floor"):
        cell(slope_floor=0.0)
    with pytest.raises(UserError, match=r"scale_input.*v_leak of 0.*reset.*learn"):
        cell(scale_input=True, v_leak=0.1, reset="none", learn="tau_mem")
    learner = cell(gradient="surrogate", learn="tau_syn")
    with pytest.raises(UserError, match="learn="):
        learner.gradient = "eventprop"
    assert learner.gradient == "surrogate" and len(learner.scan(x)[1]) == 2


def test_it_learns_where_delays_matter():
    """Yin-Yang, far too short: clearly above chance (0.33). benchmarks/eventprop.py runs it to the end."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
    try:
        import eventprop
    finally:
        sys.path.pop(0)
    labels = eventprop.yin_yang(300, 0)[1]
    assert np.bincount(labels).tolist() == [100, 100, 100]
    curve = eventprop.train("eventprop", dt=MS, epochs=4, samples=300, seed=0, batch=30)
    assert curve[-1] > 0.5


def test_rules_that_do_not_go_together_are_named():
    soft = {"tau": 9 * MS, "dt": MS}
    check_gradients(
        Sequential(Linear(5, 6), LIF(**soft), BatchNorm(6), Linear(6, 6), cell(), Linear(6, 2), cell())
    )
    check_gradients(Sequential(Linear(5, 6), cell(), Linear(6, 2), LeakyIntegrator(**soft)))
    with pytest.raises(UserError, match=r"behind layer 1 .*3 \(LIF\) spikes with a surrogate"):
        check_gradients(Sequential(Linear(5, 6), cell(), Linear(6, 2), LIF(**soft)))
    net = Sequential(Linear(5, 6), cell(), Linear(6, 2), BatchNorm(2), cell())
    with pytest.raises(UserError, match=r"3 \(BatchNorm\) normalises over time"):
        check_gradients(net)
    check_gradients(net.eval())
