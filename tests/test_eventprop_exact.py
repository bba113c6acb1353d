"""EventProp in continuous time: beside an independent solver, finite differences, quadrature, and the same layers on time steps."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from exact_events import Net, differences
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import nn

from snnkit.errors import UserError
from snnkit.eventprop import EventProp, Readout, Spikes, run
from snnkit.events import EventTensor
from snnkit.kernels.eventprop.decay import decays
from snnkit.kernels.eventprop.flow import crossing, hopeless
from snnkit.kernels.eventprop.forward import sort
from snnkit.layers import DelayedLinear, Flatten, Linear, Recurrent, Sequential
from snnkit.neurons import LIF, CubaLIF, LeakyIntegrator

MS = 1e-3
TM, TS = 20 * MS, 5 * MS


def kappa(dt, tm=TM, ts=TS):
    return ts / (tm - ts) * (math.exp(-dt / tm) - math.exp(-dt / ts))


def cell(dt=MS, **options):
    return CubaLIF(
        **{
            "tau_syn": TS,
            "tau_mem": TM,
            "dt": dt,
            "gradient": "eventprop",
            "threshold": 1 / kappa(dt),
            **options,
        }
    )


def leaks(dt=MS, tm=TM, ts=TS):
    return LeakyIntegrator(tau=ts, dt=dt), LeakyIntegrator(tau=tm, dt=dt)


def delayed(w, d, dt, less=0.0):
    layer = DelayedLinear(*w.shape, max_delay=10 * MS, dt=dt).double()
    layer.weight.data, layer.delay.data = torch.tensor(w), torch.tensor(d) / dt - less
    return layer


# -- beside the independent solver ------------------------------------------------------------------------------------


def problem(seed, recurrent, **taus):
    draw, inputs, n, readouts = np.random.default_rng(seed), 4, 3, 2
    net = Net(
        w_in=draw.uniform(1, 3, (inputs, n)),
        d_in=draw.uniform(0, 6, (inputs, n)) * MS,
        w_rec=draw.uniform(-0.7, 0.7, (n, n)) * recurrent,
        d_rec=draw.uniform(0.5, 6, (n, n)) * MS,
        w_out=draw.normal(size=(n, readouts)),
        d_out=draw.uniform(0, 6, (n, readouts)) * MS,
        **taus,
    )
    times = sorted(
        (float(t) * MS, int(k))
        for t, k in zip(draw.uniform(0, 18, 8), draw.integers(0, inputs, 8), strict=True)
    )
    return net, times


def layers_of(net, recurrent, dt):
    """The same network of layers for steps of dt; the readouts' membranes are then counted in κ(dt)."""
    first, back, last = (
        delayed(net.w_in, net.d_in, dt),
        delayed(net.w_rec, net.d_rec, dt, 1.0),
        delayed(net.w_out, net.d_out, dt),
    )
    tm, ts = net.tau_mem, net.tau_syn
    neuron = cell(dt, tau_mem=tm, tau_syn=ts, threshold=1 / kappa(dt, tm, ts))
    middle = Recurrent(neuron, back) if recurrent else neuron
    return Sequential(first, middle, last, *leaks(dt, tm, ts)), {"in": first, "rec": back, "out": last}


def solve(net, times, recurrent, dt=1e-5):
    model, parts = layers_of(net, recurrent, dt)
    t = torch.tensor([t for t, _ in times], dtype=torch.float64, requires_grad=True)
    found = run(
        model, Spikes.from_lists([(t, [k for _, k in times])], channels=len(net.w_in), duration=net.end)
    )
    y = found.output.integral()[0] * 1e3 * kappa(dt, net.tau_mem, net.tau_syn)
    loss = (y + 0.5 * y**2).sum()
    loss.backward()
    grads = {"t": t.grad.numpy()}
    for name, layer in parts.items():
        if name != "rec" or recurrent:
            grads |= {f"w_{name}": layer.weight.grad.numpy(), f"d_{name}": layer.delay.grad.numpy() / dt}
    return found.spikes["1"], float(loss.detach()), grads


def by_times(net, times, step=1e-8):
    out = []
    for q in range(len(times)):
        sides = [
            net.loss(sorted([*times[:q], (times[q][0] + s, times[q][1]), *times[q + 1 :]]))[0]
            for s in (step, -step)
        ]
        out.append((sides[0] - sides[1]) / (2 * step))
    return np.array(out)


