"""Delays: every route against the naive twin, gradients, impulses, time cut anywhere, rounding, training aids, files."""

import copy
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_delays import PAIRS, ROUTES, taps
from naive_delays import delayed as naive

import snnkit
from snnkit.errors import UserError
from snnkit.events import EventTensor
from snnkit.kernels.delays.layer import FORMS, Kernel, delayed
from snnkit.layers import (
    DelayedLinear,
    DelayWidth,
    Linear,
    Recurrent,
    Sequential,
    Stream,
    clamp_after,
    clamp_delays,
    delay_excess,
    delay_parameters,
    rounded_delays,
)
from snnkit.neurons import IF, LIF

MS = 1e-3


def drive(T=9, B=3, n_in=5, n_out=4, K=4, *, density=0.4, dtype=torch.float64, seed=0, graded=True):
    g = torch.Generator().manual_seed(seed)
    x = (torch.rand(T, B, n_in, generator=g) < density).to(dtype)
    x = x * torch.randn(T, B, n_in, generator=g, dtype=dtype) if graded else x
    w = torch.randn(n_in, n_out, generator=g, dtype=dtype)
    d = torch.rand(n_in, n_out, generator=g, dtype=dtype) * (K - 1)
    d[0, 0], d[-1, -1] = 0.0, K - 1.0
    return x, w, d


def kernel_of(form, K, sigma=1.3):
    return Kernel(form, K if form == "gaussian" else K + 1, sigma)


def layer_of(form="two-tap", kind="synaptic", n_in=5, n_out=4, longest=6, seed=0, **options):
    g = torch.Generator().manual_seed(seed)
    return DelayedLinear(
        n_in, n_out, max_delay=longest * MS, dt=MS, form=form, kind=kind, generator=g, **options
    )


