"""Several synapses per pair of neurons: the sum of layers with one each, in every form, on every route, and what refuses them."""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_delays import PAIRS, ROUTES
from naive_delays import delayed as naive
from torch import nn

import snnkit
from snnkit.errors import UserError
from snnkit.eventprop import EventProp
from snnkit.events import EventTensor
from snnkit.interop import to_nir
from snnkit.kernels.delays.layer import FORMS, Kernel, delayed
from snnkit.layers import (
    DelayedLinear,
    DelayWidth,
    Recurrent,
    Sequential,
    clamp_after,
    delay_excess,
    delay_parameters,
    delay_unroundness,
    rounded_delays,
)
from snnkit.neurons import IF, LIF, CubaLIF, LeakyIntegrator
from snnkit.training import fit, load_weights, rate_cross_entropy, save_weights

MS = 1e-3


def layer_of(form="two-tap", k=3, n_in=5, n_out=4, longest=6, seed=0, **options):
    g = torch.Generator().manual_seed(seed)
    return DelayedLinear(
        n_in, n_out, max_delay=longest * MS, dt=MS, form=form, kernel_count=k, generator=g, **options
    )


def alone(layer):
    """The same synapses as k layers with one per pair of neurons."""
    found = []
    for j in range(layer.kernel_count):
        one = layer_of(layer.form, 1, layer.in_features, layer.out_features, layer.longest, sigma=layer.sigma)
        one = one.to(layer.weight.dtype)
        one.tail = layer.tail
        one.weight.data.copy_(layer.weight[j].detach())
        one.delay.data.copy_(layer.delay[j].detach())
        found.append(one)
    return found


def drive(T=14, B=3, n_in=5, *, density=0.4, dtype=torch.float64, seed=0, graded=False):
    g = torch.Generator().manual_seed(seed)
    x = (torch.rand(T, B, n_in, generator=g) < density).to(dtype)
    return x * torch.randn(T, B, n_in, generator=g, dtype=dtype) if graded else x


def parts_of(T=9, B=3, n_in=5, n_out=4, K=4, k=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(k, n_in, n_out, generator=g, dtype=torch.float64)
    return (
        drive(T, B, n_in, seed=seed, graded=True),
        w,
        torch.rand(w.shape, generator=g, dtype=w.dtype) * (K - 1),
    )


def kernel_of(form, K, sigma=1.3):
    return Kernel(form, K if form == "gaussian" else K + 1, sigma)


# -- the product ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form,route", PAIRS)
def test_routes_agree_with_the_naive_twin(form, route):
    for k, K, rows in ((2, 4, 9), (4, 1, 9), (3, 6, 12)):
        x, w, d = parts_of(K=K, k=k)
        found = delayed(x, w, d, kernel_of(form, K), rows=rows, route=route)
        each = [naive(x.numpy(), w[j].numpy(), d[j].numpy(), form, K, 1.3, rows) for j in range(k)]
        assert np.abs(found.numpy() - sum(each)).max() < 1e-12 < np.abs(sum(each)).max()


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 10),
    st.integers(1, 9),
    st.integers(1, 7),
    st.integers(1, 20),
    st.integers(2, 5),
    st.integers(0, 99),
)
def test_gradients_of_all_routes_are_those_of_the_sum(T, B, n_in, n_out, k, seed):
    x, w, d = parts_of(T, B, n_in, n_out, 4, k, seed)
    for form in FORMS:
        kernel = kernel_of(form, 4)
        start = torch.randn(
            kernel.under_way, B, n_out, dtype=w.dtype, generator=torch.Generator().manual_seed(seed)
        )
        given_g = torch.randn(
            T + 2, B, n_out, dtype=w.dtype, generator=torch.Generator().manual_seed(seed + 1)
        )
        results = []
        for route in (*ROUTES[form], None):
            leaves = [t.clone().requires_grad_() for t in (x, w, d, start)]
            a, v, e, s = leaves
            if route is None:  # k layers one after another
                y = sum(delayed(a, v[j], e[j], kernel, rows=T + 2, route="conv") for j in range(k))
                y = torch.cat([y[: len(s)] + s[: T + 2], y[len(s) :]])
            else:
                y = delayed(a, v, e, kernel, rows=T + 2, start=s, route=route)
            results.append([y.detach(), *torch.autograd.grad(y, leaves, given_g)])
        for other in results[:-1]:
            assert all(torch.allclose(p, q, atol=1e-11) for p, q in zip(other, results[-1], strict=True))