@pytest.mark.parametrize(
    ("recurrent", "taus"), [(False, (TM, TS)), (True, (TM, TS)), (False, (TS, TM)), (True, (8 * MS, 7 * MS))]
)
def test_spikes_and_all_gradients_are_those_of_the_exact_solver(recurrent, taus):
    used = 0
    for seed in range(4):
        net, times = problem(seed, recurrent, tau_mem=taus[0], tau_syn=taus[1])
        loss, spikes = net.loss(times)
        assert len(spikes) >= 5
        found, value, grads = solve(net, times, recurrent)
        assert found.channel.tolist() == [j for _, j, _ in spikes]
        np.testing.assert_allclose(found.time.detach(), [t for t, _, _ in spikes], rtol=0, atol=1e-12)
        assert value == pytest.approx(loss, rel=1e-10)
        if min(slope for _, _, slope in spikes) < 0.1:
            continue
        used += 1
        for name, got in grads.items():
            want = (
                by_times(net, times)
                if name == "t"
                else differences(net, times, name, 1e-6 if name[0] == "w" else 1e-8)
            )
            known = np.isfinite(want)
            assert known.mean() > 0.9, name
            assert np.abs(got - want)[known].max() < 1e-6 * np.abs(want[known]).max(), name
    assert used >= 3


def test_a_neuron_spikes_many_times_and_every_spike_has_its_gradient():
    net, times = problem(1, False)
    net = replace(net, w_in=net.w_in * 4)
    found, _, grads = solve(net, times, False)
    assert int(found.counts().max()) >= 6
    for name in ("w_in", "d_in"):
        want = differences(net, times, name, 1e-7 if name[0] == "w" else 1e-9)
        assert np.abs(grads[name] - want).max() < 2e-6 * np.abs(want).max()


# -- beside the same layers on time steps -----------------------------------------------------------------------------


def on_steps(net, times, dt, recurrent):
    """Loss and gradients of the layers on time steps, times and delays being whole multiples of dt."""
    model, parts = layers_of(net, recurrent, dt)
    x = torch.zeros(round(net.end / dt), 1, len(net.w_in), dtype=torch.float64)
    for t, k in times:
        x[round(t / dt), 0, k] += 1
    y = model(x).sum(0)[0] * dt * 1e3 * kappa(dt)
    loss = (y + 0.5 * y**2).sum()
    loss.backward()
    return float(loss.detach()), {
        f"w_{k}": p.weight.grad.numpy() for k, p in parts.items() if p.weight.grad is not None
    }


def test_time_steps_approach_it():
    """Loss and gradients of the same layers for shorter and shorter steps, with delays and times on the coarsest."""
    ratios, last = [], []
    for seed in (0, 1, 3, 5):
        net, times = problem(seed, recurrent := seed % 2 == 1)
        whole = {
            k: np.maximum(np.rint(getattr(net, k) / MS), k == "d_rec") * MS
            for k in ("d_in", "d_rec", "d_out")
        }
        net, times = replace(net, **whole), sorted((round(t / MS) * MS, k) for t, k in times)
        spikes, value, grads = solve(net, times, recurrent)
        assert len(spikes) >= 5
        errors = []
        for dt in (0.4 * MS / 2, 0.1 * MS / 2):
            loss, found = on_steps(net, times, dt, recurrent)
            off = [np.linalg.norm(found[k] - grads[k]) / np.linalg.norm(grads[k]) for k in found]
            errors.append(max(abs(loss - value) / abs(value), *off))
        ratios.append(errors[0] / errors[1])
        last.append(errors[1])
    assert np.median(ratios) > 1.5**2 and np.median(last) < 0.05