# -- kernels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form,route", PAIRS)
@pytest.mark.parametrize("dtype,tolerance", [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("size", [(9, 3, 5, 4, 4), (40, 17, 7, 3, 9), (150, 2, 6, 5, 3), (1, 1, 1, 1, 1)])
def test_routes_agree_with_the_naive_twin(form, route, dtype, tolerance, size):
    T, B, _, n_out, K = size
    x, w, d = drive(*size, dtype=dtype)
    d = d.clamp(0, K - 1)
    for rows in (T, T + 3):
        found = delayed(x, w, d, kernel_of(form, K), rows=rows, route=route)
        want = naive(x.double().numpy(), w.double().numpy(), d.double().numpy(), form, K, 1.3, rows)
        assert found.shape == (rows, B, n_out) and found.dtype == dtype
        assert np.abs(found.numpy() - want).max() <= tolerance * max(1.0, np.abs(want).max())


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 18), st.integers(1, 9), st.integers(1, 20), st.integers(1, 8),
    st.floats(0.0, 1.0), st.integers(0, 99),
)  # fmt: skip
def test_event_and_dense_kernels_agree_on_any_size(T, B, n_in, n_out, K, density, seed):
    x, w, d = drive(T, B, n_in, n_out, K, density=density, seed=seed)
    results = []
    for route in ROUTES["two-tap"]:
        parts = [t.clone().requires_grad_() for t in (x, w, d)]
        y = delayed(*parts, kernel_of("two-tap", K), rows=T + 1, route=route)
        g = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
        results.append([y.detach(), *torch.autograd.grad(y, parts, g)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_all_routes_agree(form):
    x, w, d = drive()
    kernel = kernel_of(form, 4)
    start = torch.randn(
        kernel.under_way, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    results = []
    for route in ROUTES[form]:
        parts = [t.clone().requires_grad_() for t in (x, w, d, start)]
        y = delayed(*parts[:3], kernel, rows=12, start=parts[3], route=route)
        g = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        results.append([y.detach(), *torch.autograd.grad(y, parts, g)])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert float(b.abs().max()) > 0.1 and torch.allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("form,route", [p for p in PAIRS if p[0] != "integer"])
def test_gradients_against_finite_differences(form, route):
    x, w, d = drive(6, 2, 3, 3)
    d = d.clamp(0.1, 2.8)  # the two taps have a kink at whole delays
    d = torch.where((d - d.round()).abs() < 0.05, d + 0.1, d)
    start = torch.randn(kernel_of(form, 4).under_way, 2, 3, dtype=torch.float64)
    if route == "events":  # found where x is not zero: a difference would add events, not change them
        x = torch.where(x == 0, torch.full_like(x, 0.3), x)
    parts = [t.requires_grad_() for t in (x, w, d, start)]

    def run(x, w, d, start):
        return delayed(x, w, d, kernel_of(form, 4), rows=8, start=start, route=route)

    assert torch.autograd.gradcheck(run, parts)


def test_the_gradient_of_an_integer_delay_is_the_later_neighbour_minus_the_earlier():
    x, w, d = drive(graded=False)
    d.requires_grad_()
    y = delayed(x, w, d, kernel_of("integer", 4), rows=9, route="events")
    g = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad(y, d, g)
    later = torch.cat([g, torch.zeros(5, 3, 4, dtype=torch.float64)])
    for i, o in itertools.product(range(5), range(4)):
        k = int(float(d.detach()[i, o]))
        change = (x[:, :, i] * (later[k + 1 : k + 10, :, o] - later[k : k + 9, :, o])).sum()
        assert float(found[i, o]) == pytest.approx(float(w[i, o] * change))


def test_threads_change_no_bit():
    x, w, d = drive(60, 40, 96, 70, 12, density=0.1, dtype=torch.float32, graded=False)
    g = torch.randn(60, 40, 70, generator=torch.Generator().manual_seed(1))
    before, found = torch.get_num_threads(), []
    try:
        for threads, (form, route) in itertools.product(
            (1, 2, 3), [p for p in PAIRS if p[1] in ("events", "lanes")]
        ):
            torch.set_num_threads(threads)
            parts = [t.clone().requires_grad_() for t in (x, w, d)]
            if route == "events" and form == "gaussian":
                parts[0].requires_grad_(False)  # its gradient is torch's
            y = delayed(*parts, kernel_of(form, 12), rows=60, route=route)
            y.backward(g)
            found.append([y.detach(), *(p.grad for p in parts if p.grad is not None)])
    finally:
        torch.set_num_threads(before)
    each = len(found) // 3
    for a, b, c in zip(found[:each], found[each : 2 * each], found[2 * each :], strict=True):
        assert all(torch.equal(p, q) and torch.equal(p, r) for p, q, r in zip(a, b, c, strict=True))


def test_second_derivatives_are_refused_where_there_are_none_and_exist_in_plain_torch():
    x, w, d = (t.requires_grad_() for t in drive())
    for route in ("events", "lanes"):
        y = delayed(x, w, d, kernel_of("two-tap", 4), rows=9, route=route)
        (dw,) = torch.autograd.grad((y**2).sum(), w, create_graph=True)
        with pytest.raises(
            RuntimeError, match=r"once_differentiable|does not require grad|differentiate twice"
        ):
            dw.sum().backward()
    y = delayed(x, w, d, kernel_of("two-tap", 4), rows=9, route="conv")
    (dw,) = torch.autograd.grad((y**2).sum(), w, create_graph=True)
    assert float(torch.autograd.grad(dw.sum(), d)[0].abs().max()) > 0


# -- what a delay does ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form,route", PAIRS)
def test_an_impulse_leaves_after_its_delay(form, route):
    x = torch.zeros(12, 1, 3, dtype=torch.float64)
    x[2] = 1.0
    d = torch.tensor([[0.0], [3.0], [8.0]], dtype=torch.float64)  # none, some, the longest
    for i in range(3):
        w = torch.zeros(3, 1, dtype=torch.float64)
        w[i] = 2.0
        y = delayed(x, w, d, kernel_of(form, 9, sigma=0.05), rows=12, route=route).flatten()
        want = torch.zeros(12, dtype=torch.float64)
        want[2 + int(d[i])] = 2.0
        assert torch.allclose(y, want, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 3.0, 12.27])
def test_the_mass_of_a_gaussian_is_the_weight(sigma):
    x = torch.zeros(30, 1, 2)
    x[0] = 1.0
    d = torch.tensor([[0.0, 4.3], [11.9, 24.0]])
    w = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    for i in range(2):
        alone = torch.zeros_like(w)
        alone[i] = w[i]
        y = delayed(x, alone, d, Kernel("gaussian", 25, sigma), rows=30, route="spectral")
        assert torch.allclose(y.sum(0)[0], w[i], atol=1e-5)
    assert taps("gaussian", 4.3, 25, sigma).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "form,sigma", [("two-tap", 1.0), ("gaussian", 1.0), ("gaussian", 4.0), ("integer", 1.0)]
)
def test_the_gradient_moves_a_delay_towards_its_target(form, sigma):
    x = torch.zeros(40, 1, 1)
    x[0] = 1.0
    for at, goal in ((14.4, 15), (16.6, 16)):
        layer = layer_of(form, n_in=1, n_out=1, longest=30, initial_delay=at * MS, sigma=sigma)
        layer.weight.data.fill_(1.0)
        target = torch.zeros(40)
        target[goal] = 1.0
        ((layer(x).flatten() - target) ** 2).sum().backward()
        step = -float(layer.delay.grad)
        assert step * (goal - at) > 0


def test_wide_gaussians_find_delays_that_two_taps_cannot():
    x = torch.zeros(30, 1, 1)
    x[0] = 1.0
    target = torch.zeros(30)
    target[20] = 1.0
    ends = {}
    for form in ("two-tap", "gaussian"):
        layer = layer_of(form, n_in=1, n_out=1, longest=25, initial_delay=3.3 * MS)
        layer.weight.data.fill_(1.0)
        optimiser = torch.optim.Adam([layer.delay], lr=0.3)
        for epoch in range(200):
            DelayWidth(200, part=0.8).apply(layer, epoch)
            optimiser.zero_grad()
            ((layer(x).flatten() - target) ** 2).sum().backward()
            optimiser.step()
            layer.clamp_()
        ends[form] = layer.delay.item()
    assert abs(ends["gaussian"] - 20) < 0.5 and abs(ends["two-tap"] - 20) > 10


def test_a_delay_out_of_range_acts_as_the_border_and_may_come_back():
    x, w, _ = drive(dtype=torch.float32)
    for form, route in PAIRS:
        outside = torch.full_like(w, 7.5).requires_grad_()
        border = torch.full_like(w, 3.0)
        far = delayed(x, w, outside, kernel_of(form, 4), rows=9, route=route)
        assert torch.allclose(far, delayed(x, w, border, kernel_of(form, 4), rows=9, route=route), atol=1e-6)
        far.pow(2).sum().backward()
        assert float(outside.grad.abs().max()) > 0
    with pytest.raises(UserError, match="NaN"):
        delayed(x, w, torch.full_like(w, float("nan")), kernel_of("two-tap", 4), rows=9)


# -- the layer --------------------------------------------------------------------------------------------------------

EVERY = list(itertools.product(FORMS, ("synaptic", "axonal", "dendritic")))


@pytest.mark.parametrize("form,kind", EVERY)
def test_kinds_are_synaptic_delays_that_are_alike(form, kind):
    layer = layer_of(form, kind, bias=True).double()
    layer.bias.data.normal_(generator=torch.Generator().manual_seed(2))
    same = layer_of(form, "synaptic", bias=True).double()
    same.weight.data.copy_(layer.weight)
    same.bias.data.copy_(layer.bias)
    same.delay.data.copy_(layer.delay.expand(5, 4))
    x = drive(K=4, graded=False)[0].requires_grad_()
    a, b = layer(x), same(x)
    assert torch.allclose(a, b, atol=1e-12)
    g = torch.randn(a.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    da = torch.autograd.grad(a, (x, layer.weight, layer.delay), g)
    db = torch.autograd.grad(b, (x, same.weight, same.delay), g)
    axis = {"synaptic": (), "axonal": (1,), "dendritic": (0,)}[kind]
    assert torch.allclose(da[0], db[0], atol=1e-12) and torch.allclose(da[1], db[1], atol=1e-12)
    assert torch.allclose(da[2], db[2].sum(axis, keepdim=True) if axis else db[2], atol=1e-12)


@pytest.mark.parametrize("form,kind", EVERY)
def test_cutting_time_anywhere(form, kind):
    layer = layer_of(form, kind, bias=True)
    x = drive(20, density=0.2, dtype=torch.float32, graded=False)[0]
    whole, end = layer.scan(x)
    layer.eval()
    assert torch.equal(layer(x), whole) if kind == "synaptic" else torch.allclose(layer(x), whole, atol=1e-6)
    for cut in (1, 3, 11):
        head, middle = layer.scan(x[:cut])
        tail, last = layer.scan(x[cut:], middle)
        both = torch.cat([head, tail])
        if kind == "synaptic":  # the others multiply by torch's products, whose bits depend on their size
            assert torch.equal(both, whole) and torch.equal(last.under_way, end.under_way)
        assert torch.allclose(both, whole, atol=1e-6)
        assert torch.allclose(last.under_way, end.under_way, atol=1e-6)
    state, rows = layer.initial_state(x[0]), []
    for x_t in x:
        row, state = layer.step(x_t, state)
        rows.append(row)
    assert torch.allclose(torch.stack(rows), whole, atol=1e-6)
    assert bool(end.under_way.any())


def test_gradients_flow_through_the_state():
    layer, x = layer_of().double(), drive()[0].requires_grad_()
    whole = layer.scan(x)[0]
    head, state = layer.scan(x[:4])
    parts = torch.cat([head, layer.scan(x[4:], state)[0]])
    g = torch.randn(whole.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    want = torch.autograd.grad(whole, (x, layer.weight, layer.delay), g)
    found = torch.autograd.grad(parts, (x, layer.weight, layer.delay), g)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(want, found, strict=True))


@pytest.mark.parametrize("form,kind", EVERY)
def test_events_and_dense_input_give_the_same(form, kind):
    layer = layer_of(form, kind)
    x = drive(16, density=0.05, dtype=torch.float32, graded=False)[0]
    x[3, 0, 2] = 3.0  # a count
    results = []
    for given_x in (EventTensor.from_dense(x, MS), x):
        layer.zero_grad()
        y = layer(given_x)
        y.pow(2).sum().backward()
        results.append((y.detach(), layer.weight.grad.clone(), layer.delay.grad.clone()))
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_silence_empty_batches_and_no_delay():
    layer = layer_of(longest=0)
    plain = Linear(5, 4)
    plain.weight.data.copy_(layer.weight.t())
    x = drive(dtype=torch.float32)[0]
    assert torch.allclose(layer(x), plain(x), atol=1e-6)
    for form, kind in EVERY:
        layer = layer_of(form, kind)
        y = layer(torch.zeros(9, 2, 5))
        assert not y.any() and layer(torch.zeros(9, 0, 5)).shape == (9, 0, 4)
        assert layer(torch.zeros(0, 2, 5)).shape == (0, 2, 4)
        state = layer.scan(torch.ones(1, 2, 5))[1]
        assert torch.allclose(layer.scan(torch.zeros(0, 2, 5), state)[1].under_way, state.under_way)
        y.sum().backward()
        assert not layer.weight.grad.any() and not layer.delay.grad.any()


def test_the_tail_rings_out():
    x = torch.zeros(4, 1, 5)
    x[3] = 1.0
    short, long = layer_of(seed=1), layer_of(seed=1, tail=6 * MS)
    assert long(x).shape == (10, 1, 4) and torch.allclose(long(x)[:4], short(x), atol=1e-6)
    assert torch.allclose(long(x).sum(0)[0], long.weight.sum(0), atol=1e-5)


def test_it_trains_in_a_network_and_streams():
    net = Sequential(
        layer_of(n_in=5, n_out=8, bias=True), LIF(tau=5 * MS, dt=MS), layer_of("gaussian", n_in=8, n_out=2)
    )
    x = drive(30, dtype=torch.float32, graded=False)[0]
    net(x).pow(2).sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in net.parameters())
    live = Stream(net.eval())
    rows = torch.stack([live(x_t) for x_t in x])
    assert torch.allclose(rows, net(x), atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_transforms_and_compiled_graphs_take_plain_torch(form):
    layer, x = layer_of(form).double(), drive()[0]

    def loss(w, d, x):
        parameters = {"weight": w, "delay": d}
        return torch.func.functional_call(layer, parameters, (x,)).pow(2).sum()

    w, d = layer.weight.detach(), layer.delay.detach()
    found = torch.func.grad(loss, argnums=(0, 1))(w, d, x)
    layer(x).pow(2).sum().backward()
    assert torch.allclose(found[0], layer.weight.grad) and torch.allclose(found[1], layer.delay.grad)
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, None, 0))(w, d, torch.stack([x, 2 * x]))
    assert torch.allclose(each[1], 4 * found[0])