@pytest.mark.parametrize("form,route", [p for p in PAIRS if p[0] != "integer"])
def test_gradients_against_finite_differences(form, route):
    x, w, d = parts_of(6, 2, 3, 3, k=2)
    d = d.clamp(0.1, 2.8)  # the two taps have a kink at whole delays
    d = torch.where((d - d.round()).abs() < 0.05, d + 0.1, d)
    if route == "events":  # found where x is not zero: a difference would add events, not change them
        x = torch.where(x == 0, torch.full_like(x, 0.3), x)
    leaves = [t.requires_grad_() for t in (x, w, d)]
    assert torch.autograd.gradcheck(
        lambda x, w, d: delayed(x, w, d, kernel_of(form, 4), rows=8, route=route), leaves
    )


# -- the layer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form,training", itertools.product(FORMS, (True, False)))
def test_the_layer_is_the_sum_of_layers_that_share_its_input(form, training):
    layer = layer_of(form, bias=True, tail=2 * MS).double().train(training)
    layer.bias.data.normal_(generator=torch.Generator().manual_seed(2))
    ones = [one.train(training) for one in alone(layer)]
    sparse, full = drive(40, density=0.02), drive(40, density=0.9)
    for x in (sparse, full, EventTensor.from_dense(sparse, MS), EventTensor.from_dense(full, MS)):
        y, want = layer(x), sum(one(x) for one in ones) + layer.bias
        assert y.shape == (42, 3, 4) and torch.allclose(y, want, atol=1e-12)
        g = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(5))
        dw, dd = torch.autograd.grad(y, (layer.weight, layer.delay), g)
        for j, one in enumerate(ones):
            a, b = torch.autograd.grad(want, (one.weight, one.delay), g, retain_graph=True)
            assert torch.allclose(dw[j], a, atol=1e-12) and torch.allclose(dd[j], b, atol=1e-12)
            assert float(b.abs().max()) > 0


@pytest.mark.parametrize("form", FORMS)
def test_counted_events_and_dense_input_give_the_same(form):
    layer, x = layer_of(form), drive(16, density=0.05, dtype=torch.float32)
    x[3, 0, 2] = 3.0  # a count, so that events have values
    results = []
    for given_x in (EventTensor.from_dense(x, MS), x):
        layer.zero_grad()
        y = layer(given_x)
        y.pow(2).sum().backward()
        results.append((y.detach(), layer.weight.grad.clone(), layer.delay.grad.clone()))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_cutting_time_anywhere_changes_no_bit(form):
    layer, x = layer_of(form, bias=True).eval(), drive(20, density=0.2, dtype=torch.float32)
    whole, end = layer.scan(x)
    assert torch.equal(layer(x), whole) and bool(end.under_way.any())
    assert torch.allclose(whole, sum(one.scan(x)[0] for one in alone(layer)), atol=1e-6)
    for cut in (1, 3, 11):
        head, middle = layer.scan(x[:cut])
        tail, last = layer.scan(x[cut:], middle)
        assert torch.equal(torch.cat([head, tail]), whole) and torch.equal(last.under_way, end.under_way)
    state, rows = layer.initial_state(x[0]), []
    for x_t in x:
        row, state = layer.step(x_t, state)
        rows.append(row)
    assert torch.allclose(torch.stack(rows), whole, atol=1e-6)