def test_readouts_say_what_the_layers_say_where_spikes_are_on_steps():
    g = torch.Generator().manual_seed(0)
    x = (torch.rand(30, 3, 4, generator=g) < 0.2).double() * torch.tensor([1.0, 2.0, 0.5])[:, None]
    layer = DelayedLinear(4, 2, max_delay=5 * MS, dt=MS, form="integer", kind="axonal", generator=g).double()
    for ends in (
        leaks(),
        (LeakyIntegrator(tau=TM, dt=MS),),
        (LeakyIntegrator(tau=TS, dt=MS), LeakyIntegrator(tau=TS, dt=MS)),
    ):
        net = Sequential(layer, *ends)
        model = EventProp(net)
        torch.testing.assert_close(model(x), net(x), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(model(EventTensor.from_dense(x, MS)), net(x), rtol=1e-9, atol=1e-12)
        weight = torch.randn(30, 3, 2, generator=g, dtype=torch.float64)
        one, two = (torch.autograd.grad((m(x) * weight).sum(), layer.weight)[0] for m in (model, net))
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def test_a_loop_of_plain_weights_takes_one_step():
    net = Sequential(Linear(1, 2), Recurrent(cell(), torch.tensor([[0.0, 0.0], [30.0, 0.0]])))
    net[0].weight.data = torch.tensor([[9.0], [0.0]])
    s = run(net, Spikes.from_lists([([0.0], [0])], channels=1, duration=20 * MS)).output
    assert s.channel.tolist()[:2] == [0, 1]
    lone = Sequential(Linear(1, 1), cell())
    lone[0].weight.data.fill_(30.0)
    gap = run(lone, Spikes.from_lists([([0.0], [0])], channels=1, duration=20 * MS)).output.time[0]
    assert float((s.time[1] - s.time[0]).detach()) == pytest.approx(MS + float(gap.detach()), rel=1e-9)


# -- the pieces -------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    st.floats(-3, 0.999), st.floats(-5, 60), st.floats(1e-3, 0.1), st.floats(-4, 4), st.floats(1e-3, 0.3),
    st.booleans(),
)  # fmt: skip
def test_a_crossing_is_found_if_and_only_if_there_is_one(v, i, tau_syn, power, longest, alike):
    assume(alike or abs(power) > 1e-3)  # nearer, the formula below is not exact
    tm = tau_syn if alike else tau_syn * 2.0**power

    def membrane(s):
        if alike:
            return (v + i * s / tm) * np.exp(-s / tm)
        c = i * tau_syn / (tm - tau_syn)
        return (v + c) * np.exp(-s / tm) - c * np.exp(-s / tau_syn)

    grid = np.linspace(0, longest, 20_001)
    over = membrane(grid) >= 1
    s = crossing(v, i, longest, tm, tau_syn)
    if s < 0:
        assert not (membrane(grid) > 1 + 1e-9).any()
    else:
        assert 0 < s <= longest and abs(membrane(s) - 1) < 1e-9 * (1 + abs(i))
        first = grid[over.argmax()] if over.any() else math.inf
        assert s <= first * (1 + 1e-9) and membrane(s * 0.999) < 1


def test_decays_of_arrays_to_two_ulps():
    x = np.concatenate(
        [np.random.default_rng(0).random(5000) * 60, [0.0, 1e-300, 0.34657, 0.34658, 690.0, 699.9]]
    )
    got = np.empty_like(x)
    decays(x, len(x), 1.0, got)
    np.testing.assert_allclose(got, np.exp(-x), rtol=5e-16)
    decays(x, len(x), 1e6, got)
    assert got[0] < 1e-300 and got[5000] == 1.0 and np.isfinite(got).all()


@settings(max_examples=100, deadline=None)
@given(st.floats(-3, 0.999), st.floats(1.001, 60), st.floats(-3, 3), st.floats(1e-3, 0.3))
def test_what_is_called_hopeless_is(v, i, power, longest):
    tm, ts = 0.01 * 2.0**power, 0.01
    if hopeless(v, i, longest, tm, ts):
        assert crossing(v, i, longest, tm, ts) < 0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**31), st.sampled_from(["spread", "ties", "cluster", "reversed"]))
def test_sorting_arrivals_is_stable_whatever_they_are_like(n, seed, kind):
    draw = np.random.default_rng(seed)
    at = {
        "spread": draw.random(n), "ties": draw.integers(0, 4, n) / 4.0,
        "cluster": np.append(draw.random(n - 1) * 1e-9, 1.0), "reversed": np.arange(n, 0, -1.0),
    }[kind]  # fmt: skip
    order = np.argsort(at, kind="stable")
    got, names = at.copy(), np.arange(n, dtype=float)
    sort(got, names, n, np.empty(n), np.empty(n), np.empty(n + 1, np.int64))
    assert np.array_equal(got, at[order]) and np.array_equal(names, order)