@pytest.mark.parametrize("kind", ["synaptic", "axonal", "dendritic"])
@pytest.mark.parametrize("form", FORMS)
def test_inputs_and_networks_in_parallel(form, kind):
    layer, x = layer_of(form, kind=kind).double(), drive()[0]
    both = torch.stack([x, -2 * x])
    assert torch.allclose(torch.func.vmap(layer)(both), torch.stack([layer(x), layer(-2 * x)]))
    y, tangent = torch.func.jvp(layer, (x,), (x,))
    assert torch.allclose(y, layer(x)) and torch.allclose(tangent, y)
    sets = {name: torch.stack([p.detach(), 0.5 * p.detach()]) for name, p in layer.named_parameters()}
    many = torch.func.vmap(lambda p: torch.func.functional_call(layer, p, (x,)))(sets)
    for k, y in enumerate(many):
        alone = torch.func.functional_call(layer, {name: p[k] for name, p in sets.items()}, (x,))
        assert torch.allclose(y, alone)


def test_activity_counts_synaptic_operations():
    net = Sequential(layer_of(), LIF(tau=5 * MS, dt=MS))
    x = drive(12, density=0.3, dtype=torch.float32, graded=False)[0]
    with snnkit.trace(net) as activity:
        net(x)
    assert not activity.uncounted
    assert activity.layers["0"].synops == pytest.approx(float(x.sum()) * 4 / 3)
    assert activity.layers["0"].fan_in == 5 and activity.layers["0"].dense_macs == 20

    loop = Recurrent(IF(), layer_of(n_in=5, n_out=5, longest=3))
    with snnkit.trace(loop) as activity:
        sent = loop(x).detach()
    back = [layer for name, layer in activity.layers.items() if layer.kind == "DelayedLinear"]
    assert (
        len(back) == 1
        and back[0].synops == pytest.approx(float(sent[:-1].sum()) * 5 / 3)
        and back[0].synops > 0
    )