def test_one_synapse_is_the_layer_that_was():
    for form in FORMS:
        one, plain = layer_of(form, 1), DelayedLinear(
            5, 4, max_delay=6 * MS, dt=MS, form=form, generator=torch.Generator().manual_seed(0)
        )  # fmt: skip
        assert one.weight.shape == one.delay.shape == (5, 4) and "kernel_count" not in repr(one)
        assert list(one.state_dict()) == list(plain.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), plain.parameters(), strict=True))
        two = layer_of(form, 2)  # of which the second has no weight
        two.weight.data.copy_(torch.stack([one.weight.detach(), torch.zeros(5, 4)]))
        two.delay.data.copy_(one.delay.detach().expand(2, 5, 4))
        x = drive(dtype=torch.float32)
        assert torch.equal(two.eval()(x), one.eval()(x))


def test_weights_start_with_the_same_variance_of_the_output():
    for k in (1, 2, 8):
        layer = layer_of(k=k, n_in=64, n_out=80)
        bound = (3.0 / (64 * k)) ** 0.5
        assert 0.99 * bound < float(layer.weight.detach().abs().max()) <= bound
        assert float(layer.weight.detach().square().sum((-2, -3) if k > 1 else -2).mean()) == pytest.approx(
            1, rel=0.05
        )
    assert torch.equal(layer.weight, layer_of(k=8, n_in=64, n_out=80).weight)


def test_delays_at_the_start_broadcast():
    start = torch.tensor([0.0, 2 * MS, 5 * MS]).view(3, 1, 1)
    layer = layer_of(n_in=1, n_out=1, initial_delay=start)
    layer.weight.data.copy_(torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1))
    x = torch.zeros(7, 1, 1)
    x[0] = 1.0
    assert layer(x).flatten().tolist() == [1.0, 0.0, 2.0, 0.0, 0.0, 4.0, 0.0]
    assert layer.delay_seconds.shape == (3, 1, 1)
    with pytest.raises(UserError, match=r"does not broadcast to \(3, 1, 1\)"):
        layer_of(n_in=1, n_out=1, initial_delay=torch.zeros(2, 1, 1))


def test_rounding_clamping_penalties_and_groups():
    layer = layer_of()
    with torch.no_grad():
        layer.delay[0, 0, 0], layer.delay[2, 1, 1] = 9.0, -3.0
    layer.clamp_()
    assert layer.delay[0, 0, 0] == 6.0 and layer.delay[2, 1, 1] == 0.0
    chip, ones = rounded_delays(layer), [rounded_delays(one) for one in alone(layer)]
    assert chip.form == "integer" and chip.kernel_count == 3 and not list(chip.parameters())[1:]
    assert torch.equal(chip.delay, torch.stack([one.delay for one in ones]))
    x = drive(dtype=torch.float32)
    assert torch.allclose(chip(x), sum(one(x) for one in ones), atol=1e-6)
    for penalty in (delay_excess, delay_unroundness):
        each, whole = [penalty(one).item() for one in alone(layer)], penalty(layer).item()
        assert whole == pytest.approx(sum(each) / 3) and whole > 0
    groups = delay_parameters(Sequential(layer, LIF(tau=9 * MS, dt=MS)), lr=1e-3)
    assert [(len(g["params"]), g["lr"]) for g in groups] == [(1, 1e-3), (1, 0.1)]
    assert groups[1]["params"][0] is layer.delay
    DelayWidth(8).apply(wide := layer_of("gaussian"), 7)
    assert wide.sigma == pytest.approx(0.5)