def little(seed=0, inputs=5, samples=2, spikes=9):
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(samples, spikes, generator=g, dtype=torch.float64) * 15 * MS
    where = torch.randint(0, inputs, (samples, spikes), generator=g)
    return t, where, g


def readout(ends, seed=0, value=False):
    t, where, g = little(seed)
    layer = DelayedLinear(5, 3, max_delay=8 * MS, dt=MS, generator=g).double()
    net = Sequential(layer, *ends)

    def say(read):
        def call(t, weight, delay):
            s = Spikes.from_lists([(t[0], where[0]), (t[1], where[1])], channels=5, duration=25 * MS)
            s = replace(s, value=torch.linspace(0.5, 2, len(s), dtype=torch.float64)) if value else s
            out = torch.func.functional_call(
                Whole(net, read), {"net.0.weight": weight, "net.0.delay": delay}, (s,)
            )
            return out

        return call

    return (
        t.requires_grad_(),
        layer.weight.detach().requires_grad_(),
        layer.delay.detach().requires_grad_(),
    ), say


class Whole(nn.Module):
    def __init__(self, net, read):
        super().__init__()
        self.net, self.read = net, read

    def forward(self, s):
        return self.read(run(self.net, s).output)


@pytest.mark.parametrize(
    "ends", [leaks(), (LeakyIntegrator(tau=TM, dt=MS),), (LeakyIntegrator(tau=TS, dt=MS),) * 2]
)
def test_readouts_by_finite_differences_and_quadrature(ends):
    given_, say = readout(ends, value=True)
    at = np.linspace(0.3, 24.9, 17) * MS
    reads = [
        lambda r: r.at(at) * 1e2,
        lambda r: r.integral() * 1e4,
        lambda r: r.integral(window=10 * MS) * 1e4,
    ]
    if len(ends) == 2:
        reads.append(lambda r: r.maximum())
    for read in reads:
        value = say(read)(*given_)
        assert bool(value.any())
        assert torch.autograd.gradcheck(say(read), given_, eps=1e-8, atol=1e-4, rtol=1e-5)
    got, fine = say(lambda r: r)(*given_), np.linspace(0, 25 * MS, 20_001)
    curve = got.at(fine).detach().numpy()
    for window in (None, 10 * MS):
        weight = 1.0 if window is None else np.exp(-fine / window)[:, None, None]
        want = np.trapezoid(curve * weight, fine, axis=0)
        np.testing.assert_allclose(
            got.integral(window).detach(), want, rtol=1e-3, atol=1e-6 * np.abs(want).max()
        )
    if len(ends) == 2:
        np.testing.assert_allclose(got.maximum().detach(), np.maximum(curve.max(0), 0), rtol=1e-4, atol=1e-9)


def test_quadrature_of_one_arrival_to_rounding():
    net = Sequential(Linear(1, 1), *leaks())
    net[0].weight.data.fill_(1.0)
    s = Spikes.from_lists([([3 * MS], [0])], channels=1, duration=40 * MS)
    got = float(run(net, s).output.integral(window=7 * MS).detach())
    want = quad(lambda t: math.exp(-t / 7e-3) * kappa(t - 3e-3) / kappa(MS), 3e-3, 40e-3, epsabs=1e-16)[0]
    assert got == pytest.approx(want, rel=1e-9)


def test_first_spikes_and_trains():
    t, where, g = little(3)
    net = Sequential(DelayedLinear(5, 6, max_delay=8 * MS, dt=MS, generator=g).double(), cell()).double()
    net[0].weight.data = net[0].weight.data.abs() * 12
    net[0].weight.data[:, 5] = 0
    s = run(net, Spikes.from_lists(list(zip(t, where, strict=True)), channels=5, duration=25 * MS)).output
    first, counts = s.first(), s.counts()
    assert first.shape == (2, 6) and bool((first[:, 5] == 25 * MS).all()) and int(counts.max()) >= 2
    for b in range(2):
        for j in range(5):
            own = s.time[(s.sample == b) & (s.channel == j)]
            assert len(own) == int(counts[b, j]) and float(first[b, j]) == float(own.min())
    (moved,) = torch.autograd.grad(first.sum(), net[0].weight, retain_graph=True)
    assert bool((moved[:, :5] <= 0).all()) and bool((moved < 0).any()) and not moved[:, 5].any()
    train = s.train(MS)
    assert train.shape == (25, 2, 6) and torch.equal(train.sum(0), counts.double())
    assert s.to_events(MS).nnz == len(s)
    g_train = torch.randn(train.shape, dtype=torch.float64, generator=g)
    (got,) = torch.autograd.grad((train * g_train).sum(), s.time)
    k, step = 0, int(s.time[0] / MS)
    there = g_train[step : step + 2, 0, int(s.channel[k])]
    assert float(got[k]) == pytest.approx(float(there[1] - there[0]) / MS)