def test_it_compiles_as_one_graph():
    layer, x = layer_of().double(), drive()[0]
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(x), layer(x), atol=1e-12)
    compiled(x).pow(2).sum().backward()
    found = layer.delay.grad.clone()
    layer.zero_grad()
    layer(x).pow(2).sum().backward()
    assert torch.allclose(found, layer.delay.grad, atol=1e-12)


# -- training aids ------------------------------------------------------------------------------------------------------


def test_parameter_groups_and_clamping():
    net = Sequential(layer_of(bias=True), LIF(tau=5 * MS, dt=MS), layer_of(n_in=4, n_out=2))
    groups = delay_parameters(net, lr=2e-3, weight_decay=1e-5)
    assert [(len(g["params"]), g["lr"], g["weight_decay"]) for g in groups] == [
        (2, 2e-3, 1e-5),
        (1, 2e-3, 0.0),
        (2, 0.2, 0.0),
    ]
    assert {id(p) for g in groups for p in g["params"]} == {id(p) for p in net.parameters()}
    optimiser = torch.optim.SGD(groups)
    end = clamp_after(optimiser, net)
    net[0].delay.data.fill_(99.0)
    optimiser.step()
    assert float(net[0].delay.max()) == 6.0
    end()
    net[0].delay.data.fill_(-5.0)
    optimiser.step()
    assert float(net[0].delay.min()) == -5.0
    clamp_delays(net)
    assert float(net[0].delay.min()) == 0.0