def test_two_synapses_learn_an_echo_that_one_cannot():
    """y[t] = x[t - 3] + x[t - 9]: with one delay per pair one of the two is left."""
    g = torch.Generator().manual_seed(1)
    x = (torch.rand(60, 8, 1, generator=g) < 0.1).float()
    target = sum(torch.cat([torch.zeros(n, 8, 1), x[:-n]]) for n in (3, 9))
    left = {}
    for k in (1, 2):
        start = 6 * MS if k == 1 else torch.tensor([2 * MS, 11 * MS]).view(2, 1, 1)
        layer = layer_of("gaussian", k, 1, 1, longest=12, initial_delay=start)
        optimiser = torch.optim.Adam(delay_parameters(layer, lr=2e-2, delay_lr=0.1))
        clamp_after(optimiser, layer)
        for epoch in range(150):
            DelayWidth(150, part=0.8).apply(layer, epoch)
            optimiser.zero_grad()
            (layer(x) - target).pow(2).mean().backward()
            optimiser.step()
        left[k] = ((rounded_delays(layer)(x) - target).pow(2).mean() / target.pow(2).mean()).item()
        found = sorted((layer.delay.detach() + 0.5).floor().flatten().tolist())
    assert found == [3.0, 9.0] and left[2] < 0.06 and left[1] > 0.4


def test_copies_files_of_weights_and_types(tmp_path):
    net = Sequential(layer_of("gaussian", sigma=1.7), LIF(tau=9 * MS, dt=MS)).eval()
    same = copy.deepcopy(net)
    x = drive(dtype=torch.float32, density=0.6)
    assert torch.equal(same(x), net(x)) and float(net(x).detach().sum()) > 0
    other = Sequential(layer_of("gaussian", seed=4), LIF(tau=9 * MS, dt=MS)).eval()
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), net(x)) and other[0].sigma == 1.7
    save_weights(net, tmp_path / "net")
    third = Sequential(layer_of("gaussian", seed=5), LIF(tau=9 * MS, dt=MS)).eval()
    load_weights(third, tmp_path / "net")
    assert torch.equal(third(x), net(x))
    with pytest.raises(RuntimeError, match="size mismatch"):
        Sequential(layer_of("gaussian", 2), LIF(tau=9 * MS, dt=MS)).load_state_dict(net.state_dict())
    assert "kernel_count=3" in repr(net) and net[0].double()(x.double()).dtype == torch.float64
    assert net[0](x.double()[:, :0]).shape == (14, 0, 4)


def test_graphs_and_transforms():
    layer, x = layer_of(), drive(dtype=torch.float32)
    state = dict(layer.named_parameters())

    def loss(state, x):
        return torch.func.functional_call(layer, state, (x,)).pow(2).sum()

    found = torch.func.grad(loss)(state, x)
    want = torch.autograd.grad(loss(state, x), list(state.values()))
    assert all(torch.allclose(found[name], g, atol=1e-4) for name, g in zip(state, want, strict=True))


def test_loops_and_training():
    net = Sequential(
        layer_of(k=2, n_out=6), Recurrent(LIF(tau=9 * MS, dt=MS, threshold=0.3), layer_of(k=2, n_in=6, n_out=6)),
        layer_of(k=3, n_in=6, n_out=2), IF(),
    )  # fmt: skip
    before = [m.delay.detach().clone() for m in net.modules() if isinstance(m, DelayedLinear)]
    assert not torch.equal(before[0][0], before[0][1])
    x = drive(20, 8, dtype=torch.float32)
    fit(net, [(x, torch.arange(8) % 2)], epochs=2, loss=rate_cross_entropy)
    after = [m.delay.detach() for m in net.modules() if isinstance(m, DelayedLinear)]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(float(d.min()) >= 0 and float(d.max()) <= 6 for d in after)