def test_events_and_lists_say_the_same():
    g = torch.Generator().manual_seed(0)
    x = (torch.rand(12, 3, 2, 2, generator=g) < 0.3).float() * 2
    s = Spikes.from_events(EventTensor.from_dense(x, MS))
    assert (len(s), s.samples, s.channels, s.duration) == (int((x > 0).sum()), 3, 4, 12 * MS)
    assert torch.equal(s.train(MS).view(12, 3, 2, 2).float(), x)
    assert all(bool((s.time[a:b].diff() >= 0).all()) for a, b in zip(s.begin, s.begin[1:], strict=False))
    net = Sequential(Flatten(), Linear(4, 3, generator=g), cell(threshold=2.0))
    net[1].weight.data = net[1].weight.data.abs()
    assert len(run(net, EventTensor.from_dense(x, MS)).output) == len(run(net, s).output) > 0
    one = Spikes.from_lists([([3e-3, 1e-3], [0, 1]), ([], [])], channels=2, duration=5e-3)
    assert one.channel.tolist() == [1, 0] and one.begin.tolist() == [0, 2, 2]


# -- as a whole -------------------------------------------------------------------------------------------------------


def wide(recurrent, seed=0):
    g = torch.Generator().manual_seed(seed)
    first = DelayedLinear(30, 70, max_delay=9 * MS, dt=MS, generator=g).double()
    first.weight.data.normal_(0.15, 0.4, generator=g)
    back = DelayedLinear(70, 70, max_delay=9 * MS, dt=MS, generator=g).double()
    back.weight.data.normal_(0, 0.1, generator=g)
    last = DelayedLinear(70, 40, max_delay=9 * MS, dt=MS, generator=g).double()
    net = Sequential(first, Recurrent(cell(), back) if recurrent else cell(), last, *leaks())
    t, where, _ = little(seed, inputs=30, samples=12, spikes=40)
    return net, t, where


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_number_of_threads_changes_no_bit(recurrent):
    net, t, where = wide(recurrent)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            times = t.clone().requires_grad_()
            s = Spikes.from_lists(list(zip(times, where, strict=True)), channels=30, duration=25 * MS)
            out = run(net, s)
            net.zero_grad()
            out.output.integral().pow(2).sum().backward()
            results.append(
                [out.spikes["1"].time.detach(), times.grad, *(p.grad.clone() for p in net.parameters())]
            )
    finally:
        torch.set_num_threads(before)
    assert len(results[0][0]) > 300 and all(bool(r.any()) for r in results[0])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_recurrence_of_zeros_is_none_and_time_itself_costs_nothing():
    net, t, where = wide(True)
    net[1].weight.weight.data.zero_()
    plain = Sequential(net[0], net[1].neuron)
    s = Spikes.from_lists(list(zip(t, where, strict=True)), channels=30, duration=25 * MS)
    one, two = run(net, s).spikes["1"], run(plain, s).output
    assert len(one) > 300 and torch.equal(one.channel, two.channel)
    torch.testing.assert_close(one.time, two.time, rtol=1e-12, atol=0)
    late = run(plain, s, duration=5000.0).output
    assert torch.equal(late.time[late.sample == 0][: int(two.begin[1])], two.time[: int(two.begin[1])])