def test_a_penalty_shortens_delays_that_are_too_long():
    net = Sequential(layer_of(longest=10), LIF(tau=5 * MS, dt=MS), layer_of(n_in=4, n_out=2, longest=0))
    found = delay_excess(net, longest=4 * MS)
    d = net[0].delay.detach()
    assert float(found.detach()) == pytest.approx(float((d - 4).clamp(min=0).mean()) / 10, rel=1e-5)
    found.backward()
    assert torch.equal(net[0].delay.grad > 0, d > 4) and bool((d > 4).any()) and not bool((d > 4).all())
    with pytest.raises(UserError, match="no DelayedLinear"):
        delay_excess(Sequential(Linear(2, 2)))


def test_rounding_acts_on_a_copy():
    net = Sequential(layer_of("gaussian"), LIF(tau=5 * MS, dt=MS), layer_of(n_in=4, n_out=2, kind="axonal"))
    before = copy.deepcopy(net.state_dict())
    whole = rounded_delays(net)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items()) and net.training
    assert not whole.training and [m.form for m in whole if isinstance(m, DelayedLinear)] == ["integer"] * 2
    assert torch.equal(whole[0].delay, (net[0].delay + 0.5).floor())
    x = drive(12, density=0.3, dtype=torch.float32, graded=False)[0]
    want = naive(x.numpy(), net[0].weight.detach().numpy(), whole[0].delay.numpy(), "integer", 7)
    assert np.allclose(whole[0](x).detach().numpy(), want, atol=1e-5)
    assert len(list(whole.parameters())) == 2