def test_trace_counts_every_synapse_of_an_event():
    x = drive(dtype=torch.float32)
    for given_x in (x, EventTensor.from_dense(x, MS)):
        with snnkit.trace(net := Sequential(layer_of(k=3), LIF(tau=9 * MS, dt=MS))) as activity:
            net(given_x)
        counted = activity.layers["0"]
        assert counted.synops == float(x.sum()) / 3 * 3 * 4  # of one of the 3 samples
        assert (counted.fan_in, counted.dense_macs) == (15, 60)
    with snnkit.trace(net) as activity:
        net(x * 0.37)  # no events
    assert activity.layers["0"].macs == 14 * 60


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_bad_settings():
    for kind in ("axonal", "dendritic"):
        with pytest.raises(UserError, match=f'kernel_count=2 .*kind="{kind}".*; write kind="synaptic"'):
            layer_of(k=2, kind=kind)
        assert layer_of(k=1, kind=kind).kernel_count == 1
    with pytest.raises(UserError, match="kernel_count is at least 1, got 0"):
        layer_of(k=0)
    for wrong in (1.5, True, "2"):
        with pytest.raises(TypeError, match="kernel_count is a whole number"):
            layer_of(k=wrong)
    with pytest.raises(UserError, match="state has shape"):
        layer_of().step(torch.zeros(2, 5), layer_of(longest=2).initial_state(torch.zeros(2, 5)))


def test_files_and_chips_refuse_by_name(tmp_path):
    net = Sequential(layer_of(k=2), LIF(tau=9 * MS, dt=MS)).eval()
    match = r"layer 0 is a DelayedLinear with kernel_count=2, .*train with kernel_count=1"
    for write in (to_nir, lambda n: snnkit.save(n, tmp_path / "net.nir")):  # chips read what these write
        with pytest.raises(UserError, match=match):
            write(net)
    assert not list(tmp_path.iterdir())


def test_event_to_event_refuses_by_name():
    cell = CubaLIF(tau_syn=5 * MS, tau_mem=20 * MS, dt=MS, threshold=0.5, gradient="eventprop")
    for net in (
        nn.Sequential(layer_of(k=2), cell),
        nn.Sequential(layer_of(k=1), Recurrent(cell, layer_of(k=2, n_in=4))),
        nn.Sequential(layer_of(k=2), LeakyIntegrator(tau=9 * MS, dt=MS)),
    ):
        with pytest.raises(UserError, match=r"kernel_count=2.*write kernel_count=1"):
            EventProp(snnkit.Sequential(*net))
    stepped = Sequential(layer_of(k=2), cell)  # on time steps they are trained all the same
    y = stepped(drive(40, dtype=torch.float32, density=0.8))
    y.sum().backward()
    assert float(y.detach().sum()) > 0 and float(stepped[0].delay.grad.abs().max()) > 0


# -- peers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version,form,tolerance", [("v1", "two-tap", 5e-6), ("gauss", "gaussian", 3e-6)])
def test_agrees_with_the_dcls_package(version, form, tolerance):
    modules = pytest.importorskip("DCLS.construct.modules")
    K, layer = 25, layer_of(form, 2, n_in=6, longest=24, sigma=3.0)
    theirs = modules.Dcls1d(
        6, 4, kernel_count=2, groups=1, dilated_kernel_size=K, bias=False, version=version
    )
    with torch.no_grad():
        theirs.weight.copy_(layer.weight.permute(2, 1, 0))
        theirs.P.copy_((K // 2 - layer.delay).permute(2, 1, 0).unsqueeze(0))  # a later tap is a shorter delay
        if form == "gaussian":
            theirs.SIG.fill_(3.0 - 0.27)
    x = drive(40, 4, 6, dtype=torch.float32).requires_grad_()
    y = layer(x)
    z = theirs(torch.nn.functional.pad(x.permute(1, 2, 0), (K - 1, 0))).permute(2, 0, 1)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(7))
    ours = [y, *torch.autograd.grad(y, (x, layer.weight, layer.delay), g)]
    dx, dw, dp = torch.autograd.grad(z, (x, theirs.weight, theirs.P), g)
    for a, b in zip(ours, (z, dx, dw.permute(2, 1, 0), -dp[0].permute(2, 1, 0)), strict=True):
        assert float((a - b).detach().abs().max()) < tolerance * float(b.detach().abs().max())