def test_silence_has_gradient_zero():
    net = Sequential(
        DelayedLinear(3, 4, max_delay=5 * MS, dt=MS),
        cell(),
        DelayedLinear(4, 2, max_delay=0.0, dt=MS),
        *leaks(),
    )
    net[0].weight.data.fill_(1e-3)
    for samples in ([([MS], [0]), ([], [])], [([], [])]):
        s = Spikes.from_lists(samples, channels=3, duration=20 * MS)
        y = EventProp(net, "integral")(s)
        y.sum().backward()
        assert not y.any() and not net[0].weight.grad.any() and not net[2].weight.grad.any()
    assert EventProp(net, "maximum")(s).tolist() == [[0.0, 0.0]]


def test_it_trains_with_the_losses_of_time_steps():
    """One network, one loss on `T B C`, both ways to run it: the gradients point the same way, and a step helps."""
    g = torch.Generator().manual_seed(1)
    net = Sequential(
        DelayedLinear(5, 30, max_delay=8 * MS, dt=MS / 4, generator=g),
        cell(MS / 4),
        DelayedLinear(30, 3, max_delay=4 * MS, dt=MS / 4, generator=g),
        *leaks(MS / 4),
    )
    net[0].weight.data.normal_(1.5, 0.8, generator=g)
    x = torch.zeros(160, 6, 5)
    x[torch.randint(0, 60, (6, 5), generator=g), torch.arange(6)[:, None], torch.arange(5)] = 1.0
    y, model = torch.arange(6) % 3, EventProp(net)
    loss = lambda m: nn.functional.cross_entropy(m(x).mean(0), y)
    grads = []
    for m in (model, net):
        net.zero_grad()
        value = loss(m)
        value.backward()
        grads.append(torch.cat([p.grad.flatten() for p in (net[0].weight, net[2].weight)]))
    assert torch.cosine_similarity(*grads, dim=0) > 0.9
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    before = float(loss(model).detach())
    for _ in range(15):
        optimiser.zero_grad()
        loss(model).backward()
        optimiser.step()
    assert float(loss(model).detach()) < 0.7 * before and next(iter(model.state_dict())) == "net.0.weight"


def test_the_training_loop_takes_it():
    pytest.importorskip("lightning")
    from snnkit.training import fit
    from snnkit.training.losses import membrane_cross_entropy

    g = torch.Generator().manual_seed(1)
    net = Sequential(Linear(5, 40, generator=g), cell(), Linear(40, 3, generator=g), *leaks())
    net[0].weight.data.normal_(1.5, 0.8, generator=g)
    lists = [(torch.rand(5, generator=g) * 20 * MS, torch.arange(5)) for _ in range(12)]
    s, y = Spikes.from_lists(lists, channels=5, duration=40 * MS), torch.arange(12) % 3
    events = s.to_events(MS)
    for x in (s, events, events.dense()):
        result = fit(EventProp(net), [(x, y)], loss=membrane_cross_entropy, epochs=8, lr=1e-2, progress=False)
        assert result.history[-1].loss < result.history[0].loss
    with pytest.raises(UserError, match="on the CPU"):
        s.to("cuda")