def test_the_width_shrinks_as_published():
    width = DelayWidth(epochs=100)
    sizes = [width.at(e, 25) for e in range(100)]
    assert sizes[0] == pytest.approx(12.27) and sizes[25] == pytest.approx(0.5) == sizes[99]
    ratios = [(b - 0.27) / (a - 0.27) for a, b in itertools.pairwise(sizes[:26])]
    assert np.allclose(ratios, (0.23 / 12) ** (1 / 25))
    layer = layer_of("gaussian", longest=24)
    assert layer.sigma == pytest.approx(12.27)
    width.apply(layer, 30)
    assert layer.sigma == pytest.approx(0.5)
    other = layer_of("gaussian", longest=24)
    other.load_state_dict(layer.state_dict())
    assert other.sigma == layer.sigma


@pytest.mark.parametrize(
    "options,said",
    [
        ({"max_delay": 2.5 * MS}, "max_delay=0.002"),
        ({"max_delay": -MS}, "not negative"),
        ({"form": "two_tap"}, "two-tap"),
        ({"kind": "axon"}, "axonal"),
        ({"dt": 0.0}, "positive dt"),
        ({"sigma": 0.0}, "sigma is a positive width"),
        ({"initial_delay": 9 * MS}, "between 0 and max_delay"),
        ({"initial_delay": torch.zeros(3)}, "does not broadcast"),
        ({"tail": 0.4 * MS}, "tail is a whole number"),
        ({"dt": 1.0}, "delays are in seconds"),
        ({"max_delay": 25}, r"25000 steps.*for 25 steps write max_delay=0\.025"),
    ],
)
def test_wrong_arguments_are_named(options, said):
    with pytest.raises(UserError, match=said):
        DelayedLinear(5, 4, **{"max_delay": 6 * MS, "dt": MS, **options})


def test_width_and_form_may_be_changed_but_not_to_anything():
    layer = layer_of("gaussian", sigma=np.float32(1.5))
    assert layer.sigma == 1.5
    with pytest.raises(UserError, match="unknown form 'gausian'; did you mean 'gaussian'"):
        layer.form = "gausian"
    layer.form = "two-tap"
    assert copy.deepcopy(layer).form == "two-tap" and layer._kernel.form == "two-tap"


@pytest.mark.parametrize("kind", ["synaptic", "axonal", "dendritic"])
@pytest.mark.parametrize("form", FORMS)
def test_delays_that_training_threw_out_are_named(form, kind):
    layer = layer_of(form, kind=kind)
    layer.delay.data.view(-1)[1] = float("nan")
    with pytest.raises(UserError, match="delay is NaN or infinite"):
        layer(torch.ones(9, 3, 5))