def test_it_learns_yin_yang():
    """Far too short: clearly above chance (0.33). benchmarks/eventprop.py runs it to the end."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
    try:
        import eventprop
    finally:
        sys.path.pop(0)
    curve = eventprop.train("continuous", dt=MS, epochs=4, samples=300, seed=0, batch=30)
    assert curve[-1] > 0.6


def test_delays_are_clamped_and_rounded_where_the_layer_says_so():
    layer = DelayedLinear(1, 1, max_delay=4 * MS, dt=MS)
    layer.weight.data.fill_(30.0)
    net, s = Sequential(layer, cell()), Spikes.from_lists([([0.0], [0])], channels=1, duration=20 * MS)

    def when(delay, form):
        layer.delay.data.fill_(delay)
        layer.form = form
        return float(run(net, s).output.time[0].detach())

    none = when(0.0, "two-tap")
    assert when(9.0, "two-tap") == pytest.approx(none + 4 * MS) and when(2.4, "two-tap") == pytest.approx(
        none + 2.4 * MS
    )
    assert when(2.4, "integer") == pytest.approx(none + 2 * MS)
    run(net, s).output.time.sum().backward()
    assert float(layer.delay.grad[0, 0]) > 0


def test_everything_that_has_no_exact_form_is_named():
    wrong = Sequential(
        DelayedLinear(4, 4, max_delay=MS, dt=MS, form="gaussian"), cell(gradient="surrogate"), Linear(4, 4, bias=True),
        LIF(tau=TM, dt=MS), Recurrent(LIF(tau=TM, dt=MS), torch.eye(4)),
    )  # fmt: skip
    with pytest.raises(
        UserError,
        match=r"0 \(DelayedLinear\).*two-tap.*1 \(CubaLIF\).*gradient=.*2 \(Linear\).*bias=False.*3 \(LIF\).*4 \(Recurrent\)",
    ):
        EventProp(wrong)
    good = Sequential(Linear(4, 4), cell())
    s = Spikes.from_lists([([0.0], [0])], channels=4, duration=MS)
    cases = [
        (lambda: run(Sequential(cell(), Linear(4, 4)), s), "weights and neurons in turn"),
        (lambda: run(Sequential(Linear(4, 4), cell(), Linear(4, 2)), s), "in turn"),
        (lambda: run(Sequential(Linear(4, 4), cell(), *leaks()), s), "in turn"),
        (lambda: run(nn.Sequential(Linear(4, 4), cell(), Linear(4, 4), cell(2 * MS)), s), "one dt"),
        (lambda: run(Sequential(Linear(5, 4), cell()), s), "5 inputs, but gets 4"),
        (lambda: run(good, s, duration=-1.0), "duration"),
        (lambda: run(good, torch.zeros(3, 1, 4, requires_grad=True)), "pass Spikes"),
        (lambda: EventProp(good, "maximum"), "ends in readouts"),
        (lambda: EventProp(Sequential(Linear(4, 4), *leaks()), "first"), "ends in spikes"),
        (lambda: EventProp(good, "last"), "one of trace"),
        (lambda: Spikes.from_lists([([0.1], [0])], channels=1, duration=1e-2), "sample 0 has times"),
        (lambda: Spikes.from_lists([([0.1], [1])], channels=1, duration=1.0), "from 0 to 0"),
        (lambda: Spikes.from_lists([([0.1], [0, 0])], channels=1, duration=1.0), "one channel per time"),
        (lambda: s.train(0.3 * MS), "whole number"),
        (lambda: run(Sequential(Linear(4, 2), LeakyIntegrator(tau=TM, dt=MS)), s).output.maximum(), "jumps"),
        (lambda: run(Sequential(Linear(4, 2), *leaks()), s).output.at([2.0, 1.0]), "in order"),
        (lambda: run(Sequential(Linear(4, 4), cell(tau_mem=[TM] * 3)), s), "tau_mem has shape"),
        (lambda: run(good, replace(s, channel=s.channel + 4)), r"channels lie in 0\.\.3"),
        (lambda: run(good, replace(s, begin=torch.tensor([0, 2]))), "begin rises"),
        (lambda: run(good, replace(s, time=s.time * math.nan)), "finite and in order"),
        (lambda: run(good, replace(s, time=s.time.float())), "float64"),
        (lambda: run(good, replace(s, value=torch.ones(3))), "equally long"),
    ]
    for call, message in cases:
        with pytest.raises(UserError, match=message):
            call()
    with pytest.raises(TypeError, match="takes Spikes"):
        run(good, [1, 2])
    two = Spikes.from_lists([([0.2, 0.3], [0, 1]), ([0.1], [2])], channels=4, duration=1.0)
    run(good, two)
    with pytest.raises(UserError, match="in order within a sample"):
        run(good, replace(two, time=torch.tensor([0.3, 0.2, 0.1]).double()))
    for name in ("weight", "delay"):
        late = Sequential(DelayedLinear(4, 4, max_delay=MS, dt=MS), cell())
        getattr(late[0], name).data[0, 0] = math.nan
        with pytest.raises(UserError, match=f"a {name} is NaN"):
            run(late, s)


def test_a_network_that_keeps_itself_firing_is_stopped():
    loop = Recurrent(cell(), torch.full((3, 3), 9.0))
    net = Sequential(Linear(1, 3), loop)
    net[0].weight.data.fill_(20.0)
    s = Spikes.from_lists([([0.0], [0])], channels=1, duration=10.0)
    with pytest.raises(UserError, match="more than 500 spikes"):
        run(net, s, max_spikes=500)
    assert isinstance(run(Sequential(Linear(1, 1), *leaks()), s).output, Readout)