def test_wrong_input_is_named():
    layer = layer_of()
    with pytest.raises(UserError, match=r"T B 5, got \(9, 3, 4\)"):
        layer(torch.zeros(9, 3, 4))
    with pytest.raises(UserError, match="time comes last"):
        layer(torch.zeros(3, 5, 9))
    with pytest.raises(UserError, match="steps of dt"):
        layer(EventTensor.from_dense(torch.zeros(9, 3, 5), 2 * MS))
    with pytest.raises(UserError, match="belongs to one batch"):
        layer.step(torch.zeros(2, 5), layer.initial_state(torch.zeros(3, 5)))
    with pytest.raises(UserError, match=r"write x.to\(torch.float32\)"):
        layer(torch.zeros(9, 3, 5).double())
    with pytest.raises(TypeError, match="tensor or an EventTensor"):
        layer(np.zeros((9, 3, 5)))


# -- loops and peers --------------------------------------------------------------------------------------------------


def test_delays_in_a_loop_come_on_top_of_its_step():
    back = layer_of("integer", n_in=3, n_out=3, longest=5, learn_delays=False)
    back.weight.data.copy_(torch.eye(3).roll(1, 1))  # each drives the next
    back.delay.copy_(torch.tensor([2.0, 0.0, 5.0]).unsqueeze(1).expand(3, 3))
    net = Recurrent(IF(), back)
    x = torch.zeros(20, 1, 3)
    x[0, 0, 0] = 1.0
    spikes = net(x)[:, 0].nonzero().tolist()
    assert spikes[:5] == [[0, 0], [3, 1], [4, 2], [10, 0], [13, 1]]
    head, state = net.scan(x[:2])  # one spike is under way
    tail, _ = net.scan(x[2:], state)
    assert torch.equal(torch.cat([head, tail])[:, 0].nonzero(), torch.tensor(spikes))


@pytest.mark.parametrize("version,form,tolerance", [("v1", "two-tap", 5e-6), ("gauss", "gaussian", 3e-6)])
def test_agrees_with_the_dcls_package(version, form, tolerance):
    modules = pytest.importorskip("DCLS.construct.modules")
    K, layer = 25, layer_of(form, n_in=6, n_out=5, longest=24, sigma=3.0)
    theirs = modules.Dcls1d(
        6, 5, kernel_count=1, groups=1, dilated_kernel_size=K, bias=False, version=version
    )
    with torch.no_grad():
        theirs.weight.copy_(layer.weight.t().unsqueeze(2))
        theirs.P.copy_((K // 2 - layer.delay).t().view(theirs.P.shape))  # a later tap is a shorter delay
        if form == "gaussian":
            theirs.SIG.fill_(3.0 - 0.27)
    x = drive(40, 4, 6, dtype=torch.float32, graded=False)[0].requires_grad_()
    y = layer(x)
    z = theirs(torch.nn.functional.pad(x.permute(1, 2, 0), (K - 1, 0))).permute(2, 0, 1)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(7))
    ours = [y, *torch.autograd.grad(y, (x, layer.weight, layer.delay), g)]
    dx, dw, dp = torch.autograd.grad(z, (x, theirs.weight, theirs.P), g)
    for a, b in zip(ours, (z, dx, dw[:, :, 0].t(), -dp[0, :, :, 0].t()), strict=True):
        assert float((a - b).detach().abs().max()) < tolerance * float(b.detach().abs().max())


def test_the_page_of_delays_runs():
    page = (Path(__file__).parent.parent / "docs" / "delays.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 4
    scope: dict = {}
    exec("\n".join(blocks[:3]), scope)  # noqa: S102 (the examples of our own page)
    assert scope["net"][0].sigma == pytest.approx(0.5) and scope["chip"][0].form == "integer"
    assert scope["twice"].delay.shape == (2, 140, 256)
    exec(blocks[3], scope)  # noqa: S102
    assert scope["found"].spikes["1"].counts().sum() > 0 and scope["net"][0].delay.grad.abs().sum() > 0
    assert scope["cell"].gradient == "eventprop"
